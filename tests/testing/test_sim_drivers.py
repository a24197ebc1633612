"""Drivers who visit a simulated station."""

from ocppj.testing.simulation.authorization import Decision
from ocppj.testing.simulation.connectors import IdToken, Vehicle
from tests.testing.sim_model import booted


def visit(model, connector=1, seconds=None, energy=None, tag="TAG", **vehicle):
    place = model.core.connectors[connector]
    model.run(model.core.drivers.visit, place, IdToken(tag), seconds, energy, Vehicle(**vehicle))


def ends(model):
    return [event[2:] for event in model.events if event[0] == "ended"]


def test_a_visit_of_so_many_seconds():
    with booted() as model:
        visit(model, seconds=1800, max_power=3600)
        assert model.status() == "Charging"
        model.pass_time(1800)
        assert ends(model) == [("StopAuthorized", "Local")]
        assert (model.status(), round(model.energy())) == ("Available", 1800)


def test_a_visit_for_so_much_energy():
    with booted() as model:
        visit(model, energy=900, max_power=3600)
        model.pass_time(1000)
        assert ends(model) == [("StopAuthorized", "Local")]
        assert (model.status(), round(model.energy())) == ("Available", 900)


def test_a_visit_until_the_vehicle_is_full():
    with booted() as model:
        visit(model, seconds=36_000, max_power=3600, capacity=10_000, charge=50)
        model.pass_time(36_000)
        assert (model.status(), round(model.energy())) == ("Available", 5000)


def test_a_driver_that_is_refused_leaves():
    with booted() as model:
        model.core.behaviour.decisions["TAG"] = Decision("Invalid")
        visit(model, seconds=60)
        assert (model.status(), ends(model)) == ("Available", [])


def test_a_driver_leaves_when_the_transaction_is_ended_by_others():
    with booted() as model:
        visit(model, seconds=3600)
        (transaction,) = model.core.transactions
        model.run(model.core.transactions.stop, transaction, "Remote", "RemoteStop")
        assert (model.status(), ends(model)) == ("Available", [("RemoteStop", "Remote")])
        visit(model, seconds=10_000)  # whose end is not that of the visit before
        model.pass_time(5000)
        assert model.status() == "Charging"


def test_nothing_is_left_of_a_visit():
    with booted() as model:
        before = len(model.core.transactions.ended), len(model.core.energy.full)
        visit(model, seconds=60)
        assert (len(model.core.transactions.ended), len(model.core.energy.full)) != before
        model.pass_time(60)
        assert (len(model.core.transactions.ended), len(model.core.energy.full)) == before


def test_where_a_vehicle_is_nobody_else_can_come():
    with booted() as model:
        visit(model, seconds=60)
        model.events.clear()
        visit(model, seconds=10, tag="OTHER")
        assert model.events == []
        model.pass_time(60)
        assert model.status() == "Available"


def test_where_a_card_is_meant():
    with booted(connectors=3) as model:
        model.plug_in(2)
        model.run(model.core.drivers.present, IdToken("A"))  # where a vehicle waits
        model.run(model.core.drivers.present, IdToken("B"))  # where it is free
        assert [model.status(number) for number in (1, 2, 3)] == ["Preparing", "Charging", "Available"]
        model.run(model.core.drivers.present, IdToken("A"))  # where its transaction is
        assert model.status(2) == "Finishing"
