"""Mends frames that are valid JSON and almost a message, for the modes ``warn`` and ``off`` of `Validation`.

Only a frame that `Endpoint.parse_message` refuses comes here. docs/chargers.md lists what is mended, and what is not.
"""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Optional, Sequence

from .dialect import Dialect
from .messages import MAX_ID, MessageType

__all__ = ["MendedFrame", "mend_frame"]

_REQUESTS = (MessageType.CALL, MessageType.SEND)
_ERRORS = (MessageType.CALL_ERROR, MessageType.CALL_RESULT_ERROR)
#: The names of messages that stand for the action: BootNotification.req is its name in OCPP 1.6.
_NAME_ENDS = ("request", ".req")


class MendedFrame(NamedTuple):
    """The elements of a frame as they should have been, and what was wrong with them: one line each."""

    fields: List[Any]
    faults: List[str]


def mend_frame(fields: Sequence[Any], dialect: Dialect, is_known: Callable[[str], bool]) -> Optional[MendedFrame]:
    """Return ``fields`` as they must have been meant, or ``None`` if nothing in them can be mended.

    ``is_known`` tells whether there is an action of exactly that name: it stays as it is.
    """
    frame = MendedFrame(list(fields), [])
    if len(fields) < 2 or not _mend_type(frame, dialect):
        return None
    _mend_id(frame)
    message_type = frame.fields[0]
    if message_type in _REQUESTS:
        _mend_action(frame, dialect, is_known)
        _mend_length(frame, 4, {})
    elif message_type in _ERRORS:
        _mend_length(frame, 5, {}, "")
    else:
        _drop_action(frame)
        _mend_length(frame, 3, {})
    if message_type not in _ERRORS and frame.fields[-1] == []:  # the empty object of PHP
        frame.fields[-1] = {}
        frame.faults.append("an empty payload is a list")
    return frame if frame.faults else None


def _mend_type(frame: MendedFrame, dialect: Dialect) -> bool:
    """Make the first element a message type of the version. Return whether it is one now."""
    given = frame.fields[0]
    number = int(given) if _is_number_text(given) or (isinstance(given, float) and given.is_integer()) else given
    if type(number) is not int or number not in dialect.message_types:
        return False
    if number is not given:
        frame.fields[0] = number
        frame.faults.append("the message type is no integer")
    return True


def _is_number_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 1 and value in "23456"


def _mend_id(frame: MendedFrame) -> None:
    """Read a whole number as the text of its digits. The answer has the text, too: most peers compare the digits."""
    given = frame.fields[1]
    if type(given) is int and abs(given) < 10**MAX_ID:
        frame.fields[1] = str(given)
        frame.faults.append("the message id is a number")


def _mend_action(frame: MendedFrame, dialect: Dialect, is_known: Callable[[str], bool]) -> None:
    """Find the action that differs in the case of its letters, or has the name of the message."""
    given = frame.fields[2] if len(frame.fields) > 2 else None
    if not isinstance(given, str) or is_known(given):
        return
    name = given.strip().lower()
    names = {name, *(name[: -len(end)] for end in _NAME_ENDS if name.endswith(end))}
    found = [action for action in dialect.actions if action.lower() in names]
    if len(found) == 1 and found[0] != given:
        frame.fields[2] = found[0]
        frame.faults.append(f"the action {found[0]} is spelt otherwise")


def _drop_action(frame: MendedFrame) -> None:
    """Take the action out of ``[3, id, action, payload]``."""
    if len(frame.fields) >= 4 and isinstance(frame.fields[2], str) and not isinstance(frame.fields[3], str):
        del frame.fields[2]
        frame.faults.append("a CALLRESULT has an action")


def _mend_length(frame: MendedFrame, length: int, *missing: Any) -> None:
    """Drop elements beyond ``length``, and add the last ones (``missing``, from the end) that may be left out."""
    if len(frame.fields) > length:
        del frame.fields[length:]
        frame.faults.append("there are more elements than a message has")
    lacks = length - len(frame.fields)
    if 0 < lacks <= len(missing):
        frame.fields.extend(reversed(missing[:lacks]))
        frame.faults.append("the last elements are missing")
