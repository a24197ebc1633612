"""The central system of a recording, played against stations."""

import threading

import pytest

from ocppj import HandshakeRefused
from tests.helpers import eventually, seconds
from tests.replaying.talk import BOOT, BOOTED, Station, Talk, make_network, serve, shown, started


@pytest.fixture
def network():
    return make_network()


def test_commands_come_and_answers_are_compared(network):
    talk = started().call("csms", "Reset", {"type": "Soft"}, {"status": "Accepted"})
    talk.call("station", "Heartbeat", {}, {"currentTime": "2026-01-02T03:04:05Z"})
    talk.call("station", "StatusNotification", {}, {}).event("disconnected")
    replay, url = serve(talk, network)
    with Station(network, url, "another identity", Reset={"status": "Rejected"}) as station:
        booted = station.call("BootNotification", {**BOOT, "chargePointModel": "Two"})
        assert {**booted, "currentTime": BOOTED["currentTime"]} == BOOTED
        assert booted["currentTime"] > "2026-06"  # it is the time of now
        assert station.wait_for("Reset") == [{"type": "Soft"}]
        for _ in range(3):  # nobody counts these
            assert list(station.call("Heartbeat", {})) == ["currentTime"]
        station.call("StatusNotification", {})
        assert replay.wait(seconds(10))
        assert station.lost.wait(seconds(10))
    assert shown(replay.stop()) == [
        'CP_1: answer Reset status: recorded "Accepted", now "Rejected"',
        'CP_1: request BootNotification chargePointModel: recorded "One", now "Two"',
    ]


def test_a_command_waits_for_what_the_station_had_sent_before(network):
    talk = Talk().event("connected").call("station", "StatusNotification", {"connectorId": 1}, {})
    talk.call("csms", "ClearCache", {}, {"status": "Accepted"})
    replay, url = serve(talk, network)
    with Station(network, url, ClearCache={"status": "Accepted"}) as station:
        threading.Event().wait(0.1)
        assert station.came == []
        station.call("StatusNotification", {"connectorId": 1})
        station.wait_for("ClearCache")
        assert replay.wait(seconds(10))
    assert shown(replay.stop()) == []


def test_the_transaction_id_of_a_station_is_carried_on(network):
    def event(transaction_id, kind):
        return {"eventType": kind, "transactionInfo": {"transactionId": transaction_id}}

    talk = Talk(version="2.0.1").event("connected")
    talk.call("station", "TransactionEvent", event("old", "Started"), {})
    talk.call("csms", "RequestStopTransaction", {"transactionId": "old"}, {"status": "Accepted"})
    talk.call("station", "TransactionEvent", event("old", "Ended"), {})
    replay, url = serve(talk, network)
    with Station(network, url, subprotocol="ocpp2.0.1", RequestStopTransaction={"status": "Accepted"}) as station:
        station.call("TransactionEvent", event("new", "Started"))
        assert station.wait_for("RequestStopTransaction") == [{"transactionId": "new"}]
        station.call("TransactionEvent", event("wrong", "Ended"))
        assert replay.wait(seconds(10))
    found = 'CP_1: request TransactionEvent transactionInfo.transactionId: recorded "new", now "wrong"'
    assert shown(replay.stop()) == [found]


def test_the_second_connection_plays_the_second_conversation(network):
    first = started().call("csms", "Reset", {"type": "Soft"}, {"status": "Accepted"}).event("disconnected")
    second = Talk(connection=2, begin=first.lines[-1].time).event("connected")
    second.call("csms", "ClearCache", {}, {"status": "Accepted"})
    replay, url = serve([first, second], network)
    with Station(network, url, Reset={"status": "Accepted"}) as station:
        station.call("BootNotification", BOOT)
        assert station.lost.wait(seconds(10))
    with Station(network, url, ClearCache={"status": "Accepted"}) as station:
        station.wait_for("ClearCache")
        assert replay.wait(seconds(10))
    assert shown(replay.stop()) == []


def test_stations_are_known_by_their_identity(network):
    replay, url = serve([started(), started(client_id="CP_2", connection=2)], network)
    with pytest.raises(HandshakeRefused):
        Station(network, url, "CP_3")
    with Station(network, url, "CP_2") as station:
        station.call("BootNotification", BOOT)
        assert station.lost.wait(seconds(10))
        with pytest.raises(HandshakeRefused):  # it was played
            Station(network, url, "CP_2")
    assert not replay.wait(0)
    assert shown(replay.stop()) == ["CP_1: connection: no station came for it"]


def test_a_station_that_leaves_early(network):
    replay, url = serve(started().call("station", "StatusNotification", {}, {}), network)
    with Station(network, url) as station:
        station.call("BootNotification", BOOT)
    eventually(lambda: replay.wait(0))
    (found,) = shown(replay.stop())
    assert found.startswith("CP_1: connection: it ended early")
    assert "0 messages were not sent, and 1 did not come" in found


def test_an_additional_call_is_answered_like_the_last_of_its_action(network):
    talk = started().call("station", "Authorize", {"idTag": "A"}, {"idTagInfo": {"status": "Blocked"}})
    talk.call("station", "StopTransaction", {}, {})
    replay, url = serve(talk, network)
    with Station(network, url) as station:
        station.call("BootNotification", BOOT)
        for _ in range(2):
            assert station.call("Authorize", {"idTag": "A"}) == {"idTagInfo": {"status": "Blocked"}}
        status = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
        assert station.call("StatusNotification", status) == {}
        station.call("StopTransaction", {})
        assert replay.wait(seconds(10))
    found = "the recording has no more of these"
    assert shown(replay.stop()) == [f"CP_1: additional {each}: {found}" for each in ("Authorize", "StatusNotification")]
