"""Messages per second: this library, its peers, and what one loop in Python allows at best.

    python benchmarks/throughput.py --connections 50,500 --repeat 5

Closed loop: each connection sends its next message when the last was answered. Every answer is checked. ``ratio``
compares with the first ceiling: one loop on the sans-I/O protocol of ``websockets``, with orjson, that only parses JSON
and answers. The other ceilings do the same with simple-websocket and the standard library. ``cpu`` is the processor
time of the server process for one message. ``load`` is how busy the load generator was: at 1.0 the figure is the
generator's limit, not the server's.
"""

from __future__ import annotations

from typing import List

from harness import (
    Child,
    Figures,
    Subject,
    add_ratio,
    allow_files,
    chosen_from,
    load,
    measure,
    options,
    say,
    table,
)
from subjects import CEILING, absent, ceilings, node, ocpp, ours

COLUMNS = {
    "rate": "messages/s",
    "ratio": "ratio",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "cpu": "cpu us/message",
    "load": "load",
}


def once(subject: Subject, action: str, connections: int, seconds: float) -> Figures:
    """Measure one server."""
    with Child(subject.command, subject.directory) as server, load() as generator:
        generator.ask("connect", 240, port=server.ready, count=connections)
        figures: Figures = generator.ask(
            "run", 10 * seconds + 60, action=action, seconds=seconds, warm_up=min(1.0, seconds / 2), pid=server.pid
        )
        return figures


def one_table(
    action: str, connections: int, subjects: List[Subject], seconds: float, repeat: int, base: str = CEILING
) -> None:
    """Measure all servers under one load, and print."""
    results, failures = measure(subjects, repeat, lambda subject: once(subject, action, connections, seconds))
    add_ratio(results, "rate", base)
    plural = "connection" if connections == 1 else "connections"
    say(table(f"### {action}, {connections:,} {plural}", subjects, results, COLUMNS))
    for failure in failures:
        say(f"- failed: {failure}")


def main() -> None:
    chosen = options(__doc__, [1, 50, 500, 2000, 8000], [50])
    with node() as nodes:
        servers = [*ceilings(), *ours(both=not chosen.quick), *ocpp(), *nodes]
        for connections in chosen.connections:
            if not allow_files(connections + 100):
                say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
                continue
            subjects = chosen_from(servers, chosen.only, connections)
            for action in ("Heartbeat",) if chosen.quick else ("Heartbeat", "MeterValues"):
                one_table(action, connections, subjects, chosen.seconds, chosen.repeat)
        say(absent(nodes))


if __name__ == "__main__":
    main()
