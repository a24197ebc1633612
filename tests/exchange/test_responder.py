"""CALLs of the peer: what each gets for an answer, on client and server, over both transports."""

import threading
from functools import partial

import pytest

from ocppj import (
    EncodingError,
    ErrorCode,
    Feature,
    OCPPError,
    Profile,
    Server,
    TransportError,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    v16,
    v21,
    v201,
)
from ocppj.rpc.dialect import V16
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    BOOT,
    BOOT_WIRE,
    BOOTED,
    BOOTED_WIRE,
    HEARTBEAT,
    NOW,
    cleanup,
    make_client,
    make_server,
    make_side,
    raw_client,
    raw_server,
    side,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import connection, connections
from tests.peers import RawClient, Sockets


def beat(*arguments):
    return BEAT


# Handlers


def test_a_handler_gets_the_typed_request_and_its_response_is_sent(side):
    boots = Recorder(BOOTED)
    side.endpoint.on(v16.BootNotificationRequest)(boots)
    assert side.raw.ask([2, "1", "BootNotification", BOOT_WIRE]) == [3, "1", BOOTED_WIRE]
    assert boots.calls == [side.args(BOOT)]


def test_pass_id_gives_the_message_id_too(side):
    boots = Recorder(BOOTED)
    side.endpoint.on(v16.BootNotificationRequest, pass_id=True)(boots)
    side.raw.ask([2, "1", "BootNotification", BOOT_WIRE])
    assert boots.calls == [side.args(BOOT, "1")]


def test_the_request_handler_takes_what_has_no_handler_of_its_own(side):
    everything = Recorder(BEAT)
    side.endpoint.set_request_handler(everything)
    side.endpoint.on(v16.BootNotificationRequest)(lambda *arguments: BOOTED)
    side.raw.ask([2, "1", "BootNotification", BOOT_WIRE])
    side.raw.ask([2, "2", "Heartbeat", {}])
    assert everything.calls == [side.args(HEARTBEAT, "2", "Heartbeat")]


def test_an_ocpperror_is_sent_as_it_is(side):
    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        raise OCPPError(ErrorCode.FORMAT_VIOLATION, "d" * 300, {"a": NOW.isoformat()})

    assert side.raw.ask([2, "1", "Heartbeat", {}]) == [
        4,
        "1",
        "FormationViolation",
        "d" * 255,
        {"a": NOW.isoformat()},
    ]


def test_any_other_exception_is_an_internal_error_that_leaks_nothing(side):
    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        raise RuntimeError("secret")

    kind, message_id, code, description, details = side.raw.ask([2, "1", "Heartbeat", {}])
    assert (kind, message_id, code, details) == (4, "1", "InternalError", {})
    assert "secret" not in description
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    assert side.raw.ask([2, "2", "Heartbeat", {}]) == [3, "2", BEAT_WIRE]


def test_none_means_to_answer_later(side):
    later = Recorder()
    side.endpoint.set_request_handler(later)
    side.raw.send([2, "1", "Heartbeat", {}])
    later.wait()
    side.raw.send([2, "2", "Heartbeat", {}])
    later.wait(2)
    assert side.raw.nothing_came()
    side.send_response("2", BEAT)
    side.send_error("1", ErrorCode.SECURITY_ERROR, "no", {"a": 1})
    assert side.raw.receive() == [3, "2", BEAT_WIRE]
    assert side.raw.receive() == [4, "1", "SecurityError", "no", {"a": 1}]


def test_a_handler_that_answers_twice_answers_once(side):
    @side.endpoint.set_request_handler
    def handle(*arguments):
        side.send_response("1", BEAT)
        return BEAT

    assert side.raw.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]
    side.endpoint.set_request_handler(beat)
    assert side.raw.ask([2, "2", "Heartbeat", {}])[1] == "2"


def test_after_runs_when_the_response_is_on_the_wire(side):
    seen = []
    done = threading.Event()

    @side.endpoint.add_observer
    def observe(frame):
        if frame.direction == "out":
            seen.append("sent")

    @side.endpoint.after(v16.HeartbeatRequest)
    def after(*arguments):
        seen.append(arguments)
        done.set()

    side.endpoint.on(v16.HeartbeatRequest)(beat)
    side.raw.ask([2, "1", "Heartbeat", {}])
    assert done.wait(seconds(10))
    assert seen == ["sent", side.args(HEARTBEAT)]


def test_after_runs_for_an_answer_given_later_but_not_for_an_error(side):
    after = Recorder()
    side.endpoint.after(v16.HeartbeatRequest)(after)
    later = Recorder()
    side.endpoint.set_request_handler(later)
    side.raw.send([2, "1", "Heartbeat", {}])
    side.raw.send([2, "2", "Heartbeat", {}])
    later.wait(2)
    side.send_error("1", ErrorCode.GENERIC_ERROR)
    assert after.calls == []
    side.send_response("2", BEAT)
    assert after.calls == [side.args(HEARTBEAT)]


def test_after_may_call_the_peer(side):
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    answers = Recorder()

    @side.endpoint.after(v16.HeartbeatRequest)
    def after(*arguments):
        answers(side.call(BOOT))

    side.raw.send([2, "1", "Heartbeat", {}])
    assert side.raw.receive() == [3, "1", BEAT_WIRE]
    side.raw.send([3, side.raw.receive()[1], BOOTED_WIRE])
    assert answers.wait() == [(BOOTED,)]


# Answers that cannot be sent


@pytest.mark.parametrize("when", ["at once", "later"])
@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (v16.BootNotificationResponse(current_time=NOW, interval=300, status="Maybe"), "Maybe"),
        (v16.BootNotificationResponse(current_time=None, interval=1, status="Accepted"), "currentTime"),
        (v16.BootNotificationResponse(current_time=NOW, interval="1", status="Accepted"), "interval"),
        (v16.BootNotificationResponse(current_time=NOW, interval=object(), status="Accepted"), "object"),
        (v16.BootNotificationResponse(NOW.replace(tzinfo=None), 300, "Accepted"), "needs a zone"),
        (BEAT, "HeartbeatResponse"),
    ],
    ids=["value", "missing", "type", "object", "naive", "other type"],
)
def test_a_response_that_cannot_be_sent_is_an_internal_error_without_our_text(side, response, reason, when, caplog):
    """The code of what was wrong with it would look like a fault in the request."""
    failed = Recorder()

    @side.endpoint.on(v16.BootNotificationRequest, pass_id=True)
    def handle(*arguments):
        if when == "at once":
            return response
        try:
            side.send_response(arguments[-1], response)
        except UsageError as error:
            failed(error)

    answer = side.raw.ask([2, "1", "BootNotification", BOOT_WIRE])
    assert answer == [4, "1", "InternalError", "the answer could not be made", {}]
    if when == "later":
        failed.wait()
    logged = eventually(lambda: [each for each in caplog.records if each.levelname == "ERROR"])
    assert len(logged) == 1
    assert "the answer to BootNotification cannot be sent" in logged[0].getMessage()
    assert reason in logged[0].getMessage()


def test_a_response_that_json_cannot_say_is_replaced_even_when_nothing_is_checked(make_side):
    side = make_side(validate=False).connect()
    bad = v16.BootNotificationResponse(current_time=NOW, interval=object(), status="Accepted")
    side.endpoint.on(v16.BootNotificationRequest)(lambda *arguments: bad)
    assert side.raw.ask([2, "1", "BootNotification", BOOT_WIRE])[:3] == [4, "1", "InternalError"]


def test_a_response_whose_schema_cannot_be_loaded_is_replaced_too(make_side):
    def load():
        raise OSError("secret")

    feature = Feature("Heartbeat", v16.HeartbeatRequest, v16.HeartbeatResponse, None, load)
    side = make_side(profiles=[Profile("Own", V16, feature)]).connect()
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    answer = side.raw.ask([2, "1", "Heartbeat", {}])
    assert answer[:3] == [4, "1", "InternalError"]
    assert "secret" not in answer[3]


def test_send_response_raises_what_it_replaced(side):
    with pytest.raises(ValidationError):
        side.send_response("1", v16.BootNotificationResponse(current_time=NOW, interval=1, status="Maybe"))
    assert side.raw.receive()[:3] == [4, "1", "InternalError"]
    with pytest.raises(EncodingError):
        side.send_error("2", ErrorCode.GENERIC_ERROR, "why", {"a": object()})
    assert side.raw.receive() == [4, "2", "GenericError", "why", {}]
    with pytest.raises(UsageError, match="NoSuchCode"):
        side.send_error("3", "NoSuchCode")
    assert side.raw.receive()[:3] == [4, "3", "GenericError"]


def test_an_unsupported_response_is_refused(make_side):
    side = make_side(profiles=[profile for profile in v16.PROFILES if profile.name == "Core"]).connect()
    with pytest.raises(UnsupportedFeature):
        side.send_response("1", v16.GetLocalListVersionResponse(list_version=1))
    assert side.raw.receive()[:3] == [4, "1", "InternalError"]


def test_a_response_may_be_sent_to_a_call_nobody_knows_of(side):
    side.send_response("unknown", BEAT)
    assert side.raw.receive() == [3, "unknown", BEAT_WIRE]


@pytest.mark.parametrize("wrong", ["", "x" * 37, None, 5])
def test_nothing_is_sent_for_an_id_that_is_none(side, wrong):
    with pytest.raises(UsageError, match="the message id must"):
        side.send_response(wrong, BEAT)
    with pytest.raises(UsageError, match="the message id must"):
        side.send_error(wrong, ErrorCode.GENERIC_ERROR)
    side.send_response("1", BEAT)
    assert side.raw.receive() == [3, "1", BEAT_WIRE]


def test_with_validation_off_an_invalid_response_is_sent(make_side):
    side = make_side(validate=False).connect()
    side.send_response("1", v16.BootNotificationResponse(current_time=NOW, interval=1, status="Maybe"))
    assert side.raw.receive()[2]["status"] == "Maybe"


def test_an_answer_that_cannot_be_written_raises_with_its_id(side):
    """We have closed the connection, and its end is not known yet: the thread that takes note of it is in the hook."""
    raised = Recorder()

    @side.endpoint.set_invalid_message_hook
    def hook(*arguments):
        connection(side.endpoint).channel.close(1000)
        for answer in (
            lambda: side.send_response("1", BEAT),
            lambda: side.send_error("2", ErrorCode.GENERIC_ERROR),
        ):
            try:
                answer()
            except TransportError as error:
                raised(error.message_id)

    side.raw.send("rubbish")
    assert raised.wait(2) == [("1",), ("2",)]
    side.raw.wait_closed()
    assert side.raw.nothing_came()


# The wire rules (OCPP-J 1.6 sections 4.1 and 4.2)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ([2, "1", "NoSuchAction", {}], "NotImplemented"),
        ([2, "1", "heartbeat", {}], "NotImplemented"),
        ([2, "1", "", {}], "NotImplemented"),
        ([2, "1", "A" * 40, {}], "NotImplemented"),
        ([2, "1", "ClearCache", {}], "NotSupported"),
        ([2, "1", "BootNotification", {"chargePointVendor": "V"}], "OccurenceConstraintViolation"),
        ([2, "1", "BootNotification", {**BOOT_WIRE, "iccid": 5}], "TypeConstraintViolation"),
        ([2, "1", "BootNotification", {**BOOT_WIRE, "iccid": "1" * 21}], "PropertyConstraintViolation"),
        ([2, "1", "BootNotification", {**BOOT_WIRE, "foo": 1}], "FormationViolation"),
        ([2, "1", "BootNotification", []], "FormationViolation"),
        ([2, "1", "BootNotification", "text"], "FormationViolation"),
        ([2, "1", "BootNotification"], "FormationViolation"),
        ([2, "1"], "FormationViolation"),
        ([2, "1", "Heartbeat", {}, {}], "FormationViolation"),
        ([2, "1", 5, {}], "FormationViolation"),
        ([2, "1", None, {}], "FormationViolation"),
    ],
)
def test_what_a_broken_call_gets(side, frame, code):
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    side.endpoint.on(v16.BootNotificationRequest)(lambda *arguments: BOOTED)
    kind, message_id, sent, description, details = side.raw.ask(frame)
    assert (kind, message_id, sent, details) == (4, "1", code, {})
    assert 0 < len(description) <= 255
    assert side.raw.ask([2, "2", "Heartbeat", {}]) == [3, "2", BEAT_WIRE], "the connection goes on"


@pytest.mark.parametrize(
    "frame",
    [
        "rubbish",
        "",
        "{}",
        "null",
        "[]",
        "[2",
        "[2]",
        '["2", "1", "Heartbeat", {}]',
        '[2.0, "1", "Heartbeat", {}]',
        '[true, "1", "Heartbeat", {}]',
        '[2, 1, "Heartbeat", {}]',
        '[2, "", "Heartbeat", {}]',
        '[2, null, "Heartbeat", {}]',
        '[2, "' + "1" * 37 + '", "Heartbeat", {}]',
        '[5, "1", "GenericError", "", {}]',
        '[6, "1", "NotifyPeriodicEventStream", {}]',
        '[99, "1", {}]',
        '[-1, "1", {}]',
        '[3, "unknown", {}]',
        '[4, "unknown", "GenericError", "", {}]',
        '[4, "unknown"]',
        '[2, "1", "Heartbeat", {"a": NaN}]',
        "[" * 100_000,
    ],
)
def test_what_gets_no_answer_in_1_6(side, frame):
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    side.raw.send(frame)
    assert side.raw.ask([2, "9", "Heartbeat", {}]) == [3, "9", BEAT_WIRE]
    assert side.raw.nothing_came()


def test_null_is_read_as_an_empty_payload(side):
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    assert side.raw.ask([2, "1", "Heartbeat", None]) == [3, "1", BEAT_WIRE]
    side.endpoint.on(v16.StatusNotificationRequest)(lambda *arguments: v16.StatusNotificationResponse())
    payload = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
    assert side.raw.ask([2, "2", "StatusNotification", payload]) == [3, "2", {}]


def test_an_empty_answer_may_be_null(side):
    future = side.send_request(v16.DiagnosticsStatusNotificationRequest(status="Idle"))
    side.raw.send([3, side.raw.receive()[1], None])
    assert future.result(seconds(10)) == v16.DiagnosticsStatusNotificationResponse()


def test_ids_of_36_characters_and_text_in_any_script(side):
    boots = Recorder(BOOTED)
    side.endpoint.on(v16.BootNotificationRequest)(boots)
    message_id = "ü" * 36
    payload = {"chargePointVendor": "電気 \U0001f50c", "chargePointModel": "M"}
    assert side.raw.ask([2, message_id, "BootNotification", payload]) == [3, message_id, BOOTED_WIRE]
    assert boots.calls[0][-1].charge_point_vendor == "電気 \U0001f50c"


def test_a_lone_surrogate_is_echoed_without_harm(side):
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    side.raw.send('[2, "\\ud800", "Heartbeat", {}]')
    assert side.raw.receive()[:2] == [3, "\ud800"]


def test_another_call_of_an_id_that_is_being_handled_is_refused(side):
    release = threading.Event()

    @side.endpoint.on(v16.HeartbeatRequest)
    def slow(*arguments):
        assert release.wait(seconds(10))
        return BEAT

    side.raw.send([2, "1", "Heartbeat", {}])
    assert side.raw.ask([2, "1", "BootNotification", BOOT_WIRE])[:3] == [4, "1", "ProtocolError"]
    assert side.raw.ask([2, "1", "BootNotification", {}])[:3] == [4, "1", "OccurenceConstraintViolation"]
    release.set()
    assert side.raw.receive() == [3, "1", BEAT_WIRE]
    assert side.raw.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]


def test_a_repeated_call_gets_its_answer_again_if_asked_for(make_side):
    side = make_side(repeat_answers=2).connect()
    count = []

    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        count.append(None)
        if len(count) == 2:
            raise OCPPError(ErrorCode.SECURITY_ERROR)
        return BEAT

    first = side.raw.ask([2, "1", "Heartbeat", {}])
    second = side.raw.ask([2, "2", "Heartbeat", {}])
    assert side.raw.ask([2, "1", "Heartbeat", {}]) == first
    side.raw.ask([2, "3", "Heartbeat", {}])
    assert len(count) == 3
    assert (first[0], second[0]) == (3, 4)
    side.raw.ask([2, "1", "Heartbeat", {}])
    assert len(count) == 4, "the oldest answer was forgotten"


def test_a_repeated_call_waits_for_no_handler(make_side):
    side = make_side(repeat_answers=1).connect()
    release = threading.Event()

    @side.endpoint.on(v16.DataTransferRequest)
    def slow(*arguments):
        assert release.wait(seconds(10))
        return v16.DataTransferResponse(status="Accepted")

    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    first = side.raw.ask([2, "1", "Heartbeat", {}])
    side.raw.send([2, "2", "DataTransfer", {"vendorId": "V"}])
    for _ in range(20):
        assert side.raw.ask([2, "1", "Heartbeat", {}]) == first
    release.set()
    assert side.raw.receive()[:2] == [3, "2"]


def test_too_many_waiting_calls_are_refused_one_by_one(make_side):
    side = make_side(max_waiting_calls=3).connect()
    release = threading.Event()

    @side.endpoint.on(v16.HeartbeatRequest)
    def slow(*arguments):
        assert release.wait(seconds(10))
        return BEAT

    for n in range(5):
        side.raw.send([2, str(n), "Heartbeat", {}])
    refused = side.raw.receive_by_id("3", "4")
    assert {frame[2] for frame in refused.values()} == {"GenericError"}
    release.set()
    assert set(side.raw.receive_by_id("0", "1", "2")) == {"0", "1", "2"}


def test_bad_frames_in_a_row_close_the_connection(make_side):
    side = make_side(max_bad_messages=5).connect()
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    for _ in range(4):
        side.raw.send("rubbish")
    side.raw.ask([2, "1", "Heartbeat", {}])  # the count begins anew
    for _ in range(4):
        side.raw.send('[7, "1"]')
    side.raw.ask([2, "2", "BootNotification", {}])  # answered with an error, yet a message
    assert not side.raw.closed.is_set()
    for _ in range(5):
        side.raw.send("rubbish")
    close = side.raw.wait_closed()
    assert (close.code, close.by_peer) == (1002, True)


def test_the_invalid_message_hook_sees_everything_and_may_replace_the_error(side):
    seen = Recorder(OCPPError(ErrorCode.SECURITY_ERROR, "mine", {"a": 1}))
    side.endpoint.set_invalid_message_hook(seen)
    frame = [2, "1", "BootNotification", {"chargePointVendor": "V"}]
    assert side.raw.ask(frame) == [4, "1", "SecurityError", "mine", {"a": 1}]
    *who, error, text, fields = seen.calls[0]
    assert tuple(who) == side.args()
    assert error.code is ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION
    assert fields == frame
    assert "BootNotification" in text
    side.raw.send("rubbish")
    assert seen.wait(2)[1][-2:] == ("rubbish", None)
    seen.result = None
    assert side.raw.ask(frame)[2] == "OccurenceConstraintViolation"


def test_a_failing_hook_or_handler_harms_nothing(side):
    def fail(*arguments):
        raise RuntimeError("no")

    side.endpoint.set_invalid_message_hook(fail)
    side.endpoint.set_ignored_message_handler(fail)
    side.endpoint.set_response_handler(fail)
    side.endpoint.after(v16.HeartbeatRequest)(fail)
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    assert side.raw.ask([2, "1", "NoSuchAction", {}])[2] == "NotImplemented"
    side.raw.send([3, "unknown", {}])
    future = side.send_request(HEARTBEAT)
    side.raw.send([3, side.raw.receive()[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT
    for n in range(3):
        assert side.raw.ask([2, str(n), "Heartbeat", {}]) == [3, str(n), BEAT_WIRE]


def test_calls_of_a_peer_that_left_are_still_handled(side):
    """Nothing that arrived is lost, though its answer is."""
    release = threading.Event()
    handled = Recorder()

    @side.endpoint.set_request_handler
    def handle(*arguments):
        assert release.wait(seconds(10))
        handled(arguments[-2])
        return BEAT

    for n in range(3):
        side.raw.send([2, str(n), "Heartbeat", {}])
    eventually(lambda: [len(each.unanswered) for each in connections(side.endpoint)] == [3])
    side.raw.stop()
    release.set()
    assert handled.wait(3) == [("0",), ("1",), ("2",)]


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, GeneratorExit, pytest.fail.Exception])
def test_what_would_end_a_thread_ends_a_handler_only(side, end):
    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        raise end("secret")

    answer = side.raw.ask([2, "1", "Heartbeat", {}])
    assert answer[:3] == [4, "1", "InternalError"]
    assert "secret" not in answer[3]
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    assert side.raw.ask([2, "2", "Heartbeat", {}]) == [3, "2", BEAT_WIRE]


@pytest.mark.parametrize("wrong", [{"currentTime": "2026-01-02T03:04:05Z"}, "text", False, 5])
def test_a_handler_that_returns_no_message_is_our_fault(side, wrong):
    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: wrong)
    assert side.raw.ask([2, "1", "Heartbeat", {}])[:3] == [4, "1", "InternalError"]


def test_errors_of_odd_shape_are_refused_and_answered(side):
    with pytest.raises(TypeError, match="details"):
        OCPPError(ErrorCode.GENERIC_ERROR, "d", ["a"])
    assert OCPPError(ErrorCode.GENERIC_ERROR, None).description == ""
    assert OCPPError(ErrorCode.GENERIC_ERROR, ValueError("x")).description == "x"
    for description, details in (("d", ["a"]), (5, None)):
        with pytest.raises(UsageError, match="CALLERROR"):
            side.send_error("1", ErrorCode.GENERIC_ERROR, description, details)
        assert side.raw.receive()[:3] == [4, "1", "GenericError"]

    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        error = OCPPError(ErrorCode.GENERIC_ERROR, "d")
        error.details = ["a"]
        raise error

    assert side.raw.ask([2, "2", "Heartbeat", {}]) == [4, "2", "GenericError", "d", {}]


# What a handler returns that can be no answer


def errors_in(caplog, text):
    return [each for each in caplog.records if each.levelname == "ERROR" and text in each.getMessage()]


def test_none_without_the_message_id_is_an_internal_error_at_once(side, caplog):
    @side.endpoint.on(v16.HeartbeatRequest)
    def forgot_to_return(*arguments):
        """Return nothing."""

    code, description = side.raw.ask([2, "1", "Heartbeat", {}])[2:4]
    assert (code, description) == ("InternalError", "the request could not be handled")
    (logged,) = errors_in(caplog, "returned None")
    assert "CP_1" in logged.getMessage()
    assert "forgot_to_return of Heartbeat" in logged.getMessage()
    assert "pass_id=True" in logged.getMessage()


def test_a_thousand_of_them_do_not_use_up_the_waiting_calls(make_side):
    side = make_side(max_waiting_calls=5).connect()
    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: None)
    codes = {side.raw.ask([2, str(number), "Heartbeat", {}])[2] for number in range(20)}
    assert codes == {"InternalError"}
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    assert side.raw.ask([2, "last", "Heartbeat", {}]) == [3, "last", BEAT_WIRE]


class Handlers:
    def method(self, *arguments):
        """Return nothing."""

    def __call__(self, *arguments):
        """Return nothing."""


@pytest.mark.parametrize(
    ("handler", "name"),
    [(Handlers().method, "Handlers.method"), (Handlers(), "Handlers object"), (partial(print, end=""), "partial(")],
    ids=["method", "object", "partial"],
)
def test_the_log_names_whatever_returned_nothing(side, caplog, handler, name):
    side.endpoint.on(v16.BootNotificationRequest)(handler)
    assert side.raw.ask([2, "1", "BootNotification", BOOT_WIRE])[2] == "InternalError"
    (logged,) = errors_in(caplog, "returned None")
    assert name in logged.getMessage()


def test_none_with_the_signature_alone_is_an_internal_error_too(side):
    side.endpoint.on(v16.HeartbeatRequest, pass_signature=True)(lambda *arguments: None)
    assert side.raw.ask([2, "1", "Heartbeat", {}])[2] == "InternalError"


def test_a_handler_without_the_id_that_was_answered_meanwhile_is_answered_once(side, caplog):
    """What sees the id elsewhere may answer: an observer, say."""
    frames = Recorder()
    side.endpoint.add_observer(frames)

    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        side.send_response("1", BEAT)

    assert side.raw.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    assert side.raw.ask([2, "2", "Heartbeat", {}]) == [3, "2", BEAT_WIRE]
    assert errors_in(caplog, "returned None") == []


# Actions that nobody handles


def warnings_of(caplog, text):
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING" and text in each.getMessage()]


def test_an_action_that_nobody_handles_is_warned_of_once(side, caplog):
    for number in range(5):
        assert side.raw.ask([2, f"h{number}", "Heartbeat", {}])[2] == "NotSupported"
        assert side.raw.ask([2, f"b{number}", "BootNotification", BOOT_WIRE])[2] == "NotSupported"
    assert len(warnings_of(caplog, "CP_1: nobody handles Heartbeat")) == 1
    assert len(warnings_of(caplog, "CP_1: nobody handles BootNotification")) == 1


def test_each_client_is_warned_of_once_over_all_its_connections(make_server, raw_client, caplog):
    server = make_server()
    for client_id in ("CP_1", "CP_2", "CP_1"):
        raw = raw_client(server.url, client_id)
        assert raw.ask([2, "1", "Heartbeat", {}])[2] == "NotSupported"
        raw.stop()
        eventually(lambda: not server.client_ids())
    assert sorted(each[:4] for each in warnings_of(caplog, "nobody handles")) == ["CP_1", "CP_2"]


# What runs before every handler


def test_before_runs_before_the_handler_on_its_thread_and_sees_the_action(side):
    order = []

    @side.endpoint.before
    def first(*arguments):
        order.append(("first", threading.current_thread().name, arguments))
        return BOOTED  # has no effect

    side.endpoint.before(lambda *arguments: order.append(("second", threading.current_thread().name, arguments)))

    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        order.append(("handler", threading.current_thread().name, arguments))
        return BEAT

    assert side.raw.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]
    assert [each[0] for each in order] == ["first", "second", "handler"]
    assert len({each[1] for each in order}) == 1
    given = (*side.args(), "Heartbeat", HEARTBEAT)
    assert [each[2] for each in order] == [given, given, side.args(HEARTBEAT)]


@pytest.mark.parametrize(
    ("raised", "answer"),
    [
        (OCPPError("SecurityError", "not yet", {"a": 1}), ["SecurityError", "not yet", {"a": 1}]),
        (OCPPError(ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION), ["OccurenceConstraintViolation", "", {}]),
        (RuntimeError("secret"), ["InternalError", "the request could not be handled", {}]),
        (SystemExit(), ["InternalError", "the request could not be handled", {}]),
    ],
    ids=["security", "spelling", "other", "exit"],
)
def test_what_before_raises_is_the_answer_and_no_handler_runs(side, raised, answer):
    handled, later = Recorder(BEAT), Recorder()

    @side.endpoint.before
    def refuse(*arguments):
        if arguments[-2] == "Heartbeat":
            raise raised

    side.endpoint.before(later)
    side.endpoint.on(v16.HeartbeatRequest)(handled)
    side.endpoint.on(v16.BootNotificationRequest)(lambda *arguments: BOOTED)
    assert side.raw.ask([2, "1", "Heartbeat", {}]) == [4, "1", *answer]
    assert side.raw.ask([2, "2", "BootNotification", BOOT_WIRE]) == [3, "2", BOOTED_WIRE]
    assert handled.calls == []
    assert later.calls == [(*side.args(), "BootNotification", BOOT)], "the first that raises is the last that runs"


@pytest.mark.filterwarnings("error")
def test_a_coroutine_in_place_of_what_before_raises_lets_nothing_through(side, caplog):
    """An ``async def`` behind another function cannot be seen when it is registered."""
    handled = Recorder(BEAT)

    async def refuse(*arguments):
        raise OCPPError("SecurityError")

    side.endpoint.before(lambda *arguments: refuse(*arguments))
    side.endpoint.on(v16.HeartbeatRequest)(handled)
    assert side.raw.ask([2, "1", "Heartbeat", {}])[2] == "InternalError"
    assert handled.calls == []
    assert "returned a coroutine, which nothing awaits" in caplog.text


@pytest.mark.filterwarnings("error")
def test_a_coroutine_of_a_handler_of_responses_is_logged(side, caplog):
    async def store(*arguments):
        """Do nothing."""

    side.endpoint.set_response_handler(lambda *arguments: store(*arguments))
    future = side.send_request(BOOT)
    request = side.raw.receive()
    side.raw.send([3, request[1], BOOTED_WIRE])
    assert future.result(seconds(10)) == BOOTED
    eventually(lambda: "returned a coroutine, which nothing awaits" in caplog.text)


def test_before_runs_for_an_action_that_nobody_handles_and_for_the_generic_handler(side):
    seen = Recorder()
    side.endpoint.before(seen)
    assert side.raw.ask([2, "1", "Heartbeat", {}])[2] == "NotSupported"
    side.endpoint.set_request_handler(beat)
    assert side.raw.ask([2, "2", "Heartbeat", {}])[0] == 3
    assert [each[-2] for each in seen.calls] == ["Heartbeat"] * 2

    @side.endpoint.before
    def refuse(*arguments):
        raise OCPPError("SecurityError")

    assert side.raw.ask([2, "3", "ChangeAvailability", {"connectorId": 0, "type": "Operative"}])[2] == "SecurityError"


def test_what_before_refused_is_not_remembered_as_the_answer(make_side):
    """A charge point repeats a refused message with its id when it is let through."""
    side = make_side(repeat_answers=10).connect()
    side.endpoint.on(v16.HeartbeatRequest)(beat)

    def refuse(*arguments):
        raise OCPPError("SecurityError")

    side.endpoint.before(refuse)
    assert side.raw.ask([2, "1", "Heartbeat", {}])[2] == "SecurityError"
    side.endpoint.remove_before(refuse)
    assert side.raw.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]


def test_before_may_call_the_peer(side):
    answers = Recorder()
    side.endpoint.on(v16.HeartbeatRequest)(beat)

    @side.endpoint.before
    def ask(*arguments):
        answers(side.call(BOOT))

    side.raw.send([2, "1", "Heartbeat", {}])
    request = side.raw.receive()
    side.raw.send([3, request[1], BOOTED_WIRE])
    assert side.raw.receive() == [3, "1", BEAT_WIRE]
    assert answers.calls == [(BOOTED,)]


STREAM = {"id": 1, "pending": 0, "basetime": "2026-01-01T00:00:00Z", "data": [{"t": 0, "v": "1"}]}


def test_a_send_that_before_refuses_is_dropped_and_one_that_nobody_handles_is_warned_of_once(make_server, caplog):
    caplog.set_level("INFO", logger="ocppj")
    handled = Recorder()
    refuse = threading.Event()
    server = Server(profiles=v21.PROFILES)

    @server.before
    def before(client_id, action, request):
        if refuse.is_set():
            raise OCPPError("SecurityError", "no")

    with server.listen(host="127.0.0.1"), RawClient(Sockets(), server.url, "CP_1", ["ocpp2.1"]) as raw:

        def flush():
            raw.ask([2, "flush", "Heartbeat", {}])

        raw.send([6, "1", "NotifyPeriodicEventStream", STREAM])
        raw.send([6, "2", "NotifyPeriodicEventStream", STREAM])
        flush()
        assert len(warnings_of(caplog, "nobody handles NotifyPeriodicEventStream")) == 1
        server.on(v21.NotifyPeriodicEventStream)(handled)
        refuse.set()
        raw.send([6, "3", "NotifyPeriodicEventStream", STREAM])
        flush()
        assert "NotifyPeriodicEventStream was refused: SecurityError: no" in caplog.text
        refuse.clear()
        raw.send([6, "4", "NotifyPeriodicEventStream", STREAM])
        flush()
        assert len(handled.wait()) == 1
        assert raw.nothing_came()


# Several types, the response, and handlers that are taken away


def test_on_takes_several_types(side):
    answers = {v16.HeartbeatRequest: BEAT, v16.BootNotificationRequest: BOOTED}

    @side.endpoint.on(v16.HeartbeatRequest, v16.BootNotificationRequest)
    def both(*arguments):
        return answers[type(arguments[-1])]

    assert side.raw.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]
    assert side.raw.ask([2, "2", "BootNotification", BOOT_WIRE]) == [3, "2", BOOTED_WIRE]
    side.endpoint.off(v16.HeartbeatRequest)
    assert side.raw.ask([2, "3", "Heartbeat", {}])[2] == "NotSupported"
    assert side.raw.ask([2, "4", "BootNotification", BOOT_WIRE])[0] == 3
    side.endpoint.set_request_handler(beat)
    assert side.raw.ask([2, "5", "Heartbeat", {}])[0] == 3, "the generic handler takes what `off` left"


def test_one_handler_for_the_same_request_of_three_versions():
    seen = Recorder()
    server = Server(profiles=[*v16.PROFILES, *v201.PROFILES, *v21.PROFILES])

    @server.on(v16.HeartbeatRequest, v201.HeartbeatRequest, v21.HeartbeatRequest, pass_id=True)
    def heartbeat(client_id, request, message_id):
        seen(type(request), message_id)
        module = {v16.HeartbeatRequest: v16, v201.HeartbeatRequest: v201, v21.HeartbeatRequest: v21}[type(request)]
        return module.HeartbeatResponse(current_time=NOW)

    with server.listen(host="127.0.0.1"):
        for subprotocol in ("ocpp1.6", "ocpp2.0.1", "ocpp2.1"):
            with RawClient(Sockets(), server.url, "CP_1", [subprotocol]) as raw:
                assert raw.ask([2, subprotocol, "Heartbeat", {}])[0] == 3
    types = [v16.HeartbeatRequest, v201.HeartbeatRequest, v21.HeartbeatRequest]
    assert seen.calls == [(types[0], "ocpp1.6"), (types[1], "ocpp2.0.1"), (types[2], "ocpp2.1")]


def test_after_is_given_the_response_if_it_asks_for_it(side):
    with_response, without = Recorder(), Recorder()
    both = (v16.HeartbeatRequest, v16.BootNotificationRequest)
    side.endpoint.after(*both, pass_response=True)(with_response)
    side.endpoint.after(*both)(without)
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    later = Recorder()
    side.endpoint.on(v16.BootNotificationRequest, pass_id=True)(later)
    side.raw.ask([2, "1", "Heartbeat", {}])
    side.raw.send([2, "2", "BootNotification", BOOT_WIRE])
    later.wait()
    side.send_response("2", BOOTED)
    assert with_response.wait(2) == [side.args(HEARTBEAT, BEAT), side.args(BOOT, BOOTED)]
    assert without.wait(2) == [side.args(HEARTBEAT), side.args(BOOT)]


def test_after_and_before_can_be_taken_away_while_connected(side):
    seen, kept = Recorder(), Recorder()
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    for each in (seen, kept):
        side.endpoint.before(each)
        side.endpoint.after(v16.HeartbeatRequest)(each)
    side.raw.ask([2, "1", "Heartbeat", {}])
    kept.wait(2)
    side.endpoint.remove_before(seen)
    side.endpoint.remove_after(seen)
    side.raw.ask([2, "2", "Heartbeat", {}])
    assert len(kept.wait(4)) == 4
    assert len(seen.calls) == 2
    side.endpoint.remove_after(kept)
    side.endpoint.remove_before(kept)
    side.raw.ask([2, "3", "Heartbeat", {}])
    side.raw.ask([2, "4", "Heartbeat", {}])
    assert len(kept.calls) == 4


def test_a_before_handler_may_take_itself_away(side):
    seen = Recorder()
    side.endpoint.on(v16.HeartbeatRequest)(beat)

    @side.endpoint.before
    def once(*arguments):
        seen(arguments)
        side.endpoint.remove_before(once)

    assert [side.raw.ask([2, str(number), "Heartbeat", {}])[0] for number in range(3)] == [3, 3, 3]
    assert len(seen.calls) == 1


def test_an_observer_that_was_taken_away_sees_nothing_more(side):
    seen, kept = Recorder(), Recorder()
    side.endpoint.on(v16.HeartbeatRequest)(beat)
    side.endpoint.add_observer(seen)
    side.endpoint.add_observer(kept)
    side.raw.ask([2, "1", "Heartbeat", {}])
    kept.wait(2)
    side.endpoint.remove_observer(seen)
    side.raw.ask([2, "2", "Heartbeat", {}])
    assert len(kept.wait(4)) == 4
    assert len(seen.calls) == 2


def test_the_generic_handler_can_be_taken_away(side):
    side.endpoint.set_request_handler(beat)
    assert side.raw.ask([2, "1", "Heartbeat", {}])[0] == 3
    side.endpoint.set_request_handler(None)
    assert side.raw.ask([2, "2", "Heartbeat", {}])[2] == "NotSupported"


# The same in every version, over sockets

WORLDS = {"ocpp1.6": v16, "ocpp2.0.1": v201, "ocpp2.1": v21}
RESETS = {
    "ocpp1.6": {"type": "Soft"},
    "ocpp2.0.1": {"type": "OnIdle"},
    "ocpp2.1": {"type": "ImmediateAndResume"},
}


@pytest.fixture(params=WORLDS)
def world(request, cleanup):
    """A server, a charge point that speaks text, and the messages of their version."""
    subprotocol = request.param
    server = Server(profiles=WORLDS[subprotocol].PROFILES)
    cleanup.append(server.stop)
    raw = RawClient(Sockets(), server.listen(host="127.0.0.1").url, "CP_1", [subprotocol])
    cleanup.append(raw.stop)
    return server, raw, WORLDS[subprotocol], subprotocol


def test_in_every_version_none_is_an_internal_error(world):
    server, raw, module, subprotocol = world
    handler = server.on(module.HeartbeatRequest, module.DataTransferRequest, module.AuthorizeRequest)
    handler(lambda client_id, request: None)
    id_tag = {"idTag": "T"} if module is v16 else {"idToken": {"idToken": "T", "type": "Central"}}
    for number, (action, payload) in enumerate(
        [("Heartbeat", {}), ("DataTransfer", {"vendorId": "V"}), ("Authorize", id_tag)]
    ):
        assert raw.ask([2, str(number), action, payload])[2] == "InternalError"


def test_in_every_version_a_wrong_response_is_an_internal_error(world):
    server, raw, module, subprotocol = world
    wrong = [
        module.HeartbeatResponse(current_time=None),
        module.HeartbeatResponse(current_time="now"),
        module.ResetResponse(status="Accepted"),
        module.HeartbeatRequest(),
    ]
    server.on(module.HeartbeatRequest)(lambda client_id, request: wrong.pop())
    for number in range(4):
        assert raw.ask([2, str(number), "Heartbeat", {}])[2:] == [
            "InternalError",
            "the answer could not be made",
            {},
        ]


def test_in_every_version_an_unhandled_action_is_warned_of_once_and_before_runs(world, caplog):
    server, raw, module, subprotocol = world
    seen = Recorder()
    server.before(seen)
    for number in range(3):
        assert raw.ask([2, str(number), "Reset", RESETS[subprotocol]])[2] == "NotSupported"
        assert raw.ask([2, f"c{number}", "ClearCache", {}])[2] == "NotSupported"
    for action in ("Reset", "ClearCache"):
        assert len(warnings_of(caplog, f"nobody handles {action}")) == 1
        assert len([each for each in seen.calls if each[1] == action]) == 3


@pytest.mark.parametrize("action", ["ReserveNow", "BootNotification", "NoSuchAction", "No\n" * 50])
@pytest.mark.parametrize("subprotocol", WORLDS)
def test_in_every_version_an_action_that_no_profile_has_is_warned_of_once(subprotocol, action, cleanup, caplog):
    server = Server(profiles=[WORLDS[subprotocol].SMART_CHARGING], max_bad_messages=2)
    cleanup.append(server.stop)
    server.listen(host="127.0.0.1")
    for client_id in ("CP_1", "CP_2", "CP_1"):
        raw = RawClient(Sockets(), server.url, client_id, [subprotocol])
        cleanup.append(raw.stop)
        for number in range(3):
            assert raw.ask([2, str(number), action, {}])[2] in ("NotSupported", "NotImplemented")
        raw.stop()
        eventually(lambda: not server.client_ids())
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert sorted(each[:20] for each in warnings) == ["CP_1: nobody handles", "CP_2: nobody handles"]
    assert all(action[:2] in each and "\n" not in each for each in warnings)


def test_in_every_version_after_gets_the_response(world):
    server, raw, module, subprotocol = world
    seen = Recorder()
    server.on(module.HeartbeatRequest)(lambda client_id, request: module.HeartbeatResponse(current_time=NOW))
    server.after(module.HeartbeatRequest, pass_response=True)(seen)
    raw.ask([2, "1", "Heartbeat", {}])
    assert seen.wait() == [("CP_1", module.HeartbeatRequest(), module.HeartbeatResponse(current_time=NOW))]
