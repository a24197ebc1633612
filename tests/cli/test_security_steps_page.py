"""docs/security-steps.md: its commands run in one shell, and print what the page says."""

from pathlib import Path

import pytest

from tests.cli.commands import ROOT
from tests.cli.pages import Shell, check, put_command, steps_of
from tests.helpers import seconds
from tests.ports import free_ports

PAGE = ROOT / "docs" / "security-steps.md"


@pytest.mark.timeout(seconds(180))  # it starts many processes
def test_the_steps(tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8")
    for port, free in zip(("9000", "9001", "9002"), free_ports(3)):
        page = page.replace(port, str(free))
    (tmp_path / "bin").mkdir()
    (tmp_path / "run").mkdir(mode=0o700)
    steps = steps_of(page)
    assert len(steps) == 14
    shell = Shell(tmp_path, {**put_command(tmp_path / "bin"), "XDG_RUNTIME_DIR": str(tmp_path / "run")})
    try:
        for step in steps:
            check(shell, step, tmp_path)
    finally:
        shell.close()
    for log in tmp_path.glob("*.out"):
        assert "Traceback" not in log.read_text("utf-8"), log
