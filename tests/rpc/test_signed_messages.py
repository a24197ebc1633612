"""Signed messages over connections: sent and received by both sides, and invalid ones."""

import json
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocppj import (
    Endpoint,
    ErrorCode,
    Feature,
    InvalidResponse,
    MessageError,
    MessageType,
    OCPPError,
    Payload,
    PendingRequestState,
    Profile,
    Request,
    Signer,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    Verifier,
    is_error_code_valid,
    v16,
    v21,
    v201,
    wire,
)
from ocppj.rpc.dialect import V16
from ocppj.rpc.signing import sign_payload, unwrap
from tests.fixtures import cleanup, make_client, make_server, make_side, raw_client, raw_server, transport  # noqa: F401
from tests.helpers import Recorder, seconds
from tests.keys import CERTIFICATES, OTHER, b64, flat, key_and_certificate, thumbprint
from tests.rpc.test_signing import JSON, LIKE_JWS, MALFORMED


@dataclass
class AskResponse(Payload):
    answer: str = field(metadata=wire("answer"))


@dataclass
class AskRequest(Request[AskResponse]):
    n: int = field(metadata=wire("n"))
    name: Optional[str] = field(default=None, metadata=wire("name"))


@dataclass
class Note(Payload):
    n: int = field(metadata=wire("n"))


ASK_SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "name": {"type": "string"}},
    "required": ["n"],
    "additionalProperties": False,
}
ANSWER_SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
#: Like OCPP 2.1, but with the subprotocol that the peers of the tests offer.
DIALECT = replace(
    V16,
    version="2.x",
    message_types=frozenset(MessageType),
    spellings={code: code.value for code in ErrorCode},
    unreadable_id="-1",
    signed_messages=True,
)


def profile(dialect=DIALECT):
    ask = Feature("Ask", AskRequest, AskResponse, ASK_SCHEMA, ANSWER_SCHEMA)
    return Profile("Asking", dialect, ask, Feature("Note", Note, None))


PROFILES = [profile()]
ASK = AskRequest(n=1, name="Zürich €")
ANSWER = AskResponse(answer="yes")
STATION = Signer(*key_and_certificate("ES256"))
CENTRAL = Signer(*key_and_certificate("RS384"), algorithm="RS384")
STRANGER = Signer(*OTHER)
STATION_X5T, CENTRAL_X5T = map(thumbprint, CERTIFICATES)


def signed(payload, action="Ask", message_type=MessageType.CALL, signer=STATION):
    return sign_payload(signer, payload, action, message_type)


@pytest.fixture
def pair(make_server, make_client):
    """A server and a client, connected, with the signers and verifiers they are given."""

    def make(server=(None, None), client=(None, None), profiles=PROFILES):
        central = make_server(profiles=profiles, signer=server[0], verifier=server[1])
        frames = Recorder()
        central.add_observer(frames)
        station = make_client(None, profiles=profiles, signer=client[0], verifier=client[1])
        station.connect(central.url)
        return central, station, frames

    return make


def texts(frames, count=0):
    """Return the frames that were shown, once there are ``count``. An answer may come before it is shown."""
    return [json.loads(frame.text) for (frame,) in frames.wait(count)]


# A client and a server of this library


def test_a_signed_request_gets_a_signed_answer(pair):
    central, station, frames = pair((CENTRAL, Verifier(CERTIFICATES)), (STATION, Verifier(CERTIFICATES)))
    handler = Recorder(ANSWER)
    central.on(AskRequest, pass_signature=True)(handler)
    future = station.send_request(ASK, signed=True)
    assert future.result(seconds(10)) == ANSWER
    ((client_id, request, signature),) = handler.calls
    assert (client_id, request) == ("CP_1", ASK)
    assert (signature.valid, signature.algorithm, signature.x5t_s256) == (True, "ES256", STATION_X5T)
    assert (future.signature.valid, future.signature.algorithm, future.signature.x5t_s256) == (
        True,
        "RS384",
        CENTRAL_X5T,
    )
    call, result = texts(frames, 2)
    assert call[:3] == [2, future.message_id, "Ask-Signed"]
    assert unwrap(call[3])[0] == {"n": 1, "name": "Zürich €"}
    assert result[:2] == [3, future.message_id]
    payload, header = unwrap(result[2])
    assert payload == {"answer": "yes"}
    assert header == {"alg": "RS384", "OCPPAction": "Ask", "OCPPMessageTypeId": 3, "x5t#S256": CENTRAL_X5T}


def test_the_server_signs_requests(pair):
    central, station, frames = pair((CENTRAL, Verifier(CERTIFICATES)), (STATION, Verifier(CERTIFICATES)))
    handler = Recorder(ANSWER)
    station.on(AskRequest, pass_id=True, pass_signature=True)(handler)
    assert central.call("CP_1", ASK, signed=True) == ANSWER
    ((request, message_id, signature),) = handler.calls
    assert (request, signature.valid, signature.x5t_s256) == (ASK, True, CENTRAL_X5T)
    assert [frame[0] for frame in texts(frames, 2)] == [2, 3]
    assert texts(frames, 1)[0][1] == message_id


def test_an_unsigned_request_gets_an_unsigned_answer(pair):
    central, station, frames = pair((CENTRAL, Verifier(CERTIFICATES)), (STATION, Verifier(CERTIFICATES)))
    handler = Recorder(ANSWER)
    central.on(AskRequest, pass_signature=True)(handler)
    future = station.send_request(ASK)
    assert future.result(seconds(10)) == ANSWER
    assert future.signature is None
    assert handler.calls == [("CP_1", ASK, None)]
    assert texts(frames, 2)[1] == [3, future.message_id, {"answer": "yes"}]


def test_a_side_without_keys_reads_signed_messages(pair):
    central, station, frames = pair(client=(STATION, None))
    handler = Recorder(ANSWER)
    central.set_request_handler(handler, pass_signature=True)
    future = station.send_request(ASK, signed=True)
    assert future.result(seconds(10)) == ANSWER
    assert future.signature is None  # nothing to sign with: an unsigned answer is better than none
    ((client_id, request, message_id, action, signature),) = handler.calls
    assert (client_id, request, message_id, action) == ("CP_1", ASK, future.message_id, "Ask")
    assert (signature.valid, signature.reason, signature.x5t_s256) == (None, "there is no verifier", STATION_X5T)


def test_a_handler_without_pass_signature_gets_signed_requests(pair):
    central, station, _ = pair((CENTRAL, None), (STATION, None))
    typed, rest, after, responses = Recorder(ANSWER), Recorder(ANSWER), Recorder(), Recorder()
    central.set_request_handler(rest)
    central.after(AskRequest)(after)
    station.set_response_handler(responses)
    first = station.send_request(ASK, signed=True)
    assert first.result(seconds(10)) == ANSWER
    assert first.signature.valid is None
    central.on(AskRequest)(typed)
    station.call(ASK, signed=True)
    assert rest.calls == [("CP_1", ASK, first.message_id, "Ask")]
    assert typed.calls == [("CP_1", ASK)]
    assert after.wait(2) == [("CP_1", ASK), ("CP_1", ASK)]
    assert responses.wait(2)[0] == (ANSWER, first.message_id)


def test_a_request_with_an_invalid_signature_is_handled(pair):
    central, station, _ = pair((CENTRAL, Verifier([CERTIFICATES[1]])), (STRANGER, Verifier([CERTIFICATES[0]])))
    handler = Recorder(ANSWER)
    central.on(AskRequest, pass_signature=True)(handler)
    future = station.send_request(ASK, signed=True)
    assert future.result(seconds(10)) == ANSWER
    assert handler.calls[0][2].valid is None
    assert future.signature.valid is None
    assert "not known" in future.signature.reason


def test_the_handler_may_refuse_an_invalid_signature(pair):
    central, station, frames = pair((CENTRAL, Verifier([])), (STATION, None))

    @central.on(AskRequest, pass_signature=True)
    def refuse(client_id, request, signature):
        raise OCPPError(ErrorCode.SECURITY_ERROR, signature.reason)

    with pytest.raises(OCPPError, match="SecurityError: the certificate is not known"):
        station.call(ASK, signed=True)
    assert texts(frames, 2)[1][0] == 4  # a CALLERROR has no payload to sign


def test_a_later_answer_is_signed(pair):
    central, station, _ = pair((CENTRAL, None), (STATION, Verifier(CERTIFICATES)))
    handler = Recorder(None)
    central.on(AskRequest, pass_id=True)(handler)
    future = station.send_request(ASK, signed=True)
    ((_, _, message_id),) = handler.wait()
    central.send_response("CP_1", message_id, ANSWER)
    assert future.result(seconds(10)) == ANSWER
    assert future.signature.valid is True


def test_a_send_may_be_signed(pair):
    central, station, frames = pair((None, Verifier(CERTIFICATES)), (STATION, None))
    handler = Recorder()
    central.on(Note, pass_signature=True)(handler)
    message_id = station.send(Note(n=3), signed=True)
    ((client_id, note, signature),) = handler.wait()
    assert (client_id, note, signature.valid) == ("CP_1", Note(n=3), True)
    assert texts(frames, 1)[0][:3] == [6, message_id, "Note-Signed"]
    assert signature.header["OCPPMessageTypeId"] == 6


def test_a_failure_of_the_verifier_is_logged_and_the_request_handled(pair, caplog):
    def find(x5t, client_id):
        raise RuntimeError("the database is away")

    central, station, _ = pair((CENTRAL, Verifier(find)), (STATION, Verifier(lambda *_: b"no key")))
    handler = Recorder(ANSWER)
    central.on(AskRequest, pass_signature=True)(handler)
    with caplog.at_level(logging.ERROR, "ocppj"):
        future = station.send_request(ASK, signed=True)
        assert future.result(seconds(10)) == ANSWER
    assert (handler.calls[0][2].valid, handler.calls[0][2].reason) == (None, "the verifier failed")
    assert future.signature.reason == "the verifier failed"
    assert "the database is away" in caplog.text


def test_the_verifier_may_call_the_peer_of_the_request(pair):
    def find(x5t, client_id):
        return central.call(client_id, AskRequest(n=7)).answer

    central, station, _ = pair((None, Verifier(find)), (STATION, None))
    station.on(AskRequest)(Recorder(AskResponse(answer=CERTIFICATES[0])))
    handler = Recorder(ANSWER)
    central.on(AskRequest, pass_signature=True)(handler)
    assert station.call(ASK, signed=True) == ANSWER
    assert handler.calls[0][2].valid is True


class Broken(Signer):
    def __init__(self):
        pass

    def sign(self, header, payload):
        raise OSError("the module is gone")


def test_an_answer_that_cannot_be_signed_is_an_error(pair):
    central, station, _ = pair((Broken(), None), (STATION, None))
    central.on(AskRequest)(Recorder(ANSWER))
    with pytest.raises(OCPPError, match="InternalError: the answer could not be made") as caught:
        station.call(ASK, signed=True)
    assert "gone" not in str(caught.value)


def test_a_request_that_cannot_be_signed_is_not_sent(pair):
    _, station, frames = pair(client=(Broken(), None))
    with pytest.raises(UsageError, match="could not be signed"):
        station.send_request(ASK, signed=True)
    _, station, frames = pair()
    for function in (station.call, station.send_request):
        with pytest.raises(UsageError, match="signer"):
            function(ASK, signed=True)
    with pytest.raises(UsageError, match="signer"):
        station.send(Note(n=1), signed=True)
    with pytest.raises(ValidationError):
        station.call(AskRequest(n="x"), signed=True)
    assert frames.calls == []


# A version without signed messages


def test_a_version_without_signed_messages_refuses_them(make_side):
    side = make_side(signer=STATION, verifier=Verifier(CERTIFICATES), profiles=v16.PROFILES).connect()
    with pytest.raises(UnsupportedFeature, match=r"OCPP 1\.6 has no signed messages"):
        side.call(v16.ResetRequest(type="Soft"), signed=True)
    answer = side.raw.ask([2, "a", "Reset-Signed", signed({"type": "Soft"}, "Reset")])
    assert answer[:3] == [4, "a", "NotImplemented"]
    future = side.send_request(v16.ResetRequest(type="Soft"))
    side.raw.receive()
    side.raw.send([3, future.message_id, signed({"status": "Accepted"}, "Reset", MessageType.CALL_RESULT)])
    assert isinstance(future.exception(seconds(10)), InvalidResponse)


# A peer that sends text


@pytest.fixture
def side(make_side):
    side = make_side(profiles=PROFILES, signer=STATION, verifier=Verifier(CERTIFICATES)).connect()
    side.handler = Recorder(ANSWER)
    side.endpoint.on(AskRequest, pass_signature=True)(side.handler)
    return side


def test_the_payload_inside_is_checked(side):
    for payload, code in [
        ({"n": "1"}, "TypeConstraintViolation"),
        ({}, "OccurrenceConstraintViolation"),
        ({"n": 1, "more": 1}, "FormatViolation"),
        ([], "FormatViolation"),
        (None, "OccurrenceConstraintViolation"),  # as {}
    ]:
        assert side.raw.ask([2, "a", "Ask-Signed", signed(payload)])[:3] == [4, "a", code]
    assert side.handler.calls == []


def test_an_unknown_action_is_refused_as_in_an_unsigned_request(side):
    for action, code in [
        ("Nothing-Signed", "NotImplemented"),
        ("-Signed", "NotImplemented"),
        ("Ask-Signed-Signed", "NotImplemented"),
        ("Ask-signed", "NotImplemented"),
        ("Reset-Signed", "NotSupported"),
    ]:
        for payload in (signed({}, action), {}, None):
            assert side.raw.ask([2, "a", action, payload])[:3] == [4, "a", code]
    assert side.raw.ask([2, "a", "Note-Signed", signed({"n": 1}, "Note")])[:3] == [4, "a", "FormatViolation"]


def test_the_header_must_name_this_action_and_type(side):
    for jws in (
        signed({"n": 1}, "Note"),
        signed({"n": 1}, "Ask-Signed"),
        signed({"n": 1}, message_type=MessageType.CALL_RESULT),
        {"payload": b64(b'{"n":1}'), "protected": flat({"alg": "ES256"}), "signature": ""},
        {"payload": b64(b'{"n":1}'), "protected": flat({"OCPPAction": "Ask"}), "signature": ""},
        {"payload": b64(b'{"n":1}'), "protected": flat({"OCPPMessageTypeId": 2}), "signature": ""},
        {"payload": b64(b'{"n":1}'), "protected": flat({"OCPPAction": ["Ask"], "OCPPMessageTypeId": 2})},
    ):
        assert side.raw.ask([2, "a", "Ask-Signed", jws])[:3] == [4, "a", "FormatViolation"]
    assert side.handler.calls == []


def test_the_message_type_in_the_header_may_be_text(side):
    header = {"alg": "ES256", "OCPPAction": "Ask", "OCPPMessageTypeId": "2"}
    jws = {"payload": b64(b'{"n":1}'), "protected": flat(header), "signature": ""}
    assert side.raw.ask([2, "a", "Ask-Signed", jws])[0] == 3
    assert side.handler.calls[0][-1].valid is None  # no x5t, and two certificates


def test_a_tampered_request_is_handled_with_an_invalid_signature(side):
    jws = {**signed({"n": 1}), "payload": b64(b'{"n":2}')}
    answer = side.raw.ask([2, "a", "Ask-Signed", jws])
    assert answer[:2] == [3, "a"]
    assert Verifier(CERTIFICATES).verify(answer[2]).valid is True
    assert side.handler.calls[0][-2] == AskRequest(n=2)
    assert side.handler.calls[0][-1].valid is False


@pytest.mark.parametrize("payload", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_request_is_a_format_violation(payload):
    with pytest.raises(MessageError) as caught:
        Endpoint(PROFILES).parse_message([2, "a", "Ask-Signed", payload], PendingRequestState())
    error = caught.value
    assert (error.code, error.message_id, error.answerable) == (ErrorCode.FORMAT_VIOLATION, "a", True)


def test_a_malformed_send_is_not_answered(side):
    side.raw.send([6, "a", "Note-Signed", {}])
    assert side.raw.ask([2, "b", "Ask", {"n": 1}]) == [3, "b", {"answer": "yes"}]


def test_an_answer_to_an_unsigned_request_may_be_signed(side):
    for ours in (True, False):
        future = side.send_request(ASK, signed=ours)
        assert side.raw.receive()[2] == ("Ask-Signed" if ours else "Ask")
        jws = signed({"answer": "no"}, message_type=MessageType.CALL_RESULT, signer=CENTRAL)
        side.raw.send([3, future.message_id, jws])
        assert future.result(seconds(10)) == AskResponse(answer="no")
        assert (future.signature.valid, future.signature.x5t_s256) == (True, CENTRAL_X5T)
        future = side.send_request(ASK, signed=ours)
        side.raw.receive()
        side.raw.send([3, future.message_id, {"answer": "no"}])
        assert future.result(seconds(10)) == AskResponse(answer="no")
        assert future.signature is None


def test_an_invalid_signed_answer_is_an_invalid_response(side):
    right = signed({"answer": "no"}, message_type=MessageType.CALL_RESULT)
    for jws, code in [
        (signed({"answer": "no"}), ErrorCode.FORMAT_VIOLATION),
        (signed({"answer": "no"}, "Note", MessageType.CALL_RESULT), ErrorCode.FORMAT_VIOLATION),
        ({**right, "payload": 5}, ErrorCode.FORMAT_VIOLATION),
        ({**right, "protected": "*"}, ErrorCode.FORMAT_VIOLATION),
        ({"payload": right["payload"], "protected": right["protected"]}, ErrorCode.FORMAT_VIOLATION),
        (signed({}, message_type=MessageType.CALL_RESULT), ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION),
    ]:
        future = side.send_request(ASK, signed=True)
        side.raw.receive()
        side.raw.send([3, future.message_id, jws])
        error = future.exception(seconds(10))
        assert isinstance(error, InvalidResponse)
        assert error.error.code is code
        assert side.raw.receive()[:3] == [5, future.message_id, code.value]


def test_a_repeated_request_gets_the_same_signed_answer(make_side):
    side = make_side(profiles=PROFILES, signer=STATION, repeat_answers=1).connect()
    side.endpoint.on(AskRequest)(Recorder(ANSWER))
    frame = [2, "a", "Ask-Signed", signed({"n": 1})]
    assert side.raw.ask(frame) == side.raw.ask(frame)


# Endpoints without a connection


def test_an_endpoint_signs_for_the_version_of_the_request():
    endpoint = Endpoint(PROFILES, signer=STATION)
    call = endpoint.create_call(ASK, signed=True)
    assert (call.action, call.payload) == ("Ask", ASK)
    assert json.loads(call.to_json())[2] == "Ask-Signed"
    result = endpoint.create_call_result(ANSWER, "a", action="Ask", signed=True)
    assert json.loads(result.to_json())[2] == result.signed_payload
    with pytest.raises(UsageError, match="action"):
        endpoint.create_call_result(ANSWER, "a", signed=True)


def test_a_long_action_has_a_signed_form():
    name = "A" * 36
    endpoint = Endpoint([Profile("Long", DIALECT, Feature(name, AskRequest, AskResponse))], signer=STATION)
    text = endpoint.create_call(ASK, signed=True).to_json()
    message = endpoint.parse_message(json.loads(text), PendingRequestState())
    assert (message.action, message.payload) == (name, ASK)


def test_a_custom_action_that_ends_in_signed_is_not_opened():
    own = Profile("Own", DIALECT, Feature("Ask-Signed", v16.ResetRequest, v16.ResetResponse))
    endpoint = Endpoint([profile(), own])
    message = endpoint.parse_message([2, "a", "Ask-Signed", {"type": "Soft"}], PendingRequestState(), DIALECT)
    assert (message.payload, message.signature) == (v16.ResetRequest(type="Soft"), None)


ENDPOINT = Endpoint(PROFILES, verifier=Verifier(CERTIFICATES))
WAITING = PendingRequestState()
WAITING.add("a", ASK)
HEADS = st.sampled_from([[2, "a", "Ask-Signed"], [6, "a", "Note-Signed"], [3, "a"]])
ANYTHING = st.one_of(LIKE_JWS, JSON)


@settings(deadline=None)
@given(HEADS, ANYTHING, st.one_of(st.just([]), st.just([1])))
def test_any_frame_is_parsed_or_refused(head, payload, more):
    try:
        message = ENDPOINT.parse_message([*head, payload, *more], WAITING, DIALECT)
    except MessageError as error:
        code, answerable = error.code, error.answerable
        assert answerable is (head[0] == 2)
        assert is_error_code_valid(code)
        assert code is not ErrorCode.INTERNAL_ERROR
    else:
        assert message.signature is None or ENDPOINT.check_signature(message, "CP_1").valid is not True


@settings(deadline=None)
@given(JSON, st.sampled_from([2, 3, 6]))
def test_any_payload_inside_is_parsed_or_refused(payload, message_type):
    action = "Note" if message_type == 6 else "Ask"
    header = {"alg": "ES256", "OCPPAction": action, "OCPPMessageTypeId": message_type}
    jws = {"payload": flat(payload), "protected": flat(header), "signature": ""}
    fields = [message_type, "a", jws] if message_type == 3 else [message_type, "a", action + "-Signed", jws]
    try:
        message = ENDPOINT.parse_message(fields, WAITING, DIALECT)
    except MessageError as error:
        code = error.code
    else:
        code = ErrorCode.GENERIC_ERROR
        assert message.signature.valid is None
    assert code is not ErrorCode.INTERNAL_ERROR


@dataclass
class CalmRequest(Request[AskResponse]):
    pass


def test_a_signed_answer_without_a_schema_is_opened():
    endpoint = Endpoint([Profile("Own", DIALECT, Feature("Calm", CalmRequest, AskResponse))], signer=STATION)
    fields = json.loads(endpoint.create_call_result(ANSWER, "a", DIALECT, "Calm", signed=True).to_json())
    waiting = PendingRequestState()
    waiting.add("a", CalmRequest())
    plain = endpoint.parse_message([3, "a", {"answer": "yes"}], waiting, DIALECT)
    assert (plain.payload, plain.signature) == (ANSWER, None)
    opened = endpoint.parse_message(fields, waiting, DIALECT)
    assert (opened.payload, opened.signed_payload) == (ANSWER, fields[2])
    assert opened.signature is not None


# The OCPP versions


@pytest.mark.parametrize("version", [v201, v21], ids=["2.0.1", "2.1"])
def test_every_action_of_2x_has_a_signed_form(version):
    endpoint = Endpoint(version.PROFILES, signer=STATION)
    for feature in (feature for profile in version.PROFILES for feature in profile):
        kind = MessageType.CALL if feature.response_type else MessageType.SEND
        with pytest.raises(MessageError) as caught:
            endpoint.parse_message([kind, "a", feature.name + "-Signed", {}], PendingRequestState())
        assert caught.value.code is ErrorCode.FORMAT_VIOLATION
    call = endpoint.create_call(version.PublishFirmwareStatusNotificationRequest(status="Idle"), signed=True)
    text = call.to_json()
    assert json.loads(text)[2] == "PublishFirmwareStatusNotification-Signed"
    assert endpoint.parse_message(json.loads(text), PendingRequestState()).payload == call.payload


@pytest.mark.parametrize("version", [v201, v21], ids=["2.0.1", "2.1"])
def test_a_signed_boot_notification(pair, version):
    both = (CENTRAL, Verifier(CERTIFICATES)), (STATION, Verifier(CERTIFICATES))
    central, station, _ = pair(*both, profiles=version.PROFILES)
    response = version.BootNotificationResponse(
        current_time=datetime(2026, 1, 1, tzinfo=timezone.utc), interval=300, status="Accepted"
    )
    handler = Recorder(response)
    central.on(version.BootNotificationRequest, pass_signature=True)(handler)
    station_type = version.ChargingStation(model="M", vendor_name="V")
    request = version.BootNotificationRequest(reason="PowerUp", charging_station=station_type)
    future = station.send_request(request, signed=True)
    assert future.result(seconds(10)) == response
    assert future.signature.valid is True
    assert handler.calls[0][1] == request
    assert handler.calls[0][2].valid is True
