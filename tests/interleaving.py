"""Threads that run one at a time, and switch where a seed says: between any two lines of the classes that are watched.

::

    schedule = Interleaving(random.Random(7), watched=[RequestSender, InFlight], often=0.3)
    sender = RequestSender(..., lock=schedule.lock())
    schedule.run(first, second)

Theory of operation. Each thread has a permit (a lock), and runs while it has it. At each line of a watched class a
trace function may release the permit of another thread and wait for its own. So a schedule depends on the seed alone,
and is the same each time. A thread may be stopped while it holds a lock of the schedule: other threads that want the
lock switch until it is free. Locks of classes that are not watched are safe, because no thread is stopped while it
holds one.
"""

import contextlib
import random
import sys
import threading
from types import CodeType
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set

from tests.helpers import seconds

__all__ = ["Interleaving", "at_call"]


@contextlib.contextmanager
def at_call(function: Any, act: Callable[[], object]) -> Iterator[List[bool]]:
    """Have another thread run ``act`` once in the block, when this thread calls ``function``, before its first line.

    So the test says where another thread comes in between. What ``act`` raises is raised in ``function``. The list has
    ``True`` when ``act`` has run.
    """
    met: List[bool] = []

    def trace(frame: Any, event: str, argument: Any) -> None:
        if frame.f_code is function.__code__ and not met:
            met.append(True)
            Interleaving(random.Random(0), [], 0.0).run(act)

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
            self._schedule.switch(must=True)
        self._holder = me

    def __exit__(self, *error: Any) -> None:
        self._holder = None


class Interleaving:
    """One schedule of threads that run one at a time. ``often`` is the chance of a switch at a line."""

    def __init__(self, rng: random.Random, watched: Iterable[type], often: float) -> None:
        self._rng, self._often = rng, often
        self._watched: Set[int] = {id(code) for each in watched for code in _code_of(each)}
        self._permits: Dict[int, threading.Lock] = {}  # by thread, of the threads that have not ended
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
        self._pick(sorted(self._permits)).release()
        assert self._over.wait(seconds(30)), "no thread goes on"
        for thread in threads:
            thread.join(seconds(10))
        if self.errors:
            raise self.errors[0]

    def switch(self, must: bool = False) -> None:
        """Let another thread run. Return when this thread is chosen again."""
        me = threading.get_ident()
        others = [each for each in sorted(self._permits) if each != me]
        if me not in self._permits or not others:
            assert not must, "no thread is left that could release the lock"
            return
        mine = self._permits[me]
        self._pick(others).release()
        assert mine.acquire(timeout=seconds(30)), "this thread is not chosen again"

    def _pick(self, idents: List[int]) -> threading.Lock:
        return self._permits[idents[int(self._rng.random() * len(idents))]]

    def _thread(self, act: Callable[[], None], known: threading.Semaphore) -> None:
        permit = self._permits[threading.get_ident()] = threading.Lock()
        permit.acquire()
        known.release()
        permit.acquire()
        sys.settrace(self._trace)
        try:
            act()
        except BaseException as error:
            self.errors.append(error)
        finally:
            sys.settrace(None)
            del self._permits[threading.get_ident()]
            if self._permits:
                self._pick(sorted(self._permits)).release()
            else:
                self._over.set()

    def _trace(self, frame: Any, event: str, argument: Any) -> Any:
        if id(frame.f_code) not in self._watched:
            return None
        if event == "line" and self._rng.random() < self._often:
            self.switch()
        return self._trace


def _code_of(watched: type) -> Iterator[CodeType]:
    """Yield the code of every method of ``watched``."""
    for each in vars(watched).values():
        code = getattr(each, "__code__", None)
        if isinstance(code, CodeType):
            yield code
