"""`Server(cluster=...)`: servers that are one central system."""

import os
import threading
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress

import pytest

from ocppj import (
    CallCanceled,
    CallTimeout,
    Client,
    ClusterUnavailable,
    ConnectionLost,
    HandshakeRefused,
    MemoryCluster,
    NotRunning,
    OCPPError,
    Server,
    SQLiteQueueMap,
    Stopped,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    WouldDeadlock,
    v16,
    v21,
    v201,
)
from ocppj.storage.stored_queues import StoredQueue
from tests.cluster.nodes import CLEAR, RESET, Held, end_of, in_thread, memory_nodes, nodes
from tests.cluster.support import SOON, Recording
from tests.helpers import Recorder, eventually, seconds

__all__ = ["memory_nodes", "nodes"]
ACCEPTED = v16.ResetResponse(status="Accepted")


# Calls


def test_a_call_reaches_a_client_of_another_server(nodes):
    here, there = nodes.server(), nodes.server()
    nodes.station(there)
    assert here.client_ids() == []
    response = here.call("CP_1", RESET)
    assert response == ACCEPTED
    assert type(response) is v16.ResetResponse


def test_a_call_here_does_not_touch_the_cluster(nodes):
    here = nodes.server()
    nodes.station(here)
    nodes.world.set_away(True)
    assert here.call("CP_1", RESET) == ACCEPTED
    assert here.send_request("CP_1", RESET).result(seconds(10)) == ACCEPTED
    assert here.broadcast(RESET)["CP_1"].result(seconds(10)) == ACCEPTED


def test_a_future_of_a_client_of_another_server(nodes):
    here, there = nodes.server(), nodes.server()
    nodes.station(there)
    future = here.send_request("CP_1", RESET, message_id="of-mine")
    assert future.message_id == "of-mine"
    assert future.result(seconds(10)) == ACCEPTED


def test_calls_of_one_thread_keep_their_order(nodes):
    here, there = nodes.server(), nodes.server()
    station, seen = nodes.station(there), []

    @station.on(v16.ChangeAvailabilityRequest)
    def change(request):
        seen.append(request.connector_id)
        return v16.ChangeAvailabilityResponse(status="Accepted")

    futures = [
        here.send_request("CP_1", v16.ChangeAvailabilityRequest(connector_id=number, type="Operative"))
        for number in range(30)
    ]
    for future in futures:
        future.result(seconds(20))
    assert seen == list(range(30))


def test_nobody_holds_that_client(nodes):
    here, _ = nodes.server(), nodes.server()
    for ask in (here.call, here.send_request):
        with pytest.raises(UnknownClient):
            ask("CP_1", RESET)
    with pytest.raises(UnknownClient):
        here.disconnect("CP_1")
    with pytest.raises(UnknownClient):
        here.version_of("CP_1")


def test_an_error_of_the_client_is_raised_as_here(nodes):
    here, there = nodes.server(), nodes.server()
    station = nodes.station(there)

    @station.on(v16.ClearCacheRequest)
    def refuse(request):
        raise OCPPError("SecurityError", "not you", {"why": ["so"]})

    errors = []
    for server in (here, there):
        with pytest.raises(OCPPError) as caught:
            server.call("CP_1", CLEAR, message_id="7")
        error = caught.value
        errors.append((error.code, error.description, error.details, error.message_id, error.client_id, error.action))
    assert errors[0] == errors[1]
    assert errors[0][2:] == ({"why": ["so"]}, "7", "CP_1", "ClearCache")


def test_a_bad_payload_is_an_error_where_it_is_made(nodes):
    here, there = nodes.server(), nodes.server()
    station = nodes.station(there)
    asked = Recorder(v16.ResetResponse(status="Accepted"))
    station.on(v16.ResetRequest)(asked)
    for bad in (v16.ResetRequest(type="Somehow"), v16.ResetRequest(type=None)):
        with pytest.raises(ValidationError):
            here.call("CP_1", bad)
    with pytest.raises(UsageError):
        here.call("CP_1", "Reset")
    with pytest.raises(UsageError):
        here.call("CP_1", RESET, message_id="x" * 40)
    with pytest.raises(CallTimeout):
        here.call("CP_1", RESET, timeout=0)
    assert asked.calls == []


def test_a_request_of_another_version(nodes):
    profiles = [*v16.PROFILES, *v201.PROFILES]
    here, there = nodes.server(profiles), nodes.server(profiles)
    nodes.station(there, "CP_16", v16.PROFILES)
    with pytest.raises(UnsupportedFeature):
        here.call("CP_16", v201.ClearCacheRequest())


def test_a_server_without_that_version(nodes):
    here, there = nodes.server([*v16.PROFILES, *v201.PROFILES]), nodes.server(v16.PROFILES)
    nodes.station(there)
    with pytest.raises(UnsupportedFeature):
        here.call("CP_1", v201.ClearCacheRequest())


def test_a_client_that_does_not_answer(nodes):
    here, there = nodes.server(), nodes.server()
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    with pytest.raises(CallTimeout) as caught:
        here.call("CP_1", CLEAR, timeout=0.3)
    held.go.set()
    assert (caught.value.client_id, caught.value.action) == ("CP_1", "ClearCache")
    assert caught.value.time is not None
    assert here.call("CP_1", RESET, timeout=seconds(10)) == ACCEPTED  # the queue there is free again


def test_the_timeout_of_the_server_is_the_default(nodes):
    here, there = nodes.server(timeout=0.3), nodes.server(timeout=seconds(30))
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    with pytest.raises(CallTimeout):
        here.call("CP_1", CLEAR)
    held.go.set()


def test_a_canceled_future_is_withdrawn_there(nodes):
    here, there = nodes.server(), nodes.server()
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    canceled = Recorder()
    there.set_canceled_request_handler(canceled)
    first = here.send_request("CP_1", CLEAR)
    assert held.called.wait(seconds(10))
    second = here.send_request("CP_1", CLEAR)
    eventually(lambda: there.connection("CP_1").queue_length == 2)
    assert second.cancel()
    assert second.cancelled()
    eventually(lambda: there.connection("CP_1").queue_length == 1)
    assert isinstance(canceled.wait()[0][3], CallCanceled)
    held.go.set()
    assert first.result(seconds(10)).status == "Accepted"
    assert held.count == 1


def test_the_connection_is_lost_there(nodes):
    here, there = nodes.server(), nodes.server()
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    outcome = in_thread(lambda: here.call("CP_1", CLEAR))
    assert held.called.wait(seconds(10))
    there.abort("CP_1")
    error = end_of(outcome)
    held.go.set()
    assert isinstance(error, ConnectionLost)
    assert (error.client_id, error.action) == ("CP_1", "ClearCache")


def test_the_other_server_dies(nodes):
    here, there = nodes.server(), nodes.server()
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    outcome = in_thread(lambda: here.call("CP_1", CLEAR))
    assert held.called.wait(seconds(10))
    nodes.kill(there)
    error = end_of(outcome, SOON)
    held.go.set()
    assert isinstance(error, ConnectionLost)
    with pytest.raises(UnknownClient):
        here.call("CP_1", RESET)


def test_the_other_server_stops(nodes):
    here, there = nodes.server(), nodes.server()
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    outcome = in_thread(lambda: here.call("CP_1", CLEAR))
    assert held.called.wait(seconds(10))
    there.stop()
    held.go.set()
    assert type(end_of(outcome)) is ConnectionLost


def test_this_server_stops(nodes):
    here, there = nodes.server(), nodes.server()
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    outcome = in_thread(lambda: here.call("CP_1", CLEAR))
    assert held.called.wait(seconds(10))
    future = here.send_request("CP_1", CLEAR)
    here.stop()
    assert isinstance(end_of(outcome), Stopped)
    assert isinstance(future.exception(seconds(5)), Stopped)
    held.go.set()
    with pytest.raises(NotRunning):
        here.call("CP_1", RESET)


def test_the_cluster_is_away(nodes):
    here, there = nodes.server(), nodes.server()
    nodes.station(there)
    nodes.world.set_away(True)
    for ask in (here.call, here.send_request):
        with pytest.raises(ClusterUnavailable) as caught:
            ask("CP_1", RESET)
        assert (caught.value.maybe_sent, caught.value.client_id) == (False, "CP_1")
        assert caught.value.action == "Reset"
    with pytest.raises(ClusterUnavailable):
        here.disconnect("CP_1")
    for ask in (here.client_ids, here.connections):
        with pytest.raises(ClusterUnavailable):
            ask(cluster=True)
    nodes.set_away(False, here, there)
    assert here.call("CP_1", RESET) == ACCEPTED


def test_the_cluster_is_lost_during_a_call_and_comes_back(nodes):
    here, there = nodes.server(), nodes.server()
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    outcome = in_thread(lambda: here.call("CP_1", CLEAR, timeout=seconds(20)))
    assert held.called.wait(seconds(10))
    nodes.set_away(True, here, there)
    held.go.set()
    eventually(lambda: not there.connection("CP_1").queue_length)
    nodes.world.set_away(False)
    assert end_of(outcome) == v16.ClearCacheResponse(status="Accepted")


def test_the_cluster_is_lost_during_a_call(nodes):
    here, there = nodes.server(), nodes.server()
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    outcome = in_thread(lambda: here.call("CP_1", CLEAR, timeout=seconds(6)))
    assert held.called.wait(seconds(10))
    nodes.set_away(True, here, there)
    error = end_of(outcome)
    nodes.world.set_away(False)
    held.go.set()
    assert isinstance(error, ClusterUnavailable)
    assert error.maybe_sent


def test_a_call_that_waited_too_long_is_not_sent(nodes):
    here, there = nodes.server(), nodes.server()
    station = nodes.station(there)
    asked = Recorder(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(asked)
    nodes.world.cut(there.cluster, True)  # what is posted waits
    with pytest.raises(CallTimeout):
        here.call("CP_1", CLEAR, timeout=0.2)
    nodes.world.cut(there.cluster, False)
    eventually(lambda: there.cluster.available and here.cluster.holder_of("CP_1"), SOON)
    assert here.call("CP_1", RESET, timeout=seconds(10)) == ACCEPTED
    assert asked.calls == []


def test_a_handler_may_call_clients_of_other_servers(nodes):
    here, there = nodes.server(), nodes.server()
    nodes.station(there, "CP_2")
    seen = Recorder()

    @here.on(v16.AuthorizeRequest)
    def authorize(client_id, request):
        seen(here.call("CP_2", RESET))
        return v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status="Accepted"))

    station = nodes.station(here, "CP_1")
    station.call(v16.AuthorizeRequest(id_tag="1"))
    assert seen.calls == [(ACCEPTED,)]


def test_a_callback_must_not_call(nodes):
    here, there = nodes.server(), nodes.server()
    nodes.station(there)
    seen = Recorder()

    def again(future):
        try:
            here.call("CP_1", RESET)
        except WouldDeadlock as error:
            seen(error)

    here.send_request("CP_1", RESET).add_done_callback(again)
    seen.wait()


def test_a_watch_is_told_of_calls_to_other_servers(nodes):
    here, there = nodes.server(), nodes.server()
    nodes.station(there)
    began, ended = Recorder(), Recorder()

    class Watching:
        def call_began(self, watched):
            began(watched.client_id, watched.version, watched.action, watched.message_id)
            return ended

        def handler_began(self, watched):
            return None

    here.add_watch(Watching())
    here.call("CP_1", RESET, message_id="5")
    with pytest.raises(UnknownClient):
        here.call("CP_2", RESET, message_id="6")
    assert began.calls == [("CP_1", "1.6", "Reset", "5"), ("CP_2", "1.6", "Reset", "6")]
    first, second = ended.wait(2)
    assert first == (None,)
    assert isinstance(second[0], UnknownClient)


def test_an_id_is_used_once_at_a_time(nodes):
    here, there = nodes.server(), nodes.server()
    station, held = nodes.station(there), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    first = here.send_request("CP_1", CLEAR, message_id="1")
    with pytest.raises(UsageError):
        here.send_request("CP_1", CLEAR, message_id="1")
    held.go.set()
    first.result(seconds(10))
    assert here.call("CP_1", RESET, message_id="1") == ACCEPTED


# Other things that go there


def test_broadcast_to_all(nodes):
    here, there = nodes.server(), nodes.server()
    nodes.station(here, "CP_1")
    nodes.station(there, "CP_2")
    assert list(here.broadcast(RESET)) == ["CP_1"]
    futures = here.broadcast(RESET, cluster=True)
    assert sorted(futures) == ["CP_1", "CP_2"]
    assert [future.result(seconds(10)) for future in futures.values()] == [ACCEPTED, ACCEPTED]
    futures = here.broadcast(RESET, ["CP_2", "CP_3", "CP_1"])
    assert list(futures) == ["CP_2", "CP_3", "CP_1"]
    assert futures["CP_2"].result(seconds(10)) == ACCEPTED
    assert isinstance(futures["CP_3"].exception(seconds(10)), UnknownClient)
    with pytest.raises(ValidationError):
        here.broadcast(v16.ResetRequest(type="Somehow"), cluster=True)


def test_without_a_cluster_nothing_is_asked_of_it():
    server = Server(profiles=v16.PROFILES)
    server.listen(host="127.0.0.1")
    try:
        for ask in (server.client_ids, server.connections, lambda cluster: server.broadcast(RESET, cluster=cluster)):
            with pytest.raises(UsageError):
                ask(cluster=True)
    finally:
        server.stop()


def test_a_client_of_another_server_is_disconnected(nodes):
    here, there = nodes.server(), nodes.server()
    station, ended = Client("CP_1", profiles=v16.PROFILES, reconnect=False), Recorder()
    station.set_disconnected_handler(lambda close: ended(close))
    station.connect(there.url)
    here.disconnect("CP_1", 1001, "maintenance")
    ((close,),) = ended.wait()
    assert (close.code, close.reason) == (1001, "maintenance")
    eventually(lambda: here.client_ids(cluster=True) == [])
    station.stop()


@pytest.mark.parametrize("calling", ["server", "remote"])
def test_a_close_code_that_cannot_be_sent_is_refused_at_once(nodes, calling):
    here, there = getattr(nodes, calling)(), nodes.server()
    nodes.station(there)
    with pytest.raises(UsageError, match="99"):
        here.disconnect("CP_1", 99)
    assert there.client_ids() == ["CP_1"]


def test_a_message_without_an_answer(nodes):
    here, there = nodes.server(v21.PROFILES), nodes.server(v21.PROFILES)
    station = nodes.station(there, profiles=v21.PROFILES)
    seen = Recorder()
    station.set_request_handler(lambda request, message_id, action: seen(message_id, action))
    stream = v21.NotifyPeriodicEventStream(
        id=1,
        pending=0,
        basetime="2026-01-02T03:04:05Z",
        data=[v21.StreamDataElement(t=0, v="1")],
    )
    sent = here.send("CP_1", stream)
    assert seen.wait()[0] == (sent, "NotifyPeriodicEventStream")
    with pytest.raises(UnknownClient):
        here.send("CP_2", stream)


def test_what_is_known_of_clients_of_other_servers(nodes):
    here, there = nodes.server(), nodes.server(listen={"path": "/{tenant}/{id}"})
    nodes.station(here, "CP_1")
    station = Client("CP_2", profiles=v16.PROFILES)
    station.connect(there.url + "/north")
    try:
        eventually(lambda: sorted(here.client_ids(cluster=True)) == ["CP_1", "CP_2"])
        mine, other = here.connections(cluster=True)
        known = there.connection("CP_2")
        assert (mine.client_id, mine.node_id) == ("CP_1", here.cluster.node_id)
        assert other.node_id == there.cluster.node_id == known.node_id
        for name in ("client_id", "version", "subprotocol", "remote_address", "connected_since", "path", "values"):
            assert getattr(other, name) == getattr(known, name)
        assert other.values == {"tenant": "north"}
        assert [each.client_id for each in here.connections()] == ["CP_1"]
        assert here.version_of("CP_2") == "1.6"
        assert here.make_request("CP_2", "Reset", {"type": "Soft"}) == RESET
    finally:
        station.stop()


# One connection for each identity


def test_a_newer_connection_elsewhere_ends_the_older(nodes):
    here, there = nodes.server(), nodes.server()
    told, ended = Recorder(), Recorder()
    here.set_disconnected_client_handler(lambda client_id, close: told(client_id, close.code))
    old = Client("CP_1", profiles=v16.PROFILES, reconnect=False)
    old.set_disconnected_handler(lambda close: ended(close.code))
    old.connect(here.url)
    nodes.station(there)
    assert ended.wait() == [(1008,)]
    assert told.wait() == [("CP_1", 1008)]
    assert here.client_ids() == []
    assert there.client_ids() == ["CP_1"]
    assert here.call("CP_1", RESET) == ACCEPTED
    old.stop()


def test_a_claim_that_is_lost_before_it_is_noted(memory_nodes):
    hub = memory_nodes.world.hub
    other = MemoryCluster(hub)
    other.join(Recording())

    class Late(MemoryCluster):
        def claim(self, client_id, about):
            claim = super().claim(client_id, about)
            other.claim(client_id, {})
            eventually(lambda: server._membership._lost)
            return claim

    server = memory_nodes.server(cluster=Late(hub))
    station, ended = Client("CP_1", profiles=v16.PROFILES, reconnect=False), Recorder()
    station.set_disconnected_handler(lambda close: ended(close.code))
    station.connect(server.url)
    assert ended.wait() == [(1008,)]
    station.stop()
    other.leave()


def test_a_newer_connection_is_refused_where_duplicates_are_rejected(nodes):
    here, there = nodes.server(duplicates="reject"), nodes.server(duplicates="reject")
    nodes.station(here)
    second = Client("CP_1", profiles=v16.PROFILES)
    with pytest.raises(HandshakeRefused) as caught:
        second.connect(there.url)
    assert caught.value.status == 409
    nodes.set_away(True, here, there)  # nobody knows: it is let in
    second.connect(there.url)
    second.stop()
    nodes.world.set_away(False)


def test_the_cluster_comes_back_and_the_older_connection_ends(nodes):
    here, there = nodes.server(), nodes.server()
    old = Client("CP_1", profiles=v16.PROFILES, reconnect=False)
    old.connect(here.url)
    nodes.set_away(True, here, there)
    newer = Client("CP_1", profiles=v16.PROFILES, reconnect=False)
    newer.on(v16.ResetRequest)(lambda request: ACCEPTED)
    newer.connect(there.url)
    assert here.client_ids() == there.client_ids() == ["CP_1"]
    nodes.set_away(False, here, there)
    eventually(lambda: here.client_ids() == [], SOON)
    assert here.call("CP_1", RESET) == ACCEPTED
    old.stop()
    newer.stop()


# Life cycle


def test_two_servers_with_one_cluster_object(nodes):
    cluster = nodes.world.make()
    nodes.server(cluster=cluster)
    second = Server(profiles=v16.PROFILES, cluster=cluster)
    with pytest.raises(UsageError):
        second.listen(host="127.0.0.1")
    second.stop()


def test_stop_and_listen_again(nodes):
    here, there = nodes.server(), nodes.server()
    first = there.cluster.node_id
    there.stop()
    assert there.cluster.node_id == ""
    there.listen(host="127.0.0.1")
    assert there.cluster.node_id not in ("", first)
    nodes.station(there)
    assert here.call("CP_1", RESET) == ACCEPTED


def test_it_begins_although_the_cluster_is_away(nodes):
    nodes.world.set_away(True)
    here = nodes.server()
    station = Client("CP_1", profiles=v16.PROFILES)
    station.on(v16.ResetRequest)(lambda request: ACCEPTED)
    station.connect(here.url)
    assert here.call("CP_1", RESET) == ACCEPTED
    nodes.set_away(False, here)
    eventually(lambda: here.client_ids(cluster=True) == ["CP_1"], SOON)
    station.stop()


def test_it_stops_while_the_cluster_is_away(nodes):
    here = nodes.server()
    nodes.station(here)
    nodes.world.set_away(True)
    here.stop()
    nodes.world.set_away(False)
    assert here.cluster.node_id == ""


def test_a_callback_may_stop_the_server(nodes):
    here, there = nodes.server(), nodes.server()
    nodes.station(there)
    stopped = threading.Event()

    def stop(future):
        here.stop()
        stopped.set()

    here.send_request("CP_1", RESET).add_done_callback(stop)
    assert stopped.wait(seconds(20))
    assert here.cluster.node_id == ""


def test_cluster_is_a_cluster():
    with pytest.raises(UsageError):
        Server(profiles=v16.PROFILES, cluster="redis://localhost")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_no_node(nodes):
    here, there = nodes.server(), nodes.server()
    nodes.station(there)
    future = None
    held = Held(v16.ClearCacheResponse(status="Accepted"))
    future = here.send_request("CP_1", RESET)
    future.result(seconds(10))
    child = os.fork()
    if not child:
        status = 1
        try:
            with suppress(NotRunning):
                here.call("CP_1", RESET)
                os._exit(2)
            here.stop()
            here.listen(host="127.0.0.1")
            here.stop()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert here.call("CP_1", RESET) == ACCEPTED
    held.go.set()


# Events


def test_what_happens_is_published(nodes):
    here, there = nodes.server(), nodes.server()
    there.on(v16.AuthorizeRequest)(
        lambda client_id, request: v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status="Accepted"))
    )
    seen = Recorder()
    subscription = here.cluster.subscribe(connected=seen, disconnected=seen, request=seen)
    eventually(lambda: there.cluster.wants("request"), SOON)
    station = Client("CP_1", profiles=v16.PROFILES)
    station.connect(there.url)
    station.call(v16.AuthorizeRequest(id_tag="1"), message_id="5")
    with suppress(OCPPError):
        station.call(v16.DataTransferRequest(vendor_id="V", data='{"AuthorizationKey": "geheim"}'))
    station.stop()
    events = [event for (event,) in seen.wait(4)]
    subscription.close()
    assert [event.kind for event in events] == ["connected", "request", "request", "disconnected"]
    assert {(event.client_id, event.node_id) for event in events} == {("CP_1", there.cluster.node_id)}
    assert events[0].about["version"] == "1.6"
    assert events[1].about == {
        "version": "1.6",
        "action": "Authorize",
        "message_id": "5",
        "payload": {"idTag": "1"},
    }
    assert "geheim" not in str(events[2].about)
    assert events[3].about["by_peer"] is True


def test_a_message_of_another_format_is_refused(nodes, caplog):
    here, there = nodes.server(), nodes.server()
    nodes.station(there)
    for message in ({"v": 2, "kind": "call"}, {"v": 1, "kind": "eval"}, {"v": 1, "kind": "call", "id": 5}, {}):
        here.cluster.post("CP_1", message)
    assert here.call("CP_1", RESET) == ACCEPTED
    lines = [record for record in caplog.records if "was refused" in record.getMessage()]
    assert len(lines) == 4
    assert {record.name for record in lines} == {"ocppj.cluster"}


# A disk that is slow


@pytest.fixture
def slow(memory_nodes, tmp_path, monkeypatch):
    """Return a server that stores nothing before ``go``, what says so, and a station of it."""
    held, push = Held(None), StoredQueue.push

    def push_slowly(queue, bundle):
        held(None)
        push(queue, bundle)

    monkeypatch.setattr(StoredQueue, "push", push_slowly)
    server = memory_nodes.server(queues=SQLiteQueueMap(str(tmp_path / "queues.db")))
    yield server, held, memory_nodes.station(server, reconnect=False)
    held.go.set()


def test_what_waits_for_a_slow_disk_is_bounded(memory_nodes, slow):
    _, disk, _ = slow
    remote = memory_nodes.remote()
    futures = [remote.send_request("CP_1", RESET)]
    assert disk.called.wait(seconds(10))
    futures += [remote.send_request("CP_1", RESET) for _ in range(100)]  # as many as an inbox of these tests
    eventually(lambda: is_refused(remote))
    disk.go.set()
    ends = [future.exception(seconds(20)) for future in futures]
    assert ends.count(None) >= 100


def is_refused(remote):
    """Return whether a request is refused at once, because too many wait."""
    try:
        return isinstance(remote.send_request("CP_1", RESET).exception(0.5), ClusterUnavailable)
    except (ClusterUnavailable, FutureTimeout):
        return False


def test_a_replaced_connection_is_closed_before_what_waits_for_a_disk(memory_nodes, slow):
    _, disk, station = slow
    remote, other = memory_nodes.remote(), memory_nodes.server()
    remote.send_request("CP_1", RESET)
    assert disk.called.wait(seconds(10))
    for _ in range(5):
        remote.send_request("CP_1", RESET)
    closed = Recorder()
    station.set_disconnected_handler(lambda close: closed(close.code))
    memory_nodes.station(other)
    disk.go.set()
    assert closed.wait() == [(1008,)]
