"""The format of what nodes say to each other."""

import json

import pytest

from ocppj.cluster.messages import (
    CallMessage,
    Cancel,
    Disconnect,
    Ended,
    Failed,
    ForeignMessage,
    SendMessage,
    read_message,
    write_message,
)

CALL = CallMessage("1", "CP_1", "1.6", "Reset", {"type": "Soft"}, 9.5, True, False, True, 60.0)
MESSAGES = [
    CALL,
    CallMessage("1", "CP_1", "1.6", "Reset", {}),
    SendMessage("2", "CP_1", "2.1", "NotifyPeriodicEventStream", {"id": 1}, 30.0, True),
    Cancel("1", "CP_1"),
    Disconnect("CP_1", 1001, "maintenance"),
    Ended("1", "CP_1", {"status": "Accepted"}, {"valid": True}),
    Ended("1", "CP_1", {}),
    Failed("1", "CP_1", {"class": "CallTimeout"}),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_json_and_comes_back(message):
    assert read_message(json.loads(json.dumps(write_message(message)))) == message


def test_the_format_is_as_documented():
    assert write_message(CALL) == {
        "v": 1,
        "kind": "call",
        "id": "1",
        "client_id": "CP_1",
        "version": "1.6",
        "action": "Reset",
        "payload": {"type": "Soft"},
        "left": 9.5,
        "signed": True,
        "once": False,
        "offline": True,
        "expires": 60.0,
    }


def test_what_a_later_release_adds_is_ignored():
    assert read_message({**write_message(CALL), "priority": 7}) == CALL


def test_what_may_be_left_out():
    short = {"v": 1, "kind": "call", "id": "1", "client_id": "CP_1", "version": "1.6", "action": "Reset", "payload": {}}
    assert read_message(short) == MESSAGES[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": "1"},
        {"v": True},
        {"v": None},
        {"kind": "eval"},
        {"kind": ["call"]},
        {"kind": None},
        {"id": ""},
        {"id": 5},
        {"client_id": None},
        {"version": 1.6},
        {"action": {}},
        {"payload": []},
        {"payload": None},
        {"left": "9"},
        {"left": True},
        {"left": float("nan")},
        {"left": float("inf")},
        {"signed": 1},
        {"once": None},
        {"offline": "yes"},
        {"expires": []},
    ],
    ids=str,
)
def test_what_is_refused(changes):
    with pytest.raises(ForeignMessage):
        read_message({**write_message(CALL), **changes})


@pytest.mark.parametrize("field", ["v", "kind", "id", "client_id", "version", "action", "payload"])
def test_what_must_be_there(field):
    message = write_message(CALL)
    del message[field]
    with pytest.raises(ForeignMessage):
        read_message(message)


@pytest.mark.parametrize("message", [None, [], "call", 5, {}, {"v": 1}], ids=str)
def test_what_is_no_message(message):
    with pytest.raises(ForeignMessage):
        read_message(message)


def test_an_error_shows_no_payload():
    with pytest.raises(ForeignMessage) as caught:
        read_message({**write_message(CALL), "payload": "secret" * 100})
    assert "secret" not in str(caught.value)
    with pytest.raises(ForeignMessage) as caught:
        read_message({**write_message(CALL), "kind": "k" * 1000})
    assert len(str(caught.value)) < 100
