"""A listening TCP socket, and the loop that accepts its connections."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from contextlib import suppress
from typing import Any, Callable, Optional

from ...forks import close_copies, register
from ...log_limit import safe_log
from ...loops import do_all, run_loop
from ..stream.waiting import Waker, earliest, remaining
from .lingering import LingeringSockets

__all__ = ["Acceptor"]

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BACKLOG = 4096  # connections that wait to be accepted: after a restart all clients come back at once
_PAUSE = 0.5  # seconds without accepting after one of these errors: other connections must end first


class Acceptor:
    """Accepts connections in `run`, until `stop`. Raises ``OSError`` or ``OverflowError`` when it cannot listen.

    ``welcome(sock, "host:port")`` is called for each connection, on the thread of `run`. It takes the socket over and
    returns ``None``; or it returns an answer, which is sent before a lingering close (``b""``: the socket is closed
    without an answer); or it raises, and the socket is closed.
    """

    def __init__(self, host: str, port: int, welcome: Callable[[socket.socket, str], Optional[bytes]]) -> None:
        self._welcome = welcome
        self._stopping = False
        self._pause_until: Optional[float] = None
        self._sock = _listen(host, port)
        try:
            self.port: int = self._sock.getsockname()[1]  #: The port it listens on.
            self._selector = selectors.DefaultSelector()
            try:
                self._waker = Waker(self._selector)
                self._selector.register(self._sock, selectors.EVENT_READ)
            except BaseException:
                self._selector.close()
                raise
        except BaseException:
            self._sock.close()
            raise
        self._lingering = LingeringSockets(self._selector)
        register(self)

    def stop(self) -> None:
        self._stopping = True
        self._waker.wake()

    def close(self) -> None:
        do_all(self._lingering.close, self._selector.close, self._sock.close, self._waker.close)

    def _after_fork(self) -> None:
        """Close the descriptors alone, so that the port is the parent's. See `ocppj.forks`."""
        self._stopping = True
        close_copies(*self._lingering.sockets(), self._selector, self._sock, self._waker)

    def run(self) -> None:
        """Accept until `stop`: the accept thread. Never waits for a peer, for all other peers would wait as well."""
        run_loop("accepting connections", self._step)

    def _step(self) -> bool:
        """Wait, and serve what is ready. It goes on from whatever a step that raised has left."""
        if self._stopping:
            self.close()
            return False
        paused = self._pause()
        ready = [
            key.fileobj for key, _ in self._selector.select(remaining(earliest(self._lingering.deadline(), paused)))
        ]
        for sock in ready:
            if isinstance(sock, socket.socket) and sock in self._lingering:
                self._lingering.read(sock)
        self._lingering.expire(time.monotonic())
        if self._sock in ready and not self._stopping and not self._accept():
            self._pause_until = time.monotonic() + _PAUSE
        return True

    def _pause(self) -> Optional[float]:
        """Watch the listening socket, unless accepting pauses; return until when it does."""
        if self._pause_until is not None and time.monotonic() >= self._pause_until:
            self._pause_until = None
        watched = self._sock in self._selector.get_map()
        if watched and self._pause_until is not None:
            self._selector.unregister(self._sock)
        elif not watched and self._pause_until is None:
            self._selector.register(self._sock, selectors.EVENT_READ)
        return self._pause_until

    def _accept(self) -> bool:
        """Accept one connection; return false when the next must wait for resources."""
        raw: Optional[socket.socket] = None
        try:
            raw, address = self._sock.accept()
            answer = self._welcome(raw, _name(address))
            if answer is not None:
                self._lingering.add(raw, answer, time.monotonic())
        except (BlockingIOError, InterruptedError, ConnectionError):  # the peer has gone already
            if raw is not None:
                raw.close()
            return True
        except BaseException as error:
            if raw is not None:
                raw.close()
            with suppress(BaseException):  # of the logger
                safe_log.error("a connection cannot be served: %s", error or type(error).__name__)
            short = isinstance(error, (RuntimeError, MemoryError))
            return not short and getattr(error, "errno", None) not in _OUT_OF_RESOURCES
        return True


def _name(address: Any) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:  # some resolvers would use the lower 16 bits
        raise OverflowError("a port is a number from 0 to 65535")
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere the option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
