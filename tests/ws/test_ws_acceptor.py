"""The loop that accepts connections."""

import socket
import threading

import pytest

from ocppj.ws.serving.acceptor import Acceptor
from ocppj.ws.serving.addresses import ListenAddress, open_sockets
from tests.helpers import Recorder, seconds

ANSWER = b"HTTP/1.1 503 Service Unavailable\r\n\r\n"


@pytest.fixture
def accept():
    """Return a function that starts an `Acceptor`, and returns it. All have ended after the test."""
    started = []

    def start(welcome):
        socks = open_sockets(ListenAddress(0, "127.0.0.1"))
        address = socks[0].getsockname()
        acceptor = Acceptor(socks, welcome)
        started.append((acceptor, threading.Thread(target=acceptor.run)))
        started[-1][1].start()
        return acceptor, address

    yield start
    for acceptor, thread in started:
        acceptor.stop()
        thread.join(seconds(5))
        assert not thread.is_alive()
        acceptor.stop()  # again, which does nothing


def connect(address):
    return socket.create_connection(address, seconds(5))


def test_it_goes_on_accepting_while_others_linger(accept):
    taken = Recorder()
    answers = iter([ANSWER, ANSWER, None])

    def welcome(sock, address):
        answer = next(answers)
        if answer is None:
            taken(sock)
        return answer

    acceptor, address = accept(welcome)
    clients = [connect(address) for _ in range(3)]
    ((sock,),) = taken.wait(1)
    for client in clients[:2]:
        assert client.recv(1000) == ANSWER
    for each in (sock, *clients):
        each.close()


def test_without_resources_it_pauses_and_goes_on(accept, caplog):
    taken = Recorder()
    failures = iter([RuntimeError("can't start new thread")])

    def welcome(sock, address):
        for failure in failures:
            raise failure
        taken(sock)

    acceptor, address = accept(welcome)
    clients = [connect(address) for _ in range(2)]
    ((sock,),) = taken.wait(1)
    assert clients[0].recv(1) == b""
    assert "cannot be served" in caplog.text
    for each in (sock, *clients):
        each.close()


def test_it_accepts_no_more_when_stopped(accept):
    acceptor, address = accept(lambda sock, address: b"")
    with connect(address) as client:
        assert client.recv(1) == b""
        acceptor.stop()
