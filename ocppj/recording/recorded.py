"""`Recorded`: one line of a recording, and its text; `read_recording` reads them."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Optional, Union

from ..payloads.datetimes import parse_iso_datetime
from .file_lock import locked

__all__ = [
    "EVENTS",
    "BrokenRecording",
    "Recorded",
    "Source",
    "begins_recording",
    "format_line",
    "parse_line",
    "read_recording",
]

#: What `read_recording` reads: the path of a file, or lines.
Source = Union[str, "os.PathLike[str]", Iterable[Union[str, bytes]]]
#: The events that recorders write. A newer version, or a program, may write others: readers pass over these.
EVENTS = ("connected", "disconnected", "refused", "lost")
_SENDERS = ("station", "csms")


class BrokenRecording(ValueError):
    """A line of a recording cannot be read. Its text says which line, and why."""


@dataclass(frozen=True)
class Recorded:
    """One line of a recording: a frame, or an event.

    Attributes:
        time: When it happened, in UTC.
        sender: Which side sent the frame: "station" or "csms". "" for an event.
        client_id: The identity of the charging station.
        version: The OCPP version of the connection, such as "1.6". "": it is not known.
        text: The frame as it was on the wire. "" for an event.
        event: "connected", "disconnected" or "refused"; "lost": lines are missing here. "" for a frame.
        connection: Which connection it belongs to. 0: it is not known.
        reason: Why the connection ended or was refused, or how many lines are missing.
        sent: False for a frame whose write failed. The other side may have none of it, or a part.
    """

    time: datetime
    sender: str = ""
    client_id: str = ""
    version: str = ""
    text: str = ""
    event: str = ""
    connection: int = 0
    reason: str = ""
    sent: bool = True


def format_line(recorded: Recorded) -> bytes:
    """Return the line of a recording, with its line end."""
    fields: Dict[str, Any] = {"time": _format_time(recorded.time)}
    if recorded.event:
        fields["event"] = recorded.event
    else:
        fields["from"] = recorded.sender
    fields["client"], fields["version"] = recorded.client_id, recorded.version
    if not recorded.event:
        fields["text"] = recorded.text
    fields["connection"] = recorded.connection
    if recorded.reason:
        fields["reason"] = recorded.reason
    if not recorded.sent:
        fields["sent"] = False
    try:
        return (json.dumps(fields, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # half of a pair of surrogates
        return (json.dumps(fields) + "\n").encode("ascii")


def _format_time(time: datetime) -> str:
    if time.tzinfo is not timezone.utc:
        time = time.astimezone(timezone.utc)
    return time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_line(line: Union[str, bytes]) -> Recorded:
    """Return what a line says. Raises ``ValueError`` if it is no line of a recording."""
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    sender, event = _text(fields, "from"), _text(fields, "event")
    if not event and sender not in _SENDERS:
        raise ValueError('it has neither "event", nor "from" with "station" or "csms"')
    if not event and "text" not in fields:
        raise ValueError('it has no "text"')
    connection = fields.get("connection", 0)
    if not isinstance(connection, int):
        raise ValueError('"connection" is no number')
    return Recorded(
        parse_iso_datetime(_text(fields, "time")),
        sender,
        _text(fields, "client"),
        _text(fields, "version"),
        _text(fields, "text"),
        event,
        connection,
        _text(fields, "reason"),
        fields.get("sent") is not False,
    )


def begins_recording(line: Union[str, bytes]) -> bool:
    """Tell whether a first line is that of a recording. Other programs may write a time and an "event", too."""
    try:
        return parse_line(line).event in ("", *EVENTS)
    except (ValueError, RecursionError):
        return False


def _text(fields: Dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f'"{name}" is no text')
    return value


def read_recording(
    source: Source, *, broken: Optional[Callable[[int, str], object]] = None, rotated: bool = True
) -> Iterator[Recorded]:
    """Yield what was recorded, in its order.

    The last line of a file may be broken: its program was killed in the middle of a write. It is skipped. Lines without
    text are skipped, too.

    Args:
        source: The path of a recording, or its lines.
        broken: Called with the number of each broken line, the last one too, and what is wrong with it. ``None``: a
            broken line that is not the last is an error.
        rotated: Whether the files that a `Recorder` has put aside are read first, the oldest first (``s.jsonl.2``,
            ``s.jsonl.1``, ``s.jsonl``).

    Raises:
        BrokenRecording: A line cannot be read, and there is no ``broken``.
        OSError: A file cannot be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        yield from _parse("", source, broken)
        return
    with ExitStack() as files:
        for file in _open_all(os.fspath(source), rotated, files):
            yield from _parse(file.name, file, broken)


def _open_all(path: str, rotated: bool, files: ExitStack) -> List[BinaryIO]:
    """Return the files of a recording, the oldest first. No `Recorder` puts one aside meanwhile. Raises ``OSError``."""
    with locked(path, shared=True):
        try:
            newest = [files.enter_context(_open(path))]
        except FileNotFoundError:
            if not (rotated and os.path.exists(f"{path}.1")):  # else its program was killed while it put it aside
                raise
            newest = []
        return [*(_open_rotated(path, files) if rotated else ()), *newest]


def _open_rotated(path: str, files: ExitStack) -> List[BinaryIO]:
    found: List[BinaryIO] = []
    while os.path.exists(f"{path}.{len(found) + 1}"):
        found.append(files.enter_context(_open(f"{path}.{len(found) + 1}")))
    return found[::-1]


def _open(path: str) -> BinaryIO:
    return open(path, "rb")


def _parse(
    name: str, lines: Iterable[Union[str, bytes]], broken: Optional[Callable[[int, str], object]]
) -> Iterator[Recorded]:
    fault, number = "", 0
    for number, line in enumerate(lines, 1):
        if fault:
            _report(name, number - 1, fault, broken)
            fault = ""
        if not line.strip():
            continue
        try:
            recorded = parse_line(line)
        except (ValueError, RecursionError) as error:
            fault = str(error) or "it is nested too deeply"
            continue
        yield recorded
    if fault and broken is not None:
        broken(number, fault)


def _report(name: str, number: int, fault: str, broken: Optional[Callable[[int, str], object]]) -> None:
    if broken is None:
        where = f"{name}: line {number}" if name else f"line {number}"
        raise BrokenRecording(f"{where} is no line of a recording: {fault}")
    broken(number, fault)
