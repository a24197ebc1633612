"""Payloads that break the rules, read as far as they go: the modes ``warn`` and ``off`` of `ocppj.settings.Validation`.

Only a payload that `Payload.from_wire` refused comes here, so nothing of it need be quick. What cannot be read is taken
out, the rest is read as ever, and the JSON values that came are put in the places of what was taken out.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import partial
from typing import Any, Dict, Mapping, Type, TypeVar

from .model import _UNREADABLE, Payload, Reader, _plan_of, parse_datetime

__all__ = ["decode_leniently"]

P = TypeVar("P", bound=Payload)


def decode_leniently(cls: Type[P], data: Mapping[str, Any]) -> P:
    """Return the payload that the JSON object ``data`` describes, rules or no rules.

    What is required and missing is ``None``; a date-time without a zone is in UTC; any other value that cannot be read
    stays as it came, be it an item of a list or a whole object.
    """
    known = dict(data)
    odd: Dict[str, Any] = {}
    required = {
        each.name
        for each in fields(cls)  # type: ignore[arg-type]
        if each.default is MISSING and each.default_factory is MISSING
    }
    for name, attribute, read, *_ in _plan_of(cls).fields:
        if name not in data:
            if attribute in required:
                known[name] = None
        elif read is not None and data[name] is not None:
            try:
                read(data[name])
            except _UNREADABLE:
                known[name] = None
                odd[attribute] = _rescued(read, data[name])
    payload = cls.from_wire(known)
    for attribute, value in odd.items():
        object.__setattr__(payload, attribute, value)  # the class may be frozen
    return payload


def _rescued(read: Reader, value: Any) -> Any:
    """Return what can be made of ``value``, which ``read`` refused."""
    owner = getattr(read, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, Payload):
        return decode_leniently(owner, value) if isinstance(value, Mapping) else value
    if isinstance(read, partial):  # of a list, with the reader of its items
        item = read.args[0]
        return [_item(item, each) for each in value] if isinstance(value, (list, tuple)) else value
    if read is parse_datetime and isinstance(value, str):
        try:
            return parse_datetime(value + "Z")
        except ValueError:
            return value
    return value


def _item(read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except _UNREADABLE:
        return _rescued(read, value)
