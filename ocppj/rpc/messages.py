"""The messages of OCPP-J, their ids, and their JSON text.

A frame is a JSON array whose first element is the message type (OCPP-J 1.6 and OCPP 2.x Part 4, both section 4.2).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Dict, List, Mapping, Optional, Protocol, Union

from ..errors import EncodingError, ErrorCode, MessageError, UsageError, parse_error_code
from ..payloads import jsontext
from ..payloads.jsontext import MAX_DEPTH, NestedTooDeeply
from ..payloads.jsontext import encode as write_json
from ..payloads.model import Payload

__all__ = ["MAX_DESCRIPTION", "MAX_ID", "SIGNED", "Call", "CallError", "CallResult", "CallResultError", "Message",
           "MessageType", "Send", "SignatureResult", "build_framework_error", "check_message_id", "create_uuid",
           "is_message_id", "parse_json_message", "parse_raw_json_message", "write_json"]  # fmt: skip

#: The longest message id, in characters (OCPP-J 1.6 and OCPP 2.x Part 4, both section 4.1.4).
MAX_ID = 36
MAX_ACTION = 36
MAX_DESCRIPTION = 255
#: The end of the action of a signed message (OCPP 2.x Part 4 section 7.1).
SIGNED = "-Signed"

_VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


class MessageType(IntEnum):
    """The first element of a frame. 5 and 6 exist in OCPP 2.1 only."""

    CALL = 2
    CALL_RESULT = 3
    CALL_ERROR = 4
    CALL_RESULT_ERROR = 5
    SEND = 6


def is_message_id(value: object) -> bool:
    """Tell whether ``value`` is a string of 1 to `MAX_ID` characters."""
    # Each message comes here. Most ids are plain strings, and a slice takes no function call.
    return (type(value) is str or isinstance(value, str)) and value != "" and not value[MAX_ID:]


def check_message_id(value: object) -> None:
    """Raise `UsageError` if ``value`` is no string of 1 to `MAX_ID` characters."""
    _check_text("the message id", value, MAX_ID)


def create_uuid() -> str:
    """Return a random UUID (RFC 9562 section 5.4), in a third of the time that ``str(uuid.uuid4())`` takes."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:]}"


def _check_text(name: str, text: object, longest: int) -> None:
    """Raise `UsageError` if ``text`` is not a string of 1 to ``longest`` characters."""
    if not isinstance(text, str):
        raise UsageError(f"{name} must be text, not {type(text).__name__}")
    if not 1 <= len(text) <= longest:
        raise UsageError(f"{name} must have 1 to {longest} characters, not {len(text)}")


class Message(Protocol):
    """What all messages have in common."""

    @property
    def message_type_id(self) -> MessageType: ...
    @property
    def unique_id(self) -> str: ...
    def to_json(self) -> str: ...


@dataclass(frozen=True)
class SignatureResult:
    """The result of the check of a signature (OCPP 2.x Part 4 chapter 7).

    Attributes:
        valid: Whether the signature is valid. ``None``: it was not verified.
        reason: Why ``valid`` is not ``True``.
        algorithm: The algorithm that the message names.
        x5t_s256: The SHA-256 thumbprint of the certificate that the message names.
        header: The protected header of the message.
    """

    valid: Optional[bool]
    reason: str = ""
    algorithm: Optional[str] = None
    x5t_s256: Optional[str] = None
    header: Mapping[str, Any] = field(default_factory=dict)


@dataclass(init=False)
class Call:
    """A request: ``[2, id, action, payload]``.

    Args:
        unique_id: 1 to 36 characters.
        action: 1 to 36 characters, without ``-Signed``.
        payload: Typed or as a JSON object.
        wire_payload: The payload as a JSON object, if it is known. It is what `to_json` writes.
        signed_payload: In a signed message the JWS that stands on the wire in place of the payload.
        signature: In a signed message that was received: what is known of its signature.

    Raises:
        UsageError: The id or the action is empty, too long, or no text.
    """

    unique_id: str
    action: str
    payload: Union[Payload, Mapping[str, Any]]
    wire_payload: Optional[Mapping[str, Any]] = field(default=None, repr=False, compare=False)
    signed_payload: Optional[Mapping[str, Any]] = field(default=None, repr=False, compare=False)
    signature: Optional[SignatureResult] = field(default=None, repr=False, compare=False)
    #: Of a received CALL that waits: its text, in place of the payload. See `ocppj.exchange.waiting`.
    held: Any = field(default=None, repr=False, compare=False)

    message_type_id = MessageType.CALL
    #: A CALL of the peer was not handled in time, and is answered with an error. Its handler is not called any more.
    expired = False

    def __init__(
        self,
        unique_id: str,
        action: str,
        payload: Union[Payload, Mapping[str, Any]],
        wire_payload: Optional[Mapping[str, Any]] = None,
        signed_payload: Optional[Mapping[str, Any]] = None,
        signature: Optional[SignatureResult] = None,
    ) -> None:
        if type(unique_id) is not str or not unique_id or unique_id[MAX_ID:]:
            check_message_id(unique_id)
        if type(action) is not str or not action or action[MAX_ACTION:]:
            _check_text("the action", action, MAX_ACTION)
        self.unique_id = unique_id
        self.action = action
        self.payload = payload
        self.wire_payload = wire_payload
        self.signed_payload = signed_payload
        self.signature = signature

    def to_json(self) -> str:
        """Return the text of the frame. Raises `EncodingError` if a value in the payload has no JSON form."""
        action, data = self.action, self.wire_payload
        if self.signed_payload is not None:
            action, data = action + SIGNED, self.signed_payload
        if data is None:
            data = _to_json_object(self.payload)
        return write_json([int(self.message_type_id), self.unique_id, action, data])


class Send(Call):
    """A request without a response (OCPP 2.1 Part 4 section 4.2.4): ``[6, id, action, payload]``."""

    message_type_id = MessageType.SEND


@dataclass(init=False)
class CallResult:
    """A response: ``[3, id, payload]``.

    ``unique_id`` is the id of the CALL. The other arguments are those of `Call`.

    Raises:
        UsageError: The id is empty, too long, or no text.
    """

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
        if type(unique_id) is not str or not unique_id or unique_id[MAX_ID:]:
            check_message_id(unique_id)
        self.unique_id = unique_id
        self.payload = payload
        self.wire_payload = wire_payload
        self.signed_payload = signed_payload
        self.signature = signature

    def to_json(self) -> str:
        """Return the text of the frame. Raises `EncodingError` as `Call.to_json` does."""
        data = self.wire_payload if self.signed_payload is None else self.signed_payload
        if data is None:
            data = _to_json_object(self.payload)
        return write_json([3, self.unique_id, data])


@dataclass
class CallError:
    """An error response: ``[4, id, code, description, details]``. The code is in the spelling of the OCPP version."""

    unique_id: str
    error_code: str
    error_description: str = ""
    error_details: Dict[str, Any] = field(default_factory=dict)

    message_type_id = MessageType.CALL_ERROR

    @property
    def code(self) -> Union[ErrorCode, str]:
        """The `ErrorCode` of ``error_code``, or the text if no version has such a code."""
        return parse_error_code(self.error_code)

    def to_json(self) -> str:
        """Return the text of the frame, its description cut after 255 characters. Raises `EncodingError`."""
        description, details = self.error_description[:MAX_DESCRIPTION], self.error_details or {}
        return write_json([int(self.message_type_id), self.unique_id, self.error_code, description, details])


class CallResultError(CallError):
    """An error about a response (OCPP 2.1 Part 4 section 4.2.3): ``[5, id, code, description, details]``."""

    message_type_id = MessageType.CALL_RESULT_ERROR


def _to_json_object(payload: Union[Payload, Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        return payload.to_wire() if isinstance(payload, Payload) else payload
    except RecursionError:
        raise EncodingError("the payload is nested too deeply, or contains itself") from None


def parse_json_message(text: str, *, max_depth: Optional[int] = MAX_DEPTH, loosely: bool = False) -> List[Any]:
    """Return the elements of a frame.

    Args:
        text: The frame, a JSON array.
        max_depth: How many arrays and objects may be inside one another. ``None``: as many as the JSON library reads.
        loosely: Whether control characters and byte-order marks are forgiven, wherever they stand in the text.

    Raises:
        MessageError: The text is no JSON, no array, or nested too deeply (then the cause is a `NestedTooDeeply`). The
            error has no message id, and never quotes the text.
    """
    try:
        fields = jsontext.decode_loosely(text, max_depth) if loosely else jsontext.decode(text, max_depth)
    except NestedTooDeeply as error:
        raise build_framework_error(f"the JSON is {error}") from error
    except RecursionError:
        raise build_framework_error("the JSON is nested too deeply") from None
    except ValueError as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise build_framework_error(f"the frame is no valid JSON{where}") from None
    if type(fields) is not list:
        raise build_framework_error(f"the frame is a JSON {_json_type(fields)}, not an array")
    return fields


def parse_raw_json_message(data: bytes, *, max_depth: Optional[int] = MAX_DEPTH) -> List[Any]:
    """Return the elements of a frame in UTF-8. ``max_depth`` is as in `parse_json_message`.

    Raises:
        MessageError: The data is no UTF-8, or `parse_json_message` refuses the text.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise build_framework_error("the frame is no valid UTF-8") from None
    return parse_json_message(text, max_depth=max_depth)


def build_framework_error(description: str) -> MessageError:
    """Return the error for a frame whose message id cannot be read."""
    return MessageError(ErrorCode.RPC_FRAMEWORK_ERROR, description, answerable=True)


def _json_type(value: object) -> str:
    names = {dict: "object", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), "value")
