"""Which clients a server accepts. Pure: no sockets, no threads; the same for real and in-memory servers.

`HandshakePolicy.decide` checks in this order, and the first failed check is the answer: the path (404), the identity's
form (400), and by handlers: the origin (403), the identity (404, OCPP-J 1.6 section 3.2), the certificate (401), Basic
credentials (401); then the subprotocol (101 and Close 1002, or 400). With a ``security_profile`` a client needs what
the profile demands, whatever handlers are set.

A client certificate that TLS has verified must name the identity: as a commonName of its subject (1.6 security
whitepaper and Part 2, A00.FR.405) or as a DNS name among its subjectAltNames. A handler replaces that check.

A handler accepts with ``True`` and nothing else. Any false value refuses. Any other value (a status, a future, a
coroutine) is a mistake that would accept every client: it refuses with 500, and so does an exception. Secrets are never
logged.
"""

from __future__ import annotations

import base64
import binascii
import inspect
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from ...errors import UsageError
from ...settings import get_logger
from .credentials import basic_password
from .http import BadRequest, Headers, RequestHead
from .urls import BadIdentity, PathTemplate, split_target

__all__ = ["Accepted", "HandshakePolicy", "HandshakeRequest", "choose_subprotocol", "websocket_headers"]

_REALM = (("WWW-Authenticate", 'Basic realm="ocppj", charset="UTF-8"'),)
# A 401 has to have a challenge (RFC 9110 section 15.5.2); no scheme is registered for certificates.
_CERTIFICATE = (("WWW-Authenticate", 'Certificate realm="ocppj"'),)
_SHOWN = 100  # characters of a wrong path in the log
# Fields that must not be repeated: a proxy may have used another of the values (RFC 9112 section 3.2, RFC 9110 5.3).
_ONCE = ("host", "authorization", "origin")


@dataclass(frozen=True)
class HandshakeRequest:
    """A client that wants to connect, as the check handlers see it.

    ``identity`` is decoded, ``path`` is raw, ``query`` is the endpoint's. ``peer_certificate`` is the result of
    `ssl.SSLSocket.getpeercert`: ``None`` without TLS or certificate, empty when it was not verified.
    """

    identity: str
    path: str
    query: str = field(repr=False)  # it may have a token
    headers: Mapping[str, str]
    remote_address: str
    subprotocols: Tuple[str, ...]
    peer_certificate: Optional[Mapping[str, Any]] = None
    password: Optional[bytes] = field(default=None, repr=False)

    def subject(self, attribute: str) -> Tuple[str, ...]:
        """Return the values of one attribute of the certificate's subject, such as ``"organizationName"``."""
        names = (self.peer_certificate or {}).get("subject", ())
        return tuple(value for name in names for key, value in name if key == attribute)

    @property
    def certificate_matches(self) -> bool:
        """Whether there is a verified certificate that names the identity."""
        others = (self.peer_certificate or {}).get("subjectAltName", ())
        return self.identity in (*self.subject("commonName"), *(value for kind, value in others if kind == "DNS"))


@dataclass(frozen=True)
class Accepted:
    """A handshake that goes on, to the header's and the channel's subprotocol. If both are ``None``, close at once."""

    request: HandshakeRequest
    subprotocol: Optional[str]
    effective: Optional[str]
    arrival: int = 0  # the number of this handshake in its `registry.Run`


ClientCheck = Callable[[HandshakeRequest], bool]
CertificateCheck = Callable[[HandshakeRequest], bool]
CredentialsCheck = Callable[[str, bytes], bool]
OriginCheck = Callable[[Optional[str]], bool]


class HandshakePolicy:
    """The options and check handlers of a server."""

    def __init__(
        self, *, no_subprotocol: str = "close", default_subprotocol: Optional[str] = None, prefer: str = "client"
    ) -> None:
        if no_subprotocol not in ("close", "reject"):
            raise UsageError(f"no_subprotocol is 'close' or 'reject', not {no_subprotocol!r}")
        if prefer not in ("client", "server"):
            raise UsageError(f"prefer is 'client' or 'server', not {prefer!r}")
        self._no_subprotocol = no_subprotocol
        self._default_subprotocol = default_subprotocol
        self._prefer_server = prefer == "server"
        self.security_profile: Optional[int] = None
        self.check_client: Optional[ClientCheck] = None
        self.check_certificate: Optional[CertificateCheck] = None
        self.check_credentials: Optional[CredentialsCheck] = None
        self.check_origin: Optional[OriginCheck] = None

    def decide(
        self,
        template: PathTemplate,
        supported: Sequence[str],
        target: str,
        headers: Headers,
        remote_address: str,
        peer_certificate: Optional[Mapping[str, Any]] = None,
    ) -> Accepted:
        """Return how the handshake goes on. Raises `BadRequest` to refuse it."""
        try:
            identity = template.identity(target)
        except BadIdentity as error:
            raise BadRequest(400, str(error)) from None
        path, query = split_target(target)
        if identity is None:
            shown = path if len(path) <= _SHOWN else path[:_SHOWN] + "..."
            raise BadRequest(404, f"no client connects to {shown!r}", kind="unknown_path")
        request = HandshakeRequest(
            identity=identity,
            path=path,
            query=query,
            headers=headers,
            remote_address=remote_address,
            subprotocols=tuple(headers.tokens("Sec-WebSocket-Protocol")),
            peer_certificate=peer_certificate,
            password=basic_password(headers.get("Authorization"), identity),
        )
        try:
            self._check(request)
        except BadRequest:
            raise
        except BaseException:
            get_logger().exception("a check of the client %r failed", identity)
            raise BadRequest(500, "internal error") from None
        return self._negotiate(request, supported)

    def _check(self, request: HandshakeRequest) -> None:
        if self.check_origin is not None and not _answer(self.check_origin(request.headers.get("Origin"))):
            raise BadRequest(403, "this origin is not allowed")
        if self.check_client is not None and not _answer(self.check_client(request)):
            raise BadRequest(404, f"unknown client {request.identity!r}")
        if not self._certificate_is_right(request):
            which = "the certificate is not one" if request.peer_certificate else "no verified certificate"
            raise BadRequest(401, f"{which} of {request.identity!r}", _CERTIFICATE, kind="certificate")
        if not self._credentials_are_right(request):
            which = "no Basic credentials" if request.password is None else "wrong credentials"
            raise BadRequest(401, f"{which} of {request.identity!r}", _REALM)

    def _certificate_is_right(self, request: HandshakeRequest) -> bool:
        check = self.check_certificate
        if not request.peer_certificate and (check is None or self.security_profile == 3):
            return self.security_profile != 3
        return _answer(check(request)) if check is not None else request.certificate_matches

    def _credentials_are_right(self, request: HandshakeRequest) -> bool:
        check = self.check_credentials
        if check is None:
            return self.security_profile not in (1, 2)
        return request.password is not None and _answer(check(request.identity, request.password))

    def _negotiate(self, request: HandshakeRequest, supported: Sequence[str]) -> Accepted:
        chosen = choose_subprotocol(request.subprotocols, supported, self._prefer_server)
        if chosen is not None:
            return Accepted(request, chosen, chosen)
        if not request.subprotocols and self._default_subprotocol is not None:
            return Accepted(request, None, self._default_subprotocol)
        if self._no_subprotocol == "reject":
            what = "no common subprotocol; this server speaks " + ", ".join(supported)
            raise BadRequest(400, what, kind="no_subprotocol")
        return Accepted(request, None, None)


def _answer(answer: Any) -> bool:
    """Return the answer of a check handler. Raises ``TypeError`` for a true value other than ``True``."""
    if answer is True or not answer:
        return answer is True
    if inspect.iscoroutine(answer):
        answer.close()  # else Python warns that it was never awaited
    raise TypeError(f"a check handler returned {type(answer).__name__}, not True or False")


def choose_subprotocol(offered: Sequence[str], supported: Sequence[str], prefer_server: bool = False) -> Optional[str]:
    """Return the first subprotocol of the client's list, or of the server's, that the other side has as well."""
    first, other = (supported, offered) if prefer_server else (offered, supported)
    return next((subprotocol for subprotocol in first if subprotocol in other), None)


def websocket_headers(head: RequestHead, compression: bool) -> Dict[str, str]:
    """Return the fields that make ``head`` an upgrade to WebSocket (RFC 6455 section 4.2.1). Raises `BadRequest`."""
    headers = head.headers
    if head.method != "GET":
        raise BadRequest(405, "only GET can be upgraded", [("Allow", "GET")])
    if head.version != "1.1" or "Host" not in headers:
        raise BadRequest(400, "HTTP/1.1 with a Host field is needed")
    if not headers.repeated.isdisjoint(_ONCE):
        raise BadRequest(400, f"there may be one only of each of these fields: {', '.join(_ONCE)}")
    if headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers:
        raise BadRequest(400, "no body is expected")
    if "websocket" not in [token.lower() for token in headers.tokens("Upgrade")]:
        raise BadRequest(426, "this is a WebSocket endpoint", [("Upgrade", "websocket"), ("Connection", "Upgrade")])
    if "upgrade" not in [token.lower() for token in headers.tokens("Connection")]:
        raise BadRequest(400, "'Connection: Upgrade' is missing")
    if headers.get("Sec-WebSocket-Version") != "13":
        raise BadRequest(426, "WebSocket version 13 is needed", [("Sec-WebSocket-Version", "13")])
    key = headers.get("Sec-WebSocket-Key", "")
    if not _is_key(key):
        raise BadRequest(400, "the Sec-WebSocket-Key is no key")
    names = ["Sec-WebSocket-Protocol"] + (["Sec-WebSocket-Extensions"] if compression else [])
    fields = {name: headers[name] for name in names if name in headers}
    return {"Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13", **fields}


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
