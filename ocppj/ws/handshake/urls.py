"""Connection URLs: that of an identity, and the target of a request. Pure.

The connection URL is the endpoint's URL, "/", and the percent-encoded identity (OCPP-J 1.6 section 3.1.1; Part 4
section 3.1.1). `identities` finds the identity in it. A server splits the path on "/" before it decodes: ``%2F`` is
part of an identity.
"""

from __future__ import annotations

import re
from typing import Iterable, Optional, Tuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from ...errors import UsageError, printable

__all__ = [
    "can_be_encoded",
    "connection_url",
    "doubled_identity",
    "endpoint_urls",
    "hide",
    "host_and_port",
    "identity_fault",
    "place",
    "split_target",
    "unseen_fault",
    "without_query",
]

_PORTS = {"ws": 80, "wss": 443}
# Characters of an identity. 1.6 has no limit; 2.x allows 48, which its dialect checks. Each log line has the identity.
_LONGEST = 255
_PARTS = re.compile("[&= ,;]+")  # between the parts of a query or of a header field
_UNFIT = re.compile("[\x00-\x20\x7f]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def identity_fault(identity: str) -> Optional[str]:
    """Return why a text cannot be an identity, of whatever version; ``None`` when it can."""
    if not can_be_encoded(identity):
        return "has characters that cannot be sent"
    if not identity or _CONTROL.search(identity):
        return "is empty or has control characters"
    if identity in (".", ".."):  # a proxy may remove these from the path (RFC 3986 section 5.2.4)
        return f"cannot be {identity!r}"
    return f"has more than {_LONGEST} characters" if len(identity) > _LONGEST else None


def unseen_fault(identity: str) -> Optional[str]:
    """Return why a text is no plain identity: it has characters that do not show. ``None`` when it has none."""
    return "has characters that do not show" if printable(identity) != identity else None


def split_target(target: str) -> Tuple[str, str]:
    """Split a request target into raw path and query."""
    path, _, query = target.partition("?")  # first: a query may contain "://"
    if not path.startswith("/"):  # absolute form (RFC 9112 section 3.2.2)
        _, separator, rest = path.partition("://")
        if separator:
            path = "/" + rest.partition("/")[2]
    return path, query


def connection_url(endpoint: str, client_id: str) -> str:
    """Return the URL of ``client_id``. Raises `UsageError`, which does not repeat the URL: it may have a password."""
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        parts = None
    if parts is None:
        raise UsageError("the endpoint URL is malformed; it is host, or host:port with a number up to 65535")
    if parts.fragment or "@" in (parts.netloc or endpoint):
        raise UsageError("an endpoint URL has neither a fragment nor credentials: give the latter as an option")
    if _UNFIT.search(parts.path + parts.query) or not can_be_encoded(endpoint):
        raise UsageError("the endpoint URL has characters that cannot be sent: percent-encode them")
    fault = identity_fault(client_id)
    if fault is not None:
        raise UsageError(f"this identity cannot be used: it {fault}")
    path = parts.path.rstrip("/") + "/" + quote(client_id, safe="")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def doubled_identity(endpoint: str, client_id: str) -> Optional[str]:
    """Return a hint for an endpoint URL that ends in the identity already; ``None`` for others.

    Such a URL may be meant (a path may have a segment of that name), but most often its connection is refused.
    """
    last = urlsplit(endpoint).path.rstrip("/").rpartition("/")[2]
    if unquote(last) != client_id:
        return None
    return f"the URL ends in {client_id!r} already, and the identity is added to it: leave it out of the URL"


def without_query(url: str) -> str:
    """Return ``url`` without its query, which may have a token: for errors and logs."""
    return url.partition("?")[0]


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` without what ``secrets`` have: queries, and values of header fields.

    A server may repeat in a refusal what it was sent. Parts of fewer than four characters stay: they are no secrets,
    and any text may have them.
    """
    for secret in secrets:
        parts = {secret, *_PARTS.split(secret)}
        for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
            if len(part) >= 4 and part not in ("Basic", "Bearer"):
                text = text.replace(part, "...")
    return text


def host_and_port(url: str) -> Tuple[str, int]:
    """Return where a client connects to. Raises `UsageError` unless this is a ws:// or wss:// URL."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UsageError(f"not a ws:// or wss:// URL: {without_query(url)}")
    return parts.hostname, _PORTS[parts.scheme] if parts.port is None else parts.port


def place(url: str) -> str:
    """Return host and port of ``url``, for errors: "csms.example:443"."""
    parts = urlsplit(url)
    port = _PORTS.get(parts.scheme) if parts.port is None else parts.port
    host = parts.hostname or ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def endpoint_urls(url: object) -> Tuple[str, ...]:
    """Return the endpoint URLs that ``connect`` was given: one, or several. Raises `UsageError` for anything else."""
    urls = (url,) if isinstance(url, str) else tuple(url) if isinstance(url, (list, tuple)) else None
    if urls is None or not all(isinstance(each, str) for each in urls):
        # It is not repeated: a URL may have a token.
        raise UsageError(f"url is a text, not {type(url).__name__}; or a list of texts")
    if not urls:
        raise UsageError("url is an empty list: there is nothing to connect to")
    return urls


def can_be_encoded(text: str) -> bool:
    """Return whether ``text`` can be sent as UTF-8. The error is not passed on: its repr() has the whole text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
