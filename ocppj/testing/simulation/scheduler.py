"""`Scheduler`: the timers of many stations on one clock.

They wait in a heap, since their durations are of all kinds. One deadline of a `Timeouts` is set for the earliest of
them: it deals with the thread.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from functools import partial
from typing import Callable, List, Optional, Tuple

from ...activity import UNCOUNTED, ActivityLike
from ...clock import Clock, SystemClock
from ...dispatch.timeouts import Deadline, Timeouts
from ...settings import LoggerLike

__all__ = ["Handle", "Scheduler"]

_NEVER = float("inf")
# Seconds: each arming of a timer of the machine's clock starts a thread, so they are at least so far apart.
_RESOLUTION = 0.005


class Handle:
    """A callback that will run later.

    Args:
        callback: The callback.
        canceled: Called as ``f(handle)`` when it is canceled.
    """

    def __init__(self, callback: Callable[[], object], canceled: Optional[Callable[["Handle"], object]] = None) -> None:
        self._callback: Optional[Callable[[], object]] = callback
        self._canceled = canceled

    def cancel(self) -> None:
        """Keep the callback from running, if it has not begun. May be called from any thread, and again."""
        if self.take() is not None and self._canceled is not None:
            self._canceled(self)

    @property
    def pending(self) -> bool:
        """Whether the callback has neither run nor been canceled."""
        return self._callback is not None

    def take(self) -> Optional[Callable[[], object]]:
        """Return the callback, which runs now, or ``None`` when it was canceled."""
        callback, self._callback = self._callback, None
        return callback


class Scheduler:
    """Runs callbacks later, in order of their time. Thread-safe.

    Args:
        clock: The source of time. Callbacks run on its timer thread, or on the thread that advances a `ManualClock`.
        logger: Where an exception of a callback is logged.
        activity: What is under way in the network in memory: a callback that runs counts as that.
    """

    def __init__(self, clock: Clock, logger: LoggerLike, activity: ActivityLike = UNCOUNTED) -> None:
        self._clock = clock
        self._logger = logger
        self._timeouts = Timeouts(clock, "ocppj-simulation-timer")
        self._timeouts.activity = activity
        self._least = _RESOLUTION if isinstance(clock, SystemClock) else 0.0
        self._lock = threading.Lock()  # guards the fields below
        self._order = itertools.count()
        self._entries: List[Tuple[float, int, Handle]] = []
        self._dead = 0  # at most so many of them were canceled
        self._armed = _NEVER  # when the deadline is due
        self._deadline: Optional[Deadline] = None
        self._closed = False

    def now(self) -> float:
        """Return the seconds of the clock."""
        return self._clock.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Handle:
        """Run ``callback`` in ``seconds`` of the clock. After `close` it never runs."""
        handle = Handle(callback, self._note_canceled)
        due = self._clock.monotonic() + max(0.0, seconds)
        with self._lock:
            if self._closed:
                return handle
            heapq.heappush(self._entries, (due, next(self._order), handle))
        self._arm()
        return handle

    def waiting(self) -> int:
        """Return how many callbacks are kept, those included that were canceled and not yet thrown away."""
        with self._lock:
            return len(self._entries)

    def close(self) -> None:
        """Run nothing more. Returns when the thread has ended, but not if that calls this."""
        with self._lock:
            self._closed = True
            self._entries.clear()
        self._timeouts.stop()

    def _note_canceled(self, handle: Handle) -> None:
        """Throw away what was canceled, when that may be more than half of all."""
        with self._lock:
            self._dead += 1
            if self._dead * 2 > len(self._entries):
                self._throw_away()

    def _throw_away(self) -> None:
        """Keep what was not canceled. The lock is held."""
        self._entries = [entry for entry in self._entries if entry[2].pending]
        heapq.heapify(self._entries)
        self._dead = 0

    def _arm(self) -> None:
        """Set the deadline for the earliest callback, unless that is so."""
        with self._lock:
            self._drop_canceled()
            if self._closed or not self._entries or self._entries[0][0] >= self._armed:
                return
            due = self._armed = self._entries[0][0]
        wait = max(self._least, due - self._clock.monotonic())
        deadline: Optional[Deadline] = self._timeouts.add(wait, partial(self._run, due))
        with self._lock:
            if self._armed == due:
                deadline, self._deadline = self._deadline, deadline
        if deadline is not None:  # an earlier one has been set meanwhile, or there was a later one
            deadline.cancel()

    def _drop_canceled(self) -> None:
        """Make the first entry one that was not canceled. The lock is held."""
        while self._entries and not self._entries[0][2].pending:
            heapq.heappop(self._entries)

    def _run(self, due: float) -> None:
        with self._lock:
            if self._armed == due:
                self._armed, self._deadline = _NEVER, None
        while True:
            with self._lock:
                if not self._entries or self._entries[0][0] > self._clock.monotonic():
                    break
                handle = heapq.heappop(self._entries)[2]
            callback = handle.take()
            if callback is not None:
                self._call(callback)
        self._arm()

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception:
            self._logger.exception("a timer of a simulated station has failed")
