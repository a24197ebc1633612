"""A `WireChannel` that the test steps itself: the cost of a message, and the end. The rest is in `test_contract.py`."""

import os
import socket
import sys
import threading
import time
from collections import Counter

import pytest

import ocppj
from ocppj.ws.connection.channel import Handlers, WireChannel, cut_reason
from ocppj.ws.connection.frames import FrameWire
from ocppj.ws.stats import judge_close
from ocppj.ws.stream.stream import Stream
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import close_frame, frame


class Owner:
    """Answers each message on the thread that reads it."""

    def __init__(self):
        self.ends = Recorder()
        self.handlers = Handlers()
        self.handlers.message = lambda channel, text: channel.send(f"to {text}", wait=False)

    def on_end(self, channel, close):
        self.ends(close)


class NoReaders:
    """For a channel that the test steps itself."""

    def flush(self, source):
        raise AssertionError("nothing is left to write")

    def holds_back(self, source):
        return False

    def resume(self, source):
        """The test steps it."""


class Site:
    """A channel and its peer's socket."""

    def __init__(self, kind=FrameWire, **options):
        near, self.peer = socket.socketpair()
        self.peer.settimeout(seconds(10))
        self.sock = Stream(near)
        wire = kind(self.sock, 100_000)
        self.owner = Owner()
        self.channel = WireChannel(
            wire, self.owner, NoReaders(), id="CP_1", subprotocol="ocpp1.6", remote_address="here", **options
        )

    def close(self):
        self.sock.close()
        self.peer.close()


@pytest.fixture
def site():
    site = Site(ping_interval=60, idle_timeout=3600)
    yield site
    site.close()


def calls_of_ours(act):
    """Return how often ``act`` calls functions of ours, and C functions from ours, by name."""
    folder = os.path.dirname(ocppj.__file__)
    counts = Counter()

    def profile(frame, event, argument):
        if event in ("call", "c_call") and frame.f_code.co_filename.startswith(folder):
            counts[frame.f_code.co_name if event == "call" else argument.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(before)
    return counts


def test_a_message_and_its_answer_cost_few_calls(site):
    """The step, the handler, its answer, and the questions of the readers after the step."""
    channel = site.channel

    def serve():
        assert channel.step(False)
        assert not channel.wants_write()
        assert channel.next_deadline() is not None

    for number in range(3):
        site.peer.send(frame(1, b"%d" % number))
        counts = calls_of_ours(serve)
        assert site.peer.recv(4096) == frame(1, b"to %d" % number, masked=False)
    assert counts["recv"] == counts["send"] - 1 == 1, "one system call each way (and the channel's own send)"
    assert sum(counts.values()) <= 35, counts


def test_a_step_with_nothing_to_read_changes_nothing(site):
    due = site.channel.next_deadline()
    for _ in range(3):
        assert site.channel.step(False)
    assert site.channel.next_deadline() == due
    assert site.channel.is_open
    assert not site.channel.read_here


def test_all_that_has_come_is_read_in_one_step(site):
    texts = [b"%d" % number for number in range(100)]
    site.peer.sendall(b"".join(frame(1, text) for text in texts))
    assert site.channel.step(False)
    wanted = b"".join(frame(1, b"to " + text, masked=False) for text in texts)
    got = b""
    while len(got) < len(wanted):
        got += site.peer.recv(65536)
    assert got == wanted


def test_a_close_ends_the_reading_once_it_is_answered(site):
    site.peer.sendall(frame(1, b"last") + close_frame(4000, "why") + frame(1, b"late"))
    assert not site.channel.step(False)
    wanted = frame(1, b"to last", masked=False) + close_frame(4000, "why", masked=False)
    assert site.peer.recv(4096) == wanted
    site.channel.finish()
    close = site.owner.ends.wait(1)[0][0]
    assert (close.code, close.reason, close.by_peer) == (4000, "why", True)
    assert len(site.owner.ends.calls) == 1


class StopsAtOnce(FrameWire):
    """The peer has the answer to its Close, and in that moment the program stops this side."""

    def answer_close(self, close):
        super().answer_close(close)
        self.site.channel.begin_close(1001, "stopped")


def test_the_close_of_the_peer_counts_when_this_side_stops_as_soon_as_it_is_answered():
    site = StopsAtOnce.site = Site(StopsAtOnce)
    site.peer.sendall(close_frame(1000, "bye"))
    while site.channel.step(False):
        pass
    site.channel.finish()
    ((close,),) = site.owner.ends.calls
    assert (close.code, close.reason, close.by_peer) == (1000, "bye", True)
    assert site.peer.recv(100)[2:4] == b"\x03\xe8"
    site.close()


def test_ended_may_be_asked_for_before_and_after(site):
    ended = site.channel.ended
    assert not ended.is_set()
    assert site.channel.ended is ended
    site.channel.finish()
    assert ended.is_set()
    late = Site()
    late.channel.finish()
    late.close()
    assert late.channel.ended.is_set(), "though it is first asked for now"


def test_a_thread_that_asks_for_ended_meanwhile_is_woken():
    for _ in range(200):
        site = Site()
        waiter = threading.Thread(target=lambda channel: channel.ended.wait(), args=(site.channel,), daemon=True)
        waiter.start()
        site.channel.finish()
        waiter.join(seconds(10))
        site.close()
        assert not waiter.is_alive()


def test_buffered_bytes_set_the_next_deadline():
    site = Site(idle_timeout=3600)
    try:
        site.channel.claim_reading()
        while not site.sock.unsent:
            site.channel.send("x" * 50_000)
        assert site.channel.wants_write()
        assert site.channel.next_deadline() < time.monotonic() + 60
        while site.sock.unsent:
            site.peer.recv(1 << 20)
            assert site.channel.step(False)
        assert not site.channel.wants_write()
        assert site.channel.next_deadline() > time.monotonic() + 60
    finally:
        site.close()


def test_reasons_are_cut_between_characters():
    assert cut_reason("é" * 100) == "é" * 61


# Pausing


class Room:
    """Has the channel paused with each message, until there is room."""

    def __init__(self, site):
        self.texts = []
        self.free = False
        self._channel = site.channel
        site.owner.handlers.message = self._take

    def _take(self, channel, text):
        self.texts.append(text)
        self._channel.pause(lambda: self.free)


def test_a_paused_channel_reads_nothing_until_there_is_room(site):
    room = Room(site)
    site.peer.sendall(frame(1, b"one") + frame(1, b"two") + frame(1, b"three"))
    for _ in range(5):
        assert site.channel.step(False)
        assert site.channel.step(True)
    assert room.texts == ["one"]
    assert site.channel.paused
    assert site.channel.next_deadline() <= time.monotonic() + 1, "it looks now and then"
    room.free = True
    assert site.channel.next_deadline() <= time.monotonic()
    assert site.channel.step(False)
    assert room.texts == ["one", "two"]
    site.owner.handlers.message = lambda channel, text: room.texts.append(text)
    assert site.channel.step(True)
    assert room.texts == ["one", "two", "three"], "what had come with the others needs no more bytes"
    assert not site.channel.paused


def test_a_paused_channel_is_neither_silent_nor_idle():
    """It pings, and cannot read the pongs."""
    site = Site(ping_interval=0.01, pong_timeout=0.01, idle_timeout=0.01)
    try:
        room = Room(site)
        site.peer.sendall(frame(1, b"one"))
        pings = b""
        site.peer.setblocking(False)

        def step():
            nonlocal pings
            assert site.channel.step(False)
            try:
                pings += site.peer.recv(4096)
            except BlockingIOError:
                pass
            return len(pings) >= 10 * len(frame(9, masked=False))

        eventually(step)
        assert room.texts == ["one"]
        assert site.channel.is_open
    finally:
        site.close()


def test_a_thread_that_waits_for_room_looks_as_soon_as_it_is_told(site):
    room = Room(site)
    site.peer.sendall(frame(1, b"one") + frame(1, b"two"))
    assert site.channel.step(True)
    read = threading.Event()

    def read_on():
        while len(room.texts) < 2:
            site.channel.step(True)
        read.set()

    reader = threading.Thread(target=read_on)
    reader.start()
    room.free = True
    site.channel.resume()
    assert read.wait(seconds(10))
    reader.join(seconds(10))


def test_what_is_read_after_a_close_of_ours_is_dropped_by_a_paused_channel(site):
    room = Room(site)
    site.peer.sendall(frame(1, b"one") + frame(1, b"two"))
    assert site.channel.step(False)
    site.channel.begin_close(1000, "")
    site.peer.sendall(frame(1, b"three") + close_frame(1000))
    while site.channel.step(False):
        pass
    site.channel.finish()
    assert room.texts == ["one"]
    close = site.owner.ends.wait(1)[0][0]
    assert (close.code, close.by_peer) == (1000, False)


def test_a_channel_that_is_paused_while_it_closes_drops_the_rest(site):
    room = Room(site)
    site.channel.begin_close(1000, "")
    site.peer.sendall(frame(1, b"one") + frame(1, b"two") + close_frame(1000))
    while site.channel.step(False):
        pass
    assert room.texts == ["one"]
    assert not site.channel.paused


@pytest.mark.parametrize("block", [False, True])
def test_a_paused_channel_finds_that_it_was_cut(site, block):
    Room(site)
    site.peer.sendall(frame(1, b"one"))
    assert site.channel.step(block)
    site.channel.abort()
    eventually(lambda: not site.channel.step(block))


# Messages that do not end


def parts_of(name):
    if name == "fragments":
        return [frame(1, b"a", fin=False)] + [frame(0, b"b", fin=False)] * 3
    whole = frame(1, b"abcdefgh" * 100)
    return [whole[:50], whole[50:60], whole[60:70]]


@pytest.mark.parametrize("name", ["fragments", "one frame in drips"])
@pytest.mark.parametrize("block", [False, True])
def test_a_message_must_end_in_time(name, block):
    site = Site(message_timeout=0.05, ping_interval=None, close_timeout=seconds(10))
    try:
        for data in parts_of(name):
            site.peer.sendall(data)
            assert site.channel.step(False)
        assert site.channel.next_deadline() is not None
        eventually(lambda: not site.channel.step(block) or not site.channel.is_open)
        got = site.peer.recv(4096)
        assert got[2:4] == (1008).to_bytes(2, "big")
        site.channel.finish()
        close = site.owner.ends.wait(1)[0][0]
        assert judge_close(close) == ("refused", "message_timeout")
    finally:
        site.close()


def test_a_message_that_ended_in_time_leaves_no_deadline():
    site = Site(message_timeout=3600, ping_interval=None)
    try:
        site.peer.sendall(frame(1, b"a", fin=False))
        assert site.channel.step(False)
        assert site.channel.next_deadline() > time.monotonic() + 3000
        site.peer.sendall(frame(0, b"b"))
        assert site.channel.step(False)
        assert site.channel.next_deadline() is None
        assert site.channel.is_open
    finally:
        site.close()
