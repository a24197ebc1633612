"""The threads of shared readers: who works, who waits in the selector, and what happens when all are blocked.

*Holding.* A worker that *holds* may take seats from the line. One holds as a rule: it takes a seat, serves it (a step,
a job), takes the next; when the line is empty it waits in the selector. No message costs a thread switch, and no two
threads fight for the interpreter.

*Lending.* What a seat's handler does may block. The monitor looks every ``pause`` seconds: a holder that is in the same
visit as at the look before is blocked, and holds no more. While seats wait in the line another is called for each of
these; and when at least half of the holders were blocked, or none is left, four, twice as many at each such look, 64 at
most, until there are ``max_workers``. `waiting` gives the holding away at once, to one other if nobody else holds. A
worker that comes back from a blocked visit holds again if fewer do than may, and rests otherwise.

*Retiring.* Each look that finds nobody blocked takes the number of those who may hold back by one. Who rests for
``patience`` seconds ends; who rested last is called first.

*Rest.* While a worker waits in the selector nobody can be blocked that matters, so after a while the monitor parks.
Whoever takes a seat from the line, or lines one up while all are busy, wakes it. An idle server has two threads, and
neither wakes up.

*The end.* All end when the agenda is over; the last gives the selector back. The next source starts anew.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager
from typing import Callable, Collection, Iterator, List, Optional, Set, Tuple

from ...settings import get_logger
from .base import join_all
from .scheduler import Agenda, Seat

__all__ = ["Crew", "Errands", "Worker"]

_LEAST, _MOST = 4, 64  # workers called at a look

#: What is decided under the lock and done without it.
Errands = List[Callable[[], None]]


class Worker:
    """One thread's part in the crew. Guarded by its lock."""

    def __init__(self) -> None:
        self.thread: Optional[threading.Thread] = None
        self.bell = threading.Event()  # rung when it is called from its rest
        self.holds = True
        self.seat: Optional[Seat] = None  # whom it serves
        self.visits = 0
        self.seen = -1  # visits at the monitor's last look


class Crew:
    """Serves an agenda by ``visit(seat, ident of the thread)``. ``lock`` guards the agenda too.

    ``visit`` says whether it has run a job. ``pause``, ``quiet`` and ``patience`` may be set before the first source
    comes.
    """

    def __init__(self, agenda: Agenda, visit: Callable[[Seat, int], bool], max_workers: int) -> None:
        self.lock = threading.Lock()
        self.pause = 0.004  # seconds between two looks of the monitor
        self.quiet = 25  # looks at which nothing had been done, until the monitor parks
        self.patience = 5.0  # seconds that a worker rests before it ends
        self._agenda = agenda
        self._visit = visit
        self._max_workers = max_workers
        self._here = threading.local()  # .worker
        self._numbers = itertools.count(1)
        # Guarded by the lock:
        self._workers: Set[Worker] = set()
        self._holders: Set[Worker] = set()
        self._idle: List[Worker] = []
        self._selecting = False  # a holder waits in the selector, or is about to
        self._woken = False  # and is or will be woken
        self._allowed = 1  # holders
        self._level = _LEAST  # of lending
        self._threads: List[threading.Thread] = []
        self._short = False  # of threads, and that was logged
        self._monitor: Optional[threading.Thread] = None
        self._monitor_bell = threading.Event()
        self._parked = False

    # For everybody: what is before `waiting` is called with the lock held ---------------------------------------

    @property
    def manned(self) -> bool:
        """Whether there are workers."""
        return bool(self._workers)

    def rouse(self) -> Errands:
        """Return what makes somebody look at the line, or at the deadlines."""
        if self._selecting:
            return self._wake_selecting()
        # A holder that serves a seat looks at the line after it; if that blocks, the monitor sees it.
        return self._watched() if self._holders else self._call(1)

    def nudge(self) -> Errands:
        """Return what makes all look whether the agenda is over."""
        errands = self._wake_selecting()
        errands += [worker.bell.set for worker in self._idle]
        self._idle.clear()
        errands.append(self._monitor_bell.set)
        return errands

    def close_unmanned(self) -> Errands:
        """Return what gives the selector back when no worker is left, or none could be started."""
        poller = None if self.manned else self._agenda.take_poller()
        return [poller.close] if poller is not None else []

    def give_away(self) -> Errands:
        """Return what lets others go on while this thread, if it is a worker, waits for something."""
        me: Optional[Worker] = getattr(self._here, "worker", None)
        if me is None or not me.holds:
            return []
        self._block(me)
        return [] if self._holders and self._agenda.empty else self.rouse()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Return a context in which this thread waits."""
        with self.lock:
            errands = self.give_away()
        run(errands)
        yield

    def join(self, deadline: float, exempt: Collection[int]) -> bool:
        """Join all threads; return whether they are gone. Without the lock."""
        with self.lock:
            threads = list(self._threads)
        gone = join_all(threads, deadline, exempt)
        with self.lock:
            late = [thread for thread in self._threads if thread not in threads]
        return join_all(late, deadline, exempt) and gone

    # A worker ------------------------------------------------------------------------------------------------------

    def _work(self, me: Worker) -> None:
        """Serve seats: a worker's thread."""
        self._here.worker = me
        ident = threading.get_ident()
        seat, worked = None, False
        while True:
            seat = self._next(me, ident, seat if worked else None)
            if seat is None:
                return
            try:
                worked = self._visit(seat, ident)
            except BaseException:  # what handlers raise does not come here: this is a fault of ours
                get_logger().exception("%s: serving it failed", seat.name)
                worked = False

    def _next(self, me: Worker, ident: int, worked: Optional[Seat]) -> Optional[Seat]:
        """Return whom to serve next, after waiting for it; ``None`` when the thread is to end.

        ``worked`` is whose job has just ended, if one has.
        """
        agenda = self._agenda
        while True:
            errands: Errands = []
            select, timeout = False, None
            with self.lock:
                me.visits += 1
                if worked is not None:
                    agenda.end_job(worked)
                    worked = None
                if not me.holds or len(self._holders) > self._allowed:
                    self._settle(me)
                seat = me.seat = agenda.pop(ident, self._selecting) if me.holds else None
                over = seat is None and agenda.over
                if seat is not None:
                    if self._monitor is not None and not self._parked:
                        return seat  # the ordinary case
                    errands = self._watched()
                elif over:
                    errands = self._leave(me)
                elif me.holds and agenda.selects and not self._selecting:
                    select = self._selecting = True
                    timeout = agenda.timeout(time.monotonic())
                else:
                    self._unhold(me)
                    self._idle.append(me)
                    errands = [] if agenda.empty else self.rouse()
            run(errands)
            if over or seat is not None:
                return seat
            if select:
                self._select(timeout)
            elif not self._rest(me):
                return None

    def _select(self, timeout: Optional[float]) -> None:
        """Begin a round, after waiting until there is one."""
        try:
            ready = self._agenda.wait(timeout)
        except Exception:
            get_logger().exception("waiting in the selector failed")
            ready = []
            threading.Event().wait(0.05)
        with self.lock:
            self._selecting = self._woken = False
            overdue = self._agenda.begin_round(ready, time.monotonic())
        for source in overdue:  # whoever steps it is blocked, and does not see that
            source.expire()

    def _rest(self, me: Worker) -> bool:
        """Wait until called; false when nobody calls."""
        rung = me.bell.wait(self.patience)
        me.bell.clear()
        with self.lock:
            if me not in self._idle or rung:  # in it though rung: by an errand of the time before
                if me in self._idle:
                    self._idle.remove(me)
                return True
            self._idle.remove(me)
            self._workers.discard(me)
            return False

    def _settle(self, me: Worker) -> None:
        """Let ``me`` hold or not, as the number of those who may demands."""
        if me.holds and len(self._holders) > self._allowed:
            self._unhold(me)
        elif not me.holds and len(self._holders) < self._allowed:
            me.holds = True
            self._holders.add(me)

    def _unhold(self, me: Worker) -> None:
        me.holds = False
        self._holders.discard(me)

    def _block(self, worker: Worker) -> None:
        """Note that ``worker`` is blocked where it is; what it would have done next is for others."""
        self._unhold(worker)
        if worker.seat is not None:
            worker.seat.reader_holds = False
            if worker.seat.has_job:
                self._agenda.line_up(worker.seat)

    def _leave(self, me: Worker) -> Errands:
        """Return what tells the others that the agenda is over."""
        self._unhold(me)
        self._workers.discard(me)
        return self.nudge() + self.close_unmanned()

    def _wake_selecting(self) -> Errands:
        if not self._selecting or self._woken:
            return []
        self._woken = True
        return [self._agenda.wake]

    def _call(self, count: int) -> Errands:
        """Return what makes ``count`` workers, or as many as there can be, hold."""
        errands: Errands = []
        for _ in range(count):
            if self._idle:
                worker = self._idle.pop()
                errands.append(worker.bell.set)
            elif len(self._workers) < self._max_workers:
                worker = Worker()
                self._workers.add(worker)
                errands.append(lambda worker=worker: self._start(worker))  # type: ignore[misc]
            else:
                break
            worker.holds = True
            self._holders.add(worker)
        return errands

    def _start(self, worker: Worker) -> None:
        """Start the thread of a new worker; without the lock."""
        name = f"ocppj-worker-{next(self._numbers)}"
        worker.thread = threading.Thread(target=self._work, args=(worker,), name=name, daemon=True)
        if self._begin(worker.thread):
            return
        with self.lock:
            self._unhold(worker)
            self._workers.discard(worker)

    def _begin(self, thread: threading.Thread) -> bool:
        """Start ``thread``, and remember it for `join`; return whether that was possible."""
        with self.lock:
            if len(self._threads) > 2 * len(self._workers) + 8:
                self._threads = [old for old in self._threads if old.ident is None or old.is_alive()]
            self._threads.append(thread)
        try:
            thread.start()
            started = True
        except RuntimeError as error:
            started, reason = False, error
        with self.lock:
            tell, self._short = not started and not self._short, not started
            if not started:
                self._threads.remove(thread)
        if tell:
            get_logger().error("cannot start the thread %s: %s", thread.name, reason)
        return started

    # The monitor ---------------------------------------------------------------------------------------------------

    def _watched(self) -> Errands:
        """Return what makes the monitor look, if it does not. Lock held."""
        if self._monitor is None:
            self._parked = False
            self._monitor_bell.clear()
            self._monitor = threading.Thread(target=self._monitoring, name="ocppj-monitor", daemon=True)
            return [lambda monitor=self._monitor: self._start_monitor(monitor)]  # type: ignore[misc]
        if self._parked:
            self._parked = False
            return [self._monitor_bell.set]
        return []

    def _start_monitor(self, monitor: threading.Thread) -> None:
        if not self._begin(monitor):  # the next round tries again
            with self.lock:
                self._monitor = None

    def _monitoring(self) -> None:
        """Look who is blocked: the monitor's thread."""
        quiet, parked = 0, False
        while True:
            rung = self._monitor_bell.wait(None if parked else self.pause)  # parked: by who finds something to do
            errands: Errands = []
            with self.lock:
                if self._agenda.over:
                    self._monitor = None
                    return
                if rung:
                    self._monitor_bell.clear()
                    quiet = 0
                else:
                    active, errands = self._look()
                    quiet = 0 if active else quiet + 1
                parked = self._parked = quiet >= self.quiet  # at once: who takes a seat after the look must see it
            run(errands)

    def _look(self) -> Tuple[bool, Errands]:
        """Return whether anything was done since the look before, and what lends workers."""
        active, blocked = not self._selecting, 0
        for worker in list(self._holders):
            if worker.seat is not None and worker.visits == worker.seen:
                self._block(worker)
                blocked += 1
            active = active or worker.visits != worker.seen
            worker.seen = worker.visits
        left, agenda = len(self._holders), self._agenda
        if left and not blocked:
            self._level = max(_LEAST, self._level // 2)
            self._allowed = max(1, self._allowed - 1)
        if agenda.over or (left and (not blocked or agenda.empty)):
            return active, []
        count = blocked
        if blocked >= left:
            count, self._level = self._level, min(_MOST, 2 * self._level)
        count = min(count, agenda.length + 1)
        self._allowed = max(self._allowed, left + count)
        # Who waits in the selector does not see the line, and may be all there is: there may be no more threads.
        return True, self._wake_selecting() + self._call(count)


def run(errands: Errands) -> None:
    """Do what was decided under the lock."""
    for errand in errands:
        errand()
