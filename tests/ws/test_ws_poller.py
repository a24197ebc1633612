"""Poller, over every selector of the platform."""

import selectors
import socket
import threading
import time

import pytest

from ocppj.ws.readers.poller import READ, WRITE, Poller
from tests.helpers import seconds

NAMES = ["EpollSelector", "KqueueSelector", "DevpollSelector", "PollSelector", "SelectSelector"]


@pytest.fixture(params=[getattr(selectors, name) for name in NAMES if hasattr(selectors, name)])
def poller(request):
    poller = Poller(request.param)
    yield poller
    poller.close()


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    yield near, far
    near.close()
    far.close()


def test_it_says_who_is_ready_for_what(poller, pair):
    near, far = pair
    poller.arm(near.fileno(), READ, 0, "near")
    assert poller.wait(0) == []
    poller.arm(near.fileno(), READ | WRITE, READ, "near")
    assert poller.wait(0) == [("near", WRITE)]
    far.send(b"x")
    assert poller.wait(seconds(5)) == [("near", READ | WRITE)]
    poller.arm(near.fileno(), READ, READ | WRITE, "near")
    assert poller.wait(seconds(5)) == poller.wait(seconds(5)) == [("near", READ)]  # until it is read
    poller.arm(near.fileno(), 0, READ, "near")
    assert poller.wait(0) == []
    poller.arm(near.fileno(), 0, READ, "near")  # once more does no harm


def test_it_is_woken(poller, pair):
    for _ in range(3):
        timer = threading.Timer(0.02, poller.wake)
        timer.start()
        begun = time.monotonic()
        assert poller.wait(seconds(10)) == []
        assert time.monotonic() - begun < seconds(5)
        timer.join(seconds(5))
    for _ in range(100_000):
        poller.wake()  # more than its socket holds
    assert poller.wait(seconds(10)) == []
    poller.close()
    poller.wake()


def test_what_is_armed_while_another_waits_counts_at_once_or_after_a_wake(poller, pair):
    near, far = pair
    far.send(b"x")
    found = []

    def wait():
        while not found:
            found.extend(poller.wait(seconds(10)))

    thread = threading.Thread(target=wait)
    thread.start()
    poller.arm(near.fileno(), READ, 0, "near")
    if not poller.live:
        poller.wake()
    thread.join(seconds(5))
    assert found == [("near", READ)]


def test_select_is_limited():
    poller = Poller(selectors.SelectSelector)
    assert poller.has_room(100)
    assert not poller.has_room(1024)
    poller.close()
    poller = Poller(selectors.DefaultSelector)
    assert poller.has_room(100_000) or selectors.DefaultSelector is selectors.SelectSelector
    poller.close()
