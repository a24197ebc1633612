"""How a client connects: several URLs, an end to the waits, its pings, and what it tells of its connections."""

import logging
import socket
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from ocppj import (
    Backoff,
    Client,
    HandshakeRefused,
    ManualClock,
    NotRunning,
    OCPPError,
    Server,
    Stopped,
    TransportError,
    UsageError,
    v16,
    v21,
    v201,
)
from ocppj.ws.client import WebSocketClient
from ocppj.ws.memory import MemoryNetwork
from tests.fixtures import NOW
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import RawServer

VERSIONS = pytest.mark.parametrize("version", [v16, v201, v21], ids=["1.6", "2.0.1", "2.1"])
HOUR = Backoff(3600, 0, 0)  # a wait that no test outlives
SOON = Backoff(0.01, 0, 0)


@pytest.fixture
def cleanup():
    todo = []
    yield todo
    while todo:
        todo.pop()()


@pytest.fixture
def make_server(cleanup):
    def make(version=v16, port=0, **options):
        server = Server(profiles=version.PROFILES, **options)
        cleanup.append(server.stop)
        return server.listen(host="127.0.0.1", port=port)

    return make


@pytest.fixture
def make_client(cleanup):
    def make(version=v16, **options):
        client = Client("CP_1", profiles=version.PROFILES, timeout=seconds(10), **options)
        cleanup.append(client.stop)
        return client

    return make


def dead_url(cleanup, path=""):
    """Return a URL at which nothing listens, nor will."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    cleanup.append(sock.close)
    return f"ws://127.0.0.1:{sock.getsockname()[1]}{path}"


def at(server, client):
    return eventually(lambda: client.id in server.client_ids() and client.is_connected())


# Several URLs


@VERSIONS
def test_the_next_url_is_tried_when_one_fails(version, make_server, make_client, cleanup, caplog):
    client, server, failed = make_client(version), make_server(version), Recorder()
    client.set_attempt_failed_handler(failed)
    client.connect([dead_url(cleanup), dead_url(cleanup), server.url])
    at(server, client)
    assert len(failed.calls) == 2
    assert caplog.text.count("; trying the next URL") == 2


def test_the_first_url_that_works_is_taken(make_server, make_client):
    first, second = make_server(), make_server()
    client = make_client().connect((first.url, second.url))
    at(first, client)
    assert second.client_ids() == []


def test_a_refusal_is_a_failure_too(make_server, make_client):
    shut, server = make_server(), make_server()
    shut.set_check_client_handler(lambda request: False)
    client = make_client().connect([shut.url, server.url])
    at(server, client)


def test_when_all_fail_the_last_error_is_raised(make_server, make_client, cleanup):
    shut, client, failed = make_server(), make_client(), Recorder()
    shut.set_check_client_handler(lambda request: False)
    client.set_attempt_failed_handler(failed)
    with pytest.raises(HandshakeRefused):
        client.connect([dead_url(cleanup), shut.url])
    assert len(failed.calls) == 1, "no attempt follows the last one"
    with pytest.raises(TransportError, match="cannot connect to"):
        client.connect([shut.url, dead_url(cleanup)])
    client.connect(make_server().url)  # and it can be used again


def test_the_waits_come_after_the_last_url(make_server, make_client, cleanup, caplog):
    clock = ManualClock()
    client = make_client(backoff=Backoff(10, 0, 0), clock=clock)
    failed = Recorder()
    client.set_attempt_failed_handler(failed)
    server = make_server()
    port = urlsplit(server.url).port
    server.stop()
    client.connect([dead_url(cleanup), dead_url(cleanup), server.url], retry=True, wait=False)
    for rounds in (1, 2):
        assert clock.wait_for_waiters(1, seconds(10))
        assert len(failed.calls) == 3 * rounds
        if rounds == 2:
            server = make_server(port=port)
        clock.advance(9.9)
        assert len(failed.calls) == 3 * rounds
        clock.advance(0.2)
        failed.wait(3 * rounds + 1)
        eventually(lambda rounds=rounds: len(failed.calls) >= 3 * rounds + 2)
        if rounds == 1:
            eventually(lambda: len(failed.calls) == 6)
    at(server, client)
    assert caplog.text.count("connecting again in 10.0 s") == 2


@VERSIONS
def test_after_a_loss_the_first_url_comes_first_again(version, make_server, make_client):
    main, spare = make_server(version), make_server(version)
    port = urlsplit(main.url).port
    main.stop()
    client = make_client(version, backoff=SOON).connect([f"ws://127.0.0.1:{port}", spare.url])
    at(spare, client)
    main = make_server(version, port)
    spare.disconnect("CP_1")
    at(main, client)
    eventually(lambda: spare.client_ids() == [])
    main.stop()
    at(spare, client)


def test_a_url_may_be_tried_several_times(make_client, cleanup):
    asked = []

    def refuse(peer):
        asked.append(1)
        peer.read_head()
        peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")

    with RawServer(refuse) as first, RawServer(refuse) as second:
        client = make_client()
        with pytest.raises(TransportError):
            client.connect([first.url, second.url])
    assert len(asked) == 2
    client, failed, url = make_client(), Recorder(), dead_url(cleanup)
    client.set_attempt_failed_handler(failed)
    with pytest.raises(TransportError):
        client.connect([url, url, url])
    assert len(failed.calls) == 2


@contextmanager
def busy():
    """A server that asks each client to come again in 77 seconds: its URL, and how often it was asked."""
    asked = Recorder()

    def serve():
        while True:
            peer, _ = listener.accept()
            with peer:
                asked(peer.recv(65536))
                if done:
                    return
                peer.sendall(b"HTTP/1.1 503 Busy\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        done, thread = [], threading.Thread(target=serve)
        thread.start()
        address = listener.getsockname()[:2]
        try:
            yield f"ws://127.0.0.1:{address[1]}", asked
        finally:
            done.append(1)
            socket.create_connection(address).close()
            thread.join(seconds(10))


def test_a_retry_after_counts_for_its_own_url(make_client, cleanup, caplog):
    clock, failed = ManualClock(), Recorder()
    with busy() as (url, asked):
        client = make_client(backoff=Backoff(10, 0, 0), clock=clock)
        client.set_attempt_failed_handler(failed)
        client.connect([url, dead_url(cleanup), url], retry=True, wait=False)
        for number in range(1, 9):  # the other one is tried every 10 seconds
            failed.wait(number + 1)
            assert clock.wait_for_waiters(1, seconds(10))
            assert (len(failed.calls), len(asked.calls)) == (number + 1, 1)
            clock.advance(10)
        failed.wait(11)
        assert len(asked.calls) == 2
        client.stop()
    assert caplog.text.count("connecting again in 10.0 s") >= 8


def test_a_retry_after_counts_when_all_ask_for_it(make_client, caplog):
    with busy() as (first, asked_first), busy() as (second, asked_second):
        client = make_client(backoff=Backoff(1, 0, 0), clock=ManualClock())
        client.connect([first, second], retry=True, wait=False)
        eventually(lambda: "connecting again in 77.0 s" in caplog.text)
        assert (len(asked_first.calls), len(asked_second.calls)) == (1, 1)
        assert client.reconnect_now()
        asked_second.wait(2)
        assert len(asked_first.calls) == 2
        client.stop()


@VERSIONS
def test_a_retry_after_of_one_url_does_not_count_after_the_loss_of_another_one(version, make_server, make_client):
    server = make_server(version)
    with busy() as (url, asked):
        client = make_client(version, backoff=SOON).connect([url, server.url])
        for _ in range(2):
            at(server, client)
            since = server.connection("CP_1").connected_since
            server.disconnect("CP_1")
            eventually(lambda since=since: [each for each in server.connections() if each.connected_since > since])
        assert len(asked.calls) == 1


@pytest.mark.parametrize("urls", [[], (), [7], [None], 7, None, {"a": 1}, [b"ws://127.0.0.1:1"], ["ws://a", 7]])
def test_what_is_no_url(urls, make_client):
    with pytest.raises(UsageError) as caught:
        make_client().connect(urls)
    assert "url" in str(caught.value)


@pytest.mark.parametrize(
    "bad", ["ws://127.0.0.1:99999", "ws://user:s3cret@127.0.0.1", "ws://127.0.0.1/a b", "http://a"]
)
def test_a_bad_url_among_good_ones_is_refused_before_anything_is_tried(bad, make_server, make_client):
    server = make_server()
    with pytest.raises(UsageError) as caught:
        make_client().connect([server.url, bad])
    assert "s3cret" not in str(caught.value)
    assert server.client_ids() == []


def test_the_security_profile_holds_for_every_url(make_server, make_client):
    server = make_server()
    secret = "s3cret-s3cret-s3cret"
    client = make_client(security_profile=2, basic_auth=("CP_1", secret))
    with pytest.raises(UsageError, match="wss"):
        client.connect(["wss://127.0.0.1:1", server.url])


def test_a_transport_that_takes_one_url_says_so(make_server):
    class Own(WebSocketClient):
        takes_several_urls = False

    server = make_server()
    client = Client("CP_1", profiles=v16.PROFILES, ws_client=Own())
    with pytest.raises(UsageError, match="the transport Own takes one URL, not several"):
        client.connect([server.url])
    with client.connect(server.url):
        assert client.is_connected()


def test_in_memory():
    network = MemoryNetwork()
    with Server(profiles=v16.PROFILES, ws_server=network.server()).listen() as server:
        client = Client("CP_1", profiles=v16.PROFILES, ws_client=network.client())
        with client.connect(["memory://nowhere:1", server.url]):
            assert server.client_ids() == ["CP_1"]


def test_stop_between_two_urls(make_server, make_client, cleanup):
    server, client = make_server(), make_client()
    client.set_attempt_failed_handler(lambda error: client.stop())
    with pytest.raises(Stopped):
        client.connect([dead_url(cleanup), server.url])
    assert server.client_ids() == []


def test_start_takes_several(make_server, make_client, cleanup):
    server, client = make_server(), make_client()
    thread = threading.Thread(target=client.start, args=([dead_url(cleanup), server.url],))
    thread.start()
    at(server, client)
    client.stop()
    thread.join(seconds(10))
    assert not thread.is_alive()


# An end to the waits


def test_reconnect_now_ends_the_wait(make_server, make_client, caplog):
    caplog.set_level(logging.WARNING)
    server = make_server()
    port = urlsplit(server.url).port
    client = make_client(backoff=HOUR).connect(server.url)
    for _ in range(3):
        before = caplog.text.count("connecting again in 3600.0 s")
        server.stop()
        eventually(lambda before=before: caplog.text.count("connecting again in 3600.0 s") > before)
        server = make_server(port=port)
        assert client.reconnect_now()
        at(server, client)


def test_reconnect_now_ends_the_wait_of_the_first_connection(make_server, make_client, caplog):
    server = make_server()
    port = urlsplit(server.url).port
    server.stop()
    client = make_client(backoff=HOUR).connect(server.url, retry=True, wait=False)
    eventually(lambda: "connecting again in 3600.0 s" in caplog.text)
    assert client.reconnect_now()
    eventually(lambda: caplog.text.count("connecting again in 3600.0 s") == 2)
    server = make_server(port=port)
    assert client.reconnect_now()
    at(server, client)


def test_reconnect_now_ends_a_wait_that_the_server_asked_for(make_server, make_client, caplog):
    server = make_server(max_connections=1)
    other = Client("CP_0", profiles=v16.PROFILES).connect(server.url)
    client = make_client(backoff=SOON).connect(server.url, retry=True, wait=False)
    eventually(lambda: "connecting again in 60.0 s" in caplog.text)
    other.stop()
    eventually(lambda: not server.client_ids())
    assert client.reconnect_now()
    at(server, client)


def test_reconnect_now_leaves_a_live_connection_alone(make_server, make_client):
    server = make_server()
    client = make_client(backoff=HOUR).connect(server.url)
    at(server, client)
    since = server.connection("CP_1").connected_since
    assert not client.reconnect_now()
    assert server.connection("CP_1").connected_since == since


def test_reconnect_now_without_a_connection_to_regain(make_server, make_client):
    server = make_server()
    client = make_client(reconnect=False)
    with pytest.raises(NotRunning):
        client.reconnect_now()
    client.connect(server.url)
    assert not client.reconnect_now()
    client.stop()
    with pytest.raises(NotRunning):
        client.reconnect_now()


def test_stop_while_it_is_called_again_and_again(make_server, make_client):
    """`stop` and `reconnect_now` end the same wait: neither undoes the other."""
    server = make_server()
    url = server.url
    server.stop()
    for _ in range(10):
        client = make_client(backoff=HOUR).connect(url, retry=True, wait=False)
        done = threading.Event()

        def nag(client=client, done=done):
            while not done.is_set():
                try:
                    client.reconnect_now()
                except NotRunning:
                    return

        nagging = threading.Thread(target=nag)
        nagging.start()
        stopping = threading.Thread(target=client.stop)
        stopping.start()
        stopping.join(seconds(10))
        done.set()
        nagging.join(seconds(10))
        assert not stopping.is_alive()


# Pings


def pinged(server):
    """Return how often something came from the client, which sends nothing but pings."""
    return server.connection("CP_1").last_heard


@VERSIONS
def test_the_pings_of_a_client(version, make_server, make_client):
    server = make_server(version)
    client = make_client(version, ping_interval=None, backoff=SOON).connect(server.url)
    at(server, client)
    first = pinged(server)
    client.set_ping_interval(seconds(0.05))
    eventually(lambda: pinged(server) > first)
    before = server.connection("CP_1").connected_since
    server.disconnect("CP_1")  # it holds for the next connection, too
    eventually(
        lambda: any(
            each.connected_since > before and each.last_heard > each.connected_since for each in server.connections()
        )
    )


def test_the_ping_interval_may_be_set_before_the_first_connection(make_server, make_client):
    server, client = make_server(), make_client(ping_interval=None)
    client.set_ping_interval(seconds(0.05))
    client.connect(server.url)
    at(server, client)
    first = pinged(server)
    eventually(lambda: pinged(server) > first)


@pytest.mark.parametrize("wrong", [-1, "60", float("nan")], ids=repr)
def test_a_wrong_ping_interval_changes_nothing(wrong, make_server, make_client):
    server, client = make_server(), make_client(ping_interval=30)
    client.connect(server.url)
    with pytest.raises(UsageError):
        client.set_ping_interval(wrong)
    client.set_ping_interval(0)
    client.set_ping_interval(None)


def test_a_transport_without_these():
    class Own:
        reconnect = True

        def __getattr__(self, name):
            if name in ("set_ping_interval", "reconnect_now", "takes_several_urls", "budget"):
                raise AttributeError(name)
            return lambda *arguments, **options: None

    client = Client("CP_1", profiles=v16.PROFILES, ws_client=Own())
    with pytest.raises(UsageError, match="the transport Own has no set_ping_interval"):
        client.set_ping_interval(5)
    client.connect("ws://127.0.0.1:1")
    with pytest.raises(UsageError, match="the transport Own has no reconnect_now"):
        client.reconnect_now()
    client.stop()


# What is told of connections


@VERSIONS
def test_every_connection_is_told_of_the_first_too(version, make_server, make_client):
    server = make_server(version)
    client = make_client(version, backoff=SOON)
    told = Recorder()
    client.set_connected_handler(lambda: told("connected", client.is_connected()))
    client.set_reconnected_handler(lambda: told("reconnected"))
    client.set_disconnected_handler(lambda close: told("disconnected"))
    client.connect(server.url)
    assert told.wait(1) == [("connected", True)]
    server.disconnect("CP_1")
    assert told.wait(4) == [("connected", True), ("disconnected",), ("connected", True), ("reconnected",)]
    client.stop()
    client.connect(server.url)
    assert told.wait(6)[4:] == [("disconnected",), ("connected", True)]


def test_a_station_boots_in_the_connected_handler(make_server, make_client):
    server, client = make_server(), make_client(backoff=SOON)
    server.on(v16.BootNotificationRequest)(
        lambda client_id, request: v16.BootNotificationResponse(current_time=NOW, interval=300, status="Accepted")
    )
    booted = Recorder()

    @client.set_connected_handler
    def connected():
        request = v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M")
        booted(client.call(request).status)

    client.connect(server.url)
    booted.wait(1)
    server.disconnect("CP_1")
    assert booted.wait(2) == [("Accepted",), ("Accepted",)]
    assert server.connection("CP_1").boot_accepted


def test_it_comes_before_the_first_request(make_server, make_client):
    server, client, told = make_server(), make_client(), Recorder()
    client.set_connected_handler(lambda: told("connected"))

    @client.on(v16.ResetRequest)
    def reset(request):
        told("request")
        return v16.ResetResponse(status="Accepted")

    server.set_new_client_handler(lambda client_id: server.send_request(client_id, v16.ResetRequest(type="Soft")))
    client.connect(server.url)
    assert told.wait(2) == [("connected",), ("request",)]


def test_a_connected_handler_that_fails_or_stops(make_server, make_client, caplog):
    server, client = make_server(), make_client()
    client.set_connected_handler(lambda: 1 / 0)
    client.connect(server.url)
    eventually(lambda: "ZeroDivisionError" in caplog.text)
    assert client.is_connected()
    client.stop()
    client.set_connected_handler(client.stop)
    try:
        client.connect(server.url)
    except Stopped:
        pass
    eventually(lambda: not client.is_connected())
    eventually(lambda: server.client_ids() == [])


@pytest.mark.parametrize("wrong", [lambda client_id: None, 7, "f"])
def test_a_connected_handler_of_another_shape_is_refused(wrong, make_client):
    with pytest.raises(UsageError):
        make_client().set_connected_handler(wrong)


@VERSIONS
@pytest.mark.parametrize("how", ["peer", "us", "cut"])
def test_a_server_learns_how_a_connection_ended(version, how, make_server, make_client):
    server, ends = make_server(version), Recorder()
    server.set_disconnected_client_handler(lambda client_id, close: ends(client_id, close))
    client = make_client(version, reconnect=False).connect(server.url)
    at(server, client)
    if how == "peer":
        client.stop()
    elif how == "us":
        server.disconnect("CP_1", 1000, "maintenance")
    else:
        with pytest.raises(OCPPError):
            client.call(version.HeartbeatRequest())  # it lives
        server.stop()
    [(client_id, close)] = ends.wait(1)
    assert client_id == "CP_1"
    assert close.by_peer == (how == "peer")
    assert close.code == {"peer": 1000, "us": 1000, "cut": 1001}[how]
    assert how != "us" or close.reason == "maintenance"


def test_a_connection_that_was_cut(make_server):
    server, ends = make_server(), Recorder()
    server.set_disconnected_client_handler(lambda client_id, close: ends(close))
    with RawServer(lambda peer: None):
        sock = socket.create_connection(("127.0.0.1", urlsplit(server.url).port))
        sock.sendall(
            b"GET /CP_1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
        )
        eventually(server.client_ids)
        sock.close()
    [(close,)] = ends.wait(1)
    assert close.code == 1006
    assert close.error is not None


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda told: lambda client_id: told(client_id), 1),
        (lambda told: lambda client_id, close: told(client_id, close), 2),
        (lambda told: lambda client_id, close=None: told(client_id), 1),
        (lambda told: lambda *arguments: told(*arguments), 1),
    ],
    ids=["id", "id and close", "default", "any"],
)
def test_the_shape_of_the_disconnected_handler_tells(make, expected, make_server, make_client):
    server, told = make_server(), Recorder()
    server.set_disconnected_client_handler(make(told))
    client = make_client(reconnect=False).connect(server.url)
    at(server, client)
    client.stop()
    assert len(told.wait(1)[0]) == expected
