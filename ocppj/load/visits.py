"""`Visits`: has drivers come to the stations of a fleet, once or again and again."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from functools import partial
from typing import List, Optional, Set, Tuple

from ..testing.simulation.fleet import Fleet
from ..testing.simulation.station import SimulatedStation

__all__ = ["Visits"]

_LONGEST_PAUSE = 30.0  # simulated seconds between two drivers


class Visits:
    """Has drivers come to the stations of a fleet. `look` is to be called often, by one thread.

    Args:
        fleet: The stations.
        seconds: How long each driver charges, in simulated seconds. ``None``: no driver comes.
        speed: How many times as fast as the clock the simulated time runs.
        again: Whether drivers come again and again, or once to each station.
        tag: The id of the drivers. "{id}" in it stands for that of the station.
        seed: Of the random numbers: which connector, and how long until the next driver.
    """

    def __init__(
        self,
        fleet: Fleet,
        seconds: Optional[float],
        *,
        speed: float = 1.0,
        again: bool = False,
        tag: str = "TAG-{id}",
        seed: Optional[int] = None,
    ) -> None:
        self._fleet = fleet
        self._seconds = seconds
        self._speed = speed
        self._again = again
        self._tag = tag
        self._random = random.Random(seed)
        self._order = itertools.count()
        self._due: List[Tuple[float, int, SimulatedStation]] = []
        self._begun: Set[str] = set()
        self._lock = threading.Lock()
        self._left: List[SimulatedStation] = []  # whose driver has left; other threads append to it
        self._ended = 0

    @property
    def ended(self) -> int:
        """How many drivers have come and left, and all about it was delivered."""
        with self._lock:
            return self._ended

    def look(self) -> None:
        """Have drivers come to the stations that have booted, and where their time has come."""
        if self._seconds is None:
            return
        now = self._fleet.clock.monotonic()
        for station in self._fleet:
            if station.id not in self._begun and station.accepted:
                self._begun.add(station.id)
                self._plan(station, now)
        with self._lock:
            left, self._left = self._left, []
        for station in left if self._again else ():
            pause = self._random.uniform(1, _LONGEST_PAUSE) / self._speed
            self._plan(station, now + pause)
        while self._due and self._due[0][0] <= now:
            self._visit(heapq.heappop(self._due)[2])

    def all_ended(self) -> bool:
        """Tell whether each station that has booted had its driver."""
        return self.ended >= len(self._begun)

    def _plan(self, station: SimulatedStation, when: float) -> None:
        heapq.heappush(self._due, (when, next(self._order), station))

    def _visit(self, station: SimulatedStation) -> None:
        connector = self._random.randint(1, len(station.connectors))
        tag = self._tag.replace("{id}", station.id)[:20]
        # When the driver has left, the last messages still wait for their answers.
        delivered = partial(station.core.outbox.when_delivered, partial(self._note_left, station))
        station.charge(connector, tag, seconds=self._seconds, on_left=delivered)

    def _note_left(self, station: SimulatedStation) -> None:
        with self._lock:
            self._ended += 1
            self._left.append(station)
