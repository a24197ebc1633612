"""`Transcript`: what has happened, as lines that people read."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime, tzinfo
from os import environ
from typing import Any, Iterable, List, Mapping, Optional, Sequence, TextIO

from ..errors import printable
from ..rpc.messages import MAX_ACTION
from ..secrets import mask_secrets, mask_value
from .seen import Seen

__all__ = ["Transcript"]

#: The colours of kinds and of faults, as the numbers of ANSI escape sequences.
_COLOURS = {"CALL": "36", "SEND": "36", "RESULT": "32", "ERROR": "31", "RESULTERROR": "31", "TEXT": "31"}
_FAULT = "33"
#: In characters: a name of the one or the other side, and a kind with an action.
_NAME = 4
_LABEL = 29


class Transcript:
    """Makes lines of what has happened: time, direction, kind, action and payload.

    Args:
        name: What the object is called that keeps the journal.
        peer: What the other side is called. ``None``: each charging station by its identity.
        width: How long a line may be, in characters. ``None``: as long as it gets.
        colour: Whether to colour the lines, for a terminal.
        zone: The time zone. ``None``: that of the machine.
        show_secrets: Whether passwords and keys are shown. Else ``***`` stands for them: see `ocppj.mask_secrets`.
    """

    def __init__(
        self,
        name: str = "CSMS",
        *,
        peer: Optional[str] = None,
        width: Optional[int] = 160,
        colour: bool = False,
        zone: Optional[tzinfo] = None,
        show_secrets: bool = False,
    ) -> None:
        self._name = name
        self._peer = peer
        self._width = width
        self._colour = colour
        self._zone = zone
        self._show_secrets = show_secrets

    @classmethod
    def for_terminal(
        cls, name: str = "CSMS", stream: Optional[TextIO] = None, *, show_secrets: bool = False
    ) -> "Transcript":
        """Return a transcript as wide as the terminal.

        It has colours if ``stream``, by default the standard output, is a terminal, unless NO_COLOR is set in the
        environment.
        """
        colour = (stream or sys.stdout).isatty() and not environ.get("NO_COLOR")
        width = shutil.get_terminal_size((120, 24)).columns
        return cls(name, width=width, colour=colour, show_secrets=show_secrets)

    def text(
        self,
        entries: Sequence[Seen],
        *,
        here: Optional[int] = None,
        mark: str = "here",
        most: Optional[int] = None,
    ) -> str:
        """Return the lines of ``entries`` as one text.

        Args:
            entries: What has happened.
            here: The number of the last entry before the mark. ``None``: there is no mark.
            mark: What stands at the mark, after ``>>>``.
            most: How many of the last entries are shown. ``None``: all.
        """
        lines: List[str] = []
        left_out = 0 if most is None else max(0, len(entries) - most)
        if left_out:
            lines.append(f"... {left_out} earlier ones are left out")
        shown = entries[left_out:]
        names = [self._name, *(self._peer or seen.client_id for seen in shown)]
        column = max(_NAME, *map(len, names))
        is_marked = here is None
        for seen in shown:
            if not is_marked and here is not None and seen.number > here:
                lines.append(f">>> {mark}")
                is_marked = True
            lines += self.lines(seen, column)
        return "\n".join(lines if is_marked else [*lines, f">>> {mark}"])

    def lines(self, seen: Seen, column: int = _NAME) -> List[str]:
        """Return the line of ``seen``, and one more with a ``!`` for each rule that it breaks.

        Args:
            seen: What has happened.
            column: How wide the names of the two sides are, in characters.
        """
        start = f"{self.clock(seen.time)}  {self._ends(seen, column)}  "
        action = printable((seen.action or "")[:MAX_ACTION])
        label = f"{f'{seen.kind:<6}  {action}':<{_LABEL}}"
        body = self._cut(self._body(seen), len(start) + len(label) + 2)
        faults = [] if seen.sent else ["the write failed: it was not sent, or not whole"]
        return [
            f"{start}{self._paint(_COLOURS.get(seen.kind), label)}  {body}".rstrip(),
            *(self._paint(_FAULT, f"    ! {printable(fault)}") for fault in (*faults, *seen.faults)),
        ]

    def clock(self, moment: datetime) -> str:
        """Return a time as it stands in the lines."""
        return moment.astimezone(self._zone).strftime("%H:%M:%S.%f")[:-3]

    def _ends(self, seen: Seen, column: int) -> str:
        peer = self._peer or seen.client_id
        sender, receiver = (self._name, peer) if seen.direction == "out" else (peer, self._name)
        return f"{printable(sender):>{column}} -> {printable(receiver):<{column}}"

    def _cut(self, text: str, used: int) -> str:
        if self._width is None:
            return printable(text)
        room = max(3, self._width - used)
        shown = printable(text[: room + 1])
        return shown if len(shown) <= room else f"{shown[: room - 3]}..."

    def _body(self, seen: Seen) -> str:
        if seen.kind in ("ERROR", "RESULTERROR"):
            return self._mask(f"{seen.error_code}: {seen.error_description}")
        if seen.kind == "DISCONNECTED":
            return seen.reason if seen.close is None else str(seen.close)
        if seen.is_event:
            return seen.reason or (f"OCPP {seen.version}" if seen.version else "")
        if not isinstance(seen.payload, dict):
            return self._mask(seen.text)
        return _short(seen.payload if self._show_secrets else mask_value(seen.payload))

    def _mask(self, text: str) -> str:
        return text if self._show_secrets else mask_secrets(text)

    def _paint(self, colour: Optional[str], text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


def _short(value: Any) -> str:
    """Return a payload as ``name=value`` pairs. Of nested objects it shows the innermost, without timestamps."""
    if isinstance(value, list):
        return " ".join(map(_short, value))
    if not isinstance(value, dict):
        return str(value)
    return " ".join(_pairs(value))


def _pairs(members: Mapping[str, Any]) -> Iterable[str]:
    for name, value in members.items():
        if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
            yield _short(value)
        elif name != "timestamp":
            yield f"{name}={value}"
