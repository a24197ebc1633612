"""How transactions of a simulated station begin and end."""

import pytest

from ocppj.testing.simulation.authorization import Decision
from ocppj.testing.simulation.charging_profiles import TX, TX_DEFAULT, Period, Profile
from ocppj.testing.simulation.connectors import IdToken, Permit, Point
from tests.testing.sim_model import booted


def test_plug_then_card_then_card_then_unplug():
    with booted() as model:
        model.plug_in()
        model.present()
        assert model.events == [
            (1, "Available", "Preparing"),
            ("authorize", "TAG"),
            ("started", 1, "Authorized"),
            (1, "Preparing", "Charging"),
        ]
        model.events.clear()
        model.present("tag")  # upper and lower case make no difference
        model.unplug()
        assert model.events == [
            ("ended", 1, "StopAuthorized", "Local"),
            (1, "Charging", "Finishing"),
            (1, "Finishing", "Available"),
        ]


def test_card_then_plug():
    with booted() as model:
        model.present()
        model.plug_in()
        assert model.events == [
            ("authorize", "TAG"),
            (1, "Available", "Preparing"),
            ("started", 1, "CablePluggedIn"),
            (1, "Preparing", "Charging"),
        ]


def test_an_id_waits_so_long_for_the_plug():
    with booted() as model:
        model.present()
        model.pass_time(59)
        assert model.status() == "Preparing"
        model.pass_time(1)
        assert model.status() == "Available"
        model.plug_in()
        assert not list(model.core.transactions)


def test_a_refused_id_begins_nothing():
    with booted() as model:
        model.core.behaviour.decisions["TAG"] = Decision("Blocked")
        model.plug_in()
        model.present()
        assert model.events == [(1, "Available", "Preparing"), ("authorize", "TAG")]


def test_the_vehicle_leaves():
    with booted() as model:
        model.plug_in()
        model.present()
        model.events.clear()
        model.unplug()
        assert model.events == [("ended", 1, "EVCommunicationLost", "EVDisconnected"), (1, "Charging", "Available")]


def test_a_transaction_goes_on_when_the_vehicle_comes_back():
    with booted(stop_points=frozenset({Point.AUTHORIZED})) as model:
        model.set("stop_on_unplug", False)
        model.plug_in()
        model.present()
        model.unplug()
        assert model.status() == "SuspendedEV"
        model.plug_in()
        assert model.status() == "Charging"
        assert [event for event in model.events if event[0] == "ended"] == []
        model.present()
        assert model.events[-2] == ("ended", 1, "StopAuthorized", "Local")


@pytest.mark.parametrize(
    ("group", "reason"), [("FAMILY", "Local"), ("MASTER", "MasterPass"), ("OTHERS", None), (None, None)], ids=str
)
def test_who_may_end_a_transaction_of_somebody_else(group, reason):
    with booted() as model:
        decisions = model.core.behaviour.decisions
        decisions.update(TAG=Decision("Accepted", "FAMILY"), OTHER=Decision("Accepted", group))
        model.plug_in()
        model.present()
        model.present("OTHER")
        ends = [event[3] for event in model.events if event[0] == "ended"]
        assert ends == ([] if reason is None else [reason])


def test_a_master_pass_begins_nothing():
    with booted() as model:
        model.core.behaviour.decisions["TAG"] = Decision("Accepted", "MASTER")
        model.plug_in()
        model.present()
        assert not list(model.core.transactions)


def test_a_remote_start_and_stop():
    with booted() as model:
        connector = model.core.connectors[1]
        model.plug_in()
        model.run(model.core.transactions.remote_start, connector, Permit(IdToken("R"), None, 5))
        (transaction,) = model.core.transactions
        assert (transaction.id_token, transaction.remote_start_id) == (IdToken("R"), 5)
        assert ("authorize", "R") not in model.events
        model.run(model.core.transactions.stop, transaction, "Remote", "RemoteStop")
        assert model.events[-2:] == [("ended", 1, "RemoteStop", "Remote"), (1, "Charging", "Finishing")]


def test_a_remote_start_is_authorized_if_the_setting_says_so():
    with booted() as model:
        model.set("authorize_remote", True)
        model.core.behaviour.decisions["R"] = Decision("Invalid")
        model.plug_in()
        model.run(model.core.transactions.remote_start, model.core.connectors[1], Permit(IdToken("R")))
        assert ("authorize", "R") in model.events
        assert not list(model.core.transactions)


def test_an_id_that_the_csms_refuses_later_ends_its_transaction():
    with booted() as model:
        model.plug_in()
        model.present()
        (transaction,) = model.core.transactions
        model.run(model.core.transactions.refuse, transaction)
        assert ("ended", 1, "Deauthorized", "DeAuthorized") in model.events


def test_or_gets_no_more_energy():
    with booted() as model:
        model.set("stop_on_invalid", False)
        model.plug_in()
        model.present()
        (transaction,) = model.core.transactions
        model.run(model.core.transactions.refuse, transaction)
        assert model.status() == "SuspendedEVSE"
        before = model.energy()
        model.pass_time(3600)
        assert model.energy() == before
        assert transaction.active


def test_a_transaction_from_the_plug_on():
    both = frozenset({Point.EV_CONNECTED})
    with booted(start_points=both, stop_points=both) as model:
        model.plug_in()
        assert model.events == [("started", 1, "CablePluggedIn"), (1, "Available", "Preparing")]
        model.events.clear()
        model.present()
        model.present()
        assert model.events == [
            ("authorize", "TAG"),
            ("updated", 1, "Authorized"),
            (1, "Preparing", "Charging"),
            ("updated", 1, "StopAuthorized"),
            (1, "Charging", "Finishing"),
        ]
        model.events.clear()
        model.unplug()
        assert model.events == [("ended", 1, "EVCommunicationLost", "Local"), (1, "Finishing", "Available")]


def test_a_transaction_from_the_card_on_that_no_vehicle_comes_for():
    both = frozenset({Point.AUTHORIZED})
    with booted(start_points=both, stop_points=both) as model:
        model.present()
        assert model.events == [
            ("authorize", "TAG"),
            ("started", 1, "Authorized"),
            (1, "Available", "Preparing"),
        ]
        model.pass_time(60)
        assert model.events[3:] == [("ended", 1, "EVConnectTimeout", "Timeout"), (1, "Preparing", "Available")]


def test_a_fault_ends_a_transaction():
    with booted() as model:
        connector = model.core.connectors[1]
        model.plug_in()
        model.present()
        model.events.clear()
        model.run(model.core.transactions.fail, connector, "GroundFailure")
        assert model.events == [("ended", 1, "AbnormalCondition", "GroundFault"), (1, "Charging", "Faulted")]
        model.present()
        assert model.status() == "Faulted"
        model.run(model.core.transactions.recover, connector)
        assert model.status() == "Finishing"


def test_each_connector_has_its_own_transaction():
    with booted() as model:
        for number in (1, 2):
            model.plug_in(number)
            model.present(f"TAG{number}", number)
        assert [each.connector.id for each in model.core.transactions] == [1, 2]
        model.unplug(1)
        assert [each.connector.id for each in model.core.transactions] == [2]
        assert model.core.transactions.last(model.core.connectors[1]).reason == "EVDisconnected"
        assert model.core.summary.transactions == 2


def test_a_permit_that_was_not_used_ends_with_the_plug():
    both = frozenset({Point.ENERGY_TRANSFER})
    with booted(start_points=both, stop_points=both) as model:
        nothing = Profile(1, 0, TX_DEFAULT, "Relative", [Period(0, 0)])
        model.run(model.core.profiles.install, 1, nothing)
        model.plug_in()
        model.present()
        assert not list(model.core.transactions)
        model.unplug()
        assert model.status() == "Available"


def test_a_transaction_from_the_flow_of_energy_on():
    both = frozenset({Point.ENERGY_TRANSFER})
    with booted(start_points=both, stop_points=both) as model:
        model.run(model.core.profiles.install, 1, Profile(1, 0, TX_DEFAULT, "Relative", [Period(0, 0)]))
        model.plug_in(needs=1000, max_power=3600)
        model.present()
        model.events.clear()
        model.run(model.core.profiles.clear, lambda place, profile: True)
        assert model.events == [("started", 1, "ChargingStateChanged"), (1, "Preparing", "Charging")]
        model.events.clear()
        model.pass_time(1001)
        assert model.events == [
            (1, "Charging", "SuspendedEV"),
            ("ended", 1, "ChargingStateChanged", "StoppedByEV"),
            (1, "SuspendedEV", "Finishing"),
        ]


def test_a_profile_of_a_remote_start_ends_with_the_wait_for_the_plug():
    with booted() as model:
        pending = Profile(1, 0, TX, "Relative", [Period(0, 1000)])
        model.run(model.core.transactions.remote_start, model.core.connectors[1], Permit(IdToken("R")))
        model.run(model.core.profiles.install, 1, pending)
        model.pass_time(60)
        assert list(model.core.profiles) == []


def test_the_power_goes_away_in_a_transaction_of_its_flow():
    both = frozenset({Point.ENERGY_TRANSFER})
    with booted(start_points=both, stop_points=both) as model:
        model.plug_in()
        model.present()
        model.run(model.core.profiles.install, 1, Profile(1, 0, TX_DEFAULT, "Relative", [Period(0, 0)]))
        assert [event[3] for event in model.events if event[0] == "ended"] == ["Other"]


def test_what_was_never_true_ends_nothing():
    with booted(start_points=frozenset({Point.EV_CONNECTED})) as model:
        model.plug_in()
        assert len(list(model.core.transactions)) == 1
        model.present()
        model.present()
        assert list(model.core.transactions) == []


def test_an_id_of_another_type_is_another_id():
    with booted() as model:
        model.plug_in()
        model.present()
        model.run(model.core.transactions.present, IdToken("TAG", "Central"), model.core.connectors[1])
        assert len(list(model.core.transactions)) == 1


def test_a_refused_id_does_not_end_a_transaction_that_ends_with_the_plug():
    points = {"start_points": frozenset({Point.EV_CONNECTED}), "stop_points": frozenset({Point.EV_CONNECTED})}
    with booted(**points) as model:
        model.plug_in()
        model.present()
        (transaction,) = model.core.transactions
        model.events.clear()
        model.run(model.core.transactions.refuse, transaction)
        assert model.events[0] == ("updated", 1, "Deauthorized")
        assert transaction.active
        before = model.energy()
        model.pass_time(3600)
        assert model.energy() == before
        model.unplug()
        assert ("ended", 1, "EVCommunicationLost", "DeAuthorized") in model.events
