"""Frames of plain text: what is read without wsproto is what wsproto reads, however the bytes come."""

import random
import socket
import struct

import pytest
from wsproto.frame_protocol import FrameProtocol, Opcode

from ocppj.errors import TransportError
from ocppj.ws.connection.frames import FrameWire
from ocppj.ws.connection.plain_frames import frame_of_text, text_of_frame
from ocppj.ws.connection.wire import Violation
from ocppj.ws.stream.stream import Stream
from tests.helpers import seconds
from tests.ws.support import close_frame, frame

SIZES = [0, 1, 3, 4, 5, 124, 125, 126, 127, 1499, 1500, 1501, 65535]
sides = pytest.mark.parametrize("masked", [False, True], ids=["of a server", "of a client"])


def read_by_library(data, masked):
    protocol = FrameProtocol(not masked, [])
    protocol.receive_bytes(data)
    return [(each.opcode, each.payload, each.message_finished) for each in protocol.received_frames()]


@sides
@pytest.mark.parametrize("size", [*SIZES, 65536, 70000])
def test_a_frame_that_is_made_is_what_was_meant(size, masked):
    text = ("é" + "x" * size)[: size - 1] if size else ""
    made = frame_of_text(text, masked)
    assert read_by_library(made, masked)[0][0] is Opcode.TEXT
    assert "".join(payload for _, payload, _ in read_by_library(made, masked)) == text


@sides
@pytest.mark.parametrize("size", SIZES)
def test_a_whole_frame_is_read(size, masked):
    text = "".join(random.Random(size).choices("abc{}[]", k=size))
    whole = frame(1, text.encode(), masked=masked)
    before, behind = b"12345", b"\x81"
    assert text_of_frame(before + whole + behind, len(before), masked) == (text, len(before) + len(whole))
    made = frame_of_text(text, masked)  # with a random mask
    assert text_of_frame(made, 0, masked) == (text, len(made))


@sides
@pytest.mark.parametrize("size", [0, 5, 126, 1000])
def test_a_part_of_a_frame_is_left_alone(size, masked):
    whole = frame(1, b"x" * size, masked=masked)
    for end in range(1, len(whole)):
        assert text_of_frame(whole[:end], 0, masked) is None


@sides
def test_what_is_no_whole_text_is_left_alone(masked):
    for opcode in (0, 2, 3, 8, 9, 10, 15):
        assert text_of_frame(frame(opcode, b"ab", masked=masked), 0, masked) is None
    assert text_of_frame(frame(1, b"ab", fin=False, masked=masked), 0, masked) is None
    assert text_of_frame(frame(1, b"ab", rsv1=True, masked=masked), 0, masked) is None
    assert text_of_frame(frame(1, b"ab", masked=not masked), 0, masked) is None
    assert text_of_frame(frame(1, b"\xff\xfe", masked=masked), 0, masked) is None
    assert text_of_frame(frame(1, b"x" * 65536, masked=masked), 0, masked) is None
    bit = 0x80 if masked else 0
    for form, size in ((126, struct.pack("!H", 5)), (127, struct.pack("!Q", 200))):
        assert text_of_frame(bytes([0x81, bit | form]) + size + b"k" * 4 + b"x" * 200, 0, masked) is None


class Site:
    """A wire that is given bytes, and what came of them."""

    def __init__(self, client):
        near, self._far = socket.socketpair()
        self._far.settimeout(seconds(10))
        self._stream = Stream(near)
        self._wire = FrameWire(self._stream, 5000, client=client)
        self.seen = []
        self.over = False
        self._calls = 0

    def _take(self, text):
        self.seen.append(text)
        self._calls += 1
        return self._calls % 3 == 0  # now and then no more is wanted for now

    def give(self, piece):
        self._far.sendall(piece)
        until = self._stream.received + len(piece)
        while self._stream.received < until and not self.over:
            self._receive()
        for _ in range(5):  # what was left when no more was wanted
            if not self.over:
                self._receive()

    def _receive(self):
        try:
            close = self._wire.receive(self._take)
            if close is not None:
                self.seen.append(close)
                self.over = True
        except (Violation, TransportError) as error:
            self.seen.append((getattr(error, "code", None), str(error)))
            self.over = True

    def close(self):
        self._stream.close()
        self._far.close()


def random_frames(chance, masked):
    """Return the bytes of some frames; now and then one that breaks a rule."""
    parts, inside = [], False
    for _ in range(chance.randint(1, 12)):
        kind, data = chance.random(), bytes(chance.choices(b'ab{"}', k=chance.choice([0, 1, 7, 125, 126, 300, 2000])))
        if chance.random() < 0.2:
            data = "é€\U0001f50c".encode() + data
        if kind < 0.6 and not inside:
            parts.append(frame(1, data, masked=masked))
        elif kind < 0.75:
            fin = chance.random() < 0.5
            parts.append(frame(0 if inside else 1, data, fin=fin, masked=masked))
            inside = not fin
        elif kind < 0.9:
            parts.append(frame(chance.choice([9, 10]), data[:125], masked=masked))
        else:
            parts.append(
                chance.choice(
                    [
                        frame(1, b"\xff" + data, masked=masked),
                        frame(1, data, masked=not masked),
                        frame(2, data, masked=masked),
                        frame(3, data, masked=masked),
                        frame(1, data, rsv1=True, masked=masked),
                        frame(1, b"x" * 6000, masked=masked),
                        close_frame(1000, "bye", masked=masked),
                    ]
                )
            )
    return b"".join(parts)


def cut(chance, data):
    """Return ``data`` in pieces."""
    places = sorted(chance.sample(range(len(data) + 1), min(len(data), chance.randint(0, 6))))
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)]) if begin < end]


@sides
def test_the_way_the_bytes_come_changes_nothing(masked):
    """In pieces of seven bytes, wsproto reads all of it. At once, or in pieces, most is read without it."""
    for seed in range(60):
        chance = random.Random(seed)
        data = random_frames(chance, masked)
        sites = []
        for pieces in ([data[at : at + 7] for at in range(0, len(data), 7)], [data], cut(chance, data)):
            site = Site(client=not masked)
            try:
                for piece in pieces:
                    if not site.over:
                        site.give(piece)
            finally:
                site.close()
            sites.append(site.seen)
        assert sites[0] == sites[1] == sites[2], seed
