"""Fields such as ``a[0].b=1``: they take the types that the schema of the request wants."""

import random

import pytest

from ocppj import v16, v21, v201
from ocppj.control import FieldError, read_fields, split_words, write_fields
from ocppj.control.catalog import actions_of, request_schema
from ocppj.rpc.dialect import DIALECTS
from ocppj.testing import example


def read(version, action, line):
    return read_fields(split_words(line), request_schema(version, action), action)


@pytest.mark.parametrize(
    ("version", "action", "line", "payload"),
    [
        ("1.6", "Reset", "type=Soft", {"type": "Soft"}),
        ("1.6", "Heartbeat", "", {}),
        ("1.6", "RemoteStartTransaction", "idTag=123 connectorId=1", {"idTag": "123", "connectorId": 1}),
        ("1.6", "DataTransfer", 'vendorId=true data="{}"', {"vendorId": "true", "data": "{}"}),
        ("1.6", "GetConfiguration", "key=A", {"key": ["A"]}),
        ("1.6", "GetConfiguration", "key=A key=B", {"key": ["A", "B"]}),
        ("1.6", "GetConfiguration", "key[0]=A key[1]=B", {"key": ["A", "B"]}),
        ("1.6", "GetConfiguration", 'key=["A", "B"]', {"key": ["A", "B"]}),
        ("1.6", "Reset", '{"type": "anything"}', {"type": "anything"}),
        (
            "1.6",
            "SetChargingProfile",
            "csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0].limit=16.5 "
            "csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0].startPeriod=0 connectorId=1",
            {
                "csChargingProfiles": {
                    "chargingSchedule": {"chargingSchedulePeriod": [{"limit": 16.5, "startPeriod": 0}]}
                },
                "connectorId": 1,
            },
        ),
        ("2.0.1", "GetReport", "requestId=1 componentVariable[0].component.name=EVSE", {
            "requestId": 1, "componentVariable": [{"component": {"name": "EVSE"}}]}),
        ("2.0.1", "Reset", "type=Immediate customData.vendorId=1 customData.mine=1", {
            "type": "Immediate", "customData": {"vendorId": "1", "mine": 1}}),
        ("2.0.1", "SetMonitoringLevel", "severity=-1", {"severity": -1}),
        ("2.0.1", "GetLocalListVersion", 'customData={"vendorId": "x"}', {"customData": {"vendorId": "x"}}),
        ("2.1", "NotifyPeriodicEventStream", "id=3", {"id": 3}),
    ],
)  # fmt: skip
def test_values_take_the_type_of_the_schema(version, action, line, payload):
    assert read(version, action, line) == payload


def test_without_a_schema_values_are_json_or_text():
    payload = read_fields(["a=1", "b=x", "c.d=true", 'e={"f": []}', "g=", "h[0]=null"])
    assert payload == {"a": 1, "b": "x", "c": {"d": True}, "e": {"f": []}, "g": "", "h": [None]}


@pytest.mark.parametrize(
    ("version", "action", "line", "error"),
    [
        ("1.6", "Reset", "Soft", "'Soft' is no field: write name=value: Reset has type (needed)"),
        ("1.6", "Reset", "typ=Soft", "there is no field 'typ': Reset has type (needed); is 'type' meant?"),
        ("1.6", "Reset", "type=sof", "type takes one of Hard, Soft, not 'sof'; is 'Soft' meant?"),
        ("1.6", "Reset", "type=Soft type=Hard", "type is given twice"),
        ("1.6", "ClearCache", "a=1", "there is no field 'a': ClearCache has no fields"),
        ("1.6", "Reset", "type.x=1", "type has no fields: it takes one of Hard, Soft"),
        ("1.6", "Reset", "type[0]=1", "type is no list: it takes one of Hard, Soft"),
        ("1.6", "Reset", "=1", "'' is no name of a field"),
        ("1.6", "Reset", "a..b=1", "'a..b' is no name of a field"),
        ("1.6", "Reset", "{}x", "the payload is no JSON"),
        ("1.6", "UnlockConnector", "connectorId=one", "connectorId takes a whole number, not 'one'"),
        ("1.6", "UnlockConnector", "connectorId=1.5", "connectorId takes a whole number, not '1.5'"),
        ("1.6", "GetConfiguration", "key[1]=A", "key[1] is given before key[0]"),
        ("1.6", "GetConfiguration", "key.a=A", "key is a list: write key[0].a=..."),
        ("1.6", "GetConfiguration", "key=A key[0].b=1", "key[0] has no fields: it takes a text"),
        ("1.6", "SetChargingProfile", "csChargingProfiles=x",
         "csChargingProfiles takes an object, not 'x': write csChargingProfiles.chargingProfileId=..., or a JSON"),
        ("1.6", "SetChargingProfile", "csChargingProfiles.chargingSchedule.chargingSchedulePeriod=1",
         "takes a list of objects: write csChargingProfiles.chargingSchedule.chargingSchedulePeriod[0].startPeriod="),
        ("1.6", "SetChargingProfile", "csChargingProfiles.chargingSchedule.x=1",
         "csChargingProfiles.chargingSchedule has chargingRateUnit (needed), chargingSchedulePeriod (needed)"),
        ("2.0.1", "SetMonitoringLevel", "severity=true", "severity takes a whole number, not 'true'"),
        ("2.0.1", "SetVariableMonitoring", "setMonitoringData[0].value=true", "value takes a number, not 'true'"),
        ("2.0.1", "SetVariableMonitoring", "setMonitoringData[0].transaction=1", "transaction takes true or false"),
    ],
)  # fmt: skip
def test_errors_say_what_would_be_right(version, action, line, error):
    with pytest.raises(FieldError) as raised:
        read(version, action, line)
    assert error in str(raised.value)


MODULES = {"1.6": v16, "2.0.1": v201, "2.1": v21}


@pytest.mark.parametrize("version", MODULES)
def test_every_request_can_be_written_as_fields(version):
    """What `write_fields` makes of a request is read as the same request, in any order of whole lists."""
    for action in actions_of(version):
        kind = getattr(MODULES[version], f"{action}Request", None) or getattr(MODULES[version], action)
        payload = example(kind, full=True).to_wire()
        words = write_fields(payload)
        assert read_fields(words, request_schema(version, action)) == payload, action
        random.Random(action).shuffle(words)
        words.sort(key=lambda word: word.partition("=")[0])  # the elements of each list in their order
        assert read_fields(words, request_schema(version, action)) == payload, action


def test_a_text_cannot_make_another_error():
    """Whatever is typed is read, or refused with a `FieldError`."""
    chosen = random.Random(16)
    pieces = [
        "a",
        "type",
        "csChargingProfiles",
        "key",
        ".",
        "[0]",
        "[",
        "]",
        "=",
        "{",
        "}",
        '"',
        "1",
        "true",
        "null",
        ",",
    ]
    schemas = [request_schema("1.6", each) for each in ("Reset", "SetChargingProfile", "GetConfiguration")] + [None]
    for _ in range(3000):
        words = ["".join(chosen.choices(pieces, k=chosen.randint(1, 7))) for _ in range(chosen.randint(1, 3))]
        for schema in schemas:
            try:
                read_fields(words, schema)
            except FieldError:
                pass


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_side_that_sends_an_action_is_known(dialect):
    station, csms = actions_of(dialect.version, "station"), actions_of(dialect.version, "csms")
    assert "BootNotification" in station and "BootNotification" not in csms
    assert "Reset" in csms and "Reset" not in station
    assert set(station) & set(csms) == {"DataTransfer"}
    assert set(station) | set(csms) == dialect.actions


@pytest.mark.parametrize("word", ['{"key": ' + "[" * 100_000, "key=" + "[" * 100_000], ids=["payload", "list"])
def test_json_that_is_too_deep_is_refused(word):
    with pytest.raises(FieldError, match="is no JSON"):
        read_fields([word], request_schema("1.6", "GetConfiguration"))
