"""`Running`: the life cycle of a client and of a server: started once at a time, stopped from anywhere.

A *session* lasts from ``connect()`` or ``listen()`` to the end of ``stop()``. A new one begins only when the one before
has ended altogether, so that the tail of a ``stop()`` never meets the session after it.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Iterable, Optional, Type, TypeVar

from ..errors import Stopped, UsageError
from ..rpc.features import Profile
from .caller import Node
from .options import Options

__all__ = ["Running"]

S = TypeVar("S", bound="Running")


class Running(Node):
    """A `Node` that can be started and stopped. Use `Client` or `Server`."""

    _ws: Any  # a transport's client or server

    def __init__(self, profiles: Iterable[Profile], options: Options) -> None:
        super().__init__(profiles, options)
        self._lock = threading.Lock()  # guards what follows, and what `Client` and `Server` say
        self._started = False
        self._session: object = None  # which one it is that has begun last
        self._stoppers = 0  # threads inside stop()
        self._ended = threading.Event()  # set when nothing is connected or listening, nor will be again
        self._ended.set()

    def stop(self) -> None:
        """Close every connection, and end every request with `Stopped`; return when threads and sockets are gone.

        May be called from any thread, handlers included, and more than once. Its own thread is not waited for, and a
        handler that does not end only for some seconds. What a dispatcher, queue or transport of the program's own
        raises is raised when all is done.
        """
        with self._lock:
            self._started = False
            self._stoppers += 1
        try:
            with ExitStack() as rest:  # last first, and all of it, whatever a part of the program's own raises
                rest.callback(self._ended.set)
                rest.callback(self._timeouts.stop)
                rest.callback(self._stop_transport)
                rest.callback(self._fail_calls)
                self._dispatcher.stop()
        finally:
            with self._lock:
                self._stoppers -= 1

    def _fail_calls(self) -> None:
        for open_call in self._calls.take_all():
            open_call.fail(Stopped(f"{self} was stopped", open_call.message_id))

    def _stop_transport(self) -> None:
        """Have the transport close every connection."""
        self._ws.stop()

    def _begin(self) -> object:
        """Begin a session and return it. Raises `UsageError` when there are no profiles, or one has not ended."""
        if not self.profiles:
            raise UsageError(f"{self} has no profiles, hence no OCPP version to speak")
        with self._lock:
            if self._started:
                raise UsageError(f"{self} is started already")
            if self._stoppers:
                raise UsageError(f"{self} is being stopped")
            self._started = True
            session = self._session = object()
            self._ended.clear()
        self._timeouts.start()
        return session

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.stop()
