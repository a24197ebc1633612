"""Typed payloads: dataclasses whose fields know their wire names.

Theory of operation. A payload class is a plain dataclass that inherits from `Payload`; each field carries the JSON
property's name in its metadata (``field(metadata=wire("idTag"))``), because no rule turns ``idTag``, ``SoC`` and
``ocppCSMSURL`` into snake_case and back. The first time a class is read or written its fields are turned into a list
(`_Field`: wire name, attribute, reader ...) and kept on the class, with what else is asked each time (`_Plan`); from
then on a payload costs one loop over its own fields. A payload that is read does not go through the ``__init__`` that
``@dataclass`` has made where that would do nothing but store its arguments (`_only_stores`): the loop's values become
the attributes as they are.

A field's annotation says how JSON becomes a value: a `Payload` subclass, a `List` of anything, `datetime`, an `Enum`
(``Union[SomeEnum, str]``, so that a user may give the text), or a plain JSON type. Text that is no member of the
enum stays text: judging values is validation's work, not decoding's.

A class may keep the properties that none of its fields has, as OCPP 2.x asks of ``customData``: one more field, a
dict, of wire name ``*``. Without such a field they are left out.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import datetime
from enum import Enum
from functools import partial
from inspect import CO_NESTED, getattr_static
from operator import attrgetter, methodcaller
from reprlib import recursive_repr
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Dict,
    FrozenSet,
    Generic,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
    get_type_hints,
)

from ..errors import EncodingError, ErrorCode, UsageError, ValidationError
from .datetimes import format_datetime, parse_datetime

__all__ = ["Payload", "Request", "RequestType", "TextEnum", "format_datetime", "parse_datetime", "wire"]

P = TypeVar("P", bound="Payload")
R = TypeVar("R", bound="Payload")
Q_co = TypeVar("Q_co", covariant=True)
A_co = TypeVar("A_co", covariant=True)
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


_NONE_KNOWN = object()
#: Wire name; attribute; reader, ``None`` where the JSON value is the value; the type of values that need no reading;
#: the default, `_NONE_KNOWN` where ``__init__`` has to find one, or to complain. (A plain tuple, for it takes three
#: times as long to unpack one with names.)
_Field = Tuple[str, str, Optional[Reader], type, Any]


class _Plan:
    """How payloads of the class ``owner`` (not of those that inherit from it) are read and written."""

    __slots__ = ("fields", "known", "owner", "pairs", "rest", "size")

    def __init__(self, owner: type, plan: List[_Field], rest: Optional[str], stores: bool) -> None:
        self.owner = owner
        self.fields = plan
        self.pairs = [(name, attribute) for name, attribute, *_ in plan]
        # The attribute of the field ``*``, and the names that are not for it.
        self.rest = rest
        self.known = frozenset(name for name, *_ in plan)
        # How many attributes an object has whose __init__ need not be called; else -1.
        self.size = len(plan) + (rest is not None) if stores else -1


class Payload:
    """Base of every message and data type that travels in a payload. Subclasses are dataclasses.

    ``@dataclass`` would make an equality and a representation for each of them, and compile both: with hundreds of
    classes that is two fifths of the time of their import. The generated ones do with the two here, which do the same.
    """

    _plan: ClassVar[Optional[_Plan]] = None

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
        plan = self._plan
        if plan is None or plan.owner is not type(self):
            plan = _plan_of(type(self))
        data: Dict[str, Any] = {}
        try:
            for name, attribute in plan.pairs:
                value = getattr(self, attribute)
                if value is not None:
                    kind = type(value)
                    if kind not in _PLAIN:
                        value = (_WRITERS[kind] if kind in _WRITERS else _writer(kind))(value)
                    data[name] = value
        except EncodingError as error:
            raise _write_error(error, name) from None
        if plan.rest is not None:
            data.update(_rest_to_wire(getattr(self, plan.rest), plan.known))
        return data

    @classmethod
    def from_wire(cls: Type[P], data: Mapping[str, Any]) -> P:
        """Return the payload that the JSON object ``data`` describes.

        Properties the class lacks are left out, or kept in its field ``*`` if it has one. Raises `ValidationError` when
        a required property is missing or a value cannot be read.
        """
        if type(data) is not dict and not isinstance(data, Mapping):
            raise ValidationError(ErrorCode.TYPE_CONSTRAINT_VIOLATION, "", f"{cls.__name__}: not an object")
        plan = cls._plan
        if plan is None or plan.owner is not cls:
            plan = _plan_of(cls)
        values: Dict[str, Any] = {}
        try:
            for name, attribute, read, as_is, default in plan.fields:
                if name in data:
                    value = data[name]
                    values[attribute] = value if read is None or type(value) is as_is else read(value)
                elif default is not _NONE_KNOWN:
                    values[attribute] = default
        except _UNREADABLE as error:
            raise _read_error(error, name) from None
        if plan.rest is not None:
            known = plan.known
            values[plan.rest] = {name: value for name, value in data.items() if name not in known}
        if len(values) == plan.size:
            payload = object.__new__(cls)
            payload.__dict__ = values
            return payload
        return _constructed(cls, values)


class Request(Payload, Generic[R]):
    """Base of a request that is answered with an ``R``, so that type checkers know what ``call()`` returns."""

    if TYPE_CHECKING:  # what makes it a `RequestType`

        def _itself(self: P) -> P: ...

        def _answer(self) -> R: ...


class RequestType(Protocol[Q_co, A_co]):
    """A request ``Q_co`` that is answered with an ``A_co``. Type checkers alone use it, for the handlers of `on`."""

    def _itself(self) -> Q_co: ...

    def _answer(self) -> A_co: ...


#: What a reader raises for a value that is not what the annotation says.
_UNREADABLE = (ValidationError, ValueError, TypeError, AttributeError, KeyError)


def _read_error(error: Exception, place: str) -> ValidationError:
    """Return the error for the property, or the item ``[3]``, whose reader raised ``error``."""
    if isinstance(error, ValidationError):
        return ValidationError(error.code, _join(place, error.path), error.description)
    return ValidationError(ErrorCode.TYPE_CONSTRAINT_VIOLATION, place, f"{place}: cannot be read: {error}")


def _join(place: str, path: str) -> str:
    return place + path if not path or path.startswith("[") else f"{place}.{path}"


def _constructed(cls: Type[P], values: Mapping[str, Any]) -> P:
    try:
        return cls(**values)
    except TypeError:
        missing = _missing(cls, values)
        if not missing:
            raise
        words = f"required property {missing!r} is missing"
        raise ValidationError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "", words) from None


def _missing(cls: type, values: Mapping[str, Any]) -> Optional[str]:
    wanted = (each for each in fields(cls) if each.default is MISSING and each.default_factory is MISSING)
    return next((str(each.metadata.get("wire", each.name)) for each in wanted if each.name not in values), None)


_PLAIN = frozenset({str, int, float, bool, type(None)})


class _Unwritable(EncodingError):
    """An `EncodingError` that learns on its way up where in the payload it arose."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def _write_error(error: EncodingError, place: str) -> _Unwritable:
    """Return the error for the property, or the item ``[3]``, whose writer raised ``error``."""
    if isinstance(error, _Unwritable):
        return _Unwritable(_join(place, error.path), error.reason)
    return _Unwritable(place, str(error))


def _list_to_wire(values: Sequence[Any]) -> List[Any]:
    items: List[Any] = []
    try:
        for value in values:
            kind = type(value)
            items.append(value if kind in _PLAIN else (_WRITERS[kind] if kind in _WRITERS else _writer(kind))(value))
    except EncodingError as error:
        raise _write_error(error, f"[{len(items)}]") from None
    return items


def _mapping_to_wire(values: Mapping[Any, Any]) -> Dict[Any, Any]:
    members = {}
    try:
        for key, value in values.items():
            kind = type(value)
            members[key] = value if kind in _PLAIN else (_WRITERS[kind] if kind in _WRITERS else _writer(kind))(value)
    except EncodingError as error:
        raise _write_error(error, str(key)) from None
    return members


#: How values of a type are written; what is not in it was not met yet.
_WRITERS: Dict[type, Callable[[Any], Any]] = {}


def _writer(kind: type) -> Callable[[Any], Any]:
    """Return the function that turns an object of that type into a JSON value."""
    write: Callable[[Any], Any] = _write_other
    if issubclass(kind, Payload):
        write = methodcaller("to_wire")
    elif issubclass(kind, Enum):
        # Enum's own ``value`` does nothing but look at ``_value_``, slowly.
        write = attrgetter("_value_" if getattr_static(kind, "value") is getattr_static(Enum, "value") else "value")
    elif issubclass(kind, datetime):
        write = format_datetime
    elif issubclass(kind, (list, tuple)):
        write = _list_to_wire
    elif issubclass(kind, Mapping):
        write = _mapping_to_wire
    _WRITERS[kind] = write
    return write


def _write_other(value: Any) -> Any:
    """Return a JSON value as it is; a proxy, as those of web frameworks, is written as what it says it is."""
    write = _writer(value.__class__)
    return value if write is _write_other else write(value)


def _rest_to_wire(rest: Optional[Mapping[Any, Any]], known: FrozenSet[str]) -> Dict[Any, Any]:
    for name in rest or ():
        if not isinstance(name, str):
            raise _Unwritable(str(name), "the name of a property is text")
        if name in known:
            raise _Unwritable(name, "there is a field of that name, which must be used")
    return _mapping_to_wire(rest or {})


def _plan_of(cls: Type[Payload]) -> _Plan:
    plan: Optional[_Plan] = cls.__dict__.get("_plan")
    if plan is None or plan.owner is not cls:
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
        stores = _only_stores(cls)
        read = [
            _field(name, each, hints[each.name], stores)
            for each, name in zip(fields(cls), own.values())  # type: ignore[arg-type]
            if name != _REST
        ]
        cls._plan = plan = _Plan(cls, read, rest[0] if rest else None, stores)
    return plan


def _field(name: str, each: Any, hint: Any, stores: bool) -> _Field:
    read = _reader(hint)
    default = each.default if stores and each.default is not MISSING else _NONE_KNOWN
    return (name, each.name, read, int if read is _read_int else type(None), default)


def _only_stores(cls: Type[Payload]) -> bool:
    """Tell whether making an object of ``cls`` is nothing but storing a value in its ``__dict__`` for each field."""
    own: Any = fields(cls)  # type: ignore[arg-type]
    known = cls.__dataclass_fields__  # type: ignore[attr-defined]
    code = getattr(cls.__init__, "__code__", None)
    return (
        # What @dataclass generates comes from no file (as what exec() runs), and is the second line of a function.
        code is not None
        and (code.co_filename, code.co_firstlineno, code.co_flags & CO_NESTED) == ("<string>", 2, CO_NESTED)
        and len(own) == len(known)  # no InitVar
        # It may be that of a base, which has other defaults.
        and vars(next(each for each in cls.__mro__ if "__init__" in vars(each))).get("__dataclass_fields__") is known
        and not hasattr(cls, "__post_init__")
        and all(each.init for each in own)
        # Nobody sees to what is stored: a metaclass, __new__, __setattr__ (of a frozen class), a property or a slot.
        and type(cls).__call__ is type.__call__
        and cls.__new__ is object.__new__
        and cls.__setattr__ is object.__setattr__
        and not any(hasattr(type(getattr_static(cls, each.name, None)), "__set__") for each in own)
    )


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
        items.extend(map(read, values))
    except _UNREADABLE as error:
        raise _read_error(error, f"[{len(items)}]") from None
    return items


def _read_int(value: Any) -> Any:
    """Return 1 for 1.0: JSON has one type of numbers, and schemas since draft-06 call 1.0 an integer."""
    return int(value) if type(value) is float and value.is_integer() else value


class _Members(Dict[Any, Any]):
    """The members of an enum by their values; whatever is no value of one stays as it is."""

    def __missing__(self, value: Any) -> Any:
        return value


def _enum_reader(enum: Type[Enum]) -> Reader:
    return _Members((member.value, member) for member in enum).__getitem__
