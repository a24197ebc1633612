"""A report as JUnit XML, which CI systems read."""

from __future__ import annotations

import re
from typing import Dict, List
from xml.etree import ElementTree

from ...payloads.datetimes import format_datetime
from ...secrets import mask_secrets
from ..outcomes import Outcome, Report
from ..verdicts import FAIL, NOT_APPLICABLE, SUSPICIOUS

__all__ = ["junit_xml"]

# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(report: Report, show_secrets: bool = False) -> str:
    """Return the XML: a test suite for each OCPP version.

    A failure is a failure there. What is suspicious or not applicable is skipped, with its reason: it must not stop a
    pipeline. A run that ended early is an error.

    Args:
        report: The report.
        show_secrets: Whether passwords and keys are shown. Else ``***`` stands for them.
    """
    root = ElementTree.Element("testsuites", _counted(report.outcomes, report.ended))
    root.set("name", f"ocppj check {report.role}")
    del root.attrib["skipped"]  # the schema of Jenkins has it for single suites only
    versions = list(dict.fromkeys(each.version for each in report.outcomes))
    for version in versions:
        outcomes = [each for each in report.outcomes if each.version == version]
        suite = ElementTree.SubElement(root, "testsuite", _counted(outcomes, ""))
        suite.set("name", f"OCPP {version}")
        suite.set("timestamp", format_datetime(report.begun)[:19])
        suite.set("hostname", _fit(report.peer, show_secrets))
        for outcome in outcomes:
            _add(suite, report.role, outcome, show_secrets)
    if report.ended:
        suite = ElementTree.SubElement(root, "testsuite", name="the run", tests="1", failures="0", errors="1")
        test = ElementTree.SubElement(suite, "testcase", classname=f"ocppj.{report.role}", name="all cases were run")
        text = f"{report.ended}: {report.not_run} cases were not run"
        ElementTree.SubElement(test, "error", type="ended", message=_fit(text, show_secrets))
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _counted(outcomes: List[Outcome], ended: str) -> Dict[str, str]:
    return {
        "tests": str(len(outcomes) + bool(ended)),
        "failures": str(sum(each.verdict == FAIL for each in outcomes)),
        "errors": str(int(bool(ended))),
        "skipped": str(sum(each.verdict in (SUSPICIOUS, NOT_APPLICABLE) for each in outcomes)),
        "time": f"{sum(each.seconds for each in outcomes):.3f}",
    }


def _add(suite: ElementTree.Element, role: str, outcome: Outcome, show_secrets: bool) -> None:
    case = outcome.case
    test = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"ocppj.{role}.{case.group}.v{outcome.version.replace('.', '')}",
        name=f"{case.id}: {case.title}",
        time=f"{outcome.seconds:.3f}",
    )
    reason = _fit(outcome.reason, show_secrets)
    if outcome.verdict == FAIL:
        failure = ElementTree.SubElement(test, "failure", type="fail", message=reason)
        failure.text = f"expected: {case.expects}\nrule: {case.section}\n{_frames(outcome, show_secrets)}"
    elif outcome.verdict in (SUSPICIOUS, NOT_APPLICABLE):
        ElementTree.SubElement(test, "skipped", message=f"{outcome.verdict}: {reason}")
    if outcome.verdict == SUSPICIOUS:
        ElementTree.SubElement(test, "system-out").text = _frames(outcome, show_secrets)


def _frames(outcome: Outcome, show_secrets: bool) -> str:
    return "\n".join(f"{each.at:8.3f} {each.sender:7} {_fit(each.text, show_secrets)}" for each in outcome.frames)


def _fit(text: str, show_secrets: bool) -> str:
    return _FORBIDDEN.sub("\ufffd", text if show_secrets else mask_secrets(text))
