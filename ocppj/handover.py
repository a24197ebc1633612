"""`hand_over`: another thread does something for one that was interrupted (`ocppj.interrupted`)."""

from __future__ import annotations

import sys
import threading
import time
from _thread import allocate_lock, start_new_thread
from contextlib import suppress
from types import FrameType
from typing import Any, Callable, List, Optional, Tuple

from .errors import WouldDeadlock
from .log_limit import safe_log

__all__ = ["hand_over"]

PATIENCE = 1.0  # seconds that the interrupted thread waits for what another one does for it
_LOOK = 0.05  # seconds between two looks whether that waits for a lock


def hand_over(name: str, job: Callable[[], object], seconds: Optional[float] = None) -> None:
    """Have another thread, called ``name``, run ``job``, and wait up to ``seconds`` for it.

    It may be called inside whatever was interrupted: nothing here waits for a lock of Python code. So the first thread
    is one of `_thread`: `threading` takes locks of its own to start one. That thread starts the one that runs the job.

    Args:
        name: Of the thread.
        job: What it is to do.
        seconds: ``None``: `PATIENCE`. 0: do not wait.

    Raises:
        WouldDeadlock: No thread can be started.
        BaseException: What ``job`` raised within that time. It is logged if it comes later.
    """
    done = allocate_lock()
    done.acquire()
    handed = _HandedOver(name, job, done)
    try:
        start_new_thread(handed.start, ())
    except RuntimeError as error:
        raise WouldDeadlock(f"{name}: no thread can be started, and this one was interrupted") from error
    deadline, before = time.monotonic() + (PATIENCE if seconds is None else seconds), None
    while time.monotonic() < deadline and not done.acquire(timeout=min(_LOOK, PATIENCE)):
        place = handed.place()
        if place is not None and place == before:  # it waits for a lock, most likely one of this thread
            break
        before = place
    handed.awaited = False  # before the look: an error that comes later is logged
    if handed.errors:
        raise handed.errors.pop()


class _HandedOver:
    """A job that another thread does for one that was interrupted."""

    def __init__(self, name: str, job: Callable[[], object], done: Any) -> None:
        self._name = name
        self._job = job
        self._done = done
        self._turns: List[int] = []  # idents of the threads that came to run the job; the first one does
        self._ident = 0  # of the thread that runs the job
        self.awaited = True  # the interrupted thread waits
        self.errors: List[BaseException] = []  # what the job raised, until one of the two threads takes it

    def start(self) -> None:
        """Start a thread of `threading`, which has a name: only such a thread is forgotten when it has ended."""
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except BaseException:  # no more threads, or no memory for one
            self._run()

    def place(self) -> Optional[Tuple[FrameType, int]]:
        """Return which instruction of this library the job is at; ``None`` inside a function of others.

        A job that waits for a lock stays at one. While it waits for an event, or a thread, it is inside `threading`.
        """
        frame = sys._current_frames().get(self._ident)
        if frame is None or not str(frame.f_globals.get("__name__")).startswith("ocppj."):
            return None
        return frame, frame.f_lasti

    def _run(self) -> None:
        self._turns.append(threading.get_ident())
        self._ident = self._turns[0]
        if self._ident != threading.get_ident():
            return  # the thread runs, though its start failed
        try:
            self._job()
        except BaseException as error:
            self.errors.append(error)
            if not self.awaited:
                with suppress(IndexError):  # the interrupted thread has just taken it
                    safe_log.error("%s failed", self._name, exc_info=self.errors.pop())
        finally:
            self._done.release()
