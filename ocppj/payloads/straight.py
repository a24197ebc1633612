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
from typing import Any, Callable, List, Mapping, Optional, Protocol

from ..made_code import INDENT, Names, make_functions
from .datetimes import parse_datetime
from .plans import JSON_TYPES, NO_DEFAULT, Decoder, Members, Plan, Reader, Writer, decode_int, decode_list

__all__ = ["Nested", "make_reader", "make_writer"]


class Nested(Protocol):
    """How payloads inside others are read and written."""

    kind: type
    read: Reader
    write: Writer


#: Returns how the payloads that a decoder returns are read and written. ``None``: it returns something else.
_FindNested = Callable[[Optional[Decoder]], Optional[Nested]]


def make_reader(plan: Plan, find_nested: _FindNested) -> Reader:
    """Return the function that makes a payload of a JSON object. The constructor of its class only stores values."""
    names = Names(owner=plan.owner, new=object.__new__, decode_int=decode_int)
    lines = ["if type(data) is not dict:", INDENT + "raise TypeError", "payload = new(owner)"]
    for name, attribute, decode, _, default in plan.fields:
        read = _list_reading(name, attribute, decode, names, find_nested)
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


def _list_reading(
    name: str, attribute: str, decode: Optional[Decoder], names: Names, find_nested: _FindNested
) -> List[str]:
    """Return the lines that make an attribute of the property ``name``. A `KeyError` says that it is missing."""
    if decode is None:
        return [f"payload.{attribute} = data[{name!r}]"]
    test = "type(value) is not int" if decode is decode_int else "value is not None"
    decoding = [f"if {test}:", *_indent(_list_decoding(decode, names, find_nested))]
    return [f"value = data[{name!r}]", *decoding, f"payload.{attribute} = value"]


def _list_decoding(decode: Decoder, names: Names, find_nested: _FindNested) -> List[str]:
    """Return the lines that decode the variable ``value``, which is not ``None``."""
    owner = getattr(decode, "__self__", None)
    if isinstance(owner, Members):
        return [f"value = {names.add(owner)}[value]"]
    nested = find_nested(decode)
    if nested is not None:
        return [f"value = {names.add(nested)}.read(value)"]
    if isinstance(decode, partial) and decode.func is decode_list:
        nested = find_nested(decode.args[0])
        if nested is not None:
            lines = ["if type(value) is not list:", INDENT + "raise TypeError"]
            return [*lines, f"read = {names.add(nested)}.read", "value = [read(each) for each in value]"]
    return [f"value = {names.add(decode)}(value)"]


def make_writer(plan: Plan, find_nested: _FindNested, helpers: Mapping[str, Any]) -> Writer:
    """Return the function that makes a JSON object of a payload. Its second argument has the encoders of all types.

    ``helpers`` has the functions ``encode``, ``encode_extra`` and ``encode_rest`` of `ocppj.payloads.model`, and
    ``NO_EXTRA``.
    """
    names = Names(helpers, JSON_TYPES=JSON_TYPES, datetime=datetime)
    lines = ["data = {}"]
    for name, attribute, decode, _, _ in plan.fields:
        lines += [
            f"value = payload.{attribute}",
            "if value is not None:",
            *_indent(_list_encoding(decode, names, find_nested)),
        ]
        lines.append(f"{INDENT}data[{name!r}] = value")
    if plan.extra is not None:
        lines.append(f"data.update(encode_extra(payload.{plan.extra}, {names.add(plan.known)}, encoders))")
    if plan.keeps_extra:
        lines += ["if payload.extra is not NO_EXTRA:", INDENT + "encode_rest(payload, data, encoders)"]
    writer: Writer = _make("to_wire", plan.owner, "payload, encoders", [*lines, "return data"], names)
    return writer


def _list_encoding(decode: Optional[Decoder], names: Names, find_nested: _FindNested) -> List[str]:
    """Return the lines that encode the variable ``value``, which is not ``None``.

    It has any type, but most often that which ``decode``, the decoder of the field, returns.
    """
    general = "value = encode(value, encoders)"
    usual = _find_usual_encoding(decode, names, find_nested)
    if usual is None:
        return ["if type(value) not in JSON_TYPES:", INDENT + general]
    test, *lines = usual
    return [f"if {test}:", *_indent(lines), "elif type(value) not in JSON_TYPES:", INDENT + general]


def _find_usual_encoding(decode: Optional[Decoder], names: Names, find_nested: _FindNested) -> Optional[List[str]]:
    """Return the test for the type of a field, and the lines that encode a value of it. ``None``: there are none."""
    if decode is parse_datetime:
        return ["type(value) is datetime", "value = encoders[datetime](value)"]
    owner = getattr(decode, "__self__", None)
    if isinstance(owner, Members) and owner:
        kind = type(next(iter(owner.values())))
        # The ``value`` of `Enum` returns ``_value_``, but slowly.
        is_usual = getattr_static(kind, "value") is getattr_static(Enum, "value")
        return [f"type(value) is {names.add(kind)}", f"value = value.{'_value_' if is_usual else 'value'}"]
    nested = find_nested(decode)
    if nested is not None:
        test = f"type(value) is {names.add(nested.kind)}"
        return [test, f"value = {names.add(nested)}.write(value, encoders)"]
    if isinstance(decode, partial) and decode.func is decode_list:
        nested = find_nested(decode.args[0])
        if nested is not None:
            item = f"write(each, encoders) if type(each) is {names.add(nested.kind)} else encode(each, encoders)"
            lines = [f"write = {names.add(nested)}.write", f"value = [{item} for each in value]"]
            return ["type(value) is list", *lines]
    return None


def _indent(lines: List[str]) -> List[str]:
    return [INDENT + line for line in lines]


def _make(name: str, owner: type, parameters: str, body: List[str], names: Names) -> Callable[..., Any]:
    title = f"{name} of {owner.__module__}.{owner.__qualname__}"
    made: Callable[..., Any] = make_functions(title, [f"def {name}({parameters}):", *_indent(body)], names)[name]
    return made
