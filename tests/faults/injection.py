"""Raise an exception once, at a chosen step of chosen threads: a line of chosen files.

::

    fault = Fault(["ws/readers/"], threads="ocppj-worker", error=MemoryError)
    with fault.counting():           # a first run: which lines do such threads pass
        scenario()
    for step in fault.steps():       # every run after it raises at another line
        with fault.raising(step):
            scenario()

Only threads that are started inside the block are watched. A line counts as a step once, at its first and at its last
passage of the run that counts: a thread is another one at its start and in its rounds.
"""

import contextlib
import linecache
import os
import sys
import threading
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

__all__ = ["Fault", "Step"]

#: How many steps of each kind of thread are tried; 0: all of them.
STEPS = int(os.environ.get("OCPPJ_THREAD_FAULTS", "12"))

_PACKAGE = os.path.join("ocppj", "")

#: File, line, and the number of the passage.
Step = Tuple[str, int, int]


class Fault:
    """Raises ``error`` in threads whose names begin with ``threads``, in ``files`` (parts of paths in the package)."""

    def __init__(self, files: Sequence[str], threads: str, error: type = MemoryError) -> None:
        self._files = tuple(files)
        self._threads = threads
        self._error = error
        self._lock = threading.Lock()
        self._known: Dict[Any, bool] = {}
        self._passed: Dict[Tuple[str, int], int] = {}
        self._target: Optional[Step] = None
        self._armed = False
        self.raised = False  #: whether the step has been reached

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        with self._watching(None):
            yield
        self._counted = dict(self._passed)

    def steps(self) -> List[Step]:
        """Return the steps to raise at, spread evenly over all that were counted."""
        every = sorted({(*line, n) for line, count in self._counted.items() for n in {1, max(1, count - 1)}})
        if not STEPS or len(every) <= STEPS:
            return every
        return [every[number * len(every) // STEPS] for number in range(STEPS)]

    @contextlib.contextmanager
    def raising(self, step: Step) -> Iterator[None]:
        with self._watching(step):
            yield

    @contextlib.contextmanager
    def _watching(self, target: Optional[Step]) -> Iterator[None]:
        self._passed, self._target, self.raised, self._armed = {}, target, False, True
        threading.settrace(self._trace)
        try:
            yield
        finally:
            self.disarm()

    def disarm(self) -> None:
        """Raise nothing any more."""
        self._armed = False
        threading.settrace(None)  # type: ignore[arg-type]

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        code = frame.f_code
        watched = self._known.get(code)
        if watched is None:
            path = code.co_filename
            watched = _PACKAGE in path and path.rpartition(_PACKAGE)[2].startswith(self._files)
            self._known[code] = watched
        if not watched or not threading.current_thread().name.startswith(self._threads):
            return None if self._armed else sys.settrace(None)
        blocks: Set[int] = set()  # the lines of the ``with`` blocks that this frame is in

        def trace_line(frame: Any, event: str, argument: Any) -> Any:
            if event == "line" and self._armed and not self._is_no_step(frame, blocks):
                self._step((frame.f_code.co_filename, frame.f_lineno))
            return trace_line

        return trace_line

    def _is_no_step(self, frame: Any, blocks: Set[int]) -> bool:
        """Tell whether nothing can fail at this line in truth: ``try:``, and the end of a ``with`` block.

        The latter is an event of the line where the block began. The interpreter protects neither, so a lock would stay
        taken.
        """
        path, number = frame.f_code.co_filename, frame.f_lineno
        text = linecache.getline(path, number).strip()
        if not text.startswith("with "):
            return text == "try:"
        leaves = number in blocks
        blocks ^= {number}
        return leaves

    def _step(self, line: Tuple[str, int]) -> None:
        with self._lock:
            number = self._passed[line] = self._passed.get(line, 0) + 1
            met = (*line, number) == self._target
            if met:
                self.raised, self._armed = True, False
        if met:
            raise self._error("injected")
