"""A CALL of the peer that this side does not answer within its timeout: one WARNING each."""

import threading

import pytest

from ocppj import Client, ManualClock, Server, UsageError, v16, v21, v201
from ocppj.dispatch.timeouts import Timeouts
from ocppj.exchange.overdue import OverdueAnswers
from ocppj.log_limit import LimitedLog
from ocppj.rpc.messages import Call
from ocppj.settings import get_logger
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
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
from tests.inside.endpoints import connection, deadlines
from tests.peers import RawClient, Sockets


def overdue(caplog):
    return [each.getMessage() for each in caplog.records if "is overdue" in each.getMessage()]


@pytest.fixture
def clock():
    return ManualClock()


def test_a_handler_that_returned_none_and_never_answers_is_warned_of_once(make_side, clock, caplog):
    side = make_side(clock=clock, timeout=30).connect()
    later = Recorder()
    side.endpoint.on(v16.HeartbeatRequest, pass_id=True)(later)
    side.raw.send([2, "abc", "Heartbeat", {}])
    later.wait()
    clock.advance(29)
    assert overdue(caplog) == []
    clock.advance(1)
    (warning,) = overdue(caplog)
    assert warning.startswith("CP_1: the answer to Heartbeat (message 'abc') is overdue: there was none within 30 s")
    assert [each.levelname for each in caplog.records if "overdue" in each.getMessage()] == ["WARNING"]
    clock.advance(200)
    assert len(overdue(caplog)) == 1
    side.send_response("abc", BEAT)
    assert side.raw.receive() == [3, "abc", BEAT_WIRE]


def test_a_handler_that_still_runs_is_warned_of_and_so_is_what_waits_behind_it(make_side, clock, caplog):
    side = make_side(clock=clock, timeout=10).connect()
    go_on, begun = threading.Event(), Recorder()

    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        begun(arguments)
        assert go_on.wait(seconds(20))
        return BEAT

    side.raw.send([2, "1", "Heartbeat", {}])
    begun.wait()
    side.raw.send([2, "2", "Heartbeat", {}])
    side.raw.send("[]")  # what comes after it has been read, so has the CALL before
    eventually(lambda: "invalid message" in caplog.text)
    for _ in range(4):
        clock.advance(10)
    go_on.set()
    assert [side.raw.receive()[1], side.raw.receive()[1]] == ["1", "2"]
    assert [("'1'" in each, "'2'" in each) for each in overdue(caplog)] == [(True, False), (False, True)]


def test_calls_that_are_answered_in_time_are_not_warned_of_and_leave_no_deadline(make_side, clock, caplog):
    side = make_side(clock=clock, timeout=10).connect()
    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    for number in range(20):
        assert side.raw.ask([2, str(number), "Heartbeat", {}])[0] == 3
        clock.advance(3)
    assert deadlines(side.endpoint) <= 1
    eventually(lambda: (clock.advance(10), deadlines(side.endpoint) == 0)[1])  # the last thread may still be busy
    assert overdue(caplog) == []


def test_the_id_of_an_answered_call_may_come_again_and_is_another_call(make_side, clock, caplog):
    side = make_side(clock=clock, timeout=10).connect()
    side.endpoint.on(v16.HeartbeatRequest, pass_id=True)(Recorder())
    later = Recorder()
    side.endpoint.on(v16.HeartbeatRequest, pass_id=True)(later)
    for count in range(1, 5):
        side.raw.send([2, "same", "Heartbeat", {}])
        later.wait(count)
        clock.advance(6)
        side.send_response("same", BEAT)
        side.raw.receive()
    assert overdue(caplog) == [], "none was unanswered for 10 seconds"


def test_every_connection_is_looked_at_and_one_that_has_gone_is_not(make_server, raw_client, clock, caplog):
    server = make_server(clock=clock, timeout=10)
    later = Recorder()
    server.on(v16.HeartbeatRequest, pass_id=True)(later)
    raws = [raw_client(server.url, f"CP_{number}") for number in range(4)]
    for raw in raws:
        raw.send([2, "1", "Heartbeat", {}])
    later.wait(4)
    raws[0].stop()
    eventually(lambda: len(server.client_ids()) == 3)
    clock.advance(20)
    assert sorted(each[:4] for each in overdue(caplog)) == ["CP_1", "CP_2", "CP_3"]


def test_a_call_that_came_again_over_a_newer_connection_is_overdue_there(make_server, raw_client, clock, caplog):
    server = make_server(clock=clock, timeout=10)
    later = Recorder()
    server.on(v16.HeartbeatRequest, pass_id=True)(later)
    raw = raw_client(server.url)
    raw.send([2, "1", "Heartbeat", {}])
    later.wait()
    raw.stop()
    eventually(lambda: not server.client_ids())
    eventually(lambda: (clock.advance(20), deadlines(server) == 0)[1])  # its thread may still be busy
    assert overdue(caplog) == [], "nobody waits for the answer"
    raw = raw_client(server.url)
    raw.send([2, "1", "Heartbeat", {}])
    eventually(lambda: deadlines(server))
    clock.advance(10)
    assert len(overdue(caplog)) == 1
    assert len(later.calls) == 1, "it is handled once"
    server.send_response("CP_1", "1", BEAT)
    assert raw.receive() == [3, "1", BEAT_WIRE]


def test_a_second_session_is_watched_like_the_first(make_server, raw_client, clock, caplog):
    server = make_server(clock=clock, timeout=10)
    later = Recorder()
    server.on(v16.HeartbeatRequest, pass_id=True)(later)
    for count in (1, 2):
        raw_client(server.url).send([2, "1", "Heartbeat", {}])
        later.wait(count)
        clock.advance(20)
        assert len(overdue(caplog)) == count
        server.stop()
        if count == 1:
            server.listen(host="127.0.0.1")


@pytest.mark.parametrize(
    ("version", "action", "payload"),
    [
        (v201, "ClearedChargingLimit", {"chargingLimitSource": "EMS"}),
        (v21, "NotifyPriorityCharging", {"transactionId": "1", "activated": True}),
    ],
    ids=["2.0.1", "2.1"],
)
def test_in_other_versions_and_a_send_is_never_overdue(version, action, payload, clock, caplog):
    subprotocol = "ocpp2.0.1" if version is v201 else "ocpp2.1"
    server = Server(profiles=version.PROFILES, clock=clock, timeout=10)
    hold, begun = threading.Event(), Recorder()

    @server.set_request_handler
    def handle(client_id, request, message_id, action):
        begun(action)
        hold.wait(seconds(20))

    with server.listen(host="127.0.0.1"), RawClient(Sockets(), server.url, "CP_1", [subprotocol]) as raw:
        raw.send([2, "1", action, payload])
        begun.wait()
        if version is v21:
            sent = {"id": 1, "pending": 0, "basetime": "2026-01-01T00:00:00Z", "data": [{"t": 0, "v": "1"}]}
            raw.send([6, "2", "NotifyPeriodicEventStream", sent])
            raw.send([2, "3", "NoSuchAction", {}])
            assert raw.receive()[1] == "3", "the SEND was read, and waits"
        clock.advance(40)
        hold.set()
    assert [action in each for each in overdue(caplog)] == [True]


def test_the_dispatching_thread_ends_with_the_client(caplog):
    """A look is arranged with the system's clock, too, and `stop` forgets it."""
    server = Server(profiles=v16.PROFILES, timeout=seconds(0.2))
    later = Recorder()
    server.on(v16.HeartbeatRequest, pass_id=True)(later)
    with server.listen(host="127.0.0.1"):
        client = Client("CP_1", profiles=v16.PROFILES).connect(server.url)
        client.send_request(v16.HeartbeatRequest())
        later.wait()
        eventually(lambda: overdue(caplog))
        client.stop()
    assert deadlines(server) == 0


class Line:
    """A connection, as far as `OverdueAnswers` looks at it."""

    client_id = "CP_1"

    def __init__(self):
        self.calls = []

    def unanswered(self):
        return len(self.calls)

    def unanswered_calls(self):
        return list(self.calls)


@pytest.mark.parametrize("moment", ["before the look", "after the look"])
def test_a_call_that_comes_while_it_looks_is_neither_overlooked_nor_told_too_early(moment, clock, caplog):
    """What a reading thread does between any two steps of a look: note the CALL, then arrange a look if none is."""
    line, timeouts, late = Line(), Timeouts(clock), []

    def note(call):
        line.calls.append(call)
        if answers.idle:
            answers.watch(call)

    def connections():
        if late and moment == "before the look":
            note(late.pop())
        yield line
        if late and moment == "after the look":
            note(late.pop())

    log = LimitedLog(get_logger, clock.monotonic)
    answers = OverdueAnswers(timeouts, 10, connections, lambda: log)
    note(Call("first", "Heartbeat", {}))
    late.append(Call("late", "Heartbeat", {}))
    clock.advance(10)
    assert ["first" in each for each in overdue(caplog)] == [True]
    clock.advance(10)
    assert ["late" in each for each in overdue(caplog)] == [False, True]
    line.calls.clear()
    clock.advance(30)
    assert (timeouts.pending(), answers.idle) == (0, True)
    note(Call("again", "Heartbeat", {}))
    clock.advance(10)
    assert len(overdue(caplog)) == 3


# Calls that expire, and handlers that hang ----------------------------------------------------------------------------


def late(raw, message_id):
    """Tell whether the next frame is the error that a CALL gets which was not answered in time."""
    kind, its_id, code, text, _ = raw.receive()
    return [kind, its_id, code, text] == [4, message_id, "InternalError", "the request was not handled in time"]


class Hanging:
    """A handler of Heartbeats that hangs until told."""

    def __init__(self, side):
        self.go_on, self.begun, self.ended = threading.Event(), Recorder(), Recorder()
        side.endpoint.on(v16.HeartbeatRequest)(self.handle)
        side.endpoint.on(v16.DataTransferRequest)(lambda *arguments: v16.DataTransferResponse(status="Accepted"))

    def handle(self, *arguments):
        self.begun()
        assert self.go_on.wait(seconds(30))
        self.ended()
        return BEAT


def test_a_call_whose_handler_hangs_is_answered_and_the_next_calls_are_handled(make_side, clock, caplog):
    side = make_side(clock=clock, timeout=10, answer_timeout=40).connect()
    handler = Hanging(side)
    side.raw.send([2, "1", "Heartbeat", {}])
    handler.begun.wait(1)
    clock.advance(39)
    side.raw.send([2, "2", "DataTransfer", {"vendorId": "V"}])
    eventually(lambda: open_calls_of(side) == 2)
    clock.advance(1)
    assert late(side.raw, "1")
    assert open_calls_of(side) == 1
    clock.advance(20)  # the handler was first seen at a look
    assert side.raw.receive() == [3, "2", {"status": "Accepted"}]
    (busy,) = eventually(lambda: [each for each in side.endpoint.busy_handlers() if each.released])
    assert (busy.action, busy.message_id) == ("Heartbeat", "1")
    assert "Heartbeat (message '1') was not answered within 40 s" in caplog.text
    assert "the handler of Heartbeat has run for more than 40 s" in caplog.text
    handler.go_on.set()
    handler.ended.wait(1)
    again = side.raw.ask([2, "1", "DataTransfer", {"vendorId": "V"}])
    assert again == [3, "1", {"status": "Accepted"}], "its id is free"
    eventually(lambda: "the answer to Heartbeat came too late" in caplog.text)
    eventually(lambda: side.endpoint.busy_handlers() == [])


def open_calls_of(side):
    """Return how many CALLs of the only peer are unanswered."""
    return len(connection(side.endpoint).unanswered)


def test_a_call_that_expires_while_it_waits_is_not_handled_later(make_side, clock):
    side = make_side(clock=clock, timeout=10, answer_timeout=40).connect()
    handler = Hanging(side)
    side.raw.send([2, "1", "Heartbeat", {}])
    handler.begun.wait(1)
    side.raw.send([2, "2", "Heartbeat", {}])
    eventually(lambda: open_calls_of(side) == 2)
    for _ in range(5):
        clock.advance(10)
    assert sorted(side.raw.receive_by_id("1", "2")) == ["1", "2"]
    handler.go_on.set()
    assert side.raw.ask([2, "3", "DataTransfer", {"vendorId": "V"}])[:2] == [3, "3"]
    assert len(handler.begun.calls) == 1


def test_handlers_are_released_one_at_a_time_each_after_its_own_time(make_side, clock):
    side = make_side(clock=clock, timeout=10, answer_timeout=40).connect()
    handler = Hanging(side)
    for count in (1, 2, 3):
        side.raw.send([2, str(count), "Heartbeat", {}])
        handler.begun.wait(count)
        eventually(lambda count=count: (clock.advance(10), released(side) == count)[1])
        assert late(side.raw, str(count))
    handler.go_on.set()
    eventually(lambda: side.endpoint.busy_handlers() == [])


def released(side):
    return sum(each.released for each in side.endpoint.busy_handlers())


def test_a_late_response_of_the_program_is_one_to_an_unknown_call(make_side, clock):
    side = make_side(clock=clock, timeout=10, answer_timeout=20).connect()
    later = Recorder()
    side.endpoint.on(v16.HeartbeatRequest, pass_id=True)(later)
    side.raw.send([2, "1", "Heartbeat", {}])
    later.wait(1)
    for _ in range(4):
        clock.advance(5)
    assert late(side.raw, "1")
    side.send_response("unknown", BEAT)
    side.send_response("1", BEAT)
    assert [side.raw.receive()[:2], side.raw.receive()[:2]] == [[3, "unknown"], [3, "1"]]


def test_without_an_answer_timeout_nothing_expires(make_side, clock):
    side = make_side(clock=clock, timeout=10, answer_timeout=None).connect()
    handler = Hanging(side)
    side.raw.send([2, "1", "Heartbeat", {}])
    handler.begun.wait(1)
    for _ in range(20):
        clock.advance(100)
    assert released(side) == 0
    handler.go_on.set()
    assert side.raw.receive() == [3, "1", BEAT_WIRE]


def test_a_call_in_time_does_not_expire_though_others_did(make_side, clock):
    side = make_side(clock=clock, timeout=100, answer_timeout=40).connect()
    later = Recorder()
    side.endpoint.on(v16.HeartbeatRequest, pass_id=True)(later)
    for count in range(1, 5):
        side.raw.send([2, str(count), "Heartbeat", {}])
        later.wait(count)
        clock.advance(10)
    assert late(side.raw, "1")
    for message_id in ("2", "3", "4"):
        side.send_response(message_id, BEAT)
        assert side.raw.receive() == [3, message_id, BEAT_WIRE]
    clock.advance(200)
    assert side.raw.ask([2, "5", "NoSuchAction", {}])[1] == "5", "nothing else was sent"


def test_an_event_whose_handler_hangs_holds_up_nothing_for_ever(make_server, raw_client, clock, caplog):
    server = make_server(clock=clock, timeout=10, answer_timeout=40, listen=False)
    go_on, begun = threading.Event(), Recorder()
    server.set_new_client_handler(lambda client_id: (begun(), go_on.wait(seconds(30))))
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    server.listen(host="127.0.0.1")
    raw = raw_client(server.url)
    begun.wait(1)
    raw.send([2, "1", "Heartbeat", {}])
    eventually(lambda: connection(server).unanswered)
    eventually(lambda: (clock.advance(5), "the handler of an event has run for more than 40 s" in caplog.text)[1])
    assert raw.receive()[1] == "1"
    go_on.set()


def test_a_handler_that_hangs_on_an_ended_connection_is_released_as_well(make_server, raw_client, clock):
    server = make_server(clock=clock, timeout=10, answer_timeout=40)
    go_on, begun, gone = threading.Event(), Recorder(), Recorder()

    @server.on(v16.HeartbeatRequest)
    def handle(client_id, request):
        begun()
        go_on.wait(seconds(30))
        return BEAT

    server.set_disconnected_client_handler(lambda client_id: gone(client_id))
    raw = raw_client(server.url)
    raw.send([2, "1", "Heartbeat", {}])
    begun.wait(1)
    raw.stop()
    eventually(lambda: not server.client_ids())
    eventually(lambda: (clock.advance(10), gone.calls)[1])
    go_on.set()


@pytest.mark.parametrize("value", [0, -1, "5", float("nan"), True])
def test_an_answer_timeout_is_more_than_0_seconds(value):
    for make in (Server, lambda **options: Client("CP_1", **options)):
        with pytest.raises(UsageError, match="answer_timeout"):
            make(profiles=v16.PROFILES, answer_timeout=value)
