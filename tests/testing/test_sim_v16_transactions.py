"""A simulated station of 1.6 reports its transactions."""

import pytest

from ocppj import ErrorCode, OCPPError, v16
from ocppj.testing import DROP, SILENCE
from ocppj.testing.simulation.connectors import Vehicle
from tests.testing.sim_pairs import booted

Start, Stop, Meter = v16.StartTransactionRequest, v16.StopTransactionRequest, v16.MeterValuesRequest
Status = v16.StatusNotificationRequest


@pytest.fixture
def pair():
    with booted("1.6") as pair:
        yield pair


def change(pair, key, value):
    assert pair.call(v16.ChangeConfigurationRequest(key=key, value=value)).status == "Accepted"


def started(transaction_id=7, status="Accepted", **more):
    return v16.StartTransactionResponse(v16.IdTagInfo(status, **more), transaction_id)


def samples(message):
    return {each.measurand: each for value in message.meter_value for each in value.sampled_value}


def test_a_session_by_card(pair):
    pair.csms.reply(Start, started(7))
    pair.station.plug_in(1)
    pair.expect(Status, connector_id=1, status="Preparing")
    pair.station.present_card("TAG")
    pair.expect(v16.AuthorizeRequest, id_tag="TAG")
    start = pair.expect(Start, connector_id=1, id_tag="TAG", meter_start=0, reservation_id=None)
    pair.expect(Status, connector_id=1, status="Charging")
    meter = pair.expect(Meter, connector_id=1, transaction_id=7)
    assert meter.at - start.at == pytest.approx(1, abs=0.1)  # 60 simulated seconds
    values = samples(meter)
    assert values["Power.Active.Import"].value == "11000"
    assert values["Energy.Active.Import.Register"].value == "183.333"
    assert {each.context for each in values.values()} == {"Sample.Periodic"}
    pair.station.present_card("TAG")
    stop = pair.expect(Stop, transaction_id=7, id_tag="TAG", reason="Local", transaction_data=None)
    assert (stop.timestamp - start.timestamp).total_seconds() == pytest.approx(60, abs=1)
    assert stop.meter_stop == 183
    pair.expect(Status, connector_id=1, status="Finishing")
    pair.station.unplug(1)
    pair.expect(Status, connector_id=1, status="Available")


def test_samples_each_interval_at_the_speed(pair):
    change(pair, "MeterValueSampleInterval", "30")
    change(pair, "MeterValuesSampledData", "SoC,Voltage.L1,Current.Import,Power.Active.Import.L2")
    pair.begin()
    first = pair.expect(Meter)
    assert pair.expect(Meter).at - first.at == pytest.approx(0.5, abs=0.01)
    values = samples(first)
    assert {name: (each.value, each.phase, each.unit) for name, each in values.items() if name != "SoC"} == {
        "Voltage": ("230", "L1", "V"),
        "Current.Import": ("15.942", None, "A"),
        "Power.Active.Import": ("3666.667", "L2", "W"),
    }
    assert values["SoC"].location == "EV"


def test_no_samples_with_an_interval_of_0(pair):
    change(pair, "MeterValueSampleInterval", "0")
    pair.begin()
    pair.nothing(Meter, during=60)


def test_clock_aligned_values(pair):
    change(pair, "MeterValueSampleInterval", "0")
    change(pair, "ClockAlignedDataInterval", "900")
    start = pair.begin()
    transaction_id = 1
    main = pair.expect(Meter, connector_id=0, transaction_id=None)
    pair.expect(Meter, connector_id=1, transaction_id=transaction_id)
    idle = pair.expect(Meter, connector_id=2, transaction_id=None)
    for message in (main, idle):
        (value,) = message.meter_value
        assert value.sampled_value[0].context == "Sample.Clock"
        assert value.timestamp.minute % 15 == 0
    assert start.connector_id == 1


def test_transaction_data(pair):
    change(pair, "MeterValueSampleInterval", "60")
    change(pair, "StopTxnSampledData", "Energy.Active.Import.Register")
    change(pair, "ClockAlignedDataInterval", "900")
    change(pair, "StopTxnAlignedData", "Voltage")
    pair.begin()
    pair.rest(30)
    pair.station.present_card("TAG")
    stop = pair.expect(Stop)
    contexts = [value.sampled_value[0].context for value in stop.transaction_data]
    assert contexts[0] == "Transaction.Begin"
    assert contexts[-1] == "Transaction.End"
    assert contexts.count("Sample.Periodic") in (29, 30)
    assert contexts.count("Sample.Clock") == 2
    assert stop.transaction_data[-1].sampled_value[0].value == str(stop.meter_stop)


def test_transaction_data_has_a_greatest_length(pair):
    change(pair, "MeterValueSampleInterval", "1")
    change(pair, "MeterValuesSampledData", "")
    change(pair, "StopTxnSampledData", "Energy.Active.Import.Register")
    pair.begin()
    pair.rest(20)
    pair.station.present_card("TAG")
    stop = pair.expect(Stop)
    contexts = [value.sampled_value[0].context for value in stop.transaction_data]
    assert len(contexts) == pair.station.settings["StopTransactionMaxMeterValues"]
    assert (contexts[0], contexts[-1]) == ("Transaction.Begin", "Transaction.End")


@pytest.mark.parametrize("status", ["Blocked", "Expired", "Invalid", "ConcurrentTx"])
def test_an_id_that_is_refused_after_the_start_ends_the_transaction(pair, status):
    pair.csms.reply(Start, started(7, status))
    pair.begin()
    pair.expect(Stop, transaction_id=7, reason="DeAuthorized", id_tag=None)


def test_an_id_that_is_refused_after_the_start_may_end_the_energy_only(pair):
    change(pair, "StopTransactionOnInvalidId", "false")
    pair.csms.reply(Start, started(7, "Invalid"))
    pair.begin()
    pair.expect(Status, connector_id=1, status="SuspendedEVSE")
    pair.nothing(Stop, during=10)
    pair.station.present_card("TAG")
    pair.expect(Stop, transaction_id=7, reason="Local")


def test_an_error_is_answered_with_another_attempt(pair):
    pair.csms.reply(Start, OCPPError(ErrorCode.INTERNAL_ERROR, "busy"), started(8))
    first = pair.begin()
    second = pair.expect(Start)
    assert second.at - first.at == pytest.approx(2, abs=0.1)  # TransactionMessageRetryInterval
    assert (second.timestamp, second.message_id == first.message_id) == (first.timestamp, False)
    pair.expect(Meter, transaction_id=8)


def test_messages_of_a_transaction_whose_start_was_given_up_have_the_id_minus_1(pair):
    pair.csms.reply(Start, OCPPError(ErrorCode.INTERNAL_ERROR, "broken"))
    pair.begin()
    for _ in range(2):
        pair.expect(Start)
    pair.expect(Meter, transaction_id=-1)
    pair.station.present_card("TAG")
    pair.expect(Stop, transaction_id=-1)
    assert len(pair.all(Start)) == 3  # TransactionMessageAttempts


def test_a_start_that_is_not_answered_is_sent_again_over_the_next_connection(pair):
    pair.csms.reply(Start, DROP, started(8))
    first = pair.begin()
    pair.csms.connected(within=15)
    assert pair.expect(Start).message_id == first.message_id
    pair.expect(Meter, transaction_id=8)


def test_the_end_waits_for_the_answer_to_the_start():
    with booted("1.6", timeout=20) as pair:
        pair.csms.reply(Start, SILENCE, started(9))
        pair.begin()
        pair.station.present_card("TAG")
        pair.nothing(Stop, during=10)
        pair.expect(Start)
        pair.expect(Stop, transaction_id=9)


def test_a_transaction_while_offline_is_reported_in_order_afterwards(pair):
    pair.begin("TAG", 2)  # the id is in the cache from now on
    pair.station.unplug(2)
    pair.expect(Stop)
    pair.station.go_offline(100)
    pair.csms.disconnected(within=5)
    pair.station.charge(1, "TAG", seconds=1800)
    start = pair.expect(Start, connector_id=1, within=110)
    meters = [pair.expect(Meter, connector_id=1, transaction_id=2) for _ in range(29)]
    stop = pair.expect(Stop, transaction_id=2, id_tag="TAG")
    assert (stop.timestamp - start.timestamp).total_seconds() == pytest.approx(1800, abs=5)
    moments = [each.meter_value[0].timestamp for each in meters]
    assert moments == sorted(moments)
    assert start.timestamp < moments[0] < moments[-1] < stop.timestamp


def test_unplugging_ends_a_transaction(pair):
    pair.begin()
    pair.station.unplug(1)
    pair.expect(Stop, reason="EVDisconnected", id_tag=None)
    pair.expect(Status, connector_id=1, status="Available")


def test_a_fault_ends_a_transaction(pair):
    pair.begin()
    pair.station.fail(1, "PowerSwitchFailure")
    pair.expect(Stop, reason="PowerLoss")


def test_a_fault_without_a_reason_of_its_own(pair):
    pair.begin()
    pair.station.fail(1, "OverCurrentFailure")
    pair.expect(Stop, reason="Other")


def test_another_id_of_the_same_parent_ends_a_transaction(pair):
    group = v16.AuthorizeResponse(v16.IdTagInfo("Accepted", parent_id_tag="FAMILY"))
    in_use = v16.AuthorizeResponse(v16.IdTagInfo("ConcurrentTx", parent_id_tag="FAMILY"))
    stranger = v16.AuthorizeResponse(v16.IdTagInfo("Accepted"))
    pair.csms.reply(v16.AuthorizeRequest, group, stranger, in_use)
    pair.begin("A")
    pair.station.present_card("X", 1)
    pair.nothing(Stop, during=1)
    pair.station.present_card("B", 1)
    pair.expect(Stop, id_tag="B", reason="Local")


def test_an_id_that_is_refused_does_not_start(pair):
    pair.csms.reply(v16.AuthorizeRequest, v16.AuthorizeResponse(v16.IdTagInfo("ConcurrentTx")))
    pair.station.plug_in(1)
    pair.station.present_card("TAG", 1)
    pair.expect(v16.AuthorizeRequest)
    pair.nothing(Start, during=5)


def test_a_card_without_a_vehicle_is_forgotten_after_a_time(pair):
    change(pair, "ConnectionTimeOut", "120")
    pair.station.present_card("TAG", 1)
    first = pair.expect(Status, connector_id=1, status="Preparing")
    last = pair.expect(Status, connector_id=1, status="Available")
    assert last.at - first.at == pytest.approx(2, abs=0.1)
    assert pair.all(Start) == []


def test_the_answer_to_the_start_is_in_the_cache(pair):
    change(pair, "StopTransactionOnInvalidId", "false")
    pair.csms.reply(Start, started(7, "Blocked"))
    pair.begin("TAG")
    pair.station.unplug(1)
    pair.expect(Stop)
    pair.station.go_offline()
    pair.csms.disconnected(within=5)
    pair.station.plug_in(2)
    pair.station.present_card("TAG", 2)
    pair.rest(1)
    assert pair.station.connectors[2].transaction is None


def test_a_full_vehicle_takes_no_more(pair):
    pair.station.plug_in(1, Vehicle(needs=500))
    pair.station.present_card("TAG", 1)
    pair.expect(Status, connector_id=1, status="SuspendedEV")
    pair.rest(10)
    pair.station.unplug(1)
    assert pair.expect(Stop).meter_stop == 500
