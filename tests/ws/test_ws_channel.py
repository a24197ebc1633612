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
from ocppj.ws.connection.frames import ServerWire
from ocppj.ws.stream.stream import Stream
from tests.helpers import Recorder, seconds
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


class Site:
    """A channel and its peer's socket."""

    def __init__(self, **options):
        near, self.peer = socket.socketpair()
        self.peer.settimeout(seconds(10))
        self.sock = Stream(near)
        wire = ServerWire(self.sock, None, 100_000)
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
