"""`FleetClock`: the machine's time for many stations, with one thread for all timers.

A timer of `SystemClock` is a thread, and each client has one while it waits for an answer. A thousand stations would
have a thousand.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import Callable, List, Optional, Tuple

from ...clock import SystemClock, TimerHandle
from ...events import Condition, Event, Thread
from ...settings import LoggerLike

__all__ = ["FleetClock"]


class _Timer:
    """A `clock.TimerHandle`."""

    def __init__(self, clock: "FleetClock", callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback: Optional[Callable[[], None]] = callback
        self._ended = Event()

    def cancel(self) -> None:
        if self.take() is not None:
            self._ended.set()

    def join(self, timeout: Optional[float] = None) -> None:
        if not self._clock.is_own_thread():
            self._ended.wait(timeout)

    def done(self) -> bool:
        return self._ended.is_set()

    @property
    def pending(self) -> bool:
        """Whether it has neither begun nor been canceled."""
        return self._callback is not None

    def take(self) -> Optional[Callable[[], None]]:
        """Return the callback to the first that asks: it is run, or was canceled."""
        with self._clock.lock:
            callback, self._callback = self._callback, None
            return callback

    def run(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        finally:
            self._ended.set()


class FleetClock(SystemClock):
    """The machine's time. All callbacks run one after the other on one thread, which starts with the first of them.

    Args:
        logger: Where an exception of a callback is logged.
    """

    def __init__(self, logger: LoggerLike) -> None:
        self._logger = logger
        self.lock: threading.Lock = threading.Lock()
        self._changed = Condition(self.lock)
        # Guarded by it:
        self._order = itertools.count()
        self._timers: List[Tuple[float, int, _Timer]] = []
        self._thread: Optional[Thread] = None
        self._closed = False

    def call_later(self, delay: float, callback: Callable[[], None], name: str) -> TimerHandle:
        """Run ``callback`` after ``delay`` seconds. After `close` it never runs."""
        timer = _Timer(self, callback)
        starts: Optional[Thread] = None
        with self.lock:
            if not self._closed:
                heapq.heappush(self._timers, (time.monotonic() + delay, next(self._order), timer))
                if self._thread is None:
                    starts = self._thread = Thread(target=self._run, name="ocppj-fleet-timer", daemon=True)
                elif self._timers[0][2] is timer:
                    self._changed.notify()
        if starts is not None:
            starts.start()
        return timer

    def close(self) -> None:
        """Run nothing more. Returns when the thread has ended, but not if that calls this."""
        with self.lock:
            self._closed = True
            left, self._timers = self._timers, []
            thread = self._thread
            self._changed.notify()
        for _, _, timer in left:
            timer.cancel()
        if thread is not None and not self.is_own_thread():
            thread.join()

    def is_own_thread(self) -> bool:
        """Tell whether the thread that calls runs the callbacks."""
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        while True:
            timer = self._next()
            if timer is None:
                return
            callback = timer.take()
            if callback is None:
                continue
            try:
                timer.run(callback)
            except Exception:
                self._logger.exception("a timer of a fleet has failed")

    def _next(self) -> Optional[_Timer]:
        """Wait for the next timer that is due. ``None``: the clock is closed."""
        with self.lock:
            return self._wait_for_next()

    def _wait_for_next(self) -> Optional[_Timer]:
        while not self._closed:
            if not self._timers:
                self._changed.wait()
            elif self._timers[0][0] > time.monotonic() and self._timers[0][2].pending:
                self._changed.wait(self._timers[0][0] - time.monotonic())
            else:
                return heapq.heappop(self._timers)[2]
        return None
