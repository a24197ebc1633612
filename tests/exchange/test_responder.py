"""CALLs of the peer: what each gets for an answer, on client and server, over both transports."""

import threading

import pytest

from ocppj import (
    EncodingError,
    ErrorCode,
    Feature,
    OCPPError,
    Profile,
    TransportError,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    v16,
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


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (v16.BootNotificationResponse(current_time=NOW, interval=300, status="Maybe"), "PropertyConstraintViolation"),
        (
            v16.BootNotificationResponse(current_time=None, interval=1, status="Accepted"),
            "OccurenceConstraintViolation",
        ),
        (v16.BootNotificationResponse(current_time=NOW, interval="1", status="Accepted"), "TypeConstraintViolation"),
        (v16.BootNotificationResponse(current_time=NOW, interval=object(), status="Accepted"), None),
        (v16.BootNotificationResponse(NOW.replace(tzinfo=None), 300, "Accepted"), "InternalError"),
        (BEAT, "NotSupported"),
    ],
    ids=["value", "missing", "type", "object", "naive", "other type"],
)
def test_a_response_that_cannot_be_sent_is_replaced_by_a_callerror(side, response, code):
    side.endpoint.on(v16.BootNotificationRequest)(lambda *arguments: response)
    answer = side.raw.ask([2, "1", "BootNotification", BOOT_WIRE])
    assert answer[:2] == [4, "1"]
    assert code is None or answer[2] == code


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
    assert side.raw.receive()[:3] == [4, "1", "PropertyConstraintViolation"]
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
    assert side.raw.receive()[:3] == [4, "1", "NotSupported"]


def test_a_response_may_be_sent_to_a_call_nobody_knows_of(side):
    side.send_response("unknown", BEAT)
    assert side.raw.receive() == [3, "unknown", BEAT_WIRE]


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


def test_an_id_that_is_being_handled_is_refused(side):
    release = threading.Event()

    @side.endpoint.on(v16.HeartbeatRequest)
    def slow(*arguments):
        assert release.wait(seconds(10))
        return BEAT

    side.raw.send([2, "1", "Heartbeat", {}])
    assert side.raw.ask([2, "1", "Heartbeat", {}])[:3] == [4, "1", "ProtocolError"]
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
    eventually(lambda: [each.unanswered() for each in connections(side.endpoint)] == [3])
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
