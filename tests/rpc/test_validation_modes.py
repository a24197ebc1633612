"""`Validation`: the modes, and what each does with a payload that breaks its schema."""

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Dict, List, Optional, Union

import pytest

from ocppj import (
    Client,
    EncodingError,
    Endpoint,
    ErrorCode,
    MessageError,
    OCPPError,
    Payload,
    PendingRequestState,
    Server,
    UsageError,
    Validation,
    ValidationError,
    set_message_validation,
    v16,
    wire,
)
from ocppj.payloads.lenient import decode_leniently
from ocppj.ws.memory import MemoryNetwork
from tests.helpers import Recorder

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
METER = {"connectorId": 1, "meterValue": [{"timestamp": "2026-01-02T03:04:05", "sampledValue": [{"value": "1"}]}]}
LONG = v16.BootNotificationRequest(charge_point_vendor="V" * 21, charge_point_model="M")


def read(endpoint: Endpoint, action: str, payload, **options):
    return endpoint.parse_message([2, "1", action, payload], PendingRequestState(), **options).payload


# The setting


@pytest.mark.parametrize("incoming", [True, False])
def test_standard_is_the_default(incoming):
    assert Validation().mode("Heartbeat", incoming) == "standard"


def test_an_endpoint_refuses_what_breaks_its_schema_by_default():
    endpoint = Endpoint(v16.PROFILES)
    with pytest.raises(MessageError, match="'x' is not allowed"):
        read(endpoint, "Heartbeat", {"x": 1})
    with pytest.raises(ValidationError, match="at most 20 characters"):
        endpoint.create_call(LONG)
    with pytest.raises(ValidationError, match="must be string"):
        endpoint.create_call_result(v16.HeartbeatResponse(current_time=7), "1")


@pytest.mark.parametrize(
    ("setting", "incoming", "outgoing"),
    [
        (True, "strict", "strict"),
        (False, "off", "off"),
        ("strict", "strict", "strict"),
        ("warn", "warn", "warn"),
        ("off", "off", "off"),
        ("standard", "standard", "standard"),
        (Validation(incoming="warn"), "warn", "standard"),
        (Validation(outgoing="off"), "standard", "off"),
    ],
)
def test_each_form_of_a_setting(setting, incoming, outgoing):
    validation = Validation.of(setting)
    assert (validation.mode("Reset", True), validation.mode("Reset", False)) == (incoming, outgoing)


def test_an_action_has_a_mode_for_both_directions_or_for_each():
    validation = Validation("strict", "warn", {"MeterValues": "off", "Reset": Validation(incoming="warn")})
    assert [validation.mode("MeterValues", way) for way in (True, False)] == ["off", "off"]
    assert [validation.mode("Reset", way) for way in (True, False)] == ["warn", "standard"]
    assert [validation.mode("Heartbeat", way) for way in (True, False)] == ["strict", "warn"]


@pytest.mark.parametrize("bad", ["lax", "", "Strict", None, 1, ["warn"], object])
@pytest.mark.parametrize(
    "build",
    [
        lambda mode: Validation(incoming=mode),
        lambda mode: Validation(outgoing=mode),
        lambda mode: Validation(actions={"Reset": mode}),
        Validation.of,
        set_message_validation,
        lambda mode: Endpoint().set_message_validation(mode or ""),
        lambda mode: Endpoint(validate=mode or ""),
        lambda mode: Client("CP_1", validate=mode or ""),
        lambda mode: Server(validate=mode or ""),
    ],
)
def test_the_error_of_an_unknown_mode_names_it(build, bad):
    with pytest.raises(UsageError, match="'standard'(, | or )'strict'(, | or )'warn'(, | or )'off'.*, not ") as caught:
        build(bad)
    assert repr(bad or "") in str(caught.value) or repr(bad) in str(caught.value)


def test_actions_are_a_mapping_of_depth_one():
    with pytest.raises(UsageError, match="no list"):
        Validation(actions=["Reset"])
    with pytest.raises(UsageError, match=r"actions\['Reset'\] is of one action"):
        Validation(actions={"Reset": Validation(actions={"Reset": "off"})})


def test_it_cannot_be_changed_from_outside():
    actions = {"Reset": "off"}
    validation = Validation(actions=actions)
    actions["Reset"] = "strict"
    assert validation.mode("Reset", True) == "off"
    assert validation == Validation(actions={"Reset": "off"}) != Validation()
    assert len({validation, Validation(actions={"Reset": "off"})}) == 1
    with pytest.raises(AttributeError):
        validation.incoming = "off"


# Received payloads


@pytest.mark.parametrize("setting", ["warn", "off", False, Validation(incoming="warn"), Validation(incoming="off")])
def test_a_received_payload_is_decoded_as_far_as_possible(setting):
    endpoint = Endpoint(v16.PROFILES, validate=setting)
    values = read(endpoint, "MeterValues", {**METER, "transactionId": "seven", "foo": 1})
    assert values.meter_value[0].timestamp == AT
    assert (values.connector_id, values.transaction_id, values.extra) == (1, "seven", {"foo": 1})
    assert read(endpoint, "MeterValues", {}) == v16.MeterValuesRequest(None, None)
    pending = PendingRequestState()
    pending.add("1", v16.HeartbeatRequest())
    answer = endpoint.parse_message([3, "1", {"currentTime": "soon"}], pending).payload
    assert (answer, answer.extra) == (v16.HeartbeatResponse(None), {"currentTime": "soon"})


@pytest.mark.parametrize(
    "setting", [True, "strict", Validation("strict", "off"), Validation("strict", actions={"X": "off"})]
)
def test_strict_refuses_a_date_time_without_a_zone(setting):
    with pytest.raises(MessageError, match="with a zone") as caught:
        read(Endpoint(v16.PROFILES, validate=setting), "MeterValues", METER)
    assert caught.value.code is ErrorCode.TYPE_CONSTRAINT_VIOLATION


@pytest.mark.parametrize("mode", ["strict", "warn", "off"])
@pytest.mark.parametrize("payload", [[], "x", 7, [{}]])
def test_a_payload_that_is_no_object_is_refused_in_every_mode(mode, payload):
    with pytest.raises(MessageError) as caught:
        read(Endpoint(v16.PROFILES, validate=mode), "Reset", payload)
    assert caught.value.code is ErrorCode.FORMAT_VIOLATION


def test_one_action_may_have_another_mode():
    endpoint = Endpoint(v16.PROFILES, validate=Validation(actions={"MeterValues": Validation(incoming="warn")}))
    assert read(endpoint, "MeterValues", METER).meter_value[0].timestamp == AT
    with pytest.raises(MessageError):
        read(endpoint, "Reset", {})
    with pytest.raises(ValidationError):
        endpoint.create_call(v16.MeterValuesRequest(connector_id="1", meter_value=[]))


def test_warn_logs_the_client_the_action_and_the_path(caplog):
    endpoint = Endpoint(v16.PROFILES, validate="warn")
    with caplog.at_level(logging.DEBUG, "ocppj"):
        read(endpoint, "MeterValues", METER, client_id="CP_7")
        read(endpoint, "Reset", {"type": "Soft"}, client_id="CP_7")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    for part in ("CP_7", "request of MeterValues", "meterValue[0].timestamp", "TypeConstraintViolation"):
        assert part in message


def test_off_is_silent(caplog):
    with caplog.at_level(logging.DEBUG, "ocppj"):
        read(Endpoint(v16.PROFILES, validate="off"), "MeterValues", {**METER, "foo": 1})
    assert not caplog.records


def test_a_long_name_is_cut_in_the_log(caplog):
    with caplog.at_level(logging.WARNING, "ocppj"):
        read(Endpoint(v16.PROFILES, validate="warn"), "Reset", {"type": "Soft", "\n" + "x" * 10_000: 1})
    assert len(caplog.records[0].getMessage()) < 800
    assert "\n" not in caplog.records[0].getMessage()


# Sent payloads


def test_warn_sends_and_logs_and_off_only_sends(caplog):
    with pytest.raises(ValidationError):
        Endpoint(v16.PROFILES, validate=Validation(incoming="off")).create_call(LONG)
    with caplog.at_level(logging.DEBUG, "ocppj"):
        call = Endpoint(v16.PROFILES, validate=Validation(outgoing="off")).create_call(LONG)
        assert not caplog.records
        again = Endpoint(v16.PROFILES, validate=Validation(outgoing="warn")).create_call(LONG, client_id="CP_7")
    assert json.loads(call.to_json())[3] == json.loads(again.to_json())[3] == LONG.to_wire()
    message = caplog.records[0].getMessage()
    for part in ("CP_7", "sent", "request of BootNotification", "chargePointVendor", "PropertyConstraintViolation"):
        assert part in message


@pytest.mark.parametrize("mode", ["strict", "warn", "off"])
def test_a_date_without_a_zone_is_never_sent(mode):
    naive = v16.HeartbeatResponse(datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(EncodingError, match="zone"):
        Endpoint(v16.PROFILES, validate=mode).create_call_result(naive, "1")


# Both sides of a connection


@pytest.fixture
def pair():
    started = []

    def make(server_validates, client_validates):
        network = MemoryNetwork()
        server = Server(profiles=v16.PROFILES, ws_server=network.server(), validate=server_validates)
        client = Client("CP_1", profiles=v16.PROFILES, ws_client=network.client(), validate=client_validates)
        started.extend([client, server])
        server.listen()
        return server, client.connect(server.url)

    yield make
    for each in started:
        each.stop()


def test_a_server_in_mode_warn_handles_an_invalid_request(pair, caplog):
    lax = Validation(actions={"BootNotification": "off"})
    server, client = pair("warn", lax)
    seen = Recorder(v16.BootNotificationResponse(current_time=AT, interval=1, status="Accepted"))
    server.on(v16.BootNotificationRequest)(seen)
    with caplog.at_level(logging.WARNING, "ocppj"):
        assert client.call(LONG).status == "Accepted"
    assert seen.calls[0][1] == LONG
    (record,) = caplog.records
    assert record.getMessage().startswith("CP_1: received an invalid request of BootNotification")
    strict_server, other = pair("strict", lax)
    strict_server.on(v16.BootNotificationRequest)(seen)
    with pytest.raises(OCPPError, match="chargePointVendor") as caught:
        other.call(LONG)
    assert caught.value.code is ErrorCode.PROPERTY_CONSTRAINT_VIOLATION


def test_a_client_in_mode_warn_accepts_an_invalid_response(pair, caplog):
    server, client = pair(Validation(outgoing="warn"), "warn")
    server.on(v16.HeartbeatRequest)(lambda client_id, request: v16.HeartbeatResponse(current_time="soon"))
    with caplog.at_level(logging.WARNING, "ocppj"):
        answer = client.call(v16.HeartbeatRequest())
    assert (answer.current_time, answer.extra) == (None, {"currentTime": "soon"})
    messages = [record.getMessage() for record in caplog.records if " went on" in record.getMessage()]
    assert [message.split(" and went on")[0] for message in messages] == [
        "CP_1: sent an invalid response of Heartbeat,",
        "CP_1: received an invalid response of Heartbeat,",
    ]


# Integers given as 1.0


@pytest.mark.parametrize("mode", ["strict", "warn", "off"])
@pytest.mark.parametrize(
    ("action", "payload", "attribute"),
    [
        ("UnlockConnector", {"connectorId": 1.0}, "connector_id"),  # its schema is draft-04, where 1.0 is no integer
        ("GetLog", {"logType": "SecurityLog", "requestId": 1.0, "log": {"remoteLocation": "x"}}, "request_id"),
    ],
)
def test_1_point_0_is_decoded_as_an_integer(mode, action, payload, attribute):
    value = getattr(read(Endpoint(v16.PROFILES, validate=mode), action, payload), attribute)
    assert (value, type(value)) == (1, int)


@pytest.mark.parametrize("value", [1.5, "1", True, 1e-9])
def test_1_point_5_is_no_integer(value):
    with pytest.raises(MessageError, match="must be integer") as caught:
        read(Endpoint(v16.PROFILES), "UnlockConnector", {"connectorId": value})
    assert caught.value.code is ErrorCode.TYPE_CONSTRAINT_VIOLATION
    kept = read(Endpoint(v16.PROFILES, validate="off"), "UnlockConnector", {"connectorId": value}).connector_id
    assert (kept, type(kept)) == ((1, int) if value == "1" else (value, type(value)))


@dataclass
class Numbers(Payload):
    whole: List[int] = field(default_factory=list, metadata=wire("whole"))
    either: Union[int, float, None] = field(default=None, metadata=wire("either"))
    dated: Union[int, datetime, None] = field(default=None, metadata=wire("dated"))


def test_a_number_that_may_be_a_float_stays_one():
    numbers = Numbers.from_wire({"whole": [1.0, 2, 3.5], "either": 1.0, "dated": "2026-01-02T03:04:05Z"})
    assert [type(each) for each in (*numbers.whole, numbers.either)] == [int, int, float, float]
    assert numbers.dated == AT


# decode_leniently


@dataclass(frozen=True)
class Inner(Payload):
    at: datetime = field(metadata=wire("at"))
    name: Optional[str] = field(default=None, metadata=wire("name"))


@dataclass
class Outer(Payload):
    first: Inner = field(metadata=wire("first"))
    many: List[Inner] = field(metadata=wire("many"))
    times: Optional[List[datetime]] = field(default=None, metadata=wire("times"))
    extras: Dict[str, int] = field(default_factory=lambda: {"a": 1}, metadata=wire("extras"))


ZONED = "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, Outer(None, None)),
        ({"first": None, "many": []}, Outer(None, [])),
        ({"first": {}, "many": [{}, {"at": ZONED}]}, Outer(Inner(None), [Inner(None), Inner(AT)])),
        ({"first": {"at": ZONED[:-1]}, "many": {}}, Outer(Inner(AT), [Inner(None)])),
        ({"first": {"at": 7, "name": []}, "many": "abc"}, Outer(Inner(None, []), "abc")),
        ({"first": [1], "many": [1, None, {"at": "x"}]}, Outer([1], [1, None, Inner(None)])),
        ({"first": "x", "many": [], "times": [ZONED[:-1], "x", ZONED]}, Outer("x", [], [AT, "x", AT])),
        ({"first": None, "many": [], "extras": 5, "unknown": 1}, Outer(None, [], None, 5)),
    ],
)
def test_decode_leniently(data, expected):
    before = json.dumps(data)
    assert decode_leniently(Outer, data) == expected
    assert json.dumps(data) == before


def test_many_date_times_that_cannot_be_read_are_one_log_line(caplog):
    meter = {"timestamp": "soon", "sampledValue": [{"value": "1"}]}
    request = read(Endpoint(v16.PROFILES, validate="off"), "MeterValues", {"connectorId": 1, "meterValue": [meter] * 9})
    assert [each.timestamp for each in request.meter_value] == [None] * 9
    (record,) = caplog.records
    assert "MeterValue.timestamp cannot be read" in record.getMessage()
    assert "'soon'; 8 more cannot be read either" in record.getMessage()
