"""A report as JSON values."""

from __future__ import annotations

from typing import Any, Dict

from ...payloads.datetimes import format_datetime
from ...secrets import mask_secrets
from ..cases import Case
from ..outcomes import Outcome, Report
from ..verdicts import FAIL, NOT_APPLICABLE, PASS, SUSPICIOUS

__all__ = ["values_of", "values_of_case", "values_of_outcome"]

#: The name of each count. A property "pass" would be masked: it sounds like a password.
_COUNTED = {FAIL: "failed", SUSPICIOUS: "suspicious", NOT_APPLICABLE: "not_applicable", PASS: "passed"}


def values_of_case(case: Case) -> Dict[str, Any]:
    """Return what a case is, without its code."""
    return {
        "role": case.role,
        "id": case.id,
        "title": case.title,
        "section": case.section,
        "expects": case.expects,
        "versions": list(case.versions),
        **({"needs": case.needs} if case.needs else {}),
    }


def values_of_outcome(outcome: Outcome, show_secrets: bool = False) -> Dict[str, Any]:
    """Return what came of a case.

    Args:
        outcome: The outcome.
        show_secrets: Whether passwords and keys are shown. Else ``***`` stands for them.
    """

    def shown(text: str) -> str:
        return text if show_secrets else mask_secrets(text)

    return {
        "id": outcome.case.id,
        "version": outcome.version,
        "verdict": outcome.verdict,
        "reason": shown(outcome.reason),
        "title": outcome.case.title,
        "section": outcome.case.section,
        "expects": outcome.case.expects,
        "seconds": outcome.seconds,
        "frames": [{"at": each.at, "from": each.sender, "text": shown(each.text)} for each in outcome.frames],
    }


def values_of(report: Report, show_secrets: bool = False) -> Dict[str, Any]:
    """Return a whole report.

    Args:
        report: The report.
        show_secrets: Whether passwords and keys are shown. Else ``***`` stands for them.
    """
    return {
        "role": report.role,
        "peer": report.peer if show_secrets else mask_secrets(report.peer),
        "begun": format_datetime(report.begun),
        "seconds": round(report.seconds, 3),
        "good": report.is_good,
        "counts": {_COUNTED[verdict]: count for verdict, count in report.counts().items()},
        "ended": report.ended,
        "not_run": report.not_run,
        "cases": [values_of_outcome(each, show_secrets) for each in report.outcomes],
    }
