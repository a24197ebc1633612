"""Lingering close without a thread: connections that the accept thread refuses by itself.

`Stream.linger` does the same for a thread that may wait, and says why.
"""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress
from typing import Dict, List, Optional

__all__ = ["LingeringSockets"]

_LINGER = 1.0  # seconds that a peer has to end the connection
_MAX_SOCKETS = 256
_READ_SIZE = 65536
_MAX_READS = 8  # of one socket; a peer that still sends then does not send a request


class LingeringSockets:
    """The sockets that linger in ``selector``. Beyond ``max_sockets`` the oldest is closed. For one thread."""

    def __init__(self, selector: selectors.BaseSelector, max_sockets: int = _MAX_SOCKETS) -> None:
        self._selector = selector
        self._max_sockets = max_sockets
        self._deadlines: Dict[socket.socket, float] = {}  # ordered
        self._reads: Dict[socket.socket, int] = {}  # how often each was read

    def __contains__(self, sock: object) -> bool:
        return sock in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, sock: socket.socket, answer: bytes, now: float) -> None:
        """Send ``answer`` and keep the socket; close it if there is none, or the network does not take all at once."""
        try:
            sock.setblocking(False)
            if not answer or sock.send(answer) < len(answer):
                raise OSError("the answer cannot be sent")
            sock.shutdown(socket.SHUT_WR)
            self._deadlines[sock] = now + _LINGER  # first: what is registered must have a deadline
            self._selector.register(sock, selectors.EVENT_READ)
        except (OSError, ValueError):
            self._close(sock)
            return
        if len(self._deadlines) > self._max_sockets:
            self._close(next(iter(self._deadlines)))

    def read(self, sock: socket.socket) -> None:
        """Drop what has come. Close the socket at its end, or when more comes than a request has."""
        self._reads[sock] = self._reads.get(sock, 0) + 1
        try:
            data = sock.recv(_READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data or self._reads[sock] >= _MAX_READS:
            self._close(sock)

    def deadline(self) -> Optional[float]:
        return next(iter(self._deadlines.values()), None)

    def expire(self, now: float) -> None:
        while self._deadlines:
            sock, deadline = next(iter(self._deadlines.items()))
            if now < deadline:
                return
            self._close(sock)

    def sockets(self) -> List[socket.socket]:
        return list(self._deadlines)

    def close(self) -> None:
        for sock in list(self._deadlines):
            self._close(sock)

    def _close(self, sock: socket.socket) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(sock)
        sock.close()
        self._reads.pop(sock, None)
        self._deadlines.pop(sock, None)  # last: as long as it has a deadline, it is closed in the end
