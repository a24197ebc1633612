"""Hundreds of stations on one thread, which go to another node when theirs is gone, and count what reaches them."""

from __future__ import annotations

import json
import selectors
import socket
import struct
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Set, Tuple

from tests.helpers import eventually, seconds
from tests.ws.support import frame, request

__all__ = ["Stations"]

_AT_ONCE = 50  # handshakes


class _Station:
    def __init__(self, identity: str, node: int) -> None:
        self.identity = identity
        self.node = node  # the number of the URL that it uses
        self.sock: Optional[socket.socket] = None
        self.buffer = bytearray()
        self.upgraded = False
        self.next_try = 0.0


class Stations:
    """``count`` stations called CP_0 and so on, on the nodes at ``urls`` in turn. Use it as a context.

    Each accepts every CALL. When its connection ends it tries the next node, after ``wait`` seconds. A node with the
    URL "" is none: nobody goes there. Without ``come_back`` what was connected once, and is closed, stays away.

    Attributes:
        ids: All stations.
        mute: Stations that answer no CALL.
        by_id: How many CALLs came with each message id.
        by_text: How many CALLs of DataTransfer came with each text.
        closes: The codes with which nodes have closed the connections of each station.
        answers: How many answers came to what `say_hello` sent.
    """

    def __init__(self, urls: Sequence[str], count: int, wait: float = 0.1, come_back: bool = True) -> None:
        self.urls = list(urls)
        self.mute: Set[str] = set()
        self.ids = [f"CP_{number}" for number in range(count)]
        self.by_id: "Counter[str]" = Counter()
        self.by_text: "Counter[str]" = Counter()
        self.closes: Dict[str, List[int]] = {}
        self.answers = 0
        self.lost = 0
        self._wait = seconds(wait)
        self._come_back = come_back
        self._stations = {name: _Station(name, n % len(self.urls)) for n, name in enumerate(self.ids)}
        self._away: Deque[_Station] = deque(self._stations.values())
        self._greeting = 0
        self._sent = 0
        self._stopping = False
        self._error: Optional[BaseException] = None
        self._commands: Deque[Callable[[], None]] = deque()
        self._alarm, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="stations", daemon=True)

    # For any thread

    def __enter__(self) -> "Stations":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopping = True
        self._alarm.send(b"x")
        self._thread.join(seconds(10))
        assert not self._thread.is_alive()
        assert self._error is None, self._error

    def where(self) -> Dict[str, int]:
        """Return the number of the node of each station that is connected."""
        return self._ask(lambda: {one.identity: one.node for one in self._stations.values() if one.upgraded})

    def on(self, node: int) -> List[str]:
        """Return the stations that are connected to that node."""
        return [identity for identity, at in self.where().items() if at == node]

    def wait_until_connected(self, timeout: float = 60.0) -> None:
        eventually(lambda: len(self.where()) == len(self.ids), timeout)

    def say_hello(self) -> int:
        """Have each station that is connected send a Heartbeat, and return how many; see ``answers``."""
        return int(self._ask(self._hello))

    def cut(self, identity: str, move: bool = True) -> None:
        """Have a station reset its connection, and go to the next node; or to the same."""
        self._ask(lambda: self._leave(self._stations[identity], move))

    def repeated(self) -> Dict[str, int]:
        """Return the message ids and the texts that came more than once."""
        counts = self._ask(lambda: {**self.by_id, **self.by_text})
        return {name: count for name, count in counts.items() if count > 1}

    def _ask(self, what: Callable[[], Any]) -> Any:
        answer: "Future[Any]" = Future()
        self._commands.append(lambda: answer.set_result(what()))
        self._alarm.send(b"x")
        return answer.result(seconds(20))

    # On its thread

    def _run(self) -> None:
        try:
            while not self._stopping:
                for key, _ in self._selector.select(self._dial_those_due()):
                    if key.fileobj is self._woken:
                        self._obey()
                    elif key.data.sock is key.fileobj:
                        self._read(key.data)
        except BaseException as error:
            self._error = error
            raise
        finally:
            for sock in [one.sock for one in self._stations.values() if one.sock] + [self._woken, self._alarm]:
                sock.close()
            self._selector.close()

    def _obey(self) -> None:
        self._woken.recv(4096)
        while self._commands:
            self._commands.popleft()()

    def _dial_those_due(self) -> Optional[float]:
        """Dial, and return how long the selector may wait."""
        for _ in range(len(self._away)):
            if self._greeting >= _AT_ONCE:
                return 0.05
            one = self._away.popleft()
            if one.next_try > time.monotonic():
                self._away.append(one)
            else:
                self._dial(one)
        return 0.05 if self._away else None

    def _dial(self, one: _Station) -> None:
        url = self.urls[one.node]
        if not url:
            self._try_later(one)
            return
        host, port = url.split("/")[2].rsplit(":", 1)
        sock = socket.socket()
        try:
            sock.settimeout(seconds(5))
            sock.connect((host, int(port)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(request(f"/{one.identity}"))
        except OSError:
            sock.close()
            self._try_later(one)
            return
        one.sock, one.upgraded, one.buffer = sock, False, bytearray()
        self._greeting += 1
        self._selector.register(sock, selectors.EVENT_READ, one)

    def _try_later(self, one: _Station, move: bool = True) -> None:
        if move:
            one.node = (one.node + 1) % len(self.urls)
        one.next_try = time.monotonic() + self._wait
        self._away.append(one)

    def _leave(self, one: _Station, move: bool = True) -> None:
        if one.sock is None:
            return
        self.lost += 1
        served = one.upgraded
        self._greeting -= not served
        self._selector.unregister(one.sock)
        one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.sock.close()
        one.sock, one.upgraded = None, False
        if self._come_back or not served:
            self._try_later(one, move)

    def _read(self, one: _Station) -> None:
        assert one.sock is not None
        try:
            data = one.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._leave(one)
            return
        one.buffer += data
        if not one.upgraded and not self._greeted(one):
            return
        while one.sock is not None:
            taken = self._take(one)
            if taken is None:
                return
            self._hear(one, *taken)

    def _greeted(self, one: _Station) -> bool:
        head, found, rest = bytes(one.buffer).partition(b"\r\n\r\n")
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 101"):
            self._leave(one)
            return False
        one.upgraded, one.buffer = True, bytearray(rest)
        self._greeting -= 1
        return True

    def _take(self, one: _Station) -> Optional[Tuple[int, bytes]]:
        """Return opcode and payload of the first frame in the buffer, if it is there."""
        buffer = one.buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            if len(buffer) < at:
                return None
            (size,) = struct.unpack("!H" if size == 126 else "!Q", buffer[2:at])
        if len(buffer) < at + size:
            return None
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[at : at + size])
        del buffer[: at + size]
        return opcode, payload

    def _hear(self, one: _Station, opcode: int, payload: bytes) -> None:
        if opcode == 1:
            self._hear_text(one, json.loads(payload))
        elif opcode == 9:
            self._say(one, 10, payload)
        elif opcode == 8:
            self.closes.setdefault(one.identity, []).append(struct.unpack("!H", payload[:2])[0] if payload else 1005)
            self._say(one, 8, payload)

    def _hear_text(self, one: _Station, message: List[Any]) -> None:
        if message[0] != 2:
            self.answers += 1
            return
        _, message_id, action, payload = message
        self.by_id[message_id] += 1
        answer = {"status": "Accepted"}
        if action == "DataTransfer":
            self.by_text[payload["data"]] += 1
            answer["data"] = payload["data"]
        if one.identity not in self.mute:
            self._say(one, 1, json.dumps([3, message_id, answer]).encode())

    def _say(self, one: _Station, opcode: int, payload: bytes) -> None:
        try:
            if one.sock is not None:
                one.sock.sendall(frame(opcode, payload))
        except OSError:
            self._leave(one)

    def _hello(self) -> int:
        there = [one for one in self._stations.values() if one.upgraded]
        for one in there:
            self._sent += 1
            self._say(one, 1, json.dumps([2, f"hello {self._sent}", "Heartbeat", {}]).encode())
        return len(there)
