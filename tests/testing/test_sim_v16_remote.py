"""A simulated station of 1.6 does what its central system asks for: start, stop, unlock, reset, trigger ..."""

from datetime import timedelta

import pytest

from ocppj import v16
from tests.testing.sim_pairs import booted

Start, Stop, Meter = v16.StartTransactionRequest, v16.StopTransactionRequest, v16.MeterValuesRequest
Status, Boot = v16.StatusNotificationRequest, v16.BootNotificationRequest


@pytest.fixture
def pair():
    with booted("1.6") as pair:
        yield pair


def change(pair, key, value):
    assert pair.call(v16.ChangeConfigurationRequest(key=key, value=value)).status == "Accepted"


def remote_start(pair, connector_id=1, id_tag="T", **more):
    request = v16.RemoteStartTransactionRequest(id_tag=id_tag, connector_id=connector_id, **more)
    return pair.call(request).status


class TestRemoteStart:
    def test_a_driver_plugs_in_after_a_remote_start(self, pair):
        assert remote_start(pair) == "Accepted"
        pair.expect(Status, connector_id=1, status="Preparing")
        pair.expect(Start, within=1, connector_id=1, id_tag="T")
        pair.expect(Meter, within=5, transaction_id=1)
        assert pair.all(v16.AuthorizeRequest) == []
        assert pair.call(v16.RemoteStopTransactionRequest(transaction_id=1)).status == "Accepted"
        pair.expect(Stop, reason="Remote", transaction_id=1, id_tag=None)
        pair.expect(Status, connector_id=1, status="Available")  # the driver has left

    def test_nobody_comes_if_that_is_said(self):
        with booted("1.6", plug_in_after=None) as pair:
            assert remote_start(pair) == "Accepted"
            pair.expect(Status, connector_id=1, status="Preparing")
            pair.expect(Status, connector_id=1, status="Available")
            assert pair.all(Start) == []

    def test_a_vehicle_that_is_there_charges_at_once_and_stays(self, pair):
        pair.station.plug_in(1)
        remote_start(pair)
        pair.expect(Start, within=0.01)
        pair.call(v16.RemoteStopTransactionRequest(transaction_id=1))
        pair.expect(Status, connector_id=1, status="Finishing")
        pair.nothing(Status, during=10)

    def test_the_id_is_authorized_if_the_key_says_so(self, pair):
        change(pair, "AuthorizeRemoteTxRequests", "true")
        pair.csms.reply(v16.AuthorizeRequest, v16.AuthorizeResponse(v16.IdTagInfo("Blocked")))
        assert remote_start(pair) == "Accepted"
        pair.expect(v16.AuthorizeRequest, id_tag="T")
        pair.nothing(Start, during=5)

    def test_without_a_connector_one_is_found_where_a_vehicle_waits(self, pair):
        pair.station.plug_in(2)
        assert remote_start(pair, connector_id=None) == "Accepted"
        pair.expect(Start, connector_id=2)
        assert remote_start(pair, connector_id=None) == "Accepted"
        pair.expect(Start, connector_id=1)
        assert remote_start(pair, connector_id=None) == "Rejected"

    def test_what_is_not_possible_is_rejected(self, pair):
        assert remote_start(pair, connector_id=3) == "Rejected"
        pair.station.fail(2)
        assert remote_start(pair, connector_id=2) == "Rejected"
        pair.begin()
        assert remote_start(pair, connector_id=1) == "Rejected"
        assert pair.call(v16.RemoteStopTransactionRequest(transaction_id=99)).status == "Rejected"


class TestUnlock:
    def test_it_ends_the_transaction(self, pair):
        pair.begin()
        assert pair.call(v16.UnlockConnectorRequest(connector_id=1)).status == "Unlocked"
        pair.expect(Stop, reason="UnlockCommand")

    def test_an_idle_connector(self, pair):
        assert pair.call(v16.UnlockConnectorRequest(connector_id=2)).status == "Unlocked"
        pair.nothing(Stop, during=1)

    def test_unknown_connectors_and_broken_locks(self, pair):
        assert pair.call(v16.UnlockConnectorRequest(connector_id=3)).status == "NotSupported"
        pair.station.core.behaviour.remote.lock_fails = True
        assert pair.call(v16.UnlockConnectorRequest(connector_id=1)).status == "UnlockFailed"


class TestReset:
    def test_a_soft_reset_reports_the_transactions_first(self, pair):
        pair.begin()
        assert pair.call(v16.ResetRequest(type="Soft")).status == "Accepted"
        pair.expect(Stop, reason="SoftReset")
        pair.csms.disconnected(within=5)
        pair.expect(Boot)
        pair.expect(Status, connector_id=0)
        pair.expect(Status, connector_id=1, status="Finishing")

    def test_a_hard_reset_reports_the_transactions_after_the_boot(self, pair):
        pair.begin()
        assert pair.call(v16.ResetRequest(type="Hard")).status == "Accepted"
        pair.csms.disconnected(within=5)
        assert pair.all(Stop) == []
        pair.expect(Boot)
        pair.expect(Stop, reason="HardReset", transaction_id=1)

    def test_unavailable_connectors_stay_so(self, pair):
        pair.call(v16.ChangeAvailabilityRequest(connector_id=2, type="Inoperative"))
        pair.call(v16.ResetRequest(type="Hard"))
        pair.expect(Boot)
        pair.expect(Status, connector_id=2, status="Unavailable")


class TestAvailability:
    def change(self, pair, connector_id, type):
        return pair.call(v16.ChangeAvailabilityRequest(connector_id=connector_id, type=type)).status

    def test_a_connector(self, pair):
        assert self.change(pair, 1, "Inoperative") == "Accepted"
        pair.expect(Status, connector_id=1, status="Unavailable")
        assert self.change(pair, 1, "Inoperative") == "Accepted"
        pair.nothing(Status, during=1)
        assert self.change(pair, 1, "Operative") == "Accepted"
        pair.expect(Status, connector_id=1, status="Available")
        assert self.change(pair, 3, "Operative") == "Rejected"

    def test_the_charge_point(self, pair):
        assert self.change(pair, 0, "Inoperative") == "Accepted"
        for connector in range(3):
            pair.expect(Status, connector_id=connector, status="Unavailable")
        assert remote_start(pair) == "Rejected"
        assert self.change(pair, 0, "Operative") == "Accepted"
        for connector in range(3):
            pair.expect(Status, connector_id=connector, status="Available")

    def test_the_charge_point_makes_all_connectors_operative(self, pair):
        self.change(pair, 1, "Inoperative")
        pair.expect(Status, connector_id=1, status="Unavailable")
        assert self.change(pair, 0, "Operative") == "Accepted"
        pair.expect(Status, connector_id=1, status="Available")

    def test_it_waits_for_the_end_of_a_transaction(self, pair):
        pair.begin()
        pair.expect(Status, status="Charging")
        assert self.change(pair, 1, "Inoperative") == "Scheduled"
        pair.nothing(Status, during=5)
        pair.station.present_card("TAG")
        pair.expect(Stop)
        pair.expect(Status, connector_id=1, status="Unavailable")

    def test_the_charge_point_waits_and_its_idle_connectors_do_not(self, pair):
        pair.begin()
        pair.expect(Status, status="Charging")
        assert self.change(pair, 0, "Inoperative") == "Scheduled"
        pair.expect(Status, connector_id=2, status="Unavailable")
        pair.nothing(Status, during=5)
        pair.station.present_card("TAG")
        pair.expect(Stop)
        pair.expect(Status, connector_id=1, status="Unavailable")
        pair.rest()
        assert {each.connector_id for each in pair.all(Status)[-2:]} == {0, 1}


class TestReservations:
    def reserve(self, pair, connector_id=1, minutes=30, id_tag="R", number=5, **more):
        expiry = pair.station.core.time.now() + timedelta(minutes=minutes)
        return pair.call(v16.ReserveNowRequest(connector_id, expiry, id_tag, number, **more)).status

    def test_a_reservation_keeps_others_off_and_is_used_up(self, pair):
        assert self.reserve(pair) == "Accepted"
        pair.expect(Status, connector_id=1, status="Reserved")
        assert remote_start(pair, id_tag="OTHER") == "Rejected"
        pair.begin("R")
        assert pair.all(Start)[-1].reservation_id == 5
        assert pair.call(v16.CancelReservationRequest(reservation_id=5)).status == "Rejected"

    def test_the_parent_may_use_it(self, pair):
        pair.csms.reply(v16.AuthorizeRequest, v16.AuthorizeResponse(v16.IdTagInfo("Accepted", parent_id_tag="P")))
        assert self.reserve(pair, parent_id_tag="P") == "Accepted"
        assert pair.begin("OTHER").reservation_id == 5

    def test_it_expires(self, pair):
        self.reserve(pair, minutes=2)
        reserved = pair.expect(Status, connector_id=1, status="Reserved")
        free = pair.expect(Status, connector_id=1, status="Available")
        assert free.at - reserved.at == pytest.approx(2, abs=0.1)

    def test_it_is_canceled(self, pair):
        self.reserve(pair)
        pair.expect(Status, status="Reserved")
        assert pair.call(v16.CancelReservationRequest(reservation_id=5)).status == "Accepted"
        pair.expect(Status, connector_id=1, status="Available")
        assert pair.call(v16.CancelReservationRequest(reservation_id=5)).status == "Rejected"

    def test_a_fault_ends_it(self, pair):
        self.reserve(pair)
        pair.station.fail(1)
        pair.expect(Status, status="Faulted")
        pair.station.recover(1)
        pair.expect(Status, connector_id=1, status="Available", within=1)
        assert pair.call(v16.CancelReservationRequest(reservation_id=5)).status == "Rejected"

    def test_any_connector(self, pair):
        assert self.reserve(pair, connector_id=0) == "Accepted"
        pair.nothing(Status, during=1)
        pair.station.plug_in(1)
        pair.expect(Status, connector_id=2, status="Reserved")
        pair.station.present_card("R", 2)
        pair.station.plug_in(2)
        pair.expect(Start, connector_id=2, reservation_id=5)

    def test_what_is_not_possible_has_its_status(self, pair):
        assert self.reserve(pair, connector_id=3) == "Rejected"
        assert self.reserve(pair, minutes=-1) == "Rejected"
        pair.station.fail(2)
        assert self.reserve(pair, connector_id=2) == "Faulted"
        pair.station.recover(2)
        pair.call(v16.ChangeAvailabilityRequest(connector_id=2, type="Inoperative"))
        assert self.reserve(pair, connector_id=2) == "Unavailable"
        pair.begin()
        assert self.reserve(pair) == "Occupied"


class TestTrigger:
    def trigger(self, pair, message, connector_id=None):
        return pair.call(v16.TriggerMessageRequest(message, connector_id=connector_id)).status

    def test_status(self, pair):
        assert self.trigger(pair, "StatusNotification") == "Accepted"
        for connector in range(3):
            pair.expect(Status, connector_id=connector)
        assert self.trigger(pair, "StatusNotification", 2) == "Accepted"
        pair.expect(Status, connector_id=2)
        assert self.trigger(pair, "StatusNotification", 3) == "Rejected"

    def test_meter_values(self, pair):
        change(pair, "MeterValueSampleInterval", "0")
        pair.begin()
        assert self.trigger(pair, "MeterValues", 1) == "Accepted"
        message = pair.expect(Meter, connector_id=1, transaction_id=1)
        assert message.meter_value[0].sampled_value[0].context == "Trigger"
        assert self.trigger(pair, "MeterValues") == "Accepted"
        for connector in range(3):
            pair.expect(Meter, connector_id=connector)
        change(pair, "MeterValuesSampledData", "")
        assert self.trigger(pair, "MeterValues") == "Rejected"

    def test_what_has_no_connector(self, pair):
        assert self.trigger(pair, "Heartbeat", 1) == "Accepted"
        pair.expect(v16.HeartbeatRequest)
        assert self.trigger(pair, "FirmwareStatusNotification") == "Accepted"
        pair.expect(v16.FirmwareStatusNotificationRequest, status="Idle")
        assert self.trigger(pair, "DiagnosticsStatusNotification") == "Accepted"
        pair.expect(v16.DiagnosticsStatusNotificationRequest, status="Idle")

    def test_no_second_boot(self, pair):
        assert self.trigger(pair, "BootNotification") == "Rejected"

    def test_the_answer_comes_first(self, pair):
        future = pair.csms.send_request(v16.TriggerMessageRequest("Heartbeat"))
        pair.expect(v16.HeartbeatRequest)
        assert future.done()


class TestDataTransfer:
    def test_an_unknown_vendor(self, pair):
        response = pair.call(v16.DataTransferRequest(vendor_id="com.example", data="x"))
        assert (response.status, response.data) == ("UnknownVendorId", None)

    def test_a_vendor_of_the_test(self, pair):
        vendors = pair.station.core.behaviour.data_transfer.vendors
        vendors["com.example"] = lambda request: v16.DataTransferResponse("Accepted", request.data)
        response = pair.call(v16.DataTransferRequest(vendor_id="com.example", data="x"))
        assert (response.status, response.data) == ("Accepted", "x")
