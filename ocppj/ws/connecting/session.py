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
from contextlib import nullcontext, suppress
from functools import partial
from typing import (
    Any,
    Callable,
    ClassVar,
    ContextManager,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
    Type,
    Union,
)

from ...activity import UNCOUNTED, ActivityLike
from ...callables import check_not_async
from ...clock import Clock, SystemClock
from ...errors import HandshakeRefused, SubprotocolError, TransportError, UsageError
from ...events import Event
from ...forks import register
from ...interrupted import calls_program
from ...loops import do_all, log_failure, run_loop
from ...option_checks import check_option, check_options
from ...settings import LoggerLike
from ..backoff import Backoff
from ..base import ChannelHandler, Close, DisconnectedHandler, MessageHandler, RunningJob
from ..connection.channel import Handlers, WireChannel, call_handler, check_close_code, end_channels
from ..connection.wire import Wire
from ..handshake.urls import connection_url, doubled_identity, endpoint_urls
from ..readers.base import Readers
from ..readers.choice import ReadersOption, readers_maker
from ..threads import Threads

__all__ = ["ClientCore", "ConnectAttempt", "Session"]

_HANDLER_GRACE = 10.0  # seconds that the disconnected handler of the session before has
_LONGEST_RETRY_AFTER = 3600.0  # seconds; a server's Retry-After counts up to that
_NO_THREAD = 1.0  # seconds between attempts to start the reconnect thread
_LASTED = 30.0  # seconds after which a connection counts as one that works
_REPAIR = 10.0  # seconds until the reconnect thread goes on after an error that should never happen
_STOPPED = "stopped while connecting"
_SHOWN = 100  # characters of a server's choice in an error
_WRONG_URL = (400, 403, 404)  # how servers refuse a path that they do not know


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

    def __init__(self, core: "ClientCore", urls: Sequence[str], client_id: str, subprotocols: Sequence[str]) -> None:
        self.core = core
        self.handlers: Handlers = core.handlers  #: See `channel.ChannelOwner`.
        self._log = core.handlers.safe_log
        self.urls = urls
        self.url: str = urls[0]  #: The one that is connected to, or tried just now. The thread that connects sets it.
        self.client_id = client_id
        self.subprotocols: Tuple[str, ...] = tuple(subprotocols)
        self.readers: Readers = core.make_readers()
        self.readers.set_logger(*self.handlers.given)
        self.stopping: Event = Event()
        self.hurry: Event = Event()  # ends a wait of the back-off; set after `stopping`
        self.lock: threading.Lock = threading.Lock()  # guards the fields below
        self.over: bool = False  # nothing begins any more
        self.attempt: Optional[ConnectAttempt] = None
        self.channel: Optional[WireChannel] = None
        self.last: Optional[WireChannel] = None  # the present channel, or the one before
        self.stoppers: Set[int] = set()  # idents of threads inside stop()
        self._threads = Threads(self._log)  # those that reconnect
        # The waits of the present outage; for that thread, and for the one that reads a channel, before it starts that.
        self._waits: Optional[Iterator[float]] = None
        self._connected_at = 0.0  # by the clock of the core
        self._not_before: Dict[str, float] = {}  # by URL, when a server wants to be asked again; for that thread, too

    def connect(self) -> None:
        """Connect once, and begin the channel. Raises `TransportError`."""
        wire, subprotocol, remote_address = self._open_wire()
        channel, registered = None, False
        try:
            channel = self.core.make_channel(self, wire, subprotocol, remote_address)
            channel.claim_reading()
            self._connected_at = self.core.clock.monotonic()
            with self.lock:
                if self.over:
                    raise TransportError(_STOPPED)
                self.channel = self.last = channel
                self.hurry.clear()  # what `reconnect_now` asked for has come true
            registered = True
            if channel.ping_interval != self.core.ping_interval:  # it was set after the channel was made
                channel.ping_interval = self.core.ping_interval
            self.handlers.call_connected(channel)
        except BaseException as error:
            wire.stream.shutdown()
            if not registered:
                with self.lock:
                    if channel is not None and self.channel is channel:
                        self.channel = None
                wire.stream.close()
                raise
            if not isinstance(error, Exception):
                raise
            log_failure("%s: the new connection is cut", self.client_id, log=self._log)  # its end has us connect again
        finally:  # whatever was raised: the handler may know the channel, which must be read until it ends
            if registered and channel is not None:
                channel.begin()

    def _open_wire(self) -> Tuple[Wire, str, str]:
        """Do as `ClientCore.open_wire`; `stop` can cut it. Raises `TransportError`."""
        attempt = ConnectAttempt()
        with self.lock:
            if self.over:
                raise TransportError(_STOPPED)
            self.attempt = attempt
        try:
            return self.core.open_wire(self, attempt)
        except HandshakeRefused as error:
            hint = doubled_identity(self.url, self.client_id)
            if hint is not None and error.status in _WRONG_URL:
                error.args = (f"{error}; {hint}",)
            raise
        finally:
            with self.lock:
                self.attempt = None

    def connect_once(self) -> None:
        """Connect to one of the URLs. Raises the error of the last one when all have failed."""
        problem = self.try_all(again=False)
        try:
            if problem is not None:
                raise problem
        finally:
            del problem  # its traceback holds this frame

    def keep_trying(self, problem: Optional[BaseException] = None) -> None:
        """Connect until that succeeds; after a ``problem``, wait first. Raises `TransportError`, `UsageError`."""
        problem = problem or self.try_all()
        if problem is None:
            return
        while True:
            wait = min(max(self._next_wait(), min(map(self._asked_to_wait, self.urls))), threading.TIMEOUT_MAX)
            if not self.over:
                unforeseen = None if isinstance(problem, TransportError) else problem
                text = "%s: %s; connecting again in %.1f s"
                self._log.warning(text, self.client_id, problem, wait, exc_info=unforeseen)
            if self.core.clock.wait(self.hurry, wait):
                self._not_before.clear()
            self.hurry.clear()  # before the look: `stop` sets this after `stopping`
            if self.stopping.is_set():
                raise TransportError(_STOPPED)
            problem = self.try_all()
            if problem is None:  # before the next wait: an error of the back-off would make us connect again
                return

    @calls_program
    def _next_wait(self) -> float:
        """Return the seconds of the next wait of the outage. What the back-off raises ends its waits: others begin."""
        waits, self._waits = self._waits or self.core.backoff.waits(), None
        wait = next(waits, None)
        if wait is None:
            raise UsageError("the waits of a back-off have no end")
        self._waits = waits
        return wait

    def try_all(self, again: bool = True) -> Optional[Exception]:
        """Connect to one URL after the other. Return the error of the last, when all have failed. Raises `UsageError`.

        The handler is called for each failure that another attempt follows: after the last one only with ``again``.
        A URL whose server has asked to wait is left out for so long. OCPP 2.0.1 Part 2, B10.FR.03 and B10.FR.04 in the
        errata of 2025-09.
        """
        problem: Optional[Exception] = None
        due = {url for url in self.urls if not self._asked_to_wait(url)} or set(self.urls)
        for url in self.urls:
            if url not in due:
                continue
            if problem is not None:
                unforeseen = None if isinstance(problem, TransportError) else problem
                self._log.warning("%s: %s; trying the next URL", self.client_id, problem, exc_info=unforeseen)
                self._tell(problem)
            self.url = url
            try:
                self.connect()
                return None
            except UsageError:
                raise
            except Exception as error:
                problem = error
            if isinstance(problem, HandshakeRefused) and problem.retry_after:
                self._not_before[url] = self.core.clock.monotonic() + min(problem.retry_after, _LONGEST_RETRY_AFTER)
                due.discard(url)
            if self.over:
                return problem
        if again and problem is not None:
            self._tell(problem)
        return problem

    def _asked_to_wait(self, url: str) -> float:
        """Return for how many seconds from now on the server at ``url`` wants to be left alone."""
        return max(0.0, self._not_before.get(url, 0.0) - self.core.clock.monotonic())

    def _tell(self, problem: Exception) -> None:
        call_handler(self.handlers.log, self.client_id, "attempt failed", self.core.attempt_failed, problem)

    def reconnect_now(self) -> bool:
        """End the wait of the back-off; see `ClientCore.reconnect_now`."""
        with self.lock:
            wanted = not self.over and self.channel is None
            if wanted:
                self.hurry.set()
        return wanted

    def on_end(self, channel: WireChannel, close: Close) -> None:
        with self.lock:
            if self.channel is channel:
                self.channel = None
            self.over = self.over or not self.core.reconnect  # before the handler, which may connect() again
        do_all(
            partial(self._log.debug, "%s: %s", channel.id, close),  # the user of the transport logs it too
            self._end_outage_if_lasted,
            partial(self.handlers.call_disconnected, channel, close),
            partial(self._after_loss, close),
            log=self._log,
        )

    def _end_outage_if_lasted(self) -> None:
        if self.core.clock.monotonic() - self._connected_at >= _LASTED:
            self.end_outage()

    def end_outage(self) -> None:
        """Have the next outage begin with the shortest wait: see `ClientCore.end_outage`."""
        self._waits = None

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
            except Exception as error:
                with suppress(BaseException):  # of the logger
                    self._log.error("%s: cannot reconnect yet: %s", self.client_id, error or type(error).__name__)
            self.core.clock.wait(self.stopping, _NO_THREAD)

    def begin_trying(self, problem: Optional[BaseException] = None) -> None:
        job = self.core.activity.job(partial(self._reconnect, problem), lambda at_rest: self.stopping.is_set())
        started = False
        try:
            started = self._threads.start(f"ocppj-reconnect-{self.client_id}", job)
        finally:
            if not started:
                job.drop()

    def _reconnect(self, problem: Optional[BaseException]) -> None:
        """Try until connected or stopped: the reconnect thread. It goes on after any error: no other thread would."""
        problems = [problem]
        loop = partial(self._reconnect_once, problems)
        run_loop(f"{self.client_id}: the reconnect thread", loop, log=self._log)

    def _reconnect_once(self, problems: List[Optional[BaseException]]) -> bool:
        """Try until connected or stopped; return true, after a wait, if something else came in between."""
        done = self.over or self.channel is not None  # an attempt that was cut off had come so far
        if done:
            return False
        try:
            self.keep_trying(problems[0])
            return False
        except TransportError as stopped:
            if self.over:
                self._log.info("%s: %s", self.client_id, stopped)
                return False
            problems[0] = stopped
        except BaseException as error:
            log_failure("%s: cannot connect; trying again in %g s", self.client_id, _REPAIR, log=self._log)
            problems[0] = problems[0] or error
        return not self.core.clock.wait(self.stopping, _REPAIR)

    def stop(self, code: int, reason: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        me = threading.get_ident()
        with self.lock:
            self.over = True
            self.stoppers.add(me)
            attempt, channel = self.attempt, self.channel
        self._threads.close()
        self.stopping.set()
        self.hurry.set()
        try:
            if attempt is not None:
                attempt.cancel()
            if channel is not None:
                close_deadline = min(deadline, time.monotonic() + self.core.close_timeout)
                end_channels([channel], code, reason, close_deadline, self.stoppers, timeout)
            rest = min(0.5, timeout / 10)
            self.readers.stop(max(rest, deadline - time.monotonic()), self.stoppers)
            self._threads.join(max(deadline, time.monotonic() + rest), self.stoppers)
        finally:
            with self.lock:
                self.stoppers.discard(me)


class ClientCore:
    """A `base.Client` without its way of connecting: subclasses have `open_wire`."""

    #: What is under way, as far as that is known. Of a network in memory it is.
    activity: ActivityLike = UNCOUNTED
    #: The kind of its channels.
    channel_type: ClassVar[Type[WireChannel]] = WireChannel

    def __init__(
        self,
        *,
        reconnect: bool = True,
        backoff: Union[Backoff, Callable[[], Backoff]] = Backoff,
        clock: Optional[Clock] = None,
        max_message_size: int = 1024 * 1024,
        message_timeout: float = 30.0,
        ping_interval: Optional[float] = 45.0,
        pong_timeout: float = 30.0,
        close_timeout: float = 0.5,  # so that stop() takes less than a second, whatever the peer does
        readers: ReadersOption = "per-connection",
        default_subprotocol: Optional[str] = None,
    ) -> None:
        check_options("ClientCore", locals())
        self.reconnect = reconnect  #: Whether a lost connection is regained. May be set at any time.
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.close_timeout = close_timeout
        self.make_readers: Callable[[], Readers] = readers_maker(readers)
        self.handlers: Handlers = Handlers()
        self.waiting: Callable[[], ContextManager[Any]] = nullcontext  #: See `base.Client.waiting`.
        self.backoff: Backoff = backoff if isinstance(backoff, Backoff) else backoff()
        self._max_message_size = max_message_size
        self._message_timeout = message_timeout
        self._default_subprotocol = default_subprotocol
        self.ping_interval = ping_interval or None  #: Of the connections that are made from now on.
        self._pong_timeout = pong_timeout
        self._state = threading.Lock()  # guards _session
        self._session: Optional[Session] = None
        self.attempt_failed: Optional[Callable[[Exception], Any]] = None
        register(self)

    def _after_fork(self) -> None:
        """Forget the session, which is the parent's: see `ocppj.forks`."""
        self._session, self.waiting = None, nullcontext

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Log to ``logger``: see `base.Client.set_logger`."""
        self.handlers.use(logger, client_id)

    def set_connected_handler(self, handler: ChannelHandler) -> None:
        check_not_async("the handler", handler)
        self.handlers.connected = handler

    def set_message_handler(self, handler: MessageHandler) -> None:
        check_not_async("the handler", handler)
        self.handlers.message = handler

    def set_disconnected_handler(self, handler: DisconnectedHandler) -> None:
        check_not_async("the handler", handler)
        self.handlers.disconnected = handler

    def running_jobs(self) -> List[RunningJob]:
        """Return the jobs of the connection that run, or block, just now. For any thread."""
        session = self._session
        return [] if session is None else session.readers.running()

    def release_job(self, job: RunningJob) -> bool:
        """Let the next jobs of its connection run though ``job`` has not ended; return whether that was done."""
        session = self._session
        return session is not None and session.readers.release(job)

    #: Whether `connect` takes several URLs.
    takes_several_urls = True

    def set_ping_interval(self, interval: Optional[float]) -> None:
        """Ping every ``interval`` seconds, over the present connection and later ones; ``None`` or 0: not at all.

        Raises `UsageError` for a negative interval, and for what is no number.
        """
        check_option("ClientCore", "ping_interval", interval)
        self.ping_interval = interval or None  # first: a connection that is being made takes it from here
        channel = self.get_channel()
        if channel is not None:
            channel.ping_interval = interval

    def reconnect_now(self) -> bool:
        """Try to connect at once, in place of waiting for the next attempt of the back-off, or for a Retry-After.

        If an attempt is being made just now and fails, the next one follows without a wait. A connection that is there
        stays. Return false if nothing was to be done: there is a connection, or none is wanted.
        """
        session = self._session
        return session is not None and session.reconnect_now()

    def end_outage(self) -> None:
        """Begin with the shortest wait when the present connection is lost: it has proved to work.

        Without this, a connection counts as one that works after half a minute. One that ends before goes on with the
        waits of the outage before: a server may take connections, and close each at the first frame. May be called in
        the ``disconnected`` handler at the latest.
        """
        session = self._session
        if session is not None:
            session.end_outage()

    def set_attempt_failed_handler(self, handler: Optional[Callable[[Exception], Any]]) -> None:
        """Set what is called, on the thread that connects, with the error of a failed attempt before the next one."""
        check_not_async("the handler", handler)
        self.attempt_failed = handler

    def connect(
        self,
        url: Union[str, Sequence[str]],
        client_id: str,
        subprotocols: Sequence[str],
        retry: bool = False,
        wait: bool = True,
    ) -> None:
        """Connect: see `base.Client.connect`. Raises `UsageError` while connected or connecting."""
        if not (retry or wait):
            raise UsageError("wait=False needs retry=True: otherwise a failed connect() would have no effect")
        check_option("connect", "client_id", client_id)
        urls = endpoint_urls(url)
        if isinstance(subprotocols, str) or not subprotocols:
            raise UsageError("subprotocols is a sequence of at least one name")
        for each in urls:
            connection_url(each, client_id)
        self._check_default(subprotocols)
        for each in urls:
            hint = doubled_identity(each, client_id)
            if hint is not None:
                self.handlers.safe_log.warning("%s: %s", client_id, hint)
        session = Session(self, urls, client_id, subprotocols)
        with self._state:
            if self._session is not None and not self._session.over:
                raise UsageError("the client is connected already, or about to be")
            before, self._session = self._session, session
            self.waiting = session.readers.waiting
        if before is not None and before.last is not None and not before.last.read_here:
            before.last.ended.wait(_HANDLER_GRACE)  # its disconnected comes before our connected
        try:
            if not retry:
                session.connect_once()
            elif wait:
                session.keep_trying()
            else:
                session.begin_trying()
        except BaseException:
            with session.lock:
                session.over = True
            raise

    def _check_default(self, subprotocols: Sequence[str]) -> None:
        default = self._default_subprotocol
        if default is not None and default not in subprotocols:
            raise UsageError(f"the default_subprotocol {default!r} is not one of {', '.join(subprotocols)}")

    def agreed_subprotocol(self, where: str, offered: Sequence[str], chosen: Optional[str]) -> str:
        """Return the subprotocol of a connection whose server, at ``where``, chose ``chosen``.

        Raises `SubprotocolError`.
        """
        if not chosen and self._default_subprotocol is not None:  # some servers send the field without a value
            return self._default_subprotocol
        if chosen is None or chosen not in offered:
            shown = repr(chosen[:_SHOWN]) if chosen else "none"
            raise SubprotocolError(f"the server at {where} chose {shown} of {', '.join(offered)}")
        return chosen

    def send(self, text: str, wait: bool = True) -> None:
        channel = self.get_channel()
        if channel is None:
            raise TransportError("there is no connection now")
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
        self.handlers.log.report(last=True)

    def open_wire(self, session: Session, attempt: ConnectAttempt) -> Tuple[Wire, str, str]:
        """Connect; return the wire, the subprotocol and the peer's address. On `TransportError` nothing is left."""
        raise NotImplementedError

    def make_channel(self, session: Session, wire: Wire, subprotocol: str, remote_address: str) -> WireChannel:
        return self.channel_type(
            wire,
            session,
            session.readers,
            id=session.client_id,
            subprotocol=subprotocol,
            remote_address=remote_address,
            ping_interval=self.ping_interval,
            pong_timeout=self._pong_timeout,
            close_timeout=self.close_timeout,
            message_timeout=self._message_timeout,
        )
