"""Payload -> verdict: which fault is named, and with which code."""

import json

import pytest

from ocppj import ErrorCode, Feature, UsageError, ValidationError, v16
from ocppj.validation import check_payload

FEATURES = {feature.name: feature for profile in v16.PROFILES for feature in profile}
UNKNOWN = ErrorCode.FORMAT_VIOLATION
MISSING = ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION
TYPE = ErrorCode.TYPE_CONSTRAINT_VIOLATION
VALUE = ErrorCode.PROPERTY_CONSTRAINT_VIOLATION


def fault(action, payload, answer=False):
    """Return (code, path) of the fault, or ``None`` when there is none."""
    try:
        check_payload(FEATURES[action] if isinstance(action, str) else action, answer, payload)
    except ValidationError as error:
        return (error.code, error.path) if 0 < len(error.description) <= 255 else error.description
    return None


def profile(limit=16, **schedule):
    """Return a SetChargingProfile payload with one period of that limit."""
    return {
        "connectorId": 1,
        "csChargingProfiles": {
            "chargingProfileId": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": {
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
                **schedule,
            },
        },
    }


BOOT = {"chargePointVendor": "V", "chargePointModel": "M"}
START = {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-01-01T00:00:00Z"}
SCHEDULE = "csChargingProfiles.chargingSchedule"
PERIOD = SCHEDULE + ".chargingSchedulePeriod[0]"


@pytest.mark.parametrize(
    ("action", "payload", "expected"),
    [
        # one fault, one code
        ("BootNotification", BOOT, None),
        ("BootNotification", {**BOOT, "iccid": "i" * 20}, None),
        ("BootNotification", {**BOOT, "foo": 1}, (UNKNOWN, "foo")),
        ("BootNotification", {"chargePointVendor": "V"}, (MISSING, "chargePointModel")),
        ("BootNotification", {**BOOT, "iccid": 7}, (TYPE, "iccid")),
        ("BootNotification", {**BOOT, "iccid": None}, (TYPE, "iccid")),
        ("BootNotification", {**BOOT, "iccid": "i" * 21}, (VALUE, "iccid")),
        ("Reset", {"type": "Gentle"}, (VALUE, "type")),
        ("Reset", {"type": "soft"}, (VALUE, "type")),
        ("Reset", {"type": True}, (TYPE, "type")),
        ("StartTransaction", START, None),
        ("StartTransaction", {**START, "connectorId": True}, (TYPE, "connectorId")),
        ("StartTransaction", {**START, "connectorId": 1.5}, (TYPE, "connectorId")),
        ("StartTransaction", {**START, "connectorId": "1"}, (TYPE, "connectorId")),
        ("StartTransaction", {**START, "meterStart": 10**400}, None),
        ("StartTransaction", {**START, "timestamp": "yesterday"}, (TYPE, "timestamp")),
        ("StartTransaction", {**START, "timestamp": "2026-01-01T00:00:00"}, (TYPE, "timestamp")),
        ("StartTransaction", {**START, "timestamp": "2026-13-01T00:00:00Z"}, (TYPE, "timestamp")),
        ("StartTransaction", {**START, "timestamp": 7}, (TYPE, "timestamp")),
        ("SetChargingProfile", profile(numbers=[1]), (UNKNOWN, SCHEDULE + ".numbers")),
        ("SetChargingProfile", profile(chargingSchedulePeriod={}), (TYPE, SCHEDULE + ".chargingSchedulePeriod")),
        ("SetChargingProfile", profile(chargingSchedulePeriod=[{"limit": 1}]), (MISSING, PERIOD + ".startPeriod")),
        ("SetChargingProfile", profile("16"), (TYPE, PERIOD + ".limit")),
        ("SetChargingProfile", profile(True), (TYPE, PERIOD + ".limit")),
        # of several: unknown before missing before types before values, however deep
        ("BootNotification", {"chargePointVendor": 7, "iccid": "i" * 21, "foo": 1}, (UNKNOWN, "foo")),
        ("BootNotification", {"chargePointVendor": 7, "iccid": "i" * 21}, (MISSING, "chargePointModel")),
        ("BootNotification", {**BOOT, "iccid": "i" * 21, "imsi": 7}, (TYPE, "imsi")),
        ("SetChargingProfile", {**profile(x=1), "connectorId": "1"}, (UNKNOWN, SCHEDULE + ".x")),
        ("SetChargingProfile", {"csChargingProfiles": profile(x=1)["csChargingProfiles"]}, (UNKNOWN, SCHEDULE + ".x")),
        ("SetChargingProfile", {**profile(chargingRateUnit="V"), "connectorId": "1"}, (TYPE, "connectorId")),
        ("SetChargingProfile", profile("x", chargingRateUnit="V"), (TYPE, PERIOD + ".limit")),
        # among equals the shallowest
        ("SetChargingProfile", {**profile(x=1), "y": 1}, (UNKNOWN, "y")),
        ("SetChargingProfile", {"y": 1, **profile(x=1)}, (UNKNOWN, "y")),
        ("SetChargingProfile", profile("x", duration="1"), (TYPE, SCHEDULE + ".duration")),
        # then document order
        ("BootNotification", {**BOOT, "imsi": 1, "iccid": 1}, (TYPE, "imsi")),
        ("BootNotification", {"iccid": 1, **BOOT, "imsi": 1}, (TYPE, "iccid")),
        ("BootNotification", {**BOOT, "b": 1, "a": 1}, (UNKNOWN, "b")),
        ("BootNotification", {}, (MISSING, "chargePointVendor")),
        (
            "SetChargingProfile",
            profile(chargingSchedulePeriod=[{"startPeriod": 0, "limit": 1}, {"startPeriod": "b", "limit": "a"}] * 2),
            (TYPE, SCHEDULE + ".chargingSchedulePeriod[1].startPeriod"),
        ),
        # what is no object
        *[("Heartbeat", payload, (UNKNOWN, "")) for payload in ([], "x", 7, True, None, 1.5)],
        ("Heartbeat", {}, None),
        ("Heartbeat", {"x": None}, (UNKNOWN, "x")),
    ],
)
def test_the_fault_that_is_named(action, payload, expected):
    assert fault(action, payload) == expected
    assert fault(action, payload) == expected, "the second look sees the same"


ITEMS = Feature(
    "Items",
    v16.ResetRequest,
    v16.ResetResponse,
    {
        "$schema": "http://json-schema.org/draft-06/schema#",
        "properties": {
            "list": {"type": "array", "minItems": 1, "maxItems": 2},
            "text": {"type": "string", "minLength": 2, "pattern": "^a"},
            "number": {"type": "integer", "minimum": 1, "maximum": 3},
        },
    },
)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"list": []}, (MISSING, "list")),
        ({"list": [1, 2, 3]}, (MISSING, "list")),
        ({"text": "a"}, (VALUE, "text")),
        ({"text": "bb"}, (VALUE, "text")),
        ({"number": 0}, (VALUE, "number")),
        ({"number": 4}, (VALUE, "number")),
        ({"number": 4, "list": []}, (MISSING, "list")),
        ({"number": 2, "list": [1], "text": "ab", "more": 1}, None),
    ],
)
def test_lengths_of_arrays_are_occurrences_and_limits_are_values(payload, expected):
    assert fault(ITEMS, payload) == expected


@pytest.mark.parametrize("text", [f"{tenths / 10:.1f}" for tenths in range(401)])
def test_every_one_decimal_value_is_a_multiple_of_0_1(text):
    assert fault("SetChargingProfile", profile(json.loads(text))) is None


@pytest.mark.parametrize("text", ["0", "16", "1e2", "-0.0", "-21.4", "32000.1", "0.30", "1.0e-1", "123456789.5"])
def test_other_multiples_of_0_1(text):
    assert fault("SetChargingProfile", profile(json.loads(text))) is None


@pytest.mark.parametrize(
    "text", ["21.44", "0.05", "0.01", "1e-5", "21.400000000000002", "-3.33", "0.30000000000000004"]
)
def test_what_is_no_multiple_of_0_1(text):
    assert fault("SetChargingProfile", profile(json.loads(text))) == (VALUE, PERIOD + ".limit")


def test_a_number_beyond_all_decimals_is_refused_not_computed():
    assert fault("SetChargingProfile", profile(1e300)) == (VALUE, PERIOD + ".limit")
    assert fault("SetChargingProfile", profile(10**400)) == (VALUE, PERIOD + ".limit")


def test_responses_have_their_own_schema():
    assert fault("Reset", {"status": "Accepted"}, answer=True) is None
    assert fault("Reset", {"type": "Soft"}, answer=True) == (UNKNOWN, "type")
    assert fault("BootNotification", {"status": "Accepted"}, answer=True) == (MISSING, "currentTime")


def test_without_a_schema_any_object_will_do():
    feature = Feature("Free", v16.ResetRequest, v16.ResetResponse)
    assert fault(feature, {"anything": [1]}) is None
    assert fault(feature, [1]) == (UNKNOWN, "")


def test_an_invalid_schema_is_our_own_fault():
    feature = Feature("Odd", v16.ResetRequest, v16.ResetResponse, {"type": "nonsense"})
    with pytest.raises(UsageError, match="request schema of Odd"):
        check_payload(feature, False, {})


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "x" * 10_000},
        {"type": "Soft", "x" * 10_000: 1},
        {"type": ["x"] * 10_000},
        {"type": "\ud800" * 300},
        {"type": "Soft", **{f"x{n}": n for n in range(10_000)}},
    ],
)
def test_the_description_stays_short(payload):
    assert fault("Reset", payload) is not None


@pytest.mark.parametrize("depth", [10, 100, 400, 900, 950, 5_000])
def test_a_payload_however_deep_gets_a_verdict(depth):
    nested = 1
    for _ in range(depth):
        nested = [nested]
    code, _ = fault("Reset", {"type": nested})
    assert code in (TYPE, UNKNOWN)
