"""Thousands of charge points on one thread: raw sockets that shake hands, read, and answer or not.

A `Crowd` speaks just enough WebSocket and OCPP for that. A server cannot tell it from as many stations.
"""

import json
import re
import selectors
import socket
import struct
import threading
from typing import Any, Dict, List, Optional

import pytest

from tests.helpers import seconds
from tests.ws.support import frame, request

__all__ = ["Crowd", "allow_files"]

_AT_ONCE = 100  # handshakes


def allow_files(count: int) -> None:
    """See that this process may have ``count`` descriptors; skip the test where it may not."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            pytest.skip(f"needs {count} file descriptors, and may have {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


class _Member:
    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.sock = socket.socket()
        self.buffer = bytearray()
        self.upgraded = False


class Crowd:
    """``count`` stations called ``<name>_0`` and so on, connected to the server at ``url``.

    With ``answers`` they accept every CALL, with its own data; without, they read and say nothing. ``calls`` counts
    the CALLs that came, ``lost`` the connections that ended. Use it as a context.
    """

    def __init__(self, url: str, count: int, name: str, answers: bool) -> None:
        host, port = url.split("/")[2].rsplit(":", 1)
        self._address = (host, int(port))
        self._answers = answers
        self.ids = [f"{name}_{n}" for n in range(count)]
        self.calls = 0
        self.lost = 0
        self._waiting: List[str] = list(reversed(self.ids))
        self._members: Dict[socket.socket, _Member] = {}
        self._greeting = 0
        self._connected = threading.Event()
        self._stopping = False
        self._alarm, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, name=f"crowd-{name}", daemon=True)

    def __enter__(self) -> "Crowd":
        self._thread.start()
        done = self._connected.wait(seconds(60))
        if not done or self._error is not None:
            self.close()
            raise AssertionError(f"{len(self._members)} of {len(self.ids)} connected: {self._error}")
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Cut every connection."""
        self._stopping = True
        self._alarm.send(b"x")
        self._thread.join(seconds(10))
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping:
                while self._waiting and self._greeting < _AT_ONCE:
                    self._dial(self._waiting.pop())
                for key, _ in self._selector.select():
                    if key.fileobj is not self._woken:
                        self._read(key.data)
                if not self._waiting and not self._greeting:
                    self._connected.set()
        except BaseException as error:
            self._error = error
        finally:
            self._connected.set()
            for sock in [*self._members, self._woken, self._alarm]:
                sock.close()
            self._selector.close()

    def _dial(self, identity: str) -> None:
        member = _Member(identity)
        self._members[member.sock] = member
        member.sock.settimeout(seconds(10))
        member.sock.connect(self._address)
        member.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        member.sock.sendall(request(f"/{identity}"))
        self._greeting += 1
        self._selector.register(member.sock, selectors.EVENT_READ, member)

    def _read(self, member: _Member) -> None:
        try:
            data = member.sock.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.lost += 1
            self._greeting -= not member.upgraded
            self._selector.unregister(member.sock)
            del self._members[member.sock]
            member.sock.close()
            return
        member.buffer += data
        if not member.upgraded:
            head, found, rest = bytes(member.buffer).partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            member.upgraded, member.buffer = True, bytearray(rest)
            self._greeting -= 1
        while self._take(member):
            pass

    def _take(self, member: _Member) -> bool:
        """Act on the first frame in the buffer; return whether there was one."""
        buffer = member.buffer
        if len(buffer) < 2:
            return False
        size, at = buffer[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            if len(buffer) < at:
                return False
            (size,) = struct.unpack("!H" if size == 126 else "!Q", buffer[2:at])
        if len(buffer) < at + size:
            return False
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[at : at + size])
        del buffer[: at + size]
        if opcode == 1:
            self._hear(member, payload)
        elif opcode == 9:
            member.sock.sendall(frame(10, payload))
        return True

    def _hear(self, member: _Member, payload: bytes) -> None:
        message_id, text = json.loads(payload)[1], re.search(rb'"data":("[^"]*")', payload)
        self.calls += 1
        if self._answers:
            assert text is not None, payload
            answer = b'[3,"%s",{"status":"Accepted","data":%s}]' % (message_id.encode(), text[1])
            member.sock.sendall(frame(1, answer))
