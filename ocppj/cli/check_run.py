"""What ``ocppj check`` does alike for both roles: it runs the cases, prints the report, and writes the files."""

from __future__ import annotations

import argparse
from typing import Any, List

from .exits import FOUND, OK
from .terminal import Terminal

__all__ = ["run_cases"]


def run_cases(
    arguments: argparse.Namespace, terminal: Terminal, peer: Any, role: str, cases: List[Any], versions: List[str]
) -> int:
    """Run cases, print the report, write the files, and return the exit code.

    Args:
        arguments: Those of the command.
        terminal: Where to print.
        peer: The `ocppj.conformance.runner.Peer`.
        role: "csms" or "station".
        cases: The cases.
        versions: The OCPP versions.
    """
    from ..conformance.reports.values import values_of_outcome
    from ..conformance.runner import Runner

    done: List[Any] = []

    def note(outcome: Any) -> None:
        done.append(outcome)
        if terminal.as_json:
            terminal.json({"case": values_of_outcome(outcome, terminal.show_secrets)})
        else:
            _show(terminal, outcome)
            terminal.status(f"{len(done)} cases, OCPP {outcome.version}")

    runner = Runner(peer, getattr(arguments, "allowed", ()), note)
    try:
        report = runner.run(role, cases, versions)
    except KeyboardInterrupt:  # what is known is kept
        _conclude(arguments, terminal, runner.report)
        raise
    _conclude(arguments, terminal, report)
    return OK if report.is_good else FOUND


def _conclude(arguments: argparse.Namespace, terminal: Terminal, report: Any) -> None:
    """Write the files, and print the report, also when a disk is full."""
    try:
        _write_files(arguments, report, terminal.show_secrets)
    finally:
        _print_report(terminal, report)


def _print_report(terminal: Terminal, report: Any) -> None:
    from ..conformance.reports.values import values_of

    if terminal.as_json:
        values = values_of(report, terminal.show_secrets)
        values.pop("cases")
        terminal.json({"report": values})
    else:
        _sum_up(terminal, report)


def _show(terminal: Terminal, outcome: Any) -> None:
    from ..conformance.reports.text import COLOURS
    from ..errors import printable

    verdict = terminal.paint(COLOURS[outcome.verdict], f"{outcome.verdict:<14}")
    reason = f"  {printable(outcome.reason)}" if outcome.reason else ""
    terminal.coloured(f"{verdict}  {outcome.version:<5}  {outcome.case.id:<32}{reason}".rstrip())


def _sum_up(terminal: Terminal, report: Any) -> None:
    from ..conformance.reports.text import details, groups, summary
    from ..conformance.verdicts import FAIL

    for outcome in report.outcomes:
        if outcome.verdict == FAIL:
            terminal.line()
            terminal.lines(details(outcome))
    columns, rows = groups(report)
    terminal.line()
    terminal.table(columns, rows)
    terminal.line()
    terminal.line(summary(report))


def _write_files(arguments: argparse.Namespace, report: Any, show_secrets: bool) -> None:
    from ..conformance.reports.junit import junit_xml
    from ..conformance.reports.page import html_page

    for path, write in ((arguments.junit, junit_xml), (arguments.html, html_page)):
        if path:
            with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(write(report, show_secrets))
