"""`Opening`: how the first boots of the station are answered, and what it did meanwhile."""

from __future__ import annotations

import threading
from typing import Any, Dict, Optional

from ...testing.examples import dialect_of, example
from ...testing.seen import Seen

__all__ = ["Opening"]


class Opening:
    """The first boots: Rejected, then Pending, then Accepted. Later ones are accepted.

    Args:
        is_wanted: Whether it is to be so. Else all boots are accepted.
        interval: Seconds: the interval in the answer Rejected, and that of heartbeats. Pending has one second more.

    Attributes:
        intervals: The interval in the answer, by its status.
        is_over: Whether nothing of it is to come any more.
        is_judged: Whether a case has waited for it.
        asked: The answers of the station to what was asked of it while it was Pending, by a name.
        first: The first entry that a case may look at.
    """

    def __init__(self, is_wanted: bool, interval: int) -> None:
        self.intervals: Dict[str, int] = {"Rejected": interval, "Pending": interval + 1, "Accepted": interval}
        self._lock = threading.Lock()
        self._left = ["Rejected", "Pending"] if is_wanted else []
        self._is_first_accept = is_wanted
        self.is_over: bool = not is_wanted
        self.is_judged: bool = not is_wanted
        self.asked: Dict[str, Optional[Seen]] = {}
        self.first = 0

    def reply(self, request: Any) -> Optional[Any]:
        """Return the answer to a BootNotification. ``None``: the usual one."""
        with self._lock:
            status = self._left.pop(0) if self._left else "Accepted"
            if status == "Accepted" and not self._is_first_accept:
                return None
            self._is_first_accept = self._is_first_accept and status != "Accepted"
        dialect = dialect_of(type(request))
        if dialect is None:
            return None
        response = dialect.load_type("BootNotificationResponse")
        return example(response, status=status, interval=self.intervals[status])

    def give_up(self) -> None:
        """Accept all boots from now on."""
        with self._lock:
            self._left.clear()
            self._is_first_accept = False
        self.is_over = True
