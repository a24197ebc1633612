"""The threads of shared readers.

An active worker takes a slot from the ready list, steps its source, runs one job, and takes the next slot. When the
list is empty the worker waits in the selector. As a rule one worker is active: no message costs a switch of threads.

A monitor checks every few milliseconds. A worker that is at the same slot as before is blocked. It is active no more,
and other workers become active in its place. While a job blocks, they read its connection, whose other jobs wait. While
a step blocks, they may run its jobs.

While nothing blocks, the number of active workers falls back to one. Idle workers end after a while. The monitor parks
while a worker waits in the selector. All threads end when nothing can come any more; the next source starts new ones.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Set, Tuple

from ...settings import get_logger
from ..threads import Threads
from .base import Job, Source
from .scheduler import READ, WRITE, Scheduler, Slot

__all__ = ["Actions", "Workers", "perform"]

_MIN_EXTRA, _MAX_EXTRA = 4, 64  # workers activated at a check that finds at least half of the active ones blocked

#: What is decided under the lock and done without it.
Actions = List[Callable[[], None]]


def perform(actions: Actions) -> None:
    """Do what was decided under the lock."""
    for action in actions:
        action()


class _Worker:
    """The state of one thread. Guarded by the lock of `Workers`."""

    def __init__(self) -> None:
        self.called = threading.Event()  # ends its idleness
        self.active = True
        self.slot: Optional[Slot] = None  # that it serves
        self.rounds = 0  # how often it has looked for a slot
        self.rounds_at_check = -1  # at the monitor's last check


class Workers:
    """Serves the slots of a `Scheduler`, whose tables the ``lock`` guards too.

    Methods that return actions are called with the lock held; `perform` the actions without it. ``check_interval``,
    ``park_after`` and ``idle_timeout`` may be set before the first source comes.
    """

    def __init__(self, scheduler: Scheduler, max_workers: int) -> None:
        self.lock = threading.Lock()
        self.check_interval = 0.004  # seconds between two checks of the monitor
        self.park_after = 25  # checks in a row that find nothing done
        self.idle_timeout = 5.0  # seconds after which an idle worker ends
        self._scheduler = scheduler
        self._max_workers = max_workers
        self._threads = Threads()
        self.join = self._threads.join  # without the lock
        self._local = threading.local()  # .worker
        self._numbers = itertools.count(1)
        # Guarded by the lock:
        self._workers: Set[_Worker] = set()
        self._active: Set[_Worker] = set()
        self._max_active = 1
        self._idle: List[_Worker] = []  # the last to come is the first to be called
        self._selecting = False  # an active worker waits in the selector, or is about to
        self._woken = False  # the selecting worker is woken, or is about to be
        self._extra = _MIN_EXTRA  # workers to activate at the next check that finds most blocked
        self._start_failed = False  # and that was logged
        self._monitored = False  # the monitor's thread runs, or is about to
        self._monitor_called = threading.Event()
        self._parked = False

    @property
    def alive(self) -> bool:
        return bool(self._workers)

    def wake_one(self) -> Actions:
        """Return what makes a worker look at the ready list, or at the deadlines."""
        if self._selecting:
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

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Return a context in which this thread waits. If it is an active worker, others go on in its place."""
        me: Optional[_Worker] = getattr(self._local, "worker", None)
        if me is not None:
            actions: Actions = []
            with self.lock:
                if me.active:
                    self._mark_blocked(me)
                    if self._scheduler.ready or not self._active:
                        actions = self.wake_one()
            perform(actions)
        yield

    def request_step(self, slot: Slot, due: Optional[float] = None) -> None:
        """Have the source stepped now, and again when ``due``; if a step blocks then, expire it. Without the lock."""
        with self.lock:
            self._scheduler.request_step(slot)
            sooner = self._scheduler.set_due(slot, due)
            actions = self.wake_one() if sooner or self._scheduler.ready else []
        perform(actions)

    def finish(self, slot: Slot, source: Source) -> None:
        """Finish the source, on this thread, which steps it or could not add it. Without the lock."""
        with self.lock:
            self._scheduler.begin_finish(slot)
        try:
            source.finish()
        except BaseException:
            get_logger().exception("%s: finishing failed", slot.name)
        with self.lock:
            self._scheduler.end_finish(slot)
            actions = self.wake_one() if self._scheduler.ready else []
        perform(actions)

    # A worker's thread

    def _work(self, me: _Worker) -> None:
        """Serve slots until there is nothing more to do."""
        self._local.worker = me
        ident = threading.get_ident()
        slot = self._next(me, ident, None)
        while slot is not None:
            job = None
            try:
                job = self._step(slot, ident) if slot.reader == ident else self._begin_job(slot, ident)
                if job is not None:
                    job()
            except BaseException:  # SystemExit too: it would end this thread, and no log would say so
                get_logger().exception("%s: %s failed", slot.name, "serving it" if job is None else "a job")
            worked = None if job is None else slot
            job = None  # it may keep much alive while this thread waits
            slot = self._next(me, ident, worked)

    def _next(self, me: _Worker, ident: int, worked: Optional[Slot]) -> Optional[Slot]:
        """Wait for the slot to serve next; ``None`` ends the thread. ``worked`` is the slot whose job it just ran."""
        scheduler = self._scheduler
        while True:
            actions: Actions = []
            select, timeout = False, None
            with self.lock:
                me.rounds += 1
                if worked is not None:
                    scheduler.end_job(worked)
                    worked = None
                if not me.active or len(self._active) > self._max_active:
                    self._adjust(me)
                slot = me.slot = scheduler.pop(ident, self._selecting) if me.active else None
                over = slot is None and scheduler.over
                if slot is not None:
                    if self._monitored and not self._parked:
                        return slot  # the ordinary case
                    actions = self._resume_monitor()
                elif over:
                    self._deactivate(me)
                    self._workers.discard(me)
                    actions = self.wake_all() + self.close_unused()
                elif me.active and scheduler.poller is not None and not self._selecting:
                    select = self._selecting = True
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
            get_logger().exception("waiting in the selector failed")
            found = []
            threading.Event().wait(0.05)
        with self.lock:
            self._selecting = self._woken = False
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
                due = source.next_deadline()
        except BaseException:
            get_logger().exception("%s: reading failed", slot.name)
            more = False
        if more:
            with self.lock:
                try:
                    sooner = scheduler.end_step(slot, events, due)
                    job = scheduler.begin_job(slot, ident)
                    actions = self.wake_one() if sooner else None
                except (OSError, ValueError) as failure:
                    more, error = False, failure
            if more:
                if actions:
                    perform(actions)
                return job
            get_logger().error("%s: it cannot be watched any more: %s", slot.name, error)
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
        if worker.slot is not None:
            worker.slot.reader_active = False
            if worker.slot.has_job:
                self._scheduler.enqueue(worker.slot)

    def _wake_selecting(self) -> Actions:
        poller = self._scheduler.poller
        if poller is None or not self._selecting or self._woken:
            return []
        self._woken = True
        return [poller.wake]

    def _activate(self, count: int) -> Actions:
        """Return what makes ``count`` workers active, or as many as there can be."""
        actions: Actions = []
        for _ in range(count):
            if self._idle:
                worker = self._idle.pop()
                actions.append(worker.called.set)
            elif len(self._workers) < self._max_workers:
                worker = _Worker()
                self._workers.add(worker)
                actions.append(lambda worker=worker: self._start(worker))  # type: ignore[misc]
            else:
                break
            worker.active = True
            self._active.add(worker)
        return actions

    def _start(self, worker: _Worker) -> None:
        """Start the thread of a new worker. Without the lock."""
        if not self._start_thread(f"ocppj-worker-{next(self._numbers)}", self._work, worker):
            with self.lock:
                self._deactivate(worker)
                self._workers.discard(worker)

    def _start_thread(self, name: str, target: Callable[..., None], *args: _Worker) -> bool:
        """Start a thread; return false, and log the first failure in a row, when there can be no more threads."""
        failure = None
        try:
            self._threads.start(name, target, *args)
        except RuntimeError as error:
            failure = error
        with self.lock:
            log, self._start_failed = failure is not None and not self._start_failed, failure is not None
        if log:
            get_logger().error("cannot start the thread %s: %s", name, failure)
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
        quiet = 0  # checks in a row that found nothing done
        parked = False
        while True:
            called = self._monitor_called.wait(None if parked else self.check_interval)
            actions: Actions = []
            with self.lock:
                if self._scheduler.over:
                    self._monitored = False
                    return
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
        busy, blocked = not self._selecting, 0
        for worker in list(self._active):
            if worker.slot is not None and worker.rounds == worker.rounds_at_check:
                self._mark_blocked(worker)
                blocked += 1
            busy = busy or worker.rounds != worker.rounds_at_check
            worker.rounds_at_check = worker.rounds
        left, ready = len(self._active), len(self._scheduler.ready)
        if left and not blocked:
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
