"""`ScriptedStation`: a charge point that does what a test says."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Optional, Union

from ..client import Client
from ..clock import Clock
from ..errors import UsageError
from ..payloads.model import Payload
from ..rpc.features import Profile
from ..ws.memory import MemoryNetwork
from ..ws.options import ClientOptions, MemoryClientOptions
from .connections import WatchedClient, WatchedMemoryClient
from .pki import TestPKI
from .scripted import Peer, Scripted, profiles_of, split_options
from .transcript import Transcript

__all__ = ["ScriptedStation"]


class ScriptedStation(Scripted):
    """A charge point that does what a test says, for tests of central systems. It connects at once.

    ::

        with ScriptedStation(url, "CP_1") as station:
            station.reply(v16.ResetRequest, v16.ResetResponse(status="Rejected"))
            station.call(v16.BootNotificationRequest("Acme", "One"))
            station.expect(v16.ResetRequest)

    A connection that is lost is made again, unless ``reconnect`` is false. See `Scripted` for the rest; ``id`` of its
    methods need not be given.

    Args:
        url: Where the central system listens, without the identity.
        id: The identity.
        version: The OCPP version that it speaks.
        strict: Whether the test fails at its end if the central system has broken rules.
        network: The network in memory where it connects. ``None``: it connects over TCP.
        clock: The source of time. A `ManualClock` needs a ``network``.
        security_profile: 0 to 3 (1.6 security whitepaper section 2; 2.x Part 2 chapter A). 2 and 3 need sockets.
        pki: The certificates for the profiles 2 and 3.
        password: That of Basic authentication, for the profiles 1 and 2. As bytes it is sent as it is.
        within: How long to wait for what is expected, in seconds.
        timeout_factor: What ``within`` is multiplied by: more than 1 on a slow machine.
        call_timeout: After so many seconds without an answer the other side may send its next CALL.
        profiles: What it speaks, in place of all messages of ``version``.
        start: Whether to connect now. Without it: from `start` on, so that scripts may be written before.
        options: Further options of `Client`, those of its transport included.

    Attributes:
        client: The `Client`. Its handlers and observers may be used. Its handlers of requests come before scripts.
        id: The identity.

    Raises:
        UsageError: An argument cannot be used.
        TransportError: The connection cannot be made.
    """

    def __init__(
        self,
        url: str,
        id: str,
        version: str = "1.6",
        *,
        strict: bool = True,
        network: Optional[MemoryNetwork] = None,
        clock: Optional[Clock] = None,
        security_profile: int = 0,
        pki: Optional[TestPKI] = None,
        password: Union[str, bytes, None] = None,
        within: float = 5.0,
        timeout_factor: float = 1.0,
        call_timeout: float = 10.0,
        profiles: Optional[Iterable[Profile]] = None,
        start: bool = True,
        **options: Any,
    ) -> None:
        spoken = list(profiles_of(version) if profiles is None else profiles)
        super().__init__(
            profiles=spoken,
            strict=strict,
            within=within,
            timeout_factor=timeout_factor,
            call_timeout=call_timeout,
            clock=clock,
            network=network,
            transcript=Transcript(id, peer="CSMS"),
            peer="the CSMS",
        )
        self.url = url
        self.id = id
        self.pki = pki
        if password is not None:
            options.setdefault("basic_auth", (id, password))
        self._reconnect = bool(options.get("reconnect", True))
        self._watched = self._make_transport(network, security_profile, options)
        self._watched.connections = self._connections
        self.client: Client = Client(id, profiles=spoken, ws_client=self._watched, clock=self.clock, **options)
        self.client.add_observer(self.journal.add_frame)
        player = self._make_player()

        def handle(request: Payload, message_id: str, action: str) -> Any:
            return player.handle(id, request, message_id, action)

        self.client.set_request_handler(handle)
        self._is_up = False
        if start:
            self.start()

    def _make_transport(
        self, network: Optional[MemoryNetwork], profile: int, options: Dict[str, Any]
    ) -> Union[WatchedClient, WatchedMemoryClient]:
        """Return the transport. It takes its own options out of ``options``."""
        if network is not None:
            if profile not in (0, 1):
                raise UsageError(f"security_profile={profile} has TLS, which a MemoryNetwork has not")
            taken = split_options(options, Client, ClientOptions, MemoryClientOptions)
            return WatchedMemoryClient(network, clock=self.clock, **taken)
        taken = split_options(options, Client, ClientOptions)
        if profile in (2, 3) and self.pki is not None:
            taken.setdefault("ssl_context", self.pki.client_context(self.id if profile == 3 else None))
        return WatchedClient(clock=self.clock, security_profile=profile or None, **taken)

    @property
    def _endpoint(self) -> Client:
        return self.client

    @property
    def _transport(self) -> Union[WatchedClient, WatchedMemoryClient]:
        return self._watched

    def _peer(self, client_id: str) -> Peer:
        return self.client

    def _one(self, id: Optional[str]) -> str:
        if id not in (None, self.id):
            raise UsageError(f"this is the station {self.id!r}, not {id!r}")
        return self.id

    _all = _one

    def __enter__(self) -> "ScriptedStation":
        return self.start()

    # Life cycle

    def start(self) -> "ScriptedStation":
        """Connect, unless it has. Raises `TransportError` when the connection cannot be made."""
        if not self._is_up:
            self.up()
        return self

    def up(self) -> None:
        """Connect, as after `down`.

        Raises:
            TransportError: The connection cannot be made.
            UsageError: It is up already.
        """
        self._connections.allow()
        self._playing.begin()
        self._watched.reconnect = self._reconnect
        self.client.connect(self.url)
        self._is_up = True

    def down(self) -> None:
        """Cut the connection, and make none until `up`: as a charge point without power."""
        self._watched.reconnect = False
        self._connections.cut_all()
        self._leave()

    def _leave(self) -> None:
        self._is_up = False
        self.client.stop()
