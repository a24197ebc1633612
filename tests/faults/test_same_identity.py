"""The same identity again and again, by the hundred: one connection at a time, and each request ends once."""

import contextlib
import itertools
import random
import threading
from collections import Counter

import pytest

from ocppj import (
    CallFailed,
    Client,
    ConnectionLost,
    HandshakeRefused,
    NotRunning,
    Server,
    SharedReaders,
    TransportError,
    UnknownClient,
    v16,
)
from tests.faults.proxy import Proxy, no_plan
from tests.faults.traffic import errors_logged, run_threads
from tests.fixtures import BEAT, HEARTBEAT, RESET, RESET_DONE
from tests.helpers import Recorder, eventually, seconds
from tests.inside.faults import check_that_nothing_is_left
from tests.ws.support import client_context, open_files, server_context

# The server waits some seconds for what is told of an older connection: that takes longer in a crowd of processes.
pytestmark = pytest.mark.alone

REPLACEMENTS = 100
AT_ONCE = 20
PING_INTERVAL, PONG_TIMEOUT = 0.3, 0.4
PAUSE = threading.Event()  # never set: its `wait` passes the time


class Station:
    """A server, what it tells of one identity, and requests to that from two threads, until the end."""

    def __init__(self, secure, readers):
        self._readers = SharedReaders() if readers == "shared" else readers
        self._contexts = (server_context(), client_context()) if secure else (None, None)
        self.server = Server(profiles=v16.PROFILES, timeout=seconds(60), readers=readers, ssl_context=self._contexts[0])
        self.told, self.futures, self.results = [], {}, Counter()
        self.ends, self._lock = Counter(), threading.Lock()
        self._over = threading.Event()
        self._watch()
        self.server.listen(host="127.0.0.1")
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._queue, self._call)]

    def _watch(self):
        server, chance = self.server, random.Random(1)
        server.set_new_client_handler(lambda client_id: self._tell("new", chance))
        server.set_disconnected_client_handler(lambda client_id: self._tell("gone", chance))
        server.set_response_handler(lambda client_id, response, message_id: self._end(message_id))
        server.set_error_handler(lambda client_id, error, details: self._end(error.message_id))
        server.set_canceled_request_handler(lambda client_id, message_id, request, error: self._end(message_id))
        server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)

    def _tell(self, what, chance):
        self.told.append(what)
        PAUSE.wait(chance.choice([0, 0, 0, 0.01]))

    def _end(self, message_id):
        with self._lock:
            self.ends[message_id] += 1

    def begin(self):
        for thread in self._threads:
            thread.start()

    def _queue(self):
        while not self._over.wait(0.002):
            try:
                future = self.server.send_request("CP_1", RESET)
            except UnknownClient:
                continue
            self.futures[future.message_id] = future

    def _call(self):
        while not self._over.wait(0.002):
            try:
                self.results[self.server.call("CP_1", RESET).status] += 1
            except CallFailed as error:
                self.results[type(error).__name__] += 1
            except UnknownClient:
                pass

    def client(self):
        client = Client(
            "CP_1",
            profiles=v16.PROFILES,
            reconnect=False,
            timeout=seconds(60),
            readers=self._readers,
            ssl_context=self._contexts[1],
        )
        chance = random.Random(2)

        @client.on(v16.ResetRequest)
        def reset(request):
            PAUSE.wait(chance.choice([0, 0.01]))
            return RESET_DONE

        return client

    def end(self):
        """Let the last connection go, and check what was told, and how the requests ended."""
        eventually(lambda: self.server.client_ids() == [])
        self._over.set()
        for thread in self._threads:
            thread.join(seconds(20))
            assert not thread.is_alive(), "a call did not end"
        check_that_nothing_is_left(self.server)
        assert self.told == ["new", "gone"] * (len(self.told) // 2)
        assert len(self.told) == 2 * self.server.stats().accepted
        for future in self.futures.values():
            error = future.exception(seconds(10))
            assert error is None or isinstance(error, CallFailed), error
        eventually(lambda: set(self.ends) >= set(self.futures))
        assert set(self.ends.values()) == {1}, "each request ends once"

    def close(self):
        self._over.set()
        self.server.stop()
        if isinstance(self._readers, SharedReaders):
            self._readers.stop(seconds(5))


@pytest.fixture(params=[(False, "per-connection"), (False, "shared"), (True, "auto")], ids=["own", "shared", "tls"])
def station(request):
    files = open_files()
    with errors_logged() as errors:
        station = Station(*request.param)
        yield station
        station.close()
    assert errors == []
    eventually(lambda: open_files() <= files)


@pytest.mark.timeout(seconds(60))
def test_one_replacement_after_the_other(station):
    """Requests are under way in both directions all the time."""
    station.begin()
    clients, kept = [], []
    for _ in range(REPLACEMENTS):
        clients.append(station.client().connect(station.server.url))
        for _ in range(3):
            with_luck(lambda: kept.append(clients[-1].send_request(HEARTBEAT)))
        assert station.server.client_ids() in (["CP_1"], []), "the next one is told of in a moment"
        if len(clients) > 3:
            clients.pop(0).stop()
    eventually(lambda: station.server.client_ids() == ["CP_1"])
    assert clients[-1].call(HEARTBEAT) == BEAT, "the last one has the place"
    for client in clients:
        client.stop()
    for future in kept:
        error = future.exception(seconds(10))
        assert error is None or isinstance(error, CallFailed), error
    station.end()
    assert station.server.stats().accepted == REPLACEMENTS
    assert station.results["ConnectionLost"] > 0


def with_luck(send):
    """Send, unless the connection is replaced already."""
    with contextlib.suppress(NotRunning):
        send()


@pytest.mark.timeout(seconds(60))
def test_all_at_once(station):
    """The newest wins. Those that come too late for that are refused, and say so."""
    station.begin()
    for _ in range(3):
        clients, refused = [station.client() for _ in range(AT_ONCE)], []

        def connect(client, refused=refused):
            try:
                client.connect(station.server.url)
            except TransportError as error:  # one that is put out while it hears of its place may be cut
                refused.append(getattr(error, "status", None))

        run_threads([lambda client=client: connect(client) for client in clients], 30)
        eventually(lambda clients=clients: sum(client.is_connected() for client in clients) == 1)
        eventually(lambda: station.server.client_ids() == ["CP_1"])
        assert set(refused) <= {409, None}
        winner = next(client for client in clients if client.is_connected())
        assert winner.call(HEARTBEAT) == BEAT
        for client in clients:
            client.stop()
    station.end()


@pytest.mark.timeout(seconds(60))
@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
def test_a_half_open_connection_does_not_keep_its_own_client_out(secure):
    """Who comes first stays, but must be alive: the server's ping finds out, and the client's next attempt succeeds."""
    server = Server(
        profiles=v16.PROFILES,
        duplicates="reject",
        ping_interval=seconds(PING_INTERVAL),
        pong_timeout=seconds(PONG_TIMEOUT),
        ssl_context=server_context() if secure else None,
    )
    told, gone, tries, statuses = Recorder(), threading.Event(), itertools.count(), set()
    server.set_new_client_handler(lambda client_id: told("new"))
    server.set_disconnected_client_handler(lambda client_id: (told("gone"), gone.set()))
    with server.listen(host="127.0.0.1"), Proxy(int(server.url.rsplit(":", 1)[1]), no_plan) as proxy:
        options = {"profiles": v16.PROFILES, "reconnect": False, "ping_interval": None}
        if secure:
            options["ssl_context"] = client_context()
        scheme, address = server.url.split("://")[0], proxy.url.split("://")[1]
        first = Client("CP_1", **options).connect(f"{scheme}://{address}")
        proxy.freeze()
        lost = server.send_request("CP_1", RESET)

        def again():
            next(tries)
            client = Client("CP_1", **options)
            try:
                return client.connect(server.url)
            except HandshakeRefused as error:
                statuses.add(error.status)
                return None

        assert again() is None, "the server cannot know yet"
        assert gone.wait(seconds(PING_INTERVAL + PONG_TIMEOUT + 3))
        second = eventually(again)
        try:
            assert isinstance(lost.exception(seconds(5)), ConnectionLost)
            assert told.wait(3) == [("new",), ("gone",), ("new",)]
            assert statuses == {409}
            assert server.stats().refused == {"ping_timeout": 1, "duplicate": next(tries) - 1}
        finally:
            second.stop()
            first.stop()
