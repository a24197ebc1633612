"""`find_frames`: the frames in the log of any program; `open_log`: those in a file, be it such a log or a recording.

It reads JSON lines of any shape (the frame as a value, as text, or inside text), and text lines with a frame somewhere,
also of several lines. `ocppj.recording.log_hints` says whose lines are known.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from itertools import chain
from typing import Any, Callable, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from ..payloads.jsontext import encode
from ..recent import Recent
from ..rpc.frames import read_frame_head
from ..rpc.messages import MessageType
from .frame_texts import OpenFrame, find_start, find_texts, find_unfinished, is_frame
from .log_files import LogSource, clean_lines, open_lines
from .log_hints import OUT, Hints, find_time, read_line_before, read_members, read_prefix, starts_with_time
from .recorded import Recorded, begins_recording, read_recording
from .sides import other_side, sender_of

__all__ = ["FoundFrame", "find_frames", "open_log"]

#: The time of a frame that no line before says a time for.
_UNKNOWN = datetime(1970, 1, 1, tzinfo=timezone.utc)
#: Objects and texts of JSON are searched so deep.
_DEEPEST = 20
_REQUESTS = (MessageType.CALL, MessageType.SEND)


@dataclass(frozen=True)
class FoundFrame(Recorded):
    """A frame of a log. What the log does not say is "" or 0. The other attributes are those of `Recorded`.

    Attributes:
        line: The line in which it begins, counted from 1.
        is_time_known: Whether the log says the time. Else ``time`` is that of the frame before, or 1970.
    """

    line: int = 0
    is_time_known: bool = True


class _Hit(NamedTuple):
    text: str
    hints: Hints
    line: int


def open_log(source: LogSource, broken: Optional[Callable[[int, str], object]] = None) -> Iterator[FoundFrame]:
    """Yield the frames, and of a recording the events, of a file. It may be compressed by gzip.

    The files that a `Recorder` has put aside (``s.jsonl.1``) are read before the file itself. Then the lines of all are
    counted as one.

    Args:
        source: Its path, "-" for the standard input, or a file that is open for reading bytes.
        broken: Called with the number of each broken line of a recording, and what is wrong with it. They are skipped.

    Raises:
        OSError: It cannot be read.
    """
    with open_lines(source) as opened:
        start = _take_first(opened)
        lines = chain(start, opened)
        is_rotated = isinstance(source, (str, os.PathLike)) and os.path.exists(f"{os.fspath(source)}.1")
        # An empty file beside a file that was put aside has just been begun.
        if not (begins_recording(start[-1].strip("\ufeff")) if start else is_rotated):
            yield from find_frames(lines)
        elif is_rotated:
            assert isinstance(source, (str, os.PathLike))
            for number, recorded in enumerate(read_recording(source, broken=broken or _ignore), 1):
                yield _place(recorded, number)
        else:
            counted = _Counted(line.strip("\ufeff") for line in lines)
            for recorded in read_recording(counted, broken=broken or _ignore):
                yield _place(recorded, counted.number)


def _take_first(lines: Iterator[str]) -> List[str]:
    """Return the lines up to the first one that is not blank."""
    taken: List[str] = []
    for line in lines:
        taken.append(line)
        if line.strip():
            break
    return taken


def _ignore(number: int, why: str) -> None:
    """Skip a broken line."""


def _place(recorded: Recorded, line: int) -> FoundFrame:
    return FoundFrame(**{each.name: getattr(recorded, each.name) for each in fields(Recorded)}, line=line)


class _Counted:
    """Lines, and the number of the last one that was read."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return line


def find_frames(lines: Iterable[str]) -> Iterator[FoundFrame]:
    """Yield the frames in the lines of a log, in their order. Nothing that it keeps grows with the log.

    Who sent a frame is known if the log says it, or if its action is that of one side only. An answer is sent by the
    other side than its CALL.

    Args:
        lines: The lines, with or without their ends.
    """
    finder, senders, time = _Finder(), _Senders(), _UNKNOWN
    number = 0
    for number, line in enumerate(chain(clean_lines(lines), [None]), 1):
        for hit in finder.finish() if line is None else finder.feed(line, number):
            hints = hit.hints
            time = hints.time or time
            sender = senders.find(hit)
            about = sender, hints.client_id, hints.version, hit.text
            yield FoundFrame(time, *about, line=hit.line, is_time_known=hints.time is not None)


class _Senders:
    """Finds out which side has sent each frame."""

    def __init__(self) -> None:
        self._open: Recent[Tuple[str, str], Set[str]] = Recent(10_000)  # the senders of CALLs without an answer
        self._writers: Set[str] = set()  # which sides have written the log

    def find(self, hit: _Hit) -> str:
        head, hints = read_frame_head(hit.text), hit.hints
        key = hints.client_id, head.message_id or ""
        if head.message_type in _REQUESTS:
            sender = hints.sender or sender_of(head.action or "") or self._by_way(hints.way)
            if hints.way and sender:
                self._writers.add(sender if hints.way == OUT else other_side(sender))
            if sender and head.message_type is MessageType.CALL:
                self._open.remember(key, {*self._open.get(key, ()), sender})
            return sender
        askers = self._open.get(key, set())
        sender = hints.sender
        if not sender:
            sender = other_side(next(iter(askers))) if len(askers) == 1 else self._by_way(hints.way)
        askers.discard(other_side(sender))
        return sender

    def _by_way(self, way: str) -> str:
        """Return the sender by the way of the frame, if only one side has written this log. "": it is not known."""
        if not way or len(self._writers) != 1:
            return ""
        writer = next(iter(self._writers))
        return writer if way == OUT else other_side(writer)


class _Unfinished(NamedTuple):
    """A frame of several lines, of which some have come."""

    frame: OpenFrame
    hints: Hints
    line: int
    is_html: bool


class _Finder:
    """Finds the texts of frames in lines, and what the log says of each."""

    def __init__(self) -> None:
        self._unfinished: Optional[_Unfinished] = None
        self._before = ""  # the line before, if it has no frame

    def feed(self, line: str, number: int) -> List[_Hit]:
        """Return the frames that end in the next line."""
        line, around = unwrap(line)
        hits: List[_Hit] = []
        if self._unfinished is not None:
            if not (starts_with_time(line) or find_texts(line)):
                return self._go_on(self._unfinished, line, number)
            hits += self._give_up(self._unfinished)
        return hits + self._start(line, number, around)

    def finish(self) -> List[_Hit]:
        """Return what is left at the end of the log."""
        return [] if self._unfinished is None else self._give_up(self._unfinished)

    def _go_on(self, open_one: _Unfinished, line: str, number: int) -> List[_Hit]:
        frame = open_one.frame
        frame.feed(line)
        if frame.is_done:
            self._unfinished = None
            hits = _hit(frame.text, open_one) if _looks_like_frame(frame.text) or frame.has_head else []
            return hits + self._start(line[frame.end :], number, Hints())
        if frame.is_broken or not frame.may_be_frame or frame.is_too_long:
            return self._give_up(open_one)
        return []

    def _give_up(self, open_one: _Unfinished) -> List[_Hit]:
        """Return what the lines of a frame whose end does not come are. The rest of it may have frames, too."""
        self._unfinished = None
        frame = open_one.frame
        if not frame.has_head:
            hits, rest = [], frame.lines[1:]
        elif find_start(frame.lines[0]):
            hits, rest = _hit(frame.lines[0], open_one), frame.lines[1:]
        else:
            hits, rest = _hit(frame.text, open_one), []
        for number, line in enumerate(rest[:_MOST_AGAIN], open_one.line + 1):
            hits += self.feed(line, number)
        return hits

    def _start(self, line: str, number: int, around: Hints) -> List[_Hit]:
        """Return the frames of a line in which no frame goes on."""
        if "[" not in line and "{" not in line:
            self._before = line if line.strip() else self._before
            return []
        value = _read_json(line)
        if value is not None:
            self._before = ""
            return [_Hit(text, hints.over(around), number) for text, hints in _search_json(value, Hints(), 0)]
        hits: List[_Hit] = []
        texts = find_texts(line)
        hints = around
        for each in texts:
            hints = self._read_hints(each.prefix, hints if hits else around, not hits)
            hits.append(_Hit(each.text, hints, number))
        rest = texts[-1].rest if texts else line
        start = find_unfinished(rest)
        if start is not None:
            frame = OpenFrame()
            frame.feed(rest[start:])
            prefix = rest[:start]
            hints = self._read_hints(prefix, hints, not texts)
            self._unfinished = _Unfinished(frame, hints, number, _HTML in prefix)
        self._before = line if not texts and start is None else ""
        return hits

    def _read_hints(self, prefix: str, others: Hints, is_first: bool) -> Hints:
        """Return what is said of the frame after ``prefix``, in its line, or in the line before it."""
        if prefix.strip(" ,;\t"):
            return read_prefix(prefix).over(others)
        if is_first:
            return read_line_before(self._before).over(others) if self._before else others
        return Hints(others.time, others.client_id, version=others.version)


#: How EVerest writes a frame into an HTML file.
_HTML = '<pre lang="json">'
#: So many lines after the begin of what was no frame are searched again.
_MOST_AGAIN = 200


def _hit(text: str, open_one: _Unfinished) -> List[_Hit]:
    """Return a frame in one line. Its lines end outside of strings, so nothing is lost."""
    joined = "".join(map(str.strip, text.split("\n")))
    if open_one.is_html:
        joined = joined.replace("&lt;", "<").replace("&gt;", ">")
    return [_Hit(joined, open_one.hints, open_one.line)]


def _looks_like_frame(text: str) -> bool:
    try:
        return is_frame(json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return False


# JSON

_TYPES = {
    "call": 2,
    "callresult": 3,
    "callerror": 4,
    "callresulterror": 5,
    "send": 6,
    **{str(n): n for n in range(2, 7)},
}
_TYPE_NAMES = ("messagetypeid", "messagetype", "typeid", "msgtype", "type")
_ID_NAMES = ("uniqueid", "messageid", "msgid", "callid", "id")


def _read_json(line: str) -> Any:
    """Return the JSON value of a line that is an object, or a list of objects or lists. ``None``: it is another."""
    start = line.lstrip()[:2]
    if start[:1] != "{" and start not in ("[{", "[["):
        return None
    try:
        return json.loads(line, strict=False)
    except (ValueError, RecursionError):
        return None


def _search_json(value: Any, hints: Hints, depth: int) -> Iterator[Tuple[str, Hints]]:
    """Yield the frames inside a JSON value, and what its objects say of them."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield from _search_text(value, hints, depth)
    elif is_frame(value):
        yield encode(value), hints
    elif isinstance(value, list):
        for each in value:
            yield from _search_json(each, hints, depth + 1)
    elif isinstance(value, dict):
        hints = read_members(value).over(hints)
        built = _build_frame(value)
        if built is not None:
            yield encode(built), hints
            return
        for each in value.values():
            yield from _search_json(each, hints, depth + 1)


def _search_text(text: str, hints: Hints, depth: int) -> Iterator[Tuple[str, Hints]]:
    if "[" not in text and "{" not in text:
        return
    value = _read_json(text)
    if value is not None:
        yield from _search_json(value, hints, depth + 1)
        return
    for each in find_texts(text):
        yield each.text, read_prefix(each.prefix).over(hints) if each.prefix.strip() else hints


def _build_frame(members: Mapping[str, Any]) -> Optional[List[Any]]:
    """Return the frame that an object has the elements of, by their names. ``None``: it has none."""
    named = {name.replace("_", "").lower(): value for name, value in members.items()}
    number = next(
        (_TYPES.get(str(named[name]).replace("_", "").lower()) for name in _TYPE_NAMES if name in named), None
    )
    message_id = next((named[name] for name in _ID_NAMES if name in named), None)
    payload, action = named.get("payload"), named.get("action")
    if number is None or not isinstance(message_id, str):
        return None
    if number in (2, 6):
        return [number, message_id, action, payload] if isinstance(action, str) and isinstance(payload, dict) else None
    if number == 3:
        return [number, message_id, payload] if isinstance(payload, dict) else None
    code = named.get("errorcode")
    texts = named.get("errordescription", ""), named.get("errordetails", {})
    return [number, message_id, code, *texts] if isinstance(code, str) else None


# What other programs write around the lines of a log

_CONTAINER = re.compile(r"^[\w.\-]+ +\| ?")  # docker compose
_POD = re.compile(r"^(\d{4}-\d\d-\d\dT\S+) (?:stdout|stderr) [FP] ")  # Kubernetes
_SYSLOG = re.compile(r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ [\w.@/\-]+(?:\[\d+\])?: ")  # syslog, journalctl
_DOCKER = ("log", "MESSAGE")  # json-file of Docker, journalctl -o json


def unwrap(line: str) -> Tuple[str, Hints]:
    """Return a line as the program has written it, and what is known from what was put around it."""
    line = _CONTAINER.sub("", line, 1)
    match = _POD.match(line)
    if match is not None:
        return line[match.end() :], Hints(time=find_time(match[1]))
    if line.startswith("{"):
        value = _read_json(line)
        text = next((value[name] for name in _DOCKER if isinstance(value.get(name), str)), None) if value else None
        if text is not None:
            return text.rstrip("\r\n"), Hints(time=read_members(value).time)
    return _SYSLOG.sub("", line, 1), Hints()
