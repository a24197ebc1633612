"""`Summary`: what a station, or a fleet, has done."""

from __future__ import annotations

from collections import Counter
from typing import Counter as CounterType
from typing import Dict, Optional, Tuple, TypeVar

__all__ = ["FleetSummary", "Latencies", "Summary"]

K = TypeVar("K")


def _add(total: "CounterType[K]", counts: "CounterType[K]") -> None:
    """Add ``counts``, to which another thread may add just now. `Counter.update` takes ten times as long for a few."""
    for key, count in list(counts.items()):  # a copy in one step
        total[key] += count


class Latencies:
    """How long answers took. Each time is kept with three digits, so that a million of them take little room."""

    def __init__(self) -> None:
        self._counts: CounterType[float] = Counter()  # seconds

    def add(self, seconds: float) -> None:
        """Take note of one answer."""
        self._counts[float(f"{seconds:.3g}")] += 1

    def update(self, other: "Latencies") -> None:
        """Take note of all of ``other``."""
        _add(self._counts, other._counts)

    def since(self, earlier: "Latencies") -> "Latencies":
        """Return the answers that came after ``earlier``, which was a copy of these."""
        later = Latencies()
        later._counts = self._counts - earlier._counts
        return later

    def __len__(self) -> int:
        return sum(self._counts.values())

    def quantile(self, share: float) -> Optional[float]:
        """Return the seconds within which that share of the answers came: 0.5 for the median, 0.99 for p99.

        ``None``: there was no answer.
        """
        left = share * len(self)
        for seconds, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                return seconds
        return None

    def __repr__(self) -> str:
        shown = ", ".join(f"p{100 * share:g}={self.quantile(share)}" for share in (0.5, 0.99))
        return f"Latencies({len(self)} answers, {shown})"


class Summary:
    """Counts of one station. They add up with ``+``.

    Attributes:
        sent: Answered requests of the station, by action.
        failed: Requests of the station that were not answered with a result, by the error: the error code of a
            CALLERROR, else the name of the exception.
        failed_by_action: The same, by action and error.
        not_connected: Attempts to connect that failed, by why.
        received: Requests of the CSMS that were handled, by action.
        transactions: Transactions that were started.
        boots: BootNotifications that were accepted.
        connections: Connections that were made.
        latencies_by_action: How long the answers to requests of the station took, in seconds of the clock.
    """

    def __init__(self) -> None:
        self.sent: CounterType[str] = Counter()
        self.failed: CounterType[str] = Counter()
        self.failed_by_action: CounterType[Tuple[str, str]] = Counter()
        self.not_connected: CounterType[str] = Counter()
        self.received: CounterType[str] = Counter()
        self.transactions: int = 0
        self.boots: int = 0
        self.connections: int = 0
        self.latencies_by_action: Dict[str, Latencies] = {}

    @property
    def latencies(self) -> Latencies:
        """How long the answers to all requests of the station took."""
        total = Latencies()
        for latencies in list(self.latencies_by_action.values()):
            total.update(latencies)
        return total

    def add_answer(self, action: str, seconds: float) -> None:
        """Take note of an answered request."""
        self.sent[action] += 1
        self._latencies_of(action).add(seconds)

    def add_failure(self, action: str, error: str) -> None:
        """Take note of a request that was not answered with a result."""
        self.failed[error] += 1
        self.failed_by_action[action, error] += 1

    def _latencies_of(self, action: str) -> Latencies:
        if action not in self.latencies_by_action:
            self.latencies_by_action[action] = Latencies()
        return self.latencies_by_action[action]

    def __add__(self, other: "Summary") -> "Summary":
        total = Summary()
        for part in (self, other):
            total.include(part)
        return total

    def include(self, other: "Summary") -> None:
        """Add the counts of ``other``, which may be counting just now."""
        _add(self.sent, other.sent)
        _add(self.failed, other.failed)
        _add(self.received, other.received)
        _add(self.failed_by_action, other.failed_by_action)
        _add(self.not_connected, other.not_connected)
        for action, latencies in list(other.latencies_by_action.items()):
            self._latencies_of(action).update(latencies)
        self.transactions += other.transactions
        self.boots += other.boots
        self.connections += other.connections

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"Summary({fields})"


class FleetSummary(Summary):
    """What the stations of a fleet have done, all together, and what they do just now.

    Attributes:
        stations: How many there are.
        connected: How many have a connection.
        booted: How many were accepted by the central system.
        charging: How many transactions are under way.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stations: int = 0
        self.connected: int = 0
        self.booted: int = 0
        self.charging: int = 0

    def add(self, summary: Summary, is_connected: bool, is_accepted: bool, charging: int) -> None:
        """Add one station."""
        self.include(summary)
        self.stations += 1
        self.connected += is_connected
        self.booted += is_accepted
        self.charging += charging

    def __str__(self) -> str:
        """Return a few lines to read."""
        times = [self.latencies.quantile(share) for share in (0.5, 0.99)]
        shown = " ".join(
            f"{name} {1000 * seconds:.3g} ms" for name, seconds in zip(("p50", "p99"), times) if seconds is not None
        )
        lines = [
            f"{self.stations} stations, {self.connected} connected, {self.booted} accepted, {self.charging} charging",
            f"{self.transactions} transactions, {sum(self.sent.values())} messages answered, {shown or 'none yet'}",
            "sent: " + _listed(self.sent),
            "received: " + _listed(self.received),
            "failed: " + _listed(self.failed),
        ]
        return "\n".join(lines)


def _listed(counts: CounterType[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"
