"""The one socket class that both WebSocket libraries are given.

Theory of operation. The wrapped socket, plain or TLS, never blocks. One lock is held around every raw read and write
(two threads inside one TLS socket can crash the interpreter), and never while waiting: all waiting is in ``poll``,
outside the lock, with a deadline.

*Reading* is done by one thread at a time. Raw reads are large and land in a read buffer, so that a library which asks
for one or two bytes costs no system call. Buffer and TLS records already decrypted are looked at before waiting.

*Writing*, closing and the lock: see `ocppj.ws.stream.safewriter`, the other half of this class.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Optional

from ...errors import TransportError
from .safewriter import SafeWriter
from .waiting import earliest

__all__ = ["SafeSocket"]


class SafeSocket(SafeWriter):
    """A connected socket that any number of threads may write to while one reads.

    ``write_timeout`` is in seconds, ``max_backlog`` in bytes. The wrapped socket belongs to this object from now on.
    """

    __slots__ = ("_at", "_eof", "_inbox", "_timeout", "received")

    def __init__(self, sock: socket.socket, *, write_timeout: float = 10.0, max_backlog: int = 4 * 1024 * 1024) -> None:
        super().__init__(sock, write_timeout, max_backlog)
        # These belong to the reading thread.
        self._inbox = b""  # what is left of a raw read; empty when all of it was read
        self._at = 0  # what of _inbox is read already
        self._eof = False
        self._timeout: Optional[float] = None
        #: How many bytes were read.
        self.received = 0

    # What a library asks of a socket -----------------------------------------------------------------------------

    def settimeout(self, timeout: Optional[float]) -> None:
        """Let `recv` wait ``timeout`` seconds; 0 not at all, ``None`` for as long as it takes."""
        self._timeout = timeout

    def gettimeout(self) -> Optional[float]:
        """Return what `settimeout` set."""
        return self._timeout

    def getpeercert(self) -> Any:
        """Return the peer's certificate as `ssl.SSLSocket.getpeercert` does; ``None`` without TLS or certificate."""
        return self._raw.getpeercert()

    @property
    def resumed(self) -> bool:
        """See `rawstream.RawStream.resumed`."""
        return self._raw.resumed

    def recv(self, size: int, deadline: Optional[float] = None) -> bytes:
        """Read at most ``size`` bytes; ``b""`` at the end.

        Waits as `settimeout` says, and not beyond ``deadline`` (of `time.monotonic`). Raises ``socket.timeout``,
        ``BlockingIOError``, or ``OSError``. For one thread at a time.
        """
        if not self._inbox:
            data = self._fill(deadline)
            if len(data) <= size:
                return data
            self._inbox, self._at = data, 0
        data = self._inbox[self._at : self._at + size]
        self._at += len(data)
        if self._at >= len(self._inbox):
            self._inbox = b""
        return data

    # What this library asks of it besides --------------------------------------------------------------------------

    @property
    def buffered(self) -> bool:
        """Whether bytes wait in the read buffer."""
        return bool(self._inbox)

    def unread(self, data: bytes) -> None:
        """Put ``data`` back in front of what is to be read."""
        self._inbox, self._at = data + (self._inbox[self._at :] if self._inbox else b""), 0

    def read(self) -> Optional[bytes]:
        """Return what has come, by one raw read at most; ``None`` when nothing has. Never waits.

        For the reading thread. Raises ``OSError`` when the connection has ended.
        """
        if self._inbox:
            data, self._inbox = self._inbox[self._at :], b""
            return data
        with self.lock:
            chunk = self._raw.read() if not self._closed else b""
            ended = chunk == b"" or (chunk is None and self._shut)
        if chunk:
            self.received += len(chunk)
        elif ended:
            self._eof = True
            raise self._end_of_reading() or TransportError("the connection was lost")
        return chunk

    def wait_readable(self, deadline: Optional[float]) -> bool:
        """Wait until `recv` has something to say, writing what is in line meanwhile; false when ``deadline`` has come.

        For the reading thread.
        """
        while True:
            if self._inbox or self._eof:
                return True
            with self.lock:
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
            with self.lock:
                self._break_if_overdue()
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def handshake(self, deadline: float) -> None:
        """Do the TLS handshake, if this is TLS. Raises ``ssl.SSLError``, ``OSError`` or ``socket.timeout``."""
        while True:
            with self.lock:
                self._check()
                if self._raw.handshake():
                    return
                write = self._raw.read_wants_write
                self._waiters += 1
            self._poll(not write, write, deadline)
            if time.monotonic() >= deadline:
                raise socket.timeout("the TLS handshake took too long")

    def linger(self, deadline: float) -> None:
        """Lingering close: end writing, and drop what comes until the peer ends the connection, or ``deadline``.

        So the peer surely reads our last words. A socket that is closed while bytes of its peer are unread makes the
        system reset the connection, and drop what it has not sent yet.
        """
        self.end_writing()
        while time.monotonic() < deadline:
            with self.lock:
                if self._closed or self._shut:
                    return
                self._flush()
                if self._shut or not self._raw.discard():
                    return
                write = self.wants_write
                self._waiters += 1
            self._poll(True, write, deadline)

    # Inside --------------------------------------------------------------------------------------------------------

    def _fill(self, deadline: Optional[float]) -> bytes:
        """Return what one raw read gives, after waiting if that is allowed."""
        if self._timeout:
            deadline = earliest(deadline, time.monotonic() + self._timeout)
        while not self._eof:
            with self.lock:
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
        error = self._end_of_reading()
        if error is not None:
            raise error
        return b""

    def _end_of_reading(self) -> Optional[TransportError]:
        """Return what the reader is told of why we ended the connection; ``None`` if we did not."""
        if not isinstance(self._error, TransportError):
            return None
        error = TransportError(str(self._error))
        error.__cause__ = self._error
        return error
