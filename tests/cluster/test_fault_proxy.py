"""Each fault between a node and its Redis, one by one, between a plain socket and one that says everything again."""

import contextlib
import random
import socket
import threading
import time

import pytest

from tests.cluster.fault_proxy import FROM_REDIS, TO_REDIS, RedisProxy, at_random
from tests.helpers import eventually, seconds


class Echo:
    """Says everything again, on as many connections as there are. ``heard`` is what it was told."""

    def __init__(self):
        self.heard = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError):
            while True:
                data = sock.recv(4096)
                if not data:
                    return
                self.heard += data
                sock.sendall(data)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo():
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(echo):
    with RedisProxy(echo.port) as proxy:
        yield proxy


@contextlib.contextmanager
def connection(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), seconds(10)) as sock:
        yield sock


def ask(sock, text):
    sock.sendall(text)
    return sock.recv(4096)


def is_cut(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def nothing_comes(sock):
    sock.settimeout(0.1)
    try:
        sock.recv(1)
    except socket.timeout:
        return True
    finally:
        sock.settimeout(seconds(10))
    return False


def test_without_faults_it_forwards(proxy):
    with connection(proxy) as sock:
        assert ask(sock, b"PING") == b"PING"


def test_refusing_cuts_what_is_there_and_what_comes_until_it_is_healed(proxy):
    with connection(proxy) as old:
        assert ask(old, b"1") == b"1"
        proxy.refuse()
        assert is_cut(old)
    with contextlib.suppress(ConnectionError), connection(proxy) as new:
        assert is_cut(new)
    proxy.heal()
    with connection(proxy) as sock:
        assert ask(sock, b"2") == b"2"


def test_a_slow_way_makes_every_answer_late_also_on_old_connections(proxy):
    with connection(proxy) as sock:
        assert ask(sock, b"1") == b"1"
        proxy.slow(0.1)
        began = time.monotonic()
        assert ask(sock, b"2") == b"2"
        assert time.monotonic() - began >= 0.2
        proxy.heal()
        assert ask(sock, b"3") == b"3"


def test_a_connection_is_cut_after_so_many_bytes(proxy, echo):
    proxy.cut_after(3)
    with connection(proxy) as sock:
        sock.sendall(b"12345")
        assert is_cut(sock)
    assert len(echo.heard) <= 3
    proxy.heal()
    proxy.cut_after(2, FROM_REDIS)
    with connection(proxy) as sock:
        sock.sendall(b"67890")
        with contextlib.suppress(ConnectionError):
            assert len(sock.recv(4096)) <= 2
    eventually(lambda: echo.heard.endswith(b"67890"))


@pytest.mark.parametrize("direction", [TO_REDIS, FROM_REDIS])
def test_one_direction_is_swallowed_and_its_connections_are_cut_in_the_end(proxy, echo, direction):
    with connection(proxy) as sock:
        assert ask(sock, b"1") == b"1"
        proxy.swallow(direction)
        sock.sendall(b"2")
        assert nothing_comes(sock)
        assert echo.heard == (b"1" if direction == TO_REDIS else b"12")
        proxy.heal()
        assert is_cut(sock)
    with connection(proxy) as sock:
        assert ask(sock, b"3") == b"3"


def test_in_a_partition_new_connections_are_made_and_silent(proxy, echo):
    proxy.partition()
    with connection(proxy) as sock:
        sock.sendall(b"1")
        assert nothing_comes(sock)
        assert echo.heard == b""
        proxy.heal()
        assert is_cut(sock)


def test_a_connection_that_was_to_be_cut_is_not_when_it_is_healed_before(proxy):
    proxy.cut_after(3)
    with connection(proxy) as sock:
        assert ask(sock, b"1") == b"1"
        proxy.heal()
        assert ask(sock, b"2345") == b"2345"


def test_it_is_aimed_at_another_server(proxy):
    other = Echo()
    try:
        proxy.aim(other.port)
        with connection(proxy) as sock:
            assert ask(sock, b"1") == b"1"
        assert other.heard == b"1"
    finally:
        other.close()


def test_whatever_happens_at_random_is_healed(proxy):
    chance, kinds = random.Random(7), set()
    for _ in range(60):
        kinds.add(at_random(proxy, chance))
        proxy.heal()
        with connection(proxy) as sock:
            assert ask(sock, b"1") == b"1"
    assert len(kinds) == 9
