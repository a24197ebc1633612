"""`compile_check`: a check in straight-line code, made for one schema.

The function says that a payload is valid, or that it does not know. Then a `Part` decides, and finds the fault. Each
kind of object in the schema has a function of its own. What is rare in schemas is left to a `Part` here, too.

A function may look for some faults alone: a `Part` that has found a fault asks so which values may have a better one.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Set, Tuple

from ..made_code import INDENT, Names, make_functions
from .accelerated import is_usual_datetime
from .fault_search import Halt, Part
from .faults import KEYWORDS, MISSING, TYPE, UNKNOWN, VALUE
from .forgiving import is_datetime, is_multiple
from .text_rules import REQUIRED_WHEN

__all__ = ["compile_check"]

#: By type: the test that a value has another type, and the keywords that the code knows for values of the type.
_WRONG_TYPE = {
    "string": "type({0}) is not str",
    "integer": "(type({0}) is not int and (type({0}) is not float or not {0}.is_integer()))",
    "number": "(type({0}) is not float and type({0}) is not int)",
    "boolean": "type({0}) is not bool",
    "null": "{0} is not None",
    "array": "type({0}) is not list",
}
_ITEM = "_item"
#: Lists in lists. Python has a limit of its own, 20.
_MAX_LOOPS = 5
#: Larger numbers are not in the source text. Python refuses to write those of thousands of digits.
_LARGE = 1 << 63
_OF_NUMBERS = frozenset({"minimum", "maximum", "multipleOf"})
_KNOWN = {
    "string": frozenset({"enum", "maxLength", "minLength", "format"}),
    "integer": _OF_NUMBERS,
    "number": _OF_NUMBERS,
    "boolean": frozenset(),
    "null": frozenset(),
    "array": frozenset({"items", "maxItems", "minItems"}),
    "object": frozenset({"properties", "required", "additionalProperties", REQUIRED_WHEN}),
}
#: By keyword: the test that a value of the right type breaks the rule. ``{1}`` is the limit.
_BROKEN = {
    "enum": "{0} not in {1}",
    "maxLength": "len({0}) > {1}",
    "minLength": "len({0}) < {1}",
    "format": "(not is_usual_datetime({0}) and not is_datetime({0}))",
    "maxItems": "len({0}) > {1}",
    "minItems": "len({0}) < {1}",
    "minimum": "{0} < {1}",  # NaN, which is no JSON, keeps each such rule
    "maximum": "{0} > {1}",
    "multipleOf": "not is_multiple({0}, {1})",
}


def compile_check(
    name: str, schema: Mapping[str, Any], rank: int = VALUE, levels: float = math.inf
) -> Callable[[Any], object]:
    """Return a function that returns true only for values that are valid, and for nearly all of them.

    For others it returns ``False``, or a `Halt` if it has stopped in a list of objects.

    Args:
        name: The name of the schema, for tracebacks.
        schema: A schema that `ocppj.rpc.accelerated.simplify_schema` returns.
        rank: The highest rank of faults that count. A value with other faults alone is valid.
        levels: To which depth they count. Below only those of lower ranks do. The value itself is the first level.
    """
    writer = _Writer()
    writer.write_function("check", schema, rank, levels)
    check: Callable[[Any], object] = make_functions(f"check of {name}", writer.lines, writer.names)["check"]
    return check


class _Writer:
    """Writes the functions that check one schema.

    Attributes:
        lines: The source text.
        names: The global names that the source text uses.
    """

    def __init__(self) -> None:
        self.lines: List[str] = []
        self.names = Names(
            is_datetime=is_datetime, is_multiple=is_multiple, is_usual_datetime=is_usual_datetime, Halt=Halt
        )
        self._functions: Dict[Tuple[str, int, float], str] = {}  # by the text of their schema, and which faults count
        self._with_lists: Set[str] = set()  # those that may return a `Halt`

    def write_function(self, name: str, schema: Mapping[str, Any], rank: int, levels: float) -> None:
        """Write the function ``name`` that checks a value by ``schema``."""
        body = self._list_object(schema, rank, levels) if _is_object(schema) else []
        if not body:
            body = [*self._list_value(schema, "value", "value", rank, levels), "return True"]
        self._add_function(name, body)

    def _name(self, value: object) -> str:
        """Return the name that ``value`` has in the source text."""
        return repr(value) if type(value) is int and abs(value) < _LARGE else self.names.add(value)

    def _find_function(self, schema: Mapping[str, Any], rank: int, levels: float) -> str:
        """Return the name of the function that checks objects by ``schema``, or "" if there is nothing to check.

        Equal schemas have one function.
        """
        key = repr(schema), rank, levels
        if key not in self._functions:
            body = self._list_object(schema, rank, levels)
            self._functions[key] = name = f"check_{len(self._functions) + 1}" if body else ""
            self._add_function(name, body)
        return self._functions[key]

    def _add_function(self, name: str, body: List[str]) -> None:
        if body:
            self.lines += [f"def {name}(value):", *(INDENT + line for line in body)]
            if any("Halt(" in line or "return inside" in line for line in body):
                self._with_lists.add(name)

    def _list_object(self, schema: Mapping[str, Any], rank: int, levels: float) -> List[str]:
        """Return the lines of the function that checks objects by ``schema``; none if there is nothing to check."""
        inner = _limit(rank, levels - 1)
        required = schema.get("required", ()) if inner >= MISSING else ()
        parts = schema.get("properties", {})
        is_closed = schema.get("additionalProperties", True) is False and inner >= UNKNOWN
        is_counted = is_closed and inner == VALUE  # else most properties are not looked at
        lines = [line for name in required if name not in parts for line in _refuse(f"{name!r} not in value")]
        if REQUIRED_WHEN in schema and inner >= MISSING:
            needed, other, text = schema[REQUIRED_WHEN]
            lines += _refuse(f"{needed!r} not in value and value.get({other!r}) == {text!r}")
        if is_counted:
            lines.append("unknown = len(value)")
        elif is_closed:
            lines += _refuse(f"not value.keys() <= {self.names.add(frozenset(parts))}")
        for name, part in parts.items():
            inside = self._list_value(part, f"value[{name!r}]", "each", rank, levels - 1)
            if is_counted:
                inside.append("unknown -= 1")
            if name in required:
                lines += [*_refuse(f"{name!r} not in value"), *inside]
            elif inside:
                lines += [f"if {name!r} in value:", *(INDENT + line for line in inside)]
        if not lines and rank < TYPE:
            return []
        head = ["if type(value) is not dict:", f"{INDENT}return {rank < TYPE}"]
        return [*head, *lines, "return unknown == 0" if is_counted else "return True"]

    def _list_call(self, function: str, value: str, holder: str) -> List[str]:
        """Return the lines that call ``function`` with an object, which may be an item of the list ``holder``."""
        if function in self._with_lists:
            answer = f"Halt({holder}, {value}, inside)" if holder else "inside"
            return [f"inside = {function}({value})", *_refuse("not inside", answer)]
        return _refuse(f"not {function}({value})", f"Halt({holder}, {value})" if holder else "False")

    def _list_value(
        self, schema: Mapping[str, Any], value: str, variable: str, rank: int, levels: float, holder: str = ""
    ) -> List[str]:
        """Return the lines that return ``False``, or a `Halt`, if the expression ``value`` is not valid.

        ``variable`` is a name that the lines may use. ``holder`` is that of the list with the value, if it is an item.
        """
        if levels <= 0:
            rank, levels = rank - 1, math.inf
        if not schema or rank < UNKNOWN:
            return []
        if _is_object(schema):
            function = self._find_function(schema, rank, levels)
            return self._list_call(function, value, holder) if function else []
        kind = schema.get("type")
        if not isinstance(kind, str) or not _keywords(schema) <= _KNOWN[kind] or variable.count(_ITEM) > _MAX_LOOPS:
            return _refuse(f"not {self._name(partial(Part(schema).keeps, rank, levels))}({value})")
        lines = self._list_tests(schema, kind, variable, rank)
        item = variable + _ITEM
        inside = self._list_value(schema["items"], item, item, rank, levels - 1, variable) if "items" in schema else []
        if inside:
            lines += [f"for {item} in {variable}:", *(INDENT + line for line in inside)]
        if lines and rank < TYPE:  # only lists have such rules
            lines = [f"if type({variable}) is list:", *(INDENT + line for line in lines)]
        return [f"{variable} = {value}", *lines] if lines and value != variable else lines

    def _list_tests(self, schema: Mapping[str, Any], kind: str, variable: str, rank: int) -> List[str]:
        """Return the lines for the rules of a value itself. Those for its type come first: the others rely on it."""
        tests = [_WRONG_TYPE[kind].format(variable)] if rank >= TYPE else []
        for keyword, limit in schema.items():
            if keyword in _BROKEN and KEYWORDS[keyword] <= rank:
                if keyword == "enum":
                    limit = frozenset(each for each in limit if isinstance(each, str))
                tests.append(_BROKEN[keyword].format(variable, self._name(limit)))
        return _refuse(" or ".join(tests)) if tests else []


def _limit(rank: int, levels: float) -> int:
    """Return the highest rank that counts where faults of ``rank`` count for that many levels more."""
    return rank if levels > 0 else rank - 1


def _is_object(schema: Mapping[str, Any]) -> bool:
    """Tell whether the code can check objects by ``schema``."""
    return schema.get("type") == "object" and _keywords(schema) <= _KNOWN["object"]


def _keywords(schema: Mapping[str, Any]) -> "frozenset[str]":
    return frozenset(schema) - {"type"}


def _refuse(test: str, answer: str = "False") -> List[str]:
    return [f"if {test}:", f"{INDENT}return {answer}"]
