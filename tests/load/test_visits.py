"""``Visits``: drivers come to each station, once or again and again."""

from ocppj import v16
from ocppj.load.visits import Visits
from ocppj.testing import Fleet
from tests.load.fleets import fleet_of


def look_for(fleet: Fleet, visits: Visits, within: int, until: int = 1_000_000) -> None:
    """Look each second of the clock, until so many drivers have left."""
    for _ in range(within):
        if visits.ended >= until:
            return
        visits.look()
        fleet.wait(lambda: False, within=1)


def test_each_station_has_one_driver() -> None:
    with fleet_of(["A", "B"]) as (fleet, csms):
        visits = Visits(fleet, 120, tag="T-{id}")
        fleet.wait(lambda: fleet.summary().booted == 2)
        look_for(fleet, visits, 300, 2)
        assert visits.ended == 2
        assert visits.all_ended()
        assert fleet.summary().sent["StopTransaction"] == 2, "a driver has left when all was delivered"
        asked = [seen for seen in csms.journal.entries() if seen.action == "Authorize" and seen.is_request]
        assert {seen.client_id: seen.payload["idTag"] for seen in asked} == {"A": "T-A", "B": "T-B"}
        look_for(fleet, visits, 60)
        assert fleet.summary().transactions == 2


def test_drivers_come_again() -> None:
    with fleet_of(["A"]) as (fleet, _):
        visits = Visits(fleet, 60, again=True, seed=1)
        look_for(fleet, visits, 600, 3)
        assert visits.ended == 3
        assert fleet.summary().sent["StopTransaction"] == 3


def test_a_driver_that_is_refused_leaves() -> None:
    with fleet_of(["A"]) as (fleet, csms):
        csms.reply(v16.AuthorizeRequest, v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status="Invalid")))
        visits = Visits(fleet, 60)
        look_for(fleet, visits, 60, 1)
        assert visits.ended == 1
        assert fleet.summary().transactions == 0


def test_without_a_time_nobody_comes() -> None:
    with fleet_of(["A"]) as (fleet, _):
        visits = Visits(fleet, None)
        look_for(fleet, visits, 20)
        assert fleet.summary().transactions == 0
