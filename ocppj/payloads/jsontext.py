"""Decodes and encodes JSON text. Only this module imports ``orjson``, which is optional.

The result is always that of the standard library. ``orjson`` is used only where the two agree. They differ about
integers beyond 64 bits (``orjson`` makes them floats), lone surrogates and the depth of a value, and in encoding also
about NaN and infinity (``orjson`` writes ``null``) and keys that are no text.
"""

from __future__ import annotations

import json
import math
import re
from enum import Enum
from typing import Any, Callable, Optional
from uuid import UUID

from ..errors import EncodingError

__all__ = ["MAX_DEPTH", "NestedTooDeeply", "decode", "decode_loosely", "encode", "is_deeper", "is_loose",
           "use_orjson"]  # fmt: skip

#: How many arrays and objects of a frame may be inside one another. The schemas need 13. ``customData`` and the data of
#: a DataTransfer may need more.
MAX_DEPTH = 32

#: So many levels are dropped before brackets are counted: each round goes through the whole text.
_ROUNDS = 32
#: A text with so many brackets is not deeper than both libraries can read.
_MANY_BRACKETS = 400
#: 2**63 has 19 digits. To find so many in a row, all digits are made 0. A regular expression takes longer than
#: ``orjson`` itself.
_LONG_NUMBER = b"0" * 19
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))


#: Control characters (JSON allows four of them as blanks, and none in a string) and the byte-order mark.
_FORGIVEN = [*range(0x20), *range(0x7F, 0xA0), 0xFEFF]
_find_forgiven = re.compile("[" + re.escape("".join(map(chr, _FORGIVEN))) + "]").search
_BLANKS = dict.fromkeys(_FORGIVEN, " ")
#: A string, closed or not. It matches at each quotation mark, so that a hostile text takes no longer than another.
_split_at_strings = re.compile(r'("[^"\\]*(?:\\.?[^"\\]*)*"?)', re.DOTALL).split


class NestedTooDeeply(ValueError):
    """A JSON text has too many arrays and objects inside one another."""


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _parse_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _encode_other(value: object) -> Any:
    """Encode the types that ``orjson`` encodes, so that the result does not depend on the installed packages."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_float)
_loose_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_float, strict=False)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_encode_other).encode
_encode_ascii = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_encode_other).encode


def is_deeper(text: str, depth: int) -> bool:
    """Tell whether arrays and objects of ``text`` are nested more than ``depth`` deep. The text may be no JSON.

    All but brackets outside strings is dropped. Then each round drops all empty pairs, one level, without a loop over
    characters in Python. If something is left, the text is deep or not balanced: then the brackets are counted.
    """
    data = text.encode("utf-8", "surrogatepass")
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # now each quote begins or ends a string
    brackets = data.translate(_BRACKETS, _NO_BRACKETS).replace(b'""', b"")
    if b'"' in brackets:  # a string contains brackets
        brackets = b"".join(brackets.split(b'"')[::2])
    rest = brackets
    for _ in range(min(depth, _ROUNDS)):
        before, rest = len(rest), rest.replace(b"[]", b"")
        if len(rest) == before:
            break
    level = 0
    for bracket in brackets if rest else b"":
        level += 1 if bracket == 0x5B else -1
        if level < 0 or level > depth:
            break
    return level > depth


def decode(text: str, max_depth: Optional[int] = None) -> Any:
    """Return the JSON value of ``text``. NaN, infinities and numbers too large for a float are refused.

    Raises:
        NestedTooDeeply: More than ``max_depth`` arrays and objects are inside one another. Nothing has been decoded.
        ValueError: The text is no JSON. It is a `json.JSONDecodeError` if the position is known.
        RecursionError: The text is too deep for the library.
    """
    # A text cannot be deeper than it has brackets. Most messages have few.
    brackets = text.count("[") + text.count("{")
    if max_depth is not None and brackets > max_depth and is_deeper(text, max_depth):
        raise NestedTooDeeply(f"nested more than {max_depth} deep")
    if _loads is not None and brackets <= _MANY_BRACKETS:
        try:
            data = text.encode()
            if _LONG_NUMBER not in data.translate(_DIGITS):
                return _loads(data)
        except ValueError:  # a lone surrogate, or no JSON for orjson: the standard library decides
            pass
    return _decoder.decode(text)


def is_loose(text: str) -> bool:
    """Tell whether `decode_loosely` forgives anything in ``text``."""
    return _find_forgiven(text) is not None


def decode_loosely(text: str, max_depth: Optional[int] = None) -> Any:
    """Return the JSON value of ``text``, which `decode` refuses. Control characters and byte-order marks are forgiven.

    In a string they are kept. Elsewhere they count as blanks. ``orjson`` cannot do this, so the standard library does.

    Raises:
        ValueError: As `decode` does. A position counts the characters of ``text``.
        RecursionError: As `decode` does.
    """
    if not is_loose(text):
        return decode(text, max_depth)
    pieces = _split_at_strings(text)  # each second one is a string
    pieces[::2] = '"'.join(pieces[::2]).translate(_BLANKS).split('"')  # no call in Python for each piece
    blanked = "".join(pieces)
    if max_depth is not None and is_deeper(blanked, max_depth):
        raise NestedTooDeeply(f"nested more than {max_depth} deep")
    return _loose_decoder.decode(blanked)


def encode(value: Any) -> str:
    """Return the JSON text of ``value``. It can be encoded as UTF-8. Raises `EncodingError`."""
    if _dumps is not None:
        try:
            data: bytes = _dumps(value, None, _options)  # by position: a keyword takes half as long again
        except TypeError:
            pass
        else:
            if b"null" not in data:  # it may stand for NaN
                return data.decode("utf-8")
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form. An escape sequence keeps it.
        return _encode_ascii(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodingError(f"the payload cannot be written as JSON: {error}") from error
    return text


_loads: Optional[Callable[[bytes], Any]] = None
_dumps: Optional[Callable[[Any, None, Optional[int]], bytes]] = None
_options: Optional[int] = None  # of ``_dumps``


def use_orjson(wanted: bool) -> None:
    """Use ``orjson`` if it is installed (the default), or never."""
    global _loads, _dumps, _options
    _loads = _dumps = None
    if not wanted:
        return
    try:
        import orjson
    except ImportError:
        return
    _options = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
    _loads, _dumps = orjson.loads, orjson.dumps


use_orjson(True)
