"""`RawMessage`: a frame, read as far as a replay needs it. Its payload is not checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, List, Optional

from ..ws.handshake.urls import can_be_encoded

__all__ = [
    "CALL",
    "ERROR",
    "REFUSAL",
    "RESULT",
    "SEND",
    "RawMessage",
    "make_error",
    "make_frame",
    "make_result",
    "read_message",
    "with_id",
]

CALL, RESULT, ERROR, REFUSAL, SEND = 2, 3, 4, 5, 6


@dataclass(frozen=True)
class RawMessage:
    """A message.

    Attributes:
        type: `CALL`, `RESULT`, `ERROR`, `REFUSAL` (a CALLRESULTERROR) or `SEND`.
        id: The message id.
        action: Of a CALL or a SEND. "" otherwise.
        payload: Of a CALL, a CALLRESULT or a SEND.
        code: Of a CALLERROR or a CALLRESULTERROR.
        rest: What stands behind the code: its description and its details.
    """

    type: int
    id: str
    action: str = ""
    payload: Any = None
    code: str = ""
    rest: Any = ()


def read_message(text: str) -> Optional[RawMessage]:
    """Return the message of a frame. ``None``: it is none that can be read."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, list) or len(fields) < 3 or not isinstance(fields[1], str) or not fields[1]:
        return None
    kind = fields[0]
    if isinstance(kind, bool) or kind not in (CALL, RESULT, ERROR, REFUSAL, SEND):
        return None
    if kind == RESULT:
        return RawMessage(RESULT, fields[1], payload=fields[2])
    if not isinstance(fields[2], str):
        return None
    if kind in (ERROR, REFUSAL):
        return RawMessage(kind, fields[1], code=fields[2], rest=fields[3:])
    return RawMessage(kind, fields[1], fields[2], fields[3] if len(fields) > 3 else {})


def make_frame(fields: List[Any]) -> str:
    """Return the text of a frame. An escape sequence keeps half of a pair of surrogates, which UTF-8 does not have."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return text if can_be_encoded(text) else json.dumps(fields, separators=(",", ":"))


def make_result(message_id: str, payload: Any) -> str:
    """Return a CALLRESULT."""
    return make_frame([RESULT, message_id, payload])


def make_error(message_id: str, code: str, rest: Any = ("", {})) -> str:
    """Return a CALLERROR."""
    return make_frame([ERROR, message_id, code, *rest])


def with_id(text: str, old: str, new: str) -> str:
    """Return a frame with another message id. Nothing else in its text changes."""
    for quoted in (json.dumps(old, ensure_ascii=False), json.dumps(old)):
        before, found, after = text.partition(quoted)
        if found:
            return before + json.dumps(new) + after
    fields = json.loads(text)  # the id has escape sequences of another kind
    fields[1] = new
    return make_frame(fields)
