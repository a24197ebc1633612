"""Messages per second when handlers block: all of them sleep 50 ms, or one in ten.

    python benchmarks/blocking.py --connections 500 --repeat 5

Heartbeats in a closed loop, as in throughput.py. ``ratio`` compares with the limit that the sleeps set: each connection
waits for its handler, so no server can answer more than connections / mean sleep. If no server can reach this limit,
the ratio is low because of processor time. The handlers of ``ocpp`` await on asyncio. A row of its own shows a handler
that blocks, like a call to a database driver without asyncio.
"""

from __future__ import annotations

from typing import List

from harness import Subject, allow_files, chosen_from, measure, options, say, table
from subjects import absent, ceilings, node, ocpp, ours
from throughput import COLUMNS, once

PAUSE = 0.05


def subjects(every: int, nodes: List[Subject]) -> List[Subject]:
    """Return the servers, with handlers of which one in ``every`` sleeps."""
    threads = [each for each in ceilings(PAUSE, every) if "thread" in each.name]
    return [*threads, *ours(PAUSE, every), *(each for each in ocpp(PAUSE, every) if "pool" not in each.name), *nodes]


def main() -> None:
    chosen = options(__doc__, [500, 2000], [100])
    for every in (10,) if chosen.quick else (1, 10):
        with node(PAUSE, every) as nodes:
            for connections in chosen.connections:
                if not allow_files(connections + 100):
                    say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
                    continue
                servers = chosen_from(subjects(every, nodes), chosen.only, connections)
                seconds = chosen.seconds
                results, failures = measure(
                    servers,
                    chosen.repeat,
                    lambda subject: once(subject, "Heartbeat", connections, seconds),  # noqa: B023 (called here)
                )
                limit = connections * every / PAUSE
                for figures in results.values():
                    figures["ratio"] = figures["rate"] / limit
                who = "all handlers sleep" if every == 1 else f"one handler in {every} sleeps"
                title = f"### {who} 50 ms, {connections:,} connections: at most {limit:,.0f} messages/s"
                say(table(title, servers, results, COLUMNS))
                for failure in failures:
                    say(f"- failed: {failure}")
            if every == 10:
                say(absent(nodes))


if __name__ == "__main__":
    main()
