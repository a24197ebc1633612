"""Tests of a charge point, here the one of charge_point.py, by a scripted central system.

pip install 'ocppj[testing]'
cd examples/pytest_charge_point; pytest
"""

import subprocess
import sys
from pathlib import Path

import pytest

from ocppj import ErrorCode, OCPPError, v16
from ocppj.testing import CLOSE, DROP, example

PROGRAM = Path(__file__).parent.parent / "charge_point" / "charge_point.py"

Authorize = v16.AuthorizeRequest
Boot = v16.BootNotificationRequest
Start = v16.StartTransactionRequest
Status = v16.StatusNotificationRequest
Meter = v16.MeterValuesRequest
Stop = v16.StopTransactionRequest

blocked = v16.AuthorizeResponse(id_tag_info=v16.IdTagInfo(status="Blocked"))
started_7 = example(v16.StartTransactionResponse, transaction_id=7)


@pytest.fixture
def dut(ocpp_csms):
    """Start the charge point, the device under test, in a process of its own."""
    command = [sys.executable, str(PROGRAM), ocpp_csms.url, "CP_1", "--tag", "TAG-1", "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def energy(request):
    return request.meter_value[0].sampled_value[0].value


def test_a_session(ocpp_csms, dut):
    ocpp_csms.reply(Start, started_7)
    ocpp_csms.expect(Boot, within=20, charge_point_vendor="Acme")
    ocpp_csms.expect(Authorize, id_tag="TAG-1")
    ocpp_csms.expect(Start, connector_id=1, id_tag="TAG-1")
    ocpp_csms.expect(Status, status="Charging")
    ocpp_csms.expect(Meter, transaction_id=7, where=lambda request: energy(request) == "250")
    assert ocpp_csms.expect(Stop, transaction_id=7).meter_stop == 1000
    ocpp_csms.expect(Status, status="Available")
    assert ocpp_csms.disconnected().code == 1000
    assert ocpp_csms.order()[:3] == ["BootNotification", "Authorize", "StartTransaction"]


def test_settings_can_be_read_in_a_transaction(ocpp_csms, dut):
    ocpp_csms.expect(Start, within=20)
    answer = ocpp_csms.call(v16.GetConfigurationRequest(key=["HeartbeatInterval", "Colour"]))
    assert answer.configuration_key[0].value == "60"
    assert answer.unknown_key == ["Colour"]


def test_a_card_that_is_blocked(ocpp_csms, dut):
    ocpp_csms.reply(Authorize, blocked)
    ocpp_csms.forbid(Start)
    ocpp_csms.expect(Authorize, within=20)
    ocpp_csms.disconnected()
    assert dut.communicate(timeout=20)[1] == "TAG-1 may not charge: Blocked\n"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (OCPPError(ErrorCode.INTERNAL_ERROR, "busy"), "OCPPError"),
        (DROP, "ConnectionLost"),
        (CLOSE(1011, "going down"), "ConnectionLost"),
    ],
    ids=["error", "cut", "closed"],
)
def test_what_happens_in_place_of_an_answer(ocpp_csms, dut, reply, said):
    ocpp_csms.reply(Start, reply)
    ocpp_csms.expect(Start, within=20)
    assert said in dut.communicate(timeout=20)[1]


def test_a_handshake_that_is_refused(ocpp_csms, dut):
    ocpp_csms.refuse(503, retry_after=2)
    assert "503" in dut.communicate(timeout=20)[1]
