"""Memory of idle connections that compress (permessage-deflate).

    python benchmarks/idle.py --connections 8000

Each connection offers permessage-deflate, and sends a BootNotification; both messages are compressed if the server
accepts the offer. Resident memory and threads of the server process are measured before and after. "as it comes" is the
default of `Server`. "context" keeps what zlib remembers between messages, for each connection. "alone" compresses each
message by itself.
"""

from __future__ import annotations

from typing import List

from harness import (
    Child,
    Figures,
    Subject,
    allow_files,
    chosen_from,
    footprint,
    load,
    measure,
    options,
    python,
    say,
    table,
)
from subjects import ocpp

COLUMNS = {"memory": "kB each", "threads": "threads", "total": "MB in all"}
_DEAR = 2000  # with more connections, a context for each would take gigabytes


def subjects() -> List[Subject]:
    """Return the servers."""
    return [
        Subject("ocppj, as it comes", python("ours.py")),
        Subject("ocppj, no compression", python("ours.py", "--compression", "off")),
        Subject("ocppj, alone", python("ours.py", "--compression", "alone")),
        Subject("ocppj, context", python("ours.py", "--compression", "context"), _DEAR),
        *(each._replace(most=_DEAR) for each in ocpp() if "no pool" in each.name),
    ]


def once(subject: Subject, connections: int) -> Figures:
    """Measure one server."""
    with Child(subject.command, subject.directory) as server, load() as generator:
        generator.ask("connect", port=server.ready, count=10, boot=True)  # the first ones have extra costs
        memory, threads = footprint(server.pid)
        generator.ask("connect", 240, port=server.ready, count=connections, boot=True, deflate=True)
        more_memory, more_threads = footprint(server.pid)
        return {
            "memory": (more_memory - memory) / connections / 1000,
            "threads": more_threads - threads,
            "total": more_memory / 1e6,
        }


def main() -> None:
    chosen = options(__doc__, [1000, 8000], [200])
    for connections in chosen.connections:
        if not allow_files(connections + 100):
            say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
            continue
        servers = chosen_from(subjects(), chosen.only, connections)
        results, failures = measure(
            servers,
            chosen.repeat,
            lambda subject: once(subject, connections),  # noqa: B023 (called here)
        )
        say(table(f"### {connections:,} idle connections that compress", servers, results, COLUMNS))
        for failure in failures:
            say(f"- failed: {failure}")


if __name__ == "__main__":
    main()
