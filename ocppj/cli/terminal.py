"""`Terminal`: what a command prints. Colours and progress are for terminals alone."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, Iterable, List, Optional, Sequence, TextIO

from ..errors import printable
from ..secrets import mask_secrets, mask_value

__all__ = ["Terminal"]

_CODES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
_PATIENCE = 1.0  # seconds for another thread to print


class Terminal:
    """The standard output and the standard error of a command. Any thread may print.

    Args:
        as_json: Whether the user wants JSON.
        show_secrets: Whether passwords and keys are shown. Else ``***`` stands for them.
        out: Where results go. ``None``: the standard output.
        err: Where errors and progress go. ``None``: the standard error.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        show_secrets: bool = False,
        out: Optional[TextIO] = None,
        err: Optional[TextIO] = None,
    ) -> None:
        self.as_json = as_json
        self.show_secrets = show_secrets
        self._out, self._err = out or sys.stdout, err or sys.stderr
        self._lock = threading.Lock()
        self.is_stuck: bool = False  #: Whether another thread still waited for the output when this was closed.
        self._status = ""  # what stands in the last line, until something else is printed
        self.is_terminal: bool = self._out.isatty()
        self.has_colours: bool = self.is_terminal and not as_json and not os.environ.get("NO_COLOR")
        self.shows_status: bool = self._err.isatty() and not as_json  #: Whether `status` shows something.

    def line(self, text: str = "") -> None:
        """Print a line of the result. Secrets in it are masked, and control characters are escaped."""
        self._print(self._out, self._plain(text))

    def lines(self, texts: Iterable[str]) -> None:
        """Print lines of the result."""
        for text in texts:
            self.line(text)

    def coloured(self, text: str) -> None:
        """Print a line that has colours of `paint` in it. The caller has made its parts printable."""
        self._print(self._out, text if self.show_secrets else mask_secrets(text))

    def note(self, text: str) -> None:
        """Print a line that is not of the result, such as "listening on ...": with ``--json`` to the standard error."""
        self._print(self._err if self.as_json else self._out, self._plain(text))

    def error(self, text: str) -> None:
        """Print a line to the standard error."""
        self._print(self._err, self._plain(text))

    def tell_broken(self, name: str, lines: Sequence[int]) -> None:
        """Print to the standard error that lines of a recording cannot be read, if there are some."""
        if lines:
            words = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
            self.error(f"{name}: {words} cannot be read, the first is line {lines[0]}")

    def json(self, value: Any) -> None:
        """Print a JSON value in one line."""
        shown = value if self.show_secrets else mask_value(value)
        text = json.dumps(shown, ensure_ascii=False, default=str)
        if printable(text) != text:  # of a peer, such as marks that turn the direction of a text
            text = json.dumps(shown, default=str)
        self._print(self._out, text)

    def paint(self, colour: str, text: str) -> str:
        """Return ``text`` in a colour ("red", "green", "yellow", "cyan", "bold", "dim") if the terminal has colours."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.has_colours else text

    def status(self, text: str) -> None:
        """Show ``text`` in the last line of the terminal, in place of the status before. Elsewhere nothing is shown."""
        if self.shows_status:
            with self._lock:
                self._err.write(f"\r\x1b[K{printable(text)[: _width() - 1]}")
                self._err.flush()
                self._status = text

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        """Print a table. Numbers stand at the right. On a terminal it is drawn by ``rich``, if that is installed."""
        cells = [[self._plain(str("" if cell is None else cell)) for cell in row] for row in rows]
        are_numbers = [all(_is_number(row[index]) for row in cells) for index in range(len(columns))]
        if not (self.has_colours and self._draw(columns, cells, are_numbers, title)):
            self._print_table(columns, cells, are_numbers, title)

    def close(self) -> None:
        """Remove the status, and flush. It is given up if nothing reads what another thread prints."""
        if not self._lock.acquire(timeout=_PATIENCE):
            self.is_stuck = True
            return
        try:
            self._remove_status()
            self._out.flush()
        finally:
            self._lock.release()

    def _print(self, stream: TextIO, text: str) -> None:
        with self._lock:
            self._remove_status()
            stream.write(f"{text}\n")
            stream.flush()

    def _remove_status(self) -> None:
        if self._status:
            self._err.write("\r\x1b[K")
            self._err.flush()
            self._status = ""

    def _plain(self, text: str) -> str:
        return printable(text if self.show_secrets else mask_secrets(text))

    def _draw(self, columns: Sequence[str], rows: List[List[str]], are_numbers: List[bool], title: str) -> bool:
        """Draw a table by ``rich``. Return whether that is installed."""
        try:
            from rich.console import Console
            from rich.table import Table
            from rich.text import Text
        except ImportError:
            return False
        table = Table(title=title or None)
        for name, is_number in zip(columns, are_numbers):
            table.add_column(name, justify="right" if is_number else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        with self._lock:
            self._remove_status()
            Console(file=self._out).print(table)
        return True

    def _print_table(self, columns: Sequence[str], rows: List[List[str]], are_numbers: List[bool], title: str) -> None:
        widths = [max([len(name), *(len(row[index]) for row in rows)]) for index, name in enumerate(columns)]
        lines = [self.paint("bold", title)] if title else []
        for number, row in enumerate([list(columns), *rows]):
            texts = [
                f"{cell:>{width}}" if is_number else f"{cell:<{width}}"
                for cell, width, is_number in zip(row, widths, are_numbers)
            ]
            line = "  ".join(texts).rstrip()
            lines.append(self.paint("bold", line) if number == 0 else line)
        self._print(self._out, "\n".join(lines))  # at once: what other threads print stands above it or below it


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace(",", "").lstrip("-").isdigit() or not text


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((120, 24)).columns
