"""A fleet in memory, with a central system that answers by default, and a clock that the test holds."""

from contextlib import contextmanager
from typing import Any, Iterator, Tuple

from ocppj import ManualClock
from ocppj.testing import Fleet, MemoryNetwork, ScriptedCSMS


@contextmanager
def fleet_of(stations: Any, version: str = "1.6", **options: Any) -> Iterator[Tuple[Fleet, ScriptedCSMS]]:
    network, clock = MemoryNetwork(), ManualClock()
    held: Any = {"network": network, "clock": clock}
    csms = ScriptedCSMS(versions=[version], strict=False, **held)
    with csms, Fleet(stations, csms.url, version, speed=1, connectors=1, **held, **options) as fleet:
        yield fleet, csms
