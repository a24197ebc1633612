"""Connect a TCP socket: try every address of a name, with one deadline for all and a way to stop in between."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import Any, Callable, Optional, Tuple
from urllib.parse import urlsplit

from ...errors import TransportError, UsageError
from ..stream.waiting import wait_io
from .dns import Resolver

__all__ = ["dial"]

_CHECK_INTERVAL = 0.1  # seconds between calls of ``check``
_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, getattr(errno, "WSAEWOULDBLOCK", errno.EAGAIN))
_PORTS = {"ws": 80, "wss": 443}


def dial(url: str, resolver: Resolver, deadline: float, check: Callable[[], None]) -> Tuple[socket.socket, str]:
    """Return a connected non-blocking socket, and the peer's address for logs.

    ``check`` is called between waits; an exception of it ends the attempt. Raises `TransportError` or ``OSError``.
    """
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
