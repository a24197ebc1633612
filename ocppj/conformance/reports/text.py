"""A report as text for a terminal."""

from __future__ import annotations

from typing import Iterator, List, Tuple

from ..outcomes import Outcome, Report
from ..verdicts import FAIL, PASS, SUSPICIOUS, VERDICTS

__all__ = ["COLOURS", "details", "groups", "summary"]

#: The colour of each verdict.
COLOURS = {"fail": "red", "suspicious": "yellow", "not applicable": "dim", "pass": "green"}
#: So many frames of a case are shown: the last ones.
_SHOWN = 12


def groups(report: Report) -> Tuple[List[str], List[List[object]]]:
    """Return the columns and the rows of a table: how many cases of each group have which verdict."""
    rows = []
    for version in dict.fromkeys(each.version for each in report.outcomes):
        own = [each for each in report.outcomes if each.version == version]
        for group in dict.fromkeys(each.case.group for each in own):
            of_group = [each.verdict for each in own if each.case.group == group]
            rows.append([version, group, *(of_group.count(verdict) for verdict in reversed(VERDICTS))])
    return ["version", "group", *reversed(VERDICTS)], rows


def details(outcome: Outcome) -> Iterator[str]:
    """Yield lines about a case: what was expected, what came, and its last frames."""
    yield f"{outcome.verdict.upper()}  {outcome.case.id}  OCPP {outcome.version}: {outcome.case.title}"
    yield f"    reason    {outcome.reason}"
    yield f"    expected  {outcome.case.expects}"
    yield f"    rule      {outcome.case.section}"
    if outcome.verdict in (FAIL, SUSPICIOUS):
        if len(outcome.frames) > _SHOWN:
            yield f"    ... {len(outcome.frames) - _SHOWN} frames before"
        for frame in outcome.frames[-_SHOWN:]:
            yield f"    {frame.at:7.3f}  {frame.sender:7}  {frame.text[:300]}"


def summary(report: Report) -> str:
    """Return the last line: how many cases have which verdict."""
    counts = report.counts()
    parts = [f"{counts[PASS]} passed", f"{counts[FAIL]} failed", f"{counts[SUSPICIOUS]} suspicious"]
    parts.append(f"{counts['not applicable']} not applicable")
    text = f"{len(report.outcomes)} cases in {report.seconds:.1f} s: {', '.join(parts)}"
    return f"{text}; {report.not_run} not run: {report.ended}" if report.ended else text
