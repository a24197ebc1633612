"""Log lines with texts of peers. `SafeLog` makes each text safe; `LimitedLog` also bounds the number of lines."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from typing import Any, Callable, Dict, List, Optional, Tuple

from .errors import printable
from .secrets import mask_secrets
from .settings import LoggerLike, get_logger

__all__ = ["LimitedLog", "SafeLog", "bounded", "safe_log"]

#: So many lines of one kind are written about one source within `WINDOW` seconds, by default.
LINES = 10
WINDOW = 60.0
#: So many pairs of a source and a kind are counted apart within `WINDOW` seconds. All further sources share one count.
CAPACITY = 10_000
#: The characters of one argument of a line.
LONGEST = 500
_LOOKED_AT = 4 * LONGEST  # in characters: where a secret of a long text begins, and where its name stands
_OTHERS = "others"
_PLACES = re.compile(r"(?:%[-#0 +.0-9]*[a-z])+")


class _Escaped(str):
    """A text that is safe to log, with ``%s`` and with ``%r``."""

    def __repr__(self) -> str:
        return f"'{self}'"  # the escape sequences are in it already


def bounded(value: Any) -> Any:
    """Return an argument of a log line: ``value``, or its text, if that is long, not printable, or has secrets.

    Then the text is cut, `printable`, and without its secrets.
    """
    if value is None or isinstance(value, (int, float)):
        return value
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception:  # an error of a program
        return f"a value of the type {type(value).__name__}"
    shown = printable(mask_secrets(text[:_LOOKED_AT])[:LONGEST])
    if len(text) > LONGEST:
        shown += f"... ({len(text)} characters)"
    return value if shown == text else _Escaped(shown)


class SafeLog:
    """A `LoggerLike` that writes to another. Each argument is `bounded`: it may be a peer's text, such as its id.

    Args:
        log: Returns the logger.
        depth: The calls between the code that a line is about and the call of this object.
    """

    def __init__(self, log: Callable[[], LoggerLike], depth: int = 0) -> None:
        self._log = log
        self._depth = depth

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self._write("debug", msg, args, kwargs)

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self._write("info", msg, args, kwargs)

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self._write("warning", msg, args, kwargs)

    def error(self, msg: str, *args: Any, **kwargs: Any) -> None:
        self._write("error", msg, args, kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Write an ERROR with the exception that is being handled."""
        self._write("exception", msg, args, kwargs)

    def _write(self, level: str, msg: str, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
        log = self._log()
        if isinstance(log, logging.Logger):
            kwargs["stacklevel"] = 3 + self._depth  # the record names the file and line of the caller, not of this
            if level == "exception":  # before Python 3.11 it counts as a level of the stack
                level = "error"
                kwargs.setdefault("exc_info", True)
        getattr(log, level)(msg, *map(bounded, args), **kwargs)


#: Writes to the logger of the process.
safe_log = SafeLog(get_logger)


class _Window:
    """The lines of one kind about one source since the first of them."""

    __slots__ = ("began", "kind", "left_out", "level", "lines", "source")

    def __init__(self, source: str, kind: str, began: float) -> None:
        self.source = source
        self.kind = kind
        self.began = began
        self.lines = 0
        self.left_out = 0
        self.level = "warning"


class LimitedLog:
    """Writes at most ``lines`` lines of one kind about one source in a minute, and then how many were left out.

    The first argument of a line says what it is about, such as a client's id. The kind of a line is its text before the
    arguments are put in, unless ``kind`` says more. ``source`` is what counts in place of the first argument. Each
    argument is `bounded`. Any thread may write.

    Args:
        log: Returns the logger.
        now: The time, in seconds.
        later: Runs a function after some seconds; with it the number of lines that were left out is written in time.
            Without it, that is written with the next line about anything, and by `report`.
        lines: How many lines are written in a minute.
    """

    def __init__(
        self,
        log: Callable[[], LoggerLike],
        now: Callable[[], float] = time.monotonic,
        later: Optional[Callable[[float, Callable[[], None]], object]] = None,
        lines: int = LINES,
    ) -> None:
        self._log = SafeLog(log, depth=2)
        self._now = now
        self._later = later
        self._lines = lines
        self._lock = threading.Lock()
        self._windows: "OrderedDict[Tuple[str, str], _Window]" = OrderedDict()  # the oldest first

    def debug(self, text: str, about: object, *arguments: Any, kind: str = "", source: str = "") -> None:
        self._write("debug", text, about, arguments, kind, source)

    def info(self, text: str, about: object, *arguments: Any, kind: str = "", source: str = "") -> None:
        self._write("info", text, about, arguments, kind, source)

    def warning(self, text: str, about: object, *arguments: Any, kind: str = "", source: str = "") -> None:
        self._write("warning", text, about, arguments, kind, source)

    def error(
        self,
        text: str,
        about: object,
        *arguments: Any,
        kind: str = "",
        source: str = "",
        exc_info: Optional[BaseException] = None,
    ) -> None:
        if exc_info is None:
            self._write("error", text, about, arguments, kind, source)
        else:
            self._write("error", text, about, arguments, kind, source, exc_info=exc_info)

    def exception(self, text: str, about: object, *arguments: Any, kind: str = "", source: str = "") -> None:
        """Write an ERROR with the exception that is being handled."""
        self._write("exception", text, about, arguments, kind, source)

    def report(self, *, last: bool = False) -> None:
        """Write how many lines were left out in the minutes that are over; with ``last`` also in those that are not."""
        with self._lock:
            over = self._take_over(float("inf") if last else self._now())
        self._report(over)

    def _write(
        self, level: str, text: str, about: object, arguments: Tuple[Any, ...], kind: str, source: str, **options: Any
    ) -> None:
        now = self._now()
        with self._lock:
            over = self._take_over(now)
            window = self._window_of(source or str(about), kind or text, now)
            window.lines += 1
            is_written = window.lines <= self._lines
            if not is_written:
                window.left_out += 1
                window.level = "error" if level == "exception" else level
            is_first = window.left_out == 1 and not is_written
        self._report(over)
        if is_written:
            getattr(self._log, level)(text, about, *arguments, **options)
        elif is_first and self._later is not None:
            self._later(WINDOW, self.report)

    def _window_of(self, source: str, kind: str, now: float) -> _Window:
        """Return the window of that source and kind, a new one if need be. Lock held."""
        window = self._windows.get((source, kind))
        if window is None:
            if len(self._windows) >= CAPACITY:
                source = _OTHERS
                window = self._windows.get((source, kind))
            if window is None:
                window = self._windows[source, kind] = _Window(source, kind, now)
        return window

    def _take_over(self, now: float) -> List[_Window]:
        """Take the windows out that are over, and return those that left lines out. Lock held."""
        over = []
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if now < window.began + WINDOW:
                break
            del self._windows[key]
            if window.left_out:
                over.append(window)
        return over

    def _report(self, over: List[_Window]) -> None:
        for window in over:
            kind = _PLACES.sub("...", window.kind.replace("%s: ", "", 1))
            words = "%s: %d more lines like this were left out: %s"
            getattr(self._log, window.level)(words, window.source, window.left_out, kind)
