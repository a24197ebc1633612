"""`KneeSearch`: raises a rate until what is measured gives way, and then narrows down where that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Generator, Iterator, List, Optional

from .open_loop import Step, quantile

__all__ = ["Knee", "KneeSearch", "Limits", "Verdict"]

#: The share of a processor from which on this process is its own limit: Python runs one thread at a time.
_BUSY = 0.9
#: The share of the limit of p99 from which on requests that are sent late spoil what is measured.
_LATE = 0.25
#: The share from which on all processors of the machine are busy.
_FULL = 0.93
#: So many times as long as at a calm rate an answer takes by itself when the central system is the limit.
_SLOWER = 2.0


@dataclass(frozen=True)
class Limits:
    """When a step has given way.

    Attributes:
        p99: The longest p99 latency, in seconds.
        errors: The largest share of requests that fail.
    """

    p99: float = 0.25
    errors: float = 0.01


@dataclass(frozen=True)
class Verdict:
    """Whether a step was good.

    Attributes:
        good: Whether the limits were kept.
        why: Why not. "" for a good step.
        culprit: Who was the limit: "central system", "load" (this process), or "stations" (there are too few). "" for
            a good step.
    """

    good: bool
    why: str = ""
    culprit: str = ""


def judge(step: Step, limits: Limits, calm: Optional[float] = None) -> Verdict:
    """Tell whether a step kept the limits, and what was the limit if not.

    Args:
        step: What was measured.
        limits: When it has given way.
        calm: How long an answer takes by itself at a calm rate, in seconds, if that is known. If answers take no
            longer now, requests have waited for their stations, each of which has one request under way.
    """
    if step.processor >= _BUSY:
        return Verdict(False, f"this process used {100 * step.processor:.0f} % of a processor", "load")
    if step.late >= _LATE * limits.p99:
        return Verdict(False, f"this process sent requests {1000 * step.late:.0f} ms late", "load")
    if step.error_share > limits.errors:
        first = max(set(step.errors), key=step.errors.count)
        return Verdict(False, f"{100 * step.error_share:.1f} % of the requests failed: {first}", "central system")
    p99 = step.p99 or 0.0
    if p99 <= limits.p99:
        return Verdict(True)
    on_wire = quantile(step.on_wire, 0.5) or 0.0
    why = f"p99 was {1000 * p99:.0f} ms"
    if calm is not None and on_wire <= _SLOWER * calm:
        return Verdict(False, f"{why}, but an answer by itself took no longer than before", "stations")
    return Verdict(False, why, "central system")


@dataclass
class Knee:
    """What was found.

    Attributes:
        steps: What was measured, by rate.
        verdicts: The verdict of each.
        limits: When a step has given way.
        rate: The highest rate at which all was good. 0: there was none.
        first_bad: The lowest rate above it that was not good. ``None``: all were good.
        verdict: That of the lowest bad rate.
    """

    steps: List[Step]
    verdicts: List[Verdict]
    limits: Limits
    rate: float = 0.0
    first_bad: Optional[float] = None
    verdict: Verdict = Verdict(True)

    @property
    def found(self) -> bool:
        """Whether the central system gave way, and not at the lowest rate already."""
        return self.rate > 0 and self.verdict.culprit == "central system"

    def text(self) -> str:
        """Return what was found, in a sentence or two."""
        rate, why = f"{self.rate:.0f}", self.verdict.why
        if self.first_bad is None:
            return f"No knee: the central system kept up with {rate} messages/s, the highest rate that was tried."
        if self.verdict.culprit == "load":
            return (
                f"No knee was found: this process is the limit, not the central system. At {self.first_bad:.0f} "
                f"messages/s {why}. The central system kept up with {rate} messages/s."
            )
        if self.verdict.culprit == "stations":
            return (
                f"No knee was found: there are too few stations, and each has one request under way. At "
                f"{self.first_bad:.0f} messages/s {why}. Take more (-n). The central system kept up with {rate} "
                "messages/s."
            )
        if not self.rate:
            return f"The central system gave way at the lowest rate, {self.first_bad:.0f} messages/s: {why}."
        ceiling = max(step.answered_rate for step in self.steps)
        return (
            f"The knee is at {rate} messages/s. At {self.first_bad:.0f} messages/s {why}. The central system answered "
            f"{ceiling:.0f} a second at most.{self._machine_text()}"
        )

    def _machine_text(self) -> str:
        busiest = max((step.machine or 0.0 for step in self.steps if step.rate == self.first_bad), default=0.0)
        if busiest < _FULL:
            return ""
        return " All processors of this machine were busy: what else runs here, this process too, had a part in that."


class KneeSearch:
    """Doubles the rate until a step is bad, tries that again, and then halves the gap to the last good rate.

    Args:
        measure: Measures one rate.
        limits: When a step has given way.
        first: The first rate.
        most: The highest rate.
        halvings: How often the gap is halved.
    """

    def __init__(
        self,
        measure: Callable[[float], Step],
        limits: Limits,
        *,
        first: float = 50.0,
        most: float = 100_000.0,
        halvings: int = 4,
    ) -> None:
        self._measure = measure
        self._limits = limits
        self._first = first
        self._most = most
        self._halvings = halvings
        self._steps: List[Step] = []

    def run(self) -> Iterator[Step]:
        """Yield each step when it was measured. `knee` tells at any time what was found so far."""
        good, bad = 0.0, None
        rate = self._first
        while bad is None:
            step = yield from self._try(rate)
            if not judge(step, self._limits).good:
                bad = rate
            elif rate >= self._most:
                return
            else:
                good, rate = rate, min(2 * rate, self._most)
        for _ in range(self._halvings if good else 0):
            rate = (good + bad) / 2
            step = yield from self._try(rate)
            if judge(step, self._limits).good:
                good = rate
            else:
                bad = rate

    def _try(self, rate: float) -> Generator[Step, None, Step]:
        """Measure a rate, and once more if it was bad: a pause of the machine is no knee."""
        step = self._measure(rate)
        if not judge(step, self._limits).good:
            again = self._measure(rate)
            if judge(again, self._limits).good or (again.p99 or 0) < (step.p99 or 0):
                step = again
        self._steps.append(step)
        yield step
        return step

    def knee(self) -> Knee:
        """Return what was found so far."""
        steps = sorted(self._steps, key=lambda step: step.rate)
        good = [step for step in steps if judge(step, self._limits).good]
        calm = quantile(good[0].on_wire, 0.5) if good else None
        verdicts = [judge(step, self._limits, calm) for step in steps]
        found = Knee(steps, verdicts, self._limits)
        for step, verdict in zip(steps, verdicts):
            if not verdict.good:
                found.first_bad, found.verdict = step.rate, verdict
                break
            found.rate = step.rate
        return found
