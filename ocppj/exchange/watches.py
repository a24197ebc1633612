"""`Watches`: tells the program where a call or a handler begins and ends, for tracing."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, List, NamedTuple, Optional, Protocol, Tuple

from ..callables import check_not_async
from ..errors import UsageError

__all__ = ["Ended", "Watch", "Watched", "Watches"]

#: Called once with what a call or a handler failed with; ``None``: it succeeded.
Ended = Callable[[Optional[BaseException]], object]


class Watched(NamedTuple):
    """A request that is sent, or handled.

    Attributes:
        client_id: The identity of the charge point.
        version: The OCPP version, such as "1.6".
        action: Such as "Heartbeat".
        message_id: The id of the CALL.
    """

    client_id: str
    version: str
    action: str
    message_id: str


class Watch(Protocol):
    """What `Server.add_watch` takes. Its methods must not block. An exception that they raise is logged.

    Each returns what is called at the end, with the error or ``None``; or ``None`` if nothing is to be called.
    """

    def call_began(self, watched: Watched) -> Optional[Ended]:
        """Note that a request is about to be queued; on the thread that makes it.

        The end may come on any thread. The caller has the answer when all watches have returned. The error is an
        `OCPPError` (the peer refused it), or a `CallFailed`.
        """

    def handler_began(self, watched: Watched) -> Optional[Ended]:
        """Note that the handler of a request is about to run; on its thread.

        The end comes on that thread, too. The error is what the handler raised.
        """


class Watches:
    """The watches of one endpoint. ``call`` calls a function of the program, and logs what it raises."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self.all: Tuple[Watch, ...] = ()  # changed under the lock, and read without it

    def add(self, watch: Watch) -> None:
        for method in ("call_began", "handler_began"):
            if not callable(getattr(watch, method, None)):
                raise UsageError(f"a watch is an object with call_began() and handler_began(), not {watch!r}")
            check_not_async("the method", getattr(watch, method))
        with self._lock:
            self.all += (watch,)

    def remove(self, watch: Watch) -> None:
        """Take away what `add` added. Raises `UsageError` if it is not there."""
        with self._lock:
            left = list(self.all)
            if watch not in left:
                raise UsageError(f"{watch!r} is not registered")
            left.remove(watch)
            self.all = tuple(left)

    def call_began(self, watched: Watched) -> Ended:
        """Tell of a call. Return what tells of its end, and never raises."""
        return partial(self._end, [self._call(watch.call_began, watched) for watch in self.all])

    def handler_began(self, watched: Watched) -> Ended:
        """Tell of a handler. Return what tells of its end, and never raises."""
        return partial(self._end, [self._call(watch.handler_began, watched) for watch in self.all])

    def _end(self, ended: List[Optional[Ended]], error: Optional[BaseException]) -> None:
        for end in reversed(ended):
            if end is not None:
                self._call(end, error)
