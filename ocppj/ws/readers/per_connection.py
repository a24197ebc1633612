"""Who reads which connection: the strategies (see `ocppj.ws.readers.base` for what all of them promise).

`ThreadPerConnection` gives each source a reader thread and, from its first job on, a dispatcher thread: names in a
debugger, and one connection's trouble stays its own; a flusher thread for all of them writes what others left in line,
while there is such a thing. `SharedReaders` (`ocppj.ws.readers.shared`) serves thousands of
connections with one thread, and more while handlers block. `ocppj.ws.readers.choice` chooses.

*Moving.* A `ThreadPerConnection` with a ``limit`` gives all to shared readers as soon as one more comes: that one,
those that follow, and each source it has, at the end of its next step, unless a job of it is running or its closing is
timed. The seat is exchanged under the lock of the old one, jobs not begun and all. Who had looked that up before finds
it moved, and goes to the new one (`Moved`). So no job is lost, none runs twice, and their order is kept.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from typing import Collection, Deque, List, Optional, Tuple

from ...settings import get_logger
from ..stream.waiting import remaining
from .base import Job, Readers, Source, join_all
from .flusher import Flusher
from .shared import Seat as SharedSeat
from .shared import SharedReaders

__all__ = ["Job", "Moved", "Readers", "SharedReaders", "Source", "ThreadPerConnection", "join_all"]


class Moved(Exception):
    """The source has been given to the shared readers."""


class _Seat:
    """The jobs of one source. A thread runs them while there are any to come.

    It waits for the `bell`, a lock that is released once for each time that it was found idle, after the lock of the
    seat. (A condition would be notified with that lock held, and the thread woken twice: the second time to get it.)
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.changed = threading.Lock()  # guards what follows
        self.bell = threading.Lock()
        self.bell.acquire()
        self.idle = False  # the thread waits for the bell, or is about to
        self.jobs: Deque[Tuple[Job, bool]] = deque()  # (job, whether it was submitted while the source finished)
        self.thread: Optional[threading.Thread] = None
        self.finishing = False
        self.finished = False
        self.reader: Optional[int] = None  # the ident of the thread that steps the source, once there is one
        self.dismissed = False  # the thread ends when there are no jobs, though more may come, for another thread
        self.running = False  # a job
        self.moved = False  # the source has a seat of the shared readers
        self.timer: Optional[threading.Timer] = None

    def run(self) -> None:
        while True:
            job = None
            with self.changed:
                self.running = False
                if self.jobs:
                    job, _ = self.jobs.popleft()
                    self.running = True
                elif self.finished or self.dismissed:
                    self.thread = None
                    return
                else:
                    self.idle = True
            if job is None:
                self.bell.acquire()  # rung by every submit, and surely at the end of the source
                continue
            try:
                job()
            except BaseException:  # SystemExit too: it would end this thread, and nobody would hear of it
                get_logger().exception("%s: a job failed", self.name)
            del job

    def wake(self) -> None:
        """Have the thread look again."""
        with self.changed:
            idle, self.idle = self.idle, False
        if idle:
            self.bell.release()

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
        self.wake()

    def move(self, source: Source, seat: SharedSeat) -> bool:
        """Give ``source`` the new ``seat``, and that the jobs not begun; false if it must stay for now."""
        with self.changed:
            if self.running or self.timer is not None:
                return False
            seat.jobs.extend(self.jobs)
            self.jobs.clear()
            source.seat = seat
            self.moved = True
        self.dismiss()
        return True


class ThreadPerConnection(Readers):
    """A thread ``ocppj-reader-<name>`` for each source, and ``ocppj-dispatcher-<name>`` from its first job on.

    With ``limit`` sources and one more, all go to the readers ``beyond``: see above. Then methods may raise `Moved`.
    """

    def __init__(self, limit: Optional[int] = None, beyond: Optional[SharedReaders] = None) -> None:
        self._limit = limit
        self._beyond = beyond
        self._full = False  # once, and for ever
        self._lock = threading.Lock()
        self._threads: List[threading.Thread] = []
        self._prune_at = 32
        self._seats: "set[_Seat]" = set()
        self._stopping = False
        self._flusher = Flusher(self._start)

    def for_endpoint(self) -> "ThreadPerConnection":
        """Return one of its own for the endpoint: nothing is shared."""
        return ThreadPerConnection()

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
        thread, idle = None, False
        with seat.changed:
            if seat.moved:
                raise Moved
            discarded = self._stopping and not seat.finishing
            if not discarded:
                seat.jobs.append((job, seat.finishing))
                if seat.thread is None:
                    name = f"ocppj-dispatcher-{seat.name}"
                    thread = seat.thread = threading.Thread(target=seat.run, name=name, daemon=True)
                idle, seat.idle = seat.idle, False
        if idle:
            seat.bell.release()
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
            if seat.moved:
                raise Moved
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
        self.discard()
        with self._lock:
            seats, threads = list(self._seats), list(self._threads)
        for seat in seats:
            if seat.reader in (None, threading.get_ident()):
                seat.dismiss()  # the source ends after this call: what waits for that would keep us waiting
        gone = join_all(threads, deadline, exempt)
        with self._lock:
            late = [thread for thread in self._threads if thread not in threads]
        return join_all(late, deadline, exempt) and gone

    def discard(self) -> None:
        """Begin to stop: discard the jobs not begun, and those to come."""
        with self._lock:
            self._stopping = True
            seats = list(self._seats)
        for seat in seats:
            count = seat.discard()
            if count:
                get_logger().info("%s: stopping, %d jobs are discarded", seat.name, count)

    def take_seat(self, source: Source) -> None:
        """Give ``source`` a seat, if it has none: of these readers, or of those ``beyond`` once these are full."""
        with self._lock:
            if source.seat is not None:
                return
            if self._limit is not None and len(self._seats) >= self._limit:
                self._full = True
            if self._full and self._beyond is not None:
                source.seat = self._beyond.seat_for(source)
            else:
                source.seat = _Seat(source.name)
                self._seats.add(source.seat)

    def _seat(self, source: Source) -> _Seat:
        """Return the seat of ``source``. Raises `Moved`."""
        if source.seat is None:
            self.take_seat(source)
        seat = source.seat
        if not isinstance(seat, _Seat):
            raise Moved
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
        """Step ``source`` until it ends or moves: a reader thread. Whatever is raised, even ``SystemExit``, ends it."""
        moved = False
        try:
            seat.reader = threading.get_ident()
            while not moved and source.step(True):
                moved = self._full and self._move(source, seat)
        except BaseException:
            get_logger().exception("%s: reading failed", seat.name)
        finally:
            if not moved:
                self._finish(source, seat)

    def _move(self, source: Source, seat: _Seat) -> bool:
        """Give ``source``, which this thread reads, to the readers beyond; return whether they have it."""
        beyond = self._beyond
        if beyond is None or self._stopping or not seat.move(source, beyond.seat_for(source)):
            return False
        with self._lock:
            self._seats.discard(seat)
        try:
            beyond.add(source)
        except BaseException:
            get_logger().exception("%s: it cannot be read any more", seat.name)
            beyond.give_up(source)
        return True

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
            seat.wake()
            with self._lock:
                self._seats.discard(seat)


def _cancel(timer: Optional[threading.Timer]) -> None:
    if timer is not None:
        timer.cancel()
        with suppress(RuntimeError):  # it is not started yet: then it ends as soon as it is
            timer.join(1.0)
