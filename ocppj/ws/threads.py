"""Start threads, keep track of those that live, and join them: the one place where this is done for the transports."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from itertools import filterfalse
from typing import Any, Callable, Collection, List, Optional, Sequence, Set

from ..events import Thread
from ..log_limit import SafeLog, part_log
from ..loops import run_loop

__all__ = ["Threads"]

_PRUNE = 4  # threads on record before those that ended are dropped. Each holds on to a dozen objects.


class Threads:
    """The daemon threads of one owner. Thread-safe; no lock is held while a thread starts or is joined."""

    def __init__(self, log: Optional[SafeLog] = None) -> None:
        self._log = part_log("ws") if log is None else log
        self._lock = threading.Lock()  # guards the fields below
        self._threads: List[threading.Thread] = []
        self._prune_at = _PRUNE
        self._closed = False

    def start(self, name: str, target: Callable[..., object], *args: Any) -> bool:
        """Start a thread that calls ``target(*args)``, until it returns (`run_loop`); return false after `close`.

        Raises ``RuntimeError``, or ``MemoryError``, when the system gives no thread. Then none runs.
        """
        start = _Start()
        step = partial(_call, start, target, args)
        thread = Thread(target=run_loop, args=(name, step, None, self._log), name=name, daemon=True)
        with self._lock:
            if self._closed:
                return False
            if len(self._threads) >= self._prune_at:
                self._threads = list(filter(_may_live, self._threads))
                self._prune_at = max(_PRUNE, 2 * len(self._threads))
            self._threads.append(thread)
        try:
            thread.start()
        except BaseException as error:  # RuntimeError, MemoryError, or whatever a signal handler raised meanwhile
            runs = not start.revoke()
            if not runs:  # else `join` would wait for a thread that perhaps never starts
                with self._lock, suppress(ValueError):
                    self._threads.remove(thread)
            if not runs or not isinstance(error, Exception):
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
                threads = list(filterfalse(joined.__contains__, self._threads))
            if not threads:
                return all_gone
            for thread in threads:
                all_gone = _join(thread, deadline, exempt, self._log) and all_gone
            joined.update(threads)


def _may_live(thread: threading.Thread) -> bool:
    return thread.ident is None or thread.is_alive()


class _Start:
    """The start of one thread: it begins its work, or the start is revoked, whichever is first."""

    __slots__ = ("_fates",)

    def __init__(self) -> None:
        self._fates: List[str] = []  # the first one counts: of two threads that add theirs, one is the first

    def begin(self) -> bool:
        """Return whether the thread may work."""
        self._fates.append("begun")
        return self._fates[0] == "begun"

    def revoke(self) -> bool:
        """Keep the thread from beginning. Return false if it has begun."""
        self._fates.append("revoked")
        return self._fates[0] == "revoked"


def _call(start: _Start, target: Callable[..., object], args: Sequence[Any]) -> bool:
    if start.begin():
        target(*args)
    return False


def _join(thread: threading.Thread, deadline: float, exempt: Collection[int], log: SafeLog) -> bool:
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
            log.warning("the thread %s does not end", thread.name)
            return False
    return True
