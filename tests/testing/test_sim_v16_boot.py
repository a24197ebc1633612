"""A simulated station of 1.6 boots, and reports the status of its connectors."""

import pytest

from ocppj import CallTimeout, v16
from ocppj.testing import DROP, SILENCE
from tests.testing.sim_pairs import booted, paired

Boot, Status = v16.BootNotificationRequest, v16.StatusNotificationRequest


def answer(pair, status, interval):
    return v16.BootNotificationResponse(status, pair.clock.now(), interval)


def change(pair, key, value):
    assert pair.call(v16.ChangeConfigurationRequest(key=key, value=value)).status == "Accepted"


def test_after_the_boot_all_connectors_are_reported():
    with paired("1.6", connectors=3) as pair:
        boot = pair.expect(Boot)
        assert (boot.charge_point_vendor, boot.charge_point_serial_number) == ("ocppj", "CP_1")
        for connector in range(4):
            pair.expect(Status, connector_id=connector, status="Available", error_code="NoError")
        pair.rest(10)
        assert pair.csms.order() == ["BootNotification", *["StatusNotification"] * 4]


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_nothing_is_sent_before_the_boot_is_accepted(status):
    with paired("1.6") as pair:
        pair.csms.reply(Boot, answer(pair, status, 20), answer(pair, "Accepted", 300))
        first = pair.expect(Boot)
        pair.station.plug_in(1)
        pair.station.present_card("TAG", 1)
        pair.csms.expect_nothing(during=19)
        second = pair.expect(Boot, within=2)
        assert second.at - first.at == pytest.approx(20, abs=0.1)
        pair.expect(Status, connector_id=0)
        pair.expect(Status, connector_id=1, status="Preparing")


def test_a_pending_station_answers_and_does_what_is_triggered():
    with paired("1.6") as pair:
        pair.csms.reply(Boot, answer(pair, "Pending", 300), answer(pair, "Accepted", 300))
        pair.expect(Boot)
        assert pair.call(v16.GetConfigurationRequest()).configuration_key
        assert pair.call(v16.RemoteStartTransactionRequest(id_tag="T")).status == "Rejected"
        assert pair.call(v16.RemoteStopTransactionRequest(transaction_id=1)).status == "Rejected"
        assert pair.call(v16.TriggerMessageRequest("StatusNotification", connector_id=1)).status == "Accepted"
        pair.expect(Status, connector_id=1)
        pair.csms.expect_nothing(during=10)
        assert pair.call(v16.TriggerMessageRequest("BootNotification")).status == "Accepted"
        pair.expect(Boot, within=1)
        pair.expect(Status, connector_id=0)


def test_a_rejected_station_does_not_answer():
    with paired("1.6") as pair:
        pair.csms.strict = False
        pair.csms.reply(Boot, answer(pair, "Rejected", 100), answer(pair, "Accepted", 300))
        pair.expect(Boot)
        with pytest.raises(CallTimeout):
            pair.call(v16.GetConfigurationRequest())
        pair.expect(Boot)
        assert pair.call(v16.GetConfigurationRequest()).configuration_key


@pytest.mark.parametrize("reply", [SILENCE, DROP], ids=["silence", "drop"])
def test_it_boots_again_when_there_was_no_answer(reply):
    with paired("1.6", timeout=2) as pair:
        pair.csms.reply(Boot, reply, answer(pair, "Accepted", 300))
        pair.expect(Boot)
        pair.expect(Boot, within=10)
        pair.expect(Status, connector_id=0)


def test_a_status_that_lasts_too_short_is_not_reported():
    with booted("1.6", speed=1) as pair:
        change(pair, "MinimumStatusDuration", "10")
        pair.station.plug_in(1)
        pair.rest(5)
        pair.station.unplug(1)
        pair.nothing(Status, during=20)
        pair.station.plug_in(1)
        pair.nothing(Status, during=9)
        pair.expect(Status, within=2, connector_id=1, status="Preparing")


def test_what_changed_while_offline_is_reported_once():
    with booted("1.6") as pair:
        pair.station.go_offline(60)
        pair.csms.disconnected(within=5)
        pair.station.plug_in(1)
        pair.station.plug_in(2)
        pair.station.unplug(2)
        before = len(pair.all(Status))
        pair.expect(Status, connector_id=1, status="Preparing", within=70)
        pair.rest(10)
        assert [each.connector_id for each in pair.all(Status)[before:]] == [1]
        assert len(pair.all(Boot)) == 1


def test_a_fault_and_its_end_are_reported():
    with booted("1.6") as pair:
        pair.station.fail(2, "GroundFailure")
        pair.expect(Status, connector_id=2, status="Faulted", error_code="GroundFailure")
        pair.station.recover(2)
        pair.expect(Status, connector_id=2, status="Available", error_code="NoError")


def test_a_vehicle_that_leaves_while_the_transaction_goes_on():
    with booted("1.6") as pair:
        change(pair, "StopTransactionOnEVSideDisconnect", "false")
        pair.begin()
        pair.expect(Status, status="Charging")
        pair.station.unplug(1)
        pair.expect(Status, connector_id=1, status="SuspendedEV", info="EV side disconnected")
        pair.nothing(v16.StopTransactionRequest, during=10)
        pair.station.plug_in(1)
        pair.expect(Status, connector_id=1, status="Charging", info=None)


def test_a_session_in_the_words_of_the_status():
    with booted("1.6") as pair:
        pair.station.charge(1, energy=1000)
        for status in ("Preparing", "Charging", "SuspendedEV", "Finishing", "Available"):
            pair.expect(Status, connector_id=1, status=status)


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
def test_a_new_connection_does_not_shorten_the_wait_for_the_next_boot(status):
    with paired("1.6") as pair:
        pair.csms.reply(Boot, answer(pair, status, 100), answer(pair, "Accepted", 300))
        first = pair.expect(Boot)
        pair.rest(10)
        pair.station.go_offline(5)
        pair.csms.expect_nothing(during=80)
        assert pair.station.connected
        second = pair.expect(Boot, within=20)
        assert second.at - first.at == pytest.approx(100, abs=0.5)


def test_nor_does_it_hold_up_the_boot_after_the_wait():
    with paired("1.6") as pair:
        pair.csms.reply(Boot, answer(pair, "Pending", 20), answer(pair, "Accepted", 300))
        pair.expect(Boot)
        pair.station.go_offline(60)
        pair.rest(50)
        pair.expect(Boot, within=30)
        pair.expect(Status, connector_id=0)
