"""Messages per second of one process and of two on the same port.

    python benchmarks/processes.py --connections 50 --repeat 5

The load is that of throughput.py. Our two processes are forked, and each listens with ``reuse_port``. Those of
``ocpp-rpc`` are workers of Node's module ``cluster``. The load generator runs beside them: with two cores, two servers
and the generator share these. So compare ``per cpu second``: the messages for one second of processor time of all
server processes together. ``ratio`` compares messages per second with those of the same server in one process.
"""

from __future__ import annotations

from typing import Dict, List

from harness import (
    Child,
    Figures,
    Subject,
    chosen_from,
    load,
    measure,
    options,
    python,
    say,
    table,
)
from subjects import absent, has_fast, node

COLUMNS = {
    "rate": "messages/s",
    "ratio": "ratio",
    "each": "per cpu second",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "load": "load",
}
PROCESSES = 2


def subjects(nodes: List[Subject]) -> List[Subject]:
    """Return the servers: each in one process, and in several."""
    name = "ocppj[fast]" if has_fast() else "ocppj"
    found = [
        Subject(f"{name}, 1 process", python("ours_forked.py", "--processes", "1")),
        Subject(f"{name}, {PROCESSES} processes", python("ours_forked.py", "--processes", str(PROCESSES))),
    ]
    for one in nodes:
        several = Subject(f"{one.name}, {PROCESSES} processes", [*one.command, str(PROCESSES)], directory=one.directory)
        found += [one._replace(name=f"{one.name}, 1 process"), several]
    return found


def once(subject: Subject, action: str, connections: int, seconds: float) -> Figures:
    """Measure one server."""
    with Child(subject.command, subject.directory) as server, load() as generator:
        told = server.ready if isinstance(server.ready, dict) else {"port": server.ready, "pids": [server.pid]}
        first, *more = told["pids"]
        generator.ask("connect", 60, port=told["port"], count=connections)
        figures: Figures = generator.ask(
            "run", 10 * seconds + 60, action=action, seconds=seconds, warm_up=seconds / 2, pid=first, more=more
        )
        figures["each"] = 1e6 / figures["cpu"]
        return figures


def add_gain(results: Dict[str, Figures]) -> None:
    """Add to each result the ratio of its messages per second to those of one process."""
    for name, figures in results.items():
        one = results.get(f"{name.rpartition(',')[0]}, 1 process")
        if one:
            figures["ratio"] = figures["rate"] / one["rate"]


def main() -> None:
    chosen = options(__doc__, [50], [50])
    with node() as nodes:
        servers = chosen_from(subjects(nodes), chosen.only)
        for connections in chosen.connections:
            for action in ("Heartbeat",) if chosen.quick else ("Heartbeat", "MeterValues"):
                results, failures = measure(
                    servers,
                    chosen.repeat,
                    lambda subject: once(subject, action, connections, chosen.seconds),  # noqa: B023 (called here)
                )
                add_gain(results)
                say(table(f"### {action}, {connections:,} connections, processes", servers, results, COLUMNS))
                for failure in failures:
                    say(f"- failed: {failure}")
        say(absent(nodes))


if __name__ == "__main__":
    main()
