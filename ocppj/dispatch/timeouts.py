"""All the deadlines of an endpoint, on one timer: it is a thread, and one per request would cost more than the request.

Theory of operation. The deadlines wait in one queue per duration: with the same duration they run out in the order in
which they were added. The timer is armed for the earliest of all queues: when it was not armed, when an earlier
deadline is added, and again when it fires. So with one usual timeout it is armed once per timeout period, however many
requests there are. Without deadlines there is no thread, at the latest after the timer has fired.

Callbacks run on the timer's thread with no lock held. One that blocks delays those that have run out with it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from typing import Callable, Dict, List, Optional

from ..clock import Clock, TimerHandle
from ..settings import get_logger

__all__ = ["DEFAULT_TIMEOUT", "Deadline", "RequestTimeout", "Timeouts"]

DEFAULT_TIMEOUT = 30.0

# The timer is not armed again for a deadline that is earlier by no more than this (seconds).
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
        self.callback = None  # it may have run out already, and wait for other callbacks to return
        queues = self._owner._queues
        with self._owner._lock:
            queue = queues.get(self.duration)
            if queue is not None:
                queue.pop(self, None)
                if not queue:
                    del queues[self.duration]


class _Arming:
    """One arming of the timer."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.handle: Optional[TimerHandle] = None  # until the clock has returned it


class Timeouts:
    """The deadlines of one endpoint. Thread-safe."""

    def __init__(self, clock: Clock, name: str = "ocppj-timeouts") -> None:
        self._clock = clock
        self._name = name
        self._lock = threading.Lock()
        self._queues: Dict[float, "OrderedDict[Deadline, None]"] = {}
        self._current: Optional[_Arming] = None  # ``None`` when the timer is not armed
        self._arming = False  # a thread arms the timer; one at a time, and it looks again when it is done
        self._armed = threading.Condition(self._lock)  # notified when that thread is done
        self._handles: List[TimerHandle] = []  # every timer whose thread may still run
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
            armed = self._current is not None and self._current.due <= deadline.due + _CLOSE_ENOUGH
        if not armed:
            self._arm()
        return deadline

    def pending(self) -> int:
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
            self._current = None
            self._armed.wait_for(lambda: not self._arming, timeout)
            handles, self._handles = self._handles, []
        for handle in handles:
            handle.cancel()
        end = self._clock.monotonic() + timeout
        for handle in handles:
            handle.join(max(0.0, end - self._clock.monotonic()))

    def _arm(self) -> None:
        """Arm the timer for the earliest deadline, unless it is."""
        while True:
            now = self._clock.monotonic()
            with self._lock:
                earliest = min((next(iter(queue)).due for queue in self._queues.values()), default=None)
                replaced = self._current
                if earliest is None or self._arming:
                    return
                if replaced is not None and replaced.due <= earliest + _CLOSE_ENOUGH:
                    return
                self._arming = True
                arming = self._current = _Arming(earliest)
            delay = min(max(0.0, earliest - now), _LONGEST)
            try:
                handle = self._clock.call_later(delay, partial(self._fire, arming), self._name)
            except BaseException as error:  # no thread could be started: the next deadline that is added tries again
                with self._lock:
                    self._arming = False
                    if self._current is arming:
                        self._current = None
                    self._armed.notify_all()
                if not isinstance(error, Exception):
                    raise
                get_logger().exception("the timer cannot be armed")
                return
            with self._lock:
                self._arming = False
                arming.handle = handle
                stopped = self._stopped
                self._handles = [each for each in self._handles if not each.done()]
                self._handles.append(handle)
                self._armed.notify_all()
            if stopped:
                handle.cancel()
            if replaced is not None and replaced.handle is not None:
                replaced.handle.cancel()

    def _fire(self, arming: _Arming) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if self._current is arming:
                self._current = None
            expired: List[Deadline] = []
            for duration, queue in list(self._queues.items()):
                while queue and next(iter(queue)).due <= now:
                    expired.append(queue.popitem(last=False)[0])
                if not queue:
                    del self._queues[duration]
        expired.sort(key=lambda deadline: deadline.due)
        self._arm()
        self._local.firing = True
        try:
            for deadline in expired:
                callback = deadline.callback
                if callback is not None and not self._stopped:
                    try:
                        callback()
                    except BaseException:  # sys.exit() in a canceled-request handler must not end the timer of others
                        get_logger().exception("a timeout callback failed")
        finally:
            self._local.firing = False


class RequestTimeout:
    """How many ``seconds`` a request that is sent from now on may take. A dispatcher shares one with its senders."""

    def __init__(self) -> None:
        self.seconds = DEFAULT_TIMEOUT

    def set(self, seconds: float) -> None:
        """Change ``seconds``. Raises `ValueError` unless it is more than 0."""
        if not seconds > 0:
            raise ValueError("a timeout must be more than 0 seconds")
        self.seconds = seconds
