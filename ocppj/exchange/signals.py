"""SIGTERM stops an endpoint while its ``start()`` waits on the main thread."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Iterator, Optional

__all__ = ["stop_on_sigterm"]


@contextmanager
def stop_on_sigterm(stop: Callable[[Optional[FrameType]], object], wanted: bool) -> Iterator[None]:
    """Return a context in which SIGTERM has ``stop(frame)`` called, with the frame that it interrupts.

    A handler of the program's own is called after that, and is in force again when the context ends. Nothing is done
    on another thread than the main one, which alone handles signals, nor where SIGTERM is ignored.
    """
    before: Any = None
    if wanted and threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGTERM)
    if before is None or before is signal.SIG_IGN:  # ``None``: a handler that is not of Python
        yield
        return

    def handle(number: int, frame: Optional[FrameType]) -> None:
        stop(frame)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is handle:  # else the program has set another one meanwhile
            signal.signal(signal.SIGTERM, before)
