"""Many at once: peers that never read, thousands of timeouts, thousands of calls. Nobody waits for anybody else."""

import contextlib
import threading
import time
from concurrent.futures import wait

import pytest

from ocppj import CallTimeout, ConnectionLost, Server, v16
from tests.faults.crowd import Crowd, allow_files
from tests.faults.traffic import data, errors_logged, run_threads
from tests.helpers import eventually, seconds
from tests.inside.faults import limit_send_buffers, unfinished
from tests.ws.support import RawClient

pytestmark = pytest.mark.alone

MANY = 2000


@pytest.fixture
def server():
    with errors_logged() as errors:
        with Server(profiles=v16.PROFILES, timeout=seconds(30), compression=False) as server:
            yield server.listen(host="127.0.0.1")
        assert errors == []


def connected(server, *crowds):
    expected = {identity for crowd in crowds for identity in crowd.ids}
    eventually(lambda: set(server.client_ids()) >= expected, 30)


class Stopwatch:
    """How long each of some calls took, in seconds."""

    def __init__(self):
        self.took = []

    @contextlib.contextmanager
    def time(self):
        began = time.monotonic()
        yield
        self.took.append(time.monotonic() - began)

    @property
    def slowest(self):
        return max(self.took)


def deaf_peer(stack, server, identity):
    """Connect a peer that reads nothing after its handshake, and has little room for what is sent to it."""
    peer = stack.enter_context(RawClient(server.url, receive_buffer=4096))
    peer.upgrade(f"/{identity}")
    eventually(lambda: identity in server.client_ids())
    return identity


@pytest.mark.timeout(seconds(60))
def test_peers_that_never_read_delay_nobody_else():
    """Their first request fits into the network's buffers and times out; the next is too big to be written.

    Whoever ends a request writes the next, in this case the thread of the timeouts: it must not be kept there.
    """
    calls, timeouts, over = Stopwatch(), Stopwatch(), threading.Event()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            Server(profiles=v16.PROFILES, timeout=seconds(0.5), write_timeout=seconds(5), compression=False)
        ).listen(host="127.0.0.1")
        limit_send_buffers(server, 8192)
        good = stack.enter_context(Crowd(server.url, 50, "GOOD", answers=True))
        mute = stack.enter_context(Crowd(server.url, 1, "MUTE", answers=False))
        connected(server, good, mute)
        deaf = [deaf_peer(stack, server, f"DEAF_{n}") for n in range(3)]
        futures = []
        for identity in deaf:
            futures.append(server.send_request(identity, data("small")))
            futures += [server.send_request(identity, data("x" * 60_000)) for _ in range(5)]

        def call_good_ones():
            while not over.is_set():
                for identity in good.ids:
                    with calls.time():
                        assert server.call(identity, data("quick"), seconds(30)).data == "quick"

        def call_mute_one():
            while not over.is_set():
                with timeouts.time(), pytest.raises(CallTimeout):
                    server.call(mute.ids[0], data("anybody?"))

        def wait_for_deaf_ones():
            wait(futures, seconds(30))
            over.set()

        run_threads([call_good_ones, call_mute_one, wait_for_deaf_ones], 40)
        print(f"{len(calls.took)} calls, at most {calls.slowest:.2f} s")
        print(f"{len(timeouts.took)} timeouts, at most {timeouts.slowest:.2f} s")
    assert all(isinstance(future.exception(0), (CallTimeout, ConnectionLost)) for future in futures)
    assert len(calls.took) > 100
    assert calls.slowest < seconds(3)
    assert timeouts.slowest < seconds(3.5)


@pytest.mark.timeout(seconds(120))
def test_thousands_of_requests_time_out_at_once(server):
    allow_files(2 * MANY + 200)
    with Crowd(server.url, MANY, "MUTE", answers=False) as mute, Crowd(server.url, 1, "GOOD", answers=True) as good:
        connected(server, mute, good)
        print(f"{threading.active_count()} threads")
        calls = Stopwatch()
        timeout = seconds(5)
        began = time.monotonic()
        futures = [server.send_request(identity, data("anybody?"), timeout) for identity in mute.ids]
        sent = time.monotonic()
        over = threading.Event()

        def call_the_good_one():
            while not over.is_set():
                with calls.time():
                    assert server.call(good.ids[0], data("quick")).data == "quick"

        def wait_for_all():
            wait(futures, seconds(30))
            over.set()

        run_threads([call_the_good_one, wait_for_all], 60)
        ended = time.monotonic()
        print(f"sent in {sent - began:.2f} s, ended {ended - sent:.2f} s after that; one call {calls.slowest:.2f} s")
        assert all(isinstance(future.exception(0), CallTimeout) for future in futures)
        assert ended - sent < timeout + seconds(3)
        assert calls.slowest < seconds(2)
        eventually(lambda: mute.calls == MANY)
        assert mute.lost == 0
        assert unfinished(server) == {}
        # and they are all served still
        assert server.send_request(mute.ids[-1], data("again"), 0.01).exception(seconds(5))


@pytest.mark.timeout(seconds(120))
def test_thousands_of_clients_are_called_at_once(server):
    """Once from one thread, by requests in the queue, and once from fifty, which wait."""
    allow_files(2 * MANY + 200)
    with Crowd(server.url, MANY, "GOOD", answers=True) as good:
        connected(server, good)
        began = time.monotonic()
        futures = {identity: server.send_request(identity, data(identity)) for identity in good.ids}
        for identity, future in futures.items():
            assert future.result(seconds(20)).data == identity
        print(f"send_request: {time.monotonic() - began:.2f} s")
        began = time.monotonic()

        def call(identities):
            for identity in identities:
                assert server.call(identity, data(identity)).data == identity

        run_threads([lambda part=good.ids[n::50]: call(part) for n in range(50)], 60)
        print(f"call: {time.monotonic() - began:.2f} s")
        assert good.calls == 2 * MANY
        assert unfinished(server) == {}
