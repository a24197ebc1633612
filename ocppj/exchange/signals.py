"""SIGTERM stops an endpoint while its ``start()`` waits on the main thread."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Iterator, Optional

from ..forks import register

__all__ = ["stop_on_sigterm"]

_Stop = Callable[[Optional[FrameType]], object]


@contextmanager
def stop_on_sigterm(stop: _Stop, wanted: bool) -> Iterator[None]:
    """Return a context in which SIGTERM has ``stop(frame)`` called, with the frame that it interrupts.

    A handler of the program's own is called after that, and is in force again when the context ends, and in a process
    that is forked meanwhile. Nothing is done on another thread than the main one, which alone handles signals, nor
    where SIGTERM is ignored.
    """
    before: Any = None
    if wanted and threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGTERM)
    if before is None or before is signal.SIG_IGN:  # ``None``: a handler that is not of Python
        yield
        return
    handler = _Handler(stop, before)
    register(handler)  # first: a process may be forked at any time
    signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        handler.take_away()


class _Handler:
    """Calls ``stop``, and then the handler that SIGTERM had ``before``."""

    def __init__(self, stop: _Stop, before: Any) -> None:
        self._stop = stop
        self._before = before

    def __call__(self, number: int, frame: Optional[FrameType]) -> None:
        self._stop(frame)
        if callable(self._before):
            self._before(number, frame)

    def take_away(self) -> None:
        """Put the handler back that there was before, unless the program has set another one meanwhile."""
        present: Any = signal.getsignal(signal.SIGTERM)
        if present is self:
            signal.signal(signal.SIGTERM, self._before)

    def _after_fork(self) -> None:
        """Have SIGTERM end the child as it would have ended the parent before: the session is the parent's alone."""
        self.take_away()
