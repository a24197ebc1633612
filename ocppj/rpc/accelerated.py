"""What makes checking quick: schemas reduced to what judges, and the verdict of ``jsonschema-rs``. Its only importer.

A plain schema is one that uses only the keywords below, on which ``jsonschema`` and ``jsonschema-rs`` agree (a test
compares them on thousands of payloads). All bundled schemas are plain. One that is not, of a program's own, is
judged by ``jsonschema`` alone, exactly as it was given.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

__all__ = ["plain_schema", "quick_verdict"]

_DRAFTS = ("http://json-schema.org/draft-04/schema", "http://json-schema.org/draft-06/schema",
           "http://json-schema.org/draft-07/schema")  # fmt: skip
_LOCAL = "#/definitions/"
#: Deeper than any schema of OCPP; one that refers to itself has no end.
_DEEPEST = 30
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_SILENT = frozenset({"$comment", "comment", "default", "description", "examples", "javaType", "title"})
_LENGTHS = frozenset({"maxItems", "maxLength", "minItems", "minLength"})
_LIMITS = frozenset({"maximum", "minimum", "multipleOf"})


#: Versions before (0.34, 0.42) crash the interpreter over a lone surrogate, which any peer may send.
_OLDEST = (0, 49)


#: Date-times that are surely right, in a regular expression: to call back from Rust takes as long as all the rest of a
#: check. Others, such as February 29 or a leap second, may be right: they are left to the function.
USUAL_DATE_TIME = (
    "^(?:19[7-9]|20[0-9])[0-9]-"
    "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)


class _NotPlainError(Exception):
    """A schema uses what `plain_schema` does not know."""


def plain_schema(schema: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """Return ``schema`` with its references filled in and without what judges nothing; ``None`` when it is not plain.

    What is returned means the same in every draft, but for "integer", which is draft-06's: 1.0 is one.
    """
    if str(schema.get("$schema", _DRAFTS[0])).rstrip("#") not in _DRAFTS:
        return None
    definitions = schema.get("definitions", {})
    top = {key: value for key, value in schema.items() if key not in ("$schema", "$id", "id", "definitions")}
    try:
        return _plain(top, definitions, 0)
    except _NotPlainError:
        return None


def _plain(schema: Any, definitions: Mapping[str, Any], depth: int) -> Dict[str, Any]:
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        raise _NotPlainError
    if "$ref" in schema:  # what stands beside it is ignored up to draft-07
        name = str(schema["$ref"])
        if not name.startswith(_LOCAL) or name[len(_LOCAL) :] not in definitions:
            raise _NotPlainError
        return _plain(definitions[name[len(_LOCAL) :]], definitions, depth + 1)
    reduced: Dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == "properties" and isinstance(value, Mapping):
            reduced[keyword] = {name: _plain(each, definitions, depth + 1) for name, each in value.items()}
        elif keyword == "items":
            reduced[keyword] = _plain(value, definitions, depth + 1)
        elif _judges(keyword, value, schema):
            reduced[keyword] = value
    return reduced


def _judges(keyword: str, value: Any, schema: Mapping[str, Any]) -> bool:
    """Tell whether a keyword without schemas inside is to be kept. Raises `_NotPlainError` for an unknown one."""
    if keyword in _SILENT or (keyword == "additionalItems" and isinstance(schema.get("items"), Mapping)):
        return False
    if keyword == "format":
        return bool(value == "date-time")  # no other is checked
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    known = (
        (keyword == "type" and isinstance(value, str) and value in _TYPES)
        or (
            keyword in ("enum", "required") and isinstance(value, list) and all(isinstance(each, str) for each in value)
        )
        or (keyword in _LENGTHS and number and value == int(value))
        or (keyword in _LIMITS and number)
        or (keyword == "additionalProperties" and isinstance(value, bool))
    )
    if not known:
        raise _NotPlainError
    return True


def quick_verdict(
    plain: Mapping[str, Any], is_datetime: Callable[[str], bool], is_multiple: Callable[[Any, Any], bool]
) -> Optional[Callable[[Any], bool]]:
    """Return a function that tells whether a payload keeps to ``plain``, or ``None`` without ``jsonschema-rs`` 0.49.

    When it says yes, so does ``jsonschema``. When it says no or raises, ``jsonschema`` is to be asked. The functions
    given are the rules of dates and of multiples: its versions differ about 21.400000000000002 and 0.1.
    """
    try:
        import jsonschema_rs
    except ImportError:
        return None
    if _version("jsonschema-rs") < _OLDEST:
        return None
    formats: Dict[str, Callable[[str], bool]] = {"date-time": is_datetime}
    judge = jsonschema_rs.Draft6Validator(_as_asked(plain), formats=formats, validate_formats=True).is_valid
    multiples = _multiples(plain, is_multiple)
    if multiples is None:
        return judge
    return lambda payload: judge(payload) and multiples(payload)


def _version(package: str) -> Tuple[int, ...]:
    try:
        return tuple(int(number) for number in version(package).split(".")[:2])
    except (PackageNotFoundError, ValueError):  # installed in some way of its own
        return (0,)


def _as_asked(schema: Mapping[str, Any]) -> Dict[str, Any]:
    """Return ``schema`` without multiples, and with the pattern for date-times before the function for them."""
    reduced = {keyword: value for keyword, value in schema.items() if keyword not in ("format", "multipleOf")}
    if "format" in schema:  # date-time is the only one in a plain schema
        reduced["anyOf"] = [{"pattern": USUAL_DATE_TIME}, {"format": schema["format"]}]
    if "properties" in schema:
        reduced["properties"] = {name: _as_asked(each) for name, each in schema["properties"].items()}
    if "items" in schema:
        reduced["items"] = _as_asked(schema["items"])
    return reduced


def _multiples(schema: Mapping[str, Any], is_multiple: Callable[[Any, Any], bool]) -> Optional[Callable[[Any], bool]]:
    """Return a function that looks at the numbers that are to be multiples; ``None`` where there are none."""
    step = schema.get("multipleOf")
    parts = {name: _multiples(each, is_multiple) for name, each in schema.get("properties", {}).items()}
    parts = {name: part for name, part in parts.items() if part is not None}
    items = _multiples(schema["items"], is_multiple) if "items" in schema else None
    if step is None and items is None and not parts:
        return None

    def look(value: Any) -> bool:
        if isinstance(value, dict):
            return all(part(value[name]) for name, part in parts.items() if part is not None and name in value)
        if isinstance(value, list):
            return items is None or all(map(items, value))
        return step is None or is_multiple(value, step)

    return look
