"""A thread that is the only one of its kind meets MemoryError, at each of its steps in turn, and all goes on.

What may happen: the connection that the thread served is cut, and one message of it is lost. What may not: another
connection suffers, no new one is taken, a deadline does not fire, `stop()` does not end, or something is left.
"""

import contextlib
import itertools
import json
import socket
import threading

import pytest

from ocppj import CallFailed, CallTimeout, Client, NotConnected, Server, UnknownClient, v16
from ocppj.ws.client import WebSocketClient
from ocppj.ws.readers.choice import AutoReaders
from tests.faults.injection import Fault
from tests.fixtures import BEAT, RESET
from tests.helpers import seconds
from tests.inside.faults import check_that_nothing_is_left
from tests.ws.support import NO_WAIT, RawClient, frame

pytestmark = pytest.mark.alone

#: Readers, the threads to be hit, and the files with their steps.
ON_A_SERVER = [
    ("per-connection", "ocppj-accept", ["ws/serving/"]),
    ("per-connection", "ocppj-handshake", ["ws/serving/", "ws/server.py"]),
    ("per-connection", "ocppj-reader", ["ws/readers/", "ws/connection/channel.py", "ws/serving/registry.py"]),
    ("per-connection", "ocppj-dispatcher", ["ws/readers/"]),
    ("per-connection", "ocppj-timeouts", ["dispatch/timeouts.py"]),
    ("moving", "ocppj-reader", ["ws/readers/"]),
    ("shared", "ocppj-accept", ["ws/serving/"]),
    ("shared", "ocppj-handshake", ["ws/serving/", "ws/server.py", "ws/readers/"]),
    ("shared", "ocppj-worker", ["ws/readers/", "ws/connection/channel.py", "ws/serving/registry.py"]),
    ("shared", "ocppj-monitor", ["ws/readers/"]),
    ("shared", "ocppj-timeouts", ["dispatch/timeouts.py"]),
]

#: "moving": the second connection has the first one move to shared readers.
READERS = {"moving": lambda: AutoReaders(1)}


class Stations:
    """Charge points that send heartbeats, and connect again when they are cut. They answer nothing."""

    def __init__(self, url):
        self.url = url
        self.raws = {}
        self.mishaps = []
        self.ids = itertools.count()

    def beat(self, identity):
        """Have a heartbeat of ``identity`` answered. Note what goes wrong before."""
        for _ in range(4):
            try:
                self._beat(self.raws.get(identity) or self._connect(identity))
                return
            except socket.timeout:
                self.mishaps.append((identity, "lost"))
                self.drop(identity)
            except (OSError, EOFError):
                self.mishaps.append((identity, "cut"))
                self.drop(identity)
        raise AssertionError(f"{identity} gets no answer: {self.mishaps}")

    def _connect(self, identity):
        raw = self.raws[identity] = RawClient(self.url, timeout=2)
        if " 101 " not in raw.upgrade(f"/{identity}"):
            raise EOFError
        return raw

    def _beat(self, raw):
        message_id = str(next(self.ids))
        raw.send(frame(1, json.dumps([2, message_id, "Heartbeat", {}]).encode()))
        while True:
            opcode, data = raw.read_frame()
            if opcode == 8:
                raise EOFError
            if opcode == 1 and json.loads(data)[:2] == [3, message_id]:
                return

    def drop(self, identity):
        raw = self.raws.pop(identity, None)
        if raw is not None:
            raw.sock.close()

    def close(self):
        for identity in list(self.raws):
            self.drop(identity)


class Site:
    """A server, and what happens there: old and new connections, handlers that block, and a deadline."""

    def __init__(self, readers):
        self.server = Server(profiles=v16.PROFILES, readers=READERS.get(readers, readers), compression=False)
        pause = threading.Event()

        def beat(client_id, request):
            pause.wait(0.012)  # so that the monitor finds a blocked worker
            return BEAT

        self.server.on(v16.HeartbeatRequest)(beat)
        self.server.listen(host="127.0.0.1")
        self.stations = Stations(self.server.url)

    def live(self):
        for identity in ("one", "two", "one"):
            self.stations.beat(identity)
        self.stations.drop("two")
        self.stations.beat("two")
        self.miss_an_answer()

    def miss_an_answer(self):
        """Let a deadline pass. The connection may be cut once before that."""
        if not isinstance(self._failure(), CallTimeout):
            self.stations.beat("one")
            assert isinstance(self._failure(), CallTimeout)

    def _failure(self):
        try:
            return self.server.send_request("one", RESET, timeout=0.05).exception(seconds(10))
        except UnknownClient as error:
            return error

    def check(self):
        """Check that all goes on, and that no more than one connection or message was lost."""
        for identity in ("one", "two", "three"):
            self.stations.beat(identity)
        assert len(self.stations.mishaps) <= 1, self.stations.mishaps
        self.miss_an_answer()
        self.stations.close()
        check_that_nothing_is_left(self.server)

    def stop(self):
        self.stations.close()
        stopper = threading.Thread(target=self.server.stop, daemon=True)
        stopper.start()
        stopper.join(seconds(8))
        assert not stopper.is_alive(), "stop() does not end"


@contextlib.contextmanager
def site(readers):
    made = Site(readers)
    try:
        yield made
    finally:
        made.stop()


def sweep(fault, scenario):
    """Run ``scenario(disarm)`` with the fault at each step. Report the steps after which it failed."""
    with fault.counting():
        scenario(fault.disarm)
    failures, raised = [], 0
    for step in fault.steps():
        try:
            with fault.raising(step):
                scenario(fault.disarm)
        except Exception as error:
            failures.append("{}:{} #{}: {}: {:.200}".format(*step, type(error).__name__, str(error)))
        raised += fault.raised
    assert not failures, "\n".join(failures)
    assert raised, "no step was reached"


@pytest.mark.timeout(seconds(600))
@pytest.mark.parametrize(
    ("readers", "threads", "files"),
    ON_A_SERVER,
    ids=lambda each: each.replace("ocppj-", "") if isinstance(each, str) else "",
)
def test_a_server_goes_on_whatever_a_thread_meets(readers, threads, files):
    def scenario(disarm):
        with site(readers) as here:
            here.live()
            disarm()
            here.check()

    sweep(Fault(files, threads), scenario)


#: The threads of a client, and the files with their steps.
ON_A_CLIENT = [
    ("ocppj-reconnect", ["ws/connecting/", "ws/client.py", "ws/readers/"]),
    ("ocppj-resolve", ["ws/connecting/"]),
    ("ocppj-reader", ["ws/connecting/", "ws/readers/", "ws/connection/channel.py"]),
]


def call_in_the_end(client):
    """Have a call answered. A connection that was cut may come in between, and one answer be lost."""
    for _ in range(20):
        try:
            return client.call(v16.HeartbeatRequest(), timeout=0.5)
        except (CallFailed, NotConnected):
            pause.wait(0.02)
    raise AssertionError("no call is answered")


pause = threading.Event()  # is not set


@pytest.mark.timeout(seconds(600))
@pytest.mark.parametrize(("threads", "files"), ON_A_CLIENT, ids=[name for name, _ in ON_A_CLIENT])
def test_a_client_goes_on_whatever_a_thread_meets(threads, files, monkeypatch):
    monkeypatch.setattr("ocppj.ws.connecting.session._REPAIR", 0.05)
    server = Server(profiles=v16.PROFILES, readers="shared")
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    server.listen(host="127.0.0.1")
    url = server.url.replace("127.0.0.1", "localhost")

    def disconnect():
        with contextlib.suppress(UnknownClient):  # the fault may have come after the last answer
            server.disconnect("CP_1")

    def scenario(disarm):
        client = Client("CP_1", profiles=v16.PROFILES, ws_client=WebSocketClient(backoff=NO_WAIT))
        try:
            client.connect(url, retry=True)
            call_in_the_end(client)
            for _ in range(2):
                disconnect()
                call_in_the_end(client)
            disarm()
            disconnect()
            call_in_the_end(client)
        finally:
            client.stop()

    try:
        sweep(Fault(files, threads), scenario)
    finally:
        server.stop()
