"""All frames that the station has sent in the whole run. These cases are the last ones."""

from __future__ import annotations

import json
import re
from typing import Callable, List, Pattern, Sequence

from ...testing.seen import Seen
from ..cases import STATION, Body, case
from ..verdicts import Doubtful, Failed, NotApplicable
from .room import Room

__all__: List[str] = []

#: What `FrameJudge` says of the order of frames, and of errors. All else is about a frame alone.
_ID = re.compile("message id was used before")
_SECOND = re.compile("a second CALL, while")
_ANSWER = re.compile("^an answer to|^a second answer|^an error about")
_ERROR = re.compile("has no error code|the (code|description|details) of a|has 5 elements")
_OTHERS = (_ID, _SECOND, _ANSWER, _ERROR)
#: What real stations do, and what does little harm: see the mode "standard" of the library.
_FORGIVEN = re.compile("date-time|multipleOf|multiple of|is null")


def _case(id: str, title: str, section: str, expects: str) -> Callable[[Body], Body]:
    return case(STATION, f"own-{id}", title, section=section, expects=expects, seconds=15)


def _faults(room: Room, pattern: Pattern[str]) -> List["tuple[Seen, str]"]:
    """Return the frames with such a fault. What answers a wrong frame of ours does not count."""
    frames = [seen for seen in room.link.sent_texts() if seen.is_request or not _is_excused(room, seen)]
    return [(seen, fault) for seen in frames for fault in seen.faults if pattern.search(fault)]


def _is_excused(room: Room, seen: Seen) -> bool:
    try:
        frame = json.loads(seen.text)
    except (ValueError, RecursionError):
        return False
    return isinstance(frame, list) and len(frame) > 1 and json.dumps(frame[1]) in room.session.excused


def _report(room: Room, found: Sequence["tuple[Seen, str]"], kind: type = Failed) -> None:
    if not found:
        return
    room.show([seen for seen, _ in found[:20]])
    kinds = list(dict.fromkeys(f"{seen.action or seen.kind}: {fault}" for seen, fault in found))
    more = f" and {len(kinds) - 3} more" if len(kinds) > 3 else ""
    raise kind(f"{len(found)} frames: {'; '.join(kinds[:3])}{more}")


@_case(
    "messages",
    "all messages of the station keep their schemas",
    "1.6 edition 2, sections 6 and 7; 2.x Part 2, messages; the JSON schemas",
    "no CALL and no CALLRESULT breaks its schema, or a rule of the text",
)
def messages(room: Room) -> None:
    every = _faults(room, re.compile(""))
    found = [(seen, fault) for seen, fault in every if not any(each.search(fault) for each in _OTHERS)]
    _report(room, [each for each in found if not _FORGIVEN.search(each[1])])
    _report(room, found, Doubtful)


@_case(
    "ids",
    "each CALL of the station has an id of its own",
    "OCPP-J 1.6, section 4.1.4 and errata 3.1; 2.x Part 4, section 4.1.4",
    "no id comes twice, except when a message is sent again",
)
def ids(room: Room) -> None:
    if not any(seen.is_request for seen in room.link.sent_texts()):
        raise NotApplicable("the station has sent no CALL")
    _report(room, _faults(room, _ID))


@_case(
    "one-call",
    "the station has one CALL open at a time",
    "OCPP-J 1.6, section 4.1.1; 2.x Part 4, section 4.1.1",
    "no CALL comes while another one has no answer yet",
)
def one_call(room: Room) -> None:
    _report(room, _faults(room, _SECOND))


@_case(
    "answers",
    "each answer of the station belongs to a CALL",
    "OCPP-J 1.6, section 4.1.4; 2.x Part 4, section 4.1.4",
    "no answer to nothing, and no second answer, comes",
)
def answers(room: Room) -> None:
    found = _faults(room, _ANSWER)
    _report(room, [each for each in found if "of an earlier connection" not in each[1]])
    _report(room, found, Doubtful)


@_case(
    "errors",
    "all errors of the station have the right form",
    "OCPP-J 1.6, section 4.2.3 and errata 5; 2.x Part 4, sections 4.2.3 and 4.3",
    "five elements, a code of the version, a description of at most 255 characters, details that are an object",
)
def errors(room: Room) -> None:
    _report(room, _faults(room, _ERROR))
