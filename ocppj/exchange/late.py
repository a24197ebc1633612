"""`LateAnswers`: the ids of requests that ended without an answer, because the answer may still come."""

from __future__ import annotations

import threading
from typing import Tuple

from ..recent import Recent

__all__ = ["LateAnswers"]

#: So many ids are remembered, of all peers. Then the oldest is forgotten, and its answer counts as one to nothing.
_CAPACITY = 10_000


class LateAnswers:
    """Tells a late answer to a request of ours from an answer to nothing. Any thread may call it."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._lock = threading.Lock()
        self._ids: Recent[Tuple[str, str], None] = Recent(capacity)

    def expect(self, client_id: str, message_id: str) -> None:
        """Note that a request to that client ended without an answer."""
        with self._lock:
            self._ids.remember((client_id, message_id), None)

    def take(self, client_id: str, message_id: str) -> bool:
        """Tell whether the answer of that id is a late one. It is so once."""
        with self._lock:
            return self._ids.pop((client_id, message_id), self) is None
