"""Group commit: requests that threads insert at the same time share one transaction, and so one sync.

A thread puts its request into a queue. If the file is free, it takes the file and writes the whole queue in one
transaction. If not, it waits until its request is written, or the file has become free: every thread that releases the
file, whatever it was for, wakes the first of the queue. If the transaction fails, each request gets one of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import Callable, Deque, List, Optional, Sequence, Tuple

from ..dispatch.queues import RequestBundle
from ..errors import OcppjError, QueueFailed

__all__ = ["CommitQueue", "PendingInsert", "commit"]

#: Inserts requests in one transaction and ends each. If that fails, it ends none and returns the error.
Write = Callable[[Sequence["PendingInsert"]], Optional[Exception]]


class PendingInsert:
    """A request that waits to be inserted.

    ``admit`` is called before it is written, and may refuse it with an `OcppjError`. If it does not, ``finish`` follows
    with the number of the row, or ``None`` if it could not be written. The file's lock is held for both.
    """

    __slots__ = ("_admit", "_admitted", "_finish", "bundle", "ended", "error", "fields", "wake")

    def __init__(
        self,
        client_id: Optional[str],
        bundle: RequestBundle,
        admit: Callable[[], None],
        finish: Callable[[RequestBundle, Optional[int]], None],
    ) -> None:
        self._admit = admit
        self._finish = finish
        self._admitted = False
        self.bundle = bundle
        self.fields: Tuple[Optional[str], ...] = (client_id, bundle.message_id, bundle.version, bundle.data)
        self.wake = threading.Event()  # set when the insert has ended, and when the file has become free
        self.ended = False
        self.error: Optional[OcppjError] = None  # why it was not taken

    def begin(self) -> bool:
        try:
            self._admit()
            self._admitted = True
        except OcppjError as error:
            self.end(None, error)
        return self._admitted

    def end(self, number: Optional[int], error: Optional[OcppjError] = None) -> None:
        """Note that the request is written, or why not, and call ``finish`` if it was admitted."""
        self.error = error
        if self._admitted:
            self._admitted = False
            self._finish(self.bundle, number)
        self.ended = True  # last: its thread may read it at any moment


class CommitQueue:
    """Inserts that wait for the file, in order. One stays until it is taken to be written, or given up."""

    def __init__(self) -> None:
        self._waiting: Deque[PendingInsert] = deque()

    def add(self, insert: PendingInsert) -> None:
        self._waiting.append(insert)

    def take_all(self) -> List[PendingInsert]:
        """Take all out. Called with the file's lock held."""
        taken = []
        with contextlib.suppress(IndexError):  # `give_up` may take one out at any moment
            while True:
                taken.append(self._waiting.popleft())
        return taken

    def give_up(self, insert: PendingInsert) -> None:
        """Take ``insert`` out, if it is still there: its thread was interrupted, perhaps after it was woken."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(insert)
        self.wake_first()

    def wake_first(self) -> None:
        """Wake the first. Called by every thread that has released the file's lock."""
        with contextlib.suppress(IndexError):
            self._waiting[0].wake.set()


def commit(inserts: Sequence[PendingInsert], write: Write, path: str) -> None:
    """Write the requests to the file ``path`` and wake their threads. Called with the file's lock held."""
    try:
        admitted = [insert for insert in inserts if insert.begin()]
        if admitted:
            _write(admitted, write, path)
    finally:
        for insert in inserts:
            if not insert.ended:  # after a KeyboardInterrupt
                insert.end(None, _refusal(insert, path, "the thread that was to write it was interrupted"))
            insert.wake.set()


def _write(inserts: Sequence[PendingInsert], write: Write, path: str) -> None:
    error = write(inserts)
    if error is None:
        return
    for insert in inserts:
        if len(inserts) > 1:
            _write([insert], write, path)
        else:
            insert.end(None, _refusal(insert, path, error))


def _refusal(insert: PendingInsert, path: str, why: object) -> QueueFailed:
    failure = QueueFailed(f"{path}: request {insert.bundle.message_id!r} could not be written: {why}")
    failure.__cause__ = why if isinstance(why, Exception) else None
    return failure
