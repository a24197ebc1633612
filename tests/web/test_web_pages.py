"""docs/flask.md and docs/django.md say to copy what is in the examples: each line of their Python is there."""

import re
from pathlib import Path
from typing import Set

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def lines_of(example: str) -> Set[str]:
    files = (ROOT / "examples" / example).rglob("*.py")
    return {line.strip() for file in files for line in file.read_text("utf-8").splitlines()}


@pytest.mark.parametrize("name", ["flask", "django"])
def test_what_a_page_says_to_copy_is_in_the_example(name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    shown = {line.strip() for block in BLOCK.findall(page) for line in block.splitlines()}
    assert len(shown) > 5
    assert sorted(shown - lines_of(f"{name}_service")) == []


def test_flask_service_is_small() -> None:
    """It is promised to be one that a person reads in a few minutes."""
    folder = ROOT / "examples" / "flask_service"
    files = [*folder.rglob("*.py"), *folder.rglob("*.html")]
    assert sum(len(file.read_text("utf-8").splitlines()) for file in files) < 200
