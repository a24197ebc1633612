"""What the real and the in-memory client share: connecting, losing, reconnecting, stopping.

A *session* is the time from ``connect()`` until ``stop()``, or until the connection is lost and must not be regained.
It has at most one attempt to connect and one channel at a time. Before anything begins (an attempt, a channel, the
reconnect thread), its thread checks under `Session.lock`, or in `Threads.start`, that the session is not over.
``stop()`` first makes it over, and then ends what has begun. So nothing begins after ``stop()``.

`Session.keep_trying` runs on the thread that calls ``connect(retry=True)``, or on the reconnect thread, after a loss
and for ``connect(retry=True, wait=False)``.
"""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from typing import Any, Callable, ContextManager, Optional, Sequence, Set, Tuple, Union

from ...clock import Clock, SystemClock
from ...errors import HandshakeRefused, TransportError, UsageError
from ...settings import get_logger
from ..backoff import Backoff
from ..base import ChannelHandler, Close, DisconnectedHandler, MessageHandler
from ..checks import check_not_negative, check_positive, check_text
from ..connection.channel import Handlers, WireChannel, call_handler, check_close_code, end_channels
from ..connection.keepalive import check_interval
from ..connection.wire import Wire
from ..handshake.urls import connection_url
from ..readers.choice import ReadersOption, readers_maker
from ..threads import Threads

__all__ = ["ClientCore", "ConnectAttempt", "Session"]

_HANDLER_GRACE = 10.0  # seconds that the disconnected handler of the session before has
_LONGEST_RETRY_AFTER = 3600.0  # seconds; a server's Retry-After counts up to that
_NO_THREAD = 1.0  # seconds between attempts to start the reconnect thread
_REPAIR = 10.0  # seconds until the reconnect thread goes on after an error that should never happen
_STOPPED = "stopped while connecting"


class ConnectAttempt:
    """One attempt to connect. `cancel` makes it fail soon, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interrupt: Optional[Callable[[], None]] = None
        self._canceled = False

    def interrupt_with(self, interrupt: Callable[[], None]) -> None:
        """Set what `cancel` calls from now on. Raises `TransportError` when it was called already."""
        with self._lock:
            self._interrupt = interrupt
        self.check()

    def check(self) -> None:
        if self._canceled:
            raise TransportError(_STOPPED)

    def cancel(self) -> None:
        with self._lock:
            self._canceled = True
            interrupt = self._interrupt
        if interrupt is not None:
            interrupt()


class Session:
    """One ``connect()``: the connection, or the attempts to get one. It owns the channels (`channel.ChannelOwner`)."""

    def __init__(self, core: "ClientCore", url: str, client_id: str, subprotocols: Sequence[str]) -> None:
        self.core = core
        self.handlers = core.handlers  #: See `channel.ChannelOwner`.
        self.url = url
        self.client_id = client_id
        self.subprotocols: Tuple[str, ...] = tuple(subprotocols)
        self.readers = core.make_readers()
        self.stopping = threading.Event()
        self.lock = threading.Lock()  # guards the fields below
        self.over = False  # nothing begins any more
        self.attempt: Optional[ConnectAttempt] = None
        self.channel: Optional[WireChannel] = None
        self.last: Optional[WireChannel] = None  # the present channel, or the one before
        self.stoppers: Set[int] = set()  # idents of threads inside stop()
        self._threads = Threads()  # those that reconnect

    def connect(self) -> None:
        """Connect once, and begin the channel. Raises `TransportError`."""
        attempt = ConnectAttempt()
        with self.lock:
            if self.over:
                raise TransportError(_STOPPED)
            self.attempt = attempt
        try:
            wire, subprotocol, remote_address = self.core.open_wire(self, attempt)
        finally:
            with self.lock:
                self.attempt = None
        channel = self.core.make_channel(self, wire, subprotocol, remote_address)
        channel.claim_reading()
        with self.lock:
            begun = not self.over
            if begun:
                self.channel = self.last = channel
        if not begun:
            wire.stream.shutdown()
            wire.stream.close()
            raise TransportError(_STOPPED)
        try:
            self.handlers.call_connected(channel)
        finally:  # whatever the handler raised: it knows the channel, which must be read until it ends
            channel.begin()

    def keep_trying(self, problem: Optional[BaseException] = None) -> None:
        """Connect until that succeeds; after a ``problem``, wait first. Raises `TransportError`, `UsageError`."""
        problem = problem or self._try_once()
        if problem is None:
            return
        for wait in self.core.backoff.waits():
            if isinstance(problem, HandshakeRefused) and problem.retry_after is not None:
                wait = max(wait, min(problem.retry_after, _LONGEST_RETRY_AFTER))
            wait = min(wait, threading.TIMEOUT_MAX)
            if not self.over:
                unforeseen = None if isinstance(problem, TransportError) else problem
                text = "%s: %s; connecting again in %.1f s"
                get_logger().warning(text, self.client_id, problem, wait, exc_info=unforeseen)
            if self.core.clock.wait(self.stopping, wait):
                raise TransportError(_STOPPED)
            problem = self._try_once()
            if problem is None:  # before the next wait: an error of the back-off would make us connect again
                return
        raise UsageError("the waits of a back-off have no end")

    def _try_once(self) -> Optional[Exception]:
        """Connect; on failure, call the handler and return the error. Raises `UsageError`."""
        try:
            self.connect()
        except UsageError:
            raise
        except Exception as error:
            if not self.over:
                call_handler(self.client_id, "attempt failed", self.core.attempt_failed, error)
            return error
        return None

    def on_end(self, channel: WireChannel, close: Close) -> None:
        get_logger().debug("%s: %s", channel.id, close)  # the user of the transport logs it too
        with self.lock:
            if self.channel is channel:
                self.channel = None
            self.over = self.over or not self.core.reconnect  # before the handler, which may connect() again
        try:
            self.handlers.call_disconnected(channel, close)
        finally:
            self._after_loss(close)

    def _after_loss(self, close: Close) -> None:
        """Start the reconnect thread, unless the session is over. If the system gives none, try until it does."""
        while True:
            with self.lock:
                self.over = self.over or not self.core.reconnect
                if self.over:
                    return
            try:
                self.begin_trying(TransportError(f"the connection was {close}"))
                return
            except RuntimeError as error:
                get_logger().error("%s: cannot reconnect yet: %s", self.client_id, error)
            self.core.clock.wait(self.stopping, _NO_THREAD)

    def begin_trying(self, problem: Optional[BaseException] = None) -> None:
        self._threads.start(f"ocppj-reconnect-{self.client_id}", self._reconnect, problem)

    def _reconnect(self, problem: Optional[BaseException]) -> None:
        """Try until connected or stopped: the reconnect thread. It goes on after any error: no other thread would."""
        while True:
            try:
                self.keep_trying(problem)
                return
            except TransportError as stopped:
                get_logger().info("%s: %s", self.client_id, stopped)
                return
            except BaseException as error:
                get_logger().exception("%s: cannot connect; trying again in %g s", self.client_id, _REPAIR)
                problem = problem or error
            if self.core.clock.wait(self.stopping, _REPAIR):
                return

    def stop(self, code: int, reason: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        me = threading.get_ident()
        with self.lock:
            self.over = True
            self.stoppers.add(me)
            attempt, channel = self.attempt, self.channel
        self._threads.close()
        self.stopping.set()
        try:
            if attempt is not None:
                attempt.cancel()
            if channel is not None:
                close_deadline = min(deadline, time.monotonic() + self.core.close_timeout)
                end_channels([channel], code, reason, close_deadline, self.stoppers)
            self.readers.stop(max(0.5, deadline - time.monotonic()), self.stoppers)
            self._threads.join(max(deadline, time.monotonic() + 0.5), self.stoppers)
        finally:
            with self.lock:
                self.stoppers.discard(me)


class ClientCore:
    """A `base.Client` without its way of connecting: subclasses have `open_wire`."""

    def __init__(
        self,
        *,
        reconnect: bool = True,
        backoff: Union[Backoff, Callable[[], Backoff]] = Backoff,
        clock: Optional[Clock] = None,
        max_message_size: int = 1024 * 1024,
        ping_interval: Optional[float] = 60.0,
        pong_timeout: float = 30.0,
        close_timeout: float = 0.5,  # so that stop() takes less than a second, whatever the peer does
        readers: ReadersOption = "per-connection",
    ) -> None:
        check_positive(max_message_size=max_message_size, pong_timeout=pong_timeout)
        check_not_negative(close_timeout=close_timeout)
        self.reconnect = reconnect  #: Whether a lost connection is regained. May be set at any time.
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.close_timeout = close_timeout
        self.make_readers = readers_maker(readers)
        self.handlers = Handlers()
        self.waiting: Callable[[], ContextManager[Any]] = nullcontext  #: See `base.Client.waiting`.
        self.backoff = backoff if isinstance(backoff, Backoff) else backoff()
        self._max_message_size = max_message_size
        self._ping_interval = check_interval(ping_interval)
        self._pong_timeout = pong_timeout
        self._state = threading.Lock()  # guards _session
        self._session: Optional[Session] = None
        self.attempt_failed: Optional[Callable[[Exception], Any]] = None

    def set_connected_handler(self, handler: ChannelHandler) -> None:
        self.handlers.connected = handler

    def set_message_handler(self, handler: MessageHandler) -> None:
        self.handlers.message = handler

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        self.handlers.disconnected = handler

    def set_attempt_failed_handler(self, handler: Optional[Callable[[Exception], Any]]) -> None:
        """Set what is called, on the thread that connects, with the error of a failed attempt before the next one."""
        self.attempt_failed = handler

    def connect(
        self, url: str, client_id: str, subprotocols: Sequence[str], retry: bool = False, wait: bool = True
    ) -> None:
        """Connect: see `base.Client.connect`. Raises `UsageError` while connected or connecting."""
        if not (retry or wait):
            raise UsageError("wait=False needs retry=True: otherwise a failed connect() would have no effect")
        check_text(url=url, client_id=client_id)
        if isinstance(subprotocols, str) or not subprotocols:
            raise UsageError("subprotocols is a sequence of at least one name")
        connection_url(url, client_id)
        session = Session(self, url, client_id, subprotocols)
        with self._state:
            if self._session is not None and not self._session.over:
                raise UsageError("the client is connected already, or about to be")
            before, self._session = self._session, session
            self.waiting = session.readers.waiting
        if before is not None and before.last is not None and not before.last.read_here:
            before.last.ended.wait(_HANDLER_GRACE)  # its disconnected comes before our connected
        try:
            if not retry:
                session.connect()
            elif wait:
                session.keep_trying()
            else:
                session.begin_trying()
        except BaseException:
            with session.lock:
                session.over = True
            raise

    def send(self, text: str, wait: bool = True) -> None:
        channel = self.get_channel()
        if channel is None:
            raise TransportError("not connected")
        channel.send(text, wait)

    def get_channel(self) -> Optional[WireChannel]:
        session = self._session
        channel = session.channel if session is not None else None
        return channel if channel is not None and channel.is_open else None

    def stop(self, code: int = 1000, reason: str = "", timeout: float = 5.0) -> None:
        """Close the connection, or give up connecting: see `base.Client.stop`. ``connect()`` may be called after it.

        The connection of a peer that does not answer our Close is cut after ``close_timeout`` seconds.

        Args:
            code: The close code that the peer gets (RFC 6455 section 7.4).
            reason: The reason that the peer gets.
            timeout: The seconds to wait at most.

        Raises:
            UsageError: ``code`` cannot be sent.
        """
        check_close_code(code)
        session = self._session
        if session is not None:
            session.stop(code, reason, timeout)

    def open_wire(self, session: Session, attempt: ConnectAttempt) -> Tuple[Wire, str, str]:
        """Connect; return the wire, the subprotocol and the peer's address. On `TransportError` nothing is left."""
        raise NotImplementedError

    def make_channel(self, session: Session, wire: Wire, subprotocol: str, remote_address: str) -> WireChannel:
        return WireChannel(
            wire,
            session,
            session.readers,
            id=session.client_id,
            subprotocol=subprotocol,
            remote_address=remote_address,
            ping_interval=self._ping_interval,
            pong_timeout=self._pong_timeout,
            close_timeout=self.close_timeout,
        )
