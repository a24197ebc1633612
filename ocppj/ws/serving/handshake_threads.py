"""The threads of handshakes: kept for a while, and no more of them at work than need be.

Sixty-four threads that each shake hands with one client fight for the interpreter more than they do; and most of those
who come have said what they want when they are looked at. So one thread, the *usher*, takes one guest after another
from the line. When it is about to do what may wait (for the peer, for a handler of the program's, for a place to become
free) it *steps aside*: if others stand in line, another thread becomes the usher and goes on with them at once. So
nobody is kept waiting by somebody else's handshake: a thousand that wait have a thousand threads. But a thousand that
need not wait have a few.

Nobody is brought before the one before him was taken: who brings him waits a moment. Those not accepted yet wait in the
backlog of the system; else a crowd that comes at once would count as handshakes in progress, and pass their limit.

A thread that has done its handshake becomes the usher if there is none, and rests otherwise; who rests for ``patience``
seconds ends. It is called ``ocppj-handshake-ADDRESS`` while it has a handshake, ``ocppj-greeter`` while it rests.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, List, Optional, Tuple

from ...settings import get_logger

__all__ = ["Greeters"]

_RESTING = "ocppj-greeter"


#: Whom to greet: the address, and what does it.
_Guest = Tuple[str, Callable[[], None]]


class _Greeter(threading.Thread):
    """One of the threads."""

    def __init__(self, address: str, serve: Callable[["_Greeter"], None]) -> None:
        super().__init__(daemon=True)
        self.rename(address)
        self._serve = serve
        self.bell = threading.Event()  # rung when it is called from its rest

    def rename(self, address: str) -> None:
        """Be called after the one it greets."""
        self.name = f"ocppj-handshake-{address}"

    def run(self) -> None:
        """Greet."""
        self._serve(self)


class Greeters:
    """The threads of one server's handshakes. Thread-safe.

    When ``line`` guests stand in line, who brings another waits until all are taken, for ``moment`` seconds at most:
    there may be no threads. A thread rests for ``patience`` seconds before it ends.
    """

    def __init__(self, *, line: int = 1, moment: float = 0.1, patience: float = 2.0) -> None:
        self._longest, self._moment, self._patience = line, moment, patience
        self._lock = threading.Lock()  # guards the fields below
        self._line: Deque[_Guest] = deque()
        self._emptied = threading.Condition(self._lock)
        self._usher: Optional[_Greeter] = None  # there is one whenever somebody stands in line
        self._resting: List[_Greeter] = []
        self._threads: List[threading.Thread] = []
        self._prune_at = 32
        self._stopping = False

    def submit(self, address: str, greet: Callable[[], None]) -> None:
        """Have ``greet`` called on one of the threads. For one thread, which waits a moment while the line is full.

        Raises ``RuntimeError`` when there can be no more threads.
        """
        guest = (address, greet)
        with self._lock:
            if len(self._line) >= self._longest:
                self._emptied.wait(self._moment)
            self._line.append(guest)
            called = self._call() if self._usher is None else None
        if called is None or self._rouse(called, None):
            return
        with self._lock:
            if guest not in self._line:
                return
            self._line.remove(guest)
        raise RuntimeError("no thread for a handshake can be started")

    def step_aside(self) -> None:
        """Say that this thread may have to wait from now on. For the threads themselves; again does nothing."""
        with self._lock:
            me = self._usher
            if me is None or me.ident != threading.get_ident():
                return
            self._usher = None
            called = self._call() if self._line else None
        if called is not None and not self._rouse(called, me):
            get_logger().error("cannot start a thread: handshakes wait for one another")

    def stop(self) -> List[threading.Thread]:
        """Let the threads end, when nobody stands in line any more; return them, to be joined.

        Who stands in line may yet be greeted on a new one: to be called again when these have ended.
        """
        with self._lock:
            self._stopping = True
            resting, threads = list(self._resting), list(self._threads)
        for greeter in resting:
            greeter.bell.set()
        return threads

    def _call(self) -> _Greeter:
        """Make somebody the usher, who is to be roused. Lock held; somebody stands in line."""
        if self._resting:
            self._usher = self._resting.pop()
            return self._usher
        self._usher = _Greeter(self._line[0][0], self._serve)
        if len(self._threads) >= self._prune_at:
            self._threads = [old for old in self._threads if old.ident is None or old.is_alive()]
            self._prune_at = max(32, 2 * len(self._threads))
        self._threads.append(self._usher)
        return self._usher

    def _rouse(self, usher: _Greeter, before: Optional[_Greeter]) -> bool:
        """Wake or start the new usher; return whether that could be done. Else it is the one ``before`` again."""
        if usher.ident is not None:
            usher.bell.set()
            return True
        try:
            usher.start()
        except RuntimeError:
            with self._lock:
                self._threads.remove(usher)
                self._usher = before
            return False
        return True

    def _serve(self, me: _Greeter) -> None:
        """Greet one after another."""
        while True:
            guest = self._next(me)
            if guest is None:
                return
            address, greet = guest
            me.rename(address)
            try:
                greet()
            except BaseException:  # which is logged where it happens; but the line must go on
                get_logger().exception("%s: greeting failed", address)
            del guest, greet  # and all that hangs on them, while this thread rests

    def _next(self, me: _Greeter) -> Optional[_Guest]:
        """Return whom to greet next, after a rest if need be; ``None`` when the thread is to end."""
        while True:
            with self._lock:
                if self._usher is None:
                    self._usher = me
                if self._usher is me:
                    if self._line:
                        guest = self._line.popleft()
                        if not self._line:
                            self._emptied.notify()
                        return guest
                    self._usher = None
                if self._stopping:
                    return None
                self._resting.append(me)
            me.name = _RESTING
            rung = me.bell.wait(self._patience)
            me.bell.clear()
            with self._lock:
                if me in self._resting:  # not called, or rung by who called it the time before
                    self._resting.remove(me)
                    if not rung:
                        return None
