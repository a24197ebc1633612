"""Who reads which connection, and who runs its handlers.

A `Source` is the reading side of a channel. `Readers` decides on which threads sources are stepped and jobs are run;
nothing a handler can see depends on which `Readers` it is. Whatever the strategy:

* a source is stepped by one thread at a time, and `Source.finish` is called once, after its last step;
* the jobs of one source run one at a time, in order, never on the thread that submits them and never on one that
  the source's next step waits for: a job may block, and its connection is still read;
* jobs submitted while a source finishes run after all others, and then nothing of the source is left.

`ThreadPerConnection` gives each source a reader thread and, from its first job on, a dispatcher thread; a flusher
thread for all of them writes what others left in line, while there is such a thing.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from contextlib import nullcontext, suppress
from typing import Any, Callable, Collection, ContextManager, Deque, List, Optional, Protocol, Tuple

from ..settings import get_logger
from .flusher import Flusher, Outlet
from .polling import remaining

__all__ = ["Job", "Readers", "Source", "ThreadPerConnection"]


Job = Callable[[], None]


class Source(Protocol):
    """The reading side of a channel."""

    #: What the `Readers` keeps with this source. Nobody else touches it.
    seat: Any

    @property
    def name(self) -> str:
        """The name its threads are called after."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is something to step for; -1 if there is none."""

    @property
    def outlet(self) -> Optional[Outlet]:
        """What writes the bytes in line; ``None`` if there never are any."""

    def step(self, block: bool) -> bool:
        """Read what is there and deliver it, write what is in line; return false when the connection has ended.

        With ``block``, wait until something is there, or until `next_deadline`, writing meanwhile.
        """

    def next_deadline(self) -> Optional[float]:
        """Return the time (`time.monotonic`) at which `step` must be called though nothing came; ``None``: never."""

    def wants_write(self) -> bool:
        """Whether `step` must be called when the descriptor becomes writable."""

    def expire(self) -> None:
        """End the connection if its closing is overdue. May be called by any thread."""

    def finish(self) -> None:
        """Release what the connection holds and tell its handler."""


class Readers(ABC):
    """A strategy."""

    @abstractmethod
    def add(self, source: Source) -> None:
        """Begin to step ``source``. Raises ``RuntimeError`` when that is impossible: then `give_up` is to be called."""

    def give_up(self, source: Source) -> None:
        """Finish, on this thread, a ``source`` that could not be added. Its jobs are run as always."""
        source.finish()

    @abstractmethod
    def submit(self, source: Source, job: Job) -> None:
        """Run ``job`` on the handler thread of ``source``, after all jobs submitted before, never on this thread."""

    @abstractmethod
    def wake(self, source: Source) -> None:
        """Take notice that the closing deadline of ``source`` was set by a thread that does not read it."""

    @abstractmethod
    def flush(self, source: Source) -> None:
        """Take notice that a thread that neither reads ``source`` nor waits left bytes in line: have them written.

        Raises ``RuntimeError`` or ``OSError`` when that is impossible.
        """

    def waiting(self) -> ContextManager[Any]:
        """Return a context in which a handler's thread waits for another message."""
        return nullcontext()

    @abstractmethod
    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        """Discard the jobs not begun, and wait ``timeout`` seconds for all threads; return whether they are gone.

        To be called when all sources have been told to end. The calling thread, and those whose ident is in
        ``exempt``, are not waited for. Jobs that are submitted while a source finishes are still run.
        """


class _Seat:
    """The jobs of one source. A thread runs them while there are any to come."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.changed = threading.Condition()
        self.jobs: Deque[Tuple[Job, bool]] = deque()  # (job, whether it was submitted while the source finished)
        self.thread: Optional[threading.Thread] = None
        self.finishing = False
        self.finished = False
        self.reader: Optional[int] = None  # the ident of the thread that steps the source, once there is one
        self.dismissed = False  # the thread ends when there are no jobs, though more may come, for another thread
        self.timer: Optional[threading.Timer] = None

    def run(self) -> None:
        while True:
            with self.changed:
                while not self.jobs and not self.finished and not self.dismissed:
                    self.changed.wait()  # woken by every submit, and surely by the end of the source
                if not self.jobs:
                    self.thread = None
                    return
                job, _ = self.jobs.popleft()
            try:
                job()
            except BaseException:  # SystemExit too: it would end this thread, and nobody would hear of it
                get_logger().exception("%s: a job failed", self.name)

    def discard(self) -> int:
        """Forget the jobs not begun, except those of the finish; return how many."""
        with self.changed:
            kept = [entry for entry in self.jobs if entry[1]]
            count = len(self.jobs) - len(kept)
            self.jobs = deque(kept)
        return count

    def dismiss(self) -> None:
        """Let the thread end before the source does."""
        with self.changed:
            self.dismissed = True
            self.changed.notify_all()


class ThreadPerConnection(Readers):
    """A thread ``ocppj-reader-<name>`` for each source, and ``ocppj-dispatcher-<name>`` from its first job on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: List[threading.Thread] = []
        self._prune_at = 32
        self._seats: "set[_Seat]" = set()
        self._stopping = False
        self._flusher = Flusher(self._start)

    def add(self, source: Source) -> None:
        """Start the reader thread of ``source``."""
        seat = self._seat(source)
        name = f"ocppj-reader-{source.name}"
        self._start(threading.Thread(target=self._read, args=(source, seat), name=name, daemon=True))

    def give_up(self, source: Source) -> None:
        """See `Readers.give_up`."""
        self._finish(source, self._seat(source))

    def submit(self, source: Source, job: Job) -> None:
        """Give ``job`` to the dispatcher thread of ``source``, starting it if need be."""
        seat = self._seat(source)
        thread = None
        with seat.changed:
            discarded = self._stopping and not seat.finishing
            if not discarded:
                seat.jobs.append((job, seat.finishing))
                if seat.thread is None:
                    name = f"ocppj-dispatcher-{seat.name}"
                    thread = seat.thread = threading.Thread(target=seat.run, name=name, daemon=True)
                seat.changed.notify()
        if discarded:
            get_logger().info("%s: stopping, a job is discarded", seat.name)
        if thread is not None:
            try:
                self._start(thread)
            except RuntimeError:
                with seat.changed:
                    seat.thread = None
                raise

    def wake(self, source: Source) -> None:
        """Start a timer that ends ``source`` when its closing is overdue: its reader may be waiting without end."""
        seat, deadline = self._seat(source), source.next_deadline()
        timer = threading.Timer(remaining(deadline) or 0.0, source.expire)
        timer.daemon = True
        timer.name = f"ocppj-close-{source.name}"
        with seat.changed:
            if deadline is None or seat.finishing or seat.finished or seat.timer is not None:
                return
            seat.timer = timer
        timer.start()  # which does nothing if the source has finished, and canceled it, meanwhile

    def flush(self, source: Source) -> None:
        """Have the thread ``ocppj-flusher`` write: the reader may be waiting for input alone."""
        if source.outlet is not None:
            self._flusher.add(source.outlet)

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        """See `Readers.stop`."""
        deadline = time.monotonic() + timeout
        self._flusher.stop()
        with self._lock:
            self._stopping = True
            seats, threads = list(self._seats), list(self._threads)
        for seat in seats:
            count = seat.discard()
            if count:
                get_logger().info("%s: stopping, %d jobs are discarded", seat.name, count)
            if seat.reader in (None, threading.get_ident()):
                seat.dismiss()  # the source ends after this call: what waits for that would keep us waiting
        gone = join_all(threads, deadline, exempt)
        with self._lock:
            late = [thread for thread in self._threads if thread not in threads]
        return join_all(late, deadline, exempt) and gone

    def _seat(self, source: Source) -> _Seat:
        with self._lock:
            if source.seat is None:
                source.seat = _Seat(source.name)
                self._seats.add(source.seat)
            seat: _Seat = source.seat
            return seat

    def _start(self, thread: threading.Thread) -> None:
        """Start ``thread``, and remember it for `stop`. Raises ``RuntimeError`` when there can be no more threads."""
        with self._lock:
            if len(self._threads) >= self._prune_at:
                self._threads = [old for old in self._threads if old.ident is None or old.is_alive()]
                self._prune_at = max(32, 2 * len(self._threads))
            self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self._threads.remove(thread)
            raise

    def _read(self, source: Source, seat: _Seat) -> None:
        """Step ``source`` until it ends: a reader thread. Whatever is raised, even ``SystemExit``, ends the source."""
        try:
            seat.reader = threading.get_ident()
            while source.step(True):
                pass
        except BaseException:
            get_logger().exception("%s: reading failed", seat.name)
        finally:
            self._finish(source, seat)

    def _finish(self, source: Source, seat: _Seat) -> None:
        with seat.changed:
            seat.finishing = True
            timer = seat.timer
        try:
            source.finish()
        except BaseException:
            get_logger().exception("%s: finishing failed", seat.name)
        finally:
            _cancel(timer)
            with seat.changed:
                seat.finishing, seat.finished = False, True
                seat.changed.notify_all()
            with self._lock:
                self._seats.discard(seat)


def _cancel(timer: Optional[threading.Timer]) -> None:
    if timer is not None:
        timer.cancel()
        with suppress(RuntimeError):  # it is not started yet: then it ends as soon as it is
            timer.join(1.0)


def join_all(threads: Collection[threading.Thread], deadline: float, exempt: Collection[int] = ()) -> bool:
    """Join ``threads`` until ``deadline``; return whether all ended. Neither this thread nor the exempt are joined.

    ``exempt`` is looked at again and again: two threads that stop the same endpoint must not wait for each other.
    """
    all_gone = True
    pause = threading.Event()
    for thread in threads:
        while thread is not threading.current_thread() and thread.ident not in exempt:
            left = deadline - time.monotonic()
            try:
                thread.join(max(0.0, min(left, 0.05)))
                if not thread.is_alive():
                    break
            except RuntimeError:  # made, and about to be started by another thread
                pause.wait(0.001)
            if left <= 0:
                get_logger().warning("the thread %s does not end", thread.name)
                all_gone = False
                break
    return all_gone
