"""Connection URLs and Basic credentials, both ways: who connects, and where to. Pure.

The connection URL is the endpoint's URL, "/", and the percent-encoded identity (OCPP-J 1.6 section 3.1.1; Part 4
section 3.1.1). A server splits the path on "/" before it decodes: ``%2F`` is part of an identity.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Dict, Mapping, Optional, Tuple, Union
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit, urlunsplit

from ..errors import UsageError

__all__ = ["BadIdentity", "PathTemplate", "basic_password", "client_headers", "connection_url", "split_target"]

_PLACEHOLDER = "{id}"
_LONGEST = 255  # characters of an identity: 2.x allows 48, 1.6 does not say, and each log line has it
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_END = re.compile("[\r\n\0]")
_UNFIT = re.compile("[\x00-\x20\x7f]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class BadIdentity(ValueError):
    """The last segment of the path cannot be an identity."""


class PathTemplate:
    """Where a server listens, such as ``/ocpp/{id}``. Raises `UsageError` unless it ends in ``/{id}``."""

    def __init__(self, template: str) -> None:
        prefix, slash, last = template.rpartition("/")
        if not template.startswith("/") or not slash or last != _PLACEHOLDER or "{" in prefix or "?" in prefix:
            raise UsageError(f"a path begins with '/' and ends in '/{_PLACEHOLDER}', no other braces: {template}")
        self.prefix = prefix
        self._segments = [unquote(segment) for segment in prefix.split("/")]

    def identity(self, target: str) -> Optional[str]:
        """Return the decoded identity of the request target, ``None`` when the path is not this one.

        Raises `BadIdentity` when the path is right and the identity cannot be one: empty, very long, not UTF-8, or with
        control characters.
        """
        path, _ = split_target(target)
        *segments, last = path.split("/")
        try:
            if [_decode(segment) for segment in segments] != self._segments:
                return None
        except BadIdentity:
            return None
        identity = _decode(last)
        if not identity or _CONTROL.search(identity):
            raise BadIdentity("the identity is empty or has control characters")
        if len(identity) > _LONGEST:
            raise BadIdentity(f"the identity has more than {_LONGEST} characters")
        return identity


def _decode(segment: str) -> str:
    """Decode one raw segment, whose characters are bytes as ISO 8859-1 shows them."""
    if _BAD_PERCENT.search(segment):
        raise BadIdentity("a percent sign that encodes nothing")
    try:
        return unquote_to_bytes(segment.encode("iso-8859-1")).decode("utf-8")
    except UnicodeError:
        raise BadIdentity("the identity is not UTF-8") from None


def split_target(target: str) -> Tuple[str, str]:
    """Split a request target into raw path and query."""
    if not target.startswith("/"):  # absolute form (RFC 9112 section 3.2.2)
        _, separator, rest = target.partition("://")
        if separator:
            target = "/" + rest.partition("/")[2]
    path, _, query = target.partition("?")
    return path, query


def connection_url(endpoint: str, client_id: str) -> str:
    """Return the URL that ``client_id`` connects to; the endpoint's query stays.

    Raises `UsageError`, which does not repeat the URL: there may be a password where none belongs.
    """
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        parts = None
    if parts is None:
        raise UsageError("the endpoint URL is malformed; it is host, or host:port with a number up to 65535")
    if parts.fragment or "@" in (parts.netloc or endpoint):
        raise UsageError("an endpoint URL has neither a fragment nor credentials: give the latter as an option")
    if _UNFIT.search(parts.path + parts.query) or not _encodes(endpoint):
        raise UsageError("the endpoint URL has characters that cannot be sent: percent-encode them")
    if not client_id or _CONTROL.search(client_id):
        raise UsageError("an identity cannot be empty or have control characters")
    path = parts.path.rstrip("/") + "/" + quote(client_id, safe="")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def client_headers(
    headers: Optional[Mapping[str, str]], basic_auth: Optional[Tuple[str, Union[str, bytes]]]
) -> Dict[str, str]:
    """Return the fields that a client adds to its upgrade request. Raises `UsageError` for one that cannot be sent.

    ``basic_auth`` is user and password. A 1.6 AuthorizationKey is its bytes, not its hex text (1.6 security
    whitepaper, profile 1), so the password may be bytes. No error repeats a value or a password.
    """
    fields = dict(headers or {})
    if basic_auth is not None:
        fields["Authorization"] = _basic(basic_auth)
    for name, value in fields.items():
        if not isinstance(name, str) or not isinstance(value, str) or not _FIELD_NAME.fullmatch(name):
            begin = _FIELD_NAME.match(name) if isinstance(name, str) else None
            raise UsageError(f"header fields are texts by name; one of them is not: {begin and begin.group()!r}...")
        if _FIELD_END.search(value) or not _encodes(value):
            raise UsageError(f"the header {name!r} cannot be sent")
    return fields


def _basic(basic_auth: Tuple[str, Union[str, bytes]]) -> str:
    """Return the value of an Authorization field (RFC 7617)."""
    if not isinstance(basic_auth, (tuple, list)) or len(basic_auth) != 2:
        raise UsageError("basic_auth is a pair: user and password")
    user, password = basic_auth
    if not isinstance(user, str) or not user or not _encodes(user):
        raise UsageError("the user of basic_auth is a text that is not empty")
    if isinstance(password, str) and _encodes(password):
        password = password.encode("utf-8")
    if not isinstance(password, bytes):
        raise UsageError("the password of basic_auth is a text or bytes")
    return "Basic " + base64.b64encode(user.encode("utf-8") + b":" + password).decode("ascii")


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # whose repr() has the whole text, hence it is not passed on
        return False
    return True


def basic_password(authorization: Optional[str], identity: str) -> Optional[bytes]:
    """Return the password that ``identity`` presents in the header; ``None`` when it presents none.

    The user name must equal the identity, and is cut off as a whole: in 1.6 it may contain ":".
    """
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        credentials = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    start = identity.encode("utf-8") + b":"
    return credentials[len(start) :] if credentials.startswith(start) else None
