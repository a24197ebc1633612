"""The short way of ordinary messages: what it says, `parse_message` and `create_call_result` say too."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Optional

import pytest

from ocppj import (
    Call,
    CallResult,
    EncodingError,
    Feature,
    MessageError,
    Payload,
    PendingRequestState,
    Profile,
    Request,
    Signer,
    UnsupportedFeature,
    Validation,
    set_message_validation,
    v16,
    v21,
    wire,
)
from ocppj.rpc.dialect import V16, V21
from ocppj.rpc.ordinary import OrdinaryMessages
from ocppj.rpc.validation import use_accelerators
from tests.fixtures import BEAT, BEAT_WIRE, BOOT_WIRE, BOOTED, BOOTED_WIRE, NOW, RESET

ENDPOINT = OrdinaryMessages([*v16.PROFILES, *v21.PROFILES])
RESET_21 = v21.ResetRequest(type="Immediate")
PERHAPS = v16.BootNotificationResponse(current_time=NOW, interval=1, status="Perhaps")
STREAM = {"id": 1, "pending": 0, "basetime": "2026-01-01T00:00:00Z", "data": [{"t": 0.5, "v": "1"}]}
NAIVE = v16.HeartbeatResponse(current_time=datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.fixture(autouse=True, params=[True, False], ids=["fast", "plain"])
def accelerators(request):
    use_accelerators(request.param)
    yield
    use_accelerators(True)


@pytest.fixture
def process_setting():
    yield set_message_validation
    set_message_validation(True)


def pending(request):
    state = PendingRequestState()
    state.add("1", request)
    return state


def long_way(endpoint, fields, state, dialect):
    try:
        return endpoint.parse_message(fields, state, dialect)
    except MessageError as error:
        return error


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        (V16, [2, "1", "Heartbeat", {}]),
        (V16, [2, "i" * 36, "BootNotification", BOOT_WIRE]),
        (V16, [2, "1", "Reset", {"type": "Soft"}]),
        (V21, [2, "1", "Reset", {"type": "Immediate"}]),
    ],
)
def test_an_ordinary_call(dialect, fields):
    call = ENDPOINT._read_call(fields, dialect)
    assert type(call) is Call
    assert call == ENDPOINT.parse_message(fields, PendingRequestState(), dialect)
    assert call.signature is None and call.signed_payload is None


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        (V16, []),
        (V16, [2, "1", "Heartbeat"]),
        (V16, [2, "1", "Heartbeat", {}, {}]),
        (V16, [2.0, "1", "Heartbeat", {}]),
        (V16, [True, "1", "Heartbeat", {}]),
        (V16, [3, "1", "Heartbeat", {}]),
        (V16, [6, "1", "Heartbeat", {}]),
        (V16, ["2", "1", "Heartbeat", {}]),
        (V16, [2, "", "Heartbeat", {}]),
        (V16, [2, "i" * 37, "Heartbeat", {}]),
        (V16, [2, 1, "Heartbeat", {}]),
        (V16, [2, "1", "Nothing", {}]),
        (V16, [2, "1", ["Heartbeat"], {}]),
        (V16, [2, "1", None, {}]),
        (V16, [2, "1", "Heartbeat", None]),
        (V16, [2, "1", "Heartbeat", []]),
        (V16, [2, "1", "Heartbeat", {"x": 1}]),
        (V16, [2, "1", "BootNotification", {}]),
        (V16, [2, "1", "TransactionEvent", {}]),
        (V21, [2, "1", "NotifyPeriodicEventStream", {}]),
        (V21, [2, "1", "NotifyPeriodicEventStream", STREAM]),
        (V21, [6, "1", "NotifyPeriodicEventStream", STREAM]),
        (V21, [6, "1", "NotifyPeriodicEventStream", {}]),
        (V21, [2, "1", "Reset-Signed", {"payload": "", "protected": "", "signature": ""}]),
    ],
)
def test_any_other_frame_is_left_to_the_long_way(dialect, fields):
    assert ENDPOINT._read_call(fields, dialect) is None
    assert ENDPOINT._read_result(fields, pending(RESET), dialect) is None
    told = long_way(ENDPOINT, fields, PendingRequestState(), dialect)
    assert type(told) is not Call or fields[3] is None


def test_an_ordinary_result():
    fields = [3, "1", {"status": "Accepted"}]
    for dialect, request in (V16, RESET), (V21, RESET_21):
        ENDPOINT.create_call(request, dialect)  # whoever waits for an answer has made the CALL, and knows its types
        result = ENDPOINT._read_result(fields, pending(request), dialect)
        assert type(result) is CallResult
        assert result == ENDPOINT.parse_message(fields, pending(request), dialect)
        assert ENDPOINT._read_call(fields, dialect) is None


@pytest.mark.parametrize(
    ("dialect", "request_", "fields"),
    [
        (V16, RESET, [3, "2", {"status": "Accepted"}]),
        (V16, RESET, [3, ["1"], {"status": "Accepted"}]),
        (V16, RESET, [3.0, "1", {"status": "Accepted"}]),
        (V16, RESET, [4, "1", {"status": "Accepted"}]),
        (V16, RESET, [3, "1", {"status": "Perhaps"}]),
        (V16, RESET, [3, "1", []]),
        (V16, RESET, [3, "1"]),
        (V16, RESET_21, [3, "1", {"status": "Accepted"}]),
        (V21, RESET_21, [3, "1", {"payload": "", "protected": "", "signature": ""}]),
    ],
)
def test_any_other_answer_is_left_to_the_long_way(dialect, request_, fields):
    ENDPOINT.create_call(RESET, V16)
    ENDPOINT.create_call(RESET_21, V21)
    assert ENDPOINT._read_result(fields, pending(request_), dialect) is None
    assert not isinstance(long_way(ENDPOINT, fields, pending(request_), dialect), CallResult)


def test_an_ordinary_answer():
    call = ENDPOINT._read_call([2, "1", "BootNotification", BOOT_WIRE], V16)
    text = ENDPOINT._result_text(call, BOOTED, V16)
    assert text == ENDPOINT.create_call_result(BOOTED, "1", V16, "BootNotification").to_json()
    assert json.loads(text) == [3, "1", BOOTED_WIRE]


@pytest.mark.parametrize("response", [BEAT, NAIVE, PERHAPS])
def test_an_answer_with_a_fault_is_left_to_the_long_way(response):
    call = ENDPOINT._read_call([2, "1", "BootNotification", BOOT_WIRE], V16)
    assert ENDPOINT._result_text(call, response, V16) is None
    assert ENDPOINT._result_text(Call("1", "Nothing", RESET), response, V16) is None


def test_an_answer_to_another_action_is_left_to_the_long_way():
    call, response = Call("1", "Reset", RESET), v16.ClearCacheResponse(status="Accepted")
    assert ENDPOINT._result_text(call, v16.ResetResponse(status="Accepted"), V16) is not None
    assert ENDPOINT._result_text(call, response, V16) is None
    with pytest.raises(UnsupportedFeature):
        ENDPOINT.create_call_result(response, "1", V16, "Reset")


def test_an_answer_that_cannot_be_written_is_left_to_the_long_way():
    call = ENDPOINT._read_call([2, "1", "Heartbeat", {}], V16)
    assert ENDPOINT._result_text(call, NAIVE, V16) is None
    with pytest.raises(EncodingError):
        ENDPOINT.create_call_result(NAIVE, "1", V16, "Heartbeat")


WRONG = [2, "1", "Heartbeat", {"x": 1}]


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("strict", False),
        ("warn", False),  # whoever warns knows the fault
        ("off", True),
        (Validation(actions={"Heartbeat": "off"}), True),
        (Validation("off", actions={"Heartbeat": "strict"}), False),
        (Validation(actions={"Reset": "off"}), False),
    ],
)
def test_the_mode_of_the_moment_decides(process_setting, setting, read):
    endpoint = OrdinaryMessages(v16.PROFILES)
    for _ in range(2):
        process_setting(setting)
        assert (endpoint._read_call(WRONG, V16) is not None) == read
        assert endpoint._read_call([2, "1", "Heartbeat", {}], V16) is not None
        process_setting("strict")
        assert endpoint._read_call(WRONG, V16) is None
    endpoint.set_message_validation(setting)
    assert (endpoint._read_call(WRONG, V16) is not None) == read


def test_the_mode_of_answers_is_the_outgoing_one():
    call = Call("1", "BootNotification", None)
    assert OrdinaryMessages(v16.PROFILES, validate=Validation("off"))._result_text(call, PERHAPS, V16) is None
    text = OrdinaryMessages(v16.PROFILES, validate=Validation(outgoing="off"))._result_text(call, PERHAPS, V16)
    assert json.loads(text) == [3, "1", {**BEAT_WIRE, "interval": 1, "status": "Perhaps"}]


@dataclass
class Moody(Payload):
    n: int = field(metadata=wire("n"))

    def __post_init__(self):
        if self.n < 0:
            raise ZeroDivisionError


@dataclass
class MoodyRequest(Request[Moody]):
    n: int = field(metadata=wire("n"))


@dataclass
class Calm(Payload):
    n: Optional[int] = field(default=None, metadata=wire("n"))


@dataclass
class CalmRequest(Request[Calm]):
    pass


@pytest.mark.parametrize("schema", [None, {"type": "nonsense"}])
def test_what_a_program_gets_wrong_is_met_on_the_long_way(schema):
    feature = Feature("Mood", MoodyRequest, Moody, None, (lambda: schema) if schema else None)
    endpoint = OrdinaryMessages([Profile("Own", V16, feature)])
    endpoint.create_call(MoodyRequest(1))
    fields, state = [3, "1", {"n": -1}], pending(MoodyRequest(1))
    assert endpoint._read_result(fields, state, V16) is None
    assert isinstance(long_way(endpoint, fields, state, V16), MessageError)
    assert (endpoint._read_result([3, "1", {"n": 1}], state, V16) == CallResult("1", Moody(1))) == (schema is None)


def test_a_signed_result_without_a_schema_is_not_taken_for_its_payload():
    pytest.importorskip("joserfc", reason="the extra signed is not installed")
    from tests.keys import key_and_certificate

    profile = Profile("Own", V21, Feature("Calm", CalmRequest, Calm))
    endpoint = OrdinaryMessages([profile], signer=Signer(*key_and_certificate("ES256")))
    endpoint.create_call(CalmRequest())
    fields = json.loads(endpoint.create_call_result(Calm(1), "1", V21, "Calm", signed=True).to_json())
    state = pending(CalmRequest())
    assert endpoint._read_result([3, "1", {"n": 1}], state, V21).payload == Calm(1)
    assert endpoint._read_result(fields, state, V21) is None
    assert endpoint.parse_message(fields, state, V21).payload == Calm(1)


def test_there_is_no_way_around_a_method_of_the_programs_own():
    class Careful(OrdinaryMessages):
        def parse_message(self, fields, *arguments, **options):
            raise MessageError("SecurityError", "not today")

    class Signing(OrdinaryMessages):
        def create_call_result(self, *arguments, **options):
            raise UnsupportedFeature("not today")

    answer, call = [3, "1", {"status": "Accepted"}], [2, "1", "Reset", {"type": "Soft"}]
    careful, signing = Careful(v16.PROFILES), Signing(v16.PROFILES)
    for endpoint in careful, signing:
        endpoint.create_call(RESET)
    assert careful._read_call(call, V16) is None
    assert careful._read_result(answer, pending(RESET), V16) is None
    assert careful._result_text(Call("1", "Reset", RESET), v16.ResetResponse("Accepted"), V16) is not None
    assert signing._read_call(call, V16) is not None
    assert signing._read_result(answer, pending(RESET), V16) is not None
    assert signing._result_text(Call("1", "Reset", RESET), v16.ResetResponse("Accepted"), V16) is None
