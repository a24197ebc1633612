"""What can be read of a frame without knowing any action: its head, and an error as a whole."""

from __future__ import annotations

from typing import Any, Sequence, Tuple

from ..errors import ErrorCode, MessageError
from .dialect import Dialect
from .messages import MAX_ID, CallError, CallResultError, MessageType, unreadable

__all__ = ["broken", "read_error", "read_head", "type_name"]

_TYPES = {int(each): each for each in MessageType}


def read_head(fields: Sequence[Any], dialect: Dialect) -> Tuple[MessageType, str]:
    """Return the type and the id of a frame.

    Args:
        fields: The elements of the frame.
        dialect: The version of the connection.

    Raises:
        MessageError: The head breaks the rules. The error has the id, if that can be read.
    """
    number = fields[0] if fields else None
    message_id = fields[1] if len(fields) > 1 else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise unreadable("the first element is no message type")
    readable = isinstance(message_id, str) and 1 <= len(message_id) <= MAX_ID
    message_type = _TYPES.get(number)
    if message_type not in dialect.message_types:
        raise MessageError(
            ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED,
            f"OCPP {dialect.version} has no message type {number!s:.20}",
            message_id=message_id if readable else None,
            message_type=number,
        )
    if not readable:
        error = unreadable(f"the message id is no string of 1 to {MAX_ID} characters")
        error.answerable = message_type is MessageType.CALL  # nothing else is ever answered with an error
        raise error
    assert isinstance(message_id, str)
    assert message_type is not None
    return message_type, message_id


def broken(fields: Sequence[Any], message_type: MessageType, code: ErrorCode, description: str) -> MessageError:
    """Return the error for a frame whose head is right. A CALL is to be answered with it."""
    answerable = message_type is MessageType.CALL
    return MessageError(code, description, message_id=fields[1], message_type=message_type, answerable=answerable)


def read_error(fields: Sequence[Any], message_type: MessageType) -> CallError:
    """Return the CALLERROR or CALLRESULTERROR that a frame is.

    Args:
        fields: The elements of the frame. Its head is right.
        message_type: Which of the two it is.

    Raises:
        MessageError: The frame breaks the rules.
    """
    # Five elements by the rules; real peers leave the details out.
    if not 4 <= len(fields) <= 5:
        words = f"a {type_name(message_type)} has 5 elements, not {len(fields)}"
        raise broken(fields, message_type, ErrorCode.FORMAT_VIOLATION, words)
    code, description, details = fields[2], fields[3], fields[4] if len(fields) == 5 else None
    if not isinstance(code, str):
        words = f"the code of a {type_name(message_type)} is a string"
        raise broken(fields, message_type, ErrorCode.FORMAT_VIOLATION, words)
    kind = CallError if message_type is MessageType.CALL_ERROR else CallResultError
    return kind(
        fields[1],
        code,
        description if isinstance(description, str) else "",
        details if isinstance(details, dict) else {},
    )


def type_name(message_type: MessageType) -> str:
    """Return the type as the documents write it: CALLRESULT."""
    return message_type.name.replace("_", "")
