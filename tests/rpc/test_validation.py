"""`ocppj.rpc.validation`: the fault that is named, and its code."""

import json
import logging
import sys
import threading
from types import SimpleNamespace

import pytest

from ocppj import ErrorCode, Feature, UsageError, ValidationError, v16
from ocppj.rpc.accelerated import build_quick_check, simplify_schema
from ocppj.rpc.dialect import V16
from ocppj.rpc.validation import KEYWORDS, check_payload, use_accelerators


@pytest.fixture(autouse=True, params=[True, False], ids=["fast", "plain"])
def accelerators(request):
    """Run each test with the accelerators and without them. The results are the same."""
    use_accelerators(request.param)
    yield
    use_accelerators(True)


FEATURES = {feature.name: feature for profile in v16.PROFILES for feature in profile}
UNKNOWN = ErrorCode.FORMAT_VIOLATION
MISSING = ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION
TYPE = ErrorCode.TYPE_CONSTRAINT_VIOLATION
VALUE = ErrorCode.PROPERTY_CONSTRAINT_VIOLATION
#: Keywords that are the same in draft-04. Most schemas of OCPP 1.6 are in draft-04.
DRAFT_04 = ["additionalProperties", "required", "minItems", "maxItems", "type", "format", "enum", "minLength"]
DRAFT_04 += ["maxLength", "pattern", "minimum", "maximum", "multipleOf", "uniqueItems"]


def fault(action, payload, is_response=False):
    """Return (code, path) of the fault, or ``None`` if there is none."""
    try:
        check_payload(FEATURES[action] if isinstance(action, str) else action, is_response, payload)
    except ValidationError as error:
        return (error.code, error.path) if 0 < len(error.description) <= 255 else error.description
    return None


def profile(limit=16, **schedule):
    """Return the payload of a SetChargingProfile with one period."""
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
        # of several faults: unknown, missing, type, value, at any depth
        ("BootNotification", {"chargePointVendor": 7, "iccid": "i" * 21, "foo": 1}, (UNKNOWN, "foo")),
        ("BootNotification", {"chargePointVendor": 7, "iccid": "i" * 21}, (MISSING, "chargePointModel")),
        ("BootNotification", {**BOOT, "iccid": "i" * 21, "imsi": 7}, (TYPE, "imsi")),
        ("SetChargingProfile", {**profile(x=1), "connectorId": "1"}, (UNKNOWN, SCHEDULE + ".x")),
        ("SetChargingProfile", {"csChargingProfiles": profile(x=1)["csChargingProfiles"]}, (UNKNOWN, SCHEDULE + ".x")),
        ("SetChargingProfile", {**profile(chargingRateUnit="V"), "connectorId": "1"}, (TYPE, "connectorId")),
        ("SetChargingProfile", profile("x", chargingRateUnit="V"), (TYPE, PERIOD + ".limit")),
        # of the same kind: the nearest to the top
        ("SetChargingProfile", {**profile(x=1), "y": 1}, (UNKNOWN, "y")),
        ("SetChargingProfile", {"y": 1, **profile(x=1)}, (UNKNOWN, "y")),
        ("SetChargingProfile", profile("x", duration="1"), (TYPE, SCHEDULE + ".duration")),
        # then the first in the document
        ("BootNotification", {**BOOT, "imsi": 1, "iccid": 1}, (TYPE, "imsi")),
        ("BootNotification", {"iccid": 1, **BOOT, "imsi": 1}, (TYPE, "iccid")),
        ("BootNotification", {**BOOT, "b": 1, "a": 1}, (UNKNOWN, "b")),
        ("BootNotification", {}, (MISSING, "chargePointVendor")),
        (
            "SetChargingProfile",
            profile(chargingSchedulePeriod=[{"startPeriod": 0, "limit": 1}, {"startPeriod": "b", "limit": "a"}] * 2),
            (TYPE, SCHEDULE + ".chargingSchedulePeriod[1].startPeriod"),
        ),
        # a payload that is no object
        *[("Heartbeat", payload, (UNKNOWN, "")) for payload in ([], "x", 7, True, None, 1.5)],
        ("Heartbeat", {}, None),
        ("Heartbeat", {"x": None}, (UNKNOWN, "x")),
    ],
)
def test_the_fault_that_is_named(action, payload, expected):
    assert fault(action, payload) == expected
    assert fault(action, payload) == expected, "the second check has the same result"


def schema_of(keyword, limit, draft="06"):
    """Return a feature with one property, ``list[0].field``, that has the keyword."""
    items = {"type": "array", "items": {"properties": {"field": {keyword: limit}}}}
    schema = {"$schema": f"http://json-schema.org/draft-{draft}/schema#", "properties": {"list": items}}
    return Feature("Rows", v16.ResetRequest, v16.ResetResponse, schema)


# the keyword, its value, an invalid value, the code, its spelling in 1.6, the path below the field, the description
ROWS = [
    ("additionalProperties", False, {"x": 1}, UNKNOWN, "FormationViolation", ".x", "'x' is not allowed in FIELD"),
    ("required", ["a"], {}, MISSING, "OccurenceConstraintViolation", ".a", "'a' is missing in FIELD"),
    ("minItems", 1, [], MISSING, "OccurenceConstraintViolation", "", "FIELD must have at least 1 items, not 0"),
    ("maxItems", 1, [1, 2], MISSING, "OccurenceConstraintViolation", "", "FIELD must have at most 1 items, not 2"),
    ("type", "string", 7, TYPE, "TypeConstraintViolation", "", "FIELD must be string, not integer"),
    ("type", "integer", 1.5, TYPE, "TypeConstraintViolation", "", "FIELD must be integer, not number"),
    ("type", ["string", "null"], [], TYPE, "TypeConstraintViolation", "", "FIELD must be string or null, not array"),
    ("format", "date-time", "now", TYPE, "TypeConstraintViolation", "", "FIELD must be a date-time as RFC 3339 writes"),
    ("enum", ["a", "b"], "c", VALUE, "PropertyConstraintViolation", "", "FIELD must be one of a, b, not 'c'"),
    ("const", "a", "b", VALUE, "PropertyConstraintViolation", "", "FIELD must be 'a'"),
    ("minLength", 2, "a", VALUE, "PropertyConstraintViolation", "", "FIELD must have at least 2 characters, not 1"),
    ("maxLength", 2, "abc", VALUE, "PropertyConstraintViolation", "", "FIELD must have at most 2 characters, not 3"),
    ("pattern", "^a", "b", VALUE, "PropertyConstraintViolation", "", "FIELD must match the pattern '^a'"),
    ("minimum", 0.0, -1, VALUE, "PropertyConstraintViolation", "", "FIELD must be at least 0.0, not -1"),
    ("maximum", 100.0, 100.5, VALUE, "PropertyConstraintViolation", "", "FIELD must be at most 100.0, not 100.5"),
    ("exclusiveMinimum", 0, 0, VALUE, "PropertyConstraintViolation", "", "FIELD must be more than 0, not 0"),
    ("exclusiveMaximum", 9, 9, VALUE, "PropertyConstraintViolation", "", "FIELD must be less than 9, not 9"),
    ("multipleOf", 0.1, 21.44, VALUE, "PropertyConstraintViolation", "", "FIELD must be a multiple of 0.1, not 21.44"),
    ("uniqueItems", True, [1, 1], VALUE, "PropertyConstraintViolation", "", "FIELD must not have the same item twice"),
    ("not", {"type": "string"}, "a", VALUE, "PropertyConstraintViolation", "", "FIELD is not valid: "),
]


def test_the_tests_have_every_row_of_the_table():
    assert set(KEYWORDS) == {row[0] for row in ROWS} - {"not"}


@pytest.mark.parametrize(("keyword", "limit", "value", "code", "spelling", "below", "words"), ROWS)
def test_each_row_of_the_table(keyword, limit, value, code, spelling, below, words):
    with pytest.raises(ValidationError) as caught:
        check_payload(schema_of(keyword, limit), False, {"list": [{"field": value}]})
    error = caught.value
    assert (error.code, error.path) == (code, "list[0].field" + below)
    assert V16.spell(error.code) == spelling
    assert words.replace("FIELD", "list[0].field") in error.description


@pytest.mark.parametrize("keyword", sorted({row[0] for row in ROWS} & set(DRAFT_04)))
def test_all_drafts_have_the_same_faults(keyword):
    keyword, limit, value, *_ = next(row for row in ROWS if row[0] == keyword)
    told = []
    for draft in "04", "06", "07":
        with pytest.raises(ValidationError) as caught:
            check_payload(schema_of(keyword, limit, draft), False, {"list": [{"field": value}]})
        told.append((caught.value.code, caught.value.path, caught.value.description))
    assert told[0] == told[1] == told[2]


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
def test_numbers_that_are_no_multiple_of_0_1(text):
    assert fault("SetChargingProfile", profile(json.loads(text))) == (VALUE, PERIOD + ".limit")


def test_a_number_with_too_many_digits_is_refused():
    assert fault("SetChargingProfile", profile(1e300)) == (VALUE, PERIOD + ".limit")
    assert fault("SetChargingProfile", profile(10**400)) == (VALUE, PERIOD + ".limit")


def test_responses_have_their_own_schema():
    assert fault("Reset", {"status": "Accepted"}, is_response=True) is None
    assert fault("Reset", {"type": "Soft"}, is_response=True) == (UNKNOWN, "type")
    assert fault("BootNotification", {"status": "Accepted"}, is_response=True) == (MISSING, "currentTime")


def test_without_a_schema_any_object_is_valid():
    feature = Feature("Free", v16.ResetRequest, v16.ResetResponse)
    assert fault(feature, {"anything": [1]}) is None
    assert fault(feature, [1]) == (UNKNOWN, "")


def test_an_invalid_schema_is_a_usage_error():
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
def test_the_description_is_short(payload):
    assert fault("Reset", payload) is not None


@pytest.mark.parametrize("depth", [10, 100, 400, 900, 950, 5_000])
def test_a_payload_of_any_depth_is_checked(depth):
    nested = 1
    for _ in range(depth):
        nested = [nested]
    code, _ = fault("Reset", {"type": nested})
    assert code in (TYPE, UNKNOWN)


# Versions of jsonschema-rs


def pretend(monkeypatch, tmp_path, version, is_valid=None):
    """Pretend that this version of jsonschema-rs is installed, with this ``is_valid``."""
    about = tmp_path / f"jsonschema_rs-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: jsonschema-rs\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    if is_valid is not None:
        validator = SimpleNamespace(is_valid=is_valid)
        fake = SimpleNamespace(Draft6Validator=lambda schema, **options: validator)
        monkeypatch.setitem(sys.modules, "jsonschema_rs", fake)
    use_accelerators(True)


def test_the_search_overrules_jsonschema_rs_and_this_is_logged_once(monkeypatch, tmp_path, caplog):
    pretend(monkeypatch, tmp_path, "99.0", lambda payload: False)
    with caplog.at_level(logging.DEBUG, "ocppj"):
        assert fault("Reset", {"type": "Soft"}) is fault("Reset", {"type": "Hard"}) is None
    (record,) = caplog.records
    assert record.levelname == "DEBUG"
    assert "a payload of Reset that is valid" in record.getMessage()
    assert fault("Reset", {"type": "Gentle"}) == (VALUE, "type")


def test_the_search_decides_if_jsonschema_rs_fails(monkeypatch, tmp_path, caplog):
    def fail(payload):
        asked.append(payload)
        raise ValueError("a key that is no text")

    asked = []
    pretend(monkeypatch, tmp_path, "99.0", fail)
    with caplog.at_level(logging.DEBUG, "ocppj"):
        assert fault("Reset", {"type": "Soft"}) is None
        assert fault("Reset", {"type": "Gentle"}) == (VALUE, "type")
    assert len(asked) == 2
    assert not caplog.records


@pytest.mark.parametrize("payload", [{"type": "Soft", 1: 2}, {"type": "Soft", None: 2}, {1: 2}])
def test_a_name_that_is_no_text_is_refused(payload):
    assert fault("Reset", payload)[0] in (UNKNOWN, MISSING)


@pytest.mark.parametrize(
    "extra",
    [
        {"$ref": "#/definitions/none"},
        {"$ref": "other.json"},
        {"items": [{}]},
        {"enum": [[1], 2]},
        {"additionalProperties": {"type": "string"}},
        {"$id": "http://example.com/"},
        {"anyOf": [{}]},
        {"maxLength": "1"},
        {"maximum": True},
        {"const": {}},
    ],
)
def test_only_jsonschema_checks_a_schema_that_is_not_simple(extra):
    assert simplify_schema({"properties": {"a": extra}}) is None
    assert simplify_schema({"properties": {"a": {}}, "$schema": "https://json-schema.org/draft/2020-12/schema"}) is None


@pytest.mark.parametrize(
    "extra",
    [
        {"pattern": "^a"},
        {"enum": [1, "2", None]},
        {"type": ["string", "null"]},
        {"const": 1},
        {"uniqueItems": True},
        {"exclusiveMinimum": 1},
    ],
)
def test_jsonschema_rs_checks_no_schema_that_is_not_plain(extra):
    simple = simplify_schema({"properties": {"a": extra}})
    assert simple == ({"properties": {"a": extra}}, False)
    assert simplify_schema({"properties": {"a": {}}}).is_plain


def test_draft_04_has_other_rules_for_some_keywords():
    draft = {"$schema": "http://json-schema.org/draft-04/schema#"}
    assert simplify_schema({**draft, "minimum": 1, "exclusiveMinimum": True}) is None
    assert simplify_schema({**draft, "exclusiveMinimum": 1}) is None
    assert simplify_schema({**draft, "const": 1}) == ({}, True)
    feature = Feature("Old", v16.ResetRequest, None, {**draft, "properties": {"a": {"const": 1, "minimum": 1}}})
    assert fault(feature, {"a": 2}) is None
    assert fault(feature, {"a": 0}) == (VALUE, "a")


def test_only_jsonschema_checks_a_schema_that_refers_to_itself():
    schema = {
        "$ref": "#/definitions/Node",
        "definitions": {"Node": {"properties": {"next": {"$ref": "#/definitions/Node"}}}},
    }
    schema["definitions"]["Node"]["additionalProperties"] = False
    assert simplify_schema(schema) is None
    feature = Feature("Nodes", v16.ResetRequest, v16.ResetResponse, schema)
    assert fault(feature, {"next": {"next": {}}}) is None
    assert fault(feature, {"next": {"next": {"x": 1}}}) == (UNKNOWN, "next.next.x")


def test_many_threads_may_check_at_once():
    wrong = []

    def check():
        good, bad = profile(21.4), profile(21.44)
        told = {(fault("SetChargingProfile", good), fault("SetChargingProfile", bad)) for _ in range(200)}
        wrong.extend(told - {(None, (VALUE, PERIOD + ".limit"))})

    threads = [threading.Thread(target=check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong and not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize(
    ("version", "used"), [("0.34.0", False), ("0.48.9", False), ("0.49.0", True), ("1.0.0rc1", True)]
)
def test_an_old_jsonschema_rs_is_not_used(monkeypatch, tmp_path, version, used):
    pytest.importorskip("jsonschema_rs", reason="the extra fast is not installed")
    pretend(monkeypatch, tmp_path, version)
    assert (build_quick_check({}, bool, bool) is not None) == used
