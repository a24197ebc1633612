"""Call a function inside a piece of work, at any bytecode of the library: as a signal handler or a finalizer may."""

import os
import sys
import threading
from types import CodeType, FrameType
from typing import Any, Callable, List, Optional, Set

import ocppj

__all__ = ["POINTS", "Monitor", "at_bytecode", "count_bytecodes", "some_points"]

_PACKAGE = ocppj.__path__[0]
_TOOL = 4  # a number that no known tool has

#: At how many bytecodes of each piece of work something is injected; 0: at all of them.
POINTS = int(os.environ.get("OCPPJ_STOP_POINTS", "12"))


def count_bytecodes(work: Callable[[], object]) -> int:
    """Do ``work``, and return how many bytecodes of the library this thread runs for it."""
    seen = [0]

    def count() -> None:
        seen[0] += 1

    _traced(work, count)
    return seen[0]


def at_bytecode(number: int, work: Callable[[], object], act: Callable[[], object]) -> bool:
    """Do ``work``, and call ``act`` at its bytecode of that number, of all of the library. Return whether it came."""
    left, acted = [number], []

    def look() -> None:
        left[0] -= 1
        if left[0] == 0:
            acted.append(True)
            act()

    _traced(work, look)
    return bool(acted)


def some_points(count: int, first: int = 1) -> List[int]:
    """Return numbers of bytecodes up to ``count``, evenly spread: `POINTS` of them."""
    step = 1.0 if POINTS == 0 else max(1.0, count / POINTS)
    points, at = [], float(first)
    while at <= count:
        points.append(int(at))
        at += step
    return points


def _traced(work: Callable[[], object], look: Callable[[], None]) -> None:
    """Do ``work``, and call ``look`` before each bytecode of the library that this thread runs for it."""
    if sys.version_info >= (3, 12):
        _monitored(work, look)
        return

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return trace

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            look()
        return trace

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(before)


class Monitor:
    """Calls ``reached(code, offset)`` before each instruction of ``is_watched`` code, on any thread. From Python 3.12.

    A trace function would miss a third of them: those of code that this thread has run before without one.
    """

    def __init__(self, is_watched: Callable[[CodeType], bool], reached: Callable[[CodeType, int], Any]) -> None:
        self._is_watched = is_watched
        self._reached = reached
        self._watched: Set[CodeType] = set()
        self._monitoring: Any = getattr(sys, "monitoring")  # noqa: B009
        self._events = self._monitoring.events

    def run(self, work: Callable[[], object]) -> None:
        """Do ``work``, and call what is to be called meanwhile."""
        self._monitoring.use_tool_id(_TOOL, "ocppj tests")
        try:
            self._monitoring.register_callback(_TOOL, self._events.PY_START, self._started)
            self.call_instead(self._reached)
            self._monitoring.set_events(_TOOL, self._events.PY_START)
            work()
        finally:
            self.end()
            for code in self._watched:
                self._monitoring.set_local_events(_TOOL, code, 0)
            self._monitoring.free_tool_id(_TOOL)

    def call_instead(self, reached: Optional[Callable[[CodeType, int], Any]]) -> None:
        """Call ``reached`` from the next instruction on."""
        self._monitoring.register_callback(_TOOL, self._events.INSTRUCTION, reached)

    def end(self) -> None:
        """Call nothing any more."""
        self._monitoring.set_events(_TOOL, 0)
        self._monitoring.register_callback(_TOOL, self._events.PY_START, None)
        self.call_instead(None)

    def _started(self, code: CodeType, offset: int) -> Any:
        if code not in self._watched and self._is_watched(code):
            self._watched.add(code)
            self._monitoring.set_local_events(_TOOL, code, self._events.INSTRUCTION)


def _monitored(work: Callable[[], object], look: Callable[[], None]) -> None:
    """Do what `_traced` does."""
    me, looking = threading.get_ident(), []

    def reached(code: CodeType, offset: int) -> None:
        if threading.get_ident() == me and not looking:
            looking.append(True)
            try:
                look()
            finally:
                looking.clear()

    Monitor(lambda code: code.co_filename.startswith(_PACKAGE), reached).run(work)
