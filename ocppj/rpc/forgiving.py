"""What the mode ``standard`` forgives a peer: faults that peers of good name have, and that do no harm.

Only a payload that its schema refuses comes here. The faults are mended in a copy, which is then checked and decoded as
any other payload.
"""

from __future__ import annotations

from datetime import timezone
from decimal import Decimal, DecimalException
from functools import lru_cache
from itertools import compress
from operator import itemgetter
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from ..payloads.datetimes import has_iso_form, has_rfc3339_form, parse_datetime, parse_iso_datetime
from .accelerated import is_usual_datetime
from .faults import format_path

__all__ = ["DESCRIPTIONS", "Forgiven", "Mender", "allow_left_out", "is_datetime", "is_left_out", "is_multiple"]

#: The kinds of faults that were forgiven, each with the path and the value of the first one.
Forgiven = Dict[str, Tuple[str, Any]]

#: How the log tells of each kind.
DESCRIPTIONS = {
    "date-time": "a date-time that is not RFC 3339 with a zone",
    "null": "null for an optional property",
    "empty list": "an empty list for an optional property",
    "multiple": "a number that is a little off its step",
}
#: Relative. The single precision that some peers calculate with is better than that.
_TOLERANCE = Decimal("1e-6")


#: The path, backwards, and the value of the first fault of each kind.
_Found = Dict[str, Tuple[List[Union[str, int]], Any]]
#: Takes a value, and what was found before. Returns the mended value, or the value itself.
_Mend = Callable[[Any, _Found], Any]
_LEFT_OUT = object()


class Mender:
    """Mends the values of one plain schema. It is analysed once: most of what is in a payload need not be looked at.

    Args:
        schema: The schema, or a part of one: that of a property or of items.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        parts = schema.get("properties", {})
        # The properties that are left out if they are null, or an empty list.
        self._nulls = {name for name in parts if is_left_out(schema, name, None)}
        self._empties = {name for name in parts if is_left_out(schema, name, [])}
        # How the properties and the items are mended, by the type of the value; those alone that may be mended.
        ways = {name: Mender(each)._ways for name, each in parts.items()}
        self._parts = {name: each for name, each in ways.items() if each}
        self._items = Mender(schema["items"])._ways if "items" in schema else {}
        self._step: float = schema.get("multipleOf", 0)
        self._ways: Dict[type, _Mend] = {
            **({dict: self._mend_object} if self._parts or self._nulls or self._empties else {}),
            **({list: self._mend_list} if self._items else {}),
            **({str: _mend_text} if "format" in schema else {}),  # date-time, the only one in a plain schema
            **({int: self._mend_number, float: self._mend_number} if self._step else {}),
        }

    def forgive(self, payload: Any) -> Tuple[Any, Forgiven]:
        """Return ``payload`` with what its schema refuses mended, as far as it is forgiven; else ``payload`` itself.

        Also what was mended.
        """
        found: _Found = {}
        mended = self._ways.get(type(payload), _keep)(payload, found)
        return mended, {kind: (format_path(path[::-1]), value) for kind, (path, value) in found.items()}

    def _mend_object(self, value: Dict[str, Any], found: _Found) -> Dict[str, Any]:
        if "null" in found and None in value.values():  # the first one is noted: all others go at once
            kept = {name: each for name, each in value.items() if each is not None or name not in self._nulls}
            value = kept if len(kept) < len(value) else value
        mended, known, parts = value, len(found), self._parts
        for name, each in value.items():
            if not each:
                if not ((each is None and name in self._nulls) or (each == [] and name in self._empties)):
                    continue
                _note(found, "null" if each is None else "empty list", each)
                new = _LEFT_OUT
            elif name in parts:
                new = parts[name].get(type(each), _keep)(each, found)
            else:
                continue
            if new is not each:
                mended = dict(value) if mended is value else mended
                if new is _LEFT_OUT:
                    del mended[name]
                else:
                    mended[name] = new
                if len(found) > known:
                    known = _lead(found, known, name)
        return mended

    def _mend_list(self, value: List[Any], found: _Found) -> List[Any]:
        mended, known, ways = value, len(found), self._items
        # The filters run in C. In what is empty, or 0, nothing is mended.
        wanted = compress(enumerate(value), map(ways.__contains__, map(type, value)))
        for index, each in filter(itemgetter(1), wanted):
            new = ways[type(each)](each, found)
            if new is not each:
                mended = list(value) if mended is value else mended
                mended[index] = new
                if len(found) > known:
                    known = _lead(found, known, index)
        return mended

    def _mend_number(self, value: Any, found: _Found) -> Any:
        number = _round_to_multiple(value, self._step)
        if number is None:
            return value
        _note(found, "multiple", value)
        return number


def _keep(value: Any, found: _Found) -> Any:
    return value


def _mend_text(value: str, found: _Found) -> str:
    """Return a date-time that is not RFC 3339 as RFC 3339."""
    # RFC 3339 does not know the hour 24. What else has its form is one of its date-times, or none at all.
    if is_usual_datetime(value) or not has_iso_form(value) or (has_rfc3339_form(value) and value[11:13] != "24"):
        return value
    try:
        moment = parse_iso_datetime(value)
    except ValueError:
        return value
    _note(found, "date-time", value)
    text = moment.isoformat()
    return f"{text[:-6]}Z" if moment.tzinfo is timezone.utc else text  # that with "Z" is read quickly


def _note(found: _Found, kind: str, value: Any) -> None:
    if kind not in found:
        found[kind] = ([], value)


def _lead(found: _Found, known: int, step: Union[str, int]) -> int:
    """Add the step to a value to the paths of what was found there, after ``known`` others. Return their number."""
    for path, _ in list(found.values())[known:]:
        path.append(step)
    return len(found)


def is_left_out(schema: Mapping[str, Any], name: str, value: Any) -> bool:
    """Tell whether ``value`` stands for no value, and its schema refuses it: that of the optional property ``name``.

    ``schema`` is that of the object.
    """
    if not (value is None or value == []) or name in schema.get("required", ()):
        return False
    part = schema["properties"][name]
    return bool(part.get("type", "null") != "null" if value is None else part.get("minItems", 0) > 0)


def _round_to_multiple(value: Any, step: float) -> Optional[float]:
    """Return the multiple of ``step`` next to ``value``, if ``value`` is off, but by less than `_TOLERANCE`."""
    try:
        exact, unit = Decimal(repr(value)), _find_step(step)
        if exact % unit == 0:
            return None
        nearest = (exact / unit).to_integral_value() * unit
        return float(nearest) if abs(nearest - exact) < _TOLERANCE * abs(exact) else None
    except (DecimalException, ValueError):  # too many digits to divide
        return None


def allow_left_out(schema: Mapping[str, Any]) -> Dict[str, Any]:
    """Return ``schema``, which allows an empty list where it `is_left_out`, as far as keywords can say that."""
    changed = dict(schema)
    if "items" in schema:
        changed["items"] = allow_left_out(schema["items"])
    if "properties" in schema:
        parts = {name: allow_left_out(each) for name, each in schema["properties"].items()}
        for name, each in parts.items():
            if each.get("minItems") == 1 and is_left_out(schema, name, []):
                del each["minItems"]
        changed["properties"] = parts
    return changed


@lru_cache(maxsize=64)
def _find_step(step: float) -> Decimal:
    return Decimal(repr(step))


def is_datetime(value: object) -> bool:
    """Tell whether ``value`` is a date-time of RFC 3339. What is no text has another fault, its type."""
    if isinstance(value, str):
        try:
            parse_datetime(value)
        except ValueError:
            return False
    return True


def is_multiple(value: Any, step: float) -> bool:
    """Tell whether ``value`` is a multiple of ``step``, by their decimal texts: as a float, 21.4 is no multiple of 0.1.

    What is no number has another fault, its type.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return True
    try:
        return Decimal(repr(value)) % _find_step(step) == 0
    except (DecimalException, ValueError):  # too many digits to divide
        return False
