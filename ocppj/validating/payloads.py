"""`check_payload_text`: what is wrong with one payload."""

from __future__ import annotations

import json
from typing import Optional

from ..errors import ErrorCode, ValidationError
from ..payloads.jsontext import MAX_DEPTH, decode, decode_loosely
from ..rpc.dialect import Dialect
from ..rpc.features import Feature
from ..rpc.validation import check_payload, forgive_and_check
from ..testing.rules import BrokenRule
from .schemas import MessageName, dialect_of

__all__ = ["check_payload_text"]


def check_payload_text(name: MessageName, text: str, mode: str = "strict") -> Optional[BrokenRule]:
    """Return what is wrong with a payload. ``None``: it is valid.

    Args:
        name: Which message it is.
        text: Its JSON text.
        mode: "strict", or "standard": then what that mode forgives is not wrong.
    """
    dialect, is_standard = dialect_of(name.version), mode == "standard"
    try:
        payload = (decode_loosely if is_standard else decode)(text, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        code = dialect.spellings[ErrorCode.FORMAT_VIOLATION]
        return BrokenRule(f"the payload is no valid JSON{where}", code, prefix=code)
    feature = _feature_of(dialect, name)
    try:
        if is_standard:
            forgive_and_check(feature, name.is_response, payload)
        else:
            check_payload(feature, name.is_response, payload)
    except ValidationError as error:
        code = dialect.spell(error.code)
        return BrokenRule(error.description, code, error.path, prefix=code)
    return None


def _feature_of(dialect: Dialect, name: MessageName) -> Feature:
    return Feature.bundled(dialect, name.action, answered=name.has_response)
