"""Fleets: many stations, which share their threads and lose nothing."""

import threading
from collections import Counter
from datetime import datetime, timezone
from typing import Any, Iterator, List

import pytest

from ocppj import ManualClock, Server, UsageError, v16
from ocppj.testing import Fleet, MemoryNetwork, ScriptedCSMS, default_response
from tests.helpers import FACTOR, seconds

MANY = 1000
#: StatusNotifications of a station: two at the boot; then Preparing, Charging, Finishing, Available.
STATUSES = 6


class Central:
    """A central system that counts what it is sent, and answers by default."""

    def __init__(self, **options: Any) -> None:
        self.server = Server(profiles=v16.PROFILES, **options)
        self.server.set_request_handler(self._handle)
        self.received: "Counter[str]" = Counter()
        self._lock = threading.Lock()

    def _handle(self, client_id: str, request: Any, message_id: str, action: str) -> Any:
        with self._lock:
            self.received[action] += 1
        return default_response(request, datetime.now(timezone.utc))


@pytest.fixture
def central() -> Iterator[Central]:
    unlimited = {"max_attempts_per_second": None, "max_attempts_per_second_per_address": None}
    central = Central(readers="shared", **unlimited)
    with central.server.listen(host="127.0.0.1"):
        yield central


def threads_but_workers() -> List[str]:
    """Return the names of all threads but the workers of shared readers: of those come more when handlers are slow."""
    return [thread.name for thread in threading.enumerate() if not thread.name.startswith("ocppj-worker")]


@pytest.mark.alone
@pytest.mark.timeout(seconds(300))
def test_a_thousand_stations_charge_for_an_hour(central: Central) -> None:
    """It takes twelve seconds of the clock. Each message arrives once, and is answered."""
    most = 0
    patient = {"timeout": seconds(120)}  # a slow machine answers late, but it answers
    with Fleet(MANY, central.server.url, spread=3, speed=300 / FACTOR, connectors=1, seed=1, **patient) as fleet:
        for station in fleet:
            station.settings.put("MeterValueSampleInterval", 1000)
        assert fleet.wait(lambda: fleet.summary().booted == MANY, within=seconds(60))
        fleet.charge(seconds=3300, spread=300)

        def ended() -> bool:
            nonlocal most
            most = max(most, len(threads_but_workers()))
            sent = fleet.summary().sent
            return sent["StopTransaction"] == MANY and sent["StatusNotification"] == STATUSES * MANY

        assert fleet.wait(ended, within=seconds(150)), str(fleet.summary())
        summary = fleet.summary()
        assert (summary.stations, summary.connected, summary.charging) == (MANY, MANY, 0)
    assert summary.connections == summary.boots == summary.transactions == MANY
    assert summary.failed == {}
    assert summary.sent["MeterValues"] >= MANY  # three of each, if the machine keeps up
    assert {action: central.received[action] for action in summary.sent} == summary.sent
    assert most < 150, "there is no thread for each station"


def test_a_day_with_a_held_clock() -> None:
    network, clock = MemoryNetwork(), ManualClock()
    csms = ScriptedCSMS(network=network, clock=clock)
    with csms, Fleet(["NORTH", "SOUTH"], csms.url, speed=1, network=network, clock=clock) as fleet:
        assert fleet.wait(lambda: fleet.summary().booted == 2)
        fleet.charge(energy=2000, spread=3600)
        assert fleet.wait(lambda: fleet.summary().sent["StopTransaction"] == 2, within=24 * 3600)
        fleet.wait(lambda: False, within=12 * 3600)
        assert fleet.summary().sent["Heartbeat"] >= 2 * 12 * 12 - 2
        assert all(station.energy() >= 2000 for station in fleet)


def test_stations_are_switched_on_one_after_the_other() -> None:
    network, clock = MemoryNetwork(), ManualClock()
    csms = ScriptedCSMS(network=network, clock=clock)
    with csms, Fleet(4, csms.url, prefix="S", spread=40, network=network, clock=clock) as fleet:
        assert fleet.ids == ["S1", "S2", "S3", "S4"]
        fleet.wait(lambda: False, within=21)
        assert [station.accepted for station in fleet] == [True, True, True, False]
        fleet.wait(lambda: False, within=10)
        assert fleet.summary().booted == len(fleet) == 4


def test_the_summary_can_be_read() -> None:
    network, clock = MemoryNetwork(), ManualClock()
    csms = ScriptedCSMS(network=network, clock=clock)
    with csms, Fleet(1, csms.url, connectors=1, network=network, clock=clock) as fleet:
        assert fleet.wait(lambda: fleet.summary().sent["StatusNotification"] == 2)
        text = str(fleet.summary())
    assert text.splitlines()[0] == "1 stations, 1 connected, 1 accepted, 0 charging"
    assert "0 transactions, 3 messages answered, p50 " in text
    assert text.splitlines()[2:] == ["sent: StatusNotification 2, BootNotification 1", "received: none", "failed: none"]


def test_a_station_that_is_refused_does_not_hold_up_the_others(central: Central) -> None:
    central.server.set_check_client_handler(lambda request: request.identity != "CP_2")
    with Fleet(3, central.server.url) as fleet:
        assert fleet.wait(lambda: fleet.summary().booted == 2, within=seconds(10))
        assert [station.id for station in fleet if not station.connected] == ["CP_2"]


def test_a_fleet_that_is_stopped_while_it_connects_ends(central: Central) -> None:
    with Fleet(50, central.server.url, spread=1000) as fleet:
        assert fleet.wait(lambda: fleet.summary().connected >= 1, within=seconds(10))
    assert fleet.summary().connected == 0
    with pytest.raises(UsageError, match="was stopped"):
        fleet.start()


def test_a_fleet_that_was_never_started_can_be_stopped() -> None:
    Fleet(3, "ws://127.0.0.1:1").stop()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"stations": 0}, "stations is a whole number, 1 or more, or a list of ids, not 0"),
        ({"stations": "CP_1"}, "stations is a whole number, 1 or more, or a list of ids, not 'CP_1'"),
        ({"stations": 1.5}, "stations is a whole number"),
        ({"url": "http://127.0.0.1:1"}, "not a ws:// or wss:// URL"),
        ({"spread": -1}, "spread is a number of seconds"),
        ({"threads": 0}, "threads is a whole number, 1 or more"),
        ({"speed": 0}, "speed is a number, more than 0"),
        ({"connectors": 0}, "connectors is a whole number, 1 or more"),
    ],
)
def test_a_wrong_argument_is_told_at_once(wrong: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Fleet(**{"stations": 2, "url": "ws://127.0.0.1:1", **wrong})


def test_drivers_of_a_fleet_come_within_a_number_of_seconds() -> None:
    with pytest.raises(UsageError, match="spread is a number of seconds, 0 or more"):
        Fleet(2, "ws://127.0.0.1:1").charge(spread=-1)


@pytest.mark.parametrize("stations", [[], ["A", "A"]])
def test_each_station_has_an_id_of_its_own(stations: Any) -> None:
    with pytest.raises(UsageError, match="one station at least, and each has an id of its own"):
        Fleet(stations, "ws://127.0.0.1:1")
