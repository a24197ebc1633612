"""Header fields and Basic credentials of an upgrade request: what a client adds, and what a server reads. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress
from enum import Enum
from typing import Callable, Dict, List, Mapping, Optional, Tuple, TypeVar, Union

from ...callables import check_not_async
from ...errors import TransportError, UsageError
from ...interrupted import calls_program
from .urls import can_be_encoded

__all__ = [
    "BasicAuthOption",
    "Fault",
    "HeadersOption",
    "UpgradeFields",
    "basic_password",
    "client_headers",
    "secrets_of",
]

T = TypeVar("T")

HeaderFields = Mapping[str, str]
BasicAuth = Tuple[str, Union[str, bytes]]  #: User and password, the latter as bytes for a 1.6 AuthorizationKey.
#: The options of a client: a value, or a function that returns one and is called before each attempt to connect.
HeadersOption = Union[None, HeaderFields, Callable[[], Optional[HeaderFields]]]
BasicAuthOption = Union[None, BasicAuth, Callable[[], Optional[BasicAuth]]]

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BASIC = re.compile(r"(?i:basic)(?:(:)| |\Z)(.*)", re.DOTALL)  # "Basic Q1A6eA==", "Basic: Q1A6eA==", "Basic:Q1A6eA=="
_FIELD_END = re.compile("[\r\n\0]")
#: Fields that the handshake sets, in lower case. Names that begin with "sec-websocket-" belong to them.
_OURS = ("connection", "content-length", "host", "transfer-encoding", "upgrade")


class UpgradeFields:
    """The fields that a client adds to its upgrade requests. Raises `UsageError` for a value that cannot be sent."""

    def __init__(self, headers: HeadersOption, basic_auth: BasicAuthOption) -> None:
        check_not_async("headers", headers)
        check_not_async("basic_auth", basic_auth)
        now = client_headers(None if callable(headers) else headers, None if callable(basic_auth) else basic_auth)
        self.has_credentials: bool = basic_auth is not None or "authorization" in map(str.lower, now)
        self._headers: HeadersOption = dict(headers) if isinstance(headers, Mapping) else headers
        self._basic_auth = basic_auth

    def user(self, expected: Optional[str]) -> Optional[str]:
        """Return the user of ``basic_auth``: ``None`` without one, ``expected`` when only a function knows it."""
        if callable(self._basic_auth):
            return expected
        return self._basic_auth[0] if self._basic_auth is not None else None

    def ask(self) -> Tuple[Dict[str, str], Optional[str]]:
        """Return the fields of one request, and the user: call the functions. Raises `TransportError`."""
        headers, basic_auth = _ask("headers", self._headers), _ask("basic_auth", self._basic_auth)
        try:
            return client_headers(headers, basic_auth), basic_auth[0] if basic_auth is not None else None
        except UsageError as error:
            raise TransportError(str(error)) from error


@calls_program
def _ask(name: str, option: Union[Optional[T], Callable[[], Optional[T]]]) -> Optional[T]:
    if not callable(option):
        return option
    try:
        return option()
    except Exception as error:
        raise TransportError(f"{name}() failed: {type(error).__name__}: {error}") from error


def client_headers(headers: Optional[HeaderFields], basic_auth: Optional[BasicAuth]) -> Dict[str, str]:
    """Return the fields that a client adds to its upgrade request. Raises `UsageError` for one that cannot be sent.

    A field that the handshake sets is refused: a proxy could read one of the two values and the server the other. No
    error repeats a value or a password.
    """
    if not isinstance(headers, (Mapping, type(None))):
        raise UsageError(f"headers are a mapping: texts by name, not {type(headers).__name__}")
    fields = dict(headers or {})
    for name, value in fields.items():
        _check_field(name, value, basic_auth is not None)
    if basic_auth is not None:
        fields["Authorization"] = _basic(basic_auth)
    return fields


def secrets_of(fields: HeaderFields) -> List[str]:
    """Return what no error may show of ``fields``: their values, and the password of Basic credentials in the clear."""
    secrets = list(fields.values())
    for name, value in fields.items():
        if name.lower() == "authorization":
            with suppress(ValueError):  # no Basic credentials
                credentials = base64.b64decode(value.partition(" ")[2], validate=True).decode("utf-8", "replace")
                _, *rest = credentials.split(":")  # the user may have a ":", and the password too
                secrets += [":".join(rest), *rest]
    return secrets


def _check_field(name: str, value: str, basic_auth: bool) -> None:
    if not isinstance(name, str) or not isinstance(value, str) or not _FIELD_NAME.fullmatch(name):
        begin = _FIELD_NAME.match(name) if isinstance(name, str) else None
        raise UsageError(f"header fields are texts by name; one of them is not: {begin and begin.group()!r}...")
    if _FIELD_END.search(value) or not can_be_encoded(value):
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
    if not isinstance(user, str) or not user or not can_be_encoded(user):
        raise UsageError("the user of basic_auth is a text that is not empty")
    if isinstance(password, str) and can_be_encoded(password):
        password = password.encode("utf-8")
    if not isinstance(password, bytes):
        raise UsageError("the password of basic_auth is a text or bytes")
    return "Basic " + base64.b64encode(user.encode("utf-8") + b":" + password).decode("ascii")


class Fault(Enum):
    """Why an Authorization field has no password of an identity. The values are for the log."""

    NONE_GIVEN = "no Basic credentials of"
    MALFORMED = "malformed Basic credentials of"
    OTHER_IDENTITY = "Basic credentials of another identity than"


def basic_password(
    authorization: Optional[str], identity: str, lenient: bool = False
) -> Tuple[Optional[bytes], Optional[Fault]]:
    """Return the password of ``identity``, which may contain ":", in an Authorization field, or why there is none.

    With ``lenient`` a colon may follow the word "Basic", and the padding of the base64 may be missing or too long.
    """
    found = _BASIC.fullmatch((authorization or "").strip())
    if found is None:
        return None, Fault.NONE_GIVEN
    colon, encoded = found.group(1), found.group(2).strip()
    if colon and not lenient:
        return None, Fault.MALFORMED
    if lenient:
        encoded = encoded.rstrip("=")
        encoded += "=" * (-len(encoded) % 4)
    try:
        credentials = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None, Fault.MALFORMED
    if b":" not in credentials:
        return None, Fault.MALFORMED
    start = identity.encode("utf-8") + b":"
    if not credentials.startswith(start):
        return None, Fault.OTHER_IDENTITY
    return credentials[len(start) :], None
