"""Finds the texts of frames inside other texts."""

from __future__ import annotations

import json
import re
from typing import Any, List, NamedTuple, Optional, Tuple

__all__ = ["FrameText", "OpenFrame", "find_start", "find_texts", "find_unfinished", "is_frame"]


class FrameText(NamedTuple):
    """A frame inside a text.

    Attributes:
        text: The frame.
        prefix: What stands before it.
        rest: What follows.
    """

    text: str
    prefix: str
    rest: str


#: How a frame begins: its type, and its id. The quotation marks are escaped if it is inside a JSON string. A number is
#: no id, but some peers send it.
_START = re.compile(r'\[\s*[2-6]\s*,\s*(?:(\\*)"|-?\d{1,20}\s*,\s*(\\*)["{])')
#: A frame that begins at the end of a line: nothing stands there that cannot begin a frame.
_UNFINISHED = re.compile(r'\[\s*(?:[2-6]\s*(?:,\s*(?:"(?:[^"\\]|\\.)*"\s*(?:,\s*(?:["{n].*)?)?)?)?)?$', re.DOTALL)
_UNFINISHED_HEAD = re.compile(r'\[\s*[2-6]\s*,\s*"')
_ESCAPED = re.compile(r'(?:[^"\\]|\\.)*')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|"|[\[\]{}]')
_decoder = json.JSONDecoder(strict=False)
#: So many characters of a text may be looked at in vain, and four times its length: a hostile one takes no longer.
_EFFORT = 100_000


def is_frame(value: Any) -> bool:
    """Tell whether a JSON value looks like a frame. It may break rules."""
    if not isinstance(value, list) or len(value) < 3 or type(value[0]) is not int or not 2 <= value[0] <= 6:
        return False
    if not isinstance(value[1], str) and type(value[1]) is not int:
        return False
    return isinstance(value[2], str) if value[0] != 3 else not isinstance(value[2], (int, float, str))


def find_texts(text: str) -> List[FrameText]:
    """Return the frames that begin and end in ``text``, and those that are cut off, or are no valid JSON."""
    found: List[FrameText] = []
    position = before = 0
    effort = _EFFORT + 4 * len(text)
    while True:
        match = _START.search(text, position)
        if match is None or effort < 0:
            return found
        start = match.start()
        position = start + 1
        if match[1] or match[2]:
            inside, end = _unescape(text, start)
            inner = find_texts(inside)
            found += [each._replace(prefix=text[before:start] if not each.prefix else each.prefix) for each in inner]
            if inner:
                position = before = end
            else:
                effort -= end - start
            continue
        ending = find_end(text, start)
        if ending is not None:
            found.append(FrameText(text[start:ending], text[before:start], text[ending:]))
            position = before = ending
        else:
            effort -= len(text) - start


def find_start(text: str) -> bool:
    """Tell whether a frame begins somewhere in ``text``."""
    return _START.search(text) is not None


def find_end(text: str, start: int) -> Optional[int]:
    """Return where the frame ends that begins at ``start``. ``None``: it is no frame, or ends in another line."""
    try:
        value, end = _decoder.raw_decode(text, start)
    except RecursionError:
        return len(text)
    except ValueError:
        level = OpenFrame()
        level.feed(text[start:])
        if level.is_done:
            return start + level.end
        return len(text.rstrip()) if level.is_broken and _has_head(text, start) else None
    return end if is_frame(value) else None


def _has_head(text: str, start: int) -> bool:
    return _UNFINISHED_HEAD.match(text, start) is not None


def _unescape(text: str, start: int) -> Tuple[str, int]:
    """Return the rest of the JSON string that ``start`` is in, without its escapes, and where it ends."""
    match = _ESCAPED.match(text, start)
    assert match is not None  # it matches nothing, too
    try:
        return str(json.loads(f'"{match.group()}"', strict=False)), match.end()
    except ValueError:  # escapes of another language
        return match.group().replace('\\"', '"').replace("\\\\", "\\"), match.end()


def find_unfinished(text: str) -> Optional[int]:
    """Return where in ``text`` a frame begins whose end is in a later line. ``None``: none does."""
    start = text.find("[")
    while start >= 0:
        if _UNFINISHED.match(text, start):
            level = OpenFrame()
            level.feed(text[start:])
            return None if level.is_done or level.is_broken else start
        start = text.find("[", start + 1)
    return None


class OpenFrame:
    """A frame whose lines come one by one.

    Attributes:
        is_done: Whether its last bracket has come.
        is_broken: Whether a line ended inside a string: then this is no JSON.
        end: Where in the last line the frame ended.
        lines: The lines so far.
    """

    def __init__(self) -> None:
        self.is_done: bool = False
        self.is_broken: bool = False
        self.end: int = 0
        self.lines: List[str] = []
        self._depth = 0
        self._head = ""
        self._size = 0

    def feed(self, line: str) -> None:
        """Take the next line. The first begins with the first bracket."""
        self.lines.append(line)
        self._size += len(line)
        if len(self._head) < _LONGEST_HEAD:
            self._head += f"{line}\n"
        for match in _TOKEN.finditer(line):
            token = match.group()
            if token in "[{":
                self._depth += 1
            elif token in "]}":
                self._depth -= 1
                if self._depth <= 0:
                    self.is_done, self.end = True, match.end()
                    return
            elif token == '"':
                self.is_broken = True
                return

    @property
    def text(self) -> str:
        """The frame as far as it has come, without what follows it."""
        last = self.lines[-1][: self.end] if self.is_done else self.lines[-1]
        return "\n".join([*self.lines[:-1], last])

    @property
    def may_be_frame(self) -> bool:
        """Whether what has come so far may be the begin of a frame."""
        return len(self._head) >= _LONGEST_HEAD or _UNFINISHED.match(self._head.rstrip("\n")) is not None

    @property
    def is_too_long(self) -> bool:
        """Whether it has more lines, or more characters, than any frame."""
        return len(self.lines) > _MOST_LINES or self._size > _LONGEST

    @property
    def has_head(self) -> bool:
        """Whether the type and the id have come."""
        return _has_head(self._head, 0)


#: Of a frame so much is kept to see whether it is one, in characters.
_LONGEST_HEAD = 200
_MOST_LINES = 20_000
_LONGEST = 16 * 1024 * 1024
