"""A storm of reconnections: all clients of a server lose their connections, and come back at once.

    python benchmarks/reconnects.py --connections 2000

The load generator keeps 64 connections in the making, each until its BootNotification was answered. Then it cuts all,
and makes them again. The figures are of the second time. Over TLS each handshake is a full one. A refused client comes
again after 0.1 seconds. The server has no limit of attempts per second. ``cpu`` is the processor time of the server for
one connection. ``peak`` is the most resident memory of the server process in the storm, ``idle`` that before it. The
generator does its part of each handshake on the same cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import List

from harness import (
    Child,
    Figures,
    Subject,
    add_ratio,
    allow_files,
    chosen_from,
    footprint,
    measure,
    options,
    processor_seconds,
    python,
    say,
    table,
)

COLUMNS = {
    "seconds": "seconds",
    "rate": "connections/s",
    "ratio": "ratio",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "cpu": "cpu us each",
    "idle": "idle MB",
    "peak": "peak MB",
    "refused": "refused",
}
PLAIN = "plain TCP"
SUBJECTS: List[Subject] = [
    Subject(PLAIN, python("ours.py")),
    Subject("TLS", python("ours.py", "--tls")),
]


def once(subject: Subject, connections: int) -> Figures:
    """Measure one server."""
    with Child(subject.command) as server, Child(python("reconnecting.py")) as generator:
        tls = subject.name != PLAIN
        generator.ask("connect", 240, port=server.ready, count=connections, tls=tls)
        idle, _ = footprint(server.pid)
        forget_peak(server.pid)
        processor = processor_seconds(server.pid)
        generator.ask("cut")
        storm = generator.ask("connect", 240, port=server.ready, count=connections, tls=tls)
        processor = processor_seconds(server.pid) - processor
        return {
            **storm,
            "rate": connections / storm["seconds"],
            "cpu": processor / connections * 1e6,
            "idle": idle / 1e6,
            "peak": peak(server.pid) / 1e6,
        }


def forget_peak(pid: int) -> None:
    """Have Linux count the peak of the resident memory of a process from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pid: int) -> int:
    """Return the peak of the resident memory of a process, in bytes."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def main() -> None:
    chosen = options(__doc__, [2000], [200])
    for connections in chosen.connections:
        if not allow_files(2 * connections + 100):
            say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
            continue
        subjects = chosen_from(SUBJECTS, chosen.only)
        results, failures = measure(
            subjects,
            chosen.repeat,
            lambda subject: once(subject, connections),  # noqa: B023 (called here)
        )
        add_ratio(results, "rate", PLAIN)
        say(table(f"### {connections:,} clients come back at once", subjects, results, COLUMNS))
        for failure in failures:
            say(f"- failed: {failure}")


if __name__ == "__main__":
    main()
