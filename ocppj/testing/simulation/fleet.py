"""`Fleet`: many simulated stations in one process, for tests of a central system under load."""

from __future__ import annotations

import random
import threading
import time
from functools import partial
from typing import Any, Callable, Iterable, Iterator, List, Mapping, Optional, TypeVar, Union

from ...activity import UNCOUNTED
from ...clock import Clock, ManualClock
from ...errors import UsageError
from ...events import Condition
from ...log_limit import SafeLog
from ...option_checks import check_options
from ...settings import get_logger
from ...ws.memory import MemoryNetwork
from ...ws.readers.shared import SharedReaders
from ..timeline import timeline_for
from .background import Background
from .fleet_clock import FleetClock
from .scheduler import Scheduler
from .station import SimulatedStation, check_url
from .summary import FleetSummary

__all__ = ["Fleet"]

T = TypeVar("T")

_LOOK = 0.05  # seconds after which a wait looks again, at the soonest
_PAUSES = 20  # so many times as long as a look takes: a summary of many stations would hold them up
_STOP = 10.0  # seconds for the threads of the readers


class Fleet:
    """Many simulated stations. They share their threads: there is none for each station.

    ::

        with Fleet(1000, "ws://127.0.0.1:9000/ocpp", spread=10) as fleet:
            fleet.wait(lambda: fleet.summary().booted == 1000, within=60)
            fleet.charge(seconds=1800, spread=600)

    It connects from the beginning of a ``with`` block, or from `start`, until `stop`.

    Args:
        stations: How many, or their ids.
        url: Where the central system listens, without the ids.
        version: "1.6", "2.0.1" or "2.1".
        prefix: What the ids begin with; the numbers from 1 on follow.
        spread: Seconds of the clock over which the stations are switched on, evenly.
        speed: As in `SimulatedStation`.
        clock: The source of time. A `ManualClock` needs a ``network``.
        network: The network in memory where they connect.
        threads: How many stations connect at once.
        seed: Of the random numbers with which drivers come.
        options_of: Returns further options of the `SimulatedStation` with that id, such as its password.
        options: Further options of each `SimulatedStation`.

    Raises:
        UsageError: An argument cannot be used.
    """

    def __init__(
        self,
        stations: Union[int, Iterable[str]],
        url: str,
        version: str = "1.6",
        *,
        prefix: str = "CP_",
        spread: float = 0.0,
        speed: float = 60.0,
        clock: Optional[Clock] = None,
        network: Optional[MemoryNetwork] = None,
        threads: int = 8,
        seed: Optional[int] = None,
        options_of: Optional[Callable[[str], Mapping[str, Any]]] = None,
        **options: Any,
    ) -> None:
        check_options("Fleet", locals())
        ids = (
            [f"{prefix}{number}" for number in range(1, stations + 1)] if isinstance(stations, int) else list(stations)
        )
        if not ids or len(set(ids)) < len(ids):
            raise UsageError("a Fleet has one station at least, and each has an id of its own")
        self._timeline = timeline_for(clock, network)
        log = SafeLog(get_logger)
        self._own_clock = FleetClock(log) if clock is None else None
        self.clock: Clock = clock if clock is not None else self._own_clock  # type: ignore[assignment]
        self.url = url
        self._spread = spread
        self._speed = speed
        self._random = random.Random(seed)
        activity = UNCOUNTED if network is None else network.activity
        self._scheduler = Scheduler(self.clock, log, activity)
        self._background = Background(threads, activity)
        self._readers = SharedReaders()
        self._changed = Condition(threading.Lock())
        shared: Any = {
            "clock": self.clock,
            "network": network,
            "scheduler": self._scheduler,
            "background": self._background,
            "readers": self._readers,
        }
        own = options_of or (lambda each: {})
        self.stations: List[SimulatedStation] = [
            SimulatedStation(each, version, speed=speed, **shared, **{**options, **own(each)}) for each in ids
        ]
        check_url(url, self.stations[0].id, network)
        self._state = "new"

    def __len__(self) -> int:
        return len(self.stations)

    def __iter__(self) -> Iterator[SimulatedStation]:
        return iter(self.stations)

    @property
    def ids(self) -> List[str]:
        """The ids of the stations."""
        return [station.id for station in self.stations]

    # Life cycle

    def start(self) -> "Fleet":
        """Switch the stations on, one after the other within ``spread`` seconds. Does not wait.

        Raises:
            UsageError: The fleet was stopped.
        """
        if self._state == "stopped":
            raise UsageError("this Fleet was stopped: make another one")
        if self._state == "new":
            self._state = "started"
            for number, station in enumerate(self.stations):
                self._later(self._spread * number / len(self), partial(station.start, self.url))
        return self

    def stop(self) -> None:
        """Switch the stations off, for good. Returns when their connections are closed, and nothing of them runs."""
        self._state = "stopped"
        self._scheduler.close()
        self._stop_stations()
        self._background.close()
        self._readers.stop(_STOP)
        if self._own_clock is not None:
            self._own_clock.close()

    def _stop_stations(self) -> None:
        """Stop them on several threads: each waits for the close handshake of its connection."""
        stoppers = Background(16)
        for station in self.stations:
            stoppers.run(station.stop)
        stoppers.close()

    def __enter__(self) -> "Fleet":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    # What drivers do

    def charge(self, *, seconds: Optional[float] = None, energy: Optional[float] = None, spread: float = 0.0) -> None:
        """Have a driver come to each station, at random within ``spread`` simulated seconds. Does not wait.

        Args:
            seconds: How long to charge, in simulated seconds.
            energy: How much to charge, in Wh.
            spread: Within which time they come.

        Raises:
            UsageError: A value cannot be used.
        """
        check_options("driver", locals())
        for station in self.stations:
            visit = partial(station.charge, id_token=f"TAG-{station.id}"[:20], seconds=seconds, energy=energy)
            self._later(self._random.uniform(0, spread) / self._speed, visit)

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        if seconds > 0:
            self._scheduler.call_later(seconds, action)
        else:
            action()

    # To look at

    def summary(self) -> FleetSummary:
        """Return what the stations have done so far, all together."""
        summary = FleetSummary()
        for station in self.stations:
            summary.add(station.core.summary, station.connected, station.accepted, len(station.transactions))
        return summary

    def wait(self, ready: Callable[[], T], within: float = 10.0) -> T:
        """Wait until ``ready()`` is true, up to ``within`` seconds of the clock. Return what it returned last."""
        if isinstance(self.clock, ManualClock):
            return self._timeline.wait(ready, within, self._changed)
        end = self._timeline.now() + within
        while True:
            began = time.monotonic()
            value = ready()
            took = time.monotonic() - began
            left = end - self._timeline.now()
            if value or left <= 0:
                return value
            self._timeline.sleep(min(left, max(_LOOK, _PAUSES * took)))
