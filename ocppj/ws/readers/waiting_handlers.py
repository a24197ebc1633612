"""Which handlers of shared readers wait for a message, and how many may: the tables.

A handler that waits for an answer holds its slot for as long as the peer likes. So only a part of the slots is for
such handlers. The rest, the reserve (`scheduler.reserve_of`), serves handlers that do not wait. When that part is used
up, `take` refuses one more. When half of it is used, `take` refuses a second one of the same client, which may have
several handlers after reconnects.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Dict, Iterable, Optional

__all__ = ["WaitingHandlers"]

_REPORT_EVERY = 60.0  # seconds between two log lines about refusals


class WaitingHandlers:
    """At most ``allowed`` waiting handlers, by client. Guarded by the lock of the workers."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self.count: int = 0
        self._by_client: Dict[str, int] = {}
        self._refused = 0  # since the last report
        self._reported_at = -math.inf

    def take(self, client_id: str) -> bool:
        """Count a handler of ``client_id`` that begins to wait; return false if it must not."""
        most = self.allowed // 2 if client_id in self._by_client else self.allowed
        if self.count >= most:
            self._refused += 1
            return False
        self.count += 1
        self._by_client[client_id] = self._by_client.get(client_id, 0) + 1
        return True

    def give_back(self, client_id: str) -> None:
        """Note that a handler of ``client_id`` waits no more."""
        self.count -= 1
        self._by_client[client_id] -= 1
        if not self._by_client[client_id]:
            del self._by_client[client_id]

    def rebuild(self, client_ids: Iterable[str]) -> None:
        """Make the tables anew: the handlers that wait are those of ``client_ids``."""
        self._by_client = dict(Counter(client_ids))
        self.count = sum(self._by_client.values())

    def report(self, now: float) -> Optional[int]:
        """Return how many were refused since the last report; ``None`` if that was less than a minute ago."""
        if now < self._reported_at + _REPORT_EVERY:
            return None
        count, self._refused, self._reported_at = self._refused, 0, now
        return count
