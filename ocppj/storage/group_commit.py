"""Requests on their way into the file of a durable queue: those that meet share a sync (group commit).

Who pushes puts its request into the line and, if the file is free, takes it and writes all that stand in the line, in
order, in one transaction. If the file is not free it waits, until it is woken: because its request is written, or
because the file has become free. For whoever releases the file, for whatever it was held, wakes the first in the line.
So nobody waits for a file that is free, and while one thread syncs, the line for the next sync grows.

If the transaction fails, each request has one of its own: only those that cannot be written are refused, each with its
own error.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import Callable, Deque, List, Optional, Sequence, Tuple

from ..dispatch.queues import RequestBundle
from ..errors import OcppjError, QueueFailed

__all__ = ["Line", "Push", "write_all"]

#: Inserts requests in one transaction and ends them; if that fails, ends none and returns why.
Write = Callable[[Sequence["Push"]], Optional[Exception]]


class Push:
    """A request on its way into the file. Its queue is asked and told by whoever writes it, with the file's lock held.

    ``admit()`` raises an `OcppjError` to refuse it. If it did not, ``settle(bundle, number)`` follows: with the number
    it has in the file, or ``None`` when it could not be written. ``error`` says why it was not taken. ``turn`` is set
    when it has ``ended``, or when the file has become free.
    """

    __slots__ = ("_admit", "_admitted", "_settle", "bundle", "ended", "error", "fields", "turn")

    def __init__(
        self,
        client_id: Optional[str],
        bundle: RequestBundle,
        admit: Callable[[], None],
        settle: Callable[[RequestBundle, Optional[int]], None],
    ) -> None:
        self._admit = admit
        self._settle = settle
        self._admitted = False
        self.bundle = bundle
        #: As they stand in the file.
        self.fields: Tuple[Optional[str], ...] = (client_id, bundle.message_id, bundle.version, bundle.data)
        self.turn = threading.Event()
        self.ended = False
        self.error: Optional[OcppjError] = None

    def begin(self) -> bool:
        """Ask the queue; return whether the request is to be written."""
        try:
            self._admit()
            self._admitted = True
        except OcppjError as error:
            self.end(None, error)
        return self._admitted

    def end(self, number: Optional[int], error: Optional[OcppjError] = None) -> None:
        """Tell the queue, if it knows of the request, that it is written, or why not."""
        self.error = error
        if self._admitted:
            self._admitted = False
            self._settle(self.bundle, number)
        self.ended = True  # last: its thread may look at any moment


class Line:
    """Pushes that wait for the file. One stands in it until it is taken to be written, or given up."""

    def __init__(self) -> None:
        self._pushes: Deque[Push] = deque()

    def add(self, push: Push) -> None:
        """Put ``push`` at the end. Its thread tries to get the file after that."""
        self._pushes.append(push)

    def take(self) -> List[Push]:
        """Take all out. Called with the file's lock held."""
        pushes = []
        with contextlib.suppress(IndexError):
            while True:
                pushes.append(self._pushes.popleft())
        return pushes

    def give_up(self, push: Push) -> None:
        """Take ``push`` out, if it is there still: its thread was interrupted, and may have been the one woken."""
        with contextlib.suppress(ValueError):
            self._pushes.remove(push)
        self.wake()

    def wake(self) -> None:
        """Wake the first. Called by whoever has released the file's lock."""
        with contextlib.suppress(IndexError):
            self._pushes[0].turn.set()


def write_all(pushes: Sequence[Push], write: Write, path: str) -> None:
    """Write the requests to the file ``path`` and wake their threads. Called with its lock held."""
    try:
        admitted = [push for push in pushes if push.begin()]
        if admitted:
            _write(admitted, write, path)
    finally:
        for push in pushes:
            if not push.ended:  # a KeyboardInterrupt
                push.end(None, _refusal(push, path, "the thread that was to write it was interrupted"))
            push.turn.set()


def _write(pushes: Sequence[Push], write: Write, path: str) -> None:
    error = write(pushes)
    if error is None:
        return
    for push in pushes:
        if len(pushes) > 1:
            _write([push], write, path)
        else:
            push.end(None, _refusal(push, path, error))


def _refusal(push: Push, path: str, why: object) -> QueueFailed:
    failure = QueueFailed(f"{path}: request {push.bundle.message_id!r} could not be written: {why}")
    failure.__cause__ = why if isinstance(why, Exception) else None
    return failure
