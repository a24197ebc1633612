"""The server's wire and simple-websocket read a stream of frames in the same way.

The wire drives wsproto by frames. simple-websocket drives wsproto's connection object, and keeps messages, states and
the answers to pings and Closes itself. Both get the same bytes in the same pieces. They must give the same events and
write the same bytes. simple-websocket reads some compressed messages wrong (see `deflate`), so the expected events of
those streams are made with the streams. ``OCPPJ_FUZZ_SEED`` chooses streams other than those of every run.
"""

import os
import random
import socket
import struct
import zlib
from collections import Counter
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
import simple_websocket
from wsproto.events import CloseConnection

from ocppj.ws.connection.channel import cut_reason
from ocppj.ws.connection.frames import FrameWire
from ocppj.ws.connection.wire import PeerClose, Violation
from ocppj.ws.stream.stream import Stream
from tests.ws.support import frame

SEED = int(os.environ.get("OCPPJ_FUZZ_SEED", "20260102"))
COUNT = 500
PATIENCE = 120
LIMIT = 100_000  # bytes of a message
TEXTS = ["", "a", '[2,"1","Heartbeat",{}]', "ünï ✓ \U0001f50c" * 9, "x" * 125, "y" * 126, "é" * 400, "z" * 70_000]
FIELDS = {
    "Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "ocpp1.6",
}

Event = Tuple[Any, ...]
LATE: Event = ("a broken frame after our Close",)


def masked(data: bytes, key: bytes) -> bytes:
    """Return a frame made by `frame`, masked with ``key``."""
    at = {126: 4, 127: 10}.get(data[1] & 0x7F, 2)
    pad = key * (len(data) // 4 + 1)
    body = data[at + 4 :]
    mixed = (int.from_bytes(body, "big") ^ int.from_bytes(pad[: len(body)], "big")).to_bytes(len(body), "big")
    return data[:at] + key + mixed


class PeerStream:
    """Bytes that a peer may send, by chance."""

    def __init__(self, chance: random.Random, inflates: bool) -> None:
        self.chance = chance
        self.data = bytearray()
        self._squeeze = zlib.compressobj(wbits=-15) if inflates else None

    def add(self, data: bytes) -> None:
        self.data += masked(data, bytes(self.chance.randrange(256) for _ in range(4)))

    def message(self, data: bytes, opcode: int = 1, parts: int = 1, between: bool = True) -> None:
        """Add a message, as so many fragments, with control frames ``between``."""
        squeezed = self._squeeze is not None and self.chance.random() < 0.7
        if squeezed:
            assert self._squeeze is not None
            data = (self._squeeze.compress(data) + self._squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
        cuts = sorted(self.chance.randint(0, len(data)) for _ in range(parts - 1))
        for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(data)])):
            first, last = number == 0, number == parts - 1
            self.add(frame(opcode if first else 0, data[begin:end], fin=last, rsv1=squeezed and first))
            # simple-websocket's way forgets after a control frame that the message is compressed: see `Known`
            if between and not last and not squeezed and self.chance.random() < 0.3:
                self.control()

    def control(self) -> None:
        self.add(frame(self.chance.choice([9, 10]), bytes(self.chance.randrange(126))))

    def fill(self) -> None:
        for _ in range(self.chance.randrange(6)):
            if self.chance.random() < 0.3:
                self.control()
            else:
                self.message(self.chance.choice(TEXTS).encode(), parts=self.chance.choice([1, 1, 1, 2, 3, 7]))

    def end(self) -> None:
        """Add a Close, or bytes that no peer may send."""
        kind = self.chance.choice([None, "close", "close", "bad", "bad", "binary", "big"])
        if kind == "close":
            self.add(frame(8, self.chance.choice(CLOSES)))
            self.add(frame(1, b"late"))
        elif kind == "bad":
            self.chance.choice(FAULTS)(self)
            self.add(frame(1, b"late"))
        elif kind == "binary":
            self.message(b"bytes", opcode=2)
        elif kind == "big":
            self.message("é".encode() * LIMIT, parts=self.chance.choice([1, 3]), between=False)

    def pieces(self) -> List[bytes]:
        size = self.chance.choice([1, 7, 100, 4096, 30_000])
        if len(self.data) > 300 * size:
            size = 4096
        pieces, at = [], 0
        while at < len(self.data):
            step = self.chance.randint(1, size)
            pieces.append(bytes(self.data[at : at + step]))
            at += step
        return pieces


CLOSES = [
    b"",
    b"\x03",
    *(struct.pack("!H", code) + b"why" for code in (1000, 1001, 1005, 1006, 1015, 1016, 999, 2999, 3000, 4999, 5000)),
    struct.pack("!H", 1000) + "ü".encode() * 61,
    struct.pack("!H", 1000) + b"\xff",
]


def length(first: int, second: int, rest: bytes) -> Callable[[PeerStream], None]:
    def put(stream: PeerStream) -> None:
        stream.data += bytes([first, second]) + rest

    return put


FAULTS: List[Callable[[PeerStream], None]] = [
    length(0x81, 0x01, b"x"),  # not masked
    length(0x81, 0xFE, b"\0\x05" + b"\0\0\0\0hello"),  # a longer length than needed
    length(0x81, 0xFF, b"\0\0\0\0\0\0\0\x05" + b"\0\0\0\0hello"),
    length(0x81, 0xFF, b"\xff" * 8 + b"\0\0\0\0"),
    length(0xA1, 0x81, b"\0\0\0\0x"),  # a reserved bit
    length(0xC9, 0x81, b"\0\0\0\0x"),
    length(0x83, 0x81, b"\0\0\0\0x"),  # no such opcode
    length(0x09, 0x81, b"\0\0\0\0x"),  # a fragment of a ping
    length(0x89, 0xFE, b"\0\x7e\0\0\0\0" + b"x" * 126),  # a long ping
    lambda stream: stream.add(frame(0, b"the rest of nothing")),
    lambda stream: (stream.add(frame(1, b"a", fin=False)), stream.add(frame(1, b"b")))[0],
    lambda stream: stream.add(frame(1, b"not UTF-8: \xff")),
    lambda stream: stream.add(frame(1, "é".encode()[:1])),
    lambda stream: (stream.add(frame(1, b"\xe2\x9c", fin=False)), stream.add(frame(0, b"\xff")))[0],
    lambda stream: stream.add(frame(1, b"not deflated", rsv1=True)),
]


class Pipe:
    """Takes what simple-websocket sends."""

    def __init__(self) -> None:
        self.sent = b""

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)


class NoThread:
    """Stands in for the thread of simple-websocket: the test reads."""

    def __init__(self, target: Any) -> None:
        self.name = ""

    def start(self) -> None:
        pass


class Watched:
    """The connection object that simple-websocket drives. ``broken`` tells whether frames were broken."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def events(self) -> Iterator[Any]:
        for event in self._connection.events():
            # After a Close frame of the peer the state is another: then wsproto has made this event itself.
            open_yet = self.state.name in ("OPEN", "LOCAL_CLOSING")
            self.broken = self.broken or (isinstance(event, CloseConnection) and open_yet)
            yield event


class Theirs(simple_websocket.Server):  # type: ignore[misc]
    """simple-websocket's way of reading; its messages and states become events."""

    def __init__(self, fields: Dict[str, str]) -> None:
        environ: Dict[str, Any] = {"HTTP_" + name.upper().replace("-", "_"): text for name, text in fields.items()}
        environ.update({"HTTP_HOST": "a", "HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"})
        environ["werkzeug.socket"] = self._pipe = Pipe()
        super().__init__(environ, subprotocols=["ocpp1.6"], thread_class=NoThread)
        self.ws = Watched(self.ws)
        self._head = len(self._pipe.sent)
        self._closed = False
        self.events: List[Event] = []

    @property
    def sent(self) -> bytes:
        return self._pipe.sent[self._head :]

    def end(self) -> None:
        """Close the connection from our side."""
        self._closed = True
        self.close(1001, "ours")

    def read(self, piece: bytes) -> bool:
        """Return whether there may be more."""
        self.ws.receive_data(piece)
        end = None if self._handle_events() else self._end()
        for message in self.input_buffer:
            if self._complain(message):
                return False
            self.events.append(("text", message))
        self.input_buffer.clear()
        if end is not None:
            self.events.append(end)
            return False
        return not self._complain(self.incoming_message)

    def _end(self) -> Optional[Event]:
        state, code = self.ws.state.name, int(self.close_reason)
        if state == "CLOSED":
            return ("close",) if self._closed else ("close", code, self.close_message or "")
        if state == "LOCAL_CLOSING" and not self._closed:
            return ("violation", code)
        if self.ws.broken:
            return LATE  # which simple-websocket swallows, and reads nothing more
        return None

    def _complain(self, message: Any) -> bool:
        """Return whether a message, or what has come of it, breaks a rule."""
        size = len(message.encode() if isinstance(message, str) else message or b"")
        if size > LIMIT:
            code, words = 1009, f"a message has more than {LIMIT} bytes"
        elif isinstance(message, bytes):
            code, words = 1003, "OCPP messages are text"
        else:
            return False
        self.events.append(("violation", code))
        if not self._closed:
            self.close(code, words)
        return True


class Ours:
    """The wire, over a socket."""

    def __init__(self, fields: Dict[str, str]) -> None:
        near, self._far = socket.socketpair()
        for sock in (near, self._far):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._sock = Stream(near)
        self._wire = FrameWire(self._sock, LIMIT, extension=fields.get("Sec-WebSocket-Extensions"))
        self._far.setblocking(False)
        self._closed = False
        self.events: List[Event] = []
        self.sent = b""

    def close(self) -> None:
        self._closed = True
        self._wire.send_close(1001, "ours")

    def read(self, piece: bytes) -> bool:
        self._far.sendall(piece)
        until = self._sock.received + len(piece)
        try:
            while self._sock.received < until:
                close = self._wire.receive(lambda text: self.events.append(("text", text)))
                if close is not None:
                    self._wire.answer_close(close)
                    self.events.append(self._shown(close))
                    return False
        except Violation as violation:
            late = self._closed and violation.code in (1002, 1007)
            self.events.append(LATE if late else ("violation", violation.code))
            inflating = violation.reason.startswith(
                "a message cannot be inflated"
            )  # which simple-websocket does not say
            self._wire.send_close(violation.code, "error in extension" if inflating else cut_reason(violation.reason))
            return False
        finally:
            self.look()
        return True

    def _shown(self, close: PeerClose) -> Event:
        return ("close",) if self._closed else ("close", close.code, close.reason)

    def look(self) -> None:
        """Take what has been sent."""
        try:
            while True:
                self.sent += self._far.recv(1 << 20)
        except BlockingIOError:
            pass

    def end(self) -> None:
        self._sock.close()
        self._far.close()


class Known:
    """A stream of compressed messages in fragments with control frames between them, and the expected events."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.stream = PeerStream(chance, inflates=False)
        self.keeps = chance.random() < 0.5
        self.texts: List[str] = []
        self.pongs = b""
        self._squeeze: Any = zlib.compressobj(wbits=-15)
        for _ in range(chance.randrange(1, 7)):
            self._add(chance.choice(TEXTS))

    @property
    def fields(self) -> Dict[str, str]:
        flag = "" if self.keeps else "; client_no_context_takeover"
        return {**FIELDS, "Sec-WebSocket-Extensions": "permessage-deflate" + flag}

    def _add(self, text: str) -> None:
        self.texts.append(text)
        data, squeezed = text.encode(), self.chance.random() < 0.8
        if squeezed:
            data = self._compress(data)
        cuts = sorted(self.chance.randint(0, len(data)) for _ in range(self.chance.choice([0, 1, 2, 6])))
        for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(data)])):
            for _ in range(self.chance.choice([0, 0, 1, 2])):
                self._add_control()
            opcode, last = 0 if number else 1, number == len(cuts)
            self.stream.add(frame(opcode, data[begin:end], fin=last, rsv1=squeezed and number == 0))

    def _compress(self, data: bytes) -> bytes:
        kind = self.chance.choice(["flush", "flush", "finish", "finish and fill"])
        if kind == "flush":
            data = (self._squeeze.compress(data) + self._squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
        else:  # the stream ends (RFC 7692 section 7.2.3.4)
            data = self._squeeze.compress(data) + self._squeeze.flush() + (b"" if kind == "finish" else b"\0")
        if kind != "flush" or not self.keeps:
            self._squeeze = zlib.compressobj(wbits=-15)
        return data

    def _add_control(self) -> None:
        opcode, data = self.chance.choice([9, 10]), bytes(self.chance.randrange(126))
        self.stream.add(frame(opcode, data))
        if opcode == 9:
            self.pongs += frame(10, data, masked=False)


def both(chance: random.Random) -> List[Event]:
    """Give both the same stream; return its events."""
    inflates = chance.random() < 0.5
    fields = {**FIELDS, **({"Sec-WebSocket-Extensions": "permessage-deflate"} if inflates else {})}
    stream = PeerStream(chance, inflates)
    stream.fill()
    stream.end()
    pieces = stream.pieces()
    ours, theirs = Ours(fields), Theirs(fields)
    closing = chance.randrange(len(pieces) + 1) if pieces and chance.random() < 0.2 else None
    try:
        for number, piece in enumerate(pieces):
            if number == closing:
                ours.close()
                theirs.end()
            more = theirs.read(piece)
            assert ours.read(piece) == more
            assert ours.events == theirs.events
            if not more:
                break
        ours.look()
        assert ours.sent == theirs.sent
    finally:
        ours.end()
    return ours.events


@pytest.mark.timeout(PATIENCE)
def test_streams_are_read_as_simple_websocket_reads_them() -> None:
    seen: "Counter[Any]" = Counter()
    for number in range(COUNT):
        try:
            events = both(random.Random(f"{SEED} {number}"))
        except AssertionError as error:
            raise AssertionError(f"OCPPJ_FUZZ_SEED={SEED}, stream {number}") from error
        seen.update(event[0] if event[0] != "violation" else event for event in events)
    print(f"OCPPJ_FUZZ_SEED={SEED}", dict(seen))
    assert seen[LATE[0]]
    for what in ("text", "close", *(("violation", code) for code in (1002, 1003, 1007, 1009))):
        assert seen[what] > COUNT // 100, what


@pytest.mark.timeout(PATIENCE)
def test_compressed_fragments_with_control_frames_between_are_read_right() -> None:
    for number in range(COUNT):
        known = Known(random.Random(f"{SEED} compressed {number}"))
        ours = Ours(known.fields)
        try:
            for piece in known.stream.pieces():
                assert ours.read(piece), f"OCPPJ_FUZZ_SEED={SEED}, stream {number}: {ours.events[-1:]}"
            assert ours.events == [("text", text) for text in known.texts], f"OCPPJ_FUZZ_SEED={SEED}, stream {number}"
            assert ours.sent == known.pongs
        finally:
            ours.end()
