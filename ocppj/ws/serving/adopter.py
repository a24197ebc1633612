"""Connections that another server has accepted, such as a web server: the way in without a port of its own."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Callable, Collection, Tuple

from ..handshake.http import refusal
from ..limits import source_of
from ..stream.stream import Stream
from ..threads import Threads
from .handshakes import HandshakeRunner, Upgrade
from .registry import Run, ServerCore

__all__ = ["Adopter", "Taken"]

#: A connected socket, and the bytes that were read from it behind the request.
Taken = Tuple[socket.socket, bytes]


class Adopter:
    """Begins the handshakes of connections for one `Run`."""

    def __init__(self, server: ServerCore, run: Run, *, write_timeout: float, linger: float) -> None:
        self._server = server
        self._write_timeout = write_timeout
        self._threads = Threads(server.handlers.safe_log)
        self.handshakes: HandshakeRunner = HandshakeRunner(server, run, linger, self._threads)

    def adopt(self, address: str, take: Callable[[], Taken], upgrade: Upgrade) -> None:
        """Take a connection, and begin its handshake; refuse it with 503 if the server is stopping by now.

        Raises:
            OSError: What ``take`` raises.
            RuntimeError: The system gives no thread. The connection is closed.
        """
        raw, early = take()
        try:
            with suppress(OSError):  # a socket of the Unix domain, say
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock = Stream(raw, write_timeout=self._write_timeout, budget=self._server.budget)
            sock.unread(early)
        except BaseException:
            raw.close()
            raise
        try:
            self.handshakes.begin(sock, address, upgrade)
        except ConnectionAbortedError as error:  # the stop came after the caller had looked for one
            with suppress(OSError):
                sock.send(refusal(503, str(error), [("Retry-After", "5")]))
            sock.close()
            self._server.handlers.log.debug("%s: refused: %s", address, error, source=source_of(address))
        except BaseException:
            sock.close()
            raise

    def join(self, deadline: float, exempt: Collection[int]) -> None:
        """Wait for the threads of handshakes, after the run was told to stop."""
        self.handshakes.stop()
        self._threads.join(deadline, exempt)
