"""`Wire`: what a channel needs of the frames below it, which a WebSocket library or a pipe in memory makes.

What is sent is written as far as the network takes it. The rest stays in a write buffer. A ``send_*`` returns true if
it was called on a thread that neither reads nor waits and has left bytes there that no thread is about to write. Then
`readers.Readers.flush` must be asked to write them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol

from ...errors import reduce_error
from ..stream.outlet import Outlet
from .raw_frame import RawFrame

__all__ = ["PeerClose", "Take", "Violation", "Wire", "WireStream"]

#: Takes a text message. Returns true to get no more for now: the rest comes with the next ``receive``.
Take = Callable[[str], Any]


@dataclass(frozen=True)
class PeerClose:
    """The peer's Close frame."""

    code: int
    reason: str


class Violation(Exception):
    """The peer broke a rule of RFC 6455, or passed a limit of this library.

    ``code`` is the close code for it, and ``kind`` its name in ``Stats.refused``.
    """

    def __init__(self, code: int, reason: str, kind: Optional[str] = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.kind: str = kind or ("message_too_big" if code == 1009 else "protocol_error")

    __reduce__ = reduce_error


class WireStream(Protocol):
    """The bytes below a wire, as far as the channel uses them: see `stream.Stream`.

    `halt`, `shutdown` and `reset` are for any thread.
    """

    reader_ident: Optional[int]  #: The ident of the reading thread, while one reads.

    @property
    def received(self) -> int:
        """A number that grows with everything that is received."""

    @property
    def halted(self) -> bool:
        """Whether nothing is to be read, so that the peer has to wait."""

    def halt(self, halted: bool) -> None: ...

    @property
    def unsent(self) -> bool: ...

    @property
    def broken(self) -> bool:
        """Whether nothing can be sent any more. What has come can still be read."""

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

    def reset(self) -> None:
        """Cut the connection at once. What has come and was not read is dropped."""

    def close(self) -> None: ...


class Wire(Protocol):
    """The frames of one connection. ``send_*`` is for any thread, the rest for the reading thread."""

    #: When (`time.monotonic`) the message began whose end has not come; ``None``: there is none.
    unfinished_since: Optional[float]

    @property
    def stream(self) -> WireStream: ...

    @property
    def outlet(self) -> Optional[Outlet]:
        """Its writing side; ``None`` if it never buffers what is sent."""

    def receive(self, take: Take) -> Optional[PeerClose]:
        """Call ``take`` with each message that has come; return the Close after them, if one came. Never waits.

        If ``take`` returns true, what has come after its message is kept for the next call, and nothing is read.

        Answers pings. Raises `Violation`, after which only `discard` may be called, and ``OSError``.
        """

    def answer_close(self, close: PeerClose) -> None:
        """Send the Close that answers the peer's, unless one was sent. Never waits. Never fails."""

    def discard(self) -> None:
        """Drop what has come. Never waits. Raises ``OSError`` when the connection has ended."""

    def forget(self) -> None:
        """Drop the parts of an unfinished message."""

    def watch(self, notify: Callable[[], None]) -> bool:
        """See `readers.Source.watch`."""

    def send_text(self, text: str, wait: bool, held_back: Callable[[], bool]) -> bool:
        """Send a text frame. With ``wait``, and not on the reading thread, wait until it is written.

        If the network does not take it at once, ``held_back`` is called; it returns whether not to wait all the same.
        Return whether `readers.Readers.flush` must be called. Raises `TransportError`.
        """

    def send_frame(self, frame: RawFrame) -> None:
        """Send any frame, after a Close too. Waits as `send_text`. Raises `TransportError`."""

    def send_ping(self) -> bool:
        """Send a ping, unless a Close was sent. Never waits. Returns and raises as `send_text` does."""

    def send_close(self, code: int, reason: str) -> bool:
        """Send a Close, unless one was sent. Never waits. Returns and raises as `send_text` does."""
