"""What went wrong with a fleet, as texts."""

from __future__ import annotations

from collections import Counter
from typing import List

from ..testing.simulation.fleet import Fleet
from ..testing.simulation.summary import FleetSummary
from .figures import listed

__all__ = ["find_problems"]


def find_problems(fleet: Fleet, summary: FleetSummary, visits: int = 0) -> List[str]:
    """Return what went wrong: stations that could not connect or boot, and requests that failed.

    Args:
        fleet: The stations.
        summary: What they have done.
        visits: How many drivers have come and left.
    """
    strangers = sum(not station.core.summary.connections for station in fleet)
    lost = sum(bool(station.core.summary.connections) and not station.connected for station in fleet)
    boots: "Counter[str]" = Counter(
        str(station.core.boot.status or "no answer")
        for station in fleet
        if station.core.summary.connections and not station.core.summary.boots
    )
    problems = []
    if strangers:
        why = _attempts(summary) or "no answer yet"
        problems.append(f"{strangers} of {len(fleet)} stations could not connect: {why}")
    if lost:
        why = _attempts(summary)
        problems.append(f"{lost} of {len(fleet)} stations lost their connection" + (f": {why}" if why else ""))
    if boots:
        problems.append(f"{sum(boots.values())} of {len(fleet)} stations could not boot: {listed(boots)}")
    if summary.failed:
        problems.append(f"{sum(summary.failed.values())} requests failed: {listed(summary.failed)}")
    if visits > summary.transactions:
        problems.append(f"{visits - summary.transactions} of {visits} drivers could not charge: no transaction began")
    return problems


def _attempts(summary: FleetSummary) -> str:
    """Return why attempts to connect have failed."""
    found = summary.not_connected.most_common()
    return "; ".join(f"{why} ({count} attempt{'' if count == 1 else 's'})" for why, count in found)
