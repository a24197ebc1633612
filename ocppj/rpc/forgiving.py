"""What the mode ``standard`` forgives a peer: faults that peers of good name have, and that do no harm.

Only a payload that its schema refuses comes here, so speed does not matter. The faults are mended in a copy, which is
then checked and decoded as any other payload.
"""

from __future__ import annotations

from decimal import Decimal, DecimalException
from functools import lru_cache
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from ..payloads.datetimes import parse_datetime, parse_iso_datetime
from .faults import format_path

__all__ = ["DESCRIPTIONS", "Forgiven", "forgive", "is_datetime", "is_left_out", "is_multiple", "mend"]

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
_MISSING = object()


def forgive(schema: Mapping[str, Any], value: Any) -> Tuple[Any, Forgiven]:
    """Return ``value`` with what the plain ``schema`` refuses mended, as far as it is forgiven; else ``value`` itself.

    Also what was mended.
    """
    forgiving = _Forgiving()
    return forgiving.mend(schema, value), forgiving.found


class _Forgiving:
    """One walk through a payload."""

    def __init__(self) -> None:
        self.found: Forgiven = {}
        self._path: List[Union[str, int]] = []

    def mend(self, schema: Mapping[str, Any], value: Any) -> Any:
        if isinstance(value, dict):
            return self._mend_object(schema, value)
        if isinstance(value, list) and "items" in schema:
            items = [self._mend_inside(schema["items"], each, index) for index, each in enumerate(value)]
            return items if any(new is not old for new, old in zip(items, value)) else value
        mended = mend(schema, value)
        if mended is None:
            return value
        self._note(mended[0], value)
        return mended[1]

    def _mend_inside(self, schema: Mapping[str, Any], value: Any, step: Union[str, int]) -> Any:
        self._path.append(step)
        mended = self.mend(schema, value)
        self._path.pop()
        return mended

    def _mend_object(self, schema: Mapping[str, Any], value: Dict[str, Any]) -> Dict[str, Any]:
        parts = schema.get("properties", {})
        mended: Dict[str, Any] = {}
        for name, each in value.items():
            if name not in parts:
                mended[name] = each
            elif is_left_out(schema, name, each):
                self._path.append(name)
                self._note("null" if each is None else "empty list", each)
                self._path.pop()
            else:
                mended[name] = self._mend_inside(parts[name], each, name)
        is_changed = any(mended.get(name, _MISSING) is not each for name, each in value.items())
        return mended if is_changed else value

    def _note(self, kind: str, value: Any) -> None:
        if kind not in self.found:
            self.found[kind] = (format_path(self._path), value)


def mend(schema: Mapping[str, Any], value: Any, broken: str = "") -> Optional[Tuple[str, Any]]:
    """Return the kind of the fault of ``value`` that is forgiven, and what is read in its place; ``None``: nothing is.

    ``value`` is no list and no object. ``schema`` is its plain schema. ``broken`` is a keyword that ``value`` is known
    to break.
    """
    if isinstance(value, str) and "format" in schema:  # date-time, the only one in a plain schema
        text = None if broken != "format" and is_datetime(value) else _mend_datetime(value)
        return None if text is None else ("date-time", text)
    if "multipleOf" in schema and (broken == "multipleOf" or not is_multiple(value, schema["multipleOf"])):
        number = _round_to_multiple(value, schema["multipleOf"])
        return None if number is None else ("multiple", number)
    return None


def is_left_out(schema: Mapping[str, Any], name: str, value: Any) -> bool:
    """Tell whether ``value`` stands for no value, and its schema refuses it: that of the optional property ``name``.

    ``schema`` is that of the object.
    """
    if not (value is None or value == []) or name in schema.get("required", ()):
        return False
    part = schema["properties"][name]
    return bool(part.get("type", "null") != "null" if value is None else part.get("minItems", 0) > 0)


def _mend_datetime(text: str) -> Optional[str]:
    """Return ``text``, which is not RFC 3339, as RFC 3339 if it is a date-time in another form."""
    try:
        return parse_iso_datetime(text).isoformat()
    except ValueError:
        return None


def _round_to_multiple(value: Any, step: float) -> Optional[float]:
    """Return the multiple of ``step`` next to ``value``, if ``value`` is off by less than `_TOLERANCE`."""
    try:
        exact, unit = Decimal(repr(value)), _find_step(step)
        nearest = (exact / unit).to_integral_value() * unit
        return float(nearest) if abs(nearest - exact) < _TOLERANCE * abs(exact) else None
    except (DecimalException, ValueError):  # too many digits to divide
        return None


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
