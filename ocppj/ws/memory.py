"""Transports without a network: for tests, the library's own and its users'.

::

    network = MemoryNetwork()
    server, client = network.server(), network.client()
    server.listen(0, "/ocpp/{id}", "csms", ["ocpp1.6"])
    client.connect(server.url, "CP_1", ["ocpp1.6"])

They take the options of `WebSocketServer` and `WebSocketClient` that have a meaning here, and behave in the same way.
The handshake runs on the thread that connects. Frames are never lost, and no thread waits for a slow peer.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Callable, Collection, Deque, Dict, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ..errors import HandshakeRefused, SubprotocolError, TransportError
from .checks import check_port
from .connecting.session import ClientCore, ConnectAttempt, Session
from .connection.wire import PeerClose, Take, Violation, Wire
from .handshake.credentials import BasicAuthOption, HeadersOption, UpgradeFields
from .handshake.http import BadRequest, Headers, parse_retry_after
from .handshake.urls import connection_url
from .limits import Handshakes
from .options import ClientCoreOptions, MemoryClientOptions, ServerCoreOptions
from .serving.registry import Run, ServerCore
from .stream.waiting import remaining

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["MemoryClient", "MemoryNetwork", "MemoryServer"]

_PING = object()
_PONG = object()


class _MemoryWire:
    """One end of a pipe: a `wire.Wire`, and its own `wire.WireStream`. What is sent reaches the other end at once."""

    unsent = False
    wants_write = False
    write_deadline = None

    def __init__(self, changed: threading.Condition, max_size: int) -> None:
        self.reader_ident: Optional[int] = None
        self.peer: "_MemoryWire" = self
        self._changed = changed  # shared by both ends; guards the fields below, of both
        self._max_size = max_size
        self._inbox: Deque[Any] = deque()
        self._close_sent = False
        self._cut = False
        self._notify: Callable[[], None] = lambda: None  # called without the lock when something has come
        self.received = 0  #: How many items were taken out of the inbox.

    @property
    def stream(self) -> "_MemoryWire":
        return self

    def flush(self) -> None:
        """Do nothing: nothing is ever buffered."""

    @property
    def outlet(self) -> None:
        """Return ``None``: nothing is ever buffered."""

    def fileno(self) -> int:
        """Return -1: there is no descriptor."""
        return -1

    def watch(self, notify: Callable[[], None]) -> bool:
        self._notify = notify
        return True

    def wait_readable(self, deadline: Optional[float]) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._inbox) or self._cut, remaining(deadline))

    def receive(self, take: Take) -> Optional[PeerClose]:
        while True:
            item = self._next()
            if item is None:
                return None
            if isinstance(item, PeerClose):
                self._put_control(PeerClose(item.code, ""), last=True)
                return item
            if item is _PING:
                self._put_control(_PONG)
            elif item is not _PONG:
                if len(item.encode("utf-8")) > self._max_size:
                    raise Violation(1009, f"a message has more than {self._max_size} bytes")
                take(item)

    def _next(self) -> Any:
        with self._changed:
            if self._inbox:
                self.received += 1
                return self._inbox.popleft()
            if self._cut:
                raise TransportError("the connection was lost")
            return None

    def discard(self) -> None:
        item = self._next()
        while item is not None:
            if isinstance(item, PeerClose):
                raise TransportError("the connection has ended")
            item = self._next()

    def send_text(self, text: str, wait: bool = True) -> bool:
        text.encode("utf-8")  # raises what a connection over a network would raise
        with self._changed:
            if self._close_sent or self._cut:
                raise TransportError("the connection is closed")
            self._put(text)
        self.peer._notify()
        return False

    def send_ping(self) -> bool:
        self._put_control(_PING)
        return False

    def send_close(self, code: int, reason: str) -> bool:
        self._put_control(PeerClose(code, reason), last=True)
        return False

    def end_writing(self) -> None:
        """Do nothing: the peer's Close is always found."""

    def shutdown(self) -> None:
        with self._changed:
            self._cut = self.peer._cut = True
            self._changed.notify_all()
        self._notify()
        self.peer._notify()

    close = shutdown

    def _put_control(self, item: Any, last: bool = False) -> None:
        with self._changed:
            if not self._close_sent:
                self._close_sent = last
                self._put(item)
        self.peer._notify()

    def _put(self, item: Any) -> None:
        """Put ``item`` into the peer's inbox. The condition is held."""
        if not self._cut:
            self.peer._inbox.append(item)
            self._changed.notify_all()


def _pipe(near_size: int, far_size: int) -> Tuple[_MemoryWire, _MemoryWire]:
    changed = threading.Condition()
    near, far = _MemoryWire(changed, near_size), _MemoryWire(changed, far_size)
    near.peer, far.peer = far, near
    return near, far


class MemoryNetwork:
    """Where in-memory servers and clients find each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ports = itertools.count(1)
        self._listeners: Dict[str, "_MemoryListener"] = {}  # by host:port

    def server(self, **options: Unpack[ServerCoreOptions]) -> "MemoryServer":
        """Return a server of this network. ``options`` are those of `MemoryServer`."""
        return MemoryServer(self, **options)

    def client(self, **options: Unpack[MemoryClientOptions]) -> "MemoryClient":
        """Return a client of this network. ``options`` are those of `MemoryClient`."""
        return MemoryClient(self, **options)

    def _listen(self, host: str, port: int, server: "MemoryServer", run: Run) -> "_MemoryListener":
        with self._lock:
            address = f"{host or 'localhost'}:{port or next(self._ports)}"
            if address in self._listeners:
                raise TransportError(f"cannot listen on {address}: address in use")
            listener = self._listeners[address] = _MemoryListener(self, address, server, run)
        return listener

    def _remove(self, listener: "_MemoryListener") -> None:
        with self._lock:
            if self._listeners.get(listener.address) is listener:
                del self._listeners[listener.address]

    def _find(self, address: str) -> "_MemoryListener":
        with self._lock:
            if address not in self._listeners:
                raise TransportError(f"cannot connect to {address}: nobody listens there")
            return self._listeners[address]


class _MemoryListener:
    """An address of a `MemoryNetwork` that a server listens on: a `registry.Listener`."""

    def __init__(self, network: MemoryNetwork, address: str, server: "MemoryServer", run: Run) -> None:
        self._network = network
        self.address = address
        self.server = server
        self.run = run
        self.url = f"memory://{address}{run.template.prefix}"

    def stop(self) -> None:
        self._network._remove(self)

    def join(self, deadline: float, exempt: Collection[int]) -> None:
        """Do nothing: there are no threads."""


class MemoryServer(ServerCore):
    """A `base.Server` in a `MemoryNetwork`. All its clients have one address, "memory". Attempts are not limited."""

    def __init__(self, network: MemoryNetwork, **options: Unpack[ServerCoreOptions]) -> None:
        options.setdefault("max_attempts_per_second", None)
        super().__init__(**options)
        self._network = network

    def listen(self, port: int, path: str, host: str, subprotocols: Sequence[str]) -> None:
        """Listen, and return: see `base.Server.listen`."""
        check_port(port)
        run = self._open_run(path, subprotocols, Handshakes())
        try:
            listener = self._network._listen(host, port, self, run)
        except TransportError:
            self._close_run(run)
            raise
        self._serve(run, listener)

    def _meet(self, run: Run, url: str, headers: Headers, max_size: int) -> Tuple[_MemoryWire, Optional[str]]:
        """Shake hands with a client; return its wire and subprotocol. Raises `BadRequest`."""
        parts = urlsplit(url)
        target = parts.path + ("?" + parts.query if parts.query else "")
        refusal = self.take_attempt()
        if refusal is not None:
            raise refusal
        near, far = _pipe(max_size, self._max_message_size)
        try:
            accepted = self._decide(run, target, headers, "memory")
            if accepted.effective is None:
                self._note_no_subprotocol(accepted)
                return near, accepted.subprotocol
            channel = self.make_channel(run, accepted, far)
            channel.claim_reading()
            self._register(run, channel)
        except BadRequest as error:
            self.note_refusal("memory", error)
            raise
        try:
            self.handlers.call_connected(channel)
        finally:
            channel.begin()
        return near, accepted.subprotocol


class MemoryClient(ClientCore):
    """A `base.Client` in a `MemoryNetwork`."""

    def __init__(
        self,
        network: MemoryNetwork,
        *,
        headers: HeadersOption = None,
        basic_auth: BasicAuthOption = None,
        **options: Unpack[ClientCoreOptions],
    ) -> None:
        super().__init__(**options)
        self._network = network
        self._fields = UpgradeFields(headers, basic_auth)

    def open_wire(self, session: Session, attempt: ConnectAttempt) -> Tuple[Wire, str, str]:
        url = connection_url(session.url, session.client_id)
        listener = self._network._find(urlsplit(url).netloc)
        fields, _ = self._fields.ask()
        headers = Headers([*fields.items(), ("Sec-WebSocket-Protocol", ", ".join(session.subprotocols))])
        try:
            wire, subprotocol = listener.server._meet(listener.run, url, headers, self._max_message_size)
        except BadRequest as refused:
            phrase, retry_after = HTTPStatus(refused.status).phrase, parse_retry_after(Headers(refused.headers))
            raise HandshakeRefused(refused.status, phrase, retry_after) from refused
        if subprotocol is None:
            raise SubprotocolError(f"the server chose none of {', '.join(session.subprotocols)}")
        return wire, subprotocol, urlsplit(url).netloc
