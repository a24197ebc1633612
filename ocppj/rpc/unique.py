"""`has_no_double`: the rule "uniqueItems", in time that grows with the size of the list alone."""

from __future__ import annotations

from typing import Any, List, Set

__all__ = ["has_no_double"]


def has_no_double(items: List[Any]) -> bool:
    """Tell whether no two items are the same JSON value. 1 and 1.0 are the same; 1 and ``true`` are not.

    ``jsonschema`` compares each object with each other one.
    """
    seen: Set[object] = set()
    for each in items:
        key = _find_key(each)
        if key in seen:
            return False
        seen.add(key)
    return True


def _find_key(value: Any) -> object:
    """Return a key that equal JSON values have in common, and no others.

    Numbers become text, since a peer can choose numbers of the same hash, which would all be compared.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "list", tuple(map(_find_key, value))
    if isinstance(value, dict):
        return "dict", frozenset((name, _find_key(each)) for name, each in value.items())
    if isinstance(value, bool) or value is None:
        return "name", str(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return "number", hex(value)
    return "other", repr(value)
