"""Start threads, keep track of those that live, and join them: the one place where this is done for the transports."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Collection, List, Set

from ..settings import get_logger

__all__ = ["Threads"]

_PRUNE = 4  # threads on record before those that ended are dropped. Each holds on to a dozen objects.


class Threads:
    """The daemon threads of one owner. Thread-safe; no lock is held while a thread starts or is joined."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the fields below
        self._threads: List[threading.Thread] = []
        self._prune_at = _PRUNE
        self._closed = False

    def start(self, name: str, target: Callable[..., object], *args: Any) -> bool:
        """Start a thread that calls ``target(*args)``; return false after `close`. Raises ``RuntimeError``."""
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        with self._lock:
            if self._closed:
                return False
            if len(self._threads) >= self._prune_at:
                self._threads = [old for old in self._threads if old.ident is None or old.is_alive()]
                self._prune_at = max(_PRUNE, 2 * len(self._threads))
            self._threads.append(thread)
        try:
            thread.start()
        except BaseException:  # RuntimeError, or whatever a signal handler raised meanwhile
            with self._lock:
                if not thread.is_alive():  # else `join` would wait for a thread that never starts
                    self._threads.remove(thread)
            raise
        return True

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def join(self, deadline: float, exempt: Collection[int] = ()) -> bool:
        """Join all threads until ``deadline`` (of `time.monotonic`); return whether all ended.

        Threads that start meanwhile are joined too. The calling thread is not joined, nor any of ``exempt``, which may
        grow during the call: two threads that stop the same owner must not wait for each other.
        """
        all_gone = True
        joined: Set[threading.Thread] = set()
        while True:
            with self._lock:
                threads = [thread for thread in self._threads if thread not in joined]
            if not threads:
                return all_gone
            for thread in threads:
                all_gone = _join(thread, deadline, exempt) and all_gone
            joined.update(threads)


def _join(thread: threading.Thread, deadline: float, exempt: Collection[int]) -> bool:
    """Join one thread; return false, and log it, when it does not end in time."""
    while thread is not threading.current_thread() and thread.ident not in exempt:
        left = deadline - time.monotonic()
        try:
            thread.join(max(0.0, min(left, 0.05)))  # not longer: exempt may have grown
            if not thread.is_alive():
                break
        except RuntimeError:  # another thread is about to start it
            threading.Event().wait(0.001)
        if left <= 0:
            get_logger().warning("the thread %s does not end", thread.name)
            return False
    return True
