"""`Requests`: the requests that came of late, for the command ``expect``."""

from __future__ import annotations

import threading
from collections import deque
from typing import Deque, NamedTuple, Optional

from ..events import Condition
from ..exchange.frame import Frame

__all__ = ["Requests"]

_MOST = 10_000


class _Request(NamedTuple):
    number: int
    client_id: str
    action: str


class Requests:
    """An observer of a server, which remembers the last 10,000 requests of its clients. Any thread may use it."""

    def __init__(self) -> None:
        self._changed = Condition(threading.Lock())  # guards the fields below
        self._known: Deque[_Request] = deque(maxlen=_MOST)
        self._count = 0
        self._expected_up_to = 0

    def __call__(self, frame: Frame) -> None:
        """Note a frame."""
        if frame.direction != "in" or frame.kind not in ("CALL", "SEND"):
            return
        action = frame.action or ""
        with self._changed:
            self._count += 1
            self._known.append(_Request(self._count, frame.client_id, action))
            self._changed.notify_all()

    def forget(self) -> None:
        """Expect only what comes from now on."""
        with self._changed:
            self._expected_up_to = self._count

    def expect(self, action: str, client_id: Optional[str], seconds: float) -> Optional[str]:
        """Wait for a request that came after the last one that was expected, and return the id of its client.

        Args:
            action: Its action.
            client_id: Its client. ``None``: any.
            seconds: How long to wait.

        Returns:
            ``None`` if it has not come.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._find(action, client_id), seconds)
            found = self._find(action, client_id)
            if found is None:
                return None
            self._expected_up_to = found.number
            return found.client_id

    def _find(self, action: str, client_id: Optional[str]) -> Optional[_Request]:
        for each in self._known:
            if each.number > self._expected_up_to and each.action == action and client_id in (None, each.client_id):
                return each
        return None
