"""Every Python block of docs/metrics.md runs as it stands, and its tables are those of the code."""

import re
import subprocess
import sys
from dataclasses import fields

import pytest

from ocppj.ws.stats import Stats
from tests.helpers import seconds
from tests.test_readme import BLOCK, ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text("utf-8")
BLOCKS = BLOCK.findall(PAGE)
NEEDS = {"prometheus_client": "prometheus_client", "opentelemetry": "opentelemetry.sdk"}


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs(code: str) -> None:
    for word, package in NEEDS.items():
        if word in code:
            pytest.importorskip(package, reason=f"{package} is not installed: pip install 'ocppj[test]'")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds(50),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE)


def test_there_is_a_block_of_each_part() -> None:
    for words in ("server.stats()", "PrometheusMetrics(server, registry)", "MultiProcessCollector", "trace(server"):
        assert any(words in block for block in BLOCKS), words


def table(section: str) -> str:
    """Return the first table below that heading."""
    below = PAGE.split(f"## {section}")[1]
    return re.findall(r"(?:^\|.*\n)+", below, re.MULTILINE)[0]


def test_each_field_of_the_figures_is_explained() -> None:
    first_cells = [line.split("|")[1] for line in table("The figures").splitlines()]
    assert {field.name for field in fields(Stats)} == set(re.findall(r"`(\w+)`", " ".join(first_cells)))


def test_each_name_that_prometheus_gets_is_listed() -> None:
    pytest.importorskip("prometheus_client", reason="metrics need prometheus_client: pip install 'ocppj[test]'")
    from tests.test_metrics import SHOWN

    samples = {re.sub(r'=".*?"', "", line.rsplit(" ", 1)[0]) for line in SHOWN if "_sum" not in line}
    listed = set()
    for line in table("Prometheus").splitlines()[2:]:
        _, name, kind, labels, _ = (cell.strip() for cell in line.split("|"))
        shown = re.findall(r"`(\w+)`", labels)
        name = name.strip("`")
        for ending, more in (("_bucket", ["le"]), ("_count", [])) if kind == "histogram" else (("", []),):
            inside = ",".join(sorted([*shown, *more]))
            listed.add(f"{name}{ending}{{{inside}}}" if inside else f"{name}{ending}")
    assert listed == samples


def test_the_queries_of_the_guide_ask_for_names_that_prometheus_gets() -> None:
    guide = (ROOT / "docs" / "observing.md").read_text("utf-8")
    asked = {name.replace("_bucket", "") for name in re.findall(r"ocppj_\w+", guide)}
    listed = set(re.findall(r"^\| `(\w+)` \|", table("Prometheus"), re.MULTILINE))
    assert len(asked) == 6 and asked <= listed
