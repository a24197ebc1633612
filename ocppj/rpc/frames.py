"""The parts of a frame that can be read without its action, and the errors for frames that break the rules."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, NamedTuple, Optional, Sequence, Tuple

from ..errors import ErrorCode, MessageError
from ..payloads.jsontext import decode_loosely
from .dialect import Dialect
from .messages import (
    MAX_ID,
    SIGNED,
    CallError,
    CallResultError,
    MessageType,
    build_framework_error,
    is_message_id,
    parse_json_message,
)

__all__ = [
    "FrameHead",
    "build_action_error",
    "build_frame_error",
    "get_type_name",
    "parse_error",
    "parse_head",
    "read_frame_head",
    "read_head",
    "type_name_of",
]

_TYPES = {int(each): each for each in MessageType}


def parse_head(fields: Sequence[Any], dialect: Dialect) -> Tuple[MessageType, str]:
    """Return the message type and the id of a frame.

    Raises `MessageError` if they break the rules. The error has the id, if it can be read.
    """
    number = fields[0] if fields else None
    message_id = fields[1] if len(fields) > 1 else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise build_framework_error("the first element is no message type")
    is_readable = is_message_id(message_id)
    message_type = _TYPES.get(number)
    if message_type is None or message_type not in dialect.message_types:
        text = f"OCPP {dialect.version} has no message type {number!s:.20}"
        known_id = message_id if is_readable else None
        raise MessageError(ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED, text, message_id=known_id, message_type=number)
    if not is_readable:
        error = build_framework_error(f"the message id is no string of 1 to {MAX_ID} characters")
        error.answerable = message_type is MessageType.CALL  # no other message is answered with an error
        raise error
    assert isinstance(message_id, str)
    return message_type, message_id


def parse_error(fields: Sequence[Any], message_type: MessageType) -> CallError:
    """Return the CALLERROR or CALLRESULTERROR of ``fields``, whose head is valid. Raises `MessageError`."""
    # The rules want five elements. Some peers leave out the details.
    if not 4 <= len(fields) <= 5:
        text = f"a {get_type_name(message_type)} has 5 elements, not {len(fields)}"
        raise build_frame_error(fields, ErrorCode.FORMAT_VIOLATION, text)
    code, description, details = fields[2], fields[3], fields[4] if len(fields) == 5 else None
    if not isinstance(code, str):
        text = f"the code of a {get_type_name(message_type)} is a string"
        raise build_frame_error(fields, ErrorCode.FORMAT_VIOLATION, text)
    message_class = CallError if message_type is MessageType.CALL_ERROR else CallResultError
    # Some peers send text, which may be all that they tell. Empty details of any type tell nothing.
    known = details if isinstance(details, dict) else {"details": details} if details not in (None, "", []) else {}
    if not isinstance(description, str):  # some leave it out, and put the details in its place
        known = known if description in (None, [], {}) else {"description": description, **known}
        description = ""
    return message_class(fields[1], code, description, known)


#: The head of a frame that may be no JSON. Its type may be written "3" or 3.0, its id as a whole number, and both in
#: single quotes. The id ends where its element ends. An id of 36 characters is at most 432 long, as escape sequences of
#: surrogate pairs.
_HEAD = re.compile(
    r'[\x00-\x20\ufeff]*\[[\x00-\x20]*(["\']?)([2-6])(?:\.0+)?\1[\x00-\x20]*(?:[],]|\Z)'
    r'(?:[\x00-\x20]*(?:("(?:[^"\\]|\\.){1,432}")|\'([^\'\\]{1,36})\'|(-?[0-9]{1,36}))[\x00-\x20]*(?:[],]|\Z))?',
    re.DOTALL,
)


def read_head(text: str) -> Tuple[Optional[MessageType], Optional[str]]:
    """Return the message type and the id that stand at the head of ``text``, which is no valid frame.

    Each is ``None`` if it cannot be seen. An id that stands anywhere else is not seen: it may be part of a payload.
    """
    match = _HEAD.match(text)
    if match is None:
        return None, None
    message_type, message_id = _TYPES[int(match[2])], match[4] or match[5]
    if match[3] is not None:
        with suppress(ValueError):  # an escape sequence that is none
            message_id = decode_loosely(match[3])
    return message_type, message_id if is_message_id(message_id) else None


class FrameHead(NamedTuple):
    """What stands before the payload of a frame, as far as it can be read."""

    message_type: Optional[MessageType] = None
    message_id: Optional[str] = None
    action: Optional[str] = None  # of a CALL or a SEND, without "-Signed"


#: The head of nearly every frame, with the action, or the code of an error. It needs no more than the first characters.
_USUAL_HEAD = re.compile(r'[ \t\r\n]*\[[ \t\r\n]*([2-6])[ \t\r\n]*,[ \t\r\n]*"([^"\\]{1,36})"[ \t\r\n]*'
                         r'(?:,[ \t\r\n]*(?:"([^"\\]{1,64})"[ \t\r\n]*)?|\])')  # fmt: skip


def read_frame_head(text: str) -> FrameHead:
    """Return the head of ``text``, which may be anything: valid or not, JSON or not. Raises nothing."""
    match = _USUAL_HEAD.match(text)
    usual = None if match is None else (_TYPES[int(match[1])], match[2], match[3])
    message_type, message_id, action = usual or _read_unusual_head(text)
    if action is None or message_type not in (MessageType.CALL, MessageType.SEND):
        return FrameHead(message_type, message_id)
    return FrameHead(message_type, message_id, action[: -len(SIGNED)] if action.endswith(SIGNED) else action)


def _read_unusual_head(text: str) -> Tuple[Optional[MessageType], Optional[str], Optional[str]]:
    message_type, message_id = read_head(text)
    try:
        fields = parse_json_message(text, max_depth=None) if message_type is not None else ()
    except MessageError:
        fields = ()
    return message_type, message_id, fields[2] if len(fields) > 2 and isinstance(fields[2], str) else None


def type_name_of(message_type: Optional[MessageType]) -> Optional[str]:
    """Return what `get_type_name` does; ``None`` for ``None``."""
    return None if message_type is None else get_type_name(message_type)


def build_frame_error(fields: Sequence[Any], code: ErrorCode, description: str) -> MessageError:
    """Return the error for a frame whose head is valid. Only a CALL is answered with it."""
    message_type = _TYPES[fields[0]]
    answerable = message_type is MessageType.CALL
    return MessageError(code, description, message_id=fields[1], message_type=message_type, answerable=answerable)


def build_action_error(fields: Sequence[Any], dialect: Dialect) -> MessageError:
    """Return the error for a CALL or SEND whose action no profile has.

    An action of the OCPP version is not supported here. Any other action is not implemented.
    """
    action: str = fields[2]
    unsigned = action[: -len(SIGNED)] if dialect.signed_messages and action.endswith(SIGNED) else action
    if unsigned in dialect.actions:
        return build_frame_error(fields, ErrorCode.NOT_SUPPORTED, f"{unsigned} is not supported here")
    text = f"OCPP {dialect.version} has no action {action[:40]!r:.60}"
    return build_frame_error(fields, ErrorCode.NOT_IMPLEMENTED, text)


def get_type_name(message_type: MessageType) -> str:
    """Return the name of the type as the specification writes it, such as CALLRESULT."""
    return message_type.name.replace("_", "")
