"""What observers are shown: what went over the wire, in an order in which it can have happened, and what failed."""

import json
import pickle
import threading
from contextlib import contextmanager

import pytest

from ocppj import ErrorCode, Frame, OCPPError, Server, TransportError, v16
from ocppj.exchange.frame import note_request
from tests.between import BetweenChannel, BetweenClient
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    BOOT,
    BOOTED,
    BOOTED_WIRE,
    HEARTBEAT,
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
from tests.peers import RawClient
from tests.test_cost import Direct, Peer


def shown(frames):
    """Return direction and id of the frames that an observer was shown."""
    return [(frame.direction, json.loads(frame.text)[1]) for (frame,) in frames.calls]


class SlowChannel(BetweenChannel):
    """A channel whose `send` returns only when ``after`` has, which is called when the frame is on its way."""

    after = staticmethod(lambda: None)

    def send(self, text, wait=True):
        super().send(text, wait)
        type(self).after()


class SlowClient(BetweenClient):
    def set_connected_handler(self, handler):
        def connected(channel):
            self.channel = SlowChannel(channel)
            handler(self.channel)

        self.inner.set_connected_handler(connected)


@pytest.fixture
def slow_write():
    """Have `SlowChannel.send` call this at its end, for one test."""
    before = SlowChannel.after

    def set_after(after):
        SlowChannel.after = staticmethod(after)

    yield set_after
    SlowChannel.after = before


# The order


def test_a_request_is_shown_before_its_answer_though_that_is_read_first(transport, make_client, raw_server, slow_write):
    client, frames = make_client(ws_client=SlowClient(transport.client())), Recorder()
    client.add_observer(frames)
    client.connect(raw_server.url)
    raw_server.wait_connected()
    answered = threading.Event()
    client.set_response_handler(lambda response, message_id: answered.set())

    def write():
        frame = raw_server.receive()
        raw_server.send([3, frame[1], BEAT_WIRE])
        assert answered.wait(seconds(10))
        assert frames.calls == [], "the write has not ended"

    slow_write(write)
    future = client.send_request(HEARTBEAT)
    assert future.result(seconds(10)) == BEAT
    assert shown(frames) == [("out", future.message_id), ("in", future.message_id)]
    times = [frame.time for (frame,) in frames.calls]
    assert times == sorted(times)


def test_many_threads_see_each_request_before_its_answer(make_server, make_client):
    server, frames = make_server(), Recorder()
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    client = make_client()
    client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
    client.add_observer(frames)
    client.connect(server.url)

    def ask():
        for _ in range(25):
            client.call(HEARTBEAT)
            server.call("CP_1", v16.ResetRequest(type="Soft"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(60))
    frames.wait(400)
    seen = shown(frames)
    assert len(seen) == 400
    for message_id in {each for _, each in seen}:
        directions = [direction for direction, each in seen if each == message_id]
        kind = next(json.loads(f.text)[2] for (f,) in frames.calls if json.loads(f.text)[:2] == [2, message_id])
        assert directions == (["out", "in"] if kind == "Heartbeat" else ["in", "out"])


def test_a_frame_is_shown_when_it_was_written(side):
    seen = Recorder()

    @side.endpoint.add_observer
    def observe(frame):
        if frame.direction == "out":
            seen(frame, side.raw.receive())  # it has come already, or is about to

    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    side.raw.send([2, "1", "Heartbeat", {}])
    ((frame, came),) = seen.wait()
    assert came == json.loads(frame.text) == [3, "1", BEAT_WIRE]
    assert (frame.sent, frame.error) == (True, None)


@contextmanager
def held(side, matches):
    """Hold the thread that shows the first frame that ``matches``; yield what was shown by then, and who showed it."""
    entered, go, frames = threading.Event(), threading.Event(), Recorder()

    @side.endpoint.add_observer
    def observe(frame):
        frames(frame)
        if not entered.is_set() and matches(frame):
            entered.set()
            assert go.wait(seconds(20))

    try:
        yield entered, frames
    finally:
        go.set()


@pytest.mark.parametrize("direction", ["in", "out"])
def test_no_thread_waits_for_the_observer_of_another(side, direction):
    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    with held(side, lambda frame: frame.direction == direction) as (entered, frames):
        side.raw.send([2, "1", "Heartbeat", {}])
        assert entered.wait(seconds(10))
        futures = [side.send_request(BOOT)]
        frame = side.raw.receive()
        if direction == "out":  # the handler's thread is held, and the reader is not
            assert frame[1] == "1"
            frame = side.raw.receive()
            side.raw.send([3, frame[1], BOOTED_WIRE])
            assert futures[0].result(seconds(10)) == BOOTED
        before = len(frames.calls)
    if direction == "in":
        eventually(lambda: ("out", "1") in shown(frames))
    frames.wait(3)
    seen = shown(frames)
    assert before == len(seen[: seen.index((direction, "1")) + 1]), "the others waited to be shown"
    assert seen.index(("in", "1")) < seen.index(("out", "1"))


def test_what_an_observer_sends_is_shown_after_what_it_is_shown(side):
    frames, futures = Recorder(), []

    @side.endpoint.add_observer
    def observe(frame):
        if frame.direction == "in" and not futures:
            futures.append(side.send_request(BOOT))
        frames(frame)

    side.raw.send([3, "unknown", {}])
    frame = side.raw.receive()
    frames.wait(2)
    assert shown(frames) == [("in", "unknown"), ("out", frame[1])]


def test_an_observer_that_does_not_return_costs_a_bounded_number_of_frames(caplog):
    """Over a transport without a network, because there are thousands."""
    ws = Direct()
    server, peer = Server(profiles=v16.PROFILES, ws_server=ws), Peer("CP_1")
    server.listen()
    ws.connected(peer)
    go, entered, frames = threading.Event(), threading.Event(), Recorder()

    @server.add_observer
    def observe(frame):
        frames(frame)
        entered.set()
        assert go.wait(seconds(30))

    thread = threading.Thread(target=server.send_error, args=("CP_1", "first", ErrorCode.GENERIC_ERROR))
    thread.start()
    assert entered.wait(seconds(10))
    for number in range(10_010):
        server.send_error("CP_1", str(number), ErrorCode.GENERIC_ERROR)
    assert len(peer.sent) == 10_011, "all are sent"
    go.set()
    thread.join(seconds(60))
    assert len(frames.calls) == 10_001
    assert caplog.text.count("wait for an observer that does not return") == 1
    server.send_error("CP_1", "last", ErrorCode.GENERIC_ERROR)
    assert shown(frames)[-1] == ("out", "last")
    server.stop()


def test_an_observer_that_raises_hides_nothing_from_the_next(side):
    @side.endpoint.add_observer
    def fail(frame):
        raise SystemExit

    frames = Recorder()
    side.endpoint.add_observer(frames)
    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    for number in range(3):
        side.raw.ask([2, str(number), "Heartbeat", {}])
    frames.wait(6)
    assert shown(frames) == [(direction, str(number)) for number in range(3) for direction in ("in", "out")]


# What fails, and what is not tried


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", ["answers", "refuses", "fails"])
def test_when_a_peer_leaves_its_answer_is_neither_sent_nor_shown(transport, cleanup, make_server, version, how, caplog):
    caplog.set_level("DEBUG")
    package = VERSIONS[version]
    server, frames, begun, go, ended = (
        make_server(profiles=package.PROFILES),
        Recorder(),
        Recorder(),
        threading.Event(),
        Recorder(),
    )
    server.add_observer(frames)

    @server.on(package.HeartbeatRequest)
    def handle(client_id, request):
        begun(request)
        assert go.wait(seconds(10))
        if how == "answers":
            return package.HeartbeatResponse(current_time=NOW)
        raise OCPPError(ErrorCode.SECURITY_ERROR, "no") if how == "refuses" else RuntimeError("no")

    @server.on(package.DataTransferRequest)
    def last(client_id, request):
        ended(request)
        return package.DataTransferResponse(status="Accepted")

    raw = RawClient(transport, server.url, "CP_1", [f"ocpp{version}"])
    cleanup.append(raw.stop)
    raw.send([2, "1", "Heartbeat", {}])
    raw.send([2, "2", "DataTransfer", {"vendorId": "V"}])
    begun.wait()
    eventually(lambda: len(frames.calls) == 2)
    raw.stop()
    eventually(lambda: not server.client_ids())
    go.set()
    ended.wait()
    eventually(lambda: caplog.text.count("not sent") == 2)
    assert shown(frames) == [("in", "1"), ("in", "2")]
    assert raw.nothing_came()
    levels = [record.levelname for record in caplog.records if "not sent" in record.getMessage()]
    assert levels == ["DEBUG", "DEBUG"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= 30]
    assert all("handler of Heartbeat failed" in each for each in warnings), warnings


def test_on_a_client_too(make_client, raw_server, caplog):
    caplog.set_level("DEBUG")
    client, frames, begun, go = make_client(), Recorder(), Recorder(), threading.Event()
    client.add_observer(frames)

    @client.on(v16.ResetRequest)
    def reset(request):
        begun(request)
        assert go.wait(seconds(10))
        return v16.ResetResponse(status="Accepted")

    client.connect(raw_server.url)
    raw_server.wait_connected()
    raw_server.send([2, "1", "Reset", {"type": "Soft"}])
    begun.wait()
    raw_server.channel.close()
    eventually(lambda: not client.is_connected())
    go.set()
    eventually(lambda: "not sent" in caplog.text)
    assert shown(frames) == [("in", "1")]
    assert [record.levelname for record in caplog.records if "sent" in record.getMessage()] == ["DEBUG"]


def test_a_write_that_fails_is_shown_as_that(transport, make_client, raw_server, caplog):
    """The connection is not known to be closed, so the peer gets a CALLERROR in place of the answer, or would."""
    caplog.set_level("DEBUG")
    between, frames = BetweenClient(transport.client()), Recorder()
    client = make_client(ws_client=between)
    client.add_observer(frames)
    client.on(v16.HeartbeatRequest)(lambda request: BEAT)
    client.connect(raw_server.url)
    raw_server.wait_connected()
    broken = between.channel.broken = TransportError("no")
    raw_server.send([2, "1", "Heartbeat", {}])
    frames.wait(3)
    assert shown(frames) == [("in", "1"), ("out", "1"), ("out", "1")]
    _, answer, error = [frame for (frame,) in frames.calls]
    assert (answer.sent, answer.error) == (error.sent, error.error) == (False, broken)
    assert [json.loads(frame.text)[0] for frame in (answer, error)] == [3, 4]
    with pytest.raises(TransportError):
        client.send_response("2", BEAT)
    frames.wait(5)
    future = client.send_request(HEARTBEAT)
    assert isinstance(future.exception(seconds(10)), Exception)
    (request,) = frames.wait(6)[5]
    assert (request.direction, json.loads(request.text)[1]) == ("out", future.message_id)
    assert (request.sent, request.error) == (False, broken)
    between.channel.broken = None
    raw_server.send([2, "3", "Heartbeat", {}])
    assert raw_server.receive() == [3, "3", BEAT_WIRE]
    (sent,) = frames.wait(8)[7]
    assert (sent.sent, sent.error) == (True, None)


def test_on_a_connection_that_we_close_no_callerror_follows_the_answer(make_server, raw_client, caplog):
    """Its end is not known yet, because the thread that finds it is in the hook."""
    server, frames, raised = make_server(), Recorder(), Recorder()
    server.add_observer(frames)

    @server.set_invalid_message_hook
    def hook(client_id, *arguments):
        server.disconnect(client_id)
        try:
            server.send_response(client_id, "1", BEAT)
        except TransportError as error:
            raised(error)

    raw = raw_client(server.url)
    raw.send("rubbish")
    ((error,),) = raised.wait()
    raw.wait_closed()
    assert [(frame.direction, frame.sent, frame.error) for (frame,) in frames.calls] == [
        ("in", True, None),
        ("out", False, error),
    ]
    assert raw.nothing_came()
    assert "CALLERROR" not in caplog.text


def test_an_interrupted_write_is_shown_as_failed(transport, make_client, raw_server):
    between, frames = BetweenClient(transport.client()), Recorder()
    client = make_client(ws_client=between)
    client.add_observer(frames)
    client.connect(raw_server.url)
    raw_server.wait_connected()
    between.channel.broken = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        client.send_response("1", BEAT)
    between.channel.broken = None
    client.send_response("2", BEAT)
    failed, sent = [frame for (frame,) in frames.wait(2)]
    assert (failed.sent, str(failed.error)) == (False, "the write was interrupted")
    assert (sent.sent, sent.error) == (True, None)


# Which connection


def test_no_frame_waits_for_the_action_of_another():
    """Nor does a forked process, where the other thread is gone."""
    asked, go_on = threading.Event(), threading.Event()

    def find(message_id):
        asked.set()
        return "Reset" if go_on.wait(seconds(20)) else None

    answer = note_request(Frame("in", "CP_1", "1.6", NOW, '[3,"1",{}]'), find)
    request = Frame("in", "CP_1", "1.6", NOW, '[2,"2","Heartbeat",{}]')
    actions = Recorder()
    threading.Thread(target=lambda: actions(answer.action), daemon=True).start()
    assert asked.wait(seconds(10))
    threading.Thread(target=lambda: actions(request.action), daemon=True).start()
    assert actions.wait(1, timeout=5) == [("Heartbeat",)]
    go_on.set()
    assert actions.wait(2)[1] == ("Reset",)
    assert answer.action == "Reset", "it is found once"


def test_a_frame_tells_its_connection(make_server, raw_client):
    server, frames = make_server(), Recorder()
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    server.add_observer(frames)
    for client_id in ("CP_1", "CP_2", "CP_1"):
        raw = raw_client(server.url, client_id)
        for message_id in ("1", "2"):
            raw.send([2, message_id, "Heartbeat", {}])
            raw.receive()
        raw.stop()
    seen = sorted((frame.connection, frame.client_id) for (frame,) in frames.wait(12))
    assert seen == [(1, "CP_1")] * 4 + [(2, "CP_2")] * 4 + [(3, "CP_1")] * 4


def test_an_answer_that_is_shown_after_its_request_has_ended_has_its_action(side):
    entered, go, actions, answered = threading.Event(), threading.Event(), Recorder(), Recorder()

    @side.endpoint.add_observer
    def observe(frame):
        if frame.direction == "out":
            entered.set()
            assert go.wait(seconds(30))
        actions(frame.kind, frame.action)

    side.endpoint.set_response_handler(answered)
    thread = threading.Thread(target=side.send_request, args=(BOOT,))
    thread.start()
    assert entered.wait(seconds(10))
    side.raw.send([3, side.raw.receive()[1], BOOTED_WIRE])
    answered.wait()
    go.set()
    thread.join(seconds(10))
    assert actions.wait(2) == [("CALL", "BootNotification"), ("CALLRESULT", "BootNotification")]


# What a frame tells of itself


def test_a_frame_tells_its_kind_its_id_and_the_action_of_its_call(side):
    """Both ways: an answer has the action of its CALL, also when the answer is an error."""
    frames = Recorder()
    kept = []

    @side.endpoint.add_observer
    def observe(frame):
        kept.append(frame)
        frames(frame.direction, frame.kind, frame.action, frame.message_id)

    side.endpoint.on(v16.HeartbeatRequest)(lambda *arguments: BEAT)
    side.raw.ask([2, "1", "Heartbeat", {}])
    side.raw.ask([2, "2", "StatusNotification", {}])  # it breaks its schema
    future = side.send_request(BOOT)
    side.raw.send([3, side.raw.receive()[1], BOOTED_WIRE])
    assert future.result(seconds(10)) == BOOTED
    refused = side.send_request(BOOT)
    side.raw.send([4, side.raw.receive()[1], "InternalError", "", {}])
    assert isinstance(refused.exception(seconds(10)), OCPPError)
    frames.wait(8)
    boot, again = future.message_id, refused.message_id
    assert frames.calls == [
        ("in", "CALL", "Heartbeat", "1"),
        ("out", "CALLRESULT", "Heartbeat", "1"),
        ("in", "CALL", "StatusNotification", "2"),
        ("out", "CALLERROR", None, "2"),  # of a CALL that could not be read
        ("out", "CALL", "BootNotification", boot),
        ("in", "CALLRESULT", "BootNotification", boot),
        ("out", "CALL", "BootNotification", again),
        ("in", "CALLERROR", "BootNotification", again),
    ]
    for frame, told in zip(kept, frames.calls):  # what was found is kept, also in a copy
        for each in (frame, pickle.loads(pickle.dumps(frame))):
            assert (each.direction, each.kind, each.action, each.message_id) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[6,"s","NotifyPeriodicEventStream-Signed",{}]', ("SEND", "NotifyPeriodicEventStream", "s")),
        ('[5,"s","InternalError","",{}]', ("CALLRESULTERROR", None, "s")),
        (' [ 2 , "\\u0061" , "Reset" , {} ]', ("CALL", "Reset", "a")),
        ('["2","1","Reset",{}]', ("CALL", "Reset", "1")),
        ('[2,"1","Reset",{"type":', ("CALL", "Reset", "1")),
        ('[2,"1"]', ("CALL", None, "1")),
        ('[2,"1",7,{}]', ("CALL", None, "1")),
        ('[3,"1","Reset"]', ("CALLRESULT", None, "1")),
        ("[9]", (None, None, None)),
        ("[]", (None, None, None)),
        ("no JSON", (None, None, None)),
        ("", (None, None, None)),
        ("[" * 100_000, (None, None, None)),
    ],
    ids=["SEND", "5", "escape", "text", "cut", "short", "number", "answer", "type", "empty", "words", "none", "deep"],
)
def test_a_broken_frame_tells_what_can_be_read(text, told):
    frame = Frame("in", "CP_1", "2.1", NOW, text)
    assert (frame.kind, frame.action, frame.message_id) == told
    assert frame == Frame("in", "CP_1", "2.1", NOW, text), "what was found is no part of it"
