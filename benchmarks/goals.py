"""What this library has to reach, and what it reached in RESULTS.md. Nearly all are ratios of figures of one run.

python benchmarks/goals.py         prints the table for the RESULTS.md that is there
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from harness import aligned, number
from results import RESULTS, Results
from subjects import BARE_LOOP

BEATS, METERS = "Heartbeat, {} connections", "MeterValues, {} connections"
RATE = "messages/s"
AUTO, SHARED, PLAIN, NODE = "ocppj[fast] auto", "ocppj[fast] shared", "ocppj shared", "ocpp-rpc (Node)"
OF_BARE = "ratio (p50)"
BOOTS = "2,000 connections, one BootNotification each"
IDLE, IDLE_ROW = "8,000 idle connections that compress", "ocppj, as it comes"


class Goal(NamedTuple):
    """A figure: its name, what it is, and the least or the most that it should be (with neither it is only shown)."""

    name: str
    reached: Optional[float]
    least: Optional[float] = None
    most: Optional[float] = None

    def row(self) -> List[str]:
        """Return the cells of its row."""
        if self.least is not None:
            asked, met = f">= {number(self.least)}", self.reached is not None and self.reached >= self.least
        elif self.most is not None:
            asked, met = f"<= {number(self.most)}", self.reached is not None and self.reached <= self.most
        else:
            asked, met = "", False
        verdict = "" if self.reached is None or not asked else "yes" if met else "no"
        return [self.name, asked, number(self.reached), verdict]


def goals(results: Results) -> List[Goal]:
    """Return all goals."""
    beats, meters, call = BEATS.format(50), METERS.format(50), results.title("`client.call()`")

    def stays(action: str) -> Optional[float]:
        many, few = results.value(action.format("2,000"), AUTO, RATE), results.value(action.format(50), AUTO, RATE)
        return many / few if many and few else None

    return [
        Goal("Heartbeat, 50 connections: auto / shared", results.ratio(beats, AUTO, SHARED, RATE), least=0.95),
        Goal("the same: shared / bare websockets loop", results.ratio(beats, SHARED, BARE_LOOP, RATE), least=0.6),
        Goal("the same: shared / ocpp-rpc", results.ratio(beats, SHARED, NODE, RATE), least=0.65),
        Goal("MeterValues, 50 connections: shared / ocpp-rpc", results.ratio(meters, SHARED, NODE, RATE), least=0.65),
        Goal("the same: shared without extras / ocpp", results.ratio(meters, PLAIN, "ocpp", RATE), least=6),
        Goal("Heartbeat, auto: 2,000 connections / 50", stays(BEATS), least=0.85),
        Goal("MeterValues, auto: 2,000 connections / 50", stays(METERS), least=0.85),
        Goal("client.call(), p50: [fast] / bare round trip", results.value(call, "ocppj[fast]", OF_BARE), most=1.4),
        Goal(
            "its floor: a bare round trip, read by a thread / the same without",
            results.value(call, "bare websocket-client, read by a thread", OF_BARE),
        ),
        Goal("connections per second, each with a BootNotification", results.value(BOOTS, AUTO, "connections/s"), 1000),
        Goal("kB for an idle connection that compresses, of 8,000", results.value(IDLE, IDLE_ROW, "kB each"), most=30),
    ]


def goals_table(results: Results) -> str:
    """Return the table of the goals, in Markdown."""
    return aligned([["", "asked", "reached", "met"], *(goal.row() for goal in goals(results))])


if __name__ == "__main__":
    print(goals_table(Results(RESULTS.read_text("utf-8"))))
