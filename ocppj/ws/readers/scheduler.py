"""What shared readers do next: the ready list, the selector and the deadlines.

A slot stands in the ready list while its source needs a step, or while one of its jobs can begin. The list is served in
rounds. Before each round the selector is asked for more slots, so that a busy connection waits behind the others.

The selector watches all descriptors all the time, level-triggered. It drops a source only when that is ready while a
thread still steps it, and takes it back after that step. So a message costs no change of the selector.

The deadlines are a heap. Only the earliest deadline of a slot counts. When it is due, the source is stepped and asked
for the next one. So a message costs a comparison.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import sys
from collections import deque
from contextlib import suppress
from typing import Callable, Deque, Dict, List, Optional, Protocol, Tuple

from ...forks import close_copies, register
from ..stream.waiting import Waker
from .base import Job, Jobs, Source

__all__ = ["READ", "WRITE", "Poller", "Scheduler", "Slot", "SlotOwner", "reserve_of"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

_MIN_RESERVE = 4
_LONGEST = 3600.0  # seconds; keeps the milliseconds of poll() within a C int
_LIVE = tuple(getattr(selectors, name) for name in ("EpollSelector", "KqueueSelector") if hasattr(selectors, name))
_SELECT_SOCKETS = 512 if sys.platform == "win32" else 1024  # FD_SETSIZE: a number of sockets there, else a highest one


class SlotOwner(Protocol):
    """The readers that a slot belongs to."""

    def forget(self, slot: Slot) -> None: ...


class Slot:
    """What shared readers keep with one source. Guarded by the lock of the workers."""

    __slots__ = ("backlogged", "due", "events", "fd", "finished", "finishing", "jobs", "name", "needs_step", "open",
                 "opening", "owner", "queued", "reader", "reader_active", "runner", "source", "unsent")  # fmt: skip

    def __init__(self, source: Source, owner: SlotOwner) -> None:
        self.source: Optional[Source] = source  # None once it has finished
        self.name: str = source.name
        self.owner: SlotOwner = owner
        self.fd: int = -1
        self.events: int = 0  # what the selector watches
        self.jobs: Jobs = Jobs()
        self.reader: Optional[int] = None  # ident of the thread that steps or finishes the source
        # The reader looks at the jobs after this step; false when it blocks in the step.
        self.reader_active: bool = False
        self.runner: Optional[int] = None  # ident of the thread that runs one of its jobs
        self.open: bool = False  # added, and not finished
        self.opening: bool = True  # the thread that adds it has not handed it in
        self.finishing: bool = False
        self.finished: bool = False
        self.needs_step: bool = False
        self.queued: bool = False  # in the ready list
        self.backlogged: bool = False  # its jobs wait until fewer jobs run
        self.due: Optional[float] = None  # the deadline that counts
        self.unsent: bool = False  # its jobs wait until the network has taken what was written

    @property
    def has_job(self) -> bool:
        """Whether a job can begin."""
        return bool(self.jobs) and self.runner is None and not self.backlogged and not self.unsent


class Poller:
    """A selector of slots, and a way to wake the one thread that waits in it. Raises ``OSError`` without descriptors.

    Other threads change meanwhile what is watched; they hold a lock of theirs.
    """

    def __init__(self, make_selector: Callable[[], selectors.BaseSelector]) -> None:
        self._selector = make_selector()
        try:
            self._waker = Waker(self._selector)
        except BaseException:
            self._selector.close()
            raise
        #: Makes `wait` return. For any thread, at any time.
        self.wake: Callable[[], None] = self._waker.wake
        #: Whether a change counts at once for the waiting thread (epoll, kqueue). With poll and select it counts from
        #: the next `wait` on, so the waiting thread must be woken.
        self.live: bool = isinstance(self._selector, _LIVE)
        register(self)

    def has_room(self, fd: int) -> bool:
        """Tell whether ``fd`` can be watched: select() is limited."""
        if not isinstance(self._selector, selectors.SelectSelector):
            return True
        size = len(self._selector.get_map()) if sys.platform == "win32" else fd
        return size < _SELECT_SOCKETS

    def watch(self, fd: int, events: int, before: int, slot: Slot) -> None:
        """Watch ``fd`` for ``events`` instead of ``before``; 0 means nothing. Raises ``OSError``, ``ValueError``."""
        try:
            if not events:
                self._selector.unregister(fd)
            elif before:
                self._selector.modify(fd, events, slot)
            else:
                self._selector.register(fd, events, slot)
        except KeyError:  # a change was cut off before it was noted in the slot
            if before and events:
                self._selector.register(fd, events, slot)
            elif events:
                self._selector.modify(fd, events, slot)

    def wait(self, timeout: Optional[float]) -> List[Slot]:
        """Return the slots that are ready, after at most ``timeout`` seconds, or an hour."""
        ready = self._selector.select(_LONGEST if timeout is None else min(timeout, _LONGEST))
        found: List[Slot] = [key.data for key, _ in ready if key.data is not None]
        if len(found) < len(ready):
            self._waker.drain()
        return found

    def close(self) -> None:
        self._selector.close()
        self._waker.close()

    def _after_fork(self) -> None:
        """Close the descriptors alone: what the parent's selector watches stays. See `ocppj.forks`."""
        close_copies(self._selector, self._waker)


def reserve_of(max_jobs: int) -> int:
    """Return how many of ``max_jobs`` slots are for jobs that do not wait for a message: a tenth, and at least 4.

    Of a few slots it is not more than half.
    """
    return min(max(_MIN_RESERVE, max_jobs // 10), max_jobs // 2)


class Scheduler:
    """The tables. All methods are called with the lock of the workers held.

    The methods that every message passes (`begin_round`, `pop`, `end_step`, `begin_job`, `end_job`) have their ordinary
    case written out, since a call costs as much as the case itself. ``make_selector`` is called when the first source
    comes. When ``max_jobs`` jobs run, more jobs wait in the backlog. When so many run that only the reserve is left
    (see `reserve_of`), the next job of a client that has one running waits there too, behind those of the others.

    A client is known by its name here. Two clients of one name, of two endpoints, count as one.
    """

    def __init__(self, make_selector: Callable[[], selectors.BaseSelector], max_jobs: int) -> None:
        self.ready: Deque[Slot] = deque()
        self.poller: Optional[Poller] = None  # from the first source on, until the last thread ends
        self.stopping = False
        self._make_selector = make_selector
        self._max_jobs = max_jobs
        self._shared_out = max_jobs - reserve_of(max_jobs)
        self._running_of: Dict[str, int] = {}  # jobs by client; a client that reconnects may have several
        self._left_in_round = 0  # slots to serve before the selector is asked again
        self._backlog: Deque[Slot] = deque()
        self._running = 0  # jobs
        self._open = 0  # slots that are open
        self._unread = 0  # open slots that no worker steps: something may come for them
        self._heap: List[Tuple[float, int, Slot]] = []
        self._numbers = itertools.count()

    @property
    def over(self) -> bool:
        """Whether nothing can come for which a thread must wait.

        During a stop, a source that a worker steps does not count. That thread looks for work after the step. It may
        be the thread that stops the readers, and waits for the others to end.
        """
        if self.ready or self._backlog:
            return False
        return not self._open or (self.stopping and not self._unread)

    # Sources come and go

    def open(self, slot: Slot, fd: int, ident: int) -> None:
        """Take a source in, and watch it. The thread ``ident`` counts as stepping it, until `hand_in` or `undo_open`.

        Raises ``OSError`` when there is no room.
        """
        if self.poller is None:
            self.poller = Poller(self._make_selector)
        if fd >= 0 and not self.poller.has_room(fd):
            raise OSError("select() can wait for no more sockets: use threads of their own")
        slot.reader, slot.fd = ident, fd
        self._watch(slot, READ)
        slot.open = True
        self._open += 1
        self._unread += 1  # the thread that adds it is no worker, and does not look for work after `hand_in`

    def hand_in(self, slot: Slot) -> None:
        """Have an opened source stepped, from now on by the workers. Does nothing when that was done already."""
        if slot.open and slot.opening:
            slot.reader = None
            self.request_step(slot)
            slot.opening = False

    def undo_open(self, slot: Slot) -> None:
        """Undo `open`, before `hand_in`. Does nothing for a slot that is not open."""
        if slot.opening:
            slot.reader = None
            with suppress(OSError, ValueError):
                self._watch(slot, 0)
            if slot.open:
                slot.open = False
                self._open -= 1
                self._unread -= 1

    def end_step(self, slot: Slot, events: int, due: Optional[float]) -> bool:
        """Watch for ``events``, and until ``due``; return whether the waiting thread must be woken for that.

        Raises ``OSError`` or ``ValueError`` when the selector refuses; then the step has not ended.
        """
        changed = events != slot.events and self._watch(slot, events)
        slot.reader = None
        self._unread += 1
        if slot.needs_step:
            self.enqueue(slot)
        if slot.unsent and not slot.needs_step and not events & WRITE:
            slot.unsent = False  # all is written; a job that was held back may begin
        sooner = due is not None and (slot.due is None or due < slot.due) and self.set_due(slot, due)
        return sooner or (changed and self.poller is not None and not self.poller.live)

    def begin_finish(self, slot: Slot) -> None:
        """Stop watching the descriptor, which will be closed next. A step has begun."""
        slot.finishing = True
        self._watch(slot, 0)

    def end_finish(self, slot: Slot) -> None:
        if slot.open:
            slot.open = False
            self._open -= 1
        slot.finishing, slot.finished = False, True
        slot.reader = slot.source = slot.due = None
        slot.unsent = False
        if len(self._heap) > 2 * self._open + 64:
            self._heap = [entry for entry in self._heap if entry[2].due == entry[0]]
            heapq.heapify(self._heap)
        slot.owner.forget(slot)
        if slot.has_job:
            self.enqueue(slot)

    # The ready list

    def request_step(self, slot: Slot) -> None:
        """Have an open source stepped; once more if a thread steps it now."""
        if slot.open:
            slot.needs_step = True
            if slot.reader is None:
                self.enqueue(slot)

    def enqueue(self, slot: Slot) -> None:
        """Append ``slot`` to the ready list, unless it stands there."""
        if not slot.queued:
            self.ready.append(slot)
            slot.queued = True

    def pop(self, ident: int, selecting: bool) -> Optional[Slot]:
        """Return the next slot with something to do; ``None``: ask the selector first, if none is ``selecting``.

        If the slot's source needs a step, the thread ``ident`` counts as its reader from now on.
        """
        while self.ready and (self._left_in_round > 0 or selecting or self.poller is None):
            self._left_in_round -= 1
            slot = self.ready.popleft()
            slot.queued = False
            if slot.needs_step and slot.open and slot.reader is None:
                slot.needs_step = False
                slot.reader = ident
                slot.reader_active = True
                self._unread -= 1
                return slot
            if slot.has_job:
                return slot
            self._release()
        return None

    def begin_job(self, slot: Slot, ident: int) -> Optional[Job]:
        """Return a job for the thread ``ident`` to run now; ``None`` when there is none, or when too many run."""
        if not slot.jobs or slot.runner is not None or slot.backlogged or slot.unsent:
            if self._backlog:
                self._release()
            return None
        name, running_of = slot.name, self._running_of
        if self._running >= self._shared_out and not self._may_begin(slot):
            slot.backlogged = True
            self._backlog.append(slot)
            return None
        self._running += 1
        running_of[name] = running_of[name] + 1 if name in running_of else 1
        slot.runner = ident
        return slot.jobs.pop(0)[0]

    def end_job(self, slot: Slot, ident: int) -> None:
        """Note that the thread ``ident`` has ended a job of ``slot``. A job that was released has ended before."""
        if slot.runner != ident:
            return
        name, running_of = slot.name, self._running_of
        self._running -= 1
        if running_of[name] == 1:
            del running_of[name]
        else:
            running_of[name] -= 1
        slot.runner = None
        if slot.jobs:
            self.enqueue(slot)
        elif slot.finished:
            slot.owner.forget(slot)
        if self._backlog:
            self._release()

    def _may_begin(self, slot: Slot) -> bool:
        """Tell whether there is room for a job of ``slot``."""
        if self._running >= self._max_jobs:
            return False
        return self._running < self._shared_out or slot.name not in self._running_of

    def _release(self) -> None:
        """Enqueue the first slot of the backlog for whose job there is room; those before it go behind the others.

        Called too when a slot has nothing to do: its job was discarded after its release, so the next one's turn comes.
        """
        if self._running >= self._max_jobs:
            return
        for _ in range(len(self._backlog)):
            slot = self._backlog.popleft()
            if self._may_begin(slot):
                slot.backlogged = False
                self.enqueue(slot)
                return
            self._backlog.append(slot)

    def forget_discarded(self) -> None:
        """Remove the slots from the backlog whose jobs were discarded."""
        for slot in self._backlog:
            slot.backlogged = bool(slot.jobs)
        self._backlog = deque(slot for slot in self._backlog if slot.backlogged)

    def rebuild(self, slots: List[Slot]) -> None:
        """Make all tables anew from the ``slots``, after a change that was cut off, and have every source stepped.

        What is true: which slots are open, which thread steps or finishes each, and which thread runs a job of it.
        """
        self.ready.clear()
        self._backlog.clear()
        self._heap = []
        self._open = self._unread = self._running = 0
        self._running_of = {}
        for slot in slots:
            slot.queued = slot.backlogged = False
            slot.due = None
            self._open += slot.open
            self._unread += slot.open and (slot.opening or slot.reader is None)
            if slot.runner is not None:
                self._running += 1
                self._running_of[slot.name] = self._running_of.get(slot.name, 0) + 1
            self.request_step(slot)
            if slot.jobs:
                self.enqueue(slot)
            elif slot.finished:
                slot.owner.forget(slot)
        self._left_in_round = len(self.ready)

    # The selector and the deadlines

    def timeout(self, now: float) -> Optional[float]:
        """Return the seconds that a thread may wait in the selector; ``None``: without end."""
        if self.ready:
            return 0.0
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def begin_round(self, found: List[Slot], now: float) -> List[Source]:
        """Enqueue the slots that are ``found`` or due. Return the sources that are due while a thread steps them."""
        busy = []
        for slot in found:
            if slot.reader is not None:
                self._watch(slot, 0)  # level-triggered: the selector would find it again and again
            elif slot.open:
                slot.needs_step = True
                if not slot.queued:
                    self.ready.append(slot)
                    slot.queued = True
        while self._heap and self._heap[0][0] <= now:
            due, _, slot = heapq.heappop(self._heap)
            if slot.due == due:
                slot.due = None
                if slot.reader is None:
                    self.request_step(slot)
                elif slot.source is not None:
                    busy.append(slot.source)
        self._left_in_round = len(self.ready)
        return busy

    def set_due(self, slot: Slot, due: Optional[float]) -> bool:
        """See that the source is stepped at ``due``; return whether that is the first of all deadlines."""
        if due is None or not slot.open or (slot.due is not None and slot.due <= due):
            return False
        slot.due = due
        entry = (due, next(self._numbers), slot)
        heapq.heappush(self._heap, entry)
        return self._heap[0] is entry

    def _watch(self, slot: Slot, events: int) -> bool:
        """Watch for ``events``; return whether that is a change."""
        if slot.fd < 0 or events == slot.events:
            return False
        assert self.poller is not None
        self.poller.watch(slot.fd, events, slot.events, slot)
        slot.events = events
        return True
