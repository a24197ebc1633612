"""How long to wait before connecting again (OCPP 2.x Part 4 "Reconnecting", 2.0.1 errata 4.12). Pure."""

from __future__ import annotations

import random as _random
from typing import Callable

from ..errors import UsageError

__all__ = ["Backoff"]


class Backoff:
    """The delays of one outage after another.

    The first wait is ``wait_minimum`` plus a random part of ``random_range`` seconds. After each failure the last wait
    is doubled and a fresh random part added, ``repeat_times`` times; then it stays. `reset` begins anew.

    The defaults suit a program that wants its connection back soon: 1 to 3 s, then 2 to 8 s, up to about a minute and
    a half. A charging station sets what its configuration says (RetryBackOffWaitMinimum, RetryBackOffRandomRange,
    RetryBackOffRepeatTimes). ``random`` returns numbers from 0 to 1. Not for several threads at once.
    """

    def __init__(
        self,
        wait_minimum: float = 1.0,
        random_range: float = 2.0,
        repeat_times: int = 5,
        random: Callable[[], float] = _random.random,
    ) -> None:
        if wait_minimum < 0 or random_range < 0 or repeat_times < 0:
            raise UsageError("back-off times cannot be negative")
        self._wait_minimum = wait_minimum
        self._random_range = random_range
        self._repeat_times = repeat_times
        self._random = random
        self.reset()

    def reset(self) -> None:
        """Begin anew, as after a success."""
        self._failures = 0
        self._wait = 0.0

    def next_wait(self) -> float:
        """Return the seconds to wait before the next attempt."""
        if self._failures == 0:
            self._wait = self._wait_minimum + self._extra()
        elif self._failures <= self._repeat_times:
            self._wait = 2 * self._wait + self._extra()
        self._failures += 1
        return self._wait

    def _extra(self) -> float:
        return self._random_range * self._random()
