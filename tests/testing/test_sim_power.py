"""A simulated station boots, is reset, and loses its connection."""

import pytest

from ocppj import v16
from ocppj.testing.simulation.connectors import IdToken, Permit, Point
from tests.testing.sim_model import Model, booted


def boots(model):
    return [event[1] for event in model.events if event[0] == "boot"]


def answer_boot(model, *answers):
    """Have boots answered with pairs of status and interval in turn; the last one stays."""
    left = list(answers)

    def reply(request):
        status, interval = left.pop(0) if len(left) > 1 else left[0]
        return v16.BootNotificationResponse(current_time=model.clock.now(), interval=interval, status=status)

    model.replies[v16.BootNotificationRequest] = reply


@pytest.fixture
def model():
    made = Model()
    with made.server.listen(port=0):
        yield made
        made.stop()


def switch_on(model):
    model.run(model.core.power.switch_on, model.server.url)


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_a_boot_that_is_not_accepted_is_repeated_after_the_interval(model, status):
    answer_boot(model, (status, 20), (status, 0), ("Accepted", 100))
    switch_on(model)
    assert (boots(model), model.core.boot.status) == (["PowerUp"], status)
    model.pass_time(19)
    assert len(boots(model)) == 1
    model.pass_time(1)
    assert len(boots(model)) == 2
    model.pass_time(2)  # without an interval, three seconds
    assert len(boots(model)) == 2
    model.pass_time(1)
    assert (len(boots(model)), model.core.boot.accepted) == (3, True)


def test_nothing_is_sent_before_the_boot_is_accepted_but_what_may_be(model):
    answer_boot(model, ("Pending", 20), ("Accepted", 100))
    switch_on(model)
    failures = []
    heartbeat, status = v16.HeartbeatRequest(), v16.DataTransferRequest(vendor_id="kept")
    model.run(lambda: model.core.send(heartbeat, None, failures.append))
    model.run(lambda: model.core.send(status, retry=True))
    assert [type(each).__name__ for each in model.came] == ["BootNotificationRequest"]
    assert len(failures) == 1
    model.run(lambda: model.core.send(heartbeat, before_boot=True))
    assert model.came[1:] == [heartbeat]
    model.pass_time(20)
    assert [type(each).__name__ for each in model.came[2:]] == ["BootNotificationRequest", "DataTransferRequest"]


def test_heartbeats_come_each_interval(model):
    answer_boot(model, ("Accepted", 50))
    switch_on(model)
    model.pass_time(151)
    assert model.core.summary.sent["Heartbeat"] == 3
    assert model.core.settings["heartbeat_interval"] == 50
    model.set("heartbeat_interval", 10)
    model.pass_time(21)
    assert model.core.summary.sent["Heartbeat"] == 5


def test_a_reconnect_needs_no_new_boot():
    with booted() as model:
        model.run(model.core.power.go_offline, 30)
        assert not model.core.online
        model.pass_time(29)
        assert not model.core.online
        model.pass_time(1)
        assert model.core.online
        assert model.events == [("back online",)]


def test_a_lost_connection_is_regained():
    with booted() as model:
        model.run(model.core.link.cut)
        assert not model.core.link.up
        model.pass_time(10)
        assert model.core.online


def test_a_station_tries_until_there_is_a_server():
    model = Model()
    try:
        with model.server.listen(port=7) as server:
            url = server.url
        model.run(model.core.power.switch_on, url)
        model.pass_time(600)
        assert not model.core.link.up
        with model.server.listen(port=7):
            model.pass_time(120)
            assert model.core.online
    finally:
        model.stop()


def test_a_reset_ends_transactions_and_boots_again():
    with booted() as model:
        model.plug_in()
        model.present()
        model.events.clear()
        model.run(model.core.power.reset, "ImmediateReset", "RemoteReset")
        assert model.events == [("ended", 1, "ResetCommand", "ImmediateReset"), (1, "Charging", "Finishing")]
        assert not model.core.link.up
        model.pass_time(30)
        assert model.core.online
        assert model.events[2:] == [("boot", "RemoteReset"), ("booted",)]


def test_before_a_reset_what_is_kept_is_delivered():
    with booted() as model:
        model.replies[v16.DataTransferRequest] = lambda request: None  # no valid answer: an error
        model.run(lambda: model.core.send(v16.DataTransferRequest(vendor_id="kept"), retry=True))
        model.run(model.core.power.reset, "ImmediateReset", "RemoteReset")
        assert model.core.link.up
        del model.replies[v16.DataTransferRequest]
        model.pass_time(10)  # the second attempt
        assert not model.core.link.up


def test_but_not_for_longer_than_half_a_minute():
    with booted() as model:
        model.set("message_attempt_interval", 1000)
        model.replies[v16.DataTransferRequest] = lambda request: None
        model.run(lambda: model.core.send(v16.DataTransferRequest(vendor_id="kept"), retry=True))
        model.run(model.core.power.reset, "ImmediateReset", "RemoteReset")
        model.pass_time(29)
        assert model.core.link.up
        model.pass_time(1)
        assert not model.core.link.up


def test_a_reset_waits_for_the_end_of_the_transactions():
    with booted() as model:
        for number in (1, 2):
            model.plug_in(number)
            model.present(f"TAG{number}", number)
        model.run(model.core.power.reset_on_idle, "ScheduledReset")
        model.unplug(1)
        assert model.core.link.up
        model.unplug(2)
        assert not model.core.link.up
        model.pass_time(30)
        assert boots(model) == ["ScheduledReset"]


def test_the_reset_of_a_connector():
    with booted() as model:
        model.plug_in()
        model.present()
        model.run(model.core.power.reset_connector, model.core.connectors[1], "ImmediateReset")
        assert model.status() == "Unavailable"
        assert model.core.link.up
        model.pass_time(30)
        assert model.status() == "Finishing"


def test_a_connector_that_the_csms_makes_inoperative_during_its_reset_stays_so():
    with booted() as model:
        connector = model.core.connectors[1]
        model.run(model.core.power.reset_connector, connector, "ImmediateReset")
        model.run(model.core.availability.change, connector, False)
        model.pass_time(30)
        assert model.status() == "Unavailable"
        model.run(model.core.availability.change, connector, True)
        assert model.status() == "Available"


def test_a_station_that_is_offline_stays_so_over_a_reboot():
    with booted() as model:
        model.run(model.core.power.go_offline, None)
        model.run(model.core.power.reboot, "LocalReset")
        model.pass_time(1000)
        assert not model.core.link.up
        model.run(model.core.power.go_online)
        assert boots(model) == ["LocalReset"]


def test_a_boot_that_is_asked_for_again_changes_nothing():
    with booted() as model:
        model.run(model.core.boot.ask, "Triggered")
        assert model.events == [("boot", "Triggered")]
        assert model.core.summary.sent["Heartbeat"] == 0
        model.pass_time(301)
        assert model.core.summary.sent["Heartbeat"] == 1


def test_a_boot_without_an_answer_is_repeated(model):
    model.core.faults.silent("BootNotification", times=2)
    switch_on(model)
    model.pass_time(5.9)
    assert (len(boots(model)), model.core.boot.accepted) == (2, False)
    model.pass_time(0.1)
    assert (len(boots(model)), model.core.boot.accepted) == (3, True)


def test_how_long_there_was_no_connection():
    with booted() as model:
        model.run(model.core.power.go_offline, 70)
        model.pass_time(71)
        assert model.core.outage == 70


def test_what_waited_for_a_reboot_takes_effect():
    with booted() as model:
        model.core.settings.find("heartbeat_interval").reboot_required = True
        model.run(model.core.settings.change, "heartbeat_interval", "77")
        assert model.core.settings["heartbeat_interval"] == 300
        model.replies[v16.BootNotificationRequest] = lambda request: v16.BootNotificationResponse(
            current_time=model.clock.now(), interval=0, status="Accepted"
        )
        model.run(model.core.power.reboot, "LocalReset")
        model.pass_time(31)
        assert model.core.settings["heartbeat_interval"] == 77


def test_no_heartbeat_is_due_while_it_is_offline():
    with booted() as model:
        model.run(model.core.power.go_offline, 100)
        model.set("heartbeat_interval", 20)
        model.pass_time(99)
        assert model.core.summary.failed == {}
        model.pass_time(21)
        assert model.core.summary.sent["Heartbeat"] == 1


@pytest.mark.parametrize("point", [Point.POWER_PATH_CLOSED, Point.EV_CONNECTED], ids=["power", "plug"])
def test_nobody_is_served_between_a_reset_and_the_reboot(point):
    with booted(start_points=frozenset({point})) as model:
        model.replies[v16.DataTransferRequest] = lambda request: None
        model.run(lambda: model.core.send(v16.DataTransferRequest(vendor_id="kept"), retry=True))
        model.run(model.core.power.reset, "ImmediateReset", "RemoteReset")
        assert model.core.link.up
        model.plug_in()
        model.present()
        assert model.core.transactions.find_place(2, Permit(IdToken("R"))) is None
        assert not list(model.core.transactions)
        del model.replies[v16.DataTransferRequest]
        model.pass_time(60)
        assert model.core.online
        model.present()
        assert len(list(model.core.transactions)) == 1


def test_a_station_that_is_off_serves_nobody_and_measures_nothing():
    with booted() as model:
        model.set("aligned_interval", 10)
        model.plug_in(1)
        model.present("TAG", 1)
        model.run(model.core.power.reboot, "LocalReset")
        assert ("ended", 1, "ResetCommand", "Reboot") in model.events
        model.events.clear()
        model.plug_in(2)
        model.present("OTHER", 2)
        model.pass_time(29)
        assert not list(model.core.transactions)
        assert not [event for event in model.events if event[0] in ("meter", "updated")]
        model.pass_time(11)
        assert [event for event in model.events if event[0] == "meter"]
