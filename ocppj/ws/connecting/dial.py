"""Connect a TCP socket: look its name up, and try every address, with one deadline for all and a way to stop.

``getaddrinfo`` has neither. So it runs on a daemon thread ``ocppj-resolve-HOST``, and may go on after its caller has
stopped waiting. The next caller for the same host and port waits for the same look-up: a dead resolver holds one thread
for each host, however often a client tries to connect.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from ...errors import TransportError
from ...events import Thread
from ...loops import run_loop
from ..handshake.urls import host_and_port
from ..stream.waiting import wait_io

__all__ = ["Resolver", "dial"]

_CHECK_INTERVAL = 0.1  # seconds between calls of ``check``
_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, getattr(errno, "WSAEWOULDBLOCK", errno.EAGAIN))
_LOOK_UP_INTERVAL = 0.05  # seconds between calls of ``check`` during a look-up

#: The result of ``getaddrinfo``.
Addresses = List[Tuple[Any, Any, int, str, Any]]


def _ask(host: str, port: int) -> Addresses:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class _LookUp:
    """One call of ``getaddrinfo``, on a thread of its own."""

    def __init__(self, resolver: "Resolver", host: str, port: int) -> None:
        self._resolver = resolver
        self._key = (host, port)
        self.addresses: Addresses = []
        self.error: Optional[BaseException] = None
        self._asked = False
        name = f"ocppj-resolve-{host}"
        self.thread: Thread = Thread(target=run_loop, args=(name, self._run), name=name, daemon=True)

    def _run(self) -> bool:
        """Ask once, and return false: the thread."""
        if not self._asked:
            self._asked = True
            try:
                self.addresses = self._resolver.ask(*self._key)
            except BaseException as error:
                self.error = error
        self._resolver.forget(self._key, self)
        return False


class Resolver:
    """Looks up names. For any thread. ``ask`` is called with a host and a port, and may take long."""

    def __init__(self, ask: Callable[[str, int], Addresses] = _ask) -> None:
        self.ask = ask
        self._lock = threading.Lock()
        self._pending: Dict[Tuple[str, int], _LookUp] = {}

    def resolve(self, host: str, port: int, deadline: float, check: Callable[[], None]) -> Addresses:
        """Return what ``socket.getaddrinfo`` does. ``check`` is called between waits. Raises `TransportError`."""
        if _is_address(host):
            return self.ask(host, port)
        look_up = self._begin(host, port)
        while look_up.thread.is_alive():
            check()
            left = deadline - time.monotonic()
            if left <= 0:
                raise TransportError("looking the name up takes too long")
            look_up.thread.join(min(left, _LOOK_UP_INTERVAL))
        error = look_up.error
        if error is not None:
            raise TransportError(f"the name cannot be looked up: {error or type(error).__name__}") from error
        return look_up.addresses  # none if its thread was cut off before it had asked

    def forget(self, key: Tuple[str, int], look_up: _LookUp) -> None:
        """Forget a look-up that has ended: the next caller starts a new one."""
        with self._lock:
            if self._pending.get(key) is look_up:
                del self._pending[key]

    def _begin(self, host: str, port: int) -> _LookUp:
        with self._lock:
            look_up = self._pending.get((host, port))
            if look_up is not None and look_up.thread.is_alive():
                return look_up
            look_up = _LookUp(self, host, port)
            try:
                self._pending[host, port] = look_up
                look_up.thread.start()  # with the lock held: a pending look-up has a live thread for every caller
            except BaseException as error:
                self._pending.pop((host, port), None)
                if not isinstance(error, Exception):
                    raise
                text = f"the name cannot be looked up: {error or type(error).__name__}"
                raise TransportError(text) from error
            return look_up


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
        return True
    except ValueError:
        return False


def dial(url: str, resolver: Resolver, deadline: float, check: Callable[[], None]) -> Tuple[socket.socket, str]:
    """Return a connected non-blocking socket and the peer's address. ``check`` is called between waits.

    Raises `TransportError` with the reason alone: the caller knows where it wanted to connect to.
    """
    check()
    addresses = resolver.resolve(*host_and_port(url), deadline, check)
    problem: Optional[OSError] = None
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        now = time.monotonic()
        share = now + (deadline - now) / (len(addresses) - index)
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            problem = error
            continue
        try:
            _connect(sock, address, share, check)
            return sock, "{}:{}".format(*map(str, address[:2]))
        except TransportError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            problem = error
    raise TransportError(str(problem or "the name has no address")) from problem


def _connect(sock: socket.socket, address: Any, deadline: float, check: Callable[[], None]) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    code = sock.connect_ex(address)
    while code in _IN_PROGRESS:
        now = time.monotonic()
        if now >= deadline:
            raise socket.timeout("no answer in time")
        check()
        _, done = wait_io(sock.fileno(), False, True, min(deadline, now + _CHECK_INTERVAL))
        if done:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            break
    if code:
        raise OSError(code, os.strerror(code))
