"""`Lifecycle`: a client or a server is started once at a time, and stopped from anywhere.

A *session* lasts from ``connect()`` or ``listen()`` to the end of ``stop()``. A new one begins only when the one before
has ended altogether, so that the tail of a ``stop()`` never meets the session after it.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Callable, Sequence

from ..errors import UsageError

__all__ = ["Lifecycle"]


class Lifecycle:
    """Whether an endpoint is started, and how it is stopped."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self.lock = threading.Lock()  # guards what follows, and the endpoint's table of connections
        self.started = False
        self.session: object = None  # the session that has begun last
        self._stoppers = 0  # threads inside `stop`
        self.ended = threading.Event()  # set when nothing is connected or listening, nor will be again
        self.ended.set()

    def begin(self) -> object:
        """Begin a session and return it. Raises `UsageError` when one has begun that has not ended."""
        with self.lock:
            if self.started:
                raise UsageError(f"{self._owner} is started already")
            if self._stoppers:
                raise UsageError(f"{self._owner} is being stopped")
            self.started = True
            self.session = object()
            self.ended.clear()
            return self.session

    def stop(self, steps: Sequence[Callable[[], object]]) -> None:
        """End the session by calling ``steps`` in their order. May be called by several threads, and again.

        Every step is called, whatever an earlier one raises. What a step raises is raised when all are done.
        """
        with self.lock:
            self.started = False
            self._stoppers += 1
        try:
            with ExitStack() as rest:  # calls the last callback first
                rest.callback(self.ended.set)
                for step in reversed(steps):
                    rest.callback(step)
        finally:
            with self.lock:
                self._stoppers -= 1
