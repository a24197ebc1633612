"""`RemoteServer`: calls from a process that has no connections."""

import os
import pickle
import threading
from typing import Any, Optional

import pytest

from ocppj import (
    CallTimeout,
    Client,
    ClusterUnavailable,
    ConnectionLost,
    MemoryCluster,
    MemoryHub,
    NotRunning,
    OCPPError,
    RemoteServer,
    Stopped,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    Watched,
    WouldDeadlock,
    v16,
    v201,
)
from tests.cluster.nodes import CLEAR, RESET, Held, Nodes, end_of, in_thread, memory_nodes, nodes
from tests.cluster.support import SOON
from tests.helpers import Recorder, eventually, seconds

__all__ = ["memory_nodes", "nodes"]
ACCEPTED = v16.ResetResponse(status="Accepted")


def test_it_calls_clients_of_all_servers(nodes: Nodes) -> None:
    first, second, remote = nodes.server(), nodes.server(), nodes.remote()
    nodes.station(first, "CP_1")
    nodes.station(second, "CP_2")
    for client_id in ("CP_1", "CP_2"):
        assert remote.call(client_id, RESET) == ACCEPTED
        assert remote.send_request(client_id, RESET).result(seconds(10)) == ACCEPTED
    with pytest.raises(UnknownClient):
        remote.call("CP_3", RESET)
    with pytest.raises(UnknownClient):
        remote.disconnect("CP_3")
    with pytest.raises(UnknownClient):
        remote.version_of("CP_3")


def test_it_joins_at_its_first_use(nodes: Nodes) -> None:
    cluster = nodes.world.make()
    remote = nodes.remote(cluster=cluster)
    assert cluster.node_id == ""
    assert remote.client_ids() == []
    assert cluster.node_id != ""
    remote.stop()
    assert cluster.node_id == ""
    with pytest.raises(NotRunning):
        remote.client_ids()
    remote.stop()


def test_many_threads_use_it_first_at_once(nodes: Nodes) -> None:
    nodes.station(nodes.server())
    remote = nodes.remote()
    outcomes = [in_thread(lambda: remote.call("CP_1", RESET)) for _ in range(8)]
    assert [end_of(outcome) for outcome in outcomes] == [ACCEPTED] * 8


def test_it_is_a_context_manager(nodes: Nodes) -> None:
    nodes.station(nodes.server())
    cluster = nodes.world.make()
    with RemoteServer(cluster, profiles=v16.PROFILES) as remote:
        assert remote.call("CP_1", RESET) == ACCEPTED
    assert cluster.node_id == ""


def test_what_it_knows_of_the_clients(nodes: Nodes) -> None:
    server, remote = nodes.server(), nodes.remote()
    nodes.station(server)
    assert remote.client_ids() == ["CP_1"]
    (info,) = remote.connections()
    known = server.connection("CP_1")
    for name in ("client_id", "version", "subprotocol", "remote_address", "connected_since", "path", "values"):
        assert getattr(info, name) == getattr(known, name)
    assert info.node_id == server.cluster.node_id
    assert remote.version_of("CP_1") == "1.6"
    assert remote.make_request("CP_1", "Reset", {"type": "Soft"}) == RESET
    with pytest.raises(ValidationError):
        remote.make_request("CP_1", "Reset", {"type": "Soft", "more": 1})
    with pytest.raises(UsageError):
        remote.make_request("CP_1", "Reset", {}, version="2.1")


def test_broadcast(nodes: Nodes) -> None:
    first, second, remote = nodes.server(), nodes.server(), nodes.remote()
    for number in range(5):
        nodes.station(first if number % 2 else second, f"CP_{number}")
    futures = remote.broadcast(RESET)
    assert sorted(futures) == [f"CP_{number}" for number in range(5)]
    assert [future.result(seconds(10)) for future in futures.values()] == [ACCEPTED] * 5
    futures = remote.broadcast(RESET, ["CP_4", "CP_9"])
    assert futures["CP_4"].result(seconds(10)) == ACCEPTED
    error = futures["CP_9"].exception(seconds(10))
    assert isinstance(error, UnknownClient)
    with pytest.raises(UsageError):
        remote.broadcast(RESET, "CP_4")
    with pytest.raises(ValidationError):
        remote.broadcast(v16.ResetRequest(type="Somehow"))  # type: ignore[arg-type]


def test_a_broadcast_to_clients_of_several_versions(nodes: Nodes) -> None:
    profiles = [*v16.PROFILES, *v201.PROFILES]
    server, remote = nodes.server(profiles), nodes.remote(profiles)
    nodes.station(server, "CP_1")
    station = nodes.station(server, "CP_2", v201.PROFILES)
    station.on(v201.ResetRequest)(lambda request: v201.ResetResponse(status="Accepted"))
    futures = remote.broadcast(v201.ResetRequest(type="Immediate"))
    assert futures["CP_2"].result(seconds(10)).status == "Accepted"
    assert isinstance(futures["CP_1"].exception(seconds(10)), UnsupportedFeature)


def test_it_disconnects(nodes: Nodes) -> None:
    server, remote, ended = nodes.server(), nodes.remote(), Recorder()
    station = Client("CP_1", profiles=v16.PROFILES, reconnect=False)
    station.set_disconnected_handler(lambda close: ended(close.code, close.reason))
    station.connect(server.url)
    remote.disconnect("CP_1", 1001, "maintenance")
    assert ended.wait() == [(1001, "maintenance")]
    eventually(lambda: remote.client_ids() == [])
    station.stop()


def test_an_error_can_be_pickled_and_names_its_request(nodes: Nodes) -> None:
    server, remote = nodes.server(), nodes.remote()
    station = nodes.station(server)

    @station.on(v16.ClearCacheRequest)
    def refuse(request: v16.ClearCacheRequest) -> v16.ClearCacheResponse:
        raise OCPPError("SecurityError", "not you", {"why": 1})

    held = Held(v16.UnlockConnectorResponse(status="Unlocked"))
    station.on(v16.UnlockConnectorRequest)(held)
    with pytest.raises(OCPPError) as refused:
        remote.call("CP_1", CLEAR, message_id="5")
    with pytest.raises(CallTimeout) as late:
        remote.call("CP_1", v16.UnlockConnectorRequest(connector_id=1), timeout=0.2, message_id="6")
    held.go.set()
    for error in (refused.value, late.value):
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error)
        assert vars(again) == vars(error)
    assert (refused.value.client_id, refused.value.action, refused.value.message_id) == ("CP_1", "ClearCache", "5")
    assert (late.value.client_id, late.value.action, late.value.message_id) == ("CP_1", "UnlockConnector", "6")


class Watching:
    """A watch that notes where calls begin and end. Then it fails."""

    def __init__(self) -> None:
        self.began, self.ended = Recorder(), Recorder()

    def call_began(self, watched: Watched) -> Any:
        self.began(watched, threading.get_ident())
        return lambda error: self._end(watched, error)

    def _end(self, watched: Watched, error: Optional[BaseException]) -> None:
        self.ended(watched, error)
        raise ValueError("of the watch")

    def handler_began(self, watched: Watched) -> Any:
        raise AssertionError("there are no handlers here")


def test_a_watch_is_told_of_each_call_and_its_end(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    nodes.station(nodes.server())
    remote, watch = nodes.remote(), Watching()
    remote.add_watch(watch)
    assert remote.call("CP_1", RESET, message_id="first") == ACCEPTED
    future = remote.send_request("CP_1", CLEAR, message_id="second")  # nobody handles it
    assert isinstance(future.exception(seconds(10)), OCPPError)
    with pytest.raises(UnknownClient) as unknown:
        remote.call("CP_2", RESET, message_id="third")
    first, second = Watched("CP_1", "1.6", "Reset", "first"), Watched("CP_1", "1.6", "ClearCache", "second")
    third = Watched("CP_2", "1.6", "Reset", "third")
    here = threading.get_ident()
    assert watch.began.calls == [(first, here), (second, here), (third, here)]
    assert watch.ended.wait(3) == [(first, None), (second, future.exception()), (third, unknown.value)]
    assert "of the watch" in caplog.text
    remote.remove_watch(watch)
    assert remote.call("CP_1", RESET) == ACCEPTED
    assert len(watch.began.calls) == 3
    with pytest.raises(UsageError, match="is not registered"):
        remote.remove_watch(watch)


def test_the_cluster_is_away(nodes: Nodes) -> None:
    server = nodes.server()
    nodes.station(server)
    cluster = nodes.world.make()
    remote = nodes.remote(cluster=cluster)
    assert remote.client_ids() == ["CP_1"]
    nodes.world.set_away(True)
    eventually(lambda: not cluster.available, SOON)
    for ask in (
        remote.client_ids,
        remote.connections,
        lambda: remote.call("CP_1", RESET),
        lambda: remote.send_request("CP_1", RESET),
        lambda: remote.broadcast(RESET),
        lambda: remote.disconnect("CP_1"),
    ):
        with pytest.raises(ClusterUnavailable):
            ask()
    (future,) = remote.broadcast(RESET, ["CP_1"]).values()
    assert isinstance(future.exception(seconds(5)), ClusterUnavailable)
    nodes.world.set_away(False)
    eventually(lambda: cluster.available and server.cluster.available, SOON)
    assert remote.call("CP_1", RESET) == ACCEPTED


def test_stop_ends_its_requests(nodes: Nodes) -> None:
    server, remote = nodes.server(), nodes.remote()
    station, held = nodes.station(server), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    future = remote.send_request("CP_1", CLEAR)
    outcome = in_thread(lambda: remote.call("CP_1", CLEAR))
    assert held.called.wait(seconds(10))
    eventually(lambda: server.connection("CP_1").queue_length == 2)
    remote.stop()
    assert isinstance(future.exception(seconds(10)), Stopped)
    assert isinstance(end_of(outcome), Stopped)
    held.go.set()


def test_the_server_that_has_the_connection_dies(nodes: Nodes) -> None:
    server, remote = nodes.server(), nodes.remote()
    station, held = nodes.station(server), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    future = remote.send_request("CP_1", CLEAR)
    assert held.called.wait(seconds(10))
    nodes.kill(server)
    assert isinstance(future.exception(seconds(SOON)), ConnectionLost)
    held.go.set()


def test_a_callback_must_not_call(nodes: Nodes) -> None:
    nodes.station(nodes.server())
    remote, seen = nodes.remote(), Recorder()

    def again(future: object) -> None:
        for ask in (remote.call, lambda *request: remote.send_request(*request).result()):
            try:
                ask("CP_1", RESET)
            except WouldDeadlock as error:
                seen(error)

    remote.send_request("CP_1", RESET).add_done_callback(again)
    seen.wait(2)


def test_a_callback_may_stop_it(nodes: Nodes) -> None:
    nodes.station(nodes.server())
    remote, stopped = nodes.remote(), threading.Event()

    def stop(future: object) -> None:
        remote.stop()
        stopped.set()

    remote.send_request("CP_1", RESET).add_done_callback(stop)
    assert stopped.wait(seconds(10))


class SlowJoin(MemoryCluster):
    """One whose `join` takes until ``go``, and whose `leave` waits a little for a `post`."""

    def __init__(self, hub: MemoryHub) -> None:
        super().__init__(hub)
        self.joining, self.go, self.posted = threading.Event(), threading.Event(), threading.Event()

    def join(self, *arguments: Any) -> None:
        self.joining.set()
        self.go.wait(seconds(10))
        super().join(*arguments)

    def post(self, client_id: str, message: Any, timeout: Optional[float] = None) -> Optional[str]:
        node = super().post(client_id, message)
        self.posted.set()
        return node

    def leave(self, timeout: float = 5.0) -> None:
        self.posted.wait(0.5)
        super().leave(timeout)


def test_stop_while_the_first_call_joins(memory_nodes: Nodes) -> None:
    station, held = memory_nodes.station(memory_nodes.server()), Held(ACCEPTED)
    station.on(v16.ResetRequest)(held)
    cluster = SlowJoin(memory_nodes.world.hub)  # type: ignore[attr-defined]
    remote = memory_nodes.remote(cluster=cluster)
    outcome = in_thread(lambda: remote.call("CP_1", RESET, timeout=seconds(5)))
    assert cluster.joining.wait(seconds(10))
    stopping = in_thread(remote.stop)
    threading.Event().wait(0.3)  # it waits for the one that joins
    cluster.go.set()
    assert isinstance(end_of(outcome), (NotRunning, Stopped))
    end_of(stopping)
    held.go.set()


def test_what_it_takes(nodes: Nodes) -> None:
    cluster = nodes.world.make()
    for wrong in (
        {"cluster": "redis://localhost", "profiles": v16.PROFILES},
        {"cluster": None, "profiles": v16.PROFILES},
        {"cluster": cluster, "profiles": []},
        {"cluster": cluster, "profiles": v16.PROFILES, "timeout": 0},
    ):
        with pytest.raises(UsageError):
            RemoteServer(**wrong)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_joins_by_itself(nodes: Nodes) -> None:
    server, remote = nodes.server(), nodes.remote()
    station, held = nodes.station(server), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    future = remote.send_request("CP_1", CLEAR)
    assert held.called.wait(seconds(10))
    child = os.fork()
    if not child:
        status = 1
        try:
            assert isinstance(future.exception(0), NotRunning)
            assert remote.client_ids() == ([] if nodes.world.name == "memory" else ["CP_1"])
            remote.stop()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    held.go.set()
    assert future.result(seconds(10)).status == "Accepted"
