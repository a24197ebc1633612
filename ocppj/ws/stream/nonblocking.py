"""A non-blocking socket, plain or TLS, that says which way it must wait. Not locked: its owner does that."""

from __future__ import annotations

import socket
import ssl
import sys
from contextlib import suppress
from typing import Any, Optional

__all__ = ["RawStream"]

_READ_SIZE = 32 * 1024
_TLS_RECORD = 16 * 1024
_LAST_READS = 256  # more than a system keeps unread: who still sends does so to hold us


class RawStream:
    """The wrapped socket, which belongs to this object from now on.

    TLS may have to write in order to read, and the other way round: ``read_wants_write`` and ``write_wants_read`` say
    whether that is what the last read or write waits for.
    """

    __slots__ = ("_sock", "_tls", "piece", "read_wants_write", "write_wants_read")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self.read_wants_write = False
        self.write_wants_read = False
        #: How many bytes to give to one `write` at most: a TLS write must be repeated as it was.
        self.piece = _TLS_RECORD if self._tls is not None else sys.maxsize

    def fileno(self) -> int:
        """Return the file descriptor, -1 once it is closed."""
        return self._sock.fileno()

    def getpeercert(self) -> Any:
        """Return what `ssl.SSLSocket.getpeercert` does; ``None`` without TLS."""
        return self._tls.getpeercert() if self._tls is not None else None

    @property
    def resumed(self) -> bool:
        """Whether the TLS handshake went on with a session of before, whose certificates were not verified anew."""
        return self._tls is not None and bool(self._tls.session_reused)

    def pending(self) -> bool:
        """Whether TLS holds bytes that no waiting would tell of."""
        return self._tls is not None and self._tls.pending() > 0

    def read(self) -> Optional[bytes]:
        """Return what is there, ``b""`` at the end, ``None`` when nothing is there yet. Raises ``OSError``."""
        self.read_wants_write = False
        try:
            return self._sock.recv(_READ_SIZE)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            return None
        except ssl.SSLWantWriteError:
            self.read_wants_write = True
            return None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def write(self, data: Any) -> int:
        """Return how much of ``data`` was written. Raises ``BlockingIOError`` when nothing can be, and ``OSError``."""
        self.write_wants_read = False
        try:
            return self._sock.send(data)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None
        except ssl.SSLWantReadError:
            self.write_wants_read = True
            raise BlockingIOError from None

    def handshake(self) -> bool:
        """Go on with the TLS handshake; return whether it is done. Raises ``OSError``.

        If it is not, ``read_wants_write`` says which way to wait.
        """
        self.read_wants_write = False
        try:
            if self._tls is not None:
                self._tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self.read_wants_write = True
            return False

    def discard(self) -> bool:
        """Drop what has come, below TLS; return whether more may come."""
        try:
            return bool(socket.socket.recv(self._sock, _READ_SIZE))
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False

    def say_goodbye(self) -> None:
        """Send the TLS close alert, if that is possible without waiting. Nothing can be written after."""
        if self._tls is not None:
            with suppress(OSError, ValueError):
                self._tls.unwrap()

    def shutdown(self, how: int) -> None:
        """Shut the connection down, if there is one.

        Not by ``SSLSocket.shutdown``, which drops the TLS state: what came after would be written in clear.
        """
        with suppress(OSError):
            socket.socket.shutdown(self._sock, how)

    def close(self) -> None:
        """Close the file descriptor.

        What has come unread is read first: else the system resets the connection, and drops what it has not sent yet
        (RFC 1122 section 4.2.2.13).
        """
        with suppress(OSError, ValueError):  # of TLS the bytes as they came: nobody wants to know what they say
            for _ in range(_LAST_READS):
                if not socket.socket.recv(self._sock, _READ_SIZE):
                    break
        self._sock.close()
