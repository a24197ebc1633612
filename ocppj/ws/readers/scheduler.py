"""What shared readers have to do next: the line of seats, the selector, the deadlines.

Everything here is a table whose methods are called with the crew's lock held (`workers`), but `Agenda.wait`.
What every message goes through (`begin_round`, `pop`, `end_step`, `begin_job`, `end_job`) has its ordinary case written
out, and calls others for the rest.

*The line.* A seat stands in it when its source is to be stepped or has a job to run. It is served in rounds: before a
round the selector is asked what else is ready, so that who has much to do waits behind those who come meanwhile, and
nobody is served twice while another waits.

*The selector* holds every source that has a descriptor, level-triggered and all the time: a source is stepped,
and its jobs run, without a call to change that. Only a source found ready while a thread is (still) stepping it is
taken out, and put back when that step has ended. So a message costs no system call on the selector but its share of
one wait.

*The deadlines* are a heap. A seat has one entry that counts, the earliest ever asked for; when it is due the source is
stepped and asked again. So a message costs a comparison.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
from collections import deque
from typing import Any, Callable, Deque, List, Optional, Tuple

from .base import Job, Source
from .poller import Poller

__all__ = ["Agenda", "Seat"]


class Seat:
    """What shared readers keep with one source."""

    __slots__ = (
        "backlogged",
        "due",
        "events",
        "fd",
        "finished",
        "finishing",
        "home",
        "jobs",
        "lined",
        "name",
        "open",
        "reader",
        "reader_holds",
        "runner",
        "source",
        "wanted",
    )

    def __init__(self, source: Source, home: Any) -> None:
        self.source: Optional[Source] = source  # None once it has finished
        self.name = source.name
        self.home = home  # the readers that it was given to
        self.fd = -1
        self.events = 0  # what the selector waits for
        self.jobs: List[Tuple[Job, bool]] = []  # (job, whether it was submitted while the source finished)
        self.reader: Optional[int] = None  # ident of the thread that steps or finishes the source
        self.reader_holds = False  # the reader looks at the seat again when the step ends, or is found to block in it
        self.runner: Optional[int] = None  # ident of the thread that runs one of its jobs
        self.open = False  # added, and not finished
        self.finishing = False
        self.finished = False
        self.wanted = False  # to be stepped
        self.lined = False  # in the line
        self.backlogged = False  # its jobs wait for others to end
        self.due: Optional[float] = None  # the time of its heap entry that counts

    @property
    def has_job(self) -> bool:
        """Whether a job can be begun."""
        return bool(self.jobs) and self.runner is None and not self.backlogged

    def discard(self) -> int:
        """Forget the jobs not begun, except those of the finish; return how many."""
        kept = [entry for entry in self.jobs if entry[1]]
        count = len(self.jobs) - len(kept)
        self.jobs = kept
        return count


class Agenda:
    """See above. ``make_selector`` is called when the first source comes."""

    def __init__(self, make_selector: Callable[[], selectors.BaseSelector], max_jobs: int) -> None:
        self._make_selector = make_selector
        self._max_jobs = max_jobs
        self._line: Deque[Seat] = deque()
        self._round = 0  # how many of the line are served before the selector is asked again
        self._backlog: Deque[Seat] = deque()  # those whose jobs wait, since ``max_jobs`` run already
        self._running = 0  # jobs
        self._open = 0  # seats that are open
        self._watched = 0  # of these, those that nobody steps: something may come
        self._heap: List[Tuple[float, int, Seat]] = []
        self._numbers = itertools.count()
        self._poller: Optional[Poller] = None
        self.stopping = False

    @property
    def empty(self) -> bool:
        """Whether nobody is in the line."""
        return not self._line

    @property
    def length(self) -> int:
        """The length of the line."""
        return len(self._line)

    @property
    def over(self) -> bool:
        """Whether nothing can come that a thread had to wait for.

        When the readers are being stopped, a source that a thread is stepping does not count: that thread, when it
        comes back, finds what is to be done. It may be the one that waits for the others to end.
        """
        if self._line or self._backlog:
            return False
        return not self._open or (self.stopping and not self._watched)

    # Sources come and go

    def open(self, seat: Seat, fd: int) -> None:
        """Take a source in, and line it up for its first step. Raises ``OSError`` when there is no room."""
        if self._poller is None:
            self._poller = Poller(self._make_selector)
        if fd >= 0 and not self._poller.has_room(fd):
            raise OSError("select() can wait for no more sockets: use threads of their own")
        seat.fd, seat.open = fd, True
        self._open += 1
        self._watched += 1
        self.want(seat)

    def unopen(self, seat: Seat) -> None:
        """Undo `open`: nobody has looked at it yet."""
        seat.open = seat.wanted = seat.lined = False
        self._open -= 1
        self._watched -= 1
        self._line.remove(seat)

    def end_step(self, seat: Seat, events: int, due: Optional[float]) -> bool:
        """Wait for ``events``, and until ``due``; return whether the thread that waits must be woken for that.

        Raises ``OSError`` or ``ValueError`` when the selector does not take it; then the step has not ended.
        """
        changed = events != seat.events and self._arm(seat, events)
        seat.reader = None
        self._watched += 1
        if seat.wanted:
            self.line_up(seat)
        sooner = due is not None and (seat.due is None or due < seat.due) and self.set_due(seat, due)
        return sooner or (changed and self._poller is not None and not self._poller.live)

    def begin_finish(self, seat: Seat) -> None:
        """Forget the descriptor, which is about to be closed. A step has begun."""
        seat.finishing = True
        self._arm(seat, 0)

    def end_finish(self, seat: Seat) -> None:
        """Note that the source has finished."""
        seat.finishing, seat.finished = False, True
        seat.reader = seat.source = seat.due = None
        if seat.open:
            seat.open = False
            self._open -= 1
        if len(self._heap) > 2 * self._open + 64:
            self._heap = [entry for entry in self._heap if entry[2].due == entry[0]]
            heapq.heapify(self._heap)

    # The line

    def want(self, seat: Seat) -> None:
        """Have an open source stepped, once more if that is being done now."""
        if seat.open:
            seat.wanted = True
            if seat.reader is None:
                self.line_up(seat)

    def line_up(self, seat: Seat) -> None:
        """Put ``seat`` at the end of the line, unless it stands there."""
        if not seat.lined:
            seat.lined = True
            self._line.append(seat)

    def pop(self, ident: int, waited_for: bool) -> Optional[Seat]:
        """Return the next seat that something can be done for; ``None``: ask the selector first.

        If its source is to be stepped, that is the business of the thread ``ident`` now. ``waited_for`` says that
        another thread waits in the selector: then there is no need to ask it.
        """
        while self._line and (self._round > 0 or waited_for or self._poller is None):
            self._round -= 1
            seat = self._line.popleft()
            seat.lined = False
            if seat.wanted and seat.open and seat.reader is None:
                seat.wanted = False
                seat.reader = ident
                seat.reader_holds = True
                self._watched -= 1
                return seat
            if seat.has_job:
                return seat
            self._release()
        return None

    def begin_job(self, seat: Seat, ident: int) -> Optional[Job]:
        """Return a job that this thread is to run now, ``None`` when there is none or too many run."""
        if not seat.jobs or seat.runner is not None or seat.backlogged:
            if self._backlog:
                self._release()
            return None
        if self._running >= self._max_jobs:
            seat.backlogged = True
            self._backlog.append(seat)
            return None
        self._running += 1
        seat.runner = ident
        return seat.jobs.pop(0)[0]

    def end_job(self, seat: Seat) -> None:
        """Note that the job has ended."""
        self._running -= 1
        seat.runner = None
        if seat.jobs:
            self.line_up(seat)
        elif seat.finished:
            seat.home.tidy(seat)
        if self._backlog:
            self._release()

    def _release(self) -> None:
        """Line up the first of the backlog if there is room for its job.

        To be called whenever a job has ended, or somebody may have been lined up for one that was discarded since: who
        is released and finds nothing to do passes that on.
        """
        if self._backlog and self._running < self._max_jobs:
            waiting = self._backlog.popleft()
            waiting.backlogged = False
            self.line_up(waiting)

    def forget_discarded(self) -> None:
        """Take those out of the backlog whose jobs were discarded: nothing waits there."""
        for seat in self._backlog:
            seat.backlogged = bool(seat.jobs)
        self._backlog = deque(seat for seat in self._backlog if seat.backlogged)

    # The selector and the deadlines

    @property
    def selects(self) -> bool:
        """Whether there is a selector: from the first source on; jobs may come before it."""
        return self._poller is not None

    @property
    def wake(self) -> Callable[[], None]:
        """What wakes the thread in `wait`; to be called without the lock."""
        assert self._poller is not None
        return self._poller.wake

    def timeout(self, now: float) -> Optional[float]:
        """Return the seconds that `wait` may wait; ``None`` for no end."""
        if self._line:
            return 0.0
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def wait(self, timeout: Optional[float]) -> List[Tuple[Seat, int]]:
        """Return who is ready; for one thread at a time, *without* the lock."""
        assert self._poller is not None
        return self._poller.wait(timeout)

    def begin_round(self, ready: List[Tuple[Seat, int]], now: float) -> List[Source]:
        """Line up who is ready or due; return the sources that are due while a thread steps them."""
        busy = []
        for seat, _ in ready:
            if seat.reader is not None:
                self._arm(seat, 0)
            elif seat.open:
                seat.wanted = True
                if not seat.lined:
                    seat.lined = True
                    self._line.append(seat)
        while self._heap and self._heap[0][0] <= now:
            due, _, seat = heapq.heappop(self._heap)
            if seat.due == due:
                seat.due = None
                if seat.reader is None:
                    self.want(seat)
                elif seat.source is not None:
                    busy.append(seat.source)
        self._round = len(self._line)
        return busy

    def set_due(self, seat: Seat, due: Optional[float]) -> bool:
        """See that the source is stepped at ``due``; return whether that is the first of all deadlines."""
        if due is None or not seat.open or (seat.due is not None and seat.due <= due):
            return False
        seat.due = due
        entry = (due, next(self._numbers), seat)
        heapq.heappush(self._heap, entry)
        return self._heap[0] is entry

    def take_poller(self) -> Optional[Poller]:
        """Return the poller, which is to be closed: the last thread leaves."""
        poller, self._poller = self._poller, None
        return poller

    def _arm(self, seat: Seat, events: int) -> bool:
        """Wait for ``events``; return whether that is a change."""
        if seat.fd < 0 or events == seat.events:
            return False
        assert self._poller is not None
        self._poller.arm(seat.fd, events, seat.events, seat)
        seat.events = events
        return True
