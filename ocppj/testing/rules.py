"""`FrameJudge`: which rules the frames of a connection break.

It needs no connection: the frames may come from a log file. The parser and the schemas are those of the library, in the
mode "strict". This file adds the rules about several frames, and those about errors, which the library reads leniently
in every mode.
"""

from __future__ import annotations

import logging
import sys
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ..errors import ErrorCode, MessageError, UsageError, ValidationError, printable
from ..payloads.model import Payload
from ..recent import Recent
from ..rpc.dialect import DIALECTS, Dialect, is_error_code_valid
from ..rpc.endpoint import Endpoint
from ..rpc.features import Feature, Profile
from ..rpc.frames import get_type_name, read_head
from ..rpc.messages import (
    MAX_ACTION,
    MAX_DESCRIPTION,
    SIGNED,
    Call,
    CallResult,
    MessageType,
    is_message_id,
    parse_json_message,
)

__all__ = ["SECOND_CALL", "UNASKED", "USED_ID", "BrokenRule", "FrameJudge", "JudgedFrame", "SentCall"]

_KINDS = {
    MessageType.CALL: "CALL",
    MessageType.CALL_RESULT: "RESULT",
    MessageType.CALL_ERROR: "ERROR",
    MessageType.CALL_RESULT_ERROR: "RESULTERROR",
    MessageType.SEND: "SEND",
}
_OTHER = {"in": "out", "out": "in"}
#: The id in the answer to a frame whose id cannot be read (OCPP 2.0.1 Part 4 section 4.2.3).
_UNREADABLE = "-1"

# The endpoint says by its errors what is wrong with a frame. Its log lines are for running programs.
_silent = logging.Logger("ocppj.testing.rules")
_silent.addHandler(logging.NullHandler())


#: Kinds of rules: a CALL while another one has no answer; an answer to nothing; a message id that was used before.
SECOND_CALL, UNASKED, USED_ID = "second call", "unasked", "used id"


class BrokenRule(str):
    """Which rule a frame breaks, as text. It also has the parts of the text.

    Attributes:
        code: The error code of the answer to such a frame, as the OCPP version writes it. "": no error answers it.
        path: Where in the payload the fault is, such as ``meterValue[0].timestamp``. "": the fault is not at one place.
        description: The text without the code.
        kind: `SECOND_CALL`, `UNASKED` or `USED_ID`, of a rule about several frames. Else "".
    """

    code: str
    path: str
    description: str
    kind: str

    def __new__(
        cls, description: str, code: str = "", path: str = "", *, kind: str = "", prefix: str = ""
    ) -> BrokenRule:
        rule = super().__new__(cls, f"{prefix}: {description}" if prefix else description)
        rule.code, rule.path, rule.description, rule.kind = code, path, description, kind
        return rule


@dataclass
class JudgedFrame:
    """A frame as far as it can be read, and which rules it breaks. The attributes are those of `Seen`."""

    kind: str = "TEXT"
    action: Optional[str] = None
    message_id: Optional[str] = None
    payload: Any = None
    message: Optional[Payload] = None
    error_code: Optional[str] = None
    error_description: str = ""
    error_details: Optional[Mapping[str, Any]] = None
    faults: List[BrokenRule] = field(default_factory=list)


@dataclass
class SentCall:
    """A CALL or a SEND that was sent.

    Attributes:
        kind: "CALL" or "SEND".
        message_id: Its id.
        action: Its action, if it is text.
        text: The frame.
        at: When it was sent, in seconds, if that is known.
        answer: The kind of the answer that it has got: "RESULT" or "ERROR". ``None``: none yet.
    """

    kind: str
    message_id: str
    action: Optional[str]
    text: str
    at: Optional[float]
    answer: Optional[str] = None

    def __str__(self) -> str:
        return f"{self.kind} {printable(str(self.action)[:MAX_ACTION])} {self.message_id!r}"


class _History:
    """What was sent over all connections of a charging station, by the direction."""

    def __init__(self, most: int) -> None:
        self.sent: Dict[str, Recent[str, SentCall]] = {"in": Recent(most), "out": Recent(most)}  # by id
        self.excused: Set[Tuple[str, str]] = set()  # direction and id of CALLs that may stay without an answer


class _Sender:
    """What one side has sent over one connection."""

    def __init__(self) -> None:
        self.open: Dict[str, SentCall] = {}  # the CALLs without an answer
        self.garbage: List[Set[Optional[str]]] = []  # for each frame that is no message: the ids of its answer


class _Pending(NamedTuple):
    """The one request to which an answer is parsed, as the endpoint asks for it."""

    request: Payload

    def get(self, message_id: str) -> Payload:
        return self.request


_NONE_PENDING: Dict[str, Any] = {}


@lru_cache(maxsize=None)
def _get_endpoint(dialect: Dialect, mode: str) -> Endpoint:
    profiles: Iterable[Profile] = import_module(f"{dialect.package}.profiles").PROFILES
    return _make_endpoint(profiles, mode)


def _make_endpoint(profiles: Iterable[Profile], mode: str) -> Endpoint:
    return Endpoint(profiles, validate=mode, logger=_silent)


class FrameJudge:
    """Judges the frames of one connection, in both directions, in their order.

    It is not safe to use by several threads at once.

    Args:
        version: The OCPP version of the connection: "1.6", "2.0.1" or "2.1".
        profiles: The profiles with the actions that are known. ``None``: all of that version.
        call_timeout: After so many seconds without an answer the sender of a CALL may send the next one (OCPP-J 1.6 and
            OCPP 2.x Part 4, both section 4.1.1). The documents leave it to the sender how long that is.
        mode: "strict", or "standard": then what that mode forgives breaks no rule.
        remembers: The CALLs of each side that are remembered, for the ids that were used. Older ones are forgotten.

    Raises:
        UsageError: There is no such version or mode.
    """

    def __init__(
        self,
        version: str = "1.6",
        profiles: Optional[Iterable[Profile]] = None,
        call_timeout: float = 10.0,
        *,
        mode: str = "strict",
        remembers: int = sys.maxsize,
    ) -> None:
        self._dialect = _find_dialect(version)
        self._mode = mode
        self._own = None if profiles is None else _make_endpoint(profiles, mode)
        self._endpoint = self._own or _get_endpoint(self._dialect, mode)
        self._call_timeout = call_timeout
        self._history = _History(remembers)
        self._senders = {"in": _Sender(), "out": _Sender()}

    @property
    def version(self) -> str:
        """The OCPP version."""
        return self._dialect.version

    def next_connection(self, version: Optional[str] = None) -> FrameJudge:
        """Return the judge of a newer connection of the same charging station. This one may still be used.

        A message id stays used up (OCPP-J 1.6 errata 3.1; OCPP 2.x Part 4 section 4.1.4). No CALL waits for an answer.

        Args:
            version: The OCPP version of the newer connection. ``None``: the same.
        """
        judge = copy(self)  # with the same history
        judge._dialect = self._dialect if version is None else _find_dialect(version)
        judge._endpoint = self._own or _get_endpoint(judge._dialect, self._mode)
        judge._senders = {"in": _Sender(), "out": _Sender()}
        return judge

    def judge(self, direction: str, text: str, at: Optional[float] = None) -> JudgedFrame:
        """Read the next frame.

        Args:
            direction: Who sent it: "in" or "out".
            text: The frame.
            at: When it was sent, in seconds from any time on. ``None``: that is not known. Then no CALL times out.

        Returns:
            What it is, and in ``faults`` which rules it breaks.
        """
        frame = self.read(direction, text)
        if frame.kind in ("CALL", "SEND"):
            self._judge_request(frame, direction, text, at)
        elif frame.kind in ("RESULT", "ERROR"):
            self._judge_answer(frame, direction)
        elif frame.kind == "RESULTERROR":
            self._judge_result_error(frame, direction)
        else:
            self._senders[direction].garbage.append({_UNREADABLE, read_head(text)[1] or frame.message_id})
        return frame

    def read(self, direction: str, text: str) -> JudgedFrame:
        """Read a frame that was not sent, such as one whose write failed. It does not count for those that follow.

        Args:
            direction: Who would have sent it: "in" or "out".
            text: The frame.

        Returns:
            What it is, and in ``faults`` which rules it breaks in itself.
        """
        frame = JudgedFrame()
        try:
            fields = parse_json_message(text, loosely=self._mode == "standard")
        except MessageError as error:
            frame.faults.append(BrokenRule(error.description, self._code(error.code)))
            return frame
        self._read_elements(frame, fields)
        if frame.kind in ("RESULT", "ERROR"):
            self._read_answer(frame, fields, self._find_sent(frame, _OTHER[direction]))
        elif frame.kind == "RESULTERROR" and MessageType.CALL_RESULT_ERROR in self._dialect.message_types:
            self._read_answer(frame, fields, self._find_sent(frame, direction))
        else:
            self._parse(frame, fields, _NONE_PENDING)
            self._read_null(frame, fields, 4)
        return frame

    def excuse(self, message_id: str, direction: str = "in") -> None:
        """Note that a CALL gets no answer, or a late one, on purpose: its sender may send the next one.

        Args:
            message_id: Its id. The CALL itself may come later.
            direction: Who sent it.
        """
        self._history.excused.add((direction, message_id))

    def give_up(self, message_id: str, direction: str) -> None:
        """Note that a CALL does not wait for its answer any more.

        Args:
            message_id: Its id.
            direction: Who sent it.
        """
        self._senders[direction].open.pop(message_id, None)

    def open_calls(self, direction: str) -> List[SentCall]:
        """Return the CALLs sent in that direction that have no answer yet, without those that were excused."""
        open_calls = self._senders[direction].open.values()
        return [call for call in open_calls if (direction, call.message_id) not in self._history.excused]

    # Reading

    def _read_elements(self, frame: JudgedFrame, fields: Sequence[Any]) -> None:
        """Take from a frame what can be read, whatever rules it breaks."""
        number, *rest = fields or [None]
        if rest and isinstance(rest[0], str):
            frame.message_id = rest[0]
        if type(number) is not int or number not in list(MessageType) or not is_message_id(frame.message_id):
            return
        frame.kind = _KINDS[MessageType(number)]
        first, second, third = (*rest[1:], None, None, None)[:3]
        if frame.kind in ("CALL", "SEND"):
            frame.action = self._unsigned(first) if isinstance(first, str) else None
            frame.payload = second
        elif frame.kind == "RESULT":
            frame.payload = first
        else:
            frame.error_code = first if isinstance(first, str) else None
            frame.error_description = second if isinstance(second, str) else ""
            frame.error_details = third if isinstance(third, dict) else None

    def _unsigned(self, action: str) -> str:
        is_signed = self._dialect.signed_messages and action.endswith(SIGNED)
        return action[: -len(SIGNED)] if is_signed else action

    def _parse(self, frame: JudgedFrame, fields: Sequence[Any], pending: Any) -> None:
        """Have the library read a frame, and note what it finds."""
        try:
            message = self._endpoint.parse_message(fields, pending, self._dialect)
        except MessageError as error:
            # The description says where in the payload the fault is.
            path = error.__cause__.path if isinstance(error.__cause__, ValidationError) else ""
            code, prefix = self._code(error.code), self._dialect.spell(error.code)
            frame.faults.append(BrokenRule(error.description, code, path, prefix=prefix))
            return
        if isinstance(message, (Call, CallResult)) and isinstance(message.payload, Payload):
            frame.message = message.payload
            if message.signed_payload is not None:
                frame.payload = frame.message.to_wire()

    def _code(self, code: ErrorCode) -> str:
        """Return an error code as the version writes it. "": it has no such code, and so no answer."""
        return self._dialect.spellings.get(code, "")

    def _add_format_fault(self, frame: JudgedFrame, text: str) -> None:
        frame.faults.append(BrokenRule(text, self._code(ErrorCode.FORMAT_VIOLATION)))

    def _find_feature(self, action: Optional[str]) -> Optional[Feature]:
        profile = None if action is None else self._endpoint.get_profile_for_feature(action, self._dialect)
        return None if profile is None or action is None else profile.get_feature(action)

    def _find_sent(self, frame: JudgedFrame, direction: str) -> Optional[SentCall]:
        """Return what was sent with the id of ``frame``, over any connection."""
        return self._history.sent[direction].get(frame.message_id or "")

    def _read_answer(self, frame: JudgedFrame, fields: Sequence[Any], call: Optional[SentCall]) -> None:
        """Read a frame that answers ``call``, or refuses the answer to it. ``None``: that is not known."""
        frame.action = None if call is None else call.action
        if frame.kind != "RESULT":
            self._read_error(frame, fields)
            return
        feature = self._find_feature(frame.action)
        if feature is not None and feature.response_type is not None:
            request_type = feature.request_type
            self._parse(frame, fields, _Pending(request_type.__new__(request_type)))  # its type is read, no more
            self._read_null(frame, fields, 3)
        elif len(fields) != 3 or not isinstance(fields[2], dict):
            self._add_format_fault(frame, "a CALLRESULT has 3 elements, the third of them an object")

    def _read_null(self, frame: JudgedFrame, fields: Sequence[Any], size: int) -> None:
        """Note a payload that is null. In 2.x the schemas want {}. OCPP-J 1.6 section 4.2.1 advises it, no more."""
        if len(fields) == size and fields[-1] is None and self._dialect.signed_messages:
            self._add_format_fault(frame, "the payload is null; an empty one is {}")

    def _read_error(self, frame: JudgedFrame, fields: Sequence[Any]) -> None:
        """Note what is wrong with the elements of an error (OCPP-J 1.6 and OCPP 2.x Part 4, both section 4.2.3)."""
        name, add = get_type_name(MessageType(fields[0])), partial(self._add_format_fault, frame)
        if len(fields) != 5:
            add(f"a {name} has 5 elements, not {len(fields)}")
            return
        code, description, details = fields[2:]
        if not isinstance(code, str):
            add(f"the code of a {name} is a string")
        elif not is_error_code_valid(code, self._dialect):
            add(f"OCPP {self.version} has no error code {code!r:.60}")
        if not isinstance(description, str):
            add(f"the description of a {name} is a string")
        elif len(description) > MAX_DESCRIPTION:
            add(f"the description of a {name} has at most {MAX_DESCRIPTION} characters, not {len(description)}")
        if not isinstance(details, dict):
            add(f"the details of a {name} are an object")

    # Rules about several frames

    def _judge_request(self, frame: JudgedFrame, direction: str, text: str, at: Optional[float]) -> None:
        assert frame.message_id is not None
        call = SentCall(frame.kind, frame.message_id, frame.action, text, at)
        before = self._find_sent(frame, direction)
        if before is not None and not _is_retry(call, before):
            text = f"the message id was used before, by the {before}"
            frame.faults.append(BrokenRule(text, self._code(self._dialect.repeated_id_code), kind=USED_ID))
        self._history.sent[direction].remember(call.message_id, call)
        if frame.kind == "SEND":
            return  # it may be sent at any time (OCPP 2.1 Part 4 section 4.2.4)
        open_calls = self._senders[direction].open
        for other in open_calls.values():
            if other.message_id != call.message_id and not self._may_have_timed_out(other, direction, at):
                frame.faults.append(BrokenRule(f"a second CALL, while the {other} has no answer", kind=SECOND_CALL))
        open_calls[call.message_id] = call

    def _may_have_timed_out(self, call: SentCall, direction: str, at: Optional[float]) -> bool:
        if (direction, call.message_id) in self._history.excused:
            return True
        return at is not None and call.at is not None and at - call.at >= self._call_timeout

    def _judge_answer(self, frame: JudgedFrame, direction: str) -> None:
        asker = self._senders[_OTHER[direction]]
        call = asker.open.pop(frame.message_id or "", None)
        if call is not None:
            call.answer = frame.kind
        elif not (frame.kind == "ERROR" and _take(asker.garbage, frame.message_id)):
            frame.faults.append(BrokenRule(self._describe_unasked(frame, direction), kind=UNASKED))

    def _describe_unasked(self, frame: JudgedFrame, direction: str) -> str:
        call = self._find_sent(frame, _OTHER[direction])
        if call is None:
            return f"an answer to nothing: no CALL has the message id {frame.message_id!r}"
        if call.kind == "SEND":
            return f"an answer to the {call}; a SEND has none"
        if call.answer is None:
            return f"an answer to the {call} of an earlier connection"
        return f"a second answer to the {call}"

    def _judge_result_error(self, frame: JudgedFrame, direction: str) -> None:
        """Judge an error about a response: that to a CALL of its own sender (OCPP 2.1 Part 4 section 4.2.3)."""
        if MessageType.CALL_RESULT_ERROR not in self._dialect.message_types:
            return
        call = self._find_sent(frame, direction)
        if call is None or call.answer != "RESULT":
            text = f"an error about nothing: no CALLRESULT has the message id {frame.message_id!r}"
            frame.faults.append(BrokenRule(text, kind=UNASKED))


def _find_dialect(version: str) -> Dialect:
    for each in DIALECTS:
        if each.version == version:
            return each
    known = ", ".join(each.version for each in DIALECTS)
    raise UsageError(f"there is no OCPP version {version!r}; the versions are {known}")


def _is_retry(call: SentCall, before: SentCall) -> bool:
    """Tell whether ``call`` is ``before``, sent again. A retry may have the same id: see the errata of all versions.

    There is no reason to send again what was answered with a CALLRESULT.
    """
    if "SEND" in (call.kind, before.kind) or before.answer == "RESULT":
        return False
    return call.text == before.text or parse_json_message(call.text)[2:] == parse_json_message(before.text)[2:]


def _take(garbage: List[Set[Optional[str]]], message_id: Optional[str]) -> bool:
    """Take away the first frame that may be answered with that id. Return whether there was one."""
    for index, ids in enumerate(garbage):
        if message_id in ids:
            del garbage[index]
            return True
    return False
