"""``FrameJudge``: which rules the frames of a connection break."""

import json

import pytest

from ocppj import Client, Endpoint, ErrorCode, Feature, OCPPError, Profile, Server, Signer, UsageError, v16, v201
from ocppj.rpc.dialect import V16
from ocppj.testing.examples import example
from ocppj.testing.rules import FrameJudge
from tests.fixtures import BEAT_WIRE, BOOT, BOOT_WIRE, VERSIONS
from tests.helpers import Recorder
from tests.keys import key_and_certificate

ALL = list(VERSIONS)
V2 = ["2.0.1", "2.1"]
OTHER = {"in": "out", "out": "in"}
NOON = "2026-01-01T12:00:00Z"
BEAT = [2, "1", "Heartbeat", {}]


def judged(judge, direction, *elements, at=None):
    """Return what ``judge`` says of a frame with these elements, or of the text."""
    text = elements[0] if isinstance(elements[0], str) else json.dumps(list(elements))
    return judge.judge(direction, text, at)


def faults(judge, direction, *elements, at=None):
    return judged(judge, direction, *elements, at=at).faults


@pytest.fixture(params=["in", "out"])
def sender(request):
    """The direction of what the test sends: each rule is for both sides."""
    return request.param


@pytest.fixture
def receiver(sender):
    return OTHER[sender]


# Frames that are right


@pytest.mark.parametrize("version", ALL)
def test_every_message_of_a_version(version, sender, receiver):
    judge, module = FrameJudge(version), VERSIONS[version]
    number = 0
    for profile in module.PROFILES:
        for feature in profile:
            number += 1
            request = example(feature.request_type)
            kind = 2 if feature.response_type else 6
            call = judged(judge, sender, kind, str(number), feature.name, request.to_wire())
            assert (call.kind, call.action, call.message, call.faults) == (
                "CALL" if kind == 2 else "SEND",
                feature.name,
                request,
                [],
            )
            if feature.response_type:
                response = example(feature.response_type)
                answer = judged(judge, receiver, 3, str(number), response.to_wire())
                assert (answer.kind, answer.action, answer.message, answer.faults) == (
                    "RESULT",
                    feature.name,
                    response,
                    [],
                )
    assert number > 30
    assert not judge.open_calls("in")
    assert not judge.open_calls("out")


def test_the_elements_of_a_call():
    frame = judged(FrameJudge(), "in", 2, "7", "BootNotification", BOOT_WIRE)
    assert (frame.kind, frame.action, frame.message_id) == ("CALL", "BootNotification", "7")
    assert (frame.payload, frame.message) == (BOOT_WIRE, BOOT)


@pytest.mark.parametrize("version", ALL)
def test_every_error_code_of_a_version(version, sender, receiver):
    judge = FrameJudge(version)
    dialect = VERSIONS[version].DIALECT
    for number, code in enumerate(sorted(set(dialect.spellings.values()))):
        judged(judge, sender, 2, str(number), "Heartbeat", {})
        frame = judged(judge, receiver, 4, str(number), code, "d" * 255, {"more": 1})
        assert (frame.kind, frame.action, frame.faults) == ("ERROR", "Heartbeat", [])
        assert (frame.error_code, frame.error_description, frame.error_details) == (code, "d" * 255, {"more": 1})


def test_calls_of_both_sides_cross():
    judge = FrameJudge()
    assert not faults(judge, "in", *BEAT)
    assert not faults(judge, "out", 2, "1", "ClearCache", {})  # the same id from the other side is another one
    assert not faults(judge, "in", 3, "1", {"status": "Accepted"})
    assert not faults(judge, "out", 3, "1", BEAT_WIRE)


def test_a_result_error_is_about_the_answer_to_a_call_of_its_sender(sender, receiver):
    judge = FrameJudge("2.1")
    judged(judge, sender, *BEAT)
    judged(judge, receiver, 3, "1", {"currentTime": "soon"})
    frame = judged(judge, sender, 5, "1", "TypeConstraintViolation", "", {})
    assert (frame.kind, frame.action, frame.faults) == ("RESULTERROR", "Heartbeat", [])


@pytest.mark.parametrize("version", V2)
def test_a_signed_message_is_read_as_the_message_inside_it(version):
    endpoint = Endpoint(VERSIONS[version].PROFILES, signer=Signer(*key_and_certificate("ES256")))
    call = endpoint.create_call(VERSIONS[version].ResetRequest(type="Immediate"), message_id="1", signed=True)
    frame = FrameJudge(version).judge("out", call.to_json())
    assert (frame.action, frame.payload, frame.faults) == ("Reset", {"type": "Immediate"}, [])


# Frames that cannot be read


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("not json", "the frame is no valid JSON at character 0"),
        ("", "the frame is no valid JSON at character 0"),
        ('[2,"1","Heartbeat",{}', "the frame is no valid JSON at character 21"),
        ("{}", "the frame is a JSON object, not an array"),
        ("[" * 50 + "]" * 50, "the JSON is nested more than 32 deep"),
    ],
)
def test_no_message(text, fault):
    frame = FrameJudge().judge("in", text)
    assert (frame.kind, frame.message_id, frame.faults) == ("TEXT", None, [fault])


@pytest.mark.parametrize(
    ("elements", "message_id", "fault"),
    [
        ([], None, "GenericError: the first element is no message type"),
        (["2", "1", "Heartbeat", {}], "1", "GenericError: the first element is no message type"),
        ([True, "1", "Heartbeat", {}], "1", "GenericError: the first element is no message type"),
        ([2.0, "1", "Heartbeat", {}], "1", "GenericError: the first element is no message type"),
        ([2], None, "GenericError: the message id is no string of 1 to 36 characters"),
        ([2, 1, "Heartbeat", {}], None, "GenericError: the message id is no string of 1 to 36 characters"),
        ([2, "", "Heartbeat", {}], "", "GenericError: the message id is no string of 1 to 36 characters"),
        ([2, "x" * 37, "Heartbeat", {}], "x" * 37, "GenericError: the message id is no string of 1 to 36 characters"),
        ([7, "1", {}], "1", "GenericError: OCPP 1.6 has no message type 7"),
    ],
)
def test_no_head(elements, message_id, fault):
    frame = FrameJudge().judge("in", json.dumps(elements))
    assert (frame.kind, frame.message_id, frame.faults) == ("TEXT", message_id, [fault])


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_a_send_and_a_result_error_are_new_in_2_1(version, sender):
    judge = FrameJudge(version)
    code = judge.judge(sender, '[9,"1"]').faults[0].partition(":")[0]
    send = judged(judge, sender, 6, "1", "NotifyPeriodicEventStream", {})
    assert (send.kind, send.action) == ("SEND", "NotifyPeriodicEventStream")
    assert send.faults == [f"{code}: OCPP {version} has no message type 6"]
    error = judged(judge, sender, 5, "1", "GenericError", "", {})
    assert (error.kind, error.faults) == ("RESULTERROR", [f"{code}: OCPP {version} has no message type 5"])


# Calls that break the rules


@pytest.mark.parametrize(
    ("version", "elements", "fault"),
    [
        ("1.6", ["Heartbit", {}], "NotImplemented: OCPP 1.6 has no action 'Heartbit'"),
        ("1.6", ["Heartbeat"], "FormationViolation: a CALL has 4 elements, not 3"),
        ("1.6", ["Heartbeat", {}, 1], "FormationViolation: a CALL has 4 elements, not 5"),
        ("1.6", [7, {}], "FormationViolation: the action of a CALL is a string"),
        ("1.6", ["Heartbeat", []], "FormationViolation: the payload must be an object, not array"),
        ("1.6", ["Heartbeat", {"at": 1}], "FormationViolation: property 'at' is not allowed"),
        (
            "1.6",
            ["BootNotification", {"chargePointVendor": "V"}],
            "OccurenceConstraintViolation: required property 'chargePointModel' is missing",
        ),
        (
            "1.6",
            ["MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": NOON, "sampledValue": [{"value": 7}]}]}],
            "TypeConstraintViolation: meterValue[0].sampledValue[0].value must be string, not integer",
        ),
        (
            "1.6",
            ["MeterValues", {"connectorId": 1, "meterValue": [{"timestamp": NOON}]}],
            "OccurenceConstraintViolation: required property 'sampledValue' is missing in meterValue[0]",
        ),
        (
            "2.0.1",
            ["Reset", {"type": "Soft"}],
            "PropertyConstraintViolation: type must be one of Immediate, OnIdle, not 'Soft'",
        ),
        ("2.0.1", ["Heartbeat", None], "the payload is null; an empty one is {}"),
        ("2.1", ["NotifyPeriodicEventStream", {}], "FormatViolation: NotifyPeriodicEventStream travels in a SEND"),
    ],
)
def test_a_call_that_is_wrong_in_itself(version, elements, fault, sender):
    frame = judged(FrameJudge(version), sender, 2, "1", *elements)
    assert (frame.kind, frame.message_id) == ("CALL", "1")
    assert frame.faults == [fault]


def test_a_null_payload_is_not_forbidden_in_1_6():
    assert not faults(FrameJudge(), "in", 2, "1", "Heartbeat", None)


def test_nothing_is_forgiven():
    """The endpoint of a scripted peer may forgive what the mode "standard" forgives."""
    data = {**BOOT_WIRE, "iccid": None}
    endpoint = Endpoint(v16.PROFILES)
    assert endpoint.parse_message([2, "1", "BootNotification", data], {}) is not None
    assert faults(FrameJudge(), "in", 2, "1", "BootNotification", data) == [
        "TypeConstraintViolation: iccid must be string, not null"
    ]


def test_a_second_call_while_one_has_no_answer(sender, receiver):
    judge = FrameJudge()
    assert not faults(judge, sender, *BEAT)
    assert faults(judge, sender, 2, "2", "Heartbeat", {}) == [
        "a second CALL, while the CALL Heartbeat '1' has no answer"
    ]
    assert [call.message_id for call in judge.open_calls(sender)] == ["1", "2"]
    judged(judge, receiver, 3, "1", BEAT_WIRE)
    judged(judge, receiver, 4, "2", "GenericError", "", {})
    assert not judge.open_calls(sender)
    assert not faults(judge, sender, 2, "3", "Heartbeat", {})


def test_an_action_is_cut_and_harmless_in_texts():
    judge = FrameJudge()
    judged(judge, "in", 2, "1", "A\x1b" + "a" * 300, {})
    assert faults(judge, "in", 2, "2", "Heartbeat", {}) == [
        "a second CALL, while the CALL A\\x1b" + "a" * 34 + " '1' has no answer"
    ]


def test_the_sender_of_a_call_that_has_timed_out_may_go_on(sender, receiver):
    judge = FrameJudge(call_timeout=5)
    judged(judge, sender, *BEAT, at=100.0)
    assert not faults(judge, sender, 2, "2", "Heartbeat", {}, at=105.0)
    assert faults(judge, sender, 2, "3", "Heartbeat", {}, at=109.9) == [
        "a second CALL, while the CALL Heartbeat '2' has no answer"
    ]
    assert not faults(judge, receiver, 3, "1", BEAT_WIRE, at=110.0)  # a late answer is none to nothing


def test_the_sender_of_a_call_that_is_left_open_on_purpose_may_go_on():
    judge = FrameJudge()
    judge.excuse("1")
    judged(judge, "in", *BEAT)
    assert not judge.open_calls("in")
    assert not faults(judge, "in", 2, "2", "Heartbeat", {})
    judge.excuse("2")
    assert not faults(judge, "in", 2, "3", "Heartbeat", {})
    judged(judge, "out", *BEAT)
    assert [call.message_id for call in judge.open_calls("out")] == ["1"]  # that of the other side is another one


def test_a_send_needs_to_wait_for_nothing(sender):
    judge, stream = FrameJudge("2.1"), example(VERSIONS["2.1"].NotifyPeriodicEventStream).to_wire()
    judged(judge, sender, *BEAT)
    assert not faults(judge, sender, 6, "2", "NotifyPeriodicEventStream", stream)
    assert not faults(judge, sender, 6, "3", "NotifyPeriodicEventStream", stream)
    assert [call.message_id for call in judge.open_calls(sender)] == ["1"]


# Message ids


def test_a_message_id_is_used_twice(sender, receiver):
    judge = FrameJudge()
    judged(judge, sender, *BEAT)
    judged(judge, receiver, 3, "1", BEAT_WIRE)
    assert faults(judge, sender, *BEAT) == ["the message id was used before, by the CALL Heartbeat '1'"]


def test_a_retry_may_keep_its_id(sender, receiver):
    judge = FrameJudge()
    judged(judge, sender, 2, "1", "DataTransfer", {"vendorId": "V", "data": "x"})
    assert not faults(judge, sender, '[2, "1", "DataTransfer", {"data": "x", "vendorId": "V"}]')
    judged(judge, receiver, 4, "1", "InternalError", "", {})
    assert not faults(judge, sender, 2, "1", "DataTransfer", {"vendorId": "V", "data": "x"})
    assert faults(judge, sender, 2, "1", "DataTransfer", {"vendorId": "V", "data": "y"}) == [
        "the message id was used before, by the CALL DataTransfer '1'"
    ]


def test_sends_and_calls_share_their_ids(sender):
    judge, stream = FrameJudge("2.1"), example(VERSIONS["2.1"].NotifyPeriodicEventStream).to_wire()
    send = (6, "1", "NotifyPeriodicEventStream", stream)
    assert not faults(judge, sender, *send)
    fault = "the message id was used before, by the SEND NotifyPeriodicEventStream '1'"
    assert faults(judge, sender, *send) == [fault]
    assert faults(judge, sender, *BEAT) == [fault]


def test_ids_are_used_up_over_all_connections(sender, receiver):
    judge = FrameJudge()
    judged(judge, sender, *BEAT)
    judged(judge, receiver, 3, "1", BEAT_WIRE)
    newer = judge.next_connection()
    assert faults(newer, sender, *BEAT) == ["the message id was used before, by the CALL Heartbeat '1'"]


def test_a_new_connection_begins_without_open_calls(sender, receiver):
    judge = FrameJudge()
    judged(judge, sender, *BEAT)
    judged(judge, sender, "garbage")
    newer = judge.next_connection()
    assert not newer.open_calls(sender)
    assert faults(newer, receiver, 3, "1", BEAT_WIRE) == [
        "an answer to the CALL Heartbeat '1' of an earlier connection"
    ]
    assert faults(newer, receiver, 4, "-1", "GenericError", "", {}) == [
        "an answer to nothing: no CALL has the message id '-1'"
    ]
    assert not faults(newer, sender, *BEAT)  # it is sent again
    assert not faults(newer, receiver, 3, "1", BEAT_WIRE)
    assert not faults(judge, receiver, 3, "1", BEAT_WIRE)  # a late frame of the earlier connection


def test_a_new_connection_may_have_another_version():
    judge = FrameJudge("1.6").next_connection("2.0.1")
    assert judge.version == "2.0.1"
    assert judge.next_connection().version == "2.0.1"
    assert faults(judge, "in", 2, "1", "BootNotification", BOOT_WIRE)
    judged(judge, "out", 4, "1", "FormatViolation", "", {})
    data = example(v201.BootNotificationRequest).to_wire()
    assert not faults(judge, "in", 2, "2", "BootNotification", data)


# Answers that break the rules


@pytest.mark.parametrize(
    ("version", "elements", "fault"),
    [
        (
            "1.6",
            [{}],
            "OccurenceConstraintViolation: required property 'currentTime' is missing",
        ),
        ("1.6", [BEAT_WIRE, 1], "FormationViolation: a CALLRESULT has 3 elements, not 4"),
        ("2.1", ["soon"], "FormatViolation: the payload must be an object, not string"),
    ],
)
def test_a_result_that_is_wrong_in_itself(version, elements, fault, sender, receiver):
    judge = FrameJudge(version)
    judged(judge, sender, *BEAT)
    frame = judged(judge, receiver, 3, "1", *elements)
    assert (frame.kind, frame.action, frame.message, frame.faults) == ("RESULT", "Heartbeat", None, [fault])
    assert not judge.open_calls(sender)


@pytest.mark.parametrize("version", V2)
def test_a_null_result(version, sender, receiver):
    judge = FrameJudge(version)
    judged(judge, sender, 2, "1", "LogStatusNotification", {"status": "Idle"})
    assert faults(judge, receiver, 3, "1", None) == ["the payload is null; an empty one is {}"]


def test_the_answer_to_an_unknown_action(sender, receiver):
    judge = FrameJudge()
    judged(judge, sender, 2, "1", "Heartbit", {})
    assert not faults(judge, receiver, 4, "1", "NotImplemented", "", {})
    judged(judge, sender, 2, "2", "Heartbit", {})
    assert not faults(judge, receiver, 3, "2", {"any": 1})  # what it must have is not known
    judged(judge, sender, 2, "3", "Heartbit", {})
    assert faults(judge, receiver, 3, "3", []) == ["a CALLRESULT has 3 elements, the third of them an object"]


@pytest.mark.parametrize(
    ("elements", "faults_"),
    [
        (["InternalError", ""], ["a CALLERROR has 5 elements, not 4"]),
        (["InternalError", "", {}, 1], ["a CALLERROR has 5 elements, not 6"]),
        ([7, "", {}], ["the code of a CALLERROR is a string"]),
        (["Broken", "", {}], ["OCPP 1.6 has no error code 'Broken'"]),
        (["OccurrenceConstraintViolation", "", {}], ["OCPP 1.6 has no error code 'OccurrenceConstraintViolation'"]),
        (["InternalError", None, {}], ["the description of a CALLERROR is a string"]),
        (["InternalError", "d" * 256, {}], ["the description of a CALLERROR has at most 255 characters, not 256"]),
        (["InternalError", "", None], ["the details of a CALLERROR are an object"]),
        (["InternalError", "", ""], ["the details of a CALLERROR are an object"]),
        ([7, 7, 7], [f"the {name} of a CALLERROR {what}" for name, what in
                     [("code", "is a string"), ("description", "is a string"), ("details", "are an object")]]),
    ],
)  # fmt: skip
def test_an_error_that_is_wrong_in_itself(elements, faults_, sender, receiver):
    judge = FrameJudge()
    judged(judge, sender, *BEAT)
    assert faults(judge, receiver, 4, "1", *elements) == faults_


def test_an_answer_to_nothing(sender):
    fault = "an answer to nothing: no CALL has the message id '9'"
    assert faults(FrameJudge(), sender, 4, "9", "GenericError", "", {}) == [fault]
    frame = judged(FrameJudge(), sender, 3, "9", {})
    assert (frame.kind, frame.action, frame.faults) == ("RESULT", None, [fault])


def test_a_second_answer(sender, receiver):
    judge = FrameJudge()
    judged(judge, sender, *BEAT)
    judged(judge, receiver, 3, "1", BEAT_WIRE)
    for elements in ([3, "1", BEAT_WIRE], [4, "1", "GenericError", "", {}]):
        assert faults(judge, receiver, *elements) == ["a second answer to the CALL Heartbeat '1'"]


def test_one_cannot_answer_oneself(sender):
    judge = FrameJudge()
    judged(judge, sender, *BEAT)
    assert faults(judge, sender, 3, "1", BEAT_WIRE) == ["an answer to nothing: no CALL has the message id '1'"]
    assert judge.open_calls(sender)


def test_an_answer_to_a_send(sender, receiver):
    judge, stream = FrameJudge("2.1"), example(VERSIONS["2.1"].NotifyPeriodicEventStream).to_wire()
    judged(judge, sender, 6, "1", "NotifyPeriodicEventStream", stream)
    for elements in ([3, "1", {}], [4, "1", "GenericError", "", {}]):
        assert faults(judge, receiver, *elements) == [
            "an answer to the SEND NotifyPeriodicEventStream '1'; a SEND has none"
        ]


def test_a_result_error_about_nothing(sender, receiver):
    judge, error = FrameJudge("2.1"), ("GenericError", "", {})
    fault = "an error about nothing: no CALLRESULT has the message id {!r}"
    assert faults(judge, sender, 5, "1", *error) == [fault.format("1")]
    judged(judge, sender, *BEAT)
    assert faults(judge, sender, 5, "1", *error) == [fault.format("1")]  # it has no answer yet
    assert faults(judge, receiver, 5, "1", *error) == [fault.format("1")]  # that is not the asker
    judged(judge, receiver, 4, "1", *error)
    assert faults(judge, sender, 5, "1", *error) == [fault.format("1")]  # it was answered with an error


# Answers to garbage


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("garbage", ["not json", "[]", '[2,"1","Heartbeat",{}', '[2,7,"Heartbeat",{}]', '[9,"1",{}]'])
def test_garbage_may_be_answered_once(version, garbage, sender, receiver):
    judge, error = FrameJudge(version), ("GenericError", "", {})
    judged(judge, sender, garbage)
    assert not faults(judge, receiver, 4, "-1", *error)
    assert faults(judge, receiver, 4, "-1", *error) == ["an answer to nothing: no CALL has the message id '-1'"]
    assert faults(judge, sender, 4, "-1", *error)  # it is no answer of the side that sent the garbage


@pytest.mark.parametrize(
    ("garbage", "message_id"),
    [('[2,"a","Heartbeat",{}', "a"), ('[2,7,"Heartbeat",{}]', "7"), ('[9,"a",{}]', "a"), ("['2','a']", "a")],
)
def test_garbage_may_be_answered_with_the_id_that_is_seen_in_it(garbage, message_id, sender, receiver):
    judge, error = FrameJudge(), ("GenericError", "", {})
    judged(judge, sender, garbage)
    assert not faults(judge, receiver, 4, message_id, *error)
    for again in (message_id, "-1"):
        assert faults(judge, receiver, 4, again, *error)


def test_garbage_has_no_result(sender, receiver):
    judge = FrameJudge()
    judged(judge, sender, '[2,"1","Heartbeat",{}')
    assert faults(judge, receiver, 3, "1", BEAT_WIRE) == ["an answer to nothing: no CALL has the message id '1'"]


def test_what_an_unreadable_frame_is_answered_with_is_judged_too(sender, receiver):
    judge = FrameJudge()
    judged(judge, sender, "not json")
    assert faults(judge, receiver, 4, "-1", "Broken", "", {}) == ["OCPP 1.6 has no error code 'Broken'"]


# Frames that were not sent


def test_what_is_only_read_does_not_count(sender, receiver):
    judge = FrameJudge("2.1")
    for text in ("garbage", json.dumps(BEAT)):
        assert judge.read(sender, text).kind in ("TEXT", "CALL")
    assert not judge.open_calls(sender)
    assert faults(judge, receiver, 4, "-1", "GenericError", "", {})
    assert faults(judge, receiver, 3, "1", BEAT_WIRE)
    judged(judge, sender, 2, "2", "Heartbeat", {})
    frame = judge.read(receiver, json.dumps([3, "2", BEAT_WIRE]))
    assert (frame.kind, frame.action, frame.faults) == ("RESULT", "Heartbeat", [])
    assert judge.read(sender, json.dumps(BEAT)).faults == []
    error = judge.read(receiver, '[4,"2","Broken","",{}]')
    assert (error.action, error.faults) == ("Heartbeat", ["OCPP 2.1 has no error code 'Broken'"])
    assert [call.message_id for call in judge.open_calls(sender)] == ["2"]
    assert not faults(judge, receiver, 3, "2", BEAT_WIRE)
    refusal = judge.read(sender, '[5,"2","GenericError","",{}]')
    assert (refusal.kind, refusal.action, refusal.faults) == ("RESULTERROR", "Heartbeat", [])


# Options


def test_versions():
    assert [FrameJudge(version).version for version in ALL] == ALL
    with pytest.raises(UsageError, match=r"there is no OCPP version '2.2'; the versions are 1.6, 2.0.1, 2.1"):
        FrameJudge("2.2")
    with pytest.raises(UsageError, match="there is no OCPP version '1'"):
        FrameJudge().next_connection("1")


def test_profiles_of_the_program():
    profile = Profile("Mine", V16, Feature("Mine", v16.HeartbeatRequest, v16.HeartbeatResponse))
    judge = FrameJudge(profiles=[profile]).next_connection()
    assert not faults(judge, "in", 2, "1", "Mine", {})
    assert not faults(judge, "out", 3, "1", BEAT_WIRE)
    assert faults(judge, "in", 2, "2", "Heartbeat", {}) == ["NotSupported: Heartbeat is not supported here"]


def test_the_settings_of_the_process_do_not_matter(monkeypatch):
    from ocppj.settings import Validation, process

    monkeypatch.setattr(process, "validation", Validation("off", "off"))
    monkeypatch.setattr(process, "logger", Recorder())
    assert faults(FrameJudge(), "in", 2, "1", "BootNotification", {})


# The frames of a real connection


@pytest.mark.parametrize("version", ALL)
def test_a_real_connection_breaks_no_rule(version):
    module, judge = VERSIONS[version], FrameJudge(version)
    found = []

    def observe(frame):
        found.extend(judge.judge(frame.direction, frame.text).faults)

    server = Server(profiles=module.PROFILES)
    server.on(module.HeartbeatRequest)(lambda client_id, request: example(module.HeartbeatResponse))
    server.add_observer(observe)
    client = Client("CP_1", profiles=module.PROFILES)
    with server.listen(port=0, host="127.0.0.1"), client.connect(server.url):
        for _ in range(20):
            client.call(module.HeartbeatRequest())
        with pytest.raises(OCPPError) as refused:
            server.call("CP_1", example(module.ResetRequest))
    assert refused.value.code is ErrorCode.NOT_SUPPORTED
    assert not found
    assert judge.judge("in", "[]").faults
