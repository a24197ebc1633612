"""All the deadlines of an endpoint, on one timer.

Theory of operation. A timer is a thread, and a thread per request would cost more than the request. So the deadlines
wait in one queue per duration (the same duration means they run out in the order they were added), and one timer is
armed for the earliest of them. Adding and canceling a deadline touches its queue alone: the timer is armed when there
was none, or when the new deadline is earlier than what it is armed for. When it fires, what has run out is called, and
it is armed again for the next. So with one usual timeout the timer is armed once per timeout period, however many
requests there are; and with nothing to wait for there is no thread.

Callbacks run on the timer's thread with no lock held. They must not block.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from typing import Callable, Dict, List, Optional

from .clock import Clock, TimerHandle
from .settings import get_logger

__all__ = ["Deadline", "Timeouts"]

# Two deadlines this close (seconds) are not worth arming the timer twice.
_CLOSE_ENOUGH = 0.001


class Deadline:
    """A callback that will run unless it is canceled."""

    def __init__(self, owner: "Timeouts", duration: float, due: float, callback: Callable[[], None]) -> None:
        self._owner = owner
        self.duration = duration
        self.due = due
        self.callback = callback

    def cancel(self) -> None:
        """Keep the callback from running, if it has not begun."""
        self._owner._remove(self)


class _Alarm:
    """One arming of the timer. ``handle`` is ``None`` until the clock has given it."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.handle: Optional[TimerHandle] = None


class Timeouts:
    """The deadlines of one endpoint. Thread-safe."""

    def __init__(self, clock: Clock, name: str = "ocppj-timeouts") -> None:
        self._clock = clock
        self._name = name
        self._lock = threading.Lock()
        self._queues: Dict[float, "OrderedDict[Deadline, None]"] = {}
        self._alarm: Optional[_Alarm] = None  # what the timer is armed for
        self._arming = False  # one thread arms at a time; it looks again when it is done
        self._handles: List[TimerHandle] = []  # every timer whose thread may still be there
        self._stopped = False
        self._local = threading.local()  # .firing: this thread is running callbacks

    def add(self, duration: float, callback: Callable[[], None]) -> Deadline:
        """Run ``callback`` after ``duration`` seconds, unless the returned deadline is canceled before."""
        deadline = Deadline(self, duration, self._clock.monotonic() + duration, callback)
        with self._lock:
            if self._stopped:
                return deadline
            self._queues.setdefault(duration, OrderedDict())[deadline] = None
            armed = self._alarm is not None and self._alarm.due <= deadline.due + _CLOSE_ENOUGH
        if not armed:
            self._arm()
        return deadline

    def pending(self) -> int:
        """Return how many deadlines wait."""
        with self._lock:
            return sum(map(len, self._queues.values()))

    def is_firing(self) -> bool:
        """Tell whether the calling thread is the one that runs the callbacks."""
        return getattr(self._local, "firing", False)

    def start(self) -> None:
        """Take deadlines again after `stop`."""
        with self._lock:
            self._stopped = False

    def stop(self, timeout: float = 5.0) -> None:
        """Forget every deadline, and wait up to ``timeout`` seconds for the timer's thread to end."""
        with self._lock:
            self._stopped = True
            self._queues.clear()
            self._alarm = None
            handles, self._handles = self._handles, []
        for handle in handles:
            handle.cancel()
        for handle in handles:
            handle.join(timeout)

    def _remove(self, deadline: Deadline) -> None:
        with self._lock:
            queue = self._queues.get(deadline.duration)
            if queue is not None:
                queue.pop(deadline, None)
                if not queue:
                    del self._queues[deadline.duration]

    def _arm(self) -> None:
        """See that the timer is armed for the earliest deadline."""
        while True:
            now = self._clock.monotonic()
            with self._lock:
                earliest = min((next(iter(queue)).due for queue in self._queues.values()), default=None)
                replaced = self._alarm
                if earliest is None or self._arming:
                    return
                if replaced is not None and replaced.due <= earliest + _CLOSE_ENOUGH:
                    return
                self._arming = True
                alarm = self._alarm = _Alarm(earliest)
            handle = self._clock.call_later(max(0.0, earliest - now), partial(self._fire, alarm), self._name)
            with self._lock:
                self._arming = False
                alarm.handle = handle
                stopped = self._stopped
                self._handles = [each for each in self._handles if not each.done()]
                if not stopped:
                    self._handles.append(handle)
            if stopped:
                handle.cancel()
            if replaced is not None and replaced.handle is not None:
                replaced.handle.cancel()

    def _fire(self, alarm: _Alarm) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._alarm is alarm:
                self._alarm = None
            expired = self._take_expired(now)
        self._local.firing = True
        try:
            for deadline in expired:
                _run(deadline.callback)
        finally:
            self._local.firing = False
        self._arm()

    def _take_expired(self, now: float) -> List[Deadline]:
        expired: List[Deadline] = []
        for duration, queue in list(self._queues.items()):
            while queue:
                deadline = next(iter(queue))
                if deadline.due > now:
                    break
                del queue[deadline]
                expired.append(deadline)
            if not queue:
                del self._queues[duration]
        expired.sort(key=lambda deadline: deadline.due)
        return expired


def _run(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        get_logger().exception("a timeout callback failed")
