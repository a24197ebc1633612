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
    """The bytes below a wire, as far as the channel uses them: see `stream.Stream`. `shutdown` is for any thread."""

    reader_ident: Optional[int]  #: The ident of the reading thread, while one reads.

    @property
    def received(self) -> int:
        """A number that grows with everything that is received."""

    @property
    def unsent(self) -> bool: ...

    @property
    def wants_write(self) -> bool: ...

    @property
    def write_deadline(self) -> Optional[float]: ...

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 if there is none."""

    def wait_readable(self, deadline: Optional[float]) -> bool: ...

    def flush(self) -> Any: ...

    def end_writing(self) -> None: ...

    def shutdown(self) -> None: ...

    def close(self) -> None: ...


class Wire(Protocol):
    """The frames of one connection. ``send_*`` is for any thread, the rest for the reading thread."""

    @property
    def stream(self) -> WireStream: ...

    @property
    def outlet(self) -> Optional[Outlet]:
        """Its writing side; ``None`` if it never buffers what is sent."""

    def receive(self, take: Take) -> Optional[PeerClose]:
        """Call ``take`` with each message that has come; return the Close after them, if one came. Never waits.

        Answers pings and Closes. Raises `Violation`, after which only `discard` may be called, and ``OSError``.
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
