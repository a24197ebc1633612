"""Typed payloads: dataclasses whose fields know their wire names.

Theory of operation. A payload class is a plain dataclass that inherits from `Payload`; each field carries the JSON
property's name in its metadata (``field(metadata=wire("idTag"))``), because no rule turns ``idTag``, ``SoC`` and
``ocppCSMSURL`` into snake_case and back. The first time a class is read or written its fields are turned into a list
of (wire name, attribute, reader) and kept on the class; from then on a payload costs one loop over its own fields.

A field's annotation says how JSON becomes a value: a `Payload` subclass, a `List` of anything, `datetime`, an `Enum`
(``Union[SomeEnum, str]``, so that a user may give the text), or a plain JSON type. Text that is no member of the
enum stays text: judging values is validation's work, not decoding's.

A class may keep the properties that none of its fields has, as OCPP 2.x asks of ``customData``: one more field, a
dict, of wire name ``*``. Without such a field they are left out.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import partial
from reprlib import recursive_repr
from typing import (
    Any,
    Callable,
    ClassVar,
    Dict,
    FrozenSet,
    Generic,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
    get_type_hints,
)

from .errors import EncodingError, ErrorCode, UsageError, ValidationError

__all__ = ["Payload", "Request", "TextEnum", "format_datetime", "parse_datetime", "wire"]

P = TypeVar("P", bound="Payload")
R = TypeVar("R", bound="Payload")
Reader = Callable[[Any], Any]


class TextEnum(str, Enum):
    """An enum whose members are their text on the wire."""

    def __str__(self) -> str:
        return str(self.value)


def wire(name: str) -> Dict[str, str]:
    """Return the field metadata that gives a payload field its JSON property name.

    The field of the name ``*`` is a dict that takes, by name, every property which the class has no field for.
    """
    return {"wire": name}


#: The wire name of the field that takes what no other takes.
_REST = "*"


class _Field(NamedTuple):
    wire: str
    attribute: str
    read: Optional[Reader]  # None: the JSON value is the value


class Payload:
    """Base of every message and data type that travels in a payload. Subclasses are dataclasses.

    ``@dataclass`` would make an equality and a representation for each of them, and compile both: with hundreds of
    classes that is two fifths of the time of their import. The generated ones do with the two here, which do the same.
    """

    _plan: ClassVar[Optional[List[_Field]]] = None
    #: The attribute of the field ``*``, and the names that are not for it; set together with the plan.
    _rest: ClassVar[Optional[str]] = None
    _known: ClassVar[FrozenSet[str]] = frozenset()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        if not hasattr(self, "__dataclass_fields__"):  # not decorated, as it should be
            return self is other
        names = [each.name for each in fields(type(self)) if each.compare]  # type: ignore[arg-type]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @recursive_repr()
    def __repr__(self) -> str:
        own = fields(type(self)) if hasattr(self, "__dataclass_fields__") else ()  # type: ignore[arg-type]
        shown = [each.name for each in own if each.repr]
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def to_wire(self) -> Dict[str, Any]:
        """Return the JSON object; fields that are ``None`` are left out.

        Raises `EncodingError` for a datetime without a zone, naming the field, and for a name among the properties
        without a field that is no text, or that a field has.
        """
        data: Dict[str, Any] = {}
        for name, attribute, _ in _plan_of(type(self)):
            value = getattr(self, attribute)
            if value is None:
                continue
            if type(value) not in _PLAIN:
                try:
                    value = _to_wire(value)
                except _Unwritable as error:
                    raise _Unwritable(_join(name, error.path), error.reason) from None
            data[name] = value
        if self._rest is not None:
            data.update(_rest_to_wire(getattr(self, self._rest), self._known))
        return data

    @classmethod
    def from_wire(cls: Type[P], data: Mapping[str, Any]) -> P:
        """Return the payload that the JSON object ``data`` describes.

        Properties the class lacks are left out, or kept in its field ``*`` if it has one. Raises `ValidationError` when
        a required property is missing or a value cannot be read.
        """
        if not isinstance(data, dict) and not isinstance(data, Mapping):
            raise ValidationError(ErrorCode.TYPE_CONSTRAINT_VIOLATION, "", f"{cls.__name__}: not an object")
        values: Dict[str, Any] = {}
        for name, attribute, read in _plan_of(cls):
            if name in data:
                value = data[name]
                if read is not None and value is not None:
                    try:
                        value = read(value)
                    except _UNREADABLE as error:
                        raise _read_error(error, name) from None
                values[attribute] = value
        if cls._rest is not None:
            known = cls._known
            values[cls._rest] = {name: value for name, value in data.items() if name not in known}
        try:
            return cls(**values)
        except TypeError:
            missing = _missing(cls, values)
            if not missing:
                raise
            code = ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION
            raise ValidationError(code, "", f"required property {missing!r} is missing") from None


class Request(Payload, Generic[R]):
    """Base of a request that is answered with an ``R``, so that type checkers know what ``call()`` returns."""


#: What a reader raises for a value that is not what the annotation says.
_UNREADABLE = (ValidationError, ValueError, TypeError, AttributeError, KeyError)


def _read_error(error: Exception, place: str) -> ValidationError:
    """Return the error for the property, or the item ``[3]``, whose reader raised ``error``."""
    if isinstance(error, ValidationError):
        return ValidationError(error.code, _join(place, error.path), error.description)
    return ValidationError(ErrorCode.TYPE_CONSTRAINT_VIOLATION, place, f"{place}: cannot be read: {error}")


def _join(place: str, path: str) -> str:
    return place + path if not path or path.startswith("[") else f"{place}.{path}"


def _missing(cls: type, values: Mapping[str, Any]) -> Optional[str]:
    for each in fields(cls):
        if each.default is MISSING and each.default_factory is MISSING and each.name not in values:
            return str(each.metadata.get("wire", each.name))
    return None


_PLAIN = frozenset({str, int, float, bool, type(None)})


class _Unwritable(EncodingError):
    """An `EncodingError` that learns on its way up where in the payload it arose."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def _to_wire(value: Any) -> Any:
    if isinstance(value, Payload):
        return value.to_wire()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        try:
            return format_datetime(value)
        except EncodingError as error:
            raise _Unwritable("", str(error)) from None
    if isinstance(value, (list, tuple)):
        return _list_to_wire(value)
    if isinstance(value, Mapping):
        return _mapping_to_wire(value)
    return value


def _list_to_wire(values: Sequence[Any]) -> List[Any]:
    items: List[Any] = []
    try:
        for value in values:
            items.append(value if type(value) in _PLAIN else _to_wire(value))  # noqa: PERF401 (as in _read_list)
    except _Unwritable as error:
        raise _Unwritable(_join(f"[{len(items)}]", error.path), error.reason) from None
    return items


def _mapping_to_wire(values: Mapping[Any, Any]) -> Dict[Any, Any]:
    members = {}
    for key, value in values.items():
        try:
            members[key] = value if type(value) in _PLAIN else _to_wire(value)
        except _Unwritable as error:
            raise _Unwritable(_join(str(key), error.path), error.reason) from None
    return members


def _rest_to_wire(rest: Optional[Mapping[Any, Any]], known: FrozenSet[str]) -> Dict[Any, Any]:
    for name in rest or ():
        if not isinstance(name, str):
            raise _Unwritable(str(name), "the name of a property is text")
        if name in known:
            raise _Unwritable(name, "there is a field of that name, which must be used")
    return _mapping_to_wire(rest or {})


def _plan_of(cls: Type[Payload]) -> List[_Field]:
    plan: Optional[List[_Field]] = cls.__dict__.get("_plan")
    if plan is None:
        if not hasattr(cls, "__dataclass_fields__"):
            raise UsageError(f"{cls.__name__} is no dataclass: decorate it with @dataclass")
        try:
            # Each class of the line of inheritance has its annotations evaluated in its own module.
            hints = get_type_hints(cls, None, {cls.__name__: cls})
        except (NameError, TypeError) as error:
            raise UsageError(f"{cls.__name__}: an annotation cannot be evaluated: {error}") from error
        own = {each.name: _wire_name(cls, each) for each in fields(cls)}  # type: ignore[arg-type]
        rest = [attribute for attribute, name in own.items() if name == _REST]
        if len(rest) > 1:
            raise UsageError(f"{cls.__name__}: more than one field takes the rest: {', '.join(rest)}")
        plan = [_Field(name, attribute, _reader(hints[attribute])) for attribute, name in own.items() if name != _REST]
        cls._rest = rest[0] if rest else None
        cls._known = frozenset(each.wire for each in plan)
        cls._plan = plan  # the last: another thread goes ahead when it sees it
    return plan


def _wire_name(cls: type, each: Any) -> str:
    name = each.metadata.get("wire")
    if not isinstance(name, str):
        raise UsageError(f"{cls.__name__}.{each.name} has no wire name: give it field(metadata=wire(...))")
    return name


def _reader(hint: Any) -> Optional[Reader]:
    """Return the function that reads a JSON value of the annotated type, ``None`` where nothing is to be done."""
    origin = getattr(hint, "__origin__", None)
    if origin is Union or type(hint).__name__ == "UnionType":
        readers = [reader for reader in map(_reader, hint.__args__) if reader is not None]
        if float in hint.__args__ or len(readers) > 1:
            readers = [reader for reader in readers if reader is not _read_int]
        if len(readers) > 1:
            raise UsageError(f"{hint}: JSON does not say which of these it is")
        return readers[0] if readers else None
    if origin is list:
        return partial(_read_list, _reader(hint.__args__[0]))
    if hint is int:
        return _read_int
    if isinstance(hint, type):
        if issubclass(hint, Payload):
            return hint.from_wire
        if issubclass(hint, Enum):
            return _enum_reader(hint)
        if issubclass(hint, datetime):
            return parse_datetime
    return None


def _read_list(read: Optional[Reader], values: Any) -> List[Any]:
    if not isinstance(values, (list, tuple)):
        raise TypeError("not an array")
    if read is None:
        return list(values)
    items: List[Any] = []
    try:
        for value in values:
            items.append(read(value))  # noqa: PERF401 (its length tells which item is at fault)
    except _UNREADABLE as error:
        raise _read_error(error, f"[{len(items)}]") from None
    return items


def _read_int(value: Any) -> Any:
    """Return 1 for 1.0: JSON has one type of numbers, and schemas since draft-06 call 1.0 an integer."""
    return int(value) if type(value) is float and value.is_integer() else value


def _enum_reader(enum: Type[Enum]) -> Reader:
    members = {member.value: member for member in enum}
    return lambda value: members.get(value, value)


# RFC 3339 section 5.6.
_DATETIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}):(\d{2})(?:\.(\d+))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)


#: What nearly everyone sends, and `datetime.fromisoformat` of Python 3.9 can read: 3 or 6 digits, UTC, no leap second.
_COMMON = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:[0-5]\d(?:\.\d{3}|\.\d{6})?Z", re.ASCII)


def parse_datetime(text: str) -> datetime:
    """Return the moment that ``text`` names, an RFC 3339 date-time with a zone.

    Digits past the microsecond are dropped; a leap second (``:60``) is the second after. Raises `ValueError`.
    """
    if _COMMON.fullmatch(text) is not None:
        return _from_iso(text[:-1] + "+00:00")
    match = _DATETIME.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 date-time with a zone")
    day, minute, second, fraction, utc, sign, hours, minutes = match.groups()
    leap = second == "60"
    moment = _from_iso(f"{day}T{minute}:{'59' if leap else second}")
    if fraction:
        moment = moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    if leap:
        try:
            moment = moment.replace(microsecond=0) + timedelta(seconds=1)
        except OverflowError:
            raise ValueError("the second after lies beyond the year 9999") from None
    if utc:
        return moment.replace(tzinfo=timezone.utc)
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError("the zone is out of range")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return moment.replace(tzinfo=timezone(-offset if sign == "-" else offset))


def _from_iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        # Python's own words would quote what the peer sent.
        raise ValueError("there is no such day or time") from None


def format_datetime(moment: datetime) -> str:
    """Return ``moment`` as RFC 3339 in UTC, with "Z" and at most three fractional digits (OCPP 1.6 section 3.16).

    Raises `EncodingError` when it has no zone, or lies outside the years 1 to 9999 in UTC.
    """
    if moment.tzinfo is not timezone.utc:
        if moment.utcoffset() is None:
            raise EncodingError("a datetime needs a zone, such as datetime.now(timezone.utc)")
        try:
            moment = moment.astimezone(timezone.utc)
        except OverflowError:
            raise EncodingError("the datetime cannot be written in UTC") from None
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond >= 1000 else "seconds")
    return text[: -len("+00:00")] + "Z"
