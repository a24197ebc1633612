"""`ScriptedCSMS`: a central system that does what a test says."""

from __future__ import annotations

import threading
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import urlsplit

from ..clock import Clock
from ..dispatch.futures import CallFuture
from ..errors import UsageError
from ..exchange.passwords import PasswordsOption
from ..payloads.model import Payload
from ..rpc.features import Profile
from ..server import Server
from ..ws.handshake.refusal import Refusal
from ..ws.handshake.request import HandshakeRequest
from ..ws.memory import MemoryNetwork
from ..ws.options import ServerCoreOptions, ServerOptions
from .connections import WatchedMemoryServer, WatchedServer
from .pki import TestPKI
from .scripted import Peer, Scripted, profiles_of, split_options, versions_in
from .transcript import Transcript

__all__ = ["ScriptedCSMS"]


class _Station:
    """A station at the other end: the methods of the server, without its id."""

    def __init__(self, server: Server, client_id: str) -> None:
        self._server = server
        self._client_id = client_id

    def call(self, request: Payload, timeout: Optional[float] = None) -> Any:
        return self._server.call(self._client_id, request, timeout)

    def send_request(self, request: Payload, timeout: Optional[float] = None) -> CallFuture[Any]:
        return self._server.send_request(self._client_id, request, timeout)

    def send_raw(self, text: str) -> None:
        self._server.send_raw(self._client_id, text)

    def send_frame(self, opcode: int, data: bytes, fin: bool = True) -> None:
        self._server.send_frame(self._client_id, opcode, data, fin)

    def send_response(self, message_id: str, response: Payload) -> None:
        self._server.send_response(self._client_id, message_id, response)

    def send_error(
        self, message_id: str, code: Any, description: str = "", details: Optional[Mapping[str, Any]] = None
    ) -> None:
        self._server.send_error(self._client_id, message_id, code, description, details)

    def pause_reading(self) -> None:
        self._server.pause_reading(self._client_id)

    def resume_reading(self) -> None:
        self._server.resume_reading(self._client_id)


class _Refusals:
    """The handshakes that are to be refused. Thread-safe: each counts once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: List[Tuple[Optional[str], Refusal, Optional[int]]] = []  # id, how, how often

    def plan(self, client_id: Optional[str], refusal: Refusal, times: Optional[int]) -> None:
        with self._lock:
            self._planned.append((client_id, refusal, times))

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    def take(self, client_id: str) -> Optional[Refusal]:
        """Return how the next handshake of that station is refused, or ``None``."""
        with self._lock:
            return self._take(client_id)

    def _take(self, client_id: str) -> Optional[Refusal]:
        for index, (wanted, refusal, times) in enumerate(self._planned):
            if wanted in (None, client_id):
                if times == 1:
                    del self._planned[index]
                elif times is not None:
                    self._planned[index] = wanted, refusal, times - 1
                return refusal
        return None


class ScriptedCSMS(Scripted):
    """A central system that does what a test says, for tests of charge points. It listens from the beginning.

    ::

        with ScriptedCSMS() as csms:
            csms.reply(v16.BootNotificationRequest, pending, accepted)
            start_the_charge_point(csms.url)
            csms.expect(v16.BootNotificationRequest, within=10)

    Many stations may be connected. Where several are, ``id`` chooses one. See `Scripted` for the rest.

    Args:
        versions: The OCPP versions that it speaks, in the order of preference.
        port: 0 takes any free one.
        strict: Whether the test fails at its end if a station has broken rules.
        security_profile: 0 to 3 (1.6 security whitepaper section 2; 2.x Part 2 chapter A). 2 and 3 need sockets.
        host: The address to listen on.
        path: Where stations connect: see `Server.listen`.
        network: The network in memory where it listens. ``None``: it listens on TCP.
        clock: The source of time. A `ManualClock` needs a ``network``.
        pki: The certificates for the profiles 2 and 3. ``None``: new ones, which `pki` has then.
        passwords: The passwords of the stations by their id, or a function: see `Server.set_basic_auth_handler`.
            ``None``: with profile 1 and 2 any password is right.
        within: How long to wait for what is expected, in seconds.
        timeout_factor: What ``within`` is multiplied by: more than 1 on a slow machine.
        call_timeout: After so many seconds without an answer the other side may send its next CALL.
        profiles: What it speaks, in place of all messages of ``versions``.
        start: Whether to listen now. Without it: from `start` on.
        options: Further options of `Server`, those of its transport included.

    Attributes:
        server: The `Server`. Its handlers and observers may be used. Its handlers of requests come before scripts; its
            check of clients belongs to `refuse`.
        pki: The certificates, if there are any.

    Raises:
        UsageError: An argument cannot be used.
        TransportError: The address cannot be had.
    """

    def __init__(
        self,
        versions: Union[str, Iterable[str]] = ("1.6",),
        port: int = 0,
        *,
        strict: bool = True,
        security_profile: int = 0,
        host: str = "127.0.0.1",
        path: Union[str, Sequence[str]] = "/{id}",
        network: Optional[MemoryNetwork] = None,
        clock: Optional[Clock] = None,
        pki: Optional[TestPKI] = None,
        passwords: Optional[PasswordsOption] = None,
        within: float = 5.0,
        timeout_factor: float = 1.0,
        call_timeout: float = 10.0,
        profiles: Optional[Iterable[Profile]] = None,
        start: bool = True,
        **options: Any,
    ) -> None:
        spoken = (
            [each for version in versions_in(versions) for each in profiles_of(version)]
            if profiles is None
            else list(profiles)
        )
        super().__init__(
            profiles=spoken,
            strict=strict,
            within=within,
            timeout_factor=timeout_factor,
            call_timeout=call_timeout,
            clock=clock,
            network=network,
            transcript=Transcript("CSMS"),
        )
        self.pki = pki
        self._watched = self._make_transport(network, security_profile, options)
        self._watched.connections = self._connections
        self.server: Server = Server(profiles=spoken, ws_server=self._watched, clock=self.clock, **options)
        if security_profile in (1, 2) or passwords is not None:
            self.server.set_basic_auth_handler(_accept_any if passwords is None else passwords)
        self.server.add_observer(self.journal.add_frame)
        self.server.set_request_handler(self._make_player().handle)
        self._refusals = _Refusals()
        self.server.set_check_client_handler(self._check)
        self._address = port, path, host
        self._url: Optional[str] = None
        self._listening = False
        if start:
            self.start()

    def _make_transport(
        self, network: Optional[MemoryNetwork], profile: int, options: Dict[str, Any]
    ) -> Union[WatchedServer, WatchedMemoryServer]:
        """Return the transport. It takes its own options out of ``options``."""
        if network is not None:
            if profile not in (0, 1):
                raise UsageError(f"security_profile={profile} has TLS, which a MemoryNetwork has not")
            return WatchedMemoryServer(network, **split_options(options, Server, ServerOptions, ServerCoreOptions))
        taken: Any = split_options(options, Server, ServerOptions)
        if profile in (2, 3) and "ssl_context" not in taken:
            self.pki = TestPKI() if self.pki is None else self.pki
            taken["ssl_context"] = self.pki.server_context(require_client_certificate=profile == 3)
        return WatchedServer(security_profile=profile or None, **taken)

    @property
    def _endpoint(self) -> Server:
        return self.server

    @property
    def _transport(self) -> Union[WatchedServer, WatchedMemoryServer]:
        return self._watched

    def _peer(self, client_id: str) -> Peer:
        return _Station(self.server, client_id)

    @property
    def url(self) -> str:
        """The URL to which a station connects, without its id; with `down`, that of before."""
        if self._url is None:
            raise UsageError("the ScriptedCSMS has not listened yet: start() it")
        return self._url

    def __enter__(self) -> "ScriptedCSMS":
        return self.start()

    # Life cycle

    def start(self) -> "ScriptedCSMS":
        """Listen, unless it does. Raises `TransportError` when the address cannot be had."""
        if not self._listening:
            self.up()
        return self

    def up(self) -> None:
        """Listen again after `down`, on the same port.

        Raises:
            TransportError: The address cannot be had.
            UsageError: It listens already.
        """
        self._connections.allow()
        self._playing.begin()
        port, path, host = self._address
        self.server.listen(port, path, host)
        self._listening = True
        self._url = self.server.url
        self._address = urlsplit(self._url).port or port, path, host

    def down(self) -> None:
        """Cut all connections, and listen no more until `up`: as a central system that has crashed."""
        self._connections.cut_all()
        self._leave()

    def _leave(self) -> None:
        self._listening = False
        self.server.stop()

    def refuse(
        self, status: int, retry_after: Optional[float] = None, times: Optional[int] = 1, *, id: Optional[str] = None
    ) -> None:
        """Refuse the next handshakes. Those of `refuse` before come first.

        Args:
            status: The HTTP status, 300 to 599.
            retry_after: Seconds for the field Retry-After.
            times: How many handshakes are refused. ``None``: all from now on, until `accept`.
            id: The charging station. ``None``: any.

        Raises:
            UsageError: A value that cannot be sent.
        """
        if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
            raise UsageError(f"times is a number of handshakes, 1 at least, or None, not {times!r}")
        self._refusals.plan(id, Refusal(status, retry_after), times)

    def accept(self) -> None:
        """Refuse no handshake any more: what `refuse` has planned is taken back."""
        self._refusals.clear()

    def _check(self, request: HandshakeRequest) -> Union[bool, Refusal]:
        refusal = self._refusals.take(request.identity)
        if refusal is None:
            return True
        self.journal.add_event("REFUSED", request.identity, reason=str(refusal))
        return refusal


def _accept_any(client_id: str, password: bytes) -> bool:
    return True
