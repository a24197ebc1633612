"""The load generator: one process that simulates any number of charge points, on raw sockets and one epoll.

Closed loop: each connection sends its next message when the last was answered. So nothing piles up, and messages per
second are the limit of the server. The generator must cost little in comparison with the servers. So frames are built
beforehand (a few hundred, each with its own message id and mask), and answers are compared with the expected bytes.
Only an answer that is written differently is read as JSON. Between tasks it answers pings, and CALLs with ``Accepted``.

The other benchmarks start it and give it tasks: see `harness.Child`.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import sys
import time
import uuid
import zlib
from collections import deque
from typing import Any, Dict, List, Optional, Sequence, Tuple

from harness import footprint, percentiles, processor_seconds
from samples import MESSAGES

_FRAMES = 256  # different frames of a message: on a connection an id repeats long after it was answered
_PORTS = 20_000  # connections for each source address
_DEFLATED = 0x40  # the bit of a frame that begins a compressed message (RFC 7692)
_TAIL = b"\x00\x00\xff\xff"
_OFFER = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
_MASK = b"\x37\xfa\x21\x3d"


class Wrong(Exception):
    """The server sent something wrong."""


def frame(opcode: int, payload: bytes, mask: bytes = _MASK) -> bytes:
    """Return a masked frame (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, 0x80 | size])
    elif size < 65536:
        head = bytes([0x80 | opcode, 0xFE]) + size.to_bytes(2, "big")
    else:
        raise ValueError("no benchmark sends so much")
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def cut(data: bytes) -> Tuple[Optional[Tuple[int, bytes]], bytes]:
    """Return the first frame in ``data`` as ``(opcode, payload)``, or ``None`` if it is incomplete, and the rest."""
    if len(data) < 2:
        return None, data
    size, at = data[1], 2
    if size in (126, 127):
        at = 4 if size == 126 else 10
        size = int.from_bytes(data[2:at], "big")
    if len(data) < at + size:
        return None, data
    return (data[0] & 0x0F, data[at : at + size]), data[at + size :]


def _deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]


def _inflate(data: bytes) -> bytes:
    """Return the first message of a connection inflated, or ``data`` if it is not compressed."""
    return data if data.startswith(b"[") else zlib.decompressobj(-15).decompress(data + _TAIL)


class Frames:
    """A message with many ids, and how the answers begin and end."""

    def __init__(self, action: str, deflate: bool = False) -> None:
        message = MESSAGES[action]
        ids = [str(uuid.uuid4()) for _ in range(_FRAMES)]
        self.wire: List[bytes] = []
        for each in ids:
            text = json.dumps([2, each, action, message.payload], separators=(",", ":"))
            if deflate:
                self.wire.append(frame(1 | _DEFLATED, _deflate(text.encode()), os.urandom(4)))
            else:
                self.wire.append(frame(1, text.encode(), os.urandom(4)))
        self.heads = [b'[3,"' + each.encode() + b'",' + message.head for each in ids]
        self.tail = message.tail
        self._ids = ids
        self._keys = message.keys

    def check(self, turn: int, text: bytes) -> None:
        """Raise `Wrong` unless ``text`` answers the message of that turn."""
        try:
            kind, message_id, payload = json.loads(text)
            right = kind == 3 and message_id == self._ids[turn] and payload.keys() == self._keys
        except (ValueError, AttributeError):
            right = False
        if not right:
            raise Wrong(f"a wrong answer: {text[:200]!r}")


class Connection:
    """One charge point."""

    __slots__ = ("begun", "deflates", "recv", "rest", "send", "sent", "sock", "turn", "upgraded")

    def __init__(self, port: int, number: int, deflate: bool = False) -> None:
        self.sock = socket.socket()
        if number >= _PORTS:  # this address has no more free ports
            self.sock.bind((f"127.0.0.{1 + number // _PORTS}", 0))
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.recv = self.sock.recv
        self.send = self.sock.send
        self.rest = b""
        self.upgraded = False
        self.deflates = False
        self.turn = number % _FRAMES
        self.begun = self.sent = time.perf_counter()
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(
            f"GET /CP{number:05d} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n"
            f"{_OFFER if deflate else ''}\r\n".encode()
        )

    def read(self) -> None:
        """Read the available bytes into ``rest``. Raises `Wrong` at the end of the stream."""
        try:
            data = self.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            raise Wrong(f"a connection was lost: {error}") from error
        if not data:
            raise Wrong("a connection was ended by the server")
        self.rest += data

    def upgrade(self) -> bool:
        """Return whether the handshake is complete. Raises `Wrong` when it failed."""
        head, end, rest = self.rest.partition(b"\r\n\r\n")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Wrong(f"a handshake was refused: {head[:100]!r}")
        self.rest = rest
        self.upgraded = True
        self.deflates = b"permessage-deflate" in head
        return True

    def text(self) -> Optional[bytes]:
        """Return the next text message in the bytes read, or ``None``; answer pings. Raises `Wrong`."""
        while True:
            found, self.rest = cut(self.rest)
            if found is None or found[0] == 1:
                return None if found is None else found[1]
            if found[0] == 9:
                self.send(frame(10, found[1]))
            elif found[0] != 10:
                raise Wrong(f"an unexpected frame: {found!r:.200}")


class Load:
    """All charge points."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._connections: Dict[int, Connection] = {}

    def connect(
        self, port: int, count: int, boot: bool = False, window: int = 64, first: int = 0, deflate: bool = False
    ) -> Dict[str, float]:
        """Open ``count`` more connections, ``window`` at a time; with ``boot``, each with an answered BootNotification.

        The very first connection has the number ``first``. With ``deflate`` they offer permessage-deflate, and send
        compressed messages if it is accepted.

        Returns the seconds for all, and the time of one (median, 99th percentile, ms).
        """
        boots = {False: Frames("BootNotification"), True: Frames("BootNotification", deflate=True)} if boot else {}
        begun = time.perf_counter()
        opened = 0
        taken: List[float] = []
        while len(taken) < count:
            while opened < count and opened - len(taken) < window:
                connection = Connection(port, first + len(self._connections), deflate)
                self._connections[connection.sock.fileno()] = connection
                self._poll.register(connection.sock, select.EPOLLIN)
                opened += 1
            events = self._poll.poll(30)
            if not events:
                raise Wrong(f"{len(taken)} of {count} connections came about; then nothing for 30 s")
            for number, _ in events:
                connection = self._connections[number]
                if self._opened(connection, boots):
                    taken.append(time.perf_counter() - connection.begun)
        p50, p99 = percentiles(taken)
        return {"seconds": time.perf_counter() - begun, "p50": p50, "p99": p99}

    def _opened(self, connection: Connection, boots: Dict[bool, Frames]) -> bool:
        """Read from a connection that is being opened; return whether it is open now."""
        connection.read()
        if not connection.upgraded:
            if not connection.upgrade():
                return False
            if not boots:
                return True
            connection.send(boots[connection.deflates].wire[connection.turn])
        text = connection.text()
        if text is None:
            return False
        boots[connection.deflates].check(connection.turn, _inflate(text))
        return True

    def run(self, action: str, seconds: float, warm_up: float, pid: int, more: Sequence[int] = ()) -> Dict[str, float]:
        """Send messages over all connections for ``warm_up`` seconds, then measure for ``seconds``.

        Each phase is prolonged until there are as many answers as connections, to ten times its length at most: the
        first message of a connection has extra costs, and some servers answer in bursts. Returns messages per second,
        how busy this process was (1.0: it could not do more) and, if there were any answers, latency (median, 99th
        percentile, ms) and the processor time of process ``pid``, and of those in ``more``, for a message (us). Call it
        once only.
        """
        frames = Frames(action)
        taken: List[float] = []
        for connection in self._connections.values():
            connection.sent = time.perf_counter()
            connection.send(frames.wire[connection.turn])
        few = len(self._connections)
        now = time.perf_counter()
        start = now + warm_up
        while now < start or (len(taken) < few and now < start + 10 * warm_up):
            self._turn(frames, taken)
            now = time.perf_counter()
        taken.clear()
        pids = [pid, *more]
        processor, own = sum(map(processor_seconds, pids)), time.process_time()
        start = now = time.perf_counter()
        while now < start + seconds or (len(taken) < few and now < start + 10 * seconds):
            self._turn(frames, taken)
            now = time.perf_counter()
        processor, own = sum(map(processor_seconds, pids)) - processor, time.process_time() - own
        figures = {"rate": len(taken) / (now - start), "load": own / (now - start)}
        if taken:
            figures["p50"], figures["p99"] = percentiles(taken)
            figures["cpu"] = processor / len(taken) * 1e6
        return figures

    def pace(self, rate: float, seconds: float) -> int:
        """Send ``rate`` Heartbeats a second, each over the next connection; return how many were answered.

        A connection has one of them at a time: one that waits for its answer is passed over. If all wait, they are sent
        later.
        """
        frames = Frames("Heartbeat")
        idle = deque(self._connections)
        begun = time.perf_counter()
        sent = answered = 0
        while time.perf_counter() < begun + seconds or answered < sent:
            due = min((time.perf_counter() - begun), seconds) * rate
            while sent < due and idle:
                connection = self._connections[idle.popleft()]
                connection.send(frames.wire[connection.turn])
                sent += 1
            events = self._poll.poll(1 / rate)
            for number, _ in events:
                connection = self._connections[number]
                if self._answered(connection, frames, b""):
                    answered += 1
                    connection.turn = (connection.turn + 1) % _FRAMES
                    idle.append(number)
            if not events and time.perf_counter() > begun + seconds + 30:
                raise Wrong(f"{answered} of {sent} messages were answered; then nothing for 30 s")
        return answered

    def _turn(self, frames: Frames, taken: List[float]) -> None:
        """Read the available answers, and send the next messages. This is the hot loop."""
        connections, wire, heads, tail = self._connections, frames.wire, frames.heads, frames.tail
        clock = time.perf_counter
        for number, _ in self._poll.poll(0.1):
            connection = connections[number]
            turn = connection.turn
            data = b"" if connection.rest else connection.recv(65536)
            if (
                data.startswith(heads[turn], 2)
                and data.endswith(tail)
                and data[0] == 0x81
                and data[1] == len(data) - 2 < 126
            ):
                pass
            elif not self._answered(connection, frames, data):
                continue
            now = clock()
            taken.append(now - connection.sent)
            connection.turn = turn = (turn + 1) % _FRAMES
            connection.sent = now
            connection.send(wire[turn])

    def _answered(self, connection: Connection, frames: Frames, data: bytes) -> bool:
        """Handle anything else: a part of an answer, a ping, an answer written differently, or a wrong answer."""
        connection.rest += data
        if not data:
            connection.read()
        text = connection.text()
        if text is None:
            return False
        frames.check(connection.turn, text)
        return True

    def obey(self) -> None:
        """Do the tasks on standard input, and answer pings and CALLs meanwhile."""
        orders = sys.stdin.fileno()
        self._poll.register(orders, select.EPOLLIN)
        tasks = {"connect": self.connect, "run": self.run, "pace": self.pace, "footprint": footprint}
        say({"ready": os.getpid()})
        while True:
            for number, _ in self._poll.poll():
                if number != orders:
                    self._respond(self._connections[number])
                    continue
                line = os.read(orders, 65536)
                if not line:
                    return
                order = json.loads(line)
                self._poll.unregister(orders)
                try:
                    say({"done": tasks[order.pop("do")](**order)})  # type: ignore[operator]
                except Exception as error:
                    say({"error": f"{type(error).__name__}: {error}"})
                self._poll.register(orders, select.EPOLLIN)
                break  # the other events may be stale now

    def _respond(self, connection: Connection) -> None:
        connection.read()
        text = connection.text()
        while text is not None:
            if text.startswith(b"[2,"):
                message_id = text.split(b'"', 2)[1]
                connection.send(frame(1, b'[3,"' + message_id + b'",{"status":"Accepted"}]'))
            text = connection.text()


def say(reply: Any) -> None:
    """Write one line to standard output."""
    os.write(1, json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    Load().obey()
