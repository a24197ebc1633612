"""Each fault, one by one, between a plain socket and a plain listener."""

import random
import socket
import threading
import time

import pytest

from tests.faults.proxy import DUPLICATE, END, FREEZE, HALF, NO_FAULTS, RESET, Faults, Proxy
from tests.helpers import eventually, seconds

TEXT = bytes(range(256)) * 4


class Pair:
    """A client's socket and a server's, with a proxy between them."""

    def __init__(self, up=NO_FAULTS, down=NO_FAULTS, seed=None):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(seconds(10))
            self.proxy = Proxy(listener.getsockname()[1], lambda number, random: (up, down), seed)
            self.client = socket.create_connection(("127.0.0.1", self.proxy.port), seconds(10))
            self.server, _ = listener.accept()
        self.server.settimeout(seconds(10))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.close()
        self.proxy.close()


def read(sock, count):
    """Return ``count`` bytes, or fewer when the stream ends before."""
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            break
        data += more
    return data


def is_reset(sock):
    try:
        sock.recv(1)
    except ConnectionResetError:
        return True
    return False


def silent(sock):
    """Tell that nothing comes for a while."""
    sock.settimeout(0.1)
    try:
        sock.recv(1)
    except socket.timeout:
        return True
    finally:
        sock.settimeout(seconds(10))
    return False


def test_without_faults_all_bytes_pass_both_ways_and_so_does_the_end():
    with Pair() as pair:
        much = random.Random(1).randbytes(3_000_000)
        sender = threading.Thread(target=pair.client.sendall, args=(much,))
        sender.start()
        assert read(pair.server, len(much)) == much
        sender.join()
        pair.server.sendall(TEXT)
        assert read(pair.client, len(TEXT)) == TEXT
        pair.client.shutdown(socket.SHUT_WR)
        assert pair.server.recv(1) == b""
        pair.server.sendall(b"still")
        assert read(pair.client, 5) == b"still"
        pair.server.close()
        assert pair.client.recv(1) == b""
        eventually(lambda: pair.proxy.connections() == 0)


def test_a_reset_by_one_end_is_seen_by_the_other():
    with Pair() as pair:
        pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        pair.client.close()
        assert is_reset(pair.server)


def test_a_delay_keeps_bytes_back_and_in_order():
    with Pair(up=Faults(delay=0.2, split=100), seed=1) as pair:
        started = time.monotonic()
        pair.client.sendall(TEXT)
        assert read(pair.server, len(TEXT)) == TEXT
        assert time.monotonic() - started > 0.05  # the longest of some twenty delays


def test_a_rate_is_kept():
    with Pair(down=Faults(rate=10_000, split=100)) as pair:
        started = time.monotonic()
        pair.server.sendall(TEXT * 2)
        assert read(pair.client, len(TEXT) * 2) == TEXT * 2
        assert 0.19 < time.monotonic() - started < seconds(5)


def test_split_bytes_arrive_one_by_one_when_they_are_read_as_they_come():
    with Pair(up=Faults(split=1, rate=200)) as pair:
        pair.client.sendall(TEXT[:100])
        pieces = []
        while sum(map(len, pieces)) < 100:
            pieces.append(pair.server.recv(100))
        assert b"".join(pieces) == TEXT[:100]
        assert len(pieces) > 3  # a reader who was kept from it for a while finds many at once


@pytest.mark.parametrize("sender", ["client", "server"])
def test_a_reset_at_a_position_lets_pass_what_came_before(sender):
    faults = Faults(at=((300, RESET),))
    with Pair(**{"up" if sender == "client" else "down": faults}) as pair:
        near, far = (pair.client, pair.server) if sender == "client" else (pair.server, pair.client)
        near.sendall(TEXT)
        assert is_reset(near)
        far.settimeout(seconds(10))
        try:
            assert TEXT.startswith(read(far, len(TEXT)))  # an RST may overtake what was not read yet
        except ConnectionResetError:
            pass
        assert pair.proxy.counts == {RESET: 1}
        assert pair.proxy.connections() == 0


def test_an_end_at_a_position_is_seen_by_both():
    with Pair(up=Faults(at=((300, END),))) as pair:
        pair.client.sendall(TEXT)
        assert read(pair.server, len(TEXT)) == TEXT[:300]
        assert pair.client.recv(1) == b""
        pair.server.sendall(b"dropped")
        pair.client.close()
        pair.server.close()
        eventually(lambda: pair.proxy.connections() == 0)


def test_a_half_close_ends_one_direction_only():
    with Pair(up=Faults(at=((300, HALF),))) as pair:
        pair.client.sendall(TEXT)
        assert read(pair.server, len(TEXT)) == TEXT[:300]
        pair.server.sendall(TEXT)
        assert read(pair.client, len(TEXT)) == TEXT
        pair.client.sendall(TEXT)  # goes nowhere, and breaks nothing
        pair.server.close()
        assert pair.client.recv(1) == b""


def test_a_freeze_holds_everything_up_for_its_time():
    with Pair(up=Faults(at=((300, FREEZE),), freeze_for=0.3)) as pair:
        started = time.monotonic()
        pair.client.sendall(TEXT)
        assert read(pair.server, 300) == TEXT[:300]
        assert read(pair.server, len(TEXT) - 300) == TEXT[300:]
        assert time.monotonic() - started >= 0.3
        pair.client.sendall(TEXT)
        assert read(pair.server, len(TEXT)) == TEXT


def test_frozen_connections_stay_open_until_they_are_thawed():
    with Pair() as pair:
        assert pair.proxy.freeze() == 1
        pair.client.sendall(TEXT)
        pair.server.sendall(TEXT)
        assert silent(pair.server)
        assert silent(pair.client)
        assert pair.proxy.thaw() == 1
        assert read(pair.server, len(TEXT)) == TEXT
        assert read(pair.client, len(TEXT)) == TEXT


def test_duplicated_bytes_are_the_last_ones_again():
    with Pair(up=Faults(at=((300, DUPLICATE),)), seed=3) as pair:
        pair.client.sendall(TEXT)
        pair.client.shutdown(socket.SHUT_WR)
        got = read(pair.server, 10 * len(TEXT))
        extra = len(got) - len(TEXT)
        assert 1 <= extra <= 64
        assert got == TEXT[:300] + TEXT[300 - extra : 300] + TEXT[300:]


@pytest.mark.parametrize("how", [RESET, END])
def test_cut_all_cuts_frozen_connections_too(how):
    with Pair() as pair:
        pair.proxy.freeze()
        assert pair.proxy.cut_all(how) == 1
        for sock in (pair.client, pair.server):
            assert is_reset(sock) if how == RESET else sock.recv(1) == b""
        assert pair.proxy.cut_some(0.5) == (0 if how == RESET else 1)


def test_half_closes_from_outside_end_one_direction():
    with Pair() as pair:
        assert pair.proxy.cut_some(0, HALF) == 1
        pair.client.sendall(TEXT)
        pair.server.sendall(TEXT)
        assert sorted(read(sock, len(TEXT)) for sock in (pair.server, pair.client)) == [b"", TEXT]
        assert pair.proxy.connections() == 1


def test_one_seed_makes_one_plan():
    def plans(seed):
        made = []

        def plan(number, random):
            made.append((number, random.random()))
            return NO_FAULTS, NO_FAULTS

        with socket.create_server(("127.0.0.1", 0)) as listener, Proxy(listener.getsockname()[1], plan, seed) as proxy:
            for count in (1, 2, 3):
                socket.create_connection(("127.0.0.1", proxy.port)).close()
                eventually(lambda count=count: proxy.accepted == count)
        return made

    assert plans(1) == plans(1)
    assert plans(1) != plans(2)


def test_who_connects_while_nobody_listens_is_sent_away():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Proxy(port) as proxy, socket.create_connection(("127.0.0.1", proxy.port), seconds(10)) as client:
        assert client.recv(1) == b""
