"""Calls to clients of other nodes end once, whatever comes together."""

import random
import threading
from collections import Counter

import pytest

from ocppj import (
    CallFailed,
    CallTimeout,
    ClusterUnavailable,
    ConnectionLost,
    InvalidResponse,
    MemoryCluster,
    NotConnected,
    UsageError,
    v16,
)
from ocppj.errors import NoHandlerSlot  # noqa: F401 - what a call may raise
from tests.cluster.nodes import RESET, Nodes, end_of, in_thread, memory_nodes
from tests.cluster.support import MemoryWorld, Recording
from tests.helpers import Recorder, eventually, seconds

__all__ = ["memory_nodes"]
ACCEPTED = v16.ResetResponse(status="Accepted")


@pytest.fixture
def played(memory_nodes):
    """Return a remote server, and a node that the test plays: it holds CP_1, and answers nothing by itself."""
    member, cluster = Recording(), memory_nodes.world.make()
    cluster.join(member)
    cluster.claim("CP_1", {"version": "1.6"})
    remote = memory_nodes.remote()
    yield remote, cluster, member
    cluster.leave()


def asked(member, count=1):
    """Return the node that asked, and what it asked for."""
    eventually(lambda: len(member.got) >= count)
    return member.got[count - 1][:2]


def answer(cluster, asking, **message):
    cluster.reply(asking, {"v": 1, "client_id": "CP_1", **message})


def test_what_is_posted(played):
    remote, _, member = played
    remote.send_request("CP_1", RESET, timeout=7, message_id="5")
    _, message = asked(member)
    assert message == {
        "v": 1,
        "kind": "call",
        "id": "5",
        "client_id": "CP_1",
        "version": "1.6",
        "action": "Reset",
        "payload": {"type": "Soft"},
        "left": 7,
        "signed": False,
        "once": False,
        "offline": False,
        "expires": None,
    }
    in_thread(lambda: remote.call("CP_1", RESET))
    assert asked(member, 2)[1]["once"] is True


def test_the_first_end_counts(played):
    remote, cluster, member = played
    told = Recorder()
    future = remote.send_request("CP_1", RESET, message_id="5")
    future.add_done_callback(lambda each: told())
    asking, _ = asked(member)
    answer(cluster, asking, kind="answer", id="5", payload={"status": "Accepted"})
    answer(cluster, asking, kind="answer", id="5", payload={"status": "Rejected"})
    answer(cluster, asking, kind="error", id="5", error={"class": "CallTimeout", "text": "late"})
    assert future.result(seconds(10)) == ACCEPTED
    cluster.kill()
    second = remote.send_request
    with pytest.raises(NotConnected):
        second("CP_1", RESET)
    assert told.calls == [()]


def test_an_answer_that_breaks_its_schema(played):
    remote, cluster, member = played
    future = remote.send_request("CP_1", RESET, message_id="5")
    answer(cluster, asked(member)[0], kind="answer", id="5", payload={"status": 7})
    error = future.exception(seconds(10))
    assert isinstance(error, InvalidResponse)
    assert error.payload == {"status": 7}
    assert (error.client_id, error.action, error.message_id) == ("CP_1", "Reset", "5")


def test_an_invalid_answer_of_the_other_node_has_its_response(played):
    remote, cluster, member = played
    future = remote.send_request("CP_1", RESET, message_id="5")
    reason = {"class": "MessageError", "text": "wrong", "code": "TypeConstraintViolation", "payload": {"status": 7}}
    error = {"class": "InvalidResponse", "text": "wrong", "payload": {"status": 7}, "error": reason}
    answer(cluster, asked(member)[0], kind="error", id="5", error=error)
    caught = future.exception(seconds(10))
    assert isinstance(caught, InvalidResponse)
    assert type(caught.response) is v16.ResetResponse


def test_another_node_cannot_answer(memory_nodes, played):
    remote, cluster, member = played
    other = memory_nodes.world.make()
    other.join(Recording())
    future = remote.send_request("CP_1", RESET, message_id="5")
    asking, _ = asked(member)
    eventually(lambda: remote._remote._open["CP_1", "5"].node)
    answer(other, asking, kind="answer", id="5", payload={"status": "Rejected"})
    answer(other, asking, kind="answer", id="6", payload={"status": "Rejected"})
    other.leave()
    answer(cluster, asking, kind="answer", id="5", payload={"status": "Accepted"})
    assert future.result(seconds(10)) == ACCEPTED


def test_an_error_that_cannot_be_read(played):
    remote, cluster, member = played
    future = remote.send_request("CP_1", RESET, message_id="5")
    answer(cluster, asked(member)[0], kind="error", id="5", error={"class": "os.system"})
    assert type(future.exception(seconds(10))) is CallFailed


def test_the_verdict_of_the_other_node_comes_before_that_of_this(played):
    remote, cluster, member = played
    future = remote.send_request("CP_1", RESET, timeout=0.2, message_id="5")
    asking, _ = asked(member)
    threading.Event().wait(0.3)
    answer(cluster, asking, kind="error", id="5", error={"class": "CallTimeout", "text": "as it says"})
    error = future.exception(seconds(10))
    assert isinstance(error, CallTimeout)
    assert error.description == "as it says"


def test_a_node_that_says_nothing(played):
    remote, _, member = played
    with pytest.raises(CallTimeout):
        remote.call("CP_1", RESET, timeout=0.2, message_id="5")
    eventually(lambda: [message["kind"] for message in member.messages] == ["call", "cancel"])
    assert member.messages[1]["id"] == "5"


def test_a_canceled_call_is_withdrawn(played):
    remote, cluster, member = played
    future = remote.send_request("CP_1", RESET, message_id="5")
    asking, _ = asked(member)
    assert future.cancel()
    assert not future.cancel()
    assert asked(member, 2)[1] == {"v": 1, "kind": "cancel", "id": "5", "client_id": "CP_1"}
    answer(cluster, asking, kind="answer", id="5", payload={"status": "Accepted"})
    remote.send_request("CP_1", RESET, message_id="5")  # the id is free again


class SlowPost(MemoryCluster):
    """One whose `post` returns late."""

    def post(self, client_id, message, timeout=None):
        node = super().post(client_id, message)
        threading.Event().wait(1.2)
        return node


def test_a_call_that_ends_while_it_is_posted_is_withdrawn(memory_nodes, played):
    _, _, member = played
    remote = memory_nodes.remote(cluster=SlowPost(memory_nodes.world.hub))
    with pytest.raises(CallTimeout):
        remote.call("CP_1", RESET, timeout=0.1, message_id="5")
    eventually(lambda: [message["kind"] for message in member.messages] == ["call", "cancel"])


def test_a_node_that_goes_while_it_is_posted_to(memory_nodes, played):
    _, cluster, _ = played

    class Dying(MemoryCluster):
        def post(self, client_id, message, timeout=None):
            node = super().post(client_id, message)
            cluster.kill()
            eventually(lambda: remote._remote._goings)
            return node

    remote = memory_nodes.remote(cluster=Dying(memory_nodes.world.hub))
    with pytest.raises(ConnectionLost):
        remote.call("CP_1", RESET)


def test_an_outage_during_a_call_whose_answer_is_lost(memory_nodes, played):
    remote, _, member = played
    outcome = in_thread(lambda: remote.call("CP_1", RESET, timeout=seconds(0.5)))
    asked(member)
    memory_nodes.world.hub.away = True
    memory_nodes.world.hub.away = False
    error = end_of(outcome)
    assert isinstance(error, ClusterUnavailable)
    assert error.maybe_sent


def test_a_request_that_is_of_several_versions(memory_nodes):
    from ocppj import v201

    ours = [*v16.PROFILES, *v201.PROFILES]
    server, remote = memory_nodes.server(ours), memory_nodes.remote(ours)
    memory_nodes.station(server)
    station = memory_nodes.station(server, "CP_2", v201.PROFILES)
    station.on(v201.ClearCacheRequest)(lambda request: v201.ClearCacheResponse(status="Accepted"))
    assert remote.call("CP_2", v201.ClearCacheRequest()).status == "Accepted"
    assert remote.call("CP_1", RESET) == ACCEPTED


def test_what_is_no_request(played):
    remote, _, _ = played
    with pytest.raises(UsageError):
        remote.call("CP_1", {"type": "Soft"})
    for client_id in ("", None, 5):
        with pytest.raises(NotConnected):
            remote.call(client_id, RESET)


@pytest.mark.alone
@pytest.mark.timeout(120)
def test_each_call_ends_once_under_random_faults():
    """Thousands of calls of several threads, while nodes die, the cluster goes away, and stations come and go."""
    rng = random.Random(15)
    storm = Storm(rng)
    try:
        storm.run()
    finally:
        storm.end()
    assert sum(storm.ends.values()) == storm.made
    assert storm.made >= 3000
    assert storm.twice == []
    assert storm.ends["ResetResponse"] >= 100, storm.ends
    assert len([name for name in storm.ends if name != "ResetResponse"]) >= 3, storm.ends
    assert max(storm.seen.values()) == 1  # no call() came to a station twice


class Storm:
    """Servers, stations and callers, and what goes wrong."""

    def __init__(self, rng):
        self.rng = rng
        self.nodes = Nodes(MemoryWorld())
        self.servers = [self.nodes.server() for _ in range(3)]
        self.remotes = [self.nodes.remote(timeout=seconds(2)) for _ in range(2)]
        self.lock = threading.Lock()
        self.made = 0
        self.ends = Counter()
        self.twice = []
        self.seen = Counter()  # by message id, at the stations
        self.over = threading.Event()
        self.stations = [self.make_station(number) for number in range(6)]

    def make_station(self, number):
        station = self.nodes.station(self.servers[number % 3], f"CP_{number}", reconnect=False)
        station.add_observer(self.observe)
        return station

    def observe(self, frame):
        if frame.direction == "in" and frame.kind == "CALL":
            with self.lock:
                self.seen[frame.message_id] += 1

    def ended(self, outcome):
        with self.lock:
            self.ends[type(outcome).__name__] += 1

    def watch(self, future):
        ended = []

        def note(each):
            ended.append(1)
            if len(ended) > 1:
                self.twice.append(each.message_id)
            self.ended("canceled" if each.cancelled() else each.exception() or each.result())

        future.add_done_callback(note)

    def ask(self, number):
        rng = random.Random(number)
        askers = [*self.remotes, *self.servers]
        while not self.over.is_set():
            asker, client_id = rng.choice(askers), f"CP_{rng.randrange(7)}"
            with self.lock:
                self.made += 1
            try:
                if rng.random() < 0.5:
                    self.ended(asker.call(client_id, RESET, timeout=rng.choice([0.05, seconds(1)])))
                else:
                    future = asker.send_request(client_id, RESET, timeout=rng.choice([0.05, seconds(1)]))
                    self.watch(future)
                    if rng.random() < 0.2:
                        future.cancel()
                    elif rng.random() < 0.5:
                        future.exception(seconds(20)) if not future.cancelled() else None
            except Exception as error:
                self.ended(error)

    def break_something(self):
        hub, rng = self.nodes.world.hub, self.rng
        what = rng.randrange(5)
        server = rng.choice(self.servers)
        if what == 0:
            hub.away = True
            self.over.wait(0.03)
            hub.away = False
        elif what == 1:
            server.cluster.away = True
            self.over.wait(0.03)
            if rng.random() < 0.5:
                hub.expire()
            server.cluster.away = False
        elif what == 2:
            hub.restart_empty()
        elif what == 3:
            for client_id in server.client_ids()[:1]:
                server.abort(client_id)
        else:
            self.move(rng.choice(self.stations))

    def mend(self):
        connected = {client_id for server in self.servers for client_id in server.client_ids()}
        for station in self.stations:
            if station.id not in connected:
                self.move(station)

    def move(self, station):
        station.stop()
        station.connect(self.rng.choice(self.servers).url)

    def run(self):
        threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for _ in range(150):
            self.break_something()
            self.mend()
            self.over.wait(0.02)
        eventually(lambda: self.made >= 3000, 60)
        self.over.set()
        for thread in threads:
            thread.join(seconds(30))
        assert not any(thread.is_alive() for thread in threads)
        eventually(lambda: sum(self.ends.values()) == self.made, 20)

    def end(self):
        self.over.set()
        self.nodes.end()
