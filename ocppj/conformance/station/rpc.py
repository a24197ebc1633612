"""Frames of the RPC framework that we send: wrong ones, odd ones, and answers to nothing."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, Callable, Dict, List, Optional, Sequence

from ...testing.replies import After, Raw
from ...testing.seen import Seen
from ..cases import ALL, STATION, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .room import PAYLOAD_CODES, UNSUPPORTED, Room, fields, told

__all__: List[str] = []

_RESULT = re.compile(r"\s*\[\s*3\s*,")  # also one whose id is no text
_J16, _P4 = "OCPP-J 1.6, section", "2.x Part 4, section"
_CODES = f"{_J16} 4.2.3; {_P4} 4.3"


def _case(
    id: str,
    title: str,
    section: str,
    expects: str,
    versions: Sequence[str] = ALL,
    seconds: float = 25,
) -> Callable[[Body], Body]:
    return case(STATION, f"rpc-{id}", title, section=section, expects=expects, versions=versions, seconds=seconds)


# CALLs that are answered


@_case("answer", "a CALL that asks for a setting", f"{_J16} 4.2.2; {_P4} 4.2.2", "a CALLRESULT with the id of the CALL")
def answer(room: Room) -> None:
    found = room.ask(*room.harmless())
    if found.kind == "ERROR":
        raise Failed(f"the answer is the error {told(found)}")
    if found.faults:
        raise Failed(f"the answer breaks its schema: {'; '.join(found.faults)}")


@_case("spaces", "a CALL with spaces and line breaks", f"{_J16} 4.1.2; {_P4} 4.1.2", "the CALL is answered")
def spaces(room: Room) -> None:
    message_id = str(uuid.uuid4())
    room.send_text(json.dumps([2, message_id, *room.harmless()], indent=2).replace("\n", "\r\n\t"))
    _check_answered(room, message_id, "a CALL with spaces and line breaks")


@_case("escapes", "a CALL with escaped characters", f"{_J16} 4.1.2; {_P4} 4.1.2", "the CALL is answered")
def escapes(room: Room) -> None:
    message_id, (action, payload) = str(uuid.uuid4()), room.harmless()
    name = "".join(f"\\u{ord(character):04x}" for character in action)
    room.send_text(f'[2,"{message_id}","{name}",{json.dumps(payload)}]')
    found = _check_answered(room, message_id, "a CALL with escaped characters")
    if found.kind == "ERROR":
        raise Failed(f"the answer is the error {told(found)}")


@_case("unicode", "text beyond ASCII in a payload", f"{_J16} 4.1.2; {_P4} 4.1.2", "the CALL is answered")
def unicode_text(room: Room) -> None:
    message_id = str(uuid.uuid4())
    payload = {"vendorId": "com.example.ocppj", "messageId": "check", "data": "Zürich € 😀 \x7f"}
    room.send_text(json.dumps([2, message_id, "DataTransfer", payload], ensure_ascii=False))
    _check_answered(room, message_id, "a CALL with text beyond ASCII")


@_case("id-short", "an id of one character", f"{_J16} 4.1.4; {_P4} 4.1.4", "the CALL is answered with that id")
def id_short(room: Room) -> None:
    room.send_call(*room.harmless(), message_id="7")
    _check_answered(room, "7", "a CALL with the id '7'")


@_case("id-36", "an id of 36 characters", f"{_J16} 4.1.4; {_P4} 4.1.4", "the CALL is answered with that id")
def id_36(room: Room) -> None:
    message_id = f"{uuid.uuid4().hex}-:/."
    room.send_call(*room.harmless(), message_id=message_id)
    _check_answered(room, message_id, "a CALL with an id of 36 characters")


@_case(
    "large",
    "a CALL of 10,000 characters",
    f"{_J16} 4.2.1; {_P4} 4.2.1",
    "the CALL is answered, with a result or with an error",
)
def large(room: Room) -> None:
    payload = {"vendorId": "com.example.ocppj", "messageId": "check", "data": "x" * 10_000}
    found = room.answer_to(room.send_call("DataTransfer", payload))
    room.check_alive("a CALL of 10,000 characters")
    if found is None:
        raise Doubtful("there is no answer")


@_case(
    "crossing",
    "a CALL while the station waits for an answer",
    f"{_J16} 4.1.1; {_P4} 4.1.1",
    "the station answers it, and does not wait for the answer to its own CALL first",
)
def crossing(room: Room) -> None:
    held = _hold_heartbeat(room, 4 * room.settings.quiet)
    since = room.now()
    found = room.answer_to(room.send_call(*room.harmless()), 3 * room.settings.quiet, since)
    room.wait(lambda: _heartbeats_answered(room, held.number))
    if found is None:
        raise Failed("there is no answer while the station waits for one")


@_case(
    "one-call",
    "a second message while the first has no answer yet",
    f"{_J16} 4.1.1; {_P4} 4.1.1",
    "the station sends its next CALL when the one before is answered",
)
def one_call(room: Room) -> None:
    held = _hold_heartbeat(room, 3 * room.settings.quiet)
    more: Dict[str, Any] = room.by_version(
        {"connectorId": room.settings.connector}, {"evse": {"id": room.settings.connector, "connectorId": 1}}
    )
    room.send_call("TriggerMessage", {"requestedMessage": "StatusNotification", **more})
    status = room.find_call("StatusNotification", held.number)
    if status is None:
        raise NotApplicable("TriggerMessage for StatusNotification brought no message")
    answers = _heartbeats_answered(room, held.number)
    if not answers or answers[0].number > status.number:
        raise Failed("StatusNotification came before the Heartbeat was answered")


def _heartbeats_answered(room: Room, since: int) -> List[Seen]:
    return [each for each in room.entries(since) if each.direction == "out" and each.action == "Heartbeat"]


def _hold_heartbeat(room: Room, seconds: float) -> Seen:
    """Have the station send a Heartbeat that is answered late. Return it."""
    room.reply("Heartbeat", lambda request: After(seconds, _heartbeat(room)))
    found = room.trigger("Heartbeat")
    assert found is not None
    return found


def _heartbeat(room: Room) -> Any:
    from ...testing.examples import example
    from ...testing.scripted import profiles_of

    dialect = profiles_of(room.version)[0].dialect
    return example(dialect.load_type("HeartbeatResponse"))


@_case(
    "duplicate",
    "the same CALL twice, with the same id",
    f"{_J16} 4.1.4; {_P4} 4.1.4; errata",
    "it is answered at least once, and the station goes on",
)
def duplicate(room: Room) -> None:
    message_id = str(uuid.uuid4())
    room.session.excused.add(json.dumps(message_id))
    room.send_call(*room.harmless(), message_id=message_id)
    room.send_call(*room.harmless(), message_id=message_id)
    _check_answered(room, message_id, "a CALL that was sent twice")
    room.check_alive("a CALL that was sent twice")


# CALLs that are wrong


@_case("unknown-action", "an action that no version has", _CODES, "the error NotImplemented")
def unknown_action(room: Room) -> None:
    _check_error(room.ask("CheckUnknown"), ["NotImplemented"], strict=True)


@_case(
    "action-case",
    "an action in small letters",
    f"{_J16} 4.2.1; {_P4} 4.2.1",
    "the error NotImplemented: actions are case-sensitive",
)
def action_case(room: Room) -> None:
    action, payload = room.harmless()
    _check_error(room.ask(action.lower(), payload), ["NotImplemented"], also=["NotSupported"], result=Failed)


@_case(
    "own-action",
    "an action that only a station sends",
    _CODES,
    "the error NotSupported or NotImplemented",
)
def own_action(room: Room) -> None:
    _check_error(room.ask("Heartbeat"), UNSUPPORTED)


@_case(
    "missing",
    "a CALL without a property that is needed",
    _CODES,
    "the error OccurenceConstraintViolation (1.6) or OccurrenceConstraintViolation (2.x)",
)
def missing(room: Room) -> None:
    action = room.by_version("ChangeAvailability", "GetVariables")
    code = room.by_version("OccurenceConstraintViolation", "OccurrenceConstraintViolation")
    payload: Dict[str, Any] = room.by_version({"connectorId": 99}, {})
    also = [*PAYLOAD_CODES, "ProtocolError"]
    _check_error(room.ask(action, payload), [code], also=also, result=Failed)


@_case("type", "a property of a wrong type", _CODES, "the error TypeConstraintViolation")
def wrong_type(room: Room) -> None:
    if room.is_16:
        found = room.ask("ChangeAvailability", {"connectorId": "ninety-nine", "type": "Operative"})
    else:
        found = room.ask("GetVariables", {"getVariableData": "all"})
    _check_error(found, ["TypeConstraintViolation"], also=PAYLOAD_CODES, result=Failed)


@_case("enum", "a value that the enumeration does not have", _CODES, "the error PropertyConstraintViolation")
def wrong_enum(room: Room) -> None:
    if room.is_16:
        found = room.ask("ChangeAvailability", {"connectorId": 99, "type": "Perhaps"})
    else:
        found = room.ask("TriggerMessage", {"requestedMessage": "Perhaps"})
        if found.kind == "RESULT" and fields(found).get("status") in ("NotImplemented", "Rejected"):
            return
    _check_error(
        found, ["PropertyConstraintViolation"], also=[*PAYLOAD_CODES, "TypeConstraintViolation"], result=Failed
    )


@_case("length", "a text that is too long", _CODES, "the error PropertyConstraintViolation")
def too_long(room: Room) -> None:
    if room.is_16:
        found = room.ask("GetConfiguration", {"key": ["x" * 60]})
    else:
        data = {"component": {"name": "x" * 60}, "variable": {"name": "HeartbeatInterval"}}
        found = room.ask("GetVariables", {"getVariableData": [data]})
    _check_error(found, ["PropertyConstraintViolation"], also=PAYLOAD_CODES)


@_case(
    "extra",
    "a property that the message does not have",
    _CODES,
    "the error FormationViolation (1.6) or FormatViolation (2.x)",
)
def extra_property(room: Room) -> None:
    action, payload = room.harmless()
    code = room.by_version("FormationViolation", "FormatViolation")
    _check_error(room.ask(action, {**payload, "checkUnknown": 1}), [code], also=PAYLOAD_CODES)


@_case(
    "payload-list",
    "a payload that is a list",
    _CODES,
    "the error FormationViolation (1.6) or FormatViolation (2.x)",
)
def payload_list(room: Room) -> None:
    code = room.by_version("FormationViolation", "FormatViolation")
    also = [*PAYLOAD_CODES, "RpcFrameworkError", "GenericError"]
    _odd_frame(room, lambda id: [2, id, room.harmless()[0], ["a"]], [code], also)


@_case(
    "payload-null",
    "a payload that is null",
    f"{_J16} 4.2.1; {_P4} 4.1.5",
    "an answer: null may stand for an empty payload in 1.6",
)
def payload_null(room: Room) -> None:
    message_id = str(uuid.uuid4())
    action = room.by_version("GetLocalListVersion", "GetLocalListVersion")
    room.send_text(json.dumps([2, message_id, action, None]))
    found = room.answer_to(message_id, room.settings.brief)
    room.check_alive("a payload that is null")
    if found is None:
        raise Doubtful("there is no answer")


@_case(
    "three-elements",
    "a CALL without a payload",
    f"{_J16} 4.2.1; {_P4} 4.2.1",
    "an error about the form, or no answer",
)
def three_elements(room: Room) -> None:
    _odd_frame(room, lambda id: [2, id, room.harmless()[0]], _FRAME_CODES, PAYLOAD_CODES, may_be_silent=True)


@_case(
    "five-elements",
    "a CALL with a fifth element",
    f"{_J16} 4.2.1; {_P4} 4.2.1",
    "an error about the form, or no answer",
)
def five_elements(room: Room) -> None:
    _odd_frame(room, lambda id: [2, id, *room.harmless(), 5], _FRAME_CODES, PAYLOAD_CODES, may_be_silent=True)


@_case(
    "action-number",
    "an action that is a number",
    f"{_J16} 4.2.1; {_P4} 4.2.1",
    "an error, or no answer",
)
def action_number(room: Room) -> None:
    _odd_frame(room, lambda id: [2, id, 5, {}], _FRAME_CODES, [*PAYLOAD_CODES, *UNSUPPORTED], may_be_silent=True)


_FRAME_CODES = (
    "FormationViolation", "FormatViolation", "ProtocolError", "RpcFrameworkError", "GenericError",
)  # fmt: skip


def _odd_frame(
    room: Room,
    make: Callable[[str], List[Any]],
    codes: Sequence[str],
    also: Sequence[str] = (),
    may_be_silent: bool = False,
) -> None:
    """Send a frame of a wrong form, and judge the answer."""
    message_id, since = str(uuid.uuid4()), room.now()
    room.send_text(json.dumps(make(message_id)))
    found = room.wait(lambda: _error_about(room, message_id, since), room.settings.brief)
    room.check_alive("such a frame")
    if found is None:
        if may_be_silent or room.is_16:
            return
        raise Doubtful("there is no answer")
    _check_error(found, codes, also=also)


def _error_about(room: Room, message_id: str, since: int) -> Optional[Seen]:
    """Return the answer to a frame: with its id, or an error with the id -1."""
    for seen in room.entries(since):
        if seen.direction == "in" and seen.is_answer:
            if seen.message_id == message_id or (seen.kind == "ERROR" and seen.message_id == "-1"):
                return seen
    return None


def _check_answered(room: Room, message_id: str, what: str) -> Seen:
    found = room.answer_to(message_id)
    if found is None:
        raise Failed(f"there is no answer to {what}")
    return found


def _check_error(
    found: Seen,
    codes: Sequence[str],
    also: Sequence[str] = (),
    result: type = Doubtful,
    strict: bool = False,
) -> None:
    """Judge the answer to a wrong CALL.

    Args:
        found: The answer.
        codes: The codes that are right.
        also: Those that say it less well: they are doubtful.
        result: What to raise for a CALLRESULT.
        strict: Whether any other code fails.
    """
    expected = " or ".join(codes)
    if found.kind != "ERROR":
        raise result(f"it is answered with a result, not with the error {expected}")
    if found.error_code in codes:
        return
    text = f"the error is {told(found)}, not {expected}"
    raise Failed(text) if strict or (found.error_code not in also and also) else Doubtful(text)


# Frames that are no message


def _garbage(room: Room, texts: Sequence[str], what: str, may_answer: bool = True) -> None:
    """Send texts, and see that the station goes on. In 2.x it may answer each with an error of the id -1."""
    since = room.now()
    for text in texts:
        room.send_text(text)
    room.pause(room.settings.quiet)
    ended = room.await_end(since, 0.01)
    if ended is not None:
        room.await_return(since)
    room.check_alive(what)
    results = [each for each in room.entries(since) if each.direction == "in" and _RESULT.match(each.text)]
    if len(results) > 1:  # one is that of check_alive
        raise Doubtful("it is answered with a result")
    if ended is not None:
        raise Doubtful(f"the station has closed the connection, {ended.close}")
    errors = [each for each in room.entries(since) if each.direction == "in" and each.kind == "ERROR"]
    if errors and not may_answer:
        raise Failed(f"it is answered with the error {told(errors[0])}")


@_case(
    "not-json",
    "text that is no JSON",
    f"{_J16} 4.1.2; {_P4} 4.2.3",
    "1.6: the station goes on; 2.x: and answers RpcFrameworkError with the id -1",
)
def not_json(room: Room) -> None:
    since = room.now()
    _garbage(room, ['[2,"1","Heartbeat",{]', "hello"], "text that is no JSON")
    if room.is_16:
        return
    errors = [each for each in room.entries(since) if each.direction == "in" and each.kind == "ERROR"]
    if not errors:
        raise Doubtful("there is no error with the id -1")
    if errors[0].message_id not in ("-1", "1"):
        raise Doubtful(f"the error has the id {errors[0].message_id!r}, not -1")


@_case(
    "not-a-list",
    "JSON that is no list, and an empty list",
    f"{_J16} 4.2; {_P4} 4.2",
    "the station goes on",
)
def not_a_list(room: Room) -> None:
    _garbage(room, ["{}", "[]", "2", '"2"', "null", "true"], "JSON that is no message")


@_case("deep", "a list in a list, 2,000 deep", f"{_J16} 4.2; {_P4} 4.2", "the station goes on")
def deep(room: Room) -> None:
    _garbage(room, ["[" * 2000 + "]" * 2000], "JSON of great depth")


@_case(
    "type-unknown",
    "a message type that there is not",
    f"{_J16} 4.1.3; {_P4} 4.1.3 and 4.4",
    "1.6: it is ignored; 2.x: it is ignored, or answered MessageTypeNotSupported",
)
def type_unknown(room: Room) -> None:
    since = room.now()
    room.send_text(json.dumps([9, "type-9", *room.harmless()]))
    found = room.wait(lambda: _error_about(room, "type-9", since), 2 * room.settings.quiet)
    room.check_alive("an unknown message type")
    if found is None:
        return
    if found.kind != "ERROR":
        raise Failed("it is answered with a result")
    if room.is_16 or found.error_code != "MessageTypeNotSupported":
        raise Doubtful(f"it is answered with the error {told(found)}")


@_case(
    "type-text",
    'a message type that is the text "2"',
    f"{_J16} 4.1.3; {_P4} 4.1.3",
    "the station goes on, and does not take it for a CALL",
)
def type_text(room: Room) -> None:
    _garbage(room, [json.dumps(["2", str(uuid.uuid4()), *room.harmless()])], "a message type that is text")


@_case(
    "id-number",
    "an id that is a number",
    f"{_J16} 4.1.4; {_P4} 4.1.4",
    "the station goes on, and does not take it for a CALL",
)
def id_number(room: Room) -> None:
    room.session.excused.add("17")
    _garbage(room, [json.dumps([2, 17, *room.harmless()])], "an id that is a number")


@_case(
    "id-empty",
    "an empty id, and one of 37 characters",
    f"{_J16} 4.1.4; {_P4} 4.1.4",
    "the station goes on; it may answer with an error",
)
def id_empty(room: Room) -> None:
    wrong = ("", "x" * 37)
    room.session.excused.update(map(json.dumps, wrong))
    texts = [json.dumps([2, message_id, *room.harmless()]) for message_id in wrong]
    _garbage(room, texts, "an id of a wrong length")


@_case(
    "send",
    "a SEND, which is never answered",
    "2.1 Part 4, section 4.2.4",
    "there is no answer",
    ("2.1",),
)
def send(room: Room) -> None:
    payload = {"id": 1, "pending": 0, "basetime": "2026-01-01T00:00:00Z", "data": [{"t": 0, "v": "1"}]}
    _garbage(room, [json.dumps([6, str(uuid.uuid4()), "NotifyPeriodicEventStream", payload])], "a SEND", False)


# Answers to nothing, and wrong answers


@_case(
    "result-to-nothing",
    "a CALLRESULT to nothing",
    f"{_J16} 4.1.4; {_P4} 4.1.4",
    "it is ignored: an answer is never answered",
)
def result_to_nothing(room: Room) -> None:
    _garbage(room, [json.dumps([3, str(uuid.uuid4()), {"status": "Accepted"}])], "a CALLRESULT to nothing", False)


@_case(
    "error-to-nothing",
    "a CALLERROR to nothing",
    f"{_J16} 4.1.4; {_P4} 4.1.4",
    "it is ignored: an answer is never answered",
)
def error_to_nothing(room: Room) -> None:
    texts = [json.dumps([4, each, "InternalError", "", {}]) for each in (str(uuid.uuid4()), "-1")]
    _garbage(room, texts, "a CALLERROR to nothing", False)


def _answer_heartbeat(room: Room, text: str, what: str) -> None:
    """Answer a Heartbeat in a wrong way, and see that the station goes on."""
    room.reply("Heartbeat", Raw(text))
    since = room.now()
    room.trigger("Heartbeat")
    room.pause(room.settings.quiet)
    room.usual("Heartbeat")
    ended = room.await_end(since, 0.01)
    if ended is not None:
        room.await_return(since)
    room.check_alive(what)
    _check_goes_on(room, what)
    if ended is not None:
        raise Doubtful(f"the station has closed the connection, {ended.close}")


def _check_goes_on(room: Room, what: str) -> None:
    """See that the station sends messages yet."""
    try:
        room.trigger("Heartbeat")
    except Failed as failed:
        raise Failed(f"the station sends nothing more after {what}: {failed}") from failed


@_case(
    "error-answer",
    "an error in answer to a Heartbeat",
    f"{_J16} 4.2.3; {_P4} 4.2.3",
    "the station goes on, and sends further messages",
)
def error_answer(room: Room) -> None:
    _answer_heartbeat(room, '[4,"{id}","InternalError","no time",{}]', "an error in answer to a Heartbeat")


@_case(
    "error-code-unknown",
    "an error with a code that there is not",
    f"{_J16} 4.2.3; {_P4} 4.3",
    "the station goes on, and sends further messages",
)
def error_code_unknown(room: Room) -> None:
    text = json.dumps([4, "{id}", "CheckError", "ü€" * 100, {"a": [1, {"b": None}]}], ensure_ascii=False)
    _answer_heartbeat(room, text, "an error with an unknown code")


@_case(
    "error-short",
    "an error without description and details",
    f"{_J16} 4.2.3; {_P4} 4.2.3",
    "the station goes on, and sends further messages, at the latest after its timeout",
    seconds=60,
)
def error_short(room: Room) -> None:
    _broken_answer(room, '[4,"{id}","InternalError"]', "an error without description")


@_case(
    "result-wrong",
    "an answer that breaks its schema",
    f"{_J16} 4.2.2; {_P4} 4.2.2",
    "the station goes on, and sends further messages",
)
def result_wrong(room: Room) -> None:
    _answer_heartbeat(room, '[3,"{id}",{"time":"now"}]', "an answer that breaks its schema")


def _broken_answer(room: Room, text: str, what: str) -> None:
    """Answer a Heartbeat with a frame that is no answer, and then with a right one."""
    room.reply("Heartbeat", Raw(text))
    held = room.trigger("Heartbeat")
    assert held is not None
    room.pause(room.settings.quiet)
    room.usual("Heartbeat")
    room.send_text(json.dumps([3, held.message_id, _heartbeat(room).to_wire()]))
    room.check_alive(what)
    _check_goes_on(room, what)


@_case(
    "result-other-id",
    "an answer with another id, before the right one",
    f"{_J16} 4.1.4; {_P4} 4.1.4",
    "the station takes the right one, and goes on",
)
def result_other_id(room: Room) -> None:
    text = json.dumps([3, str(uuid.uuid4()), _heartbeat(room).to_wire()])
    _broken_answer(room, text.replace("{id}", ""), "an answer with another id")


@_case(
    "result-twice",
    "the same answer twice",
    f"{_J16} 4.1.4; {_P4} 4.1.4",
    "the second one is ignored",
)
def result_twice(room: Room) -> None:
    found = room.trigger("Heartbeat")
    assert found is not None
    since = room.now()
    room.send_text(json.dumps([3, found.message_id, _heartbeat(room).to_wire()]))
    room.check_alive("an answer that came twice")
    if any(each.direction == "in" and each.kind == "ERROR" for each in room.entries(since)):
        raise Failed("it is answered with an error")
