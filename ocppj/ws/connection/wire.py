"""`Wire`: what a channel needs of the frames below it, which a WebSocket library or a pipe in memory makes.

What is sent is written as far as the network takes it. The rest stays in a write buffer. A ``send_*`` returns true if
it was called on a thread that neither reads nor waits and has left bytes there that no thread is about to write. Then
`readers.Readers.flush` must be asked to write them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol

from ..stream.outlet import Outlet

__all__ = ["PeerClose", "Take", "Violation", "Wire", "WireStream"]

#: Takes a text message.
Take = Callable[[str], None]


@dataclass(frozen=True)
class PeerClose:
    """The peer's Close frame, which has been answered."""

    code: int
    reason: str


class Violation(Exception):
    """The peer broke a rule of RFC 6455 or of this library. ``code`` is the close code for it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class WireStream(Protocol):
    """The bytes below a wire, as far as the channel looks at them with each message: a `stream.Stream`."""

    #: The ident of the reading thread, while one reads.
    reader_ident: Optional[int]

    @property
    def received(self) -> int:
        """A number that grows with everything that is received."""

    @property
    def unsent(self) -> bool:
        """Whether the write buffer has bytes."""

    @property
    def wants_write(self) -> bool:
        """Whether there is something to do as soon as the network takes bytes."""

    @property
    def write_deadline(self) -> Optional[float]:
        """The first deadline of bytes in the buffer (`time.monotonic`)."""

    def flush(self) -> Any:
        """Write what the network takes now; break the connection if bytes were not written before their deadline."""


class Wire(Protocol):
    """The frames of one connection. ``send_*`` and `abort` are for any thread, the rest for the reading thread."""

    @property
    def stream(self) -> WireStream:
        """Its bytes. Always the same object."""

    @property
    def outlet(self) -> Optional[Outlet]:
        """Its writing side; ``None`` if it never buffers what is sent."""

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 if there is none."""

    def wait(self, deadline: Optional[float]) -> bool:
        """Wait until `receive` has something to do; false when ``deadline`` has come."""

    def receive(self, take: Take) -> Optional[PeerClose]:
        """Call ``take`` with each message that has come; return the Close after them, if one came. Never waits.

        Answers pings and Closes. Raises `Violation` when the peer broke a rule: then nothing may be received any more
        (see `discard`). Raises ``OSError`` when the connection has ended.
        """

    def discard(self) -> None:
        """Drop what has come. Never waits. Raises ``OSError`` when the connection has ended."""

    def watch(self, notify: Callable[[], None]) -> bool:
        """See `readers.Source.watch`."""

    def send_text(self, text: str, wait: bool) -> bool:
        """Send a text frame. With ``wait``, and not on the reading thread, wait until it is written.

        Return whether `readers.Readers.flush` must be called. Raises `TransportError`.
        """

    def send_ping(self) -> bool:
        """Send a ping, unless a Close was sent. Never waits. Returns and raises as `send_text` does."""

    def send_close(self, code: int, reason: str) -> bool:
        """Send a Close, unless one was sent. Never waits. Returns and raises as `send_text` does."""

    def end_writing(self) -> None:
        """Let the peer see the end of the stream after the Close that was sent."""

    def abort(self) -> None:
        """End the connection at once, and wake all threads that wait for it."""

    def release(self) -> None:
        """Give back what the connection holds. This is the last call."""
