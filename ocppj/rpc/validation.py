"""Checks payloads against schemas. Only this module imports ``jsonschema``.

An error names one fault of a payload, always the same: first unknown properties, then missing ones and arrays of the
wrong length, then types, then values (`KEYWORDS`). Among faults of the same kind it names the one nearest to the top,
then the first in the document.
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
from .accelerated import build_quick_check, simplify_schema
from .features import Feature

__all__ = ["check_payload", "check_schemas", "get_quick_check", "use_accelerators"]

# The ranks of faults. The fault of the lowest rank is named.
_UNKNOWN, _MISSING, _TYPE, _VALUE = range(4)
_CODES = (
    ErrorCode.FORMAT_VIOLATION,
    ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION,
    ErrorCode.TYPE_CONSTRAINT_VIOLATION,
    ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
)
#: Schema keyword -> rank, and so `ErrorCode`, in every version. `Dialect.spell` spells the code.
#: J16 is OCPP-J 1.6, J16E its errata; P4 and P2 are Parts 4 and 2 of OCPP 2.0.1 and 2.1, which agree.
KEYWORDS = {
    "additionalProperties": _UNKNOWN,  # not conform the structure of the action: J16 4.2.3 with J16E 5.2; P4 4.3
    "required": _MISSING,  # occurrence constraints: J16 4.2.3 with J16E 5.1; P4 4.3
    "minItems": _MISSING,  # occurrence constraints: J16 4.2.3 with J16E 5.1; P4 4.3
    "maxItems": _MISSING,  # occurrence constraints: as minItems; lists that are too long: P2 B06.FR.16, B08.FR.17
    "type": _TYPE,  # data type constraints: J16 4.2.3; P4 4.3
    "format": _TYPE,  # dateTime is a data type: J16 4.2.3, 1.6 section 3.15; P4 4.3, P2 2.1.4
    # An invalid value: J16 4.2.3; P4 4.3. About "enum" also 1.6 errata 3.24 and 3.38 on chargingRateUnit.
    **dict.fromkeys(("enum", "const", "minLength", "maxLength", "pattern", "minimum", "maximum"), _VALUE),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems"), _VALUE),
}
#: For any other keyword. Only schemas of the program have others.
_OTHER = _VALUE

Path = Tuple[Union[str, int], ...]


class _Violation(NamedTuple):
    rank: int
    depth: int
    position: Tuple[int, ...]
    path: Path
    text: str


def check_payload(feature: Feature, is_response: bool, payload: Any) -> None:
    """Check a JSON value against a schema of ``feature``. Without a schema any object is valid.

    Raises `ValidationError`, with a description of at most 255 characters, and `UsageError` if the schema is no JSON
    schema.
    """
    validator = _get_validator(feature, is_response)
    if not isinstance(payload, dict):
        text = f"the payload must be an object, not {_get_type_name(payload)}"
        raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", text)
    try:
        violation = validator.find_violation(payload) if validator is not None else None
    except RecursionError:  # jsonschema writes the value at fault into its message, however deep it is
        raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", "the payload is nested too deeply") from None
    if violation is not None:
        raise ValidationError(_CODES[violation.rank], _format_path(violation.path), _shorten(violation.text, 255))


@lru_cache(maxsize=None)
def get_quick_check(feature: Feature, is_response: bool) -> Callable[[Any], object]:
    """Return a function that returns true for most JSON objects that are valid.

    If it returns false or raises, the object may still be valid: `check_payload` decides. Raises `UsageError` if the
    schema is no JSON schema.
    """
    validator = _get_validator(feature, is_response)
    if validator is None:
        return lambda payload: True
    return validator.quick_check or validator.exact.is_valid


def check_schemas(feature: Feature) -> None:
    """Raise `UsageError` if a schema is no JSON schema. One that is loaded on demand is checked when it is loaded."""
    for is_response, schema in ((False, feature.request_schema), (True, feature.response_schema)):
        if not callable(schema):
            _get_validator(feature, is_response)


def use_accelerators(wanted: bool) -> None:
    """Use ``jsonschema-rs`` and ``orjson`` if they are installed (the default), or never. For tests and benchmarks."""
    global _accelerated
    _accelerated = wanted
    _get_validator.cache_clear()
    get_quick_check.cache_clear()
    jsontext.use_orjson(wanted)


_accelerated = True


class _Validator:
    """Checks payloads against one schema. ``exact``, of ``jsonschema``, decides.

    ``quick_check``, if there is one, saves most calls of it: it returns true only for valid payloads.
    """

    def __init__(self, name: str, exact: Any, quick_check: Optional[Callable[[Any], bool]]) -> None:
        self.exact = exact
        self.quick_check = quick_check
        self._name = name
        self._is_logged = False

    def find_violation(self, payload: Any) -> Optional[_Violation]:
        """Return the violation to name, or ``None`` if ``payload`` is valid."""
        is_refused = False
        if self.quick_check is not None:
            try:
                if self.quick_check(payload):
                    return None
                is_refused = True
            except Exception:  # It cannot handle some values, such as a key that is no text.
                pass
        violation = min(_list_violations(payload, self.exact.iter_errors(payload)), default=None)
        if violation is None and is_refused and not self._is_logged:
            self._is_logged = True
            get_logger().debug("jsonschema-rs refuses a payload of %s that jsonschema finds valid", self._name)
        return violation


@lru_cache(maxsize=None)
def _get_validator(feature: Feature, is_response: bool) -> Optional[_Validator]:
    schema = feature.response_schema if is_response else feature.request_schema
    if schema is None:
        return None
    loaded = dict(schema() if callable(schema) else schema)
    base = validators.validator_for(loaded, default=jsonschema.Draft6Validator)
    try:
        base.check_schema(loaded)
    except jsonschema.SchemaError as error:
        kind = "response" if is_response else "request"
        raise UsageError(f"the {kind} schema of {feature.name} is invalid: {error.message}") from error
    plain = simplify_schema(loaded)
    if plain is None:
        return _Validator(feature.name, _extend(base, {})(loaded, format_checker=_formats), None)
    exact = _extend(jsonschema.Draft6Validator, _SHORT_CUTS)(plain, format_checker=_formats)
    quick_check = build_quick_check(plain, _is_datetime, _is_multiple) if _accelerated else None
    return _Validator(feature.name, exact, quick_check)


def _extend(base: Any, keywords: Mapping[str, Any]) -> Any:
    """Return ``base``, a validator class, with other checks for ``keywords`` and with the rules of this module."""
    extend: Any = validators.extend
    types = base.TYPE_CHECKER.redefine("integer", _is_integer)
    return extend(base, {"multipleOf": _check_multiple, **keywords}, type_checker=types)


def _is_integer(checker: Any, value: object) -> bool:
    """Tell whether ``value`` is an integer by the rule of draft-06, where 1.0 is one.

    JSON has one type of numbers. Most schemas of OCPP 1.6 are in draft-04, which has another rule, but those of its
    security extensions are in draft-06. Here one rule is for all.
    """
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("date-time")
def _is_datetime(value: object) -> bool:
    """Tell whether ``value`` is a date-time of RFC 3339. What is no text has another fault, its type."""
    if isinstance(value, str):
        try:
            parse_datetime(value)
        except ValueError:
            return False
    return True


# Faster checks for plain schemas. Such a schema has no references, so that a part of it means the same everywhere, and
# one validator per part is enough. (`jsonschema` makes one for each value, which takes most of its time.) The other
# checks return early for what is surely valid, and leave the rest to `jsonschema`.

_parts: Dict[int, Any] = {}
_DRAFT6: Mapping[str, Callable[..., Iterable[Fault]]] = dict(jsonschema.Draft6Validator.VALIDATORS)
_PYTHON_TYPES = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
                 "object": (dict,)}  # fmt: skip


def _get_part(validator: Any, schema: Mapping[str, Any]) -> Any:
    part = _parts.get(id(schema))
    if part is None:
        # The validator keeps the schema alive, so that no other object gets this id.
        part = _parts[id(schema)] = validator.evolve(schema=schema)
    return part


def _check_properties(validator: Any, properties: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[Fault]:
    if isinstance(instance, dict):
        for name, value in instance.items():
            if name in properties:
                for fault in _get_part(validator, properties[name]).iter_errors(value):
                    fault.path.appendleft(name)
                    yield fault


def _check_items(validator: Any, items: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[Fault]:
    if isinstance(instance, list):
        part = _get_part(validator, items)
        for index, value in enumerate(instance):
            for fault in part.iter_errors(value):
                fault.path.appendleft(index)
                yield fault


def _check_additional(validator: Any, additional: Any, instance: Any, schema: Any) -> Iterable[Fault]:
    if not isinstance(instance, dict) or instance.keys() <= schema.get("properties", {}).keys():
        return ()
    return _DRAFT6["additionalProperties"](validator, additional, instance, schema)


def _check_type(validator: Any, name: str, instance: Any, schema: Any) -> Iterable[Fault]:
    return () if type(instance) in _PYTHON_TYPES.get(name, ()) else _DRAFT6["type"](validator, name, instance, schema)


def _check_enum(validator: Any, texts: List[str], instance: Any, schema: Any) -> Iterable[Fault]:
    return () if type(instance) is str and instance in texts else _DRAFT6["enum"](validator, texts, instance, schema)


_SHORT_CUTS = {
    "properties": _check_properties,
    "items": _check_items,
    "additionalProperties": _check_additional,
    "type": _check_type,
    "enum": _check_enum,
}


def _check_multiple(validator: Any, step: Any, instance: Any, schema: Any) -> Iterator[Fault]:
    if not _is_multiple(instance, step):
        yield Fault(f"{instance!r} is not a multiple of {step}")


def _is_multiple(value: Any, step: float) -> bool:
    """Tell whether ``value`` is a multiple of ``step``, by their decimal texts: as a float, 21.4 is no multiple of 0.1.

    What is no number has another fault, its type.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return True
    try:
        return Decimal(repr(value)) % Decimal(repr(step)) == 0
    except (InvalidOperation, ValueError):  # too many digits to divide
        return False


def _list_violations(payload: Any, faults: Iterable[Fault]) -> Iterator[_Violation]:
    for fault in faults:
        path: Path = tuple(fault.absolute_path)
        rank = KEYWORDS.get(str(fault.validator), _OTHER)
        for last, index, text in _describe(fault, path):
            full = path + last
            position = _get_position(payload, path) + ((index,) if last else ())
            yield _Violation(rank, len(full), position, full, text)


def _describe(fault: Fault, path: Path) -> List[Tuple[Path, int, str]]:
    """Return the property below ``path``, its index, and the description, for each thing that is wrong."""
    where = f" in {_format_path(path)}" if path else ""
    instance: Any = fault.instance
    if fault.validator == "additionalProperties" and isinstance(instance, dict):
        known = fault.schema.get("properties", {}) if isinstance(fault.schema, dict) else {}
        extra = [(name, index) for index, name in enumerate(instance) if name not in known]
        return [((name,), index, f"property {name!r} is not allowed{where}") for name, index in extra]
    if fault.validator == "required" and isinstance(fault.validator_value, Sequence):
        missing = [(name, index) for index, name in enumerate(fault.validator_value) if name not in instance]
        return [((name,), index, f"required property {name!r} is missing{where}") for name, index in missing]
    return [((), 0, f"{_format_path(path) or 'the payload'} {_describe_rule(fault)}")]


def _describe_rule(fault: Fault) -> str:
    value: Any = fault.instance
    limit: Any = fault.validator_value
    keyword = str(fault.validator)
    if keyword == "type":
        types = limit if isinstance(limit, str) else " or ".join(limit)
        return f"must be {types}, not {_get_type_name(value)}"
    if keyword == "format":
        return f"must be a {limit} as RFC 3339 writes it, with a zone" if limit == "date-time" else f"is no {limit}"
    if keyword == "enum":
        return f"must be one of {', '.join(map(str, limit))}, not {_shorten(repr(value))}"
    if keyword in _LIMITS:
        actual = len(value) if keyword[3:] in ("Length", "Items") else value
        return f"must {_LIMITS[keyword].format(limit)}, not {actual}"
    if keyword in _RULES:
        return _RULES[keyword].format(_shorten(repr(limit)))
    return f"is not valid: {fault.message}"


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
_RULES = {
    "const": "must be {}",
    "pattern": "must match the pattern {}",
    "uniqueItems": "must not have the same item twice",
}


def _get_type_name(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _shorten(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _get_position(payload: Any, path: Path) -> Tuple[int, ...]:
    """Return the position of ``path`` in the document: the index of each step in its object or array."""
    position: List[int] = []
    for step in path:
        position.append(step if isinstance(step, int) else list(payload).index(step))
        payload = payload[step]
    return tuple(position)


def _format_path(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
