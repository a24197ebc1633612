"""Reservations of a simulated station, and its availability."""

from datetime import timedelta

import pytest

from ocppj.testing.simulation.authorization import Decision
from ocppj.testing.simulation.connectors import IdToken, Reservation
from tests.testing.sim_model import booted


def reserve(model, id=1, tag="TAG", connector=1, seconds=600, group=None):
    expiry = model.core.time.now() + timedelta(seconds=seconds)
    status = model.core.reservations.reserve(Reservation(id, expiry, IdToken(tag), group, connector))
    model.pass_time(0)
    return status


def test_a_reserved_connector_waits_for_its_driver():
    with booted() as model:
        assert reserve(model) == "Accepted"
        assert (model.status(1), model.status(2)) == ("Reserved", "Available")
        model.plug_in()
        model.present("OTHER")
        assert not list(model.core.transactions)
        model.present("TAG")
        (transaction,) = model.core.transactions
        assert transaction.reservation_id == 1
        assert len(model.core.reservations) == 0


def test_a_member_of_the_group_may_come_in_place_of_the_driver():
    with booted() as model:
        model.core.behaviour.decisions["OTHER"] = Decision("Accepted", "FAMILY")
        reserve(model, group="FAMILY")
        model.plug_in()
        model.present("OTHER")
        assert [each.reservation_id for each in model.core.transactions] == [1]


@pytest.mark.parametrize("group", ["OTHERS", None], ids=str)
def test_a_member_of_no_or_another_group_may_not(group):
    with booted() as model:
        model.core.behaviour.decisions["OTHER"] = Decision("Accepted", group)
        reserve(model, group="FAMILY")
        model.plug_in()
        model.present("OTHER")
        assert not list(model.core.transactions)


def test_a_reservation_expires():
    with booted() as model:
        reserve(model, seconds=600)
        model.pass_time(599)
        assert model.status() == "Reserved"
        model.pass_time(1)
        assert model.status() == "Available"
        assert model.events[-1] == ("reservation", 1, "Expired")


def test_a_reservation_is_canceled():
    with booted() as model:
        reserve(model)
        assert model.core.reservations.cancel(1)
        assert not model.core.reservations.cancel(1)
        assert model.status() == "Available"


def test_a_reservation_of_the_same_id_is_replaced():
    with booted() as model:
        reserve(model)
        assert reserve(model, connector=2) == "Accepted"
        assert (model.status(1), model.status(2)) == ("Available", "Reserved")
        model.pass_time(601)
        assert [event for event in model.events if event[0] == "reservation"] == [("reservation", 1, "Expired")]


def test_what_cannot_be_reserved():
    with booted(connectors=4) as model:
        reserve(model, id=9, connector=1)
        model.plug_in(2)
        model.run(model.core.transactions.fail, model.core.connectors[3], "GroundFailure")
        model.run(model.core.availability.change, model.core.connectors[4], False)
        statuses = [reserve(model, id=10 + number, connector=number) for number in (1, 2, 3, 4)]
        assert statuses == ["Occupied", "Occupied", "Faulted", "Unavailable"]


def test_a_reservation_for_any_connector():
    with booted() as model:
        assert reserve(model, connector=None) == "Accepted"
        assert (model.status(1), model.status(2)) == ("Available", "Available")
        model.plug_in(1)
        assert (model.status(1), model.status(2)) == ("Preparing", "Reserved")  # the last one is kept
        assert reserve(model, id=2, connector=None) == "Occupied"
        assert reserve(model, id=3, connector=2) == "Occupied"
        model.unplug(1)
        assert model.status(2) == "Available"


def test_a_connector_becomes_inoperative_at_once_or_after_its_transaction():
    with booted() as model:
        connector = model.core.connectors[1]
        assert model.core.availability.status_of(connector, False) == "Accepted"
        model.run(model.core.availability.change, connector, False)
        assert model.status() == "Unavailable"
        model.plug_in()
        model.present()
        assert not list(model.core.transactions)
        model.run(model.core.availability.change, connector, True)
        model.present()
        assert model.core.availability.status_of(connector, False) == "Scheduled"
        model.run(model.core.availability.change, connector, False)
        assert model.status() == "Charging"
        model.present()
        assert model.status() == "Unavailable"


def test_a_scheduled_change_is_taken_back():
    with booted() as model:
        connector = model.core.connectors[1]
        model.plug_in()
        model.present()
        model.run(model.core.availability.change, connector, False)
        model.run(model.core.availability.change, connector, True)
        model.unplug()
        assert model.status() == "Available"


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_the_station_becomes_inoperative(busy):
    with booted() as model:
        if busy:
            model.plug_in()
            model.present()
        model.events.clear()
        model.run(model.core.availability.change, None, False)
        if busy:
            assert model.events == []
            model.unplug()
        assert ("station", False) in model.events
        assert (model.status(1), model.status(2)) == ("Unavailable", "Unavailable")
        model.run(model.core.availability.change, None, True)
        assert (model.status(1), model.status(2)) == ("Available", "Available")


def test_a_cable_does_not_end_the_status_of_a_reservation_but_the_id_does():
    with booted() as model:
        reserve(model)
        model.events.clear()
        model.plug_in()
        assert model.status() == "Reserved"
        model.present("OTHER")
        assert model.status() == "Reserved"
        model.present("TAG")
        assert [event for event in model.events if event[0] == 1] == [
            (1, "Reserved", "Preparing"),
            (1, "Preparing", "Charging"),
        ]


def test_a_reservation_is_used_up_when_its_id_is_presented():
    with booted() as model:
        reserve(model)
        model.present("TAG")
        assert (model.status(), len(model.core.reservations)) == ("Preparing", 0)
        model.plug_in()
        assert [each.reservation_id for each in model.core.transactions] == [1]


def test_it_stays_used_up_when_no_vehicle_comes():
    with booted() as model:
        reserve(model)
        model.present("TAG")
        model.pass_time(60)
        assert (model.status(), len(model.core.reservations)) == ("Available", 0)


def test_a_reserved_connector_with_a_vehicle_is_reserved_for_nobody_else():
    with booted(connectors=1) as model:
        reserve(model, connector=None)
        model.plug_in()
        assert model.status() == "Reserved"
        assert reserve(model, id=2, tag="OTHER") == "Occupied"
        assert reserve(model, connector=None, seconds=900) == "Accepted"  # the same again
