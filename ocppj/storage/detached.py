"""`Detached`: the stored requests that have ended, while the program is being told of it."""

from __future__ import annotations

import threading
from typing import Callable, Dict, List, Optional, Set, Tuple

__all__ = ["Detached"]


class Detached:
    """Numbers of rows that are out of their queues, and stay stored until they are settled. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # no other is taken inside
        self._rows: Dict[Tuple[Optional[str], str], List[int]] = {}  # by client and message id, oldest first
        self._untold = 0  # rows that were settled, and stay: they are in the queue again after the next start

    def _after_fork(self) -> None:
        """Forget all: the rows are the parent's. See `ocppj.forks`."""
        self._rows, self._untold = {}, 0

    def add(self, seq: int, client_id: Optional[str], message_id: str) -> None:
        """Note that the request of that row has ended."""
        with self._lock:
            rows = self._rows.setdefault((client_id, message_id), [])
            if seq not in rows:
                rows.append(seq)

    def settle(
        self, client_id: Optional[str], message_id: str, told: bool, remove: Callable[[int], None]
    ) -> Optional[int]:
        """Take the oldest row of that request out, and return it, if there is one.

        If the program was ``told``, ``remove(row)`` notes with the lock held that it is to be removed: so a thread that
        looks here and then there finds it in one place at least.
        """
        with self._lock:
            rows = self._rows.get((client_id, message_id))
            seq = rows.pop(0) if rows else None
            if rows is not None and not rows:
                del self._rows[client_id, message_id]
            if seq is not None and told:
                remove(seq)
            elif seq is not None:
                self._untold += 1
        return seq

    def rows(self) -> Set[int]:
        """Return the numbers of all rows that are detached."""
        with self._lock:
            return {seq for rows in self._rows.values() for seq in rows}

    def clear(self) -> int:
        """Forget all, and return how many requests are in their queues again after the next start."""
        with self._lock:
            count = self._untold + sum(map(len, self._rows.values()))
            self._rows, self._untold = {}, 0
        return count
