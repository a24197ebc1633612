"""The load generator of `reconnects.py`: clients on blocking sockets, plain or with TLS, made by 64 threads."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List

from harness import obey, percentiles
from load import Frames, Wrong, cut

_WINDOW = 64
_PATIENCE = 60.0


class Clients:
    """All clients."""

    def __init__(self) -> None:
        self._frames = Frames("BootNotification")
        self._open: List[socket.socket] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE

    def connect(self, port: int, count: int, tls: bool) -> Dict[str, float]:
        """Make ``count`` connections; return the seconds for all, the time of one (ms), and how many were refused."""
        begun = time.perf_counter()
        with ThreadPoolExecutor(_WINDOW) as pool:
            made = list(pool.map(lambda number: self._make(port, number, tls), range(count)))
        seconds = time.perf_counter() - begun
        self._open = [each["sock"] for each in made]
        p50, p99 = percentiles(each["seconds"] for each in made)
        return {"seconds": seconds, "p50": p50, "p99": p99, "refused": sum(each["refused"] for each in made)}

    def cut(self) -> None:
        """Cut all connections at once, without a Close."""
        for sock in self._open:
            sock.close()
        self._open = []

    def _make(self, port: int, number: int, tls: bool) -> Dict[str, Any]:
        begun, refused = time.perf_counter(), 0
        while time.perf_counter() < begun + _PATIENCE:
            sock = self._attempt(port, number, tls)
            if sock is not None:
                return {"sock": sock, "seconds": time.perf_counter() - begun, "refused": refused}
            refused += 1
            time.sleep(0.1)
        raise Wrong(f"client {number} was refused for {_PATIENCE:g} s")

    def _attempt(self, port: int, number: int, tls: bool) -> Any:
        """Return a connection that has booted, or ``None`` if the server refused it."""
        sock = socket.create_connection(("127.0.0.1", port), 30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if tls:
                sock = self._context.wrap_socket(sock)
            key = base64.b64encode(os.urandom(16)).decode()
            sock.sendall(
                f"GET /CP{number:05d} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n".encode()
            )
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += _more(sock)
        except OSError:
            sock.close()
            return None
        if not head.startswith(b"HTTP/1.1 101 "):
            sock.close()
            return None
        self._boot(sock, number % len(self._frames.wire))
        return sock

    def _boot(self, sock: socket.socket, turn: int) -> None:
        sock.sendall(self._frames.wire[turn])
        data, found = b"", None
        while found is None:
            data += _more(sock)
            found, _ = cut(data)
        self._frames.check(turn, found[1])


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(4096)
    if not data:
        raise ConnectionError("a connection was ended by the server")
    return data


if __name__ == "__main__":
    clients = Clients()
    obey(None, connect=clients.connect, cut=clients.cut)
