"""The Python blocks of docs/listening.md and docs/proxies.md run as they stand, but for the number of a port."""

import re
import subprocess
import sys

import pytest

from tests.helpers import seconds
from tests.test_readme import BLOCK, ROOT
from tests.web.hosts import Port

PAGES = ("listening", "proxies")
TEXTS = {name: (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in PAGES}
BLOCKS = [(name, number, code) for name in PAGES for number, code in enumerate(BLOCK.findall(TEXTS[name]))]


@pytest.mark.parametrize(
    "code", [code for _, _, code in BLOCKS], ids=[f"{name}-{number}" for name, number, _ in BLOCKS]
)
def test_block_runs(code: str) -> None:
    port = Port()  # whoever has SO_REUSEADDR may listen there, and nobody else gets it
    try:
        code = code.replace("9000", str(port.number))
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds(50),
            check=False,
        )
    finally:
        port.close()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE)
