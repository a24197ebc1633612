"""Payloads that are almost valid, as real peers send them: what each mode makes of them, over real sockets."""

import logging
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from numbers import Real

import pytest

from ocppj import (
    Client,
    EncodingError,
    ErrorCode,
    InvalidResponse,
    OCPPError,
    Server,
    UsageError,
    Validation,
    ValidationError,
    v16,
    v21,
    v201,
)
from ocppj.durable import SQLiteQueueMap
from tests.fixtures import VERSIONS, boot_of
from tests.helpers import Recorder, seconds
from tests.peers import RawClient, RawServer, Sockets

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
each_version = pytest.mark.parametrize("version", VERSIONS)
LENIENT = ["warn", "off"]
FORGIVING = ["standard", "warn", "off"]


@pytest.fixture
def stop():
    todo = []
    yield todo.append
    while todo:
        todo.pop()()


@pytest.fixture
def station(stop):
    """Make a server, and a peer of it that speaks text. Returns both."""

    def make(version="1.6", identity="CP_1", server=None, **options):
        if server is None:
            options.setdefault("timeout", seconds(10))
            server = Server(profiles=VERSIONS[version].PROFILES, **options)
            stop(server.stop)
            server.listen(port=0, host="127.0.0.1")
        peer = RawClient(Sockets(), server.url, identity, [f"ocpp{version}"])
        stop(peer.stop)
        return server, peer

    return make


@pytest.fixture
def central(stop):
    """Make a client, and a central system that speaks text. Returns both."""

    def make(version="1.6", **options):
        peer = RawServer(Sockets(), [f"ocpp{version}"])
        stop(peer.stop)
        options.setdefault("timeout", seconds(10))
        client = Client("CP_1", profiles=VERSIONS[version].PROFILES, **options)
        stop(client.stop)
        client.connect(peer.url)
        peer.wait_connected()
        return client, peer

    return make


def handle(server, request_type, response):
    seen = Recorder(response)
    server.on(request_type)(lambda client_id, request: seen(request))
    return seen


def status(version, **more):
    """Return the handler's type, a response, and the payload of a StatusNotification."""
    module = VERSIONS[version]
    if version == "1.6":
        wire = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
    else:
        wire = {"timestamp": "2026-01-02T03:04:05Z", "connectorStatus": "Available", "evseId": 1, "connectorId": 1}
    return module.StatusNotificationRequest, module.StatusNotificationResponse(), {**wire, **more}


def warnings(caplog, text=""):
    lines = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    return [line for line in lines if text in line]


# Date-times

FORMS = [
    ("2026-01-02T05:04:05+02", 0),
    ("2026-01-02T05:04:05+0200", 0),
    ("2026-01-01T23:34:05.5-0330", 500_000),
    ("2026-01-02 03:04:05Z", 0),
    ("2026-01-02 03:04:05", 0),
    ("2026-01-02T03:04:05", 0),
    ("2026-01-02T03:04:05.123", 123_000),
    ("2026-01-02T03:04:05,5Z", 500_000),
    ("20260102T030405Z", 0),
    ("20260102T030405.25+0000", 250_000),
]


@each_version
@pytest.mark.parametrize("mode", FORGIVING)
def test_other_forms_of_date_times_are_read(station, version, mode):
    server, peer = station(version, validate=mode)
    request_type, response, _ = status(version)
    seen = handle(server, request_type, response)
    for number, (text, microsecond) in enumerate([*FORMS, ("2026-01-02T03:04Z", 0)]):
        _, _, wire = status(version, timestamp=text)
        assert peer.ask([2, str(number), "StatusNotification", wire]) == [3, str(number), {}]
        at = AT.replace(microsecond=microsecond) if text != "2026-01-02T03:04Z" else AT.replace(second=0)
        assert seen.calls[-1][0].timestamp == at, text


@each_version
@pytest.mark.parametrize("text", [form for form, _ in FORMS])
def test_strict_refuses_other_forms(station, version, text):
    server, peer = station(version, validate="strict")
    request_type, response, wire = status(version, timestamp=text)
    handle(server, request_type, response)
    assert peer.ask([2, "1", "StatusNotification", wire])[:3] == [4, "1", "TypeConstraintViolation"]


@each_version
@pytest.mark.parametrize("text", ["yesterday", "2026-01-02", "2026-13-02T03:04:05", "2026-01-02T03:04:05+2", ""])
def test_standard_refuses_what_is_no_date_time(station, version, text):
    server, peer = station(version)
    request_type, response, wire = status(version, timestamp=text)
    handle(server, request_type, response)
    assert peer.ask([2, "1", "StatusNotification", wire])[:3] == [4, "1", "TypeConstraintViolation"]


@each_version
@pytest.mark.parametrize("mode", LENIENT)
@pytest.mark.parametrize("value", ["yesterday", "0000-00-00T00:00:00Z", 1767323045, ""])
def test_an_unreadable_date_time_is_none_in_the_lenient_modes_and_kept(station, version, mode, value, caplog):
    server, peer = station(version, validate=mode)
    request_type, response, wire = status(version, timestamp=value)
    seen = handle(server, request_type, response)
    assert peer.ask([2, "1", "StatusNotification", wire]) == [3, "1", {}]
    request = seen.calls[0][0]
    assert (request.timestamp, request.extra) == (None, {"timestamp": value})
    assert request.to_wire()["timestamp"] == value
    assert len(warnings(caplog, "StatusNotificationRequest.timestamp cannot be read")) == 1


@each_version
@pytest.mark.parametrize("text", ["2026-01-02T03:04:05", "2026-01-02T03:04:05.123456", "2026-01-02 03:04:05+00"])
def test_a_client_boots_at_a_central_system_without_zones(central, version, text):
    client, peer = central(version)
    wire = {"currentTime": text, "interval": 300, "status": "Accepted"}
    if version != "1.6":
        wire["statusInfo"] = None  # as the example of ocpp-go sends it
    future = client.send_request(boot_of(VERSIONS[version]))
    peer.send([3, peer.receive()[1], wire])
    answer = future.result(seconds(10))
    assert (answer.status, answer.current_time.replace(microsecond=0)) == ("Accepted", AT)


# null, empty lists, numbers


@pytest.mark.parametrize("mode", FORGIVING)
@pytest.mark.parametrize(
    ("version", "action", "wire", "attribute"),
    [
        ("1.6", "StatusNotification", {**status("1.6")[2], "info": None}, "info"),
        ("1.6", "StatusNotification", {**status("1.6")[2], "timestamp": None, "vendorId": None}, "timestamp"),
        ("2.0.1", "Authorize", {"idToken": {"idToken": "A", "type": "Central"}, "certificate": None}, "certificate"),
        ("2.0.1", "StatusNotification", {**status("2.0.1")[2], "customData": None}, "custom_data"),
        ("2.1", "StatusNotification", {**status("2.1")[2], "customData": None}, "custom_data"),
        ("2.1", "Authorize", {"idToken": {"idToken": "A", "type": "Central"}, "certificate": None}, "certificate"),
    ],
)
def test_null_for_an_optional_property_is_read(station, version, mode, action, wire, attribute):
    server, peer = station(version, validate=mode)
    module = VERSIONS[version]
    if action == "Authorize":
        info = module.IdTokenInfo(status="Accepted")
        response = module.AuthorizeResponse(id_token_info=info)
    else:
        response = module.StatusNotificationResponse()
    seen = handle(server, getattr(module, action + "Request"), response)
    assert peer.ask([2, "1", action, wire])[0] == 3
    assert getattr(seen.calls[0][0], attribute) is None


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
@pytest.mark.parametrize("name", ["iso15118CertificateHashData"])
def test_an_empty_list_for_an_optional_property_is_read(station, version, name):
    module = VERSIONS[version]
    for mode, kind in ("standard", 3), ("strict", 4):
        server, peer = station(version, validate=mode)
        response = module.AuthorizeResponse(id_token_info=module.IdTokenInfo(status="Accepted"))
        seen = handle(server, module.AuthorizeRequest, response)
        wire = {"idToken": {"idToken": "A", "type": "Central", "additionalInfo": []}, name: []}
        assert peer.ask([2, "1", "Authorize", wire])[0] == kind
        if kind == 3:
            request = seen.calls[0][0]
            assert (request.iso15118_certificate_hash_data, request.id_token.additional_info) == (None, None)


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        ({"connectorId": None, "errorCode": "NoError", "status": "Available"}, "TypeConstraintViolation"),
        ({"connectorId": 1, "errorCode": "NoError", "status": "Available", "x": None}, "FormationViolation"),
        ({"connectorId": 1, "errorCode": None, "status": "Available"}, "TypeConstraintViolation"),
        ({"connectorId": 1, "errorCode": "NoError", "info": None}, "OccurenceConstraintViolation"),
        ({"connectorId": "1", "errorCode": "NoError", "status": "Available"}, "TypeConstraintViolation"),
        ({"connectorId": 1, "errorCode": "NoError", "status": "Broken", "info": None}, "PropertyConstraintViolation"),
    ],
)
def test_standard_forgives_nothing_else(station, wire, code):
    server, peer = station()
    handle(server, v16.StatusNotificationRequest, v16.StatusNotificationResponse())
    assert peer.ask([2, "1", "StatusNotification", wire])[2] == code


def profile(limit):
    period = {"startPeriod": 0, "limit": limit}
    schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": [period]}
    chosen = {"chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile"}
    return {
        "connectorId": 1,
        "csChargingProfiles": {**chosen, "chargingProfileKind": "Absolute", "chargingSchedule": schedule},
    }


@pytest.mark.parametrize(
    ("limit", "read"),
    [(1600.099976, 1600.1), (16.000001, 16.0), (0.30000001192092896, 0.3), (7359.89990234375, 7359.9), (21.4, 21.4)],
)
def test_a_number_a_little_off_its_step_is_read_as_the_step(central, limit, read):
    client, peer = central()
    seen = Recorder(v16.SetChargingProfileResponse(status="Accepted"))
    client.on(v16.SetChargingProfileRequest)(seen)
    assert peer.ask([2, "1", "SetChargingProfile", profile(limit)]) == [3, "1", {"status": "Accepted"}]
    (period,) = seen.calls[0][0].cs_charging_profiles.charging_schedule.charging_schedule_period
    assert period.limit == read


@pytest.mark.parametrize("limit", [16.01, 0.05, 1600.15, 1e-9])
@pytest.mark.parametrize("mode", ["standard", "strict"])
def test_a_number_far_off_its_step_is_refused(central, limit, mode):
    client, peer = central(validate=mode)
    client.on(v16.SetChargingProfileRequest)(lambda request: v16.SetChargingProfileResponse(status="Accepted"))
    assert peer.ask([2, "1", "SetChargingProfile", profile(limit)])[2] == "PropertyConstraintViolation"


def test_strict_refuses_a_number_a_little_off(central):
    client, peer = central(validate="strict")
    client.on(v16.SetChargingProfileRequest)(lambda request: v16.SetChargingProfileResponse(status="Accepted"))
    assert peer.ask([2, "1", "SetChargingProfile", profile(1600.099976)])[2] == "PropertyConstraintViolation"


def test_each_peer_is_warned_of_once_for_each_kind(station, caplog):
    server, first = station()
    _, second = station(server=server, identity="CP_2")
    handle(server, v16.StatusNotificationRequest, v16.StatusNotificationResponse())
    for peer in (first, second):
        for number in range(3):
            _, _, wire = status("1.6", timestamp="2026-01-02T03:04:05", info=None)
            assert peer.ask([2, str(number), "StatusNotification", wire])[0] == 3
    for name in ("CP_1", "CP_2"):
        assert len(warnings(caplog, f"{name}: a date-time that is not RFC 3339")) == 1
        assert len(warnings(caplog, f"{name}: null for an optional property")) == 1
    assert len(warnings(caplog)) == 4


# What we send


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_that_is_refused_all_the_same_is_not_told_of_as_read(station, version, caplog):
    server, peer = station(version)
    request_type, response, wire = status(version, timestamp="2026-01-02T03:04:05")
    handle(server, request_type, response)
    assert peer.ask([2, "1", "StatusNotification", {**wire, "connectorId": "x"}])[0] == 4
    assert warnings(caplog, "was read") == []
    assert peer.ask([2, "2", "StatusNotification", wire])[0] == 3
    assert len(warnings(caplog, "was read")) == 1


def test_what_is_sent_is_checked_strictly_in_standard(central):
    client, _ = central()
    with pytest.raises(ValidationError, match="at least 1"):
        client.call(v16.StartTransactionRequest(connector_id=0, id_tag="A", meter_start=0, timestamp=AT))
    with pytest.raises(ValidationError, match="RFC 3339"):
        client.call(v16.StatusNotificationRequest(1, "NoError", "Available", timestamp="2026-01-02T03:04:05"))
    with pytest.raises(EncodingError, match="zone"):
        client.call(v16.StatusNotificationRequest(1, "NoError", "Available", timestamp=AT.replace(tzinfo=None)))


@each_version
@pytest.mark.parametrize(
    ("digits", "fractions"),
    [(0, ["", ""]), (3, [".000", ".123"]), (6, [".000000", ".123456"]), (lambda client_id: 0, ["", ""])],
    ids=["0", "3", "6", "function"],
)
def test_date_times_have_the_fractional_digits_that_are_asked_for(station, version, digits, fractions):
    if digits == 6 and version != "1.6":
        with pytest.raises(UsageError, match="at most 3 fractional digits"):
            Server(profiles=VERSIONS[version].PROFILES, datetime_digits=6)
        with pytest.raises(UsageError, match="at most 3 fractional digits"):
            Client("CP_1", profiles=VERSIONS[version].PROFILES, datetime_digits=6)
        return
    server, peer = station(version, datetime_digits=digits)
    module = VERSIONS[version]
    moments = iter([AT, AT.replace(microsecond=123_456)])
    server.on(module.HeartbeatRequest)(lambda client_id, request: module.HeartbeatResponse(current_time=next(moments)))
    told = [peer.ask([2, str(number), "Heartbeat", {}])[2]["currentTime"] for number in range(2)]
    assert told == [f"2026-01-02T03:04:05{fraction}Z" for fraction in fractions]


def test_six_digits_are_for_1_6_alone_where_there_are_several_versions(stop):
    server = Server(profiles=[*v16.PROFILES, *v201.PROFILES], datetime_digits=6).listen(port=0, host="127.0.0.1")
    stop(server.stop)
    server.on(v16.HeartbeatRequest)(lambda client_id, request: v16.HeartbeatResponse(current_time=AT))
    server.on(v201.HeartbeatRequest)(lambda client_id, request: v201.HeartbeatResponse(current_time=AT))
    for version, fraction in ("1.6", "000000"), ("2.0.1", "000"):
        peer = RawClient(Sockets(), server.url, f"CP_{version}", [f"ocpp{version}"])
        stop(peer.stop)
        assert peer.ask([2, "1", "Heartbeat", {}])[2]["currentTime"].endswith(f":05.{fraction}Z")


def test_each_charger_may_get_its_own_digits_in_a_broadcast_too(station):
    chosen = {"CP_1": 0, "CP_2": 3, "CP_3": 6}
    server, first = station(datetime_digits=chosen.__getitem__)
    peers = [first, *(station(server=server, identity=name)[1] for name in ("CP_2", "CP_3"))]
    futures = server.broadcast(v16.ReserveNowRequest(connector_id=1, expiry_date=AT, id_tag="A", reservation_id=1))
    told = [peer.receive()[3]["expiryDate"] for peer in peers]
    assert told == ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05.000000Z"]
    assert len(futures) == 3


@pytest.mark.parametrize("digits", [1, -3, True, "3", None, 3.0])
@pytest.mark.parametrize("build", [Server, lambda **options: Client("CP_1", **options)], ids=["server", "client"])
def test_other_numbers_of_digits_are_refused(build, digits):
    with pytest.raises(UsageError, match="0, 3 or 6"):
        build(profiles=v16.PROFILES, datetime_digits=digits)


class Single(Real):
    """A number like ``numpy.float32``: no float, and its text is shorter than the float it stands for."""

    def __init__(self, text):
        self._text = text

    def __str__(self):
        return self._text

    def __float__(self):
        return 1600.0999755859375

    def _missing(self, *others):
        raise NotImplementedError

    __abs__ = __add__ = __ceil__ = __eq__ = __floor__ = __floordiv__ = __le__ = __lt__ = __mod__ = __mul__ = _missing
    __neg__ = __pos__ = __pow__ = __radd__ = __rfloordiv__ = __rmod__ = __rmul__ = __round__ = __rpow__ = _missing
    __rtruediv__ = __truediv__ = __trunc__ = _missing
    __hash__ = None


class Double(float):
    """A float like ``numpy.float64``."""

    def __repr__(self):
        return f"np.float64({float(self)!r})"


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Decimal("21.4"), "21.4"),
        (Decimal("1600.10"), "1600.1"),
        (Decimal("16"), "16"),
        (Decimal("1E+3"), "1000"),
        (Double(21.4), "21.4"),
        (Single("1600.1"), "1600.1"),
    ],
)
def test_decimals_and_numbers_of_numpy_are_sent_as_their_text(station, limit, text):
    server, peer = station()
    period = v16.ChargingSchedulePeriod(start_period=0, limit=limit)
    schedule = v16.ChargingSchedule(charging_rate_unit="W", charging_schedule_period=[period])
    chosen = v16.ChargingProfile(1, 0, "TxDefaultProfile", "Absolute", schedule)
    future = server.send_request("CP_1", v16.SetChargingProfileRequest(1, chosen))
    raw = peer.texts.get(timeout=seconds(10))
    assert f'"limit":{text}}}' in raw
    future.cancel()


@pytest.mark.parametrize("limit", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1E+999999")])
def test_what_is_no_json_number_is_refused(central, limit):
    client, _ = central(validate=Validation(outgoing="off"))
    period = v16.ChargingSchedulePeriod(start_period=0, limit=limit)
    schedule = v16.ChargingSchedule(charging_rate_unit="W", charging_schedule_period=[period])
    answer = v16.GetCompositeScheduleResponse(status="Accepted", charging_schedule=schedule)
    with pytest.raises(EncodingError):
        client.create_call_result(answer, "1").to_json()


# The rules of the text

METER = {"value": "1"}
RULES = [
    ("1.6", "StatusNotification", {**status("1.6")[2], "connectorId": -1}, "connectorId"),
    ("1.6", "StartTransaction", {"connectorId": 0, "idTag": "A", "meterStart": 0, "timestamp": "2026-01-02T03:04:05Z"},
     "connectorId"),
    ("1.6", "StopTransaction", {"meterStop": 1, "timestamp": "2026-01-02T03:04:05Z", "transactionId": 1,
     "transactionData": [{"timestamp": "2026-01-02T03:04:05Z", "sampledValue": []}]}, "sampledValue"),
    *(
        (version, "NotifyMonitoringReport", {"requestId": 1, "seqNo": 0, "generatedAt": "2026-01-02T03:04:05Z",
         "monitor": [{"component": {"name": "C"}, "variable": {"name": "V"}, "variableMonitoring": [
             {"id": 1, "transaction": False, "value": 1.0, "type": "Delta", "severity": severity,
              **({"eventNotificationType": "HardWiredMonitor"} if version == "2.1" else {})}]}]}, "severity")
        for version in ("2.0.1", "2.1") for severity in (10, 4711)
    ),
]  # fmt: skip


@pytest.mark.parametrize(("version", "action", "wire", "name"), RULES)
def test_strict_checks_the_ranges_of_the_text_and_standard_does_not(station, version, action, wire, name):
    for mode, code in ("strict", True), ("standard", False):
        server, peer = station(version, validate=mode)
        server.set_request_handler(lambda client_id, request, message_id, action: None)
        peer.send([2, "1", action, wire])
        if code:
            answer = peer.receive()
            assert answer[:2] == [4, "1"]
            assert answer[2].endswith("ConstraintViolation")
            assert name in answer[3]
        else:
            server.send_error("CP_1", "1", "GenericError", "it came to the handler")
            assert peer.receive()[2] == "GenericError"


def test_an_empty_schedule_is_refused_by_strict(central):
    for mode, kind in ("strict", 4), ("standard", 3):
        client, peer = central(validate=mode)
        client.on(v16.SetChargingProfileRequest)(lambda request: v16.SetChargingProfileResponse(status="Rejected"))
        wire = profile(1.0)
        wire["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"] = []
        answer = peer.ask([2, "1", "SetChargingProfile", wire])
        assert answer[0] == kind
        assert kind == 3 or answer[2] == "OccurenceConstraintViolation"


@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
@pytest.mark.parametrize(
    ("result", "is_valid"),
    [
        ({"attributeStatus": "Accepted"}, False),
        ({"attributeStatus": "Accepted", "attributeValue": "1"}, True),
        ({"attributeStatus": "UnknownVariable"}, True),
    ],
)
def test_an_accepted_variable_has_a_value_in_strict(station, version, result, is_valid):
    module = VERSIONS[version]
    component, variable = module.Component(name="C"), module.Variable(name="V")
    request = module.GetVariablesRequest([module.GetVariableData(component=component, variable=variable)])
    wire = {"getVariableResult": [{**result, "component": {"name": "C"}, "variable": {"name": "V"}}]}
    for mode in ("strict", "standard"):
        server, peer = station(version, validate=mode)
        future = server.send_request("CP_1", request)
        peer.send([3, peer.receive()[1], wire])
        if mode == "standard" or is_valid:
            assert future.result(seconds(10)).get_variable_result[0].attribute_value == result.get("attributeValue")
            continue
        with pytest.raises(InvalidResponse, match="'attributeValue' is missing") as caught:
            future.result(seconds(10))
        assert caught.value.error.code is ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION


# Lenient modes: values of the wrong type


@pytest.mark.parametrize("mode", LENIENT)
@pytest.mark.parametrize(
    ("version", "action", "wire", "path", "value"),
    [
        ("1.6", "StatusNotification", {"connectorId": "1"}, "connector_id", 1),
        ("1.6", "StatusNotification", {"connectorId": 1.0, "info": 7}, "info", "7"),
        ("1.6", "StatusNotification", {"info": True}, "info", "true"),
        ("1.6", "StatusNotification", {"status": "Sleeping"}, "status", "Sleeping"),
        ("2.0.1", "NotifyReport", {"tbc": "false"}, "tbc", False),
        ("2.0.1", "NotifyReport", {"tbc": 1, "seqNo": "12"}, "seq_no", 12),
        ("2.0.1", "NotifyReport", {"tbc": 0}, "tbc", False),
        ("2.1", "NotifyReport", {"tbc": "True"}, "tbc", True),
        ("2.1", "NotifyReport", {"requestId": "7.0"}, "request_id", 7),
        ("2.1", "NotifyReport", {"requestId": "7x"}, "request_id", "7x"),
    ],
)
def test_values_of_another_type_become_those_of_the_schema(station, mode, version, action, wire, path, value):
    server, peer = station(version, validate=mode)
    module = VERSIONS[version]
    seen = handle(server, getattr(module, action + "Request"), getattr(module, action + "Response")())
    assert peer.ask([2, "1", action, wire]) == [3, "1", {}]
    read = getattr(seen.calls[0][0], path)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("mode", LENIENT)
@pytest.mark.parametrize(
    ("version", "action", "wire"),
    [
        ("1.6", "MeterValues", {"connectorId": 1, "meterValue": {"timestamp": "2026-01-02T03:04:05Z",
                                                                "sampledValue": {"value": 7.5}}}),
        ("2.0.1", "MeterValues", {"evseId": 1, "meterValue": {"timestamp": "2026-01-02T03:04:05Z",
                                                             "sampledValue": {"value": "7.5"}}}),
        ("2.1", "MeterValues", {"evseId": 1, "meterValue": {"timestamp": "2026-01-02T03:04:05Z",
                                                           "sampledValue": {"value": "7.5"}}}),
    ],
)  # fmt: skip
def test_one_object_becomes_a_list(station, mode, version, action, wire):
    server, peer = station(version, validate=mode)
    module = VERSIONS[version]
    seen = handle(server, module.MeterValuesRequest, module.MeterValuesResponse())
    assert peer.ask([2, "1", action, wire]) == [3, "1", {}]
    ((meter,),) = [seen.calls[0][0].meter_value]
    assert meter.timestamp == AT
    assert [sample.value for sample in meter.sampled_value] == ["7.5" if version == "1.6" else 7.5]


# Lenient modes: properties of another name

UNKNOWN = [
    ("1.6", "StatusNotification", {**status("1.6")[2], "rssi": -71}, {"rssi": -71}),
    ("2.0.1", "StatusNotification", {**status("2.0.1")[2], "vendor": {"a": [1]}}, {"vendor": {"a": [1]}}),
    ("2.1", "StatusNotification", {**status("2.1")[2], "x": None, "y": "z"}, {"x": None, "y": "z"}),
]


@pytest.mark.parametrize("mode", LENIENT)
@pytest.mark.parametrize(("version", "action", "wire", "extra"), UNKNOWN)
def test_unknown_properties_are_kept_and_a_proxy_sends_them_again(station, central, mode, version, action, wire, extra):
    server, peer = station(version, validate=mode)
    client, behind = central(version, validate=mode)
    server.on(getattr(VERSIONS[version], action + "Request"))(lambda client_id, request: client.call(request))
    peer.send([2, "1", action, wire])
    _, message_id, _, passed_on = behind.receive()
    zoned = {"timestamp": "2026-01-02T03:04:05.000Z"} if "timestamp" in wire else {}
    assert passed_on == {**wire, **zoned}
    behind.send([3, message_id, {"answered": "by the system behind"}])
    assert peer.receive() == [3, "1", {"answered": "by the system behind"}]
    assert extra.items() <= passed_on.items()


@pytest.mark.parametrize("mode", LENIENT)
def test_a_required_property_under_another_name_is_none_and_its_value_is_kept(station, mode):
    cases = [
        ("1.6", v16.GetLocalListVersionRequest(), {"versionNumber": 7}, "list_version"),
        ("1.6", v16.GetDiagnosticsRequest("ftp://x"), {"file": "a.zip"}, "file_name"),
        ("2.0.1", v201.GetLocalListVersionRequest(), {"listVersion": 7}, "version_number"),
        ("2.1", v21.GetLocalListVersionRequest(), {"listVersion": 7}, "version_number"),
    ]
    for version, request, wire, attribute in cases:
        server, peer = station(version, validate=mode)
        future = server.send_request("CP_1", request)
        peer.send([3, peer.receive()[1], wire])
        response = future.result(seconds(10))
        assert getattr(response, attribute) is None
        assert response.extra == wire


# What a refused answer was


@each_version
@pytest.mark.parametrize("mode", ["standard", "strict"])
def test_an_invalid_response_has_the_payload(station, version, mode):
    module = VERSIONS[version]
    server, peer = station(version, validate=mode)
    wrong = [{"status": "Broken"}, {"status": "Accepted", "more": 1}, {}, [1], "text"]
    for number, wire in enumerate(wrong):
        future = server.send_request("CP_1", module.ClearCacheRequest())
        peer.send([3, peer.receive()[1], wire])
        while version == "2.1" and peer.receive()[0] != 5:  # the server tells what is wrong
            pass
        with pytest.raises(InvalidResponse) as caught:
            future.result(seconds(10))
        assert caught.value.payload == wire, number
        assert (caught.value.response is None) == (not isinstance(wire, dict))
        if isinstance(wire, dict):
            assert caught.value.response.status == wire.get("status")


@each_version
@pytest.mark.parametrize(
    ("details", "kept"),
    [
        ("the cable is locked", {"details": "the cable is locked"}),
        (["a", 1], {"details": ["a", 1]}),
        (7, {"details": 7}),
        ({"a": "b"}, {"a": "b"}),
        ("", {}),
        (None, {}),
    ],
)
def test_the_details_of_a_callerror_are_kept(station, version, details, kept):
    server, peer = station(version)
    seen = Recorder()
    server.set_error_handler(lambda client_id, error, details: seen(details))
    future = server.send_request("CP_1", VERSIONS[version].ClearCacheRequest())
    peer.send([4, peer.receive()[1], "GenericError", "no", details])
    with pytest.raises(OCPPError) as caught:
        future.result(seconds(10))
    assert caught.value.details == kept
    assert str(kept.get("details", "")) in str(caught.value)
    assert seen.wait()[0][0] == kept


# A mode for each peer


def test_a_function_chooses_the_mode_for_each_peer(station, caplog):
    asked = Recorder()

    def choose(client_id):
        asked(client_id)
        if client_id == "CP_5":
            raise KeyError(client_id)
        return {"CP_1": "off", "CP_2": "strict", "CP_3": None, "CP_4": Validation(incoming="warn")}.get(client_id, "?")

    server, first = station(validate=choose)
    seen = handle(server, v16.StatusNotificationRequest, v16.StatusNotificationResponse())
    _, _, wire = status("1.6", timestamp="2026-01-02T03:04:05")
    told = {}
    for name in ("CP_1", "CP_2", "CP_3", "CP_4", "CP_5", "CP_6"):
        peer = first if name == "CP_1" else station(server=server, identity=name)[1]
        told[name] = [peer.ask([2, str(number), "StatusNotification", wire])[0] for number in range(2)]
    assert told == {"CP_1": [3, 3], "CP_2": [4, 4], "CP_3": [3, 3], "CP_4": [3, 3], "CP_5": [4, 4], "CP_6": [4, 4]}
    assert len(seen.calls) == 6
    assert [each for (each,) in asked.calls] == ["CP_1", "CP_2", "CP_3", "CP_4", "CP_5", "CP_6"]
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert [each.getMessage()[:5] for each in errors] == ["CP_5:", "CP_6:"]


def test_the_function_is_asked_again_for_a_new_connection(station):
    modes = iter(["off", "strict"])
    server, peer = station(validate=lambda client_id: next(modes))
    handle(server, v16.StatusNotificationRequest, v16.StatusNotificationResponse())
    wire = {"connectorId": "1", "errorCode": "NoError", "status": "Available"}
    assert peer.ask([2, "1", "StatusNotification", wire])[0] == 3
    peer.stop()
    peer.wait_closed()
    _, again = station(server=server)
    assert again.ask([2, "1", "StatusNotification", wire])[0] == 4


def test_the_function_of_a_client_gets_its_own_id(central):
    asked = Recorder("off")
    client, peer = central(validate=lambda client_id: asked(client_id))
    client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
    assert peer.ask([2, "1", "Reset", {"type": "Gentle"}])[0] == 3
    assert asked.calls == [("CP_1",)]
    assert client.validation_for("CP_1") == Validation("off", "off")


async def choose_later(client_id):
    return "off"


@pytest.mark.parametrize("function", [choose_later, lambda: "off", lambda client_id, more: "off"])
@pytest.mark.parametrize("build", [Server, lambda **options: Client("CP_1", **options)], ids=["server", "client"])
def test_a_function_that_cannot_be_asked_is_refused(build, function):
    for name in ("validate", "datetime_digits"):
        with pytest.raises(UsageError, match="async|is to be called as"):
            build(profiles=v16.PROFILES, **{name: function})
    with pytest.raises(UsageError, match="async|is to be called as"):
        build(profiles=v16.PROFILES).set_message_validation(function)


def test_the_mode_can_be_changed_while_connected(station):
    server, peer = station()
    handle(server, v16.StatusNotificationRequest, v16.StatusNotificationResponse())
    wire = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "info": None}
    for number, (mode, kind) in enumerate([(None, 3), ("strict", 4), (lambda client_id: "off", 3), ("standard", 3)]):
        server.set_message_validation(mode)
        assert peer.ask([2, str(number), "StatusNotification", wire])[0] == kind


def test_a_day_may_end_with_the_hour_24(station):
    server, peer = station()
    seen = handle(server, v16.StatusNotificationRequest, v16.StatusNotificationResponse())
    _, _, wire = status("1.6", timestamp="2026-01-02T24:00:00Z")
    assert peer.ask([2, "1", "StatusNotification", wire])[0] == 3
    assert seen.calls[0][0].timestamp == AT.replace(hour=0, minute=0, second=0) + timedelta(days=1)


@pytest.mark.parametrize("mode", ["strict", "standard"])
@pytest.mark.parametrize(
    "request_of",
    [
        lambda: v16.UnlockConnectorRequest(connector_id=0),
        lambda: v16.ResetRequest(type="Gentle"),
        lambda: v16.RemoteStopTransactionRequest(transaction_id="7"),
    ],
    ids=["range", "enum", "type"],
)
def test_a_stored_request_is_sent_although_it_would_be_refused_now(station, tmp_path, mode, request_of, caplog):
    sent = []
    for validate in (Validation(outgoing="off"), mode):
        server, peer = station(validate=validate, queues=SQLiteQueueMap(tmp_path / "queue.db"))
        if not sent:
            server.send_request("CP_1", request_of())
        sent.append(peer.receive())
        server.stop()
    assert sent[0] == sent[1]
    is_refused = mode == "strict" or sent[0][2] != "UnlockConnector"  # standard does not check ranges
    assert len(warnings(caplog, "is sent all the same")) == is_refused
