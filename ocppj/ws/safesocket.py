"""The one socket class that both WebSocket libraries are given.

Theory of operation. The wrapped socket, plain or TLS, never blocks. One lock is held around every raw read and write
(two threads inside one TLS socket can crash the interpreter), and never while waiting: all waiting is in ``poll``,
outside the lock, with a deadline.

*Reading* is done by one thread at a time. Raw reads are large and land in a read buffer, so that a library which asks
for one or two bytes costs no system call. Buffer and TLS records already decrypted are looked at before waiting.

*Writing.* `SafeSocket.send` puts bytes in line (the outbox) and writes what the network takes without waiting; it
always says that everything was sent, so that no caller sees a partial write and no pong is cut into a frame. Then
`drain` waits until the bytes up to a mark are out:

* on the **reading thread** (``reader_ident``) it returns at once: what is left is written whenever that thread waits
  for input. So a reader never stops reading because its peer does not read, and two peers that both write much cannot
  block each other.
* any other thread waits for its own bytes, writing whatever is first in line.

A thread that neither reads nor may wait calls `leave` in place of `drain`. It is told when bytes remain: then somebody
else must call `flush` until nothing is left (see `ocppj.ws.flusher`), for the reading thread may wait for input alone.

Bytes that are not out within ``write_timeout`` seconds, or a thread that would leave some while more than
``max_backlog`` bytes are in line, break the socket: everybody is woken and gets an error.

*Closing.* ``shutdown`` wakes whoever waits. The file descriptor is closed when nobody is in ``poll`` on it, by the
last to leave: its number can never be reused under a waiting thread.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from typing import Any, Optional, Tuple

from ..errors import TransportError, WriteTimeout
from .flusher import Rest
from .outbox import Outbox
from .polling import earliest, wait_io
from .rawstream import RawStream

__all__ = ["SafeSocket"]

_TLS_RETRY = 0.05  # seconds: a TLS write that waits for a read looks again, since the reader may take that input


class SafeSocket:
    """A connected socket that any number of threads may write to while one reads.

    ``write_timeout`` is in seconds, ``max_backlog`` in bytes. The wrapped socket belongs to this object from now on.
    """

    def __init__(self, sock: socket.socket, *, write_timeout: float = 10.0, max_backlog: int = 4 * 1024 * 1024) -> None:
        self._raw = RawStream(sock)
        self._write_timeout = write_timeout
        self._max_backlog = max_backlog
        # Held around every use of _raw but poll, and around all fields below up to the blank line.
        self._lock = threading.Lock()
        self._outbox = Outbox(self._raw.piece)
        self._cork: Optional[threading.Event] = None  # set when uncorked
        self._error: Optional[BaseException] = None
        self._shut = False
        self._last = False  # nothing will be sent any more: tell the peer when the line is empty
        self._waiters = 0  # threads in poll
        self._closed = False  # websocket-client looks at this name

        # These belong to the reading thread.
        self._inbox = b""
        self._at = 0  # what of _inbox is read already
        self._eof = False
        self._timeout: Optional[float] = None
        #: How many bytes were read.
        self.received = 0
        #: The thread that reads now, which therefore never waits in a write.
        self.reader_ident: Optional[int] = None

    # What a library asks of a socket -----------------------------------------------------------------------------

    def fileno(self) -> int:
        """Return the file descriptor, -1 once it is closed."""
        return self._raw.fileno()

    def settimeout(self, timeout: Optional[float]) -> None:
        """Let `recv` wait ``timeout`` seconds; 0 not at all, ``None`` for as long as it takes."""
        self._timeout = timeout

    def gettimeout(self) -> Optional[float]:
        """Return what `settimeout` set."""
        return self._timeout

    def getpeercert(self) -> Any:
        """Return the peer's certificate as `ssl.SSLSocket.getpeercert` does; ``None`` without TLS or certificate."""
        return self._raw.getpeercert()

    def recv(self, size: int, deadline: Optional[float] = None) -> bytes:
        """Read at most ``size`` bytes; ``b""`` at the end.

        Waits as `settimeout` says, and not beyond ``deadline`` (of `time.monotonic`). Raises ``socket.timeout``,
        ``BlockingIOError``, or ``OSError``. For one thread at a time.
        """
        if self._at >= len(self._inbox):
            data = self._fill(deadline)
            if len(data) <= size:
                return data
            self._inbox, self._at = data, 0
        data = self._inbox[self._at : self._at + size]
        self._at += len(data)
        return data

    def send(self, data: Any) -> int:
        """Put ``data`` in line and write what can be written now; return its length. Never waits: see `drain`.

        Raises `TransportError` when the socket is closed or broken.
        """
        self._send(data)
        return len(data)

    def sendall(self, data: Any) -> None:
        """`send` and `drain`."""
        self.drain(self._send(data))

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection in both directions, whatever ``how`` says, and wake every thread that waits on it."""
        with self._lock:
            self._shut_down()

    def close(self) -> None:
        """Shut down, and close the file descriptor now or when the last thread has left ``poll``. Idempotent."""
        with self._lock:
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
    def buffered(self) -> bool:
        """Whether bytes wait in the read buffer."""
        return self._at < len(self._inbox)

    @property
    def unsent(self) -> bool:
        """Whether bytes are in line."""
        return bool(self._outbox)

    @property
    def wants_write(self) -> bool:
        """Whether something is to be done as soon as the network takes bytes."""
        flushable = bool(self._outbox) and self._cork is None and not self._raw.write_wants_read
        return flushable or self._raw.read_wants_write

    @property
    def write_deadline(self) -> Optional[float]:
        """The time until which what was left in line must be out; ``None`` when nothing was left."""
        if not self._outbox:
            return None
        with self._lock:
            return self._outbox.deadline()

    @property
    def mark(self) -> int:
        """The end of the line, for `drain`."""
        return self._outbox.queued

    def unread(self, data: bytes) -> None:
        """Put ``data`` back in front of what is to be read."""
        self._inbox, self._at = data + self._inbox[self._at :], 0

    def cork(self) -> None:
        """Keep all that is sent from now on in line, until `uncork`."""
        self._cork = threading.Event()

    def uncork(self, discard: bool = False) -> None:
        """Write what was kept, or ``discard`` it. What the network does not take is left to the reading thread."""
        with self._lock:
            cork, self._cork = self._cork, None
            if discard:
                self._outbox.drop()
            elif not self._closed:
                self._flush()
                self._outbox.leave(time.monotonic() + self._write_timeout)
        if cork is not None:
            cork.set()

    def end_writing(self) -> None:
        """Let the peer see the end of the stream once everything is written; reading goes on."""
        with self._lock:
            self._last = True
            if not self._closed and not self._shut:
                self._flush()

    def drain(self, mark: int) -> None:
        """Wait until all bytes up to ``mark`` are written; on the reading thread, return at once.

        Raises `WriteTimeout` when they are not out in time, and `TransportError` when the socket breaks first.
        """
        if self._outbox.sent >= mark or self.reader_ident == threading.get_ident():
            return
        deadline = time.monotonic() + self._write_timeout
        while True:
            with self._lock:
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
        """Break the socket when there is too much in line for more to be left. Raises `WriteTimeout`."""
        if len(self._outbox) <= self._max_backlog:
            return
        with self._lock:
            self._break(WriteTimeout("the peer reads too slowly: too much waits to be written to it"))
            self._check()

    def leave(self) -> bool:
        """Give up waiting for what is in line; return whether somebody must be asked to `flush` it.

        Nobody needs to on the reading thread, which writes it when it comes round, nor before `uncork`.
        """
        if not self._outbox or self.reader_ident == threading.get_ident():
            return False
        with self._lock:
            self._outbox.leave(time.monotonic() + self._write_timeout)
            return bool(self._outbox) and self._cork is None

    def flush(self) -> Optional[Rest]:
        """Write what can be written without waiting: see `flusher.Outlet.flush`."""
        with self._lock:
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
        with self._lock:
            if self._closed:
                return -1
            self._waiters += 1
            return self._raw.fileno()

    def let_go(self) -> None:
        """Undo `hold`. The descriptor is closed now if `close` was called meanwhile and nobody else waits."""
        with self._lock:
            self._waiters -= 1
            if self._closed and not self._waiters:
                self._raw.close()

    def wait_readable(self, deadline: Optional[float]) -> bool:
        """Wait until `recv` has something to say, writing what is in line meanwhile; false when ``deadline`` has come.

        For the reading thread.
        """
        while True:
            if self._at < len(self._inbox) or self._eof:
                return True
            with self._lock:
                if self._closed or self._shut:
                    return True
                if self._outbox:
                    self._flush()
                if self._raw.pending():
                    return True
                until = self._outbox.deadline()
                write = self.wants_write
                self._waiters += 1
            readable, writable = self._poll(True, write, earliest(until, deadline))
            if readable or (writable and self._raw.read_wants_write):
                return True
            with self._lock:
                self._break_if_overdue()
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def handshake(self, deadline: float) -> None:
        """Do the TLS handshake, if this is TLS. Raises ``ssl.SSLError``, ``OSError`` or ``socket.timeout``."""
        while True:
            with self._lock:
                self._check()
                if self._raw.handshake():
                    return
                write = self._raw.read_wants_write
                self._waiters += 1
            self._poll(not write, write, deadline)
            if time.monotonic() >= deadline:
                raise socket.timeout("the TLS handshake took too long")

    # Inside --------------------------------------------------------------------------------------------------------

    def _send(self, data: Any) -> int:
        """`send`, but return the position in line that is to be waited for."""
        by_reader = self.reader_ident == threading.get_ident()
        if by_reader:
            self.check_backlog()
        with self._lock:
            self._check()
            self._flush(data)
            if self._error is not None:
                self._check()
            if by_reader:
                self._outbox.leave(time.monotonic() + self._write_timeout)
            return self._outbox.queued

    def _fill(self, deadline: Optional[float]) -> bytes:
        """Return what one raw read gives, after waiting if that is allowed."""
        if self._timeout:
            deadline = earliest(deadline, time.monotonic() + self._timeout)
        while not self._eof:
            with self._lock:
                data = self._raw.read() if not self._closed else b""
                if data is None and self._shut:
                    data = b""
            if data:
                self.received += len(data)
                return data
            if data is not None:
                self._eof = True
            elif self._timeout == 0:
                raise BlockingIOError(errno.EAGAIN, "nothing to read yet")
            elif not self.wait_readable(deadline):
                raise socket.timeout("nothing came in time")
        if isinstance(self._error, TransportError):
            raise TransportError(str(self._error)) from self._error
        return b""

    def _flush(self, data: Any = b"") -> None:
        """Put ``data`` in line and write what can be written now; a failure is kept in ``_error``. Lock held."""
        if self._cork is not None or self._error is not None:
            self._outbox.put(memoryview(data))
            return
        try:
            self._outbox.write(self._raw.write, data)
            if self._last:  # a TLS peer sees an end without an alert, after a Close frame or a Content-Length
                self._last = False
                self._raw.shutdown(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._break(error)

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
