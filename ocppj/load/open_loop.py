"""`OpenLoop`: sends requests at a given rate, whether or not the answers come, and measures when they come.

Each request is due at a time that was fixed before. Its latency counts from then on. So a slow central system shows in
the latency of all requests that had to wait, and not of those alone that were sent while it was slow.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import List, Optional, Sequence, Tuple, Type

from .load_station import LoadStation, Tally

__all__ = ["OpenLoop", "Step", "quantile"]

_SWITCH = 0.001  # seconds after which Python has another thread run: the sender must not wait long for the readers
_SWEEP = 0.25  # seconds between two looks for requests without an answer


def quantile(values: Sequence[float], share: float) -> Optional[float]:
    """Return the value that this share of ``values`` does not exceed. ``None``: there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Step:
    """What was measured at one rate.

    Attributes:
        rate: How many requests a second were due.
        seconds: For how long.
        due: How many requests were due.
        answered: How many were answered with a result.
        answered_rate: How many answers came a second, until the last.
        latencies: Seconds from when each request was due until its answer.
        on_wire: Seconds from when each was sent until its answer.
        errors: The error of each that failed.
        lateness: By how many seconds each request was sent, or queued, too late.
        processor: The share of the time in which a processor worked for this process. More than 1: several did.
        machine: The share of the time in which the processors of this machine worked. ``None``: it is not known.
    """

    rate: float
    seconds: float
    due: int = 0
    answered: int = 0
    answered_rate: float = 0.0
    latencies: List[float] = field(default_factory=list)
    on_wire: List[float] = field(default_factory=list)
    errors: List[str] = field(default_factory=list)
    lateness: List[float] = field(default_factory=list)
    processor: float = 0.0
    machine: Optional[float] = None

    @property
    def p50(self) -> Optional[float]:
        """The median latency, in seconds."""
        return quantile(self.latencies, 0.5)

    @property
    def p99(self) -> Optional[float]:
        """The latency that 99 of 100 answers kept, in seconds."""
        return quantile(self.latencies, 0.99)

    @property
    def most(self) -> Optional[float]:
        """The longest latency, in seconds."""
        return max(self.latencies, default=None)

    @property
    def late(self) -> float:
        """How late 99 of 100 requests were sent at most, in seconds: this is the fault of the load itself."""
        return quantile(self.lateness, 0.99) or 0.0

    @property
    def error_share(self) -> float:
        """Which share of the requests failed."""
        return len(self.errors) / max(1, self.due)


class OpenLoop:
    """Sends requests over stations, in turn. It is a context manager.

    Args:
        stations: They have connected.
        text: What they send, as in `LoadStation.send_due`.
        timeout: Seconds until a request without an answer fails.
    """

    def __init__(self, stations: Sequence[LoadStation], text: str, *, timeout: float = 10.0) -> None:
        self._stations = stations
        self._text = text
        self._timeout = timeout
        self._never = threading.Event()
        self._turn = 0
        self._swept = 0.0
        self._switch = sys.getswitchinterval()

    def __enter__(self) -> "OpenLoop":
        sys.setswitchinterval(_SWITCH)
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        sys.setswitchinterval(self._switch)

    def run(self, rate: float, seconds: float) -> Step:
        """Send at ``rate`` requests a second for some seconds. Returns when all have been answered, or have failed."""
        step, tally = Step(rate, seconds), Tally()
        count = max(1, round(rate * seconds))
        began, worked, machine = time.perf_counter(), time.process_time(), _machine_times()
        self._send_all(step, tally, count, began, rate)
        step.machine = _busy_share(machine, _machine_times())
        step.processor = (time.process_time() - worked) / max(time.perf_counter() - began, 1e-9)
        step.due = count
        self._drain(tally, count)
        step.latencies, step.on_wire, step.errors = tally.latencies, tally.on_wire, tally.errors
        step.answered = len(step.latencies)
        step.answered_rate = step.answered / max(tally.last - began, seconds)
        return step

    def _send_all(self, step: Step, tally: Tally, count: int, began: float, rate: float) -> None:
        stations, text, lateness = self._stations, self._text, step.lateness
        for number in range(count):
            due = began + number / rate
            left = due - time.perf_counter()
            if left > 0:
                self._never.wait(left)
            stations[self._turn % len(stations)].send_due(due, tally, text)
            self._turn += 1
            now = time.perf_counter()
            lateness.append(max(0.0, now - due))
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        if now - self._swept >= _SWEEP:
            self._swept = now
            for station in self._stations:
                station.give_up(now - self._timeout)

    def _drain(self, tally: Tally, count: int) -> None:
        """Wait until all requests have ended. What has not even been sent after a timeout is dropped."""
        end = time.perf_counter() + self._timeout
        while tally.ended < count and time.perf_counter() < end:
            self._never.wait(0.01)
            self._sweep(time.perf_counter())
        if tally.ended >= count:
            return
        for station in self._stations:
            station.drop_waiting(tally)
        end += self._timeout
        while tally.ended < count and time.perf_counter() < end:
            self._never.wait(0.01)
            self._sweep(time.perf_counter())


def _machine_times() -> Optional[Tuple[float, float]]:
    """Return for how long the processors of this machine have worked, and for how long there were any (on Linux)."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            times = [float(each) for each in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    idle = sum(times[3:5])
    return sum(times) - idle, sum(times)


def _busy_share(before: Optional[Tuple[float, float]], after: Optional[Tuple[float, float]]) -> Optional[float]:
    if before is None or after is None or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])
