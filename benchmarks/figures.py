"""Writes the figures of README.md and docs/speed.md anew, from RESULTS.md.

    python benchmarks/figures.py        `make figures`; `make bench` does it, too

What stands between ``<!-- figures: NAME -->`` and ``<!-- /figures -->`` is written here, by the function with this name
in `BLOCKS`. A figure is rounded, and otherwise as in RESULTS.md. A row that RESULTS.md does not have is left out.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, List, Optional

from harness import ROOT
from results import RESULTS, Results
from subjects import BARE_LOOP

PAGES = (ROOT / "README.md", ROOT / "docs" / "speed.md")

_BLOCK = re.compile(r"(<!-- figures: ([a-z-]+) -->)(.*?)(<!-- /figures -->)", re.DOTALL)

#: Rows of the table of messages per second: as they are named here, and in RESULTS.md.
_SERVERS = {
    "bare loop on `websockets`: JSON parsed and answered": BARE_LOOP,
    "`ocppj[fast]`, as it comes": "ocppj[fast] auto",
    '`ocppj[fast]`, `readers="shared"`': "ocppj[fast] shared",
    '`ocppj`, `readers="shared"`': "ocppj shared",
    '`ocppj[fast]`, `readers="per-connection"`': "ocppj[fast] per-connection",
    "package `ocpp`": "ocpp",
    "the same without its thread pool": "ocpp, no pool",
    "`ocpp-rpc` on Node": "ocpp-rpc (Node)",
}
_LOADS = {
    "Heartbeat, 50 connections": "Heartbeat, 50 connections",
    "MeterValues, 50": "MeterValues, 50 connections",
    "Heartbeat, 2,000": "Heartbeat, 2,000 connections",
    "MeterValues, 2,000": "MeterValues, 2,000 connections",
}
_VERDICT = "The verdict on a valid payload, us"
_PAYLOADS = {
    "Heartbeat": "Heartbeat",
    "MeterValues, 3 samples": "MeterValues",
    "TransactionEvent (2.0.1)": "TransactionEvent",
}
_CONNECTIONS = "2,000 connections, one BootNotification each"


def throughput(results: Results) -> str:
    """Return the table of messages per second."""
    rows = [["", *_LOADS]]
    for name, row in _SERVERS.items():
        values = [results.value(table, row, "messages/s") for table in _LOADS.values()]
        if any(values):
            rows.append([name, *("-" if value is None else f"{round(value, -2):,.0f}" for value in values)])
    return f"\n\n{_table(rows)}\n\n"


def machine(results: Results) -> str:
    """Return what the figures were measured on, and how often."""
    cores, python = _find(r"\b(\d+ cores)\b", results), _find(r"CPython (\d+\.\d+)", results)
    where = f"Measured with {cores} and Python {python}. The load generator is another process on the same cores."
    return f"\n{where}\nEach figure is the median of {_rounds(results)} rounds.\n"


def payloads(results: Results) -> str:
    """Return the table of payloads."""
    rows = [["", "plain jsonschema", "package `ocpp`", "`ocppj`", "`ocppj[fast]`"]]
    for name, row in _PAYLOADS.items():
        cells = [results.cell(_VERDICT, row, column) or "-" for column in ("jsonschema", "ocpp")]
        for column in ("ocppj", "ocppj[fast]"):
            taken, times = results.cell(_VERDICT, row, column), results.cell(_VERDICT, row, f"ratio of {column}")
            cells.append(f"{taken} ({times} times as quick)")
        rows.append([name, *cells])
    return f"\n\n{_table(rows)}\n\n"


def idle(results: Results) -> str:
    """Return the memory of an idle connection."""
    value = results.value(_CONNECTIONS, "ocppj[fast] shared", "kB each")
    assert value is not None
    return f"{value:.0f} kB"


BLOCKS: Dict[str, Callable[[Results], str]] = {
    "throughput": throughput,
    "machine": machine,
    "payloads": payloads,
    "idle": idle,
}


def fill(page: str, results: Results) -> str:
    """Return the text of a page with its figures written anew."""
    return _BLOCK.sub(lambda found: f"{found.group(1)}{BLOCKS[found.group(2)](results)}{found.group(4)}", page)


def outside(page: str) -> str:
    """Return the text of a page without its figures."""
    return _BLOCK.sub("", page)


def write() -> None:
    """Write the figures of all pages anew."""
    results = Results(RESULTS.read_text("utf-8"))
    for page in PAGES:
        page.write_text(fill(page.read_text("utf-8"), results), "utf-8")


def _table(rows: List[List[str]]) -> str:
    rule = ["---", *("---:" for _ in rows[0][1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def _find(pattern: str, results: Results) -> Optional[str]:
    found = re.search(pattern, results.text)
    return found and found.group(1)


def _rounds(results: Results) -> str:
    return _find(r"(?m)^- messages per second: medians of (\d+) rounds$", results) or "?"


if __name__ == "__main__":
    write()
