"""What a client does that a server does not: connecting, ending, losing the connection and regaining it."""

import re
import threading

import pytest

from ocppj import (
    Client,
    ConnectionLost,
    FIFOQueueMap,
    HandshakeRefused,
    ManualClock,
    NotRunning,
    Stopped,
    SubprotocolError,
    TransportError,
    UsageError,
    v16,
    v201,
)
from ocppj.ws.backoff import Backoff
from tests.between import BetweenClient
from tests.fixtures import (  # noqa: F401
    BEAT,
    BEAT_WIRE,
    HEARTBEAT,
    NOW,
    cleanup,
    make_client,
    make_server,
    raw_client,
    raw_server,
    transport,
)
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import dispatcher_of, queued
from tests.peers import RawServer


def start_in_thread(client, url):
    """Start in another thread; return a function that gives how it ended."""
    outcome = []

    def run():
        try:
            client.start(url)
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result(timeout=15.0):
        thread.join(seconds(timeout))
        assert outcome, "start() did not return"
        return outcome[0]

    return result


def answer(raw):
    frame = raw.receive()
    raw.send([3, frame[1], BEAT_WIRE])
    return frame


# Connecting


def test_connect_returns_the_client_when_connected(make_client, raw_server):
    client = make_client()
    assert not client.is_connected()
    assert client.version is None
    assert client.connect(raw_server.url) is client
    assert client.is_connected()
    assert client.version == "1.6"
    raw_server.wait_connected()
    assert raw_server.channel.id == "CP_1"


@pytest.mark.parametrize("identity", ["RDAM|123", "RDAM 123", "a/b", "100%", "ünï ✓", "AA:BB:CC", "a?b#c"])
def test_the_identity_survives_the_url(make_client, raw_server, identity):
    make_client(raw_server.url, identity)
    raw_server.wait_connected()
    assert raw_server.channel.id == identity


def test_a_failed_connect_raises_and_leaves_nothing(make_client, raw_server):
    raw_server.stop()
    client = make_client()
    for _ in range(2):
        with pytest.raises(TransportError):
            client.connect(raw_server.url)
        assert not client.is_connected()
        assert isinstance(start_in_thread(client, raw_server.url)(), TransportError)
    with pytest.raises(NotRunning, match="client 'CP_1' is not started"):
        client.send_request(HEARTBEAT)


def test_a_refused_handshake_raises_its_status(make_client, make_server):
    server = make_server(listen=False)
    server.set_check_client_handler(lambda request: request.identity != "CP_1")
    server.listen(host="127.0.0.1")
    with pytest.raises(HandshakeRefused) as caught:
        make_client(server.url)
    assert caught.value.status == 404
    make_client(server.url, "CP_2")


def test_no_version_in_common_raises(make_client, transport, cleanup):
    other = transport.server()
    cleanup.append(other.stop)
    other.listen(0, "/{id}", "127.0.0.1", ["ocpp2.0.1"])
    with pytest.raises(SubprotocolError):
        make_client(other.url)


def test_a_client_without_profiles_or_id_is_refused(transport):
    with pytest.raises(UsageError, match="profiles"):
        Client("CP_1", ws_client=transport.client()).connect("ws://127.0.0.1:1")
    with pytest.raises(UsageError, match="id"):
        Client("", profiles=v16.PROFILES)


@pytest.mark.parametrize(
    "options",
    [
        {"queue": "requests.db"},
        {"queue": FIFOQueueMap()},
        {"retries": 3},
        {"timeout": None},
        {"timeout": "30"},
        {"timeout": float("nan")},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_another_kind_are_refused_by_name(options):
    ((name, value),) = options.items()
    with pytest.raises(UsageError, match=f"{name} is a .*, not {re.escape(repr(value))}"):
        Client("CP_1", profiles=v16.PROFILES, **options)


def test_transport_options_belong_to_the_transport(transport):
    with pytest.raises(UsageError, match="ping_interval"):
        Client("CP_1", profiles=v16.PROFILES, ws_client=transport.client(), ping_interval=5)
    with pytest.raises(TypeError, match="no_such_option"):
        Client("CP_1", profiles=v16.PROFILES, no_such_option=5)


# The end of the connection


def test_failed_attempts_are_told(make_server, transport, cleanup):
    server = make_server()
    answers = [True, False, False]
    server.set_check_client_handler(lambda request: answers.pop())
    client = Client("CP_1", profiles=v16.PROFILES, ws_client=transport.client(backoff=Backoff(0, 0, 0)))
    cleanup.append(client.stop)
    failed = Recorder()
    assert client.set_attempt_failed_handler(failed) is failed
    client.connect(server.url, retry=True)
    assert [error.status for (error,) in failed.calls] == [404, 404]
    with pytest.raises(UsageError, match="error"):
        client.set_attempt_failed_handler(lambda: None)


def test_failed_attempts_are_not_told_by_a_transport_that_cannot():
    class Bare:
        """A transport that can do no more than it must."""

        def __init__(self):
            for name in ("connected", "message", "disconnected"):
                setattr(self, f"set_{name}_handler", lambda handler: None)

    client = Client("CP_1", profiles=v16.PROFILES, ws_client=Bare())
    with pytest.raises(UsageError, match="the transport Bare has no set_attempt_failed_handler"):
        client.set_attempt_failed_handler(Recorder())


def test_start_blocks_until_stop(make_client, raw_server):
    client = make_client(reconnect=True)
    result = start_in_thread(client, raw_server.url)
    raw_server.wait_connected()
    eventually(client.is_connected)
    client.stop()
    assert result() is None
    assert raw_server.wait_closed().code == 1000


def test_stop_while_connecting(transport, cleanup):
    entered, release = threading.Event(), threading.Event()

    def check(request):
        entered.set()
        release.wait(seconds(10))
        return True

    other = transport.server()
    cleanup.append(other.stop)
    cleanup.append(release.set)
    other.set_check_client_handler(check)
    other.listen(0, "/{id}", "127.0.0.1", ["ocpp1.6"])
    client = Client("CP_1", profiles=v16.PROFILES, ws_client=transport.client())
    caught = Recorder()

    def connect():
        try:
            client.connect(other.url)
        except Stopped as error:
            caught(error)

    thread = threading.Thread(target=connect)
    thread.start()
    assert entered.wait(seconds(10))
    stopping = threading.Thread(target=client.stop)
    stopping.start()
    if transport.name == "memory":  # its handshake runs on the thread that connects, and cannot be cut
        release.set()
    thread.join(seconds(10))
    stopping.join(seconds(10))
    assert len(caught.calls) == 1
    with pytest.raises(NotRunning):
        client.send_request(HEARTBEAT)


def test_without_reconnect_start_ends_with_the_connection(make_client, raw_server):
    client = make_client()
    closes = Recorder()
    client.set_disconnected_handler(closes)
    result = start_in_thread(client, raw_server.url)
    raw_server.wait_connected()
    raw_server.channel.close(1001, "restart")
    assert result() is None
    close = closes.wait()[0][0]
    assert (close.code, close.reason, close.by_peer) == (1001, "restart", True)
    with pytest.raises(NotRunning):
        client.send_request(HEARTBEAT)


def test_without_reconnect_start_raises_when_the_connection_breaks(make_client, raw_server):
    client = make_client()
    result = start_in_thread(client, raw_server.url)
    raw_server.wait_connected()
    raw_server.channel.abort()
    assert isinstance(result(), ConnectionLost)


def test_the_client_may_connect_again_after_its_connection_ended(make_client, raw_server):
    client, closes = make_client(), Recorder()
    client.set_disconnected_handler(closes)
    client.connect(raw_server.url)
    raw_server.wait_connected()
    raw_server.channel.close()
    closes.wait()
    assert not client.is_connected()
    client.connect(raw_server.url)
    raw_server.wait_connected()
    future = client.send_request(HEARTBEAT)
    answer(raw_server)
    assert future.result(seconds(10)) == BEAT


# Losing and regaining


@pytest.fixture
def clock():
    return ManualClock()


def waits_for_ten_seconds(clock):
    """Return the options of a transport that regains a lost connection after exactly 10 seconds of ``clock``."""
    return {
        "clock": clock,
        "backoff": lambda: Backoff(retry_back_off_wait_minimum=10, retry_back_off_random_range=0),
    }


@pytest.fixture
def reconnecting(make_client, raw_server, clock):
    """A client that regains its connection after exactly 10 seconds of the clock, and its peer."""
    return make_client(reconnect=True, clock=clock, timeout=30, ws=waits_for_ten_seconds(clock))


def lose(raw, clock):
    raw.channel.abort()
    assert clock.wait_for_waiters(1, seconds(10)), "the client does not wait to reconnect"


def test_queued_requests_are_kept_and_sent_when_the_connection_is_back(reconnecting, raw_server, clock):
    client = reconnecting
    disconnects, reconnects = Recorder(), Recorder()
    client.set_disconnected_handler(disconnects)
    client.set_reconnected_handler(reconnects)
    client.connect(raw_server.url)
    raw_server.wait_connected()
    lose(raw_server, clock)
    disconnects.wait()
    assert not client.is_connected()
    futures = [client.send_request(v16.DataTransferRequest(vendor_id=str(n))) for n in range(3)]
    assert reconnects.calls == []
    clock.advance(10)
    raw_server.wait_connected()
    for n, future in enumerate(futures):
        frame = raw_server.receive()
        assert frame[3] == {"vendorId": str(n)}
        raw_server.send([3, frame[1], {"status": "Accepted"}])
        assert future.result(seconds(10)).status == "Accepted"
    assert reconnects.wait() == [()]


def test_a_pending_request_is_awaited_anew_with_a_fresh_timeout(reconnecting, raw_server, clock):
    client = reconnecting
    client.connect(raw_server.url)
    raw_server.wait_connected()
    future = client.send_request(HEARTBEAT)
    frame = raw_server.receive()
    clock.advance(29)
    lose(raw_server, clock)
    clock.advance(10)
    raw_server.wait_connected()
    eventually(client.is_connected)
    eventually(lambda: not dispatcher_of(client).is_paused())
    clock.advance(29)
    assert not future.done()
    assert raw_server.nothing_came(), "it is not sent a second time"
    raw_server.send([3, frame[1], BEAT_WIRE])
    assert future.result(seconds(10)) == BEAT


def test_an_offline_client_lets_nothing_time_out(reconnecting, raw_server, clock):
    client = reconnecting
    client.connect(raw_server.url)
    raw_server.wait_connected()
    pending, queued = client.send_request(HEARTBEAT), client.send_request(HEARTBEAT)
    raw_server.receive()
    raw_server.stop()
    assert clock.wait_for_waiters(1, seconds(10))
    for _ in range(5):
        clock.advance(100)
        assert clock.wait_for_waiters(1, seconds(10))
    assert not pending.done()
    assert not queued.done()
    client.stop()
    assert isinstance(pending.exception(0), Stopped)
    assert isinstance(queued.exception(0), Stopped)


def test_a_call_ends_with_the_connection_even_if_that_will_be_regained(reconnecting, raw_server, clock):
    client = reconnecting
    client.connect(raw_server.url)
    raw_server.wait_connected()
    ends = []

    def call():
        try:
            client.call(HEARTBEAT)
        except ConnectionLost as error:
            ends.append(error)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: queued(client) == 3)
    raw_server.receive()
    lose(raw_server, clock)
    for thread in threads:
        thread.join(seconds(10))
    assert len(ends) == 3
    with pytest.raises(ConnectionLost):
        client.call(HEARTBEAT)
    clock.advance(10)
    raw_server.wait_connected()
    future = client.send_request(HEARTBEAT)
    assert answer(raw_server)[1] == future.message_id, "the calls that failed are not sent later"
    assert future.result(seconds(10)) == BEAT


def test_an_answer_cannot_be_sent_while_offline(reconnecting, raw_server, clock):
    client = reconnecting
    client.connect(raw_server.url)
    raw_server.wait_connected()
    lose(raw_server, clock)
    with pytest.raises(TransportError):
        client.send_response("1", BEAT)


def test_stop_while_waiting_to_reconnect(reconnecting, raw_server, clock):
    client = reconnecting
    result = start_in_thread(client, raw_server.url)
    raw_server.wait_connected()
    lose(raw_server, clock)
    client.stop()
    client.stop()
    assert result() is None


def test_one_failed_write_does_not_fail_the_requests_behind_it(make_client, transport, raw_server, clock):
    ws = BetweenClient(transport.client(**waits_for_ten_seconds(clock)))
    client = make_client(raw_server.url, reconnect=True, clock=clock, timeout=30, ws_client=ws)
    raw_server.wait_connected()
    first = client.send_request(HEARTBEAT)
    others = [client.send_request(HEARTBEAT) for _ in range(5)]
    frame = raw_server.receive()
    ws.channel.broken = TransportError("broken")
    raw_server.send([3, frame[1], BEAT_WIRE])
    assert first.result(seconds(10)) == BEAT
    assert isinstance(others[0].exception(seconds(10)), ConnectionLost)
    ws.channel.broken = None
    assert dispatcher_of(client).is_paused()
    assert not any(future.done() for future in others[1:])
    lose(raw_server, clock)
    clock.advance(10)
    raw_server.wait_connected()
    for future in others[1:]:
        answer(raw_server)
        assert future.result(seconds(10)) == BEAT


def test_connecting_again_inside_the_disconnected_handler(make_client, raw_server):
    client = make_client()
    back = threading.Event()
    failures = []

    @client.set_disconnected_handler
    def gone(close):
        if back.is_set():
            return
        try:
            client.connect(raw_server.url)
        except Exception as error:
            failures.append(error)
        back.set()

    client.connect(raw_server.url)
    raw_server.wait_connected()
    raw_server.channel.close()
    assert back.wait(seconds(10))
    assert failures == []
    raw_server.wait_connected()
    assert isinstance(client.send_request(HEARTBEAT, timeout=0.05).exception(seconds(10)), TimeoutError)


def test_starting_again_inside_the_disconnected_handler(make_client, raw_server):
    """The new session does not end with the one before: `start` goes on until `stop`."""
    client, ends, again = make_client(), Recorder(), threading.Event()

    @client.set_disconnected_handler
    def gone(close):
        if again.is_set():
            return
        again.set()
        try:
            client.start(raw_server.url)
        except BaseException as error:
            ends(error)
        else:
            ends(None)

    first = start_in_thread(client, raw_server.url)
    raw_server.wait_connected()
    raw_server.channel.close()
    raw_server.wait_connected()
    eventually(client.is_connected)
    future = client.send_request(HEARTBEAT)
    answer(raw_server)
    assert future.result(seconds(10)) == BEAT
    assert ends.calls == []
    client.stop()
    assert ends.wait() == [(None,)]
    assert first() is None


def test_requests_of_another_version_than_the_regained_connections_are_not_sent(transport, cleanup, clock):
    first = RawServer(transport, ["ocpp1.6"])
    cleanup.append(first.stop)
    client = Client(
        "CP_1",
        profiles=[*v201.PROFILES, *v16.PROFILES],
        ws_client=transport.client(**waits_for_ten_seconds(clock)),
        clock=clock,
    )
    cleanup.append(client.stop)
    client.connect(first.url)
    first.wait_connected()
    assert client.version == "1.6"
    pending, queued = client.send_request(v16.HeartbeatRequest()), client.send_request(v16.HeartbeatRequest())
    first.receive()
    first.ws.stop()
    assert clock.wait_for_waiters(1, seconds(10))
    first.ws.listen(int(first.url.rsplit(":", 1)[1]), "/{id}", "127.0.0.1", ["ocpp2.0.1"])
    later = client.send_request(v201.HeartbeatRequest())
    clock.advance(10)
    first.wait_connected()
    frame = first.receive()
    assert (frame[1], client.version) == (later.message_id, "2.0.1")
    for future in (pending, queued):
        with pytest.raises(ConnectionLost, match="2.0.1"):
            future.result(seconds(10))
