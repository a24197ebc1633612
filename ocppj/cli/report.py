"""``ocppj report``: a page that shows a recording in a browser."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Iterator, List

from .arguments import duration
from .exits import FOUND, OK, CommandError
from .terminal import Terminal

if TYPE_CHECKING:
    from ..recording import Recorded
    from ..reporting import Report

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]

DESCRIPTION = """Make a page that shows a recording in a browser: the messages of each station as a sequence diagram,
latencies, errors, gaps, and transactions with their energy and power. The page is one file, and asks no network.
With --json, print the summary instead; with -o as well, do both."""
EXAMPLES = """
ocppj report s.jsonl                      # writes s.html
ocppj report s.jsonl -o report.html
ocppj report monday.jsonl tuesday.jsonl -o week.html
ocppj report s.jsonl --gap 2m             # a station that is silent for 2 minutes is a gap
ocppj report s.jsonl --json               # the summary, for programs
"""
_STATUS_EVERY = 1000


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a recording, or a log that validate reads; - is the standard input"
    )
    parser.add_argument(
        "-o", "--output", metavar="PAGE", help="the page; otherwise the name of the first file, with .html"
    )
    parser.add_argument(
        "--gap",
        type=duration,
        metavar="TIME",
        help="how long a station may be silent; otherwise one and a half of its heartbeat intervals, "
        "or 5 minutes where that interval is not in the recording",
    )


def run(arguments: Namespace, terminal: Terminal) -> int:
    """Write the page, or print the summary."""
    from ..reporting import summarize

    if arguments.files.count("-") > 1:
        raise CommandError("the standard input can be read once: write - once")
    missing = [name for name in arguments.files if name != "-" and not os.path.exists(name)]
    if missing:
        raise CommandError(f"there is no file {missing[0]!r}")
    only_summary = arguments.json and arguments.output is None
    report = _read(arguments, terminal) if only_summary else _write(arguments, terminal)
    if not len(report.messages):
        raise CommandError(f"there are no OCPP messages in {', '.join(arguments.files)}", FOUND)
    if arguments.json:
        terminal.json(summarize(report))
    return OK


def _read(arguments: Namespace, terminal: Terminal) -> Report:
    from ..reporting import Report

    report = Report(expected=arguments.gap, show_secrets=arguments.show_secrets)
    report.read(_counted(_recorded(arguments.files, terminal), terminal))
    return report


def _write(arguments: Namespace, terminal: Terminal) -> Report:
    """Write the page beside its place, and put it there when it is whole."""
    from ..reporting import write_page

    path = arguments.output or _page_of(arguments.files[0])
    if path == "-":
        raise CommandError("the page is a file: write its name behind -o")
    if os.path.isdir(path):
        raise CommandError(f"{path} is a folder: write the name of a file")
    if any(name != "-" and os.path.exists(path) and os.path.samefile(name, path) for name in arguments.files):
        raise CommandError(f"{path} is what is read: write another name behind -o")
    if arguments.output is None and os.path.exists(path) and not _is_page(path):
        raise CommandError(f"{path} exists, and is no page of ocppj report: write another name behind -o")
    unfinished = f"{path}.part"
    try:
        with open(unfinished, "w", encoding="utf-8") as out:
            report = write_page(
                _counted(_recorded(arguments.files, terminal), terminal),
                out,
                title=", ".join(map(os.path.basename, arguments.files)),
                expected=arguments.gap,
                show_secrets=arguments.show_secrets,
            )
        if len(report.messages):
            os.replace(unfinished, path)
            terminal.note(f"wrote {path}: {_describe(report)}")
    finally:
        if os.path.exists(unfinished):
            os.unlink(unfinished)
    return report


def _page_of(name: str) -> str:
    return "report.html" if name == "-" else f"{os.path.splitext(name)[0]}.html"


def _is_page(path: str) -> bool:
    """Return whether a file begins as the pages of this command do."""
    with open(path, "rb") as file:
        return b'<meta name="generator" content="ocppj report">' in file.read(4000)


def _describe(report: Report) -> str:
    parts = [
        (len(report.messages), "rows"),
        (len(report.stations), "stations"),
        (sum(map(report.is_error, range(len(report.messages)))), "errors"),
        (len(report.gaps), "gaps"),
        (len(report.transactions), "transactions"),
    ]
    return ", ".join(f"{count} {name if count != 1 else name[:-1]}" for count, name in parts)


def _recorded(names: List[str], terminal: Terminal) -> Iterator[Recorded]:
    """Yield what stands in all files, in the order of time."""
    import heapq

    # The files that a recorder has put aside are read with the newest: "s.jsonl*" names them once more.
    aside = {f"{name}.{number}" for name in names for number in range(1, len(names))}
    read = [_read_file(name, terminal) for name in names if name not in aside]
    return read[0] if len(read) == 1 else heapq.merge(*read, key=lambda each: each.time)


def _read_file(name: str, terminal: Terminal) -> Iterator[Recorded]:
    from ..recording import read_any

    broken: List[int] = []
    yield from read_any(name, lambda number, why: broken.append(number))
    terminal.tell_broken(name, broken)


def _counted(recording: Iterator[Recorded], terminal: Terminal) -> Iterator[Recorded]:
    """Yield what was recorded, and show how far it is."""
    for number, each in enumerate(recording, 1):
        yield each
        if number % _STATUS_EVERY == 0:
            terminal.status(f"{number} messages read")
