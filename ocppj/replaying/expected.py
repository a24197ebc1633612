"""`Expected`: which recorded CALL or SEND of the other side one of today stands for."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import List, Optional, Sequence, Set, Tuple

from .conversation import Step
from .message import RawMessage
from .rules import Carried, Compared, Rules

__all__ = ["Expected"]

#: So many steps of the same action are looked at for one with the same payload.
_LOOK = 5


class Expected:
    """The steps of the other side in one conversation. Its owner guards it by a lock."""

    def __init__(self, steps: Sequence[Step], rules: Rules, carried: Carried) -> None:
        self._rules = rules
        self._carried = carried
        self._open: List[Step] = list(steps)  # in their order
        self._given_up: Set[int] = set()
        self._furthest = -1
        self._last: Optional[Step] = None  # the step at that place

    def take(self, message: RawMessage) -> Tuple[Optional[Step], Optional[Compared], Optional[Step]]:
        """Return the step that a message stands for, how the two compare, and a later step that has come before it.

        The first is ``None`` for an additional message.
        """
        candidates = self._candidates(message)
        if not candidates:
            return None, None, None
        compared = [self._rules.compare(step.action, step.message.payload, message.payload, self._carried)
                    for step in candidates if step.message is not None]  # fmt: skip
        best = next((index for index, each in enumerate(compared) if not each.faults), 0)
        step = candidates[best]
        self._open.remove(step)
        if not self._counts(step):
            return step, compared[best], None
        later = self._last if self._furthest > step.index else None
        if step.index > self._furthest:
            self._furthest, self._last = step.index, step
        return step, compared[best], later

    def _candidates(self, message: RawMessage) -> List[Step]:
        alike = (
            step
            for step in self._open
            if step.message is not None and (step.message.type, step.action) == (message.type, message.action)
        )
        return list(islice(alike, _LOOK))

    def has_before(self, index: int) -> bool:
        """Tell whether a step before that place has still to come, and was not given up."""
        earlier = takewhile(lambda step: step.index < index, self._open)
        return any(step.index not in self._given_up and self._counts(step) for step in earlier)

    def give_up_before(self, index: int) -> None:
        """Wait no longer for the steps before that place. They may come all the same."""
        self._given_up.update(step.index for step in self._open if step.index < index)

    def missing(self) -> List[Step]:
        """Return what has not come, and counts."""
        return [step for step in self._open if self._counts(step)]

    def _counts(self, step: Step) -> bool:
        """Tell whether a step counts when it does not come. What is no message cannot be waited for."""
        return step.message is not None and self._rules.counts(step.action)
