"""Plans: what the fields of a payload class are, and the decoders of their values.

`ocppj.payloads.model` makes a `Plan` of a class. `ocppj.payloads.straight` makes code of it.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple

from ..errors import ErrorCode, ValidationError

__all__ = ["DECODE_ERRORS", "JSON_TYPES", "NO_DEFAULT", "Decoder", "Field", "Members", "Plan", "Reader", "Writer",
           "build_decode_error", "decode_int", "decode_list", "join_path"]  # fmt: skip

Decoder = Callable[[Any], Any]
#: Makes a payload of a JSON object.
Reader = Callable[[Dict[str, Any]], Any]
#: Makes a JSON object of a payload, with the encoders of all types.
Writer = Callable[[Any, Any], Dict[str, Any]]
#: Values of these types are their JSON values.
JSON_TYPES = frozenset({str, int, float, bool, type(None)})
#: The field has no default, or ``__init__`` must find it.
NO_DEFAULT = object()
#: The wire name; the attribute; the decoder, or ``None`` if the JSON value is the value; a type whose values need no
#: decoding; the default, or `NO_DEFAULT`. (A named tuple takes three times as long to unpack.)
Field = Tuple[str, str, Optional[Decoder], type, Any]


class Plan:
    """How payloads of the class ``owner``, but not of its subclasses, are encoded and decoded."""

    __slots__ = ("extra", "fields", "keeps_extra", "known", "owner", "pairs", "reader", "size", "writer")

    def __init__(self, owner: type, plan: List[Field], extra: Optional[str], plain_init: bool) -> None:
        self.owner: type = owner
        self.fields: List[Field] = plan
        self.pairs: List[Tuple[str, str]] = [(name, attribute) for name, attribute, *_ in plan]
        # The attribute of the field ``*``, and the names that do not belong to it.
        self.extra: Optional[str] = extra
        self.known: FrozenSet[str] = frozenset(name for name, *_ in plan)
        # A class may have a field called "extra" of its own. Then there is no `Payload.extra`.
        self.keeps_extra: bool = "extra" not in {attribute for _, attribute, *_ in plan} | {extra}
        # How many attributes an object has if its ``__init__`` need not be called, or else -1.
        self.size: int = len(plan) + (extra is not None) if plain_init else -1
        # The straight-line code, when it was made.
        self.reader: Optional[Reader] = None
        self.writer: Optional[Writer] = None


#: A decoder raises these for a value that does not fit the annotation.
DECODE_ERRORS = (ValidationError, ValueError, TypeError, AttributeError, KeyError)


def build_decode_error(error: Exception, place: str) -> ValidationError:
    """Return the error for the property, or the item ``[3]``, whose decoder raised ``error``."""
    if isinstance(error, ValidationError):
        return ValidationError(error.code, join_path(place, error.path), error.description)
    return ValidationError(ErrorCode.TYPE_CONSTRAINT_VIOLATION, place, f"{place}: cannot be read: {error}")


def join_path(place: str, path: str) -> str:
    """Return the path of what is at ``path`` inside the value at ``place``."""
    return place + path if not path or path.startswith("[") else f"{place}.{path}"


def decode_list(decode: Optional[Decoder], values: Any) -> List[Any]:
    """Return the decoded items of a JSON array. ``None``: they stay as they are."""
    if not isinstance(values, (list, tuple)):
        raise TypeError("not an array")
    if decode is None:
        return list(values)
    items: List[Any] = []
    try:
        items.extend(map(decode, values))
    except DECODE_ERRORS as error:
        raise build_decode_error(error, f"[{len(items)}]") from None
    return items


def decode_int(value: Any) -> Any:
    """Return 1 for 1.0. JSON has one type of numbers, and since draft-06 of JSON schema 1.0 is an integer."""
    return int(value) if type(value) is float and value.is_integer() else value


class Members(Dict[Any, Any]):
    """The members of an enum by their values. Any other value stays as it is."""

    def __missing__(self, value: Any) -> Any:
        return value
