"""Typed payloads: dataclasses whose fields know their wire names.

A payload class is a dataclass that inherits from `Payload`. The metadata of each field has the name of its JSON
property (``field(metadata=wire("idTag"))``), because no rule turns ``idTag``, ``SoC`` and ``ocppCSMSURL`` into
snake_case and back. The annotation says how the JSON value is decoded: a `Payload` class, a `List` of anything,
`datetime`, an `Enum` (``Union[SomeEnum, str]``, so that a user may give the text), or a plain JSON type. A text that
is no member of the enum stays text: only the validation refuses values.

For speed, a class is analysed once, when it is first encoded or decoded. Its `Plan` has all that is needed. Most
payloads are decoded and encoded by straight-line code that is made of it (`ocppj.payloads.straight`). The rest takes a
loop over the fields of the plan. If the ``__init__`` of the class only stores its arguments (`_has_plain_init`),
decoding does not call it: the values become the attributes directly.
"""

from __future__ import annotations

import threading
from dataclasses import MISSING, fields
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from inspect import CO_NESTED, getattr_static, signature
from numbers import Integral, Rational, Real
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
    MutableMapping,
    Optional,
    Protocol,
    Sequence,
    Type,
    TypeVar,
    Union,
    get_type_hints,
)
from weakref import WeakKeyDictionary

from ..errors import EncodingError, ErrorCode, UsageError, ValidationError
from ..made_code import to_text
from .datetimes import DIGITS, format_datetime, parse_datetime
from .plans import (
    DECODE_ERRORS,
    JSON_TYPES,
    NO_DEFAULT,
    Decoder,
    Field,
    Members,
    Plan,
    Reader,
    Writer,
    build_decode_error,
    decode_int,
    decode_list,
    join_path,
)
from .straight import make_reader, make_writer

__all__ = ["Payload", "Request", "RequestType", "TextEnum", "format_datetime", "parse_datetime", "wire"]

P = TypeVar("P", bound="Payload")
R = TypeVar("R", bound="Payload")
T = TypeVar("T")
Q_co = TypeVar("Q_co", covariant=True)
A_co = TypeVar("A_co", covariant=True)


class TextEnum(str, Enum):
    """An enum whose members are their text on the wire."""

    def __str__(self) -> str:
        return str(self.value)


def wire(name: str) -> Dict[str, str]:
    """Return the metadata of a payload field.

    Args:
        name: The name of the JSON property. ``*``: the field is a dict for all properties without a field, such as OCPP
            2.x demands for ``customData``. In a class without such a field a received one is in `Payload.extra` in the
            lenient modes, and is dropped elsewhere.
    """
    return {"wire": name}


#: The wire name of the field for all properties without a field.
_EXTRA = "*"


class _NoExtra(Dict[str, Any]):
    """The `Payload.extra` of a payload without one. All such payloads share it, so that it takes no room in them."""

    def _refuse(self, *arguments: Any, **more: Any) -> Any:
        raise UsageError('extra is empty and shared: assign a dict, such as message.extra = {"name": value}')

    if not TYPE_CHECKING:  # for type checkers it is a dict
        __setitem__ = __ior__ = setdefault = update = _refuse


NO_EXTRA = _NoExtra()


class Payload:
    """The base class of all payloads and of the data types inside them. Subclasses are dataclasses.

    Attributes:
        extra: The JSON properties that the peer sent and that no field has, by name. They are read in the modes
            ``"warn"`` and ``"off"`` alone. A date-time that cannot be read is here too, under the name of its field,
            and the field is ``None``. `to_wire` writes these properties again, but not over a field that has a value.
            To add some, assign a dict. It is no field: ``__init__``, ``==``, ``repr`` and `dataclasses.replace` do not
            know it. A class with a field called ``extra`` does not have it.

    ``@dataclass`` would compile an ``__eq__`` and a ``__repr__`` for each class. For hundreds of classes this takes two
    fifths of the time of their import. So the generated classes inherit the two from here, which do the same.
    """

    _plan: ClassVar[Optional[Plan]] = None
    _lenient_reader: ClassVar[Any] = None  # see `ocppj.payloads.lenient`
    if TYPE_CHECKING:
        extra: Dict[str, Any]
    else:  # no annotation: it is no field
        extra = NO_EXTRA

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        if not hasattr(self, "__dataclass_fields__"):  # the class lacks its decorator
            return self is other
        names = [each.name for each in fields(type(self)) if each.compare]  # type: ignore[arg-type]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @recursive_repr()
    def __repr__(self) -> str:
        own = fields(type(self)) if hasattr(self, "__dataclass_fields__") else ()  # type: ignore[arg-type]
        shown = [each.name for each in own if each.repr]
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def to_wire(self, datetime_digits: int = 3) -> Dict[str, Any]:
        """Return the payload as a JSON object. Fields that are ``None`` are left out.

        A `Decimal`, and a float of numpy, is written as the number that its text shows. More digits than a float has
        are rounded.

        Args:
            datetime_digits: How many fractional digits date-times are written with: see `format_datetime`.

        Raises:
            EncodingError: A datetime has no zone, or a name in the field ``*`` is no text or that of another field.
            UsageError: The class is no payload class.
        """
        plan = self._plan
        if plan is None or plan.owner is not type(self):
            plan = get_plan(type(self))
        encoders = _ENCODERS if datetime_digits == 3 else _get_encoders(datetime_digits)
        if _way.is_general:
            return _encode_by_plan(plan, self, encoders)
        write = plan.writer or get_writer(plan)
        try:
            return write(self, encoders)
        except EncodingError:
            return _go_general_way(_encode_by_plan, plan, self, encoders)  # its error names the value

    @classmethod
    def from_wire(cls: Type[P], data: Mapping[str, Any]) -> P:
        """Return the payload of a JSON object.

        Raises:
            ValidationError: A required property is missing, or a value cannot be decoded.
            UsageError: The class is no payload class.
        """
        plan = cls._plan
        if plan is None or plan.owner is not cls:
            plan = get_plan(cls)
        read = plan.reader or get_reader(plan)
        if read is None or _way.is_general:
            return _decode_by_plan(plan, cls, data)
        try:
            payload: P = read(data)  # type: ignore[arg-type]  # it refuses what is no dict
            return payload
        except DECODE_ERRORS:
            pass
        payload = _go_general_way(_decode_by_plan, plan, cls, data)
        return payload  # noqa: RET504  # mypy knows its type only so


class Request(Payload, Generic[R]):
    """The base class of requests whose response is an ``R``. It tells type checkers what ``call()`` returns."""

    if TYPE_CHECKING:  # This makes it a `RequestType`.

        def _itself(self: P) -> P: ...

        def _answer(self) -> R: ...


class RequestType(Protocol[Q_co, A_co]):
    """A request ``Q_co`` whose response is an ``A_co``. Only type checkers use it, for the handlers of `on`."""

    def _itself(self) -> Q_co: ...

    def _answer(self) -> A_co: ...


class _Way(threading.local):
    """Which way the thread takes. The general way stays general inside, or each level would be gone through twice."""

    is_general = False


_way = _Way()


def _go_general_way(act: Callable[..., T], *arguments: Any) -> T:
    _way.is_general = True
    try:
        return act(*arguments)
    finally:
        _way.is_general = False


def _decode_by_plan(plan: Plan, cls: Type[P], data: Mapping[str, Any]) -> P:
    if type(data) is not dict and not isinstance(data, Mapping):
        raise ValidationError(ErrorCode.TYPE_CONSTRAINT_VIOLATION, "", f"{cls.__name__}: not an object")
    values: Dict[str, Any] = {}
    try:
        for name, attribute, decode, as_is, default in plan.fields:
            if name in data:
                value = data[name]
                values[attribute] = value if decode is None or type(value) is as_is else decode(value)
            elif default is not NO_DEFAULT:
                values[attribute] = default
    except DECODE_ERRORS as error:
        raise build_decode_error(error, name) from None
    if plan.extra is not None:
        known = plan.known
        values[plan.extra] = {name: value for name, value in data.items() if name not in known}
    if len(values) == plan.size:
        payload = object.__new__(cls)
        payload.__dict__ = values
        return payload
    return construct(cls, values)


def construct(cls: Type[P], values: Mapping[str, Any]) -> P:
    try:
        return cls(**values)
    except TypeError:
        for each in fields(cls):  # type: ignore[arg-type]
            if each.default is MISSING and each.default_factory is MISSING and each.name not in values:
                text = f"required property {each.metadata.get('wire', each.name)!r} is missing"
                raise ValidationError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "", text) from None
        raise


#: The packages whose types stay as long as the process.
_STAYING = frozenset({"builtins", "collections", "datetime", "decimal", "fractions", __name__.partition(".")[0]})


class _FieldEncodingError(EncodingError):
    """An `EncodingError` with its path in the payload. Each level on the way up adds its name to the path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def _build_encode_error(error: EncodingError, place: str) -> _FieldEncodingError:
    """Return the error for the property, or the item ``[3]``, whose encoder raised ``error``."""
    if isinstance(error, _FieldEncodingError):
        return _FieldEncodingError(join_path(place, error.path), error.reason)
    return _FieldEncodingError(place, str(error))


class Encoders(Dict[type, Callable[[Any], Any]]):
    """The encoders of types, for one number of fractional digits. A type gets its encoder when it is first met.

    The dictionary keeps types of this package and of Python. A type of the program may go, and is kept weakly.
    """

    def __init__(self, datetime_digits: int) -> None:
        super().__init__()
        self._digits = datetime_digits
        self._of_program: "WeakKeyDictionary[type, Callable[[Any], Any]]" = WeakKeyDictionary()

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        encode = self._of_program.get(kind)
        if encode is None:
            encode = self._find(kind)
            stays = str(kind.__module__).partition(".")[0] in _STAYING
            table: MutableMapping[type, Callable[[Any], Any]] = self if stays else self._of_program
            table[kind] = encode
        return encode

    def _find(self, kind: type) -> Callable[[Any], Any]:
        if issubclass(kind, Payload):
            # A class of the program may have a `to_wire` of its own, which knows nothing of digits.
            takes_digits = self._digits != 3 and "datetime_digits" in signature(kind.to_wire).parameters
            return methodcaller("to_wire", self._digits) if takes_digits else methodcaller("to_wire")
        if issubclass(kind, Enum):
            # The ``value`` of `Enum` returns ``_value_``, but slowly.
            is_usual = getattr_static(kind, "value") is getattr_static(Enum, "value")
            return attrgetter("_value_" if is_usual else "value")
        if issubclass(kind, datetime):
            return format_datetime if self._digits == 3 else partial(format_datetime, digits=self._digits)
        if issubclass(kind, (list, tuple)):
            return self.encode_list
        if issubclass(kind, Mapping):
            return self.encode_mapping
        is_number = issubclass(kind, Decimal) or issubclass(kind, Real)
        return _encode_number if is_number and int not in kind.__mro__ else self._encode_other

    def encode_list(self, values: Sequence[Any]) -> List[Any]:
        items: List[Any] = []
        try:
            for value in values:
                kind = type(value)
                items.append(value if kind in JSON_TYPES else self[kind](value))
        except EncodingError as error:
            raise _build_encode_error(error, f"[{len(items)}]") from None
        return items

    def encode_mapping(self, values: Mapping[Any, Any]) -> Dict[Any, Any]:
        members = {}
        try:
            for key, value in values.items():
                kind = type(value)
                members[key] = value if kind in JSON_TYPES else self[kind](value)
        except EncodingError as error:
            raise _build_encode_error(error, str(key)) from None
        return members

    def _encode_other(self, value: Any) -> Any:
        """Return a JSON value as it is. A proxy, such as those of web frameworks, is encoded by its ``__class__``."""
        encode = self[value.__class__]
        return value if encode == self._encode_other else encode(value)


_ENCODERS = Encoders(3)
_other_encoders: Dict[int, Encoders] = {}


def _get_encoders(datetime_digits: int) -> Encoders:
    if datetime_digits not in DIGITS:
        raise UsageError(f"a date-time has 0, 3 or 6 fractional digits, not {datetime_digits!r}")
    return _other_encoders.setdefault(datetime_digits, Encoders(datetime_digits))


def encode_payload(payload: Payload, datetime_digits: int) -> Dict[str, Any]:
    """Return ``payload`` as a JSON object, also if its class has a `to_wire` of its own."""
    data: Dict[str, Any] = _get_encoders(datetime_digits)[type(payload)](payload)
    return data


def _encode_number(value: Any) -> Union[int, float]:
    """Return the JSON number of a `Decimal`, a number of numpy, or another number: the one that its text shows."""
    try:
        if isinstance(value, Integral):
            return int(value)
        if isinstance(value, Decimal):
            # Not every peer takes 5.0 for an integer: ``Decimal("5")`` is written as 5.
            exponent = value.as_tuple().exponent
            is_whole = isinstance(exponent, int) and exponent >= 0 and value.adjusted() < _LONGEST_INTEGER
            return int(value) if is_whole else float(value)
        # The 1600.1 of numpy.float32 is 1600.0999755859375 as a float. Its text is what the program means.
        return float(value) if isinstance(value, (float, Rational)) else float(str(value))
    except (ArithmeticError, ValueError, TypeError) as error:
        raise EncodingError(f"{value!r} is no JSON number: {error}") from error


#: In digits. A longer `Decimal`, such as 1E+999999, could be a text without end.
_LONGEST_INTEGER = 18


def _encode(value: Any, encoders: Encoders) -> Any:
    kind = type(value)
    return value if kind in JSON_TYPES else encoders[kind](value)


def _encode_by_plan(plan: Plan, payload: Payload, encoders: Encoders) -> Dict[str, Any]:
    data: Dict[str, Any] = {}
    try:
        for name, attribute in plan.pairs:
            value = getattr(payload, attribute)
            if value is not None:
                kind = type(value)
                data[name] = value if kind in JSON_TYPES else encoders[kind](value)
    except EncodingError as error:
        raise _build_encode_error(error, name) from None
    if plan.extra is not None:
        data.update(encode_extra(getattr(payload, plan.extra), plan.known, encoders))
    if payload.extra is not NO_EXTRA and plan.keeps_extra:
        encode_rest(payload, data, encoders)
    return data


def encode_rest(payload: Payload, data: Dict[str, Any], encoders: Encoders) -> None:
    """Add the properties of `Payload.extra` to ``data``, but not over a field that has a value."""
    rest = {name: value for name, value in payload.extra.items() if name not in data}
    data.update(encode_extra(rest, frozenset(), encoders))


def encode_extra(extra: Optional[Mapping[Any, Any]], known: FrozenSet[str], encoders: Encoders) -> Dict[Any, Any]:
    for name in extra or ():
        if not isinstance(name, str):
            raise _FieldEncodingError(str(name), "the name of a property must be text")
        if name in known:
            raise _FieldEncodingError(name, "there is a field of this name: use it")
    return encoders.encode_mapping(extra or {})


def get_plan(cls: Type[Payload]) -> Plan:
    plan: Optional[Plan] = cls.__dict__.get("_plan")
    if plan is None or plan.owner is not cls:
        if not hasattr(cls, "__dataclass_fields__"):
            raise UsageError(f"{cls.__name__} is no dataclass: decorate it with @dataclass")
        try:
            hints = get_hints(cls)
        except (NameError, TypeError) as error:
            raise UsageError(f"{cls.__name__}: an annotation cannot be evaluated: {error}") from error
        own = {each.name: _get_wire_name(cls, each) for each in fields(cls)}  # type: ignore[arg-type]
        extra = [attribute for attribute, name in own.items() if name == _EXTRA]
        if len(extra) > 1:
            raise UsageError(f"{cls.__name__}: more than one field has the wire name *: {', '.join(extra)}")
        plain_init = _has_plain_init(cls)
        plan_fields = [
            _plan_field(name, each, hints[each.name], plain_init)
            for each, name in zip(fields(cls), own.values())  # type: ignore[arg-type]
            if name != _EXTRA
        ]
        cls._plan = plan = Plan(cls, plan_fields, extra[0] if extra else None, plain_init)
    return plan


def get_reader(plan: Plan) -> Optional[Reader]:
    """Return the straight-line code that decodes payloads. ``None``: their ``__init__`` must be called."""
    if plan.reader is None and plan.size >= 0:
        plan.reader = make_reader(plan, _find_nested)
    return plan.reader


def get_writer(plan: Plan) -> Writer:
    """Return the straight-line code that encodes payloads."""
    if plan.writer is None:
        helpers = {"encode": _encode, "encode_extra": encode_extra, "encode_rest": encode_rest, "NO_EXTRA": NO_EXTRA}
        plan.writer = make_writer(plan, _find_nested, helpers)
    return plan.writer


class _Nested:
    """How payloads inside others are read and written. Their functions are found when they are first needed.

    Attributes:
        kind: Their class.
        read: Reads a payload.
        write: Writes a payload.
    """

    __slots__ = ("kind", "read", "write")

    def __init__(self, kind: Type[Payload]) -> None:
        self.kind = kind
        self.read: Reader = self._read_first
        self.write: Writer = self._write_first

    def _read_first(self, data: Dict[str, Any]) -> Any:
        is_own = getattr(self.kind.from_wire, "__func__", None) is not Payload.__dict__["from_wire"].__func__
        self.read = (None if is_own else get_reader(get_plan(self.kind))) or _refuse_to_read
        return self.read(data)

    def _write_first(self, payload: Any, encoders: Encoders) -> Dict[str, Any]:
        is_own = self.kind.to_wire is not Payload.to_wire
        self.write = _encode if is_own else get_writer(get_plan(self.kind))
        return self.write(payload, encoders)


def _refuse_to_read(data: Dict[str, Any]) -> Any:
    """Leave a payload to the general way. Code of the program makes it, which is to run once, also after a fault."""
    raise TypeError


def _find_nested(decode: Optional[Decoder]) -> Optional[_Nested]:
    """Return how the payloads that ``decode`` returns are read and written. ``None``: it returns something else."""
    owner = getattr(decode, "__self__", None)
    return _Nested(owner) if isinstance(owner, type) and issubclass(owner, Payload) else None


def get_hints(cls: Type[Payload]) -> Dict[str, Any]:
    """Return the annotations of the fields. Those of each base class are evaluated in the module of that class."""
    return get_type_hints(cls, None, {cls.__name__: cls})


def _plan_field(name: str, each: Any, hint: Any, plain_init: bool) -> Field:
    decode = find_decoder(hint)
    default = each.default if plain_init and each.default is not MISSING else NO_DEFAULT
    return (name, each.name, decode, int if decode is decode_int else type(None), default)


def _has_plain_init(cls: Type[Payload]) -> bool:
    """Tell whether the constructor of ``cls`` only stores a value in ``__dict__`` for each field."""
    own: Any = fields(cls)  # type: ignore[arg-type]
    known = cls.__dataclass_fields__  # type: ignore[attr-defined]
    code = getattr(cls.__init__, "__code__", None)
    return (
        # @dataclass generates it with exec(), so that it has no file. It is the second line of a function there.
        code is not None
        and (code.co_filename, code.co_firstlineno, code.co_flags & CO_NESTED) == ("<string>", 2, CO_NESTED)
        and len(own) == len(known)  # no InitVar
        # It is not that of a base class, which may have other defaults.
        and vars(next(each for each in cls.__mro__ if "__init__" in vars(each))).get("__dataclass_fields__") is known
        and not hasattr(cls, "__post_init__")
        and all(each.init for each in own)
        # Nothing else handles the values: no metaclass, __new__, __setattr__ (as in a frozen class), property or slot.
        and type(cls).__call__ is type.__call__
        and cls.__new__ is object.__new__
        and cls.__setattr__ is object.__setattr__
        and not any(hasattr(type(getattr_static(cls, each.name, None)), "__set__") for each in own)
    )


def _get_wire_name(cls: type, each: Any) -> str:
    name = each.metadata.get("wire")
    if not isinstance(name, str):
        raise UsageError(f"{cls.__name__}.{each.name} has no wire name: give it field(metadata=wire(...))")
    return str(to_text(name))


def find_decoder(hint: Any) -> Optional[Decoder]:
    """Return the function that decodes a JSON value for that annotation, or ``None`` if it stays as it is."""
    origin = getattr(hint, "__origin__", None)
    if origin is Union or type(hint).__name__ == "UnionType":
        decoders = [decoder for decoder in map(find_decoder, hint.__args__) if decoder is not None]
        if float in hint.__args__ or len(decoders) > 1:
            decoders = [decoder for decoder in decoders if decoder is not decode_int]
        if len(decoders) > 1:
            raise UsageError(f"{hint}: JSON does not show which of these types a value has")
        return decoders[0] if decoders else None
    if origin is list:
        return partial(decode_list, find_decoder(hint.__args__[0]))
    if hint is int:
        return decode_int
    if isinstance(hint, type):
        if issubclass(hint, Payload):
            return hint.from_wire
        if issubclass(hint, Enum):
            return Members((member.value, member) for member in hint).__getitem__
        if issubclass(hint, datetime):
            return parse_datetime
    return None
