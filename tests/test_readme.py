"""Every Python block of README.md and of most pages runs as it stands, and prints what its ``# ->`` say.

The other pages have tests of their own. The pages name every option and every public name, and no link is dead.
"""

import importlib
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
from tests.test_public_surface import MODULES, VERSIONS
from tools.type_reference import KINDS

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
API = "\n".join(page.read_text("utf-8") for page in sorted((DOCS / "api").glob("*.md")))
PAGES = [README, ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
#: The pages whose blocks are programs of their own.
RUN = [
    "connection-loss embedding handlers limits not-lost observers own-messages recordings requests",
    "observing offline-charge-point restart-safe-commands",
    "signed-messages tests-without-a-network threads validation versions",
]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATIENCE = 30


def blocks() -> List[Tuple[str, str]]:
    """Return each block with the heading it stands under."""
    found = []
    for page in (README, *(DOCS / f"{name}.md" for name in " ".join(RUN).split())):
        text = page.read_text("utf-8")
        for match in BLOCK.finditer(text):
            heading = re.findall(r"^#+ (.*)$", text[: match.start()], re.MULTILINE)[-1]
            found.append((heading, match.group(1)))
    return found


BLOCKS = blocks()


def test_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) < 200


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
def test_the_pages_name_every_option(kind: type, options: type) -> None:
    own = [each.name for each in inspect.signature(kind).parameters.values() if each.kind is each.KEYWORD_ONLY]
    text = "".join((DOCS / name).read_text("utf-8") for name in ("limits.md", "options.md"))
    assert [name for name in [*own, *options.__annotations__] if not re.search(rf"`{name}[`=]", text)] == []


@pytest.mark.parametrize("module", ["ocppj", *(f"ocppj.{name}" for name in MODULES if name not in VERSIONS)])
def test_the_api_pages_have_every_public_name(module: str) -> None:
    public = importlib.import_module(module)
    assert [name for name in public.__all__ if not is_documented(name, getattr(public, name))] == []


def is_documented(name: str, value: object) -> bool:
    """Tell whether an API page has ``value``, in this module or in another that also has it."""
    modules = re.findall(r"^\.\. automodule:: (.*)$", API, re.MULTILINE)
    modules += re.findall(rf"^\.\. auto\w+:: (.*)\.{name}$", API, re.MULTILINE)
    return any(getattr(importlib.import_module(module), name, None) is value for module in modules)


def test_the_api_pages_have_nothing_else() -> None:
    documented = re.findall(r"^\.\. auto(?!module)\w+:: (.*)\.(\w+)$", API, re.MULTILINE)
    assert [name for module, name in documented if name not in importlib.import_module(module).__all__] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_pages_have_all_types_of_a_version(version: str) -> None:
    kinds = re.findall(rf"^\.\. ocpp-types:: ocppj\.{version} (\w+)$", API, re.MULTILINE)
    assert sorted(kinds) == sorted(KINDS)


def test_every_page_is_in_the_table_of_contents() -> None:
    lists = re.findall(r"^```\{toctree\}\n(.*?)^```$", (DOCS / "index.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    listed = {line for each in lists for line in each.splitlines() if line and not line.startswith(":")}
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert (pages - listed, listed - pages) == (set(), {"api/index"})
