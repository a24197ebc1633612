"""`Lifecycle`: a client or a server is started once at a time, and stopped from anywhere.

A *session* lasts from ``connect()`` or ``listen()`` to the end of ``stop()``. A new one begins only when the one before
has ended altogether, so that the tail of a ``stop()`` never meets the session after it.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import AbstractSet, Callable, Iterator, List, Optional, Sequence, Set

from ..errors import NotRunning, UsageError, WouldDeadlock
from ..events import Condition, Event
from ..handover import hand_over

__all__ = ["Lifecycle"]

_SETTLING = 5.0  # seconds that a new session waits for the end of a stop that was handed over


class _HandedOver:
    """A stop that another thread carries out. ``ident`` is that thread's, once it runs."""

    ident = 0


class Lifecycle:
    """Whether an endpoint is started, and how it is stopped."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self.lock: threading.Lock = threading.Lock()  # guards what follows, and the endpoint's table of connections
        self.started: bool = False
        self.session: object = object()  # the last that has begun
        self.beginners: Set[int] = set()  # idents of threads inside ``connect()`` or ``listen()``
        self.stoppers: List[int] = []  # idents of threads inside `stop`
        self._handed_over: List[_HandedOver] = []  # what is to stop this for threads that were interrupted
        self.asked: object = None  # another one each time that a thread which was interrupted has had `stop` called
        self._settled = Condition(self.lock)  # a thread has left ``connect()``, ``listen()`` or `stop`
        self.ended: Event = Event()  # set when nothing is connected or listening, nor will be again
        self.ended.set()
        self.waits_for: str = ""  # what the session needs and another process holds
        self._process = 0  # in which the last session has begun
        self._parent = 0  # the process of a session that had not ended when this process was forked; 0: there is none

    def begin(self) -> object:
        """Begin a session and return it. Raises `UsageError` when one has begun that has not ended."""
        with self.lock:
            if self.started:
                raise UsageError(f"{self._owner} is started already")
            if self.stoppers:
                raise UsageError(f"{self._owner} is being stopped")
            self.started = True
            self._process, self._parent, self.waits_for = os.getpid(), 0, ""
            self.session = object()
            self.ended.clear()
            return self.session

    def _after_fork(self) -> None:
        """Forget the session, which is the parent's. See `ocppj.forks`."""
        if self.started:
            self._parent = self._process
        self.started, self.waits_for = False, ""
        self.session = object()
        self.beginners.clear()
        self.stoppers.clear()
        self._handed_over.clear()
        self.ended.set()

    @property
    def is_running(self) -> bool:
        """Whether it is started, and waits for nothing that another process holds."""
        return self.started and not self.waits_for

    @property
    def is_stopping(self) -> bool:
        """Whether a thread stops it just now, or is about to for one that was interrupted."""
        return bool(self.stoppers or self._handed_over)

    def why_not(self, words: str) -> NotRunning:
        """Return the error of an endpoint that is not running: ``words``, or what another process has of it."""
        waits_for = self.waits_for  # another thread may set it
        if waits_for:
            words = f"{self._owner} waits for {waits_for}, which another process holds"
        elif self._parent:
            words = f"{self._owner} runs in process {self._parent}; this is {os.getpid()}, forked later"
        return NotRunning(words)

    @property
    def is_parents(self) -> bool:
        """Whether the session is that of the process from which this one was forked."""
        return self._parent != 0

    def check_process(self) -> None:
        """Raise `NotRunning` where another process has the session, or what it waits for."""
        if self._parent or self.waits_for:
            raise self.why_not(f"{self._owner} has begun just now")

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Return a context in which this thread is inside ``connect()`` or ``listen()``.

        First it waits for a stop that another thread carries out for a thread that was interrupted. The program has
        nothing that it could wait for.
        """
        me = threading.get_ident()
        with self.lock:
            if not self._settled.wait_for(lambda: all(each.ident == me for each in self._handed_over), _SETTLING):
                self._handed_over.clear()  # to wait once is enough
            self.beginners.add(me)
        try:
            yield
        finally:
            with self.lock:
                self.beginners.discard(me)
                self._settled.notify_all()

    def wait_for_beginners(self, seconds: float, exempt: AbstractSet[int]) -> bool:
        """Wait until no thread is inside ``connect()`` but those ``exempt``. Return whether that is so."""
        with self.lock:
            return self._settled.wait_for(lambda: self.beginners <= exempt, seconds)

    def hand_over(self, stop: Callable[[], object], seconds: Optional[float]) -> None:
        """Have another thread call ``stop``; see `ocppj.handover`. Until it has, a new session waits.

        For a thread that was interrupted: it takes no lock.
        """
        handed = _HandedOver()

        def run() -> None:
            handed.ident = threading.get_ident()
            try:
                stop()
            finally:
                with self.lock, suppress(ValueError):
                    self._handed_over.remove(handed)
                    self._settled.notify_all()

        self._handed_over.append(handed)
        try:
            hand_over("ocppj-stop", run, seconds)
        except WouldDeadlock:  # there is no thread to do it
            with suppress(ValueError):
                self._handed_over.remove(handed)
            raise

    def stop(self, steps: Sequence[Callable[[], object]], session: Optional[object] = None) -> None:
        """End the session by calling ``steps`` in their order. May be called by several threads, and again.

        Every step is called, whatever an earlier one raises. What a step raises is raised when all are done. With
        ``session`` that one is ended, and no other one that has begun since.
        """
        me = threading.get_ident()
        with self.lock:
            if session is not None and session is not self.session:
                return
            self.started = False
            self.stoppers.append(me)
        try:
            with ExitStack() as rest:  # calls the last callback first
                rest.callback(self.ended.set)
                for step in reversed(steps):
                    rest.callback(step)
        finally:
            with self.lock:
                self.stoppers.remove(me)
                self._settled.notify_all()
