"""`SharedReaders`: one thread reads all connections and runs their handlers, and more threads while handlers block.

`scheduler` holds what is to be done next, `workers` the threads that do it. Here is what channels and endpoints call.
One lock, that of the workers, guards all three.

Readers that the user made serve many endpoints. Each endpoint gets an `_EndpointReaders`, whose ``stop`` waits for the
sources and jobs of that endpoint alone.
"""

from __future__ import annotations

import selectors
import threading
import time
import weakref
from functools import partial
from typing import Any, Callable, Collection, ContextManager, List, Optional, Set

from ...errors import UsageError
from ...events import Condition
from ...forks import register
from ...option_checks import check_options
from ...settings import LoggerLike
from ..base import RunningJob
from ..stream.waiting import default_selector
from .base import Job, Readers, Source
from .scheduler import Scheduler, Slot
from .workers import Actions, Workers, perform

__all__ = ["SharedReaders"]


class _EndpointReaders(Readers):
    """The shared readers as one endpoint uses them."""

    def __init__(self, scheduler: Scheduler, workers: Workers) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._workers = workers
        self._lock = workers.lock
        # Guarded by it:
        self._slots: Set[Slot] = set()  # those with something left to do
        self._emptied = Condition(workers.lock)
        self._stopping = False

    def add(self, source: Source) -> None:
        fd = source.fileno()
        with self._lock:
            slot = self._slot(source)
        if fd < 0 and not source.watch(partial(self._workers.request_step, slot)):
            raise RuntimeError(f"{source.name}: it has no descriptor, and nothing tells when it is ready")
        try:
            self._open(slot, fd)
            self._workers.hand_in(slot)
        except BaseException:
            with self._lock:
                self._scheduler.undo_open(slot)  # but the slot is known still: `give_up` comes next
            self._workers.restart()
            raise

    def take(self, slot: Slot) -> None:
        """Watch the source of a new ``slot``, which this thread is stepping. Then call `hand_in` or `give_back`.

        Raises whatever makes that impossible.
        """
        assert slot.source is not None
        fd = slot.source.fileno()
        try:
            if fd < 0 and not slot.source.watch(partial(self._workers.request_step, slot)):
                raise RuntimeError(f"{slot.name}: it has no descriptor, and nothing tells when it is ready")
            with self._lock:
                self._slots.add(slot)  # before it is open: `Scheduler.rebuild` must know all open slots
            self._open(slot, fd)
        except BaseException:
            self.give_back(slot)
            self._workers.restart()
            raise

    def hand_in(self, slot: Slot) -> None:
        """End the step of a source that was taken: others step it from now on. May be called again if it raised."""
        with self._lock:
            count = slot.jobs.discard() if self._stopping else 0  # it may bring jobs from other readers
        self._workers.hand_in(slot)
        if count:
            self.safe_log.info("%s: stopping, %d jobs are discarded", slot.name, count, client_id=slot.name)

    def give_back(self, slot: Slot) -> None:
        """Undo `take`, as much of it as was done."""
        with self._lock:
            self._scheduler.undo_open(slot)
            self._slots.discard(slot)
            actions = self._workers.wake_all() if self._scheduler.over else []
        perform(actions)

    def _open(self, slot: Slot, fd: int) -> None:
        """Open ``slot``, stepped by this thread for the time being, and see that a thread serves it later."""
        try:
            with self._lock:
                self._scheduler.open(slot, fd, threading.get_ident())
                actions = self._workers.wake_one()
        except OSError as error:
            raise RuntimeError(f"{slot.name} cannot be watched: {error}") from error
        perform(actions)
        if not self._workers.revive():
            raise RuntimeError("no thread can be started")

    def give_up(self, source: Source) -> None:
        with self._lock:
            slot = self._slot(source)
        self._workers.finish(slot, source)

    def submit(self, source: Source, job: Job) -> None:
        """Raise ``RuntimeError`` when there is no thread and none can be started. Otherwise as `Readers` says."""
        slot = source.slot
        with self._lock:  # the ordinary case: the reading thread runs the job after the step that submits it
            if slot is not None and slot.reader_active and slot.reader == threading.get_ident():
                if not slot.finishing and not self._stopping:
                    slot.jobs.append((job, False))
                    return
        self._submit(source, job)

    def _submit(self, source: Source, job: Job) -> None:
        try:
            self._add_job(source, job)
        except BaseException:
            self._workers.restart()
            raise

    def _add_job(self, source: Source, job: Job) -> None:
        actions: Actions = []
        with self._lock:
            slot = self._slot(source)
            discarded = self._stopping and not slot.finishing
            if not discarded:
                slot.jobs.append((job, slot.finishing))
                self._slots.add(slot)
                follows = slot.reader_active and slot.reader == threading.get_ident()
                if slot.has_job and not follows:
                    self._scheduler.enqueue(slot)
                    actions = self._workers.wake_one()
        if discarded:
            self.safe_log.info("%s: stopping, a job is discarded", slot.name, client_id=slot.name)
        if actions:
            perform(actions)
            if slot.jobs and not self._workers.revive() and slot.jobs:  # else a thread has run the job, and ended
                raise RuntimeError("no thread can be started")

    def wake(self, source: Source) -> None:
        due = source.next_deadline()
        with self._lock:
            slot = self._slot(source)
        self._workers.request_step(slot, due)

    def flush(self, source: Source) -> None:
        with self._lock:
            slot = self._slot(source)
        self._workers.request_step(slot)  # the step writes, and says whether there is more to write

    def resume(self, source: Source) -> None:
        self.flush(source)

    def waiting(self) -> ContextManager[Any]:
        return self._workers.waiting()

    def holds_back(self, source: Source) -> bool:
        return self._workers.holds_back(source)

    def blocked_by(self, source: Source) -> Optional[List[int]]:
        with self._lock:
            slot = self._slot(source)
            if slot.runner is not None:
                return [slot.runner]
            return self._workers.idents_at_jobs() if slot.backlogged else None

    def running(self) -> List[RunningJob]:
        return self._workers.running(self)

    def count_loaned(self) -> int:
        return self._workers.count_loaned()

    def release(self, job: RunningJob) -> bool:
        return self._workers.release(job)

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        self.discard()
        return self._wait(time.monotonic() + timeout, exempt)

    def discard(self) -> None:
        """Begin to stop: discard the jobs not begun, and those to come."""
        with self._lock:
            self._stopping = True
            discarded = [(slot.name, slot.jobs.discard()) for slot in self._slots]
            self._scheduler.forget_discarded()
            for slot in list(self._slots):
                self.forget(slot)
        for name, count in discarded:
            if count:
                self.safe_log.info("%s: stopping, %d jobs are discarded", name, count)

    def forget(self, slot: Slot) -> None:
        """Drop ``slot`` if nothing is left to be done for it. Lock held."""
        if slot.finished and not slot.jobs and slot.runner is None:
            self._slots.discard(slot)
            if not self._slots:
                self._emptied.notify_all()

    def _wait(self, deadline: float, exempt: Collection[int]) -> bool:
        """Wait until all slots are dropped; log and return false if that takes too long."""
        me = threading.get_ident()
        while True:
            with self._lock:
                stoppers = {me, *exempt}  # exempt may grow while this waits
                awaited = self._list_awaited(stoppers)
                left = deadline - time.monotonic()
                if not awaited:
                    return True
                if left > 0:
                    self._emptied.wait(min(left, 0.05))
            if left <= 0:
                self.safe_log.warning("%d connections do not end: %s", len(awaited), ", ".join(sorted(awaited)[:10]))
                return False

    def _list_awaited(self, stoppers: Set[int]) -> List[str]:
        return [slot.name for slot in self._slots if _is_awaited(slot, stoppers)]

    def _slot(self, source: Source) -> Slot:
        """Return the slot of ``source``. Lock held."""
        if source.slot is None:
            source.slot = Slot(source, self)
        slot: Slot = source.slot
        if not slot.finished:
            self._slots.add(slot)
        return slot


def _is_awaited(slot: Slot, stoppers: Collection[int]) -> bool:
    """Tell whether ``stop()`` waits for ``slot``; not for what a stopping thread does after its return."""
    if slot.reader in stoppers:
        return False
    if slot.open:
        return True
    return (slot.runner is not None or bool(slot.jobs)) and slot.runner not in stoppers


class SharedReaders(_EndpointReaders):
    """Few threads for many connections.

    One object may be given to any number of servers and clients. Stop it yourself, after them.

    Args:
        max_handlers: How many handlers may run, or block, at a time. More wait. Answers and pings are still served. A
            tenth of them, and at least 4, is a reserve for handlers that do not wait in ``call()``: in one that would
            need the reserve, ``call()`` raises `NoHandlerSlot`.
        selector: Makes the selector.
    """

    def __init__(
        self, *, max_handlers: int = 1000, selector: Callable[[], selectors.BaseSelector] = default_selector
    ) -> None:
        check_options("SharedReaders", locals())
        self._max_handlers = max_handlers
        self._selector = selector
        self._begin()
        register(self)

    def _begin(self) -> None:
        scheduler = Scheduler(self._selector, self._max_handlers)
        super().__init__(scheduler, Workers(scheduler, self._max_handlers))
        self._endpoints: "weakref.WeakSet[_EndpointReaders]" = weakref.WeakSet([self])  # guarded by the lock
        self._workers.all_slots = self._all_slots

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Log to ``logger``, what the threads do included: they belong to one endpoint, if it is that which calls."""
        super().set_logger(logger, client_id)
        self._workers.safe_log.use(logger, client_id)

    def _after_fork(self) -> None:
        """Begin anew: the threads and the connections are the parent's. See `ocppj.forks`."""
        stopped = self._stopping
        self._begin()
        self._stopping = self._scheduler.stopping = stopped

    def for_endpoint(self) -> Readers:
        """Return the readers of one endpoint. Raises `UsageError` when these readers have been stopped."""
        readers = _EndpointReaders(self._scheduler, self._workers)
        with self._lock:
            if self._stopping:
                raise UsageError("these readers have been stopped")
            self._endpoints.add(readers)
        return readers

    def _all_slots(self) -> List[Slot]:
        """Return the slots of all endpoints. Lock held."""
        return [slot for endpoint in list(self._endpoints) for slot in endpoint._slots]

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        """Stop all endpoints that use these readers, as `Readers.stop` does one."""
        deadline = time.monotonic() + timeout
        with self._lock:
            self._scheduler.stopping = True
            endpoints = list(self._endpoints)
        for endpoint in endpoints:
            endpoint.discard()
        with self._lock:
            actions = self._workers.wake_all()
        perform(actions)
        gone = [endpoint._wait(deadline, exempt) for endpoint in endpoints]
        joined = self._workers.join(max(deadline, time.monotonic() + 0.2), exempt)
        with self._lock:
            actions = self._workers.close_unused()
        perform(actions)
        return joined and all(gone)
