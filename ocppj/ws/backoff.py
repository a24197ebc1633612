"""How long to wait before connecting again (OCPP 2.x Part 4 "Reconnecting", 2.0.1 errata 4.12). Pure."""

from __future__ import annotations

import random as _random
from typing import Any, Callable, Iterator

from ..interrupted import calls_program
from ..option_checks import check_option

__all__ = ["Backoff"]


class Backoff:
    """How long to wait in an outage. May be shared by any number of clients.

    An outage ends when a connection has brought an answer, or has lasted for half a minute.

    The first wait is the minimum plus a random part of the range. After each failure the last wait is doubled and a new
    random part added, as often as the repeat times; then the wait stays. The defaults make 1 to 3 s, then 2 to 8 s, up
    to about a minute and a half. A charging station uses the values of its configuration.

    The first three arguments are attributes too, named as the variables of OCPPCommCtrlr. They may be set at any time,
    by any thread, and count from the next outage on.

    Args:
        retry_back_off_wait_minimum: Seconds.
        retry_back_off_random_range: Seconds.
        retry_back_off_repeat_times: How often the wait is doubled.
        random: Returns a number from 0 to 1. The threads that connect call it.

    Raises:
        UsageError: A value is no number, negative, or more than 100 years; also when it is set.
    """

    retry_back_off_wait_minimum: float
    retry_back_off_random_range: float
    retry_back_off_repeat_times: int

    def __init__(
        self,
        retry_back_off_wait_minimum: float = 1.0,
        retry_back_off_random_range: float = 2.0,
        retry_back_off_repeat_times: int = 5,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self.retry_back_off_wait_minimum = retry_back_off_wait_minimum
        self.retry_back_off_random_range = retry_back_off_random_range
        self.retry_back_off_repeat_times = retry_back_off_repeat_times
        check_option("Backoff", "random", random)
        self._random = random

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("retry_back_off_"):
            check_option("Backoff", name, value)
        super().__setattr__(name, value)

    @calls_program
    def waits(self) -> Iterator[float]:
        """Yield the seconds to wait before each attempt of one outage, for ever."""
        minimum, extent = self.retry_back_off_wait_minimum, self.retry_back_off_random_range
        repeats = self.retry_back_off_repeat_times
        wait = minimum + extent * self._random()
        yield wait
        for _ in range(repeats):
            wait = 2 * wait + extent * self._random()
            yield wait
        while True:
            yield wait
