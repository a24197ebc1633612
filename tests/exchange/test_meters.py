"""What ``stats()`` of a server and of a client counts of OCPP."""

import json
import sys
import threading
from collections import Counter
from dataclasses import asdict

import pytest

from ocppj import CallTimeout, ManualClock, OCPPError, Server, SharedReaders, TransportError, v16
from ocppj.ws.stats import Stats
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    HEARTBEAT,
    RESET,
    RESET_DONE,
    cleanup,
    make_client,
    make_server,
    raw_client,
    raw_server,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.test_cost import Direct, Peer

DONE = {"status": "Accepted"}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def server(make_server, clock):
    server = make_server(clock=clock, timeout=30)
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    return server


@pytest.fixture
def raw(server, raw_client):
    raw = raw_client(server.url)
    eventually(server.client_ids)
    return raw


def answer(raw, *rest, kind=3):
    """Answer the next request, and return its id."""
    frame = raw.receive()
    raw.send([kind, frame[1], *rest])
    return frame[1]


def test_messages_and_errors_by_direction_kind_and_action(server, raw):
    raw.send([2, "1", "Heartbeat", {}])
    raw.receive()
    raw.send([2, "2", "Authorize", {"idTag": "T"}])
    assert raw.receive()[2] == "NotSupported"
    raw.send([2, "3", "Heartbeat", {"no": "such"}])
    assert raw.receive()[0] == 4
    raw.send([2, "4", "Nonsense", {}])
    assert raw.receive()[0] == 4
    raw.send("[]")
    future = server.send_request("CP_1", RESET)
    answer(raw, DONE)
    future.result(seconds(10))
    future = server.send_request("CP_1", RESET)
    answer(raw, "InternalError", "", {}, kind=4)
    with pytest.raises(OCPPError):
        future.result(seconds(10))
    future = server.send_request("CP_1", RESET)
    message_id = answer(raw, "OfMyOwn", "", {}, kind=4)
    with pytest.raises(OCPPError):
        future.result(seconds(10))
    raw.send([3, message_id, {}])  # once more: nobody waits for it
    raw.send([2, "5", "Heartbeat", {}])
    raw.receive()
    stats = eventually(lambda: _with(server, lambda stats: stats.messages["sent"]["CALLRESULT"] == {"Heartbeat": 2}))
    assert stats.messages["received"] == {
        "CALL": {"Authorize": 1, "Heartbeat": 3, "other": 1},
        "CALLRESULT": {"Reset": 1, "other": 1},
        "CALLERROR": {"Reset": 2},
        "invalid": {"other": 1},
    }
    assert stats.messages["sent"]["CALL"] == {"Reset": 3}
    assert Counter(stats.messages["sent"]["CALLERROR"]) == {"Authorize": 1, "other": 2}
    assert stats.errors["received"] == {"InternalError": 1, "other": 1}
    assert stats.errors["sent"] == {"NotSupported": 1, "NotImplemented": 1, "FormatViolation": 1}
    assert json.loads(json.dumps(asdict(stats)))["messages"] == stats.messages


def _with(server, condition):
    """Return the statistics, if ``condition`` holds for them."""
    stats = server.stats()
    return stats if condition(stats) else None


def test_an_answer_that_breaks_its_schema_is_one_to_its_request(server, raw):
    future = server.send_request("CP_1", RESET)
    answer(raw, {"status": 7})
    assert future.exception(seconds(10)) is not None
    assert server.stats().messages["received"] == {"CALLRESULT": {"Reset": 1}}
    assert server.stats().call_seconds["Reset"].count == 1


def test_how_long_calls_and_handlers_take(server, raw, clock):
    @server.on(v16.HeartbeatRequest)
    def slow(client_id, request):
        clock.advance(0.2)
        return BEAT

    for message_id in "12":
        raw.send([2, message_id, "Heartbeat", {}])
        raw.receive()
    handlers = server.stats().handler_seconds
    assert list(handlers) == ["Heartbeat"]
    times = handlers["Heartbeat"]
    assert (times.count, times.sum) == (2, pytest.approx(0.4))
    assert dict(zip(times.bounds, times.buckets))[0.25] == 2 == sum(times.buckets)
    assert len(times.buckets) == len(times.bounds) + 1

    future = server.send_request("CP_1", RESET)
    behind = server.send_request("CP_1", RESET)  # its time begins when it is written
    frame = raw.receive()
    clock.advance(20)
    raw.send([3, frame[1], DONE])
    answer(raw, DONE)
    assert future.result(seconds(10)) and behind.result(seconds(10))
    times = server.stats().call_seconds["Reset"]
    assert (times.count, times.sum) == (2, pytest.approx(20))


def test_a_handler_that_fails_is_timed_as_well(server, raw):
    @server.on(v16.HeartbeatRequest)
    def fail(client_id, request):
        raise ValueError("a fault")

    raw.send([2, "1", "Heartbeat", {}])
    assert raw.receive()[2] == "InternalError"
    assert server.stats().handler_seconds["Heartbeat"].count == 1
    eventually(lambda: server.stats().errors["sent"] == {"InternalError": 1})


def test_what_is_pending_queued_and_out_of_time(server, raw, clock):
    futures = [server.send_request("CP_1", RESET) for _ in range(3)]
    raw.receive()
    stats = server.stats()
    assert (stats.pending, stats.queued, stats.timeouts) == (1, 2, 0)
    clock.advance(30)
    assert isinstance(futures[0].exception(seconds(10)), CallTimeout)
    raw.receive()
    stats = eventually(lambda: _with(server, lambda stats: stats.timeouts == 1))
    assert (stats.pending, stats.queued) == (1, 1)
    futures[1].cancel()
    futures[2].cancel()
    assert (server.stats().pending, server.stats().queued, server.stats().timeouts) == (0, 0, 1)


def test_clients_that_come_back(server, raw, raw_client):
    raw_client(server.url, "CP_2")
    eventually(lambda: server.stats().connections == 2)
    assert server.stats().versions == {"1.6": 2}
    assert server.stats().reconnects == 0
    raw.stop()
    eventually(lambda: server.stats().connections == 1)
    raw_client(server.url)
    eventually(lambda: server.stats().reconnects == 1)
    assert server.stats().accepted == 3


def test_threads_that_handlers_block(make_server, make_client):
    server, go_on, begun = make_server(ws={"readers": SharedReaders()}), threading.Event(), Recorder()

    @server.on(v16.HeartbeatRequest)
    def wait(client_id, request):
        begun()
        assert go_on.wait(seconds(20))
        return BEAT

    client = make_client(server.url)
    future = client.send_request(HEARTBEAT)
    begun.wait()
    eventually(lambda: server.stats().loaned_workers == 1)
    go_on.set()
    future.result(seconds(10))
    eventually(lambda: server.stats().loaned_workers == 0)


def test_a_client_counts_as_well(make_client, raw_server, clock):
    client = make_client(None, clock=clock, timeout=30)
    assert (client.stats().connections, client.stats().versions) == (0, {"1.6": 0})
    client.on(v16.ResetRequest)(lambda request: RESET_DONE)
    client.connect(raw_server.url)
    raw_server.wait_connected()
    assert (client.stats().connections, client.stats().versions) == (1, {"1.6": 1})
    raw_server.send([2, "1", "Reset", {"type": "Soft"}])
    assert raw_server.receive()[0] == 3
    first, second = client.send_request(HEARTBEAT), client.send_request(HEARTBEAT)
    stats = client.stats()
    assert (stats.pending, stats.queued) == (1, 1)
    answer(raw_server, BEAT_WIRE)
    assert first.result(seconds(10)) == BEAT
    raw_server.receive()
    eventually(lambda: client.stats().messages["sent"]["CALL"] == {"Heartbeat": 2})
    clock.advance(30)
    assert isinstance(second.exception(seconds(10)), CallTimeout)
    stats = client.stats()
    assert (stats.pending, stats.queued, stats.timeouts, stats.reconnects) == (0, 0, 1, 0)
    assert stats.messages["received"] == {"CALL": {"Reset": 1}, "CALLRESULT": {"Heartbeat": 1}}
    assert stats.messages["sent"] == {"CALLRESULT": {"Reset": 1}, "CALL": {"Heartbeat": 2}}
    assert stats.call_seconds["Heartbeat"].count == stats.handler_seconds["Reset"].count == 1
    assert stats.accepted == 0


@pytest.fixture
def direct():
    """Return a server that is called directly, without a network."""
    ws = Direct()
    ws.stats = Stats
    server = Server(profiles=v16.PROFILES, ws_server=ws).listen()
    server.on(v16.HeartbeatRequest)(lambda client_id, request: BEAT)
    yield server, ws
    server.stop()


def test_a_peer_cannot_make_the_figures_larger(direct):
    server, ws = direct
    peer = Peer("CP_1")
    ws.connected(peer)
    for number in range(1_000):
        peer.sent.clear()
        ws.message(peer, f'[2,"{number}","Garbage{number}",{{}}]')
    for number in range(1_000):
        future = server.send_request("CP_1", RESET)
        ws.message(peer, f'[4,"{future.message_id}","Code{number}","",{{}}]')
    stats = server.stats()
    assert stats.messages["received"] == {"CALL": {"other": 1_000}, "CALLERROR": {"Reset": 1_000}}
    assert stats.errors == {"received": {"other": 1_000}, "sent": {"NotImplemented": 1_000}}


def test_an_error_that_was_not_sent_is_not_counted(make_server, raw_client, clock):
    """A handler fails after ``answer_timeout``: the peer has its CALLERROR already."""
    server, go_on, begun = make_server(clock=clock, answer_timeout=30), threading.Event(), Recorder()

    @server.on(v16.HeartbeatRequest)
    def fail(client_id, request):
        begun()
        assert go_on.wait(seconds(20))
        raise ValueError("a fault")

    raw = raw_client(server.url)
    raw.send([2, "1", "Heartbeat", {}])
    begun.wait()
    clock.advance(31)
    assert raw.receive()[2] == "InternalError"
    go_on.set()
    eventually(lambda: "Heartbeat" in server.stats().handler_seconds)
    raw.send([2, "2", "Authorize", {"idTag": "T"}])  # handled after it
    assert raw.receive()[2] == "NotSupported"
    eventually(lambda: "NotSupported" in server.stats().errors["sent"])
    assert server.stats().messages["sent"] == {"CALLERROR": {"Heartbeat": 1, "Authorize": 1}}
    assert server.stats().errors["sent"] == {"InternalError": 1, "NotSupported": 1}


def test_an_error_counts_as_it_was_sent_each_time():
    ws, handled = Direct(), []
    ws.stats = Stats
    with Server(profiles=v16.PROFILES, ws_server=ws, repeat_answers=10).listen() as server:

        @server.on(v16.HeartbeatRequest)
        def refuse(client_id, request):
            handled.append(request)
            raise OCPPError("SecurityError", "no", {"why": object()})  # cannot be sent as it is

        peer = Peer("CP_1")
        ws.connected(peer)
        for _ in range(2):  # the second time it gets the answer that is remembered
            ws.message(peer, '[2,"1","Heartbeat",{}]')
        assert len(handled) == 1
        assert [json.loads(text)[2] for text in peer.sent] == ["GenericError"] * 2
        assert server.stats().errors["sent"] == {"GenericError": 2}
        assert server.stats().messages["sent"] == {"CALLERROR": {"Heartbeat": 2}}


def test_what_could_not_be_written_is_not_counted(direct):
    server, ws = direct

    class Broken(Peer):
        def send(self, text, wait=True):
            raise TransportError("broken")

    peer = Broken("CP_1")
    ws.connected(peer)
    assert server.send_request("CP_1", RESET).exception(seconds(10)) is not None
    ws.message(peer, '[2,"1","Heartbeat",{}]')
    ws.message(peer, '[2,"2","Garbage",{}]')
    assert server.stats().messages["sent"] == {}
    assert server.stats().errors["sent"] == {}


def test_threads_lose_no_count(direct):
    server, ws = direct
    start = threading.Barrier(4)

    def ask(peer):
        ws.connected(peer)
        start.wait(seconds(10))
        for number in range(1_000):
            ws.message(peer, f'[2,"{number}","Heartbeat",{{}}]')

    threads = [threading.Thread(target=ask, args=(Peer(f"CP_{number}"),)) for number in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            server.stats()  # counts meanwhile
    finally:
        sys.setswitchinterval(interval)
    stats = server.stats()
    assert stats.messages["received"] == {"CALL": {"Heartbeat": 4_000}}
    assert stats.messages["sent"] == {"CALLRESULT": {"Heartbeat": 4_000}}
    assert stats.handler_seconds["Heartbeat"].count == 4_000
