"""The writing side of a `SafeSocket`, and how it ends.

`SafeWriter.put` writes what the network takes without waiting, nearly always everything, and puts the rest in line (the
outbox); so does `send`, for the libraries, which says that everything was sent, so that no caller sees a partial write
and no pong is cut into a frame. While something is in line nothing goes past it. `drain` waits until the bytes up to a
mark are out:

* on the **reading thread** (``reader_ident``) it returns at once: what is left is written whenever that thread waits
  for input. So a reader never stops reading because its peer does not read, and two peers that both write much cannot
  block each other.
* any other thread waits for its own bytes, writing whatever is first in line.

A thread that neither reads nor may wait calls `leave` in place of `drain`. It is told when bytes remain: then somebody
else must call `flush` until nothing is left (see `flusher`), for the reading thread may wait for input alone.

Bytes that are not out within ``write_timeout`` seconds, or a thread that would leave some while more than
``max_backlog`` bytes are in line, break the socket: everybody is woken and gets an error.

A wire holds the ``lock`` while it makes a frame and puts it: so frames leave in the order they were made in, which
compressed ones must, with one lock for all.

*Closing.* ``shutdown`` wakes whoever waits. The file descriptor is closed when nobody is in ``poll`` on it, by the
last to leave: its number can never be reused under a waiting thread.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Optional, Tuple

from ...errors import TransportError, WriteTimeout
from ..readers.flusher import Rest
from .nonblocking import RawStream
from .waiting import wait_io
from .write_buffer import Outbox

__all__ = ["SafeWriter"]

_TLS_RETRY = 0.05  # seconds: a TLS write that waits for a read looks again, since the reader may take that input


class SafeWriter:
    """What any number of threads may write to. The wrapped socket belongs to this object from now on."""

    __slots__ = (
        "_closed",
        "_cork",
        "_error",
        "_last",
        "_max_backlog",
        "_outbox",
        "_raw",
        "_shut",
        "_waiters",
        "_write_timeout",
        "lock",
        "reader_ident",
        "unsent",
    )

    def __init__(self, sock: socket.socket, write_timeout: float, max_backlog: int) -> None:
        self._raw = RawStream(sock)
        self._write_timeout = write_timeout
        self._max_backlog = max_backlog
        #: The thread that reads now, which therefore never waits in a write.
        self.reader_ident: Optional[int] = None
        #: Held around every use of the wrapped socket but poll, and around all fields below.
        self.lock = threading.Lock()
        #: Whether bytes are in line.
        self.unsent = False
        self._outbox = Outbox(self._raw.piece)
        self._cork: Optional[threading.Event] = None  # set when uncorked
        self._error: Optional[BaseException] = None
        self._shut = False
        self._last = False  # nothing will be sent any more: tell the peer when the line is empty
        self._waiters = 0  # threads in poll
        self._closed = False  # websocket-client looks at this name

    def fileno(self) -> int:
        """Return the file descriptor, -1 once it is closed."""
        return self._raw.fileno()

    def send(self, data: Any) -> int:
        """Put ``data`` in line and write what can be written now; return its length. Never waits: see `drain`.

        Raises `TransportError` when the socket is closed or broken.
        """
        with self.lock:
            self.put(data)
        return len(data)

    def sendall(self, data: Any) -> None:
        """`send` and `drain`."""
        with self.lock:
            self.put(data)
            mark = self.mark
        self.drain(mark)

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection in both directions, whatever ``how`` says, and wake every thread that waits on it."""
        with self.lock:
            self._shut_down()

    def close(self) -> None:
        """Shut down, and close the file descriptor now or when the last thread has left ``poll``. Idempotent."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            if not self._shut and not self._outbox:
                self._raw.say_goodbye()
            self._shut_down()
            if not self._waiters:
                self._raw.close()

    # What this library asks of it besides --------------------------------------------------------------------------

    @property
    def wants_write(self) -> bool:
        """Whether something is to be done as soon as the network takes bytes."""
        raw = self._raw
        return raw.read_wants_write or (self.unsent and self._cork is None and not raw.write_wants_read)

    @property
    def write_deadline(self) -> Optional[float]:
        """The time until which what was left in line must be out; ``None`` when nothing was left."""
        if not self.unsent:
            return None
        with self.lock:
            return self._outbox.deadline()

    @property
    def mark(self) -> int:
        """The end of the line, for `drain`."""
        return self._outbox.queued

    def put(self, data: Any) -> bool:
        """Write what can be written of ``data`` now, and put the rest in line; return whether something is in line.

        With the ``lock`` held. Never waits: see `drain` and `leave`, and call one of them when this says ``True``.
        Raises `TransportError` when the socket is closed or broken.
        """
        if not self.unsent and self._cork is None and not self._shut and 0 < len(data) <= self._raw.piece:
            try:  # as it nearly always is: nothing is in line, and nothing will be
                count = self._raw.write(data)
                if count == len(data):
                    return False
                data = memoryview(data)[count:]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._break(error)
        self._check()
        by_reader = self.reader_ident == threading.get_ident()
        if by_reader:
            self.check_backlog()
        self._flush(data)
        if self._error is not None:
            self._check()
        if by_reader:
            self._outbox.leave(time.monotonic() + self._write_timeout)
        return self.unsent

    def drain(self, mark: int) -> None:
        """Wait until all bytes up to ``mark`` are written; on the reading thread, return at once.

        Raises `WriteTimeout` when they are not out in time, and `TransportError` when the socket breaks first.
        """
        if self._outbox.sent >= mark or self.reader_ident == threading.get_ident():
            return
        deadline = time.monotonic() + self._write_timeout
        while True:
            with self.lock:
                self._flush()
                if self._outbox.sent >= mark:
                    return
                self._check()
                now = time.monotonic()
                if now >= deadline:
                    self._break_as_too_slow()
                    self._check()
                cork, wants_read = self._cork, self._raw.write_wants_read
                self._waiters += 1
            if cork is not None:
                cork.wait(deadline - now)
                self.let_go()
            elif wants_read:
                self._poll(True, False, min(deadline, now + _TLS_RETRY))
            else:
                self._poll(False, True, deadline)

    def check_backlog(self) -> None:
        """Break the socket when there is too much in line for more to be left. Raises `WriteTimeout`. Lock held."""
        if len(self._outbox) > self._max_backlog:
            self._break(WriteTimeout("the peer reads too slowly: too much waits to be written to it"))
            self._check()

    def leave(self) -> bool:
        """Give up waiting for what is in line; return whether somebody must be asked to `flush` it.

        Nobody needs to on the reading thread, which writes it when it comes round, nor before `uncork`.
        """
        if not self.unsent or self.reader_ident == threading.get_ident():
            return False
        with self.lock:
            self._outbox.leave(time.monotonic() + self._write_timeout)
            return self.unsent and self._cork is None

    def flush(self) -> Optional[Rest]:
        """Write what can be written without waiting: see `flusher.Outlet.flush`."""
        with self.lock:
            if self._closed or self._shut:
                return None
            self._flush()
            self._break_if_overdue()
            deadline = self._outbox.deadline()
            if deadline is None:  # all is out, or its writers wait for it themselves
                return None
            return Rest(deadline, self._cork is None and not self._raw.write_wants_read)

    def hold(self) -> int:
        """Keep the file descriptor open until `let_go`: see `flusher.Outlet.hold`."""
        with self.lock:
            if self._closed:
                return -1
            self._waiters += 1
            return self._raw.fileno()

    def let_go(self) -> None:
        """Undo `hold`. The descriptor is closed now if `close` was called meanwhile and nobody else waits."""
        with self.lock:
            self._waiters -= 1
            if self._closed and not self._waiters:
                self._raw.close()

    def cork(self) -> None:
        """Keep all that is sent from now on in line, until `uncork`."""
        self._cork = threading.Event()

    def uncork(self, discard: bool = False) -> None:
        """Write what was kept, or ``discard`` it. What the network does not take is left to the reading thread."""
        with self.lock:
            cork, self._cork = self._cork, None
            if discard:
                self._outbox.drop()
                self.unsent = False
            elif not self._closed:
                self._flush()
                self._outbox.leave(time.monotonic() + self._write_timeout)
        if cork is not None:
            cork.set()

    def end_writing(self) -> None:
        """Let the peer see the end of the stream once everything is written; reading goes on."""
        with self.lock:
            self._last = True
            if not self._closed and not self._shut:
                self._flush()

    # Inside --------------------------------------------------------------------------------------------------------

    def _flush(self, data: Any = b"") -> None:
        """Put ``data`` in line and write what can be written now; a failure is kept in ``_error``. Lock held."""
        self._outbox.put(memoryview(data))
        self.unsent = bool(self._outbox)
        if self._cork is not None or self._error is not None:
            return
        try:
            self._outbox.write(self._raw.write)
            if self._last:  # a TLS peer sees an end without an alert, after a Close frame or a Content-Length
                self._last = False
                self._raw.shutdown(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._break(error)
        self.unsent = bool(self._outbox)

    def _check(self) -> None:
        """Raise what keeps this socket from being written to. Lock held."""
        if isinstance(self._error, WriteTimeout):
            raise WriteTimeout(str(self._error)) from self._error
        if self._error is not None:
            raise TransportError(f"the connection is broken: {self._error}") from self._error
        if self._closed or self._shut:
            raise TransportError("the connection is closed")

    def _break(self, error: BaseException) -> None:
        """Give the connection up because of ``error``. Lock held."""
        if self._error is None:
            self._error = error
        self._outbox.drop()
        self.unsent = False
        self._shut_down()

    def _break_if_overdue(self) -> None:
        """Give the connection up when what was left in line is not out in time. Lock held."""
        if self._outbox.is_overdue():
            self._break_as_too_slow()

    def _break_as_too_slow(self) -> None:
        words = f"the peer did not take what was written to it within {self._write_timeout:g} seconds"
        self._break(WriteTimeout(words))

    def _shut_down(self) -> None:
        """Shut down in both directions. Lock held."""
        if not self._shut:
            self._shut = True
            self._raw.shutdown(socket.SHUT_RDWR)

    def _poll(self, read: bool, write: bool, deadline: Optional[float]) -> Tuple[bool, bool]:
        """Wait, as one who is counted in ``_waiters`` already."""
        try:
            return wait_io(self._raw.fileno(), read, write, deadline)
        finally:
            self.let_go()
