"""`Recent`: a table that is bounded, because it forgets its oldest entries."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

__all__ = ["Recent"]


class Recent(OrderedDict[K, V]):
    """A dict that keeps the ``most`` entries that were last remembered. Not locked: its owner does that."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def remember(self, key: K, value: V) -> None:
        """Note ``value`` under ``key``, as the newest entry. If there are too many, the oldest is forgotten."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)
