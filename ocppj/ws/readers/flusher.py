"""Writes what threads that neither read nor wait left in line: the thread ``ocppj-flusher``.

A frame sent with ``wait=False`` is written as far as the network takes it at once. The reading thread writes the rest
when it comes round, but one that waits for input alone does not know of it. So a `Flusher`, one for all connections of
a `Readers`, waits until those sockets can be written to. Its thread lives while there is something left.

A socket that waits here is held: its descriptor is closed when it is let go, so that the number cannot mean another
connection meanwhile. Only the flusher's thread registers and lets go. Others put a socket into ``_asked`` and wake it;
since what was asked is looked at after each round of writing, nothing is forgotten in between.
"""

from __future__ import annotations

import math
import selectors
import threading
import time
from contextlib import suppress
from typing import Callable, Dict, NamedTuple, Optional, Protocol, Set

from ...settings import get_logger
from ..stream.waiting import Waker

__all__ = ["Flusher", "Outlet", "Rest"]

_RETRY = 0.05  # seconds between tries to write where waiting until a socket is writable would not help


class Rest(NamedTuple):
    """Bytes that are still in line."""

    deadline: float  #: of `time.monotonic`, until which they must be out
    writable: bool  #: whether they wait for the network to take them; otherwise for TLS, which must read first


class Outlet(Protocol):
    """The writing side of a socket."""

    @property
    def unsent(self) -> bool:
        """Whether bytes are in line."""

    def hold(self) -> int:
        """Return the file descriptor, which stays open until `let_go`; -1 when it is closed: then nothing is held."""

    def let_go(self) -> None:
        """Undo `hold`."""

    def flush(self) -> Optional[Rest]:
        """Write what can be written without waiting, or break the socket if that took too long.

        Return what is left, ``None`` when there is nothing more to do.
        """

    def shutdown(self) -> None:
        """End the connection, and wake every thread that waits on it."""


class Flusher:
    """Writes until nothing is left. ``start`` starts its thread, and may raise ``RuntimeError``.

    ``selector`` makes the selector that its thread waits with.
    """

    def __init__(
        self,
        start: Callable[[threading.Thread], None],
        selector: Callable[[], selectors.BaseSelector] = selectors.DefaultSelector,
    ) -> None:
        self._start = start
        self._selector = selector
        self._lock = threading.Lock()  # guards the fields below
        self._asked: Set[Outlet] = set()
        self._rounds: Optional[_Rounds] = None  # the thread's, while there is one
        self._stopped = False

    def add(self, outlet: Outlet) -> None:
        """See that what is in line at ``outlet`` is written; does nothing after `stop`.

        Raises ``RuntimeError`` or ``OSError`` when that is impossible.
        """
        thread = None
        with self._lock:
            if self._stopped:
                return
            rounds = self._rounds
            if rounds is None:
                rounds = self._rounds = _Rounds(self._selector)
                thread = threading.Thread(target=self._run, args=(rounds,), name="ocppj-flusher", daemon=True)
            if thread is None and not self._asked:  # else it is awake, or about to be
                rounds.wake()
            self._asked.add(outlet)
        if thread is not None:
            try:
                self._start(thread)
            except RuntimeError:
                self._fail(rounds)
                raise

    def stop(self) -> None:
        """Tell the thread to end. What is left is not written, unless by the reading threads."""
        with self._lock:
            self._stopped = True
            if self._rounds is not None:
                self._rounds.wake()

    def _run(self, rounds: "_Rounds") -> None:
        """Write until nothing is left: the flusher's thread."""
        try:
            while True:
                with self._lock:
                    asked, self._asked = self._asked, set()
                    if self._stopped or not (asked or rounds.held):
                        self._rounds = None
                        break
                rounds.write(asked)
            rounds.close()
        except BaseException:
            get_logger().exception("what is left to be written cannot be: its connections are cut")
            self._fail(rounds)

    def _fail(self, rounds: "_Rounds") -> None:
        """Cut whoever relied on a thread that cannot go on."""
        with self._lock:
            self._rounds = None
            asked, self._asked = self._asked, set()
        for outlet in [*asked, *rounds.held]:
            outlet.shutdown()
        rounds.close()


class _Held:
    """A socket that is waited for."""

    def __init__(self, fd: int, rest: Rest) -> None:
        self.fd = fd
        self.rest = rest
        self.registered = False


class _Rounds:
    """What one thread of a flusher does. `wake` is for any thread, while the flusher's lock is held."""

    def __init__(self, selector: Callable[[], selectors.BaseSelector]) -> None:
        self._selector = selector()
        try:
            self._waker = Waker(self._selector)
        except BaseException:
            self._selector.close()
            raise
        self.held: Dict[Outlet, _Held] = {}
        self._next_look = math.inf  # when all that are held must be looked at, at the latest

    def wake(self) -> None:
        """Make the thread return from the selector."""
        self._waker.wake()

    def write(self, asked: "Set[Outlet]") -> None:
        """Write for those who ``asked``; then wait until more can be written somewhere, and write that."""
        for outlet in asked:
            self._flush(outlet)
        if not self.held:
            return
        for key, _ in self._selector.select(max(0.0, self._next_look - time.monotonic())):
            if key.data is None:
                self._waker.drain()
            else:
                self._flush(key.data)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = math.inf
            for outlet, held in list(self.held.items()):
                if not held.registered or held.rest.deadline <= now:
                    self._flush(outlet)
                else:
                    self._next_look = min(self._next_look, held.rest.deadline)

    def close(self) -> None:
        """Let everything go. Nobody may call `wake` any more."""
        for outlet in list(self.held):
            self._let_go(outlet)
        self._selector.close()
        self._waker.close()

    def _flush(self, outlet: Outlet) -> None:
        """Write, and wait for the socket as long as something is left."""
        rest = outlet.flush()
        if rest is None:
            self._let_go(outlet)
            return
        held = self.held.get(outlet)
        if held is None:
            fd = outlet.hold()
            if fd < 0:
                return
            held = self.held[outlet] = _Held(fd, rest)
        held.rest = rest
        self._watch(outlet, held)
        look = rest.deadline if held.registered else time.monotonic() + _RETRY
        self._next_look = min(self._next_look, look)

    def _watch(self, outlet: Outlet, held: _Held) -> None:
        """Have the selector watch ``outlet`` when that is what its rest waits for, and not otherwise."""
        if held.rest.writable and not held.registered:
            with suppress(OSError, ValueError):  # no room in the selector: then it is tried again and again
                self._selector.register(held.fd, selectors.EVENT_WRITE, outlet)
                held.registered = True
        elif not held.rest.writable and held.registered:
            self._selector.unregister(held.fd)
            held.registered = False

    def _let_go(self, outlet: Outlet) -> None:
        held = self.held.pop(outlet, None)
        if held is None:
            return
        if held.registered:
            self._selector.unregister(held.fd)
        outlet.let_go()
