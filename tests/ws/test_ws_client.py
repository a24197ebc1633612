"""WebSocketClient against servers that say what they like."""

import socket
import threading
import time

import pytest

from ocppj.errors import HandshakeRefused, OcppjError, SubprotocolError, TransportError, UsageError
from ocppj.ws.client import WebSocketClient
from tests.helpers import eventually, seconds
from tests.inside.transports import attempt_of
from tests.ws.support import NO_WAIT, Log, RawServer, close_frame, frame

OCPP16 = ["ocpp1.6"]


@pytest.fixture
def make():
    clients = []

    def make_(**options):
        options.setdefault("reconnect", False)
        options.setdefault("close_timeout", seconds(0.5))
        client = WebSocketClient(**options)
        clients.append(client)
        return client, Log(client)

    yield make_
    for client in clients:
        client.stop()


def nothing_left():
    return not [thread for thread in threading.enumerate() if thread.name.startswith("ocppj-")]


# Handshakes ---------------------------------------------------------------------------------------------------------


def answer(text):
    def script(peer):
        peer.read_head()
        peer.send(text)
        peer.at_end()

    return script


@pytest.mark.parametrize(
    "script",
    [answer(b"HTTP/1.1 503 " + b"x" * 15000 + b"\r\n\r\n"), lambda peer: peer.answer("y" * 15000) or peer.at_end()],
    ids=["reason", "subprotocol"],
)
def test_a_server_cannot_fill_our_log(make, script, caplog):
    with RawServer(script) as server:
        client, _ = make()
        with pytest.raises((HandshakeRefused, SubprotocolError)) as caught:
            client.connect(server.url, "CP_1", OCPP16)
    assert len(str(caught.value)) < 300
    assert len(caplog.text) < 1000


@pytest.mark.parametrize("status", [200, 301, 302, 307, 401, 404, 500, 503])
def test_http_errors_and_redirects(make, status):
    """A large body that does not end is not read, and a redirect is not followed."""
    text = (
        f"HTTP/1.1 {status} Some Reason\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 900000\r\n\r\n" + "x" * 30000
    )
    with RawServer(answer(text.encode())) as server:
        client, log = make()
        with pytest.raises(HandshakeRefused) as caught:
            client.connect(server.url, "CP_1", OCPP16)
        assert caught.value.status == status
        assert "Some Reason" in str(caught.value)
        assert log.connected.calls == []
        assert nothing_left()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bad\r\n\r\n",
        b"HTTP/1.1 101 X\r\nno colon\r\n\r\n",
        b"HTTP/1.1 101 X\r\n\xff\xfe: x\r\n\r\n",
    ],
)
def test_answers_that_are_none(make, text):
    def script(peer):
        peer.read_head()
        peer.send(text)

    with RawServer(script) as server:
        client, _ = make(handshake_timeout=seconds(0.5))
        with pytest.raises(TransportError):
            client.connect(server.url, "CP_1", OCPP16)
        assert nothing_left()


def test_endless_headers(make):
    def script(peer):
        peer.read_head()
        peer.send(b"HTTP/1.1 101 X\r\n")
        try:
            while True:
                peer.send(b"X-More: " + b"x" * 1000 + b"\r\n")
        except OSError:
            pass

    with RawServer(script) as server:
        client, _ = make()
        with pytest.raises(TransportError, match="too large"):
            client.connect(server.url, "CP_1", OCPP16)


@pytest.mark.parametrize("tls", [False, True])
def test_a_slow_handshake(make, tls):
    with RawServer(lambda peer: peer.at_end()) as server:
        client, _ = make(handshake_timeout=seconds(0.2))
        begun = time.monotonic()
        with pytest.raises(TransportError, match="too long"):
            client.connect(server.url.replace("ws:", "wss:" if tls else "ws:"), "CP_1", OCPP16)
        assert time.monotonic() - begun < seconds(3)


@pytest.mark.parametrize("chosen", [None, "ocpp2.1", "OCPP1.6", "ocpp1.6, ocpp2.1"])
def test_a_subprotocol_that_was_not_offered(make, chosen):
    def script(peer):
        peer.answer(chosen)
        peer.code = peer.read_close()

    with RawServer(script) as server:
        client, log = make()
        with pytest.raises(SubprotocolError):
            client.connect(server.url, "CP_1", ["ocpp1.6", "ocpp2.0.1"])
        assert server.done.wait(seconds(5))
        assert server.code == 1002
        assert log.connected.calls == []


def test_an_extension_that_was_not_offered(make):
    with RawServer(lambda p: p.answer(extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")) as server:
        client, _ = make()
        with pytest.raises(TransportError, match="extension"):
            client.connect(server.url, "CP_1", OCPP16)


def test_what_the_client_says(make, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    def script(peer):
        for number in range(2):
            if number:
                peer.accept()
            peer.answer(extra="Set-Cookie: a=b; Domain=127.0.0.1\r\n")
            peer.send(close_frame(1000, masked=False))
            peer.at_end()

    with RawServer(script) as server:
        client, log = make(headers={"X-A": "1"}, basic_auth=("AL1000", bytes.fromhex("00FF")))
        for count in (1, 2):
            client.connect(server.url + "?q=1", "RDAM|1", ["ocpp2.0.1", "ocpp1.6"])
            log.disconnected.wait(count)
    for head in server.requests:
        assert head.startswith("GET /ocpp/RDAM%7C1?q=1 HTTP/1.1\r\n")
        assert "\r\nX-A: 1\r\n" in head
        assert "\r\nAuthorization: Basic QUwxMDAwOgD/\r\n" in head
        assert "\r\nSec-WebSocket-Protocol: ocpp2.0.1, ocpp1.6" in head
        assert "Origin" not in head
        assert "Cookie" not in head


def test_urls_that_are_none(make):
    client, _ = make()
    for url in ("http://127.0.0.1", "ws://", "127.0.0.1:9000", ""):
        with pytest.raises(UsageError):
            client.connect(url, "CP_1", OCPP16)
    for url in ("ws://no.such.host.invalid", "ws://127.0.0.1:1"):
        with pytest.raises(TransportError):
            client.connect(url, "CP_1", OCPP16)


def connecting(client, url):
    """Connect on a thread of its own; return it, and the list its error goes to."""
    errors = []

    def run():
        try:
            client.connect(url, "CP_1", OCPP16)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


@pytest.mark.parametrize("phase", ["tcp", "tls", "http"])
def test_stop_while_connecting(make, phase):
    client, log = make(handshake_timeout=seconds(30))
    if phase == "tcp":
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        fillers = []
        for _ in range(4):  # fill its queue: the next connection gets no answer
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        thread, errors = connecting(client, url)
        eventually(lambda: attempt_of(client) is not None)
    else:
        server = RawServer(lambda peer: peer.at_end())
        thread, errors = connecting(client, server.url.replace("ws:", "wss:" if phase == "tls" else "ws:"))
        eventually(lambda: server.sock is not None and server.buffer)
    begun = time.monotonic()
    client.stop()
    thread.join(seconds(5))
    assert not thread.is_alive()
    assert time.monotonic() - begun < seconds(2)
    assert isinstance(errors[0], TransportError)
    assert "stopped" in str(errors[0])
    assert log.connected.calls == []
    for sock in [listener, *fillers] if phase == "tcp" else []:
        sock.close()
    if phase != "tcp":
        server.__exit__()


# Frames -------------------------------------------------------------------------------------------------------------


def talk(data):
    """Upgrade, send frames, and read the Close that they lead to."""

    def script(peer):
        peer.answer()
        try:
            peer.send(data)
        except OSError:
            pass
        peer.code = peer.read_close()
        peer.send(close_frame(peer.code if peer.code != 1005 else 1000, masked=False))
        peer.at_end()
        peer.sock.close()

    return script


def text(data, **options):
    return frame(1, data, masked=False, **options)


def raw(opcode, data=b"", **options):
    return frame(opcode, data, masked=False, **options)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (raw(2, b"binary"), 1003),
        (raw(2, b"binary", fin=False), 1003),
        (text(b"\xff\xfe"), 1007),
        (text(b"\xe2\x82"), 1007),
        (frame(1, b"masked"), 1002),
        (raw(3, b"reserved"), 1002),
        (raw(0, b"no beginning"), 1002),
        (text(b"a", fin=False) + text(b"b"), 1002),
        (raw(9, b"", fin=False), 1002),
        (raw(10, b"x" * 126), 1002),
        (text(b"x", rsv1=True), 1002),
        (raw(8, b"\x03"), 1002),
        (close_frame(1005, masked=False), 1002),
        (close_frame(2999, masked=False), 1002),
        (raw(8, b"\x03\xe8\xff"), 1007),
        (text(b"x" * 101), 1009),
        (text(b"x" * 60, fin=False) + raw(0, b"x" * 41, fin=False), 1009),
        (b"\x81\x7f" + b"\x7f" + b"\xff" * 7, 1009),  # announces 2**63 - 1 bytes
    ],
)
def test_violations(make, data, code, caplog):
    with RawServer(talk(text(b"good") + data)) as server:
        client, log = make(max_message_size=100)
        client.connect(server.url, "CP_1", OCPP16)
        close = log.close()
        assert (close.code, close.by_peer, close.expected) == (code, False, False)
        assert server.done.wait(seconds(5))
        assert server.code == code
    assert log.texts == ["good"]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("sent", "code"),
    [(close_frame(1001, "bye", masked=False), 1001), (raw(8), 1005), (close_frame(4000, masked=False), 4000)],
)
def test_a_close_is_answered_once_with_its_code(make, sent, code):
    def script(peer):
        peer.answer()
        peer.send(sent)
        peer.code = peer.read_close()
        peer.at_end()
        peer.rest = peer.buffer

    with RawServer(script) as server:
        client, log = make()
        client.connect(server.url, "CP_1", OCPP16)
        assert (log.close().code, log.close().by_peer) == (code, True)
        assert server.done.wait(seconds(5))
        assert (server.code, server.rest) == (code, b"")


def test_our_close_is_not_followed_by_another(make):
    def script(peer):
        peer.answer()
        peer.code = peer.read_close()
        peer.send(close_frame(3000, masked=False))
        peer.at_end()
        peer.rest = peer.buffer

    with RawServer(script) as server:
        client, log = make()
        client.connect(server.url, "CP_1", OCPP16)
        client.stop(3000, "enough")
        assert (log.close().code, log.close().expected) == (3000, True)
        assert server.done.wait(seconds(5))
        assert (server.code, server.rest) == (3000, b"")


def test_fragments_with_pings_between_in_single_bytes(make):
    frames = text(b"\xe2", fin=False) + raw(9, b"p1") + raw(0, b"\x82", fin=False) + raw(0, b"\xac") + text(b"next")

    def script(peer):
        peer.answer()
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index in range(len(frames)):
            peer.send(frames[index : index + 1])
        peer.pong = peer.read_frame()
        peer.at_end()

    with RawServer(script) as server:
        client, log = make()
        client.connect(server.url, "CP_1", OCPP16)
        assert log.wait_texts(2) == ["€", "next"]
        client.stop()
        assert server.done.wait(seconds(5))
        assert server.pong == (10, b"p1")


def test_frames_that_come_with_the_answer_are_not_lost(make):
    def script(peer):
        original = peer.send
        parts = []
        peer.send = parts.append
        peer.answer()
        original(b"".join(parts) + text(b"early"))
        peer.at_end()

    with RawServer(script) as server:
        client, log = make()
        client.connect(server.url, "CP_1", OCPP16)
        assert log.wait_texts(1) == ["early"]


def test_no_pong_is_the_end(make):
    def script(peer):
        peer.answer()
        peer.ping = peer.read_frame()
        peer.at_end()

    with RawServer(script) as server:
        client, log = make(ping_interval=seconds(0.05), pong_timeout=seconds(0.2))
        client.connect(server.url, "CP_1", OCPP16)
        close = log.close()
        assert (close.code, close.expected) == (1006, False)
        assert "silent" in str(close.error)
        assert server.done.wait(seconds(5))
        assert server.ping == (9, b"")


def test_a_server_that_does_not_answer_our_close(make):
    def script(peer):
        peer.answer()
        peer.at_end()

    with RawServer(script) as server:
        client, log = make(close_timeout=seconds(0.2))
        client.connect(server.url, "CP_1", OCPP16)
        begun = time.monotonic()
        client.stop()
        assert time.monotonic() - begun < seconds(2)
        assert log.close().expected


def test_an_error_is_not_its_own_cause():
    client = WebSocketClient(reconnect=False)
    for url in ("ws://127.0.0.1:1", "ftp://127.0.0.1:1"):
        with pytest.raises(OcppjError) as caught:
            client.connect(url, "CP_1", OCPP16)
        causes = [caught.value]
        while causes[-1].__cause__ is not None:
            causes.append(causes[-1].__cause__)
            assert causes[-1] not in causes[:-1]


def test_refused_reconnects_are_tried_again(make):
    def script(peer):
        peer.answer()
        peer.sock.close()
        for reply in (b"HTTP/1.1 503 Full\r\n\r\n", b"HTTP/1.1 401 No\r\n\r\n", b"", b"rubbish\r\n\r\n"):
            peer.accept()
            peer.read_head()
            peer.send(reply)
            peer.sock.close()
        peer.accept()
        peer.answer("soap")
        peer.sock.close()
        peer.accept()
        peer.answer()
        peer.at_end()

    with RawServer(script) as server:
        client, log = make(reconnect=True, backoff=NO_WAIT)
        client.connect(server.url, "CP_1", ["ocpp2.1", "ocpp1.6"])
        log.connected.wait(2)
        assert server.error is None
        assert all("Sec-WebSocket-Protocol: ocpp2.1, ocpp1.6" in head for head in server.requests)
        client.stop()
