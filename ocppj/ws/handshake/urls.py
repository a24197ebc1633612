"""Connection URLs and Basic credentials, both ways: who connects, and where to. Pure.

The connection URL is the endpoint's URL, "/", and the percent-encoded identity (OCPP-J 1.6 section 3.1.1; Part 4
section 3.1.1). A server splits the path on "/" before it decodes: ``%2F`` is part of an identity.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Callable, Dict, Mapping, Optional, Tuple, TypeVar, Union
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit, urlunsplit

from ...errors import TransportError, UsageError

__all__ = [
    "BadIdentity",
    "BasicAuthOption",
    "HeadersOption",
    "PathTemplate",
    "UpgradeFields",
    "basic_password",
    "client_headers",
    "connection_url",
    "split_target",
]

T = TypeVar("T")

Headers = Mapping[str, str]
#: User and password.
BasicAuth = Tuple[str, Union[str, bytes]]
#: What a client takes: either, or a function that is asked for it before each attempt to connect.
HeadersOption = Union[None, Headers, Callable[[], Optional[Headers]]]
BasicAuthOption = Union[None, BasicAuth, Callable[[], Optional[BasicAuth]]]

_PLACEHOLDER = "{id}"
_LONGEST = 255  # characters of an identity: 2.x allows 48, 1.6 does not say, and each log line has it
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_END = re.compile("[\r\n\0]")
#: What the handshake itself says, in lower case; so do all that begin with "sec-websocket-".
_OURS = ("connection", "content-length", "host", "transfer-encoding", "upgrade")
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

        Raises `BadIdentity` when the path is right and the identity cannot be one: empty, not UTF-8, with control
        characters, "." or ".." (which are no names in a URL, RFC 3986 section 5.2.4), or longer than 255 characters.
        """
        path, _ = split_target(target)
        *segments, last = path.split("/")
        try:
            if [_decode(segment) for segment in segments] != self._segments:
                return None
        except BadIdentity:
            return None
        identity = _decode(last)
        fault = _fault(identity)
        if fault is not None:
            raise BadIdentity(f"the identity {fault}")
        return identity


def _decode(segment: str) -> str:
    """Decode one raw segment, whose characters are bytes as ISO 8859-1 shows them."""
    if _BAD_PERCENT.search(segment):
        raise BadIdentity("a percent sign that encodes nothing")
    try:
        return unquote_to_bytes(segment.encode("iso-8859-1")).decode("utf-8")
    except UnicodeError:
        raise BadIdentity("the identity is not UTF-8") from None


def _fault(identity: str) -> Optional[str]:
    """Return why a text can be no identity; ``None``: it can."""
    if not identity or _CONTROL.search(identity):
        return "is empty or has control characters"
    if identity in (".", ".."):  # who forwards the request may leave them out of the path
        return f"cannot be {identity!r}"
    return f"has more than {_LONGEST} characters" if len(identity) > _LONGEST else None


def split_target(target: str) -> Tuple[str, str]:
    """Split a request target into raw path and query."""
    path, _, query = target.partition("?")  # first: what follows is no path, whatever it looks like
    if not path.startswith("/"):  # absolute form (RFC 9112 section 3.2.2)
        _, separator, rest = path.partition("://")
        if separator:
            path = "/" + rest.partition("/")[2]
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
    fault = _fault(client_id) if _encodes(client_id) else "has characters that cannot be sent"
    if fault is not None:
        raise UsageError(f"this identity cannot be used: it {fault}")
    path = parts.path.rstrip("/") + "/" + quote(client_id, safe="")
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


class UpgradeFields:
    """What a client adds to its upgrade requests: ``headers``, and ``basic_auth`` for their Authorization.

    Each may be a function that returns it: for a password that is changed (use case A01), or a token that expires.
    Raises `UsageError` when what is given cannot be sent.
    """

    def __init__(self, headers: HeadersOption, basic_auth: BasicAuthOption) -> None:
        now = client_headers(None if callable(headers) else headers, None if callable(basic_auth) else basic_auth)
        #: Whether there are credentials among them, as far as that is known.
        self.has_credentials = basic_auth is not None or "authorization" in map(str.lower, now)
        self._headers: HeadersOption = dict(headers) if isinstance(headers, Mapping) else headers
        self._basic_auth = basic_auth

    def user(self, expected: Optional[str]) -> Optional[str]:
        """Return the user of ``basic_auth``, ``None`` without it; ``expected`` when a function will say."""
        if callable(self._basic_auth):
            return expected
        return self._basic_auth[0] if self._basic_auth is not None else None

    def ask(self) -> Tuple[Dict[str, str], Optional[str]]:
        """Return the fields of one request, and the user of ``basic_auth``. Functions are called, on this thread.

        Raises `TransportError` when one of them fails, or returns what cannot be sent: it may do better next time.
        """
        headers, basic_auth = _ask("headers", self._headers), _ask("basic_auth", self._basic_auth)
        try:
            return client_headers(headers, basic_auth), basic_auth[0] if basic_auth is not None else None
        except UsageError as error:
            raise TransportError(f"cannot connect: {error}") from error


def _ask(name: str, option: Union[Optional[T], Callable[[], Optional[T]]]) -> Optional[T]:
    if not callable(option):
        return option
    try:
        return option()
    except Exception as error:
        raise TransportError(f"cannot connect: {name}() failed: {type(error).__name__}: {error}") from error


def client_headers(headers: Optional[Headers], basic_auth: Optional[BasicAuth]) -> Dict[str, str]:
    """Return the fields that a client adds to its upgrade request. Raises `UsageError` for one that cannot be sent.

    ``basic_auth`` is user and password. A 1.6 AuthorizationKey is its bytes, not its hex text (1.6 security
    whitepaper, profile 1), so the password may be bytes. Fields that the handshake itself sets are refused: said
    twice, they would mean one thing to the server and another to who is before it. No error repeats a value or a
    password.
    """
    if not isinstance(headers, (Mapping, type(None))):
        raise UsageError(f"headers are a mapping: texts by name, not {type(headers).__name__}")
    fields = dict(headers or {})
    for name, value in fields.items():
        _check_field(name, value, basic_auth is not None)
    if basic_auth is not None:
        fields["Authorization"] = _basic(basic_auth)
    return fields


def _check_field(name: str, value: str, basic_auth: bool) -> None:
    if not isinstance(name, str) or not isinstance(value, str) or not _FIELD_NAME.fullmatch(name):
        begin = _FIELD_NAME.match(name) if isinstance(name, str) else None
        raise UsageError(f"header fields are texts by name; one of them is not: {begin and begin.group()!r}...")
    if _FIELD_END.search(value) or not _encodes(value):
        raise UsageError(f"the header {name!r} cannot be sent")
    if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
        raise UsageError(f"the header {name!r} is set by the handshake itself")
    if basic_auth and name.lower() == "authorization":
        raise UsageError("the header 'Authorization' is given, and basic_auth as well")


def _basic(basic_auth: BasicAuth) -> str:
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
