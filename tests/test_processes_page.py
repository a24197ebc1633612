"""The Python block of docs/processes.md runs as it stands."""

import re
import subprocess
import sys

import pytest

from tests.helpers import seconds
from tests.programs import environment
from tests.test_readme import BLOCK, ROOT

TEXT = (ROOT / "docs" / "processes.md").read_text("utf-8")
BLOCKS = list(enumerate(BLOCK.findall(TEXT)))


@pytest.mark.skipif(sys.platform == "win32", reason="no fork: it prints nothing there")
@pytest.mark.parametrize("code", [code for _, code in BLOCKS], ids=[str(number) for number, _ in BLOCKS])
def test_block_runs(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds(50),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE)
