"""`ThreadPerConnection`: a reader thread for each connection, and a dispatcher thread from its first job on.

*Moving.* Readers with a ``limit`` hand all connections over to shared readers as soon as these have taken one too
many. The reader thread of a connection does that after its next step, unless a job of the connection runs, or a timer
waits for the end of its closing: then later. First the shared readers take the source: they watch it, and the reader
thread counts as the one that steps it. If they cannot, it stays. Then, under the lock of the slot, the source gets the
slot of the shared readers, with the waiting jobs. Then the reader thread hands the step in, and ends.

Another thread may have read ``source.slot`` just before. It finds, under the lock, that the slot has ``moved``, and
calls the shared readers. So no job is lost, none runs twice, and their order stays. No connection moves back.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import Collection, Dict, List, Optional, Set

from ...events import Timer
from ...log_limit import SafeLog
from ...loops import log_failure, run_loop
from ..base import RunningJob
from ..stream.waiting import remaining
from ..threads import Threads
from .base import Job, Jobs, Readers, Source, finish_source
from .flusher import Flusher
from .scheduler import Slot as SharedSlot
from .shared import SharedReaders

__all__ = ["ThreadPerConnection"]


class _Slot:
    """What is kept with one source: its jobs, and the dispatcher thread that runs them.

    That thread waits for `wakeup`, which is released when the thread is found idle, without `lock`. A condition would
    be notified under that lock, and the thread would wake up twice. It may be released more often than it is waited
    for: then the thread looks once more, and finds nothing.

    When a running job is released, another dispatcher thread takes over. The thread of that job ends with it.
    """

    def __init__(self, name: str, log: SafeLog) -> None:
        self.name = name
        self.safe_log = log
        self.lock = threading.Lock()  # guards what follows
        self.jobs = Jobs()
        self.wakeup = threading.Lock()
        self.wakeup.acquire()
        self.idle = False  # the dispatcher waits for the wakeup, or is about to
        self.dispatched = False  # there is a dispatcher thread, or it is about to start
        self.dismissed = False  # the dispatcher ends when it has no jobs; for later jobs another one starts
        self.running = False  # a job runs
        self.began = 0.0  # when (`time.monotonic`) it began
        self.runner: Optional[int] = None  # the ident of the dispatcher thread, unless it was replaced
        self.released: Dict[int, float] = {}  # when the jobs began that were released and still run, by their threads
        self.finishing = False
        self.finished = False
        self.taken: Optional[SharedSlot] = None  # the slot that the shared readers are asked to take it with
        self.moved: Optional[SharedSlot] = None  # the slot of the shared readers that the source has now
        self.reader: Optional[int] = None  # the ident of the thread that steps the source
        self.timer: Optional[threading.Timer] = None  # of the closing

    def dispatch(self) -> None:
        """Run the jobs: the dispatcher thread."""
        run_loop(f"{self.name}: the thread of its handlers", self._run_job, log=self.safe_log)

    def _run_job(self) -> bool:
        """Run the next job, or wait for one; return false when the thread must end."""
        job, me = None, threading.get_ident()
        with self.lock:
            if self.released and self.released.pop(me, None) is not None:
                return False  # another thread is the dispatcher by now
            self.runner = me
            self.running = self.idle = False
            if self.jobs and self.moved is None:
                job, _ = self.jobs.pop(0)
                self.running, self.began = True, time.monotonic()
            elif self.finished or self.dismissed:
                self.dispatched = False
                return False
            else:
                self.idle = True
        if job is None:
            self.wakeup.acquire()  # released by each submit, and at the end of the source
            return True
        try:
            job()
        except BaseException:  # SystemExit too: it would end this thread, and no log would say so
            log_failure("%s: a job failed", self.name, log=self.safe_log)
        return True

    def jobs_running(self, now: float) -> List[RunningJob]:
        """Return the job that runs, and those that were released and run still."""
        with self.lock:
            found = [(ident, began, True) for ident, began in self.released.items()]
            if self.running and self.runner is not None:
                found.append((self.runner, self.began, False))
        return [
            RunningJob(self.name, ident, max(0.0, now - began), released=released, key=(self, began))
            for ident, began, released in found
        ]

    def release(self, job: RunningJob) -> bool:
        """Count ``job`` as ended; return false if it has. Another dispatcher must be started for the next jobs."""
        with self.lock:
            if not self.running or self.runner != job.ident or self.began != job.key[1]:
                return False
            self.released[job.ident] = self.began
            self.running, self.runner = False, None
            self.dispatched = False
            return True

    def wake(self) -> None:
        """Make the dispatcher look again."""
        with self.lock:
            idle = self.idle
        if idle:
            self.ring()

    def ring(self) -> None:
        """Release the wake-up, unless it is free: then another thread has woken the dispatcher."""
        try:
            self.wakeup.release()
        except RuntimeError:
            pass

    def dismiss(self) -> None:
        """Let the dispatcher end before the source does."""
        with self.lock:
            self.dismissed = True
        self.wake()

    def move(self, source: Source, slot: SharedSlot) -> None:
        """Give ``source`` the new ``slot``, with the jobs not begun, unless it cannot move now."""
        with self.lock:
            if self.running or self.timer is not None:
                return
            slot.jobs.extend(self.jobs)
            self.moved = source.slot = slot
            self.jobs.clear()


class ThreadPerConnection(Readers):
    """A thread ``ocppj-reader-<name>`` for each source, and ``ocppj-dispatcher-<name>`` from its first job on.

    A thread ``ocppj-flusher`` for all sources writes what other threads left in the buffers, while there is anything.
    ``shared`` are the readers of all sources as soon as there are more than ``limit``. ``None``: never.
    """

    def __init__(self, limit: Optional[int] = None, shared: Optional[SharedReaders] = None) -> None:
        super().__init__()
        self._limit = limit
        self._shared = shared
        self._threads = Threads(self.safe_log)
        self._flusher = Flusher(self._threads, log=self.safe_log)
        self._lock = threading.Lock()  # guards what follows
        self._slots: Set[_Slot] = set()
        self._full = False  # there are more than limit, and the shared readers have the newest
        self._stopping = False

    def for_endpoint(self) -> "ThreadPerConnection":
        return ThreadPerConnection()

    def add(self, source: Source) -> None:
        self._threads.start(f"ocppj-reader-{source.name}", self._read, source, self._own_slot(source))

    def give_up(self, source: Source) -> None:
        """Finish ``source`` on this thread, and run its last jobs here if no thread can be started for them."""
        self._finish(source, self._own_slot(source))

    def submit(self, source: Source, job: Job) -> None:
        """As `Readers` says. If no thread can be started for the job, that is tried again after each step."""
        slot = self._slot(source)
        start = idle = discarded = False
        if slot is not None:
            ring = slot.ring
            try:
                with slot.lock:
                    if slot.moved:
                        slot = None
                    elif self._stopping and not slot.finishing:
                        discarded = True
                    else:
                        slot.jobs.append((job, slot.finishing))
                        start = not slot.dispatched
                        idle = slot.idle
            finally:  # also when this thread is interrupted: the job may be there
                if idle:
                    ring()
        if slot is None:
            assert self._shared is not None
            self._shared.submit(source, job)
            return
        if discarded:
            self.safe_log.info("%s: stopping, a job is discarded", slot.name, client_id=slot.name)
        if start:
            self._start_dispatcher(slot)

    def _start_dispatcher(self, slot: _Slot) -> None:
        """Start the thread of the handlers, unless there is one. Log it when there can be none."""
        mine = False
        try:
            with slot.lock:
                if slot.dispatched:
                    return
                mine = slot.dispatched = True
            self._threads.start(f"ocppj-dispatcher-{slot.name}", self._dispatch, slot)
        except Exception:
            if mine:
                slot.dispatched = False
            log_failure("%s: no thread for its handlers can be started", slot.name, log=self.safe_log)

    def _dispatch(self, slot: _Slot) -> None:
        slot.dispatch()
        self._forget(slot)

    def blocked_by(self, source: Source) -> Optional[List[int]]:
        slot = self._slot(source)
        if slot is None:
            assert self._shared is not None
            return self._shared.blocked_by(source)
        with slot.lock:
            return [slot.runner] if slot.running and slot.runner is not None else None

    def running(self) -> List[RunningJob]:
        with self._lock:
            slots = list(self._slots)
        now = time.monotonic()
        return [job for slot in slots for job in slot.jobs_running(now)]

    def release(self, job: RunningJob) -> bool:
        slot = job.key[0]
        if not isinstance(slot, _Slot) or not slot.release(job):
            return False
        if slot.jobs:
            self._start_dispatcher(slot)
        return True

    def wake(self, source: Source) -> None:
        """Start a timer that ends ``source`` when its closing is overdue: its reader may be waiting without end.

        Raises ``RuntimeError`` when no thread can be started for that.
        """
        slot, deadline = self._slot(source), source.next_deadline()
        timer = Timer(remaining(deadline) or 0.0, source.expire)
        timer.daemon = True
        timer.name = f"ocppj-close-{source.name}"
        if slot is not None:
            with slot.lock:
                if slot.moved:
                    slot = None
                elif deadline is None or slot.finishing or slot.finished or slot.timer is not None:
                    return
                else:
                    slot.timer = timer
        if slot is None:
            assert self._shared is not None
            self._shared.wake(source)
        else:
            try:
                timer.start()  # which does nothing if the source has finished, and canceled it, meanwhile
            except BaseException:
                slot.timer = None
                raise

    def flush(self, source: Source) -> None:
        if source.outlet is not None:  # the reader may be waiting for input alone
            self._flusher.add(source.outlet)

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        deadline = time.monotonic() + timeout
        self._flusher.stop()
        self.discard()
        with self._lock:
            slots = list(self._slots)
        for slot in slots:
            if slot.reader in (None, threading.get_ident()):
                slot.dismiss()  # its source ends after this call, so a dispatcher that waits for that end must not
        return self._threads.join(deadline, exempt)

    def discard(self) -> None:
        """Begin to stop: discard the jobs not begun, and those to come."""
        with self._lock:
            self._stopping = True
            slots = list(self._slots)
        for slot in slots:
            with slot.lock:
                count = slot.jobs.discard()
            if count:
                self.safe_log.info("%s: stopping, %d jobs are discarded", slot.name, count, client_id=slot.name)

    def assign(self, source: Source) -> None:
        """Give ``source`` a slot, if it has none: of these readers, or of the shared ones once these are full."""
        with self._lock:
            if source.slot is not None:
                return
            connected = sum(not slot.finished for slot in self._slots)
            if self._shared is not None and (self._full or (self._limit is not None and connected >= self._limit)):
                source.slot = SharedSlot(source, self._shared)
            else:
                source.slot = _Slot(source.name, self.safe_log)
                self._slots.add(source.slot)

    def hand_over(self) -> None:
        """Move all connections to the shared readers, which have one already. They move when they are next read."""
        self._full = True

    def _slot(self, source: Source) -> Optional[_Slot]:
        """Return the slot of ``source``; ``None`` when it has one of the shared readers."""
        if source.slot is None:
            self.assign(source)
        slot = source.slot
        return slot if isinstance(slot, _Slot) else None

    def _own_slot(self, source: Source) -> _Slot:
        """Return the slot of a ``source`` that is not read yet, and so cannot have moved."""
        slot = self._slot(source)
        assert slot is not None
        return slot

    def _read(self, source: Source, slot: _Slot) -> None:
        """Step ``source`` until it ends or moves: a reader thread. Whatever is raised meanwhile ends the source."""
        run_loop(
            f"{slot.name}: reading", partial(self._serve, source, slot), partial(self._repair, slot), self.safe_log
        )

    def _serve(self, source: Source, slot: _Slot) -> bool:
        """Read until ``source`` ends or moves. After a failure, do what is left to be done. Returns false."""
        slot.reader = threading.get_ident()
        if not slot.finishing and not slot.finished and slot.moved is None:
            while source.step(True):
                if slot.jobs and not slot.running:  # whoever submitted a job could not start or wake the dispatcher
                    self._start_dispatcher(slot)
                    slot.wake()
                if self._full and self._move(source, slot):
                    break
            else:
                slot.finishing = True
        if slot.moved is not None:
            slot.dismiss()
            self._forget(slot)
            assert self._shared is not None
            self._shared.hand_in(slot.moved)
        else:
            self._finish(source, slot)
        return False

    def _repair(self, slot: _Slot) -> None:
        """Have a source finished whose reading failed."""
        self._give_back(slot)
        if slot.moved is None:
            slot.finishing = True

    def _move(self, source: Source, slot: _Slot) -> bool:
        """Give ``source``, which this thread reads, to the shared readers if they can take it; return whether they did.

        If they cannot, it stays here. The next connection that they take has all others try again.
        """
        shared = self._shared
        if shared is None or self._stopping or slot.running or slot.timer is not None:
            return False
        try:
            slot.taken = SharedSlot(source, shared)
            shared.take(slot.taken)
            slot.move(source, slot.taken)
        except Exception:
            self._full = False
            log_failure("%s: the shared readers cannot take it, so it keeps its thread", slot.name, log=self.safe_log)
        finally:
            self._give_back(slot)
        return slot.moved is not None

    def _give_back(self, slot: _Slot) -> None:
        """Have the shared readers give up what they have taken for ``slot``, unless it has moved."""
        if slot.taken is not None and slot.moved is None:
            assert self._shared is not None
            self._shared.give_back(slot.taken)
        slot.taken = None

    def _finish(self, source: Source, slot: _Slot) -> None:
        """Finish ``source``, and run its last jobs here if there is no thread for them. May be called again."""
        with slot.lock:
            slot.finishing = True
            timer = slot.timer
        if not slot.finished:
            finish_source(source, self.safe_log)
        if timer is not None:
            timer.cancel()
            with suppress(RuntimeError):  # it is not started yet: then it ends as soon as it is
                timer.join(1.0)
        with slot.lock:
            slot.finished = True
            slot.finishing = False
            here = bool(slot.jobs) and not slot.dispatched
            slot.dispatched = slot.dispatched or here
        slot.wake()
        if here:
            slot.dispatch()
        self._forget(slot)

    def _forget(self, slot: _Slot) -> None:
        """Drop ``slot`` if nothing is left to be done for it."""
        with slot.lock:
            done = slot.moved is not None or (slot.finished and not slot.dispatched)
        if done:
            with self._lock:
                self._slots.discard(slot)
