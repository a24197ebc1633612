"""What the messages between nodes say: their format, and how it is checked.

A message is an object of JSON values: ``{"v": 1, "kind": "call", ...}``. What comes from elsewhere is data: each field
is checked. Fields that are not known are ignored, so that a later release may add some.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Type, Union

from ..log_limit import LimitedLog
from .base import Message

__all__ = ["AnyMessage", "CallMessage", "Cancel", "Check", "Disconnect", "Ended", "Failed", "ForeignMessage",
           "SendMessage", "read_message", "read_or_log", "write_message"]  # fmt: skip

#: Messages of another version are refused.
VERSION = 1


class ForeignMessage(ValueError):
    """A message that is none of this release."""


class CallMessage(NamedTuple):
    """Send a request to a client, and tell its end. It is answered with `Ended` or `Failed`."""

    id: str  # of the CALL
    client_id: str
    version: str  # of OCPP, such as "1.6"
    action: str
    payload: Mapping[str, Any]
    left: Optional[float] = None  # seconds until it must have ended, when this was posted; ``None``: it has no end
    signed: bool = False
    once: bool = True  # not sent again over another connection
    offline: bool = False
    expires: Optional[float] = None  # seconds, when this was posted; with ``offline``


class SendMessage(NamedTuple):
    """Send a message that is never answered. It is answered with `Ended`: "message_id"."""

    id: str
    client_id: str
    version: str
    action: str
    payload: Mapping[str, Any]
    left: Optional[float] = None
    signed: bool = False


class Cancel(NamedTuple):
    """Withdraw a call. Not answered."""

    id: str
    client_id: str


class Check(NamedTuple):
    """Answer with `Failed` if that call is not known any more: then its end was lost. Else not answered."""

    id: str
    client_id: str


class Disconnect(NamedTuple):
    """Close the connection of a client. Not answered."""

    client_id: str
    code: int = 1000
    reason: str = ""


class Ended(NamedTuple):
    """A call or a send has ended well."""

    id: str
    client_id: str
    payload: Mapping[str, Any]
    signature: Optional[Mapping[str, Any]] = None


class Failed(NamedTuple):
    """A call or a send has ended with an error: see `errors_json`."""

    id: str
    client_id: str
    error: Mapping[str, Any]


AnyMessage = Union[CallMessage, SendMessage, Cancel, Check, Disconnect, Ended, Failed]

_KINDS: Dict[str, Type[Any]] = {
    "call": CallMessage,
    "send": SendMessage,
    "cancel": Cancel,
    "check": Check,
    "disconnect": Disconnect,
    "answer": Ended,
    "error": Failed,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_code(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


#: What a field must be. One that may be ``None`` has that as its default.
_CHECKS: Dict[str, Callable[[Any], bool]] = {
    "id": _is_name,
    "client_id": _is_name,
    "version": _is_name,
    "action": _is_name,
    "payload": _is_object,
    "left": _is_seconds,
    "signed": _is_flag,
    "once": _is_flag,
    "offline": _is_flag,
    "expires": _is_seconds,
    "code": _is_code,
    "reason": _is_text,
    "signature": _is_object,
    "error": _is_object,
}


def write_message(message: AnyMessage) -> Message:
    """Return the JSON object of ``message``."""
    return {"v": VERSION, "kind": _NAMES[type(message)], **message._asdict()}


def read_message(message: Any) -> AnyMessage:
    """Return what the JSON object ``message`` says. Raises `ForeignMessage`, whose text has no payload."""
    if not isinstance(message, dict):
        raise ForeignMessage(f"it is a {type(message).__name__}, not an object")
    version, name = message.get("v"), message.get("kind")
    if version != VERSION or isinstance(version, bool):
        raise ForeignMessage(f"it is of the version {_short(version)}, not {VERSION}")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ForeignMessage(f"it is of the kind {_short(name)}, which is not known")
    given = {field: message[field] for field in kind._fields if field in message}
    for field, value in given.items():
        may_be_none = kind._field_defaults.get(field, "") is None
        if not (value is None and may_be_none) and not _CHECKS[field](value):
            raise ForeignMessage(f"its {field} cannot be used")
    missing = [field for field in kind._fields if field not in given and field not in kind._field_defaults]
    if missing:
        raise ForeignMessage(f"it has no {', '.join(missing)}")
    read: AnyMessage = kind(**given)
    return read


def read_or_log(sender: str, message: Any, log: LimitedLog) -> Optional[AnyMessage]:
    """Return what a message of the node ``sender`` says; ``None``: it is refused, and that is logged."""
    try:
        return read_message(message)
    except ForeignMessage as error:
        log.warning("%s: a message of another process was refused: %s", sender, error, client_id=None)
        return None


def _short(value: Any) -> str:
    return repr(value)[:20] if isinstance(value, (str, int, float, type(None))) else type(value).__name__
