"""What comes in parts: how it is kept, counted, and when it has taken too long. Both wires."""

import socket
import struct
import threading
import tracemalloc
import zlib

import pytest
from wsproto.frame_protocol import FrameProtocol

from ocppj.budget import MemoryBudget
from ocppj.errors import UsageError
from ocppj.ws.connection.channel import check_close_code
from ocppj.ws.connection.frames import FrameWire, LibraryFrames
from ocppj.ws.connection.wire import Violation
from ocppj.ws.stream.stream import Stream
from tests.helpers import seconds
from tests.ws.support import close_frame, frame, xor

LIMIT = 1024 * 1024
DEFLATE = "permessage-deflate"


class Site:
    """A wire, and its peer's socket."""

    def __init__(self, kind, budget, offer=None):
        near, self.peer = socket.socketpair()
        for sock in (near, self.peer):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * LIMIT)
        self.peer.settimeout(seconds(10))
        self.stream = Stream(near)
        self.masked = kind == "server"
        if kind == "server":
            self.wire = FrameWire(self.stream, LIMIT, budget, extension=offer)
        else:
            self.wire = FrameWire(self.stream, LIMIT, budget, client=True)
        self.texts = []
        self.stop = False

    def send(self, data):
        """Have the wire receive ``data``, all of it."""
        self.peer.sendall(data)
        until = self.stream.received + len(data)
        while self.stream.received < until:
            self.receive()

    def receive(self):
        return self.wire.receive(self._take)

    def _take(self, text):
        self.texts.append(text)
        return self.stop

    def part(self, data, opcode=0, **options):
        self.send(frame(opcode, data, masked=self.masked, **options))

    def close(self):
        self.stream.close()
        self.peer.close()


@pytest.fixture
def make():
    made = []

    def make_(kind, budget=None, offer=None):
        made.append(Site(kind, MemoryBudget() if budget is None else budget, offer))
        return made[-1]

    yield make_
    for site in made:
        site.close()


both = pytest.mark.parametrize("kind", ["client", "server"])
PLUG = "\U0001f50c"  # four bytes in a text, and in UTF-8, too


@both
def test_an_unfinished_message_takes_its_bytes_and_not_four_times_as_much(make, kind):
    """One character beyond the first 65,536, and a text of Python takes four bytes for each."""
    site = make(kind)
    site.part(PLUG.encode(), 1, fin=False)
    tracemalloc.start()
    try:
        for _ in range(9):
            site.part(b"a" * 100_000, fin=False)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 1_500_000, f"{taken} bytes for 900,000"
    site.part(b"!")
    assert site.texts == [PLUG + "a" * 900_000 + "!"]


def test_few_deflated_bytes_take_what_they_inflate_to(make):
    budget = MemoryBudget()
    site = make("server", budget, DEFLATE)
    squeeze = zlib.compressobj(wbits=-15)
    data = squeeze.compress(PLUG.encode() + b"a" * (LIMIT - 100)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    assert len(data) < 1100
    tracemalloc.start()
    try:
        site.part(data, 1, fin=False, rsv1=True)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 1.5 * LIMIT, f"{taken} bytes"
    assert budget.held() == {"unfinished": LIMIT - 96}


@both
def test_what_has_come_of_a_message_is_counted_until_it_is_whole(make, kind):
    budget = MemoryBudget()
    site = make(kind, budget)
    site.part(b"a" * 1000, 1, fin=False)
    assert budget.held() == {"unfinished": 1000}
    site.part(b"b" * 500, fin=False)
    assert budget.held() == {"unfinished": 1500}
    site.part(b"c")
    assert budget.held() == {}
    assert site.texts == ["a" * 1000 + "b" * 500 + "c"]


@both
def test_what_has_come_of_one_frame_is_counted_too(make, kind):
    budget = MemoryBudget()
    site = make(kind, budget)
    whole = frame(1, b"a" * 5000, masked=site.masked)
    site.send(whole[:3000])
    assert 2900 <= budget.held()["unfinished"] <= 3000
    site.send(whole[3000:])
    assert budget.held() == {}
    assert site.texts == ["a" * 5000]


@both
def test_more_than_may_be_held_is_refused(make, kind):
    budget = MemoryBudget(2000)
    site = make(kind, budget)
    site.part(b"a" * 1500, 1, fin=False)
    with pytest.raises(Violation) as refused:
        site.part(b"b" * 600, fin=False)
    assert (refused.value.code, refused.value.kind) == (1013, "memory")
    site.wire.forget()
    assert budget.held() == {}


@both
def test_the_beginning_of_a_message_is_known_until_its_end(make, kind):
    site = make(kind)
    assert site.wire.unfinished_since is None
    site.part(b"a", 1, fin=False)
    since = site.wire.unfinished_since
    assert since is not None
    site.part(b"", 9)  # a ping in between
    site.part(b"b", fin=False)
    assert site.wire.unfinished_since == since
    site.part(b"c")
    assert site.wire.unfinished_since is None
    site.part(b"whole", 1)
    assert site.wire.unfinished_since is None


@both
def test_the_next_message_has_a_beginning_of_its_own(make, kind):
    site = make(kind)
    site.part(b"a", 1, fin=False)
    first = site.wire.unfinished_since
    site.send(frame(0, b"b", masked=site.masked) + frame(1, b"c", fin=False, masked=site.masked))
    assert site.wire.unfinished_since > first
    assert site.texts == ["ab"]


@both
def test_what_follows_is_kept_when_no_more_is_wanted(make, kind):
    site = make(kind)
    site.stop = True
    texts = [f"text {number}" for number in range(5)]
    frames = [frame(1, text.encode(), masked=site.masked) for text in texts[:4]]
    site.peer.sendall(b"".join(frames))
    site.receive()
    assert site.texts == texts[:1]
    site.receive()
    assert site.texts == texts[:2]
    site.stop = False
    site.receive()
    assert site.texts == texts[:4]
    site.part(b"text 4", 1)
    assert site.texts == texts


def test_a_message_in_parts_may_be_the_last_that_is_wanted(make):
    site = make("server")
    site.stop = True
    site.part(b"a", 1, fin=False)
    site.peer.sendall(frame(0, b"b") + frame(1, b"c"))
    site.receive()
    assert site.texts == ["ab"]
    site.receive()
    assert site.texts == ["ab", "c"]


def test_threads_that_hold_parts_share_one_account(make):
    budget = MemoryBudget(100_000)
    sites = [make("server", budget) for _ in range(4)]
    refused = []

    def fill(site):
        try:
            site.part(b"a", 1, fin=False)
            for _ in range(100):
                site.part(b"a" * 1000, fin=False)
        except Violation as violation:
            refused.append(violation.kind)
            site.wire.forget()

    threads = [threading.Thread(target=fill, args=(site,)) for site in sites]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(20))
    assert refused == ["memory"] * len(refused)
    assert len(refused) >= 1
    for site in sites:
        site.wire.forget()
    assert budget.held() == {}


def in_form(size, bits, masked):
    """Return the frame of a text of ``size`` bytes whose length has ``bits`` bits."""
    form, pack = {16: (126, "!H"), 64: (127, "!Q")}[bits]
    head = bytes([0x81, form | (0x80 if masked else 0)]) + struct.pack(pack, size)
    return head + (bytes(4) if masked else b"") + b"a" * min(size, 2**16)


@both
@pytest.mark.parametrize(
    ("size", "bits", "fits"),
    [(0, 16, False), (125, 16, False), (126, 16, True), (1, 64, False), (65_535, 64, False), (65_536, 64, True)],
)
def test_a_length_is_in_its_shortest_form(make, kind, size, bits, fits):
    """RFC 6455 section 5.2: the minimal number of bytes."""
    site = make(kind)
    if fits:
        site.send(in_form(size, bits, site.masked))
        assert site.texts == ["a" * size]
        return
    with pytest.raises(Violation) as refused:
        site.send(in_form(size, bits, site.masked))
    assert refused.value.code == 1002
    assert site.texts == []


@both
def test_the_highest_bit_of_a_length_is_not_set(make, kind):
    site = make(kind)
    with pytest.raises(Violation) as refused:
        site.send(in_form(2**63, 64, site.masked))
    assert refused.value.code == 1002


LEGAL = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
ILLEGAL = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65_535]


@both
@pytest.mark.parametrize("code", LEGAL)
def test_a_legal_close_code_is_taken_and_answered(make, kind, code):
    """RFC 6455 section 7.4, and what IANA has registered since: 1012, 1013 and 1014."""
    site = make(kind)
    site.peer.sendall(close_frame(code, "why", masked=site.masked))
    close = site.receive()
    assert (close.code, close.reason) == (code, "why")
    site.wire.answer_close(close)
    answer = site.peer.recv(100)
    data = answer[2:] if site.masked else xor(answer[6:], answer[2:6])
    assert data[:2] == struct.pack("!H", code)


@both
@pytest.mark.parametrize("code", ILLEGAL)
def test_an_illegal_close_code_is_a_violation(make, kind, code):
    site = make(kind)
    site.peer.sendall(close_frame(code, "", masked=site.masked))
    with pytest.raises(Violation) as refused:
        site.receive()
    assert refused.value.code == 1002


@both
def test_the_reason_of_a_close_1014_is_text(make, kind):
    site = make(kind)
    site.peer.sendall(frame(8, struct.pack("!H", 1014) + b"\xff", masked=site.masked))
    with pytest.raises(Violation) as refused:
        site.receive()
    assert refused.value.code == 1007


@both
@pytest.mark.parametrize("code", LEGAL)
def test_a_legal_close_code_is_sent(make, kind, code):
    site = make(kind)
    check_close_code(code)
    site.wire.send_close(code, "")
    data = site.peer.recv(100)
    data = data[2:] if site.masked else xor(data[6:], data[2:6])
    assert data == struct.pack("!H", code)


@pytest.mark.parametrize("code", ILLEGAL)
def test_an_illegal_close_code_is_not_sent(code):
    with pytest.raises(UsageError):
        check_close_code(code)


@both
@pytest.mark.parametrize("opcode", [1, 9])
def test_a_part_of_a_header_is_a_beginning_too(make, kind, opcode):
    site = make(kind)
    whole = frame(opcode, b"a" * (300 if opcode == 1 else 20), masked=site.masked)
    for end in range(1, len(whole)):
        site.send(whole[:end])
        since = site.wire.unfinished_since
        assert since is not None, f"after {end} bytes"
        site.send(whole[end:-1])
        assert site.wire.unfinished_since == since
        site.send(whole[-1:])
        assert site.wire.unfinished_since is None


@both
def test_a_message_is_no_older_than_the_ping_before_it(make, kind):
    site = make(kind)
    ping, text = frame(9, b"abc", masked=site.masked), frame(1, b"a" * 300, masked=site.masked)
    site.send(ping[:3])
    began = site.wire.unfinished_since
    threading.Event().wait(0.02)
    site.send(ping[3:] + text[:50])
    assert site.wire.unfinished_since > began


REST = {
    "a text": frame(1, b"two", masked=False),
    "a part of a text": frame(1, b"two", masked=False)[:3],
    "a Close": close_frame(1000, "", masked=False),
}


@pytest.mark.parametrize("begin", [1, 0], ids=["behind a whole frame", "behind fragments"])
@pytest.mark.parametrize("rest", list(REST))
def test_what_is_left_is_told_of_though_nothing_more_comes(make, rest, begin):
    site = make("client")
    if not begin:
        site.part(b"", 1, fin=False)
    site.stop = True
    site.send(frame(begin, b"one", masked=False) + REST[rest])
    assert site.texts == ["one"]
    assert site.stream.wait_readable(0.0), "the reading thread would wait for bytes that never come"
    site.stop = False
    close = site.receive()
    assert site.texts == (["one", "two"] if rest == "a text" else ["one"])
    assert (close is not None) == (rest == "a Close")
    assert (site.wire.unfinished_since is not None) == (rest == "a part of a text")


@both
@pytest.mark.parametrize("between", ["a cut", "a ping", "fragments", "a large text"])
def test_few_of_many_messages_go_through_wsproto(make, kind, between, monkeypatch):
    """Behind a message that wsproto has to read, the next one need not be."""
    seen = []

    def received_frames(self):
        for each in FrameProtocol.received_frames(self):
            seen.append(each)
            yield each

    monkeypatch.setattr(LibraryFrames, "received_frames", received_frames)
    site = make(kind)
    text = frame(1, b"whole", masked=site.masked)
    odd = {
        "a cut": b"",
        "a ping": frame(9, b"", masked=site.masked),
        "fragments": frame(1, b"a", fin=False, masked=site.masked) + frame(0, b"b", masked=site.masked),
        "a large text": frame(1, b"c" * 66_000, masked=site.masked),
    }[between]
    for _ in range(3):
        data = odd + text * 100 + text[:3]
        site.send(data)
        site.send(text[3:] + text * 50)
    assert site.texts.count("whole") == 3 * 151
    assert len(seen) <= 30


@pytest.mark.parametrize("stop", [False, True], ids=["goes on", "wants no more"])
def test_a_message_is_not_held_when_it_was_delivered(make, stop):
    """Not by wsproto either, when another message stands behind it."""
    site = make("server", offer=DEFLATE)
    squeeze = zlib.compressobj(wbits=-15)
    data = squeeze.compress(b"a" * (LIMIT - 100)) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    site.stop = stop
    tracemalloc.start()
    try:
        site.peer.sendall(frame(1, data, rsv1=True) + frame(1, b"behind it"))
        site.receive()
        assert [text[:9] for text in site.texts] == ["a" * 9, "behind it"][: 1 if stop else 2]
        site.texts.clear()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 200_000, f"{taken} bytes"
