"""`OrdinaryMessages`: what nearly all messages are, read and made without detours.

A CALL that is handled, its CALLRESULT, the CALLRESULT that is waited for: valid, of a known action, not signed. That
is all what the methods here understand. They name no fault and look for nothing unusual: ``None`` leaves the message to
`Endpoint.parse_message` or `Endpoint.create_call_result`, which begin anew, decide, and say what is wrong. So what is
said here is said there too, and must be: whatever a method here returns, the one there would have returned.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

from ..payloads.jsontext import encode
from ..payloads.model import Payload
from .dialect import Dialect
from .endpoint import Pending
from .messages import Call, CallResult, MessageType
from .signed_endpoint import SignedEndpoint
from .validation import judge_of

__all__ = ["OrdinaryMessages"]

_CALL, _CALL_RESULT = int(MessageType.CALL), int(MessageType.CALL_RESULT)


class OrdinaryMessages(SignedEndpoint):
    """An `Endpoint` that has a short way for ordinary messages.

    A class that has a `parse_message` or `create_call_result` of its own has no short way around it.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own: Any = cls
        if own.parse_message is not SignedEndpoint.parse_message:
            own._read_call = own._read_result = _no_short_way
        if own.create_call_result is not SignedEndpoint.create_call_result:
            own._result_text = _no_short_way

    def _read_call(self, fields: Sequence[Any], dialect: Dialect) -> Optional[Call]:
        """Return the CALL that a frame is, if it is an ordinary one."""
        try:
            if fields[0] != _CALL:
                return None
            number, message_id, action, payload = fields
            feature = self._by_action[dialect, action]  # the signed form of an action is not in there
            if (
                type(number) is int  # 2.0 is another number
                and type(payload) is dict
                and feature.response_type is not None  # else it travels in a SEND
                and (self._mode(feature, True) == "off" or judge_of(feature, False)(payload))
            ):
                return Call(message_id, action, feature.request_type.from_wire(payload))
        except Exception:  # whatever it is, it is met again
            return None
        return None

    def _read_result(self, fields: Sequence[Any], pending: Pending, dialect: Dialect) -> Optional[CallResult]:
        """Return the CALLRESULT that a frame is, if it is an ordinary one."""
        try:
            if fields[0] != _CALL_RESULT:
                return None
            number, message_id, payload = fields
            request: Any = pending.get(message_id)
            feature = self._by_request[dialect, type(request)]
            if (
                type(number) is int
                and type(payload) is dict
                and not (dialect.signed_messages and "signature" in payload)
                and feature.response_type is not None
                and (self._mode(feature, True) == "off" or judge_of(feature, True)(payload))
            ):
                return CallResult(message_id, feature.response_type.from_wire(payload))
        except Exception:  # as above
            return None
        return None

    def _result_text(self, call: Call, response: Payload, dialect: Dialect) -> Optional[str]:
        """Return the frame of the CALLRESULT of ``response`` to ``call``, if it is an ordinary one."""
        try:
            feature = self._by_action[dialect, call.action]
            if type(response) is feature.response_type:
                data = response.to_wire()
                if self._mode(feature, False) == "off" or judge_of(feature, True)(data):
                    return encode([_CALL_RESULT, call.unique_id, data])
        except Exception:  # as above
            return None
        return None


def _no_short_way(self: Any, *arguments: Any) -> None:
    """Leave the message to the long way."""
