"""`Answers`: what a replay answers where the recording has nothing, or something old."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Iterable

from ..payloads.datetimes import format_datetime
from .conversation import Conversation
from .message import RESULT, RawMessage, make_error, make_result

__all__ = ["Answers"]


class Answers:
    """The answers of one side to one peer.

    Args:
        conversations: All that was recorded with this peer.
        side: Whose answers they are: "station" or "csms".
    """

    def __init__(self, conversations: Iterable[Conversation], side: str) -> None:
        self._side = side
        self._version = ""
        self._known: Dict[str, Any] = {}  # by action: the payload of the last recorded answer
        for conversation in conversations:
            self._version = conversation.version
            for step in conversation.steps:
                if step.sender != side and step.answer is not None and step.answer.message.type == RESULT:
                    self._known[step.action] = step.answer.message.payload

    def invent(self, message: RawMessage) -> str:
        """Return the answer to a CALL that the recording has not: one like the last to such a CALL, or a sensible one.

        An action that no answer is known to is refused with NotImplemented.
        """
        payload = self._known.get(message.action)
        if payload is None:
            payload = self._default(message)
        if payload is None:
            return make_error(message.id, "NotImplemented", ["the recording has no answer to this action", {}])
        return make_result(message.id, self.renew(self._side, message.action, payload))

    def renew(self, side: str, action: str, payload: Any) -> Any:
        """Return a payload with the time of now in it, if it tells a charging station the time."""
        if side != "csms" or not isinstance(payload, dict) or "currentTime" not in payload:
            return payload
        return {**payload, "currentTime": format_datetime(datetime.now(timezone.utc))}

    def _default(self, message: RawMessage) -> Any:
        from ..rpc.dialect import DIALECTS
        from ..testing.defaults import default_response

        dialect = next((each for each in DIALECTS if each.version == self._version), DIALECTS[0])
        if message.action not in dialect.actions:
            return None
        try:
            request = dialect.load_type(f"{message.action}Request").from_wire(message.payload)
            response = default_response(request, datetime.now(timezone.utc))
        except Exception:  # the request is not valid
            return None
        return None if response is None else response.to_wire()
