"""Any data is a message, nothing, or a `MessageError`. A parsed message can be written and parsed again."""

import json
from typing import Any, List

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ocppj import (
    Call,
    CallError,
    CallResult,
    EncodingError,
    Endpoint,
    ErrorCode,
    MessageError,
    PendingRequestState,
    v16,
)
from ocppj.rpc.messages import MAX_DESCRIPTION, parse_raw_json_message

ENDPOINT = Endpoint(v16.PROFILES, validate=True)
UNCHECKED = Endpoint(v16.PROFILES, validate=False)
PARTIAL = Endpoint([v16.PROFILES[0]], validate=True)

PERIODS = [{"startPeriod": 0, "limit": 21.4, "numberPhases": 3}, {"startPeriod": 60, "limit": 6}]
VALID = {
    "Authorize": {"idTag": "T"},
    "BootNotification": {"chargePointVendor": "V", "chargePointModel": "M", "iccid": "1"},
    "ChangeConfiguration": {"key": "k", "value": "v"},
    "DataTransfer": {"vendorId": "V", "data": "ü\U0001f600"},
    "GetConfiguration": {"key": ["a", "b"]},
    "Heartbeat": {},
    "MeterValues": {
        "connectorId": 1,
        "meterValue": [
            {"timestamp": "2026-01-01T00:00:00.123Z", "sampledValue": [{"value": "1", "unit": "Wh", "phase": "L1"}]}
        ],
    },
    "SendLocalList": {
        "listVersion": 1,
        "updateType": "Full",
        "localAuthorizationList": [{"idTag": "T", "idTagInfo": {"status": "Accepted"}}],
    },
    "SetChargingProfile": {
        "connectorId": 1,
        "csChargingProfiles": {
            "chargingProfileId": 1,
            "stackLevel": 0,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": PERIODS, "minChargingRate": 0.1},
        },
    },
    "StartTransaction": {"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-01-01T00:00:00.000Z"},
}
REQUESTS = [v16.BootNotificationRequest("M", "V"), v16.HeartbeatRequest(), v16.GetConfigurationRequest()]
RESULTS = [
    {"currentTime": "2026-01-01T01:00:00+01:00", "interval": 1, "status": "Accepted"},
    {"currentTime": "2026-01-01T00:00:00Z"},
    {"configurationKey": [{"key": "k", "readonly": True, "value": "v"}], "unknownKey": ["x"]},
]

texts = st.text(st.characters(), max_size=40) | st.sampled_from(["", "\ud800", "\x00", "\U000e0001" * 40, "T" * 300])
numbers = st.integers() | st.floats() | st.sampled_from([True, 2, 3, 4, 5, 6, 10**300, -0.0, 1e300, 0.1, 21.44])
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
ids = st.sampled_from(["1", "i" * 36, "i" * 37, "", "\ud800", 7, None])
frames = st.one_of(
    values,
    st.lists(values, max_size=7),
    st.tuples(st.sampled_from([2, 3, 4, 5, 6, True, 2.0, "2"]), ids, values, values, values).map(list),
    st.tuples(st.just(2), ids, st.sampled_from([*VALID, "x"]), values).map(list),
    st.tuples(st.just(3), st.just("1"), values).map(list),
    st.tuples(st.just(4), st.just("1"), texts, values, values).map(list),
)


@st.composite
def mutated(draw: Any, frame: Any) -> Any:
    """Return ``frame`` with a few of its values replaced, removed, doubled or nested."""
    frame = json.loads(json.dumps(frame))
    for _ in range(draw(st.integers(0, 3))):
        container, key = draw(st.sampled_from(list(places(frame))))
        change = draw(st.sampled_from(["replace", "remove", "insert", "nest"]))
        if change == "replace":
            container[key] = draw(values)
        elif change == "remove":
            del container[key]
        elif change == "nest":
            container[key] = [container[key]]
        elif isinstance(container, list):
            container.insert(key, draw(values))
        else:
            container[draw(texts)] = draw(values)
        if not frame:
            break
    return frame


def places(value: Any) -> Any:
    """Yield (container, key) for every value below ``value``."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


valid_calls = st.tuples(st.just(2), st.just("1"), st.sampled_from(sorted(VALID))).map(lambda c: [*c, VALID[c[2]]])
valid_results = st.sampled_from(RESULTS).map(lambda result: [3, "1", result])
valid_errors = st.tuples(st.just(4), st.just("1"), st.sampled_from(["GenericError", "Own"]), texts, st.just({"a": [1]}))
mutants = st.one_of(valid_calls, valid_results, valid_errors.map(list)).flatmap(mutated)


def states() -> Any:
    yield PendingRequestState()
    for request in REQUESTS:
        state = PendingRequestState()
        state.add("1", request)
        yield state


def judge(data: bytes) -> None:
    """Parse ``data`` on every endpoint with every state, and check the results."""
    try:
        fields = parse_raw_json_message(data)
    except MessageError as error:
        check_framework_error(error)
        return
    assert isinstance(fields, list)
    for endpoint in (ENDPOINT, UNCHECKED, PARTIAL):
        for state in states():
            try:
                message = endpoint.parse_message(fields, state)
            except MessageError as error:
                check_invalid(error, fields)
                continue
            if message is not None:
                assert isinstance(message, (Call, CallResult, CallError))
                check_round_trip(endpoint, message, state)


def check_error(error: MessageError) -> None:
    assert isinstance(error.code, ErrorCode)
    assert 0 < len(error.description) <= MAX_DESCRIPTION
    assert str(error)
    reply = CallError(error.message_id or "-1", str(error.code), error.description).to_json()
    assert json.loads(reply)[3] == error.description


def check_framework_error(error: MessageError) -> None:
    check_error(error)
    assert (error.code, error.message_id) == (ErrorCode.RPC_FRAMEWORK_ERROR, None)


def check_invalid(error: MessageError, fields: List[Any]) -> None:
    check_error(error)
    assert error.message_id is None or error.message_id == fields[1]
    assert not error.answerable or error.message_type in (None, 2)


def check_round_trip(endpoint: Endpoint, message: Any, state: PendingRequestState) -> None:
    try:
        text = message.to_json()
        again = endpoint.parse_message(parse_raw_json_message(text.encode("utf-8")), state)
    except (EncodingError, MessageError):
        # A payload that was not checked may have null for a required value, or be too deep to be written.
        assert endpoint is UNCHECKED or isinstance(message, CallError)
        return
    assert again is not None
    assert again.to_json() == text
    if isinstance(message, CallError) and len(message.error_description) > MAX_DESCRIPTION:
        return  # it was cut
    if endpoint is not UNCHECKED:
        assert again == message


FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(st.binary(max_size=200))
@example(b'[3,"1",{"currentTime":"0001-01-01T00:00:00+14:00"}]'[:-1])
@example(b"\xff")
@example(b"[" * 100_000)
def test_any_bytes(data: bytes) -> None:
    judge(data)


@FUZZ
@given(st.text(st.sampled_from('[]{}",:.0123456789eE+-\\untrfalsNIy \t"'), max_size=60))
def test_any_text_that_looks_like_json(text: str) -> None:
    judge(text.encode())
    judge(f'[2,"1","Authorize",{{"idTag":{text}}}]'.encode())


@FUZZ
@given(frames)
@example([2, "1", "\U000e0001" * 100, {}])
@example([10**300, "1"])
def test_any_json_value(frame: Any) -> None:
    judge(json.dumps(frame).encode())


@settings(FUZZ, max_examples=400)
@given(mutants)
def test_mutated_valid_frames(frame: Any) -> None:
    judge(json.dumps(frame).encode())


@FUZZ
@given(mutants, st.data())
def test_damaged_text_of_valid_frames(frame: Any, data: Any) -> None:
    raw = bytearray(json.dumps(frame, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw)))
        raw[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    judge(bytes(raw))


@FUZZ
@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x4FFF), min_size=1, max_size=30), st.booleans())
def test_an_error_never_quotes_the_frame(secret: str, closed: bool) -> None:
    for text in (secret, f'["{secret}', f'{{"{secret}":1}}', f'"{secret}"', f'[2,"1","{secret}",{{]', f"[{secret}]"):
        with pytest.raises(MessageError) as caught:
            parse_raw_json_message(text.encode())
        assert not set(secret) & set(str(caught.value))
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("depth", [50, 400, 800, 900, 950, 980, 1_000, 3_000, 20_000])
@pytest.mark.parametrize("opening", ["[", '{"idTag":'])
def test_deep_nesting_anywhere(depth: int, opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    nested = (opening * depth + "1" + closing * depth).encode()
    judge(nested)
    judge(b'[2,"1","Authorize",' + nested + b"]")
    judge(b'[2,"1","Authorize",{"idTag":' + nested + b"}]")
    judge(b'[3,"1",' + nested + b"]")


@pytest.mark.parametrize("action", sorted(VALID))
def test_the_valid_frames_are_accepted(action: str) -> None:
    message = ENDPOINT.parse_message([2, "1", action, VALID[action]], PendingRequestState())
    assert message is not None
    assert json.loads(message.to_json())[3] == VALID[action]
