"""`Endpoint`: its profiles, and how it creates and parses messages, mostly of OCPP 1.6."""

import json
import logging
from dataclasses import dataclass, field
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
    Payload,
    PendingRequestState,
    Profile,
    Request,
    Send,
    Server,
    UnsupportedFeature,
    UsageError,
    Validation,
    ValidationError,
    set_message_validation,
    v16,
    v21,
    wire,
)
from ocppj.rpc.dialect import V16, V21
from ocppj.rpc.validation import use_accelerators
from tests.helpers import Recorder, eventually, seconds
from tests.peers import Memory, RawClient

BOOT = v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M")
BOOT_WIRE = {"chargePointVendor": "V", "chargePointModel": "M"}
BOOTED_WIRE = {"currentTime": "2026-01-02T03:04:05.000Z", "interval": 300, "status": "Accepted"}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
BOOTED = v16.BootNotificationResponse(current_time=NOW, interval=300, status="Accepted")
UUID = "0" * 36


@pytest.fixture(autouse=True, params=[True, False], ids=["fast", "plain"])
def accelerators(request):
    """Run each test with the accelerators and without them. The results are the same."""
    use_accelerators(request.param)
    yield
    use_accelerators(True)


@pytest.fixture
def endpoint():
    return Endpoint(v16.PROFILES)


@pytest.fixture
def core():
    """An endpoint with one profile, that does not have all actions."""
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


# Creating messages


def test_create_call_sets_all_fields_and_leaves_nothing_pending(endpoint):
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
def test_an_invalid_id_of_the_generator_is_refused(bad):
    with pytest.raises(UsageError, match="message id"):
        Endpoint(v16.PROFILES, message_id_generator=lambda: bad).create_call(BOOT)


def test_a_value_without_a_json_form_is_refused(endpoint):
    with pytest.raises(EncodingError, match="currentTime"):
        endpoint.create_call_result(v16.HeartbeatResponse(current_time=datetime(2026, 1, 1)), "1")  # noqa: DTZ001
    endpoint.set_message_validation(False)
    call = endpoint.create_call(v16.ResetRequest(type=object()))
    with pytest.raises(EncodingError):
        call.to_json()


def test_create_call_result_sets_all_fields_and_checks_them(endpoint):
    result = endpoint.create_call_result(BOOTED, "1", V16, "BootNotification")
    assert (result.unique_id, result.payload) == ("1", BOOTED)
    assert json.loads(result.to_json()) == [3, "1", BOOTED_WIRE]
    with pytest.raises(ValidationError):
        endpoint.create_call_result(v16.ResetResponse(status="Maybe"), "1")
    with pytest.raises(UnsupportedFeature, match="does not answer Reset"):
        endpoint.create_call_result(BOOTED, "1", V16, "Reset")
    with pytest.raises(UsageError, match="message id"):
        endpoint.create_call_result(BOOTED, "i" * 37)


ACCEPTED = v16.ResetResponse(status="Accepted")


@pytest.mark.parametrize(
    ("response", "action", "error"),
    [
        (v16.HeartbeatResponse(current_time=NOW), "BootNotification", UnsupportedFeature),
        (v16.ClearCacheResponse(status="Accepted"), "Reset", UnsupportedFeature),
        (ACCEPTED, "Nothing", UnsupportedFeature),
        (ACCEPTED, "", UnsupportedFeature),
        (BOOT, "BootNotification", UnsupportedFeature),
        (v16.ResetResponse(status="Perhaps"), "Reset", ValidationError),
        (v16.HeartbeatResponse(current_time=datetime(2026, 1, 1)), "Heartbeat", EncodingError),  # noqa: DTZ001
        (v16.HeartbeatResponse(current_time=None), "Heartbeat", ValidationError),
    ],
)
@pytest.mark.parametrize("dialect", [V16, None])
def test_create_call_result_refuses_a_wrong_response(endpoint, response, action, error, dialect):
    with pytest.raises(error):
        endpoint.create_call_result(response, "1", dialect, action)


@pytest.mark.parametrize("dialect", [V16, None])
@pytest.mark.parametrize("action", ["Reset", None])
def test_create_call_result_accepts_a_response_of_the_right_type(endpoint, dialect, action):
    result = endpoint.create_call_result(ACCEPTED, "1", dialect, action)
    assert result == CallResult("1", ACCEPTED)
    assert result.to_json() == '[3,"1",{"status":"Accepted"}]'


def test_two_actions_may_have_the_same_type_of_response():
    one = Feature("One", v16.ResetRequest, v16.ResetResponse)
    other = Feature("Other", v16.HeartbeatRequest, v16.ResetResponse, None, {"required": ["more"]})
    endpoint = Endpoint([Profile("mine", V16, one, other)])
    assert endpoint.create_call_result(ACCEPTED, "1", V16, "One") == CallResult("1", ACCEPTED)
    for dialect in V16, None:
        with pytest.raises(ValidationError, match="more"):
            endpoint.create_call_result(ACCEPTED, "1", dialect, "Other")


@pytest.mark.parametrize("code", [ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "OccurrenceConstraintViolation"])
def test_create_call_error_sets_all_fields_in_the_spelling_of_1_6(endpoint, code):
    error = endpoint.create_call_error("1", code, "why", {"a": [1]})
    assert (error.unique_id, error.error_description, error.error_details) == ("1", "why", {"a": [1]})
    assert error.to_json() == '[4,"1","OccurenceConstraintViolation","why",{"a":[1]}]'


@pytest.mark.parametrize("code", ["", "NoSuchCode", "genericError"])
def test_an_unknown_error_code_is_refused(endpoint, code):
    with pytest.raises(UsageError, match="error code"):
        endpoint.create_call_error("1", code)


# Parsing valid messages


def test_a_valid_call_has_a_typed_payload(endpoint):
    call = endpoint.parse_message([2, UUID, "BootNotification", BOOT_WIRE], PendingRequestState())
    assert call == Call(UUID, "BootNotification", BOOT)
    assert isinstance(call.payload, v16.BootNotificationRequest)


STREAM = {"id": 1, "pending": 0, "basetime": "2026-01-01T00:00:00.000Z", "data": [{"t": 0.5, "v": "1"}]}
RESET_21 = v21.ResetRequest(type="Immediate")
JWS = {"payload": "", "protected": "", "signature": ""}


@pytest.fixture
def both():
    """An endpoint of two versions."""
    return Endpoint([*v16.PROFILES, *v21.PROFILES])


@pytest.mark.parametrize(
    ("dialect", "fields", "kind"),
    [
        (V16, [2, "1", "Heartbeat", {}], Call),
        (V16, [2, "i" * 36, "BootNotification", BOOT_WIRE], Call),
        (V16, [2, "1", "Reset", {"type": "Soft"}], Call),
        (V21, [2, "1", "Reset", {"type": "Immediate"}], Call),
        (V21, [6, "1", "NotifyPeriodicEventStream", STREAM], Send),
    ],
)
def test_a_message_has_the_types_of_its_version(both, dialect, fields, kind):
    message = both.parse_message(fields, PendingRequestState(), dialect)
    assert type(message) is kind
    assert [message.unique_id, message.action] == fields[1:3]
    assert type(message.payload).__module__.startswith(dialect.package)
    assert message.payload.to_wire() == fields[3]
    assert message.signature is None and message.signed_payload is None
    assert json.loads(message.to_json()) == fields


UNREADABLE, FORMAT = ErrorCode.RPC_FRAMEWORK_ERROR, ErrorCode.FORMAT_VIOLATION


@pytest.mark.parametrize(
    ("dialect", "fields", "code"),
    [
        (V16, [2.0, "1", "Heartbeat", {}], UNREADABLE),
        (V16, [True, "1", "Heartbeat", {}], UNREADABLE),
        (V16, ["2", "1", "Heartbeat", {}], UNREADABLE),
        (V16, [2, "", "Heartbeat", {}], UNREADABLE),
        (V16, [2, "i" * 37, "Heartbeat", {}], UNREADABLE),
        (V16, [2, 1, "Heartbeat", {}], UNREADABLE),
        (V16, [6, "1", "Heartbeat", {}], ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED),
        (V21, [6, "1", "Heartbeat", {}], FORMAT),
        (V16, [2, "1", "Heartbeat"], FORMAT),
        (V16, [2, "1", "Heartbeat", {}, {}], FORMAT),
        (V16, [2, "1", "Heartbeat", {"x": 1}], FORMAT),
        (V16, [2, "1", "TransactionEvent", {}], ErrorCode.NOT_IMPLEMENTED),
        (V21, [2, "1", "NotifyPeriodicEventStream", {}], FORMAT),
        (V21, [2, "1", "NotifyPeriodicEventStream", STREAM], FORMAT),
        (V21, [6, "1", "NotifyPeriodicEventStream", {}], ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION),
        (V21, [2, "1", "Reset-Signed", JWS], FORMAT),
        (V16, [2, "1", "Reset-Signed", JWS], ErrorCode.NOT_IMPLEMENTED),
    ],
)
def test_a_message_that_the_version_does_not_have_is_refused(both, dialect, fields, code):
    with pytest.raises(MessageError) as caught:
        both.parse_message(fields, PendingRequestState(), dialect)
    assert caught.value.code is code


@pytest.mark.parametrize(("dialect", "request_"), [(V16, v16.ResetRequest(type="Soft")), (V21, RESET_21)])
def test_an_answer_has_the_types_of_the_version(both, dialect, request_):
    fields = [3, "1", {"status": "Accepted"}]
    result = both.parse_message(fields, pending("1", request_), dialect)
    assert type(result) is CallResult
    assert type(result.payload).__module__.startswith(dialect.package)
    assert json.loads(result.to_json()) == fields


@pytest.mark.parametrize(
    ("dialect", "request_", "fields", "code"),
    [
        (V16, v16.ResetRequest(type="Soft"), [3, ["1"], {"status": "Accepted"}], UNREADABLE),
        (V16, v16.ResetRequest(type="Soft"), [3.0, "1", {"status": "Accepted"}], UNREADABLE),
        (V16, v16.ResetRequest(type="Soft"), [3, "1", {"status": "Perhaps"}], ErrorCode.PROPERTY_CONSTRAINT_VIOLATION),
        (V16, v16.ResetRequest(type="Soft"), [3, "1", []], FORMAT),
        (V16, v16.ResetRequest(type="Soft"), [3, "1"], FORMAT),
        (V16, RESET_21, [3, "1", {"status": "Accepted"}], ErrorCode.INTERNAL_ERROR),
        (V21, RESET_21, [3, "1", JWS], FORMAT),
    ],
)
def test_an_invalid_answer_is_refused(both, dialect, request_, fields, code):
    with pytest.raises(MessageError) as caught:
        both.parse_message(fields, pending("1", request_), dialect)
    assert caught.value.code is code


@pytest.mark.parametrize("payload", [{}, None])
def test_a_payload_of_null_is_an_empty_object(endpoint, payload):
    call = endpoint.parse_message([2, "1", "Heartbeat", payload], PendingRequestState())
    assert call == Call("1", "Heartbeat", v16.HeartbeatRequest())
    request = v16.StatusNotificationRequest(1, "NoError", "Available")
    result = endpoint.parse_message([3, "1", payload], pending("1", request))
    assert result == CallResult("1", v16.StatusNotificationResponse())


def test_a_result_has_the_type_of_the_pending_request_and_does_not_end_it(endpoint):
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
        ([4, "1", "GenericError", 7, "x"], CallError("1", "GenericError", "", {"description": 7, "details": "x"})),
        ([4, "1", "GenericError", {"a": 1}], CallError("1", "GenericError", "", {"description": {"a": 1}})),
        ([4, "1", "GenericError", None, {"a": 1}], CallError("1", "GenericError", "", {"a": 1})),
    ],
)
def test_call_errors(endpoint, fields, expected):
    state = pending()
    assert endpoint.parse_message(fields, state) == expected
    assert state.has()


@pytest.mark.parametrize("fields", [[3, "2", {}], [3, "2", []], [3, "2"], [4, "2", "GenericError", "", {}], [4, "2"]])
@pytest.mark.parametrize("state", [PendingRequestState(), pending()])
def test_an_answer_to_no_pending_request_is_ignored(endpoint, fields, state):
    assert endpoint.parse_message(fields, state) is None


# Parsing invalid messages (docs/errors.md)


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
def test_an_invalid_call_has_the_error_code_of_1_6(core, fields, code):
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
def test_the_error_of_an_invalid_answer_is_not_answerable(endpoint, fields, code):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message(fields, pending())
    error = caught.value
    assert (error.code, error.message_id, error.message_type) == (code, "1", fields[0])
    assert not error.answerable


@pytest.mark.parametrize(
    "fields", [[], [2], [None, "1"], ["2", "1"], [True, "1"], [2.0, "1"], [[2], "1"], [{}], [2, ""], [2, None]]
)
def test_a_frame_without_type_or_id_is_a_framework_error(endpoint, fields):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([*fields, "Heartbeat", {}] if len(fields) > 1 else fields, pending())
    error = caught.value
    assert (error.code, error.message_id, error.message_type) == (ErrorCode.RPC_FRAMEWORK_ERROR, None, None)
    assert error.answerable


@pytest.mark.parametrize("message_id", ["", "i" * 37, "i" * 100_000, 7, None, True, ["1"], {"1": 1}])
@pytest.mark.parametrize(("number", "answerable"), [(2, True), (3, False), (4, False)])
def test_an_invalid_id_is_answerable_only_in_a_call(endpoint, message_id, number, answerable):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([number, message_id, "Heartbeat", {}], pending())
    error = caught.value
    assert (error.code, error.message_id, error.answerable) == (ErrorCode.RPC_FRAMEWORK_ERROR, None, answerable)
    assert "iii" not in error.description


@pytest.mark.parametrize("length", [1, 36])
def test_an_id_of_1_to_36_characters_is_accepted(endpoint, length):
    assert endpoint.parse_message([2, "ü" * length, "Heartbeat", {}], pending()).unique_id == "ü" * length


@pytest.mark.parametrize("number", [0, 1, 5, 6, 7, -2, 10**400])
@pytest.mark.parametrize(("message_id", "kept"), [("1", "1"), ("", None), (7, None)])
def test_the_error_of_an_unknown_message_type_has_the_id_and_is_not_answerable(endpoint, number, message_id, kept):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([number, message_id, "A", {}], pending())
    error = caught.value
    assert (error.code, error.message_id) == (ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED, kept)
    assert (error.message_type, error.answerable) == (number, False)
    assert len(error.description) <= 255


@pytest.mark.parametrize("action", ["x" * 100_000, "\U000e0001" * 100, "\ud800" * 36, "\x00'\"" * 30])
def test_the_description_of_an_unknown_action_is_short(endpoint, action):
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([2, "1", action, {}], pending())
    assert len(caught.value.description) <= 255
    endpoint.create_call_error("1", caught.value.code, caught.value.description).to_json().encode()


def test_without_validation_a_payload_is_decoded_as_far_as_possible():
    endpoint = Endpoint(v16.PROFILES, validate=False)
    call = endpoint.parse_message([2, "1", "Reset", {"type": "Gentle", "foo": 1}], pending())
    assert call.payload == v16.ResetRequest(type="Gentle")
    for payload, value in ({}, None), ({"type": []}, []), ({"type": None}, None):
        assert endpoint.parse_message([2, "1", "Reset", payload], pending()).payload == v16.ResetRequest(type=value)
    with pytest.raises(MessageError) as caught:
        endpoint.parse_message([2, "1", "Reset", []], pending())
    assert caught.value.code is ErrorCode.FORMAT_VIOLATION


def test_an_answer_to_a_request_without_response_is_refused():
    feature = Feature("Stream", v16.ResetRequest, None)
    endpoint = Endpoint([Profile("mine", V16, feature)])
    with pytest.raises(MessageError, match="never answered"):
        endpoint.parse_message([3, "1", {}], pending("1", v16.ResetRequest(type="Soft")))


# Modes, and faults of the program


WRONG = [2, "1", "Heartbeat", {"x": 1}]


@pytest.fixture
def process_setting():
    yield set_message_validation
    set_message_validation("standard")


def observe_mode(endpoint, fields, caplog):
    """Return the mode, "strict", "warn" or "off", by which an invalid frame was parsed."""
    caplog.clear()
    try:
        endpoint.parse_message(fields, PendingRequestState(), V16)
    except MessageError:
        return "strict"
    return "warn" if caplog.records else "off"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("strict", "strict"),
        ("warn", "warn"),
        ("off", "off"),
        (Validation(actions={"Heartbeat": "off"}), "off"),
        (Validation("off", actions={"Heartbeat": "strict"}), "strict"),
        (Validation(actions={"Reset": "off"}), "strict"),
        (Validation(outgoing="off"), "strict"),
    ],
)
def test_a_change_of_the_mode_applies_at_once(process_setting, caplog, endpoint, setting, expected):
    caplog.set_level(logging.WARNING, "ocppj")
    for _ in range(2):
        process_setting(setting)
        assert observe_mode(endpoint, WRONG, caplog) == expected
        assert observe_mode(endpoint, [2, "1", "Heartbeat", {}], caplog) == "off"
        process_setting("strict")
        assert observe_mode(endpoint, WRONG, caplog) == "strict"
    endpoint.set_message_validation(setting)
    assert observe_mode(endpoint, WRONG, caplog) == expected


def test_the_mode_for_responses_is_the_outgoing_one():
    response = v16.ResetResponse(status="Perhaps")
    with pytest.raises(ValidationError):
        Endpoint(v16.PROFILES, validate=Validation("off")).create_call_result(response, "1", V16, "Reset")
    lax = Endpoint(v16.PROFILES, validate=Validation(outgoing="off"))
    assert lax.create_call_result(response, "1", V16, "Reset").to_json() == '[3,"1",{"status":"Perhaps"}]'


@dataclass
class Moody(Payload):
    n: int = field(metadata=wire("n"))

    def __post_init__(self):
        if self.n < 0:
            raise ZeroDivisionError


@dataclass
class MoodyRequest(Request[Moody]):
    n: int = field(metadata=wire("n"))

    def __post_init__(self):
        if self.n < 0:
            raise ZeroDivisionError


def nonsense():
    return {"type": "nonsense"}


@pytest.mark.parametrize(("schema", "n"), [(None, -1), (nonsense, 1)])
def test_a_fault_of_the_program_is_an_internal_error(caplog, schema, n):
    endpoint = Endpoint([Profile("Own", V16, Feature("Mood", MoodyRequest, Moody, schema, schema))])
    for fields, answerable in ([2, "1", "Mood", {"n": n}], True), ([3, "1", {"n": n}], False):
        with pytest.raises(MessageError) as caught:
            endpoint.parse_message(fields, pending("1", MoodyRequest(1)), V16)
        error = caught.value
        assert (error.code, error.message_id, error.answerable) == (ErrorCode.INTERNAL_ERROR, "1", answerable)
    assert [record.getMessage() for record in caplog.records] == ["endpoint: message '1' cannot be read"] * 2


# Overridden methods


class Own(Server):
    """A server that overrides methods of `Endpoint`."""

    def parse_message(self, fields, *arguments, **options):
        self.parsed = [*getattr(self, "parsed", []), fields[1]]
        message = super().parse_message(fields, *arguments, **options)
        if isinstance(message, Call) and message.action == "Reset":
            raise MessageError(ErrorCode.SECURITY_ERROR, "not today", message_id=fields[1], answerable=True)
        return message

    def create_call_result(self, response, message_id, *arguments, **options):
        if message_id == "no":
            raise UnsupportedFeature("not today")
        return super().create_call_result(response, message_id + "!", *arguments, **options)


@pytest.fixture
def own():
    transport = Memory()
    server = Own(profiles=v16.PROFILES, ws_server=transport.server())
    server.on(v16.HeartbeatRequest)(Recorder(v16.HeartbeatResponse(current_time=NOW)))
    server.listen()
    raw = RawClient(transport, server.url)
    eventually(server.client_ids)
    yield server, raw
    raw.stop()
    server.stop()


def test_an_overridden_parse_message_gets_every_frame(own):
    server, raw = own
    assert raw.ask([2, "a", "Reset", {"type": "Soft"}]) == [4, "a", "SecurityError", "not today", {}]
    raw.ask([2, "b", "Heartbeat", {}])
    raw.ask([2, "c", "Heartbeat", {"x": 1}])
    future = server.send_request("CP_1", v16.ResetRequest(type="Soft"))
    message_id = raw.receive()[1]
    raw.send([3, message_id, {"status": "Accepted"}])
    assert future.result(seconds(10)) == ACCEPTED
    assert server.parsed == ["a", "b", "c", message_id]


def test_an_overridden_create_call_result_makes_every_answer(own):
    server, raw = own
    assert raw.ask([2, "a", "Heartbeat", {}]) == [3, "a!", {"currentTime": "2026-01-02T03:04:05.000Z"}]
    assert raw.ask([2, "no", "Heartbeat", {}])[:3] == [4, "no", "InternalError"]
    server.set_request_handler(lambda *arguments: None)
    raw.send([2, "b", "BootNotification", BOOT_WIRE])
    eventually(lambda: server.parsed[-1] == "b")
    server.send_response("CP_1", "b", BOOTED)
    assert raw.receive() == [3, "b!", BOOTED_WIRE]
