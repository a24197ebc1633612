"""One connection: the channel of the server, the client and the in-memory transports.

A channel is open until its *outcome* (a `Close`) is set, then *closing*, then finished. The first outcome stands:

* ``close()`` here: we send a Close and wait ``close_timeout`` seconds for the peer's.
* The peer's Close: the wire has answered it. The write buffer is still written, for at most ``close_timeout`` seconds.
* A `Violation`: we close with its code, and drop what the peer still sends.
* A message that is not complete in ``message_timeout`` seconds: as a violation, with 1008.
* Nothing received for ``idle_timeout`` seconds: we close with 1008, and wait as after ``close()``.
* Nothing received after a ping, or a lost connection: the channel ends at once, with code 1006.
* ``abort()`` here: the same, and nothing more is delivered.

*Pausing.* What acts on messages may `WireChannel.pause` the channel, until there is room for more. The program may
`WireChannel.pause_reading`, until it says otherwise. The channel reads nothing while one of the two wants that, so TCP
makes the peer wait. Meanwhile the peer does not count as silent or idle. When the channel begins to close, it reads
again, to find the peer's Close, and drops the messages before that.

One thread at a time reads, with `WireChannel.step`, and in the end calls `WireChannel.finish` (see `ocppj.ws.readers`).
The lock guards the outcome and its deadline alone; nothing is called while it is held.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Collection, List, Optional, Protocol, Sequence, Tuple

from ...callables import raise_interrupt
from ...errors import TransportError, UsageError
from ...events import Event
from ...interrupted import calls_program
from ...log_limit import LimitedLog, SafeLog, part_log
from ...loops import do_all, log_failure
from ...settings import LoggerLike, get_part_logger
from ..base import Channel, ChannelHandler, Close, DisconnectedHandler, MessageHandler
from ..readers.base import Readers
from ..stream.outlet import Outlet
from ..stream.waiting import earliest
from .keepalive import KeepAlive, PeerSilent, Verdict
from .raw_frame import check_frame
from .wire import Violation, Wire

if TYPE_CHECKING:
    from ..handshake.request import HandshakeRequest, KeptRequest

__all__ = ["ChannelOwner", "Handlers", "WireChannel", "call_handler", "check_close_code", "cut_reason", "end_channels"]

_EARLY = 0.05  # seconds by which a timer may be early
_GRACE = 1.0  # seconds for the handlers of the channels that `end_channels` has cut
_IDLE = "idle timeout: nothing was received"
_LOOK = 1.0  # seconds between two looks whether a paused channel has room: `WireChannel.resume` is much sooner
_LOOK_BLOCKED = 0.05  # the same for a thread that waits for that alone: it looks for the end of the connection, too
_NO_READER = "no thread or descriptor is left to read this connection"
_REASON_BYTES = 123  # RFC 6455 section 5.5: a control frame holds 125 bytes, the code takes two


class Handlers:
    """The handlers of a transport (see `base`). Whatever they raise is logged and changes nothing."""

    __slots__ = ("connected", "disconnected", "given", "log", "message", "refused", "safe_log")

    def __init__(self) -> None:
        self.log: LimitedLog = LimitedLog(partial(get_part_logger, "ws"))  # for lines that a peer can cause
        self.safe_log: SafeLog = part_log("ws")  # for other lines
        self.given: Tuple[Optional[LoggerLike], Optional[str]] = (None, None)  # what `use` was called with
        self.connected: Optional[ChannelHandler] = None
        self.message: Optional[MessageHandler] = None
        self.disconnected: Optional[DisconnectedHandler] = None
        self.refused: Optional[Callable[[str, str], None]] = None  # of a server: see `set_refused_handler` there

    def use(self, logger: Optional[LoggerLike], client_id: Optional[str]) -> None:
        """Log to ``logger``: see `base.Server.set_logger`."""
        self.given = logger, client_id
        self.log.use(logger, client_id)
        self.safe_log.use(logger, client_id)

    def call_connected(self, channel: Channel) -> None:
        call_handler(self.log, channel.id, "connected", self.connected, channel)

    def call_disconnected(self, channel: Channel, close: Close) -> None:
        call_handler(self.log, channel.id, "disconnected", self.disconnected, channel, close)

    def call_refused(self, client_id: str, reason: str) -> None:
        call_handler(self.log, client_id, "refused", self.refused, client_id, reason)


@calls_program
def call_handler(log: LimitedLog, client_id: str, name: str, handler: Optional[Callable[..., Any]], *args: Any) -> None:
    """Call ``handler``, if there is one, and log what it raises."""
    if handler is not None:
        try:
            handler(*args)
        except BaseException as error:
            _log_failure(log, client_id, name, error)


def _log_failure(log: LimitedLog, client_id: str, name: str, error: BaseException) -> None:
    """Log what the handler ``name`` raised. On the main thread, where a program may connect, raise Ctrl-C again."""
    log.error("%s: the %s handler failed", client_id, name, exc_info=error)
    raise_interrupt(error)


class _Pause:
    """The pause of a channel, until ``has_room()``, and as long as its stream is halted.

    ``look``, an event, makes a thread that waits look at once.
    """

    __slots__ = ("has_room", "look")

    def __init__(self, has_room: Callable[[], bool] = lambda: True) -> None:
        self.has_room = has_room
        self.look = Event()


class ChannelOwner(Protocol):
    """The maker of a channel, which is called on the channel's reading thread."""

    @property
    def handlers(self) -> Handlers:
        """Those of the transport. The channel itself calls the message handler."""

    def on_end(self, channel: "WireChannel", close: Close) -> None: ...


class WireChannel:
    """A `base.Channel`, and the `readers.Source` of its reading side."""

    __slots__ = (
        "__weakref__", "_begun", "_broken", "_close_timeout", "_deadline", "_discarding", "_dropping", "_ended",
        "_finished", "_finisher", "_gone", "_handlers", "_handshake", "_keepalive", "_lock", "_message_timeout",
        "_outcome", "_over", "_owner", "_pause", "_readers", "_stream", "_wire", "arrival", "id", "paused",
        "remote_address", "slot", "subprotocol",
    )  # fmt: skip

    def __init__(
        self,
        wire: Wire,
        owner: ChannelOwner,
        readers: Readers,
        *,
        id: str,
        subprotocol: str,
        remote_address: str,
        ping_interval: Optional[float] = None,
        pong_timeout: float = 30.0,
        close_timeout: float = 2.0,
        idle_timeout: Optional[float] = None,
        message_timeout: float = 30.0,
        handshake: Optional[KeptRequest] = None,
    ) -> None:
        self._wire = wire
        self._stream = wire.stream
        self._owner = owner
        self._handlers = owner.handlers
        self._readers = readers
        self.id: str = id  #: The identity of the charge point, decoded.
        self.subprotocol: str = subprotocol  #: The negotiated subprotocol.
        self.remote_address: str = remote_address  #: Where the peer is.
        self._handshake = handshake
        self._close_timeout = close_timeout
        self._message_timeout = message_timeout
        self._keepalive = KeepAlive(ping_interval, pong_timeout, time.monotonic(), idle_timeout)
        self.slot: Any = None  #: Belongs to the `Readers`.
        #: Belongs to the server's registry: the number of its handshake, in the order of their arrival.
        self.arrival: int = 0

        self._lock = threading.Lock()  # guards the fields below
        self._ended: Optional[Event] = None  # made when `ended` is first asked for
        self._gone = False  # whether `ended` is set, or is to be made set
        self._outcome: Optional[Close] = None
        self._deadline: Optional[float] = None  # of the closing
        self._finisher: Optional[int] = None  # the ident of the thread that is the first to call `finish`
        self._begun = False  # it is read, or was given up
        self._finished = 0  # how many of `_ENDINGS` that thread has done
        self._broken = False  # a write has failed; set by any thread, and the reading one finds it soon
        # The rest belongs to the reading thread.
        self.paused: bool = False  #: Whether nothing is read. The readers look at it after each step.
        self._pause: Optional[_Pause] = None
        self._dropping = False  # messages are dropped: it was paused when it began to close, or was aborted
        self._discarding = False  # what the peer sends is dropped: it broke a rule, or has sent its Close
        self._over = False  # both Closes were exchanged

    def __repr__(self) -> str:
        return f"<channel {self.id!r} {self.subprotocol} {self.remote_address}>"

    @property
    def handshake(self) -> Optional[HandshakeRequest]:
        """On a server, the request with which the client came, made anew each time: see `base.handshake_of`."""
        return None if self._handshake is None else self._handshake.request(self.id, self.remote_address)

    @property
    def is_open(self) -> bool:
        """Whether frames can be sent, as far as is known."""
        return self._outcome is None and not self._broken

    @property
    def ping_interval(self) -> Optional[float]:
        """Seconds between our pings, ``None`` for none. May be set at any time. Raises ``ValueError`` when negative.

        A shorter interval begins with a ping at once, because the reading thread may wait without a deadline: the pong
        wakes it.
        """
        return self._keepalive.interval

    @ping_interval.setter
    def ping_interval(self, interval: Optional[float]) -> None:
        before, self._keepalive.interval = self._keepalive.interval, interval
        after = self._keepalive.interval
        if after is None or (before is not None and before <= after) or not self.is_open or self.read_here:
            return
        self._keepalive.pinged(time.monotonic())
        with suppress(OSError):  # the reading thread finds it too
            if self._wire.send_ping():
                self._flush()

    @property
    def silence(self) -> float:
        """Seconds since something last came from the peer: a frame of whatever kind, or a part of one."""
        return time.monotonic() - self._keepalive.heard_at

    def send(self, text: str, wait: bool = True) -> None:
        if self._outcome is not None:
            raise TransportError(f"the connection of {self.id!r} is {self._outcome}")
        try:
            if self._wire.send_text(text, wait, self._is_held_back):
                self._flush()
        except TransportError:  # in all cases the stream is broken, or ends with a Close
            self._broken = True
            self.resume()
            raise

    def send_frame(self, opcode: int, data: bytes, fin: bool = True) -> None:
        frame = check_frame(opcode, data, fin)
        try:
            self._wire.send_frame(frame)
        except TransportError:  # the stream is broken
            self._broken = True
            self.resume()
            raise

    def _is_held_back(self) -> bool:
        """Tell whether this thread need not wait for what it has just sent: the readers hold the next job back."""
        return self._readers.holds_back(self)

    def close(self, code: int = 1000, reason: str = "") -> None:
        check_close_code(code)
        if self.begin_close(code, reason) and not self.read_here:
            try:
                self._readers.wake(self)
            except Exception:  # nothing would end the connection if the peer does not answer
                words = "%s: it is cut, since no thread can wait for the end of its closing"
                log_failure(words, self.id, log=self._handlers.safe_log)
                self.cut()

    def abort(self) -> None:
        self._set_outcome(Close(1006))
        self._dropping = True
        self._stream.reset()
        self.resume()

    def submit(self, job: Callable[[], None]) -> None:
        self._readers.submit(self, job)

    @property
    def read_here(self) -> bool:
        return self._stream.reader_ident == threading.get_ident()

    def read_by(self, idents: Collection[int]) -> bool:
        return self._stream.reader_ident in idents

    def claim_reading(self) -> None:
        """Count this thread as the reading one until the first step. It does not wait in `send`: the step writes on."""
        self._stream.reader_ident = threading.get_ident()

    @property
    def ended(self) -> Event:
        """Set when the ``disconnected`` handler has returned."""
        with self._lock:
            if self._ended is None:
                self._ended = Event()
                if self._gone:
                    self._ended.set()
            return self._ended

    def begin_close(self, code: int, reason: str) -> bool:
        """Begin the close handshake; return false if the channel was closing. The caller must end it in time."""
        reason = cut_reason(reason)
        if not self._set_outcome(Close(code, reason)):
            return False
        self._send_close(code, reason)
        self.resume()
        return True

    def pause(self, has_room: Callable[[], bool]) -> None:
        """Read nothing until ``has_room()``. On the reading thread, while it delivers a message.

        ``has_room`` is called on the reading thread: from time to time, and soon after each `resume`.
        """
        if self._outcome is not None:
            self._dropping = True
            return
        self._pause = _Pause(has_room)
        self.paused = True

    def pause_reading(self) -> None:
        if self._outcome is None:
            self._stream.halt(True)  # the reading thread heeds it when something has come

    def resume_reading(self) -> None:
        self._stream.halt(False)
        self.resume()
        self._readers.resume(self)  # paused or not: a step may just have left something unread, and not paused yet

    def resume(self) -> None:
        """Have a paused channel look whether there is room again, or whether it ends. For any thread."""
        pause = self._pause
        if pause is not None:
            pause.look.set()
            self._readers.resume(self)

    def begin(self) -> bool:
        """Begin to be read; if that is impossible, end at once, with 1013 ("try again later"), and return false.

        A second call does nothing.
        """
        if self._begun:
            return True
        try:
            self._begun = True
            self._readers.add(self)
            return True
        except BaseException as error:  # also what the selector of a program raises
            log = self._handlers.safe_log
            log_failure("%s: no thread to read it can be started", self.id, log=log)
            do_all(partial(self._give_up, error), self.cut, partial(self._readers.give_up, self), log=log)
            if not isinstance(error, Exception):
                raise
            return False

    def _give_up(self, error: BaseException) -> None:
        lost = TransportError(f"it cannot be read: {error or type(error).__name__}")
        if self._set_outcome(Close(1013, _NO_READER, error=lost)):
            self._send_close(1013, _NO_READER)

    def cut(self) -> None:
        """End the connection without waiting for the peer's Close. What has come is still delivered."""
        self._stream.shutdown()
        self.resume()

    # The rest is for the readers: see `readers.Source`.

    @property
    def name(self) -> str:
        return self.id

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def outlet(self) -> Optional[Outlet]:
        return self._wire.outlet

    def wants_write(self) -> bool:
        return self._stream.wants_write

    def watch(self, notify: Callable[[], None]) -> bool:
        return self._wire.watch(notify)

    def next_deadline(self) -> Optional[float]:
        if self._outcome is None:
            due, since = self._keepalive.due, self._wire.unfinished_since
            if since is not None:
                due = earliest(due, since + self._message_timeout)
            if self._pause is not None:  # there may be room by now: what made it has not known of the pause
                now = time.monotonic()
                due = now if self._may_read(self._pause) else earliest(due, now + _LOOK)
            return earliest(due, self._stream.write_deadline) if self._stream.unsent else due
        if self._pause is not None:  # it began to close just when it was paused
            return time.monotonic()
        with self._lock:
            return self._deadline

    def expire(self) -> None:
        with self._lock:
            overdue = self._deadline is not None and time.monotonic() >= self._deadline - _EARLY
        if overdue:
            self._stream.shutdown()

    def step(self, block: bool = True) -> bool:
        stream = self._stream
        stream.reader_ident = threading.get_ident()
        try:
            if stream.halted:
                self._heed_halt()
            if self._pause is not None:
                ready = self._look_for_room(self._pause, block)
            elif block:
                ready = self._stream.wait_readable(self.next_deadline())
            else:
                ready = True  # perhaps it is not: then nothing is received
                if stream.unsent:
                    stream.flush()
            before = stream.received
            if ready:
                self._read()
            now, keepalive = time.monotonic(), self._keepalive
            if stream.received != before:
                keepalive.heard_at = now
                if keepalive.silent_since is not None:
                    keepalive.heard(now)
            if self._outcome is None and (keepalive.due is None or now < keepalive.due):
                if self._wire.unfinished_since is None:
                    return True
            return self._act(now)
        except Exception as error:
            return self._handle_failure(error)
        finally:
            if not block:
                stream.reader_ident = None

    def finish(self) -> None:
        self._set_outcome(Close(1006, error=TransportError("the connection was lost")))
        me = threading.get_ident()
        with self._lock:
            if self._finisher not in (None, me):
                return
            self._finisher = me
        while self._finished < len(_ENDINGS):
            do_all(partial(_ENDINGS[self._finished], self), log=self._handlers.safe_log)
            self._finished += 1  # after it: a step that was cut off is done again

    def _close_stream(self) -> None:
        self._stream.reader_ident = threading.get_ident()
        unsent = self._stream.unsent
        self._stream.close()
        self._wire.forget()
        if unsent:
            self._handlers.log.warning("%s: what was left to be written to it is lost: %s", self.id, self._outcome)

    def _tell_end(self) -> None:
        assert self._outcome is not None
        self._owner.on_end(self, self._outcome)

    def _note_gone(self) -> None:
        self._stream.reader_ident = None
        with self._lock:
            self._gone, ended = True, self._ended
        if ended is not None:
            ended.set()

    def _handle_failure(self, error: Exception) -> bool:
        if isinstance(error, OSError):
            self._lose(error)
            return False
        if not isinstance(error, Violation):  # a library met input that it did not foresee
            log_failure("%s: cannot read what the peer sent", self.id, log=self._handlers.safe_log)
            error = Violation(1011 if isinstance(error, MemoryError) else 1002, type(error).__name__)
        self._close_for(error)
        return self._act(time.monotonic())

    def _flush(self) -> None:
        """Have another thread write the rest of what this thread sent. Raises `TransportError` if there is none."""
        try:
            self._readers.flush(self)
        except (RuntimeError, OSError) as error:
            self._stream.shutdown()  # its peer would wait for ever
            raise TransportError(f"no thread can write to {self.id!r}: {error}") from error

    def _heed_halt(self) -> None:
        """Pause, since the program wants nothing to be read; but do not when the channel ends."""
        if self._outcome is not None or self._stream.broken:
            self._stream.halt(False)
            self._dropping = True
            self._readers.resume(self)  # this step may have left something unread
        elif self._pause is None:
            self._pause, self.paused = _Pause(), True

    def _may_read(self, pause: _Pause) -> bool:
        return not self._stream.halted and pause.has_room()

    def _look_for_room(self, pause: _Pause, block: bool) -> bool:
        """While paused: return whether to read again. With ``block``, wait a little for that. Raises ``OSError``."""
        if self._stream.unsent:
            self._stream.flush()
        ends = self._outcome is not None or self._stream.broken
        if not ends and not self._may_read(pause):
            if block:
                pause.look.wait(_LOOK_BLOCKED)
                pause.look.clear()
            return False
        now, wire = time.monotonic(), self._wire
        self._keepalive.heard(now)
        if wire.unfinished_since is not None:  # the peer could not end the message meanwhile
            wire.unfinished_since = now
        self._pause, self.paused = None, False
        if ends:  # never back to false: another thread may just have aborted the channel
            self._dropping = True
        return True

    def _read(self) -> None:
        if self._discarding:
            self._wire.discard()
            return
        close = self._wire.receive(self._take)
        if close is not None:
            # Before the answer: when the peer has it, the program may stop this side at once. It is still the peer's.
            self._set_outcome(Close(close.code, close.reason, by_peer=True))
            self._discarding = self._over = True
            self._wire.answer_close(close)
        if self._stream.halted:  # what is left may not be told of again: the next step is to find a pause
            self._heed_halt()

    @calls_program
    def _take(self, text: str) -> bool:
        """Deliver a message. Return whether the wire is to deliver no more for now."""
        if self._dropping:
            return False
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TransportError("the peer still sends though the time to close is over")
        handler = self._handlers.message
        if handler is not None:
            try:
                handler(self, text)
            except BaseException as error:
                _log_failure(self._handlers.log, self.id, "message", error)
        return self.paused or self._stream.halted

    def _set_outcome(self, outcome: Close) -> bool:
        """Set how the channel ends, and begin the time to close; return false if that was set before."""
        with self._lock:
            if self._outcome is not None:
                return False
            self._outcome = outcome
            self._deadline = time.monotonic() + self._close_timeout
            return True

    def _send_close(self, code: int, reason: str) -> None:
        try:
            if self._wire.send_close(code, reason):
                self._flush()
        except OSError:
            self._stream.shutdown()

    def _close_for(self, violation: Violation) -> None:
        reason = cut_reason(violation.reason)
        error = TransportError(f"the peer broke the rules: {violation.reason}")
        error.__cause__ = violation
        self._set_outcome(Close(violation.code, reason, error=error))
        self._discarding = True
        self._wire.forget()
        self._send_close(violation.code, reason)
        self._stream.end_writing()  # the peer's Close can no longer be found in its bytes: we wait for their end

    def _lose(self, error: OSError) -> None:
        if not isinstance(error, TransportError):
            cause, error = error, TransportError(f"the connection was lost: {error}")
            error.__cause__ = cause
        self._set_outcome(Close(1006, error=error))

    def _act(self, now: float) -> bool:
        if self._over:
            return self._stream.wants_write and now < (self._deadline or now)
        if self._deadline is not None:
            return now < self._deadline
        since = self._wire.unfinished_since
        if self._pause is not None:
            self._keepalive.heard(now)  # we do not listen
        elif since is not None and now >= since + self._message_timeout:
            self._close_for(Violation(1008, "a message was not complete in time", "message_timeout"))
            return True
        verdict = self._keepalive.judge(now)
        if verdict is Verdict.DEAD:
            self._lose(PeerSilent("the peer is silent: no life after a ping", "ping_timeout"))
            return False
        if verdict is Verdict.IDLE:
            self._set_outcome(Close(1008, _IDLE, error=PeerSilent(_IDLE, "idle_timeout")))
            self._send_close(1008, _IDLE)
        if verdict is Verdict.PING:
            with suppress(OSError):  # the next read finds it too
                self._wire.send_ping()
        return True


#: What `WireChannel.finish` does, in this order.
_ENDINGS = (WireChannel._close_stream, WireChannel._tell_end, WireChannel._note_gone)


def check_close_code(code: int) -> None:
    """Raise `UsageError` unless RFC 6455 section 7.4 lets ``code`` be sent."""
    if not (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) and not 3000 <= code <= 4999:
        raise UsageError(f"{code} is no close code that can be sent")


def cut_reason(reason: str) -> str:
    """Return as much of ``reason`` as fits into a Close frame, whole characters."""
    return reason.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore")


def end_channels(
    channels: Sequence[WireChannel],
    code: int,
    reason: str,
    deadline: float,
    stoppers: Collection[int],
    timeout: float = 5.0,
) -> None:
    """Close ``channels`` and wait for their ends; cut those whose peers do not answer until ``deadline``.

    A channel is not waited for when its reader is this thread or another thread that stops the same endpoint
    (``stoppers``): that reader ends the channel after its handler has returned. Those that were cut have a second for
    their handlers, or a fifth of ``timeout``.
    """
    for channel in channels:
        channel.begin_close(code, reason)
    cut: List[WireChannel] = []
    for channel in channels:
        while not channel.ended.is_set() and not channel.read_by(stoppers):
            left = deadline - time.monotonic()
            if left <= 0:
                channel.cut()
                cut.append(channel)
                break
            channel.ended.wait(min(left, 0.05))  # not longer: there may be new stoppers
    grace = time.monotonic() + min(_GRACE, timeout / 5)
    for channel in cut:
        channel.ended.wait(max(0.0, grace - time.monotonic()))
