"""Look host names up, with a deadline and a way to give up, which ``getaddrinfo`` has not.

It runs on a thread ``ocppj-resolve-HOST``, and whoever asked waits for that thread as long as he likes. A look-up that
was given up goes on until the system's resolver gives up too, for nothing can end it; the thread is a daemon, and who
asks for the same host and port meanwhile waits for the same one. So a dead resolver holds one thread for each host,
however often a client tries to connect. An address needs no look-up and no thread.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from ...errors import TransportError

__all__ = ["Resolver"]

_LOOK = 0.05  # seconds between looks at whether to give up

#: What ``getaddrinfo`` returns.
Addresses = List[Tuple[Any, Any, int, str, Any]]


def _ask(host: str, port: int) -> Addresses:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class _LookUp:
    """One call of ``getaddrinfo``, on a thread of its own."""

    def __init__(self, resolver: "Resolver", host: str, port: int) -> None:
        self._resolver = resolver
        self._place = (host, port)
        self.addresses: Addresses = []
        self.error: Optional[BaseException] = None
        self.thread = threading.Thread(target=self._run, name=f"ocppj-resolve-{host}", daemon=True)

    def _run(self) -> None:
        try:
            self.addresses = self._resolver.ask(*self._place)
        except BaseException as error:
            self.error = error
        finally:
            self._resolver.forget(self._place)


class Resolver:
    """Looks names up. Safe to use from any thread. ``ask`` is called with a host and a port, and may take its time."""

    def __init__(self, ask: Callable[[str, int], Addresses] = _ask) -> None:
        self.ask = ask
        self._lock = threading.Lock()
        self._pending: Dict[Tuple[str, int], _LookUp] = {}

    def resolve(self, host: str, port: int, deadline: float, check: Callable[[], None]) -> Addresses:
        """Return what ``socket.getaddrinfo`` says of ``host``.

        ``deadline`` is of `time.monotonic`. ``check`` is called between waits; what it raises ends the wait. Raises
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
            look_up.thread.join(min(left, _LOOK))
        if look_up.error is not None:
            raise TransportError(f"cannot look {host} up: {look_up.error}") from look_up.error
        return look_up.addresses

    def forget(self, place: Tuple[str, int]) -> None:
        """Take notice that a look-up has ended: the next one is made anew."""
        with self._lock:
            self._pending.pop(place, None)

    def _begin(self, host: str, port: int) -> _LookUp:
        """Return the look-up in progress, or a new one, started."""
        with self._lock:
            look_up = self._pending.get((host, port))
            if look_up is not None:
                return look_up
            look_up = _LookUp(self, host, port)
            try:
                look_up.thread.start()  # with the lock held: who finds it pending finds it alive
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
