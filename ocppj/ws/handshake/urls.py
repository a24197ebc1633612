"""Connection URLs, both ways: the URL of an identity, and the identity in a request's target. Pure.

The connection URL is the endpoint's URL, "/", and the percent-encoded identity (OCPP-J 1.6 section 3.1.1; Part 4
section 3.1.1). A server splits the path on "/" before it decodes: ``%2F`` is part of an identity.
"""

from __future__ import annotations

import re
from typing import Optional, Tuple
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit, urlunsplit

from ...errors import UsageError

__all__ = ["BadIdentity", "PathTemplate", "can_be_encoded", "connection_url", "split_target"]

_PLACEHOLDER = "{id}"
# Characters of an identity. 1.6 has no limit; 2.x allows 48, which its dialect checks. Each log line has the identity.
_LONGEST = 255
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNFIT = re.compile("[\x00-\x20\x7f]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class BadIdentity(ValueError):
    """The last segment of the path cannot be an identity."""


class PathTemplate:
    """The path of a server, such as ``/ocpp/{id}``. Raises `UsageError` unless it ends in ``/{id}``."""

    def __init__(self, template: str) -> None:
        prefix, slash, last = template.rpartition("/")
        if not template.startswith("/") or not slash or last != _PLACEHOLDER or "{" in prefix or "?" in prefix:
            raise UsageError(f"a path begins with '/' and ends in '/{_PLACEHOLDER}', no other braces: {template}")
        self.prefix = prefix
        self._segments = [unquote(segment) for segment in prefix.split("/")]

    def identity(self, target: str) -> Optional[str]:
        """Return the decoded identity of the request target; ``None`` for another path. Raises `BadIdentity`."""
        path, _ = split_target(target)
        *segments, last = path.split("/")
        try:
            if [_decode(segment) for segment in segments] != self._segments:
                return None
        except BadIdentity:
            return None
        identity = _decode(last)
        fault = _identity_fault(identity)
        if fault is not None:
            raise BadIdentity(f"the identity {fault}")
        return identity


def _decode(segment: str) -> str:
    """Decode one raw segment. Its characters are bytes, read as ISO 8859-1."""
    if _BAD_PERCENT.search(segment):
        raise BadIdentity("a percent sign that encodes nothing")
    try:
        return unquote_to_bytes(segment.encode("iso-8859-1")).decode("utf-8")
    except UnicodeError:
        raise BadIdentity("the identity is not UTF-8") from None


def _identity_fault(identity: str) -> Optional[str]:
    """Return why a text cannot be an identity, of whatever version; ``None`` when it can."""
    if not can_be_encoded(identity):
        return "has characters that cannot be sent"
    if not identity or _CONTROL.search(identity):
        return "is empty or has control characters"
    if identity in (".", ".."):  # a proxy may remove these from the path (RFC 3986 section 5.2.4)
        return f"cannot be {identity!r}"
    return f"has more than {_LONGEST} characters" if len(identity) > _LONGEST else None


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
    fault = _identity_fault(client_id)
    if fault is not None:
        raise UsageError(f"this identity cannot be used: it {fault}")
    path = parts.path.rstrip("/") + "/" + quote(client_id, safe="")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def can_be_encoded(text: str) -> bool:
    """Return whether ``text`` can be sent as UTF-8. The error is not passed on: its repr() has the whole text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
