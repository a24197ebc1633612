"""Reads values of payloads that may break their schema: what cannot be read is left out."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, List, Optional

from ..payloads.datetimes import parse_iso_datetime

__all__ = ["first_text", "microseconds", "number", "objects", "part", "time_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LARGEST = 1e15


def microseconds(moment: datetime) -> int:
    """Return the microseconds from 1970 on. A time without a zone is one of UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    past = aware - _EPOCH
    return (past.days * 86400 + past.seconds) * 1_000_000 + past.microseconds


def part(holder: Any, *names: str) -> Any:
    """Return the value behind ``names``, from the outermost on. ``None``: there is none."""
    for name in names:
        if not isinstance(holder, dict):
            return None
        holder = holder.get(name)
    return holder


def objects(value: Any) -> List[Dict[str, Any]]:
    """Return the objects of a list. Anything else has none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def number(value: Any) -> Optional[float]:
    """Return a number, or the number that a text has. ``None``: it is none, or too large to be a reading."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if -_LARGEST < found < _LARGEST else None


def first_text(*values: Any) -> str:
    """Return the first of ``values`` that is a text or a whole number, as a text. "": none is."""
    for value in values:
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return str(value)[:200]
    return ""


def time_of(value: Any, otherwise: int) -> int:
    """Return the microseconds of a date-time of a payload, or ``otherwise``."""
    if not isinstance(value, str):
        return otherwise
    try:
        return microseconds(parse_iso_datetime(value))
    except (ValueError, OverflowError):
        return otherwise
