"""What a fleet has done, as figures: a line while it runs, a table at the end, and JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Tuple

from ..testing.simulation.fleet import Fleet
from ..testing.simulation.summary import FleetSummary, Latencies

__all__ = ["COLUMNS", "Progress", "describe", "energy_of", "in_ms", "listed", "rows_of", "total_rows"]

#: The columns of `rows_of`.
COLUMNS = ("action", "count", "p50 ms", "p99 ms", "max ms", "errors")


def in_ms(seconds: Optional[float]) -> Optional[float]:
    """Return milliseconds with three digits."""
    return None if seconds is None else float(f"{1000 * seconds:.3g}")


def _shown(seconds: Optional[float]) -> str:
    value = in_ms(seconds)
    return "" if value is None else f"{value:g}"


def _times(latencies: Latencies) -> Tuple[Optional[float], Optional[float], Optional[float]]:
    return latencies.quantile(0.5), latencies.quantile(0.99), latencies.quantile(1.0)


def _errors_of(summary: FleetSummary, action: str) -> "Counter[str]":
    return Counter({code: n for (name, code), n in summary.failed_by_action.items() if name == action})


def listed(counts: "Counter[str]") -> str:
    """Return counts as a text, the largest first."""
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def rows_of(summary: FleetSummary) -> List[Tuple[str, ...]]:
    """Return a row for each action that stations have sent, and one for all together."""
    actions = sorted({*summary.latencies_by_action, *(action for action, _ in summary.failed_by_action)})
    rows = []
    for action in actions:
        times = map(_shown, _times(summary.latencies_by_action.get(action, Latencies())))
        rows.append((action, str(summary.sent[action]), *times, listed(_errors_of(summary, action))))
    if len(rows) > 1:
        total = map(_shown, _times(summary.latencies))
        rows.append(("all", str(sum(summary.sent.values())), *total, listed(summary.failed)))
    return rows


def total_rows(summary: FleetSummary, energy: float, seconds: float) -> List[Tuple[str, str]]:
    """Return what there is to say of the fleet as a whole, as names and values."""
    answered = sum(summary.sent.values())
    received = listed(summary.received)
    return [
        ("stations", f"{summary.stations}, {summary.connected} connected, {summary.booted} booted"),
        ("transactions", f"{summary.transactions}, {summary.charging} under way"),
        ("energy", f"{energy / 1000:.3f} kWh"),
        ("messages", f"{answered} answered in {seconds:.1f} s, {answered / max(seconds, 0.001):.1f} a second"),
        *([("from the central system", received)] if received else []),
    ]


def energy_of(fleet: Fleet) -> float:
    """Return what all meters show, in Wh."""
    return sum(station.energy(connector.id) for station in fleet for connector in station.connectors)


def describe(summary: FleetSummary, energy: float, seconds: float, problems: List[str]) -> Dict[str, Any]:
    """Return all figures as a JSON value."""
    actions = {}
    for action in sorted({*summary.latencies_by_action, *(action for action, _ in summary.failed_by_action)}):
        p50, p99, most = map(in_ms, _times(summary.latencies_by_action.get(action, Latencies())))
        times = {"p50_ms": p50, "p99_ms": p99, "max_ms": most}
        actions[action] = {"count": summary.sent[action], **times, "errors": dict(_errors_of(summary, action))}
    p50, p99, most = map(in_ms, _times(summary.latencies))
    return {
        "stations": summary.stations,
        "connected": summary.connected,
        "booted": summary.booted,
        "charging": summary.charging,
        "connections": summary.connections,
        "transactions": summary.transactions,
        "energy_wh": round(energy, 1),
        "seconds": round(seconds, 3),
        "messages": sum(summary.sent.values()),
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": most,
        "errors": dict(summary.failed),
        "actions": actions,
        "received": dict(summary.received),
        "not_connected": dict(summary.not_connected),
        "problems": problems,
    }


class Progress:
    """Makes the line that is shown while a fleet runs: the rate and the times are those since the line before."""

    def __init__(self, now: float) -> None:
        self._before = FleetSummary()
        self._at = now

    def line(self, summary: FleetSummary, now: float) -> str:
        """Return the line. ``now`` is in seconds of the clock."""
        answered = sum(summary.sent.values()) - sum(self._before.sent.values())
        rate = answered / max(now - self._at, 0.001)
        recent = summary.latencies.since(self._before.latencies)
        p50, p99, _ = map(_shown, _times(recent))
        self._before, self._at = summary, now
        times = f"p50 {p50} ms, p99 {p99} ms" if p50 else "no answer"
        parts = [
            f"{summary.connected}/{summary.stations} connected, {summary.booted} booted, {summary.charging} charging",
            f"{rate:.1f} messages/s",
            times,
        ]
        errors = listed(summary.failed)
        return " | ".join([*parts, *([f"errors: {errors}"] if errors else [])])
