"""What tests of charge points and of central systems need: connections cut, raw frames, and no answers."""

import threading
import time
from functools import partial

import pytest

from ocppj import (
    NO_ANSWER,
    CallTimeout,
    ConnectionLost,
    ManualClock,
    NotRunning,
    TransportError,
    UnknownClient,
    UsageError,
    v16,
)
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    HEARTBEAT,
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
from tests.ws.support import NO_WAIT

GARBAGE = ["not json", "", '[3,"{id}"', "[]", "ä€𝄞"]


def test_abort_is_a_loss_for_the_peer_and_an_end_by_us(side):
    ended = Recorder()
    if side.args():
        side.endpoint.set_disconnected_client_handler(lambda client_id, close: ended(close))
    else:
        side.endpoint.set_disconnected_handler(lambda close: ended(close))
    side.endpoint.abort(*side.args())
    (close,) = ended.wait()[0]
    assert (close.code, close.by_peer, close.error, close.expected) == (1006, False, None, True)
    theirs = side.raw.wait_closed()
    assert theirs.code == 1006 and theirs.error is not None


def test_a_call_under_way_ends_with_an_abort(side):
    future = side.send_request(HEARTBEAT if not side.args() else v16.ClearCacheRequest())
    side.raw.receive()
    side.endpoint.abort(*side.args())
    if side.args():
        with pytest.raises(ConnectionLost):
            future.result(seconds(10))
    side.raw.wait_closed()


def test_send_raw_sends_any_text(side):
    for text in GARBAGE:
        side.endpoint.send_raw(*side.args(text))
        assert side.raw.texts.get(timeout=seconds(10)) == text


def test_send_raw_does_not_wait_for_the_request_under_way(side):
    first = side.send_request(v16.DataTransferRequest(vendor_id="V"), timeout=seconds(60))
    second = side.send_request(v16.DataTransferRequest(vendor_id="W"), timeout=seconds(60))
    frame = side.raw.receive()
    side.endpoint.send_raw(*side.args("past the queue"))
    assert side.raw.texts.get(timeout=seconds(10)) == "past the queue"
    side.raw.send([3, frame[1], {"status": "Accepted"}])
    assert first.result(seconds(10)).status == "Accepted"
    side.raw.send([3, side.raw.receive()[1], {"status": "Rejected"}])
    assert second.result(seconds(10)).status == "Rejected"


def test_observers_see_what_send_raw_sends(side):
    seen = Recorder()
    side.endpoint.add_observer(seen)
    side.endpoint.send_raw(*side.args("not json"))
    (frame,) = seen.wait()[0]
    assert (frame.direction, frame.client_id, frame.text, frame.sent) == ("out", "CP_1", "not json", True)


@pytest.mark.parametrize("text", [b"bytes", None, "\ud800"], ids=["bytes", "none", "surrogate"])
def test_send_raw_takes_texts_that_can_be_written(side, text):
    with pytest.raises(UsageError):
        side.endpoint.send_raw(*side.args(text))


def test_without_a_connection_they_say_so(make_client, make_server):
    client, server = make_client(), make_server()
    plain = [client.abort, client.pause_reading, client.resume_reading]
    for call in (*plain, lambda: client.send_raw("x"), lambda: client.send_frame(0x1, b"x")):
        with pytest.raises(NotRunning):
            call()
    plain = [server.abort, server.pause_reading, server.resume_reading, partial(server.send_raw, text="x")]
    for method in (*plain, partial(server.send_frame, opcode=0x1, data=b"x")):
        with pytest.raises(UnknownClient):
            method("CP_1")


def test_nothing_is_sent_after_an_abort(side):
    side.endpoint.abort(*side.args())
    with pytest.raises((TransportError, NotRunning, UnknownClient)):
        side.endpoint.send_raw(*side.args("late"))
    side.raw.wait_closed()
    assert side.raw.nothing_came()


def test_send_frame_sends_parts(side):
    side.endpoint.send_frame(*side.args(0x1, b"not ", False))
    side.endpoint.send_frame(*side.args(0x9, b""))
    side.endpoint.send_frame(*side.args(0x0, b"json"))
    assert side.raw.texts.get(timeout=seconds(10)) == "not json"


def test_the_peer_refuses_a_binary_frame(side):
    side.endpoint.send_frame(*side.args(0x2, b".."))
    assert side.raw.wait_closed().code == 1003


def test_a_close_of_send_frame_ends_the_connection(side):
    side.endpoint.send_frame(*side.args(0x8, b"\x0f\xa1go away"))
    close = side.raw.wait_closed()
    assert (close.code, close.reason, close.by_peer) == (4001, "go away", True)


def test_a_request_is_not_blamed_for_a_raw_frame(make_client, raw_server):
    """A peer that refuses a raw frame with 1007 has not refused the request before it."""
    client = make_client(raw_server.url, reconnect=True, resend=True, max_refusals=1, ws={"backoff": NO_WAIT})
    future = client.send_request(HEARTBEAT, timeout=seconds(60))
    frame = raw_server.receive()
    client.send_frame(0x1, b"\xff")
    again = raw_server.receive()
    assert again == frame
    raw_server.send([3, frame[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT


def test_a_paused_side_neither_handles_nor_answers(side):
    handled = Recorder(BEAT)
    side.endpoint.on(v16.HeartbeatRequest)(handled)
    side.endpoint.pause_reading(*side.args())
    side.raw.send([2, "1", "Heartbeat", {}])
    future = side.send_request(v16.DataTransferRequest(vendor_id="V"), timeout=seconds(0.2))
    side.raw.send([3, side.raw.receive()[1], {"status": "Accepted"}])
    with pytest.raises(CallTimeout):
        future.result(seconds(10))
    assert not handled.calls
    side.endpoint.resume_reading(*side.args())
    assert side.raw.receive() == [3, "1", BEAT_WIRE]


def test_stop_ends_a_paused_connection(side):
    side.endpoint.pause_reading(*side.args())
    side.raw.send([2, "1", "Heartbeat", {}])
    begun = time.monotonic()
    side.endpoint.stop()
    assert time.monotonic() - begun < seconds(5)
    assert side.raw.wait_closed().by_peer


def test_the_next_connection_is_read(make_server, raw_client):
    server = make_server()
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    first = raw_client(server.url)
    server.pause_reading("CP_1")
    first.send([2, "1", "Heartbeat", {}])
    second = raw_client(server.url)
    assert second.ask([2, "2", "Heartbeat", {}]) == [3, "2", BEAT_WIRE]
    assert first.nothing_came()
    assert first.wait_closed().code in (1008, 1006)  # replaced


def test_it_works_together_with_what_waits_for_handlers(make_side):
    """Too much waits, so nothing is read; reading is paused, too. Both must end."""
    side = make_side(max_waiting_bytes=20_000)
    gate = threading.Event()
    handled = Recorder()

    @side.endpoint.on(v16.DataTransferRequest)
    def handle(*arguments):
        handled(arguments[-1].data)
        assert gate.wait(seconds(30))
        return given()

    side.connect()
    for number in range(60):
        side.raw.send([2, str(number), "DataTransfer", {"vendorId": "V", "data": "x" * 1000}])
    handled.wait()
    side.endpoint.pause_reading(*side.args())
    gate.set()
    before = eventually(lambda: settled(handled))
    assert before < 60
    side.endpoint.resume_reading(*side.args())
    handled.wait(60)
    answers = side.raw.receive_by_id(*map(str, range(60)))
    assert len(answers) == 60


def settled(recorder):
    """Return how many calls there were, once there are no more for a while."""
    count = len(recorder.calls)
    threading.Event().wait(seconds(0.2))
    return count if len(recorder.calls) == count else None


class _Silent:
    """A channel of a transport of the program's own: it has what `base.Channel` must have, and no more."""

    ping_interval = None
    id, subprotocol, remote_address = "CP_1", "ocpp1.6", "nowhere"

    def __init__(self, channel):
        self.send, self.close, self.submit = channel.send, channel.close, channel.submit


def test_a_transport_that_cannot_do_it(make_server, raw_client, transport):
    ws = transport.server()
    server = make_server(listen=False, ws_server=ws)
    inner, made = ws.handlers.connected, {}
    ws.set_connected_handler(lambda channel: inner(made.setdefault(channel, _Silent(channel))))
    message, ended = ws.handlers.message, ws.handlers.disconnected
    ws.set_message_handler(lambda channel, text: message(made[channel], text))
    ws.set_disconnected_handler(lambda channel, close: ended(made[channel], close))
    server.listen(host="127.0.0.1")
    raw = raw_client(server.url)
    server.send_raw("CP_1", "a text")
    assert raw.texts.get(timeout=seconds(10)) == "a text"
    lacks = [server.abort, server.pause_reading, server.resume_reading, partial(server.send_frame, opcode=1, data=b"")]
    for method in lacks:
        with pytest.raises(UsageError, match=type(ws).__name__):
            method("CP_1")


# NO_ANSWER


def heartbeats(side, handler, **options):
    side.endpoint.on(v16.DataTransferRequest, **options)(handler)


def ask(side, message_id="1"):
    side.raw.send([2, message_id, "DataTransfer", {"vendorId": "V"}])


def given(status="Accepted"):
    return v16.DataTransferResponse(status=status)


@pytest.mark.parametrize("pass_id", [False, True])
def test_a_call_that_gets_no_answer_is_handled_again(side, pass_id, caplog):
    replies = [NO_ANSWER, NO_ANSWER, given()]
    heartbeats(side, lambda *arguments: replies.pop(0), pass_id=pass_id)
    with caplog.at_level("DEBUG", logger="ocppj"):
        ask(side)
        eventually(lambda: len(replies) == 2)
        ask(side, "2")
        eventually(lambda: len(replies) == 1)
        ask(side)
    assert side.raw.receive() == [3, "1", {"status": "Accepted"}]
    assert side.raw.nothing_came()
    lines = [record for record in caplog.records if "NO_ANSWER" in record.message]
    assert [record.levelname for record in lines] == ["DEBUG", "DEBUG"]


def test_a_call_that_gets_no_answer_does_not_expire(make_server, raw_client):
    clock, handled = ManualClock(), Recorder(NO_ANSWER)
    server = make_server(clock=clock, answer_timeout=10.0, timeout=5.0)
    server.on(v16.DataTransferRequest)(handled)
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    raw = raw_client(server.url)
    raw.send([2, "1", "DataTransfer", {"vendorId": "V"}])
    handled.wait()
    assert raw.ask([2, "2", "Heartbeat", {}])[1] == "2"
    for _ in range(20):
        clock.advance(5.0)
    assert raw.ask([2, "3", "Heartbeat", {}])[1] == "3"


def test_a_copy_that_came_over_a_newer_connection_is_handled_when_the_first_gets_no_answer(make_server, raw_client):
    begun, go, replies = Recorder(), threading.Event(), [NO_ANSWER, given()]
    server = make_server()

    @server.on(v16.DataTransferRequest)
    def handle(client_id, request):
        begun(request)
        assert go.wait(seconds(10))
        return replies.pop(0)

    first = raw_client(server.url)
    first.send([2, "1", "DataTransfer", {"vendorId": "V"}])
    begun.wait()
    server.abort("CP_1")
    first.wait_closed()
    eventually(lambda: not server.client_ids())
    second = raw_client(server.url)
    second.send([2, "1", "DataTransfer", {"vendorId": "V"}])
    assert second.ask([2, "2", "NoSuchAction", {}])[1] == "2"  # so the copy has been read
    go.set()
    assert second.receive() == [3, "1", {"status": "Accepted"}]
    assert [request.vendor_id for (request,) in begun.calls] == ["V", "V"]
