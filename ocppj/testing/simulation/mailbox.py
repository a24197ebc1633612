"""`Mailbox`: the events of one station, one at a time."""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque

from ...events import Condition

__all__ = ["Mailbox"]


class Mailbox:
    """Runs jobs one at a time, in the order in which they were posted.

    The thread that posts runs the job, and all that are posted meanwhile by whatever thread. So a station needs no
    thread. No lock is held while a job runs. A job must not wait for anything.

    A job that posts another one, does so for "afterwards": it runs when the present one has ended.

    Args:
        failed: Called in the ``except`` of a job that raised an exception.
    """

    def __init__(self, failed: Callable[[BaseException], object]) -> None:
        self._failed = failed
        self._lock = threading.Lock()  # guards the jobs, and `_busy`
        self._jobs: Deque[Callable[[], object]] = deque()
        self._busy = False
        #: Notified after each job. A thread that holds it may post: what it waits for may do so.
        self.changed: Condition = Condition(threading.RLock())

    def post(self, job: Callable[[], object]) -> None:
        """Run ``job`` now, or when those before it have ended. May be called from any thread."""
        with self._lock:
            self._jobs.append(job)
            if self._busy:
                return
            self._busy = True
        self._run()

    def _run(self) -> None:
        ended = False
        try:
            while not ended:
                ended = self._run_next()
        finally:
            if not ended:  # an interrupt of this thread: the next one that posts goes on
                self._busy = False

    def _run_next(self) -> bool:
        """Run the next job. Return whether there was none."""
        with self._lock:
            if not self._jobs:
                self._busy = False
                return True
            job = self._jobs.popleft()
        try:
            job()
        except Exception as error:
            self._failed(error)
        finally:
            with self.changed:
                self.changed.notify_all()
        return False
