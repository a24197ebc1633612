"""`make_reader` and `make_writer`: straight-line code that decodes and encodes the payloads of one class.

The functions take no loop over the fields, and expect values of the types of the fields. They are made when the class
is first decoded or encoded. What they cannot read or write raises one of `DECODE_ERRORS`, or an `EncodingError`. Then
the caller takes the general way. It decides, and names the value at fault.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import datetime
from enum import Enum
from functools import partial
from inspect import getattr_static
from keyword import iskeyword
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
    texts = _ReaderTexts(names, find_nested)
    lines = ["if type(data) is not dict:", INDENT + "raise TypeError", "payload = new(owner)"]
    factories = {each.name: each.default_factory for each in fields(plan.owner)}
    for name, attribute, decode, _, default in plan.fields:
        factory = factories[attribute]
        read = texts.list_reading(name, attribute, decode)
        if default is NO_DEFAULT and factory is MISSING:
            lines += read
        else:
            made = f"{names.add(factory)}()" if default is NO_DEFAULT else names.add(default)
            otherwise = f"payload.{attribute} = {'None' if default is None else made}"
            lines += [f"if {name!r} in data:", *_indent(read), "else:", INDENT + otherwise]
    if plan.extra is not None:
        known = names.add(plan.known)
        lines.append(f"payload.{plan.extra} = {{name: each for name, each in data.items() if name not in {known}}}")
    reader: Reader = _make("from_wire", plan.owner, "data", [*lines, "return payload"], names)
    return reader


def make_writer(plan: Plan, find_nested: _FindNested, helpers: Mapping[str, Any]) -> Writer:
    """Return the function that makes a JSON object of a payload. Its second argument has the encoders of all types.

    ``helpers`` has the functions ``encode``, ``encode_extra`` and ``encode_rest`` of `ocppj.payloads.model`, and
    ``NO_EXTRA``.
    """
    names = Names(helpers, JSON_TYPES=JSON_TYPES, datetime=datetime)
    texts = _WriterTexts(names, find_nested)
    lines = ["data = {}"]
    for name, attribute, decode, _, _ in plan.fields:
        lines += [f"value = {_get(attribute)}", "if value is not None:", *_indent(texts.list_encoding(decode))]
        lines.append(f"{INDENT}data[{name!r}] = value")
    if plan.extra is not None:
        lines.append(f"data.update(encode_extra({_get(plan.extra)}, {names.add(plan.known)}, encoders))")
    if plan.keeps_extra:
        lines += ["if payload.extra is not NO_EXTRA:", INDENT + "encode_rest(payload, data, encoders)"]
    writer: Writer = _make("to_wire", plan.owner, "payload, encoders", [*lines, "return data"], names)
    return writer


class _Texts:
    """The source text for values of fields. ``names`` has the global names that it uses."""

    def __init__(self, names: Names, find_nested: _FindNested) -> None:
        self.names = names
        self.find_nested = find_nested

    def find_items(self, decode: Optional[Decoder]) -> Optional[Nested]:
        """Return how the items are read and written if ``decode`` returns a list of payloads."""
        is_list = isinstance(decode, partial) and decode.func is decode_list
        return self.find_nested(decode.args[0]) if is_list else None  # type: ignore[union-attr]  # it is a partial


class _ReaderTexts(_Texts):
    """The source text that reads values. Each value is in the variable ``value``."""

    def list_reading(self, name: str, attribute: str, decode: Optional[Decoder]) -> List[str]:
        """Return the lines that make an attribute of the property ``name``. A `KeyError` says that it is missing."""
        if decode is None:
            return [f"payload.{attribute} = data[{name!r}]"]
        members = getattr(decode, "__self__", None)
        if isinstance(members, Members):  # they leave ``None`` as it is
            return [f"payload.{attribute} = {self.names.add(members)}[data[{name!r}]]"]
        test = "type(value) is not int" if decode is decode_int else "value is not None"
        decoding = [f"if {test}:", *_indent(self._list_decoding(decode))]
        return [f"value = data[{name!r}]", *decoding, f"payload.{attribute} = value"]

    def _list_decoding(self, decode: Decoder) -> List[str]:
        nested, items = self.find_nested(decode), self.find_items(decode)
        if nested is not None:
            return [f"value = {self.names.add(nested)}.read(value)"]
        if items is not None:
            lines = ["if type(value) is not list:", INDENT + "raise TypeError"]
            return [*lines, f"read = {self.names.add(items)}.read", "value = [read(each) for each in value]"]
        return [f"value = {self.names.add(decode)}(value)"]


class _WriterTexts(_Texts):
    """The source text that writes values. Each value is in the variable ``value``, and is not ``None``."""

    def list_encoding(self, decode: Optional[Decoder]) -> List[str]:
        """Return the lines that encode a value.

        It has any type, but most often that which ``decode``, the decoder of the field, returns.
        """
        general = "value = encode(value, encoders)"
        usual = self._find_usual(decode)
        if usual is None:
            return ["if type(value) not in JSON_TYPES:", INDENT + general]
        test, *lines = usual
        return [f"if {test}:", *_indent(lines), "elif type(value) not in JSON_TYPES:", INDENT + general]

    def _find_usual(self, decode: Optional[Decoder]) -> Optional[List[str]]:
        """Return the test for the type of a field, and the lines that encode such a value. ``None``: there are none."""
        if decode is parse_datetime:
            return ["type(value) is datetime", "value = encoders[datetime](value)"]
        members = getattr(decode, "__self__", None)
        if isinstance(members, Members) and members:
            kind = type(next(iter(members.values())))
            # The ``value`` of `Enum` returns ``_value_``, but slowly.
            is_usual = getattr_static(kind, "value") is getattr_static(Enum, "value")
            return [f"type(value) is {self.names.add(kind)}", f"value = value.{'_value_' if is_usual else 'value'}"]
        nested, items = self.find_nested(decode), self.find_items(decode)
        if nested is not None:
            test = f"type(value) is {self.names.add(nested.kind)}"
            return [test, f"value = {self.names.add(nested)}.write(value, encoders)"]
        if items is not None:
            test = f"type(each) is {self.names.add(items.kind)}"
            lines = [f"write = {self.names.add(items)}.write"]
            lines.append(f"value = [write(each, encoders) if {test} else encode(each, encoders) for each in value]")
            return ["type(value) is list", *lines]
        return None


def _get(attribute: str) -> str:
    """Return the expression for an attribute. A class with an ``__init__`` of its own may have any name for one."""
    is_name = attribute.isidentifier() and attribute.isascii() and not iskeyword(attribute)
    return f"payload.{attribute}" if is_name else f"getattr(payload, {attribute!r})"


def _indent(lines: List[str]) -> List[str]:
    return [INDENT + line for line in lines]


def _make(name: str, owner: type, parameters: str, body: List[str], names: Names) -> Callable[..., Any]:
    title = f"{name} of {owner.__module__}.{owner.__qualname__}"
    made: Callable[..., Any] = make_functions(title, [f"def {name}({parameters}):", *_indent(body)], names)[name]
    return made
