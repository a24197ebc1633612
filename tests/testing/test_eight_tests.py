"""Eight tests as a user writes them: seven of a charge point, one of a central system. They need no helper code.

The fixtures are those of the pytest plugin, in three surroundings: TCP, memory, and memory with a held clock.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Callable, Iterator, Union

import pytest

from ocppj import ErrorCode, OCPPError, Server, v16
from ocppj.testing import DROP, Raw, ScriptedCSMS, ScriptedStation
from ocppj.testing.simulation.station import SimulatedStation
from tests.helpers import FACTOR
from tests.testing.charge_point import ChargePoint
from tests.testing.surroundings import Surroundings, here  # noqa: F401

Boot = v16.BootNotificationRequest
Status = v16.StatusNotificationRequest
Start = v16.StartTransactionRequest
Stop = v16.StopTransactionRequest
Meter = v16.MeterValuesRequest
Beat = v16.HeartbeatRequest

THEN = datetime(2026, 1, 1, tzinfo=timezone.utc)
pending = v16.BootNotificationResponse(status="Pending", interval=1, current_time=THEN)
accepted = v16.BootNotificationResponse(status="Accepted", interval=300, current_time=THEN)
ok = v16.ChangeConfigurationResponse(status="Accepted")


def started(transaction_id: int) -> v16.StartTransactionResponse:
    return v16.StartTransactionResponse(v16.IdTagInfo("Accepted"), transaction_id)


started_7, started_8 = started(7), started(8)
Dut = Union[ChargePoint, SimulatedStation]


@pytest.fixture
def ocpp_csms(here: Surroundings) -> Iterator[ScriptedCSMS]:
    with ScriptedCSMS(**here._asdict(), timeout_factor=FACTOR) as csms:
        csms.reply(Start, started_7)
        yield csms


@pytest.fixture(params=["small", "simulated"])
def dut(request: pytest.FixtureRequest, ocpp_csms: ScriptedCSMS, here: Surroundings) -> Iterator[Dut]:
    """A small charge point, made for these tests, and a simulated station."""
    if request.param == "small":
        with ChargePoint(ocpp_csms.url, **here._asdict()) as charge_point:
            yield charge_point
    else:
        with SimulatedStation("CP_1", timeout=1.0, **here._asdict()) as station:
            # A moment later: first the test says what is replied.
            station.clock.call_later(0.3 * FACTOR, lambda: station.start(ocpp_csms.url), "power-on")
            yield station


def make_csms(here: Surroundings) -> Server:
    """Return a central system of this library, which listens not yet."""
    options: Any = {} if here.network is None else {"ws_server": here.network.server()}
    server = Server(profiles=v16.PROFILES, clock=here.clock, **options)

    @server.on(Boot)
    def boot(client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
        return accepted

    @server.after(Boot)
    def configure(client_id: str, request: v16.BootNotificationRequest) -> None:
        server.send_request(client_id, v16.ChangeConfigurationRequest("HeartbeatInterval", "60"))

    return server


@pytest.fixture
def my_csms(here: Surroundings) -> Iterator[Server]:
    with make_csms(here).listen(host="127.0.0.1") as server:
        yield server


@pytest.fixture
def ocpp_station(here: Surroundings) -> Iterator[Callable[[str], ScriptedStation]]:
    stations = []

    def make(url: str) -> ScriptedStation:
        stations.append(ScriptedStation(url, "CP_1", **here._asdict(), timeout_factor=FACTOR))
        return stations[-1]

    yield make
    for station in stations:
        with station:
            pass


def test_pending(ocpp_csms: ScriptedCSMS, dut: Any) -> None:
    ocpp_csms.reply(Boot, pending, accepted)
    first = ocpp_csms.expect(Boot, within=10)
    ocpp_csms.expect_nothing(during=0.9)
    assert ocpp_csms.expect(Boot, within=2).at - first.at == pytest.approx(1, abs=0.6)
    ocpp_csms.expect(Status, connector_id=0)


def test_order(ocpp_csms: ScriptedCSMS, dut: Dut) -> None:
    ocpp_csms.connected()
    ocpp_csms.expect(Status, within=10, connector_id=1)
    assert ocpp_csms.call(v16.RemoteStartTransactionRequest(id_tag="T", connector_id=1)).status == "Accepted"
    ocpp_csms.expect(Meter, within=5, transaction_id=7)
    ocpp_csms.call(v16.RemoteStopTransactionRequest(transaction_id=7))
    ocpp_csms.expect(Stop, reason="Remote")
    assert ocpp_csms.order(but=[Beat])[:3] == ["BootNotification", "StatusNotification", "StatusNotification"]


def test_error_reply(ocpp_csms: ScriptedCSMS, dut: Dut) -> None:
    ocpp_csms.reply(Start, OCPPError(ErrorCode.INTERNAL_ERROR, "busy"), started_8)
    ocpp_csms.expect(Status, within=10, connector_id=1)
    ocpp_csms.call(v16.RemoteStartTransactionRequest(id_tag="T", connector_id=1))
    ocpp_csms.expect(Start)
    ocpp_csms.expect(Start)
    ocpp_csms.expect(Meter, transaction_id=8)


def test_drop_instead_of_an_answer(ocpp_csms: ScriptedCSMS, dut: Dut) -> None:
    ocpp_csms.reply(Start, DROP, started_8)
    ocpp_csms.expect(Status, within=10, connector_id=1)
    ocpp_csms.call(v16.RemoteStartTransactionRequest(id_tag="T", connector_id=1))
    first = ocpp_csms.expect(Start)
    ocpp_csms.connected(within=15)
    assert ocpp_csms.expect(Start).message_id == first.message_id  # the charge point resends
    ocpp_csms.expect(Meter, transaction_id=8)


@pytest.mark.parametrize("garbage", ["not json", "[]", '[2,"1"]', '{"a":1}', "[9,9,9]"])
def test_garbage(ocpp_csms: ScriptedCSMS, dut: Dut, garbage: str) -> None:
    ocpp_csms.send_raw(garbage)
    assert ocpp_csms.call(v16.GetConfigurationRequest()).configuration_key


def test_refused(ocpp_csms: ScriptedCSMS, dut: Dut) -> None:
    ocpp_csms.refuse(503, retry_after=2)
    ocpp_csms.expect(Boot, within=15)


def test_wrong_id(ocpp_csms: ScriptedCSMS, dut: Dut) -> None:
    wrong = '[3,"somebody-else",{"status":"Accepted","interval":1,"currentTime":"2026-01-01T00:00:00Z"}]'
    ocpp_csms.reply(Boot, Raw(wrong), accepted)
    ocpp_csms.expect(Boot)
    ocpp_csms.expect_nothing(during=0.5)
    ocpp_csms.expect(Boot)
    ocpp_csms.expect(Status, connector_id=0)


def test_csms(my_csms: Server, ocpp_station: Callable[[str], ScriptedStation]) -> None:
    cp = ocpp_station(my_csms.url)
    cp.reply(v16.ChangeConfigurationRequest, ok)
    cp.call(Boot("Acme", "One"))
    cp.expect(v16.ChangeConfigurationRequest, key="HeartbeatInterval", value="60")
    cp.call_raw("BootNotification", {})
    cp.expect_error("BootNotification", "OccurenceConstraintViolation")
