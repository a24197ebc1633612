"""The thread ``ocppj-flusher``: it writes bytes that other threads left in write buffers.

The reading thread would write them, but it may be waiting for input alone, without knowing of them. So one `Flusher`
for all connections of a `Readers` waits until the sockets can be written to, while there are bytes to write. It holds
each descriptor that it waits for (`Outlet.hold`). Only its own thread registers descriptors and lets them go. Other
threads put an outlet into ``_added`` and wake it. It looks there after each round of writing.
"""

from __future__ import annotations

import math
import selectors
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, Optional, Set

from ...forks import close_copies, register
from ...log_limit import SafeLog, part_log
from ...loops import do_all, run_loop
from ..stream.outlet import Outlet, Unsent
from ..stream.waiting import Waker, default_selector
from ..threads import Threads

__all__ = ["Flusher"]

_ATTEMPTS = 3  # failures in a row after which the thread gives up
_RETRY = 0.05  # seconds until the next try where the selector cannot tell when to write


class Flusher:
    """Writes until nothing is left, on a thread of ``threads``, which waits in a ``selector()``."""

    def __init__(
        self,
        threads: Threads,
        selector: Callable[[], selectors.BaseSelector] = default_selector,
        log: Optional[SafeLog] = None,
    ) -> None:
        self._log = part_log("ws") if log is None else log
        self._threads = threads
        self._selector = selector
        self._lock = threading.Lock()  # guards the fields below
        self._added: Set[Outlet] = set()
        self._loop: Optional[_Loop] = None  # the thread's, while there is one
        self._stopped = False

    def add(self, outlet: Outlet) -> None:
        """Have the buffered bytes of ``outlet`` written, except after `stop`. Raises ``RuntimeError``, ``OSError``."""
        new = None  # a loop that no thread runs yet
        try:
            with self._lock:
                if self._stopped:
                    return
                if self._loop is None:
                    new = self._loop = _Loop(self._selector)
                elif not self._added:  # else the thread has been woken and has not looked yet
                    self._loop.waker.wake()
                self._added.add(outlet)
            if new is not None:
                self._threads.start("ocppj-flusher", self._run, new)
        except BaseException:
            if new is not None:
                self._fail(new)
            raise

    def stop(self) -> None:
        """Have the thread end. It does not write what is left; the reading threads may."""
        with self._lock:
            self._stopped = True
            if self._loop is not None:
                self._loop.waker.wake()

    def _run(self, loop: "_Loop") -> None:
        """Write until nothing is left: the flusher's thread."""
        run_loop("the flusher", partial(self._step, loop), partial(self._repair, loop), self._log)

    def _step(self, loop: "_Loop") -> bool:
        """Write what can be written; return false when nothing is left."""
        if loop.failures >= _ATTEMPTS:
            return False
        with self._lock:
            loop.added |= self._added
            self._added = set()
            over = self._stopped or not (loop.added or loop.watched)
            if over and self._loop is loop:
                self._loop = None
        if over:
            loop.close()
            return False
        loop.write()
        loop.failures = 0
        return True

    def _repair(self, loop: "_Loop") -> None:
        """Have the thread go on; after several failures in a row, let it end."""
        loop.failures += 1
        if loop.failures >= _ATTEMPTS:
            self._fail(loop)
            self._log.error("the flusher failed: the connections that it had to write to are cut")

    def _fail(self, loop: "_Loop") -> None:
        """Cut all connections that rely on a thread which cannot go on."""
        with self._lock:
            if self._loop is loop:
                self._loop = None
                loop.added |= self._added
                self._added = set()
        do_all(*(outlet.shutdown for outlet in [*loop.added, *loop.watched]), loop.close, log=self._log)


@dataclass
class _Watched:
    """What the loop knows of an outlet whose descriptor it holds."""

    fd: int
    unsent: Unsent
    registered: bool = False


class _Loop:
    """The loop of one thread of a flusher. Other threads use the ``waker`` alone, with the flusher's lock held."""

    def __init__(self, selector: Callable[[], selectors.BaseSelector]) -> None:
        self._selector = selector()
        try:
            self.waker = Waker(self._selector)
        except BaseException:
            self._selector.close()
            raise
        self.added: Set[Outlet] = set()  # those that it has not looked at
        self.failures = 0  # in a row
        self.watched: Dict[Outlet, _Watched] = {}
        self._next_look = math.inf  # when all of them must be looked at, at the latest
        register(self)

    def _after_fork(self) -> None:
        """Close the descriptors of the loop, whose thread is the parent's. See `ocppj.forks`."""
        close_copies(self._selector, self.waker)

    def write(self) -> None:
        """Write for the added outlets. Then wait until more can be written to any outlet, and write that."""
        for outlet in list(self.added):
            self._flush(outlet)
            self.added.discard(outlet)
        if not self.watched:
            return
        for key, _ in self._selector.select(max(0.0, self._next_look - time.monotonic())):
            if key.data is None:
                self.waker.drain()
            else:
                self._flush(key.data)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = math.inf
            for outlet, watched in list(self.watched.items()):
                if not watched.registered or watched.unsent.deadline <= now:
                    self._flush(outlet)
                else:
                    self._next_look = min(self._next_look, watched.unsent.deadline)

    def close(self) -> None:
        """Let all descriptors go. No thread may use the waker any more."""
        do_all(
            *(partial(self._let_go, outlet) for outlet in list(self.watched)), self._selector.close, self.waker.close
        )

    def _flush(self, outlet: Outlet) -> None:
        """Write, and watch the socket as long as something is left."""
        unsent = outlet.flush()
        if unsent is None:
            self._let_go(outlet)
            return
        watched = self.watched.get(outlet)
        if watched is None:
            fd = outlet.hold()
            if fd < 0:
                return
            try:
                watched = self.watched[outlet] = _Watched(fd, unsent)
            except BaseException:
                outlet.let_go()
                raise
        watched.unsent = unsent
        if unsent.writable and not watched.registered:  # the bytes wait for the network
            try:
                self._selector.register(watched.fd, selectors.EVENT_WRITE, outlet)
                watched.registered = True
            except KeyError:  # a step was cut off between these two
                watched.registered = True
            except (OSError, ValueError):  # the selector is full: then we try to write again and again
                pass
        elif not unsent.writable and watched.registered:
            watched.registered = False
            self._selector.unregister(watched.fd)
        look = unsent.deadline if watched.registered else time.monotonic() + _RETRY
        self._next_look = min(self._next_look, look)

    def _let_go(self, outlet: Outlet) -> None:
        watched = self.watched.pop(outlet, None)
        if watched is not None:
            try:
                if watched.registered:
                    self._selector.unregister(watched.fd)
            finally:
                outlet.let_go()
