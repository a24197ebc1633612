"""`Ends`: tells the program that requests have ended.

A stored request stays in its file until its future and its handlers have been served. If the process dies before, the
request is sent again, with its id, and a later process hears of its end. The next request does not wait for this.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict, NamedTuple, Optional, Protocol

from .connection import Connection
from .handlers import HandlerRegistry

__all__ = ["Ends"]


class _Dispatcher(Protocol):
    @property
    def durable(self) -> bool: ...

    def settle_request(self, client_id: str, message_id: str, told: bool = True) -> None: ...


class _End(NamedTuple):
    """The end of a request. ``tell`` tells the program, then the ended handler does if ``ended``."""

    client_id: str
    message_id: str
    request: object
    outcome: object
    ended: bool
    tell: Optional[Callable[[], object]]


class Ends:
    """Tells of the ends of an endpoint's requests, once each."""

    def __init__(self, handlers: HandlerRegistry, by_id: Dict[str, Connection], dispatcher: _Dispatcher) -> None:
        self._handlers = handlers
        self._by_id = by_id
        self._dispatcher = dispatcher
        self._durable = dispatcher.durable
        self._untold: Dict[object, _End] = {}  # by job, until it runs; each step with it is one step of a dict
        self._stopped = False

    def begin(self) -> None:
        """Begin a session."""
        self._stopped = False

    def _after_fork(self) -> None:
        """Forget the ends that are still to be told: the parent tells them. See `ocppj.forks`."""
        self._untold.clear()

    def tell(self, what: Callable[[], object]) -> None:
        """Call ``what``, which tells of an end. Files stay open meanwhile: see `Node._release_files`."""
        context = self._handlers.context
        before = context.telling
        try:
            context.telling = True
            what()
        finally:
            context.telling = before

    def add(
        self,
        client_id: str,
        message_id: str,
        request: object,
        outcome: object,
        *,
        ended: bool,
        tell: Optional[Callable[[], object]] = None,
        connection: Optional[Connection] = None,
    ) -> None:
        """Have ``tell`` called, and if ``ended`` the ended handler.

        This happens on the handler thread of ``connection``, on which the answer came, or of the present connection; if
        there is none, on this thread.
        """
        end = _End(client_id, message_id, request, outcome, ended, tell)
        if tell is None and not (ended and self._handlers.ended is not None):
            if ended:
                self._settle(end)
            return
        connection = connection or self._by_id.get(client_id)
        if connection is None:
            self._run(end)
            return
        job = object()
        self._untold[job] = end
        connection.channel.submit(partial(self._run_job, job))
        if self._stopped:  # by this thread, in a callback of the future, for example: the job is discarded
            self.tell_rest()

    def has_untold(self) -> bool:
        """Tell whether an end is still to be told."""
        return bool(self._untold)

    def tell_rest(self) -> None:
        """Tell of the ends whose jobs were discarded, after a stop. A stored request is sent again instead."""
        self._stopped = True
        while self._untold:
            end = self._untold.popitem()[1]
            if not self._durable:
                self._run(end._replace(tell=None))
            elif end.ended:
                self._settle(end, told=False)

    def _run_job(self, job: object) -> None:
        end = self._untold.pop(job, None)
        if end is not None:
            self._run(end)

    def _run(self, end: _End) -> None:
        self.tell(partial(self._tell, end))
        if end.ended:
            self._settle(end)

    def _tell(self, end: _End) -> None:
        handler = self._handlers.ended
        if end.tell is not None:
            end.tell()
        if handler is not None and end.ended:
            self._handlers.call(handler, end.client_id, end.request, end.outcome)

    def _settle(self, end: _End, told: bool = True) -> None:
        if self._durable:
            self._handlers.call(self._dispatcher.settle_request, end.client_id, end.message_id, told)
