"""Connections: how many are made per second, each with a BootNotification, and what an idle one costs.

    python benchmarks/connections.py --connections 2000 --repeat 5

The load generator makes 64 connections at a time: TCP, handshake, BootNotification and its answer. Resident memory and
threads of the server process are measured before and after. The figure is the difference for one connection that has
booted and is idle. ``ratio`` compares connections per second with the first ceiling.
"""

from __future__ import annotations

from harness import (
    Child,
    Figures,
    Subject,
    add_ratio,
    allow_files,
    chosen_from,
    footprint,
    load,
    measure,
    options,
    processor_seconds,
    say,
    table,
)
from subjects import CEILING, absent, ceilings, node, ocpp, ours

COLUMNS = {
    "rate": "connections/s",
    "ratio": "ratio",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "cpu": "cpu us each",
    "memory": "kB each",
    "threads": "threads each",
}


def once(subject: Subject, connections: int) -> Figures:
    """Measure one server."""
    with Child(subject.command, subject.directory) as server, load() as generator:
        generator.ask("connect", port=server.ready, count=10, boot=True)  # the first ones have extra costs
        memory, threads = footprint(server.pid)
        processor = processor_seconds(server.pid)
        opened = generator.ask("connect", 240, port=server.ready, count=connections, boot=True)
        processor = processor_seconds(server.pid) - processor
        more_memory, more_threads = footprint(server.pid)
        return {
            "rate": connections / opened["seconds"],
            "p50": opened["p50"],
            "p99": opened["p99"],
            "cpu": processor / connections * 1e6,
            "memory": (more_memory - memory) / connections / 1000,
            "threads": (more_threads - threads) / connections,
        }


def main() -> None:
    chosen = options(__doc__, [2000], [200])
    with node() as nodes:
        for connections in chosen.connections:
            if not allow_files(connections + 100):
                say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
                continue
            servers = chosen_from([*ceilings(), *ours(), *ocpp(), *nodes], chosen.only, connections)
            results, failures = measure(
                servers,
                chosen.repeat,
                lambda subject: once(subject, connections),  # noqa: B023 (called here)
            )
            add_ratio(results, "rate", CEILING)
            say(table(f"### {connections:,} connections, one BootNotification each", servers, results, COLUMNS))
            for failure in failures:
                say(f"- failed: {failure}")
        say(absent(nodes))


if __name__ == "__main__":
    main()
