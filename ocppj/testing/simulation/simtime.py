"""Simulated time, which may run faster than the clock, and the timers of one station."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Callable, Dict, List, Optional

from ...clock import Clock
from .mailbox import Mailbox
from .scheduler import Handle, Scheduler

__all__ = ["SimulatedTime", "Timers"]


class Timers:
    """The timers of one station, in seconds of the clock. Their callbacks are jobs of its mailbox."""

    def __init__(self, scheduler: Scheduler, mailbox: Mailbox) -> None:
        self._scheduler = scheduler
        self._mailbox = mailbox
        self._handles: Dict[Handle, Handle] = {}  # those of the scheduler, by our own
        self._closed = False

    def now(self) -> float:
        """Return the seconds of the clock."""
        return self._scheduler.now()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Handle:
        """Run ``callback`` as a job of the mailbox in ``seconds`` of the clock. Call this in a job."""
        handle = Handle(callback, self._note_canceled)
        if self._closed:
            handle.cancel()
            return handle
        job = partial(self._mailbox.post, partial(self._run, handle))
        self._handles[handle] = self._scheduler.call_later(seconds, job)
        return handle

    def close(self) -> None:
        """Cancel all timers, and set no more: the station is switched off for good."""
        self._closed = True
        for handle in list(self._handles):
            handle.cancel()

    def _note_canceled(self, handle: Handle) -> None:
        inner = self._handles.pop(handle, None)
        if inner is not None:
            inner.cancel()

    def _run(self, handle: Handle) -> None:
        self._handles.pop(handle, None)
        callback = handle.take()
        if callback is not None:
            callback()


class SimulatedTime:
    """The time in which a station charges. It runs ``speed`` times as fast as the clock.

    What belongs to charging follows it: energy, sampling, schedules, the phases of a firmware update, reservations.
    What belongs to the protocol follows the clock: the wait after a boot, heartbeats, timeouts.

    It begins with the time that the CSMS gives with the first boot that it accepts (Part 2 B01.FR.06). The CSMS follows
    the clock from there on, so `from_csms` brings its dates into simulated time.

    Attributes:
        changed: Called when the time of day was set.
    """

    def __init__(self, clock: Clock, timers: Timers, speed: float) -> None:
        self.speed = speed
        self._clock = clock
        self._timers = timers
        self._start = clock.now()
        self._zero = clock.monotonic()
        self._csms_ahead = timedelta(0)  # of the clock
        self._is_set = False
        self.changed: List[Callable[[], object]] = []

    def seconds(self) -> float:
        """Return the simulated seconds since the station was made."""
        return (self._clock.monotonic() - self._zero) * self.speed

    def now(self) -> datetime:
        """Return the simulated time of day, in UTC."""
        return self._start + timedelta(seconds=self.seconds())

    def synchronize(self, csms_now: datetime) -> None:
        """Take note of the time of the CSMS. The first time, it is that of the station, too."""
        self._csms_ahead = csms_now - self._clock.now()
        if not self._is_set:
            self._is_set = True
            self._start = csms_now - timedelta(seconds=self.seconds())
            for function in self.changed:
                function()

    def from_csms(self, date: Optional[datetime]) -> Optional[datetime]:
        """Return the simulated time for a date of the CSMS: as far from now as for the CSMS. ``None`` stays so."""
        return None if date is None else self.moment(date)

    def moment(self, date: datetime) -> datetime:
        """Do what `from_csms` does, for a date that is there."""
        return self.now() + (date - self._clock.now() - self._csms_ahead)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Handle:
        """Run ``callback`` as a job of the mailbox in ``seconds`` of simulated time."""
        return self._timers.call_later(seconds / self.speed, callback)

    def call_at(self, moment: datetime, callback: Callable[[], object]) -> Handle:
        """Run ``callback`` as a job of the mailbox at a moment of simulated time; at once if that has passed."""
        return self.call_later((moment - self.now()).total_seconds(), callback)
