"""`Behind`: shows frames on a thread of its own, so that a terminal that is stopped does not stop the traffic."""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import Any, Callable, Deque, Optional, Tuple

from ..events import Event
from ..log_limit import safe_log
from ..loops import run_loop
from ..ws.threads import Threads
from .terminal import Terminal

__all__ = ["Behind", "shown_behind"]

_MOST = 10_000  # frames and changes that wait


class Behind:
    """An observer that has another one see everything a little later. If that does not keep up, it misses the newest.

    Args:
        observer: The other one. One call at a time.
        tell: Called with how many it has missed, when it goes on.
        give_up: Called by `close` if the other one has not come to its end.
    """

    def __init__(
        self, observer: Any, tell: Callable[[int], object], give_up: Callable[[], object] = lambda: None
    ) -> None:
        self._observer = observer
        self._tell = tell
        self._give_up = give_up
        self._ended = Event()
        self._lock = threading.Lock()  # guards the fields below
        self._waiting: Deque[Callable[[], object]] = deque()
        self._missed = 0
        self._is_closed = False
        self._more = Event()
        self._threads = Threads(safe_log)
        self._threads.start("ocppj-shown-traffic", self._run)

    def __call__(self, frame: Any) -> None:
        """Have a frame shown."""
        self._add(partial(self._observer, frame))

    def connection_changed(self, change: Any) -> None:
        """Have the begin or the end of a connection shown."""
        self._add(partial(self._observer.connection_changed, change))

    def close(self, timeout: float = 2.0) -> None:
        """Show what waits, for ``timeout`` seconds at most."""
        with self._lock:
            self._is_closed = True
        self._more.set()
        self._threads.join(time.monotonic() + timeout)
        if not self._ended.is_set():
            self._give_up()

    def _add(self, show: Callable[[], object]) -> None:
        with self._lock:
            if self._is_closed:
                return
            if len(self._waiting) >= _MOST:
                self._missed += 1
                return
            self._waiting.append(show)
        self._more.set()

    def _run(self) -> None:
        run_loop("showing the traffic", self._step, log=safe_log)
        self._ended.set()

    def _step(self) -> bool:
        """Show the first that waits; return false when all is shown, and no more comes."""
        show, is_over = self._next()
        if show is not None:
            show()
        elif not is_over:
            self._more.wait()
            self._more.clear()
        return not is_over

    def _next(self) -> Tuple[Optional[Callable[[], object]], bool]:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft(), False
            missed, self._missed = self._missed, 0
            if missed:
                return partial(self._tell, missed), False
            return None, self._is_closed


def shown_behind(observer: Any, terminal: Terminal) -> Behind:
    """Return a `Behind` that says on a terminal how much is not shown.

    Args:
        observer: Shows the frames.
        terminal: Where it shows them.
    """
    words = "lines are not shown: what reads them was too slow"
    return Behind(observer, lambda count: terminal.error(f"{count} {words}"), terminal.give_up)
