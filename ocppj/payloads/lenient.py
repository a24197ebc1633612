"""Decodes payloads that break the rules, for the modes ``warn`` and ``off`` of `ocppj.settings.Validation`.

Only a payload that `Payload.from_wire` refuses comes here, so speed does not matter. Values that cannot be decoded are
taken out, the rest is decoded as usual, and then these values are put in their places as they came.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import MISSING, fields
from functools import partial
from typing import Any, Dict, Mapping, Type, TypeVar

from .model import DECODE_ERRORS, Decoder, Payload, get_plan, parse_datetime

__all__ = ["decode_leniently"]

P = TypeVar("P", bound=Payload)


def decode_leniently(cls: Type[P], data: Mapping[str, Any]) -> P:
    """Return the payload of the JSON object ``data``, even if it breaks the rules.

    A required property that is missing becomes ``None``. A date-time without a zone is read as UTC. Any other value
    that cannot be decoded stays the JSON value. It may be an item of a list or a whole object.
    """
    valid = dict(data)
    refused: Dict[str, Any] = {}
    own: Any = fields(cls)  # type: ignore[arg-type]
    required = {each.name for each in own if each.default is MISSING and each.default_factory is MISSING}
    for name, attribute, decode, *_ in get_plan(cls).fields:
        if name not in data:
            if attribute in required:
                valid[name] = None
        elif decode is not None and data[name] is not None:
            try:
                decode(data[name])
            except DECODE_ERRORS:
                valid[name] = None
                refused[attribute] = _decode_refused(decode, data[name])
    payload = cls.from_wire(valid)
    for attribute, value in refused.items():
        object.__setattr__(payload, attribute, value)  # the class may be frozen
    return payload


def _decode_refused(decode: Decoder, value: Any) -> Any:
    """Return ``value``, which ``decode`` refuses, decoded as far as possible."""
    owner = getattr(decode, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, Payload):
        return decode_leniently(owner, value) if isinstance(value, Mapping) else value
    if isinstance(decode, partial):  # of a list: the argument decodes its items
        decode_item = decode.args[0]
        return [_decode_item(decode_item, each) for each in value] if isinstance(value, (list, tuple)) else value
    if decode is parse_datetime and isinstance(value, str):
        with suppress(ValueError):
            return parse_datetime(value + "Z")
    return value


def _decode_item(decode: Decoder, value: Any) -> Any:
    try:
        return decode(value)
    except DECODE_ERRORS:
        return _decode_refused(decode, value)
