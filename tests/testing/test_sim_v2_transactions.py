"""A simulated station of 2.x reports its transactions."""

import pytest

from ocppj import OCPPError
from ocppj.testing.simulation.connectors import IdToken, Vehicle
from tests.testing.sim_pairs import booted


@pytest.fixture(params=["2.0.1", "2.1"])
def pair(request):
    with booted(request.param) as pair:
        yield pair


def change(pair, component, variable, value):
    types = pair.types
    data = types.SetVariableData(
        attribute_value=value,
        component=types.Component(name=component),
        variable=types.Variable(name=variable),
    )
    result = pair.call(types.SetVariablesRequest(set_variable_data=[data])).set_variable_result[0]
    assert result.attribute_status == "Accepted"


def events(pair, **fields):
    """Return the TransactionEvents so far."""
    found = pair.all(pair.types.TransactionEventRequest)
    return [event for event in found if all(getattr(event, name) == value for name, value in fields.items())]


def begin(pair, id_token="TAG"):
    """Plug in, present a card, and return the message of the start."""
    pair.station.plug_in(1)
    pair.station.present_card(id_token, 1)
    return pair.expect(pair.types.TransactionEventRequest, event_type="Started")


def test_a_session_by_card(pair):
    types = pair.types
    pair.station.plug_in(1)
    pair.expect(types.StatusNotificationRequest, connector_status="Occupied", evse_id=1)
    pair.station.present_card("TAG")
    pair.expect(types.AuthorizeRequest, id_token={"id_token": "TAG", "type": "ISO14443"})
    started = pair.expect(types.TransactionEventRequest, event_type="Started", trigger_reason="Authorized", seq_no=0)
    assert started.id_token.id_token == "TAG"
    assert started.evse.id == 1 and started.evse.connector_id == 1
    assert started.meter_value[0].sampled_value[0].context == "Transaction.Begin"
    charging = pair.expect(types.TransactionEventRequest, trigger_reason="ChargingStateChanged", seq_no=1)
    assert charging.transaction_info.charging_state == "Charging"
    assert charging.number_of_phases_used == 3
    periodic = pair.expect(types.TransactionEventRequest, trigger_reason="MeterValuePeriodic", seq_no=2)
    values = {each.measurand: each.value for each in periodic.meter_value[0].sampled_value}
    assert values["Power.Active.Import"] == 11_000
    assert values["Energy.Active.Import.Register"] == pytest.approx(11_000 / 60, rel=0.01)
    pair.station.present_card("TAG")
    ended = pair.expect(types.TransactionEventRequest, event_type="Ended", trigger_reason="StopAuthorized")
    assert (ended.transaction_info.stopped_reason, ended.id_token.id_token) == ("Local", "TAG")
    assert ended.meter_value[-1].sampled_value[0].context == "Transaction.End"
    pair.station.unplug(1)
    pair.expect(types.StatusNotificationRequest, connector_status="Available", evse_id=1)
    assert len({event.transaction_info.transaction_id for event in events(pair)}) == 1
    assert [event.seq_no for event in events(pair)] == list(range(len(events(pair))))


def test_the_id_and_the_reservation_are_told_once(pair):
    begin(pair)
    pair.expect(pair.types.TransactionEventRequest, trigger_reason="MeterValuePeriodic")
    assert [event.id_token is not None for event in events(pair)] == [True, False, False]


def test_transactions_have_different_ids(pair):
    first = begin(pair)
    pair.station.unplug(1)
    pair.expect(pair.types.TransactionEventRequest, event_type="Ended")
    second = begin(pair)
    assert second.transaction_info.transaction_id != first.transaction_info.transaction_id
    assert second.seq_no == 0


def test_the_vehicle_leaves(pair):
    begin(pair)
    pair.station.unplug(1)
    ended = pair.expect(pair.types.TransactionEventRequest, event_type="Ended")
    assert (ended.trigger_reason, ended.transaction_info.stopped_reason) == ("EVCommunicationLost", "EVDisconnected")
    assert ended.transaction_info.charging_state == "Idle"


def test_a_vehicle_that_is_full_suspends(pair):
    pair.station.plug_in(1, Vehicle(needs=1_000))
    pair.station.present_card("TAG")
    state = {"charging_state": "SuspendedEV"}
    event = pair.expect(
        pair.types.TransactionEventRequest, trigger_reason="ChargingStateChanged", transaction_info=state
    )
    assert event.event_type == "Updated"
    assert pair.station.energy(1) == pytest.approx(1_000, abs=1)


def test_it_starts_with_the_plug_and_ends_with_it(pair):
    types = pair.types
    change(pair, "TxCtrlr", "TxStartPoint", "EVConnected")
    change(pair, "TxCtrlr", "TxStopPoint", "EVConnected")
    pair.station.plug_in(1)
    pair.expect(types.StatusNotificationRequest, connector_status="Occupied")  # first
    started = pair.expect(types.TransactionEventRequest, event_type="Started", trigger_reason="CablePluggedIn")
    assert (started.id_token, started.transaction_info.charging_state) == (None, "EVConnected")
    pair.station.present_card("TAG")
    authorized = pair.expect(types.TransactionEventRequest, event_type="Updated", trigger_reason="Authorized")
    assert authorized.id_token.id_token == "TAG"
    pair.expect(types.TransactionEventRequest, transaction_info={"charging_state": "Charging"})
    pair.station.present_card("TAG")
    stopped = pair.expect(types.TransactionEventRequest, trigger_reason="StopAuthorized")
    assert stopped.event_type == "Updated"
    pair.station.unplug(1)
    pair.expect(types.TransactionEventRequest, event_type="Ended", trigger_reason="EVCommunicationLost")


def test_it_starts_with_the_card_and_ends_when_no_vehicle_comes(pair):
    types = pair.types
    change(pair, "TxCtrlr", "TxStartPoint", "Authorized")
    pair.station.present_card("TAG", 1)
    started = pair.expect(types.TransactionEventRequest, event_type="Started", trigger_reason="Authorized")
    assert started.transaction_info.charging_state == "Idle"
    ended = pair.expect(types.TransactionEventRequest, event_type="Ended", trigger_reason="EVConnectTimeout")
    assert ended.transaction_info.stopped_reason == "Timeout"
    assert (ended.timestamp - started.timestamp).total_seconds() == pytest.approx(60, abs=1)  # EVConnectionTimeOut


def test_it_ends_when_no_energy_flows_any_more(pair):
    change(pair, "TxCtrlr", "TxStartPoint", "EnergyTransfer")
    change(pair, "TxCtrlr", "TxStopPoint", "EnergyTransfer")
    pair.station.plug_in(1, Vehicle(needs=1_000))
    pair.station.present_card("TAG", 1)
    pair.expect(pair.types.TransactionEventRequest, event_type="Started")
    ended = pair.expect(pair.types.TransactionEventRequest, event_type="Ended")
    assert (ended.trigger_reason, ended.transaction_info.stopped_reason) == ("ChargingStateChanged", "StoppedByEV")
    assert pair.station.transactions == []


def test_an_id_that_the_csms_refuses_in_its_answer_ends_the_transaction(pair):
    types = pair.types
    refused = types.TransactionEventResponse(id_token_info=types.IdTokenInfo(status="Blocked"))
    pair.csms.reply(types.TransactionEventRequest, refused, types.TransactionEventResponse())
    begin(pair)
    ended = pair.expect(types.TransactionEventRequest, event_type="Ended")
    assert (ended.trigger_reason, ended.transaction_info.stopped_reason) == ("Deauthorized", "DeAuthorized")


def test_or_suspends_it_if_the_variable_says_so(pair):
    types = pair.types
    change(pair, "TxCtrlr", "StopTxOnInvalidId", "false")
    refused = types.TransactionEventResponse(id_token_info=types.IdTokenInfo(status="Invalid"))
    pair.csms.reply(types.TransactionEventRequest, refused, types.TransactionEventResponse())
    begin(pair)
    pair.expect(types.TransactionEventRequest, transaction_info={"charging_state": "SuspendedEVSE"})


def test_a_fault_ends_it_and_is_told(pair):
    types = pair.types
    begin(pair)
    pair.station.fail(1, "GroundFailure")
    ended = pair.expect(types.TransactionEventRequest, event_type="Ended", trigger_reason="AbnormalCondition")
    assert ended.transaction_info.stopped_reason == "GroundFault"
    pair.expect(types.StatusNotificationRequest, connector_status="Faulted")
    event = pair.expect(types.NotifyEventRequest).event_data[0]
    assert (event.variable.name, event.actual_value, event.tech_code) == ("Problem", "true", "GroundFailure")
    assert event.event_notification_type == "HardWiredNotification"
    pair.station.recover(1)
    assert pair.expect(types.NotifyEventRequest).event_data[0].cleared is True


def test_messages_wait_while_offline_and_say_so(pair):
    types = pair.types
    begin(pair)
    pair.expect(types.TransactionEventRequest, trigger_reason="ChargingStateChanged")
    pair.station.go_offline(10)
    pair.csms.disconnected(within=5)
    pair.rest(5)
    pair.station.present_card("TAG")
    pair.csms.connected(within=60)
    ended = pair.expect(types.TransactionEventRequest, event_type="Ended")
    assert ended.offline is True
    numbers = [event.seq_no for event in events(pair)]
    assert numbers == list(range(len(numbers)))
    offline = [event for event in events(pair) if event.offline]
    assert len(offline) >= 5  # samples, and the end
    assert offline[-1].timestamp > offline[0].timestamp


def test_after_a_short_time_offline_only_changes_are_told_and_after_a_long_one_all(pair):
    status = pair.types.StatusNotificationRequest
    before = len(pair.all(status))
    for seconds, more in ((10, 0), (100, 2)):
        pair.station.go_offline(seconds)
        pair.csms.disconnected(within=5)
        pair.csms.connected(within=200)
        pair.rest(1)
        assert len(pair.all(status)) == before + more


def test_a_message_that_is_refused_is_sent_again_and_then_dropped(pair):
    types = pair.types
    pair.csms.reply(types.TransactionEventRequest, OCPPError("InternalError", "busy"), types.TransactionEventResponse())
    begin(pair)
    again = pair.expect(types.TransactionEventRequest, within=15, seq_no=0)
    assert again.event_type == "Started"
    pair.expect(types.TransactionEventRequest, seq_no=1)


def test_the_status_of_a_transaction(pair):
    types = pair.types

    def status(id=None):
        response = pair.call(types.GetTransactionStatusRequest(transaction_id=id))
        return response.ongoing_indicator, response.messages_in_queue

    assert status() == (None, False)
    assert status("none") == (False, False)
    id = begin(pair).transaction_info.transaction_id
    pair.rest()
    assert status(id) == (True, False)
    pair.csms.reply(types.TransactionEventRequest, OCPPError("InternalError", "busy"))
    pair.station.unplug(1)
    pair.expect(types.TransactionEventRequest, event_type="Ended")
    assert status(id) == (False, True)
    assert status() == (None, True)
    pair.rest(60)  # as often as MessageAttempts says
    assert status(id) == (False, False)


def test_clock_aligned_values_in_and_out_of_a_transaction(pair):
    types = pair.types
    begin(pair)
    change(pair, "AlignedDataCtrlr", "Interval", "900")
    event = pair.expect(types.TransactionEventRequest, trigger_reason="MeterValueClock")
    assert event.meter_value[0].sampled_value[0].context == "Sample.Clock"
    assert (event.timestamp.minute % 15, event.timestamp.second) == (0, 0)
    pair.rest()
    before = pair.all(types.MeterValuesRequest)
    assert [each.evse_id for each in before] == [0, 2]  # the main meter, and the EVSE without a transaction
    change(pair, "AlignedDataCtrlr", "SendDuringIdle", "true")
    pair.rest(60)
    assert pair.all(types.MeterValuesRequest) == before


def test_ids_of_all_types(pair):
    types = pair.types
    for type in ("eMAID", "KeyCode", "MacAddress", "ISO15693", "Local"):
        pair.station.plug_in(1)
        pair.station.present_card(IdToken("ID-1", type), 1)
        pair.expect(types.AuthorizeRequest, id_token={"type": type})
        pair.expect(types.TransactionEventRequest, event_type="Started", id_token={"type": type})
        pair.station.unplug(1)
        pair.expect(types.TransactionEventRequest, event_type="Ended")
    pair.station.plug_in(1)
    pair.station.present_card(IdToken("", "NoAuthorization"), 1)
    pair.expect(types.TransactionEventRequest, event_type="Started", id_token={"type": "NoAuthorization"})
    assert len(pair.all(types.AuthorizeRequest)) == 5


def test_what_the_cache_forgets_at_once_is_accepted_all_the_same(pair):
    types = pair.types
    info = types.IdTokenInfo(status="Accepted", cache_expiry_date_time=pair.station.core.time.now())
    pair.csms.reply(types.TransactionEventRequest, types.TransactionEventResponse(id_token_info=info))
    begin(pair)
    pair.rest(2)
    assert events(pair, event_type="Ended") == []
    assert len(pair.station.transactions) == 1
