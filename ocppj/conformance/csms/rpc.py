"""The frames of OCPP-J: message types, ids, actions, and frames that are no messages."""

from __future__ import annotations

import json
import uuid
from typing import Any

from ..cases import CSMS, V2, case
from ..verdicts import Doubtful, Failed
from .expect import check_error, check_ignored, check_reaction, check_refused, check_served, only_answer
from .link import Link, Reaction
from .peer import Room

_CALL = "OCPP-J 1.6 4.2.1; OCPP 2.x Part 4 4.2.1"
_ID = "OCPP-J 1.6 4.1.4, errata 3.1; OCPP 2.x Part 4 4.1.4"
_TYPE = "OCPP-J 1.6 4.1.3; OCPP 2.x Part 4 4.1.3"
_CORRUPT = "OCPP-J 1.6 4.1.2, 4.2.3; OCPP 2.x Part 4 4.2.3"
_ACTION = "OCPP-J 1.6 4.2.1, 4.2.3; OCPP 2.x Part 4 4.1.6, 4.3"
#: What says best that a frame is malformed.
_MALFORMED = ("FormationViolation", "FormatViolation", "ProtocolError", "RpcFrameworkError", "GenericError")


def _new_id() -> str:
    return str(uuid.uuid4())


def _corrupt(room: Room, text: str) -> None:
    """Send a frame that is no message. It may be answered with a CALLERROR, and must not be served."""
    link = room.link()
    reaction = link.react(text)
    check_reaction(link, reaction)
    for answer in reaction.answers:
        if answer.message_id != "-1" and link.version != "1.6":
            raise Doubtful(f'the answer has the message id {answer.message_id!r}; "-1" stands for one that is not read')
        if not _is_json(text) and text in answer.text:
            raise Failed("the CALLERROR has the corrupt text in it")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@case(CSMS, "rpc-heartbeat", section=_CALL, expects="a CALLRESULT with the same id and three elements")
def heartbeat(room: Room) -> None:
    """Send a Heartbeat."""
    link = room.link()
    check_served(link, link.call("Heartbeat"))


@case(CSMS, "rpc-json", section=_CORRUPT, expects='no answer, or a CALLERROR; in 2.x its id is "-1"')
def malformed_json(room: Room) -> None:
    """Send JSON that ends too early."""
    _corrupt(room, f'[2,"{_new_id()}","Heartbeat",{{"a":')


@case(CSMS, "rpc-json-rest", section=_CORRUPT, expects="no CALLRESULT: the text is no JSON")
def json_with_rest(room: Room) -> None:
    """Send text after the end of a CALL."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(f'[2,"{message_id}","Heartbeat",{{}}] and more')
    _check_not_served(link, reaction, message_id, may=True)


@case(CSMS, "rpc-nan", section="RFC 8259 6; OCPP-J 1.6 4.1.2; OCPP 2.x Part 4 4.1.2", expects="no CALLRESULT")
def nan(room: Room) -> None:
    """Send a CALL with NaN in it."""
    link, message_id = room.link(), _new_id()
    payload = json.dumps(link.samples.of("DataTransfer", data="mark")).replace('"mark"', "NaN")
    reaction = link.react(f'[2,"{message_id}","DataTransfer",{payload}]')
    _check_not_served(link, reaction, message_id, may=True)


def _check_not_served(link: Link, reaction: Reaction, message_id: str, *, may: bool) -> None:
    served = [each for each in reaction.answers if each.kind == "RESULT" and each.message_id == message_id]
    if served:
        raise (Doubtful if may else Failed)("it was served")
    check_reaction(link, reaction)


@case(CSMS, "rpc-object", section=_CORRUPT, expects="no answer, or a CALLERROR")
def json_object(room: Room) -> None:
    """Send an object in place of an array."""
    _corrupt(room, '{"messageTypeId": 2, "action": "Heartbeat"}')


@case(CSMS, "rpc-empty-array", section=_CORRUPT, expects="no answer, or a CALLERROR")
def empty_array(room: Room) -> None:
    """Send an empty array."""
    _corrupt(room, "[]")


@case(CSMS, "rpc-text", section=_CORRUPT, expects="no answer, or a CALLERROR", once=True)
def json_text(room: Room) -> None:
    """Send a JSON string."""
    _corrupt(room, '"Heartbeat"')


@case(CSMS, "rpc-null", section=_CORRUPT, expects="no answer, or a CALLERROR", once=True)
def json_null(room: Room) -> None:
    """Send null."""
    _corrupt(room, "null")


@case(CSMS, "rpc-spaces", section="RFC 8259 2", expects="a CALLRESULT")
def spaces(room: Room) -> None:
    """Send a CALL with line ends and spaces between its elements."""
    link, message_id = room.link(), _new_id()
    link.send_text(f' [\r\n 2 ,\t"{message_id}" ,\n "Heartbeat" , {{ }}\n]\n')
    check_served(link, link.answer_to(message_id))


@case(CSMS, "rpc-escapes", section="RFC 8259 7", expects="a CALLRESULT", once=True)
def escapes(room: Room) -> None:
    """Write a letter of the action as an escape sequence."""
    link, message_id = room.link(), _new_id()
    link.send_text(f'[2,"{message_id}","\\u0048eartbeat",{{}}]')
    check_served(link, link.answer_to(message_id))


@case(CSMS, "rpc-type-unknown", section=_TYPE, expects="it is ignored, or answered with MessageTypeNotSupported in 2.x")
def unknown_type(room: Room) -> None:
    """Send a frame of message type 9."""
    _ignored_type(room, 9)


@case(CSMS, "rpc-type-zero", section=_TYPE, expects="it is ignored", once=True)
def type_zero(room: Room) -> None:
    """Send a frame of message type 0."""
    _ignored_type(room, 0)


@case(
    CSMS,
    "rpc-type-of-2.1",
    section="OCPP-J 1.6 4.1.3; OCPP 2.0.1 Part 4 4.1.3",
    expects="it is ignored: SEND came with 2.1",
    versions=("1.6", "2.0.1"),
)
def type_of_21(room: Room) -> None:
    """Send a frame of message type 6."""
    _ignored_type(room, 6)


def _ignored_type(room: Room, number: int) -> None:
    link = room.link()
    message_id = _new_id()
    reaction = link.react(json.dumps([number, message_id, "Heartbeat", {}]))
    _check_not_served(link, reaction, message_id, may=False)
    if reaction.answers and link.version == "1.6":
        raise Doubtful(f"it was answered with {reaction}; the documents say that it is ignored")
    for answer in reaction.answers:
        check_error(link, answer, "MessageTypeNotSupported", "RpcFrameworkError")


@case(CSMS, "rpc-type-text", section=_TYPE, expects="no CALLRESULT: the message type is a number")
def type_text(room: Room) -> None:
    """Write the message type as text."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(json.dumps(["2", message_id, "Heartbeat", {}]))
    _check_not_served(link, reaction, message_id, may=True)


@case(CSMS, "rpc-id-number", section=_ID, expects="no CALLRESULT: the message id is text")
def id_number(room: Room) -> None:
    """Send a CALL with a number as its message id."""
    _odd_id(room, 12345)


@case(CSMS, "rpc-id-null", section=_ID, expects="no CALLRESULT: the message id is text")
def id_null(room: Room) -> None:
    """Send a CALL with null as its message id."""
    _odd_id(room, None)


@case(CSMS, "rpc-id-list", section=_ID, expects="no CALLRESULT: the message id is text", once=True)
def id_list(room: Room) -> None:
    """Send a CALL with an array as its message id."""
    _odd_id(room, ["a"])


def _odd_id(room: Room, message_id: Any) -> None:
    link = room.link()
    before = link.react(json.dumps([2, message_id, "Heartbeat", {}]))
    if any(each.text.lstrip(" [").startswith("3") for each in before.answers):
        raise Doubtful("it was served")
    check_reaction(link, before)


@case(CSMS, "rpc-id-too-long", section=_ID, expects="a CALLERROR: 36 characters are allowed")
def id_too_long(room: Room) -> None:
    """Send a CALL with a message id of 37 characters."""
    link, message_id = room.link(), _new_id() + "x"
    reaction = link.react(json.dumps([2, message_id, "Heartbeat", {}]))
    _check_not_served(link, reaction, message_id, may=True)


@case(CSMS, "rpc-id-longest", section=_ID, expects="a CALLRESULT with the same id")
def id_longest(room: Room) -> None:
    """Send a CALL with a message id of 36 characters."""
    link = room.link()
    check_served(link, link.call("Heartbeat", message_id=_new_id()))


@case(CSMS, "rpc-id-short", section=_ID, expects="a CALLRESULT with the same id", once=True)
def id_short(room: Room) -> None:
    """Send a CALL with a short number as text for its message id."""
    link = room.link()
    check_served(link, link.call("Heartbeat", message_id=str(uuid.uuid4().int)[:9]))


@case(CSMS, "rpc-id-odd", section=_ID, expects="a CALLRESULT with the same id, letter by letter")
def id_odd(room: Room) -> None:
    """Send a CALL with quotes, a backslash and other letters in its message id."""
    link = room.link()
    check_served(link, link.call("Heartbeat", message_id=f'ü"\\/ {uuid.uuid4().hex[:8]}'))


@case(CSMS, "rpc-three", section=_CALL, expects="a CALLERROR: a CALL has four elements")
def three_elements(room: Room) -> None:
    """Send a CALL without a payload."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(json.dumps([2, message_id, "Heartbeat"]))
    check_refused(link, reaction, message_id, *_MALFORMED, may_accept="a CALL has four elements")


@case(CSMS, "rpc-two", section=_CALL, expects="a CALLERROR: a CALL has four elements", once=True)
def two_elements(room: Room) -> None:
    """Send a CALL without an action."""
    link, message_id = room.link(), _new_id()
    check_refused(link, link.react(json.dumps([2, message_id])), message_id, *_MALFORMED)


@case(CSMS, "rpc-five", section=_CALL, expects="a CALLERROR: a CALL has four elements")
def five_elements(room: Room) -> None:
    """Send a CALL with a fifth element."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(json.dumps([2, message_id, "Heartbeat", {}, {}]))
    check_refused(link, reaction, message_id, *_MALFORMED, may_accept="a CALL has four elements")


@case(CSMS, "rpc-action-unknown", section=_ACTION, expects="CALLERROR NotImplemented")
def unknown_action(room: Room) -> None:
    """Send a CALL with an action that nobody knows."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(json.dumps([2, message_id, "MakeCoffee", {}]))
    check_refused(link, reaction, message_id, "NotImplemented")


@case(CSMS, "rpc-action-case", section=_ACTION, expects="CALLERROR NotImplemented: the case of an action counts")
def action_case(room: Room) -> None:
    """Write an action in small letters."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(json.dumps([2, message_id, "heartbeat", {}]))
    check_refused(link, reaction, message_id, "NotImplemented")


@case(CSMS, "rpc-action-suffix", section=_ACTION, expects="CALLERROR NotImplemented: an action has no such suffix")
def action_suffix(room: Room) -> None:
    """Write an action with the suffix of its message."""
    link, message_id = room.link(), _new_id()
    suffix = ".req" if link.version == "1.6" else "Request"
    reaction = link.react(json.dumps([2, message_id, f"Heartbeat{suffix}", {}]))
    check_refused(link, reaction, message_id, "NotImplemented", may_accept="an action has no suffix")


@case(CSMS, "rpc-action-number", section=_CALL, expects="a CALLERROR: an action is text")
def action_number(room: Room) -> None:
    """Send a CALL with a number as its action."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(json.dumps([2, message_id, 5, {}]))
    check_refused(link, reaction, message_id, *_MALFORMED, "NotImplemented", "TypeConstraintViolation")


@case(
    CSMS,
    "rpc-action-of-csms",
    section=_ACTION,
    expects="CALLERROR NotSupported or NotImplemented: only a central system sends a Reset",
)
def action_of_csms(room: Room) -> None:
    """Send a Reset to the central system."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(json.dumps([2, message_id, "Reset", link.samples.of("Reset")]))
    check_refused(link, reaction, message_id, "NotSupported", "NotImplemented")


@case(CSMS, "rpc-payload-list", section=_CALL, expects="a CALLERROR: a payload is an object")
def payload_list(room: Room) -> None:
    """Send a CALL with an array as its payload."""
    _odd_payload(room, [])


@case(CSMS, "rpc-payload-text", section=_CALL, expects="a CALLERROR: a payload is an object")
def payload_text(room: Room) -> None:
    """Send a CALL with text as its payload."""
    _odd_payload(room, "{}")


def _odd_payload(room: Room, payload: Any) -> None:
    link, message_id = room.link(), _new_id()
    reaction = link.react(json.dumps([2, message_id, "Heartbeat", payload]))
    check_refused(link, reaction, message_id, *_MALFORMED, "TypeConstraintViolation")


@case(CSMS, "rpc-payload-null", section="OCPP-J 1.6 4.2.1; OCPP 2.x Part 4 4.1.5", expects="a CALLRESULT in 1.6")
def payload_null(room: Room) -> None:
    """Send a Heartbeat with null as its payload."""
    link, message_id = room.link(), _new_id()
    answer = only_answer(link.react(json.dumps([2, message_id, "Heartbeat", None])), message_id)
    if answer is None:
        raise Failed("it was not answered")
    if answer.kind != "RESULT" and link.version == "1.6":
        raise Failed(f"it was answered with {answer}, and 1.6 allows null for an empty payload")
    if answer.kind != "RESULT":
        check_error(link, answer)


@case(CSMS, "rpc-error-form", section="OCPP-J 1.6 4.2.3; OCPP 2.x Part 4 4.2.3, 4.3", expects="a well-formed CALLERROR")
def error_form(room: Room) -> None:
    """Check the elements of a CALLERROR after an action of 2,000 letters."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(json.dumps([2, message_id, "x" * 2000, {}]))
    answer = only_answer(reaction, message_id)
    if answer is None:
        raise Doubtful(f"there was no answer: {reaction}")
    check_error(link, answer)


@case(CSMS, "rpc-result-unasked", section=_ID, expects="it is ignored")
def result_unasked(room: Room) -> None:
    """Send a CALLRESULT that nobody waits for."""
    link = room.link()
    check_ignored(link, link.react(json.dumps([3, _new_id(), {}])))


@case(CSMS, "rpc-error-unasked", section=_ID, expects="it is ignored")
def error_unasked(room: Room) -> None:
    """Send a CALLERROR that nobody waits for."""
    link = room.link()
    check_ignored(link, link.react(json.dumps([4, _new_id(), "GenericError", "", {}])))


@case(CSMS, "rpc-error-corrupt", section=_ID, expects="it is ignored, and not answered with a CALLERROR of its own")
def error_corrupt(room: Room) -> None:
    """Send a CALLERROR with wrong elements."""
    link = room.link()
    check_ignored(link, link.react(json.dumps([4, _new_id(), 7])))


@case(
    CSMS,
    "rpc-error-minus-one",
    section="OCPP 2.x Part 4 4.2.3",
    expects="it is ignored",
    versions=V2,
)
def error_minus_one(room: Room) -> None:
    """Send a CALLERROR with the id "-1"."""
    link = room.link()
    check_ignored(link, link.react(json.dumps([4, "-1", "RpcFrameworkError", "", {}])))


@case(CSMS, "rpc-resulterror-unasked", section="OCPP 2.1 Part 4 4.2.3", expects="it is ignored", versions=("2.1",))
def result_error_unasked(room: Room) -> None:
    """Send a CALLRESULTERROR to a CALLRESULT that was right."""
    link = room.link()
    message_id = link.send_call("Heartbeat", {})
    check_served(link, link.answer_to(message_id))
    check_ignored(link, link.react(json.dumps([5, message_id, "FormatViolation", "", {}])))


@case(CSMS, "rpc-send", section="OCPP 2.1 Part 4 4.2.4", expects="no answer", versions=("2.1",))
def send(room: Room) -> None:
    """Send a NotifyPeriodicEventStream."""
    link = room.link()
    payload = link.samples.of("NotifyPeriodicEventStream")
    _check_unanswered(link, link.react(json.dumps([6, _new_id(), "NotifyPeriodicEventStream", payload])))


@case(CSMS, "rpc-send-unknown", section="OCPP 2.1 Part 4 4.2.4", expects="no answer", versions=("2.1",))
def send_unknown(room: Room) -> None:
    """Send a SEND with an action that nobody knows."""
    link = room.link()
    _check_unanswered(link, link.react(json.dumps([6, _new_id(), "MakeCoffee", {}])))


def _check_unanswered(link: Link, reaction: Reaction) -> None:
    if reaction.answers:
        raise Failed(f"it was answered with {reaction}, which a SEND must not be")
    check_ignored(link, reaction)


@case(CSMS, "rpc-send-between", section="OCPP 2.1 Part 4 4.1.1, 4.2.4", expects="a CALLRESULT", versions=("2.1",))
def send_between(room: Room) -> None:
    """Send a SEND right after a CALL that has no answer yet."""
    link = room.link()
    message_id = link.send_call("Heartbeat", {})
    link.send(6, _new_id(), "NotifyPeriodicEventStream", link.samples.of("NotifyPeriodicEventStream"))
    check_served(link, link.answer_to(message_id))


@case(CSMS, "rpc-again", section=_ID, expects="one answer or two: a retry may have the same id")
def again(room: Room) -> None:
    """Send a CALL once more with its id, after its answer."""
    link = room.link()
    message_id = link.send_call("Heartbeat", {})
    check_served(link, link.answer_to(message_id))
    link.send_call("Heartbeat", {}, message_id)
    try:
        link.answer_to(message_id)
    except Failed as error:
        raise Doubtful(f"{error}: a station that has lost the answer tries again for nothing") from None


@case(CSMS, "rpc-again-other", section=_ID, expects="a CALLERROR, or a CALLRESULT", once=True)
def again_other(room: Room) -> None:
    """Send another CALL with an id that was used before."""
    link = room.link()
    message_id = link.send_call("Heartbeat", {})
    check_served(link, link.answer_to(message_id))
    link.send_call("DataTransfer", link.samples.of("DataTransfer", vendorId="ocppj.check"), message_id)
    try:
        answer = link.answer_to(message_id)
    except Failed as error:
        raise Doubtful(str(error)) from None
    if answer.kind == "ERROR":
        check_error(link, answer)
    elif answer.faults:
        raise Doubtful(f"the answer is not one to the second CALL: {answer.faults[0]}")


@case(
    CSMS,
    "rpc-two-at-once",
    section="OCPP-J 1.6 4.1.1; OCPP 2.x Part 4 4.1.1",
    expects="both are answered: the rule that we break binds the sender",
)
def two_at_once(room: Room) -> None:
    """Send a second CALL before the answer to the first."""
    link = room.link()
    first, second = link.send_call("Heartbeat", {}), link.send_call("Heartbeat", {})
    try:
        for message_id in (first, second):
            link.answer_to(message_id)
    except Failed as error:
        raise Doubtful(f"{error}") from None


@case(CSMS, "rpc-keys-twice", section="RFC 8259 4", expects="any answer", once=True)
def keys_twice(room: Room) -> None:
    """Write a property twice."""
    link, message_id = room.link(), _new_id()
    reaction = link.react(f'[2,"{message_id}","DataTransfer",{{"vendorId":"ocppj.check","vendorId":"ocppj.check"}}]')
    if only_answer(reaction, message_id) is None:
        raise Doubtful(f"there was no answer: {reaction}")


@case(CSMS, "rpc-deep", section=_CORRUPT, expects="any answer, and new connections are served", once=True)
def deep(room: Room) -> None:
    """Nest arrays 20,000 deep in a payload."""
    link, message_id = room.link(), _new_id()
    link.react(f'[2,"{message_id}","DataTransfer",{{"vendorId":"x","data":{"[" * 20000}{"]" * 20000}}}]')
    room.check_served()


@case(CSMS, "rpc-half-letter", section="RFC 8259 8.2", expects="any answer, and the connection goes on", once=True)
def half_letter(room: Room) -> None:
    """Send half of a surrogate pair in a text."""
    link, message_id = room.link(), _new_id()
    payload = json.dumps(link.samples.of("DataTransfer", vendorId="ocppj.check", data="mark"))
    reaction = link.react(f'[2,"{message_id}","DataTransfer",{payload}]'.replace("mark", "\\ud800"))
    if reaction.ended is not None:
        raise Doubtful(f"the connection ended: {reaction.ended}")


@case(CSMS, "rpc-big-number", section="RFC 8259 6", expects="any answer, and the connection goes on", once=True)
def big_number(room: Room) -> None:
    """Send a message type with 400 digits."""
    link = room.link()
    check_reaction(link, link.react(f'[{"2" * 400},"{_new_id()}","Heartbeat",{{}}]'))
