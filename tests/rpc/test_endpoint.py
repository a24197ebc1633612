"""What messages there are, how they are made and what they mean, in OCPP 1.6."""

import json
from datetime import datetime, timezone

import pytest

from ocppj import (
    Call,
    CallError,
    CallResult,
    DuplicateFeature,
    EncodingError,
    Endpoint,
    ErrorCode,
    Feature,
    MessageError,
    PendingRequestState,
    Profile,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    v16,
)
from ocppj.rpc.dialect import V16

BOOT = v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M")
BOOT_WIRE = {"chargePointVendor": "V", "chargePointModel": "M"}
BOOTED_WIRE = {"currentTime": "2026-01-02T03:04:05Z", "interval": 300, "status": "Accepted"}
BOOTED = v16.BootNotificationResponse(
    current_time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), interval=300, status="Accepted"
)
UUID = "0" * 36


@pytest.fixture
def endpoint():
    return Endpoint(v16.PROFILES)


@pytest.fixture
def core():
    """An endpoint with one profile, which has only a few actions."""
    return Endpoint([v16.PROFILES[0]])


def pending(message_id="1", request=BOOT):
    state = PendingRequestState()
    state.add(message_id, request)
    return state


# Profiles


def test_profiles_are_found_by_name_and_by_feature(endpoint):
    core = endpoint.get_profile("Core")
    assert core is not None
    assert core.supports_feature("BootNotification")
    assert endpoint.get_profile_for_feature("BootNotification") is core
    assert endpoint.get_profile("Core", V16) is core
    assert endpoint.get_profile("core") is None
    assert endpoint.get_profile_for_feature("NoSuch") is None
    assert list(endpoint.profiles) == list(v16.PROFILES)
    assert endpoint.get_dialect("ocpp1.6") is V16
    assert endpoint.get_dialect("ocpp2.0.1") is None


def test_a_duplicate_profile_or_feature_is_refused_and_nothing_is_added(core):
    with pytest.raises(DuplicateFeature, match="Core"):
        core.add_profile(Profile("Core", V16))
    mixed = Profile(
        "Mixed",
        V16,
        Feature("Mine", v16.ReserveNowRequest, v16.ReserveNowResponse),
        Feature("BootNotification", v16.CancelReservationRequest, v16.CancelReservationResponse),
    )
    with pytest.raises(DuplicateFeature, match="BootNotification"):
        core.add_profile(mixed)
    with pytest.raises(DuplicateFeature):
        core.add_profile(Profile("Alias", V16, Feature("Boot", type(BOOT), type(BOOTED))))
    assert len(core.profiles) == 1
    assert core.get_profile_for_feature("Mine") is None


def test_an_endpoint_without_profiles_says_so():
    with pytest.raises(UsageError, match="no profiles"):
        Endpoint().parse_message([2, "1", "Heartbeat", {}], PendingRequestState())
    with pytest.raises(UnsupportedFeature):
        Endpoint().create_call(BOOT)


# Making messages


def test_create_call_is_complete_and_marks_nothing_pending(endpoint):
    call = endpoint.create_call(BOOT, message_id="1")
    assert (call.unique_id, call.action, call.payload) == ("1", "BootNotification", BOOT)
    assert json.loads(call.to_json()) == [2, "1", "BootNotification", BOOT_WIRE]
    assert endpoint.parse_message([3, "1", BOOTED_WIRE], PendingRequestState()) is None


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (v16.BootNotificationRequest(charge_point_vendor="V" * 21, charge_point_model="M"), "PropertyConstraint"),
        (v16.BootNotificationRequest(charge_point_vendor=None, charge_point_model="M"), "OccurrenceConstraint"),
        (v16.BootNotificationRequest(charge_point_vendor=7, charge_point_model="M"), "TypeConstraint"),
        (v16.ResetRequest(type="Gentle"), "PropertyConstraint"),
    ],
)
def test_an_outgoing_payload_is_checked(endpoint, request_, code):
    with pytest.raises(ValidationError, match=code):
        endpoint.create_call(request_)
    endpoint.set_message_validation(False)
    assert isinstance(endpoint.create_call(request_), Call)


def test_an_unsupported_feature_is_refused(core):
    with pytest.raises(UnsupportedFeature, match=r"ReserveNowRequest.*1\.6"):
        core.create_call(v16.ReserveNowRequest(1, datetime.now(timezone.utc), "T", 1))
    with pytest.raises(UnsupportedFeature, match="ReserveNowResponse"):
        core.create_call_result(v16.ReserveNowResponse(status="Accepted"), "1")
    with pytest.raises(UnsupportedFeature):
        core.create_call(BOOTED)


@pytest.mark.parametrize("bad", ["", "i" * 37])
def test_a_generator_of_bad_ids_is_refused(bad):
    with pytest.raises(UsageError, match="message id"):
        Endpoint(v16.PROFILES, message_id_generator=lambda: bad).create_call(BOOT)


def test_what_cannot_be_encoded_is_refused(endpoint):
    with pytest.raises(EncodingError, match="currentTime"):
        endpoint.create_call_result(v16.HeartbeatResponse(current_time=datetime(2026, 1, 1)), "1")  # noqa: DTZ001
    endpoint.set_message_validation(False)
    call = endpoint.create_call(v16.ResetRequest(type=object()))
    with pytest.raises(EncodingError):
        call.to_json()


def test_create_call_result_keeps_every_field_and_is_checked(endpoint):
    result = endpoint.create_call_result(BOOTED, "1", V16, "BootNotification")
    assert (result.unique_id, result.payload) == ("1", BOOTED)
    assert json.loads(result.to_json()) == [3, "1", BOOTED_WIRE]
    with pytest.raises(ValidationError):
        endpoint.create_call_result(v16.ResetResponse(status="Maybe"), "1")
    with pytest.raises(UnsupportedFeature, match="does not answer Reset"):
        endpoint.create_call_result(BOOTED, "1", V16, "Reset")
    with pytest.raises(UsageError, match="message id"):
        endpoint.create_call_result(BOOTED, "i" * 37)


@pytest.mark.parametrize("code", [ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "OccurrenceConstraintViolation"])
def test_create_call_error_keeps_every_field_and_spells_as_1_6_does(endpoint, code):
    error = endpoint.create_call_error("1", code, "why", {"a": [1]})
    assert (error.unique_id, error.error_description, error.error_details) == ("1", "why", {"a": [1]})
    assert error.to_json() == '[4,"1","OccurenceConstraintViolation","why",{"a":[1]}]'


@pytest.mark.parametrize("code", ["", "NoSuchCode", "genericError"])
def test_an_unknown_error_code_is_rejected(endpoint, code):
    with pytest.raises(UsageError, match="error code"):
        endpoint.create_call_error("1", code)


# Reading: what is right


def test_a_valid_call_comes_out_typed(endpoint):
    call = endpoint.parse_message([2, UUID, "BootNotification", BOOT_WIRE], PendingRequestState())
    assert call == Call(UUID, "BootNotification", BOOT)
    assert isinstance(call.payload, v16.BootNotificationRequest)


@pytest.mark.parametrize("payload", [{}, None])
def test_a_payload_of_null_is_read_as_empty(endpoint, payload):
    call = endpoint.parse_message([2, "1", "Heartbeat", payload], PendingRequestState())
    assert call == Call("1", "Heartbeat", v16.HeartbeatRequest())
    request = v16.StatusNotificationRequest(1, "NoError", "Available")
    result = endpoint.parse_message([3, "1", payload], pending("1", request))
    assert result == CallResult("1", v16.StatusNotificationResponse())


def test_a_result_has_the_type_of_the_pending_request_which_stays_pending(endpoint):
    state = pending()
    assert endpoint.parse_message([3, "1", BOOTED_WIRE], state) == CallResult("1", BOOTED)
    assert state.get("1") is BOOT


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([4, "1", "GenericError", "why", {"a": 1}], CallError("1", "GenericError", "why", {"a": 1})),
        ([4, "1", "VendorError", "", {}], CallError("1", "VendorError")),
        ([4, "1", "GenericError", "why"], CallError("1", "GenericError", "why")),
        ([4, "1", "GenericError", None, None], CallError("1", "GenericError")),
        ([4, "1", "GenericError", 7, "x"], CallError("1", "GenericError")),
    ],
)
def test_call_errors(endpoint, fields, expected):
    state = pending()
    assert endpoint.parse_message(fields, state) == expected
    assert state.has()


@pytest.mark.parametrize("fields", [[3, "2", {}], [3, "2", []], [3, "2"], [4, "2", "GenericError", "", {}], [4, "2"]])
@pytest.mark.parametrize("state", [PendingRequestState(), pending()])
def test_an_answer_to_nothing_pending_is_ignored(endpoint, fields, state):
    assert endpoint.parse_message(fields, state) is None


# Reading: what is wrong (WIRE.md, "Error codes")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([2, "1", "NoSuch", {}], "NotImplemented"),
        ([2, "1", "bootNotification", BOOT_WIRE], "NotImplemented"),
        ([2, "1", "BootNotificationRequest", BOOT_WIRE], "NotImplemented"),
        ([2, "1", "", {}], "NotImplemented"),
        ([2, "1", "ReserveNow", {}], "NotSupported"),
        ([2, "1", "BootNotification", {"chargePointVendor": "V"}], "OccurenceConstraintViolation"),
        ([2, "1", "BootNotification", {**BOOT_WIRE, "iccid": 7}], "TypeConstraintViolation"),
        ([2, "1", "BootNotification", {**BOOT_WIRE, "iccid": "i" * 21}], "PropertyConstraintViolation"),
        ([2, "1", "BootNotification", {**BOOT_WIRE, "foo": 7}], "FormationViolation"),
        ([2, "1", "BootNotification", []], "FormationViolation"),
        ([2, "1", "BootNotification", "x"], "FormationViolation"),
        ([2, "1", "BootNotification"], "FormationViolation"),
        ([2, "1"], "FormationViolation"),
        ([2, "1", "BootNotification", BOOT_WIRE, 5], "FormationViolation"),
        ([2, "1", 7, {}], "FormationViolation"),
        ([2, "1", None, {}], "FormationViolation"),
        ([2, "1", ["Heartbeat"], {}], "FormationViolation"),
    ],
)
def test_a_bad_call_is_answered_as_1_6_spells_it(core, fields, code):
    with pytest.raises(MessageError) as caught:
        core.parse_message(fields, PendingRequestState())
    error = caught.value
    assert (error.message_id, error.message_type, error.answerable) == ("1", 2, True)
    assert 0 < len(error.description) <= 255
    assert json.loads(core.create_call_error("1", error.code, error.description).to_json())[2] == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([3, "1", {"status": "Accepted"}], ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION),
        ([3, "1", {**BOOTED_WIRE, "foo": 1}], ErrorCode.FORMAT_VIOLATION),
        ([3, "1", []], ErrorCode.FORMAT_VIOLATION),
        ([3, "1"], ErrorCode.FORMAT_VIOLATION),
        ([3, "1", BOOTED_WIRE, 1], ErrorCode.FORMAT_VIOLATION),
        ([4, "1"], ErrorCode.FORMAT_VIOLATION),
        ([4, "1", "GenericError"], ErrorCode.FORMAT_VIOLATION),
        ([4, "1", 7, "", {}], ErrorCode.FORMAT_VIOLATION),
        ([4, "1", None, "", {}], ErrorCode.FORMAT_VIOLATION),
        ([4, "1", "GenericError", "", {}, 1], ErrorCode.FORMAT_VIOLATION),
    ],
)
def test_a_bad_answer_is_an_error_that_is_never_answered(endpoint, fields, code):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message(fields, pending())
    error = caught.value
    assert (error.code, error.message_id, error.message_type) == (code, "1", fields[0])
    assert not error.answerable


@pytest.mark.parametrize(
    "fields", [[], [2], [None, "1"], ["2", "1"], [True, "1"], [2.0, "1"], [[2], "1"], [{}], [2, ""], [2, None]]
)
def test_a_frame_without_type_or_id_is_unreadable(endpoint, fields):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([*fields, "Heartbeat", {}] if len(fields) > 1 else fields, pending())
    error = caught.value
    assert (error.code, error.message_id, error.message_type) == (ErrorCode.RPC_FRAMEWORK_ERROR, None, None)
    assert error.answerable


@pytest.mark.parametrize("message_id", ["", "i" * 37, "i" * 100_000, 7, None, True, ["1"], {"1": 1}])
@pytest.mark.parametrize(("number", "answerable"), [(2, True), (3, False), (4, False)])
def test_an_id_that_is_none_is_answered_for_calls_alone(endpoint, message_id, number, answerable):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([number, message_id, "Heartbeat", {}], pending())
    error = caught.value
    assert (error.code, error.message_id, error.answerable) == (ErrorCode.RPC_FRAMEWORK_ERROR, None, answerable)
    assert "iii" not in error.description


@pytest.mark.parametrize("length", [1, 36])
def test_an_id_of_1_to_36_characters_is_read(endpoint, length):
    assert endpoint.parse_message([2, "ü" * length, "Heartbeat", {}], pending()).unique_id == "ü" * length


@pytest.mark.parametrize("number", [0, 1, 5, 6, 7, -2, 10**400])
@pytest.mark.parametrize(("message_id", "kept"), [("1", "1"), ("", None), (7, None)])
def test_an_unknown_message_type_keeps_the_id_and_is_not_answered(endpoint, number, message_id, kept):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([number, message_id, "A", {}], pending())
    error = caught.value
    assert (error.code, error.message_id) == (ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED, kept)
    assert (error.message_type, error.answerable) == (number, False)
    assert len(error.description) <= 255


@pytest.mark.parametrize("action", ["x" * 100_000, "\U000e0001" * 100, "\ud800" * 36, "\x00'\"" * 30])
def test_an_odd_action_makes_a_short_description(endpoint, action):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([2, "1", action, {}], pending())
    assert len(caught.value.description) <= 255
    endpoint.create_call_error("1", caught.value.code, caught.value.description).to_json().encode()


def test_without_validation_a_payload_is_read_as_far_as_it_goes():
    endpoint = Endpoint(v16.PROFILES, validate=False)
    call = endpoint.parse_message([2, "1", "Reset", {"type": "Gentle", "foo": 1}], pending())
    assert call.payload == v16.ResetRequest(type="Gentle")
    for payload, value in ({}, None), ({"type": []}, []), ({"type": None}, None):
        assert endpoint.parse_message([2, "1", "Reset", payload], pending()).payload == v16.ResetRequest(type=value)
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([2, "1", "Reset", []], pending())
    assert caught.value.code is ErrorCode.FORMAT_VIOLATION


def test_a_message_that_is_never_answered():
    feature = Feature("Stream", v16.ResetRequest, None)
    endpoint = Endpoint([Profile("mine", V16, feature)])
    with pytest.raises(MessageError, match="never answered"):
        endpoint.parse_message([3, "1", {}], pending("1", v16.ResetRequest(type="Soft")))
