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

from ..activity import UNCOUNTED, ActivityLike
from ..clock import Clock, TimerHandle
from ..events import Condition, Event
from ..forks import register
from ..interrupted import calls_program
from ..log_limit import SafeLog, safe_log
from ..loops import log_failure, run_loop
from ..option_checks import check_option

__all__ = ["DEFAULT_TIMEOUT", "Deadline", "RequestTimeout", "Timeouts"]

DEFAULT_TIMEOUT = 30.0

# The timer is not armed again for a deadline that is earlier by no more than this (seconds).
_CLOSE_ENOUGH = 0.001
# The longest time (seconds) that the timer is armed for: a thread cannot wait for ever.
_LONGEST = 86_400.0
# Between attempts to arm it, when there is no thread for it (seconds).
_RETRY = 0.2
_ATTEMPTS = 3  # to run a callback
_NEVER = Event()  # is not set: to pause; it has no lock that a fork could leave taken


class Deadline:
    """A callback that will run unless it is canceled."""

    __slots__ = ("_owner", "callback", "due", "duration")

    def __init__(self, owner: "Timeouts", duration: float, due: float, callback: Callable[[], None]) -> None:
        self._owner = owner
        self.duration: float = duration
        self.due: float = due
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

    def __init__(self) -> None:
        self.due = 0.0
        self.claimed = False  # its thread arms the timer, and no other meanwhile
        self.handle: Optional[TimerHandle] = None  # until the clock has returned it
        self.expired: List[Deadline] = []  # taken out by the timer's thread, and not run


class Timeouts:
    """The deadlines of one endpoint. Thread-safe."""

    def __init__(self, clock: Clock, name: str = "ocppj-timeouts", log: SafeLog = safe_log) -> None:
        self._log = log
        self._clock = clock
        self._name = name
        self._lock = threading.Lock()
        self._queues: Dict[float, "OrderedDict[Deadline, None]"] = {}
        self._current: Optional[_Arming] = None  # ``None`` when the timer is not armed
        self._arming = False  # a thread arms the timer; one at a time, and it looks again when it is done
        self._armed = Condition(self._lock)  # notified when that thread is done
        self._handles: List[TimerHandle] = []  # every timer whose thread may still run
        self._stopped = False
        self.unarmed: bool = False  #: There are deadlines, and no thread could be started for the timer.
        self._local = threading.local()  # .firing: this thread is running callbacks
        self.activity: ActivityLike = UNCOUNTED  #: In which the work of the callbacks is noted.
        register(self)

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

    def now(self) -> float:
        """Return the time of day in seconds, as `time.time`."""
        return self._clock.now().timestamp()

    def monotonic(self) -> float:
        """Return the time of the clock in seconds, as `time.monotonic`."""
        return self._clock.monotonic()

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
            self.unarmed = False
            self._armed.wait_for(lambda: not self._arming, timeout)
            handles, self._handles = self._handles, []
        for handle in handles:
            handle.cancel()
        end = self._clock.monotonic() + timeout
        for handle in handles:
            handle.join(max(0.0, end - self._clock.monotonic()))

    def _after_fork(self) -> None:
        """Forget every deadline: they are the parent's. See `ocppj.forks`."""
        self._stopped = True
        self._queues.clear()
        self._current = None
        self._arming = self.unarmed = False
        self._handles = []

    def _arm(self) -> None:
        """Arm the timer for the earliest deadline, unless it is. If no thread can be started, it is `unarmed`."""
        again = True
        while again:
            arming = None
            try:
                arming = _Arming()
                again = self._arm_once(arming)
            except BaseException as error:  # no thread could be started: see `stand_in` and `_serve`, and `add`
                with self._lock:
                    if arming is not None and arming.claimed:
                        self._arming = False
                        self._armed.notify_all()
                    handle = None if arming is None else arming.handle
                    if handle is not None:  # it is armed
                        if handle not in self._handles:
                            self._handles.append(handle)
                    elif self._current is arming:
                        self._current = None
                    first, self.unarmed = not self.unarmed, not self._stopped and self._current is None
                if not isinstance(error, Exception):
                    raise
                if first:
                    log_failure("the timer cannot be armed", log=self._log)
                return

    def _arm_once(self, arming: _Arming) -> bool:
        """Arm the timer with ``arming``, if that is needed. Return whether it was; then look again."""
        now = self._clock.monotonic()
        with self._lock:
            earliest = min((next(iter(queue)).due for queue in self._queues.values()), default=None)
            replaced = self._current
            if earliest is None:
                self.unarmed = False
            if earliest is None or self._arming:
                return False
            if replaced is not None and replaced.due <= earliest + _CLOSE_ENOUGH:
                return False
            arming.due, arming.claimed = earliest, True
            self._arming = True
            self._current = arming
        delay = min(max(0.0, earliest - now), _LONGEST)
        run = partial(run_loop, "the timer of deadlines", partial(self._serve, arming), log=self._log)
        arming.handle = handle = self._clock.call_later(delay, run, self._name)
        with self._lock:
            self._arming = self.unarmed = False
            stopped = self._stopped
            self._handles = list(filter(_may_run, self._handles))
            self._handles.append(handle)
            self._armed.notify_all()
        if stopped:
            handle.cancel()
        if replaced is not None and replaced.handle is not None:
            replaced.handle.cancel()
        return True

    def stand_in(self, over: Callable[[float], bool]) -> None:
        """Do the timer's work on this thread, which waits, until a thread can be started for it, or ``over``.

        To be called while `unarmed`. ``over(seconds)`` waits for so long, and tells whether the wait has an end.
        """
        while self.unarmed and not over(_RETRY):
            self._run_out(_Arming())

    def _serve(self, arming: _Arming) -> bool:
        """Run what has run out: the timer's thread. Return false when the next timer is armed, or nothing is left."""
        with self.activity:
            self._run_out(arming)
        if self.unarmed:  # no other thread may come that could arm it
            _NEVER.wait(_RETRY)
        return self.unarmed

    def _run_out(self, arming: _Arming) -> None:
        """Take out the deadlines whose time has come, arm the timer for the rest, and run them.

        It goes on from whatever a call that raised has left in ``arming``.
        """
        now = self._clock.monotonic()
        with self._lock:
            if self._current is arming:
                self._current = None
            for duration, queue in list(self._queues.items()):
                while queue and next(iter(queue)).due <= now:
                    deadline = next(iter(queue))
                    arming.expired.append(deadline)
                    del queue[deadline]
                if not queue:
                    del self._queues[duration]
        arming.expired.sort(key=lambda deadline: deadline.due)
        self._arm()
        self._local.firing = True
        try:
            while arming.expired:
                self._run(arming.expired[0])
                del arming.expired[0]  # after it: a run that was cut off is done again, and a second one does no harm
        finally:
            self._local.firing = False

    @calls_program
    def _run(self, deadline: Deadline) -> None:
        """Run the callback, up to three times if memory is short: a call may wait for it for ever."""
        for _ in range(_ATTEMPTS):
            callback = deadline.callback
            try:
                if callback is not None and not self._stopped:
                    callback()
                break
            except MemoryError:
                log_failure("a timeout callback failed for want of memory", log=self._log)
            except BaseException:  # sys.exit() in a canceled-request handler must not end the timer of others
                log_failure("a timeout callback failed", log=self._log)
                break
        deadline.callback = None


def _may_run(handle: TimerHandle) -> bool:
    return not handle.done()


class RequestTimeout:
    """How many ``seconds`` a request that is sent from now on may take. A dispatcher shares one with its senders."""

    def __init__(self) -> None:
        self.seconds: float = DEFAULT_TIMEOUT

    def set(self, seconds: float) -> None:
        """Change ``seconds``. Raises `UsageError` for what is no number of seconds above 0."""
        check_option("Dispatcher", "timeout", seconds)
        self.seconds = seconds
