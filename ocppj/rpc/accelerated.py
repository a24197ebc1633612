"""Faster checks: simple and plain schemas, and ``jsonschema-rs``. Only this module imports ``jsonschema_rs``.

A simple schema uses only keywords that a `Part` knows, and no reference that cannot be replaced. Any other schema,
which only a program can bring, is left to ``jsonschema``, unchanged. A plain schema is a simple one whose keywords mean
the same to ``jsonschema-rs`` (a test compares them on thousands of payloads). All bundled schemas are plain after
`simplify_schema`.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable, Dict, Mapping, Match, NamedTuple, Optional

from ..made_code import to_text
from .text_rules import REQUIRED_WHEN

__all__ = ["SimpleSchema", "build_quick_check", "is_usual_datetime", "simplify_schema"]

_DRAFT_04 = "http://json-schema.org/draft-04/schema"
_DRAFTS = (_DRAFT_04, "http://json-schema.org/draft-06/schema", "http://json-schema.org/draft-07/schema")
_DEFINITIONS = "#/definitions/"
#: No schema of OCPP is so deep. A schema that refers to itself has no end.
_MAX_DEPTH = 30
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_SCALARS = (str, int, float, bool, type(None))
_ANNOTATIONS = frozenset({"$comment", "comment", "default", "description", "examples", "javaType", "title"})
_LENGTHS = frozenset({"maxItems", "maxLength", "minItems", "minLength"})
_LIMITS = frozenset({"maximum", "minimum", "multipleOf"})
#: These came, or changed, after draft-04.
_NEW_LIMITS = frozenset({"exclusiveMaximum", "exclusiveMinimum"})
#: Older versions (0.34, 0.42) crash the interpreter when a payload has a lone surrogate, which any peer may send.
_MIN_VERSION = (0, 49)
#: A regular expression for nearly all valid date-times. A call back from Rust takes as long as the rest of a check.
#: Other texts, such as February 29 or a leap second, may be valid too: a function decides.
USUAL_DATE_TIME = (
    "^(?:19[7-9]|20[0-9])[0-9]-"
    "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$"
)
is_usual_datetime: Callable[[str], Optional[Match[str]]] = re.compile(USUAL_DATE_TIME).fullmatch


class SimpleSchema(NamedTuple):
    """A schema without references and annotations, and whether it is plain."""

    schema: Dict[str, Any]
    is_plain: bool


class _NotSimpleError(Exception):
    """A schema is not simple."""


def simplify_schema(schema: Mapping[str, Any]) -> Optional[SimpleSchema]:
    """Return ``schema`` as a simple schema: references replaced, annotations dropped. ``None`` if that cannot be done.

    A simple schema means the same in drafts 4, 6 and 7, except for "integer": the rule of draft-06 is meant, where 1.0
    is one.
    """
    draft = str(schema.get("$schema", _DRAFTS[1])).rstrip("#")
    if draft not in _DRAFTS:
        return None
    top = {key: value for key, value in schema.items() if key not in ("$schema", "$id", "id", "definitions")}
    simplifier = _Simplifier(schema.get("definitions", {}), draft)
    try:
        return SimpleSchema(simplifier.simplify(top, 0), simplifier.is_plain)
    except _NotSimpleError:
        return None


class _Simplifier:
    """Simplifies one schema. ``is_plain`` says whether all that it has met is plain."""

    def __init__(self, definitions: Mapping[str, Any], draft: str) -> None:
        self._definitions = definitions
        self._is_draft_04 = draft == _DRAFT_04
        self.is_plain = True

    def simplify(self, schema: Any, depth: int) -> Dict[str, Any]:
        if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
            raise _NotSimpleError
        if "$ref" in schema:  # keywords beside it are ignored up to draft-07
            name = str(schema["$ref"])
            if not name.startswith(_DEFINITIONS) or name[len(_DEFINITIONS) :] not in self._definitions:
                raise _NotSimpleError
            return self.simplify(self._definitions[name[len(_DEFINITIONS) :]], depth + 1)
        reduced: Dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword == "properties" and isinstance(value, Mapping):
                reduced[keyword] = {to_text(name): self.simplify(each, depth + 1) for name, each in value.items()}
            elif keyword == "items":
                reduced[keyword] = self.simplify(value, depth + 1)
            elif self._is_check(keyword, value, schema):
                reduced[keyword] = list(map(to_text, value)) if isinstance(value, list) else to_text(value)
        return reduced

    def _is_check(self, keyword: str, value: Any, schema: Mapping[str, Any]) -> bool:
        """Tell whether a keyword without schemas inside checks something. An unknown one raises `_NotSimpleError`."""
        if keyword in _ANNOTATIONS or (keyword == "additionalItems" and isinstance(schema.get("items"), Mapping)):
            return False
        if keyword == "const" and self._is_draft_04:
            return False
        if keyword == "format":
            return bool(value == "date-time")  # other formats are not checked
        if not _is_plain_check(keyword, value):
            self.is_plain = False
            if not _is_simple_check(keyword, value) or (self._is_draft_04 and keyword in _NEW_LIMITS):
                raise _NotSimpleError
        return True


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_plain_check(keyword: str, value: Any) -> bool:
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return bool(
        (keyword == "type" and isinstance(value, str) and value in _TYPES)
        or (keyword in ("enum", "required") and texts)
        or (keyword in _LENGTHS and _is_number(value) and value == int(value))
        or (keyword in _LIMITS and _is_number(value))
        or (keyword == "additionalProperties" and isinstance(value, bool))
    )


def _is_simple_check(keyword: str, value: Any) -> bool:
    """Tell whether a `Part` knows a keyword that is not plain."""
    members = value if keyword == "enum" else [value]
    return bool(
        (keyword == "type" and isinstance(value, list) and all(each in _TYPES for each in value))
        or (keyword in ("enum", "const") and all(type(each) in _SCALARS for each in members))
        or (keyword == "pattern" and isinstance(value, str))
        or (keyword == "uniqueItems" and isinstance(value, bool))
        or (keyword in _NEW_LIMITS and _is_number(value))
    )


def build_quick_check(
    plain: Mapping[str, Any],
    is_datetime: Callable[[str], bool],
    make_check: Callable[[Mapping[str, Any]], Callable[[Any], object]],
) -> Optional[Callable[[Any], object]]:
    """Return a function that returns true only for payloads that are valid. ``None`` without ``jsonschema-rs`` 0.49.

    If it returns false or raises, a `Part` must decide. ``make_check`` makes the check of multiples for a simple
    schema: the versions of ``jsonschema-rs`` differ, for example about 21.400000000000002 and 0.1.
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
    multiples = _keep_multiples(plain)
    if not multiples:
        return check
    check_multiples = make_check(multiples)
    return lambda payload: check(payload) and check_multiples(payload)


_ADAPTED = frozenset({"format", "multipleOf", REQUIRED_WHEN})


def _adapt_schema(schema: Mapping[str, Any]) -> Dict[str, Any]:
    """Return ``schema`` without multiples, and with the pattern of date-times before the function for them."""
    reduced = {keyword: value for keyword, value in schema.items() if keyword not in _ADAPTED}
    if REQUIRED_WHEN in schema:
        needed, other, text = schema[REQUIRED_WHEN]
        other_has_text = {"required": [other], "properties": {other: {"enum": [text]}}}
        reduced["anyOf"] = [{"required": [needed]}, {"not": other_has_text}]
    if "format" in schema:  # date-time, the only one in a plain schema
        reduced["anyOf"] = [{"pattern": USUAL_DATE_TIME}, {"format": schema["format"]}]
    if "properties" in schema:
        reduced["properties"] = {name: _adapt_schema(each) for name, each in schema["properties"].items()}
    if "items" in schema:
        reduced["items"] = _adapt_schema(schema["items"])
    return reduced


def _keep_multiples(schema: Mapping[str, Any]) -> Dict[str, Any]:
    """Return what a plain schema says of multiples, and where they are. It may refuse values of other types."""
    if "multipleOf" in schema:
        return {"type": "number", "multipleOf": schema["multipleOf"]}
    parts = {name: _keep_multiples(each) for name, each in schema.get("properties", {}).items()}
    parts = {name: each for name, each in parts.items() if each}
    items = _keep_multiples(schema["items"]) if "items" in schema else {}
    kept = {**({"properties": parts} if parts else {}), **({"items": items} if items else {})}
    return {**({"type": schema["type"]} if "type" in schema else {}), **kept} if kept else {}
