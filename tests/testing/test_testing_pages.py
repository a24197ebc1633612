"""The pages about tests of charge points and of central systems: their code is that of examples that run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import FACTOR, seconds
from tests.test_readme import BLOCK, ROOT

EXAMPLES = ROOT / "examples"
CHARGE_POINT = "pytest_charge_point/test_charge_point.py", "pytest_charging_station_201/test_charging_station.py"
CENTRAL_SYSTEM = ("pytest_central_system/test_central_system.py",)
PAGES = {"test-a-charge-point.md": CHARGE_POINT, "test-a-central-system.md": CENTRAL_SYSTEM}


def blocks(page: str) -> "list[str]":
    return BLOCK.findall((ROOT / "docs" / page).read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_the_page_is_in_the_example(page: str) -> None:
    texts = [(EXAMPLES / example).read_text("utf-8") for example in PAGES[page]]
    of_example = [block for block in blocks(page) if not block.startswith("from ")]
    assert len(of_example) >= 3
    for block in of_example:
        assert any(block in text for text in texts)


@pytest.mark.timeout(seconds(120))
@pytest.mark.parametrize("example", [*CHARGE_POINT, *CENTRAL_SYSTEM])
def test_the_example_runs(example: str, tmp_path: Path) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"ocpp_timeout_factor={FACTOR}"]
    done = subprocess.run(
        [sys.executable, *words, str(EXAMPLES / example)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds(110),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)
    assert "skipped" not in done.stdout


def test_the_program_without_pytest_runs(tmp_path: Path) -> None:
    (code,) = (block for block in blocks("test-a-charge-point.md") if block.startswith("from "))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds(30),
        check=False,
    )
    assert (done.stdout.splitlines(), done.stderr) == (re.findall(r"# -> (.*)$", code, re.MULTILINE), "")
