"""Every Python block of README.md and docs/embedding.md runs as it stands, and prints what its ``# ->`` say.

README.md names every option, and no link of the pages is dead.
"""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

from ocppj import Client, Server
from ocppj.ws.options import ClientOptions, ServerOptions

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
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


def anchors(page: Path) -> List[str]:
    """Return what a link to a heading of ``page`` may end in."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def prose(page: Path) -> str:
    """Return the text of ``page`` without its code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_no_link_is_dead(page: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize(
    ("kind", "options"), [(Client, ClientOptions), (Server, ServerOptions)], ids=["client", "server"]
)
def test_the_readme_names_every_option(kind: type, options: type) -> None:
    own = [each.name for each in inspect.signature(kind).parameters.values() if each.kind is each.KEYWORD_ONLY]
    parts = README.read_text("utf-8").split("\n## ")
    text = "".join(part for part in parts if part.startswith(("Limits of a server\n", "Settings\n")))
    assert [name for name in [*own, *options.__annotations__] if not re.search(rf"`{name}[`=]", text)] == []
