"""`PeerWarnings`: log lines that are written once for each peer and kind, however often the peer does it."""

from __future__ import annotations

import threading
from typing import Any, Callable, Tuple

from ..log_limit import SafeLog
from ..recent import Recent

__all__ = ["PeerWarnings"]

#: So many pairs of a peer and a kind are remembered. Then the oldest is forgotten, and may be warned of again.
_CAPACITY = 50_000


class PeerWarnings:
    """Warns of a habit of a peer once. Thread-safe.

    Args:
        log: Returns the logger.
        capacity: How many warnings are remembered, over all peers.
    """

    def __init__(self, log: Callable[[], SafeLog], capacity: int = _CAPACITY) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._given: Recent[Tuple[str, str], None] = Recent(capacity)

    def warn(self, client_id: str, kind: str, text: str, *arguments: Any) -> bool:
        """Log the WARNING ``text % arguments``, unless this peer was warned of for that ``kind`` before.

        Returns:
            Whether it was logged.
        """
        key = (client_id, kind)
        if key in self._given:
            return False
        with self._lock:
            if key in self._given:
                return False
            self._given.remember(key, None)
        self._log().warning(text, *arguments, client_id=client_id)
        return True
