"""Payload -> verdict. The only importer of ``jsonschema``.

When a payload has several faults one is named, the same one every time: unknown properties first, then missing
ones (and arrays of the wrong length), then types, then values; among equals the shallowest, then the first in the
document. Which schema keyword gives which error code is one table, `KEYWORDS`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import ValidationError as Fault

from ..errors import ErrorCode, UsageError, ValidationError
from ..payloads import jsontext
from ..payloads.datetimes import parse_datetime
from ..settings import get_logger
from .accelerated import plain_schema, quick_verdict
from .features import Feature

__all__ = ["check_payload", "check_schemas", "get_quick_check", "use_accelerators"]

# The rank orders faults, lowest first.
_UNKNOWN, _MISSING, _TYPE, _VALUE = range(4)
_CODES = {
    _UNKNOWN: ErrorCode.FORMAT_VIOLATION,
    _MISSING: ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION,
    _TYPE: ErrorCode.TYPE_CONSTRAINT_VIOLATION,
    _VALUE: ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
}
#: Schema keyword -> rank, hence `ErrorCode`, in every version; `Dialect.spell` gives a code its spelling.
#: J16 is OCPP-J 1.6, J16E its errata; P4 and P2 are Parts 4 and 2 of OCPP 2.0.1 and 2.1, which agree.
KEYWORDS = {
    "additionalProperties": _UNKNOWN,  # not conform the structure of the action: J16 4.2.3 with J16E 5.2; P4 4.3
    "required": _MISSING,  # occurrence constraints: J16 4.2.3 with J16E 5.1; P4 4.3
    "minItems": _MISSING,  # occurrence constraints: J16 4.2.3 with J16E 5.1; P4 4.3
    "maxItems": _MISSING,  # occurrence constraints: as minItems; lists that are too long: P2 B06.FR.16, B08.FR.17
    "type": _TYPE,  # data type constraints: J16 4.2.3; P4 4.3
    "format": _TYPE,  # dateTime is a data type: J16 4.2.3, 1.6 section 3.15; P4 4.3, P2 2.1.4
    "enum": _VALUE,  # an invalid value: J16 4.2.3, 1.6 errata 3.24 and 3.38 on chargingRateUnit; P4 4.3
    "const": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
    "minLength": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
    "maxLength": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
    "pattern": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
    "minimum": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
    "maximum": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
    "exclusiveMinimum": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
    "exclusiveMaximum": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
    "multipleOf": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
    "uniqueItems": _VALUE,  # an invalid value: J16 4.2.3; P4 4.3
}
#: Any other keyword, which only a schema of a program's own has: the value is none that it allows.
_OTHER = _VALUE

Path = Tuple[Union[str, int], ...]


class _Violation(NamedTuple):
    rank: int
    depth: int
    order: Tuple[int, ...]
    path: Path
    words: str


def check_payload(feature: Feature, answer: bool, payload: Any) -> None:
    """Check ``payload``, a JSON value, against the schema of ``feature``'s request (or, if ``answer``, response).

    Raises `ValidationError` for the fault to be named; its description is at most 255 characters. A feature without
    a schema takes any object.
    """
    validator = _validator(feature, answer)
    if not isinstance(payload, dict):
        words = f"the payload must be an object, not {_type_name(payload)}"
        raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", words)
    try:
        if validator is None or validator.is_valid(payload):
            return
        worst = min(_violations(payload, validator.exact.iter_errors(payload)))
    except RecursionError:  # jsonschema puts the value at fault in words, however deep it is
        raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", "the payload is nested too deeply") from None
    words = worst.words if len(worst.words) <= 255 else worst.words[:252] + "..."
    raise ValidationError(_CODES[worst.rank], _json_path(worst.path), words)


@lru_cache(maxsize=None)
def get_quick_check(feature: Feature, answer: bool) -> Callable[[Any], object]:
    """Return a function that says true of a JSON object which keeps to the schema of ``feature``, as most do.

    When it says something else or raises, `check_payload` is to be asked: it may be that all is well, and it knows the
    fault if there is one. Raises what `check_payload` raises for a schema that cannot be used.
    """
    validator = _validator(feature, answer)
    return _anything if validator is None else validator.quick or validator.exact.is_valid


def _anything(payload: Any) -> bool:
    return True


def check_schemas(feature: Feature) -> None:
    """Raise `UsageError` when a schema that ``feature`` was given is no JSON schema.

    Schemas that are loaded when they are first needed are checked then.
    """
    for answer, schema in ((False, feature.request_schema), (True, feature.response_schema)):
        if not callable(schema):
            _validator(feature, answer)


def use_accelerators(wanted: bool) -> None:
    """Use ``jsonschema-rs`` and ``orjson`` if they are installed (the default), or never. For tests, benchmarks."""
    global _accelerated
    _accelerated = wanted
    _validator.cache_clear()
    get_quick_check.cache_clear()
    jsontext.use_orjson(wanted)


_accelerated = True


class _Validator:
    """A schema's judge: ``exact``, of ``jsonschema``, decides; ``quick``, where there is one, spares asking it."""

    def __init__(self, name: str, exact: Any, quick: Optional[Callable[[Any], bool]]) -> None:
        self.exact = exact
        self._name = name
        self.quick = quick
        self._told = False

    def is_valid(self, payload: Any) -> bool:
        if self.quick is None:
            return bool(self.exact.is_valid(payload))
        try:
            if self.quick(payload):
                return True
        except Exception:  # a value that it does not know, such as a key that is no text
            return bool(self.exact.is_valid(payload))
        valid = bool(self.exact.is_valid(payload))
        if valid and not self._told:
            self._told = True
            get_logger().debug("jsonschema-rs refuses a payload of %s that jsonschema finds valid", self._name)
        return valid


@lru_cache(maxsize=None)
def _validator(feature: Feature, answer: bool) -> Optional[_Validator]:
    schema = feature.response_schema if answer else feature.request_schema
    if schema is None:
        return None
    loaded = dict(schema() if callable(schema) else schema)
    base = validators.validator_for(loaded, default=jsonschema.Draft6Validator)
    try:
        base.check_schema(loaded)
    except jsonschema.SchemaError as error:
        kind = "response" if answer else "request"
        raise UsageError(f"the {kind} schema of {feature.name} is invalid: {error.message}") from error
    plain = plain_schema(loaded)
    if plain is None:
        return _Validator(feature.name, _extended(base, {})(loaded, format_checker=_formats), None)
    exact = _extended(jsonschema.Draft6Validator, _SHORT_CUTS)(plain, format_checker=_formats)
    return _Validator(
        feature.name, exact, quick_verdict(plain, _is_date_time_text, _is_multiple) if _accelerated else None
    )


def _extended(base: Any, keywords: Mapping[str, Any]) -> Any:
    extend: Any = validators.extend
    types = base.TYPE_CHECKER.redefine("integer", _is_integer)
    return extend(base, {"multipleOf": _multiple_of, **keywords}, type_checker=types)


def _is_integer(checker: Any, value: object) -> bool:
    """Tell whether ``value`` is an integer as draft-06 has it: 1.0 is one.

    JSON has one type of numbers. Draft-04, in which most schemas of OCPP 1.6 are written, says otherwise, while those
    of its security extensions are in draft-06: one rule for all.
    """
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_datetime(value: object) -> bool:
    if isinstance(value, str):
        parse_datetime(value)
    return True


def _is_date_time_text(text: str) -> bool:
    try:
        parse_datetime(text)
    except ValueError:
        return False
    return True


# Plain schemas have no references, so that a part of one is judged alike wherever it stands: its validator is made
# once. (`jsonschema` makes it anew for each value, which takes most of its time.) The other short cuts see what is
# surely right, and leave the rest to the library.

_parts: Dict[int, Any] = {}
_DRAFT6: Mapping[str, Callable[..., Iterable[Fault]]] = dict(jsonschema.Draft6Validator.VALIDATORS)
_SURE = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _part(validator: Any, schema: Mapping[str, Any]) -> Any:
    part = _parts.get(id(schema))
    if part is None:
        # It holds the schema, whose id is thereby nobody else's.
        part = _parts[id(schema)] = validator.evolve(schema=schema)
    return part


def _properties(validator: Any, properties: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[Fault]:
    if isinstance(instance, dict):
        for name, value in instance.items():
            if name in properties:
                for fault in _part(validator, properties[name]).iter_errors(value):
                    fault.path.appendleft(name)
                    yield fault


def _items(validator: Any, items: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[Fault]:
    if isinstance(instance, list):
        part = _part(validator, items)
        for index, value in enumerate(instance):
            for fault in part.iter_errors(value):
                fault.path.appendleft(index)
                yield fault


def _additional(validator: Any, additional: Any, instance: Any, schema: Any) -> Iterable[Fault]:
    if not isinstance(instance, dict) or instance.keys() <= schema.get("properties", {}).keys():
        return ()
    return _DRAFT6["additionalProperties"](validator, additional, instance, schema)


def _type(validator: Any, name: str, instance: Any, schema: Any) -> Iterable[Fault]:
    return () if type(instance) in _SURE.get(name, ()) else _DRAFT6["type"](validator, name, instance, schema)


def _enum(validator: Any, texts: List[str], instance: Any, schema: Any) -> Iterable[Fault]:
    return () if type(instance) is str and instance in texts else _DRAFT6["enum"](validator, texts, instance, schema)


_SHORT_CUTS = {
    "properties": _properties,
    "items": _items,
    "additionalProperties": _additional,
    "type": _type,
    "enum": _enum,
}


def _multiple_of(validator: Any, step: Any, instance: Any, schema: Any) -> Iterator[Fault]:
    if not _is_multiple(instance, step):
        yield Fault(f"{instance!r} is not a multiple of {step}")


def _is_multiple(value: Any, step: float) -> bool:
    """Decide on the decimal text: as floats, 21.4 is no multiple of 0.1. What is no number is not asked about."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return True
    try:
        return Decimal(repr(value)) % Decimal(repr(step)) == 0
    except (InvalidOperation, ValueError):  # too many digits to divide: far beyond any multiple that means something
        return False


def _violations(payload: Any, faults: Iterator[Fault]) -> Iterator[_Violation]:
    for fault in faults:
        path: Path = tuple(fault.absolute_path)
        rank = KEYWORDS.get(str(fault.validator), _OTHER)
        for last, place, words in _named(fault, path):
            full = path + last
            order = _order(payload, path) + ((place,) if last else ())
            yield _Violation(rank, len(full), order, full, words)


def _named(fault: Fault, path: Path) -> List[Tuple[Path, int, str]]:
    """Return (property below ``path``, its place, words) for each thing the fault is about."""
    where = f" in {_json_path(path)}" if path else ""
    instance: Any = fault.instance
    if fault.validator == "additionalProperties" and isinstance(instance, dict):
        known = fault.schema.get("properties", {}) if isinstance(fault.schema, dict) else {}
        extra = [(name, place) for place, name in enumerate(instance) if name not in known]
        return [((name,), place, f"property {name!r} is not allowed{where}") for name, place in extra]
    if fault.validator == "required" and isinstance(fault.validator_value, Sequence):
        missing = [(name, place) for place, name in enumerate(fault.validator_value) if name not in instance]
        return [((name,), place, f"required property {name!r} is missing{where}") for name, place in missing]
    return [((), 0, f"{_json_path(path) or 'the payload'} {_words(fault)}")]


def _words(fault: Fault) -> str:
    value: Any = fault.instance
    limit: Any = fault.validator_value
    keyword = str(fault.validator)
    if keyword == "type":
        return f"must be {_one_of(limit)}, not {_type_name(value)}"
    if keyword == "format":
        return f"must be a {limit} as RFC 3339 writes it, with a zone" if limit == "date-time" else f"is no {limit}"
    if keyword == "enum":
        return f"must be one of {', '.join(map(str, limit))}, not {_short(value)}"
    if keyword in _LIMITS:
        actual = len(value) if keyword[3:] in ("Length", "Items") else value
        return f"must {_LIMITS[keyword].format(limit)}, not {actual}"
    if keyword in _RULES:
        return _RULES[keyword].format(_short(limit))
    return f"is not valid: {fault.message}"


_LIMITS: Dict[str, str] = {
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


_RULES = {
    "const": "must be {}",
    "pattern": "must match the pattern {}",
    "uniqueItems": "must not have the same item twice",
}


def _one_of(types: Union[str, Sequence[str]]) -> str:
    return " or ".join([types] if isinstance(types, str) else types)


def _type_name(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _order(payload: Any, path: Path) -> Tuple[int, ...]:
    """Return where ``path`` stands in the document: the index of each step in its object or array."""
    order: List[int] = []
    for step in path:
        order.append(step if isinstance(step, int) else list(payload).index(step))
        payload = payload[step]
    return tuple(order)


def _json_path(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
