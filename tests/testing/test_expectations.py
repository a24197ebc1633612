"""``Expectation``: what is expected, and how what came differs."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from unittest import mock

import pytest

from ocppj import ErrorCode, Payload, UsageError, v16, v21, v201, wire
from ocppj.testing.examples import example
from ocppj.testing.expectations import ErrorExpectation, Expectation, compare, nearest, show
from tests.fixtures import BOOT, BOOT_WIRE, BOOTED_WIRE, NOW
from tests.testing.journals import Talk

STATUS = v16.StatusNotificationRequest(connector_id=1, error_code="NoError", status="Charging", timestamp=NOW)


def call(request, version="1.6"):
    """Return the entry of a CALL with that request."""
    action = type(request).__name__.replace("Request", "")
    return Talk(version).came(2, "1", action, request.to_wire())


def differs(what, seen, fields=None, where=None):
    """Return how ``seen`` differs from what is expected, in words, or ``None``."""
    mismatch = Expectation(what, fields, where).mismatch(seen)
    return mismatch and mismatch.text


# By type


def test_a_type():
    seen = call(BOOT)
    assert differs(v16.BootNotificationRequest, seen) is None
    assert differs(v16.HeartbeatRequest, seen) == "it is a CALL BootNotification"
    assert differs(v16.BootNotificationResponse, seen) == "it is a CALL BootNotification"
    assert (
        differs(v201.BootNotificationRequest, seen) == "it is of OCPP 1.6: ocppj.v16.messages.BootNotificationRequest"
    )


def test_a_response():
    talk = Talk()
    talk.went(2, "1", "Reset", {"type": "Soft"})
    done = talk.came(3, "1", {"status": "Accepted"})
    assert differs(v16.ResetResponse, done) is None
    assert differs(v16.ResetResponse, done, {"status": "Rejected"}) == "status is 'Accepted', not 'Rejected'"
    assert differs(v16.ResetRequest, done) == "it is the RESULT of a Reset"
    talk.went(2, "2", "Reset", {"type": "Soft"})
    assert differs(v16.ResetResponse, talk.came(4, "2", "InternalError", "", {})) == "it is an error: InternalError"
    talk.went(2, "3", "Reset", {"type": "Soft"})
    error = talk.came(4, "3", "InternalError", "no", {})
    assert differs(v16.ResetResponse, error) == "it is an error: InternalError: no"
    assert differs(v16.ResetRequest, error) == "it is the ERROR of a Reset"


def test_a_send():
    stream = example(v21.NotifyPeriodicEventStream, id=7)
    seen = Talk("2.1").came(6, "1", "NotifyPeriodicEventStream", stream.to_wire())
    assert differs(v21.NotifyPeriodicEventStream, seen, {"id": 7}) is None
    assert differs("NotifyPeriodicEventStream", seen, {"id": 8}) == "id is 7, not 8"


def test_a_message_that_breaks_its_schema_has_no_type():
    seen = Talk().came(2, "1", "BootNotification", {"chargePointVendor": "V"})
    fault = "OccurenceConstraintViolation: required property 'chargePointModel' is missing"
    assert differs(v16.BootNotificationRequest, seen) == f"it breaks the rules: {fault}"
    assert differs(v16.HeartbeatRequest, seen) == "it is a CALL BootNotification"
    assert Expectation(v16.BootNotificationRequest).is_about(seen)
    assert not Expectation(v16.HeartbeatRequest).is_about(seen)


@dataclass
class OwnRequest(Payload):
    name: str = field(metadata=wire("name"))


def test_what_is_neither_a_type_nor_an_action():
    for what in (BOOT, None, dict, v16.RegistrationStatus):
        with pytest.raises(
            UsageError, match="a message type or an action is expected, such as v16.HeartbeatRequest, not"
        ):
            Expectation(what)


def test_a_field_that_the_type_does_not_have():
    with pytest.raises(UsageError, match="OwnRequest has no field 'nane'; its fields are name"):
        Expectation(OwnRequest, {"nane": 1})


# By action


def test_an_action():
    seen = call(BOOT)
    assert differs("BootNotification", seen) is None
    assert differs("Heartbeat", seen) == "it is a CALL BootNotification"
    talk = Talk()
    talk.went(2, "1", "Reset", {"type": "Soft"})
    assert differs("Reset", talk.came(3, "1", {"status": "Accepted"})) == "it is the RESULT of a Reset"
    assert differs("Reset", talk.came("garbage")) == "it is a frame that is no message"
    assert differs("Reset", talk.came(3, "1", {})) == "it is the RESULT of a Reset"
    assert differs("Reset", talk.came(3, "9", {})) == "it is a RESULT to nothing"
    assert differs("Reset", talk.came(2, "9", 7, {})) == "it is a CALL"


@pytest.mark.parametrize("name", ["charge_point_vendor", "chargePointVendor"])
@pytest.mark.parametrize("data", [BOOT_WIRE, {"chargePointVendor": "V"}], ids=["valid", "broken"])
def test_fields_of_a_message_by_both_names(name, data):
    seen = Talk().came(2, "1", "BootNotification", data)
    assert differs("BootNotification", seen, {name: "V"}) is None
    assert differs("BootNotification", seen, {name: "W"}) == f"{name} is 'V', not 'W'"
    assert differs("BootNotification", seen, {"other": "W"}) == "other is absent, not 'W'"
    assert differs("BootNotification", seen, {"other": None, "iccid": None}) is None


def test_a_payload_that_is_no_object_has_no_fields():
    seen = Talk().came(2, "1", "Heartbeat", [1])
    assert differs("Heartbeat", seen) is None
    assert differs("Heartbeat", seen, {"id": 1}) == "id is absent, not 1"


# Fields


def test_fields():
    seen = call(STATUS)
    assert differs(v16.StatusNotificationRequest, seen, {"connector_id": 1, "status": "Charging"}) is None
    assert differs(v16.StatusNotificationRequest, seen, {"connectorId": 0}) == "connectorId is 1, not 0"
    texts = differs(v16.StatusNotificationRequest, seen, {"connector_id": 2, "status": "Faulted", "info": None})
    assert texts == "connector_id is 1, not 2; status is 'Charging', not 'Faulted'"
    assert differs(v16.StatusNotificationRequest, seen, {"info": "x"}) == "info is absent, not 'x'"
    assert differs(v16.StatusNotificationRequest, seen, {"status": None}) == "status is 'Charging', not absent"


class Plain(Enum):
    ONE = "one"


def test_enums_are_their_text():
    status = v16.ChargePointStatus
    for expected, fault in (
        ("Charging", None),
        (status.CHARGING, None),
        (status.FAULTED, "status is 'Charging', not 'Faulted'"),
    ):
        assert differs(v16.StatusNotificationRequest, call(STATUS), {"status": expected}) == fault
    assert compare("Charging", status.CHARGING, "x") is None
    assert compare(status.CHARGING, "Charging", "x") is None
    assert compare(Plain.ONE, "one", "x") is None  # one that is no text itself
    assert compare("one", Plain.ONE, "x") is None
    assert compare(Plain.ONE, "two", "x") == "x is 'two', not 'one'"


@pytest.mark.parametrize(
    "expected",
    [
        NOW,
        NOW.astimezone(timezone(timedelta(hours=5))),
        NOW.replace(tzinfo=None),
        "2026-01-02T03:04:05Z",
        "2026-01-02T04:04:05.000+01:00",
    ],
    ids=str,
)
def test_date_times_are_compared_by_their_value(expected):
    assert compare(expected, NOW, "at") is None
    if isinstance(expected, datetime):
        assert compare(expected, "2026-01-02T03:04:05.000Z", "at") is None
    assert compare(expected, NOW + timedelta(seconds=1), "at") is not None


def test_a_date_time_that_differs():
    assert compare(NOW, NOW.replace(hour=4), "at") == "at is 2026-01-02T04:04:05+00:00, not 2026-01-02T03:04:05+00:00"
    assert compare("soon", NOW, "at") == "at is 2026-01-02T03:04:05+00:00, not 'soon'"
    assert compare(NOW, "soon", "at") == "at is 'soon', not 2026-01-02T03:04:05+00:00"
    assert compare(NOW, None, "at") == "at is absent, not 2026-01-02T03:04:05+00:00"


def test_true_is_no_number():
    assert compare(1, 1.0, "x") is None
    assert compare(True, True, "x") is None
    assert compare(True, 1, "x") == "x is 1, not True"
    assert compare(0, False, "x") == "x is False, not 0"


def test_values_that_compare_themselves():
    assert compare(pytest.approx(1, abs=0.1), 1.05, "x") is None
    assert compare(pytest.approx(1, abs=0.1), 1.5, "x") == "x is 1.5, not 1 ± 0.1"
    assert compare(mock.ANY, True, "x") is None


def test_a_mapping_needs_some_members_only():
    request = example(v201.AuthorizeRequest, id_token={"id_token": "CARD", "type": "ISO14443"})
    seen, text = call(request, "2.0.1"), "id_token.id_token is 'CARD', not 'X'"
    for members in ({}, {"id_token": "CARD"}, {"idToken": "CARD"}, {"type": v201.IdTokenEnum.ISO14443}):
        assert differs(v201.AuthorizeRequest, seen, {"id_token": members}) is None
    assert (
        differs(v201.AuthorizeRequest, seen, {"id_token": {"id_token": "X"}}) == "id_token.id_token is 'CARD', not 'X'"
    )
    assert differs(v201.AuthorizeRequest, seen, {"id_token": {"nothing": 1}}) == "id_token.nothing is absent, not 1"
    assert differs(v201.AuthorizeRequest, seen, {"certificate": {"a": 1}}) == "certificate is absent, not {a: 1}"
    broken = Talk("2.0.1").came(2, "1", "Authorize", {"idToken": {"idToken": "CARD"}})
    assert differs("Authorize", broken, {"id_token": {"id_token": "CARD"}}) is None
    assert differs("Authorize", broken, {"id_token": {"id_token": "X"}}) == text


def test_of_a_typed_value_all_fields_count():
    token = v201.IdToken(id_token="CARD", type="ISO14443")
    seen = call(v201.AuthorizeRequest(id_token=token), "2.0.1")
    assert differs(v201.AuthorizeRequest, seen, {"id_token": token}) is None
    more = replace(token, additional_info=[v201.AdditionalInfo("a", "b")])
    text = "id_token.additional_info is absent, not [AdditionalInfo(additional_id_token='a', type='b')]"
    assert differs(v201.AuthorizeRequest, seen, {"id_token": more}) == text
    broken = Talk("2.0.1").came(2, "1", "Authorize", {"idToken": {"idToken": "CARD"}})
    assert differs("Authorize", broken, {"id_token": token}) == "id_token.type is absent, not 'ISO14443'"


def test_items_of_lists():
    meter = [{"timestamp": "2026-01-02T03:04:05Z", "sampledValue": [{"value": "7"}, {"value": "8"}]}]
    seen = Talk().came(2, "1", "MeterValues", {"connectorId": 1, "meterValue": meter})

    def values(*items):
        return differs(v16.MeterValuesRequest, seen, {"meter_value": [{"sampled_value": list(items)}]})

    assert values({"value": "7"}, {"value": "8"}) is None
    assert values({"value": "7"}, {"value": "9"}) == "meter_value[0].sampled_value[1].value is '8', not '9'"
    assert values({"value": "7"}) == "meter_value[0].sampled_value has 2 items, not 1"
    assert differs(v16.MeterValuesRequest, seen, {"meter_value": []}) == "meter_value has 1 item, not 0"
    assert differs(v16.MeterValuesRequest, seen, {"connector_id": [1]}) == "connector_id is 1, not [1]"


def test_a_function_chooses():
    seen = call(STATUS)
    assert differs(v16.StatusNotificationRequest, seen, where=lambda request: request == STATUS) is None
    text = differs(v16.StatusNotificationRequest, seen, where=lambda request: request.connector_id > 1)
    assert text == "where= does not accept it"
    assert differs("StatusNotification", seen, where=lambda each: each.payload["connectorId"] == 1) is None
    asked = []
    differs(v16.HeartbeatRequest, seen, where=asked.append)
    differs(v16.StatusNotificationRequest, seen, {"connector_id": 5}, where=asked.append)
    assert not asked  # it is asked about what is expected otherwise


def test_a_long_value_is_cut():
    assert show("x" * 300) == f"'{'x' * 196}..."
    assert show([NOW, {"a": None}, BOOT]) == (
        "[2026-01-02T03:04:05+00:00, {a: absent},"
        " BootNotificationRequest(charge_point_vendor='V', charge_point_model='M')]"
    )


def test_what_a_peer_sends_is_cut_and_harmless():
    talk = Talk()
    talk.went(2, "1", "Reset", {"type": "Soft"})
    error = talk.came(4, "1", "E\x1b" + "e" * 300, "no\n", {})
    code = "E\\x1b" + "e" * 192 + "..."
    assert differs(v16.ResetResponse, error) == f"it is an error: {code}"
    assert ErrorExpectation("Reset", "InternalError").mismatch(error).text == f"the code is {code}, not InternalError"
    odd = talk.came(2, "1", "A\x1b" + "a" * 300, {})
    assert differs("Reset", odd) == "it is a CALL A\\x1b" + "a" * 34


# What is returned


def test_the_message_knows_when_it_came():
    seen = call(BOOT)
    got = Expectation(v16.BootNotificationRequest).result(seen)
    assert got == BOOT
    assert got.to_wire() == BOOT_WIRE
    assert repr(got) == repr(BOOT)
    assert replace(got, iccid="1") == replace(BOOT, iccid="1")
    assert (got.at, got.time, got.message_id, got.client_id, got.text) == (
        1.0,
        datetime(2026, 1, 1, 0, 0, 1, tzinfo=timezone.utc),
        "1",
        "CP_1",
        seen.text,
    )


def test_a_field_of_the_message_is_kept():
    seen = call(v16.DataTransferRequest(vendor_id="V", message_id="theirs"))
    got = Expectation(v16.DataTransferRequest).result(seen)
    assert got.message_id == "theirs"
    assert got.at == 1.0


def test_for_an_action_the_entry_is_returned():
    seen = call(BOOT)
    assert Expectation("BootNotification").result(seen) is seen


# Errors


@pytest.fixture
def refused():
    """The entry of the error with which a BootNotification is refused."""
    talk = Talk()
    talk.came(2, "1", "BootNotification", {})
    return talk.went(4, "1", "OccurenceConstraintViolation", "no", {})


@pytest.mark.parametrize(
    "code", [None, "OccurenceConstraintViolation", ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION], ids=str
)
@pytest.mark.parametrize("action", [None, "BootNotification"])
def test_an_error(action, code, refused):
    assert ErrorExpectation(action, code).mismatch(refused) is None
    assert ErrorExpectation(action, code).result(refused) is refused


def test_an_error_that_differs(refused):
    def fault(action, code, seen=refused):
        return ErrorExpectation(action, code).mismatch(seen).text

    assert fault("Heartbeat", None) == "it is the ERROR of a BootNotification"
    # As text, a code is what is on the wire.
    text = "the code is OccurenceConstraintViolation, not OccurrenceConstraintViolation"
    assert fault(None, "OccurrenceConstraintViolation") == text
    assert fault(None, ErrorCode.SECURITY_ERROR) == "the code is OccurenceConstraintViolation, not SecurityError"
    assert fault(None, None, call(BOOT)) == "it is a CALL BootNotification"
    talk = Talk()
    talk.came(2, "1", "BootNotification", BOOT_WIRE)
    assert fault("BootNotification", None, talk.went(3, "1", BOOTED_WIRE)) == "it is the RESULT of a BootNotification"


# In words


@pytest.mark.parametrize(
    ("expectation", "text"),
    [
        (Expectation(v16.HeartbeatRequest), "HeartbeatRequest"),
        (Expectation("Heartbeat"), "Heartbeat"),
        (
            Expectation(v16.StatusNotificationRequest, {"status": v16.ChargePointStatus.FAULTED, "info": None}),
            "StatusNotificationRequest with status='Faulted', info=absent",
        ),
        (Expectation("Reset", where=bool), "Reset that where= accepts"),
        (Expectation("Reset", {"type": "Soft"}, bool), "Reset with type='Soft' that where= accepts"),
        (ErrorExpectation(), "an error"),
        (ErrorExpectation("Reset"), "an error as the answer to Reset"),
        (ErrorExpectation("Reset", ErrorCode.INTERNAL_ERROR), "the error InternalError as the answer to Reset"),
        (ErrorExpectation(code="InternalError"), "the error InternalError"),
    ],
)
def test_in_words(expectation, text):
    assert str(expectation) == text


# What came nearest


def test_the_nearest_differs_in_the_fewest_fields():
    talk = Talk()
    data = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
    entries = [
        talk.came(2, str(number), "StatusNotification", {**data, **more})
        for number, more in enumerate(
            [{"connectorId": 2}, {}, {"status": "Faulted"}, {"connectorId": 3, "status": "Faulted"}]
        )
    ]
    entries.append(talk.came(2, "9", "Heartbeat", {}))
    fields = {"connector_id": 1, "status": "Charging"}
    seen, mismatch = nearest(Expectation(v16.StatusNotificationRequest, fields), entries)
    assert seen is entries[2]  # the latest of those with one fault
    assert mismatch.text == "status is 'Faulted', not 'Charging'"


def test_the_nearest_has_the_type_then_the_action():
    talk = Talk()
    talk.went(2, "1", "Reset", {"type": "Soft"})
    error = talk.came(4, "1", "InternalError", "", {})
    talk.went(2, "2", "Reset", {"type": "Soft"})
    broken = talk.came(3, "2", {"status": "Maybe"})
    talk.went(2, "3", "Reset", {"type": "Soft"})
    right = talk.came(3, "3", {"status": "Rejected"})
    beat = talk.came(2, "1", "Heartbeat", {})
    expectation = Expectation(v16.ResetResponse, {"status": "Accepted"})
    assert nearest(expectation, [right, broken, error, beat])[0] is right
    assert nearest(expectation, [broken, error, beat])[0] is broken
    assert nearest(expectation, [error, beat])[0] is error
    assert nearest(expectation, [beat]) is None
    assert nearest(expectation, []) is None


def test_the_nearest_error(refused):
    assert nearest(ErrorExpectation("Heartbeat", "InternalError"), [call(BOOT), refused])[0] is refused
    assert nearest(ErrorExpectation("BootNotification"), [call(BOOT)]) is None
