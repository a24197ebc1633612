"""What the real and the in-memory client share: connecting, losing, regaining, stopping.

A *session* is the time from ``connect()`` until ``stop()``, or until the connection is lost and not to be regained.
It has at most one attempt to connect and one channel at a time; ``_Session.lock`` guards which. Everything that begins
something (an attempt, a channel, the reconnect thread) asks under that lock whether the session is stopping; ``stop()``
says so under it first and then ends what has begun. So nothing can begin behind its back.

Whoever must have a connection gets it in `Session.keep_trying`: each attempt is made after a wait of the back-off, and
not before the server's Retry-After. That is the caller of ``connect(retry=True)``, or the reconnect thread, after a
loss and for ``connect(retry=True, wait=False)``.
"""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from typing import Any, Callable, ContextManager, List, Optional, Sequence, Set, Tuple, Union

from ...clock import Clock, SystemClock
from ...errors import HandshakeRefused, TransportError, UsageError
from ...settings import get_logger
from ..backoff import Backoff
from ..base import ChannelHandler, Close, DisconnectedHandler, MessageHandler
from ..checks import check_not_negative, check_positive, check_text
from ..connection.channel import Handlers, WireChannel, check_close_code, log_failure
from ..connection.ending import end_channels
from ..connection.keepalive import check_interval
from ..connection.wire import Wire
from ..handshake.urls import connection_url
from ..readers.choice import ReadersOption, readers_maker
from ..readers.per_connection import join_all

__all__ = ["Attempt", "ClientCore", "Session"]


_HANDLER_GRACE = 10.0  # seconds that the disconnected handler of the session before has
_LONGEST_RETRY_AFTER = 3600.0  # seconds of a server's Retry-After that are respected
_NO_THREAD = 1.0  # seconds until the reconnect thread is tried to be started again
_REPAIR = 10.0  # seconds until it tries anew when an attempt, or the back-off, failed as it never should
_STOPPED = "stopped while connecting"


class Attempt:
    """One try to connect. ``cut`` makes it fail soon, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._undo: Optional[Callable[[], None]] = None
        self.stopped = threading.Event()

    def can_be_cut_by(self, undo: Callable[[], None]) -> None:
        """Set what ``cut`` calls from now on. Raises `TransportError` when it was called already."""
        with self._lock:
            self._undo = undo
        self.check()

    def check(self) -> None:
        """Raise `TransportError` when the attempt was cut."""
        if self.stopped.is_set():
            raise TransportError(_STOPPED)

    def cut(self) -> None:
        """Make the attempt fail."""
        self.stopped.set()
        with self._lock:
            undo = self._undo
        if undo is not None:
            undo()


class Session:
    """What a client is connected to, or tries to be. It owns the channels (`channel.ChannelOwner`)."""

    def __init__(self, core: "ClientCore", url: str, client_id: str, subprotocols: Sequence[str]) -> None:
        self.core = core
        #: See `channel.ChannelOwner`.
        self.handlers = core.handlers
        self.url = url
        self.client_id = client_id
        self.subprotocols: Tuple[str, ...] = tuple(subprotocols)
        self.readers = core.make_readers()
        self.stopping = threading.Event()
        self.lock = threading.Lock()  # guards the fields below
        self.over = False  # nothing will begin any more
        self.attempt: Optional[Attempt] = None
        self.channel: Optional[WireChannel] = None
        self.last: Optional[WireChannel] = None  # the present channel, or the one before
        self.threads: List[threading.Thread] = []  # those that reconnect
        self.stoppers: Set[int] = set()  # idents of threads inside stop()

    def connect(self) -> None:
        """Connect once, and begin the channel. Raises `TransportError`."""
        attempt = Attempt()
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
            wire.abort()
            wire.release()
            raise TransportError(_STOPPED)
        try:
            self.handlers.call_connected(channel)
        finally:  # whatever happens, a channel that somebody knows of is read until it ends
            channel.begin()

    def keep_trying(self, problem: Optional[BaseException] = None) -> None:
        """Connect, and after a ``problem`` not before a wait; try again until that succeeds.

        Raises `TransportError` when stopped, and `UsageError` when it can never succeed.
        """
        problem = problem or self._attempt()
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
            problem = self._attempt()
            if problem is None:  # the next wait is not asked for: what that raises would have us connect again
                return
        raise UsageError("the waits of a back-off have no end")

    def _attempt(self) -> Optional[Exception]:
        """Connect; return what kept it from succeeding, of which the handler has been told. Raises `UsageError`."""
        try:
            self.connect()
        except UsageError:
            raise
        except Exception as error:
            if not self.over:
                self.core.attempt_failed(self.client_id, error)
            return error
        return None

    def on_end(self, channel: WireChannel, close: Close) -> None:
        """Call the handler; then regain the connection, or end the session."""
        get_logger().debug("%s: %s", channel.id, close)  # who uses the transport logs it too
        with self.lock:
            if self.channel is channel:
                self.channel = None
            self.over = self.over or not self.core.reconnect  # so that the handler's side may connect() again
        try:
            self.handlers.call_disconnected(channel, close)
        finally:
            self._after_loss(close)

    def _after_loss(self, close: Close) -> None:
        """Start to regain the connection, unless the session is over.

        When there can be no more threads, this one, which has nothing else to do, tries until there can.
        """
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
        """Start the reconnect thread: `keep_trying`. Raises ``RuntimeError`` when there can be no more threads."""
        name = f"ocppj-reconnect-{self.client_id}"
        thread = threading.Thread(target=self._regain, args=(problem,), name=name, daemon=True)
        with self.lock:
            if self.over:
                return
            self.threads = [old for old in self.threads if old.ident is None or old.is_alive()]
            self.threads.append(thread)
        try:
            thread.start()
        except RuntimeError:
            with self.lock:
                self.threads.remove(thread)
            raise

    def _regain(self, problem: Optional[BaseException]) -> None:
        """Try until connected or stopped: the reconnect thread. Whatever is wrong, nobody else would try."""
        while True:
            try:
                self.keep_trying(problem)
                return
            except TransportError as stopped:
                get_logger().info("%s: %s", self.client_id, stopped)
                return
            except BaseException as error:
                get_logger().exception("%s: cannot connect; trying anew in %g s", self.client_id, _REPAIR)
                problem = problem or error
            if self.core.clock.wait(self.stopping, _REPAIR):
                return

    def stop(self, code: int, reason: str, timeout: float) -> None:
        """See `base.Client.stop`."""
        deadline = time.monotonic() + timeout
        me = threading.get_ident()
        with self.lock:
            self.over = True
            self.stoppers.add(me)
            attempt, channel, threads = self.attempt, self.channel, list(self.threads)
        self.stopping.set()
        try:
            if attempt is not None:
                attempt.cut()
            if channel is not None:
                patience = min(deadline, time.monotonic() + self.core.close_timeout)
                end_channels([channel], code, reason, patience, self.stoppers)
            self.readers.stop(max(0.5, deadline - time.monotonic()), self.stoppers)
            join_all(threads, max(deadline, time.monotonic() + 0.5), self.stoppers)
        finally:
            with self.lock:
                self.stoppers.discard(me)


class ClientCore:
    """A `base.Client` without its way of connecting, which subclasses give: `open_wire`."""

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
        #: Whether a lost connection is regained. May be set at any time.
        self.reconnect = reconnect
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.close_timeout = close_timeout
        self.make_readers = readers_maker(readers)
        self.handlers = Handlers()
        #: See `base.Client.waiting`.
        self.waiting: Callable[[], ContextManager[Any]] = nullcontext
        self.backoff = backoff if isinstance(backoff, Backoff) else backoff()
        self._max_message_size = max_message_size
        self._ping_interval = check_interval(ping_interval)
        self._pong_timeout = pong_timeout
        self._state = threading.Lock()  # guards _session
        self._session: Optional[Session] = None
        self._attempt_failed: Optional[Callable[[Exception], Any]] = None

    def set_connected_handler(self, handler: ChannelHandler) -> None:
        """See `base.Client.set_connected_handler`."""
        self.handlers.connected = handler

    def set_message_handler(self, handler: MessageHandler) -> None:
        """See `base.Client.set_message_handler`."""
        self.handlers.message = handler

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        """See `base.Client.set_disconnected_handler`."""
        self.handlers.disconnected = handler

    def set_attempt_failed_handler(self, handler: Optional[Callable[[Exception], Any]]) -> None:
        """Set what is called with the error of an attempt to connect after which another will be made.

        It runs on the thread that connects, and what it raises is logged; the next attempt waits for it.
        """
        self._attempt_failed = handler

    def attempt_failed(self, client_id: str, error: Exception) -> None:
        """Call the handler of failed attempts."""
        handler = self._attempt_failed
        if handler is not None:
            try:
                handler(error)
            except BaseException as failure:
                log_failure(client_id, "attempt failed", failure)

    def connect(
        self, url: str, client_id: str, subprotocols: Sequence[str], retry: bool = False, wait: bool = True
    ) -> None:
        """Connect: see `base.Client.connect`. Raises `UsageError` while connected or regaining the connection."""
        if not (retry or wait):
            raise UsageError("wait=False needs retry=True: nobody would hear that the connection could not be made")
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
        """Send one text frame on the present channel: see `base.Channel.send`."""
        channel = self.get_channel()
        if channel is None:
            raise TransportError("not connected")
        channel.send(text, wait)

    def get_channel(self) -> Optional[WireChannel]:
        """Return the present channel, or ``None``."""
        session = self._session
        channel = session.channel if session is not None else None
        return channel if channel is not None and channel.is_open else None

    def stop(self, code: int = 1000, reason: str = "", timeout: float = 5.0) -> None:
        """Close the connection, or give up regaining it: see `base.Client.stop`. Waits at most ``timeout`` seconds.

        A peer that does not answer our Close is waited for ``close_timeout`` seconds; then the connection is cut.
        May be called again, and by several threads at once. ``connect()`` may be used after it.
        """
        check_close_code(code)
        session = self._session
        if session is not None:
            session.stop(code, reason, timeout)

    def open_wire(self, session: Session, attempt: Attempt) -> Tuple[Wire, str, str]:
        """Connect; return wire, subprotocol and the peer's address. Raises `TransportError`; then nothing is left."""
        raise NotImplementedError

    def make_channel(self, session: Session, wire: Wire, subprotocol: str, remote_address: str) -> WireChannel:
        """Return the channel of a new connection."""
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
