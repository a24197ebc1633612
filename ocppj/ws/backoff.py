"""How long to wait before connecting again (OCPP 2.x Part 4 "Reconnecting", 2.0.1 errata 4.12). Pure."""

from __future__ import annotations

import random as _random
from typing import Callable, Iterator

from ..errors import UsageError

__all__ = ["Backoff"]


class Backoff:
    """How long to wait in an outage; may be shared by any number of clients.

    The first wait is ``wait_minimum`` plus a random part of ``random_range`` seconds. After each failure the last wait
    is doubled and a fresh random part added, ``repeat_times`` times; then it stays.

    The defaults suit a program that wants its connection back soon: 1 to 3 s, then 2 to 8 s, up to about a minute and
    a half. A charging station sets what its configuration says (RetryBackOffWaitMinimum, RetryBackOffRandomRange,
    RetryBackOffRepeatTimes). ``random`` returns numbers from 0 to 1, and is called by the threads that reconnect.
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

    def waits(self) -> Iterator[float]:
        """Yield the seconds to wait before each attempt of one outage, without end."""
        wait = self._wait_minimum + self._extra()
        yield wait
        for _ in range(self._repeat_times):
            wait = 2 * wait + self._extra()
            yield wait
        while True:
            yield wait

    def _extra(self) -> float:
        return self._random_range * self._random()
