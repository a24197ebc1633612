"""`Removals`: the requests that are to be removed from Redis, and the thread that does it."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from typing import Deque, Iterable, Iterator, List, Optional, Sequence, Set

from ...errors import QueueFailed
from ...events import Event, Thread
from ...loops import run_loop
from ...recent import Recent
from . import queue_scripts as scripts
from .connection import ResponseFault
from .queue_store import QueueStore
from .scripts import Script, Word
from .store import Call

__all__ = ["Removals"]

#: So many are written at once.
_MOST = 200
#: So many numbers of deleted rows are remembered.
_REMEMBERED = 20_000
#: How long the thread waits after a fault of Redis, and how long for work at most, in seconds.
_PAUSE, _LOOK = 0.5, 5.0


class Removals:
    """Calls of scripts that are written soon, in their order. Each may be written twice. Any thread notes them."""

    def __init__(self, store: QueueStore) -> None:
        self._store = store
        self._lock = threading.Lock()  # guards the two lists, and what was deleted; calls are noted without it
        self._deleted: Recent[int, None] = Recent(_REMEMBERED)
        self._noted: Deque[Call] = deque()
        self._writing: List[Call] = []
        self._work = Event()  # there is something to be written, or it is to end
        self._turn = threading.Lock()  # one thread writes
        self._ended = Event()
        self._thread: Optional[Thread] = None

    def _after_fork(self) -> None:
        """Forget all: it is the parent's. See `ocppj.forks`."""
        self._noted.clear()
        self._deleted.clear()
        self._writing, self._thread = [], None

    def start(self) -> None:
        """Begin to write."""
        ended = self._ended = Event()
        arguments = ("ocppj-queue-writer", lambda: self._step(ended), None, self._store.safe_log)
        self._thread = Thread(target=run_loop, args=arguments, name="ocppj-queue-writer", daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Write what can be written within the timeout of Redis, and end the thread.

        Return how many requests could not be removed.
        """
        timeout = self._store.links.timeout
        self._ended.set()
        self._work.set()
        try:
            if not self._store.lost:
                self.write_all(time.monotonic() + timeout)
        except QueueFailed:
            pass  # they are counted
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * timeout)
        with self._lock:
            left = len(set(_numbers_of([*self._writing, *self._noted])))
            self._writing = []
            self._noted.clear()
        return left

    def note(self, script: Script, *arguments: Word) -> None:
        """Have that script run soon, with the node before its arguments. Never waits, never raises."""
        if self._store.is_open:
            self._noted.append(Call(script, arguments))  # in one step
            self._work.set()

    def wake(self) -> None:
        """Write again: Redis is back."""
        self._work.set()

    def numbers(self) -> Set[int]:
        """Return the numbers of the rows that are to be removed."""
        with self._lock:
            return set(_numbers_of([*self._writing, *list(self._noted)]))

    def deleted(self, numbers: Iterable[int]) -> Set[int]:
        """Return those of the ``numbers`` whose rows were deleted not long ago."""
        with self._lock:
            return set(filter(self._deleted.__contains__, numbers))

    def write_all(self, deadline: Optional[float] = None) -> None:
        """Write all that waits, on this thread. Raises `QueueFailed`."""
        while (self._noted or self._writing) and (deadline is None or time.monotonic() < deadline):
            with self._turn:
                self._write_some()

    def _step(self, ended: Event) -> bool:
        self._work.wait(_LOOK)
        self._work.clear()
        if ended.is_set():
            return False
        try:
            if not self._store.lost:
                self.write_all()
        except QueueFailed as error:
            words = "%s: could not delete or set aside requests that were dealt with, it is tried again: %s"
            self._store.limited_log.error(words, self._store.path, error, kind=words[:-2], client_id=None)
            ended.wait(_PAUSE)
            self._work.set()
        return True

    def _write_some(self) -> None:
        calls = self._take()
        results = self._store.run(*(Call(each.script, (self._store.node, *each.arguments)) for each in _joined(calls)))
        with self._lock:
            self._remember(calls)
            self._writing = []
        faults = [each.code for each in results if isinstance(each, ResponseFault)]
        if faults:
            words = "%s has refused to delete or set aside requests that were dealt with, they may be sent again: %s"
            log = self._store.limited_log
            log.error(words, self._store.path, faults[0], kind=f"{words[:-2]}{faults[0]}", client_id=None)

    def _remember(self, calls: Iterable[Call]) -> None:
        for call in calls:
            if call.script is scripts.DELETE:  # not one that was set aside: it may be put back
                self._deleted.remember(int(call.arguments[0]), None)

    def _take(self) -> List[Call]:
        """Return what is to be written now. It stays in a list until it is written."""
        with self._lock:
            room = min(len(self._noted), _MOST - len(self._writing))
            self._writing += [self._noted.popleft() for _ in range(room)]
            return list(self._writing)


def _joined(calls: Sequence[Call]) -> Iterator[Call]:
    """Yield calls that do the same in fewer calls: one for all deletions in a row, and for all copies in a row."""
    removed = set(_numbers_of(calls))
    needed = (call for call in calls if call.script is not scripts.MARK or call.arguments[0] not in removed)
    for script, group in itertools.groupby(needed, key=lambda call: call.script):
        if script in (scripts.DELETE, scripts.UNLOAD, scripts.MARK):
            yield Call(script, tuple(part for call in group for part in call.arguments))
        else:
            yield from group


def _numbers_of(calls: Iterable[Call]) -> Iterator[int]:
    """Yield the numbers of the rows that are removed."""
    for call in calls:
        if call.script in (scripts.DELETE, scripts.ASIDE):
            yield int(call.arguments[0])
