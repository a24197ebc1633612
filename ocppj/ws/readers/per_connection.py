"""`ThreadPerConnection`: a reader thread for each connection, and a dispatcher thread from its first job on.

*Moving.* Readers with a ``limit`` hand all connections over to shared readers as soon as one too many comes. The
reader thread of a connection does that after its next step, unless a job of the connection runs, or a timer waits for
the end of its closing: then later. Under the lock of the slot it gives the source a slot of the shared readers, and
moves the waiting jobs there. Then it adds the source to the shared readers, and ends.

Another thread may have read ``source.slot`` just before. It finds, under the lock, that the slot has ``moved``, and
calls the shared readers. So no job is lost, none runs twice, and their order stays. No connection moves back.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Collection, Optional, Set

from ...settings import get_logger
from ..stream.waiting import remaining
from ..threads import Threads
from .base import Job, Jobs, Readers, Source
from .flusher import Flusher
from .scheduler import Slot as SharedSlot
from .shared import SharedReaders

__all__ = ["ThreadPerConnection"]


class _Slot:
    """What is kept with one source: its jobs, and the dispatcher thread that runs them.

    That thread waits for `wakeup`, which is released once for each time that the thread was found idle, without `lock`.
    A condition would be notified under that lock, and the thread would wake up twice.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()  # guards what follows
        self.jobs = Jobs()
        self.wakeup = threading.Lock()
        self.wakeup.acquire()
        self.idle = False  # the dispatcher waits for the wakeup, or is about to
        self.dispatched = False  # there is a dispatcher thread, or it is about to start
        self.dismissed = False  # the dispatcher ends when it has no jobs; for later jobs another one starts
        self.running = False  # a job runs
        self.finishing = False
        self.finished = False
        self.moved = False  # the source has a slot of the shared readers
        self.reader: Optional[int] = None  # the ident of the thread that steps the source
        self.timer: Optional[threading.Timer] = None  # of the closing

    def dispatch(self) -> None:
        """Run the jobs: the dispatcher thread."""
        while True:
            job = None
            with self.lock:
                self.running = False
                if self.jobs:
                    job, _ = self.jobs.pop(0)
                    self.running = True
                elif self.finished or self.dismissed:
                    self.dispatched = False
                    return
                else:
                    self.idle = True
            if job is None:
                self.wakeup.acquire()  # released by each submit, and at the end of the source
                continue
            try:
                job()
            except BaseException:  # SystemExit too: it would end this thread, and no log would say so
                get_logger().exception("%s: a job failed", self.name)
            del job

    def wake(self) -> None:
        """Make the dispatcher look again."""
        with self.lock:
            idle, self.idle = self.idle, False
        if idle:
            self.wakeup.release()

    def dismiss(self) -> None:
        """Let the dispatcher end before the source does."""
        with self.lock:
            self.dismissed = True
        self.wake()

    def move(self, source: Source, slot: SharedSlot) -> bool:
        """Give ``source`` the new ``slot``, with the jobs not begun; return false if it cannot move now."""
        with self.lock:
            if self.running or self.timer is not None:
                return False
            slot.jobs.extend(self.jobs)
            self.jobs.clear()
            source.slot = slot
            self.moved = True
        self.dismiss()
        return True


class ThreadPerConnection(Readers):
    """A thread ``ocppj-reader-<name>`` for each source, and ``ocppj-dispatcher-<name>`` from its first job on.

    A thread ``ocppj-flusher`` for all sources writes what other threads left in the buffers, while there is anything.
    ``shared`` are the readers of all sources as soon as there are more than ``limit``. ``None``: never.
    """

    def __init__(self, limit: Optional[int] = None, shared: Optional[SharedReaders] = None) -> None:
        self._limit = limit
        self._shared = shared
        self._threads = Threads()
        self._flusher = Flusher(self._threads)
        self._lock = threading.Lock()  # guards what follows
        self._slots: Set[_Slot] = set()
        self._full = False  # there were more than limit; for ever
        self._stopping = False

    def for_endpoint(self) -> "ThreadPerConnection":
        return ThreadPerConnection()

    def add(self, source: Source) -> None:
        self._threads.start(f"ocppj-reader-{source.name}", self._read, source, self._own_slot(source))

    def give_up(self, source: Source) -> None:
        self._finish(source, self._own_slot(source))

    def submit(self, source: Source, job: Job) -> None:
        slot = self._slot(source)
        start = idle = discarded = False
        if slot is not None:
            with slot.lock:
                if slot.moved:
                    slot = None
                elif self._stopping and not slot.finishing:
                    discarded = True
                else:
                    slot.jobs.append((job, slot.finishing))
                    start, slot.dispatched = not slot.dispatched, True
                    idle, slot.idle = slot.idle, False
        if slot is None:
            assert self._shared is not None
            self._shared.submit(source, job)
            return
        if idle:
            slot.wakeup.release()
        if discarded:
            get_logger().info("%s: stopping, a job is discarded", slot.name)
        if start:
            try:
                self._threads.start(f"ocppj-dispatcher-{slot.name}", slot.dispatch)
            except RuntimeError:
                with slot.lock:
                    slot.dispatched = False
                raise

    def wake(self, source: Source) -> None:
        """Start a timer that ends ``source`` when its closing is overdue: its reader may be waiting without end."""
        slot, deadline = self._slot(source), source.next_deadline()
        timer = threading.Timer(remaining(deadline) or 0.0, source.expire)
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
            timer.start()  # which does nothing if the source has finished, and canceled it, meanwhile

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
                get_logger().info("%s: stopping, %d jobs are discarded", slot.name, count)

    def assign(self, source: Source) -> None:
        """Give ``source`` a slot, if it has none: of these readers, or of the shared ones once these are full."""
        with self._lock:
            if source.slot is not None:
                return
            if self._limit is not None and len(self._slots) >= self._limit:
                self._full = True
            if self._full and self._shared is not None:
                source.slot = SharedSlot(source, self._shared)
            else:
                source.slot = _Slot(source.name)
                self._slots.add(source.slot)

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
        """Step ``source`` until it ends or moves: a reader thread. Whatever is raised, even ``SystemExit``, ends it."""
        moved = False
        try:
            slot.reader = threading.get_ident()
            while not moved and source.step(True):
                moved = self._full and self._move(source, slot)
        except BaseException:
            get_logger().exception("%s: reading failed", slot.name)
        finally:
            if not moved:
                self._finish(source, slot)

    def _move(self, source: Source, slot: _Slot) -> bool:
        """Hand ``source``, which this thread reads, over to the shared readers; return whether they have it."""
        shared = self._shared
        if shared is None or self._stopping or not slot.move(source, SharedSlot(source, shared)):
            return False
        with self._lock:
            self._slots.discard(slot)
        try:
            shared.add(source)
        except BaseException:
            get_logger().exception("%s: it cannot be read any more", slot.name)
            shared.give_up(source)
        return True

    def _finish(self, source: Source, slot: _Slot) -> None:
        with slot.lock:
            slot.finishing = True
            timer = slot.timer
        try:
            source.finish()
        except BaseException:
            get_logger().exception("%s: finishing failed", slot.name)
        finally:
            if timer is not None:
                timer.cancel()
                with suppress(RuntimeError):  # it is not started yet: then it ends as soon as it is
                    timer.join(1.0)
            with slot.lock:
                slot.finishing, slot.finished = False, True
            slot.wake()
            with self._lock:
                self._slots.discard(slot)
