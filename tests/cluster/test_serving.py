"""What a server does for other nodes, as a node that the test plays sees it."""

import pytest

from ocppj import SQLiteQueueMap, v16, v21, v201
from tests.cluster.nodes import Held, nodes
from tests.cluster.support import SOON, Recording
from tests.fixtures import BOOT, BOOTED
from tests.helpers import Recorder, eventually, seconds

__all__ = ["nodes"]
CALL = {"v": 1, "kind": "call", "id": "5", "client_id": "CP_1", "version": "1.6", "action": "Reset"}
SOFT = {"type": "Soft"}


@pytest.fixture
def asking(nodes):
    """A node that asks, and keeps what it is told. Its ``ask(**message)`` posts one, as a call of CP_1."""
    member, cluster = Recording(), nodes.world.make()
    cluster.join(member)
    member.cluster = cluster
    member.ask = lambda **message: cluster.post("CP_1", {**CALL, "payload": SOFT, "left": seconds(20), **message})
    return member


def told(member, count=1):
    eventually(lambda: len(member.got) >= count, SOON)
    return member.messages[count - 1]


def test_a_call_is_answered(nodes, asking):
    nodes.station(nodes.server())
    asking.ask()
    assert told(asking) == {
        "v": 1,
        "kind": "answer",
        "id": "5",
        "client_id": "CP_1",
        "payload": {"status": "Accepted"},
        "signature": None,
    }


def test_the_client_gets_it_as_it_was_asked_for(nodes, asking):
    server, frames = nodes.server(), Recorder()
    nodes.station(server)
    server.add_observer(frames)
    asking.ask()
    told(asking)
    texts = [frame.text for (frame,) in frames.calls]
    assert texts[0] == '[2,"5","Reset",{"type":"Soft"}]'


def test_what_another_process_cannot_ask_for_is_logged(nodes, asking, caplog):
    nodes.station(nodes.server())
    asking.cluster.post("CP_1", {"v": 1, "kind": "disconnect", "client_id": "CP_1", "code": 99, "reason": ""})
    eventually(lambda: "99 is no close code" in caplog.text, SOON)


def test_only_a_check_of_what_has_ended_is_answered(nodes, asking):
    station, held = nodes.station(nodes.server()), Held(v16.ResetResponse(status="Accepted"))
    station.on(v16.ResetRequest)(held)
    asking.ask()
    asking.cluster.post("CP_1", {"v": 1, "kind": "check", "id": "5", "client_id": "CP_1"})
    assert held.called.wait(seconds(10))
    held.go.set()
    assert told(asking)["kind"] == "answer"
    eventually(lambda: not nodes_open(asking))
    assert told(asking, 2)["error"]["class"] == "ConnectionLost"


def nodes_open(asking):
    """Return whether a check is not answered yet."""
    asking.cluster.post("CP_1", {"v": 1, "kind": "check", "id": "5", "client_id": "CP_1"})
    return len(asking.got) < 2


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"client_id": "CP_2"}, "UnknownClient"),
        ({"action": "Somehow"}, "UnsupportedFeature"),
        ({"version": "3.0"}, "UnsupportedFeature"),
        ({"version": "2.0.1", "payload": {"type": "Immediate"}}, "UnsupportedFeature"),
        ({"payload": {"type": "Somehow"}}, "ValidationError"),
        ({"payload": {}}, "ValidationError"),
        ({"signed": True}, "UnsupportedFeature"),
        ({"id": "x" * 40}, "UsageError"),
        ({"left": 0}, "CallTimeout"),
        ({"left": -1.5}, "CallTimeout"),
        ({"action": "ClearCache", "payload": {}}, "OCPPError"),
        ({"offline": True}, "UsageError"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_told(nodes, asking, message, error):
    station = nodes.station(nodes.server([*v16.PROFILES, *v201.PROFILES]))
    asked = Recorder(v16.ResetResponse(status="Accepted"))
    station.off(v16.ResetRequest)
    station.on(v16.ResetRequest)(asked)
    asking.ask(**message)
    reply = told(asking)
    assert (reply["kind"], reply["error"]["class"]) == ("error", error)
    assert asked.calls == []


def test_a_call_that_has_no_end_is_ended_by_the_server(nodes, asking):
    server = nodes.server(timeout=0.3)
    station, held = nodes.station(server), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    asking.ask(action="ClearCache", payload={}, left=None)
    assert told(asking)["error"]["class"] == "CallTimeout"
    held.go.set()


def test_a_message_without_an_answer(nodes, asking):
    station, seen = nodes.station(nodes.server(v21.PROFILES), profiles=v21.PROFILES), Recorder()
    station.set_request_handler(lambda request, message_id, action: seen(message_id))
    element = {"t": 0.5, "v": "1"}
    payload = {"id": 1, "pending": 0, "basetime": "2026-01-02T03:04:05Z", "data": [element]}
    stream = {"kind": "send", "version": "2.1", "action": "NotifyPeriodicEventStream", "payload": payload}
    asking.ask(id="6", **{**stream, "left": 0})
    assert told(asking)["error"]["class"] == "CallTimeout"
    asking.ask(id="7", **stream)
    reply = told(asking, 2)
    assert seen.wait() == [(reply["payload"]["message_id"],)]


def test_a_canceled_call_is_withdrawn_and_not_answered(nodes, asking):
    server = nodes.server()
    station, held = nodes.station(server), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    for number in ("1", "2", "3"):
        asking.ask(id=number, action="ClearCache", payload={})
    eventually(lambda: server.connection("CP_1").queue_length == 3, SOON)
    asking.cluster.post("CP_1", {"v": 1, "kind": "cancel", "id": "2", "client_id": "CP_1"})
    eventually(lambda: server.connection("CP_1").queue_length == 2, SOON)
    held.go.set()
    told(asking, 2)
    assert [message["id"] for message in asking.messages] == ["1", "3"]
    assert held.count == 2


def test_another_node_cannot_cancel_it(nodes, asking):
    server, other = nodes.server(), nodes.world.make()
    other.join(Recording())
    station, held = nodes.station(server), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    asking.ask(action="ClearCache", payload={})
    assert held.called.wait(seconds(10))
    other.post("CP_1", {"v": 1, "kind": "cancel", "id": "5", "client_id": "CP_1"})
    other.post("CP_1", {"v": 1, "kind": "cancel", "id": "6", "client_id": "CP_1"})
    held.go.set()
    assert told(asking)["kind"] == "answer"


def test_two_nodes_ask_at_once(nodes, asking):
    server, member, other = nodes.server(), Recording(), nodes.world.make()
    nodes.station(server)
    other.join(member)
    asking.ask(id="1")
    other.post("CP_1", {**CALL, "id": "2", "payload": SOFT})
    assert told(asking)["id"] == "1"
    assert told(member)["id"] == "2"


def test_a_disconnect(nodes, asking):
    server, ended = nodes.server(), Recorder()
    server.set_disconnected_client_handler(lambda client_id, close: ended(close.code, close.reason))
    nodes.station(server, reconnect=False)
    asking.cluster.post("CP_1", {"v": 1, "kind": "disconnect", "client_id": "CP_1", "code": 1001, "reason": "so"})
    assert ended.wait() == [(1001, "so")]
    assert asking.got == []


def test_a_stored_request_goes_on_over_the_next_connection_and_a_call_does_not(nodes, asking, tmp_path):
    server = nodes.server(queues=SQLiteQueueMap(tmp_path / "queue.db"))
    station, held = nodes.station(server, reconnect=False), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    asking.ask(id="1", action="ClearCache", payload={}, once=False)
    assert held.called.wait(seconds(10))
    asking.ask(id="2", action="ClearCache", payload={}, once=True)
    eventually(lambda: server.connection("CP_1").queue_length == 2, SOON)
    server.abort("CP_1")
    held.go.set()
    reply = told(asking)
    assert (reply["id"], reply["error"]["class"]) == ("2", "ConnectionLost")
    station.stop()  # waits until its session has ended
    station.connect(server.url)
    reply = told(asking, 2)
    assert (reply["id"], reply["kind"]) == ("1", "answer")


def test_an_offline_request_is_stored_there(nodes, asking, tmp_path):
    server = nodes.server(queues=SQLiteQueueMap(tmp_path / "queue.db"))
    server.on(v16.BootNotificationRequest)(lambda client_id, request: BOOTED)
    station = nodes.station(server)
    asking.ask(offline=True, once=False, left=None)
    eventually(lambda: server.connection("CP_1").queue_length == 1, SOON)
    assert asking.got == []
    station.call(BOOT)
    assert told(asking)["kind"] == "answer"
    asking.ask(id="6", offline=True, once=False, left=None, expires=-1)
    assert told(asking, 2)["error"]["class"] == "CallTimeout"


def test_a_server_that_stops_says_that_the_connection_is_lost(nodes, asking):
    server = nodes.server()
    station, held = nodes.station(server), Held(v16.ClearCacheResponse(status="Accepted"))
    station.on(v16.ClearCacheRequest)(held)
    asking.ask(action="ClearCache", payload={})
    assert held.called.wait(seconds(10))
    asking.ask(id="6", action="ClearCache", payload={})
    eventually(lambda: server.connection("CP_1").queue_length == 2, SOON)  # so nothing of the first is left to be done
    server.stop()
    held.go.set()
    assert told(asking)["error"]["class"] == "ConnectionLost"
