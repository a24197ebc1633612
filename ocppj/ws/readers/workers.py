"""The threads of shared readers.

An active worker takes a slot from the ready list, steps its source, runs one job, and takes the next slot. When the
list is empty the worker waits in the selector. As a rule one worker is active: no message costs a switch of threads.

A monitor checks every few milliseconds. A worker that is at the same slot as before is blocked. It is active no more,
and other workers become active in its place. While a job blocks, they read its connection, whose other jobs wait. While
a step blocks, they may run its jobs.

A handler that waits for a message holds a slot all the time, and only a part of the slots is for such handlers
(`waiting_handlers`). A handler whose answer the network does not take holds none: the next job of its connection is
held back until all is written (`Workers.holds_back`). A job that is released counts as ended (`Workers.release`).

While nothing blocks, the number of active workers falls back to one. Idle workers end after a while. The monitor parks
while a worker waits in the selector. All threads end when nothing can come any more; the next source starts new ones.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import nullcontext
from functools import partial
from typing import Any, Callable, ContextManager, List, Optional, Set, Tuple

from ...errors import NoHandlerSlot
from ...events import Event
from ...log_limit import SafeLog, part_log
from ...loops import log_failure, run_loop
from ..base import RunningJob
from ..threads import Threads
from .base import Job, Source, finish_source
from .scheduler import READ, WRITE, Scheduler, Slot, SlotOwner, reserve_of
from .waiting_handlers import WaitingHandlers

__all__ = ["Actions", "Workers", "perform"]

_LATE = 250  # checks after which a worker that has not begun is given up
_RESERVE = 2  # workers that run no jobs: they read answers while all handlers that may run wait for some
_LISTED = 10  # handlers that a log line names
_MIN_EXTRA, _MAX_EXTRA = 4, 64  # workers activated at a check that finds at least half of the active ones blocked

#: What is decided under the lock and done without it.
Actions = List[Callable[[], None]]


def perform(actions: Actions) -> None:
    """Do what was decided under the lock. Never raises: the thread that decided it has other things to do."""
    for action in actions:
        try:
            action()
        except BaseException:
            log_failure("the shared readers could not wake or start a thread")


class _Worker:
    """The state of one thread. Guarded by the lock of `Workers`."""

    def __init__(self) -> None:
        self.called: Event = Event()  # ends its idleness
        self.active = True
        self.started = False  # its thread runs
        self.slot: Optional[Slot] = None  # that it serves
        self.ident = 0  # of its thread; set by the thread itself
        self.blocked_at: float = 0.0  # when (`time.monotonic`) it was last found blocked
        self.wait: Optional[_Wait] = None  # within which it waits for a message, if it does that in a job
        self.released_in = -1  # the round whose job was released
        self.rounds = 0  # how often it has looked for a slot
        self.rounds_at_check = -1  # at the monitor's last check

    @property
    def released(self) -> bool:
        """Whether its job was released, and still runs."""
        return self.released_in == self.rounds


class _Wait:
    """The context in which the thread of a ``worker`` waits for a message."""

    def __init__(self, workers: "Workers", worker: _Worker) -> None:
        self._workers = workers
        self._worker = worker
        self.client_id: Optional[str] = None  # for which it counts as a waiting handler

    def __enter__(self) -> None:
        self._workers.begin_wait(self, self._worker)

    def __exit__(self, *error: object) -> None:
        if self.client_id is not None:
            self._workers.end_wait(self, self._worker)


_NO_WORKER: ContextManager[Any] = nullcontext()


class Workers:
    """Serves the slots of a `Scheduler`, whose tables the ``lock`` guards too.

    Methods that return actions are called with the lock held; `perform` the actions without it. ``check_interval``,
    ``park_after`` and ``idle_timeout`` may be set before the first source comes.
    """

    def __init__(self, scheduler: Scheduler, max_jobs: int) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.check_interval: float = 0.004  # seconds between two checks of the monitor
        self.park_after = 25  # checks in a row that find nothing done
        self.idle_timeout: float = 5.0  # seconds after which an idle worker ends
        self._scheduler = scheduler
        self._max_jobs = max_jobs
        self._waiting = WaitingHandlers(max_jobs - reserve_of(max_jobs))  # guarded by the lock
        self.safe_log: SafeLog = part_log("ws")  #: The process's, if several endpoints share the threads.
        self._threads = Threads(self.safe_log)
        self.join: Callable[..., bool] = self._threads.join  # without the lock
        self._local = threading.local()  # .worker
        self._numbers = itertools.count(1)
        # Guarded by the lock:
        self._workers: Set[_Worker] = set()
        self._active: Set[_Worker] = set()
        self._max_active = 1
        self._idle: List[_Worker] = []  # the last to come is the first to be called
        self._selecting: Optional[_Worker] = None  # the active worker that waits in the selector, or is about to
        self._woken = False  # the selecting worker is woken, or is about to be
        self._extra = _MIN_EXTRA  # workers to activate at the next check that finds most blocked
        self._start_failed = False  # and that was logged
        self._monitored = False  # the monitor's thread runs, or is about to
        self._monitor_called = Event()
        self._monitor_runs = False  # its thread has begun
        self._parked = False
        self.all_slots: Callable[[], List[Slot]] = list  #: Returns all slots. Called with the lock held.

    def revive(self) -> bool:
        """Start a thread if there is none; return whether there is one now. Without the lock."""
        if self._alive():
            return True
        self.restart()  # does not count on a start that another thread is about to try
        return self._alive()

    def _alive(self) -> bool:
        with self.lock:
            return any(worker.started for worker in self._workers)

    def wake_one(self) -> Actions:
        """Return what makes a worker look at the ready list, or at the deadlines."""
        if self._selecting is not None:
            return self._wake_selecting()
        # An active worker looks at the list after the slot that it serves. If it blocks there, the monitor finds that.
        return self._resume_monitor() if self._active else self._activate(1)

    def wake_all(self) -> Actions:
        """Return what makes all threads look whether everything is over."""
        actions = self._wake_selecting()
        actions += [worker.called.set for worker in self._idle]
        self._idle.clear()
        actions.append(self._monitor_called.set)
        return actions

    def close_unused(self) -> Actions:
        """Return what closes the selector when there is no worker."""
        poller = self._scheduler.poller
        if self._workers or poller is None:
            return []
        self._scheduler.poller = None
        return [poller.close]

    def waiting(self) -> ContextManager[Any]:
        """Return a context in which this thread waits. If it is an active worker, others go on in its place.

        To enter it raises `NoHandlerSlot` when too many handlers wait.
        """
        me: Optional[_Worker] = getattr(self._local, "worker", None)
        return _NO_WORKER if me is None else _Wait(self, me)

    def begin_wait(self, wait: _Wait, me: _Worker) -> None:
        """Do what entering ``wait`` does; on the thread of the worker ``me``."""
        actions: Actions = []
        refused, report = False, None
        with self.lock:
            slot = me.slot
            if slot is not None and slot.runner == me.ident and me.wait is None and not me.released:
                if self._waiting.take(slot.name):
                    wait.client_id, me.wait = slot.name, wait
                else:
                    refused, report = True, self._waiting.report(time.monotonic())
            if me.active and not refused:
                self._mark_blocked(me)
                if self._scheduler.ready or not self._active:
                    actions = self.wake_one()
        perform(actions)
        if report is not None:
            self._report_waiting(report)
        if refused:
            words = f"{self._waiting.count} handlers wait for answers already; the rest is for those that do not wait"
            raise NoHandlerSlot(words)

    def end_wait(self, wait: _Wait, me: _Worker) -> None:
        """Do what leaving ``wait`` does. Its job may have been released meanwhile."""
        with self.lock:
            self._give_back(wait, me)

    def _give_back(self, wait: _Wait, worker: _Worker) -> None:
        """Count the handler of ``worker`` as waiting no more. Lock held."""
        if wait.client_id is not None:
            self._waiting.give_back(wait.client_id)
        wait.client_id = worker.wait = None

    def _report_waiting(self, refused: int) -> None:
        """Log that handlers may not wait, and which do. Without the lock."""
        longest = sorted((job for job in self.running() if job.waiting), key=lambda job: -job.seconds)[:_LISTED]
        self.safe_log.warning(
            "%d handlers wait for answers to their call(), of %d that may. More were refused %d times since the last "
            "such line, at most one a minute. The longest: %s",
            self._waiting.count,
            self._waiting.allowed,
            refused,
            ", ".join(f"{job.client_id} for {job.seconds:.0f} s" for job in longest) or "none any more",
        )

    def running(self, owner: Optional[SlotOwner] = None) -> List[RunningJob]:
        """Return the jobs of ``owner``, or of all, that run just now. Without the lock."""
        with self.lock:
            return self._list_running(owner, time.monotonic())

    def _list_running(self, owner: Optional[SlotOwner], now: float) -> List[RunningJob]:
        return [
            RunningJob(
                slot.name,
                worker.ident,
                0.0 if worker.active else max(0.0, now - worker.blocked_at),
                worker.wait is not None,
                worker.released,
                (worker, worker.rounds),
            )
            for worker, slot in ((worker, worker.slot) for worker in self._workers)
            if slot is not None and owner in (None, slot.owner)
            if worker.released or (slot.runner is not None and slot.runner == worker.ident)
        ]

    def count_loaned(self) -> int:
        """Return how many workers are held by a job that blocks. Without the lock."""
        with self.lock:
            return len(self._workers) - len(self._active) - len(self._idle)

    def idents_at_jobs(self) -> List[int]:
        """Return the idents of the threads that run jobs which count. Lock held."""
        slots = ((worker, worker.slot) for worker in self._workers)
        return [worker.ident for worker, slot in slots if slot is not None and slot.runner == worker.ident]

    def release(self, job: RunningJob) -> bool:
        """Count ``job`` as ended, though its thread still runs it; return false if it is not to be released.

        At most as many jobs are released at a time as there are slots: each has a thread. Without the lock.
        """
        worker, rounds = job.key
        if not isinstance(worker, _Worker):
            return False
        with self.lock:
            slot = worker.slot
            if slot is None or worker.rounds != rounds or worker.released or slot.runner != worker.ident:
                return False
            if self._count_released() >= self._max_jobs:
                return False
            if worker.active:
                self._mark_blocked(worker)
            if worker.wait is not None:
                self._give_back(worker.wait, worker)
            self._scheduler.end_job(slot, worker.ident)
            worker.released_in = rounds
            actions = self.wake_one() if self._scheduler.ready or not self._active else []
        perform(actions)
        return True

    def holds_back(self, source: Source) -> bool:
        """See `Readers.holds_back`: true once for each job of ``source`` that this thread runs. Without the lock."""
        me: Optional[_Worker] = getattr(self._local, "worker", None)
        if me is None:
            return False
        with self.lock:
            slot = me.slot
            if slot is None or slot.source is not source or slot.runner != me.ident or me.released:
                return False
            if slot.unsent or slot.finishing or not slot.open:
                return False
            slot.unsent = True
        self.request_step(slot)  # it writes, and says whether there is more to write
        return True

    def request_step(self, slot: Slot, due: Optional[float] = None) -> None:
        """Have the source stepped now, and again when ``due``; if a step blocks then, expire it. Without the lock."""
        try:
            with self.lock:
                self._scheduler.request_step(slot)
                sooner = self._scheduler.set_due(slot, due)
                actions = self.wake_one() if sooner or self._scheduler.ready else []
            perform(actions)
        except BaseException:
            self.restart()
            raise

    def hand_in(self, slot: Slot) -> None:
        """See `Scheduler.hand_in`. When this raises, the source is still the caller's. Without the lock."""
        try:
            with self.lock:
                self._scheduler.hand_in(slot)
                actions = self.wake_one()
            perform(actions)
        except BaseException:
            if slot.opening:
                raise
            log_failure("%s: no worker could be woken for it", slot.name, log=self.safe_log)
            self.restart()

    def rebuild(self) -> None:
        """Make the tables of what is to be done anew, after a change that was cut off. Lock held."""
        for worker in [worker for worker in self._workers if not worker.started]:
            self._drop(worker)  # if its thread is just being started, it comes in again
        waits = [worker.wait for worker in self._workers if worker.wait is not None]
        self._waiting.rebuild([wait.client_id for wait in waits if wait.client_id is not None])
        self._scheduler.rebuild(self.all_slots())

    def restart(self) -> None:
        """Have all threads look again, after a wake-up or the start of a thread was cut off. Without the lock."""
        with self.lock:
            self.rebuild()
            self._woken = False
            actions = self.wake_all()
            actions += [worker.called.set for worker in self._workers]
            if not self._active:
                actions += self._activate(1)
        perform(actions)

    def finish(self, slot: Slot, source: Source) -> None:
        """Finish the source, on this thread, which steps it or could not add it. Without the lock."""
        try:
            with self.lock:
                self._scheduler.begin_finish(slot)
        except BaseException:  # of the selector: it is closed next
            log_failure("%s: it could not be taken out of the selector", slot.name, log=self.safe_log)
        finish_source(source, self.safe_log)
        with self.lock:
            self._scheduler.end_finish(slot)
            actions = self.wake_one() if self._scheduler.ready else []
        perform(actions)

    # A worker's thread

    def _work(self, me: _Worker) -> None:
        """Serve slots until there is nothing more to do, whatever comes in between."""
        self._local.worker = me
        me.ident = threading.get_ident()
        run_loop("a worker of the shared readers", partial(self._serve, me), partial(self._recover, me), self.safe_log)

    def _serve(self, me: _Worker) -> bool:
        """Serve slots until there is nothing more to do; then return false."""
        ident = threading.get_ident()
        slot = self._next(me, ident, None)
        while slot is not None:
            job = None
            try:
                job = self._step(slot, ident) if slot.reader == ident else self._begin_job(slot, ident)
                if job is not None:
                    job()
            except BaseException:  # SystemExit too: it would end this thread, and no log would say so
                if job is None:
                    raise  # the tables may be wrong
                log_failure("%s: a job failed", slot.name, log=self.safe_log)
            worked = None if job is None else slot
            job = None  # it may keep much alive while this thread waits
            slot = self._next(me, ident, worked)
        return False

    def _recover(self, me: _Worker) -> None:
        """Make the tables right after this thread was cut off anywhere in them. What it served is served again.

        A job that it had taken is over: it has run, or is lost. It is not run twice.
        """
        ident = threading.get_ident()
        endings: List[Tuple[Slot, Source]] = []
        with self.lock:
            if self._selecting is me:
                self._selecting, self._woken = None, False
            if me in self._idle:
                self._idle.remove(me)
            self._workers.add(me)
            me.wait = None
            self._monitored = self._monitored and self._monitor_runs
            for slot in self.all_slots():
                if slot.runner == ident:
                    slot.runner = None
                if slot.reader == ident and slot.finishing and slot.source is not None:
                    endings.append((slot, slot.source))
                elif slot.reader == ident and not slot.opening:
                    slot.reader = None
            self.rebuild()
            if not me.active and not self._active:
                me.active = True
            if me.active:
                self._active.add(me)
        for slot, source in endings:
            self.finish(slot, source)
        self.restart()

    def _next(self, me: _Worker, ident: int, worked: Optional[Slot]) -> Optional[Slot]:
        """Wait for the slot to serve next; ``None`` ends the thread. ``worked`` is the slot whose job it just ran."""
        scheduler = self._scheduler
        while True:
            with self.lock:
                me.rounds += 1
                if worked is not None:
                    scheduler.end_job(worked, ident)
                    worked = None
                if not me.active or len(self._active) > self._max_active:
                    self._adjust(me)
                slot = me.slot = scheduler.pop(ident, self._selecting is not None) if me.active else None
                if slot is not None and self._monitored and not self._parked:
                    return slot  # the ordinary case
                actions: Actions = []
                select, timeout, over = False, None, slot is None and scheduler.over
                if slot is not None:
                    actions = self._resume_monitor()
                elif over:
                    self._deactivate(me)
                    self._workers.discard(me)
                    actions = self.wake_all() + self.close_unused()
                elif me.active and scheduler.poller is not None and self._selecting is None:
                    self._selecting, select = me, True
                    timeout = scheduler.timeout(time.monotonic())
                else:
                    self._deactivate(me)
                    self._idle.append(me)
                    actions = self.wake_one() if scheduler.ready else []
            if actions:
                perform(actions)
            if over or slot is not None:
                return slot
            if select:
                self._select(timeout)
            elif not self._wait_until_called(me):
                return None

    def _select(self, timeout: Optional[float]) -> None:
        """Wait in the selector, and begin a round."""
        poller = self._scheduler.poller
        assert poller is not None  # it is there as long as a worker is
        try:
            found = poller.wait(timeout)
        except Exception:
            log_failure("waiting in the selector failed", log=self.safe_log)
            found = []
            threading.Event().wait(0.05)
        with self.lock:
            self._selecting, self._woken = None, False
            overdue = self._scheduler.begin_round(found, time.monotonic())
        for source in overdue:  # the thread that steps it blocks, and does not see that it is due
            source.expire()

    def _wait_until_called(self, me: _Worker) -> bool:
        """Wait while idle; return false when the worker must end."""
        called = me.called.wait(self.idle_timeout)
        me.called.clear()
        with self.lock:
            idle = me in self._idle
            if idle:
                self._idle.remove(me)
            if idle and not called:
                self._workers.discard(me)
                return False
            return True  # though still idle if called: by an action that was decided before it became idle again

    def _step(self, slot: Slot, ident: int) -> Optional[Job]:
        """Step the source, and finish it if that was the last step; return a job to run now."""
        source, scheduler = slot.source, self._scheduler
        assert source is not None
        try:
            more = source.step(False)
            if more:
                events = READ | WRITE if source.wants_write() else READ
                if source.paused:
                    events &= ~READ
                due = source.next_deadline()
        except BaseException:
            log_failure("%s: reading failed", slot.name, log=self.safe_log)
            more = False
        if more:
            with self.lock:
                try:
                    sooner = scheduler.end_step(slot, events, due)
                    actions = self.wake_one() if sooner else None
                    job = scheduler.begin_job(slot, ident)  # last: what is raised after it would lose the job
                except (OSError, ValueError) as failure:
                    more, error = False, failure
            if more:
                if actions:
                    perform(actions)
                return job
            self.safe_log.error("%s: it cannot be watched any more: %s", slot.name, error, client_id=slot.name)
        self.finish(slot, source)
        return self._begin_job(slot, ident)

    def _begin_job(self, slot: Slot, ident: int) -> Optional[Job]:
        with self.lock:
            return self._scheduler.begin_job(slot, ident)

    # Who is active

    def _adjust(self, me: _Worker) -> None:
        """Make ``me`` active or not, so that `_max_active` are."""
        if me.active and len(self._active) > self._max_active:
            self._deactivate(me)
        elif not me.active and len(self._active) < self._max_active:
            me.active = True
            self._active.add(me)

    def _deactivate(self, me: _Worker) -> None:
        me.active = False
        self._active.discard(me)

    def _mark_blocked(self, worker: _Worker) -> None:
        """Deactivate a worker that blocks, and leave the next job of its slot to others."""
        self._deactivate(worker)
        worker.blocked_at = time.monotonic()
        if worker.slot is not None:
            worker.slot.reader_active = False
            if worker.slot.has_job:
                self._scheduler.enqueue(worker.slot)

    def _drop(self, worker: _Worker) -> None:
        self._deactivate(worker)
        self._workers.discard(worker)

    def _wake_selecting(self) -> Actions:
        poller = self._scheduler.poller
        if poller is None or self._selecting is None or self._woken:
            return []
        actions: Actions = [poller.wake]
        self._woken = True
        return actions

    def _activate(self, count: int) -> Actions:
        """Return what makes ``count`` workers active, or as many as there can be."""
        actions: Actions = []
        for _ in range(count):
            if self._idle:
                worker = self._idle.pop()
                actions.append(worker.called.set)
            elif self._may_add():
                worker = _Worker()
                actions.append(partial(self._start, worker))
                self._workers.add(worker)
            else:
                break
            worker.active = True
            worker.rounds_at_check = worker.rounds
            self._active.add(worker)
        return actions

    def _may_add(self) -> bool:
        """Tell whether there may be one more worker. One whose job was released does not count."""
        most = self._max_jobs + _RESERVE
        return len(self._workers) < most or len(self._workers) - self._count_released() < most

    def _count_released(self) -> int:
        return sum(worker.released for worker in self._workers)

    def _start(self, worker: _Worker) -> None:
        """Start the thread of a new worker. Without the lock."""
        begins = self._start_thread(f"ocppj-worker-{next(self._numbers)}", self._begin, worker)
        with self.lock:
            if not begins:
                self._drop(worker)
            elif not worker.started:
                self._let_in(worker)

    def _begin(self, me: _Worker) -> None:
        """Serve slots: the thread of ``me``."""
        with self.lock:
            self._let_in(me)
        self._work(me)

    def _let_in(self, worker: _Worker) -> None:
        worker.started, worker.rounds_at_check = True, worker.rounds
        self._workers.add(worker)  # it may have been dropped before it was started

    def _start_thread(self, name: str, target: Callable[..., None], *args: _Worker) -> bool:
        """Start a thread; return false, and log the first failure in a row, when there can be no more threads."""
        failure = None
        try:
            self._threads.start(name, target, *args)
        except Exception as error:
            failure = error
        with self.lock:
            log, self._start_failed = failure is not None and not self._start_failed, failure is not None
        if log:
            self.safe_log.error("cannot start the thread %s: %s", name, failure or type(failure).__name__)
        return failure is None

    # The monitor

    def _resume_monitor(self) -> Actions:
        """Return what makes the monitor check, unless it does. Lock held."""
        if not self._monitored:
            self._monitored, self._parked = True, False
            self._monitor_called.clear()
            return [self._start_monitor]
        if self._parked:
            self._parked = False
            return [self._monitor_called.set]
        return []

    def _start_monitor(self) -> None:
        if not self._start_thread("ocppj-monitor", self._monitor):
            with self.lock:
                self._monitored = False  # the next slot tries again

    def _monitor(self) -> None:
        """Find the workers that block: the monitor's thread."""
        with self.lock:
            if self._monitor_runs:
                return
            self._monitor_runs = True
        run_loop("the monitor of the shared readers", self._watch_workers, log=self.safe_log)

    def _watch_workers(self) -> bool:
        """Check until everything is over; then return false."""
        quiet = 0  # checks in a row that found nothing done
        parked = self._parked = False
        while True:
            called = self._monitor_called.wait(None if parked else self.check_interval)
            actions: Actions = []
            with self.lock:
                if self._scheduler.over:
                    self._monitored = self._monitor_runs = False
                    return False
                if called:
                    self._monitor_called.clear()
                    quiet = 0
                else:
                    busy, actions = self._check()
                    quiet = 0 if busy else quiet + 1
                # Under the lock of the check: a worker that takes a slot after it must see that the monitor parks.
                parked = self._parked = quiet >= self.park_after
            perform(actions)

    def _check(self) -> Tuple[bool, Actions]:
        """Return whether anything was done since the last check, and what activates workers in place of blocked ones.

        If at least half of the active workers block, four are activated, then eight, and so on up to 64.
        """
        busy, blocked, flows = self._selecting is None, 0, False
        for worker in list(self._active):
            if not worker.started:
                worker.rounds_at_check -= 1
                if worker.rounds_at_check < -_LATE:  # whoever decided to start it was cut off before that
                    self._drop(worker)
                continue
            rounds = worker.rounds - worker.rounds_at_check
            if worker.slot is not None and not rounds:
                self._mark_blocked(worker)
                blocked += 1
            # The first slot of a worker that was just activated tells nothing yet: it may be about to block in it.
            flows = flows or worker.slot is None or rounds > 1
            busy = busy or rounds > 0
            worker.rounds_at_check = worker.rounds
        left, ready = len(self._active), len(self._scheduler.ready)
        if left and not blocked and flows:
            self._extra = max(_MIN_EXTRA, self._extra // 2)
            self._max_active = max(1, self._max_active - 1)
        if self._scheduler.over or (left and not (blocked and ready)):
            return busy, []
        count = blocked
        if blocked >= left:
            count, self._extra = self._extra, min(_MAX_EXTRA, 2 * self._extra)
        count = min(count, ready + 1)
        self._max_active = max(self._max_active, left + count)
        # The selecting worker does not see the ready list. It may be the only one, if no more threads can start.
        return True, self._wake_selecting() + self._activate(count)
