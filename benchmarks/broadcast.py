"""A request to each of 2,000 clients: the time until all have answered.

    python benchmarks/broadcast.py --connections 2000 --repeat 5

Each round is the median of three broadcasts of ClearCache to clients that answer at once. ``ratio`` compares with the
ceiling, which writes frames and counts answers. More is slower.
"""

from __future__ import annotations

from harness import (
    Child,
    Failed,
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

COLUMNS = {"ms": "ms for all", "ratio": "times the ceiling", "each": "us for one"}


def once(subject: Subject, connections: int) -> Figures:
    """Measure one server."""
    with Child(subject.command, subject.directory) as server, load() as generator:
        generator.ask("connect", 240, port=server.ready, count=connections)
        server.ask("broadcast", times=1)  # the first one has extra costs
        told = server.ask("broadcast", 240, times=3)
        if told["clients"] != connections:
            raise Failed(f"it reached {told['clients']} of {connections} clients")
        return {"ms": told["seconds"] * 1000, "each": told["seconds"] / connections * 1e6}


def main() -> None:
    chosen = options(__doc__, [2000], [200])
    with node() as nodes:
        for connections in chosen.connections:
            if not allow_files(connections + 100):
                say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
                continue
            listed = [*(each for each in ceilings() if each.name == CEILING), *ours(), *ocpp(), *nodes]
            servers = chosen_from(listed, chosen.only, connections)
            results, failures = measure(
                servers,
                chosen.repeat,
                lambda subject: once(subject, connections),  # noqa: B023 (called here)
            )
            add_ratio(results, "ms", CEILING)
            say(table(f"### One request to each of {connections:,} clients", servers, results, COLUMNS))
            for failure in failures:
                say(f"- failed: {failure}")
        say(absent(nodes))


if __name__ == "__main__":
    main()
