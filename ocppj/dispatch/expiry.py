"""`Expiries`: ends stored requests at the time that they expire, also while their client is away."""

from __future__ import annotations

from typing import Callable, Optional

from ..errors import CallTimeout, NotRunning
from ..log_limit import SafeLog
from .queues import RequestBundle, ServerQueueMap
from .timeouts import Timeouts

__all__ = ["Expiries", "expiry_of", "has_expired"]

# Seconds after which it looks again at the latest: the time of day may be set, and this timer does not notice.
_LONGEST = 3600.0
# Seconds after which it looks again when the file could not be read.
_AGAIN = 60.0


class Expiries:
    """The expiries of one queue map. ``end(client id, message id, error)`` ends a request; it runs on the timer.

    The file has the times, in seconds of the time of day: they outlive the process. Here is only the next one.
    """

    def __init__(self, queues: ServerQueueMap, end: Callable[[str, str, CallTimeout], object], log: SafeLog) -> None:
        self._queues = queues
        self._log = log
        self._end = end
        self._due: Optional[float] = None  # when it looks the next time; two threads that set it cost one look more

    def begin(self, timeouts: Timeouts) -> None:
        """End what has expired, and watch the rest. Called when the queues are open."""
        self._due = None
        self._look(timeouts)

    def watch(self, expires: float, timeouts: Timeouts) -> None:
        """Look at that time, too."""
        if self._due is None or expires < self._due:
            self._due = expires
            wait = min(max(0.0, expires - timeouts.now()), _LONGEST)
            timeouts.add(wait, lambda: self._look(timeouts))

    def _look(self, timeouts: Timeouts) -> None:
        self._due = None
        now = timeouts.now()
        try:
            for client_id, message_id in self._queues.expired(now):
                self._end(client_id, message_id, expiry_of(message_id))
            following = self._queues.next_expiry(now)
        except NotRunning:  # it is stopped
            return
        except Exception as error:  # from the disk, or from a map of the program's own
            self._log.error("which stored requests have expired cannot be told now: %s", error)
            following = now + _AGAIN
        if following is not None:
            self.watch(following, timeouts)


def expiry_of(message_id: str) -> CallTimeout:
    """Return the error of a request that has expired."""
    return CallTimeout("the request has expired, and is not sent any more", message_id)


def has_expired(bundle: RequestBundle, timeouts: Timeouts) -> bool:
    """Tell whether ``bundle`` has expired."""
    return bundle.expires is not None and bundle.expires <= timeouts.now()
