"""`tools/example_pages.py`: the site shows each example, with its programs."""

import re
from pathlib import Path

import pytest

from tools.example_pages import example_page

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = sorted(path.name for path in (ROOT / "examples").iterdir())
PAGES = ROOT / "docs" / "examples"


def test_each_example_has_a_page() -> None:
    assert sorted(page.stem for page in PAGES.iterdir()) == FOLDERS


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_page_shows_the_programs(folder: str) -> None:
    page = example_page(ROOT / "examples" / folder)
    for program in (ROOT / "examples" / folder).rglob("*.py"):
        assert program.read_text("utf-8").rstrip() in page


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_link_of_the_page_is_dead(folder: str) -> None:
    page = example_page(ROOT / "examples" / folder)
    prose = re.sub(r"^~~~~.*?^~~~~$|^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    headings = [re.sub(r"[^\w-]", "", heading).lower() for heading in re.findall(r"^## (.*)$", prose, re.MULTILINE)]
    for path, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", prose):
        assert (PAGES / path).exists() if path else anchor in headings


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_page_of_the_repository_has_the_same_title(folder: str) -> None:
    readme = (ROOT / "examples" / folder / "README.md").read_text("utf-8")
    assert (PAGES / f"{folder}.md").read_text("utf-8").splitlines()[0] == readme.splitlines()[0]


def test_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "examples" / "small"
    (folder / "shop").mkdir(parents=True)
    (folder / "README.md").write_text(
        "# Small\n\n[It](shop/start.py), [more](../other), [a page](../../docs/limits.md#all), [a site](https://a.b/c).\n",
        "utf-8",
    )
    (folder / "shop" / "__init__.py").write_text("", "utf-8")
    (folder / "shop" / "start.py").write_text("print(1)\n", "utf-8")
    (folder / "board.json").write_text("{}\n", "utf-8")
    assert example_page(folder) == (
        "# Small\n\n[It](#shopstartpy), [more](other.md), [a page](../limits.md#all), [a site](https://a.b/c).\n\n"
        "## `board.json`\n\n{download}`board.json <../../examples/small/board.json>`\n\n"
        "## `shop/start.py`\n\n~~~~python\nprint(1)\n~~~~\n"
    )
