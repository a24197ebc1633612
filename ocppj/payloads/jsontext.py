"""JSON text to values and back, by ``orjson`` where it is installed and means the same. Its only importer.

The standard library decides. ``orjson`` reads what both read alike; anything else is read by the library, which says
what is wrong with it. The two would differ in integers beyond 64 bits (floats to ``orjson``), in lone surrogates, and
in how deep a value may be; in writing, also in NaN and infinity (``null`` to ``orjson``) and keys that are no text.
"""

from __future__ import annotations

import json
import math
from enum import Enum
from functools import partial
from typing import Any, Callable, Optional
from uuid import UUID

from ..errors import EncodingError

__all__ = ["MAX_DEPTH", "NestedTooDeeply", "decode", "encode", "is_deeper", "use_orjson"]

#: How many arrays and objects of a frame may be inside one another. The schemas go to 13 in a frame; ``customData``
#: and the data of a DataTransfer come on top.
MAX_DEPTH = 32

#: A text with no more brackets is not nested deeper than both can read.
_MANY_BRACKETS = 400
#: 2**63 has 19 digits. To find so many in a row, all digits are made 0 (a search by regular expression takes longer
#: than ``orjson`` itself).
_LONG_NUMBER = b"0" * 19
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))


class NestedTooDeeply(ValueError):
    """A JSON text has more arrays and objects inside one another than it may have."""


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _default(value: object) -> Any:
    """Write what ``orjson`` writes too: what may be sent must not depend on what is installed."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default).encode
_encode_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=_default).encode


def is_deeper(text: str, depth: int) -> bool:
    """Tell whether arrays and objects of ``text`` are nested more than ``depth`` deep. It may be no JSON.

    Strings and all but brackets are dropped; then each round drops all pairs with nothing inside, one level, without
    a loop in Python. If something is left, the text is too deep or not balanced: then it is counted one by one.
    """
    data = text.encode("utf-8", "surrogatepass")
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # now every quote begins or ends a string
    brackets = data.translate(_BRACKETS, _NO_BRACKETS).replace(b'""', b"")
    if b'"' in brackets:  # a string has brackets in it
        brackets = b"".join(brackets.split(b'"')[::2])
    rest = brackets
    for _ in range(depth):
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
    """Return the JSON value that ``text`` is. NaN, infinities and numbers beyond a float are no JSON.

    Raises `ValueError` (`json.JSONDecodeError` where the position is known; `NestedTooDeeply`, before anything is
    read, when more than ``max_depth`` arrays and objects are inside one another) or `RecursionError`.
    """
    # A text with no more brackets cannot be deeper: that settles it for most messages.
    brackets = text.count("[") + text.count("{")
    if max_depth is not None and brackets > max_depth and is_deeper(text, max_depth):
        raise NestedTooDeeply(f"nested more than {max_depth} deep")
    if _loads is not None and brackets <= _MANY_BRACKETS:
        try:
            data = text.encode()
            if _LONG_NUMBER not in data.translate(_DIGITS):
                return _loads(data)
        except ValueError:  # a lone surrogate, or what is no JSON to orjson: the library decides
            pass
    return _decoder.decode(text)


def encode(value: Any) -> str:
    """Return the JSON text of ``value``, which can be written as UTF-8.

    Raises `EncodingError` for what JSON cannot say.
    """
    if _dumps is not None:
        try:
            data: bytes = _dumps(value)
        except TypeError:
            pass
        else:
            if b"null" not in data:  # NaN, perhaps
                return data.decode("utf-8")
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form; escaped, it still is the text that was meant.
        return _encode_ascii(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodingError(f"the payload cannot be written as JSON: {error}") from error
    return text


_loads: Optional[Callable[[bytes], Any]] = None
_dumps: Optional[Callable[[Any], bytes]] = None


def use_orjson(wanted: bool) -> None:
    """Use ``orjson`` if it is installed, or never."""
    global _loads, _dumps
    _loads = _dumps = None
    if not wanted:
        return
    try:
        import orjson
    except ImportError:
        return
    options = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
    _loads = orjson.loads
    _dumps = partial(orjson.dumps, option=options)


use_orjson(True)
