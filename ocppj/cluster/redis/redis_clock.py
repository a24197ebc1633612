"""`RedisClock`: how the clock of Redis differs from the monotonic clock of this process."""

from __future__ import annotations

__all__ = ["RedisClock"]

_DRIFT = 1e-3  # seconds by which two clocks go apart in a second, at most


class RedisClock:
    """An estimate, of round trips in which Redis said its time.

    One that took long says little: its answer may have been made at its beginning or at its end. So it counts only if
    it says more than what is known already, or if it shows that the clock was set. For one thread.
    """

    def __init__(self) -> None:
        self.offset: float = 0.0  #: What is added to the monotonic time. 0: it is not known yet.
        self._error = float("inf")  # of the offset at most, when it was measured
        self._measured = 0.0

    def measure(self, now: float, began: float, ended: float) -> None:
        """Note that Redis said ``now`` in a round trip between those two monotonic times."""
        offset, error = now - (began + ended) / 2, (ended - began) / 2
        known = self._error + _DRIFT * (ended - self._measured)
        if error <= known or abs(offset - self.offset) > error + known:
            self.offset, self._error, self._measured = offset, error, ended
