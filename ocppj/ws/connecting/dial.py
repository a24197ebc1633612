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
from urllib.parse import urlsplit

from ...errors import TransportError, UsageError
from ..stream.waiting import wait_io

__all__ = ["Resolver", "dial"]

_CHECK_INTERVAL = 0.1  # seconds between calls of ``check``
_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, getattr(errno, "WSAEWOULDBLOCK", errno.EAGAIN))
_PORTS = {"ws": 80, "wss": 443}
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
        self.thread = threading.Thread(target=self._run, name=f"ocppj-resolve-{host}", daemon=True)

    def _run(self) -> None:
        try:
            self.addresses = self._resolver.ask(*self._key)
        except BaseException as error:
            self.error = error
        finally:
            self._resolver.forget(self._key)


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
                raise TransportError(f"looking {host} up takes too long")
            look_up.thread.join(min(left, _LOOK_UP_INTERVAL))
        if look_up.error is not None:
            raise TransportError(f"cannot look {host} up: {look_up.error}") from look_up.error
        return look_up.addresses

    def forget(self, key: Tuple[str, int]) -> None:
        """Forget a look-up that has ended: the next caller starts a new one."""
        with self._lock:
            self._pending.pop(key, None)

    def _begin(self, host: str, port: int) -> _LookUp:
        with self._lock:
            look_up = self._pending.get((host, port))
            if look_up is not None:
                return look_up
            look_up = _LookUp(self, host, port)
            try:
                look_up.thread.start()  # with the lock held: a pending look-up has a live thread for every caller
            except RuntimeError as error:
                raise TransportError(f"cannot look {host} up: {error}") from error
            self._pending[host, port] = look_up
            return look_up


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
        return True
    except ValueError:
        return False


def dial(url: str, resolver: Resolver, deadline: float, check: Callable[[], None]) -> Tuple[socket.socket, str]:
    """Return a connected non-blocking socket and the peer's address. ``check`` is called between waits."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UsageError(f"not a ws:// or wss:// URL: {url.partition('?')[0]}")
    port = parts.port or _PORTS[parts.scheme]
    check()
    addresses = resolver.resolve(parts.hostname, port, deadline, check)
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
    raise TransportError(f"cannot connect to {parts.hostname}:{port}: {problem}") from problem


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
