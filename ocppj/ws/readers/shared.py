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
from typing import Any, Callable, Collection, ContextManager, Set

from ...errors import UsageError
from ...settings import get_logger
from ..checks import check_positive
from .base import Job, Readers, Source
from .scheduler import Scheduler, Slot
from .workers import Actions, Workers, perform

__all__ = ["SharedReaders"]

_RESERVE = 2  # workers that run no jobs: they read answers while all handlers that may run wait for some


class _EndpointReaders(Readers):
    """The shared readers as one endpoint uses them."""

    def __init__(self, scheduler: Scheduler, workers: Workers) -> None:
        self._scheduler = scheduler
        self._workers = workers
        self._lock = workers.lock
        # Guarded by it:
        self._slots: Set[Slot] = set()  # those with something left to do
        self._emptied = threading.Condition(workers.lock)
        self._stopping = False

    def add(self, source: Source) -> None:
        fd = source.fileno()
        with self._lock:
            slot = self._slot(source)
            count = slot.jobs.discard() if self._stopping else 0  # it may bring jobs from other readers
        if count:
            get_logger().info("%s: stopping, %d jobs are discarded", slot.name, count)
        if fd < 0 and not source.watch(partial(self._workers.request_step, slot)):
            raise RuntimeError(f"{source.name}: it has no descriptor, and nothing tells when it is ready")
        try:
            with self._lock:
                self._scheduler.open(slot, fd)
                actions = self._workers.wake_one()
        except OSError as error:
            raise RuntimeError(f"{source.name} cannot be watched: {error}") from error
        perform(actions)
        with self._lock:
            stranded = not self._workers.alive and slot.open and slot.queued
            if stranded:
                self._scheduler.undo_open(slot)
        if stranded:
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
        actions: Actions = []
        stranded = False
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
            get_logger().info("%s: stopping, a job is discarded", slot.name)
        if actions:
            perform(actions)
            with self._lock:
                stranded = bool(slot.jobs) and not self._workers.alive
        if stranded:
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

    def waiting(self) -> ContextManager[Any]:
        return self._workers.waiting()

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        self.discard()
        return self._wait(time.monotonic() + timeout, exempt)

    def discard(self) -> None:
        """Begin to stop: discard the jobs not begun, and those to come."""
        with self._lock:
            self._stopping = True
            discarded = [(slot.name, slot.jobs.discard()) for slot in self._slots if slot.jobs]
            self._scheduler.forget_discarded()
            for slot in list(self._slots):
                self.forget(slot)
        for name, count in discarded:
            if count:
                get_logger().info("%s: stopping, %d jobs are discarded", name, count)

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
            with self._emptied:
                stoppers = {me, *exempt}  # exempt may grow while this waits
                awaited = [slot.name for slot in self._slots if _is_awaited(slot, stoppers)]
                left = deadline - time.monotonic()
                if not awaited:
                    return True
                if left > 0:
                    self._emptied.wait(min(left, 0.05))
            if left <= 0:
                get_logger().warning("%d connections do not end: %s", len(awaited), ", ".join(sorted(awaited)[:10]))
                return False

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
        max_handlers: How many handlers may run, or block, at a time. More wait. Answers and pings are still served.
        selector: Makes the selector.
    """

    def __init__(
        self, *, max_handlers: int = 1000, selector: Callable[[], selectors.BaseSelector] = selectors.DefaultSelector
    ) -> None:
        check_positive(max_handlers=max_handlers)
        scheduler = Scheduler(selector, max_handlers)
        super().__init__(scheduler, Workers(scheduler, max_handlers + _RESERVE))
        self._endpoints: "weakref.WeakSet[_EndpointReaders]" = weakref.WeakSet([self])  # guarded by the lock

    def for_endpoint(self) -> Readers:
        """Return the readers of one endpoint. Raises `UsageError` when these readers have been stopped."""
        readers = _EndpointReaders(self._scheduler, self._workers)
        with self._lock:
            if self._stopping:
                raise UsageError("these readers have been stopped")
            self._endpoints.add(readers)
        return readers

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
