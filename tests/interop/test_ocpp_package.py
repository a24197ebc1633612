"""Against the published package ``ocpp`` (asyncio, on ``websockets``), over real sockets, both ways round."""

import asyncio
import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from decimal import Decimal

import pytest

pytest.importorskip("ocpp")
pytest.importorskip("websockets")

import websockets
from ocpp.exceptions import NotImplementedError as TheirNotImplemented
from ocpp.exceptions import PropertyConstraintViolationError
from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16 import datatypes as their_datatypes
from ocpp.v16 import enums as their_enums

from ocppj import Client, ErrorCode, OCPPError, Server, v16
from tests.helpers import Recorder, eventually, seconds
from tests.interop.asyncio_side import Loop

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


# Their charge point, our central system


class TheirChargePoint(ChargePoint):
    def __init__(self, *args):
        super().__init__(*args)
        self.seen = []
        self.after_seen = threading.Event()

    @on("RemoteStartTransaction")
    async def remote_start(self, id_tag, **kwargs):
        self.seen.append(("RemoteStartTransaction", id_tag, kwargs))
        return call_result.RemoteStartTransaction(status=their_enums.RemoteStartStopStatus.accepted)

    @on("SetChargingProfile")
    async def set_profile(self, connector_id, cs_charging_profiles):
        self.seen.append(("SetChargingProfile", connector_id, cs_charging_profiles))
        return call_result.SetChargingProfile(status=their_enums.ChargingProfileStatus.accepted)

    @on("TriggerMessage")
    async def trigger(self, requested_message, **kwargs):
        return call_result.TriggerMessage(status=their_enums.TriggerMessageStatus.accepted)

    @after("TriggerMessage")
    async def triggered(self, **kwargs):
        await self.call(call.Heartbeat())
        self.after_seen.set()

    @on("Reset")
    async def reset(self, type):
        raise PropertyConstraintViolationError(description="not now")


@contextmanager
def their_charge_point(loop, url, identity="CP_1"):
    async def connect():
        connection = await websockets.connect(f"{url}/{identity}", subprotocols=["ocpp1.6"])
        charge_point = TheirChargePoint(identity, connection, 10)
        return connection, charge_point, asyncio.ensure_future(charge_point.start())

    connection, charge_point, task = loop.run(connect())
    try:
        yield charge_point
    finally:

        async def close():
            await connection.close()
            task.cancel()

        loop.run(close())


@pytest.fixture
def server():
    with Server(profiles=v16.PROFILES, timeout=seconds(10)).listen(host="127.0.0.1") as server:
        yield server


def test_their_charge_point_boots_charges_and_stops(loop, server):
    seen = []

    @server.on(v16.BootNotificationRequest)
    def boot(client_id, request):
        seen.append(request)
        return v16.BootNotificationResponse(current_time=MOMENT, interval=300, status="Accepted")

    @server.on(v16.StartTransactionRequest)
    def start(client_id, request):
        seen.append(request)
        return v16.StartTransactionResponse(
            transaction_id=7, id_tag_info=v16.IdTagInfo(status=v16.AuthorizationStatus.ACCEPTED, expiry_date=MOMENT)
        )

    @server.on(v16.MeterValuesRequest)
    def meter(client_id, request):
        seen.append(request)
        return v16.MeterValuesResponse()

    @server.on(v16.StopTransactionRequest)
    def stop(client_id, request):
        seen.append(request)
        return v16.StopTransactionResponse()

    with their_charge_point(loop, server.url) as charge_point:
        answer = loop.run(
            charge_point.call(call.BootNotification(charge_point_model="Modèle ✓", charge_point_vendor="V"))
        )
        assert (answer.status, answer.interval) == ("Accepted", 300)
        assert answer.current_time == "2026-01-02T03:04:05.678Z"
        answer = loop.run(
            charge_point.call(
                call.StartTransaction(connector_id=1, id_tag="T", meter_start=0, timestamp=MOMENT.isoformat())
            )
        )
        assert answer.transaction_id == 7
        assert answer.id_tag_info["status"] == "Accepted"
        values = [
            their_datatypes.MeterValue(
                timestamp=MOMENT.isoformat(),
                sampled_value=[
                    their_datatypes.SampledValue(
                        value="1", measurand=their_enums.Measurand.energy_active_import_register
                    ),
                    their_datatypes.SampledValue(value="21.4", unit=their_enums.UnitOfMeasure.celsius),
                ],
            )
        ]
        loop.run(charge_point.call(call.MeterValues(connector_id=1, transaction_id=7, meter_value=values)))
        loop.run(
            charge_point.call(
                call.StopTransaction(meter_stop=9, timestamp=MOMENT.isoformat(), transaction_id=7, reason="Local")
            )
        )
    booted, started, metered, stopped = seen
    assert booted.charge_point_model == "Modèle ✓"
    assert started.timestamp == MOMENT
    assert metered.meter_value[0].sampled_value[0].measurand is v16.Measurand.ENERGY_ACTIVE_IMPORT_REGISTER
    assert stopped.reason is v16.Reason.LOCAL


def test_we_call_their_charge_point(loop, server):
    with their_charge_point(loop, server.url) as charge_point:
        eventually(lambda: "CP_1" in server.client_ids())
        answer = server.call("CP_1", v16.RemoteStartTransactionRequest(id_tag="T", connector_id=2))
        assert answer == v16.RemoteStartTransactionResponse(status=v16.RemoteStartStopStatus.ACCEPTED)
        profile = v16.ChargingProfile(
            charging_profile_id=1,
            stack_level=0,
            charging_profile_purpose="TxProfile",
            charging_profile_kind="Absolute",
            charging_schedule=v16.ChargingSchedule(
                charging_rate_unit="A",
                charging_schedule_period=[v16.ChargingSchedulePeriod(start_period=0, limit=21.4)],
            ),
        )
        server.call("CP_1", v16.SetChargingProfileRequest(connector_id=1, cs_charging_profiles=profile))
        assert charge_point.seen[0][1] == "T"
        assert charge_point.seen[1][2]["charging_schedule"]["charging_schedule_period"][0]["limit"] == Decimal("21.4")


def test_their_errors_reach_us(loop, server):
    with their_charge_point(loop, server.url):
        eventually(lambda: "CP_1" in server.client_ids())
        with pytest.raises(OCPPError) as caught:
            server.call("CP_1", v16.ResetRequest(type="Soft"))
        assert caught.value.code is ErrorCode.PROPERTY_CONSTRAINT_VIOLATION
        with pytest.raises(OCPPError) as caught:
            server.call("CP_1", v16.ClearCacheRequest())
        assert caught.value.code in (ErrorCode.NOT_IMPLEMENTED, ErrorCode.NOT_SUPPORTED)


def test_our_errors_reach_them(loop, server):
    @server.on(v16.AuthorizeRequest)
    def authorize(client_id, request):
        raise OCPPError(ErrorCode.SECURITY_ERROR, "no", {"why": "because"})

    with their_charge_point(loop, server.url) as charge_point:
        request = call.Authorize(id_tag="T")
        with pytest.raises(Exception, match="SecurityError|no") as caught:
            loop.run(charge_point.call(request, suppress=False))
        assert caught.value.details == {"why": "because"}
        with pytest.raises(Exception) as caught:
            loop.run(charge_point.call(call.Heartbeat(), suppress=False))
        assert type(caught.value).__name__ == "NotSupportedError"


def test_they_call_back_while_we_wait(loop, server):
    """Our call triggers one of theirs: it is served while and after ours is answered."""

    @server.on(v16.HeartbeatRequest)
    def heartbeat(client_id, request):
        server.call(client_id, v16.RemoteStartTransactionRequest(id_tag="nested"))
        return v16.HeartbeatResponse(current_time=MOMENT)

    with their_charge_point(loop, server.url) as charge_point:
        eventually(lambda: "CP_1" in server.client_ids())
        server.call("CP_1", v16.TriggerMessageRequest(requested_message="Heartbeat"))
        assert charge_point.after_seen.wait(seconds(10))
        assert charge_point.seen == [("RemoteStartTransaction", "nested", {})]


# Our charge point, their central system


class TheirCentralSystem(ChargePoint):
    """On the central system's side the package has the same class."""

    @on("BootNotification")
    async def boot(self, charge_point_vendor, charge_point_model, **kwargs):
        return call_result.BootNotification(
            current_time="2026-01-02T03:04:05.678Z", interval=10, status=their_enums.RegistrationStatus.accepted
        )

    @on("Authorize")
    async def authorize(self, id_tag):
        raise TheirNotImplemented(description="later")

    @on("DataTransfer")
    async def transfer(self, vendor_id, **kwargs):
        return call_result.DataTransfer(status="Accepted")

    @after("DataTransfer")
    async def transferred(self, vendor_id, **kwargs):
        await self.call(call.ChangeAvailability(connector_id=1, type="Operative"))


@pytest.fixture
def central_system(loop):
    stations = {}

    async def serve(connection):
        station = TheirCentralSystem(connection.request.path.strip("/").split("/")[-1], connection, 10)
        stations[station.id] = station
        try:
            await station.start()
        except websockets.ConnectionClosed:
            pass

    async def start():
        return await websockets.serve(serve, "127.0.0.1", 0, subprotocols=["ocpp1.6"])

    listening = loop.run(start())
    url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/ocpp"
    yield url, stations

    async def stop():
        listening.close()
        await listening.wait_closed()

    loop.run(stop())


def test_we_boot_at_their_central_system(central_system):
    url, stations = central_system
    with Client("RDAM|1", profiles=v16.PROFILES, timeout=seconds(10)).connect(url) as client:
        answer = client.call(v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M"))
        assert answer == v16.BootNotificationResponse(current_time=MOMENT, interval=10, status="Accepted")
        assert answer.status is v16.RegistrationStatus.ACCEPTED
        assert list(stations) == ["RDAM%7C1"]
        with pytest.raises(OCPPError) as caught:
            client.call(v16.AuthorizeRequest(id_tag="T"))
        assert (caught.value.code, caught.value.description) == (ErrorCode.NOT_IMPLEMENTED, "later")


def test_their_central_system_calls_us(loop, central_system):
    url, stations = central_system
    client = Client("CP_1", profiles=v16.PROFILES, timeout=seconds(10))
    unlocks = Recorder(v16.UnlockConnectorResponse(status="Unlocked"))
    client.on(v16.UnlockConnectorRequest)(unlocks)
    with client.connect(url):
        station = eventually(lambda: stations.get("CP_1"))
        answer = loop.run(station.call(call.UnlockConnector(connector_id=3)))
        assert answer.status == "Unlocked"
        assert unlocks.calls == [(v16.UnlockConnectorRequest(connector_id=3),)]
        with pytest.raises(Exception) as caught:
            loop.run(station.call(call.ClearCache(), suppress=False))
        assert type(caught.value).__name__ == "NotSupportedError"


def test_their_central_system_calls_us_after_our_call(central_system):
    url, _ = central_system
    client = Client("CP_1", profiles=v16.PROFILES, timeout=seconds(10))
    changes = Recorder(v16.ChangeAvailabilityResponse(status="Scheduled"))
    client.on(v16.ChangeAvailabilityRequest)(changes)
    with client.connect(url):
        assert client.call(v16.DataTransferRequest(vendor_id="V")).status is v16.DataTransferStatus.ACCEPTED
        assert changes.wait() == [(v16.ChangeAvailabilityRequest(connector_id=1, type="Operative"),)]
