"""Runs the shell blocks of a page of the docs, and compares what they print with what the page says."""

import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from queue import Empty, Queue
from typing import Dict, List, NamedTuple, Optional

from tests.cli.commands import ROOT
from tests.helpers import eventually, seconds

_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^`([\w.\-]+)`(?:, [^\n]*)?:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "--- end of the step ---"
#: What a command in the background has printed when it is ready.
READY = re.compile(r"listening on wss?://|RESULT +StatusNotification")


class Step(NamedTuple):
    """A command of a page, and the lines that it prints there. "..." stands for any lines."""

    command: str
    printed: List[str]


def steps_of(page: str) -> List[Step]:
    """Return the commands in the console blocks of a page: the lines after ``$``."""
    steps = []
    for block in _BLOCK.findall(page):
        for part in re.split(r"^\$ ", textwrap.dedent(block), flags=re.MULTILINE)[1:]:
            command, *printed = part.rstrip("\n").split("\n")
            steps.append(Step(command, printed))
    return steps


def files_of(page: str) -> Dict[str, str]:
    """Return the files that a page shows: a block after a line that begins with the name of the file."""
    return dict(_FILE.findall(page))


def put_command(folder: Path) -> Dict[str, str]:
    """Make a command ``ocppj`` in ``folder``, and return the environment in which a shell finds it."""
    script = folder / "ocppj"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ocppj "$@"\n', "utf-8")
    script.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "COLUMNS": "120"}


def shell(command: str, folder: Path, environment: Dict[str, str]) -> List[str]:
    """Run a command, and return the lines that it prints."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=seconds(50),
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    return [line.rstrip() for line in done.stdout.splitlines()]


def agrees(printed: List[str], expected: List[str]) -> bool:
    """Tell whether lines are those of a page. A line "..." there stands for any lines, "..." in a line for any text."""
    pattern = "".join(
        r"(?:[^\n]*\n)*" if line.strip() == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", r"[^\n]*") + r"\n"
        for line in expected
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


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


def check(shell: Shell, step: Step, folder: Path) -> None:
    """Run a step. What it asks a charger for may come a moment after the charger has connected."""
    printed = shell.run(step.command)
    background = re.search(r"> (\S+) 2>&1 &$", step.command)
    if background is not None:
        out = folder / background[1]
        eventually(lambda: out.exists() and READY.search(out.read_text("utf-8")), 20)
    assert agrees(printed, step.printed), "\n".join([f"$ {step.command}", *printed])
