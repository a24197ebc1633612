"""`compile_check`: a check in straight-line code, made for one schema.

The function says that a payload is valid, or that it does not know. Then a `Part` decides, and finds the fault. Each
kind of object in the schema has a function of its own. What is rare in schemas is left to a `Part` here, too.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Mapping

from ..made_code import INDENT, Names, make_functions
from .accelerated import USUAL_DATE_TIME
from .fault_search import Part
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
_is_usual_datetime = re.compile(USUAL_DATE_TIME).fullmatch


def compile_check(name: str, schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    """Return a function that returns true only for values that are valid, and for nearly all of them.

    Args:
        name: The name of the schema, for tracebacks.
        schema: A schema that `ocppj.rpc.accelerated.simplify_schema` returns.
    """
    writer = _Writer()
    writer.write_function("check", schema)
    check: Callable[[Any], bool] = make_functions(f"check of {name}", writer.lines, writer.names)["check"]
    return check


class _Writer:
    """Writes the functions that check one schema.

    Attributes:
        lines: The source text.
        names: The global names that the source text uses.
    """

    def __init__(self) -> None:
        self.lines: List[str] = []
        self.names = Names(is_datetime=is_datetime, is_multiple=is_multiple, is_usual_datetime=_is_usual_datetime)
        self._functions: Dict[str, str] = {}  # by the text of their schema

    def write_function(self, name: str, schema: Mapping[str, Any]) -> None:
        """Write the function ``name`` that checks a value by ``schema``."""
        if _is_object(schema):
            body = self._list_object(schema)
        else:
            body = [*self._list_value(schema, "value", "value"), "return True"]
        self.lines += [f"def {name}(value):", *(INDENT + line for line in body)]

    def _name(self, value: object) -> str:
        """Return the name that ``value`` has in the source text."""
        return repr(value) if type(value) is int and abs(value) < _LARGE else self.names.add(value)

    def _find_function(self, schema: Mapping[str, Any]) -> str:
        """Return the name of the function that checks objects by ``schema``. Equal schemas have one function."""
        text = repr(schema)
        if text not in self._functions:
            self._functions[text] = name = f"check_{len(self._functions) + 1}"
            self.write_function(name, schema)
        return self._functions[text]

    def _list_object(self, schema: Mapping[str, Any]) -> List[str]:
        required = schema.get("required", ())
        parts = schema.get("properties", {})
        is_closed = schema.get("additionalProperties", True) is False
        lines = ["if type(value) is not dict:", f"{INDENT}return False"]
        lines += [line for name in required if name not in parts for line in _refuse(f"{name!r} not in value")]
        if REQUIRED_WHEN in schema:
            needed, other, text = schema[REQUIRED_WHEN]
            lines += _refuse(f"{needed!r} not in value and value.get({other!r}) == {text!r}")
        if is_closed:
            lines.append("unknown = len(value)")
        for name, part in parts.items():
            inside = self._list_value(part, f"value[{name!r}]", "each")
            if is_closed:
                inside.append("unknown -= 1")
            if name in required:
                lines += [*_refuse(f"{name!r} not in value"), *inside]
            elif inside:
                lines += [f"if {name!r} in value:", *(INDENT + line for line in inside)]
        return [*lines, "return unknown == 0" if is_closed else "return True"]

    def _list_value(self, schema: Mapping[str, Any], value: str, variable: str) -> List[str]:
        """Return the lines that return ``False`` if the expression ``value`` is not valid.

        ``variable`` is a name that the lines may use.
        """
        if not schema:
            return []
        if _is_object(schema):
            return _refuse(f"not {self._find_function(schema)}({value})")
        kind = schema.get("type")
        if not isinstance(kind, str) or not _keywords(schema) <= _KNOWN[kind] or variable.count(_ITEM) > _MAX_LOOPS:
            return _refuse(f"not {self._name(Part(schema).is_valid)}({value})")
        tests = [_WRONG_TYPE[kind].format(variable)]
        for keyword, limit in schema.items():
            if keyword in _BROKEN:
                if keyword == "enum":
                    limit = frozenset(each for each in limit if isinstance(each, str))
                tests.append(_BROKEN[keyword].format(variable, self._name(limit)))
        lines = [*([] if value == variable else [f"{variable} = {value}"]), *_refuse(" or ".join(tests))]
        item = variable + _ITEM
        inside = self._list_value(schema["items"], item, item) if "items" in schema else []
        if inside:
            lines += [f"for {item} in {variable}:", *(INDENT + line for line in inside)]
        return lines


def _is_object(schema: Mapping[str, Any]) -> bool:
    """Tell whether the code can check objects by ``schema``."""
    return schema.get("type") == "object" and _keywords(schema) <= _KNOWN["object"]


def _keywords(schema: Mapping[str, Any]) -> "frozenset[str]":
    return frozenset(schema) - {"type"}


def _refuse(test: str) -> List[str]:
    return [f"if {test}:", f"{INDENT}return False"]
