"""Tests of a charging station of OCPP 2.0.1, here a simulated one, by a scripted central system.

pip install 'ocppj[testing]'
cd examples/pytest_charging_station_201; pytest
"""

import subprocess
import sys

import pytest

from ocppj import v201
from ocppj.testing import example

Boot = v201.BootNotificationRequest
Event = v201.TransactionEventRequest


@pytest.fixture
def power_on(ocpp_csms):
    """Return a function that starts the station, the device under test."""
    started = []

    def start(*options):
        command = [sys.executable, "-m", "ocppj", "simulate", ocpp_csms.url, "--version", "2.0.1", *options]
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_vendor(ocpp_csms, power_on):
    power_on()
    ocpp_csms.expect(Boot, within=20, reason="PowerUp", charging_station={"vendor_name": "ocppj"})


def test_events_are_numbered(ocpp_csms, power_on):
    power_on("--charge", "1m")
    event = ocpp_csms.expect(Event, within=20, event_type="Started", seq_no=0)
    while event.event_type != "Ended":
        event = ocpp_csms.expect(Event, seq_no=event.seq_no + 1)


def test_a_reset(ocpp_csms, power_on):
    power_on()
    ocpp_csms.expect(Boot, within=20)
    ocpp_csms.expect(v201.SecurityEventNotificationRequest)
    assert ocpp_csms.call(v201.ResetRequest(type="Immediate")).status == "Accepted"
    ocpp_csms.disconnected(within=30)
    ocpp_csms.expect(Boot, within=30, reason="RemoteReset")


def test_a_boot_that_is_pending(ocpp_csms, power_on):
    pending = example(v201.BootNotificationResponse, status="Pending", interval=1)
    ocpp_csms.reply(Boot, pending, example(v201.BootNotificationResponse))
    power_on()
    first = ocpp_csms.expect(Boot, within=20)
    ocpp_csms.expect_nothing(during=0.9)
    assert ocpp_csms.expect(Boot).at - first.at >= 0.9
    ocpp_csms.expect(v201.StatusNotificationRequest)


def come_back_soon(csms):
    """Have the station wait a second, and not ten or more, before it connects again."""
    for name in "RetryBackOffWaitMinimum", "RetryBackOffRandomRange":
        variable = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": name}, "attribute_value": "1"}
        answer = csms.call(v201.SetVariablesRequest([example(v201.SetVariableData, **variable)]))
        assert answer.set_variable_result[0].attribute_status == "Accepted"


def test_a_connection_that_is_cut_in_a_transaction(ocpp_csms, power_on):
    power_on("--charge", "5m")
    started = ocpp_csms.expect(Event, within=20, event_type="Started")
    come_back_soon(ocpp_csms)
    ocpp_csms.drop()
    ocpp_csms.disconnected()
    ocpp_csms.connected(within=30)
    late = ocpp_csms.expect(Event, offline=True)
    assert late.transaction_info.transaction_id == started.transaction_info.transaction_id
    ocpp_csms.expect(Event, within=20, event_type="Ended")
    events = [seen.message for seen in ocpp_csms.messages if seen.kind == "CALL" and seen.action == "TransactionEvent"]
    assert sorted({event.seq_no for event in events}) == list(range(events[-1].seq_no + 1))
