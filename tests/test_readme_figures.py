"""Figures of README.md and docs/speed.md are those of benchmarks/RESULTS.md, and none is written by hand."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
if str(BENCHMARKS) not in sys.path:
    sys.path.insert(0, str(BENCHMARKS))

if sys.platform == "win32":
    pytest.skip("the benchmarks are for Linux", allow_module_level=True)

figures = importlib.import_module("figures")
goals = importlib.import_module("goals")
results = importlib.import_module("results")

RESULTS = (BENCHMARKS / "RESULTS.md").read_text("utf-8")
PAGES = ["README.md", "docs/speed.md"]
REPORT = """# Results

- Some Processor, 2 cores, 24 GiB
- Linux 6.18.44, CPython 3.11.7
- messages per second: medians of 5 rounds

### Heartbeat, 50 connections

|                               | messages/s | ratio |
| ----------------------------- | ---------: | ----: |
| ceiling: websockets, one loop |     40,000 |  1.00 |
| ocppj[fast] auto              |     19,960 |  0.50 |
| ocppj[fast] shared            |     20,000 |  0.50 |
| ocppj[fast] per-connection    |       0.00 |  0.00 |

### `client.call()`, 1,000 times

|             | p50 ms | ratio (p50) |
| ----------- | -----: | ----------: |
| ocppj[fast] |   0.10 |        1.45 |
"""


def page_text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_figures_are_those_of_the_results(page: str) -> None:
    """`make figures` writes them anew."""
    text = page_text(page)
    assert "<!-- figures: throughput -->" in text
    assert figures.fill(text, results.Results(RESULTS)) == text


@pytest.mark.parametrize("page", PAGES)
def test_no_figure_stands_outside_of_its_marks(page: str) -> None:
    section = page_text(page).partition("# How quick it is\n")[2].partition("\n## ")[0]
    assert re.findall(r"\d[\d,.]*\d\d", figures.outside(section).replace("131 kB", "").replace("1,000", "")) == []


def test_other_results_are_other_figures() -> None:
    page = "<!-- figures: throughput --> 1 <!-- /figures --> and <!-- figures: machine -->2<!-- /figures -->"
    filled = figures.fill(page, results.Results(REPORT))
    assert "| `ocppj[fast]`, as it comes | 20,000 | - | - | - |" in filled
    assert "per-connection" not in filled, "a row without a figure is left out"
    assert "2 cores and Python 3.11" in filled
    assert "median of 5 rounds" in filled
    assert figures.fill(filled, results.Results(REPORT)) == filled


def test_goals_are_ratios_of_one_run() -> None:
    table = goals.goals_table(results.Results(REPORT))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert ["Heartbeat, 50 connections: auto / shared", ">= 0.95", "1.00", "yes"] in rows
    assert ["the same: shared / bare websockets loop", ">= 0.60", "0.50", "no"] in rows
    assert ["client.call(), p50: [fast] / bare round trip", "<= 1.40", "1.45", "no"] in rows
    assert ["the same: shared / ocpp-rpc", ">= 0.65", "-", ""] in rows, "what was not measured has no verdict"
