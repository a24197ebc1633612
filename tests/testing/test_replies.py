"""Tests of what a scripted peer replies: which replies are taken, and which one comes when."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Dict, List

import pytest

from ocppj import ErrorCode, OCPPError, UnsupportedFeature, UsageError, v16, v21, v201
from ocppj.rpc.feature_registry import FeatureRegistry
from ocppj.testing import CLOSE, DROP, SILENCE, After, Raw
from ocppj.testing.replies import Scripts, check_reply

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
BEAT = v16.HeartbeatRequest()
FIRST, SECOND, THIRD = (v16.HeartbeatResponse(NOW.replace(hour=hour)) for hour in (1, 2, 3))
RESET_DONE = v16.ResetResponse("Accepted")


def scripts_of(*modules: Any) -> Scripts:
    return Scripts(FeatureRegistry(profile for module in modules for profile in module.PROFILES))


def take(scripts: Scripts, count: int, client_id: str = "CP_1") -> List[Any]:
    return [scripts.take(BEAT, "Heartbeat", client_id) for _ in range(count)]


# Whose turn it is


def test_replies_come_in_turn_and_the_last_one_stays() -> None:
    scripts = scripts_of(v16)
    scripts.set(v16.HeartbeatRequest, [FIRST, DROP, SECOND])
    assert take(scripts, 5) == [FIRST, DROP, SECOND, SECOND, SECOND]


def test_without_a_script_there_is_no_reply() -> None:
    scripts = scripts_of(v16)
    scripts.set(v16.ResetRequest, [RESET_DONE])
    assert take(scripts, 1) == [None]


def test_each_station_goes_through_a_script_from_its_beginning() -> None:
    scripts = scripts_of(v16)
    scripts.set(v16.HeartbeatRequest, [FIRST, SECOND])
    assert take(scripts, 2, "CP_1") == [FIRST, SECOND]
    assert take(scripts, 2, "CP_2") == [FIRST, SECOND]


def test_a_later_script_replaces_an_earlier_one() -> None:
    scripts = scripts_of(v16)
    scripts.set(v16.HeartbeatRequest, [FIRST, SECOND])
    take(scripts, 1)
    scripts.set(v16.HeartbeatRequest, [THIRD, SECOND])
    assert take(scripts, 2) == [THIRD, SECOND]


def test_a_script_for_a_station_comes_before_one_for_all_and_a_type_before_an_action() -> None:
    scripts = scripts_of(v16)
    scripts.set("Heartbeat", [FIRST])
    assert take(scripts, 1) == [FIRST]
    scripts.set(v16.HeartbeatRequest, [SECOND])
    assert take(scripts, 1) == [SECOND]
    scripts.set("Heartbeat", [THIRD], "CP_1")
    assert take(scripts, 1) == [THIRD]
    assert take(scripts, 1, "CP_2") == [SECOND]
    scripts.set(v16.HeartbeatRequest, [SILENCE], "CP_1")
    assert take(scripts, 1) == [SILENCE]


def test_the_list_of_replies_is_copied() -> None:
    scripts, replies = scripts_of(v16), [FIRST]
    scripts.set(v16.HeartbeatRequest, replies)
    replies[0] = SECOND
    assert take(scripts, 1) == [FIRST]


def test_an_action_means_that_of_every_version() -> None:
    scripts = scripts_of(v16, v201)
    answers = [FIRST, v201.HeartbeatResponse(NOW)]
    scripts.set("Heartbeat", answers)
    with pytest.raises(UsageError, match=r"v21\.HeartbeatResponse does not answer Heartbeat"):
        scripts.set("Heartbeat", [v21.HeartbeatResponse(NOW)])
    assert take(scripts, 2) == answers


# Bad scripts


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (v16.HeartbeatResponse, "HeartbeatResponse"),
        (v201.HeartbeatRequest, "HeartbeatRequest"),
        ("Hartbeat", "is 'Heartbeat' meant"),
        ("HeartbeatRequest", "is 'Heartbeat' meant"),
    ],
    ids=["a response", "another version", "a misspelt action", "the name of a type"],
)
def test_there_is_no_such_message(what: Any, text: str) -> None:
    with pytest.raises(UnsupportedFeature, match=text):
        scripts_of(v16).set(what, [FIRST])


@pytest.mark.parametrize("what", [None, 7, BEAT, int], ids=["None", "a number", "an object", "another type"])
def test_a_script_is_for_a_type_or_an_action(what: Any) -> None:
    with pytest.raises(UsageError, match="a type of requests"):
        scripts_of(v16).set(what, [FIRST])


def test_a_script_has_replies() -> None:
    with pytest.raises(UsageError, match="at least one reply"):
        scripts_of(v16).set(v16.HeartbeatRequest, [])


BAD: Dict[str, Any] = {
    "the response to something else": (RESET_DONE, "v16.ResetResponse does not answer Heartbeat.*HeartbeatResponse"),
    "one of another version": (v201.HeartbeatResponse(NOW), "v201.HeartbeatResponse does not answer"),
    "a request": (BEAT, "v16.HeartbeatRequest does not answer"),
    "a class": (v16.HeartbeatResponse, "HeartbeatResponse is a class"),
    "the class of a reply": (CLOSE, "CLOSE is a class"),
    "a text": ("no", "'no' is none of these"),
    "None": (None, "None is none of these"),
    "an exception": (ValueError("no"), "ValueError"),
    "a function of nothing": (lambda: FIRST, r"f\(request\)"),
    "a function of two": (lambda client_id, request: FIRST, r"f\(request\)"),
    "something that is no reply, later": (After(1, 7), "7 is none of these"),
    "a wrong response, later": (After(1, After(1, RESET_DONE)), "does not answer"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_reply_is_refused_where_it_is_written(name: str) -> None:
    reply, text = BAD[name]
    with pytest.raises(UsageError, match=text):
        scripts_of(v16).set(v16.HeartbeatRequest, [FIRST, reply])


def test_a_coroutine_is_no_reply() -> None:
    async def reply(request: Any) -> Any:
        return FIRST

    with pytest.raises(UsageError, match="async"):
        scripts_of(v16).set(v16.HeartbeatRequest, [reply])


@pytest.mark.parametrize(
    "reply",
    [FIRST, OCPPError(ErrorCode.GENERIC_ERROR), DROP, SILENCE, CLOSE(), Raw(""), After(0, DROP), lambda request: FIRST],
    ids=["response", "error", "DROP", "SILENCE", "CLOSE", "Raw", "After", "function"],
)
def test_all_kinds_of_replies(reply: Any) -> None:
    scripts = scripts_of(v16)
    scripts.set(v16.HeartbeatRequest, [reply])
    assert take(scripts, 1) == [reply]


def test_a_function_returns_no_function() -> None:
    with pytest.raises(UsageError, match="the function of the script returned"):
        check_reply(lambda request: FIRST, "Heartbeat", [v16.HeartbeatResponse], from_function=True)


def test_what_is_never_answered_has_no_response() -> None:
    scripts = scripts_of(v21)
    scripts.set(v21.NotifyPeriodicEventStream, [DROP])
    with pytest.raises(UsageError, match="it is never answered"):
        scripts.set(v21.NotifyPeriodicEventStream, [v21.HeartbeatResponse(NOW)])


# The replies themselves


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan"), "3", None, True])
def test_after_takes_a_number_of_seconds(seconds: Any) -> None:
    with pytest.raises(UsageError, match="After takes a number of seconds"):
        After(seconds, DROP)


@pytest.mark.parametrize("code", [0, 1005, 1006, 5000])
def test_close_takes_a_code_that_can_be_sent(code: int) -> None:
    with pytest.raises(UsageError):
        CLOSE(code)


def test_raw_takes_a_text() -> None:
    with pytest.raises(UsageError, match="text of a frame"):
        Raw(["3"])  # type: ignore[arg-type]


def test_raw_has_the_id_of_the_call() -> None:
    assert Raw('[3,"{id}",{}]').fill("17") == '[3,"17",{}]'
    assert Raw('[3,"somebody-else",{"a":{"id":1}}]').fill("17") == '[3,"somebody-else",{"a":{"id":1}}]'


def test_an_id_is_written_as_in_json() -> None:
    message_id = 'a"b\\c\n'
    assert json.loads(Raw('[3,"{id}",{}]').fill(message_id)) == [3, message_id, {}]


def test_the_names_of_replies_are_in_the_text_of_errors() -> None:
    assert (repr(DROP), repr(SILENCE), repr(CLOSE(1011))) == ("DROP", "SILENCE", "CLOSE(code=1011, reason='')")
