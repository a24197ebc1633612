"""`PerPeer`: a setting that a function of the program chooses for each peer."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, Generic, TypeVar

from ..interrupted import calls_program
from ..log_limit import SafeLog
from ..recent import Recent

__all__ = ["PerPeer"]

T = TypeVar("T")

#: The choices for so many peers are kept. Then the oldest is dropped, and asked for again.
_CAPACITY = 50_000


class PerPeer(Generic[T]):
    """The choices of ``function(client_id)``. It is asked once for each connection of a peer. Thread-safe.

    Args:
        name: The option that the function was given for, for the log.
        function: What the program gave. It is called on the thread that needs the choice first.
        check: Returns the setting of what the function returned, or raises.
        default: The setting where the function raises, or returns what cannot be used. This is logged as an ERROR.
        log: Returns the logger.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[str], Any],
        check: Callable[[Any], T],
        default: T,
        log: Callable[[], SafeLog],
    ) -> None:
        self._name = name
        self._function = function
        self._check = check
        self._default = default
        self._log = log
        self._lock = threading.Lock()
        self._chosen: Recent[str, T] = Recent(_CAPACITY)
        self._asking: Dict[str, object] = {}  # a mark for each peer that the function is being asked for

    def get(self, client_id: str) -> T:
        """Return the setting of that peer."""
        chosen = self._chosen.get(client_id)
        return self._choose(client_id) if chosen is None else chosen

    def forget(self, client_id: str) -> None:
        """Ask again for that peer: it has connected anew."""
        with self._lock:
            self._chosen.pop(client_id, None)
            self._asking.pop(client_id, None)  # what is being chosen is for the connection before

    @calls_program
    def _ask(self, client_id: str) -> T:
        return self._check(self._function(client_id))

    def _choose(self, client_id: str) -> T:
        mark = object()
        with self._lock:
            self._asking.setdefault(client_id, mark)
        try:
            chosen = self._ask(client_id)
        except BaseException:  # sys.exit() too: it must not end the thread that reads the connection
            chosen = self._default
            text = "%s: the function for %s failed: %s applies to this connection"
            self._log().exception(text, client_id, self._name, chosen, client_id=client_id)
        with self._lock:
            if self._asking.get(client_id) is not mark:
                return self._chosen.get(client_id, chosen)  # another thread has chosen, or chooses
            del self._asking[client_id]
            self._chosen.remember(client_id, chosen)
        return chosen
