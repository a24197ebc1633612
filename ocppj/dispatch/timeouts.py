"""All the deadlines of an endpoint, on one timer.

Theory of operation. A timer is a thread, and a thread per request would cost more than the request. So the deadlines
wait in one queue per duration (the same duration means they run out in the order they were added), and one timer is
armed for the earliest of them. Adding and canceling a deadline touches its queue alone: the timer is armed when there
was none, or when the new deadline is earlier than what it is armed for. When it fires, it is armed again for the next,
and what has run out is called. So with one usual timeout the timer is armed once per timeout period, however many
requests there are; and with nothing to wait for there is no thread, at the latest when the timer has fired.

Callbacks run on the timer's thread with no lock held. They must not block: one that does delays those that have run
out with it, though no others.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from typing import Callable, Dict, List, Optional

from ..clock import Clock, TimerHandle
from ..settings import get_logger

__all__ = ["Deadline", "Timeouts"]

# Two deadlines this close (seconds) are not worth arming the timer twice.
_CLOSE_ENOUGH = 0.001
# The longest time (seconds) that the timer is armed for: a thread cannot wait for ever.
_LONGEST = 86_400.0


class Deadline:
    """A callback that will run unless it is canceled."""

    __slots__ = ("_owner", "callback", "due", "duration")

    def __init__(self, owner: "Timeouts", duration: float, due: float, callback: Callable[[], None]) -> None:
        self._owner = owner
        self.duration = duration
        self.due = due
        self.callback: Optional[Callable[[], None]] = callback

    def cancel(self) -> None:
        """Keep the callback from running, if it has not begun."""
        self.callback = None  # for one that has run out already, behind others that are being called
        queues = self._owner._queues
        with self._owner._lock:
            queue = queues.get(self.duration)
            if queue is not None:
                queue.pop(self, None)
                if not queue:
                    del queues[self.duration]


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
        self._armed = threading.Condition(self._lock)  # it is done
        self._handles: List[TimerHandle] = []  # every timer whose thread may still be there
        self._stopped = False
        self._local = threading.local()  # .firing: this thread is running callbacks

    def add(self, duration: float, callback: Callable[[], None]) -> Deadline:
        """Run ``callback`` after ``duration`` seconds, unless the returned deadline is canceled before."""
        deadline = Deadline(self, duration, self._clock.monotonic() + duration, callback)
        with self._lock:
            if self._stopped:
                return deadline
            queue = self._queues.get(duration)
            if queue is None:
                queue = self._queues[duration] = OrderedDict()
            queue[deadline] = None
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
            self._armed.wait_for(lambda: not self._arming, timeout)
            handles, self._handles = self._handles, []
        for handle in handles:
            handle.cancel()
        end = self._clock.monotonic() + timeout
        for handle in handles:
            handle.join(max(0.0, end - self._clock.monotonic()))

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
            delay = min(max(0.0, earliest - now), _LONGEST)
            try:
                handle = self._clock.call_later(delay, partial(self._fire, alarm), self._name)
            except BaseException as error:
                self._give_up(alarm)
                if not isinstance(error, Exception):
                    raise
                get_logger().exception("the timer cannot be armed")
                return
            with self._lock:
                self._arming = False
                alarm.handle = handle
                stopped = self._stopped
                self._handles = [each for each in self._handles if not each.done()]
                self._handles.append(handle)
                self._armed.notify_all()
            if stopped:
                handle.cancel()
            if replaced is not None and replaced.handle is not None:
                replaced.handle.cancel()

    def _give_up(self, alarm: _Alarm) -> None:
        """Take note that there was no thread to be had; the next deadline that is added tries again."""
        with self._lock:
            self._arming = False
            if self._alarm is alarm:
                self._alarm = None
            self._armed.notify_all()

    def _fire(self, alarm: _Alarm) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._alarm is alarm:
                self._alarm = None
            expired = self._take_expired(now)
        self._arm()
        self._local.firing = True
        try:
            for deadline in expired:
                if not self._stopped:
                    _run(deadline.callback)
        finally:
            self._local.firing = False

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


def _run(callback: Optional[Callable[[], None]]) -> None:
    if callback is None:
        return
    try:
        callback()
    except BaseException:  # sys.exit() in a canceled-request handler must not end what all others wait for
        get_logger().exception("a timeout callback failed")
