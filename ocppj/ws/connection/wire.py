"""What a channel stands on: frames, one connection's worth.

`Wire` is the seam between a channel and a WebSocket library or a pipe in memory. `SocketWire` is what the two
libraries' wires share: the order of the frames, and the rule that nothing follows a Close.

What is sent is written as far as the network takes it, and the rest put in line. A ``send_*`` that says ``True`` has
left bytes there that nobody is about to write: it was called by a thread that neither reads nor waits. Then somebody
must see to the ``outlet`` (`readers.Readers.flush`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol

from ...errors import TransportError
from ..readers.flusher import Outlet
from ..stream.stream import SafeSocket

__all__ = ["Line", "PeerClose", "SocketWire", "Take", "Violation", "Wire"]

#: Takes a text message.
Take = Callable[[str], None]


@dataclass(frozen=True)
class PeerClose:
    """The peer's Close frame came, and is answered."""

    code: int
    reason: str


class Violation(Exception):
    """The peer broke the rules of RFC 6455 or of this library; ``code`` is the close code that says so."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Line(Protocol):
    """The bytes below a wire, as far as the channel asks for them with each message."""

    #: The ident of the reading thread, while one reads.
    reader_ident: Optional[int]

    @property
    def received(self) -> int:
        """A number that has grown when something has been received."""

    @property
    def unsent(self) -> bool:
        """Whether bytes are in line."""

    @property
    def wants_write(self) -> bool:
        """Whether something is to be done as soon as the network takes bytes."""

    @property
    def write_deadline(self) -> Optional[float]:
        """Until when what was left in line must be out (`time.monotonic`)."""

    def flush(self) -> Any:
        """Write what is in line as far as that needs no waiting; cut the connection if it is overdue."""


class Wire(Protocol):
    """One connection. ``send_*``, `abort` are for any thread, the rest for the reading thread."""

    @property
    def line(self) -> Line:
        """Its bytes. Always the same object."""

    @property
    def outlet(self) -> Optional[Outlet]:
        """What writes the bytes in line; ``None`` if there never are any."""

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 if there is none."""

    def wait(self, deadline: Optional[float]) -> bool:
        """Wait until `receive` has something to do; false when ``deadline`` has come."""

    def receive(self, take: Take) -> Optional[PeerClose]:
        """Call ``take`` with each message that has come, never waiting; return the Close that ended them, if one did.

        Answers pings and Closes. Raises `Violation` when the peer broke a rule (nothing may be received any more: see
        `discard`) and ``OSError`` when the connection has ended.
        """

    def discard(self) -> None:
        """Drop what has come, never waiting. Raises ``OSError`` when the connection has ended."""

    def watch(self, notify: Callable[[], None]) -> bool:
        """See `readers.Source.watch`."""

    def send_text(self, text: str, wait: bool) -> bool:
        """Send a text frame; with ``wait``, wait until it is out, but on the reading thread. Raises `TransportError`.

        Return whether somebody must be asked to write the rest.
        """

    def send_ping(self) -> bool:
        """Send a ping without waiting; nothing when a Close was sent. Raises `TransportError`.

        Returns as `send_text` does.
        """

    def send_close(self, code: int, reason: str) -> bool:
        """Send a Close without waiting; nothing when one was sent already. Raises `TransportError`.

        Returns as `send_text` does.
        """

    def end_writing(self) -> None:
        """Let the peer see the end of the stream after the Close that was sent."""

    def abort(self) -> None:
        """End the connection at once and wake all who wait."""

    def release(self) -> None:
        """Give back what the connection holds. Last call."""


class SocketWire:
    """The part of a `Wire` that does not depend on the WebSocket library.

    Subclasses read, and make frames: ``_text_frame``, ``_ping_frame`` and ``_close_frame``.
    """

    __slots__ = ("_close_sent", "sock")

    def __init__(self, sock: SafeSocket) -> None:
        self.sock = sock
        self._close_sent = False  # guarded by the socket's lock

    @property
    def line(self) -> SafeSocket:
        """See `Wire.line`."""
        return self.sock

    @property
    def outlet(self) -> Outlet:
        """See `Wire.outlet`."""
        return self.sock

    def fileno(self) -> int:
        """See `Wire.fileno`."""
        return self.sock.fileno()

    def wait(self, deadline: Optional[float]) -> bool:
        """See `Wire.wait`."""
        return self.sock.wait_readable(deadline)

    def watch(self, notify: Callable[[], None]) -> bool:
        """Return false: there is a descriptor."""
        return False

    def discard(self) -> None:
        """See `Wire.discard`."""
        self.sock.read()

    def send_text(self, text: str, wait: bool = True) -> bool:
        """See `Wire.send_text`."""
        sock = self.sock
        with sock.lock:  # also while the frame is made: compressed ones must leave in the order they were compressed
            if self._close_sent:
                raise TransportError("the connection is closing")
            if sock.unsent and not wait:
                sock.check_backlog()
            if not sock.put(self._text_frame(text)):
                return False
            mark = sock.mark
        if not wait:
            return sock.leave()
        sock.drain(mark)
        return False

    def send_ping(self) -> bool:
        """See `Wire.send_ping`."""
        return self._send_control(self._ping_frame())

    def send_close(self, code: int, reason: str) -> bool:
        """See `Wire.send_close`."""
        return self._send_control(self._close_frame(code, reason), last=True)

    def end_writing(self) -> None:
        """See `Wire.end_writing`."""
        self.sock.end_writing()

    def abort(self) -> None:
        """See `Wire.abort`."""
        self.sock.shutdown()

    def release(self) -> None:
        """See `Wire.release`."""
        self.sock.close()

    def _send_control(self, frame: "bytes | bytearray", last: bool = False) -> bool:
        """Send a control frame without waiting, unless a Close was sent; ``last`` says that it is one."""
        with self.sock.lock:
            if self._close_sent:
                return False
            self._close_sent = last
            self.sock.put(frame)
        return self.sock.leave()

    def _text_frame(self, text: str) -> "bytes | bytearray":
        """Return a frame that is to be sent now: it may be compressed. The socket's lock is held."""
        raise NotImplementedError

    def _ping_frame(self) -> "bytes | bytearray":
        raise NotImplementedError

    def _close_frame(self, code: int, reason: str) -> "bytes | bytearray":
        raise NotImplementedError
