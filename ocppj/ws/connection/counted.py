"""`CountedChannel`: a channel whose work is noted, so that a test can wait until nothing is under way.

Its wire is under way from the moment at which it has something for the reader until a step has found nothing more. A
job is until it has run, unless it waits for one that is at rest. A channel that closes is until its end has been told.
A channel that is paused, and may not read yet, is at rest, whatever waits in its wire.
"""

from __future__ import annotations

from typing import Callable, Collection, Protocol

from ...activity import Activity
from ..base import Close
from .channel import WireChannel

__all__ = ["CountedChannel", "CountedWire"]


class CountedWire(Protocol):
    """A `wire.Wire` that notes what it has for its reader."""

    stirs: int  #: Grows with everything that it gets for the reader.

    def count_in(self, activity: Activity) -> None:
        """Note in ``activity`` what waits for the reader, from now on until ``close()``."""

    def stir(self) -> None:
        """Note that the reader has something to do. For any thread."""

    def rest(self, stirs: int, paused: bool) -> None:
        """Note that the reader rests, if ``stirs`` has not grown, and nothing is left to read or it is ``paused``."""


class CountedChannel(WireChannel):
    """A `WireChannel` over a `CountedWire`. Call `count_in` before it begins."""

    __slots__ = ("_counted_wire", "_is_over", "activity")

    def count_in(self, activity: Activity, wire: CountedWire, is_over: Callable[[], bool]) -> None:
        """Note the work of this channel in ``activity``. Jobs that have not begun are lost when ``is_over()``."""
        self.activity: Activity = activity  #: See `base.Channel`.
        self._counted_wire = wire
        self._is_over = is_over

    def begin(self) -> bool:
        if not self._begun:
            self._counted_wire.count_in(self.activity)
        return super().begin()

    def submit(self, job: Callable[[], None]) -> None:
        super().submit(self.activity.job(job, self._must_wait))

    def _must_wait(self, at_rest: Collection[int]) -> bool:
        """Tell whether a job that has not begun is not under way: see `activity.Waits`."""
        if self._is_over():
            return True
        idents = self._readers.blocked_by(self)
        return idents is not None and all(ident in at_rest for ident in idents)

    def resume(self) -> None:
        if self._pause is not None:
            self._counted_wire.stir()
        super().resume()

    def resume_reading(self) -> None:
        self._counted_wire.stir()  # before the reader may read
        super().resume_reading()

    def step(self, block: bool = True) -> bool:
        wire, stirs = self._counted_wire, self._counted_wire.stirs
        more = super().step(block)
        pause = self._pause
        if pause is not None:  # after it was set: who makes room from now on calls `resume`
            if self._outcome is None and not self._may_read(pause):
                wire.rest(stirs, paused=True)
        elif more and not block:  # a step that blocks rests in the wire
            wire.rest(stirs, paused=False)
        return more

    def finish(self) -> None:
        super().finish()
        if self._gone:
            self.activity.done(self)

    def _set_outcome(self, outcome: Close) -> bool:
        self.activity.add(self)  # before the reader can end
        first = super()._set_outcome(outcome)
        if not first and self._gone:
            self.activity.done(self)
        return first
