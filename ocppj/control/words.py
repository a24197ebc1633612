"""`split_words`: the words of a command line. A word may be quoted, or be JSON, or have JSON after ``=``."""

from __future__ import annotations

import json
from typing import List, Tuple

from ..errors import UsageError

__all__ = ["quote_word", "split_words"]

_DECODER = json.JSONDecoder()
_SPACES = " \t\r\n"
_QUOTES = "\"'"


def split_words(line: str) -> List[str]:
    """Return the words of a line: ``CP_1 Reset type=Soft`` has three.

    Quotes keep spaces: ``"CP 1"``, ``vendorId="Acme Ltd"``. JSON that begins a word, or follows the first ``=`` of it,
    is kept as it is, with its spaces and quotes: ``chargingProfile={"stackLevel": 0}``.

    Args:
        line: The line.

    Raises:
        UsageError: A quote, or an object or a list of JSON, does not end.
    """
    words: List[str] = []
    index = _skip_spaces(line, 0)
    while index < len(line):
        word, index = _read_word(line, index)
        words.append(word)
        index = _skip_spaces(line, index)
    return words


def quote_word(word: str) -> str:
    """Return ``word`` as `split_words` reads it: in quotes if it has spaces or quotes in it."""
    if word and not any(each in word for each in _SPACES + _QUOTES) and word[0] not in "{[":
        return word
    quote = '"' if '"' not in word else "'"
    return f"{quote}{word}{quote}"


def _skip_spaces(line: str, index: int) -> int:
    while index < len(line) and line[index] in _SPACES:
        index += 1
    return index


def _read_word(line: str, index: int) -> Tuple[str, int]:
    parts: List[str] = []
    may_be_json = True  # at the begin of the word, and after its first "="
    has_equals = False
    while index < len(line) and line[index] not in _SPACES:
        character = line[index]
        if may_be_json and character in "{[":
            part, index = _read_json(line, index)
        elif character in _QUOTES:
            part, index = _read_quoted(line, index)
        else:
            part, index = character, index + 1
        may_be_json = part == "=" and not has_equals
        has_equals = has_equals or part == "="
        parts.append(part)
    return "".join(parts), index


def _read_json(line: str, index: int) -> Tuple[str, int]:
    try:
        _, end = _DECODER.raw_decode(line, index)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"this is no JSON: {line[index:]:.80} ({error})") from None
    return line[index:end], end


def _read_quoted(line: str, index: int) -> Tuple[str, int]:
    quote = line[index]
    end = line.find(quote, index + 1)
    if end < 0:
        raise UsageError(f"the quote {quote} before {line[index + 1 :]!r:.80} does not end")
    return line[index + 1 : end], end + 1
