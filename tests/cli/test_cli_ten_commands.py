"""docs/debug-a-charger.md: its commands run in one shell, from first to last, and print what the page says."""

from pathlib import Path

import pytest

from tests.cli.commands import ROOT
from tests.cli.pages import Shell, check, files_of, put_command, steps_of
from tests.helpers import seconds
from tests.ports import free_ports

PAGE = ROOT / "docs" / "debug-a-charger.md"


@pytest.mark.timeout(seconds(180))  # it starts many processes
def test_ten_commands(tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8")
    for name, text in files_of(page).items():
        (tmp_path / name).write_text(text, "utf-8")
    for port, free in zip(("9000", "9001"), free_ports(2)):
        page = page.replace(port, str(free))
    (tmp_path / "bin").mkdir()
    (tmp_path / "run").mkdir(mode=0o700)
    steps = steps_of(page)
    commands = {step.command.split()[1] for step in steps if step.command.startswith("ocppj ")}
    assert len(commands) == 10, commands
    shell = Shell(tmp_path, {**put_command(tmp_path / "bin"), "XDG_RUNTIME_DIR": str(tmp_path / "run")})
    try:
        for step in steps:
            check(shell, step, tmp_path)
    finally:
        shell.close()
    for log in tmp_path.glob("*.out"):
        assert "Traceback" not in log.read_text("utf-8"), log
