"""One connection: the channel of the server, the client and the in-memory transports.

A channel is open until its *outcome* (a `Close`) is set, then *closing*, then finished. The first outcome stands:

* ``close()`` here: we send a Close and wait ``close_timeout`` seconds for the peer's.
* The peer's Close: the wire has answered it. The write buffer is still written, for at most ``close_timeout`` seconds.
* A `Violation`: we close with its code, and drop what the peer still sends.
* Nothing received for ``idle_timeout`` seconds: we close with 1008, and wait as after ``close()``.
* Nothing received after a ping, or a lost connection: the channel ends at once, with code 1006.

One thread at a time reads, with `WireChannel.step`, and in the end calls `WireChannel.finish` (see `ocppj.ws.readers`).
The lock guards the outcome and its deadline alone; nothing is called while it is held.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any, Callable, Collection, List, Optional, Protocol, Sequence

from ...errors import TransportError, UsageError
from ...settings import get_logger
from ..base import Channel, ChannelHandler, Close, DisconnectedHandler, MessageHandler
from ..readers.base import Readers
from ..stream.outlet import Outlet
from ..stream.waiting import earliest
from .keepalive import KeepAlive, PeerSilent, Verdict
from .wire import Violation, Wire

__all__ = ["ChannelOwner", "Handlers", "WireChannel", "call_handler", "check_close_code", "cut_reason", "end_channels"]

_EARLY = 0.05  # seconds by which a timer may be early
_GRACE = 1.0  # seconds for the handlers of the channels that `end_channels` has cut
_IDLE = "idle timeout: nothing was received"
_REASON_BYTES = 123  # RFC 6455 section 5.5: a control frame holds 125 bytes, the code takes two


class Handlers:
    """The three handlers of a transport (see `base`). Whatever they raise is logged and changes nothing."""

    __slots__ = ("connected", "disconnected", "message")

    def __init__(self) -> None:
        self.connected: Optional[ChannelHandler] = None
        self.message: Optional[MessageHandler] = None
        self.disconnected: Optional[DisconnectedHandler] = None

    def call_connected(self, channel: Channel) -> None:
        call_handler(channel.id, "connected", self.connected, channel)

    def call_disconnected(self, channel: Channel, close: Close) -> None:
        call_handler(channel.id, "disconnected", self.disconnected, channel, close)


def call_handler(client_id: str, name: str, handler: Optional[Callable[..., Any]], *args: Any) -> None:
    """Call ``handler``, if there is one, and log what it raises."""
    if handler is not None:
        try:
            handler(*args)
        except BaseException as error:
            _log_failure(client_id, name, error)


def _log_failure(client_id: str, name: str, error: BaseException) -> None:
    """Log what the handler ``name`` raised. On the main thread, where a program may connect, raise Ctrl-C again."""
    get_logger().error("%s: the %s handler failed", client_id, name, exc_info=error)
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error


class ChannelOwner(Protocol):
    """The maker of a channel, which is called on the channel's reading thread."""

    @property
    def handlers(self) -> Handlers:
        """Those of the transport. The channel itself calls the message handler."""

    def on_end(self, channel: "WireChannel", close: Close) -> None: ...


class WireChannel:
    """A `base.Channel`, and the `readers.Source` of its reading side."""

    __slots__ = (
        "__weakref__", "_close_timeout", "_deadline", "_discarding", "_ended", "_finished", "_gone", "_handlers",
        "_keepalive", "_lock", "_outcome", "_over", "_owner", "_readers", "_stream", "_wire", "arrival", "id",
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
    ) -> None:
        self._wire = wire
        self._stream = wire.stream
        self._owner = owner
        self._handlers = owner.handlers
        self._readers = readers
        self.id = id  #: The identity of the charge point, decoded.
        self.subprotocol = subprotocol  #: The negotiated subprotocol.
        self.remote_address = remote_address  #: Where the peer is.
        self._close_timeout = close_timeout
        self._keepalive = KeepAlive(ping_interval, pong_timeout, time.monotonic(), idle_timeout)
        self.slot: Any = None  #: Belongs to the `Readers`.
        #: Belongs to the server's registry: the number of its handshake, in the order of their arrival.
        self.arrival = 0

        self._lock = threading.Lock()  # guards the fields below
        self._ended: Optional[threading.Event] = None  # made when `ended` is first asked for
        self._gone = False  # whether `ended` is set, or is to be made set
        self._outcome: Optional[Close] = None
        self._deadline: Optional[float] = None  # of the closing
        self._finished = False
        # These two belong to the reading thread.
        self._discarding = False  # what the peer sends is dropped: it broke a rule, or has sent its Close
        self._over = False  # both Closes were exchanged

    def __repr__(self) -> str:
        return f"<channel {self.id!r} {self.subprotocol} {self.remote_address}>"

    @property
    def is_open(self) -> bool:
        return self._outcome is None

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

    def send(self, text: str, wait: bool = True) -> None:
        if self._outcome is not None:
            raise TransportError(f"the connection of {self.id!r} is {self._outcome}")
        if self._wire.send_text(text, wait):
            self._flush()

    def close(self, code: int = 1000, reason: str = "") -> None:
        check_close_code(code)
        if self.begin_close(code, reason) and not self.read_here:
            self._readers.wake(self)

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
    def ended(self) -> threading.Event:
        """Set when the ``disconnected`` handler has returned."""
        with self._lock:
            if self._ended is None:
                self._ended = threading.Event()
                if self._gone:
                    self._ended.set()
            return self._ended

    def begin_close(self, code: int, reason: str) -> bool:
        """Begin the close handshake; return false if the channel was closing. The caller must end it in time."""
        reason = cut_reason(reason)
        if not self._set_outcome(Close(code, reason)):
            return False
        self._send_close(code, reason)
        return True

    def begin(self) -> None:
        """Begin to be read; end at once if that is impossible."""
        try:
            self._readers.add(self)
        except RuntimeError:
            get_logger().exception("%s: no thread to read it can be started", self.id)
            self.abort()
            self._readers.give_up(self)

    def abort(self) -> None:
        self._stream.shutdown()

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
            due = self._keepalive.due
            return earliest(due, self._stream.write_deadline) if self._stream.unsent else due
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
            if block:
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
                return True
            return self._act(now)
        except Exception as error:
            return self._handle_failure(error)
        finally:
            if not block:
                stream.reader_ident = None

    def finish(self) -> None:
        self._set_outcome(Close(1006, error=TransportError("the connection was lost")))
        with self._lock:
            if self._finished:
                return
            self._finished = True
            outcome = self._outcome
        assert outcome is not None
        self._stream.reader_ident = threading.get_ident()
        if self._stream.unsent:
            get_logger().warning("%s: what was left to be written to it is lost: %s", self.id, outcome)
        self._stream.close()
        try:
            self._owner.on_end(self, outcome)
        finally:
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
            get_logger().error("%s: cannot read what the peer sent", self.id, exc_info=error)
            error = Violation(1002, type(error).__name__)
        self._close_for(error)
        return self._act(time.monotonic())

    def _flush(self) -> None:
        """Have another thread write the rest of what this thread sent. Raises `TransportError` if there is none."""
        try:
            self._readers.flush(self)
        except (RuntimeError, OSError) as error:
            self._stream.shutdown()  # its peer would wait for ever
            raise TransportError(f"no thread can write to {self.id!r}: {error}") from error

    def _read(self) -> None:
        if self._discarding:
            self._wire.discard()
            return
        close = self._wire.receive(self._take)
        if close is not None:
            self._set_outcome(Close(close.code, close.reason, by_peer=True))
            self._discarding = self._over = True

    def _take(self, text: str) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TransportError("the peer still sends though the time to close is over")
        handler = self._handlers.message
        if handler is not None:
            try:
                handler(self, text)
            except BaseException as error:
                _log_failure(self.id, "message", error)

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


def check_close_code(code: int) -> None:
    """Raise `UsageError` unless RFC 6455 section 7.4 lets ``code`` be sent."""
    if not (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) and not 3000 <= code <= 4999:
        raise UsageError(f"{code} is no close code that can be sent")


def cut_reason(reason: str) -> str:
    """Return as much of ``reason`` as fits into a Close frame, whole characters."""
    return reason.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore")


def end_channels(
    channels: Sequence[WireChannel], code: int, reason: str, deadline: float, stoppers: Collection[int]
) -> None:
    """Close ``channels`` and wait for their ends; cut those whose peers do not answer until ``deadline``.

    A channel is not waited for when its reader is this thread or another thread that stops the same endpoint
    (``stoppers``): that reader ends the channel after its handler has returned.
    """
    for channel in channels:
        channel.begin_close(code, reason)
    cut: List[WireChannel] = []
    for channel in channels:
        while not channel.ended.is_set() and not channel.read_by(stoppers):
            left = deadline - time.monotonic()
            if left <= 0:
                channel.abort()
                cut.append(channel)
                break
            channel.ended.wait(min(left, 0.05))  # not longer: there may be new stoppers
    grace = time.monotonic() + _GRACE
    for channel in cut:
        channel.ended.wait(max(0.0, grace - time.monotonic()))
