"""Requests made from an action and JSON: typed, of the version of the connection, and checked strictly."""

from dataclasses import dataclass, field

import pytest

from ocppj import (
    Client,
    Feature,
    NotRunning,
    Profile,
    Server,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    v16,
    v21,
    v201,
)
from ocppj.payloads import Payload, wire
from ocppj.rpc.dialect import V16
from tests.helpers import eventually
from tests.peers import RawClient, RawServer, Sockets

ALL = [*v16.PROFILES, *v201.PROFILES, *v21.PROFILES]
VERSIONS = {"ocpp1.6": v16, "ocpp2.0.1": v201, "ocpp2.1": v21}
RESETS = {
    "ocpp1.6": ({"type": "Soft"}, v16.ResetRequest(type="Soft")),
    "ocpp2.0.1": ({"type": "OnIdle", "evseId": 1}, v201.ResetRequest(type="OnIdle", evse_id=1)),
    "ocpp2.1": ({"type": "ImmediateAndResume"}, v21.ResetRequest(type="ImmediateAndResume")),
}


@pytest.fixture
def server():
    with Server(profiles=ALL).listen(host="127.0.0.1") as server:
        yield server


@pytest.fixture(params=VERSIONS)
def subprotocol(request):
    return request.param


@pytest.fixture
def raw(server, subprotocol):
    with RawClient(Sockets(), server.url, "CP_1", [subprotocol]) as raw:
        eventually(lambda: server.client_ids() == ["CP_1"])
        yield raw


def test_a_request_is_of_the_version_of_the_connection_and_can_be_sent(server, raw, subprotocol):
    payload, typed = RESETS[subprotocol]
    request = server.make_request("CP_1", "Reset", payload)
    assert type(request) is type(typed)
    assert request == typed
    future = server.send_request("CP_1", request)
    _, message_id, action, sent = raw.receive()
    assert (action, sent) == ("Reset", payload)
    raw.send([3, message_id, {"status": "Accepted"}])
    assert future.result(10).status == "Accepted"


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"type": "Soft", "typ": "Soft"}, "typ"),
        ({"Type": "Soft"}, "Type"),
        ({}, "type"),
        ({"type": "Sort"}, "type"),
        ({"type": 5}, "type"),
        ([], ""),
        ("Soft", ""),
    ],
    ids=str,
)
def test_what_breaks_the_schema_is_an_error_that_names_its_path(server, raw, payload, path):
    with pytest.raises(ValidationError) as caught:
        server.make_request("CP_1", "Reset", payload)
    assert caught.value.path == path
    assert path in str(caught.value)


@pytest.mark.parametrize("mode", ["off", "warn", "standard", "strict"])
def test_a_nested_unknown_property_is_an_error_in_every_mode(mode):
    period = {"startPeriod": 0, "limit": 16.0, "phase": 3}
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [period]}
    profile = {"chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile"}
    profile = {**profile, "chargingProfileKind": "Relative", "chargingSchedule": schedule}
    server = Server(profiles=v16.PROFILES, validate=mode)
    payload = {"connectorId": 1, "csChargingProfiles": profile}
    with pytest.raises(ValidationError) as caught:
        server.make_request("CP_1", "SetChargingProfile", payload, version="1.6")
    assert caught.value.path == "csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0].phase"
    period["numberPhases"] = period.pop("phase")
    request = server.make_request("CP_1", "SetChargingProfile", payload, version="1.6")
    assert request.cs_charging_profiles.charging_schedule.charging_schedule_period[0].number_phases == 3


def test_an_empty_payload_may_be_left_out_and_a_send_can_be_made(server):
    assert server.make_request("CP_1", "ClearCache", version="2.1") == v21.ClearCacheRequest()
    sent = {"id": 1, "pending": 0, "basetime": "2026-01-01T00:00:00Z", "data": [{"t": 0, "v": "1"}]}
    made = server.make_request("CP_1", "NotifyPeriodicEventStream", sent, version="2.1")
    assert isinstance(made, v21.NotifyPeriodicEventStream)


@pytest.mark.parametrize(
    ("action", "version", "words"),
    [
        ("Rest", "1.6", "OCPP 1.6 has no action 'Rest'; is 'Reset' meant\\?"),
        ("ResetRequest", "2.0.1", "OCPP 2.0.1 has no action 'ResetRequest'; is 'Reset' meant\\?"),
        ("reset", "2.1", "OCPP 2.1 has no action 'reset'; is 'Reset' meant\\?"),
        ("TransactionEvent", "1.6", "OCPP 1.6 has no action 'TransactionEvent'"),
        (5, "1.6", "OCPP 1.6 has no action 5"),
        (None, "1.6", "OCPP 1.6 has no action None"),
    ],
)
def test_an_unknown_action_is_refused_with_the_nearest_one(server, action, version, words):
    with pytest.raises(UnsupportedFeature, match=words):
        server.make_request("CP_1", action, {}, version=version)


def test_an_action_without_its_profile_is_another_error():
    server = Server(profiles=[each for each in v16.PROFILES if each.name == "Core"])
    with pytest.raises(UnsupportedFeature, match=r"no profile of OCPP 1.6 has the action ReserveNow"):
        server.make_request("CP_1", "ReserveNow", {}, version="1.6")


def test_without_a_connection_the_version_must_be_given(server):
    with pytest.raises(UnknownClient):
        server.make_request("CP_9", "Reset", {"type": "Soft"})
    assert server.make_request("CP_9", "Reset", {"type": "Soft"}, version="1.6") == v16.ResetRequest(type="Soft")
    for version in ("1.5", "ocpp1.6", 1.6):
        with pytest.raises(UsageError, match="speaks OCPP 1.6, 2.0.1, 2.1, not"):
            server.make_request("CP_9", "Reset", {"type": "Soft"}, version=version)


def test_a_client_takes_the_version_of_its_connection_or_its_only_one(subprotocol):
    module = VERSIONS[subprotocol]
    assert Client("CP", profiles=module.PROFILES).make_request("Heartbeat") == module.HeartbeatRequest()
    with RawServer(Sockets(), [subprotocol]) as raw:
        client = Client("CP", profiles=ALL)
        with pytest.raises(NotRunning):
            client.make_request("Heartbeat")
        with client.connect(raw.url):
            request = client.make_request("DataTransfer", {"vendorId": "V", "data": "1"})
            assert request == module.DataTransferRequest(vendor_id="V", data="1")
            with pytest.raises(ValidationError, match="foo"):
                client.make_request("Heartbeat", {"foo": 1})


@dataclass
class Inner(Payload):
    x: int = field(metadata=wire("x"))


@dataclass
class OwnRequest(Payload):
    name: str = field(metadata=wire("name"))
    items: "list[Inner]" = field(default_factory=list, metadata=wire("items"))


@dataclass
class OwnResponse(Payload):
    """Nothing."""


@pytest.mark.parametrize("schema", [None, {"type": "object"}], ids=["no schema", "open schema"])
@pytest.mark.parametrize(
    ("payload", "path"),
    [({"name": "a", "nmae": "b"}, "nmae"), ({"name": "a", "items": [{"x": 1}, {"x": 2, "y": 3}]}, "items[1].y")],
    ids=["flat", "nested"],
)
def test_a_type_of_the_programs_own_loses_no_property_in_silence(schema, payload, path):
    server = Server(profiles=[Profile("Own", V16, Feature("Own", OwnRequest, OwnResponse, schema))])
    with pytest.raises(ValidationError, match="OwnRequest has no such property") as caught:
        server.make_request("CP_1", "Own", payload, version="1.6")
    assert caught.value.path == path
    made = server.make_request("CP_1", "Own", {"name": "a", "items": [{"x": 1}]}, version="1.6")
    assert made == OwnRequest("a", [Inner(1)])
