"""Time. Above the sockets, one clock object is the only source of time and of timed waits."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import weakref
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta, timezone
from typing import Callable, List, Optional, Protocol, Tuple

from .activity import Activity, Resting
from .events import Condition, Event, Timer, wait_for_any
from .interrupted import calls_program

__all__ = ["Clock", "ManualClock", "SystemClock", "TimerHandle"]

_PAUSE = 0.01  # seconds after a wait that failed
_NEVER = Event()  # is not set: to pause; it has no lock that a fork could leave taken


class TimerHandle(Protocol):
    """A callback that will run later. Every method may be called from any thread."""

    def cancel(self) -> None:
        """Keep the callback from running, if it has not begun."""

    def join(self, timeout: Optional[float] = None) -> None:
        """Wait up to ``timeout`` seconds until the callback has ended or was canceled. Its own thread does not wait."""

    def done(self) -> bool:
        """Tell whether the callback has ended or was canceled, and its thread has ended."""


class Clock(Protocol):
    """A source of time, and of timed waits. Every method may be called from any thread."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""

    def call_later(self, delay: float, callback: Callable[[], None], name: str) -> TimerHandle:
        """Run ``callback`` on a thread called ``name`` after ``delay`` seconds."""

    def wait(self, event: threading.Event, timeout: Optional[float]) -> bool:
        """Wait until ``event`` is set or ``timeout`` seconds have passed; return whether it is set."""


@calls_program
def _call(callback: Callable[[], None]) -> None:
    callback()


class _ThreadTimer(Timer):
    def run(self) -> None:
        """Wait, then call the function. A wait that fails, for want of memory, is begun anew: calls may wait for it."""
        due = time.monotonic() + self.interval
        while not self.finished.is_set() and time.monotonic() < due:
            try:
                self.finished.wait(max(0.0, due - time.monotonic()))
            except BaseException:
                with suppress(BaseException):
                    _NEVER.wait(_PAUSE)
        if not self.finished.is_set():
            _call(self.function)
        self.finished.set()

    def join(self, timeout: Optional[float] = None) -> None:
        if self is not threading.current_thread():
            super().join(timeout)

    def done(self) -> bool:
        return not self.is_alive()


class SystemClock:
    """The machine's time."""

    monotonic: Callable[[], float] = staticmethod(time.monotonic)  # the function of C: one call less for each deadline

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def call_later(self, delay: float, callback: Callable[[], None], name: str) -> TimerHandle:
        timer = _ThreadTimer(delay, callback)
        timer.daemon, timer.name = True, name
        timer.start()
        return timer

    def wait(self, event: threading.Event, timeout: Optional[float]) -> bool:
        with Resting(event.is_set):
            return event.wait(timeout)


class _ManualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Optional[Callable[[], None]] = callback

    def cancel(self) -> None:
        self.callback = None

    def join(self, timeout: Optional[float] = None) -> None:
        """Return at once: callbacks run inside `ManualClock.advance`."""

    def done(self) -> bool:
        return True


class ManualClock:
    """A clock that moves only when `advance` is called: in a test, a day passes in milliseconds.

    Callbacks run on the thread that advances, in order of their time. Timed waits end when their time has come. If
    another thread is about to wait, call `wait_for_waiters` before `advance`.

    Args:
        start: The time of day at the beginning, with a time zone. By default, 2026-01-01 in UTC.
    """

    def __init__(self, start: Optional[datetime] = None) -> None:
        self._start = start or datetime(2026, 1, 1, tzinfo=timezone.utc)
        self._lock = threading.Lock()
        self._changed = Condition(self._lock)
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: List[Tuple[float, int, _ManualTimer]] = []
        self._waiting = 0
        self._activities: "weakref.WeakSet[Activity]" = weakref.WeakSet()

    def count_in(self, activity: Activity) -> None:
        """Count the callbacks that run as work of ``activity``. For the library."""
        with self._lock:
            self._activities.add(activity)

    def monotonic(self) -> float:
        with self._lock:
            return self._elapsed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def call_later(self, delay: float, callback: Callable[[], None], name: str) -> TimerHandle:
        timer = _ManualTimer(callback)
        with self._lock:
            heapq.heappush(self._timers, (self._elapsed + delay, next(self._order), timer))
            self._changed.notify_all()
        return timer

    def wait(self, event: threading.Event, timeout: Optional[float]) -> bool:
        if timeout is None:
            with Resting(event.is_set):
                return event.wait()
        out_of_time = Event()
        handle = self.call_later(timeout, out_of_time.set, "")
        with self._lock:
            self._waiting += 1
            self._changed.notify_all()
        try:
            with Resting(lambda: event.is_set() or out_of_time.is_set()):
                if isinstance(event, Event):
                    wait_for_any(event, out_of_time)
                while not event.is_set() and not out_of_time.is_set():
                    event.wait(0.002)  # there are two events, and a thread can wait for one
        finally:
            handle.cancel()
            with self._lock:
                self._waiting -= 1
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Move time forward by ``seconds``. Run each callback whose time comes, at its time."""
        with self._lock:
            activities = list(self._activities)
        with ExitStack() as counted:
            for activity in activities:
                counted.enter_context(activity)
            self._advance(seconds)

    def _advance(self, seconds: float) -> None:
        with self._lock:
            target = self._elapsed + seconds
        while True:
            with self._lock:
                if not self._timers or self._timers[0][0] > target:
                    self._elapsed = max(self._elapsed, target)  # another thread may have advanced further
                    self._changed.notify_all()
                    return
                due, _, timer = heapq.heappop(self._timers)
                self._elapsed = max(self._elapsed, due)
                callback = timer.callback
            if callback is not None:
                _call(callback)

    def next_due(self) -> Optional[float]:
        """Return the seconds until the next callback or the end of the next timed wait; ``None``: there is none."""
        with self._lock:
            self._drop_canceled()
            return max(0.0, self._timers[0][0] - self._elapsed) if self._timers else None

    def _drop_canceled(self) -> None:
        """Make the first timer one that was not canceled. The lock is held."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)

    def timers(self) -> int:
        """Return how many callbacks have not run yet."""
        with self._lock:
            return sum(timer.callback is not None for _, _, timer in self._timers)

    def wait_for_waiters(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait up to ``timeout`` real seconds until ``count`` threads are in `wait`. Return whether they are."""
        with self._lock:
            return self._changed.wait_for(lambda: self._waiting >= count, timeout)
