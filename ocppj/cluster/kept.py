"""`KeptRequests`: requests with ``offline`` that other nodes were given. If such a node ends, they are made again.

A node stores such a request as soon as it reads it. One that ends before that has lost it. So whoever made the request
keeps it until it ends. If it turns out to be stored, it is not stored twice: its id is in use.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any, Callable, Optional, Set

from ..dispatch.futures import CallFuture, OpenCall
from ..dispatch.timeouts import Timeouts
from ..errors import CallTimeout, ClusterUnavailable, ConnectionLost, QueueFailed, Stopped, UsageError
from ..interrupted import calls_program
from ..payloads.model import Payload
from .remote_calls import HAS_ENDED
from .serving import WAS_STOPPED

__all__ = ["KeptRequests"]

#: Seconds between two attempts to make a request again.
PAUSE = 1.0
#: Makes a request again, with ``expires=``, and returns its future. It may wait.
Again = Callable[..., "CallFuture[Any]"]


class KeptRequests:
    """The requests that are kept until they end. Thread-safe.

    Args:
        later: Has a function called on a thread that may wait, or drops it if this node leaves.
        timeouts: For the pauses between attempts.
    """

    def __init__(self, later: Callable[[Callable[[], object]], object], timeouts: Timeouts) -> None:
        self._later = later
        self._timeouts = timeouts
        self._lock = threading.Lock()
        self._kept: Set[_Kept] = set()

    def keep(
        self, request: Payload, first: "CallFuture[Any]", again: Again, expires: Optional[float]
    ) -> "CallFuture[Any]":
        """Return a future that ends as ``first`` does; but if its node ends, as the one that ``again`` makes.

        ``expires`` are the seconds after which the request ends.
        """
        kept = _Kept(request, first, again, expires, self)
        with self._lock:
            self._kept.add(kept)
        first.add_done_callback(kept.ended_there)
        return kept.call.future

    def stop(self) -> None:
        """End with `Stopped` what was not made again in time."""
        with self._lock:
            left, self._kept = self._kept, set()
        for kept in left:
            kept.call.fail(Stopped("stopped before the answer came", kept.call.message_id))

    def _try_later(self, kept: "_Kept") -> None:
        self._timeouts.add(PAUSE, partial(self._put, kept))

    def _put(self, kept: "_Kept") -> None:
        self._later(kept._make_again)

    def _after_fork(self) -> None:
        left, self._kept = self._kept, set()
        for kept in left:
            kept.call.future._after_fork()


def _node_has_ended(error: Optional[BaseException]) -> bool:
    return isinstance(error, ConnectionLost) and error.description in (WAS_STOPPED, HAS_ENDED)


class _Kept:
    """A request, and the future that the program has. Whoever takes it out of the table ends it."""

    def __init__(
        self,
        request: Payload,
        first: "CallFuture[Any]",
        again: Again,
        expires: Optional[float],
        table: KeptRequests,
    ) -> None:
        future: CallFuture[Any] = CallFuture(first.message_id, self._withdraw, first._waiting, first._log)
        self.call = OpenCall(request, future)
        self._current = first
        self._again = again
        self._table = table
        self._end = None if expires is None else time.monotonic() + expires

    def ended_there(self, first: "CallFuture[Any]") -> None:
        """End as ``first`` has, or make the request again."""
        if not first.cancelled() and _node_has_ended(first.exception()):
            self._table._later(self._make_again)
        else:
            self._end_as(first)

    @calls_program  # `again` is a public method, and this holds no lock
    def _make_again(self) -> None:
        if self.call.future.done():  # canceled
            self._take()
            return
        if self._end is not None and time.monotonic() >= self._end:
            if self._take():
                self.call.fail(CallTimeout("it has expired before it could be made again", self.call.message_id))
            return
        try:
            second = self._again(expires=self._left())
        except UsageError:  # the id is in use: that node had stored it
            self._end_as(self._current)
        except (ClusterUnavailable, QueueFailed):  # it may be better soon
            self._table._try_later(self)
        except Exception as error:
            if self._take():
                self.call.fail(error)
        else:
            self._current = second
            second.add_done_callback(self._end_as)
            if self.call.future.cancelled():  # meanwhile
                second.cancel()

    def _left(self) -> Optional[float]:
        return None if self._end is None else max(self._end - time.monotonic(), 0.001)

    def _end_as(self, ended: "CallFuture[Any]") -> None:
        if not self._take():
            return
        if ended.cancelled():
            self.call.give_up()
            return
        error = ended.exception()
        if error is None:
            self.call.answer(ended.result(), ended.signature)
        else:
            self.call.fail(error)

    def _take(self) -> bool:
        with self._table._lock:
            known = self in self._table._kept
            self._table._kept.discard(self)
        return known

    def _withdraw(self, message_id: str) -> None:
        self._current.cancel()
