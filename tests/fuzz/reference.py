"""The fault that is to be named, found slowly: ``jsonschema`` lists all faults of a payload, and the least is taken.

It shares no code with `ocppj.rpc.fault_search`. The schema is used as it stands.
"""

from typing import Any, Dict, Iterator, List, Optional, Tuple

import jsonschema
from jsonschema import validators

from ocppj.payloads.datetimes import parse_datetime
from ocppj.rpc.forgiving import is_multiple

RANKS = {"additionalProperties": 0, "required": 1, "minItems": 1, "maxItems": 1, "type": 2, "format": 2}
_LIMITS = {
    "minLength": "have at least {} characters",
    "maxLength": "have at most {} characters",
    "minItems": "have at least {} items",
    "maxItems": "have at most {} items",
    "minimum": "be at least {}",
    "maximum": "be at most {}",
    "exclusiveMinimum": "be more than {}",
    "exclusiveMaximum": "be less than {}",
    "multipleOf": "be a multiple of {}",
}
Path = Tuple[Any, ...]
Verdict = Optional[Tuple[int, str, str]]


def find_fault(schema: Dict[str, Any], payload: Any) -> Verdict:
    """Return the rank, the path and the description of the fault to name, or ``None``."""
    faults = [each for fault in _validator(schema).iter_errors(payload) for each in _list(payload, fault)]
    if not faults:
        return None
    rank, _, _, path, text = min(faults)
    return rank, _format(path), text if len(text) <= 255 else text[:252] + "..."


def _validator(schema: Dict[str, Any]) -> Any:
    base: Any = validators.validator_for(schema, default=jsonschema.Draft6Validator)
    formats = jsonschema.FormatChecker(formats=())
    formats.checks("date-time")(_is_datetime)
    types = base.TYPE_CHECKER.redefine("integer", _is_integer)
    extend: Any = validators.extend
    return extend(base, {"multipleOf": _check_multiple}, type_checker=types)(schema, format_checker=formats)


def _is_integer(checker: Any, value: Any) -> bool:
    return value.is_integer() if isinstance(value, float) else isinstance(value, int) and not isinstance(value, bool)


def _is_datetime(value: Any) -> bool:
    try:
        return not isinstance(value, str) or parse_datetime(value) is not None
    except ValueError:
        return False


def _check_multiple(validator: Any, step: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not is_multiple(instance, step):
        yield jsonschema.ValidationError("")


def _list(payload: Any, fault: Any) -> Iterator[Tuple[int, int, Tuple[int, ...], Path, str]]:
    holder = tuple(fault.absolute_path)
    rank = RANKS.get(str(fault.validator), 3)
    place = _place(payload, holder)
    where = f" in {_format(holder)}" if holder else ""
    if rank == 0:
        for index, name in enumerate(fault.instance):
            if name not in fault.schema.get("properties", {}):
                text = f"property {name!r} is not allowed{where}"
                yield rank, len(holder) + 1, (*place, index), (*holder, name), text
    elif fault.validator == "required":
        for index, name in enumerate(fault.validator_value):
            if name not in fault.instance:
                text = f"required property {name!r} is missing{where}"
                yield rank, len(holder) + 1, (*place, index), (*holder, name), text
    else:
        yield rank, len(holder), place, holder, f"{_format(holder) or 'the payload'} {_describe(fault)}"


def _describe(fault: Any) -> str:
    value, limit, keyword = fault.instance, fault.validator_value, str(fault.validator)
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    if keyword == "type":
        types = limit if isinstance(limit, str) else " or ".join(limit)
        return f"must be {types}, not {names.get(type(value), 'null')}"
    if keyword == "format":
        return f"must be a {limit} as RFC 3339 writes it, with a zone"
    if keyword == "enum":
        return f"must be one of {', '.join(map(str, limit))}, not {_shorten(repr(value))}"
    if keyword in _LIMITS:
        actual = len(value) if keyword[3:] in ("Length", "Items") else value
        return f"must {_LIMITS[keyword].format(limit)}, not {actual}"
    if keyword == "const":
        return f"must be {_shorten(repr(limit))}"
    if keyword == "pattern":
        return f"must match the pattern {_shorten(repr(limit))}"
    return "must not have the same item twice" if keyword == "uniqueItems" else f"is not valid: {fault.message}"


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _place(payload: Any, path: Path) -> Tuple[int, ...]:
    found: List[int] = []
    for step in path:
        found.append(step if isinstance(payload, list) else list(payload).index(step))
        payload = payload[step]
    return tuple(found)


def _format(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
