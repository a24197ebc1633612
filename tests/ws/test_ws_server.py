"""WebSocketServer against clients that say what they like."""

import gc
import os
import random
import socket
import threading
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocppj.errors import TransportError, UsageError, WriteTimeout
from ocppj.ws.client import WebSocketClient
from ocppj.ws.server import WebSocketServer
from tests.helpers import Recorder, eventually, seconds
from tests.inside.transports import run_of
from tests.ws.support import (
    OCPP,
    PATH,
    Log,
    RawClient,
    client_context,
    close_frame,
    frame,
    open_files,
    request,
    server_context,
)


def status(head):
    return int(head.split()[1])


# Handshakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET /ocpp/CP HTTP/1.1 x\r\n\r\n", 400),
        (b"GET /ocpp/CP HTTP/1.1\r\nHost test\r\n\r\n", 400),
        (request().replace(b"GET", b"POST"), 405),
        (request(Upgrade=""), 426),
        (request(Connection="close"), 400),
        (request(Sec_WebSocket_Version="12"), 426),
        (request(Sec_WebSocket_Key="x"), 400),
        (request("/other/CP_1"), 404),
        (request("/ocpp/"), 400),
        (request("/ocpp/%FF"), 400),
        (request(X="y" * 20000), 431),
        (b"GET " + b"x" * 20000, 431),
    ],
)
def test_requests_that_are_refused(make, data, code, caplog):
    server, log = make()
    with RawClient(server.url) as client:
        client.send(data)
        assert status(client.read_head()) == code
        assert client.at_end()
    assert log.connected.calls == []
    eventually(lambda: f"refused with {code}" in caplog.text)


def test_a_refusal_says_what_is_needed(make):
    server, _ = make()
    server.set_basic_auth_handler(lambda *_: False)
    with RawClient(server.url) as client:
        assert "www-authenticate: basic" in client.upgrade().lower()
    with RawClient(server.url) as client:
        assert "sec-websocket-version: 13" in client.upgrade(Sec_WebSocket_Version="7").lower()


@pytest.mark.parametrize("said", [b"", b"GET /ocpp/CP_1 HTTP/1.1\r\nHost:"])
def test_a_slow_handshake_is_cut(make, said):
    server, _ = make(handshake_timeout=seconds(0.2))
    with RawClient(server.url) as client:
        begun = time.monotonic()
        client.send(said)
        assert client.at_end()
        assert time.monotonic() - begun < seconds(5)


def test_tls_that_comes_to_a_port_without_it_is_refused_at_once(make, caplog):
    server, _ = make(handshake_timeout=seconds(60))
    client = WebSocketClient(ssl_context=client_context(), handshake_timeout=seconds(60))
    begun = time.monotonic()
    with pytest.raises(TransportError, match=r"(?i)wrong.version.number|http.request"):
        client.connect(server.url.replace("ws:", "wss:"), "CP_1", OCPP)
    assert time.monotonic() - begun < seconds(10)
    eventually(lambda: "refused with 400: TLS came where there is none" in caplog.text)
    assert server.stats().refused == {"bad_request": 1}


def test_a_slow_tls_handshake_is_cut(make):
    server, _ = make(handshake_timeout=seconds(0.2), ssl_context=server_context())
    with RawClient(server.url) as client:
        assert client.at_end()


def test_a_trickling_client_does_not_outlive_the_deadline(make):
    server, _ = make(handshake_timeout=seconds(0.3))
    pause = threading.Event()
    with RawClient(server.url) as client, pytest.raises(OSError):
        for _ in range(500):
            client.send(b"G")
            pause.wait(seconds(0.02))


@pytest.mark.parametrize("option", ["handshake_timeout", "write_timeout", "max_header_size", "max_handshakes"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_options_that_cannot_be(option, value):
    with pytest.raises(UsageError, match=option):
        WebSocketServer(**{option: value})
    with pytest.raises(UsageError, match=f"{option} is .*a (whole )?number"):
        WebSocketServer(**{option: str(value)})
    if option != "max_handshakes":
        with pytest.raises(UsageError, match=option):
            WebSocketClient(**{option: value})


@pytest.mark.parametrize("option", ["patience", "linger"])
def test_times_that_may_be_0(option):
    WebSocketServer(**{option: 0})
    for value in (-1, float("nan")):
        with pytest.raises(UsageError, match=option):
            WebSocketServer(**{option: value})
    for value in ("1", None):
        with pytest.raises(UsageError, match=f"{option} is .*a (whole )?number"):
            WebSocketServer(**{option: value})


def test_a_handshake_given_up_does_not_evict_a_newer_connection(make):
    server, log = make()
    with RawClient(server.url) as dead, RawClient(server.url) as given_up, RawClient(server.url) as newest:
        assert status(dead.upgrade()) == 101  # and answers no Close
        given_up.send(request())
        eventually(lambda: "CP_1" in run_of(server).newest_arrival)
        newest.send(request())
        assert status(newest.read_head()) == 101
        assert status(given_up.read_head()) == 409
        assert len(log.connected.calls) == 2
        newest.send(frame(1, b"here"))
        assert log.wait_texts(1) == ["here"]
        assert server.get_channel("CP_1") is log.connected.calls[1][0]
        assert run_of(server).newest_arrival == {}


def test_an_old_handshake_with_a_slow_check_is_refused(make):
    server, log = make()
    asked, go = threading.Event(), threading.Event()

    def check(request_):
        if not asked.is_set():
            asked.set()
            go.wait(seconds(10))
        return True

    server.set_check_client_handler(check)
    with RawClient(server.url) as older, RawClient(server.url) as newer:
        older.send(request())
        assert asked.wait(seconds(10))
        assert status(newer.upgrade()) == 101
        go.set()
        assert status(older.read_head()) == 409
        assert log.connected.wait(1)[0][0].is_open


def test_handshakes_in_progress_end_with_stop(make):
    server, _ = make()
    clients = [RawClient(server.url) for _ in range(5)]
    eventually(lambda: sum(t.name.startswith("ocppj-handshake") for t in threading.enumerate()) == 5)
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < seconds(5)
    assert not [t for t in threading.enumerate() if t.name.startswith("ocppj-")]
    for client in clients:
        assert client.at_end()
        client.sock.close()


def test_frames_that_come_with_the_request_are_not_lost(make):
    server, log = make()
    with RawClient(server.url) as client:
        client.send(request() + frame(1, b"early"))
        assert status(client.read_head()) == 101
        assert log.wait_texts(1) == ["early"]


@pytest.mark.parametrize("offer", ["", "ocpp9", "ocpp9\x1b[2J"])
def test_without_a_common_subprotocol_it_upgrades_and_closes(make, offer, caplog):
    server, log = make()
    with RawClient(server.url) as client:
        head = client.upgrade(Sec_WebSocket_Protocol=offer)
        assert status(head) == 101
        assert "sec-websocket-protocol" not in head.lower()
        assert client.read_close() == 1002
        client.send(close_frame(1002))
        assert client.at_end()
    assert log.connected.calls == []
    assert "no common subprotocol in" in caplog.text
    assert "; this server speaks ocpp2.0.1, ocpp1.6" in caplog.text
    assert "\x1b" not in caplog.text


def test_the_default_subprotocol(make):
    server, log = make(default_subprotocol="ocpp1.6")
    with RawClient(server.url) as client:
        assert "sec-websocket-protocol" not in client.upgrade(Sec_WebSocket_Protocol="").lower()
        assert log.channel().subprotocol == "ocpp1.6"


def test_the_101_comes_before_what_the_handler_sends(make):
    server, log = make()
    log.on_connected = lambda channel: [channel.send(str(number)) for number in range(5)]
    with RawClient(server.url) as client:
        assert status(client.upgrade()) == 101
        assert [client.read_frame() for _ in range(5)] == [(1, str(number).encode()) for number in range(5)]


def test_a_connection_lost_in_its_connected_handler(make):
    server, log = make()
    log.on_connected = lambda channel: channel.abort()
    with RawClient(server.url) as client:
        client.send(request())
        assert client.at_end()
        assert log.close().code == 1006


def test_certificates_of_clients_reach_the_check(make):
    server, _ = make(ssl_context=server_context(client_certificates=True))
    seen = Recorder(True)
    server.set_check_client_handler(seen)
    client = WebSocketClient(ssl_context=client_context(certificate=True), reconnect=False)
    client.connect(server.url, "CP_1", OCPP)
    assert seen.calls[0][0].peer_certificate["subject"] == ((("commonName", "CP_1"),),)
    client.stop()
    stranger = WebSocketClient(ssl_context=client_context(), reconnect=False)
    with pytest.raises(TransportError):  # under TLS 1.3 the client learns of it after its own handshake
        stranger.connect(server.url, "CP_1", OCPP)
    plain = WebSocketClient(reconnect=False, handshake_timeout=seconds(3))
    with pytest.raises(TransportError):
        plain.connect(server.url.replace("wss", "ws"), "CP_1", OCPP)
    with pytest.raises(TransportError):  # the authority is not one of the system's
        plain.connect(server.url, "CP_1", OCPP)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(min_size=1, max_size=200))
def test_any_bytes_after_the_handshake_end_well(make, data):
    server, log = _shared(make)
    count = len(log.disconnected.calls)
    with RawClient(server.url) as client:
        assert status(client.upgrade()) == 101
        client.send(data)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.at_end()
    log.disconnected.wait(count + 1)


def _shared(make):
    if not hasattr(make, "shared"):
        make.shared = make()
    return make.shared


# Frames -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(2, b"binary"), 1003),
        (frame(2, b"binary", fin=False), 1003),
        (frame(1, b"\xff\xfe"), 1007),
        (frame(1, b"\xe2\x82"), 1007),
        (frame(1, b"unmasked", masked=False), 1002),
        (frame(3, b"reserved"), 1002),
        (frame(0, b"no beginning"), 1002),
        (frame(1, b"a", fin=False) + frame(1, b"b"), 1002),
        (frame(9, b"", fin=False), 1002),
        (frame(9, b"x" * 126), 1002),
        (frame(1, b"x", rsv1=True), 1002),
        (frame(8, b"\x03"), 1002),
        (close_frame(1005), 1002),
        (close_frame(2999), 1002),
        (frame(8, b"\x03\xe8\xff"), 1007),
        (frame(1, b"x" * 101), 1009),
        (frame(1, b"x" * 60, fin=False) + frame(0, b"x" * 41, fin=False), 1009),
        (frame(1, b"x" * 5_000_000), 1009),
    ],
)
def test_violations(make, data, code, caplog):
    server, log = make(max_message_size=100)
    with RawClient(server.url) as client:
        assert status(client.upgrade()) == 101
        try:
            client.send(frame(1, b"good") + data)
        except OSError:
            pass  # it was too much, and we were cut
        assert client.read_close() == code
        client.sock.close()
        close = log.close()
        assert (close.code, close.by_peer, close.expected) == (code, False, False)
        assert isinstance(close.error, TransportError)
    assert log.texts == ["good"]
    assert "Traceback" not in caplog.text


def test_fragments_with_pings_between(make):
    server, log = make()
    with RawClient(server.url) as client:
        client.upgrade()
        client.send(frame(1, b"\xe2", fin=False) + frame(9, b"p1") + frame(0, b"\x82", fin=False) + frame(0, b"\xac"))
        assert client.read_frame() == (10, b"p1")
        assert log.wait_texts(1) == ["€"]


def test_a_message_of_no_end_in_fragments_of_nothing_takes_no_memory(make):
    server, log = make()
    with RawClient(server.url) as client:
        client.upgrade()
        client.send(frame(1, b"[\r\n", fin=False) + frame(9))
        assert client.read_frame() == (10, b"")
        nothing = frame(0, fin=False)
        gc.collect()
        tracemalloc.start()
        try:
            client.send(nothing * 20_000 + frame(9))
            assert client.read_frame() == (10, b"")
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert held < 120_000  # a pointer for each would be more
        client.send(frame(0, "€]".encode()))
        assert log.wait_texts(1) == ["[\r\n€]"]


@pytest.mark.parametrize(
    ("sent", "code"), [(close_frame(1000, "bye"), 1000), (frame(8), 1005), (close_frame(4000), 4000)]
)
def test_a_close_is_answered_with_its_code(make, sent, code):
    server, log = make()
    with RawClient(server.url) as client:
        client.upgrade()
        client.send(sent)
        assert client.read_close() == code
        assert client.at_end()
    assert (log.close().code, log.close().by_peer) == (code, True)


def test_a_peer_that_does_not_answer_a_close_is_cut(make):
    server, log = make(close_timeout=seconds(0.2))
    with RawClient(server.url) as client:
        client.upgrade()
        log.channel().close(3001, "go")
        assert client.read_close() == 3001
        close = log.close()
        assert (close.code, close.expected) == (3001, True)
        assert client.at_end()


def test_pings_after_our_close_do_not_end_the_handshake_early(make):
    server, log = make(close_timeout=seconds(5))
    with RawClient(server.url) as client:
        client.upgrade()
        log.channel().close(1000)
        assert client.read_close() == 1000
        client.send(frame(9, b"x") + frame(1, b"late"))
        assert log.wait_texts(1) == ["late"]
        client.send(close_frame(1000))
        assert log.close(3).expected


# Keeping ------------------------------------------------------------------------------------------------------------


def test_no_pong_is_the_end(make):
    server, log = make(ping_interval=seconds(0.05), pong_timeout=seconds(0.2))
    with RawClient(server.url) as client:
        client.upgrade()
        assert client.read_frame() == (9, b"")
        close = log.close()
        assert (close.code, close.by_peer, close.expected) == (1006, False, False)
        assert "silent" in str(close.error)


def test_any_traffic_counts_as_life(make):
    server, log = make(ping_interval=seconds(0.05), pong_timeout=seconds(1))
    with RawClient(server.url) as client:
        client.upgrade()
        for number in range(26):
            assert client.read_frame()[0] == 9
            client.send(frame(1, str(number).encode()))
        assert len(log.wait_texts(26)) == 26
        assert log.disconnected.calls == []


def test_pings_may_be_switched_off_for_one(make):
    server, log = make(ping_interval=seconds(0.3), pong_timeout=seconds(0.1))
    log.on_connected = lambda channel: setattr(channel, "ping_interval", None)
    with RawClient(server.url) as client:
        client.upgrade()
        assert not log.channel().ended.wait(seconds(0.8))
        client.send(frame(1, b"alive"))
        assert log.wait_texts(1) == ["alive"]


def test_a_peer_that_does_not_read_is_given_up(make):
    server, log = make(write_timeout=seconds(0.3))
    with RawClient(server.url, receive_buffer=4096) as client:
        client.upgrade()
        with pytest.raises(WriteTimeout):
            for _ in range(100):
                server.send("CP_1", "x" * 1_000_000)
        close = log.close()
        assert close.code == 1006
        assert close.error is not None


def test_a_peer_that_sends_pings_and_reads_no_pongs_is_given_up(make):
    server, log = make(write_timeout=seconds(0.5))
    with RawClient(server.url, receive_buffer=4096) as client:
        client.upgrade()
        pings = frame(9, b"x" * 125) * 500
        try:
            for _ in range(2000):
                client.send(pings)
        except OSError:
            pass
        assert log.close().code == 1006


# Listening ----------------------------------------------------------------------------------------------------------


def test_url_and_port(make):
    server, _ = make()
    assert server.url == f"ws://127.0.0.1:{server.port}/ocpp"
    idle = WebSocketServer()
    with pytest.raises(UsageError):
        print(idle.url)
    with pytest.raises(TransportError):
        idle.listen(server.port, PATH, "127.0.0.1", OCPP)
    for port, host in [(70000, "127.0.0.1"), (0, "no.such.host.invalid")]:
        with pytest.raises(TransportError):
            idle.listen(port, PATH, host, OCPP)
    idle.listen(0, "/{id}", "", OCPP)
    assert idle.url == f"ws://127.0.0.1:{idle.port}"
    idle.stop()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_ipv6():
    server = WebSocketServer()
    try:
        server.listen(0, PATH, "::1", OCPP)
    except TransportError:
        pytest.skip("no IPv6 here")
    log = Log(server)
    client = WebSocketClient(reconnect=False)
    client.connect(server.url, "CP_1", OCPP)
    assert log.channel().remote_address.startswith("[::1]:")
    client.stop()
    server.stop()


@pytest.mark.skipif(not open_files(), reason="needs /proc")
def test_running_out_of_files(make, caplog):
    import resource

    server, log = make()
    client = RawClient.__new__(RawClient)
    client.sock, client.buffer = socket.socket(), b""
    client.sock.settimeout(seconds(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 20, hard))
    fillers = []
    try:
        with pytest.raises(OSError):
            while True:
                fillers.append(os.dup(0))
        client.sock.connect(("127.0.0.1", server.port))
        eventually(lambda: "cannot be served" in caplog.text)
    finally:
        for filler in fillers:
            os.close(filler)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert status(client.upgrade()) == 101
    log.channel()
    client.sock.close()
    assert caplog.text.count("cannot be served") < 10


def test_many_clients_that_come_and_go_at_once(make):
    server, log = make()
    dice = random.Random(7)

    def live(number):
        for _ in range(5):
            with RawClient(server.url) as client:
                client.upgrade(f"/ocpp/CP_{number}")
                client.send(frame(1, b"x" * dice.randrange(1000)))
                if dice.random() < 0.5:
                    client.send(close_frame(1000))
                    client.at_end()

    threads = [threading.Thread(target=live, args=(number,), daemon=True) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(30))
        assert not thread.is_alive()
    assert len(log.disconnected.wait(100, 20)) == 100
    assert len(log.connected.calls) == 100


@pytest.mark.alone
@pytest.mark.parametrize("deaf", [False, True])
def test_stop_with_many_connections_is_bounded(make, deaf):
    server, log = make(close_timeout=seconds(0.5))
    clients = [RawClient(server.url) for _ in range(50)]
    for number, client in enumerate(clients):
        client.upgrade(f"/ocpp/CP_{number}")
        if not deaf:
            client.send(frame(8))
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < seconds(1.5)
    assert len(log.disconnected.calls) == 50
    for client in clients:
        client.sock.close()
