"""CALLs that come again: while they are handled, over a newer connection, and after their answer."""

import logging
import threading

import pytest

from ocppj import (
    Call,
    ErrorCode,
    ManualClock,
    OCPPError,
    SQLiteQueue,
    TransactionRetries,
    UnknownClient,
    UsageError,
    v16,
    v21,
    v201,
)
from ocppj.budget import MemoryBudget
from ocppj.exchange.repeats import AnswerMemory, fingerprint, is_repeated
from ocppj.ws.backoff import Backoff
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    NOW,
    VERSIONS,
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
from tests.peers import RawClient, RawServer

ALL = [*v16.PROFILES, *v201.PROFILES, *v21.PROFILES]
DATA = {"vendorId": "V", "messageId": "M", "data": "D"}
ACCEPTED = {"status": "Accepted"}
#: Another form of each: the same payload in another text, then other payloads, then another action.
SAME = '[2 , "1","DataTransfer",{"data":"D","messageId":"\\u004d",\n"vendorId":"V"}]'
OTHERS = [
    [2, "1", "DataTransfer", {**DATA, "data": "E"}],
    [2, "1", "DataTransfer", {"vendorId": "V"}],
    [2, "1", "Heartbeat", {}],
]


class Slow:
    """A handler that waits until it is let go, and then returns ``response`` or raises it."""

    def __init__(self, response):
        self.response = response
        self.begun = Recorder()
        self.go = threading.Event()

    def __call__(self, *arguments):
        self.begun(*arguments)
        assert self.go.wait(seconds(10))
        if isinstance(self.response, Exception):
            raise self.response
        return self.response


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def package(version):
    return VERSIONS[version]


@pytest.fixture
def connect(transport, cleanup):
    """Connect a raw charge point that speaks one version."""

    def make(server, version="1.6", identity="CP_1"):
        raw = RawClient(transport, server.url, identity, [f"ocpp{version}"])
        cleanup.append(raw.stop)
        eventually(lambda: identity in server.client_ids())
        return raw

    return make


def leave(server, raw):
    raw.stop()
    eventually(lambda: not server.client_ids())


def answer_after_the_end(server, connect):
    """Have a Heartbeat handled beyond the end of its connection. Return its handler, which has ended."""
    slow, after = Slow(BEAT), Recorder()
    server.on(v16.HeartbeatRequest)(slow)
    server.on(v16.StatusNotificationRequest)(after)
    first = connect(server)
    first.send([2, "1", "Heartbeat", {}])
    slow.begun.wait()
    first.send([2, "2", "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"}])
    leave(server, first)
    slow.go.set()
    after.wait()
    return slow


def beat(package):
    return package.HeartbeatResponse(current_time=NOW)


def settle(raw):
    """Return what comes before the answer to one more CALL, whose handler does not wait: nothing else will come."""
    raw.send([2, "last", "NoSuchAction", {}])
    frames = [raw.receive()]
    while frames[-1][1] != "last":
        frames.append(raw.receive())
    return frames[:-1]


# While the first copy is handled


@pytest.mark.parametrize("again", [[2, "1", "DataTransfer", DATA], SAME], ids=["same text", "another text"])
def test_a_call_that_comes_again_is_answered_once(make_server, connect, version, package, again, caplog):
    caplog.set_level("INFO")
    server = make_server(profiles=ALL)
    slow = Slow(package.DataTransferResponse(status="Accepted"))
    server.on(package.DataTransferRequest)(slow)
    raw = connect(server, version)
    raw.send([2, "1", "DataTransfer", DATA])
    slow.begun.wait()
    for _ in range(3):
        raw.send(again)
    assert settle(raw) == []
    slow.go.set()
    assert raw.receive() == [3, "1", ACCEPTED]
    assert settle(raw) == []
    assert len(slow.begun.calls) == 1
    assert caplog.text.count("CALL '1' came again") == 3
    assert raw.ask([2, "1", "DataTransfer", DATA]) == [3, "1", ACCEPTED], "after the answer it is a new one"
    assert len(slow.begun.calls) == 2


@pytest.mark.parametrize("action", ["Heartbeat", "DataTransfer", "TriggerMessage"])
def test_on_a_client_too(transport, cleanup, make_client, version, package, action):
    raw = RawServer(transport, [f"ocpp{version}"])
    cleanup.append(raw.stop)
    client = make_client(profiles=ALL)
    responses = {
        "Heartbeat": beat(package),
        "DataTransfer": package.DataTransferResponse(status="Accepted"),
        "TriggerMessage": package.TriggerMessageResponse(status="Accepted"),
    }
    slow = Slow(responses[action])
    client.on(getattr(package, f"{action}Request"))(slow)
    client.connect(raw.url)
    raw.wait_connected()
    payload = {"Heartbeat": {}, "DataTransfer": DATA, "TriggerMessage": {"requestedMessage": "Heartbeat"}}[action]
    for _ in range(3):
        raw.send([2, "1", action, payload])
    assert settle(raw) == []
    slow.go.set()
    assert raw.receive()[:2] == [3, "1"]
    assert settle(raw) == []
    assert len(slow.begun.calls) == 1


@pytest.mark.parametrize("other", OTHERS, ids=["value", "property", "action"])
def test_another_call_of_that_id_is_refused_and_the_first_is_answered(make_server, connect, version, package, other):
    server = make_server(profiles=ALL)
    slow, beats = Slow(package.DataTransferResponse(status="Accepted")), Recorder(beat(package))
    server.on(package.DataTransferRequest)(slow)
    server.on(package.HeartbeatRequest)(beats)
    raw = connect(server, version)
    raw.send([2, "1", "DataTransfer", DATA])
    slow.begun.wait()
    code = "ProtocolError" if version == "1.6" else "RpcFrameworkError"
    assert raw.ask(other)[:3] == [4, "1", code]
    slow.go.set()
    assert raw.receive() == [3, "1", ACCEPTED]
    assert (len(slow.begun.calls), beats.calls) == (1, [])


def test_a_call_that_waits_for_its_turn_is_handled_once(side):
    slow, handled = Slow(v16.DataTransferResponse(status="Accepted")), Recorder(BEAT)
    side.endpoint.on(v16.DataTransferRequest)(slow)
    side.endpoint.on(v16.HeartbeatRequest)(handled)
    side.raw.send([2, "1", "DataTransfer", DATA])
    for _ in range(3):
        side.raw.send([2, "2", "Heartbeat", {}])
    assert settle(side.raw) == []
    slow.go.set()
    assert side.raw.receive() == [3, "1", ACCEPTED]
    assert side.raw.receive() == [3, "2", BEAT_WIRE]
    assert settle(side.raw) == []
    assert len(handled.calls) == 1


def test_a_repeated_call_is_no_call_too_many(make_side):
    side = make_side(max_waiting_calls=1).connect()
    slow = Slow(BEAT)
    side.endpoint.on(v16.HeartbeatRequest)(slow)
    for _ in range(3):
        side.raw.send([2, "1", "Heartbeat", {}])
    assert side.raw.ask([2, "2", "Heartbeat", {}])[:3] == [4, "2", "GenericError"]
    slow.go.set()
    assert side.raw.receive() == [3, "1", BEAT_WIRE]
    assert side.raw.ask([2, "2", "Heartbeat", {}]) == [3, "2", BEAT_WIRE]


def test_a_call_that_is_answered_later_is_given_to_the_handler_once(side):
    later = Recorder()
    side.endpoint.set_request_handler(later)
    for _ in range(3):
        side.raw.send([2, "1", "Heartbeat", {}])
    later.wait()
    assert settle(side.raw) == []
    side.send_response("1", BEAT)
    assert side.raw.receive() == [3, "1", BEAT_WIRE]
    assert len(later.calls) == 1


def test_a_malformed_call_of_that_id_does_not_end_the_first(side):
    slow = Slow(BEAT)
    side.endpoint.on(v16.HeartbeatRequest)(slow)
    side.raw.send([2, "1", "Heartbeat", {}])
    for frame in ([2, "1", "Heartbeat", {"a": 1}], [2, "1", "Heartbeat"], [2, "1", "NoSuchAction", {}]):
        assert side.raw.ask(frame)[:2] == [4, "1"]
    slow.go.set()
    assert side.raw.receive() == [3, "1", BEAT_WIRE]


# Over a newer connection


@pytest.mark.parametrize("replaced", [False, True], ids=["left", "replaced"])
@pytest.mark.parametrize("refused", [False, True], ids=["answer", "error"])
def test_over_a_newer_connection_the_handler_is_not_run_again(
    make_server, connect, version, package, replaced, refused
):
    server, after = make_server(profiles=ALL), Recorder()
    error = OCPPError(ErrorCode.SECURITY_ERROR, "no")
    slow = Slow(error if refused else package.DataTransferResponse(status="Accepted"))
    server.on(package.DataTransferRequest)(slow)
    server.after(package.DataTransferRequest)(after)
    first = connect(server, version)
    first.send([2, "1", "DataTransfer", DATA])
    slow.begun.wait()
    if not replaced:
        leave(server, first)
    second = connect(server, version)
    second.send(SAME)
    second.send(SAME)
    assert settle(second) == []
    slow.go.set()
    answer = second.receive()
    assert answer == ([4, "1", "SecurityError", "no", {}] if refused else [3, "1", ACCEPTED])
    assert settle(second) == []
    assert len(slow.begun.calls) == 1
    if not refused:
        after.wait()
    slow.response = package.DataTransferResponse(status="Rejected")
    assert second.ask([2, "1", "DataTransfer", DATA]) == [3, "1", {"status": "Rejected"}], "a new one"


def test_a_call_that_still_waits_on_the_old_connection_is_not_run_twice(make_server, connect):
    server, handled = make_server(), Recorder(BEAT)
    slow = Slow(v16.DataTransferResponse(status="Accepted"))
    server.on(v16.DataTransferRequest)(slow)
    server.on(v16.HeartbeatRequest)(handled)
    first = connect(server)
    first.send([2, "1", "DataTransfer", DATA])
    first.send([2, "2", "Heartbeat", {}])
    slow.begun.wait()
    leave(server, first)
    second = connect(server)
    second.send([2, "2", "Heartbeat", {}])
    assert settle(second) == []
    assert handled.calls == []
    slow.go.set()
    assert second.receive() == [3, "2", BEAT_WIRE]
    assert len(handled.calls) == 1
    assert settle(second) == [], "the other one was not repeated, so its answer goes nowhere"


@pytest.mark.parametrize("how", ["response", "error"])
def test_a_later_answer_goes_over_the_newer_connection(make_server, connect, version, package, how):
    server, later, after = make_server(profiles=ALL), Recorder(), Recorder()
    server.on(package.HeartbeatRequest, pass_id=True)(later)
    server.after(package.HeartbeatRequest)(after)
    first = connect(server, version)
    first.send([2, "1", "Heartbeat", {}])
    later.wait()
    leave(server, first)
    second = connect(server, version)
    second.send([2, "1", "Heartbeat", {}])
    assert settle(second) == []
    if how == "response":
        server.send_response("CP_1", "1", beat(package))
        assert second.receive()[:2] == [3, "1"]
        assert after.calls == [("CP_1", package.HeartbeatRequest())]
    else:
        server.send_error("CP_1", "1", ErrorCode.GENERIC_ERROR)
        assert second.receive()[:2] == [4, "1"]
    assert len(later.calls) == 1
    second.send([2, "1", "Heartbeat", {}])
    assert later.wait(2), "a new one"


def test_a_later_answer_before_the_repetition_is_still_that_of_the_call(make_server, connect):
    server, later, after = make_server(), Recorder(), Recorder()
    server.on(v16.HeartbeatRequest, pass_id=True)(later)
    server.after(v16.HeartbeatRequest)(after)
    first = connect(server)
    first.send([2, "1", "Heartbeat", {}])
    later.wait()
    leave(server, first)
    second = connect(server)
    server.send_response("CP_1", "1", BEAT)
    assert second.receive() == [3, "1", BEAT_WIRE]
    assert after.calls == [("CP_1", v16.HeartbeatRequest())]


@pytest.mark.parametrize("how", ["response", "error"])
def test_a_call_that_was_answered_while_the_client_was_away_is_handled_again(
    make_server, connect, version, package, how
):
    server, later = make_server(profiles=ALL), Recorder()
    server.on(package.HeartbeatRequest, pass_id=True)(later)
    first = connect(server, version)
    first.send([2, "1", "Heartbeat", {}])
    later.wait()
    leave(server, first)
    with pytest.raises(UnknownClient):
        if how == "response":
            server.send_response("CP_1", "1", beat(package))
        else:
            server.send_error("CP_1", "1", ErrorCode.GENERIC_ERROR)
    second = connect(server, version)
    second.send([2, "1", "Heartbeat", {}])
    later.wait(2)
    server.send_response("CP_1", "1", beat(package))
    assert second.receive()[:2] == [3, "1"]


@pytest.mark.parametrize("again", [False, True], ids=["not repeated there", "repeated there"])
def test_the_answer_goes_over_the_newest_of_three_connections(make_server, connect, again):
    server, slow = make_server(), Slow(BEAT)
    server.on(v16.HeartbeatRequest)(slow)
    raw = connect(server)
    raw.send([2, "1", "Heartbeat", {}])
    slow.begun.wait()
    for _ in range(2):
        leave(server, raw)
        raw = connect(server)
        raw.send([2, "1", "Heartbeat", {}])
        assert settle(raw) == []
    if not again:
        leave(server, raw)
        raw = connect(server)
    slow.go.set()
    assert raw.receive() == [3, "1", BEAT_WIRE]
    assert len(slow.begun.calls) == 1


@pytest.mark.parametrize("other", OTHERS, ids=["value", "property", "action"])
def test_an_id_that_is_used_anew_gets_its_own_answer(make_server, connect, version, package, other):
    """A charge point that restarts counts its ids from the same number."""
    server = make_server(profiles=ALL)
    go, begun = threading.Event(), Recorder()

    @server.on(package.DataTransferRequest)
    def transfer(client_id, request):
        begun(request)
        if len(begun.calls) == 1:
            assert go.wait(seconds(10))
        return package.DataTransferResponse(status="Accepted" if len(begun.calls) == 1 else "Rejected")

    server.on(package.HeartbeatRequest)(lambda client_id, request: beat(package))
    first = connect(server, version)
    first.send([2, "1", "DataTransfer", DATA])
    begun.wait()
    leave(server, first)
    second = connect(server, version)
    answer = second.ask(other)
    assert answer[:2] == [3, "1"]
    assert answer[2] != ACCEPTED
    last = Recorder()
    server.set_disconnected_client_handler(last)
    go.set()
    leave(server, second)
    last.wait()
    assert second.nothing_came()


def test_another_version_is_another_message(make_server, connect):
    server, begun, go = make_server(profiles=ALL), Recorder(), threading.Event()

    @server.on(v16.HeartbeatRequest)
    def old(client_id, request):
        begun(request)
        assert go.wait(seconds(10))
        return BEAT

    server.on(v201.HeartbeatRequest)(lambda client_id, request: beat(v201))
    first = connect(server, "1.6")
    first.send([2, "1", "Heartbeat", {}])
    begun.wait()
    leave(server, first)
    second = connect(server, "2.0.1")
    assert second.ask([2, "1", "Heartbeat", {}])[:2] == [3, "1"]
    go.set()
    assert settle(second) == []


def test_each_client_has_its_own_ids(make_server, connect):
    server, slow = make_server(), Slow(BEAT)
    server.on(v16.HeartbeatRequest)(lambda client_id, request: slow(client_id) if client_id == "A" else BEAT)
    first = connect(server, identity="A")
    first.send([2, "1", "Heartbeat", {}])
    slow.begun.wait()
    leave(server, first)
    other = connect(server, identity="B")
    assert other.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]
    slow.go.set()


def test_a_call_is_forgotten_when_its_handler_has_ended(make_server, connect):
    server = make_server()
    slow = answer_after_the_end(server, connect)
    second = connect(server)
    assert second.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]
    assert len(slow.begun.calls) == 2


def test_a_call_that_is_never_answered_is_forgotten_after_some_time(make_server, connect):
    clock, later = ManualClock(), Recorder()
    server = make_server(clock=clock, repeat_answers_for=60)
    server.on(v16.HeartbeatRequest, pass_id=True)(later)
    raw = connect(server)
    raw.send([2, "1", "Heartbeat", {}])
    later.wait()
    for advance, count in ((59, 1), (59, 1), (60, 2)):  # it counts from the end of the last connection
        leave(server, raw)
        clock.advance(advance)
        raw = connect(server)
        raw.send([2, "1", "Heartbeat", {}])
        assert settle(raw) == []
        assert len(later.wait(count)) == count


def test_after_a_stop_calls_are_handled_anew(make_server, connect):
    server, later = make_server(), Recorder()
    server.on(v16.HeartbeatRequest, pass_id=True)(later)
    connect(server).send([2, "1", "Heartbeat", {}])
    later.wait()
    server.stop()
    server.listen(host="127.0.0.1")
    connect(server).send([2, "1", "Heartbeat", {}])
    later.wait(2)


def test_a_client_answers_over_its_newest_connection(make_client, raw_server):
    clock, slow = ManualClock(), Slow(v16.ResetResponse(status="Accepted"))
    client = make_client(reconnect=True, clock=clock, ws={"clock": clock, "backoff": Backoff(1, 0, 0)})
    client.on(v16.ResetRequest)(slow)
    client.connect(raw_server.url)
    raw_server.wait_connected()
    raw_server.send([2, "1", "Reset", {"type": "Soft"}])
    slow.begun.wait()
    raw_server.channel.close()
    assert clock.wait_for_waiters()
    clock.advance(1)
    raw_server.wait_connected()
    raw_server.send([2, "1", "Reset", {"type": "Soft"}])
    assert settle(raw_server) == []
    slow.go.set()
    assert raw_server.receive() == [3, "1", ACCEPTED]
    assert len(slow.begun.calls) == 1


# Our own retries


def start_of(version):
    if version == "1.6":
        return v16.StartTransactionRequest(connector_id=1, id_tag="A", meter_start=0, timestamp=NOW)
    package = VERSIONS[version]
    transaction = package.Transaction("T")
    return package.TransactionEventRequest("Started", NOW, "Authorized", 0, transaction)


def started(version):
    if version == "1.6":
        return v16.StartTransactionResponse(id_tag_info=v16.IdTagInfo(status="Accepted"), transaction_id=7)
    return VERSIONS[version].TransactionEventResponse(total_cost=7.0)


@pytest.mark.parametrize("when", ["backing off", "sent again", "sent twice again"])
def test_a_slow_handler_ends_a_retried_request_well(make_server, make_client, version, when, caplog):
    """The time-out, the retries and the answer come in an order that the clock gives."""
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    server = make_server(profiles=ALL)
    slow = Slow(started(version))
    server.on(type(start_of(version)))(slow)
    retries = TransactionRetries(message_attempts=5, message_attempt_interval=10)
    client = make_client(server.url, profiles=VERSIONS[version].PROFILES, clock=clock, timeout=5, retries=retries)
    received = Recorder()
    server.add_observer(lambda frame: received(frame) if frame.direction == "in" else None)
    failed = Recorder()
    client.set_canceled_request_handler(failed)
    client.set_error_handler(failed)
    future = client.send_request(start_of(version))
    slow.begun.wait()
    copies = 1
    for wait in {"backing off": [5], "sent again": [5, 10], "sent twice again": [5, 10, 5, 20]}[when]:
        clock.advance(wait)
        copies += wait >= 10
        received.wait(copies)
    # The observer sees a copy just before it is taken.
    eventually(lambda: caplog.text.count("came again while it is handled") == copies - 1)
    slow.go.set()
    assert future.result(seconds(10)) == started(version)
    assert len(slow.begun.calls) == 1
    assert failed.calls == []
    clock.advance(100)
    assert client.send_request(start_of(version)).result(seconds(10)) == started(version), "the next is not held up"
    assert len(received.calls) == copies + 1, "what is answered is not sent again"


def test_an_error_that_answers_an_earlier_copy_changes_nothing(make_client, raw_server):
    """As from a central system that refuses the second copy while it handles the first."""
    clock = ManualClock()
    retries = TransactionRetries(message_attempts=3, message_attempt_interval=10)
    client = make_client(raw_server.url, clock=clock, timeout=5, retries=retries)
    raw_server.wait_connected()
    future = client.send_request(start_of("1.6"))
    frame = raw_server.receive()
    clock.advance(5)
    for _ in range(5):
        raw_server.send([4, frame[1], "InternalError", "", {}])
    assert settle(raw_server) == []
    clock.advance(10)
    assert raw_server.receive() == frame
    assert not future.done()
    raw_server.send([3, frame[1], {"transactionId": 7, "idTagInfo": ACCEPTED}])
    assert future.result(seconds(10)) == started("1.6")


def test_other_requests_go_on_while_a_late_answer_is_awaited(make_client, raw_server):
    clock = ManualClock()
    client = make_client(raw_server.url, clock=clock, timeout=5, retries=TransactionRetries(3, 10))
    raw_server.wait_connected()
    future = client.send_request(start_of("1.6"))
    frame = raw_server.receive()
    clock.advance(5)
    overtaking = client.send_request(v16.HeartbeatRequest())
    beat_frame = raw_server.receive()
    raw_server.send([3, frame[1], {"transactionId": 7, "idTagInfo": ACCEPTED}])
    assert future.result(seconds(10)) == started("1.6")
    raw_server.send([3, beat_frame[1], BEAT_WIRE])
    assert overtaking.result(seconds(10)) == BEAT
    late = client.send_request(start_of("1.6"))
    assert raw_server.receive()[1] == late.message_id


def test_a_request_that_was_withdrawn_awaits_no_late_answer(make_client, raw_server):
    clock, ignored = ManualClock(), Recorder()
    client = make_client(raw_server.url, clock=clock, timeout=5, retries=TransactionRetries(3, 10))
    client.set_ignored_message_handler(ignored)
    raw_server.wait_connected()
    future = client.send_request(start_of("1.6"))
    frame = raw_server.receive()
    clock.advance(5)
    future.cancel()
    raw_server.send([3, frame[1], {"transactionId": 7, "idTagInfo": ACCEPTED}])
    ignored.wait()


# After the answer: ``repeat_answers``


@pytest.mark.parametrize("other", OTHERS, ids=["value", "property", "action"])
def test_a_remembered_answer_is_that_of_the_message_not_of_the_id(make_server, connect, version, package, other):
    server, handled = make_server(profiles=ALL, repeat_answers=100), Recorder()

    def transfer(client_id, request):
        handled(request)
        return package.DataTransferResponse(status="Accepted" if len(handled.calls) == 1 else "Rejected")

    server.on(package.DataTransferRequest)(transfer)
    server.on(package.HeartbeatRequest)(lambda client_id, request: handled(request) or beat(package))
    first = connect(server, version)
    answer = first.ask([2, "1", "DataTransfer", DATA])
    assert answer == [3, "1", ACCEPTED]
    assert first.ask(SAME) == answer
    leave(server, first)
    second = connect(server, version)
    assert second.ask(SAME) == answer, "over a newer connection too"
    assert len(handled.calls) == 1
    anew = second.ask(other)
    assert anew[:2] == [3, "1"]
    assert anew != answer
    assert len(handled.calls) == 2
    assert second.ask(other) == anew, "the newer one is remembered now"
    assert len(handled.calls) == 2


@pytest.mark.parametrize(
    ("options", "age"), [({}, 300), ({"repeat_answers_for": 20}, 20), ({"repeat_answers_for": 0.5}, 0.5)]
)
def test_answers_are_forgotten_after_some_time(make_side, options, age):
    clock, count = ManualClock(), Recorder(BEAT)
    side = make_side(repeat_answers=10, clock=clock, **options).connect()
    side.endpoint.on(v16.HeartbeatRequest)(count)
    for advance, expected in ((0, 1), (age / 2, 1), (age / 4, 1), (age / 4, 2), (age / 2, 2)):
        clock.advance(advance)
        assert side.raw.ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]
        assert len(count.calls) == expected


def test_an_answer_that_could_not_be_sent_is_remembered(make_server, connect):
    server = make_server(repeat_answers=10)
    slow = answer_after_the_end(server, connect)
    assert connect(server).ask([2, "1", "Heartbeat", {}]) == [3, "1", BEAT_WIRE]
    assert len(slow.begun.calls) == 1


@pytest.mark.parametrize("status", ["Accepted", "Pending", "Rejected"])
def test_a_boot_whose_answer_arrives_at_the_second_time_counts(make_server, connect, version, package, status):
    boots = {"1.6": {"chargePointVendor": "V", "chargePointModel": "M"}}
    boot = boots.get(version, {"chargingStation": {"vendorName": "V", "model": "M"}, "reason": "PowerUp"})
    slow = Slow(package.BootNotificationResponse(current_time=NOW, interval=300, status=status))
    server, ended = make_server(profiles=ALL, repeat_answers=10), Recorder()
    server.require_boot()
    server.on(package.BootNotificationRequest)(slow)
    server.on(package.HeartbeatRequest)(lambda client_id, request: beat(package))
    server.set_disconnected_client_handler(lambda client_id: ended(client_id))
    first = connect(server, version)
    first.send([2, "1", "BootNotification", boot])
    slow.begun.wait()
    leave(server, first)
    slow.go.set()
    ended.wait()
    second = connect(server, version)
    assert second.ask([2, "1", "BootNotification", boot])[2]["status"] == status
    assert len(slow.begun.calls) == 1
    assert server.connection("CP_1").boot_status == status
    assert second.ask([2, "2", "Heartbeat", {}])[0] == (3 if status == "Accepted" else 4)


def test_errors_and_later_answers_are_remembered_too(make_side):
    side, later = make_side(repeat_answers=10).connect(), Recorder()
    side.endpoint.set_request_handler(later)
    for number, answer in enumerate(
        (
            lambda message_id: side.send_response(message_id, BEAT),
            lambda message_id: side.send_error(message_id, ErrorCode.SECURITY_ERROR, "no", {"a": 1}),
        ),
        1,
    ):
        side.raw.send([2, str(number), "Heartbeat", {}])
        later.wait(number)
        answer(str(number))
        first = side.raw.receive()
        assert side.raw.ask([2, str(number), "Heartbeat", {}]) == first
        assert len(later.calls) == number


@pytest.mark.parametrize("wrong", [-1, "5", None, float("nan"), True])
def test_an_age_that_cannot_be_is_refused(make_side, wrong):
    with pytest.raises(UsageError, match="repeat_answers_for"):
        make_side(repeat_answers_for=wrong)


# The parts


def call(payload, action="DataTransfer", message_id="1"):
    return Call(message_id, action, payload, payload)


def test_what_is_the_same():
    assert is_repeated(call({"a": 1, "b": [1, {"c": None}]}), call({"b": [1, {"c": None}], "a": 1}))
    assert is_repeated(call(None), call({})), "null is read as an empty payload"
    for first, second in (
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({}, {"a": None}),
    ):
        assert not is_repeated(call(first), call(second))
    assert not is_repeated(call({}), call({}, "Heartbeat"))


def test_what_is_nested_too_deeply_is_the_same_as_nothing():
    deep = []
    for _ in range(100_000):  # how deep is too deep differs by the version of Python
        deep = [deep]
    assert fingerprint(call({"a": deep})) is None
    assert not is_repeated(call({"a": deep}), call({"a": deep}))
    memory = AnswerMemory(10, 300, ManualClock())
    memory.put("A", call({"a": deep}), "text")
    assert memory.get("A", call({"a": deep})) is None


def test_answers_are_remembered_by_client_and_message():
    memory = AnswerMemory(10, 300, ManualClock())
    memory.put("A", call({}), "of A")
    memory.put("B", call({}), "of B")
    assert (memory.get("A", call({})), memory.get("B", call({}))) == ("of A", "of B")
    assert memory.get("A", call({}, message_id="2")) is None
    memory.put("A", call({}), "again")
    assert memory.get("A", call({})) == "of A", "the first answer stays"
    memory.put("A", call({"a": 1}), "anew")
    assert (memory.get("A", call({})), memory.get("A", call({"a": 1}))) == (None, "anew")


def test_the_memory_is_bounded_and_forgets_the_oldest():
    clock = ManualClock()
    memory = AnswerMemory(2, 300, clock)
    for message_id in "123":
        memory.put("A", call({}, message_id=message_id), message_id)
    assert [memory.get("A", call({}, message_id=each)) for each in "123"] == [None, "2", "3"]
    clock.advance(300)
    assert memory.get("A", call({}, message_id="3")) is None
    memory.put("A", call({}, message_id="3"), "anew")
    assert memory.get("A", call({}, message_id="3")) == "anew"


def test_no_memory():
    memory = AnswerMemory(0, 300, ManualClock())
    memory.put("A", call({}), "1")
    assert memory.get("A", call({})) is None
    with pytest.raises(ValueError, match="negative"):
        AnswerMemory(-1, 300, ManualClock())


def test_the_answers_to_one_client_are_bounded_in_bytes():
    """Its oldest are forgotten, and those to others stay."""
    budget = MemoryBudget()
    memory = AnswerMemory(1000, 300, ManualClock(), budget)
    memory.put("B", call({}), "of B")
    for number in range(20):
        memory.put("A", call({}, message_id=str(number)), "x" * 100_000)
    known = [number for number in range(20) if memory.get("A", call({}, message_id=str(number))) is not None]
    assert known == list(range(10, 20))
    assert memory.get("B", call({})) == "of B"
    assert 1_000_000 < budget.held()["recorded"] < 1.1 * memory.MOST_BYTES_OF_CLIENT


def test_all_answers_are_bounded_in_bytes():
    budget = MemoryBudget()
    memory = AnswerMemory(1000, 300, ManualClock(), budget)
    memory.MOST_BYTES = 1_000_000
    for number in range(30):
        memory.put(f"CP_{number}", call({}), "x" * 100_000)
    known = [number for number in range(30) if memory.get(f"CP_{number}", call({})) is not None]
    assert known == list(range(21, 30))
    assert budget.held()["recorded"] < 1_000_000


def test_an_answer_that_is_too_large_is_not_remembered():
    budget = MemoryBudget()
    memory = AnswerMemory(10, 300, ManualClock(), budget)
    memory.put("A", call({}), "small")
    memory.put("A", call({}, message_id="2"), "x" * 1_100_000)
    assert memory.get("A", call({}, message_id="2")) is None
    assert memory.get("A", call({})) == "small"


def test_nothing_is_remembered_without_room():
    budget = MemoryBudget(2000)
    memory = AnswerMemory(10, 300, ManualClock(), budget)
    memory.put("A", call({}), "x" * 500)
    memory.put("A", call({}, message_id="2"), "x" * 1000)
    assert memory.get("A", call({}, message_id="2")) is None
    assert memory.get("A", call({})) == "x" * 500


def test_what_is_forgotten_is_not_held_any_more():
    budget, clock = MemoryBudget(), ManualClock()
    memory = AnswerMemory(2, 300, clock, budget)
    memory.put("A", call({"a": 1}), "one")
    memory.put("A", call({"a": 2}), "another one of that id")
    one = budget.held()["recorded"]
    for message_id in "345":
        memory.put("A", call({}, message_id=message_id), "x")
    assert budget.held()["recorded"] < 2 * one
    clock.advance(301)
    memory.put("B", call({}), "another one of that id")
    assert budget.held()["recorded"] == one


def test_a_late_answer_ends_a_stored_request_for_good(make_client, raw_server, tmp_path):
    """A request in a file leaves it, and is not sent again by the next client."""

    def station():
        queue, retries = SQLiteQueue(tmp_path / "requests.db"), TransactionRetries(3, 10)
        client = make_client(queue=queue, boot_first=False, clock=clock, timeout=5, retries=retries)
        client.connect(raw_server.url)
        raw_server.wait_connected()
        return client

    clock, told = ManualClock(), Recorder()
    client = station()
    client.set_response_handler(lambda response, message_id: told(message_id))
    future = client.send_request(start_of("1.6"))
    frame = raw_server.receive()
    clock.advance(5)
    raw_server.send([3, frame[1], {"transactionId": 7, "idTagInfo": ACCEPTED}])
    assert future.result(seconds(10)) == started("1.6")
    assert told.wait() == [(frame[1],)]
    client.stop()
    station().send_request(v16.HeartbeatRequest())
    assert raw_server.receive()[2] == "Heartbeat"
