"""Look up host names with a deadline and a way to stop. ``getaddrinfo`` has neither.

It runs on a daemon thread ``ocppj-resolve-HOST``, and the caller waits for that thread as long as it likes. Nothing can
end the system's resolver, so a look-up may go on after its caller has stopped waiting. The next caller for the same
host and port waits for the same look-up. So a dead resolver holds one thread for each host, however often a client
tries to connect. An IP address needs no look-up and no thread.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from ...errors import TransportError

__all__ = ["Resolver"]

_CHECK_INTERVAL = 0.05  # seconds between calls of ``check``

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
        """Return the addresses of ``host`` as ``socket.getaddrinfo`` does.

        ``deadline`` is of `time.monotonic`. ``check`` is called between waits; an exception of it ends the wait. Raises
        `TransportError` when the host is not known, or not in time.
        """
        if _is_address(host):
            return self.ask(host, port)
        look_up = self._begin(host, port)
        while look_up.thread.is_alive():
            check()
            left = deadline - time.monotonic()
            if left <= 0:
                raise TransportError(f"looking {host} up takes too long")
            look_up.thread.join(min(left, _CHECK_INTERVAL))
        if look_up.error is not None:
            raise TransportError(f"cannot look {host} up: {look_up.error}") from look_up.error
        return look_up.addresses

    def forget(self, key: Tuple[str, int]) -> None:
        """Forget a look-up that has ended: the next caller starts a new one."""
        with self._lock:
            self._pending.pop(key, None)

    def _begin(self, host: str, port: int) -> _LookUp:
        """Return the look-up in progress, or a new one, started."""
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
