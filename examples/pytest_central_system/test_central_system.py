"""Tests of a central system, here the one of central_system_16, by scripted and by simulated charge points.

pip install 'ocppj[testing]'
cd examples/pytest_central_system; pytest
"""

import pytest
from central_system_16 import build_server

from ocppj import ErrorCode, InvalidResponse, OCPPError, v16
from ocppj.testing import Fleet, SimulatedStation, example

Boot = v16.BootNotificationRequest


@pytest.fixture
def csms():
    """Start the central system, the system under test. Here it lives in this process."""
    with build_server().listen(host="127.0.0.1") as server:
        yield server


# A scripted charge point does what the test says.


def test_it_asks_for_the_settings_after_the_boot(csms, ocpp_station):
    station = ocpp_station(csms.url)
    settings = [v16.KeyValue(key="HeartbeatInterval", readonly=False, value="60")]
    station.reply(v16.GetConfigurationRequest, v16.GetConfigurationResponse(configuration_key=settings))
    assert station.call(Boot("Acme", "One")).status == "Accepted"
    station.expect(v16.GetConfigurationRequest, key=None)
    assert station.call(v16.HeartbeatRequest()).current_time


def test_a_charge_point_that_has_no_settings_is_served_all_the_same(csms, ocpp_station):
    station = ocpp_station(csms.url)
    station.reply(v16.GetConfigurationRequest, OCPPError(ErrorCode.NOT_SUPPORTED, "no settings"))
    station.call(Boot("Acme", "One"))
    station.expect(v16.GetConfigurationRequest)
    assert station.call(example(v16.AuthorizeRequest)).id_tag_info.status == "Accepted"


def test_each_transaction_has_its_own_id(csms, ocpp_station):
    north, south = ocpp_station(csms.url, "NORTH"), ocpp_station(csms.url, "SOUTH")
    ids = [station.call(example(v16.StartTransactionRequest)).transaction_id for station in (north, south)]
    assert ids == [1, 2]


def test_a_boot_without_its_fields_is_refused(csms, ocpp_station):
    station = ocpp_station(csms.url)
    station.call_raw("BootNotification", {})
    station.expect_error("BootNotification", "OccurenceConstraintViolation")


# A simulated station does what a real one does.


def test_a_whole_session(csms):
    with SimulatedStation("CP_1", speed=600).start(csms.url) as station:
        assert station.wait(lambda: station.accepted)
        station.charge(connector=1, id_token="TAG-1", energy=500)
        assert station.wait(lambda: station.summary().transactions == 1, within=20)
        assert station.wait(lambda: not station.transactions, within=20)
        assert station.energy(connector=1) >= 500


def test_a_transaction_that_ended_offline_is_reported_later(csms):
    ended = []

    @csms.on(v16.StopTransactionRequest)
    def stop(client_id, request):
        ended.append(request)
        return v16.StopTransactionResponse()

    with SimulatedStation("CP_1", speed=600).start(csms.url) as station:
        assert station.wait(lambda: station.accepted)
        station.charge(connector=1, id_token="TAG-1", seconds=300)
        assert station.wait(lambda: station.transactions)
        station.go_offline(seconds=1)  # ten minutes for the vehicle, which leaves after five
        assert station.wait(lambda: not station.transactions)
        assert not station.connected
        assert station.wait(lambda: ended, within=20)
        assert ended[0].reason == "Local"


def test_an_answer_that_breaks_the_rules(csms):
    with SimulatedStation("CP_1", speed=600).start(csms.url) as station:
        assert station.wait(lambda: station.accepted)
        station.faults.wrong("Reset", status="Perhaps")
        with pytest.raises(InvalidResponse):
            csms.call("CP_1", v16.ResetRequest(type="Soft"))


def test_twenty_stations(csms):
    with Fleet(20, csms.url, speed=600) as fleet:
        assert fleet.wait(lambda: fleet.summary().booted == 20, within=20)
        assert sorted(csms.client_ids()) == sorted(fleet.ids)
