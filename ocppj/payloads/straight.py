"""`make_reader` and `make_writer`: straight-line code that decodes and encodes the payloads of one class.

The functions take no loop over the fields, and expect values of the types of the fields. They are made when the class
is first decoded or encoded. What they cannot read or write raises one of `DECODE_ERRORS`, or an `EncodingError`. Then
the caller takes the general way. It decides, and names the value at fault.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from functools import partial
from inspect import getattr_static
from typing import Any, Callable, Dict, List, Optional, Type

from ..made_code import INDENT, Names, make_functions
from .datetimes import parse_datetime
from .model import (
    JSON_TYPES,
    NO_DEFAULT,
    NO_EXTRA,
    Decoder,
    Encoders,
    Members,
    Payload,
    Plan,
    Reader,
    Writer,
    decode_int,
    decode_list,
    encode_extra,
    encode_rest,
    get_plan,
)

__all__ = ["make_reader", "make_writer"]


def make_reader(plan: Plan) -> Reader:
    """Return the function that makes a payload of a JSON object. The constructor of its class only stores values."""
    names = Names(owner=plan.owner, new=object.__new__, decode_int=decode_int)
    lines = ["if type(data) is not dict:", INDENT + "raise TypeError", "payload = new(owner)"]
    for name, attribute, decode, _, default in plan.fields:
        read = _list_reading(name, attribute, decode, names)
        if default is NO_DEFAULT:
            lines += read
        else:
            otherwise = f"payload.{attribute} = {'None' if default is None else names.add(default)}"
            lines += [f"if {name!r} in data:", *_indent(read), "else:", INDENT + otherwise]
    if plan.extra is not None:
        known = names.add(plan.known)
        lines.append(f"payload.{plan.extra} = {{name: each for name, each in data.items() if name not in {known}}}")
    reader: Reader = _make("from_wire", plan.owner, "data", [*lines, "return payload"], names)
    return reader


def _list_reading(name: str, attribute: str, decode: Optional[Decoder], names: Names) -> List[str]:
    """Return the lines that make an attribute of the property ``name``. A `KeyError` says that it is missing."""
    if decode is None:
        return [f"payload.{attribute} = data[{name!r}]"]
    test = "type(value) is not int" if decode is decode_int else "value is not None"
    decoding = [f"if {test}:", *_indent(_list_decoding(decode, names))]
    return [f"value = data[{name!r}]", *decoding, f"payload.{attribute} = value"]


def _list_decoding(decode: Decoder, names: Names) -> List[str]:
    """Return the lines that decode the variable ``value``, which is not ``None``."""
    owner = getattr(decode, "__self__", None)
    if isinstance(owner, Members):
        return [f"value = {names.add(owner)}[value]"]
    kind = _find_payload_type(decode)
    if kind is not None:
        return [f"value = {names.add(_Nested(kind))}.read(value)"]
    if isinstance(decode, partial) and decode.func is decode_list:
        kind = _find_payload_type(decode.args[0])
        if kind is not None:
            lines = ["if type(value) is not list:", INDENT + "raise TypeError"]
            return [*lines, f"read = {names.add(_Nested(kind))}.read", "value = [read(each) for each in value]"]
    return [f"value = {names.add(decode)}(value)"]


def make_writer(plan: Plan) -> Writer:
    """Return the function that makes a JSON object of a payload. Its second argument has the encoders of all types."""
    names = Names(JSON_TYPES=JSON_TYPES, NO_EXTRA=NO_EXTRA, datetime=datetime)
    names.update(encode=_encode, encode_extra=encode_extra, encode_rest=encode_rest)
    lines = ["data = {}"]
    for name, attribute, decode, _, _ in plan.fields:
        lines += [f"value = payload.{attribute}", "if value is not None:", *_indent(_list_encoding(decode, names))]
        lines.append(f"{INDENT}data[{name!r}] = value")
    if plan.extra is not None:
        lines.append(f"data.update(encode_extra(payload.{plan.extra}, {names.add(plan.known)}, encoders))")
    if plan.keeps_extra:
        lines += ["if payload.extra is not NO_EXTRA:", INDENT + "encode_rest(payload, data, encoders)"]
    writer: Writer = _make("to_wire", plan.owner, "payload, encoders", [*lines, "return data"], names)
    return writer


def _list_encoding(decode: Optional[Decoder], names: Names) -> List[str]:
    """Return the lines that encode the variable ``value``, which is not ``None``.

    It has any type, but most often that which ``decode``, the decoder of the field, returns.
    """
    general = "value = encode(value, encoders)"
    usual = _find_usual_encoding(decode, names)
    if usual is None:
        return ["if type(value) not in JSON_TYPES:", INDENT + general]
    test, *lines = usual
    return [f"if {test}:", *_indent(lines), "elif type(value) not in JSON_TYPES:", INDENT + general]


def _find_usual_encoding(decode: Optional[Decoder], names: Names) -> Optional[List[str]]:
    """Return the test for the type of a field, and the lines that encode a value of it. ``None``: there are none."""
    if decode is parse_datetime:
        return ["type(value) is datetime", "value = encoders[datetime](value)"]
    owner = getattr(decode, "__self__", None)
    if isinstance(owner, Members) and owner:
        kind = type(next(iter(owner.values())))
        # The ``value`` of `Enum` returns ``_value_``, but slowly.
        is_usual = getattr_static(kind, "value") is getattr_static(Enum, "value")
        return [f"type(value) is {names.add(kind)}", f"value = value.{'_value_' if is_usual else 'value'}"]
    payload_type = _find_payload_type(decode)
    if payload_type is not None:
        test = f"type(value) is {names.add(payload_type)}"
        return [test, f"value = {names.add(_Nested(payload_type))}.write(value, encoders)"]
    if isinstance(decode, partial) and decode.func is decode_list:
        payload_type = _find_payload_type(decode.args[0])
        if payload_type is not None:
            test = f"type(each) is {names.add(payload_type)}"
            lines = [f"write = {names.add(_Nested(payload_type))}.write"]
            lines.append(f"value = [write(each, encoders) if {test} else encode(each, encoders) for each in value]")
            return ["type(value) is list", *lines]
    return None


def _encode(value: Any, encoders: Encoders) -> Any:
    kind = type(value)
    return value if kind in JSON_TYPES else encoders[kind](value)


class _Nested:
    """How payloads inside others are read and written. Their functions are found when they are first needed.

    Attributes:
        read: Reads a payload.
        write: Writes a payload.
    """

    __slots__ = ("_kind", "read", "write")

    def __init__(self, kind: Type[Payload]) -> None:
        self._kind = kind
        self.read: Reader = self._read_first
        self.write: Writer = self._write_first

    def _read_first(self, data: Dict[str, Any]) -> Any:
        kind = self._kind
        is_own = getattr(kind.from_wire, "__func__", None) is not Payload.__dict__["from_wire"].__func__
        self.read = (None if is_own else get_plan(kind).get_reader()) or kind.from_wire
        return self.read(data)

    def _write_first(self, payload: Any, encoders: Encoders) -> Dict[str, Any]:
        kind = self._kind
        is_own = kind.to_wire is not Payload.to_wire
        self.write = _write_by_encoder if is_own else get_plan(kind).get_writer()
        return self.write(payload, encoders)


def _write_by_encoder(payload: Any, encoders: Encoders) -> Dict[str, Any]:
    data: Dict[str, Any] = encoders[type(payload)](payload)
    return data


def _find_payload_type(decode: Optional[Decoder]) -> Optional[Type[Payload]]:
    """Return the class of the payloads that ``decode`` returns, or ``None`` if it returns something else."""
    owner = getattr(decode, "__self__", None)
    return owner if isinstance(owner, type) and issubclass(owner, Payload) else None


def _indent(lines: List[str]) -> List[str]:
    return [INDENT + line for line in lines]


def _make(name: str, owner: type, parameters: str, body: List[str], names: Names) -> Callable[..., Any]:
    title = f"{name} of {owner.__module__}.{owner.__qualname__}"
    made: Callable[..., Any] = make_functions(title, [f"def {name}({parameters}):", *_indent(body)], names)[name]
    return made
