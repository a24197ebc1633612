"""Connections that are cut at once: what both sides see, over every transport, with both readers."""

import socket
import threading

import pytest

from ocppj.errors import TransportError
from ocppj.ws.client import WebSocketClient
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import (
    OCPP,
    Log,
    RawClient,
    RawServer,
    client_context,
    frame,
    open_files,
    server_context,
)

RESET = (ConnectionResetError, ConnectionAbortedError)


@pytest.fixture(params=["per-connection", "shared"])
def readers(request):
    return request.param


def read_until_reset(raw):
    """Read, and expect a TCP reset: not the end of the stream (FIN), and no Close."""
    with pytest.raises(RESET):
        while socket.socket.recv(raw.sock, 65536):  # below TLS, if there is TLS
            pass
        pytest.fail("the stream was ended in order")


def test_a_client_gets_a_reset_and_no_close(make, readers):
    server, log = make(readers=readers)
    with RawClient(server.url) as raw:
        raw.upgrade()
        log.channel().abort()
        read_until_reset(raw)
        close = log.close()
    assert (close.code, close.reason, close.by_peer, close.error) == (1006, "", False, None)
    eventually(lambda: server.stats().connections == 0)
    assert server.stats().closed == {"by_us": 1}


def test_a_client_gets_a_reset_over_tls(make, readers):
    server, log = make(readers=readers, ssl_context=server_context())
    with RawClient(server.url) as raw:
        raw.sock = client_context().wrap_socket(raw.sock, server_hostname="localhost")
        raw.upgrade()
        log.channel().abort()
        read_until_reset(raw)
        log.close()


def test_a_server_gets_a_reset(readers):
    outcome = Recorder()

    def script(peer):
        peer.answer()
        try:
            outcome(peer.sock.recv(100))
        except OSError as error:
            outcome(error)

    with RawServer(script) as peer:
        client = WebSocketClient(reconnect=False, readers=readers)
        log = Log(client)
        client.connect(peer.url, "CP_1", OCPP)
        log.channel().abort()
        assert isinstance(outcome.wait()[0][0], RESET)
        assert log.close().code == 1006
        client.stop()


def test_a_paused_connection_is_reset(make, readers):
    server, log = make(readers=readers)
    with RawClient(server.url) as raw:
        raw.upgrade()
        log.channel().pause_reading()
        raw.send(frame(1, b"unread"))
        eventually(lambda: log.channel().paused)
        log.channel().abort()
        read_until_reset(raw)
        log.close()
    assert log.texts == []


def test_a_connection_that_takes_nothing_is_cut_at_once(make, readers):
    """A thread that waits until its frame is written gets an error at once."""
    server, log = make(readers=readers, write_timeout=seconds(60))
    with RawClient(server.url, receive_buffer=4096) as raw:
        raw.upgrade()
        channel, written, failed = log.channel(), Recorder(), Recorder()

        def write():
            try:
                for _ in range(1000):
                    channel.send("x" * 100_000)
                    written()
            except TransportError as error:
                failed(error)

        def is_stuck():
            count = len(written.calls)
            threading.Event().wait(0.3)
            return channel.outlet.unsent and len(written.calls) == count

        writer = threading.Thread(target=write)
        writer.start()
        eventually(is_stuck)
        channel.abort()
        failed.wait()
        writer.join()
        assert log.close().code == 1006
        read_until_reset(raw)


def test_a_connection_that_is_being_closed_is_cut(make, readers):
    """The peer does not answer the Close. The outcome stays what it was."""
    server, log = make(readers=readers, close_timeout=seconds(60))
    with RawClient(server.url) as raw:
        raw.upgrade()
        log.channel().close(4000, "going")
        assert raw.read_frame()[0] == 8
        log.channel().abort()
        read_until_reset(raw)
        assert (log.close().code, log.close().reason) == (4000, "going")


@pytest.mark.parametrize("where", ["connected", "message", "job"])
def test_it_may_be_called_by_handlers(pair, where):
    server, server_log = pair.server()
    if where == "connected":
        server_log.on_connected = lambda channel: channel.abort()
    elif where == "message":
        server_log.on_message = lambda channel, text: channel.abort()
    else:
        server_log.on_message = lambda channel, text: channel.submit(channel.abort)
    client, client_log = pair.client()
    try:
        client.connect(server.url, "CP_1", OCPP)
        client.send("now")
    except TransportError:
        assert where == "connected"
    assert server_log.close().code == 1006
    if client_log.connected.calls:
        assert client_log.close().code == 1006


def test_nothing_is_delivered_after_it(pair):
    _, server_log, client, _ = pair.both()
    server_log.on_message = lambda channel, text: channel.abort() if text == "5" else None
    for number in range(6):
        client.send(str(number))
    for number in range(6, 100):
        try:
            client.send(str(number))
        except TransportError:
            break
    server_log.close()
    assert server_log.texts == ["0", "1", "2", "3", "4", "5"]


def test_nothing_can_be_sent_after_it(pair):
    _, server_log, _, client_log = pair.both()
    channel = server_log.channel()
    channel.abort()
    with pytest.raises(TransportError):
        channel.send("late")
    with pytest.raises(TransportError):
        channel.send_frame(1, b"late")
    channel.abort()
    channel.close()
    assert server_log.close().code == client_log.close().code == 1006
    channel.abort()


def test_what_was_sent_before_it_may_be_read(pair):
    if pair.name != "memory":
        pytest.skip("a reset may overtake what was sent")
    _, server_log, client, _ = pair.both()
    client.send("before")
    client.get_channel().abort()
    assert server_log.wait_texts(1) == ["before"]
    server_log.close()


def test_no_descriptor_is_left(make, readers):
    server, log = make(readers=readers)
    before = open_files()
    for number in range(20):
        with RawClient(server.url) as raw:
            raw.upgrade(f"/ocpp/CP_{number}")
            log.connected.wait(number + 1)[-1][0].abort()
            read_until_reset(raw)
    log.disconnected.wait(20)
    eventually(lambda: open_files() <= before + 4)  # a selector, and what wakes it


def test_where_the_system_cannot_wake_readers_silently(make, readers, monkeypatch):
    """Elsewhere than on Linux the end of the stream may come before the reset."""
    monkeypatch.setattr("ocppj.ws.stream.stream.sys.platform", "other")
    server, log = make(readers=readers)
    with RawClient(server.url) as raw:
        raw.upgrade()
        log.channel().abort()
        assert raw.at_end()
        assert log.close().code == 1006
        raw.sock.setblocking(True)
        with pytest.raises(OSError):
            for _ in range(100):
                raw.send(frame(1, b"x"))
                threading.Event().wait(0.01)
