"""`InputLine`: reads lines from a terminal. What is printed meanwhile stands above the line that is being typed."""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import sys
import threading
from contextlib import suppress
from typing import Any, Callable, List, Optional, TextIO

__all__ = ["InputLine"]

PROMPT = "ocppj> "


class InputLine:
    """The line at the bottom of a terminal.

    `above` wraps the streams of the terminal: what is written to them removes the line, and draws it again below.

    Args:
        complete: Returns what the last word of a line up to the cursor may become.

    Raises:
        ImportError: This Python has no ``readline``.
    """

    def __init__(self, complete: Callable[[str], List[str]]) -> None:
        import readline

        self._readline = readline
        self._complete = complete
        self._candidates: List[str] = []
        self._lock = threading.Lock()  # guards the terminal, and _reading
        self._reading = False
        self._library = _library_of(readline)
        readline.set_completer_delims(" ")
        readline.set_completer(self._next)
        is_libedit = "libedit" in (getattr(readline, "__doc__", "") or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")

    def read(self) -> str:
        """Return the next line. Raises ``EOFError`` at Ctrl-D."""
        with self._lock:
            self._reading = True
        try:
            return input(PROMPT)
        except BaseException:  # Ctrl-C, or Ctrl-D: the cursor is still in the line
            sys.stdout.write("\n")
            raise
        finally:
            with self._lock:
                self._reading = False

    def above(self, stream: TextIO) -> TextIO:
        """Return a stream that writes to ``stream`` above the line."""
        return _Above(self, stream)

    def close(self) -> None:
        """Complete nothing any more."""
        self._readline.set_completer(None)

    def show(self, stream: TextIO, text: str) -> None:
        """Write ``text`` above the line. It ends with a line end."""
        with self._lock:
            if not self._reading:
                stream.write(text)
                stream.flush()
                return
            up = (len(PROMPT) + self._cursor()) // shutil.get_terminal_size().columns  # of a line with several rows
            stream.write((f"\x1b[{up}A" if up else "") + f"\r\x1b[J{text}")
            stream.flush()
            if self._library is not None:
                self._library.rl_forced_update_display()
            else:
                stream.write(PROMPT + self._readline.get_line_buffer())
                stream.flush()

    def _cursor(self) -> int:
        if self._library is not None:
            with suppress(ValueError):
                return ctypes.c_int.in_dll(self._library, "rl_point").value
        return len(self._readline.get_line_buffer())

    def _next(self, text: str, state: int) -> Optional[str]:
        """Return a candidate, as ``readline`` asks for them: ``state`` counts from 0."""
        if state == 0:
            self._candidates = self._complete(self._readline.get_line_buffer()[: self._readline.get_endidx()])
        return self._candidates[state] if state < len(self._candidates) else None


class _Above(io.StringIO):
    """Keeps what is written until `flush`, and then writes it above the line."""

    def __init__(self, line: InputLine, stream: TextIO) -> None:
        super().__init__()
        self._line = line
        self._stream = stream

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def flush(self) -> None:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        if text:
            self._line.show(self._stream, text)


def _library_of(readline: Any) -> Optional[Any]:
    """Return the library below ``readline``, if it can draw its line anew. It is called with the interpreter's lock."""
    path = getattr(readline, "__file__", None)
    with suppress(OSError, TypeError, AttributeError):
        library = ctypes.PyDLL(path)
        library.rl_forced_update_display  # noqa: B018 - raises if there is none
        return library
    return None


def is_terminal() -> bool:
    """Tell whether a line can be drawn anew: a person types, and sees what is printed."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
