"""What a type checker says about programs that use the library."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

import ocppj
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


def test_each_mistake_is_an_error_in_its_line(cache: Path) -> None:
    lines = MISTAKES.read_text("utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if "# mistake:" in line}
    assert len(marked) == 22
    found: Dict[int, str] = {line: text for _, line, text in errors(cache, str(MISTAKES))}
    # A function that its decorator refuses is reported in the line of the decorator, or of the ``def`` below it.
    assert {line if line in marked else line - 1 for line in found} == marked, found


def test_each_public_name_is_seen_with_its_type(cache: Path, tmp_path: Path) -> None:
    """They are imported when they are asked for, and `NO_ANSWER` may be returned for any response."""
    names = [name for name in ocppj.__all__ if name != "NO_ANSWER"]
    lines = ["import ocppj", *(f"x_{name}: 'list[list[int]]' = ocppj.{name}" for name in names), "ocppj.Clint"]
    program = tmp_path / "names.py"
    program.write_text("\n".join(lines), "utf-8")
    found = errors(cache, str(program))
    assert [line for _, line, _ in found] == list(range(2, len(lines) + 1)), "a name of the type Any has no error"
    assert all(text.startswith("Incompatible types in assignment") for _, _, text in found[:-1])
    assert found[-1][2].startswith('Module has no attribute "Clint"')


def test_the_examples_of_the_readme_have_no_errors(cache: Path, tmp_path: Path) -> None:
    for number, (_, code) in enumerate(BLOCKS):
        (tmp_path / f"example_{number}.py").write_text(code, "utf-8")
    # Their functions have no annotations, as users write them.
    assert errors(cache, "--check-untyped-defs", *map(str, sorted(tmp_path.glob("*.py")))) == []


def test_no_answer_may_be_returned_for_any_response(cache: Path, tmp_path: Path) -> None:
    program = tmp_path / "no_answer.py"
    program.write_text(
        "from ocppj import NO_ANSWER, Client, v16\n"
        "client = Client('CP_1', profiles=v16.PROFILES)\n"
        "@client.on(v16.ResetRequest)\n"
        "def reset(request: v16.ResetRequest) -> v16.ResetResponse:\n"
        "    return NO_ANSWER if request.type == 'Soft' else v16.ResetResponse(status='Accepted')\n"
        "@client.on(v16.ClearCacheRequest)\n"
        "def clear(request: v16.ClearCacheRequest) -> v16.ClearCacheResponse:\n"
        "    return NO_ANSWER\n",
        "utf-8",
    )
    assert errors(cache, "--strict", str(program)) == []
