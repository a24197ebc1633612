"""`SharedReaders`: one thread reads all connections and runs their handlers, more while these block.

Theory of operation. Three parts share one lock:

* `ocppj.ws.readers.scheduler`: who is ready, in rounds; the selector; the deadlines;
* `ocppj.ws.readers.workers`: the threads; how many work at a time: one while nothing blocks, more when it does;
* here: what a worker does with one seat, a *visit*, and the face towards channels and endpoints.

A visit is one step of the source, which reads what is there, completes answers and submits jobs, and then one job.
More jobs wait for the next round. While a job runs its source is watched by the selector as ever: when the job blocks,
another worker steps it, and so its answers and pings are served; jobs that come meanwhile wait for the first to end.

A job runs on a worker that may have read the source just before, but does not while the job runs. So it may wait for
whatever the source brings.

An endpoint that makes its readers itself ends them with `stop`. Readers made by the user serve any number of
endpoints, each by a `_Part` of them, whose `stop` waits for the endpoint's own sources and jobs alone.
"""

from __future__ import annotations

import selectors
import threading
import time
import weakref
from functools import partial
from typing import Any, Callable, Collection, ContextManager, Optional, Set

from ...errors import UsageError
from ...settings import get_logger
from ..checks import check_positive
from .base import Job, Readers, Source
from .poller import READ, WRITE
from .scheduler import Agenda, Seat
from .workers import Crew, run

__all__ = ["Seat", "SharedReaders"]

_RESERVE = 2  # workers that run no jobs: answers are read while all handlers that may run wait for theirs


class _Part(Readers):
    """What one endpoint uses of shared readers."""

    def __init__(self, pool: "_Pool") -> None:
        self._pool = pool
        self._lock = pool.crew.lock
        # Guarded by it:
        self._seats: Set[Seat] = set()  # those of which something is left
        self._emptied = threading.Condition(pool.crew.lock)
        self._stopping = False

    def add(self, source: Source) -> None:
        """See `Readers.add`. Raises ``RuntimeError`` too when nobody tells that ``source`` is ready."""
        pool, fd = self._pool, source.fileno()
        with pool.crew.lock:
            seat = self._seat(source)
            count = seat.discard() if self._stopping else 0  # it may bring jobs from other readers
        if count:
            get_logger().info("%s: stopping, %d jobs are discarded", seat.name, count)
        if fd < 0 and not source.watch(partial(pool.poke, seat)):
            raise RuntimeError(f"{source.name}: it has no descriptor, and nothing tells when it is ready")
        try:
            with pool.crew.lock:
                pool.agenda.open(seat, fd)
                errands = pool.crew.rouse()
        except OSError as error:
            raise RuntimeError(f"{source.name} cannot be watched: {error}") from error
        run(errands)
        with pool.crew.lock:
            stranded = not pool.crew.manned and seat.open and seat.lined
            if stranded:
                pool.agenda.unopen(seat)
        if stranded:
            raise RuntimeError("no thread can be started")

    def give_up(self, source: Source) -> None:
        """See `Readers.give_up`."""
        with self._pool.crew.lock:
            seat = self._seat(source)
        self._pool.finish(seat, source)

    def submit(self, source: Source, job: Job) -> None:
        """See `Readers.submit`. Raises ``RuntimeError`` when there is no thread and none can be started."""
        seat = source.seat
        with self._lock:  # the ordinary case: the job follows the step that submits it
            if seat is not None and seat.reader_holds and seat.reader == threading.get_ident():
                if not seat.finishing and not self._stopping:
                    seat.jobs.append((job, False))
                    return
        self._submit(source, job)

    def _submit(self, source: Source, job: Job) -> None:
        """`submit` in any case."""
        pool = self._pool
        errands, manned = [], True
        with pool.crew.lock:
            seat = self._seat(source)
            discarded = self._stopping and not seat.finishing
            if not discarded:
                seat.jobs.append((job, seat.finishing))
                self._seats.add(seat)
                follows = seat.reader_holds and seat.reader == threading.get_ident()  # see `Seat.reader_holds`
                if seat.has_job and not follows:
                    pool.agenda.line_up(seat)
                    errands = pool.crew.rouse()
        if discarded:
            get_logger().info("%s: stopping, a job is discarded", seat.name)
        if errands:
            run(errands)
            with pool.crew.lock:
                manned = pool.crew.manned or not seat.jobs
        if not manned:
            raise RuntimeError("no thread can be started")

    def wake(self, source: Source) -> None:
        """See `Readers.wake`."""
        due = source.next_deadline()
        with self._pool.crew.lock:
            seat = self._seat(source)
        self._pool.poke(seat, due)

    def flush(self, source: Source) -> None:
        """See `Readers.flush`."""
        with self._pool.crew.lock:
            seat = self._seat(source)
        self._pool.poke(seat)  # the step writes, and says whether it wants to write more

    def waiting(self) -> ContextManager[Any]:
        """See `Readers.waiting`."""
        return self._pool.crew.waiting()

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        """Discard the endpoint's jobs not begun, and wait for the end of its sources: see `Readers.stop`."""
        self.discard()
        return self._wait(time.monotonic() + timeout, exempt)

    def discard(self) -> None:
        """Begin to stop: discard the jobs not begun, and those to come."""
        with self._pool.crew.lock:
            self._stopping = True
            discarded = [(seat.name, seat.discard()) for seat in self._seats if seat.jobs]
            self._pool.agenda.forget_discarded()
            for seat in list(self._seats):
                self.tidy(seat)
        for name, count in discarded:
            if count:
                get_logger().info("%s: stopping, %d jobs are discarded", name, count)

    def _wait(self, deadline: float, exempt: Collection[int]) -> bool:
        """Wait until nothing is left of the sources; log and return false if that takes too long."""
        me = threading.get_ident()
        while True:
            with self._emptied:
                stoppers = {me, *exempt}  # which may grow while this waits
                awaited = [seat.name for seat in self._seats if _is_awaited(seat, stoppers)]
                left = deadline - time.monotonic()
                if not awaited:
                    return True
                if left > 0:
                    self._emptied.wait(min(left, 0.05))
            if left <= 0:
                get_logger().warning("%d connections do not end: %s", len(awaited), ", ".join(sorted(awaited)[:10]))
                return False

    def seat_for(self, source: Source) -> Seat:
        """Return a new seat for ``source``, to be kept with it."""
        return Seat(source, self)

    def tidy(self, seat: Seat) -> None:
        """Forget ``seat`` if nothing is left of it. Lock held."""
        if seat.finished and not seat.jobs and seat.runner is None:
            self._seats.discard(seat)
            if not self._seats:
                self._emptied.notify_all()

    def _seat(self, source: Source) -> Seat:
        """Return the seat of ``source``. Lock held."""
        if source.seat is None:
            source.seat = self.seat_for(source)
        seat: Seat = source.seat
        if not seat.finished:
            self._seats.add(seat)
        return seat


def _is_awaited(seat: Seat, stoppers: Collection[int]) -> bool:
    """Tell whether ``stop()`` waits for ``seat``; not for what comes after the return of one that stops."""
    if seat.reader in stoppers:
        return False
    if seat.open:
        return True
    return (seat.runner is not None or bool(seat.jobs)) and seat.runner not in stoppers


class _Pool:
    """What the parts share."""

    def __init__(self, max_handlers: int, make_selector: Callable[[], selectors.BaseSelector]) -> None:
        self.agenda = Agenda(make_selector, max_handlers)
        self.crew = Crew(self.agenda, self.visit, max_handlers + _RESERVE)

    def poke(self, seat: Seat, due: Optional[float] = None) -> None:
        """Have the source stepped, and looked at when it is ``due``, though a step may be blocked then."""
        with self.crew.lock:
            self.agenda.want(seat)
            sooner = self.agenda.set_due(seat, due)
            errands = self.crew.rouse() if sooner or not self.agenda.empty else []
        run(errands)

    def visit(self, seat: Seat, ident: int) -> bool:
        """Step the source, if `Agenda.pop` has said so, and run a job; return whether there was one: a worker."""
        job = self._step(seat, ident) if seat.reader == ident else self._begin_job(seat, ident)
        if job is None:
            return False
        try:
            job()
        except BaseException:  # SystemExit too: it would end this thread, and nobody would hear of it
            get_logger().exception("%s: a job failed", seat.name)
        return True

    def _step(self, seat: Seat, ident: int) -> Optional[Job]:
        """Step the source, and finish it if that was the last; return a job to run now."""
        source, agenda = seat.source, self.agenda
        assert source is not None
        try:
            more = source.step(False)
            if more:
                events = READ | WRITE if source.wants_write() else READ
                due = source.next_deadline()
        except BaseException:
            get_logger().exception("%s: reading failed", seat.name)
            more = False
        if more:
            with self.crew.lock:
                try:
                    sooner = agenda.end_step(seat, events, due)
                    job = agenda.begin_job(seat, ident)
                    errands = self.crew.rouse() if sooner else None
                except (OSError, ValueError) as failure:
                    more, error = False, failure
            if more:
                if errands:
                    run(errands)
                return job
            get_logger().error("%s: it cannot be watched any more: %s", seat.name, error)
        self.finish(seat, source)
        return self._begin_job(seat, ident)

    def _begin_job(self, seat: Seat, ident: int) -> Optional[Job]:
        with self.crew.lock:
            return self.agenda.begin_job(seat, ident)

    def finish(self, seat: Seat, source: Source) -> None:
        """Finish the source, on this thread, which steps it, or could not add it."""
        with self.crew.lock:
            self.agenda.begin_finish(seat)
        try:
            source.finish()
        except BaseException:
            get_logger().exception("%s: finishing failed", seat.name)
        with self.crew.lock:
            self.agenda.end_finish(seat)
            seat.home.tidy(seat)
            if seat.has_job:
                self.agenda.line_up(seat)
            errands = [] if self.agenda.empty else self.crew.rouse()
        run(errands)


class SharedReaders(_Part):
    """Few threads for many connections.

    ``max_handlers`` is how many handlers may be running, that is blocked, at a time; further ones wait until one has
    returned, while answers and pings are still served. ``selector`` makes the selector. An object may be given to
    any number of servers and clients, and is stopped by whoever made it, after them.
    """

    def __init__(
        self, *, max_handlers: int = 1000, selector: Callable[[], selectors.BaseSelector] = selectors.DefaultSelector
    ) -> None:
        check_positive(max_handlers=max_handlers)
        super().__init__(_Pool(max_handlers, selector))
        self._parts: "weakref.WeakSet[_Part]" = weakref.WeakSet([self])  # guarded by the lock

    def for_endpoint(self) -> Readers:
        """Return what one endpoint uses of these readers. Raises `UsageError` when they are stopped."""
        part = _Part(self._pool)
        with self._pool.crew.lock:
            if self._stopping:
                raise UsageError("these readers have been stopped")
            self._parts.add(part)
        return part

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        """See `Readers.stop`. Waits for the sources of all endpoints that use these readers."""
        deadline = time.monotonic() + timeout
        pool = self._pool
        with pool.crew.lock:
            pool.agenda.stopping = True
            parts = list(self._parts)
        for part in parts:
            part.discard()
        with pool.crew.lock:
            errands = pool.crew.nudge()
        run(errands)
        gone = [part._wait(deadline, exempt) for part in parts]
        joined = pool.crew.join(max(deadline, time.monotonic() + 0.2), exempt)
        with pool.crew.lock:
            errands = pool.crew.close_unmanned()
        run(errands)
        return joined and all(gone)
