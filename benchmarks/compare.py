"""This checkout against another one, in turn: messages per second, and processor time for one message.

    git worktree add ../before COMMIT
    python benchmarks/compare.py ../before --connections 50 --repeat 5

``ratio`` compares with the other checkout. Both servers get the same load, from this checkout's generator.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List

from harness import HERE, Subject, options
from throughput import one_table

BEFORE = "before"


def subjects(checkout: Path, strategy: str) -> List[Subject]:
    """Return the server of the other checkout, and that of this one."""
    arguments = ["--readers", strategy]
    return [
        Subject(BEFORE, [sys.executable, str(checkout.resolve() / "benchmarks" / "ours.py"), *arguments]),
        Subject("this", [sys.executable, str(HERE / "ours.py"), *arguments]),
    ]


def main() -> None:
    chosen = options(__doc__, [1, 50, 500], [50], checkout=True)
    for connections in chosen.connections:
        for action in ("Heartbeat", "MeterValues"):
            one_table(action, connections, subjects(chosen.checkout, "shared"), chosen.seconds, chosen.repeat, BEFORE)


if __name__ == "__main__":
    main()
