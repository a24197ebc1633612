"""A charge point that loses its connection hundreds of times: it comes back each time, and grows by nothing."""

import gc
import threading
from collections import Counter

import pytest

from ocppj import Client, ConnectionLost, Server, SharedReaders, UsageError, v16
from tests.faults.proxy import Proxy, no_plan
from tests.faults.traffic import quick_backoff
from tests.fixtures import BEAT, HEARTBEAT
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import connections, deadlines, deadlines_of_requests
from tests.ws.support import client_context, open_files, server_context

WARM, TURNS = 20, 200


class Handlers:
    """What a careless program does when the connection is lost, and when it is back: each time something else."""

    def __init__(self, client, url):
        self.client, self.url = client, url
        self.told, self.seen = Recorder(), Counter()
        client.set_disconnected_handler(self.lost)
        client.set_reconnected_handler(self.back)

    def lost(self, close):
        turn = len(self.told.calls) // 2 % 5
        self.told("lost")
        if turn == 0:
            raise ValueError("a fault in the disconnected handler")
        if turn == 1:
            raise SystemExit
        if turn == 2:
            threading.Event().wait(0.03)  # longer than the back-off
        if turn == 3:
            self._note(lambda: self.client.connect(self.url))
        if turn == 4:
            self._note(lambda: self.client.call(HEARTBEAT, seconds(10)))

    def back(self):
        turn = len(self.told.calls) // 2 % 3
        self.told("back")
        if turn == 0:
            raise ValueError("a fault in the reconnected handler")
        if turn == 1:
            self._note(lambda: self.client.call(HEARTBEAT, seconds(10)))

    def _note(self, act):
        try:
            act()
            self.seen["done"] += 1
        except (ConnectionLost, UsageError) as error:
            self.seen[type(error).__name__] += 1


def footprint():
    """Return threads, descriptors, and how many objects there are of each type."""
    gc.collect()
    kinds = Counter(type(each).__name__ for each in gc.get_objects())
    return threading.active_count(), open_files(), kinds


@pytest.fixture(
    params=[(False, "per-connection"), (False, "shared"), (True, "per-connection")], ids=["own", "shared", "tls"]
)
def ends(request):
    """A server, and a client of it through a proxy."""
    secure, readers = request.param
    shared = SharedReaders() if readers == "shared" else None
    contexts = (server_context(), client_context()) if secure else (None, None)
    server = Server(profiles=v16.PROFILES, readers=readers, ssl_context=contexts[0])
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    client = Client(
        "CP_1", profiles=v16.PROFILES, readers=shared or readers, ssl_context=contexts[1], backoff=quick_backoff()
    )
    with server.listen(host="127.0.0.1"), Proxy(int(server.url.rsplit(":", 1)[1]), no_plan) as proxy:
        yield server, client, proxy, f"{server.url.split('://')[0]}://{proxy.url.split('://')[1]}"
        client.stop()
    if shared is not None:
        shared.stop(seconds(5))


@pytest.mark.timeout(seconds(120))
def test_a_client_lives_through_hundreds_of_losses(ends, caplog):
    caplog.set_level("CRITICAL", "ocppj")  # records of errors would hold on to what they tell of
    server, client, proxy, url = ends
    handlers = Handlers(client, url)
    client.connect(url)
    marks = []
    for turn in range(1, WARM + TURNS + 1):
        proxy.cut_all()
        handlers.told.wait(2 * turn)
        if turn in (WARM, WARM + TURNS // 2, WARM + TURNS):
            assert eventually(lambda: client.is_connected() and client.call(HEARTBEAT)) == BEAT
            marks.append(footprint())
    told = [each for (each,) in handlers.told.calls]
    assert told == ["lost", "back"] * (WARM + TURNS)
    assert handlers.seen["UsageError"] == (WARM + TURNS) // 5, "connect() in the handler is refused"
    assert handlers.seen["done"] + handlers.seen["ConnectionLost"] > 0
    assert server.client_ids() == ["CP_1"]
    eventually(lambda: deadlines_of_requests(client) == 0)
    assert deadlines(client) <= 10, "those of the log, which tells how many lines it left out"
    assert len(connections(client)) == len(connections(server)) == 1
    eventually(lambda: threading.active_count() <= marks[0][0] + 2)  # workers and handshake threads come and go
    eventually(lambda: open_files() <= marks[0][1])
    first, second = marks[0][2], marks[1][2]
    # What is kept of each connection is there in both halves; what is made once, late, in one of them.
    eventually(lambda: max(((second - first) & (footprint()[2] - second)).values(), default=0) < TURNS // 4)
