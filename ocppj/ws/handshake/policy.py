"""Which clients a server accepts. Pure: no sockets, no threads; the same for real and in-memory servers.

`HandshakePolicy.decide` checks in this order, and the first failed check is the answer: the path (404), the identity's
form (400), and by handlers: the origin (403), the identity (404, OCPP-J 1.6 section 3.2), the certificate (401), Basic
credentials (401; both: see `proofs`); then the subprotocol (101 and Close 1002, or 400). With a ``security_profile`` a
client needs what the profile demands, whatever handlers are set.

A client certificate that TLS has verified must name the identity: as a commonName of its subject (1.6 security
whitepaper and Part 2, A00.FR.405) or as a DNS name among its subjectAltNames. A handler replaces that check.

A handler accepts with ``True`` and nothing else. Any false value refuses, and so does a `Refusal` that it returns or
raises, with the status in it. Any other value (a status, a future, a
coroutine) is a mistake that would accept every client: it refuses with 500, and so does an exception. Secrets are never
logged.

``handshake="lenient"`` reads what some chargers send wrong: no ``Connection`` field, "Basic:" with a colon, base64
without its padding, and a subprotocol in another case or with a tail (see `near_subprotocol`).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

from ...callables import raise_interrupt
from ...errors import UsageError
from ...interrupted import calls_program
from ...log_limit import LimitedLog
from ...settings import get_part_logger
from ..limits import source_of
from .credentials import Fault, basic_password
from .http import ONCE, BadRequest, Headers, RequestHead
from .identities import BadIdentity, Identification
from .proofs import CertificateCheck, CredentialsCheck, answer, check_proofs
from .refusal import Refusal
from .request import HandshakeRequest
from .urls import split_target, unseen_fault
from .wrong_passwords import WrongPasswords

__all__ = [
    "Accepted", "Demands", "HandshakePolicy", "HandshakeRequest", "choose_subprotocol", "near_subprotocol",
    "websocket_headers",
]  # fmt: skip

_SHOWN = 100  # characters of a wrong path in the log
# What may follow the name of a subprotocol: a token (RFC 6455 section 4.1), but no digit: "ocpp1.60" is no "ocpp1.6".
_TAIL = re.compile(r"(?:[!#$%&'*+.^_`|~A-Za-z-][!#$%&'*+.^_`|~0-9A-Za-z-]*)?")


@dataclass(frozen=True)
class Accepted:
    """A handshake that goes on, to the header's and the channel's subprotocol. If both are ``None``, close at once."""

    request: HandshakeRequest
    subprotocol: Optional[str]
    effective: Optional[str]
    arrival: int = 0  # the number of this handshake in its `registry.Run`


ClientCheck = Callable[[HandshakeRequest], Union[bool, Refusal]]
OriginCheck = Callable[[Optional[str]], Union[bool, Refusal]]
#: A profile, or a function that returns that of a client.
ProfileOption = Union[int, None, Callable[[HandshakeRequest], Optional[int]]]


@dataclass(frozen=True)
class Demands:
    """What is demanded of a client by the address where it came in.

    ``certificates_optional``: TLS asks for certificates of clients there, and lets them go without.
    """

    security_profile: ProfileOption = None
    certificates_optional: bool = False


class HandshakePolicy:
    """The options and check handlers of a server."""

    def __init__(
        self,
        *,
        no_subprotocol: str = "close",
        default_subprotocol: Optional[str] = None,
        prefer: str = "client",
        handshake: str = "strict",
        plain_identities: bool = False,
    ) -> None:
        if no_subprotocol == "default" and default_subprotocol is None:
            raise UsageError("no_subprotocol='default' needs a default_subprotocol")
        self.log: LimitedLog = LimitedLog(partial(get_part_logger, "ws"))  # a server gives it its own
        self._no_subprotocol = no_subprotocol
        self._default_subprotocol = default_subprotocol
        self._prefer_server = prefer == "server"
        self.lenient: bool = handshake == "lenient"
        self._plain_identities = plain_identities
        self.demands: Demands = Demands()  # of clients that come in where nothing else is demanded
        self.check_client: Optional[ClientCheck] = None
        self.check_certificate: Optional[CertificateCheck] = None
        self.check_credentials: Optional[CredentialsCheck] = None
        self.check_origin: Optional[OriginCheck] = None
        self.wrong_passwords: Optional[WrongPasswords] = None  # slows clients that guess
        #: Says how the handshake of a client that passed all checks goes on, in place of the rules for subprotocols:
        #: that of a proxy asks the central system. It may raise `BadRequest`.
        self.negotiate: Optional[Callable[[HandshakeRequest], Accepted]] = None

    def decide(
        self,
        identification: Identification,
        supported: Sequence[str],
        target: str,
        headers: Headers,
        remote_address: str,
        peer_certificate: Optional[Mapping[str, Any]] = None,
        demands: Optional[Demands] = None,
    ) -> Accepted:
        """Return how the handshake goes on. Raises `BadRequest` to refuse it."""
        path, query = split_target(target)
        request = HandshakeRequest(
            identity="",
            path=path,
            query=query,
            headers=headers,
            remote_address=remote_address,
            subprotocols=tuple(headers.tokens("Sec-WebSocket-Protocol")),
            peer_certificate=peer_certificate,
        )
        request = _identified(self.log, identification, request)
        try:
            users = identification.users(request)
            return self._decide(request, users, supported, self.demands if demands is None else demands)
        except BadRequest as error:
            error.identity = request.identity
            raise

    def _decide(
        self, request: HandshakeRequest, users: Sequence[str], supported: Sequence[str], demands: Demands
    ) -> Accepted:
        """Return how the handshake of a client whose identity is known goes on. Raises `BadRequest`."""
        if self._plain_identities:
            _check_plain(request)
        authorization = request.headers.get("Authorization")
        read = [basic_password(authorization, user, self.lenient) for user in users]
        password, fault = next((each for each in read if each[1] is not Fault.OTHER_IDENTITY), read[0])
        request = replace(request, password=password)
        try:
            self._check(request, fault, demands)
        except BadRequest:
            raise
        except Refusal as refusal:
            raise refusal.as_bad_request() from None
        except BaseException as error:
            self.log.exception("%s: a check of this client failed", request.identity)
            raise_interrupt(error)
            raise BadRequest(500, "internal error") from None
        return self._negotiate(request, supported)

    @calls_program
    def _check(self, request: HandshakeRequest, fault: Optional[Fault], demands: Demands) -> None:
        check_origin, check_client = self.check_origin, self.check_client  # another thread may take them away
        if check_origin is not None and not answer(check_origin(request.headers.get("Origin"))):
            raise BadRequest(403, "this origin is not allowed")
        if check_client is not None and not answer(check_client(request)):
            raise BadRequest(404, f"unknown client {request.identity!r}")
        profile, stands_in = demands.security_profile, demands.certificates_optional
        if callable(profile):
            profile = profile(request)
            stands_in = stands_in or profile == 3
        check_proofs(request, fault, profile, self.check_certificate, self._guarded_check(request), stands_in)

    def _guarded_check(self, request: HandshakeRequest) -> Optional[CredentialsCheck]:
        """Return the check of credentials, which slows guesses; ``None`` when no passwords are set up."""
        check, guard = self.check_credentials, self.wrong_passwords
        if check is None or guard is None:
            return check
        source = source_of(request.remote_address)

        def guarded(identity: str, password: bytes) -> bool:
            @calls_program
            def ask() -> bool:
                return answer(check(identity, password))

            return guard.check(identity, source, ask)

        return guarded

    def _negotiate(self, request: HandshakeRequest, supported: Sequence[str]) -> Accepted:
        if self.negotiate is not None:
            return self.negotiate(request)
        offered = request.subprotocols
        chosen = choose_subprotocol(offered, supported, self._prefer_server)
        if chosen is not None:
            return Accepted(request, chosen, chosen)
        near = near_subprotocol(offered, supported, self._prefer_server) if self.lenient else None
        if near is not None:
            return Accepted(request, *near)
        if self._default_subprotocol is not None and (not offered or self._no_subprotocol == "default"):
            return Accepted(request, None, self._default_subprotocol)
        if self._no_subprotocol == "reject":
            what = "no common subprotocol; this server speaks " + ", ".join(supported)
            raise BadRequest(400, what, kind="no_subprotocol")
        return Accepted(request, None, None)

    def check_default(self, supported: Sequence[str]) -> None:
        """Raise `UsageError` for a ``default_subprotocol`` that is not one of ``supported``."""
        default = self._default_subprotocol
        if default is not None and default not in supported:
            raise UsageError(f"the default_subprotocol {default!r} is not one of {', '.join(supported) or 'none'}")


def _identified(log: LimitedLog, identification: Identification, request: HandshakeRequest) -> HandshakeRequest:
    """Return ``request`` with its identity. Raises `BadRequest`."""
    try:
        identified = identification.identify(request)
    except BadIdentity as error:
        raise BadRequest(400, str(error)) from None
    except Refusal as refusal:
        raise refusal.as_bad_request() from None
    except BaseException as error:  # that of a program's own function
        log.exception("%s: identify() failed", request.remote_address, source=source_of(request.remote_address))
        raise_interrupt(error)
        raise BadRequest(500, "internal error") from None
    if identified is None:
        path = request.path
        shown = path if len(path) <= _SHOWN else path[:_SHOWN] + "..."
        raise BadRequest(404, f"no client connects to {shown!r}", kind="unknown_path")
    return identified


def _check_plain(request: HandshakeRequest) -> None:
    """Raise `BadRequest` if the identity, or another value of the path, has characters that do not show."""
    for name, value in {"identity": request.identity, **request.values}.items():
        fault = unseen_fault(value)
        if fault is not None:
            raise BadRequest(400, f"the {name} {fault}")


def choose_subprotocol(offered: Sequence[str], supported: Sequence[str], prefer_server: bool = False) -> Optional[str]:
    """Return the first subprotocol of the client's list, or of the server's, that the other side has as well."""
    first, other = (supported, offered) if prefer_server else (offered, supported)
    return next((subprotocol for subprotocol in first if subprotocol in other), None)


def near_subprotocol(
    offered: Sequence[str], supported: Sequence[str], prefer_server: bool = False
) -> Optional[Tuple[str, str]]:
    """Return the first subprotocol offered that is nearly one supported, as it was written, and the one supported.

    It may be in another case, and have a tail: ``OCPP1.6``, ``ocpp1.6J``, ``ocpp2.0.1.1``. The peer gets its own
    spelling back: it looks for it in its list (RFC 6455 section 4.1).
    """
    pairs = [(theirs, ours) for theirs in offered for ours in supported if _is_near(theirs, ours)]
    if prefer_server:
        pairs.sort(key=lambda pair: supported.index(pair[1]))
    return pairs[0] if pairs else None


def _is_near(theirs: str, ours: str) -> bool:
    same = theirs[: len(ours)].lower() == ours.lower()
    return same and _TAIL.fullmatch(theirs, len(ours)) is not None


def websocket_headers(head: RequestHead, compression: bool, lenient: bool = False) -> Dict[str, str]:
    """Return the fields that make ``head`` an upgrade to WebSocket (RFC 6455 section 4.2.1). Raises `BadRequest`.

    With ``lenient`` the ``Connection`` field may be missing: the ``Upgrade`` says what is wanted.
    """
    headers = head.headers
    if head.method != "GET":
        raise BadRequest(405, "only GET can be upgraded", [("Allow", "GET")])
    if head.version != "1.1" or "Host" not in headers:
        raise BadRequest(400, "HTTP/1.1 with a Host field is needed")
    if not headers.repeated.isdisjoint(ONCE):
        raise BadRequest(400, f"there may be one only of each of these fields: {', '.join(ONCE)}")
    if headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers:
        raise BadRequest(400, "no body is expected")
    if "websocket" not in [token.lower() for token in headers.tokens("Upgrade")]:
        raise BadRequest(426, "this is a WebSocket endpoint", [("Upgrade", "websocket"), ("Connection", "Upgrade")])
    excused = lenient and "Connection" not in headers
    if not excused and "upgrade" not in [token.lower() for token in headers.tokens("Connection")]:
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
