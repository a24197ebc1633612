"""Errors of this library as JSON, and back: the end of a call travels to the process that made it.

Only the classes in `ocppj.errors`, and the attributes listed here, are made of what comes. The rest is text.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, Dict, List, Mapping, Optional, Type

from .. import errors
from ..errors import CallFailed, ErrorCode, MessageError, OcppjError, parse_error_code
from ..secrets import mask_secrets

__all__ = ["error_from_json", "error_to_json"]

_UNREADABLE = "another process ended it with an error that cannot be read"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_number_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _is_any(value: Any) -> bool:
    return True


#: The attributes that are JSON, and what they must be.
_PLAIN: Dict[str, Callable[[Any], bool]] = {
    "description": _is_text,
    "message_id": _is_text_or_none,
    "client_id": _is_text_or_none,
    "action": _is_text_or_none,
    "details": lambda value: isinstance(value, dict),
    "path": _is_text,
    "payload": _is_any,
    "maybe_sent": lambda value: isinstance(value, bool),
    "answerable": lambda value: isinstance(value, bool),
    "message_type": _is_number_or_none,
    "visible_type": _is_number_or_none,
    "visible_id": _is_text_or_none,
}


def error_to_json(error: BaseException) -> Dict[str, Any]:
    """Return ``error`` as JSON values. An error that is none of this library becomes a `CallFailed` with its text."""
    kind = _public_class(type(error))
    if kind is None:
        text = mask_secrets(f"{type(error).__name__}: {error}"[:500])
        return {"class": "CallFailed", "text": text, "description": text}
    data: Dict[str, Any] = {"class": kind.__name__, "text": str(error.args[0]) if error.args else ""}
    for name in _PLAIN:
        if hasattr(error, name):
            data[name] = getattr(error, name)
    code, time, cause = (getattr(error, name, None) for name in ("code", "time", "error"))
    if code is not None:
        data["code"] = str(code)
    if isinstance(time, datetime):
        data["time"] = time.isoformat()
    if isinstance(cause, MessageError):
        data["error"] = error_to_json(cause)
    return data


def error_from_json(data: Mapping[str, Any]) -> OcppjError:
    """Return the error of `error_to_json`. Of what cannot be read becomes a `CallFailed`. Never raises."""
    try:
        return _read(data)
    except Exception:
        return CallFailed(_UNREADABLE)


def _read(data: Mapping[str, Any]) -> OcppjError:
    text = data["text"] if _is_text(data.get("text")) else _UNREADABLE
    kind = _class_of(data.get("class"))
    if kind is None:
        error: OcppjError = CallFailed(text)
    elif issubclass(kind, errors.InvalidResponse):
        cause = error_from_json(data["error"])
        assert isinstance(cause, MessageError)
        error = kind(cause)
    else:
        error = _bare(kind, text, data)
    for name, is_right in _PLAIN.items():
        if name in data and is_right(data[name]):
            _set(error, name, data[name])
    if isinstance(data.get("code"), str):
        _set(error, "code", parse_error_code(data["code"]))
    if isinstance(data.get("time"), str) and isinstance(error, CallFailed):
        error.time = datetime.fromisoformat(data["time"])
    return error


def _set(error: OcppjError, name: str, value: Any) -> None:
    """Set an attribute that errors of that class have, unless it is so already."""
    if hasattr(error, name) and getattr(error, name) != value:
        setattr(error, name, value)


def _bare(kind: Type[OcppjError], text: str, data: Mapping[str, Any]) -> OcppjError:
    """Return an error of that class, with its attributes as they are before anything is known."""
    code: Any = parse_error_code(data["code"]) if isinstance(data.get("code"), str) else ErrorCode.GENERIC_ERROR
    if issubclass(kind, errors.OCPPError):
        about: List[Any] = [data.get(name) for name in ("description", "details", "message_id")]
        return kind(code, *about)
    if issubclass(kind, MessageError):
        return kind(code, text)
    if issubclass(kind, errors.ValidationError):
        return kind(code, "", text)
    return kind(text)


def _class_of(name: Any) -> Optional[Type[OcppjError]]:
    """Return the class of `ocppj.errors` of that name, if errors of it can be made."""
    kind: Any = getattr(errors, name, None) if isinstance(name, str) else None
    if not isinstance(kind, type) or not issubclass(kind, OcppjError):
        return None
    known: Type[OcppjError] = kind
    return _CHANGED.get(known, known)


def _public_class(kind: type) -> Optional[Type[OcppjError]]:
    """Return the class itself, or the nearest one above it that is in `ocppj.errors`."""
    for each in kind.__mro__:
        if getattr(errors, each.__name__, None) is each and issubclass(each, OcppjError):
            known: Type[OcppjError] = each
            return known
    return None


#: What has arguments that another process has no use for.
_CHANGED: Dict[type, Type[OcppjError]] = {errors.HandshakeRefused: errors.TransportError}
