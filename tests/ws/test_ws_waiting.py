"""Waking a thread that waits in a selector."""

import selectors
import socket
import threading

import pytest

from ocppj.ws.stream.waiting import Waker

SELECTORS = [
    getattr(selectors, name)
    for name in ("EpollSelector", "PollSelector", "SelectSelector", "KqueueSelector")
    if hasattr(selectors, name)
]


@pytest.fixture(params=SELECTORS)
def selector(request):
    with request.param() as made:
        yield made


def test_a_wake_from_another_thread_ends_the_wait_and_a_drain_allows_the_next_one(selector):
    waker = Waker(selector)
    try:
        thread = threading.Thread(target=waker.wake)
        thread.start()
        ready = selector.select(5)
        thread.join()
        assert [key.data for key, _ in ready] == [None]
        assert [key.data for key, _ in selector.select(0)] == [None], "the byte stays until it is drained"
        waker.drain()
        assert selector.select(0) == []
    finally:
        waker.close()


def test_any_number_of_wakes_never_waits(selector):
    waker = Waker(selector)
    try:
        for _ in range(100_000):  # more bytes than the system keeps
            waker.wake()
        assert selector.select(0)
    finally:
        waker.close()


def test_a_closed_waker_does_nothing():
    with selectors.DefaultSelector() as selector:
        waker = Waker(selector)
    waker.close()
    waker.close()
    waker.wake()
    waker.drain()


def test_a_selector_that_takes_no_more_sockets_leaves_nothing_open(monkeypatch):
    made = []
    pair = socket.socketpair

    def remember():
        made.extend(pair())
        return made[0], made[1]

    monkeypatch.setattr(socket, "socketpair", remember)
    selector = selectors.DefaultSelector()
    selector.close()
    with pytest.raises((ValueError, KeyError, OSError)):
        Waker(selector)
    assert [sock.fileno() for sock in made] == [-1, -1]
