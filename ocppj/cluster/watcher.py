"""`Watcher`: the handlers of one `Cluster.subscribe`, and the thread that calls them."""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict, Optional

from ..callables import check_handler
from ..errors import UsageError
from ..forks import register
from ..interrupted import calls_program
from ..log_limit import SafeLog
from .base import ClusterEvent
from .line import Line

__all__ = ["KINDS", "Handler", "Watcher", "check_handlers"]

Handler = Callable[[ClusterEvent], object]

#: The kinds of events.
KINDS = ("connected", "disconnected", "request")
_PATIENCE = 5.0  # seconds that `close` waits for a handler


def check_handlers(**handlers: Optional[Handler]) -> Dict[str, Handler]:
    """Return the handlers that were given, by kind. Raises `UsageError`: there is none, or one cannot be called so."""
    given = {kind: handler for kind, handler in handlers.items() if handler is not None}
    if not given:
        raise UsageError(f"subscribe() takes a handler of at least one kind: {', '.join(handlers)}")
    for handler in given.values():
        check_handler(handler, ["event"])
    return given


class Watcher:
    """A `Subscription`: a thread that calls the handlers, one at a time, in order. Thread-safe.

    Args:
        handlers: By kind.
        max_waiting: So many events wait. If more come, the oldest are dropped.
        log: Where it is logged that a handler failed.
        on_close: Called by `close`, before it waits for the thread.
    """

    def __init__(
        self,
        handlers: Dict[str, Handler],
        max_waiting: int,
        log: SafeLog,
        on_close: Callable[["Watcher"], object],
    ) -> None:
        if isinstance(max_waiting, bool) or not isinstance(max_waiting, int) or max_waiting < 1:
            raise UsageError(f"max_waiting is a whole number, 1 or more, not {max_waiting!r}")
        self._handlers = handlers
        self._log = log
        self._on_close = on_close
        self._line = Line("ocppj-cluster-events", log, max_waiting)
        self._missed = 0
        register(self)
        self._line.start()

    @property
    def kinds(self) -> "frozenset[str]":
        """The kinds of events that it has handlers for."""
        return frozenset(self._handlers)

    @property
    def dropped(self) -> int:
        """How many events were dropped, as far as it is known."""
        return self._line.dropped + self._missed

    def miss(self, count: int = 1) -> None:
        """Count events that did not come here."""
        self._missed += count

    def put(self, event: ClusterEvent) -> None:
        """Have the handler of that kind called, if there is one. Never waits."""
        handler = self._handlers.get(event.kind)
        if handler is not None:
            self._line.put(partial(self._call, handler, event))

    def close(self) -> None:
        """End it. When it returns, no handler runs any more, unless this is called from one."""
        self._on_close(self)
        if not self._line.close(_PATIENCE):
            self._log.warning("a handler of cluster events has not returned within %g seconds", _PATIENCE)

    def _after_fork(self) -> None:
        self._line._after_fork()

    @calls_program
    def _call(self, handler: Handler, event: ClusterEvent) -> None:
        try:
            handler(event)
        except BaseException:  # sys.exit() too: the thread has other events to tell
            self._log.exception("a handler of cluster events (%s) failed", event.kind)
