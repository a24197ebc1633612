"""`Part`: searches a payload for the fault to name, in one walk.

A schema is compiled once, into a tree of parts. The walk visits each value at most once. It keeps the best fault so
far, and leaves out what cannot have a better one. Which items of a long list may have one, code that is made for the
schema says (`ocppj.rpc.compiled`): so a payload full of faults takes no longer than a valid one. Nothing is described
before the walk has ended.

The rules are those of drafts 4, 6 and 7 of JSON schema, as ``jsonschema`` reads them, and as this library changes them:
1.0 is an integer in every draft, and multiples are decided on the decimal text. tests/fuzz/test_faults.py holds the
results against those of ``jsonschema``.
"""

from __future__ import annotations

import math
import operator
import re
from functools import partial
from itertools import compress, count, repeat
from numbers import Number
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple, Union

from .faults import (
    KEYWORDS,
    MISSING,
    UNKNOWN,
    VALUE,
    Fault,
    Path,
    describe_missing,
    describe_rule,
    describe_unknown,
)
from .forgiving import allow_left_out, is_datetime, is_left_out, is_multiple
from .text_rules import REQUIRED_WHEN
from .unique import has_no_double

__all__ = ["Part", "is_whole"]

#: More than any rank: there can be no fault.
_NONE = VALUE + 1
#: If the lists have more items, code is made for the schema. For fewer it does not pay.
FEW_ITEMS = 20
_Step = Union[str, int]
#: Returns the check of values by a schema, for faults up to a rank, and how deep: see `ocppj.rpc.compiled`.
_MakeCheck = Callable[[Mapping[str, Any], int, float], Callable[[Any], object]]


class _Check(NamedTuple):
    """One rule for the values of one type."""

    rank: int
    is_met: Callable[[Any], Any]
    keyword: str
    limit: Any


class Halt:
    """What a made check returns for a value that is not valid; it is false. It says where the check has stopped.

    Args:
        items: A list. What stands in it before ``item`` is valid.
        item: The item.
        inside: The same for a list inside ``item``, if the check has stopped there.
    """

    __slots__ = ("inside", "item", "items")

    def __init__(self, items: List[Any], item: Any, inside: object = False) -> None:
        self.items: List[Any] = items
        self.item: Any = item
        self.inside: object = inside

    def __bool__(self) -> bool:
        return False


class _Best:
    """The best fault so far. Its path is kept backwards. It grows while the walk returns to the top."""

    __slots__ = ("depth", "describe", "is_mended", "items", "path", "rank", "stops")

    def __init__(self, rank: int = VALUE, depth: float = math.inf, is_mended: bool = False) -> None:
        self.rank = rank
        self.depth = depth
        self.path: List[_Step] = []
        self.describe: Callable[[Path], str] = str
        self.items = 0  # of all lists that were searched
        self.stops: Dict[int, Any] = {}  # the items at which checks have stopped, by the ids of their lists
        self.is_mended = is_mended  # whether what `is_left_out` is not there

    def limit(self, depth: int) -> int:
        """Return the highest rank that a better fault at ``depth`` may have. Among equals the first is the best."""
        return self.rank if depth < self.depth else self.rank - 1

    def note(self, refusal: object) -> None:
        """Note where a check has stopped, that found no better fault before."""
        while isinstance(refusal, Halt):
            self.stops[id(refusal.items)] = refusal.item
            refusal = refusal.inside

    def set(self, rank: int, depth: int, step: _Step, describe: Callable[[Path], str]) -> None:
        self.rank = rank
        self.depth = depth
        self.path = [step]
        self.describe = describe


class _First(_Best):
    """For the question whether there is any fault: the first one ends the walk."""

    __slots__ = ()

    def set(self, rank: int, depth: int, step: _Step, describe: Callable[[Path], str]) -> None:
        self.rank, self.depth = UNKNOWN, -1


class Part:
    """A schema that `ocppj.rpc.accelerated.simplify_schema` returns, or a part of one: that of a property or of items.

    Args:
        schema: The schema.
        make_check: Makes the checks for the items of long lists. ``None``: the walk visits them all.
    """

    __slots__ = ("_checks", "_holders", "_inside", "_is_closed", "_items", "_lists", "_lowest", "_made", "_make_check",
                 "_parts", "_required", "_required_when", "_schema")  # fmt: skip

    def __init__(self, schema: Mapping[str, Any], make_check: Optional[_MakeCheck] = None) -> None:
        self._schema = schema
        self._make_check = make_check if schema.get("type") == "object" else None
        self._made: Dict[Tuple[int, float, bool], Callable[[Any], object]] = {}  # what it has made
        self._checks: Dict[Any, Tuple[_Check, ...]] = {kind: _list_checks(schema, kind) for kind in _KINDS}
        self._parts = {name: Part(each, make_check) for name, each in schema.get("properties", {}).items()}
        self._items = Part(schema["items"], make_check) if "items" in schema else None
        self._is_closed = schema.get("additionalProperties", True) is False
        names = list(schema.get("required", ()))
        self._required = {name: names.index(name) for name in names}
        self._required_when: Optional[Tuple[str, str, str]] = schema.get(REQUIRED_WHEN)
        self._lists = [name for name, part in self._parts.items() if part._schema.keys() & {"minItems", "maxItems"}]
        # The types of values that may have a fault inside.
        self._holders = (*(() if self._items is None else (list,)), *((dict,) if self._has_rules_for_objects else ()))
        # The lowest rank that a fault may have: one inside a value, at any depth, and one there or of the value itself.
        self._inside = self._find_lowest_inside()
        self._lowest = min([self._inside, *(check.rank for checks in self._checks.values() for check in checks)])

    @property
    def _has_rules_for_objects(self) -> bool:
        return bool(self._parts or self._is_closed or self._required or self._required_when)

    def _find_lowest_inside(self) -> int:
        if self._is_closed:
            return UNKNOWN
        own = MISSING if self._required or self._required_when else _NONE
        inside = [*self._parts.values(), *([] if self._items is None else [self._items])]
        return min([own, *(part._lowest for part in inside)])

    def is_valid(self, payload: Any) -> bool:
        """Tell whether ``payload`` has no fault."""
        return self.keeps(VALUE, math.inf, payload)

    def keeps(self, rank: int, levels: float, value: Any) -> bool:
        """Tell whether ``value`` has no fault up to ``rank``, and deeper than ``levels`` none of a lower rank."""
        return not self._visit(value, 0, "", _First(rank, levels))

    def find(self, payload: Any, refusal: object = None) -> Optional[Fault]:
        """Return the fault of ``payload`` to name, or ``None`` if there is none.

        ``refusal`` is what the check returned that has refused it.
        """
        best = _Best()
        best.note(refusal)
        return self._find(payload, best)

    def find_not_mended(self, payload: Any, refusal: object = None) -> Tuple[Optional[Fault], bool]:
        """Return the same for the payload that `ocppj.rpc.forgiving.Mender` makes of this one.

        ``None``: it has no unknown properties, no missing ones, and no lists of the wrong length. Also return whether
        it has so long lists that `find` takes no longer than a check.
        """
        best = _Best(MISSING, is_mended=True)
        best.note(refusal)
        return self._find(payload, best), best.items > FEW_ITEMS

    def _find(self, payload: Any, best: _Best) -> Optional[Fault]:
        if not self._visit(payload, 0, "", best):
            return None
        path = tuple(best.path[-2::-1])  # without the step to the payload itself
        return Fault(best.rank, path, best.describe(path))

    # The walk. ``depth`` is that of ``value``, or, where it says so, that of what is inside it. Each method returns
    # whether it has set ``best``.

    def _visit(self, value: Any, depth: int, step: _Step, best: _Best) -> bool:
        """Search ``value`` and all that is inside it. ``step`` leads to it."""
        checks = self._checks.get(type(value))
        if checks is None:
            checks = self._checks[_kind_of(value)]
        found = False
        for rank, is_met, _, _ in checks:
            if rank > (best.rank if depth < best.depth else best.rank - 1):
                break
            if not is_met(value):
                best.set(rank, depth, step, partial(self._describe, rank, value))
                found = True
                break
        depth += 1
        if self._inside > (best.rank if depth < best.depth else best.rank - 1):
            return found
        if isinstance(value, dict):
            inside = self._search_object(value, depth, best)
        elif isinstance(value, list) and self._items is not None:
            inside = self._items._search_list(value, depth, best)
        else:
            return found
        if inside:
            best.path.append(step)
        return inside or found

    def _list_broken(self, value: Any) -> List[_Check]:
        """Return the rules that ``value`` itself breaks."""
        return [each for each in self._checks[_kind_of(value)] if not each.is_met(value)]

    def _describe(self, rank: int, value: Any, path: Path) -> str:
        """Return the description of a fault. Of several of that rank it is the first in the alphabet."""
        broken = [check for check in self._list_broken(value) if check.rank == rank]
        return min(describe_rule(check.keyword, check.limit, value, path) for check in broken)

    def _search_object(self, value: Dict[Any, Any], depth: int, best: _Best) -> bool:
        """Search the properties of ``value``, which are at ``depth``."""
        parts = self._parts
        if self._is_closed and not value.keys() <= parts.keys():
            name = next(each for each in value if each not in parts)
            best.set(UNKNOWN, depth, name, partial(_describe_property, describe_unknown, name))
            return True  # nothing inside is better
        limit = best.limit(depth)
        found = False
        if limit >= MISSING and not (self._required_when is None and self._required.keys() <= value.keys()):
            found = self._find_missing(value, depth, best)
            limit = best.limit(depth)
        for name, each in value.items():
            part = parts.get(name)
            if part is None or part._lowest > limit or (limit == UNKNOWN and not each):
                continue  # an empty object or list has nothing inside that is unknown
            if best.is_mended and self._leaves_out(name, each):
                continue
            if part._visit(each, depth, name, best):
                found = True
                limit = best.limit(depth)
        return found

    def _search_list(self, value: List[Any], depth: int, best: _Best) -> bool:
        """Search the items of ``value``, which are at ``depth``. This part is that of each item."""
        best.items += len(value)
        kinds = self._list_kinds(set(map(type, value)), depth, best)
        scalars = kinds.intersection(_SCALARS)
        broken = [self._find_broken(kind, value, best.limit(depth)) for kind in scalars]
        found, start = False, 0
        if id(value) in best.stops:
            start = next(compress(count(), map(partial(operator.is_, best.stops[id(value)]), value)))
            found = self._visit(value[start], depth, start, best)
            kinds, start = self._list_kinds(kinds, depth, best), start + 1
        kinds -= scalars
        while kinds or max(broken, default=-1) >= start:
            index = self._visit_next(value, start, kinds, broken, depth, best)
            if index is None:
                break
            found, start = True, index + 1
            kinds = self._list_kinds(kinds, depth, best)
        return found

    def _visit_next(
        self, items: List[Any], start: int, kinds: Set[type], broken: List[int], depth: int, best: _Best
    ) -> Optional[int]:
        """Visit ``items`` from ``start`` on, until one has the best fault so far. Return its index.

        Only those of the types ``kinds`` may have it, and those at the indexes ``broken``.
        """
        rest = items[start:] if start else items
        wanted = self._list_wanted(rest, kinds, depth, best)
        later = [index - start for index in broken if index >= start]
        if later:
            wanted = list(wanted)
            for index in later:
                wanted[index] = True
        is_kept = self._find_check(depth, best)
        for index, each in compress(enumerate(rest, start), wanted):
            answer = is_kept(each)
            if not answer:
                best.note(answer)
                if self._visit(each, depth, index, best):
                    return index
        return None

    def _list_wanted(self, items: List[Any], kinds: Set[type], depth: int, best: _Best) -> Iterable[bool]:
        """Tell of each item whether it is of a type that may have a better fault. All runs in C."""
        wanted = map(kinds.__contains__, map(type, items)) if kinds else repeat(False, len(items))
        if best.limit(depth + 1) > UNKNOWN or any(self._find_own_lowest(kind) <= best.limit(depth) for kind in kinds):
            return wanted
        return map(operator.and_, wanted, map(bool, items))  # an empty one has nothing inside that is unknown

    def _find_check(self, depth: int, best: _Best) -> Callable[[Any], object]:
        """Return the check that tells of an item, at ``depth``, that it has no better fault than ``best``."""
        if self._make_check is None or best.items <= FEW_ITEMS:
            return _never
        rank, levels = (best.rank, best.depth - depth) if depth < best.depth else (best.rank - 1, math.inf)
        key = rank, levels, best.is_mended
        check = self._made.get(key)
        if check is None:
            schema = allow_left_out(self._schema) if best.is_mended else self._schema
            check = self._made[key] = self._make_check(schema, rank, levels)
        return check

    def _list_kinds(self, kinds: Set[type], depth: int, best: _Best) -> Set[type]:
        """Return the types among ``kinds`` whose values may have a better fault, themselves or inside."""
        limit = best.limit(depth)
        holders = self._holders if self._inside <= best.limit(depth + 1) else ()
        return {kind for kind in kinds if self._find_own_lowest(kind) <= limit or issubclass(kind, holders)}

    def _find_broken(self, kind: type, items: List[Any], limit: int) -> int:
        """Return the index of the item of a type, such as text, that has the best fault up to ``limit``; or -1."""
        best = _NONE, -1
        types = list(map(type, items))
        first, number = types.index(kind), types.count(kind)
        for rank, is_met, _, _ in self._checks[kind]:
            if rank > min(limit, best[0]):
                break
            if not is_met(items[first]):  # often all are alike
                return first
            # All in C, or nearly all.
            chosen = repeat(True) if number == len(items) else list(map(partial(operator.is_, kind), types))
            broken = map(operator.not_, map(is_met, compress(items, chosen)))
            index = next(compress(compress(count(), chosen), broken), -1)
            if index >= 0:
                best = min(best, (rank, index))
        return best[1]

    def _find_own_lowest(self, kind: type) -> int:
        checks = self._checks.get(kind)
        return UNKNOWN if checks is None else checks[0].rank if checks else _NONE

    def _leaves_out(self, name: str, value: Any) -> bool:
        return not value and name in self._parts and is_left_out(self._schema, name, value)

    def _find_missing(self, value: Dict[Any, Any], depth: int, best: _Best) -> bool:
        """Search for a property that is missing. If there is one, a list of the wrong length may be the better fault.

        The place of such a list is its index in the object; that of a missing property, its index in "required".
        """
        missing = [(index, name) for name, index in self._required.items() if name not in value]
        if self._required_when is not None:
            needed, other, text = self._required_when
            if needed not in value and value.get(other) == text:
                missing.append((0, needed))
        if not missing:
            return False
        place, name = min(missing)
        best.set(MISSING, depth, name, partial(_describe_property, describe_missing, name))
        wrong = [each for each in self._lists if self._parts[each]._has_wrong_length(value.get(each))]
        if wrong:
            kept = [name for name in value if not (best.is_mended and self._leaves_out(name, value[name]))]
            index, first = min([(kept.index(each), each) for each in wrong if each in kept], default=(place, name))
            if (index, first) < (place, name):
                best.set(MISSING, depth, first, partial(self._parts[first]._describe, MISSING, value[first]))
        return True

    def _has_wrong_length(self, value: Any) -> bool:
        return isinstance(value, list) and any(check.rank == MISSING for check in self._list_broken(value))


def _describe_property(describe: Callable[[object, Path], str], name: object, path: Path) -> str:
    return describe(name, path[:-1])


# The rules for values of one type, by the keywords of the schema.

_NULL = type(None)
#: For values that are no JSON, such as a tuple.
_OTHER = object
_KINDS = (str, int, float, bool, _NULL, list, dict, _OTHER)
_NUMBERS = (int, float)
_SCALARS = (str, int, float, bool, _NULL)
_TYPES: Mapping[str, Tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": _NUMBERS,
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (_NULL,),
}


def _kind_of(value: object) -> type:
    """Return the JSON type of a value of any Python type."""
    kind = type(value)
    if kind in _KINDS:
        return kind
    for each in (str, int, float, list, dict):
        if isinstance(value, each):
            return each
    return float if isinstance(value, Number) else _OTHER


def is_whole(value: object) -> bool:
    """Tell whether ``value`` is an integer by the rule of draft-06, where 1.0 is one.

    JSON has one type of numbers. Most schemas of OCPP 1.6 are in draft-04, which has another rule, but those of its
    security extensions are in draft-06. Here one rule is for all.
    """
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _list_checks(schema: Mapping[str, Any], kind: type) -> Tuple[_Check, ...]:
    """Return the rules for values of the type ``kind``, by their ranks."""
    checks = []
    for keyword, limit in schema.items():
        is_met = _BUILDERS[keyword](limit, kind) if keyword in _BUILDERS else None
        if is_met is not None:
            checks.append(_Check(KEYWORDS[keyword], is_met, keyword, limit))
    return tuple(sorted(checks, key=lambda check: check.rank))


#: Returns the rule for values of a type, or ``None`` if the keyword has none for them.
_Builder = Callable[[Any, type], Optional[Callable[[Any], Any]]]


def _never(value: object) -> bool:
    return False


def _build_type(limit: Union[str, List[str]], kind: type) -> Optional[Callable[[Any], Any]]:
    names = [limit] if isinstance(limit, str) else limit
    if any(kind in _TYPES[name] for name in names):
        return None
    return is_whole if kind is float and "integer" in names else _never


def _build_members(limit: List[Any], kind: type) -> Optional[Callable[[Any], Any]]:
    """Return the rule that a value is one of ``limit``, none of which is a list or an object."""
    alike = _NUMBERS if kind in _NUMBERS else (kind,)
    members = frozenset(each for each in limit if type(each) in alike)
    return members.__contains__ if members else _never


def _build_for(kinds: Tuple[type, ...], build: Callable[[Any], Callable[[Any], Any]]) -> _Builder:
    return lambda limit, kind: build(limit) if kind in kinds else None


def _build_for_numbers(compare: Callable[[Any, Any], Any]) -> _Builder:
    """Return the builder of the rule ``compare(limit, number)``. NaN, which is no JSON, keeps each such rule."""

    def build(limit: Any, kind: type) -> Optional[Callable[[Any], Any]]:
        if kind is float:
            return lambda number: compare(limit, number) or number != number
        return partial(compare, limit) if kind is int else None

    return build


_TEXT, _LIST = (str,), (list,)
_BUILDERS: Mapping[str, _Builder] = {
    "type": _build_type,
    "enum": _build_members,
    "const": lambda limit, kind: _build_members([limit], kind),
    "format": lambda limit, kind: is_datetime if kind is str and limit == "date-time" else None,
    "minLength": _build_for(_TEXT, lambda limit: lambda text: len(text) >= limit),
    "maxLength": _build_for(_TEXT, lambda limit: lambda text: len(text) <= limit),
    "pattern": _build_for(_TEXT, lambda limit: partial(re.search, limit)),
    "minItems": _build_for(_LIST, lambda limit: lambda items: len(items) >= limit),
    "maxItems": _build_for(_LIST, lambda limit: lambda items: len(items) <= limit),
    "uniqueItems": lambda limit, kind: has_no_double if kind is list and limit else None,
    "minimum": _build_for_numbers(operator.le),
    "maximum": _build_for_numbers(operator.ge),
    "exclusiveMinimum": _build_for_numbers(operator.lt),
    "exclusiveMaximum": _build_for_numbers(operator.gt),
    "multipleOf": _build_for(_NUMBERS, lambda limit: lambda number: is_multiple(number, limit)),
}
