"""What `ocppj.proxy.Proxy` costs: messages per second and latency through it, and straight to the same server.

    python benchmarks/proxy.py --connections 1,50,500 --repeat 5

The server behind it only parses JSON and answers (`ceiling.py`). ``cpu`` is the processor time of the proxy for one
message and its answer; in the first row that of the server. All processes share the machine.
"""

from __future__ import annotations

from functools import partial
from typing import Dict, List, Optional

from harness import Child, Figures, Subject, add_ratio, allow_files, load, measure, options, python, say, table

COLUMNS = {"rate": "messages/s", "ratio": "ratio", "p50": "p50 ms", "p99": "p99 ms", "cpu": "cpu us/message"}
STRAIGHT = "straight to the server"
#: The arguments of `proxied.py` by the name of the row.
ROWS: Dict[str, Optional[List[str]]] = {
    STRAIGHT: None,
    "through the proxy": [],
    "with a hook": ["--hook"],
    "recorded": ["--record"],
}


def once(subject: Subject, connections: int, seconds: float) -> Figures:
    """Measure one row."""
    with Child(python("ceiling.py", "loop")) as server, load() as generator:
        arguments = ROWS[subject.name]
        if arguments is None:
            return run(generator, server, connections, seconds)
        with Child(python("proxied.py", str(server.ready), *arguments)) as proxy:
            return run(generator, proxy, connections, seconds)


def run(generator: Child, server: Child, connections: int, seconds: float) -> Figures:
    """Have the generator talk to ``server``."""
    generator.ask("connect", 240, port=server.ready, count=connections)
    timeout, warm_up = 10 * seconds + 60, min(1.0, seconds / 2)
    figures: Figures = generator.ask(
        "run", timeout, action="Heartbeat", seconds=seconds, warm_up=warm_up, pid=server.pid
    )
    return figures


def main() -> None:
    chosen = options(__doc__, [1, 50, 500, 2000], [1, 50])
    subjects = [Subject(name, []) for name in ROWS if any(part in name for part in chosen.only.split(","))]
    for connections in chosen.connections:
        if not allow_files(2 * connections + 100):
            say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
            continue
        results, failures = measure(
            subjects, chosen.repeat, partial(once, connections=connections, seconds=chosen.seconds)
        )
        add_ratio(results, "rate", STRAIGHT)
        say(table(f"### Heartbeat, {connections:,} connections", subjects, results, COLUMNS))
        for failure in failures:
            say(f"- failed: {failure}")


if __name__ == "__main__":
    main()
