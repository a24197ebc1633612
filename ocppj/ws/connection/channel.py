"""One connection: what the server's, the client's and the in-memory channel all are.

A channel is open; *closing*, from the moment there is a verdict (a `Close`) on how it ends; finished. The first verdict
stands, whatever happens after it:

* ``close()`` here: our Close is sent, and the peer's awaited for ``close_timeout`` seconds;
* the peer's Close: the wire has answered it; what is in line is still written, for at most ``close_timeout`` seconds;
* a `Violation`: we close with its code, and what the peer still sends is dropped;
* nothing received for ``idle_timeout`` seconds: we close with 1008, and wait as after ``close()``;
* no life after a ping, or a lost connection: over at once, with code 1006.

Reading is `step`, called by one thread at a time (see `ocppj.ws.readers`), which also ends the channel: `finish`. The
lock guards the verdict and its deadline alone; nothing is called while it is held.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, Callable, Collection, Optional, Protocol

from ...errors import TransportError, UsageError
from ...settings import get_logger
from ..base import Close
from ..readers.flusher import Outlet
from ..readers.per_connection import Readers
from ..stream.waiting import earliest
from .keepalive import KeepAlive, PeerSilent, Verdict
from .wire import Violation, Wire

__all__ = ["ChannelOwner", "WireChannel"]


_EARLY = 0.05  # seconds by which a timer may be early
_IDLE = "idle timeout: nothing was received"
_REASON_BYTES = 123  # RFC 6455 section 5.5: a control frame holds 125 bytes, the code takes two


class ChannelOwner(Protocol):
    """Who made a channel and is told about it, on its reading thread."""

    def on_message(self, channel: "WireChannel", text: str) -> None:
        """Take a text message."""

    def on_end(self, channel: "WireChannel", close: Close) -> None:
        """Take notice of the end."""


class WireChannel:
    """A `base.Channel`, and the `readers.Source` of its reading side."""

    __slots__ = (
        "__weakref__",
        "_close_timeout",
        "_deadline",
        "_deaf",
        "_ended",
        "_finished",
        "_gone",
        "_keepalive",
        "_line",
        "_lock",
        "_over",
        "_owner",
        "_readers",
        "_verdict",
        "_wire",
        "arrival",
        "id",
        "remote_address",
        "seat",
        "subprotocol",
    )

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
    ) -> None:
        self._wire = wire
        self._line = wire.line
        self._owner = owner
        self._readers = readers
        #: The identity of the charge point, decoded.
        self.id = id
        #: The negotiated subprotocol.
        self.subprotocol = subprotocol
        #: Where the peer is.
        self.remote_address = remote_address
        self._close_timeout = close_timeout
        self._keepalive = KeepAlive(ping_interval, pong_timeout, time.monotonic(), idle_timeout)
        #: Belongs to the `Readers`.
        self.seat: Any = None
        #: Belongs to the server's registry: the number of its handshake, in the order of their arrival.
        self.arrival = 0

        self._lock = threading.Lock()  # guards the verdict and what follows from it
        self._ended: Optional[threading.Event] = None  # made when somebody asks for it
        self._gone = False  # whether it is, or is to be, set
        self._verdict: Optional[Close] = None
        self._deadline: Optional[float] = None  # of the closing
        self._deaf = False  # what the peer sends is dropped: it broke a rule, or has sent its Close
        self._over = False  # both Closes are exchanged
        self._finished = False

    def __repr__(self) -> str:
        return f"<channel {self.id!r} {self.subprotocol} {self.remote_address}>"

    # base.Channel ------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether nothing has ended, or begun to end, this channel."""
        return self._verdict is None

    @property
    def ping_interval(self) -> Optional[float]:
        """Seconds between our pings, ``None`` for none. May be set at any time, e.g. by ``connected`` handlers.

        A shorter one begins with a ping at once: the reader may be waiting without end, and is woken by the pong, or by
        the end of the connection when the network gives that ping up. Raises ``ValueError`` when negative.
        """
        return self._keepalive.interval

    @ping_interval.setter
    def ping_interval(self, interval: Optional[float]) -> None:
        before, self._keepalive.interval = self._keepalive.interval, interval
        after = self._keepalive.interval
        if after is None or (before is not None and before <= after) or not self.is_open or self.read_here:
            return
        self._keepalive.pinged(time.monotonic())
        with suppress(OSError):  # which the reader finds too
            if self._wire.send_ping():
                self._flush()

    def send(self, text: str, wait: bool = True) -> None:
        """Send one text frame: see `base.Channel.send`."""
        if self._verdict is not None:
            raise TransportError(f"the connection of {self.id!r} is {self._verdict}")
        if self._wire.send_text(text, wait):
            self._flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the close handshake: see `base.Channel.close`. Raises `UsageError` for a code that cannot be sent."""
        check_close_code(code)
        if self.begin_close(code, reason) and not self.read_here:
            self._readers.wake(self)

    def submit(self, job: Callable[[], None]) -> None:
        """Run ``job`` on the channel's handler thread: see `base.Channel.submit`."""
        self._readers.submit(self, job)

    # For its owner -----------------------------------------------------------------------------------------------

    @property
    def read_here(self) -> bool:
        """Whether this thread is the one that reads the channel."""
        return self._line.reader_ident == threading.get_ident()

    def read_by(self, idents: Collection[int]) -> bool:
        """Whether the thread that reads the channel is one of these."""
        return self._line.reader_ident in idents

    def claim_reading(self) -> None:
        """Make this thread the reading one until the first step: what it sends is left to that step if need be."""
        self._line.reader_ident = threading.get_ident()

    @property
    def ended(self) -> threading.Event:
        """Set when the ``disconnected`` handler has returned."""
        with self._lock:
            if self._ended is None:
                self._ended = threading.Event()
                if self._gone:
                    self._ended.set()
            return self._ended

    def begin_close(self, code: int, reason: str) -> bool:
        """`close`, for a caller who sees to it himself that the channel ends in time; false if it was closing."""
        reason = cut_reason(reason)
        if not self._decide(Close(code, reason)):
            return False
        self._say_close(code, reason)
        return True

    def begin(self) -> None:
        """Start to be read; end at once if that is impossible."""
        try:
            self._readers.add(self)
        except RuntimeError:
            get_logger().exception("%s: no thread to read it can be started", self.id)
            self.abort()
            self._readers.give_up(self)

    def abort(self) -> None:
        """Cut the connection without a close handshake."""
        self._wire.abort()

    # readers.Source ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The id, as its threads are called."""
        return self.id

    def fileno(self) -> int:
        """See `readers.Source.fileno`."""
        return self._wire.fileno()

    @property
    def outlet(self) -> Optional[Outlet]:
        """See `readers.Source.outlet`."""
        return self._wire.outlet

    def wants_write(self) -> bool:
        """See `readers.Source.wants_write`."""
        return self._line.wants_write

    def watch(self, notify: Callable[[], None]) -> bool:
        """See `readers.Source.watch`."""
        return self._wire.watch(notify)

    def next_deadline(self) -> Optional[float]:
        """See `readers.Source.next_deadline`."""
        if self._verdict is None:
            due = self._keepalive.due
            return earliest(due, self._line.write_deadline) if self._line.unsent else due
        with self._lock:
            return self._deadline

    def expire(self) -> None:
        """See `readers.Source.expire`."""
        with self._lock:
            overdue = self._deadline is not None and time.monotonic() >= self._deadline - _EARLY
        if overdue:
            self._wire.abort()

    def step(self, block: bool = True) -> bool:
        """See `readers.Source.step`."""
        line = self._line
        line.reader_ident = threading.get_ident()
        try:
            if block:
                ready = self._wire.wait(self.next_deadline())
            else:
                ready = True  # or not: then nothing is received
                if line.unsent:
                    line.flush()
            before = line.received
            if ready:
                self._read()
            now, keepalive = time.monotonic(), self._keepalive
            if line.received != before:
                keepalive.heard(now)
            if self._verdict is None and (keepalive.due is None or now < keepalive.due):
                return True
            return self._go_on(now)
        except Exception as error:
            return self._stumble(error)
        finally:
            if not block:
                line.reader_ident = None

    def finish(self) -> None:
        """See `readers.Source.finish`."""
        self._decide(Close(1006, error=TransportError("the connection was lost")))
        with self._lock:
            if self._finished:
                return
            self._finished = True
            verdict = self._verdict
        assert verdict is not None
        self._line.reader_ident = threading.get_ident()
        if self._line.unsent:
            get_logger().warning("%s: what was left to be written to it is lost: %s", self.id, verdict)
        self._wire.release()
        try:
            self._owner.on_end(self, verdict)
        finally:
            self._line.reader_ident = None
            with self._lock:
                self._gone, ended = True, self._ended
            if ended is not None:
                ended.set()

    # Inside --------------------------------------------------------------------------------------------------------

    def _stumble(self, error: Exception) -> bool:
        """Make what the reading raised the end, or the beginning of it; return whether to go on."""
        if isinstance(error, OSError):
            self._lose(error)
            return False
        if not isinstance(error, Violation):  # a library met something it did not foresee
            get_logger().error("%s: cannot read what the peer sent", self.id, exc_info=error)
            error = Violation(1002, type(error).__name__)
        self._complain(error)
        return self._go_on(time.monotonic())

    def _flush(self) -> None:
        """Have the rest of what this thread sent written by another.

        Raises `TransportError` when there is no thread for it: then the connection is cut, for its peer would wait.
        """
        try:
            self._readers.flush(self)
        except (RuntimeError, OSError) as error:
            self._wire.abort()
            raise TransportError(f"nobody can write to {self.id!r}: {error}") from error

    def _read(self) -> None:
        if self._deaf:
            self._wire.discard()
            return
        close = self._wire.receive(self._take)
        if close is not None:
            self._decide(Close(close.code, close.reason, by_peer=True))
            self._deaf = self._over = True

    def _take(self, text: str) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TransportError("the peer still sends though the time to close is over")
        self._owner.on_message(self, text)

    def _decide(self, verdict: Close) -> bool:
        """Make ``verdict`` the one that stands, unless there is one; return whether it stands."""
        with self._lock:
            if self._verdict is not None:
                return False
            self._verdict = verdict
            self._deadline = time.monotonic() + self._close_timeout
            return True

    def _say_close(self, code: int, reason: str) -> None:
        try:
            if self._wire.send_close(code, reason):
                self._flush()
        except OSError:
            self._wire.abort()

    def _complain(self, violation: Violation) -> None:
        reason = cut_reason(violation.reason)
        error = TransportError(f"the peer broke the rules: {violation.reason}")
        error.__cause__ = violation
        self._decide(Close(violation.code, reason, error=error))
        self._deaf = True
        self._say_close(violation.code, reason)
        self._wire.end_writing()  # its answer could not be told from the rest: the end of the stream is the answer

    def _lose(self, error: OSError) -> None:
        if not isinstance(error, TransportError):
            cause, error = error, TransportError(f"the connection was lost: {error}")
            error.__cause__ = cause
        self._decide(Close(1006, error=error))

    def _go_on(self, now: float) -> bool:
        """Do what is due; return whether to go on."""
        if self._over:
            return self._line.wants_write and now < (self._deadline or now)
        if self._deadline is not None:
            return now < self._deadline
        verdict = self._keepalive.judge(now)
        if verdict is Verdict.DEAD:
            self._lose(PeerSilent("the peer is silent: no life after a ping", "ping_timeout"))
            return False
        if verdict is Verdict.IDLE:
            self._decide(Close(1008, _IDLE, error=PeerSilent(_IDLE, "idle_timeout")))
            self._say_close(1008, _IDLE)
        if verdict is Verdict.PING:
            with suppress(OSError):  # which the next read finds too
                self._wire.send_ping()
        return True


def check_close_code(code: int) -> None:
    """Raise `UsageError` unless RFC 6455 section 7.4 lets ``code`` be sent."""
    if not (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) and not 3000 <= code <= 4999:
        raise UsageError(f"{code} is no close code that can be sent")


def cut_reason(reason: str) -> str:
    """Return as much of ``reason`` as fits into a Close frame, whole characters."""
    return reason.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore")
