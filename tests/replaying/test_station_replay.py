"""The stations of a recording, played against a central system."""

import json
import threading
import time
from datetime import timedelta

import pytest

from ocppj import UsageError
from ocppj.replaying import Outcome, StationReplay, read_conversations
from ocppj.replaying.performance import Pace
from tests.helpers import eventually, seconds
from tests.replaying.talk import BOOTED, CSMS, FAST, IMPATIENT, NOW, Talk, make_network, play, shown, started

START = {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": NOW}
STOP = {"meterStop": 9, "timestamp": NOW}


@pytest.fixture
def network():
    return make_network()


@pytest.fixture
def csms(network):
    with CSMS(network) as csms:
        yield csms


def transaction(talk, transaction_id=7):
    talk.call("station", "StartTransaction", START, {"transactionId": transaction_id})
    talk.call("csms", "RemoteStopTransaction", {"transactionId": transaction_id}, {"status": "Accepted"})
    return talk.call("station", "StopTransaction", {**STOP, "transactionId": transaction_id}, {})


def test_nothing_differs(csms, network):
    csms.after("StartTransaction", [2, "live", "RemoteStopTransaction", {"transactionId": 99}])
    outcome = play(transaction(started()).event("disconnected"), csms, network)
    assert shown(outcome) == []
    assert outcome.counts == {"connections": 1, "sent": 4, "compared": 4}
    assert csms.calls("StopTransaction") == [{**STOP, "transactionId": 99}]
    assert csms.results() == [[3, {"status": "Accepted"}]]
    eventually(lambda: csms.ended == ["CP_1"])


def test_ids_are_new_and_the_text_is_kept(csms, network):
    text = '[2, "id-1","BootNotification",{"chargePointVendor":"A", "chargePointModel":"\\u00e4", "own":1.50}]'
    texts = []
    receive = csms.receive
    csms.server.set_message_handler(lambda channel, text: (texts.append(text), receive(channel, text)))
    play(Talk().event("connected").frame("station", text).frame("csms", [3, "id-1", BOOTED]), csms, network)
    new_id = json.loads(texts[0])[1]
    assert new_id != "id-1"
    assert texts == [text.replace("id-1", new_id)]


def test_a_transaction_goes_on_over_the_next_connection(csms, network):
    first = started().call("station", "StartTransaction", START, {"transactionId": 7}).event("disconnected")
    second = started(connection=2, begin=first.lines[-1].time)
    second.call("station", "StopTransaction", {**STOP, "transactionId": 7}, {})
    assert shown(play([first, second], csms, network)) == []
    assert csms.calls("StopTransaction") == [{**STOP, "transactionId": 99}]


def test_a_command_about_another_transaction_differs(csms, network):
    csms.after("StartTransaction", [2, "live", "RemoteStopTransaction", {"transactionId": 98}])
    outcome = play(transaction(started()), csms, network)
    assert shown(outcome) == ["CP_1: request RemoteStopTransaction transactionId: recorded 99, now 98"]
    assert outcome.differences[0].as_json() == {
        "kind": "request",
        "client": "CP_1",
        "connection": 1,
        "action": "RemoteStopTransaction",
        "path": "transactionId",
        "recorded": 99,
        "live": 98,
    }


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({**BOOTED, "interval": 60}, ["CP_1: answer BootNotification interval: recorded 300, now 60"]),
        ({**BOOTED, "currentTime": NOW}, []),
        ("InternalError", ['CP_1: answer BootNotification: recorded "CALLRESULT", now "CALLERROR InternalError"']),
    ],
)
def test_answers_are_compared(csms, network, answer, found):
    csms.answers["BootNotification"] = answer
    assert shown(play(started(), csms, network)) == found
    assert shown(play(started(), csms, network, ignore=["BootNotification"])) == []


def test_a_recorded_error_is_compared_by_its_code(csms, network):
    talk = Talk().event("connected").call("station", "X", {}, "NotImplemented").call("station", "Y", {}, "NotSupported")
    found = 'CP_1: answer Y: recorded "CALLERROR NotSupported", now "CALLERROR NotImplemented"'
    assert shown(play(talk, csms, network)) == [found]


def test_no_answer(csms, network):
    csms.answers["BootNotification"] = None
    pace = Pace(FAST.speed, FAST.patience, seconds(0.1))
    found = shown(play(started().call("station", "StopTransaction", STOP, {}), csms, network, pace=pace))
    assert [each.split(":")[1] for each in found] == [" no answer BootNotification"]
    assert len(csms.calls("StopTransaction")) == 1


def test_one_call_is_open_at_a_time(csms, network):
    go_on = threading.Event()
    open_calls = []

    def answer_later(channel, fields):
        open_calls.append(fields[1])
        reply = json.dumps([3, fields[1], {}])
        threading.Thread(target=lambda: (go_on.wait(seconds(10)), channel.send(reply))).start()

    csms.answers["StopTransaction"] = answer_later
    talk = Talk().event("connected").call("station", "StopTransaction", STOP, {})
    talk.call("station", "BootNotification", {}, BOOTED)
    player = threading.Thread(target=play, args=(talk, csms, network))
    player.start()
    eventually(lambda: open_calls)
    threading.Event().wait(0.1)
    assert csms.calls("BootNotification") == []
    go_on.set()
    csms.wait_for("BootNotification")
    player.join(seconds(10))


def test_missing_and_additional_messages(csms, network):
    talk = started().call("csms", "Reset", {"type": "Soft"}, {"status": "Accepted"})
    talk.call("csms", "GetConfiguration", {}, {"configurationKey": []})
    csms.after("BootNotification", [2, "a", "ClearCache", {}], [2, "b", "GetConfiguration", {}], [2, "c", "None", {}])
    assert shown(play(talk, csms, network, pace=IMPATIENT)) == [
        "CP_1: additional ClearCache: the recording has no more of these",
        "CP_1: additional None: the recording has no more of these",
        "CP_1: missing Reset: it did not come",
    ]
    assert sorted(csms.results(), key=str) == [
        [3, {"configurationKey": []}],
        [3, {"status": "Accepted"}],  # sensible: the recording has none
        [4, "NotImplemented", "the recording has no answer to this action", {}],
    ]


def test_the_order_is_compared(csms, network):
    talk = started().call("csms", "Reset", {"type": "Soft"}, {}).call("csms", "ClearCache", {}, {})
    csms.after("BootNotification", [2, "a", "ClearCache", {}], [2, "b", "Reset", {"type": "Hard"}])
    assert shown(play(talk, csms, network)) == [
        "CP_1: order Reset: it was recorded before ClearCache",
        'CP_1: request Reset type: recorded "Soft", now "Hard"',
    ]


def test_a_message_stands_for_the_one_with_the_same_payload(csms, network):
    talk = started()
    for key in "ABC":
        talk.call("csms", "GetConfiguration", {"key": [key]}, {"unknownKey": [key]})
    csms.after("BootNotification", *([2, key, "GetConfiguration", {"key": [key]}] for key in "CAB"))
    assert (
        shown(play(talk, csms, network))
        == ["CP_1: order GetConfiguration: it was recorded before GetConfiguration"] * 2
    )
    assert csms.results() == [[3, {"unknownKey": [key]}] for key in "CAB"]


def test_errors_are_answered_as_recorded(csms, network):
    talk = started().call("csms", "Reset", {"type": "Soft"}, "NotSupported").call("csms", "ClearCache", {})
    csms.after("BootNotification", [2, "a", "Reset", {"type": "Soft"}], [2, "b", "ClearCache", {}])
    assert shown(play(talk, csms, network)) == []
    assert csms.results() == [[4, "NotSupported", "", {}]]  # the other had no answer


def test_a_broken_frame_is_sent_as_it_was(csms, network):
    play(Talk().event("connected").frame("station", "[2,no JSON").boot(), csms, network)
    assert csms.came[0] == ["[2,no JSON"]


def test_frames_that_are_no_messages_are_told_of(csms, network):
    csms.after("BootNotification", lambda channel: channel.send("{]"), [3, "nobody", {}], [5, "x", "Code", "", {}])
    assert shown(play(started(), csms, network)) == [
        "CP_1: additional: an answer to 'nobody', which no open CALL has",
        "CP_1: refused: the other side has refused an answer: Code",
        'CP_1: unreadable: recorded nothing, now "{]": the frame is no message that can be read',
    ]


def test_a_connection_that_is_refused_or_ends_early(csms, network):
    csms.answers["BootNotification"] = lambda channel, fields: channel.close(1001, "bye")
    csms.server.set_check_client_handler(lambda request: request.identity != "CP_2")
    found = shown(play([started().call("station", "A", {}, {}), started(client_id="CP_2")], csms, network))
    assert found[0].startswith("CP_1: connection: it ended early (closed by the peer with 1001 (bye))")
    assert found[0].endswith("1 messages were not sent, and 0 did not come")
    assert found[1].startswith("CP_2: connection: it was not made: ")


def test_many_stations_at_once(csms, network):
    talks = [transaction(started(client_id=f"CP_{number}", connection=number), number) for number in range(30)]
    outcome = play(talks, csms, network, ignore=["RemoteStopTransaction"])
    assert shown(outcome) == []
    assert outcome.counts == {"connections": 30, "sent": 90, "compared": 90}
    assert len(csms.calls("StopTransaction")) == 30


def test_distances_are_as_recorded(csms, network):
    times = []
    for action in ("BootNotification", "A", "B"):
        csms.answers[action] = lambda channel, fields: times.append(time.monotonic()) or "NotSupported"
    first = Talk().event("connected").call("station", "A", {}, {}).call("station", "B", {}, {}, after=100)
    second = started(client_id="CP_2", begin=first.lines[-1].time + timedelta(seconds=50))
    begun = time.monotonic()
    play([first, second], csms, network)
    assert [moment - begun >= least for moment, least in zip(times[1:], (0.102, 0.155))] == [True, True]


def test_what_cannot_be_played_is_told_of(csms, network):
    talk = started().frame("station", [3, "nobody", {}]).frame("csms", [2, "x", "Reset", {}], sent=False)
    talk.call("station", "DataTransfer", {"vendorId": "A", "password": "***"}, {"status": "Accepted"})
    csms.answers["DataTransfer"] = {"status": "Accepted"}
    conversations, _ = read_conversations(talk.lines)
    assert dict(conversations[0].left_out) == {
        "answers whose CALL was not recorded": 1,
        "frames whose write had failed": 1,
    }
    outcome = play(talk, csms, network)
    assert shown(outcome) == []
    assert outcome.left_out == {"messages with *** in place of secrets, which were masked in recording": 1}


def test_a_recording_that_ends_in_the_middle(csms, network):
    talk = started().call("station", "StartTransaction", START)
    assert shown(play(talk, csms, network)) == []
    assert len(csms.calls("StartTransaction")) == 1
    talk.event("disconnected")
    assert shown(play(talk, csms, network)) == ["CP_1: answer StartTransaction: the recording has no answer"]


def test_stop_ends_a_replay_early(csms, network):
    talk = started().call("station", "StopTransaction", STOP, {}, after=100_000)
    conversations, _ = read_conversations(talk.lines)
    found = []
    make = {"make_client": lambda client_id: network.client(reconnect=False)}
    replay = StationReplay(csms.server.url, conversations, pace=FAST, outcome=Outcome(found.append), **make)
    replay.start()
    csms.wait_for("BootNotification")
    assert not replay.wait(0)
    assert replay.stop().differences == found == []
    assert replay.wait(seconds(10))


def test_the_version_is_the_recorded_one_or_another(csms, network):
    spoken = []
    csms.server.set_connected_handler(lambda channel: spoken.append(channel.subprotocol))
    play(started(version="2.0.1"), csms, network)
    play(started(version="2.0.1"), csms, network, version="2.1")
    assert spoken == ["ocpp2.0.1", "ocpp2.1"]


def test_wrong_use():
    with pytest.raises(UsageError, match="nothing to play"):
        StationReplay("ws://x", [])
    with pytest.raises(UsageError, match=r"OCPP 1\.5 cannot be played"):
        StationReplay("ws://x", read_conversations(started(version="1.5").lines)[0])
