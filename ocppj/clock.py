"""Time. Above the sockets, one clock object is the only source of time and of timed waits."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Callable, List, Optional, Protocol, Tuple

__all__ = ["Clock", "ManualClock", "SystemClock", "TimerHandle"]


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


class _ThreadTimer(threading.Timer):
    def join(self, timeout: Optional[float] = None) -> None:
        if self is not threading.current_thread():
            super().join(timeout)

    def done(self) -> bool:
        return not self.is_alive()


class SystemClock:
    """The machine's time."""

    monotonic = staticmethod(time.monotonic)  # the function of C: one call less for each deadline

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def call_later(self, delay: float, callback: Callable[[], None], name: str) -> TimerHandle:
        timer = _ThreadTimer(delay, callback)
        timer.daemon, timer.name = True, name
        timer.start()
        return timer

    def wait(self, event: threading.Event, timeout: Optional[float]) -> bool:
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
        self._changed = threading.Condition()
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: List[Tuple[float, int, _ManualTimer]] = []
        self._waiting = 0

    def monotonic(self) -> float:
        with self._changed:
            return self._elapsed

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def call_later(self, delay: float, callback: Callable[[], None], name: str) -> TimerHandle:
        timer = _ManualTimer(callback)
        with self._changed:
            heapq.heappush(self._timers, (self._elapsed + delay, next(self._order), timer))
            self._changed.notify_all()
        return timer

    def wait(self, event: threading.Event, timeout: Optional[float]) -> bool:
        if timeout is None:
            return event.wait()
        out_of_time = threading.Event()
        handle = self.call_later(timeout, out_of_time.set, "")
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
        try:
            while not event.is_set() and not out_of_time.is_set():
                event.wait(0.002)  # there are two events, and a thread can wait for one
        finally:
            handle.cancel()
            with self._changed:
                self._waiting -= 1
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Move time forward by ``seconds``. Run each callback whose time comes, at its time."""
        with self._changed:
            target = self._elapsed + seconds
        while True:
            with self._changed:
                if not self._timers or self._timers[0][0] > target:
                    self._elapsed = max(self._elapsed, target)  # another thread may have advanced further
                    self._changed.notify_all()
                    return
                due, _, timer = heapq.heappop(self._timers)
                self._elapsed = max(self._elapsed, due)
                callback = timer.callback
            if callback is not None:
                callback()

    def timers(self) -> int:
        """Return how many callbacks have not run yet."""
        with self._changed:
            return sum(timer.callback is not None for _, _, timer in self._timers)

    def wait_for_waiters(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait up to ``timeout`` real seconds until ``count`` threads are in `wait`. Return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting >= count, timeout)
