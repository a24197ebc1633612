"""`Background`: threads for what takes a while, which is connecting and stopping."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import get_ident
from typing import Callable, Set

from ...activity import UNCOUNTED, ActivityLike

__all__ = ["Background"]


class Background:
    """Runs jobs on a few threads, which it starts when they are needed. A fleet shares one. Thread-safe.

    Args:
        threads: How many threads there are at most.
        activity: What is under way in the network in memory: a job counts as that.
    """

    def __init__(self, threads: int = 1, activity: ActivityLike = UNCOUNTED) -> None:
        self._executor = ThreadPoolExecutor(threads, "ocppj-simulation")
        self._activity = activity
        self._closed = False
        self._idents: Set[int] = set()  # of the threads

    def run(self, job: Callable[[], object]) -> None:
        """Run a job, which deals with its own exceptions. After `close` it never runs."""
        counted = self._activity.job(partial(self._work, job), lambda idents: self._closed)
        try:
            self._executor.submit(counted)
        except RuntimeError:  # it is closed
            counted.drop()

    def close(self) -> None:
        """Return when the jobs that have been taken have run, and the threads have ended; one of them does not wait."""
        self._closed = True
        self._executor.shutdown(wait=get_ident() not in self._idents)

    def _work(self, job: Callable[[], object]) -> None:
        self._idents.add(get_ident())
        job()
