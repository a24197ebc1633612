"""What a channel stands on: frames, one connection's worth.

`Wire` is the seam between `ocppj.ws.channel` and a WebSocket library or a pipe in memory. `SocketWire` is what the two
libraries' wires share: the write lock, and the rule that nothing follows a Close.

Whatever is sent is put in line. A ``send_*`` that says ``True`` has left bytes there that nobody is about to write: it
was called by a thread that neither reads nor waits. Then somebody must see to the ``outlet`` (`readers.Readers.flush`).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Callable, Iterator, Optional, Protocol, Tuple, Type, Union

from ..errors import TransportError
from .flusher import Outlet
from .safesocket import SafeSocket

__all__ = ["Event", "PeerClose", "SocketWire", "Violation", "Wire"]


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


#: A text message, or the peer's Close.
Event = Union[str, PeerClose]


class Wire(Protocol):
    """One connection. ``send_*``, `abort` are for any thread, the rest for the reading thread."""

    #: The ident of the reading thread, while one reads.
    reader: Optional[int]

    @property
    def received(self) -> int:
        """A number that has grown when something has been received."""

    @property
    def outlet(self) -> Optional[Outlet]:
        """What writes the bytes in line; ``None`` if there never are any."""

    def fileno(self) -> int:
        """Return the descriptor to wait on; -1 if there is none."""

    def wait(self, deadline: Optional[float]) -> bool:
        """Wait until `receive` has something to do; false when ``deadline`` has come."""

    def receive(self) -> Iterator[Event]:
        """Yield what has come, never waiting. Answers pings and Closes.

        Raises `Violation` when the peer broke a rule (nothing may be received any more: see `discard`) and
        ``OSError`` when the connection has ended.
        """

    def discard(self) -> None:
        """Drop what has come, never waiting. Raises ``OSError`` when the connection has ended."""

    def wants_write(self) -> bool:
        """Whether something is to be done as soon as the network takes bytes."""

    def write_deadline(self) -> Optional[float]:
        """Return until when what was left in line must be out (`time.monotonic`)."""

    def watch(self, notify: Callable[[], None]) -> bool:
        """See `readers.Source.watch`."""

    def send_text(self, text: str, wait: bool) -> bool:
        """Send a text frame; with ``wait``, wait until it is out, but on the reading thread. Raises `TransportError`.

        Return whether somebody must be asked to write the rest.
        """

    def send_ping(self) -> bool:
        """Put a ping in line; nothing when a Close was sent. Raises `TransportError`. Returns as `send_text` does."""

    def send_close(self, code: int, reason: str) -> bool:
        """Put a Close in line; nothing when one was sent already. Raises `TransportError`.

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

    Subclasses give ``_put_text``, ``_put_ping`` and ``_put_close``, which write to the `SafeSocket` without waiting.
    """

    #: What the library raises, for `translated` to turn into ours. (A context would say it nicer, and cost a tenth of a
    #: short message.)
    library_errors: Tuple[Type[Exception], ...] = ()

    def translated(self, error: Exception) -> Exception:
        """Return the exception of ours that an exception of the library means."""
        raise NotImplementedError

    def __init__(self, sock: SafeSocket) -> None:
        self.sock = sock
        # Held while a frame is made and put in line, so that compressed frames leave in the order they were
        # compressed and nothing follows a Close. Never held while waiting.
        self._write_lock = threading.Lock()
        self._close_sent = False

    @property
    def reader(self) -> Optional[int]:
        """The reading thread."""
        return self.sock.reader_ident

    @reader.setter
    def reader(self, ident: Optional[int]) -> None:
        self.sock.reader_ident = ident

    @property
    def received(self) -> int:
        """See `Wire.received`."""
        return self.sock.received

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

    def wants_write(self) -> bool:
        """See `Wire.wants_write`."""
        return self.sock.wants_write

    def write_deadline(self) -> Optional[float]:
        """See `Wire.write_deadline`."""
        return self.sock.write_deadline

    def watch(self, notify: Callable[[], None]) -> bool:
        """Return false: there is a descriptor."""
        return False

    def discard(self) -> None:
        """See `Wire.discard`."""
        try:
            while True:
                self.read_some(65536)
                if not self.sock.buffered:
                    return
        except BlockingIOError:
            pass

    def read_some(self, size: int) -> bytes:
        """Read without waiting. Raises ``BlockingIOError`` when nothing is there, `TransportError` at the end."""
        data = self.sock.recv(size)
        if not data:
            raise TransportError("the connection was lost")
        return data

    def send_text(self, text: str, wait: bool = True) -> bool:
        """See `Wire.send_text`."""
        with self._write_lock:
            if self._close_sent:
                raise TransportError("the connection is closing")
            if not wait:
                self.sock.check_backlog()
            try:
                self._put_text(text)
            except self.library_errors as error:
                raise self.translated(error) from error
            mark = self.sock.mark
        if not wait:
            return self.sock.leave()
        self.sock.drain(mark)
        return False

    def send_ping(self) -> bool:
        """See `Wire.send_ping`."""
        return self._unless_closing(self._put_ping)

    def send_close(self, code: int, reason: str) -> bool:
        """See `Wire.send_close`."""

        def put() -> None:
            self._close_sent = True
            self._put_close(code, reason)

        return self._unless_closing(put)

    def end_writing(self) -> None:
        """See `Wire.end_writing`."""
        self.sock.end_writing()

    def abort(self) -> None:
        """See `Wire.abort`."""
        self.sock.shutdown()

    def release(self) -> None:
        """See `Wire.release`."""
        self.sock.close()

    def _unless_closing(self, put: Callable[[], None]) -> bool:
        """Put a control frame in line, and do not wait for it."""
        with self._write_lock:
            if self._close_sent:
                return False
            try:
                put()
            except self.library_errors as error:
                raise self.translated(error) from error
        return self.sock.leave()

    def _put_text(self, text: str) -> None:
        raise NotImplementedError

    def _put_ping(self) -> None:
        raise NotImplementedError

    def _put_close(self, code: int, reason: str) -> None:
        raise NotImplementedError
