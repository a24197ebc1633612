"""Raise KeyboardInterrupt at each bytecode of a piece of work, as the handler of a real signal does.

Tracing alone would raise at places where the interpreter looks for no signal. So the trace function only says where a
signal comes: a function of C, which is called before the next bytecode, notes a SIGINT. The interpreter then finds it
where it looks for signals, and calls the handler. That is what happens to a program. From Python 3.12 on the same is
done with `injected.Monitor`.

Python 3.9 may lose the lock of a ``with`` block at the end of the block: it looks for signals between the block and
the release (bpo-29988). No program can close that gap, so nothing is raised there.
"""

import concurrent.futures
import contextlib
import ctypes
import dis
import queue
import signal
import sys
import threading
from functools import partial
from types import CodeType, FrameType
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import ocppj
from tests.faults.injected import Monitor

_MONITORS = sys.version_info >= (3, 12)

_note_interrupt = ctypes.PyDLL(None).PyErr_SetInterrupt
# It is called as a trace function, or by a monitor, and looks at nothing.
_note_interrupt.argtypes = [ctypes.py_object] * (2 if _MONITORS else 3)
_note_interrupt.restype = None

_PACKAGE = ocppj.__path__[0]
_FILES = {module.__file__ for module in (threading, contextlib, queue, concurrent.futures._base)}
#: The instructions at which Python looks for signals, from 3.10 on; older ones look nearly everywhere.
_LOOKS = (
    "CALL",
    "RESUME",
    "JUMP_BACKWARD",
    "JUMP_ABSOLUTE",
    "FOR_ITER",
    "POP_JUMP",
    "GEN_START",
    "YIELD",
    "SEND",
    "EXTENDED_ARG",
)
_SELECTIVE = sys.version_info >= (3, 10)


class Interrupted(NamedTuple):
    """Where an interrupt was raised: the innermost places, "file:line function", and the instruction."""

    places: List[str]

    def __str__(self) -> str:
        return " < ".join(self.places)


class Injector:
    """Runs work on the main thread, and interrupts it."""

    def __init__(self) -> None:
        self._names: Dict[CodeType, Dict[int, str]] = {}
        self._watched: Dict[CodeType, bool] = {}
        self._count = 0
        self._at: Optional[int] = None
        self._armed = False
        self._last: Dict[FrameType, int] = {}  # of each frame, the number of its last event
        self._points: List[int] = []
        self._monitor: Optional[Monitor] = None
        self._ident = threading.get_ident()
        self.raised: Optional[Interrupted] = None

    def points(self, work: Callable[[], Any], times: int = 2) -> List[int]:
        """Do ``work`` so many times, and return where it can be interrupted, as `interrupt` takes it."""
        for _ in range(times):
            self._points = []
            self._run(work, None)
        return sorted(set(self._points))

    def interrupt(self, work: Callable[[], Any], at: int) -> bool:
        """Do ``work``, with a signal at that point. Return whether it raised KeyboardInterrupt."""
        try:
            self._run(work, at)
        except KeyboardInterrupt:
            return True
        return False

    def watched(self, lock: Any) -> None:
        """Take ``lock`` and do something, as code that is interrupted: this file is traced, too."""
        with lock:
            len(())

    def _run(self, work: Callable[[], Any], at: Optional[int]) -> None:
        self._count, self._at, self._armed, self.raised = 0, at, False, None
        self._last.clear()
        before = signal.signal(signal.SIGINT, self._handle)
        try:
            if _MONITORS:
                self._monitor = Monitor(self._is_watched, self._reached)
                self._monitor.run(partial(self._do, work))
            else:
                sys.settrace(self._enter)
                try:
                    self._do(work)
                finally:
                    sys.settrace(None)
        finally:
            self._last.clear()
            signal.signal(signal.SIGINT, before)

    def _do(self, work: Callable[[], Any]) -> None:
        try:
            work()
        finally:
            self._at = None  # a signal that comes later changes nothing

    def _is_watched(self, code: CodeType) -> bool:
        watched = self._watched.get(code)
        if watched is None:
            file = code.co_filename
            watched = file.startswith(_PACKAGE) or file in _FILES or code is Injector.watched.__code__
            self._watched[code] = watched
        return watched

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self._armed or not self._is_watched(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        return self._trace

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event != "opcode" or self._armed:
            return self._trace
        self._count += 1
        if self._at is None:
            before = self._last.get(frame)
            if before is not None and self._looks(frame.f_code, frame.f_lasti):
                self._points.append(before)
            self._last[frame] = self._count
        elif self._count >= self._at:
            self._armed = True
            return _note_interrupt
        return self._trace

    def _reached(self, code: CodeType, offset: int) -> None:
        """Do what `_trace` does. A point is the number of the instruction before which the signal is noted."""
        if self._armed or threading.get_ident() != self._ident:
            return
        self._count += 1
        if self._at is None:
            if self._looks(code, offset):
                self._points.append(self._count)
        elif self._count >= self._at - 1 and self._monitor is not None:
            self._armed = True
            self._monitor.call_instead(_note_interrupt)

    def _looks(self, code: CodeType, offset: int) -> bool:
        return not _SELECTIVE or self._instruction(code, offset).startswith(_LOOKS)

    def _instruction(self, code: CodeType, offset: int) -> str:
        names = self._names.get(code)
        if names is None:
            names = self._names[code] = {each.offset: each.opname for each in dis.get_instructions(code)}
        return names.get(offset, "")

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        if self._monitor is not None and self._at is not None:
            self._monitor.end()
        sys.settrace(None)
        each = frame
        while each is not None:
            each.f_trace = None
            each = each.f_back
        if self._at is None or self.raised is not None or frame is None:
            return
        if not _SELECTIVE and self._instruction(frame.f_code, frame.f_lasti) == "POP_BLOCK":
            return  # see above
        self.raised = Interrupted(list(_places(frame)))
        raise KeyboardInterrupt


def _places(frame: Optional[FrameType]) -> Any:
    for _ in range(5):
        if frame is not None:
            code = frame.f_code
            yield f"{code.co_filename.replace(_PACKAGE, '')}:{frame.f_lineno} {code.co_name}+{frame.f_lasti}"
            frame = frame.f_back
