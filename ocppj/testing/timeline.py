"""`Timeline`: how a test waits, with the time of the machine or with a clock that it holds.

With a held clock (`ocppj.ManualClock`) no thread sleeps. A wait lets everything that is under way come to rest, looks,
and then moves the clock to the next timer. So a wait of an hour that fails costs milliseconds.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import Callable, List, Optional, Protocol, Tuple, TypeVar

from ..activity import Resting
from ..callables import raise_interrupt
from ..clock import Clock, ManualClock, SystemClock
from ..errors import UsageError, WouldDeadlock
from ..events import Condition
from ..ws.memory import MemoryNetwork

__all__ = ["HeldTimeline", "RealTimeline", "Timeline", "timeline_for"]

T = TypeVar("T")

_LOOK = 0.2  # real seconds after which a wait looks although not everything is at rest
_PATIENCE = 10.0  # real seconds until everything must be at rest
_RESTLESS = "the clock cannot be moved: after {:g} real seconds there is no rest yet. Under way: {}"


class Timeline(Protocol):
    """How time passes in a test. Every method may be called from any thread."""

    def now(self) -> float:
        """Return the seconds of the clock, as ``clock.monotonic()``."""

    def wait(self, ready: Callable[[], T], seconds: float, changed: Condition) -> T:
        """Wait until ``ready()`` is true, or ``seconds`` have passed; return what it returned last.

        Args:
            ready: What is waited for. It is called with ``changed`` held, perhaps on another thread that waits, too.
            seconds: How long to wait at most, in seconds of the clock.
            changed: Is notified by whatever changes what ``ready`` looks at.

        Raises:
            Exception: Whatever ``ready`` raises.
            WouldDeadlock: The clock is held, and this is the callback of one of its timers.
            RuntimeError: The clock is held, and cannot be moved: a handler does not end.
        """

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` of the clock pass."""


class RealTimeline:
    """Waits in real time.

    Args:
        clock: The source of time, by default the machine's.
    """

    def __init__(self, clock: Optional[Clock] = None) -> None:
        self.clock: Clock = SystemClock() if clock is None else clock

    def now(self) -> float:
        return self.clock.monotonic()

    def wait(self, ready: Callable[[], T], seconds: float, changed: Condition) -> T:
        end = self.now() + seconds
        with changed:
            while True:
                value = ready()
                left = end - self.now()
                if value or left <= 0:
                    return value
                changed.wait(left)

    def sleep(self, seconds: float) -> None:
        self.wait(lambda: False, seconds, Condition(threading.Lock()))


class HeldTimeline:
    """Waits with a clock that it moves itself: from one timer to the next, when nothing is under way.

    Several threads may wait at once. One of them at a time moves the clock, and looks for all of them.

    Args:
        clock: The clock of all that takes part.
        settle: Waits up to that many real seconds until nothing is under way; returns whether that is so. An example
            is `MemoryNetwork.wait_until_quiet`.
        under_way: Returns what is under way, for the error of a wait that does not come to rest.
    """

    def __init__(
        self, clock: ManualClock, settle: Callable[[float], bool], under_way: Callable[[], List[str]] = list
    ) -> None:
        self.clock = clock
        self._settle = settle
        self._under_way = under_way
        self._changed = Condition(threading.Lock())  # its lock guards the fields below
        self._mover: Optional[int] = None  # the ident of the thread that moves the clock
        self._waiters: List[_Waiter] = []

    def now(self) -> float:
        return self.clock.monotonic()

    def wait(self, ready: Callable[[], T], seconds: float, changed: Condition) -> T:
        if self._mover == threading.get_ident():
            raise WouldDeadlock("a wait in the callback of a timer would wait for its own thread")
        found: List[T] = []

        def look() -> bool:
            found[:] = [ready()]
            return bool(found[0])

        waiter = _Waiter(look, self.now() + seconds, changed)
        with self._changed:
            self._waiters.append(waiter)
        try:
            with Resting(lambda: waiter.over):  # in a handler
                while self._take_turn(waiter):
                    self._move()
        finally:
            with self._changed:
                self._waiters.remove(waiter)
                self._changed.notify_all()
        if waiter.error is not None:
            raise waiter.error
        return found[0]

    def sleep(self, seconds: float) -> None:
        self.wait(lambda: False, seconds, Condition(threading.Lock()))

    def _take_turn(self, waiter: "_Waiter") -> bool:
        """Wait until this thread may move the clock; return false when the wait of ``waiter`` is over."""
        with self._changed:
            self._changed.wait_for(lambda: waiter.over or self._may_move())
            if not waiter.over:
                self._mover = threading.get_ident()
            return not waiter.over

    def _may_move(self) -> bool:
        """Tell whether a thread may move the clock: no other one does, and those whose waits are over have left."""
        return self._mover is None and not any(waiter.over for waiter in self._waiters)

    def _move(self) -> None:
        """Go on, and end the turn of this thread."""
        try:
            self._go_on()
        finally:
            with self._changed:
                self._mover = None
                self._changed.notify_all()

    def _go_on(self) -> None:
        """Look for all that wait, when all is at rest. If none has got what it waits for, move the clock."""
        deadline = time.monotonic() + _PATIENCE
        quiet = self._settle(_LOOK)
        while not self._look(quiet) and not quiet:
            if time.monotonic() >= deadline:
                raise RuntimeError(_RESTLESS.format(_PATIENCE, ", ".join(self._under_way()) or "something"))
            quiet = self._settle(_LOOK)

    def _look(self, quiet: bool) -> bool:
        """Look for all that wait; return whether a wait is over. If none is, and all is ``quiet``, move the clock."""
        with self._changed:
            waiters = list(self._waiters)
        now = self.now()
        for waiter in waiters:
            waiter.look(quiet and now >= waiter.end)
        if any(waiter.over for waiter in waiters):
            return True
        if quiet:
            due = self.clock.next_due()
            left = min(waiter.end for waiter in waiters) - now
            self.clock.advance(left if due is None else max(0.0, min(due, left)))
        return False


class _Waiter:
    """One wait of a `HeldTimeline`."""

    def __init__(self, ready: Callable[[], bool], end: float, changed: Condition) -> None:
        self._ready = ready
        self.end = end
        self._changed = changed
        self.over = False
        self.error: Optional[BaseException] = None  # what ``ready`` raised

    def look(self, is_last: bool) -> None:
        """Note whether the wait is over."""
        if self.over:
            return
        try:
            with self._changed:
                self.over = self._ready() or is_last
        except BaseException as error:  # it belongs to the thread that waits
            raise_interrupt(error)
            self.error, self.over = error, True


#: The held timelines in use, by the ids of their clock and their network, which live as long as they do.
_held: "weakref.WeakValueDictionary[Tuple[int, int], HeldTimeline]" = weakref.WeakValueDictionary()
_held_lock = threading.Lock()


def timeline_for(clock: Optional[Clock], network: Optional[MemoryNetwork]) -> Timeline:
    """Return the timeline of a test with that clock and that network.

    All that ask for the same clock and network share one. So the thread that moves the clock looks for the threads that
    wait elsewhere, too.

    Args:
        clock: The clock of all that takes part; ``None`` is the machine's.
        network: The network in memory; ``None`` when sockets are used.

    Raises:
        UsageError: The clock is held, and sockets are used: nothing tells when all their frames have arrived.
    """
    if not isinstance(clock, ManualClock):
        return RealTimeline(clock)
    if network is None:
        raise UsageError("a ManualClock needs a MemoryNetwork: with sockets nothing tells when all frames have arrived")
    key = id(clock), id(network)
    with _held_lock:
        timeline = _held.get(key)
        if timeline is None:
            # It holds the network, by these methods: so no other one gets its id.
            timeline = HeldTimeline(clock, network.wait_until_quiet, network.activity.under_way)
            _held[key] = timeline
        return timeline
