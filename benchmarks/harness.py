"""The shared parts of the benchmarks: child processes, measurements in turn, tables and options.

Each figure comes from two child processes: a server, and the load generator (`load.py`), which simulates all charge
points. A child writes ``{"ready": ...}`` to its standard output. Each line of its standard input is a JSON object that
names a task. The child does the task and writes one line. It ends at the end of its input. Servers are measured in
turn, round after round, and each figure is the median of its rounds. So a disturbance of the machine affects all
servers.

Linux only: processor time, memory and threads of a process are read from ``/proc``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

Figures = Dict[str, float]


class Failed(Exception):
    """A measurement failed; the text says why."""


# Child processes -----------------------------------------------------------------------------------------------------


def obey(ready: Any, **tasks: Callable[..., Any]) -> None:
    """Act as a child: write ``ready``, then do the tasks on standard input, until it ends."""
    print(json.dumps({"ready": ready}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            reply = {"done": tasks[order.pop("do")](**order)}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


class Child:
    """A child process, which ends with the ``with`` block. ``ready`` is the value that the child wrote."""

    def __init__(self, command: Sequence[str], directory: Optional[str] = None) -> None:
        self.name = " ".join(Path(part).name for part in command[1:])
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, cwd=directory
        )
        self.pid = self._process.pid
        self._rest = b""
        try:
            self.ready = self._reply(30)["ready"]
        except BaseException:
            self.__exit__()
            raise

    def ask(self, do: str, timeout: float = 60, **arguments: Any) -> Any:
        """Give the child a task; return the result. Raises `Failed` when it fails or takes ``timeout`` seconds."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Failed(f"{self.name} has ended: {self._last_words()}") from error
        reply = self._reply(timeout)
        if "error" in reply:
            raise Failed(f"{self.name}: {reply['error']}")
        return reply["done"]

    def _reply(self, timeout: float) -> Any:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise Failed(f"{self.name}: no reply in {timeout:g} s")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise Failed(f"{self.name} has ended: {self._last_words()}")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        return " | ".join([line for line in lines if line.strip()][-3:])

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            try:
                stream.close()
            except OSError:  # the child has ended: it does not need the unflushed rest
                pass


def allow_files(wanted: int) -> bool:
    """Raise the limit of open files of this process and its children; return whether ``wanted`` can be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard == resource.RLIM_INFINITY or hard >= wanted


# Figures of a process, from Linux -------------------------------------------------------------------------------------


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process, in seconds, of all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def footprint(pid: int) -> Tuple[int, int]:
    """Return the resident memory of a process, in bytes, and the number of its threads."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024, int(fields["Threads"])


def percentiles(seconds: Iterable[float]) -> Tuple[float, float]:
    """Return median and 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        raise Failed("nothing was measured")
    return ordered[len(ordered) // 2] * 1000, ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000


# Measuring -----------------------------------------------------------------------------------------------------------


class Subject(NamedTuple):
    """A measured program: its name in the tables, its command, and the most connections it is measured with."""

    name: str
    command: Sequence[str]
    most: int = 1_000_000
    directory: Optional[str] = None


def python(script: str, *arguments: str) -> List[str]:
    """Return the command that runs one of our scripts with this Python."""
    return [sys.executable, str(HERE / script), *arguments]


def load() -> Child:
    """Start a load generator."""
    return Child(python("load.py"))


def measure(
    subjects: Sequence[Subject], repeat: int, once: Callable[[Subject], Figures]
) -> Tuple[Dict[str, Figures], List[str]]:
    """Measure each of ``subjects`` ``repeat`` times, in turn; return the medians by name, and the failures."""
    rounds: Dict[str, List[Figures]] = {subject.name: [] for subject in subjects}
    failures: Dict[str, str] = {}
    for _ in range(repeat):
        for subject in subjects:
            if subject.name in failures:
                continue  # it would fail again, and take time
            try:
                rounds[subject.name].append(once(subject))
            except Failed as error:
                failures[subject.name] = str(error)
    medians = {
        name: {key: statistics.median(figures[key] for figures in each if key in figures) for key in each[0]}
        for name, each in rounds.items()
        if each
    }
    return medians, [f"{name}: {reason}" for name, reason in failures.items()]


def add_ratio(results: Mapping[str, Figures], key: str, base: str, ratio: str = "ratio") -> None:
    """Add to each result the ratio of its ``key`` to that of ``base``, if ``base`` was measured."""
    if base in results and results[base][key]:
        for figures in results.values():
            figures[ratio] = figures[key] / results[base][key]


def table(title: str, subjects: Sequence[Subject], results: Mapping[str, Figures], columns: Mapping[str, str]) -> str:
    """Return a table in Markdown: a row for each subject, a column for each of ``columns`` (key: heading)."""
    rows = [["", *columns.values()]]
    for subject in subjects:
        figures = results.get(subject.name, {})
        rows.append([subject.name, *(number(figures.get(key)) for key in columns)])
    return f"{title}\n\n{aligned(rows)}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown. The first of ``rows`` has the headings. Columns after the first have figures."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        "| " + " | ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in [rows[0], rule, *rows[1:]]
    ]
    return "\n".join(line + " |" for line in lines) + "\n"


def number(value: Optional[float]) -> str:
    """Return a figure with three significant digits."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def say(text: str) -> None:
    """Print a part of the report at once."""
    print(text, flush=True)


# Options -------------------------------------------------------------------------------------------------------------


def numbers(text: str) -> List[int]:
    """Parse a list such as ``50,500``."""
    return [int(part) for part in text.split(",")]


def options(
    about: Optional[str], connections: Sequence[int], quick: Sequence[int], seconds: float = 2.0, checkout: bool = False
) -> argparse.Namespace:
    """Parse the options that all benchmarks have. ``--quick`` has its own values for them.

    With ``checkout`` the command line names another checkout first.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if checkout:
        parser.add_argument("checkout", type=Path, help="the folder of another checkout of this project")
    parser.add_argument("--connections", type=numbers, help="how many, e.g. 50,500", metavar="N,N")
    parser.add_argument("--seconds", type=float, help="how long each figure is measured")
    parser.add_argument("--repeat", type=int, help="rounds, of which the median counts")
    parser.add_argument(
        "--only",
        default="",
        help="only what has one of these in its name, and none of -NAME",
        metavar="NAME,NAME",
    )
    parser.add_argument("--quick", action="store_true", help="a rough figure in less than 20 seconds")
    chosen = parser.parse_args()
    chosen.connections = chosen.connections or list(quick if chosen.quick else connections)
    chosen.seconds = chosen.seconds or (0.3 if chosen.quick else seconds)
    chosen.repeat = chosen.repeat or (1 if chosen.quick else 3)
    return chosen


def chosen_from(subjects: Iterable[Subject], only: str, connections: int = 0) -> List[Subject]:
    """Return the subjects whose names have one of the parts in ``only``, and that allow so many connections.

    Names with a part that follows a ``-`` are left out.
    """
    parts = only.split(",")
    unwanted = [part[1:] for part in parts if part.startswith("-")]
    wanted = [part for part in parts if not part.startswith("-")] or [""]
    return [
        each
        for each in subjects
        if each.most >= connections
        and any(part in each.name for part in wanted)
        and not any(part in each.name for part in unwanted)
    ]
