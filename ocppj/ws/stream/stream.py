"""The bytes of one connection: `Stream`, which one thread reads and any number of threads write.

The socket, plain or TLS, never blocks. One lock is held around every read and write of it, because two threads inside
one TLS socket can crash the interpreter. All waiting is in `wait_io`, outside the lock and with a deadline.

*Writing.* `Stream.put` writes what the network takes at once, which is nearly always everything. The rest, and all that
follows, goes into the write buffer. Then the writing thread calls one of two:

* `Stream.drain` waits until the bytes up to a mark are written, and writes whatever comes first in the buffer. On the
  reading thread it returns at once; that thread writes the bytes when it next waits for input. So two peers that both
  write much cannot block each other.
* `Stream.hand_over` is for a thread that neither reads nor waits. When it returns true, another thread must call
  `flush` until nothing is left (see `readers.flusher`), because the reading thread may be waiting for input alone.

The connection breaks, and all waiting threads get an error, in two cases: bytes are not written within
``write_timeout`` seconds, or a thread would leave more bytes behind while the buffer has more than ``max_backlog``. It
breaks, too, when all write buffers together have more than the ``budget`` allows.
"""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Optional, Tuple

from ...budget import UNSENT, MemoryBudget
from ...errors import TransportError, WriteTimeout
from ...events import Event
from ...forks import close_copies, register
from .outlet import Unsent
from .waiting import earliest, wait_io
from .write_buffer import WriteBuffer

__all__ = ["MemoryLimit", "Stream"]

_READ_SIZE = 32 * 1024
_TLS_RECORD = 16 * 1024
_LAST_READS = 256  # more than a system keeps unread: a peer that sends still more does so to hold us
_TLS_RETRY = 0.05  # seconds: a TLS write that waits for input tries again, because the reader may take that input
_RESET_AT_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # SO_LINGER: on, for 0 seconds


class MemoryLimit(WriteTimeout):
    """What peers have not taken is more than may be held."""


class Stream:
    """A connected socket that one thread reads and any number of threads write. The socket belongs to it."""

    __slots__ = (
        "__weakref__", "_budget", "_buffer", "_closed", "_cork", "_eof", "_error", "_hello_came", "_last",
        "_max_backlog", "_piece", "_read_wants_write", "_shut", "_sock", "_tls", "_unread", "_waiters",
        "_write_timeout", "_write_wants_read", "counted", "halted", "lock", "reader_ident", "received", "unsent",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        *,
        write_timeout: float = 10.0,
        max_backlog: int = 4 * 1024 * 1024,
        budget: Optional[MemoryBudget] = None,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._write_timeout = write_timeout
        self._max_backlog = max_backlog
        # How many bytes one write gets at most: a TLS write that failed must be repeated with the same bytes.
        self._piece = _TLS_RECORD if self._tls is not None else sys.maxsize
        self.reader_ident: Optional[int] = None  #: The thread that reads now. It never waits in a write.
        # The next three belong to the reading thread.
        self._unread = b""
        self._eof = False
        self.received: int = 0  #: How many bytes were read from the socket.
        self._hello_came = False  # a byte of the TLS handshake
        #: Held around every use of the socket but `wait_io`. It guards the fields below. A wire holds it while it makes
        #: a frame and puts it: compressed frames must leave in the order they were made in.
        self.lock: threading.Lock = threading.Lock()
        self.halted: bool = False  #: Whether nothing is to be read. Set by `halt`.
        self.unsent: bool = False  #: Whether the write buffer has bytes.
        self._buffer = WriteBuffer(self._piece)
        self._budget = budget
        self.counted: int = 0  # bytes in the buffer that the budget has
        # TLS may have to write in order to read, and the other way round: what the last read or write waits for.
        self._read_wants_write = False
        self._write_wants_read = False
        self._cork: Optional[Event] = None  # set by `uncork`
        self._error: Optional[BaseException] = None
        self._shut = False
        self._last = False  # no more will be sent: end our direction once the buffer is empty
        self._waiters = 0  # threads that wait for the socket, or hold its descriptor
        self._closed = False
        register(self)

    def fileno(self) -> int:
        return self._sock.fileno()

    def handshake(self, deadline: float) -> None:
        """Do the TLS handshake, if this is TLS. Raises ``ssl.SSLError``, ``OSError`` or ``socket.timeout``."""
        while self._tls is not None:
            with self.lock:
                self._check()
                self._hello_came = self._hello_came or self._has_input()
                try:
                    self._tls.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    write = False
                except ssl.SSLWantWriteError:
                    write = True
                self._waiters += 1
            self._wait(not write, write, deadline)
            if time.monotonic() >= deadline:
                raise socket.timeout("the TLS handshake took too long")

    @property
    def heard(self) -> bool:
        """Whether anything has come, be it a part of the TLS handshake."""
        return self.received > 0 or self._hello_came

    def getpeercert(self) -> Any:
        return self._tls.getpeercert() if self._tls is not None else None

    @property
    def resumed(self) -> bool:
        """Whether the TLS handshake resumed an earlier session, whose certificates were not verified again."""
        return self._tls is not None and bool(self._tls.session_reused)

    def read(self) -> Optional[bytes]:
        """Return what has come, without waiting; ``None`` if nothing has, ``b""`` at the end. Raises ``OSError``.

        While reading is halted it returns ``None``, or ``b""`` if the connection is broken.
        """
        with self.lock:
            if self.halted and not self._shut:
                return None
            if self._unread and not self.halted:
                data, self._unread = self._unread, b""
                return data
            if self._eof or self._closed or self.halted:
                data = b""
            else:
                self._read_wants_write = False
                try:
                    data = self._sock.recv(_READ_SIZE)
                except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
                    if not self._shut:
                        self._read_wants_write = isinstance(error, ssl.SSLWantWriteError)
                        return None
                    data = b""
                except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                    data = b""
        if data:
            self.received += len(data)
            return data
        self._eof = True
        if isinstance(self._error, TransportError):  # we ended the connection: the reader learns why
            raise TransportError(str(self._error)) from self._error
        return b""

    def halt(self, halted: bool) -> None:
        """Have nothing read from now on, or have it read again. For any thread."""
        with self.lock:  # so no `read` is under way when this returns
            self.halted = halted

    def recv(self, size: int, deadline: Optional[float] = None) -> bytes:
        """Wait for bytes and return at most ``size``; ``b""`` at the end. Raises ``socket.timeout``, ``OSError``."""
        data = self.read()
        while data is None:
            if not self.wait_readable(deadline):
                raise socket.timeout("nothing came in time")
            data = self.read()
        self._unread = data[size:]
        return data[:size]

    def unread(self, data: bytes) -> None:
        self._unread = data + self._unread

    def wait_readable(self, deadline: Optional[float]) -> bool:
        """Wait until `read` has something to return, and write from the buffer meanwhile; false at ``deadline``."""
        while True:
            if self._unread or self._eof:
                return True
            with self.lock:
                if self._closed or self._shut:
                    return True
                if self.unsent:
                    self._flush()
                if self._tls is not None and self._tls.pending():  # bytes that no waiting would show
                    return True
                until = earliest(self._buffer.deadline(), deadline)
                write = self.wants_write
                self._waiters += 1
            readable, writable = self._wait(True, write, until)
            if readable or (writable and self._read_wants_write):
                return True
            with self.lock:
                self._break_if_overdue()
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def send(self, data: Any) -> int:
        """Put ``data``, and return its length: the libraries' way to write. Never waits. Raises `TransportError`."""
        with self.lock:
            self.put(data)
        return len(data)

    def put(self, data: Any) -> bool:
        """Write what the network takes now, and buffer the rest; return whether there is any. Lock held.

        After true, call `drain` or `hand_over` without the lock. Raises `TransportError`.
        """
        if not self.unsent and self._cork is None and not self._shut and 0 < len(data) <= self._piece:
            try:  # the usual case: the network takes everything
                count = self._sock.send(data)
                if count == len(data):
                    return False
                data = memoryview(data)[count:]
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
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
            self._set_deadline()
        return self.unsent

    @property
    def broken(self) -> bool:
        """Whether nothing can be sent any more. What has come can still be read."""
        return self._shut

    @property
    def mark(self) -> int:
        """The end of the write buffer, for `drain`."""
        return self._buffer.queued

    def drain(self, mark: int) -> None:
        """Wait until all bytes up to ``mark`` are written; not on the reading thread. Raises `TransportError`."""
        if self._buffer.sent >= mark or self.reader_ident == threading.get_ident():
            return
        deadline = time.monotonic() + self._write_timeout
        while True:
            with self.lock:
                self._flush()
                if self._buffer.sent >= mark:
                    return
                self._check()
                now = time.monotonic()
                if now >= deadline:
                    self._break_as_too_slow()
                    self._check()
                cork, wants_read = self._cork, self._write_wants_read
                self._waiters += 1
            if cork is not None:
                try:
                    cork.wait(deadline - now)
                finally:
                    self.let_go()
            elif wants_read:
                self._wait(True, False, min(deadline, now + _TLS_RETRY))
            else:
                self._wait(False, True, deadline)

    def hand_over(self) -> bool:
        """Set a deadline for the bytes in the buffer; return whether another thread must be asked to `flush` them."""
        if not self.unsent or self.reader_ident == threading.get_ident():
            return False
        with self.lock:
            self._set_deadline()
            return self.unsent and self._cork is None

    def check_backlog(self) -> None:
        """Break the stream if the buffer has too much for more to be left there. Raises `WriteTimeout`. Lock held."""
        if len(self._buffer) > self._max_backlog:
            self._break(WriteTimeout("the peer reads too slowly: too much waits to be written to it"))
            self._check()

    @property
    def wants_write(self) -> bool:
        """Whether there is something to do as soon as the network takes bytes."""
        return self._read_wants_write or (self.unsent and self._cork is None and not self._write_wants_read)

    @property
    def write_deadline(self) -> Optional[float]:
        """The first deadline of bytes in the buffer; ``None`` if there is none."""
        if not self.unsent:
            return None
        with self.lock:
            return self._buffer.deadline()

    def flush(self) -> Optional[Unsent]:
        with self.lock:
            if self._closed or self._shut:
                return None
            self._flush()
            self._break_if_overdue()
            deadline = self._buffer.deadline()
            if deadline is None:  # the buffer is empty, or its writers wait themselves
                return None
            return Unsent(deadline, self._cork is None and not self._write_wants_read)

    def cork(self) -> None:
        """Keep all that is put from now on in the buffer, until `uncork`."""
        self._cork = Event()

    def uncork(self, discard: bool = False) -> None:
        """Write what was kept, or ``discard`` it. The reading thread writes what the network does not take now."""
        with self.lock:
            cork, self._cork = self._cork, None
            if discard:
                self._drop_unsent()
            elif not self._closed:
                self._flush()
                self._set_deadline()
        if cork is not None:
            cork.set()

    def end_writing(self) -> None:
        """Let the peer see the end of the stream once the buffer is empty; reading goes on."""
        with self.lock:
            self._last = True
            if not self._closed and not self._shut:
                self._flush()

    def linger(self, deadline: float) -> None:
        """Lingering close: `end_writing`, and drop what comes until the peer ends the connection, or ``deadline``.

        Closed with unread input, the socket would be reset, and the peer might not get our last words.
        """
        self.end_writing()
        while time.monotonic() < deadline:
            with self.lock:
                if self.unsent and not self._shut:
                    self._flush()
                if self._closed or self._shut or not self._discard_input():
                    return
                write = self.unsent and self._cork is None and not self._write_wants_read
                self._waiters += 1
            self._wait(True, write, deadline)

    def shutdown(self) -> None:
        with self.lock:
            self._shut_down()

    def reset(self) -> None:
        """Cut the connection: nothing more is read or written, and when it is closed the peer gets a reset (TCP RST).

        The reading thread wakes up, as after `shutdown`, and is to `close` the stream.
        """
        with self.lock:
            self._eof = True
            waits_to_write = self.unsent or self._read_wants_write
            self._drop_unsent()
            with suppress(OSError):  # it is closed
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            if not self._shut:
                self._shut = True
                # On Linux this wakes the threads that wait to read, and the peer hears nothing before the reset.
                silently = sys.platform == "linux" and not waits_to_write
                self._shut_socket(socket.SHUT_RD if silently else socket.SHUT_RDWR)

    def close(self) -> None:
        """Shut down, and close the file descriptor once no thread waits on it. May be called again."""
        with self.lock:
            first, self._closed = not self._closed, True
            self._unread = b""
            if first and self._tls is not None and not self._shut and not self.unsent:
                with suppress(OSError, ValueError):
                    self._tls.unwrap()  # sends the close alert, if that needs no waiting
            self._shut_down()
            self._drop_unsent()
            if not self._waiters:
                self._close_socket()

    def _after_fork(self) -> None:
        """Close the descriptor alone: the connection is the parent's. See `ocppj.forks`."""
        self._closed = self._shut = self._eof = True
        self.unsent, self._budget, self.counted = False, None, 0
        close_copies(self._sock)

    def hold(self) -> int:
        with self.lock:
            if self._closed:
                return -1
            self._waiters += 1
            return self._sock.fileno()

    def let_go(self) -> None:
        """Undo `hold`. The last thread closes the descriptor, so its number means no other connection before."""
        with self.lock:
            self._waiters -= 1
            if self._closed and not self._waiters:
                self._close_socket()

    # What follows needs the lock, but for `_wait`.

    def _flush(self, data: Any = b"") -> None:
        """Put ``data`` into the buffer, and write what the network takes now. A failure is kept in ``_error``."""
        self._buffer.append(memoryview(data))
        self.unsent = bool(self._buffer)
        if self._cork is not None or self._error is not None:
            return
        try:
            self._buffer.write(self._write)
            if self._last:  # a TLS peer sees an end without an alert, after a Close frame or a Content-Length
                self._last = False
                self._shut_socket(socket.SHUT_WR)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._break(error)
        self.unsent = bool(self._buffer)
        if self.unsent or self.counted:
            self._count_unsent()

    def _count_unsent(self) -> None:
        """Have the budget count the buffer, and break the stream if that is too much."""
        size = self._buffer.weight
        if self._budget is not None and size != self.counted:
            if not self._budget.count(self, UNSENT, size):
                self._break(MemoryLimit("this side holds too much for peers that read too slowly"))

    def _write(self, data: Any) -> int:
        """Write once; return how many bytes were written. Raises ``BlockingIOError`` if none were, and ``OSError``."""
        self._write_wants_read = False
        try:
            return self._sock.send(data)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None
        except ssl.SSLWantReadError:
            self._write_wants_read = True
            raise BlockingIOError from None

    def _set_deadline(self) -> None:
        self._buffer.set_deadline(time.monotonic() + self._write_timeout)

    def _check(self) -> None:
        """Raise the reason for which nothing can be written, if there is one."""
        if isinstance(self._error, WriteTimeout):
            raise type(self._error)(str(self._error)) from self._error
        if self._error is not None:
            raise TransportError(f"the connection is broken: {self._error}") from self._error
        if self._closed or self._shut:
            raise TransportError("the connection is closed")

    def _break(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self._drop_unsent()
        self._shut_down()

    def _drop_unsent(self) -> None:
        self._buffer.clear()
        self.unsent = False
        if self.counted:
            self._count_unsent()

    def _break_if_overdue(self) -> None:
        if self._buffer.is_overdue():
            self._break_as_too_slow()

    def _break_as_too_slow(self) -> None:
        words = f"the peer did not take what was written to it within {self._write_timeout:g} seconds"
        self._break(WriteTimeout(words))

    def _shut_down(self) -> None:
        if not self._shut:
            self._shut = True
            self._shut_socket(socket.SHUT_RDWR)

    def _shut_socket(self, how: int) -> None:
        with suppress(OSError):  # not `ssl.SSLSocket.shutdown`: it drops the TLS state, and then writes in clear
            socket.socket.shutdown(self._sock, how)

    def _has_input(self) -> bool:
        """Tell whether a byte has come that is not read yet, below TLS."""
        try:
            return bool(socket.socket.recv(self._sock, 1, socket.MSG_PEEK))
        except OSError:
            return False

    def _discard_input(self) -> bool:
        """Read the bytes below TLS once, and drop them; return whether more may come."""
        try:
            return bool(socket.socket.recv(self._sock, _READ_SIZE))
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False

    def _close_socket(self) -> None:
        # With input unread, the system would reset the connection and drop what it has not sent (RFC 1122 4.2.2.13).
        with suppress(OSError, ValueError):
            for _ in range(_LAST_READS):
                if not socket.socket.recv(self._sock, _READ_SIZE):
                    break
        self._sock.close()

    def _wait(self, read: bool, write: bool, deadline: Optional[float]) -> Tuple[bool, bool]:
        """Wait for the socket. The caller has added itself to ``_waiters`` before."""
        try:
            return wait_io(self._sock.fileno(), read, write, deadline)
        finally:
            self.let_go()
