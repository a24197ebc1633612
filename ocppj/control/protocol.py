"""What goes over a control socket: a JSON object a line. Each request gets one reply.

A request has ``do`` ("call", "connections", "disconnect" or "ping") and its arguments. A reply has ``result``, or
``error`` as `ocppj.cluster.errors_json` writes it.
"""

from __future__ import annotations

import json
import socket
import time
from datetime import datetime
from typing import Any, Dict, Mapping, Optional

from ..errors import TransportError
from ..exchange.connection_info import ConnectionInfo

__all__ = ["LineReader", "info_from_json", "info_to_json", "send_line"]

_CHUNK = 65536
#: What is told of a connection. Its headers and its certificate are not: they may have secrets.
_TEXTS = ("client_id", "version", "subprotocol", "remote_address", "path", "boot_status", "node_id")
_TIMES = ("connected_since", "last_heard")
_OTHERS = ("values", "queue_length", "open_calls")


class LineReader:
    """Reads lines from a socket. One thread uses it.

    Args:
        sock: A socket.
        longest: How many bytes a line may have.
    """

    def __init__(self, sock: socket.socket, longest: int) -> None:
        self._sock = sock
        self._longest = longest
        self._buffer = bytearray()

    def read(self, seconds: float) -> Optional[bytes]:
        """Return the next line, or ``None`` when the other side has closed.

        Args:
            seconds: How long to wait for its end.

        Raises:
            TimeoutError: It has not come in time.
            TransportError: It is too long.
            OSError: The connection failed.
        """
        deadline = time.monotonic() + seconds
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                return bytes(line)
            if len(self._buffer) > self._longest:
                raise TransportError(f"a line of more than {self._longest} bytes")
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
            try:
                data = self._sock.recv(_CHUNK)
            except socket.timeout:  # another class than TimeoutError before Python 3.10
                continue
            if not data:
                return None
            self._buffer += data


def send_line(sock: socket.socket, value: Mapping[str, Any], seconds: float) -> None:
    """Write a JSON object as a line. Raises ``OSError``, also when it is not taken in so many seconds."""
    sock.settimeout(seconds)
    sock.sendall(json.dumps(value).encode("ascii") + b"\n")


def info_to_json(info: ConnectionInfo) -> Dict[str, Any]:
    """Return what is told of a connection, as JSON values."""
    data: Dict[str, Any] = {name: getattr(info, name) for name in (*_TEXTS, *_OTHERS)}
    data["values"] = dict(info.values)
    for name in _TIMES:
        time = getattr(info, name)
        data[name] = None if time is None else time.isoformat()
    return data


def info_from_json(data: Mapping[str, Any]) -> ConnectionInfo:
    """Return what `info_to_json` wrote. Raises ``ValueError``, ``TypeError`` or ``KeyError`` if it cannot be read."""
    fields: Dict[str, Any] = {name: data[name] for name in (*_TEXTS, *_OTHERS)}
    for name in _TIMES:
        fields[name] = None if data[name] is None else datetime.fromisoformat(data[name])
    return ConnectionInfo(**fields)
