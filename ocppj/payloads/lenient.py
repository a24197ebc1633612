"""Decodes payloads that may break the rules, for the modes ``warn`` and ``off`` of `ocppj.settings.Validation`.

A value of another type than its field's is converted where its meaning is plain: ``"7"`` and 7, ``"true"`` and
``true``, one object and a list of it. What cannot be converted stays the JSON value. Properties without a field go to
`Payload.extra`.

A class is analysed, and straight-line code made for it, when it is first decoded: the mode ``off`` decodes every
message so, and a peer may send very many objects.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import MISSING, fields
from datetime import datetime
from enum import Enum
from functools import partial
from itertools import compress, repeat
from operator import itemgetter
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from ..errors import Later
from ..made_code import INDENT, Names, make_functions
from .datetimes import has_iso_form, parse_datetime, parse_iso_datetime
from .model import Payload, construct, find_decoder, get_hints, get_plan
from .plans import DECODE_ERRORS, NO_DEFAULT, Decoder, Members

__all__ = ["Unreadable", "decode_later", "decode_leniently"]

P = TypeVar("P", bound=Payload)

#: How many objects in the lists of one message are decoded although properties are missing or unknown.
MAX_ODD_OBJECTS = 1000


class Unreadable(NamedTuple):
    """A date-time that cannot be read: where it stands, such as ``MeterValue.timestamp``, and its JSON value."""

    place: str
    value: Any


def decode_leniently(cls: Type[P], data: Mapping[str, Any], unreadable: Optional[List[Unreadable]] = None) -> P:
    """Return the payload of the JSON object ``data``, even if it breaks the rules.

    A required property that is missing becomes ``None``. A date-time in any form of ISO 8601 is read; one that cannot
    be read becomes ``None``, and its JSON value is in ``extra``. Such date-times are added to ``unreadable``.

    Objects in lists that lack required properties, or have unknown ones, stay JSON objects after the first
    `MAX_ODD_OBJECTS`. An empty object is 3 bytes on the wire, and a payload takes hundreds of times as much memory.
    """
    notes = _Notes()
    payload: P = _get_reader(cls).read(data, notes)
    if unreadable is not None:
        unreadable.extend(notes)
    return payload


def decode_later(cls: Type[Payload], data: Mapping[str, Any]) -> Later:
    """Return what is to be the ``response`` of an error. It is ``None`` if a type of the program refuses the data."""
    return Later(partial(_try_to_decode, cls, data))


def _try_to_decode(cls: Type[Payload], data: Mapping[str, Any]) -> Optional[Payload]:
    with suppress(Exception):
        return decode_leniently(cls, data)
    return None


class _Notes(List[Unreadable]):
    """What was noted while one payload was decoded: the date-times that cannot be read, and the number of odd objects.

    An odd object is one in a list that lacks required properties, or has unknown ones.
    """

    odd_objects = 0


class _Odd:
    """What stays of a JSON value that cannot be converted to the type of its field."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


#: A converter returns this for a value that stays as it is. It is made once: there may be very many such values.
_AS_IS = _Odd(None)
#: A converter returns this for a date-time that cannot be read.
_NO_DATETIME = _Odd(None)
#: Takes a JSON value that is not ``null``, and the notes. Returns the value, or an `_Odd`.
_Converter = Callable[[Any, _Notes], Any]
#: A type; the members for values of that type, or ``None`` if they are as they should be; the converter for values of
#: other types, or ``None`` if they stay.
_Conversion = Tuple[Optional[type], Optional[Dict[Any, Any]], Optional[_Converter]]


class _Reader:
    """How payloads of one class are decoded."""

    def __init__(self, cls: Type[Payload]) -> None:
        self.cls = cls
        self._plan = plan = get_plan(cls)
        # A class of the program may decode in its own way. What that refuses is decoded as here.
        self._has_own_way = getattr(cls.from_wire, "__func__", None) is not Payload.__dict__["from_wire"].__func__
        own: Any = fields(cls)  # type: ignore[arg-type]
        required = {each.name for each in own if each.default is MISSING and each.default_factory is MISSING}
        hints = get_hints(cls)
        self.required = frozenset(name for name, attribute, *_ in plan.fields if attribute in required)
        self.known = plan.known if plan.extra is None else None  # ``None``: there is a field for all others
        # What fields without a value have, and how the values of the others are converted, by wire name.
        self._defaults: Dict[str, Any] = {}
        self._fields: Dict[str, Tuple[str, _Conversion]] = {}
        for name, attribute, _, _, default in plan.fields:
            self._fields[name] = (attribute, _find_conversion(hints[attribute]))
            if attribute in required or default is not NO_DEFAULT:
                self._defaults[attribute] = None if attribute in required else default
        #: Makes a payload of a JSON object.
        self.read: Callable[[Mapping[str, Any], _Notes], Any] = self._make_read()

    def _make_read(self) -> Callable[[Mapping[str, Any], _Notes], Any]:
        """Return the function ``read``, in straight-line code."""
        names = Names(
            new=object.__new__,
            cls=self.cls,
            defaults=self._defaults,
            known=self._plan.known,
            finish=self._finish,
            Odd=_Odd,
            AS_IS=_AS_IS,
            NUMBERS=_NUMBERS,
            from_wire=self.cls.from_wire,
            errors=DECODE_ERRORS,
        )
        lines = ["values, odd = defaults.copy(), {}"]
        if self._has_own_way:
            lines = ["try:", f"{INDENT}return from_wire(data)", "except errors:", f"{INDENT}pass", *lines]
        for name, (attribute, conversion) in self._fields.items():
            lines += [f"if {name!r} in data:", f"{INDENT}value = data[{name!r}]"]
            lines += [INDENT + line for line in _list_conversion(name, conversion, names, self._plan.size >= 0)]
            lines.append(f"{INDENT}values[{attribute!r}] = value")
        is_whole = len(self._defaults) == self._plan.size
        lines += [
            f"if odd or {'' if is_whole else f'len(values) != {self._plan.size} or '}not data.keys() <= known:",
            f"{INDENT}return finish(data, values, odd, notes)",
            "payload = new(cls)",
            "payload.__dict__ = values",
            "return payload",
        ]
        title = f"lenient from_wire of {self.cls.__module__}.{self.cls.__qualname__}"
        source = ["def read(data, notes):", *(INDENT + line for line in lines)]
        made: Callable[[Mapping[str, Any], _Notes], Any] = make_functions(title, source, names)["read"]
        return made

    def read_items(self, wanted: Iterator[Tuple[int, Any]], items: List[Any], notes: _Notes) -> None:
        """Put payloads into ``items`` in place of the objects ``wanted``, which come with their indexes."""
        required, known, read = self.required, self.known, self.read
        if required and notes.odd_objects >= MAX_ODD_OBJECTS:
            wanted = filter(itemgetter(1), wanted)  # it leaves out empty objects, in C
        for index, each in wanted:
            names = each.keys()
            if not (required <= names and (known is None or names <= known)):
                notes.odd_objects += 1
                if notes.odd_objects > MAX_ODD_OBJECTS:
                    continue
                if notes.odd_objects == MAX_ODD_OBJECTS:
                    items[index] = read(each, notes)
                    self.read_items(wanted, items, notes)
                    break
            items[index] = read(each, notes)

    def _finish(
        self, data: Mapping[str, Any], values: Dict[str, Any], odd: Mapping[str, _Odd], notes: _Notes
    ) -> Payload:
        """Return the payload of ``values``, of the values that could not be converted, and of unknown properties."""
        plan = self._plan
        extra: Dict[str, Any] = {}
        kept: Dict[str, Any] = {}
        for name, value in odd.items():
            if value is _NO_DATETIME:
                extra[name] = data[name]
                notes.append(Unreadable(f"{self.cls.__name__}.{name}", data[name]))
            else:
                kept[self._fields[name][0]] = data[name] if value is _AS_IS else value.value
        if plan.extra is not None:
            values[plan.extra] = {name: value for name, value in data.items() if name not in plan.known}
        elif not data.keys() <= plan.known:
            extra.update((name, value) for name, value in data.items() if name not in plan.known)
        if extra and plan.keeps_extra:
            kept["extra"] = extra
        if len(values) == plan.size:  # its constructor only stores the values
            payload: Payload = object.__new__(self.cls)
            values.update(kept)
            payload.__dict__ = values
            return payload
        payload = construct(self.cls, values)
        for attribute, value in kept.items():  # only now: a constructor may not expect them
            object.__setattr__(payload, attribute, value)  # the class may be frozen
        return payload


def _list_conversion(name: str, conversion: _Conversion, names: Names, is_plain: bool) -> List[str]:
    """Return the lines that convert ``value``, that of the property ``name``.

    ``is_plain``: the constructor of the class only stores the values, and is not called.
    """
    kind, members, convert = conversion
    if convert is None:
        return []
    converting = [
        f"read = {_find_short_way(conversion, names)}{names.add(convert)}(value, notes)",
        "if type(read) is not Odd:",
        f"{INDENT}value = read",
        "elif read is not AS_IS:" if is_plain else "else:",  # a constructor may not expect the value
        f"{INDENT}odd[{name!r}], value = read, None",
    ]
    if convert is _to_datetime:
        lines = ["try:", f"{INDENT}value = {names.add(parse_datetime)}(value)", "except errors:", *_indent(converting)]
        return ["if value is not None:", *_indent(lines)]
    if members is not None:
        usual = [f"if type(value) is {names.add(kind)}:", f"{INDENT}value = {names.add(members)}[value]"]
        return [*usual, "elif value is not None:", *_indent(converting)]
    test = "value is not None" if kind is None else f"type(value) is not {names.add(kind)} and value is not None"
    return [f"if {test}:", *_indent(converting)]


def _find_short_way(conversion: _Conversion, names: Names) -> str:
    """Return the beginning of an expression that converts numbers where text should be, as many peers send them."""
    kind, members, _ = conversion
    if kind is not str or not all(type(each) is str for each in members or ()):
        return ""
    text = "repr(value)" if members is None else f"{names.add(members)}[repr(value)]"
    return f"{text} if type(value) in NUMBERS else "


def _indent(lines: List[str]) -> List[str]:
    return [INDENT + line for line in lines]


def _get_reader(cls: Type[Payload]) -> _Reader:
    """Return the reader of ``cls``. The class keeps it, as it keeps its plan."""
    reader: Optional[_Reader] = cls.__dict__.get("_lenient_reader")
    if reader is None or reader.cls is not cls:  # @dataclass(slots=True) copies the class
        reader = cls._lenient_reader = _Reader(cls)
    return reader


def _find_conversion(hint: Any) -> _Conversion:
    """Return how values for that annotation are converted."""
    origin = getattr(hint, "__origin__", None)
    if origin is Union or type(hint).__name__ == "UnionType":
        return _find_union_conversion([each for each in hint.__args__ if each is not type(None)])
    if origin is list:
        item = hint.__args__[0]
        if isinstance(item, type) and issubclass(item, Payload):
            return None, None, _Nested(item).to_payloads
        return None, None, partial(_to_list, item, *_find_conversion(item))
    if not isinstance(hint, type):
        return None, None, None
    if hint in _SCALARS:
        return hint, None, _SCALARS[hint]
    if issubclass(hint, Payload):
        return None, None, _Nested(hint).to_payload
    if issubclass(hint, Enum):
        members = Members((member.value, member) for member in hint)
        return str, members, partial(_to_member, members)
    return None, None, _to_datetime if issubclass(hint, datetime) else None


def _find_union_conversion(hints: List[Any]) -> _Conversion:
    enums = [each for each in hints if isinstance(each, type) and issubclass(each, Enum)]
    if len(hints) == 1 or (len(enums) == 1 and set(hints) == {str, *enums}):
        return _find_conversion((enums or hints)[0])
    if set(hints) == {int, float}:
        return None, None, _to_number
    decode = find_decoder(Union[tuple(hints)])
    return None, None, None if decode is None else partial(_to_other, decode)


class _Nested:
    """Converts payloads inside others. Their class may be the same: so it is analysed when the first one comes."""

    def __init__(self, cls: Type[Payload]) -> None:
        self._cls = cls
        self._found: Optional[_Reader] = None

    def to_payload(self, value: Any, notes: _Notes) -> Any:
        if type(value) is not dict and not isinstance(value, Mapping):
            return _AS_IS
        return (self._found or self._find()).read(value, notes)

    def to_payloads(self, value: Any, notes: _Notes) -> Any:
        """Return a list of payloads. Some peers send one alone, without the list around it."""
        if type(value) is not list and not isinstance(value, (list, tuple)):
            if not isinstance(value, Mapping):
                return _AS_IS
            value = [value]
        items = list(value)
        kinds = set(map(type, value))
        if kinds == _ONLY_OBJECTS:
            (self._found or self._find()).read_items(enumerate(value), items, notes)
        else:
            objects = {kind for kind in kinds if issubclass(kind, Mapping)}
            if objects:  # the filter runs in C
                wanted = compress(enumerate(value), map(objects.__contains__, map(type, value)))
                (self._found or self._find()).read_items(wanted, items, notes)
        left = kinds.intersection(map(type, items)) - _NULLS  # those that stay JSON values
        return _Odd(items) if left else items

    def _find(self) -> _Reader:
        self._found = reader = _get_reader(self._cls)
        return reader


def _to_list(
    hint: Any,
    kind: Optional[type],
    members: Optional[Dict[Any, Any]],
    convert: Optional[_Converter],
    value: Any,
    notes: _Notes,
) -> Any:
    """Return a list of converted items. Some peers send one item alone, without the list around it."""
    if not isinstance(value, (list, tuple)):
        is_item = isinstance(hint, type) and isinstance(value, _SCALAR_TYPES)
        if not is_item and not (_holds_text(hint) and isinstance(value, str)):
            return _AS_IS
        value = [value]
    items = list(value) if members is None else [members[each] if type(each) is kind else each for each in value]
    if convert is None:
        return items
    kinds = set(map(type, value))
    if len(kinds) == 1:  # often all are alike
        alike = _convert_alike(convert, type(value[0]), value)
        if alike is not None:
            return alike
    others = kinds - {kind, type(None)}
    # All this runs in C as far as it can: there may be very many items, and nearly all as they should be, or none.
    if others == kinds:
        converted = list(map(convert, value, repeat(notes)))
        if _Odd not in set(map(type, converted)):
            return converted
        return _Odd([old if type(new) is _Odd else new for old, new in zip(value, converted)])
    is_odd = False
    for index, each in compress(enumerate(value), map(others.__contains__, map(type, value))):
        item = convert(each, notes)
        if type(item) is _Odd:
            is_odd = True
        else:
            items[index] = item
    return _Odd(items) if is_odd else items


def _convert_alike(convert: _Converter, kind: type, value: Sequence[Any]) -> Any:
    """Return the list of converted items, which are all of one type; ``None``: each is to be converted for itself."""
    if convert is _to_text and kind in (int, float):
        return list(map(repr, value))
    if convert is _to_integer and kind is str:
        digits = "".join(value)
        if digits.isascii() and digits.isdigit() and all(value) and len(max(value, key=len)) <= _LONGEST_NUMBER:
            return list(map(int, value))
    if convert in _SCALARS.values() and kind in (list, dict):
        return _Odd(list(value))
    return None


def _holds_text(hint: Any) -> bool:
    """Tell whether a field with that annotation may have text, as the enums of the generated messages may."""
    return str in getattr(hint, "__args__", ())


def _to_text(value: Any, notes: _Notes) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, (int, float)) else _AS_IS


_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d+)?([eE][+-]?\d+)?\s*", re.ASCII)
_LONGEST_NUMBER = 40  # in characters


def _to_number(value: Any, notes: _Notes) -> Any:
    if not isinstance(value, str):
        return value if isinstance(value, (int, float)) else _AS_IS
    match = _NUMBER.fullmatch(value[: _LONGEST_NUMBER + 1])
    if match is None or len(value) > _LONGEST_NUMBER:
        return _AS_IS
    number = int(value) if match.group(1) is match.group(2) is None else float(value)
    return _AS_IS if math.isinf(number) else number


def _to_integer(value: Any, notes: _Notes) -> Any:
    if type(value) is float:
        return int(value) if value.is_integer() else value
    number = _to_number(value, notes)
    return int(number) if type(number) is float and number.is_integer() else number


def _to_boolean(value: Any, notes: _Notes) -> Any:
    known = value.strip().lower() if isinstance(value, str) else value
    if isinstance(known, (str, int, float)) and known in _BOOLEANS:
        return _BOOLEANS[known]
    return _AS_IS


_BOOLEANS: Dict[Any, bool] = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}


def _to_member(members: Dict[Any, Any], value: Any, notes: _Notes) -> Any:
    """Return the member of an enum. Unknown text stays text."""
    if isinstance(value, (list, dict)):
        return _AS_IS
    if value in members:
        return members[value]
    return value if isinstance(value, str) else members[_to_text(value, notes)]


def _to_datetime(value: Any, notes: _Notes) -> Any:
    if isinstance(value, str) and has_iso_form(value):
        with suppress(ValueError):
            return parse_iso_datetime(value)  # those of RFC 3339, too
    return _NO_DATETIME


def _to_other(decode: Decoder, value: Any, notes: _Notes) -> Any:
    try:
        return decode(value)
    except DECODE_ERRORS:
        return _AS_IS


_SCALARS: Dict[type, _Converter] = {int: _to_integer, float: _to_number, str: _to_text, bool: _to_boolean}
_SCALAR_TYPES = (str, int, float)
_NUMBERS = frozenset({int, float})
_ONLY_OBJECTS = {dict}
_NULLS = {type(None)}
