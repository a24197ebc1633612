"""A simulated station of 2.x does what the CSMS asks it to do: start, stop, unlock, send messages."""

from datetime import datetime, timedelta, timezone

import pytest

from ocppj import OCPPError, v201
from tests.testing.sim_pairs import booted, paired


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param, plug_in_after=None) as pair:
        yield pair


def start(pair, id_token="TAG", number=7, **more):
    types = pair.types
    token = types.IdToken(id_token=id_token, type="Central")
    return pair.call(types.RequestStartTransactionRequest(id_token=token, remote_start_id=number, **more))


def test_a_remote_start_where_a_vehicle_waits(pair):
    types = pair.types
    pair.station.plug_in(2)
    pair.rest(1)
    response = start(pair)
    assert (response.status, response.transaction_id) == ("Accepted", None)
    started = pair.expect(types.TransactionEventRequest, event_type="Started", trigger_reason="RemoteStart")
    assert started.evse.id == 2
    assert (started.transaction_info.remote_start_id, started.id_token.id_token) == (7, "TAG")
    id = started.transaction_info.transaction_id
    assert pair.call(types.RequestStopTransactionRequest(transaction_id=id)).status == "Accepted"
    ended = pair.expect(types.TransactionEventRequest, event_type="Ended", trigger_reason="RemoteStop")
    assert ended.transaction_info.stopped_reason == "Remote"
    assert pair.call(types.RequestStopTransactionRequest(transaction_id=id)).status == "Rejected"


def test_a_remote_start_before_the_plug(pair):
    types = pair.types
    before = pair.all(types.StatusNotificationRequest)
    assert start(pair, evse_id=1).status == "Accepted"
    pair.rest(0.5)
    assert pair.all(types.StatusNotificationRequest) == before  # an id alone does not occupy it
    pair.station.plug_in(1)
    pair.expect(types.StatusNotificationRequest, connector_status="Occupied", evse_id=1)
    started = pair.expect(types.TransactionEventRequest, event_type="Started")
    assert started.trigger_reason == "RemoteStart"


def test_a_transaction_that_waits_for_an_id_is_told(pair):
    types = pair.types
    point = types.SetVariableData(
        attribute_value="EVConnected",
        component=types.Component(name="TxCtrlr"),
        variable=types.Variable(name="TxStartPoint"),
    )
    pair.call(types.SetVariablesRequest(set_variable_data=[point]))
    pair.station.plug_in(1)
    id = pair.expect(types.TransactionEventRequest, event_type="Started").transaction_info.transaction_id
    assert start(pair, evse_id=1).transaction_id == id
    event = pair.expect(types.TransactionEventRequest, event_type="Updated", trigger_reason="RemoteStart")
    assert event.transaction_info.remote_start_id == 7


def test_a_remote_start_is_rejected_where_none_is_possible(pair):
    assert start(pair, evse_id=3).status == "Rejected"
    pair.station.fail(1)
    pair.rest(1)
    assert start(pair, evse_id=1).status == "Rejected"
    assert start(pair).status == "Accepted"  # at the other
    assert start(pair).status == "Rejected"


def test_a_remote_start_with_an_id_that_is_to_be_authorized(pair):
    types = pair.types
    data = types.SetVariableData(
        attribute_value="true",
        component=types.Component(name="AuthCtrlr"),
        variable=types.Variable(name="AuthorizeRemoteStart"),
    )
    pair.call(types.SetVariablesRequest(set_variable_data=[data]))
    refused = types.AuthorizeResponse(id_token_info=types.IdTokenInfo(status="Invalid"))
    pair.csms.reply(types.AuthorizeRequest, refused)
    pair.station.plug_in(1)
    token = types.IdToken(id_token="CARD", type="ISO14443")
    request = types.RequestStartTransactionRequest(id_token=token, remote_start_id=1)
    assert pair.call(request).status == "Accepted"
    pair.expect(types.AuthorizeRequest)
    pair.nothing(types.TransactionEventRequest, during=30)


def test_unlocking(pair):
    types = pair.types

    def unlock(evse, connector=1):
        return pair.call(types.UnlockConnectorRequest(evse_id=evse, connector_id=connector)).status

    assert (unlock(1), unlock(3), unlock(1, 2)) == ("Unlocked", "UnknownConnector", "UnknownConnector")
    pair.station.plug_in(1)
    pair.station.present_card("TAG", 1)
    pair.expect(types.TransactionEventRequest, event_type="Started")
    assert unlock(1) == "OngoingAuthorizedTransaction"


def trigger(pair, message, evse=None, connector=None, **more):
    types = pair.types
    where = None if evse is None else types.EVSE(id=evse, connector_id=connector)
    return pair.call(types.TriggerMessageRequest(requested_message=message, evse=where, **more)).status


class TestTriggers:
    def test_messages_that_are_always_possible(self, pair):
        types = pair.types
        for message, type, status in [
            ("Heartbeat", types.HeartbeatRequest, None),
            ("FirmwareStatusNotification", types.FirmwareStatusNotificationRequest, "Idle"),
            ("LogStatusNotification", types.LogStatusNotificationRequest, "Idle"),
            ("PublishFirmwareStatusNotification", types.PublishFirmwareStatusNotificationRequest, "Idle"),
        ]:
            assert trigger(pair, message) == "Accepted"
            came = pair.expect(type)
            assert getattr(came, "status", None) == status
            assert getattr(came, "request_id", None) is None

    def test_a_status_is_of_one_connector(self, pair):
        assert trigger(pair, "StatusNotification") == "Rejected"
        assert trigger(pair, "StatusNotification", 1) == "Rejected"
        assert trigger(pair, "StatusNotification", 1, 2) == "Rejected"
        assert trigger(pair, "StatusNotification", 2, 1) == "Accepted"
        pair.expect(pair.types.StatusNotificationRequest, evse_id=2, connector_id=1)

    def test_meter_values(self, pair):
        assert trigger(pair, "MeterValues", 2) == "Accepted"
        came = pair.expect(pair.types.MeterValuesRequest, evse_id=2)
        assert came.meter_value[0].sampled_value[0].context == "Trigger"
        assert trigger(pair, "MeterValues") == "Accepted"
        assert [pair.expect(pair.types.MeterValuesRequest).evse_id for _ in range(2)] == [1, 2]
        assert trigger(pair, "MeterValues", 3) == "Rejected"

    def test_transactions(self, pair):
        types = pair.types
        assert trigger(pair, "TransactionEvent") == "Rejected"
        pair.station.plug_in(1)
        pair.station.present_card("TAG", 1)
        pair.expect(types.TransactionEventRequest, event_type="Started")
        assert trigger(pair, "TransactionEvent", 2) == "Rejected"
        assert trigger(pair, "TransactionEvent", 1) == "Accepted"
        event = pair.expect(types.TransactionEventRequest, trigger_reason="Trigger")
        assert event.transaction_info.charging_state == "Charging"
        assert {value.context for value in event.meter_value[0].sampled_value} == {"Trigger"}

    def test_certificates(self, pair):
        pytest.importorskip("cryptography")
        assert trigger(pair, "SignChargingStationCertificate") == "Accepted"
        pair.expect(pair.types.SignCertificateRequest, certificate_type="ChargingStationCertificate")
        assert trigger(pair, "SignV2GCertificate") == "Accepted"
        pair.expect(pair.types.SignCertificateRequest, certificate_type="V2GCertificate")

    def test_no_boot_when_it_was_accepted(self, pair):
        assert trigger(pair, "BootNotification") == "Rejected"

    def test_what_is_not_implemented(self):
        with booted("2.1") as pair:
            assert trigger(pair, "CustomTrigger", custom_trigger="x") == "NotImplemented"

    def test_a_boot_when_it_was_not_accepted(self):
        moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
        boot = v201.BootNotificationResponse(current_time=moment, interval=600, status="Pending")
        with paired("2.0.1", boot) as pair:
            pair.expect(v201.BootNotificationRequest, reason="PowerUp")
            pair.csms.reply(
                v201.BootNotificationRequest,
                v201.BootNotificationResponse(current_time=moment, interval=60, status="Accepted"),
            )
            assert trigger(pair, "BootNotification") == "Accepted"
            pair.expect(v201.BootNotificationRequest, reason="Triggered", within=1)
            pair.expect(v201.StatusNotificationRequest)


def test_before_the_boot_is_accepted_nothing_is_started():
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    boot = v201.BootNotificationResponse(current_time=moment, interval=600, status="Pending")
    with paired("2.0.1", boot) as pair:
        pair.expect(v201.BootNotificationRequest)
        pair.station.plug_in(1)
        assert start(pair).status == "Rejected"
        show = v201.MessageInfo(id=1, priority="InFront", message=v201.MessageContent(format="UTF8", content="welcome"))
        assert pair.call(v201.SetDisplayMessageRequest(message=show)).status == "Accepted"
        assert pair.call(v201.GetDisplayMessagesRequest(request_id=1)).status == "Accepted"
        pair.nothing(v201.NotifyDisplayMessagesRequest, during=60)
        accepted = v201.BootNotificationResponse(current_time=moment, interval=600, status="Accepted")
        pair.csms.reply(v201.BootNotificationRequest, accepted)
        pair.expect(v201.BootNotificationRequest, within=601)
        pair.expect(v201.NotifyDisplayMessagesRequest)


def test_while_the_boot_is_rejected_nothing_is_answered():
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    boot = v201.BootNotificationResponse(current_time=moment, interval=600, status="Rejected")
    with paired("2.0.1", boot) as pair:
        pair.expect(v201.BootNotificationRequest)
        pair.rest()
        with pytest.raises(OCPPError) as caught:
            trigger(pair, "Heartbeat")
        assert caught.value.code == "SecurityError"


def test_the_answer_comes_before_what_follows(pair):
    types = pair.types
    token = types.IdToken(id_token="ME", type="Central")
    expiry = pair.station.core.time.now() + timedelta(hours=1)
    pair.call(types.ReserveNowRequest(id=1, expiry_date_time=expiry, id_token=token, evse_id=1))
    pair.expect(types.StatusNotificationRequest, connector_status="Reserved")
    came = [(seen.kind, seen.action) for seen in pair.csms.messages if seen.direction == "in"]
    assert came[-2:] == [("RESULT", "ReserveNow"), ("CALL", "StatusNotification")]


@pytest.mark.parametrize("group", ["FLEET", "OTHER"])
def test_a_remote_start_by_the_group_of_a_reservation(pair, group):
    types = pair.types
    reservation = types.ReserveNowRequest(
        id=4,
        expiry_date_time=pair.station.core.time.now() + timedelta(hours=5),
        id_token=types.IdToken(id_token="HOLDER", type="ISO14443"),
        group_id_token=types.IdToken(id_token="FLEET", type="Central"),
        evse_id=1,
    )
    assert pair.call(reservation).status == "Accepted"
    response = start(pair, evse_id=1, group_id_token=types.IdToken(id_token=group, type="Central"))
    assert response.status == ("Accepted" if group == "FLEET" else "Rejected")
    if group == "FLEET":
        pair.station.plug_in(1)
        started = pair.expect(types.TransactionEventRequest, event_type="Started")
        assert (started.reservation_id, pair.station.transactions[0].group) == (4, "FLEET")


def test_the_startup_is_a_security_event_and_so_is_a_reset(pair):
    types = pair.types
    event = types.SecurityEventNotificationRequest
    assert [each.type for each in pair.all(event)] == ["StartupOfTheDevice"]
    assert pair.call(types.ResetRequest(type="Immediate")).status == "Accepted"
    pair.expect(event, type="ResetOrReboot")


def test_a_lock_that_does_not_open(pair):
    pair.station.core.behaviour.remote.lock_fails = True
    assert pair.call(pair.types.UnlockConnectorRequest(evse_id=1, connector_id=1)).status == "UnlockFailed"
