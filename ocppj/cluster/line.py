"""`Line`: a thread that calls functions one after the other, in the order in which they were given."""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, Optional

from ..events import Condition, Thread
from ..log_limit import SafeLog
from ..loops import run_loop

__all__ = ["Line"]

Job = Callable[[], object]


class Line:
    """A daemon thread, and the functions that it is to call. Thread-safe.

    Args:
        name: That of the thread.
        log: Where it is logged that a function failed.
        most: So many functions may wait. If more come, the oldest are dropped and counted. ``None``: any number.
    """

    def __init__(self, name: str, log: SafeLog, most: Optional[int] = None) -> None:
        self._name = name
        self._log = log
        self._most = most
        self._changed = Condition(threading.Lock())  # guards what follows
        self._waiting: Deque[Job] = deque()
        self._closed = False
        self._thread: Optional[Thread] = None
        self.dropped: int = 0  #: How many functions were dropped.

    def start(self) -> None:
        """Start the thread. Raises ``RuntimeError`` when the system gives no thread."""
        arguments = (self._name, self._step, None, self._log)
        self._thread = Thread(target=run_loop, args=arguments, name=self._name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return True

    def put_first(self, job: Job) -> None:
        """Have ``job`` called before all that waits. Else as `put`."""
        with self._changed:
            if not self._closed:
                self._waiting.appendleft(job)
                self._changed.notify_all()

    def put(self, job: Job) -> None:
        """Have ``job`` called. Never waits. After `close` it is dropped."""
        with self._changed:
            if self._closed:
                return
            if self._most is not None and len(self._waiting) >= self._most:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(job)
            self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """Drop what waits, and wait for the thread, unless this is called from it; return whether it has ended."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def _after_fork(self) -> None:
        """Forget the thread, which is the parent's: see `ocppj.forks`."""
        self._closed, self._thread = True, None
        self._waiting.clear()

    def _has_work(self) -> bool:
        return self._closed or bool(self._waiting)

    def _step(self) -> bool:
        with self._changed:
            self._changed.wait_for(self._has_work)
            if self._closed:
                return False
            job = self._waiting.popleft()
        job()
        return True
