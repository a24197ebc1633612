"""Where the tests of scripted peers run: TCP, memory, and memory with a held clock."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Callable, Iterator, NamedTuple, Optional

import pytest

from ocppj import Backoff, ManualClock, v16, v21, v201
from ocppj.testing import MemoryNetwork, ScriptedCSMS, ScriptedStation
from tests.helpers import FACTOR

VERSIONS = {"1.6": v16, "2.0.1": v201, "2.1": v21}


class Surroundings(NamedTuple):
    """The arguments of a scripted peer that say where it is."""

    network: Optional[MemoryNetwork] = None
    clock: Optional[ManualClock] = None

    def csms(self, **options: Any) -> ScriptedCSMS:
        """Return a CSMS that listens here."""
        return ScriptedCSMS(network=self.network, clock=self.clock, timeout_factor=FACTOR, **options)

    def station(self, url: str, id: str = "CP_1", version: str = "1.6", **options: Any) -> ScriptedStation:
        """Return a station that has connected to ``url``. It connects again soon."""
        options.setdefault("backoff", Backoff(0.05, 0.0, 1))
        where: Any = {"network": self.network, "clock": self.clock}
        return ScriptedStation(url, id, version, timeout_factor=FACTOR, **where, **options)


def surroundings_of(name: str) -> Surroundings:
    network = None if name == "tcp" else MemoryNetwork()
    return Surroundings(network, ManualClock() if name == "held" else None)


@pytest.fixture(params=["tcp", "memory", "held"])
def here(request: pytest.FixtureRequest) -> Surroundings:
    return surroundings_of(request.param)


@pytest.fixture
def opened() -> Iterator[Callable[[Any], Any]]:
    """Enter context managers, and leave them, the last first, at the end of the test."""
    with ExitStack() as stack:
        yield stack.enter_context
