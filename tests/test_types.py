"""What a type checker says about programs that use the library."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from tests.helpers import seconds
from tests.test_readme import BLOCKS

pytest.importorskip("mypy", reason="mypy needs Python 3.10 or newer")

ROOT = Path(__file__).resolve().parent.parent
MISTAKES = ROOT / "tests" / "user_mistakes.py"

pytestmark = pytest.mark.timeout(seconds(400))  # mypy reads the whole library


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def errors(cache: Path, *arguments: str) -> List[Tuple[str, int, str]]:
    """Return what mypy finds wrong: the file, the line and the error."""
    # As users have it: no settings of ours, and no errors of ours.
    settings = ["--config-file=", "--cache-dir", str(cache), "--no-error-summary", "--follow-imports=silent"]
    command = [sys.executable, "-m", "mypy", *settings, "--hide-error-context", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    lines = [line for line in done.stdout.splitlines() if ": note: " not in line]
    found = [re.fullmatch(r"(.*?):(\d+): error: (.*)", line) for line in lines]
    assert all(found), done.stdout
    return [(Path(each[1]).name, int(each[2]), each[3]) for each in found if each]


def test_each_of_ten_mistakes_is_an_error_in_its_line(cache: Path) -> None:
    lines = MISTAKES.read_text("utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if "# mistake:" in line}
    assert len(marked) == 10
    found: Dict[int, str] = {line: text for _, line, text in errors(cache, str(MISTAKES))}
    # A function that its decorator refuses is reported in the line of the decorator, or of the ``def`` below it.
    assert {line if line in marked else line - 1 for line in found} == marked, found


def test_the_examples_of_the_readme_have_no_errors(cache: Path, tmp_path: Path) -> None:
    for number, (_, code) in enumerate(BLOCKS):
        (tmp_path / f"example_{number}.py").write_text(code, "utf-8")
    # Their functions have no annotations, as users write them.
    assert errors(cache, "--check-untyped-defs", *map(str, sorted(tmp_path.glob("*.py")))) == []
