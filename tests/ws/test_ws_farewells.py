"""Connections that are answered and closed without a thread of their own."""

import selectors
import socket
import threading

import pytest

from ocppj.ws.serving.acceptor import Listener
from ocppj.ws.serving.farewells import Farewells
from tests.helpers import Recorder, eventually, seconds

ANSWER = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"


@pytest.fixture
def selector():
    with selectors.DefaultSelector() as selector_:
        yield selector_


def pair_of_sockets():
    ours, theirs = socket.socketpair()
    theirs.settimeout(seconds(5))
    return ours, theirs


def test_the_answer_is_sent_and_the_end_awaited(selector):
    farewells = Farewells(selector)
    ours, theirs = pair_of_sockets()
    farewells.add(ours, ANSWER, now=10.0)
    assert theirs.recv(1000) == ANSWER
    assert theirs.recv(1000) == b""  # nothing more comes
    theirs.send(b"GET / HTTP/1.1")
    farewells.read(ours)
    assert ours in farewells and ours.fileno() >= 0
    theirs.close()
    farewells.read(ours)
    assert (len(farewells), ours.fileno(), len(selector.get_map())) == (0, -1, 0)


def test_nothing_waits_for_a_peer(selector):
    """The accept thread does this: who waits here keeps all others out."""
    farewells = Farewells(selector)
    ours, theirs = pair_of_sockets()
    ours.settimeout(seconds(5))  # so that a wait would end, and be seen
    farewells.add(ours, ANSWER, now=10.0)
    assert not ours.getblocking()
    farewells.read(ours)  # nothing has come
    assert ours in farewells
    farewells.close()
    theirs.close()


def test_nobody_lingers_longer_than_a_second(selector):
    farewells = Farewells(selector)
    assert farewells.deadline() is None
    first, second = pair_of_sockets(), pair_of_sockets()
    farewells.add(first[0], ANSWER, now=10.0)
    farewells.add(second[0], ANSWER, now=10.5)
    assert farewells.deadline() == 11.0
    farewells.expire(10.9)
    assert len(farewells) == 2
    farewells.expire(11.2)
    assert (first[0].fileno(), farewells.deadline()) == (-1, 11.5)
    farewells.close()
    assert second[0].fileno() == -1
    for _, theirs in (first, second):
        theirs.close()


def test_one_that_never_stops_talking_is_closed(selector):
    farewells = Farewells(selector)
    ours, theirs = pair_of_sockets()
    farewells.add(ours, ANSWER, now=0.0)
    for _ in range(8):
        assert ours in farewells
        theirs.send(b"x")
        farewells.read(ours)
    assert ours not in farewells
    theirs.close()


def test_there_are_never_many(selector):
    farewells = Farewells(selector, most=2)
    pairs = [pair_of_sockets() for _ in range(3)]
    for ours, _ in pairs:
        farewells.add(ours, ANSWER, now=0.0)
    assert [ours.fileno() >= 0 for ours, _ in pairs] == [False, True, True]
    farewells.close()
    for _, theirs in pairs:
        theirs.close()


def test_what_cannot_be_answered_is_closed(selector):
    farewells = Farewells(selector)
    silent, gone, full = pair_of_sockets(), pair_of_sockets(), pair_of_sockets()
    farewells.add(silent[0], b"", now=0.0)
    gone[1].close()
    farewells.add(gone[0], ANSWER, now=0.0)
    full[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            full[0].send(b"x" * 65536)
    farewells.add(full[0], ANSWER, now=0.0)
    assert len(farewells) == 0
    for ours, theirs in (silent, gone, full):
        assert ours.fileno() == -1
        theirs.close()


def test_a_listener_goes_on_accepting_while_others_linger():
    taken = Recorder()
    answers = iter([ANSWER, ANSWER, None])

    def welcome(sock, address):
        answer = next(answers)
        if answer is None:
            taken(sock)
        return answer

    listener = Listener("127.0.0.1", 0, welcome)
    listener.start()
    clients = [socket.create_connection(("127.0.0.1", listener.port), seconds(5)) for _ in range(3)]
    ((sock,),) = taken.wait(1)
    for client in clients[:2]:
        assert client.recv(1000) == ANSWER
    listener.stop()
    listener.thread.join(seconds(5))
    assert not listener.thread.is_alive()
    for each in (sock, *clients):
        each.close()


def test_a_listener_that_has_no_resources_pauses_and_comes_back(caplog):
    taken = Recorder()
    failures = iter([RuntimeError("can't start new thread")])

    def welcome(sock, address):
        for failure in failures:
            raise failure
        taken(sock)

    listener = Listener("127.0.0.1", 0, welcome)
    listener.start()
    clients = [socket.create_connection(("127.0.0.1", listener.port), seconds(5)) for _ in range(2)]
    ((sock,),) = taken.wait(1)
    assert clients[0].recv(1) == b""
    assert "cannot be served" in caplog.text
    listener.stop()
    eventually(lambda: listener.thread not in threading.enumerate())
    for each in (sock, *clients):
        each.close()
