"""What a proxy counts."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Counter as CounterType

__all__ = ["Counts", "Tally"]


@dataclass(frozen=True)
class Counts:
    """The counts of a `Proxy` at one moment. All but ``connections`` only grow.

    Attributes:
        connections: Stations that are connected through the proxy now.
        connected: Stations that were connected so far. Each reconnection counts.
        refused: Stations that the central system refused, or for which it could not be reached.
        from_stations: Frames of stations that were passed on.
        from_csms: Frames of the central system that were passed on.
        changed: Frames that a hook has changed. They count as passed on, too.
        answered: CALLs that a hook has answered.
        dropped: Frames that a hook has dropped.
        undelivered: Frames that could not be passed on, because the other side was gone. The connection of their
            sender ended.
        copied: Frames that observers were sent.
        missed: Frames that observers were not sent, because they were away or slow for too long.
    """

    connections: int = 0
    connected: int = 0
    refused: int = 0
    from_stations: int = 0
    from_csms: int = 0
    changed: int = 0
    answered: int = 0
    dropped: int = 0
    undelivered: int = 0
    copied: int = 0
    missed: int = 0


class Tally:
    """Counts, by the names of `Counts`. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: CounterType[str] = Counter()

    def add(self, name: str, count: int = 1) -> None:
        """Count something."""
        with self._lock:
            self._counts[name] += count

    def counts(self) -> Counts:
        """Return the counts of now."""
        with self._lock:
            return Counts(**self._counts)
