"""Faults of payloads: which one is named, and how it is described.

An error names one fault of a payload, always the same: first unknown properties, then missing ones and arrays of the
wrong length, then types, then values (`KEYWORDS`). Among faults of the same kind it names the one nearest to the top,
then the first in the document.

No text here costs more than a bounded number of characters, whatever the peer sent.
"""

from __future__ import annotations

from typing import Any, Iterator, List, NamedTuple, Sequence, Tuple, Union

from ..errors import ErrorCode
from ..secrets import MASK

__all__ = ["CODES", "KEYWORDS", "MISSING", "OTHER", "TYPE", "UNKNOWN", "VALUE", "Fault", "Path", "describe_missing",
           "describe_rule", "describe_unknown", "format_path", "get_type_name",
           "hide_value", "shorten"]  # fmt: skip

#: The ranks of faults. The fault of the lowest rank is named.
UNKNOWN, MISSING, TYPE, VALUE = range(4)
#: By rank.
CODES = (
    ErrorCode.FORMAT_VIOLATION,
    ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION,
    ErrorCode.TYPE_CONSTRAINT_VIOLATION,
    ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
)
#: Schema keyword -> rank, and so `ErrorCode`, in every version. `Dialect.spell` spells the code.
#: J16 is OCPP-J 1.6, J16E its errata; P4 and P2 are Parts 4 and 2 of OCPP 2.0.1 and 2.1, which agree.
KEYWORDS = {
    "additionalProperties": UNKNOWN,  # not conform the structure of the action: J16 4.2.3 with J16E 5.2; P4 4.3
    "required": MISSING,  # occurrence constraints: J16 4.2.3 with J16E 5.1; P4 4.3
    "minItems": MISSING,  # occurrence constraints: J16 4.2.3 with J16E 5.1; P4 4.3
    "maxItems": MISSING,  # occurrence constraints: as minItems; lists that are too long: P2 B06.FR.16, B08.FR.17
    "type": TYPE,  # data type constraints: J16 4.2.3; P4 4.3
    "format": TYPE,  # dateTime is a data type: J16 4.2.3, 1.6 section 3.15; P4 4.3, P2 2.1.4
    # An invalid value: J16 4.2.3; P4 4.3. About "enum" also 1.6 errata 3.24 and 3.38 on chargingRateUnit.
    **dict.fromkeys(("enum", "const", "minLength", "maxLength", "pattern", "minimum", "maximum"), VALUE),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems"), VALUE),
}
#: For any other keyword. Only schemas of the program have others.
OTHER = VALUE

Path = Tuple[Union[str, int], ...]


class Fault(NamedTuple):
    """One fault of a payload: its rank, the path of the value or property, and a description."""

    rank: int
    path: Path
    text: str


def describe_unknown(name: object, holder: Path) -> str:
    """Return the description of the property ``name`` of the object at ``holder``, which may not be there."""
    return f"property {_repr_head(name, _LONGEST_NAME)} is not allowed{_format_place(holder)}"


def describe_missing(name: object, holder: Path) -> str:
    """Return the description of the property ``name`` that the object at ``holder`` lacks."""
    return f"required property {name!r} is missing{_format_place(holder)}"


def describe_rule(keyword: str, limit: Any, value: Any, path: Path, message: str = "") -> str:
    """Return the description of ``value``, at ``path``, which breaks the rule ``keyword``: ``limit`` of its schema.

    ``message`` is that of ``jsonschema``. It is used for keywords that this module does not know.
    """
    return f"{format_path(path) or 'the payload'} {_describe_rule(keyword, limit, value, message)}"


def _describe_rule(keyword: str, limit: Any, value: Any, message: str) -> str:
    if keyword == "type":
        types = limit if isinstance(limit, str) else " or ".join(limit)
        return f"must be {types}, not {get_type_name(value)}"
    if keyword == "format":
        return f"must be a {limit} as RFC 3339 writes it, with a zone" if limit == "date-time" else f"is no {limit}"
    if keyword == "enum":
        return f"must be one of {', '.join(map(str, limit))}, not {_brief(value)}"
    if keyword in _LIMITS:
        actual = len(value) if keyword[3:] in ("Length", "Items") else _format_number(value)
        return f"must {_LIMITS[keyword].format(limit)}, not {actual}"
    if keyword in _RULES:
        return _RULES[keyword].format(_brief(limit))
    return f"is not valid: {message}"


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
#: In characters. A description is cut after 255, so no more of a name is ever seen.
_LONGEST_NAME = 300


def get_type_name(value: object) -> str:
    """Return the name of the JSON type of ``value``."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def shorten(text: str, longest: int = 60) -> str:
    """Return ``text`` with at most ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def hide_value(text: str, payload: Any, path: Path) -> str:
    """Return a description of a fault with `MASK` where it quotes the value at ``path``, which is there."""
    value = payload
    for step in path:
        value = value[step]
    if isinstance(value, (dict, list)):  # a secret is text or a number; what else stands there is quoted in part
        return text.replace(_brief(value), MASK)
    return text.replace(_brief(value), repr(MASK)).replace(repr(value), repr(MASK))


def format_path(path: Sequence[Union[str, int]]) -> str:
    """Return a path as text, such as ``meterValue[0].timestamp``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _format_place(holder: Path) -> str:
    return f" in {format_path(holder)}" if holder else ""


def _format_number(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no more than 4300 digits: to write them takes the square of their number
        return "a number with too many digits"


def _brief(value: object) -> str:
    """Return ``repr(value)`` in at most 60 characters. A large value is not written further than that."""
    return shorten(_repr_head(value, 60))


def _repr_head(value: object, longest: int) -> str:
    """Return ``repr(value)``, or a beginning of it that has more than ``longest`` characters."""
    pieces: List[str] = []
    length = 0
    for piece in _list_pieces(value, longest):
        pieces.append(piece)
        length += len(piece)
        if length > longest:
            break
    return "".join(pieces)


def _list_pieces(value: object, longest: int) -> Iterator[str]:
    """Yield the parts of ``repr(value)``, each when it is needed."""
    kind = type(value)
    if kind is str:
        yield _repr_text(value, longest)  # type: ignore[arg-type]  # it is text
    elif kind is list:
        before = "["
        for each in value:  # type: ignore[attr-defined]  # it is a list
            yield before
            yield from _list_pieces(each, longest)
            before = ", "
        yield "]" if value else "[]"
    elif kind is dict:
        before = "{"
        for name, each in value.items():  # type: ignore[attr-defined]  # it is a dict
            yield before
            yield from _list_pieces(name, longest)
            yield ": "
            yield from _list_pieces(each, longest)
            before = ", "
        yield "}" if value else "{}"
    else:
        yield _format_number(value) if kind is int else repr(value)


def _repr_text(text: str, longest: int) -> str:
    if len(text) <= longest:
        return repr(text)
    # The text decides about the kind of quotes, with all that it has.
    quoted = repr(text[: longest + 1] + ("'" if "'" in text else "") + ('"' if '"' in text else ""))
    return quoted[: longest + 1]
