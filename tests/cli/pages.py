"""Runs the shell blocks of a page of the docs, and compares what they print with what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple

from tests.cli.commands import ROOT
from tests.helpers import seconds

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^`([\w.\-]+)`(?:, [^\n]*)?:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A command of a page, and the lines that it prints there. "..." stands for any lines."""

    command: str
    printed: List[str]


def steps_of(page: str) -> List[Step]:
    """Return the commands in the console blocks of a page: the lines after ``$``."""
    steps = []
    for block in _BLOCK.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
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
