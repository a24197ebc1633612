"""`Deadline`: until when a case may wait."""

from __future__ import annotations

import time

from .verdicts import Doubtful

__all__ = ["Deadline"]


class Deadline:
    """A moment.

    Args:
        seconds: It comes so many seconds from now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def seconds_left(self) -> float:
        """Return how many seconds are left: 0 or less when the moment has come."""
        return self._at - time.monotonic()

    def left(self, most: float) -> float:
        """Return how long to wait: ``most`` seconds, or less when the moment comes before.

        Raises:
            Doubtful: It has come.
        """
        left = self.seconds_left()
        if left <= 0:
            raise Doubtful(f"the case took longer than its {self.seconds:g} s")
        return min(most, left)
