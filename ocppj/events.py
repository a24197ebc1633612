"""Waiting, for threads that a signal handler may interrupt between two bytecodes.

Python looks for signals after each call. So a lock that a ``with`` statement takes is always released (from Python 3.10
on): nothing is called in between. A lock that a method takes may stay taken. `threading.Condition` is such a lock, and
`threading.Event`, `threading.Thread` and `concurrent.futures.Future` have one: once it is lost, all that want it wait
for ever. A new thread, for example, waits for one before it runs.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from operator import attrgetter
from typing import Any, Callable, Iterator, List, Optional

__all__ = ["Condition", "Event", "Thread", "Timer", "acquire", "releasing", "try_acquire", "wait_for_any"]


#: Whether a thread that waits for a lock runs no signal handler meanwhile: so it is on Windows before Python 3.14. Then
#: the main thread waits in slices, and a Ctrl-C is seen after each.
_IN_SLICES = sys.platform == "win32" and sys.version_info < (3, 14)
_SLICE = 0.2  # seconds


def acquire(lock: threading.Lock, timeout: Optional[float] = None) -> bool:
    """Take ``lock``, after ``timeout`` seconds at most; return whether it was taken. Signal handlers run meanwhile."""
    if not _IN_SLICES or threading.current_thread() is not threading.main_thread():
        return lock.acquire(timeout=_seconds(timeout))
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = _SLICE if end is None else max(0.0, min(_SLICE, end - time.monotonic()))
        if lock.acquire(timeout=left):
            return True
        if end is not None and time.monotonic() >= end:
            return False


def _seconds(timeout: Optional[float]) -> float:
    """Return ``timeout`` as a lock takes it."""
    return -1 if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX))


class Condition(threading.Condition):
    """A `threading.Condition` whose lock an interrupt does not lose. A thread that waits holds the lock once."""

    # A `with` statement finds the lock's own methods here, which are of C.
    __enter__: Any = property(attrgetter("_lock.__enter__"))
    __exit__: Any = property(attrgetter("_lock.__exit__"))

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Let go of the lock, and wait for a notification, or ``timeout`` seconds; then take the lock again.

        Return whether there was a notification.
        """
        lock, waiting = self._lock, self._waiters  # type: ignore[attr-defined]
        turn = threading.Lock()
        turn.acquire()
        released: List[Any] = []
        taken: List[bool] = []
        # Each does its work when it is put into its list: in one step with noting it.
        release, take = releasing(lock), map(lock.acquire, (True,))
        try:
            waiting.append(turn)  # `notify` releases it
            try:
                released.extend(release)
                woken = acquire(turn, timeout)
            finally:
                try:
                    if released:
                        taken.extend(take)
                except BaseException:  # an interrupt, before or after the lock was taken
                    if released and not taken:
                        taken.extend(map(lock.acquire, (True,)))
                    raise
            return woken
        finally:
            with suppress(ValueError):
                waiting.remove(turn)


class Event(threading.Event):
    """A `threading.Event` without a lock. So no thread waits for another one that sets it, or waits for it."""

    def __init__(self) -> None:
        self._flag = False  # as in Python's own, which reads it in `is_set` and `__repr__`
        self._waiting: List[threading.Lock] = []  # each is held until its thread is to go on

    def set(self) -> None:
        """Set the event, and have all waiting threads go on."""
        self._flag = True
        for turn in list(self._waiting):
            with suppress(RuntimeError):  # another thread sets it, too
                turn.release()

    def _at_fork_reinit(self) -> None:
        """Forget the threads of the other process: `threading` calls this for a `Thread` after a fork."""
        self._waiting = []

    def is_set(self) -> bool:
        """Tell whether the event is set. gevent replaces the base class, and its own method reads another flag."""
        return self._flag

    def clear(self) -> None:
        """Have threads wait again."""
        self._flag = False

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait until the event is set, or ``timeout`` seconds have passed. Return whether it is set."""
        if self._flag:
            return True
        turn = threading.Lock()
        turn.acquire()
        try:
            self._waiting.append(turn)
            if self.is_set():  # just now; the thread that did it may not have seen this one
                return True
            return acquire(turn, timeout) or self.is_set()
        finally:
            with suppress(ValueError):  # interrupted before it was added
                self._waiting.remove(turn)


def wait_for_any(first: Event, second: Event) -> None:
    """Wait until one of the two events is set."""
    turn = threading.Lock()
    turn.acquire()
    try:
        for event in (first, second):
            event._waiting.append(turn)
        if not first.is_set() and not second.is_set():  # as in `Event.wait`
            acquire(turn)
    finally:
        for event in (first, second):
            with suppress(ValueError):
                event._waiting.remove(turn)


class Thread(threading.Thread):
    """A `threading.Thread` that runs also if the thread that starts it is interrupted just then."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._started = Event()  # `start` waits for it, and the new thread sets it


class Timer(threading.Timer):
    """A `threading.Timer`, as `Thread`."""

    def __init__(self, interval: float, function: Callable[[], object]) -> None:
        super().__init__(interval, function)
        self._started = Event()
        self.finished: Event = Event()


def try_acquire(lock: threading.Lock, taken: List[bool]) -> None:
    """Take ``lock`` if it is free, and add to ``taken`` whether it was. Both is one step of C.

    So a thread that is interrupted knows whether it has the lock::

        taken, release = [], releasing(lock)
        try:
            try_acquire(lock, taken)
            ...
        finally:
            if taken == [True]:
                taken[:] = release
    """
    taken.extend(map(lock.acquire, (False,)))


def releasing(lock: threading.Lock) -> Iterator[Any]:
    """Return what releases ``lock`` when it is put into a list, as above: in one step, and a second time not again."""
    return map(lock.__exit__, *[(None,)] * 3)
