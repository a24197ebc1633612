"""Verdicts, and how a case says its own: it returns (pass), or it raises one of these exceptions."""

from __future__ import annotations

__all__ = [
    "FAIL",
    "NOT_APPLICABLE",
    "PASS",
    "SUSPICIOUS",
    "VERDICTS",
    "Doubtful",
    "Failed",
    "NotApplicable",
    "PeerGone",
    "Told",
]

#: The rule is kept; it is broken; it cannot be tried here; it may be broken, or the documents leave it open.
PASS, FAIL, NOT_APPLICABLE, SUSPICIOUS = "pass", "fail", "not applicable", "suspicious"
#: All of them, the worst first.
VERDICTS = (FAIL, SUSPICIOUS, NOT_APPLICABLE, PASS)


class Told(Exception):
    """What a case says in place of "pass". Its text is the reason, for people."""

    verdict = SUSPICIOUS


class Failed(Told):
    """The peer breaks the rule."""

    verdict = FAIL


class Doubtful(Told):
    """The peer does something odd that the documents do not forbid, or the case cannot tell."""

    verdict = SUSPICIOUS


class NotApplicable(Told):
    """The rule does not concern this peer, or it cannot be tried from here."""

    verdict = NOT_APPLICABLE


class PeerGone(Exception):
    """The peer cannot be reached any more. No further case is run. Its text is the reason."""
