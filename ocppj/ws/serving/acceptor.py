"""A listening TCP socket and its accept thread."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Callable, Optional

from ...settings import get_logger
from ..stream.waiting import earliest, remaining
from .farewells import Farewells

__all__ = ["Listener"]

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_BACKLOG = 4096  # connections that wait to be accepted: after a restart all come back at once
_BACK_OFF = 0.5  # seconds without accepting after one of these: other connections must end first


class Listener:
    """Accepts connections on the thread ``ocppj-accept``, from `start` to `stop`.

    ``welcome(sock, "host:port")`` is called on that thread for each. It takes the socket over and returns ``None``; or
    it returns what is to be answered before the socket is closed (see `farewells`; ``b""``: nothing); or it raises.
    Making a listener raises ``OSError`` or ``OverflowError`` when it cannot listen.
    """

    def __init__(self, host: str, port: int, welcome: Callable[[socket.socket, str], Optional[bytes]]) -> None:
        self._welcome = welcome
        self._stopping = False
        self._alarm = self._woken = self._sock = _listen(host, port)
        #: The port it listens on.
        self.port: int = self._sock.getsockname()[1]
        try:
            self._alarm, self._woken = socket.socketpair()
            self._selector = selectors.DefaultSelector()
            self._farewells = Farewells(self._selector)
            self._pause_until: Optional[float] = None  # nothing is accepted until then
        except BaseException:
            self._release()
            raise
        self.thread = threading.Thread(target=self._run, name="ocppj-accept", daemon=True)

    def start(self) -> None:
        """Begin to accept. Raises ``RuntimeError`` when there can be no more threads."""
        try:
            self.thread.start()
        except RuntimeError:
            self._release()
            self._selector.close()
            raise

    def stop(self) -> None:
        """Tell the accept thread to end. For any thread, any number of times."""
        self._stopping = True
        with suppress(OSError):  # of a socket that the thread has closed already
            self._alarm.send(b"x")

    def _run(self) -> None:
        try:
            with self._selector as selector:
                selector.register(self._woken, selectors.EVENT_READ)
                selector.register(self._sock, selectors.EVENT_READ)
                try:
                    while not self._stopping:
                        self._step(selector)
                finally:
                    self._farewells.close()
        except Exception:
            get_logger().exception("listening has ended")
        finally:
            self._release()

    def _step(self, selector: selectors.BaseSelector) -> None:
        """Wait, and do what is due."""
        deadline = earliest(self._farewells.deadline(), self._pause_until)
        ready = [key.fileobj for key, _ in selector.select(remaining(deadline))]
        now = time.monotonic()
        for sock in ready:
            if isinstance(sock, socket.socket) and sock in self._farewells:
                self._farewells.read(sock)
        self._farewells.expire(now)
        if self._pause_until is not None and now >= self._pause_until:
            self._pause_until = None
            selector.register(self._sock, selectors.EVENT_READ)
        elif self._sock in ready and not self._stopping and not self._accept():
            self._pause_until = now + _BACK_OFF
            selector.unregister(self._sock)

    def _accept(self) -> bool:
        """Accept one connection; return false when it is better to wait before the next."""
        raw: Optional[socket.socket] = None
        try:
            raw, address = self._sock.accept()
            answer = self._welcome(raw, _name(address))
            if answer is not None:
                self._farewells.add(raw, answer, time.monotonic())
        except (BlockingIOError, InterruptedError, ConnectionError):  # it was gone again
            if raw is not None:
                raw.close()
            return True
        except Exception as error:
            if raw is not None:
                raw.close()
            get_logger().error("a connection cannot be served: %s", error)
            return not isinstance(error, RuntimeError) and getattr(error, "errno", None) not in _OUT_OF_RESOURCES
        return True

    def _release(self) -> None:
        for sock in (self._sock, self._woken, self._alarm):
            sock.close()


def _name(address: Any) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:  # some resolvers would take the lower 16 bits
        raise OverflowError("a port is a number from 0 to 65535")
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
