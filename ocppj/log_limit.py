"""Log lines with texts of peers. `SafeLog` makes each text safe; `LimitedLog` also bounds the number of lines."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple

from .errors import printable
from .secrets import mask_secrets
from .settings import LoggerLike, get_logger, get_part_logger

__all__ = ["ABOUT", "LimitedLog", "SafeLog", "bounded", "part_log", "safe_log"]

#: So many lines of one kind are written about one source within `WINDOW` seconds, by default.
LINES = 10
WINDOW = 60.0
#: So many pairs of a source and a kind are counted apart within `WINDOW` seconds, at each level: thousands of lines
#: that say "connected" leave the errors their room. All further sources share one count.
CAPACITY = 10_000
#: The characters of one argument of a line.
LONGEST = 500
#: Of a text with more characters than the first, so many from its beginning are looked at for secrets.
_LONG, _BEGINNING = 20_000, 2_000
_OTHERS = "others"
#: The attributes that each record has.
ABOUT = ("client_id", "action", "message_id")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
}
_PLACES = re.compile(r"(?:%[-#0 +.0-9]*[a-z])+")


class _CallLike(Protocol):
    """A CALL or a SEND."""

    action: str
    unique_id: str


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
    seen = text if len(text) <= _LONG else text[:_BEGINNING]
    shown = printable(mask_secrets(seen)[:LONGEST])
    if len(text) > LONGEST:
        shown += f"... ({len(text)} characters)"
    return value if shown == text else _Escaped(shown)


class SafeLog:
    """A `LoggerLike` that writes to another. Each argument is `bounded`: it may be a peer's text, such as its id.

    A line may say what it is about, beside its arguments: ``client_id``, ``action`` and ``message_id``, or ``call``,
    which has the last two. A
    `logging.Logger` gets all three as ``extra``, so that each record of this library has these attributes; what is not
    known is ``None``. Loggers of other kinds do not get them.

    Args:
        log: Returns the logger.
        depth: The calls between the code that a line is about and the call of this object.
    """

    def __init__(self, log: Callable[[], LoggerLike], depth: int = 0) -> None:
        self._log = log
        self._depth = depth
        self._client_id: Optional[str] = None

    def use(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Write to ``logger`` from now on; ``None``: go on as before. ``client_id`` is for lines that name none."""
        if logger is not None:
            self._log = lambda: logger
        self._client_id = client_id

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

    def is_enabled(self, level: str) -> bool:
        """Tell whether a line of ``level``, such as "debug", may be written. A logger of another kind may not say."""
        log = self._log()
        return not isinstance(log, logging.Logger) or log.isEnabledFor(_LEVELS[level])

    def _write(self, level: str, msg: str, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> None:
        log = self._log()
        if isinstance(log, logging.Logger) and not log.isEnabledFor(_LEVELS[level]):
            return
        about = _take_about(kwargs)
        if isinstance(log, logging.Logger):
            about["client_id"] = about["client_id"] or self._client_id
            kwargs["extra"] = about
            kwargs["stacklevel"] = 3 + self._depth  # the record names the file and line of the caller, not of this
            if level == "exception":  # before Python 3.11 it counts as a level of the stack
                level = "error"
                kwargs.setdefault("exc_info", True)
        getattr(log, level)(msg, *map(bounded, args), **kwargs)


def _take_about(options: Dict[str, Any]) -> Dict[str, Optional[str]]:
    """Take what a line is about out of its options, and return it as the attributes of its record."""
    about = {name: options.pop(name, None) for name in ABOUT}
    call: Optional[_CallLike] = options.pop("call", None)
    if call is not None:
        about["action"], about["message_id"] = call.action, call.unique_id
    return about


def part_log(part: str) -> SafeLog:
    """Return a log of a part of an endpoint, such as "ws": see `get_part_logger`. `SafeLog.use` gives it the logger."""
    return SafeLog(partial(get_part_logger, part))


#: Writes to the logger of the process: for what belongs to no endpoint.
safe_log: SafeLog = SafeLog(get_logger)


class _Window:
    """The lines of one kind about one source since the first of them."""

    __slots__ = ("began", "client_id", "kind", "left_out", "level", "lines", "source")

    def __init__(self, source: str, kind: str, began: float) -> None:
        self.source = source
        self.client_id: Optional[str] = None
        self.kind = kind
        self.began = began
        self.lines = 0
        self.left_out = 0
        self.level = "warning"

    def leave_out(self, level: str, client_id: Optional[str]) -> None:
        """Count a line that is not written. If those lines are about several clients, there is no ``client_id``."""
        self.client_id = client_id if client_id == self.client_id or not self.left_out else None
        self.left_out += 1
        self.level = level


_Windows = OrderedDict[Tuple[str, str], _Window]  # by source and kind, the oldest first


class LimitedLog:
    """Writes at most ``lines`` lines of one kind about one source in a minute, and then how many were left out.

    The first argument of a line says what it is about, such as a client's id. The kind of a line is its text before the
    arguments are put in. Each argument is `bounded`. Any thread may write. A line whose level is off costs little.

    Each method takes these options by name:

    * ``kind``: says more of the kind than the text does.
    * ``source``: counts in place of the first argument.
    * ``most``: how many lines of the kind are written about the source in a minute, in place of ``lines``.
    * ``group``: what the source belongs to, such as its address. Of the kind at most ``lines`` are written about a
      group, whatever the number of its sources. What is left out is counted for the group, not for each source.
    * ``client_id``, ``action``, ``message_id``, ``call``: as `SafeLog` takes them. Without ``source`` the first
      argument is the id of a client.

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
        #: Has it write to another logger: see `SafeLog.use`.
        self.use: Callable[..., None] = self._log.use
        self._now = now
        self._later = later
        self._lines = lines
        self._lock = threading.Lock()
        self._tables: Dict[str, _Windows] = {}  # by level

    def debug(self, text: str, about: object, *arguments: Any, **options: Any) -> None:
        self._write("debug", text, about, arguments, **options)

    def info(self, text: str, about: object, *arguments: Any, **options: Any) -> None:
        self._write("info", text, about, arguments, **options)

    def warning(self, text: str, about: object, *arguments: Any, **options: Any) -> None:
        self._write("warning", text, about, arguments, **options)

    def error(
        self, text: str, about: object, *arguments: Any, exc_info: Optional[BaseException] = None, **options: Any
    ) -> None:
        if exc_info is not None:
            options["exc_info"] = exc_info
        self._write("error", text, about, arguments, **options)

    def exception(self, text: str, about: object, *arguments: Any, **options: Any) -> None:
        """Write an ERROR with the exception that is being handled."""
        self._write("exception", text, about, arguments, **options)

    def report(self, *, last: bool = False) -> None:
        """Write how many lines were left out in the minutes that are over; with ``last`` also in those that are not."""
        with self._lock:
            over = self._take_over(float("inf") if last else self._now())
        self._report(over)

    def _write(
        self,
        level: str,
        text: str,
        about: object,
        arguments: Tuple[Any, ...],
        *,
        kind: str = "",
        source: str = "",
        most: int = 0,
        group: str = "",
        **options: Any,
    ) -> None:
        if not self._log.is_enabled(level):
            return
        if not source and "client_id" not in options:
            options["client_id"] = str(about)
        now, counted = self._now(), "error" if level == "exception" else level
        with self._lock:
            over = self._take_over(now)
            windows = self._tables.setdefault(counted, OrderedDict())
            if group:
                window = _window_of(windows, group, kind or text, now)
                # A group that has had its lines makes no more windows: it may have any number of sources.
                is_written = window.lines < self._lines and _is_within(
                    most or self._lines, _window_of(windows, source or str(about), kind or text, now)
                )
                window.lines += is_written
            else:
                window = _window_of(windows, source or str(about), kind or text, now)
                is_written = _is_within(most or self._lines, window)
            if not is_written:
                window.leave_out(counted, options.get("client_id"))
            is_first = window.left_out == 1 and not is_written
        self._report(over)
        if is_written:
            getattr(self._log, level)(text, about, *arguments, **options)
        elif is_first and self._later is not None:
            self._later(WINDOW, self.report)

    def _take_over(self, now: float) -> List[_Window]:
        """Take the windows out that are over, and return those that left lines out. Lock held."""
        over: List[_Window] = []
        for windows in self._tables.values():
            over += _take_over(windows, now)
        return over

    def _report(self, over: List[_Window]) -> None:
        for window in over:
            kind = _PLACES.sub("...", window.kind.replace("%s: ", "", 1))
            words = "%s: %d more lines like this were left out: %s"
            getattr(self._log, window.level)(words, window.source, window.left_out, kind, client_id=window.client_id)


def _window_of(windows: _Windows, source: str, kind: str, now: float) -> _Window:
    """Return the window of that source and kind, a new one if need be."""
    window = windows.get((source, kind))
    if window is None:
        if len(windows) >= CAPACITY:
            source = _OTHERS
            window = windows.get((source, kind))
        if window is None:
            window = windows[source, kind] = _Window(source, kind, now)
    return window


def _is_within(most: int, window: _Window) -> bool:
    """Count a line, and tell whether it is one of the first ``most``."""
    window.lines += 1
    return window.lines <= most


def _take_over(windows: _Windows, now: float) -> List[_Window]:
    """Take the windows out that are over, and return those that left lines out."""
    over = []
    while windows:
        key, window = next(iter(windows.items()))
        if now < window.began + WINDOW:
            break
        del windows[key]
        if window.left_out:
            over.append(window)
    return over
