"""What counts as a difference between a recorded payload and one of now, and how a recording becomes conversations."""

import json
from dataclasses import replace

import pytest

from ocppj.recording import read_any
from ocppj.replaying import Rules, read_conversations
from ocppj.replaying.message import make_frame
from ocppj.replaying.rules import Carried
from tests.replaying.talk import BEGIN, BOOT, Talk, started


def faults(recorded, live, ignore=(), action="X"):
    return [path for path, _, _ in Rules(ignore).compare(action, recorded, live, Carried()).faults]


@pytest.mark.parametrize(
    ("recorded", "live", "paths"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": 1}, {}, ["a"]),
        ({}, {"a": 1}, ["a"]),
        ({"a": None}, {}, ["a"]),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, ["a.b[1].c"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a[1]"]),
        ({"a": [1]}, {"a": {"b": 1}}, ["a"]),
        ([], {}, [""]),
        ({"at": "2026-01-02T03:04:05Z"}, {"at": "2027-01-02T03:04:05.123+02:00"}, []),
        ({"at": "2026-01-02T03:04:05Z"}, {"at": "soon"}, ["at"]),
        ({"password": "***"}, {"password": "hunter2"}, []),
        ({"requestId": 1}, {"requestId": 2}, []),
        ({"transactionId": 1}, {"transactionId": 2}, []),
        ({"transactionId": 1}, {}, ["transactionId"]),
        ({"meterValue": [{"sampledValue": [{"value": "1", "unit": "Wh"}]}]},
         {"meterValue": [{"sampledValue": [{"value": "2", "unit": "W"}]}]}, ["meterValue[0].sampledValue[0].unit"]),
        ({"meterStop": 1}, {"meterStop": 2}, []),
        ({"value": "1"}, {"value": "2"}, ["value"]),
    ],
)  # fmt: skip
def test_payloads_are_compared(recorded, live, paths):
    assert faults(recorded, live) == paths


@pytest.mark.parametrize(
    ("ignore", "paths"),
    [
        ([], ["a.status", "b.status"]),
        (["status"], []),
        (["a.status"], ["b.status"]),
        (["a"], ["b.status"]),
        (["X.b.status", "Y.a.status"], ["a.status"]),
        (["X"], []),
        (["Y"], ["a.status", "b.status"]),
        (["tus"], ["a.status", "b.status"]),
    ],
)
def test_fields_are_ignored(ignore, paths):
    recorded, live = ({"a": {"status": each}, "b": {"status": each}} for each in "12")
    assert faults(recorded, live, ignore) == paths


def test_ids_are_put_in_where_they_were():
    carried = Carried()
    carried.learn([("transactionId", 1, 2), ("requestId", "a", "b")])
    payload = {"transactionId": 1, "x": [{"transactionId": "1", "requestId": "a"}], "id": 1}
    assert carried.put_in(payload) == {"transactionId": 2, "x": [{"transactionId": "1", "requestId": "b"}], "id": 1}
    plain = {"a": [1, {"transactionId": 7}]}
    assert carried.put_in(plain) is plain


def test_a_connection_is_a_conversation():
    first, second = started().event("disconnected"), started(client_id="CP_2", connection=2)
    again = started(connection=1, begin=first.lines[-1].time)
    lines = sorted(first.lines + second.lines + again.lines, key=lambda line: line.time)
    found, left_out = read_conversations(lines)
    assert [(each.client_id, each.end is None, len(each.steps)) for each in found] == [
        ("CP_1", False, 1),
        ("CP_2", True, 1),
        ("CP_1", True, 1),
    ]
    assert (found[0].steps[0].at, found[0].last, found[0].end) == (1, 2, 3)
    assert left_out == {}


def test_a_write_that_failed_after_the_end_makes_no_connection():
    talk = started().event("disconnected")
    late = replace(talk.lines[-2], sender="csms", text='[3,"x",{}]', sent=False, time=talk.lines[-1].time)
    (found,), _ = read_conversations([*talk.lines, late])
    assert found.left_out == {"frames whose write had failed": 1}


def test_frames_without_a_connection_belong_together():
    talk = Talk(connection=0).boot().call("csms", "Reset", {}, {})
    (found,), _ = read_conversations(talk.lines)
    assert [step.action for step in found.steps] == ["BootNotification", "Reset"]
    assert found.begin == talk.lines[0].time
    assert [step.action for step in found.of("csms")] == ["Reset"]


@pytest.mark.parametrize(("action", "version"), [("Heartbeat", "1.6"), ("TransactionEvent", "2.0.1")])
def test_the_version_is_guessed_if_it_is_not_recorded(action, version):
    (found,), _ = read_conversations(Talk(version="").call("station", action, {}).lines)
    assert found.version == version


def test_what_is_left_out_is_counted():
    talk = Talk().event("rebooted").boot().event("refused").event("lost", reason="3 lines")
    found, left_out = read_conversations(talk.frame("", [2, "x", "Own", {}]).lines, name="other")
    assert left_out == {
        "events that are not known": 1,
        "refused connections": 1,
        "lines that were lost in recording": 3,
    }
    assert found[0].begin == talk.lines[1].time
    assert found[0].left_out == {"frames of which the log does not say the sender": 1}


def test_half_of_a_pair_of_surrogates_is_sent_by_its_escape_sequence_or_left_out():
    fields = [2, "1", "DataTransfer", {"vendorId": "\ud800", "data": "\u00e4"}]
    assert json.loads(make_frame(fields).encode("utf-8")) == fields
    (found,), _ = read_conversations(started().frame("station", '[2,"x","Own",{"a":"\ud800"}]').lines)
    assert len(found.steps) == 1
    assert found.left_out == {"frames with characters that cannot be sent": 1}


def test_a_station_without_a_name_gets_one():
    (found,), _ = read_conversations(Talk(client_id="").call("station", "BootNotification", BOOT).lines, name="CP_7")
    assert (found.client_id, found.begin > BEGIN) == ("CP_7", True)


def test_frames_without_a_time_are_sent_at_once(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        'CP_1 received [2,"1","Heartbeat",{}]\n'
        '2026-01-02 03:04:05 CP_1 received [2,"2","Heartbeat",{}]\n'
        '2026-01-02 03:04:06 CP_1 received [2,"3","Heartbeat",{}]\n'
        'CP_1 received [2,"4","Heartbeat",{}]\n'
    )
    (found,), _ = read_conversations(read_any(log))
    assert [step.at for step in found.steps] == [0, 0, 1, 1]
    assert found.begin.year == 2026


def test_a_refused_answer_is_left_out():
    (found,), _ = read_conversations(started(version="2.1").frame("station", [5, "x", "Code", "", {}]).lines)
    assert (len(found.steps), found.left_out) == (1, {"CALLRESULTERRORs": 1})
