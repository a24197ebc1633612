"""The commands of docs/validate.md print what the page says."""

import re
import subprocess
import sys
from pathlib import Path

from tests.cli.commands import ROOT
from tests.cli.pages import agrees, files_of, put_command, shell, steps_of
from tests.test_readme import BLOCK

PAGE = (ROOT / "docs" / "validate.md").read_text("utf-8")


def test_the_page_is_true(tmp_path: Path) -> None:
    environment = put_command(tmp_path)
    for name, text in files_of(PAGE).items():
        (tmp_path / name).write_text(text, "utf-8")
    steps = steps_of(PAGE)
    assert len(steps) > 6
    for step in steps:
        printed = shell(step.command, tmp_path, environment)
        assert agrees(printed, step.printed), "\n".join([step.command, *printed])
    (code,) = BLOCK.findall(PAGE)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE)
