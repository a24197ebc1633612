"""Simulated stations at a central system of the package ``ocpp`` (asyncio), over real sockets.

The package checks all that comes against the schemas, and answers what breaks them with an error. So a session is good
when no request of the station was answered with an error, and each of its answers has been taken.
"""

import itertools
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from importlib import import_module

import pytest

pytest.importorskip("ocpp")
pytest.importorskip("websockets")

import websockets
from ocpp.charge_point import camel_to_snake_case, snake_to_camel_case
from ocpp.routing import on

from ocppj.testing.examples import example
from ocppj.testing.simulation.station import SimulatedStation
from tests.helpers import eventually, seconds
from tests.interop.asyncio_side import Loop
from tests.testing.requests_of import requests_of_a_csms, requests_of_a_station

VERSIONS = ("1.6", "2.0.1", "2.1")
ACCEPTED = {"status": "Accepted"}


def now(**later):
    return (datetime.now(timezone.utc) + timedelta(**later)).isoformat().replace("+00:00", "Z")


def make_answer(version, action, transactions):
    """Return the fields of an answer to a request of a station."""
    if action == "BootNotification":
        return {"current_time": now(), "interval": 300, **ACCEPTED}
    if action == "Heartbeat":
        return {"current_time": now()}
    if action == "Authorize":
        return {"id_tag_info": ACCEPTED} if version == "1.6" else {"id_token_info": ACCEPTED}
    if action == "StartTransaction":
        return {"id_tag_info": ACCEPTED, "transaction_id": next(transactions)}
    return ACCEPTED if action in ("DataTransfer", "SignCertificate") else {}


class TheirStation:
    """One station, as their central system sees it. ``came`` has the requests of the station: action and fields."""

    def __init__(self, loop, version):
        self._loop = loop
        self._module = import_module(f"ocpp.v{version.replace('.', '')}")
        self.came, self.point = [], None
        self._transactions = itertools.count(7)
        self._kind = type("Point", (self._module.ChargePoint,), {})
        for feature in requests_of_a_station(version):
            if hasattr(self._module.call_result, feature.name):
                self._serve(version, feature.name)

    def _serve(self, version, action):
        async def handle(point, **fields):
            self.came.append((action, fields))
            return getattr(self._module.call_result, action)(**make_answer(version, action, self._transactions))

        handle.__name__ = f"on_{action}"
        setattr(self._kind, handle.__name__, on(action)(handle))

    async def serve(self, connection):
        self.point = self._kind("CP_1", connection, 10)
        try:
            await self.point.start()
        except websockets.ConnectionClosed:
            pass

    def call(self, action, **fields):
        """Call the station. Return the answer, which has been checked. Raises an exception for an error."""
        request = getattr(self._module.call, action)(**fields)
        return self._loop.run(self.point.call(request, suppress=False))

    def all(self, action, **fields):
        """Return the requests of that action, and those fields, so far."""
        return [
            came
            for name, came in list(self.came)
            if name == action and all(came.get(key) == value for key, value in fields.items())
        ]

    def expect(self, action, times=1, **fields):
        """Wait until such requests have come. Return the last."""
        return eventually(lambda: len(self.all(action, **fields)) >= times and self.all(action, **fields)[-1])


@contextmanager
def session(version, **options):
    """Yield a simulated station that has booted, and their side of it. Nothing may have failed at the end."""
    loop = Loop()
    theirs = TheirStation(loop, version)

    async def start():
        return await websockets.serve(theirs.serve, "127.0.0.1", 0, subprotocols=[f"ocpp{version}"])

    listening = loop.run(start())
    url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    station = SimulatedStation("CP_1", version, **{"speed": 600.0, **options})
    problems = []
    station.core.mailbox._failed = problems.append
    try:
        with station.start(url):
            theirs.expect("StatusNotification", times=3 if version == "1.6" else 2)
            yield station, theirs
            eventually(lambda: station.core.outbox.kept == 0 or station.transactions)
            failed = set(station.summary().failed) - {"ConnectionLost", "Stopped"}  # it may have been offline
            assert (failed, problems) == (set(), [])
    finally:

        async def stop():
            listening.close()
            await listening.wait_closed()

        loop.run(stop())
        loop.close()


@pytest.mark.parametrize("full", [False, True], ids=["minimal", "full"])
@pytest.mark.parametrize("version", VERSIONS)
def test_their_package_takes_every_answer(version, full):
    with session(version, speed=1.0) as (station, theirs):  # so slow that no update of the firmware ends
        for feature in requests_of_a_csms(version):
            if feature.name == "Reset" or not hasattr(theirs._module.call, feature.name):
                continue
            request = example(feature.request_type, full=full, now=station.core.time.now()).to_wire()
            fields = camel_to_snake_case(request)
            if snake_to_camel_case(fields) == request:  # else their names cannot say it: "limitAtSoC"
                assert theirs.call(feature.name, **fields) is not None


def test_a_day_in_1_6():
    with session("1.6") as (station, theirs):
        station.charge(1, "TAG", seconds=1200)
        theirs.expect("StartTransaction", connector_id=1, id_tag="TAG")
        theirs.expect("MeterValues", transaction_id=7)
        theirs.expect("StopTransaction", transaction_id=7, reason="Local")
        assert theirs.call("RemoteStartTransaction", id_tag="T", connector_id=2).status == "Accepted"
        theirs.expect("StartTransaction", connector_id=2, id_tag="T")
        theirs.expect("MeterValues", transaction_id=8)
        assert theirs.call("RemoteStopTransaction", transaction_id=8).status == "Accepted"
        theirs.expect("StopTransaction", transaction_id=8, reason="Remote")
        assert theirs.call("ChangeConfiguration", key="StopTxnSampledData", value="Voltage").status == "Accepted"
        assert theirs.call("GetConfiguration", key=["StopTxnSampledData"]).configuration_key[0]["value"] == "Voltage"
        profile = {
            "charging_profile_id": 1,
            "stack_level": 0,
            "charging_profile_purpose": "TxDefaultProfile",
            "charging_profile_kind": "Relative",
            "charging_schedule": {
                "charging_rate_unit": "W",
                "charging_schedule_period": [{"start_period": 0, "limit": 5000.0}],
            },
        }
        assert theirs.call("SetChargingProfile", connector_id=0, cs_charging_profiles=profile).status == "Accepted"
        schedule = theirs.call("GetCompositeSchedule", connector_id=1, duration=600).charging_schedule
        assert [float(each["limit"]) for each in schedule["charging_schedule_period"]] == [5000.0]
        theirs.call("UpdateFirmware", location="ftp://example.com/f", retrieve_date=now())
        theirs.expect("FirmwareStatusNotification", status="Installed")
        theirs.expect("BootNotification", firmware_version="2.0")
        theirs.call("GetDiagnostics", location="ftp://example.com")
        theirs.expect("DiagnosticsStatusNotification", status="Uploaded")
        assert theirs.call("Reset", type="Soft").status == "Accepted"
        theirs.expect("BootNotification", times=3)


def token(id):
    return {"id_token": id, "type": "ISO14443"}


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_a_day_in_2(version):
    with session(version) as (station, theirs):
        station.charge(1, "TAG", seconds=1200)
        started = theirs.expect("TransactionEvent", event_type="Started")
        theirs.expect("TransactionEvent", trigger_reason="MeterValuePeriodic")
        ended = theirs.expect("TransactionEvent", event_type="Ended")
        first, last = (each["transaction_info"]["transaction_id"] for each in (started, ended))
        assert first == last
        start = {"id_token": token("T"), "remote_start_id": 4, "evse_id": 2}
        assert theirs.call("RequestStartTransaction", **start).status == "Accepted"
        begun = theirs.expect("TransactionEvent", times=2, event_type="Started")["transaction_info"]
        assert begun["remote_start_id"] == 4
        assert theirs.call("RequestStopTransaction", transaction_id=begun["transaction_id"]).status == "Accepted"
        ended = theirs.expect("TransactionEvent", times=2, event_type="Ended")
        assert ended["transaction_info"]["stopped_reason"] == "Remote"
        assert theirs.call("GetBaseReport", request_id=1, report_base="FullInventory").status == "Accepted"
        theirs.expect("NotifyReport", request_id=1)
        interval = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
        result = theirs.call("SetVariables", set_variable_data=[{**interval, "attribute_value": "60"}])
        assert result.set_variable_result[0]["attribute_status"] == "Accepted"
        result = theirs.call("GetVariables", get_variable_data=[interval])
        assert result.get_variable_result[0]["attribute_value"] == "60"
        assert theirs.call("Reset", type="Immediate").status == "Accepted"
        theirs.expect("BootNotification", reason="RemoteReset")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_transaction_while_offline_is_told_afterwards(version):
    start = ("StartTransaction", {}) if version == "1.6" else ("TransactionEvent", {"event_type": "Started"})
    stop = ("StopTransaction", {}) if version == "1.6" else ("TransactionEvent", {"event_type": "Ended"})
    with session(version) as (station, theirs):
        station.charge(1, "TAG", seconds=60)  # the id is in the cache from now on
        theirs.expect(stop[0], **stop[1])
        station.go_offline(seconds(1))
        assert station.wait(lambda: not station.connected)
        station.charge(1, "TAG", seconds=300)
        theirs.expect(start[0], times=2, **start[1])
        theirs.expect(stop[0], times=2, **stop[1])
        assert len(theirs.all("BootNotification")) == 1
