"""Lingering close without a thread."""

import selectors
import socket

import pytest

from ocppj.ws.serving.lingering import LingeringSockets
from tests.helpers import seconds

ANSWER = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"


@pytest.fixture
def selector():
    with selectors.DefaultSelector() as selector_:
        yield selector_


def pair_of_sockets():
    ours, theirs = socket.socketpair()
    theirs.settimeout(seconds(5))
    return ours, theirs


def test_it_sends_the_answer_and_waits_for_the_end(selector):
    lingering = LingeringSockets(selector)
    ours, theirs = pair_of_sockets()
    lingering.add(ours, ANSWER, now=10.0)
    assert theirs.recv(1000) == ANSWER
    assert theirs.recv(1000) == b""  # nothing more comes
    theirs.send(b"GET / HTTP/1.1")
    lingering.read(ours)
    assert ours in lingering and ours.fileno() >= 0
    theirs.close()
    lingering.read(ours)
    assert (len(lingering), ours.fileno(), len(selector.get_map())) == (0, -1, 0)


def test_it_never_waits_for_a_peer(selector):
    """It runs on the accept thread: a wait here would keep all other peers out."""
    lingering = LingeringSockets(selector)
    ours, theirs = pair_of_sockets()
    ours.settimeout(seconds(5))  # so that a wait would end, and fail the test
    lingering.add(ours, ANSWER, now=10.0)
    assert not ours.getblocking()
    lingering.read(ours)  # nothing has come
    assert ours in lingering
    lingering.close()
    theirs.close()


def test_a_socket_lingers_for_a_second_at_most(selector):
    lingering = LingeringSockets(selector)
    assert lingering.deadline() is None
    first, second = pair_of_sockets(), pair_of_sockets()
    lingering.add(first[0], ANSWER, now=10.0)
    lingering.add(second[0], ANSWER, now=10.5)
    assert lingering.deadline() == 11.0
    lingering.expire(10.9)
    assert len(lingering) == 2
    lingering.expire(11.2)
    assert (first[0].fileno(), lingering.deadline()) == (-1, 11.5)
    lingering.close()
    assert second[0].fileno() == -1
    for _, theirs in (first, second):
        theirs.close()


def test_a_peer_that_goes_on_sending_is_closed(selector):
    lingering = LingeringSockets(selector)
    ours, theirs = pair_of_sockets()
    lingering.add(ours, ANSWER, now=0.0)
    for _ in range(8):
        assert ours in lingering
        theirs.send(b"x")
        lingering.read(ours)
    assert ours not in lingering
    theirs.close()


def test_the_oldest_is_closed_when_there_are_too_many(selector):
    lingering = LingeringSockets(selector, max_sockets=2)
    pairs = [pair_of_sockets() for _ in range(3)]
    for ours, _ in pairs:
        lingering.add(ours, ANSWER, now=0.0)
    assert [ours.fileno() >= 0 for ours, _ in pairs] == [False, True, True]
    lingering.close()
    for _, theirs in pairs:
        theirs.close()


def test_a_socket_that_cannot_be_answered_is_closed(selector):
    lingering = LingeringSockets(selector)
    silent, gone, full = pair_of_sockets(), pair_of_sockets(), pair_of_sockets()
    lingering.add(silent[0], b"", now=0.0)
    gone[1].close()
    lingering.add(gone[0], ANSWER, now=0.0)
    full[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            full[0].send(b"x" * 65536)
    lingering.add(full[0], ANSWER, now=0.0)
    assert len(lingering) == 0
    for ours, theirs in (silent, gone, full):
        assert ours.fileno() == -1
        theirs.close()
