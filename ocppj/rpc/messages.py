"""The messages of OCPP-J, and how they are written as JSON and read from it.

A frame is a JSON array whose first element is the message type (OCPP-J 1.6 section 4.2, OCPP 2.x Part 4 section
4.2). `parse_json_message` reads the array; what its elements mean depends on the version and on what is pending, and
is decided by `ocppj.rpc.endpoint.Endpoint.parse_message`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Dict, List, Mapping, Optional, Protocol, Union

from ..errors import EncodingError, ErrorCode, MessageError, UsageError, parse_error_code
from ..payloads import jsontext
from ..payloads.jsontext import MAX_DEPTH, NestedTooDeeply
from ..payloads.jsontext import encode as write_json
from ..payloads.model import Payload

__all__ = [
    "MAX_DESCRIPTION",
    "MAX_ID",
    "SIGNED",
    "Call",
    "CallError",
    "CallResult",
    "CallResultError",
    "Message",
    "MessageType",
    "Send",
    "SignatureResult",
    "decode_json",
    "parse_json_message",
    "parse_raw_json_message",
    "unreadable",
    "write_json",
]

MAX_ID = 36
MAX_ACTION = 36
MAX_DESCRIPTION = 255
#: What the action of a signed message ends in (OCPP 2.x Part 4 section 7.1).
SIGNED = "-Signed"


class MessageType(IntEnum):
    """The first element of a frame. 5 and 6 exist in OCPP 2.1 only."""

    CALL = 2
    CALL_RESULT = 3
    CALL_ERROR = 4
    CALL_RESULT_ERROR = 5
    SEND = 6


class Message(Protocol):
    """What every message has."""

    @property
    def message_type_id(self) -> MessageType:
        """The number that opens the frame."""

    @property
    def unique_id(self) -> str:
        """The message id, 1 to 36 characters."""

    def to_json(self) -> str:
        """Return the frame's text."""


def _check_length(what: str, text: object, longest: int) -> None:
    if not isinstance(text, str):
        raise UsageError(f"{what} must be text, not {type(text).__name__}")
    if not 1 <= len(text) <= longest:
        raise UsageError(f"{what} must have 1 to {longest} characters, not {len(text)}")


@dataclass(frozen=True)
class SignatureResult:
    """What is known about the signature of a message (OCPP 2.x Part 4 chapter 7).

    ``valid`` is ``None`` when it could not be verified, and ``reason`` says why it is not ``True``. ``algorithm``,
    ``x5t_s256`` (which names the certificate) and the whole protected ``header`` are what the message says of itself.
    """

    valid: Optional[bool]
    reason: str = ""
    algorithm: Optional[str] = None
    x5t_s256: Optional[str] = None
    header: Mapping[str, Any] = field(default_factory=dict)


@dataclass(init=False)
class Call:
    """A request: ``[2, id, action, payload]``. ``wire_payload`` is the payload as JSON values, where it is known.

    In a signed message ``signed_payload`` is the JWS that stands on the wire, beside the action with ``-Signed`` behind
    it; ``action`` and ``payload`` are those of the normal message. ``signature`` is set in one that was received.

    Raises `UsageError` when id or action are empty or too long.
    """

    unique_id: str
    action: str
    payload: Union[Payload, Mapping[str, Any]]
    wire_payload: Optional[Mapping[str, Any]] = field(default=None, repr=False, compare=False)
    signed_payload: Optional[Mapping[str, Any]] = field(default=None, repr=False, compare=False)
    signature: Optional[SignatureResult] = field(default=None, repr=False, compare=False)

    message_type_id = MessageType.CALL

    def __init__(
        self,
        unique_id: str,
        action: str,
        payload: Union[Payload, Mapping[str, Any]],
        wire_payload: Optional[Mapping[str, Any]] = None,
        signed_payload: Optional[Mapping[str, Any]] = None,
        signature: Optional[SignatureResult] = None,
    ) -> None:
        if type(unique_id) is not str or not 0 < len(unique_id) <= MAX_ID:
            _check_length("the message id", unique_id, MAX_ID)
        if type(action) is not str or not 0 < len(action) <= MAX_ACTION:
            _check_length("the action", action, MAX_ACTION)
        self.unique_id = unique_id
        self.action = action
        self.payload = payload
        self.wire_payload = wire_payload
        self.signed_payload = signed_payload
        self.signature = signature

    def to_json(self) -> str:
        """Return the frame's text. Raises `EncodingError` when the payload holds what JSON cannot say."""
        action, data = self.action, self.wire_payload
        if self.signed_payload is not None:
            action, data = action + SIGNED, self.signed_payload
        if data is None:
            data = _json_object(self.payload)
        return write_json([int(self.message_type_id), self.unique_id, action, data])


class Send(Call):
    """A request that is never answered, in OCPP 2.1: ``[6, id, action, payload]``."""

    message_type_id = MessageType.SEND


@dataclass(init=False)
class CallResult:
    """A response: ``[3, id, payload]``. ``wire_payload`` and the like as in `Call`."""

    unique_id: str
    payload: Union[Payload, Mapping[str, Any]]
    wire_payload: Optional[Mapping[str, Any]] = field(default=None, repr=False, compare=False)
    signed_payload: Optional[Mapping[str, Any]] = field(default=None, repr=False, compare=False)
    signature: Optional[SignatureResult] = field(default=None, repr=False, compare=False)

    message_type_id = MessageType.CALL_RESULT

    def __init__(
        self,
        unique_id: str,
        payload: Union[Payload, Mapping[str, Any]],
        wire_payload: Optional[Mapping[str, Any]] = None,
        signed_payload: Optional[Mapping[str, Any]] = None,
        signature: Optional[SignatureResult] = None,
    ) -> None:
        if type(unique_id) is not str or not 0 < len(unique_id) <= MAX_ID:
            _check_length("the message id", unique_id, MAX_ID)
        self.unique_id = unique_id
        self.payload = payload
        self.wire_payload = wire_payload
        self.signed_payload = signed_payload
        self.signature = signature

    def to_json(self) -> str:
        """Return the frame's text. Raises `EncodingError` when the payload holds what JSON cannot say."""
        data = self.wire_payload if self.signed_payload is None else self.signed_payload
        if data is None:
            data = _json_object(self.payload)
        return write_json([int(self.message_type_id), self.unique_id, data])


@dataclass
class CallError:
    """An error response: ``[4, id, code, description, details]``.

    ``error_code`` is the text on the wire, in the spelling of the connection's version; `code` is what it means.
    """

    unique_id: str
    error_code: str
    error_description: str = ""
    error_details: Dict[str, Any] = field(default_factory=dict)

    message_type_id = MessageType.CALL_ERROR

    @property
    def code(self) -> Union[ErrorCode, str]:
        """The `ErrorCode` meant, or the text when no version knows it."""
        return parse_error_code(self.error_code)

    def to_json(self) -> str:
        """Return the frame's text. Raises `EncodingError` when the details hold what JSON cannot say."""
        description = self.error_description[:MAX_DESCRIPTION]
        return write_json(
            [int(self.message_type_id), self.unique_id, self.error_code, description, self.error_details or {}]
        )


class CallResultError(CallError):
    """An error about a response, in OCPP 2.1: ``[5, id, code, description, details]``."""

    message_type_id = MessageType.CALL_RESULT_ERROR


def _json_object(payload: Union[Payload, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return ``payload`` as JSON values."""
    try:
        return payload.to_wire() if isinstance(payload, Payload) else payload
    except RecursionError:
        raise EncodingError("the payload is nested too deeply, or contains itself") from None


def decode_json(text: str, max_depth: Optional[int] = None) -> Any:
    """Return the value of ``text``. Raises `ValueError` for what is no JSON or too deep, and `RecursionError`."""
    return jsontext.decode(text, max_depth)


def parse_json_message(text: str, *, max_depth: Optional[int] = MAX_DEPTH) -> List[Any]:
    """Return the elements of the frame ``text``, a JSON array.

    ``max_depth`` is how many arrays and objects may be inside one another, the frame included; ``None``: as many as
    can be read. Raises `MessageError`, without an id, when the text is no JSON or no array, or is deeper; then its
    cause is a `NestedTooDeeply`. The error never quotes the text.
    """
    try:
        fields = jsontext.decode(text, max_depth)
    except NestedTooDeeply as error:
        raise unreadable(f"the JSON is {error}") from error
    except RecursionError:
        raise unreadable("the JSON is nested too deeply") from None
    except ValueError as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise unreadable(f"the frame is no valid JSON{where}") from None
    if type(fields) is not list:
        raise unreadable(f"the frame is a JSON {_json_type(fields)}, not an array")
    return fields


def parse_raw_json_message(data: bytes, *, max_depth: Optional[int] = MAX_DEPTH) -> List[Any]:
    """Return the elements of the frame ``data``, a JSON array in UTF-8. Raises as `parse_json_message`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise unreadable("the frame is no valid UTF-8") from None
    return parse_json_message(text, max_depth=max_depth)


def unreadable(description: str) -> MessageError:
    """Return the error for a frame whose id cannot be read."""
    return MessageError(ErrorCode.RPC_FRAMEWORK_ERROR, description, answerable=True)


def _json_type(value: object) -> str:
    names = {dict: "object", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), "value")
