"""Checks payloads against schemas. Only this module imports ``jsonschema``.

A quick check accepts valid payloads: code that is made for the schema, or ``jsonschema-rs``. `ocppj.rpc.faults` says
which fault of another payload is named. A `Part` finds it. This is so for all bundled schemas and nearly all others.
``jsonschema`` reads the rest, which only a program can bring: they have keywords such as "anyOf".
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Sequence, Tuple

import jsonschema
from jsonschema import validators
from jsonschema.exceptions import ValidationError as SchemaFault

from ..errors import ErrorCode, UsageError, ValidationError
from ..log_limit import safe_log
from ..payloads import jsontext
from ..secrets import is_secret_at, mask_secrets
from .accelerated import build_quick_check, simplify_schema
from .compiled import compile_check
from .fault_search import Part, is_whole
from .faults import (
    CODES,
    KEYWORDS,
    OTHER,
    Fault,
    Path,
    describe_missing,
    describe_rule,
    describe_unknown,
    format_path,
    get_type_name,
    hide_value,
    shorten,
)
from .features import Feature, KeptByFeature
from .forgiving import Forgiven, Mender, is_datetime, is_multiple
from .text_rules import tighten_schema
from .unique import has_no_double

__all__ = [
    "QuickChecks",
    "check_payload",
    "check_schemas",
    "forgive_and_check",
    "forgive_payload",
    "get_quick_check",
    "use_accelerators",
]


def check_payload(
    feature: Feature,
    is_response: bool,
    payload: Any,
    with_text_rules: bool = True,
    *,
    was_tried: bool = False,
    refusal: object = None,
) -> None:
    """Check a JSON value against a schema of ``feature``. Without a schema any object is valid.

    ``with_text_rules`` tells whether the rules of `text_rules` are checked, too. ``was_tried`` says that the quick
    check has refused the payload, and ``refusal`` is what it returned.

    Raises `ValidationError`, with a description of at most 255 characters that quotes no secret, and `UsageError` if
    the schema is no JSON schema.
    """
    validator = _get_validator(feature, is_response, with_text_rules)
    if not isinstance(payload, dict):
        text = f"the payload must be an object, not {get_type_name(payload)}"
        raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", text)
    try:
        _refuse(payload, validator.find_fault(payload, was_tried, refusal) if validator is not None else None)
    except RecursionError:  # jsonschema writes the value at fault into its message, however deep it is
        raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", "the payload is nested too deeply") from None


def _refuse(payload: Any, fault: Optional[Fault]) -> None:
    if fault is not None:
        text = hide_value(fault.text, payload, fault.path) if is_secret_at(payload, fault.path) else fault.text
        raise ValidationError(CODES[fault.rank], format_path(fault.path), mask_secrets(shorten(text, 255)))


def forgive_payload(feature: Feature, is_response: bool, payload: Dict[str, Any]) -> Tuple[Dict[str, Any], Forgiven]:
    """Return ``payload`` without the faults that the mode ``standard`` forgives, and what was forgiven.

    What is left is to be checked. A schema of the program that is not plain (see `simplify_schema`) forgives nothing.
    """
    validator = _get_validator(feature, is_response, False)
    return (payload, {}) if validator is None else validator.forgive(payload)


def forgive_and_check(
    feature: Feature, is_response: bool, payload: Dict[str, Any], refusal: object = None
) -> Tuple[Dict[str, Any], Forgiven]:
    """Do what `forgive_payload` does with a payload that its quick check has refused, and check it.

    ``refusal`` is what that returned.

    Raises what `check_payload` does for the other faults. They are described as in the mended payload.
    """
    validator = _get_validator(feature, is_response, False)
    if validator is None or not isinstance(payload, dict):
        check_payload(feature, is_response, payload, False)
        return payload, {}
    mended, found, fault = validator.forgive_and_check(payload, refusal)
    _refuse(mended, fault)
    return mended, found


@KeptByFeature
def get_quick_check(feature: Feature, is_response: bool, with_text_rules: bool = True) -> Callable[[Any], object]:
    """Return a function that returns true for most JSON objects that are valid.

    If it returns false or raises, the object may still be valid: `check_payload` decides. Raises `UsageError` if the
    schema is no JSON schema.
    """
    validator = _get_validator(feature, is_response, with_text_rules)
    return validator.quick_check if validator is not None else lambda payload: True


class QuickChecks(Dict[Tuple[Feature, bool, bool], Callable[[Any], object]]):
    """What `get_quick_check` returns, by its arguments, for one endpoint: to find one again takes no function call."""

    def __missing__(self, key: Tuple[Feature, bool, bool]) -> Callable[[Any], object]:
        check = self[key] = get_quick_check(*key)
        return check


def check_schemas(feature: Feature) -> None:
    """Raise `UsageError` if a schema is no JSON schema. One that is loaded on demand is checked when it is loaded."""
    for is_response, schema in ((False, feature.request_schema), (True, feature.response_schema)):
        if not callable(schema):
            _get_validator(feature, is_response, False)


def use_accelerators(wanted: bool) -> None:
    """Use ``jsonschema-rs`` and ``orjson`` if they are installed (the default), or never. For tests and benchmarks.

    An endpoint goes on with the checks that it has used.
    """
    global _accelerated
    _accelerated = wanted
    _get_validator.cache_clear()
    get_quick_check.cache_clear()
    jsontext.use_orjson(wanted)


_accelerated = True


class _Validator:
    """Checks payloads against one schema.

    Attributes:
        plain: The schema, if it is plain.
        quick_check: Returns true for most payloads that are valid, and only for valid ones. It saves most walks through
            a payload. If it returns false or raises, `find_fault` must decide. It is told what was returned.
    """

    plain: Optional[Mapping[str, Any]] = None

    def __init__(self, quick_check: Callable[[Any], object]) -> None:
        self.quick_check = quick_check

    def find_fault(self, payload: Any, was_tried: bool, refusal: object) -> Optional[Fault]:
        """Return the fault to name, or ``None`` if there is none."""
        raise NotImplementedError

    def forgive(self, payload: Dict[str, Any]) -> Tuple[Dict[str, Any], Forgiven]:
        """Return the mended payload, and what was forgiven. A schema that is not plain forgives nothing."""
        return payload, {}

    def forgive_and_check(
        self, payload: Dict[str, Any], refusal: object
    ) -> Tuple[Dict[str, Any], Forgiven, Optional[Fault]]:
        """Return what `forgive` does, and the fault to name of the mended payload."""
        return payload, {}, self.find_fault(payload, True, refusal)


class _SimpleValidator(_Validator):
    """Checks payloads against a simple schema."""

    def __init__(self, name: str, schema: Mapping[str, Any], is_plain: bool) -> None:
        make_check = partial(compile_check, name)
        accelerated = build_quick_check(schema, is_datetime, make_check) if _accelerated and is_plain else None
        super().__init__(accelerated or make_check(schema))
        self._name = name
        self._is_accelerated = accelerated is not None
        self._is_logged = False
        self._schema = schema
        # Made when they are first needed: most payloads have no fault.
        self._part: Optional[Part] = None
        self._mender: Optional[Mender] = None
        if is_plain:
            self.plain = schema

    def find_fault(self, payload: Any, was_tried: bool, refusal: object) -> Optional[Fault]:
        is_refused = False
        if not was_tried:
            with suppress(Exception):  # it cannot handle some values, such as a key that is no text
                refusal = self.quick_check(payload)
                if refusal:
                    return None
                is_refused = self._is_accelerated
        fault = self._get_part().find(payload, refusal)
        if fault is None and is_refused and not self._is_logged:
            self._is_logged = True
            safe_log.debug("jsonschema-rs refuses a payload of %s that is valid", self._name)
        return fault

    def _get_part(self) -> Part:
        if self._part is None:
            self._part = Part(self._schema, partial(compile_check, self._name))
        return self._part

    def forgive(self, payload: Dict[str, Any]) -> Tuple[Dict[str, Any], Forgiven]:
        if self.plain is None:
            return payload, {}
        if self._mender is None:
            self._mender = Mender(self.plain)
        return self._mender.forgive(payload)

    def forgive_and_check(
        self, payload: Dict[str, Any], refusal: object
    ) -> Tuple[Dict[str, Any], Forgiven, Optional[Fault]]:
        if self.plain is None:
            return super().forgive_and_check(payload, refusal)
        fault, is_long = self._get_part().find_not_mended(payload, refusal)
        if fault is not None:  # nothing is copied
            return payload, {}, fault
        mended, found = self.forgive(payload)
        if not found:
            return mended, found, self.find_fault(mended, True, refusal)
        is_quick = self._is_accelerated or not is_long
        return mended, found, self.find_fault(mended, not is_quick, None)  # its schema is the judge


class _OtherValidator(_Validator):
    """Checks payloads with ``jsonschema``."""

    def __init__(self, base: Any, schema: Mapping[str, Any]) -> None:
        extend: Any = validators.extend
        types = base.TYPE_CHECKER.redefine("integer", lambda checker, value: is_whole(value))
        keywords = {name: check for name, check in _CHECKS.items() if name in base.VALIDATORS}
        self._exact = extend(base, keywords, type_checker=types)(schema, format_checker=_formats)
        super().__init__(self._exact.is_valid)

    def find_fault(self, payload: Any, was_tried: bool, refusal: object) -> Optional[Fault]:
        best: Optional[_Found] = None
        places = _Places(payload)
        for fault in self._exact.iter_errors(payload):
            found = _Found(fault, places)
            if best is None or found.is_better(best):
                best = found
        return None if best is None else best.result()


@KeptByFeature
def _get_validator(feature: Feature, is_response: bool, with_text_rules: bool) -> Optional[_Validator]:
    if with_text_rules:
        return _tighten(feature, is_response)
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
    simple = simplify_schema(loaded)
    return _OtherValidator(base, loaded) if simple is None else _SimpleValidator(feature.name, *simple)


def _tighten(feature: Feature, is_response: bool) -> Optional[_Validator]:
    """Return the validator that checks the rules of `text_rules`, too. It is the usual one where there are none."""
    usual, bundled = _get_validator(feature, is_response, False), feature.bundled_schema(is_response)
    if usual is None or usual.plain is None or bundled is None:
        return usual
    tightened = tighten_schema(usual.plain, *bundled)
    return usual if tightened is None else _SimpleValidator(feature.name, tightened, True)


# What follows is for `_OtherValidator` alone.

_formats = jsonschema.FormatChecker(formats=())
_formats.checks("date-time")(is_datetime)


def _check_multiple(validator: Any, step: Any, instance: Any, schema: Any) -> Iterator[SchemaFault]:
    if not is_multiple(instance, step):
        yield SchemaFault("")


def _check_required(validator: Any, names: Any, instance: Any, schema: Any) -> Iterator[SchemaFault]:
    """Yield one fault: of the properties that an object lacks, the first is named."""
    if isinstance(instance, dict) and not all(name in instance for name in names):
        yield SchemaFault("")


def _check_unique(validator: Any, is_wanted: Any, instance: Any, schema: Any) -> Iterator[SchemaFault]:
    if is_wanted and isinstance(instance, list) and not has_no_double(instance):
        yield SchemaFault("")


#: Keywords whose checks in ``jsonschema`` differ from the rules of this library, or cost more than they need.
_CHECKS = {"multipleOf": _check_multiple, "required": _check_required, "uniqueItems": _check_unique}


class _Places:
    """The indexes of properties in the objects of a payload. Each object is gone through once."""

    def __init__(self, payload: Any) -> None:
        self._payload = payload
        self._indexes: Dict[int, Dict[Any, int]] = {}  # by the id of the object

    def find(self, path: Path) -> Tuple[int, ...]:
        """Return the index of each step of ``path`` in its object or list."""
        holder, indexes = self._payload, []
        for step in path:
            indexes.append(self.index(holder, step) if isinstance(holder, dict) else int(step))
            holder = holder[step]
        return tuple(indexes)

    def index(self, holder: Mapping[Any, Any], name: object) -> int:
        if id(holder) not in self._indexes:
            self._indexes[id(holder)] = {each: index for index, each in enumerate(holder)}
        return self._indexes[id(holder)][name]


class _Found:
    """A fault that ``jsonschema`` found. Its place and its text are made when they are needed."""

    def __init__(self, fault: SchemaFault, places: _Places) -> None:
        self._fault = fault
        self._places = places
        self._holder: Path = tuple(fault.absolute_path)
        self._property = _find_property(fault)
        self.rank = KEYWORDS.get(str(fault.validator), OTHER)
        self.depth = len(self._holder) + len(self._property)
        self._key: Optional[Tuple[Tuple[int, ...], Path, str]] = None

    def is_better(self, other: "_Found") -> bool:
        mine, its = (self.rank, self.depth), (other.rank, other.depth)
        return mine < its or (mine == its and self._find_key() < other._find_key())

    def result(self) -> Fault:
        _, path, text = self._find_key()
        return Fault(self.rank, path, text)

    def _find_key(self) -> Tuple[Tuple[int, ...], Path, str]:
        if self._key is None:
            fault: Any = self._fault
            path, position = self._holder + self._property, self._places.find(self._holder)
            if self._property:
                describe, name = describe_missing, self._property[0]
                index = fault.validator_value.index(name) if fault.validator == "required" else None
                if index is None:
                    describe, index = describe_unknown, self._places.index(fault.instance, name)
                self._key = (*position, index), path, describe(name, self._holder)
            else:
                keyword, limit = str(fault.validator), fault.validator_value
                self._key = position, path, describe_rule(keyword, limit, fault.instance, path, fault.message)
        return self._key


def _find_property(fault: SchemaFault) -> Tuple[Any, ...]:
    """Return the first property that is not allowed, or missing; nothing if the fault is another one."""
    instance: Any = fault.instance
    if fault.validator == "additionalProperties" and isinstance(instance, dict):
        known = fault.schema.get("properties", {}) if isinstance(fault.schema, dict) else {}
        return next(((name,) for name in instance if name not in known), ())
    if fault.validator == "required" and isinstance(fault.validator_value, Sequence):
        return next(((name,) for name in fault.validator_value if name not in instance), ())
    return ()
