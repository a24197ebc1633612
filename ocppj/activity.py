"""`Activity`: what is under way in a network in memory, so that a test can wait until nothing is.

Theory of operation. Each piece of work is noted from the moment at which its cause is there: a frame until its reader
has acted on it, a job until it has run. Whatever causes other work notes that before it is over itself. So when nothing
is noted, nothing is under way, and nothing can begin by itself.

A thread that works may wait: for the answer to its ``call()``, or for an event. It is at *rest* until what it waits for
has come (`Resting`). From then on it counts as working, though it may not have woken up yet. What brought it has been
noted until then.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Collection, Dict, List, NamedTuple, Optional, Protocol, Set

from .events import Condition
from .interrupted import calls_program

__all__ = ["UNCOUNTED", "Activity", "ActivityLike", "Job", "Resting", "Waits"]

_LOOK_AGAIN = 0.05  # seconds between two looks, if nothing tells that something has changed


class _Visit:
    """The stay of a thread in the block of an activity, or in several within each other."""

    __slots__ = ("depth", "name")

    def __init__(self) -> None:
        self.depth = 0
        self.name = threading.current_thread().name

    def __str__(self) -> str:
        return f"the thread {self.name}"


_local = threading.local()  # .visits: those of the thread, by activity


def _visits() -> "Dict[Activity, _Visit]":
    visits: Optional[Dict[Activity, _Visit]] = getattr(_local, "visits", None)
    if visits is None:
        visits = _local.visits = {}
    return visits


#: Tells of a job whether it is not under way, though it has not run: it never will, or it has to wait for jobs on some
#: of the threads that are at rest, which are given by their idents.
Waits = Callable[[Collection[int]], bool]


class Job:
    """A function that another thread is to call. `drop` says that none will."""

    __slots__ = ("_activity", "_run", "waits")

    def __init__(self, run: Callable[[], object], waits: Waits, activity: "Optional[Activity]" = None) -> None:
        self._run = run
        self.waits: Waits = waits
        self._activity = activity

    def __str__(self) -> str:
        return "a job that waits for a thread"

    @calls_program
    def __call__(self) -> None:
        if self._activity is None:
            self._run()
            return
        with self._activity:
            self.drop()
            self._run()

    def drop(self) -> None:
        """Note the job no more as one that waits for a thread. May be called again."""
        if self._activity is not None:
            self._activity.drop(self)


class ActivityLike(Protocol):
    """What the transports use of an `Activity`. As a context it notes that a thread works."""

    def __enter__(self) -> object: ...

    def __exit__(self, *error: object) -> None: ...

    def job(self, run: Callable[[], object], waits: Waits) -> Job: ...


class _Uncounted:
    """Notes nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass

    def job(self, run: Callable[[], object], waits: Waits) -> Job:
        return Job(run, waits)


#: That of a transport over sockets: nobody can tell what is under way there.
UNCOUNTED: ActivityLike = _Uncounted()


class _Look(NamedTuple):
    """What was found when no thread seemed to work."""

    changes: int
    rests: "List[Resting]"
    jobs: List[Job]

    def is_quiet(self) -> bool:
        """Tell whether nothing was under way. Calls functions of others: not with the lock held."""
        if any(rest.woken() for rest in self.rests):
            return False
        idents = {rest.ident for rest in self.rests}
        return all(job.waits(idents) for job in self.jobs)


class Activity:
    """Notes what is under way. Thread-safe; calls nothing while its lock is held.

    As a context it notes that the thread in it works. A thread may enter it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the fields below
        self._changed = Condition(self._lock)
        self._work: Set[object] = set()  # what is under way, but for the jobs
        self._jobs: Set[Job] = set()  # those that wait for a thread
        self._rests: Set[Resting] = set()
        self._changes = 0  # grows when work begins, and when a rest ends

    def _after_fork(self) -> None:
        """Forget what the threads of the parent do: see `ocppj.forks`."""
        self._work, self._jobs, self._rests = set(_visits().values()), set(), set()

    def add(self, work: object) -> None:
        """Note that ``work`` is under way. It may be noted already."""
        with self._lock:
            self._work.add(work)
            self._changes += 1

    def done(self, work: object) -> None:
        """Note that ``work`` is over. What it caused must have been noted. May be called again."""
        with self._lock:
            self._work.discard(work)
            self._tell()

    def __enter__(self) -> "Activity":
        visits = _visits()
        visit = visits.get(self)
        if visit is None:
            visit = visits[self] = _Visit()
            self.add(visit)
        visit.depth += 1
        return self

    def __exit__(self, *error: object) -> None:
        visits = _visits()
        visit = visits[self]
        visit.depth -= 1
        if not visit.depth:
            del visits[self]
            self.done(visit)

    def job(self, run: Callable[[], object], waits: Waits) -> Job:
        """Return a job that calls ``run``. It is under way until it has run or was dropped, unless it ``waits``."""
        job = Job(run, waits, self)
        with self._lock:
            self._jobs.add(job)
            self._changes += 1
        return job

    def drop(self, job: Job) -> None:
        """Note ``job`` no more as one that waits for a thread."""
        with self._lock:
            self._jobs.discard(job)
            self._tell()

    def begin_rest(self, work: object, rest: "Resting") -> None:
        """Note that the thread of ``work`` is at ``rest``."""
        with self._lock:
            self._work.discard(work)
            self._rests.add(rest)
            self._tell()

    def end_rest(self, work: object, rest: "Resting") -> None:
        """Note that ``rest`` is over, and ``work`` goes on."""
        with self._lock:
            self._rests.discard(rest)
            self._work.add(work)
            self._changes += 1

    def wait_until_quiet(self, timeout: float) -> bool:
        """Wait up to ``timeout`` real seconds until nothing is under way; return whether that is so.

        The calling thread does not count meanwhile.
        """
        deadline = time.monotonic() + timeout
        with Resting(lambda: False):
            while True:
                look = self._look(deadline)
                if look is None:
                    return False
                if look.is_quiet():
                    if self._is_still(look):
                        return True
                elif not self._await_change(look, deadline):
                    return False

    def under_way(self) -> List[str]:
        """Return what is under way, for the text of an error."""
        with self._lock:
            work, jobs, rests = list(self._work), list(self._jobs), list(self._rests)
        woken = [rest for rest in rests if rest.woken()]
        idents = {rest.ident for rest in rests} - {rest.ident for rest in woken}
        return sorted(map(str, [*work, *woken, *(job for job in jobs if not job.waits(idents))]))

    def _look(self, deadline: float) -> Optional[_Look]:
        """Wait until no thread works. Return what is left then, or ``None`` if the time is over."""
        with self._lock:
            left = max(0.0, deadline - time.monotonic())
            if not self._changed.wait_for(lambda: not self._work, left):
                return None
            return _Look(self._changes, list(self._rests), list(self._jobs))

    def _await_change(self, look: _Look, deadline: float) -> bool:
        """Wait until something has changed since the ``look``, but not for long. Return false if the time is over.

        It found a job that waits for a thread, or a thread that was woken and has not noticed.
        """
        with self._lock:
            left = deadline - time.monotonic()
            if left > 0 and self._changes == look.changes:
                self._changed.wait(min(left, _LOOK_AGAIN))
            return left > 0

    def _is_still(self, look: _Look) -> bool:
        """Tell whether nothing has begun since the ``look``: then what was found of threads and jobs still holds."""
        with self._lock:
            return self._changes == look.changes

    def _tell(self) -> None:
        """Wake the threads that wait, if they may have something to find. Lock held."""
        if not self._work:
            self._changed.notify_all()


class Resting:
    """A block in which a thread waits, and does not count as working until ``woken()``.

    ``woken`` is called on any thread, without a lock. It must not wait. Once true, it stays true until the block ends.
    """

    __slots__ = ("_visits", "ident", "woken")

    def __init__(self, woken: Callable[[], bool]) -> None:
        self.woken: Callable[[], bool] = woken
        self.ident: int = threading.get_ident()  #: That of the thread.
        self._visits: Dict[Activity, _Visit] = {}

    def __str__(self) -> str:
        return "a thread that has just been woken"

    def __enter__(self) -> None:
        self._visits = _visits()
        _local.visits = {}  # what the thread does inside is noted anew
        for activity, visit in self._visits.items():
            activity.begin_rest(visit, self)

    def __exit__(self, *error: object) -> None:
        for activity, visit in self._visits.items():
            activity.end_rest(visit, self)
        _local.visits = self._visits
