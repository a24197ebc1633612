"""Runs the command ``ocppj`` in processes of their own."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Dict, List, Optional, Sequence

from tests.helpers import seconds

ROOT = Path(__file__).resolve().parent.parent.parent
#: The ending of lines that say where something listens: ``listening on ws://127.0.0.1:9000``.
URL = re.compile(r"(wss?://[^\s,]+)")


def _environment(more: Optional[Dict[str, str]]) -> Dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "COLUMNS": "120", **(more or {})}


@dataclass
class Ran:
    """How a command ended, and what it has printed."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> List[str]:
        return self.out.splitlines()

    @property
    def json(self) -> List[Any]:
        """What it has printed, one JSON value a line."""
        return [json.loads(line) for line in self.lines]


def ocppj(*words: object, stdin: str = "", cwd: object = None, env: Optional[Dict[str, str]] = None) -> Ran:
    """Run a command until it ends."""
    done = subprocess.run(
        [sys.executable, "-m", "ocppj", *map(str, words)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=seconds(50),
        cwd=str(cwd) if cwd else None,
        env=_environment(env),
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


class Running:
    """A command that goes on. As a context manager it is ended by SIGTERM, if it has not ended.

    Args:
        words: The arguments.
        cwd: Its working directory.
        env: Variables beside those of this process.
        program: What is run: words for Python.

    Attributes:
        out: The lines that it has printed so far.
        err: Those of its standard error.
    """

    def __init__(
        self,
        *words: object,
        cwd: object = None,
        env: Optional[Dict[str, str]] = None,
        program: Sequence[str] = ("-m", "ocppj"),
    ) -> None:
        self.out: List[str] = []
        self.err: List[str] = []
        self._lines: "queue.Queue[Optional[str]]" = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            cwd=str(cwd) if cwd else None,
            env=_environment(env),
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], lines: List[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))
            self._lines.put(lines[-1])
        self._lines.put(None)

    def wait_for(self, pattern: str, within: float = 20.0) -> "re.Match[str]":
        """Return the match of the next line, of the output or of the errors, that has ``pattern`` in it."""
        ended = 0
        while ended < 2:
            try:
                line = self._lines.get(timeout=seconds(within))
            except queue.Empty:
                break
            ended += line is None
            match = re.search(pattern, line or "")
            if line is not None and match:
                return match
        raise AssertionError(f"no line with {pattern!r} in {self.out + self.err}")

    def url(self) -> str:
        """Return the URL in the line that says where it listens."""
        return self.wait_for(URL.pattern)[1]

    def say(self, text: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def end(self, number: int = signal.SIGINT) -> Ran:
        """Send a signal, Ctrl-C by default, and wait until it has ended."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, within: float = 20.0) -> Ran:
        """Wait until it has ended by itself."""
        code = self.process.wait(seconds(within))
        for reader in self._readers:
            reader.join(seconds(10))
        assert "Traceback" not in "\n".join(self.err), self.err
        return Ran(code, "\n".join(self.out), "\n".join(self.err))

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds(10))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
