"""`Runner`: runs cases, one after the other, each in a connection of its own."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

from .cases import Case
from .deadline import Deadline
from .outcomes import Frames, Outcome, Report
from .verdicts import NOT_APPLICABLE, PASS, SUSPICIOUS, PeerGone, Told

__all__ = ["Peer", "Runner"]


class Peer:
    """What a role gives to the runner: how a case reaches the peer that is checked.

    Attributes:
        name: Where it is: a URL, or an identity.
    """

    name = ""

    def open(self, case: Case, version: str, frames: Frames, deadline: Deadline) -> AbstractContextManager[Any]:
        """Return what the case is run with. It is closed when the case is over.

        Args:
            case: The case.
            version: The OCPP version.
            frames: Where to note the frames.
            deadline: Until when the case may wait.

        Raises:
            PeerGone: The peer cannot be reached any more.
            Told: The case cannot be run, and this is what came of it.
        """
        raise NotImplementedError


class Runner:
    """Runs cases.

    Args:
        peer: How to reach the peer.
        allowed: What the user allows: the names that `Case.needs` has.
        on_outcome: Called after each case, for progress. ``None``: nothing.
        factor: The cases may take so many times as long as they say.

    Attributes:
        report: What has come of the last run so far. ``None``: there was none.
    """

    def __init__(
        self,
        peer: Peer,
        allowed: Sequence[str] = (),
        on_outcome: Optional[Callable[[Outcome], object]] = None,
        factor: float = 1.0,
    ) -> None:
        self._peer = peer
        self._allowed = allowed
        self._on_outcome = on_outcome or (lambda outcome: None)
        self._factor = factor
        self.report: Optional[Report] = None

    def run(self, role: str, cases: Sequence[Case], versions: Sequence[str]) -> Report:
        """Run each case over each version that it has. A peer that is gone ends the run.

        Args:
            role: What is checked.
            cases: The cases, in their order.
            versions: The OCPP versions that the peer speaks.
        """
        report = self.report = Report(role, self._peer.name)
        todo = list(_plan(cases, versions))
        try:
            self._run_all(report, todo)
        except KeyboardInterrupt:
            report.ended = "it was interrupted"
            raise
        finally:
            report.not_run = len(todo) - len(report.outcomes)
        return report

    def _run_all(self, report: Report, todo: Sequence[Tuple[Case, str]]) -> None:
        for case, version in todo:
            try:
                outcome = self._try(case, version)
            except PeerGone as error:
                after = f", after the case {report.outcomes[-1].case.id}" if report.outcomes else ""
                report.ended = f"{error}{after}"
                return
            report.outcomes.append(outcome)
            self._on_outcome(outcome)

    def _try(self, case: Case, version: str) -> Outcome:
        frames, begun = Frames(), time.monotonic()
        verdict, reason = self._judge(case, version, frames)
        return Outcome(case, version, verdict, reason, round(time.monotonic() - begun, 3), frames.all())

    def _judge(self, case: Case, version: str, frames: Frames) -> Tuple[str, str]:
        if case.needs and case.needs not in self._allowed:
            return NOT_APPLICABLE, f"it needs --{case.needs}"
        try:
            with self._peer.open(case, version, frames, Deadline(case.seconds * self._factor)) as room:
                case.run(room)
        except Told as told:
            return told.verdict, str(told)
        except PeerGone:
            raise
        except Exception as error:  # a case of ours that breaks must not end the run
            return SUSPICIOUS, f"the case could not be run: {type(error).__name__}: {error}"
        return PASS, ""


def _plan(cases: Sequence[Case], versions: Sequence[str]) -> Iterator[Tuple[Case, str]]:
    """Yield what is run: version after version."""
    for version in versions:
        for case in cases:
            own = [each for each in versions if each in case.versions]
            if version in (own[:1] if case.once else own):
                yield case, version
