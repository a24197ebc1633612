"""Who holds the threads of handlers: what is listed, and what is left for others."""

import threading

import pytest

from ocppj import NoHandlerSlot, OCPPError, Server, SharedReaders, v16
from ocppj.ws.server import WebSocketServer
from tests import peers
from tests.fixtures import (  # noqa: F401
    BEAT,
    HEARTBEAT,
    RESET,
    cleanup,
    make_client,
    make_server,
    make_side,
    raw_client,
    raw_server,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import RawClient, frame

SLOTS, STATIONS = 20, 24


def test_a_running_handler_is_listed_with_its_action_and_message(make_side):
    side = make_side().connect()
    go_on, begun = threading.Event(), Recorder()

    @side.endpoint.on(v16.HeartbeatRequest)
    def handle(*arguments):
        begun()
        assert go_on.wait(seconds(20))
        return BEAT

    assert side.endpoint.busy_handlers() == []
    side.raw.send([2, "7", "Heartbeat", {}])
    begun.wait(1)
    (busy,) = eventually(side.endpoint.busy_handlers)
    assert (busy.client_id, busy.action, busy.message_id) == ("CP_1", "Heartbeat", "7")
    assert (busy.waiting, busy.released) == (False, False)
    go_on.set()
    side.raw.receive()
    eventually(lambda: side.endpoint.busy_handlers() == [])


@pytest.mark.parametrize("way", ["call", "result", "exception"])
def test_stations_that_do_not_answer_leave_slots_for_the_heartbeats_of_others(
    way, make_server, raw_client, transport, caplog
):
    server = make_server(ws={"readers": SharedReaders(max_handlers=SLOTS)}, timeout=seconds(60))
    refused = Recorder()

    @server.on(v16.StatusNotificationRequest)
    def ask(client_id, request):
        try:
            if way == "call":
                server.call(client_id, RESET)
            elif way == "result":
                server.send_request(client_id, RESET).result()
            else:
                server.send_request(client_id, RESET).exception()
        except NoHandlerSlot as error:
            refused(client_id, error)
            raise OCPPError("InternalError", "too busy") from None
        return v16.StatusNotificationResponse()

    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    silent = [raw_client(server.url, f"CP_{number}") for number in range(STATIONS)]
    others = [raw_client(server.url, f"other_{number}") for number in range(6)]
    for raw in silent:
        raw.send([2, "1", "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"}])
    assert len(refused.wait(STATIONS - 16)) == STATIONS - 16, "four of 20 slots are the reserve"
    for _ in range(5):
        for raw in others:
            assert raw.ask([2, "beat", "Heartbeat", {}])[0] == 3
    client_id, error = refused.calls[0]
    if way == "call":
        assert (error.client_id, error.action) == (client_id, "Reset")
        eventually(lambda: [each.texts.qsize() for each in silent] == [1] * STATIONS)  # a request, or an error
    busy = eventually(lambda: [each for each in server.busy_handlers() if each.waiting])
    assert len(busy) == 16
    assert {each.action for each in busy} == {"StatusNotification"}
    assert "handlers wait for answers to their call()" in caplog.text


def test_a_refused_call_sends_nothing_and_leaves_nothing(cleanup):
    transport = peers.Memory()
    server = Server(
        profiles=v16.PROFILES,
        ws_server=transport.server(readers=SharedReaders(max_handlers=2)),
        timeout=seconds(60),
    )
    cleanup.append(server.stop)
    errors = Recorder()

    @server.on(v16.HeartbeatRequest)
    def handle(client_id, request):
        try:
            server.call(client_id, RESET, message_id="r")
        except NoHandlerSlot as error:
            errors(str(error))
            server.send_request(client_id, RESET, message_id="r")  # the id is free
        return BEAT

    with server.listen():
        first, second = (peers.RawClient(transport, server.url, identity) for identity in ("CP_1", "CP_2"))
        first.send([2, "1", "Heartbeat", {}])
        assert first.receive()[:2] == [2, "r"]
        second.send([2, "1", "Heartbeat", {}])
        assert {second.receive()[0], second.receive()[0]} == {2, 3}
        ((text,),) = errors.wait(1)
        assert text.startswith("1 handlers wait for answers already")
        assert "(client CP_2, Reset, at " in text
        first.stop(), second.stop()


@pytest.mark.parametrize("observed", [False, True])
def test_stations_that_do_not_take_their_answers_hold_no_slot(observed):
    """Each has more answers to come than the network takes. Their handlers have returned."""
    ws = WebSocketServer(readers=SharedReaders(max_handlers=4), write_timeout=seconds(100))
    server = Server(profiles=v16.PROFILES, ws_server=ws)
    answered = Recorder()
    large = v16.DataTransferResponse(status="Accepted", data="x" * 900_000)

    @server.on(v16.DataTransferRequest)
    def answer(client_id, request):
        answered(client_id)
        return large

    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    if observed:
        server.add_observer(lambda frame: None)
    calls = 40
    with server.listen(host="127.0.0.1"):
        deaf = [RawClient(server.url, receive_buffer=4096) for _ in range(6)]
        try:
            for number, each in enumerate(deaf):
                each.upgrade(f"/deaf_{number}", Sec_WebSocket_Protocol="ocpp1.6")
                for message in range(calls):
                    each.send(frame(1, f'[2,"{message}","DataTransfer",{{"vendorId":"V"}}]'.encode()))
            eventually(lambda: {name for (name,) in answered.calls} == {f"deaf_{n}" for n in range(6)})
            with RawClient(server.url) as other:
                other.upgrade("/other", Sec_WebSocket_Protocol="ocpp1.6")
                for _ in range(3):
                    other.send(frame(1, b'[2,"1","Heartbeat",{}]'))
                    assert other.read_frame()[1].startswith(b'[3,"1"')
            eventually(lambda: server.busy_handlers() == [])
            assert len(answered.calls) < calls * 6, "the handlers of the next CALLs wait until the answer is taken"
            assert server.stats().connections >= 6, "nobody was cut"
            deaf[0].sock.settimeout(seconds(60))
            for _ in range(calls):  # one that takes them gets them all
                assert deaf[0].read_frame()[1].startswith(b'[3,"')
        finally:
            for each in deaf:
                each.sock.close()
