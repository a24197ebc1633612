"""The loop that accepts the connections of listening sockets."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Optional, Sequence

from ...forks import close_copies, register
from ...log_limit import SafeLog, part_log
from ...loops import do_all, run_loop
from ..handshake.forwarded import UNIX
from ..stream.waiting import Waker, earliest, remaining
from .addresses import close_all, is_unix
from .lingering import LingeringSockets

__all__ = ["Acceptor"]

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE = 0.5  # seconds without accepting after one of these errors: other connections must end first


class Acceptor:
    """Accepts connections of ``socks`` in `run`, until `stop`. It closes them in the end, and also if it raises.

    ``welcome(sock, "host:port")`` is called for each connection, on the thread of `run`. It takes the socket over and
    returns ``None``; or it returns an answer, which is sent before a lingering close (``b""``: the socket is closed
    without an answer); or it raises, and the socket is closed.
    """

    def __init__(
        self,
        socks: Sequence[socket.socket],
        welcome: Callable[[socket.socket, str], Optional[bytes]],
        log: Optional[SafeLog] = None,
    ) -> None:
        self._log = part_log("ws") if log is None else log
        self._welcome = welcome
        self._stopping = False
        self._pause_until: Optional[float] = None
        self._socks = tuple(socks)
        try:
            self._selector = selectors.DefaultSelector()
            try:
                self._waker = Waker(self._selector)
                self._watch()
            except BaseException:
                self._selector.close()
                raise
        except BaseException:
            close_all(self._socks)
            raise
        self._lingering = LingeringSockets(self._selector)
        register(self)

    def stop(self) -> None:
        self._stopping = True
        self._waker.wake()

    def close(self) -> None:
        closing = partial(close_all, self._socks)
        do_all(self._lingering.close, self._selector.close, closing, self._waker.close, log=self._log)

    def _after_fork(self) -> None:
        """Close the descriptors alone, so that the port is the parent's. See `ocppj.forks`."""
        self._stopping = True
        close_copies(*self._lingering.sockets(), self._selector, *self._socks, self._waker)

    def run(self) -> None:
        """Accept until `stop`: the accept thread. Never waits for a peer, for all other peers would wait as well."""
        run_loop("accepting connections", self._step, log=self._log)

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
        for sock in self._socks:
            if sock in ready and not self._stopping and not self._accept(sock):
                self._pause_until = time.monotonic() + _PAUSE
        return True

    def _pause(self) -> Optional[float]:
        """Watch the listening sockets, unless accepting pauses; return until when it does."""
        if self._pause_until is not None and time.monotonic() >= self._pause_until:
            self._pause_until = None
        if self._pause_until is None:
            self._watch()
        else:
            self._unwatch()
        return self._pause_until

    def _watch(self) -> None:
        for sock in self._socks:
            if sock not in self._selector.get_map():
                self._selector.register(sock, selectors.EVENT_READ)

    def _unwatch(self) -> None:
        for sock in self._socks:
            if sock in self._selector.get_map():
                self._selector.unregister(sock)

    def _accept(self, listening: socket.socket) -> bool:
        """Accept one connection; return false when the next must wait for resources."""
        raw: Optional[socket.socket] = None
        try:
            raw, address = listening.accept()
            answer = self._welcome(raw, UNIX if is_unix(raw) else _name(address))
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
                self._log.error("a connection cannot be served: %s", error or type(error).__name__)
            short = isinstance(error, (RuntimeError, MemoryError))
            return not short and getattr(error, "errno", None) not in _OUT_OF_RESOURCES
        return True


def _name(address: Any) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
