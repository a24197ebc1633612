"""Connections that are refused before they get a thread: answered at once, and closed when their peers have read it.

A socket that is closed while what its peer sent is unread makes the network drop our answer. So it is kept open a
little, and what comes is read and dropped, by the thread whose selector watches it. Nothing here waits.
"""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress
from typing import Dict, Optional

__all__ = ["Farewells"]

_LINGER = 1.0  # seconds a peer has to end the connection
_MOST = 256  # of them at once
_READ = 65536  # bytes read at once
_READS = 8  # so often; what then still comes is no request


class Farewells:
    """The sockets that linger in ``selector``, ``most`` at once: then the oldest is closed. For one thread."""

    def __init__(self, selector: selectors.BaseSelector, most: int = _MOST) -> None:
        self._selector = selector
        self._most = most
        self._until: Dict[socket.socket, float] = {}  # in this order
        self._reads: Dict[socket.socket, int] = {}  # how often each has been read

    def __contains__(self, sock: object) -> bool:
        return sock in self._until

    def __len__(self) -> int:
        return len(self._until)

    def add(self, sock: socket.socket, answer: bytes, now: float) -> None:
        """Send ``answer``, as far as the network takes it at once, and keep the socket, which is ours from now on.

        Without an answer it is closed.
        """
        try:
            sock.setblocking(False)
            if not answer or sock.send(answer) < len(answer):
                raise OSError("it cannot be answered")
            sock.shutdown(socket.SHUT_WR)
            self._selector.register(sock, selectors.EVENT_READ)
        except (OSError, ValueError):
            sock.close()
            return
        self._until[sock] = now + _LINGER
        if len(self._until) > self._most:
            self._close(next(iter(self._until)))

    def read(self, sock: socket.socket) -> None:
        """Drop what has come; close at the end, or when more comes than a request is."""
        self._reads[sock] = self._reads.get(sock, 0) + 1
        try:
            data = sock.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data or self._reads[sock] >= _READS:
            self._close(sock)

    def deadline(self) -> Optional[float]:
        """Return when `expire` is to be called; ``None``: nobody lingers."""
        return next(iter(self._until.values()), None)

    def expire(self, now: float) -> None:
        """Close those that have lingered long enough."""
        while self._until:
            sock, until = next(iter(self._until.items()))
            if now < until:
                return
            self._close(sock)

    def close(self) -> None:
        """Close all."""
        for sock in list(self._until):
            self._close(sock)

    def _close(self, sock: socket.socket) -> None:
        del self._until[sock]
        self._reads.pop(sock, None)
        with suppress(KeyError, ValueError):
            self._selector.unregister(sock)
        sock.close()
