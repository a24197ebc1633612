"""docs/debug-a-charger.md: its commands run in one shell, from first to last, and print what the page says."""

import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from queue import Empty, Queue
from typing import Dict, List, Optional

from tests.cli.commands import ROOT
from tests.cli.pages import Step, agrees, files_of, put_command, steps_of
from tests.helpers import eventually, seconds

PAGE = ROOT / "docs" / "debug-a-charger.md"
END = "--- end of the step ---"
#: What a command in the background has printed when it is ready.
READY = re.compile(r"listening on ws://|RESULT +StatusNotification")


class Shell:
    """One shell, which takes a command after the other."""

    def __init__(self, folder: Path, environment: Dict[str, str]) -> None:
        self._lines: "Queue[Optional[str]]" = Queue()
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip())
        self._lines.put(None)

    def run(self, command: str) -> List[str]:
        """Run a command, and return the lines that it prints."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\necho '{END}'\n")
        self._process.stdin.flush()
        lines: List[str] = []
        deadline = time.monotonic() + seconds(40)
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"{command} goes on: {lines}") from None
            if line == END:
                return lines
            assert line is not None, f"the shell has ended: {lines}"
            lines.append(line)

    def close(self) -> None:
        """End it, and all that runs in its background."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write("kill $(jobs -p) 2>/dev/null; wait; exit\n")
            self._process.stdin.close()
            self._process.wait(seconds(20))
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(seconds(10))
            self._process.stdout.close()


def free_ports(number: int) -> List[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def check(shell: Shell, step: Step, folder: Path) -> None:
    """Run a step. What it asks a charger for may come a moment after the charger has connected."""
    printed = shell.run(step.command)
    background = re.search(r"> (\S+) 2>&1 &$", step.command)
    if background is not None:
        out = folder / background[1]
        eventually(lambda: out.exists() and READY.search(out.read_text("utf-8")), 20)
    assert agrees(printed, step.printed), "\n".join([f"$ {step.command}", *printed])


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
