"""Faster checks: plain schemas, and ``jsonschema-rs``. Only this module imports ``jsonschema_rs``.

A plain schema uses only the keywords below, for which ``jsonschema`` and ``jsonschema-rs`` agree (a test compares them
on thousands of payloads). All bundled schemas are plain after `simplify_schema`. Any other schema, which only a program
can bring, is left to ``jsonschema``, unchanged.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable, Dict, Mapping, Optional

__all__ = ["build_quick_check", "simplify_schema"]

_DRAFTS = ("http://json-schema.org/draft-04/schema", "http://json-schema.org/draft-06/schema",
           "http://json-schema.org/draft-07/schema")  # fmt: skip
_DEFINITIONS = "#/definitions/"
#: No schema of OCPP is so deep. A schema that refers to itself has no end.
_MAX_DEPTH = 30
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_ANNOTATIONS = frozenset({"$comment", "comment", "default", "description", "examples", "javaType", "title"})
_LENGTHS = frozenset({"maxItems", "maxLength", "minItems", "minLength"})
_LIMITS = frozenset({"maximum", "minimum", "multipleOf"})
#: Older versions (0.34, 0.42) crash the interpreter when a payload has a lone surrogate, which any peer may send.
_MIN_VERSION = (0, 49)
#: A regular expression for nearly all valid date-times. A call back from Rust takes as long as the rest of a check.
#: Other texts, such as February 29 or a leap second, may be valid too: a function decides.
USUAL_DATE_TIME = (
    "^(?:19[7-9]|20[0-9])[0-9]-"
    "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)


class _NotPlainError(Exception):
    """A schema is not plain."""


def simplify_schema(schema: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    """Return ``schema`` as a plain schema: references replaced, annotations dropped. ``None`` if that cannot be done.

    A plain schema means the same in every draft, except for "integer": the rule of draft-06 is meant, where 1.0 is one.
    """
    if str(schema.get("$schema", _DRAFTS[0])).rstrip("#") not in _DRAFTS:
        return None
    definitions = schema.get("definitions", {})
    top = {key: value for key, value in schema.items() if key not in ("$schema", "$id", "id", "definitions")}
    try:
        return _simplify(top, definitions, 0)
    except _NotPlainError:
        return None


def _simplify(schema: Any, definitions: Mapping[str, Any], depth: int) -> Dict[str, Any]:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        raise _NotPlainError
    if "$ref" in schema:  # keywords beside it are ignored up to draft-07
        name = str(schema["$ref"])
        if not name.startswith(_DEFINITIONS) or name[len(_DEFINITIONS) :] not in definitions:
            raise _NotPlainError
        return _simplify(definitions[name[len(_DEFINITIONS) :]], definitions, depth + 1)
    reduced: Dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == "properties" and isinstance(value, Mapping):
            reduced[keyword] = {name: _simplify(each, definitions, depth + 1) for name, each in value.items()}
        elif keyword == "items":
            reduced[keyword] = _simplify(value, definitions, depth + 1)
        elif _is_check(keyword, value, schema):
            reduced[keyword] = value
    return reduced


def _is_check(keyword: str, value: Any, schema: Mapping[str, Any]) -> bool:
    """Tell whether a keyword without schemas inside checks something. Raises `_NotPlainError` for an unknown one."""
    if keyword in _ANNOTATIONS or (keyword == "additionalItems" and isinstance(schema.get("items"), Mapping)):
        return False
    if keyword == "format":
        return bool(value == "date-time")  # other formats are not checked
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    known = (
        (keyword == "type" and isinstance(value, str) and value in _TYPES)
        or (keyword in ("enum", "required") and texts)
        or (keyword in _LENGTHS and number and value == int(value))
        or (keyword in _LIMITS and number)
        or (keyword == "additionalProperties" and isinstance(value, bool))
    )
    if not known:
        raise _NotPlainError
    return True


def build_quick_check(
    plain: Mapping[str, Any], is_datetime: Callable[[str], bool], is_multiple: Callable[[Any, Any], bool]
) -> Optional[Callable[[Any], bool]]:
    """Return a function that returns true only for payloads that are valid. ``None`` without ``jsonschema-rs`` 0.49.

    If it returns false or raises, ``jsonschema`` must decide. ``is_multiple`` is given, since the versions of
    ``jsonschema-rs`` differ, for example about 21.400000000000002 and 0.1.
    """
    try:
        import jsonschema_rs
    except ImportError:
        return None
    try:
        installed = tuple(int(number) for number in version("jsonschema-rs").split(".")[:2])
    except (PackageNotFoundError, ValueError):  # installed without metadata
        return None
    if installed < _MIN_VERSION:
        return None
    formats: Dict[str, Callable[[str], bool]] = {"date-time": is_datetime}
    check = jsonschema_rs.Draft6Validator(_adapt_schema(plain), formats=formats, validate_formats=True).is_valid
    check_multiples = _build_multiple_check(plain, is_multiple)
    if check_multiples is None:
        return check
    return lambda payload: check(payload) and check_multiples(payload)


def _adapt_schema(schema: Mapping[str, Any]) -> Dict[str, Any]:
    """Return ``schema`` without multiples, and with the pattern of date-times before the function for them."""
    reduced = {keyword: value for keyword, value in schema.items() if keyword not in ("format", "multipleOf")}
    if "format" in schema:  # date-time, the only one in a plain schema
        reduced["anyOf"] = [{"pattern": USUAL_DATE_TIME}, {"format": schema["format"]}]
    if "properties" in schema:
        reduced["properties"] = {name: _adapt_schema(each) for name, each in schema["properties"].items()}
    if "items" in schema:
        reduced["items"] = _adapt_schema(schema["items"])
    return reduced


def _build_multiple_check(
    schema: Mapping[str, Any], is_multiple: Callable[[Any, Any], bool]
) -> Optional[Callable[[Any], bool]]:
    """Return a function that checks "multipleOf" in a payload, or ``None`` if the schema has none."""
    step = schema.get("multipleOf")
    parts = {name: _build_multiple_check(each, is_multiple) for name, each in schema.get("properties", {}).items()}
    parts = {name: part for name, part in parts.items() if part is not None}
    items = _build_multiple_check(schema["items"], is_multiple) if "items" in schema else None
    if step is None and items is None and not parts:
        return None

    def check(value: Any) -> bool:
        if isinstance(value, dict):
            return all(part(value[name]) for name, part in parts.items() if part is not None and name in value)
        if isinstance(value, list):
            return items is None or all(map(items, value))
        return step is None or is_multiple(value, step)

    return check
