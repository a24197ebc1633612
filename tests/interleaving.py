"""Threads that run one at a time, and change over where a seed says: between any two lines of a module that is watched.

::

    schedule = Interleaving(random.Random(7), watched=lane.__file__, often=0.3)
    lane = Lane(..., lock=schedule.lock())
    schedule.run(first, second)

Theory of operation. Each thread has a baton (a lock), and runs while it has it. At each line of the watched file a
trace function may hand the baton of another thread on and wait for its own. So a schedule is a matter of the seed, and
the same each time. A thread may be stopped while it holds a lock: those that want it hand on until it is free. Locks of
other modules are safe, for nobody is stopped while holding one: only lines of the watched file are.
"""

import contextlib
import random
import sys
import threading
from typing import Any, Callable, Dict, Iterator, List, Optional

from tests.helpers import seconds

__all__ = ["Interleaving", "at_call"]


@contextlib.contextmanager
def at_call(function: Any, act: Callable[[], object]) -> Iterator[List[bool]]:
    """Run ``act`` once in the block, when this thread calls ``function``, before its first line.

    So another thread may come in between, and the test says where. The list has ``True`` when that was so.
    """
    met: List[bool] = []

    def trace(frame: Any, event: str, argument: Any) -> None:
        if frame.f_code is function.__code__ and not met:
            met.append(True)
            act()

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield met
    finally:
        sys.settrace(before)


class _Lock:
    """A lock whose holder may be stopped by the schedule."""

    def __init__(self, schedule: "Interleaving") -> None:
        self._schedule = schedule
        self._holder: Optional[int] = None

    def __enter__(self) -> None:
        me = threading.get_ident()
        assert self._holder != me, "the lock is taken twice by one thread"
        while self._holder is not None:
            self._schedule.hand_on(must=True)
        self._holder = me

    def __exit__(self, *error: Any) -> None:
        self._holder = None


class Interleaving:
    """One schedule of threads that run one at a time. ``often`` is the chance of a change-over at a line."""

    def __init__(self, rng: random.Random, watched: str, often: float) -> None:
        self._rng, self._watched, self._often = rng, watched, often
        self._batons: Dict[int, threading.Lock] = {}  # by thread: those that have not ended
        self._over = threading.Event()
        self.errors: List[BaseException] = []

    def lock(self) -> Any:
        return _Lock(self)

    def run(self, *acts: Callable[[], None]) -> None:
        """Run each of ``acts`` on a thread of its own, to the end. Raises what one of them raised."""
        known = threading.Semaphore(0)
        threads = [threading.Thread(target=self._thread, args=(act, known), daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert known.acquire(timeout=seconds(10))
        self._pick(sorted(self._batons)).release()
        assert self._over.wait(seconds(30)), "nobody goes on"
        for thread in threads:
            thread.join(seconds(10))
        if self.errors:
            raise self.errors[0]

    def hand_on(self, must: bool = False) -> None:
        """Let another thread run, and return when it is this one's turn again."""
        me = threading.get_ident()
        others = [each for each in sorted(self._batons) if each != me]
        if me not in self._batons or not others:
            assert not must, "nobody is there who could release the lock"
            return
        mine = self._batons[me]
        self._pick(others).release()
        assert mine.acquire(timeout=seconds(30)), "the baton does not come back"

    def _pick(self, idents: List[int]) -> threading.Lock:
        return self._batons[idents[int(self._rng.random() * len(idents))]]

    def _thread(self, act: Callable[[], None], known: threading.Semaphore) -> None:
        baton = self._batons[threading.get_ident()] = threading.Lock()
        baton.acquire()
        known.release()
        baton.acquire()
        sys.settrace(self._trace)
        try:
            act()
        except BaseException as error:
            self.errors.append(error)
        finally:
            sys.settrace(None)
            del self._batons[threading.get_ident()]
            if self._batons:
                self._pick(sorted(self._batons)).release()
            else:
                self._over.set()

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self._watched:
            return None
        if event == "line" and self._rng.random() < self._often:
            self.hand_on()
        return self._trace
