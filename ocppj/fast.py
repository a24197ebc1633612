"""What makes checking quick: schemas reduced to what judges, and the verdict of ``jsonschema-rs``. Its only importer.

A plain schema is one that uses only the keywords below, on which ``jsonschema`` and ``jsonschema-rs`` agree (a test
compares them on thousands of payloads). All bundled schemas are plain. One that is not, of a program's own, is
judged by ``jsonschema`` alone, exactly as it was given.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional

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
#: Beyond, no float has a decimal place: there ``jsonschema-rs`` is not asked about multiples of decimals.
_TENTHS_END = 1e14


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
        elif keyword == "items" or (keyword == "additionalProperties" and not isinstance(value, bool)):
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
        or (keyword == "additionalProperties")
    )
    if not known:
        raise _NotPlainError
    return True


def quick_verdict(plain: Mapping[str, Any], is_datetime: Callable[[str], bool]) -> Optional[Callable[[Any], bool]]:
    """Return a function that tells whether a payload keeps to ``plain``, or ``None`` without ``jsonschema-rs``.

    When it says yes, so does ``jsonschema``. When it says no or raises, ``jsonschema`` is to be asked.
    """
    try:
        import jsonschema_rs
    except ImportError:
        return None
    formats: Dict[str, Callable[[str], bool]] = {"date-time": is_datetime}
    schema = _bounded(plain)
    return jsonschema_rs.Draft6Validator(schema, formats=formats, validate_formats=True).is_valid


def _bounded(schema: Any) -> Any:
    """Return ``schema`` with a limit on each number that is to be a multiple.

    ``jsonschema-rs`` divides floats exactly, where `ocppj.validation` refuses those too large for decimal places.
    """
    if isinstance(schema, list):
        return [_bounded(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    bounded = {keyword: _bounded(value) for keyword, value in schema.items()}
    if isinstance(schema.get("multipleOf"), (int, float)):
        bounded["allOf"] = [{"minimum": -_TENTHS_END, "maximum": _TENTHS_END}]
    return bounded
