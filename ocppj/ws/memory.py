"""Transports without a network: for tests, the library's own and its users'.

::

    network = MemoryNetwork()
    server, client = network.server(), network.client()
    server.listen(0, "/ocpp/{id}", "csms", ["ocpp1.6"])
    client.connect(server.url, "CP_1", ["ocpp1.6"])

They take the options of `WebSocketServer` and `WebSocketClient` that have a meaning here, and behave in the same way.
The handshake runs on the thread that connects. Frames are never lost. A thread waits for a slow peer only when more
than 4 MiB wait to be read there: then for at most ten seconds, as over a network.

Unlike a network it can tell when nothing is under way: `MemoryNetwork.wait_until_quiet`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Collection,
    Deque,
    Dict,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)
from urllib.parse import urlsplit

from ..activity import Activity
from ..errors import HandshakeRefused, TransportError, WriteTimeout
from ..events import Condition
from ..forks import register
from ..option_checks import check_option, check_options
from .connecting.session import ClientCore, ConnectAttempt, Session
from .connection.channel import WireChannel
from .connection.counted import CountedChannel
from .connection.frames import FrameReader
from .connection.raw_frame import CLOSE, PING, TEXT, RawFrame
from .connection.wire import PeerClose, Take, Violation, Wire
from .handshake.credentials import BasicAuthOption, HeadersOption, UpgradeFields, secrets_of
from .handshake.http import BadRequest, Headers, parse_retry_after, phrase_of
from .handshake.identities import IdentifyFunction
from .handshake.policy import Accepted
from .handshake.urls import connection_url, hide, without_query
from .limits import Handshakes
from .options import ClientCoreOptions, MemoryClientOptions, ServerCoreOptions
from .serving.registry import Run, ServerCore
from .stream.waiting import remaining

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["MemoryClient", "MemoryNetwork", "MemoryServer"]

_PING = object()
_PONG = object()
_MAX_BACKLOG = 4 * 1024 * 1024  # characters that may wait to be read
_WRITE_TIMEOUT = 10.0  # seconds until there must be room for more


class _MemoryWire:
    """One end of a pipe: a `wire.Wire`, and its own `wire.WireStream`. What is sent reaches the other end at once."""

    unsent = False
    wants_write = False
    write_deadline = None
    unfinished_since: Optional[float] = None

    def __init__(self, lock: threading.Lock, changed: Condition, max_size: int) -> None:
        self.reader_ident: Optional[int] = None
        self.peer: "_MemoryWire" = self
        self._lock = lock  # shared by both ends; guards the fields below, of both
        self._changed = changed  # of that lock
        self._max_size = max_size
        self._inbox: Deque[Any] = deque()
        self._backlog = 0  # characters in the inbox
        self._close_sent = False
        self._cut = False  # by one of the two ends
        self._shut = False  # by this end
        self.halted = False  #: Whether nothing is to be taken out of the inbox. Set by `halt`.
        self._notify: Callable[[], None] = lambda: None  # called without the lock when something has come
        self.received = 0  #: How many items were taken out of the inbox.
        self._reader: Optional[FrameReader] = None  # from the first raw frame on; belongs to the reading thread
        self._activity: Optional[Activity] = None  # from `count_in` until `close`
        self.stirs = 0  #: See `counted.CountedWire`.

    @property
    def stream(self) -> "_MemoryWire":
        return self

    @property
    def broken(self) -> bool:
        return self._shut or (self._cut and not self.halted)  # who does not read does not find that the peer has gone

    def flush(self) -> None:
        """Do nothing: nothing is ever buffered."""

    def forget(self) -> None:
        self._reader = self.unfinished_since = None

    @property
    def outlet(self) -> None:
        """Return ``None``: nothing is ever buffered."""

    def fileno(self) -> int:
        """Return -1: there is no descriptor."""
        return -1

    def watch(self, notify: Callable[[], None]) -> bool:
        self._notify = notify
        return True

    def count_in(self, activity: Activity) -> None:
        with self._lock:
            self._activity = activity
            if self._has_something():
                self._stir()

    def stir(self) -> None:
        with self._lock:
            self._stir()

    def _stir(self) -> None:
        """Note that the reader has something to do. The lock is held."""
        self.stirs += 1
        if self._activity is not None:
            self._activity.add(self)

    def rest(self, stirs: int, paused: bool) -> None:
        with self._lock:
            if self._activity is not None and self.stirs == stirs and (paused or not self._has_something()):
                self._activity.done(self)

    def _has_something(self) -> bool:
        return bool(self._inbox) or self._cut

    def wait_readable(self, deadline: Optional[float]) -> bool:
        with self._lock:
            if self._activity is not None and not self._has_something():
                self._activity.done(self)
            return self._changed.wait_for(lambda: bool(self._inbox) or self._cut, remaining(deadline))

    def receive(self, take: Take) -> Optional[PeerClose]:
        while True:
            item = self._next()
            if isinstance(item, RawFrame) or (self._reader is not None and isinstance(item, str)):
                item = self._read_raw(item)
            if item is None:
                return None
            if isinstance(item, PeerClose):
                return item
            if item is _PING:
                self._put_control(_PONG)
            elif item is not _PONG:
                if len(item.encode("utf-8")) > self._max_size:
                    raise Violation(1009, f"a message has more than {self._max_size} bytes")
                if take(item):
                    return None

    def _read_raw(self, item: Union[RawFrame, str]) -> Any:
        """Return what a frame stands for that was sent as it is, or that follows one. Raises `Violation`."""
        frame = RawFrame(TEXT, item.encode("utf-8"), True) if isinstance(item, str) else item
        reader = self._reader = self._reader or FrameReader(self._max_size)
        found = reader.read(frame)
        if not reader.unfinished:
            self.unfinished_since = None
        elif self.unfinished_since is None:
            self.unfinished_since = time.monotonic()
        if frame.opcode == PING:
            return _PING
        return _PONG if found is None else found  # a part of a message is no more to be acted on than a pong

    def halt(self, halted: bool) -> None:
        with self._lock:
            self.halted = halted

    def _next(self) -> Any:
        with self._lock:
            if self.halted and not self._shut:
                return None
            if self._inbox and not self.halted:
                self.received += 1
                item = self._inbox.popleft()
                if isinstance(item, (str, RawFrame)):
                    full, self._backlog = self._backlog > _MAX_BACKLOG, self._backlog - _size(item)
                    if full and self._backlog <= _MAX_BACKLOG:
                        self._changed.notify_all()
                return item
            if self._cut:
                raise TransportError("the connection was lost")
            return None

    def discard(self) -> None:
        item = self._next()
        while item is not None:
            if isinstance(item, PeerClose):
                raise TransportError("the connection has ended")
            item = self._next()

    def send_text(self, text: str, wait: bool = True, held_back: Callable[[], bool] = lambda: False) -> bool:
        text.encode("utf-8")  # raises what a connection over a network would raise
        self._send(text, wait)
        return False

    def send_frame(self, frame: RawFrame) -> None:
        self._send(frame, True)

    def _send(self, item: Union[str, RawFrame], wait: bool) -> None:
        """Put a text, or a raw frame, into the peer's inbox. Raises `TransportError`."""
        raw = isinstance(item, RawFrame)
        with self._lock:
            too_slow = self.peer._backlog > _MAX_BACKLOG and not self._wait_for_room(wait)
            self._shut = self._shut or self._cut  # a write finds that the peer has gone
            if self._cut or (self._close_sent and not raw):
                raise TransportError("the connection is closed")
            if not too_slow:
                self._close_sent = self._close_sent or (isinstance(item, RawFrame) and item.opcode == CLOSE)
                self.peer._backlog += _size(item)
                self._put(item)
        if too_slow:
            self.shutdown()
            raise WriteTimeout("the peer reads too slowly: too much waits to be read by it")
        self.peer._notify()

    def _wait_for_room(self, wait: bool) -> bool:
        """Wait until the peer has read; return whether it has. The condition is held."""
        if not wait or self.reader_ident == threading.get_ident():
            return False
        return self._changed.wait_for(lambda: self._cut or self.peer._backlog <= _MAX_BACKLOG, _WRITE_TIMEOUT)

    def send_ping(self) -> bool:
        self._put_control(_PING)
        return False

    def send_close(self, code: int, reason: str) -> bool:
        self._put_control(PeerClose(code, reason), last=True)
        return False

    def answer_close(self, close: PeerClose) -> None:
        self._put_control(PeerClose(close.code, ""), last=True)

    def end_writing(self) -> None:
        """Do nothing: the peer's Close is always found."""

    def shutdown(self) -> None:
        with self._lock:
            self._cut = self.peer._cut = self._shut = True
            self._stir()
            self.peer._stir()
            self._changed.notify_all()
        self._notify()
        self.peer._notify()

    def close(self) -> None:
        self.shutdown()
        with self._lock:
            activity, self._activity = self._activity, None
        if activity is not None:
            activity.done(self)  # nobody reads any more

    def reset(self) -> None:
        with self._lock:
            self._inbox.clear()
            self._backlog = 0
        self.shutdown()

    def _put_control(self, item: Any, last: bool = False) -> None:
        with self._lock:
            if not self._close_sent:
                self._close_sent = last
                self._put(item)
        self.peer._notify()

    def _put(self, item: Any) -> None:
        """Put ``item`` into the peer's inbox. The lock is held."""
        if not self._cut:
            self.peer._inbox.append(item)
            self.peer._stir()
            self._changed.notify_all()


def _size(item: Union[str, RawFrame]) -> int:
    return len(item) if isinstance(item, str) else len(item.data)


def _pipe(near_size: int, far_size: int) -> Tuple[_MemoryWire, _MemoryWire]:
    lock = threading.Lock()
    changed = Condition(lock)
    near, far = _MemoryWire(lock, changed, near_size), _MemoryWire(lock, changed, far_size)
    near.peer, far.peer = far, near
    return near, far


def _count_in(activity: Activity, channel: WireChannel, wire: Wire, is_over: Callable[[], bool]) -> None:
    assert isinstance(channel, CountedChannel) and isinstance(wire, _MemoryWire)
    channel.count_in(activity, wire, is_over)


class MemoryNetwork:
    """Where in-memory servers and clients find each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ports = itertools.count(1)
        self._listeners: Dict[str, "_MemoryListener"] = {}  # by host:port
        self.activity: Activity = Activity()  #: What is under way: see `wait_until_quiet`.
        register(self)

    def _after_fork(self) -> None:
        """Begin anew, without the servers of the parent: see `ocppj.forks`."""
        self._listeners.clear()
        self.activity._after_fork()

    def server(self, **options: Unpack[ServerCoreOptions]) -> "MemoryServer":
        """Return a server of this network. ``options`` are those of `MemoryServer`."""
        return MemoryServer(self, **options)

    def client(self, **options: Unpack[MemoryClientOptions]) -> "MemoryClient":
        """Return a client of this network. ``options`` are those of `MemoryClient`."""
        return MemoryClient(self, **options)

    def wait_until_quiet(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is under way in this network, so that nothing happens before a timer or the program acts.

        Under way are frames that were not read, handlers that run or wait for a thread, connections that begin or end,
        requests that a thread is about to write, and callbacks of the clock that run just now. A handler that waits in
        ``call()``, for the result of a future, or in ``Clock.wait`` is at rest until what it waits for has come. So is
        what waits for its turn behind it. The calling thread does not count: a handler may call this, too.

        What threads of the program do is not known, but for the calls of this library that they are in.

        Args:
            timeout: How long to wait at most, in real seconds.

        Returns:
            Whether nothing is under way.
        """
        return self.activity.wait_until_quiet(timeout)

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
        self.url = f"memory://{address}{run.identification.prefix}"

    def stop(self) -> None:
        self._network._remove(self)

    def join(self, deadline: float, exempt: Collection[int]) -> None:
        """Do nothing: there are no threads."""


class MemoryServer(ServerCore):
    """A `base.Server` in a `MemoryNetwork`. All its clients have one address, "memory". Attempts are not limited."""

    channel_type: ClassVar[Type[WireChannel]] = CountedChannel

    def __init__(self, network: MemoryNetwork, **options: Unpack[ServerCoreOptions]) -> None:
        check_option("MemoryServer", "network", network)
        options.setdefault("max_attempts_per_second", None)
        options.setdefault("max_attempts_per_second_per_address", None)
        super().__init__(**options)
        self._network = network
        self.activity: Activity = network.activity  #: What is under way in the network.

    def listen(
        self,
        port: int,
        path: Union[str, Sequence[str]],
        host: str,
        subprotocols: Sequence[str],
        identify: Optional[IdentifyFunction] = None,
    ) -> None:
        """Listen, and return: see `ServerCore.listen`."""
        check_option("listen", "port", port)
        run = self._open_run(path, subprotocols, Handshakes(), identify)
        try:
            listener = self._network._listen(host, port, self, run)
        except TransportError:
            self._close_run(run)
            raise
        self._serve(run, listener)

    def stop(self, code: int = 1001, reason: str = "", timeout: float = 5.0) -> None:
        with self.activity:
            super().stop(code, reason, timeout)

    def make_channel(self, run: Run, accepted: Accepted, wire: Wire) -> WireChannel:
        channel = super().make_channel(run, accepted, wire)
        _count_in(self._network.activity, channel, wire, lambda: run.stopping)
        return channel

    def _meet(self, run: Run, url: str, headers: Headers, max_size: int) -> Tuple[_MemoryWire, Optional[str]]:
        """Shake hands with a client; return its wire and subprotocol. Raises `BadRequest`."""
        parts = urlsplit(url)
        target = parts.path + ("?" + parts.query if parts.query else "")
        refusal = self.take_attempt("memory")
        if refusal is not None:
            raise refusal
        near, far = _pipe(max_size, self._max_message_size)
        try:
            accepted = self._decide(run, target, headers, "memory")
            if accepted.effective is None:
                self._note_no_subprotocol(accepted, run.subprotocols)
                far.send_close(1002, "no common subprotocol")
                return near, accepted.subprotocol
            self._admit(run, self.make_channel(run, accepted, far))
        except BadRequest as error:
            self.note_refusal("memory", error)
            raise
        except BaseException:  # an interrupt: nobody will read the other end
            near.shutdown()
            raise
        return near, accepted.subprotocol


class MemoryClient(ClientCore):
    """A `base.Client` in a `MemoryNetwork`."""

    channel_type: ClassVar[Type[WireChannel]] = CountedChannel

    def __init__(
        self,
        network: MemoryNetwork,
        *,
        headers: HeadersOption = None,
        basic_auth: BasicAuthOption = None,
        **options: Unpack[ClientCoreOptions],
    ) -> None:
        check_options("MemoryClient", locals())
        super().__init__(**options)
        self._network = network
        self.activity: Activity = network.activity  #: What is under way in the network.
        self._fields = UpgradeFields(headers, basic_auth)

    def connect(
        self,
        url: Union[str, Sequence[str]],
        client_id: str,
        subprotocols: Sequence[str],
        retry: bool = False,
        wait: bool = True,
    ) -> None:
        with self.activity:
            super().connect(url, client_id, subprotocols, retry, wait)

    def stop(self, code: int = 1000, reason: str = "", timeout: float = 5.0) -> None:
        with self.activity:
            super().stop(code, reason, timeout)

    def make_channel(self, session: Session, wire: Wire, subprotocol: str, remote_address: str) -> WireChannel:
        channel = super().make_channel(session, wire, subprotocol, remote_address)
        _count_in(self._network.activity, channel, wire, session.stopping.is_set)
        return channel

    def open_wire(self, session: Session, attempt: ConnectAttempt) -> Tuple[Wire, str, str]:
        url = connection_url(session.url, session.client_id)
        listener = self._network._find(urlsplit(url).netloc)
        try:
            fields, _ = self._fields.ask()
        except TransportError as error:
            raise TransportError(f"cannot connect to {listener.address}: {error}") from error.__cause__
        headers = Headers([*fields.items(), ("Sec-WebSocket-Protocol", ", ".join(session.subprotocols))])
        try:
            wire, subprotocol = listener.server._meet(listener.run, url, headers, self._max_message_size)
        except BadRequest as refused:
            phrase, retry_after = phrase_of(refused.status), parse_retry_after(Headers(refused.headers))
            text = hide(refused.reason, [urlsplit(url).query, *secrets_of(fields)])
            raise HandshakeRefused(refused.status, phrase, retry_after, without_query(url), text) from refused
        return wire, self.agreed_subprotocol(listener.address, session.subprotocols, subprotocol), urlsplit(url).netloc
