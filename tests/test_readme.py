"""Every Python block of README.md and docs/embedding.md runs as it stands, and prints what its ``# ->`` say."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATIENCE = 30


def blocks() -> List[Tuple[str, str]]:
    """Return each block with the heading it stands under."""
    found = []
    for page in (README, ROOT / "docs" / "embedding.md"):
        text = page.read_text("utf-8")
        for match in BLOCK.finditer(text):
            heading = re.findall(r"^#+ (.*)$", text[: match.start()], re.MULTILINE)[-1]
            found.append((heading, match.group(1)))
    return found


BLOCKS = blocks()


def test_readme_opens_with_the_two_commands() -> None:
    opening = README.read_text("utf-8")[:400]
    assert "make demo" in opening
    assert "make test" in opening


@pytest.mark.parametrize(("heading", "code"), BLOCKS, ids=[f"{n}-{heading}" for n, (heading, _) in enumerate(BLOCKS)])
def test_block_runs(heading: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "block.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), heading
    assert done.stdout.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE), heading
