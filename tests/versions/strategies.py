"""Generates payloads from JSON schemas, and compares the meaning of schemas and payloads."""

import json
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Collection, Dict, Mapping

from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent.parent

# The tests of payloads have offsets of a day and years at the ends of the calendar. Here they are left out.
_MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2099, 12, 31))  # noqa: DTZ001
_ZONES = st.sampled_from(["Z", "z", "+00:00", "-00:00", "+02:00", "-03:30", "+14:00"])
_FRACTIONS = st.sampled_from(["", ".0", ".5", ".123", ".000001", ".123456", ".999999999"])


@st.composite
def date_times(draw: st.DrawFn) -> str:
    """RFC 3339 date-times in the forms that chargers use."""
    moment = draw(_MOMENTS).strftime("%Y-%m-%dT%H:%M:%S")
    return moment + draw(_FRACTIONS) + draw(_ZONES)


def _texts(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("format") == "date-time":
        return date_times()
    if schema.get("format") == "uri":
        return st.sampled_from(["ftp://example.com/a%20b", "https://example.com/x?y=1"])
    return st.text(min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 40), 60))


def _numbers(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    low, high = (Decimal(str(schema.get(*limit))) for limit in (("minimum", -(10**6)), ("maximum", 10**6)))
    whole = st.integers(int(low), int(high))
    if schema["type"] == "integer":
        return whole
    step = Decimal(str(schema.get("multipleOf", 0.001)))
    steps = st.integers(int(low / step), int(high / step))
    return st.one_of(whole, steps.map(lambda count: float(count * step)))


def _objects(schema: Mapping[str, Any], root: Mapping[str, Any]) -> st.SearchStrategy[Dict[str, Any]]:
    members = {name: payloads(each, root) for name, each in schema.get("properties", {}).items()}
    closed = _closed_objects(members, schema.get("required", ()))
    if schema.get("additionalProperties") is False:
        return closed
    extras = st.dictionaries(st.text(max_size=5).filter(lambda name: name not in members), _anything(), max_size=2)
    return st.builds(lambda one, other: {**other, **one}, closed, extras)


@st.composite
def _closed_objects(
    draw: st.DrawFn, members: Mapping[str, st.SearchStrategy[Any]], required: Collection[str]
) -> Dict[str, Any]:
    # Only a few of the optional members: with half of them at each level, messages of 2.1 are huge.
    optional = [name for name in members if name not in required]
    chosen = draw(st.sets(st.sampled_from(optional), max_size=4)) if optional else ()
    return {name: draw(each) for name, each in members.items() if name in required or name in chosen}


def full_payload(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Return a value with every property of ``schema``, and with some others where they are allowed."""
    if "$ref" in schema:
        return full_payload(root["definitions"][schema["$ref"].rsplit("/", 1)[-1]], root)
    kind = schema.get("type")
    if kind == "object":
        members = {name: full_payload(each, root) for name, each in schema.get("properties", {}).items()}
        extras = {} if schema.get("additionalProperties") is False else {"SoC": None, "a b": [{"extra": 1}], "extra": 2}
        return {**members, **extras}
    if kind == "array":
        return [full_payload(schema["items"], root)] * max(schema.get("minItems", 0), 1)
    if kind in ("integer", "number"):
        return schema.get("minimum", schema.get("maximum", 7))
    if schema.get("format") == "date-time":
        return "2024-01-01T00:00:00.123Z"
    return {"boolean": False, "string": schema.get("enum", ["x"])[-1]}.get(str(kind), {"any": [1, None]})


def _anything() -> st.SearchStrategy[Any]:
    plain = st.one_of(st.booleans(), st.integers(), st.text(max_size=5))
    return st.one_of(plain, st.lists(plain, max_size=2), st.dictionaries(st.text(max_size=3), plain, max_size=2))


def payloads(schema: Mapping[str, Any], root: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """JSON values that are valid for ``schema``, a part of the schema ``root``."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return st.deferred(lambda: payloads(root["definitions"][name], root))
    kind = schema.get("type")
    if kind == "object":
        return _objects(schema, root)
    if kind == "array":
        longest = max(min(schema.get("maxItems", 3), 3), schema.get("minItems", 0))
        return st.lists(payloads(schema["items"], root), min_size=schema.get("minItems", 0), max_size=longest)
    if kind in ("integer", "number"):
        return _numbers(schema)
    if kind == "boolean":
        return st.booleans()
    return _texts(schema) if kind == "string" else _anything()


_LOOKS_LIKE_DATE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))")


def instant(text: str) -> datetime:
    """Return the moment of an RFC 3339 date-time, cut to milliseconds. It does not use ``ocppj``."""
    match = _LOOKS_LIKE_DATE.fullmatch(text)
    assert match is not None, text
    seconds, fraction, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    moment = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    moment -= -offset if sign == "-" else offset
    return moment + timedelta(milliseconds=int((fraction or "")[:3].ljust(3, "0")))


def payload_meaning(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Return ``value`` with every date-time of the schema replaced by its moment."""
    if "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rsplit("/", 1)[-1]]
    if schema.get("format") == "date-time":
        return instant(value)
    if isinstance(value, dict):
        members = schema.get("properties", {})
        return {name: payload_meaning(each, members.get(name, {}), root) for name, each in value.items()}
    if isinstance(value, list):
        return [payload_meaning(each, schema.get("items", {}), root) for each in value]
    # 1 and True are equal in Python, but not in JSON.
    return (type(value) is bool, value)


def schema_meaning(schema: Mapping[str, Any]) -> Any:
    """Return the meaning of a schema: references resolved, annotations dropped, sets as sets."""
    return {"draft": schema["$schema"], "demands": _demands(schema, schema)}


_MEANINGLESS = {"$id", "$schema", "comment", "default", "definitions", "description", "id", "javaType", "title"}


def _demands(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    if "$ref" in schema:
        # Draft-04 and draft-06 ignore keywords beside a $ref.
        return _demands(root["definitions"][schema["$ref"].rsplit("/", 1)[-1]], root)
    demands: Dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _MEANINGLESS:
            continue
        if keyword == "additionalProperties" and schema.get("type") != "object":
            continue
        if keyword == "additionalItems" and isinstance(schema.get("items"), dict):
            continue
        if keyword in ("required", "enum"):
            value = frozenset(value)
        elif keyword == "properties":
            value = {name: _demands(each, root) for name, each in value.items()}
        elif keyword == "items":
            value = _demands(value, root)
        demands[keyword] = value
    return demands


def load(path: Path) -> Dict[str, Any]:
    """Return the JSON object in the file."""
    data: Dict[str, Any] = json.loads(path.read_text("utf-8-sig"))
    return data
