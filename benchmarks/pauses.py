"""Pauses for the collection of garbage, with many connections, with and without ``gc.freeze()``.

    python benchmarks/pauses.py --connections 10000

All charge points connect and boot, and then send Heartbeats. "full" is the time of one full collection, which a program
may ask for with ``gc.collect()``. The other columns are about the collections that Python begins by itself: the longest
one while the charge points connect, the longest one while they send, and how many of these were full.
"""

from __future__ import annotations

from typing import List

from harness import Child, Figures, Subject, allow_files, load, measure, options, python, say, table

COLUMNS = {
    "collect": "full, ms",
    "connecting": "longest, connecting, ms",
    "serving": "longest, serving, ms",
    "full": "full ones, serving",
    "cpu": "cpu us/message",
}
FREEZE = "with gc.freeze()"
SUBJECTS: List[Subject] = [Subject("as it comes", python("ours.py")), Subject(FREEZE, python("ours.py"))]


def once(subject: Subject, connections: int, seconds: float) -> Figures:
    """Measure one server."""
    with Child(subject.command) as server, load() as generator:
        generator.ask("connect", 240, port=server.ready, count=connections, boot=True)
        connecting = server.ask("collections")
        collect = server.ask("collect", freeze=subject.name == FREEZE)
        served = generator.ask(
            "run", 10 * seconds + 60, action="Heartbeat", seconds=seconds, warm_up=0.5, pid=server.pid
        )
        serving = server.ask("collections")
        return {
            "collect": collect,
            "connecting": connecting["longest"],
            "serving": serving["longest"],
            "full": serving["full"],
            "cpu": served.get("cpu", 0.0),
        }


def main() -> None:
    chosen = options(__doc__, [10_000], [500])
    for connections in chosen.connections:
        if not allow_files(connections + 100):
            say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
            continue
        results, failures = measure(
            SUBJECTS,
            chosen.repeat,
            lambda subject: once(subject, connections, chosen.seconds),  # noqa: B023 (called here)
        )
        say(table(f"### Collections of garbage, {connections:,} connections", SUBJECTS, results, COLUMNS))
        for failure in failures:
            say(f"- failed: {failure}")


if __name__ == "__main__":
    main()
