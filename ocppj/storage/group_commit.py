"""Group commit: requests that threads insert at the same time share one transaction, and so one sync.

A thread puts its request into a queue. If the file is free, it takes the file and writes the whole queue in one
transaction. If not, it waits until its request is written, or the file has become free: every thread that releases the
file, whatever it was for, wakes the first of the queue. If the transaction fails, each request gets one of its own.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Callable, Deque, List, Optional, Sequence, Tuple, Union

from ..dispatch.queues import RequestBundle
from ..errors import OcppjError, QueueFailed
from ..events import Event

__all__ = ["CommitQueue", "PendingInsert", "commit"]

#: Inserts requests in one transaction and ends each. If that fails, it ends none and returns the error.
Write = Callable[[Sequence["PendingInsert"]], Optional[Exception]]


class PendingInsert:
    """A request that waits to be inserted.

    ``admit`` is called before it is written, and may refuse it with an `OcppjError`. If it does not, ``finish`` follows
    with the number of the row, or ``None`` if it could not be written. The file's lock is held for both. With
    ``replaces``, the row of that number is deleted in the same transaction. ``place`` is that of the queue, if there is
    one: see `Requests.load`.
    """

    __slots__ = ("_admit", "_admitted", "_finish", "bundle", "ended", "error", "fields", "place", "replaces", "wake")

    def __init__(
        self,
        client_id: Optional[str],
        bundle: RequestBundle,
        admit: Callable[[], None],
        finish: Callable[[RequestBundle, Optional[int]], None],
        replaces: Optional[int] = None,
        place: str = "",
    ) -> None:
        self._admit = admit
        self._finish = finish
        self._admitted = False
        self.bundle: RequestBundle = bundle
        self.replaces: Optional[int] = replaces
        self.place: str = place
        #: The values of its row, as in `database.FIELDS`. Text comes from the CALL; times are in seconds.
        self.fields: Tuple[Union[str, float, None], ...] = (
            client_id,
            bundle.message_id,
            bundle.version,
            bundle.data,
            time.time(),
            bundle.expires,
            int(bundle.offline),
        )
        self.wake: Event = Event()  # set when the insert has ended, and when the file has become free
        self.ended: bool = False
        self.error: Optional[OcppjError] = None  # why it was not taken

    def begin(self) -> bool:
        """Return whether it is admitted. It may have been by a thread that was interrupted before it was written."""
        try:
            if not self._admitted:
                self._admit()
                self._admitted = True
        except OcppjError as error:
            self.end(None, error)
        return self._admitted

    def end(self, number: Optional[int], error: Optional[OcppjError] = None) -> None:
        """Note that the request is written, or why not, and call ``finish`` if it was admitted."""
        self.error = error
        if self._admitted:
            self._finish(self.bundle, number)  # once more if an interrupt comes just after it
            self._admitted = False
        self.ended = True  # last: its thread may read it at any moment


class CommitQueue:
    """Inserts that wait for the file, in order. One stays until it has ended, or is given up."""

    def __init__(self) -> None:
        self._waiting: Deque[PendingInsert] = deque()

    def add(self, *inserts: PendingInsert) -> None:
        self._waiting.extend(inserts)  # in one step: whoever takes all takes them together

    def all(self) -> List[PendingInsert]:
        return list(self._waiting)  # in one step of C: other threads add meanwhile

    def drop_ended(self) -> None:
        """Take out those that have ended, and wake their threads. Called with the file's lock held."""
        for insert in self.all():
            if insert.ended:
                self._waiting.remove(insert)
                insert.wake.set()

    def give_up(self, insert: PendingInsert) -> None:
        """Take ``insert`` out, if it is still there: its thread was interrupted. Called with the file's lock held."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(insert)
        if not insert.ended:
            insert.end(None)

    def wake_first(self) -> None:
        """Wake the first. Called by every thread that has released the file's lock."""
        with contextlib.suppress(IndexError):
            self._waiting[0].wake.set()


def commit(queue: CommitQueue, write: Write, path: str) -> None:
    """Write the requests that wait to the file ``path``, and wake their threads. Called with the file's lock held.

    If this thread is interrupted, those that are not written stay in the queue, and another thread writes them.
    """
    try:
        admitted = list(filter(PendingInsert.begin, queue.all()))
        if admitted:
            _write(admitted, write, path)
    finally:
        queue.drop_ended()


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
