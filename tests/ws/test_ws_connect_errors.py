"""What a client is told when it cannot connect: where it wanted to connect to, and what the server said. No secrets."""

import gzip
import socket
import ssl
import time
from urllib.parse import urlsplit

import pytest

from ocppj import Client, HandshakeRefused, Server, SubprotocolError, TransportError, v16, v21, v201
from ocppj.ws.handshake.urls import hide
from tests.helpers import seconds
from tests.ports import free_port
from tests.ws.support import RawServer, server_context

VERSIONS = pytest.mark.parametrize("version", [v16, v201, v21], ids=["1.6", "2.0.1", "2.1"])


def refused_by(script, path="/ocpp", **options):
    """Return what ``connect`` raises for a server that follows ``script``, and the server's address."""
    options.setdefault("handshake_timeout", seconds(5))
    with RawServer(script) as server:
        place = urlsplit(server.url).netloc
        client = Client("CP_1", profiles=v16.PROFILES, **options)
        with pytest.raises(TransportError) as caught:
            client.connect(f"ws://{place}{path}")
    return caught.value, place


def answer(text):
    def script(peer):
        peer.read_head()
        peer.send(text if isinstance(text, bytes) else text.encode())
        peer.at_end()

    return script


def refuse(body, *fields, status="404 Not Found"):
    body = body if isinstance(body, bytes) else body.encode()
    return answer("\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode() + body)


# A refusal: URL and body


@pytest.mark.parametrize(
    ("script", "body"),
    [
        (refuse("no such charger\n", "Content-Length: 16"), "no such charger"),
        (refuse("no such charger"), "no such charger"),  # to the end of the connection, or as far as it comes
        (refuse("4\r\nno s\r\n9;x=y\r\nuch thing\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), "no such thing"),
        (refuse("ff\r\ncut", "Transfer-Encoding: chunked"), "cut"),
        (refuse("nonsense", "Transfer-Encoding: chunked"), ""),
        (refuse("", "Content-Length: 0"), ""),
        (refuse("abc", "Content-Length: 900"), "abc"),
        (refuse("abcdef", "Content-Length: 3"), "abc"),
        (refuse("abc", "Content-Length: abc"), "abc"),
        (refuse("<h1>Not\r\n  found</h1>\r\n"), "<h1>Not found</h1>"),
        (refuse("a\x1b[2Jb\x00 \u20ac"), "a\\x1b[2Jb\\x00 \u20ac"),
        (refuse(b"\xff\xfe!"), "\ufffd\ufffd!"),
        (refuse(gzip.compress(b"no"), "Content-Encoding: gzip"), ""),
        (refuse("x" * 5000), "x" * 100),
    ],
    ids=lambda value: None if callable(value) else value[:20] or "empty",
)
def test_a_refusal_shows_url_and_body(script, body):
    error, place = refused_by(script)
    assert isinstance(error, HandshakeRefused)
    assert (error.status, error.url, error.body) == (404, f"ws://{place}/ocpp/CP_1", body)
    story = f"the server refused the connection to ws://{place}/ocpp/CP_1: HTTP 404 Not Found"
    assert str(error) == (f"{story}: {body}" if body else story)


def test_a_body_that_never_comes_is_not_waited_for():
    begun = time.monotonic()
    error, _ = refused_by(refuse("", "Content-Length: 900", status="503 Busy"), handshake_timeout=seconds(30))
    assert (error.status, error.body) == (503, "")
    assert time.monotonic() - begun < seconds(10)


def test_a_body_that_comes_byte_by_byte_is_not_waited_for():
    def script(peer):
        peer.read_head()
        peer.send(b"HTTP/1.1 404 No\r\n\r\n")
        while not peer.at_end_within(0.05):
            peer.send(b"x")

    class Slow(RawServer):
        def at_end_within(self, wait):
            self.sock.settimeout(wait)
            try:
                return self.sock.recv(100) == b""
            except socket.timeout:
                return False
            except OSError:
                return True

    begun = time.monotonic()
    with Slow(script) as server:
        client = Client("CP_1", profiles=v16.PROFILES, handshake_timeout=seconds(60))
        with pytest.raises(HandshakeRefused) as caught:
            client.connect(server.url)
    assert set(caught.value.body) == {"x"}
    assert time.monotonic() - begun < seconds(20)


@pytest.mark.parametrize(
    ("path", "echo", "options"),
    [
        ("/ocpp?token=s3cret-77", "Cannot GET /ocpp/CP_1?token=s3cret-77", {}),
        ("/ocpp?a=1&key=s3%2Bcret-77", "no key s3+cret-77 here, nor s3%2Bcret-77", {}),
        ("/ocpp", "wrong: Q1BfMTpzM2NyZXQtNzc=", {"basic_auth": ("CP_1", "s3cret-77")}),
        ("/ocpp", "wrong: s3cret-77", {"headers": {"X-Api-Key": "s3cret-77"}}),
        ("/ocpp", "wrong: s3cret-77", {"headers": {"Authorization": "Bearer s3cret-77"}}),
    ],
    ids=["query", "encoded query", "basic", "header", "bearer"],
)
def test_what_a_server_repeats_of_our_secrets_is_not_shown(path, echo, options, caplog):
    for script in (refuse(echo), refuse("", status=f"404 {echo}")):
        error, place = refused_by(script, path, **options)
        for text in (str(error), repr(error), error.body, caplog.text):
            assert "s3cret" not in text
            assert "s3%2Bcret" not in text
            assert "Q1BfMTpzM2NyZXQtNzc" not in text
        assert error.url == f"ws://{place}/ocpp/CP_1"
        assert "..." in str(error)


def test_short_parts_and_the_name_of_a_scheme_are_no_secrets():
    assert hide("1 Basic abc Bearer", ["1", "Basic YWJj", "a=abc", ""]) == "1 Basic abc Bearer"


@VERSIONS
def test_a_server_of_ours_says_why(version):
    server = Server(profiles=version.PROFILES)
    server.set_check_client_handler(lambda request: False)
    with server.listen(host="127.0.0.1", path="/ocpp/{id}"), pytest.raises(HandshakeRefused) as caught:
        Client("CP_1", profiles=version.PROFILES).connect(server.url)
    assert caught.value.url == f"{server_url(caught.value)}/ocpp/CP_1"
    assert caught.value.body
    assert caught.value.body in str(caught.value)


def server_url(error):
    return f"ws://{urlsplit(error.url).netloc}"


# No connection at all: host and port, whatever the reason


def unable(url, **options):
    options.setdefault("handshake_timeout", seconds(5))
    with pytest.raises(TransportError) as caught:
        Client("CP_1", profiles=v16.PROFILES, **options).connect(url)
    return caught.value


def test_nothing_listens():
    port = free_port()
    error = unable(f"ws://127.0.0.1:{port}/ocpp?token=s3cret")
    assert str(error).startswith(f"cannot connect to 127.0.0.1:{port}: ")
    assert isinstance(error.__cause__, ConnectionRefusedError)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(("scheme", "port"), [("ws", 80), ("wss", 443)])
def test_an_unknown_name(scheme, port):
    error = unable(f"{scheme}://no-such-host.invalid/ocpp")
    assert str(error).startswith(f"cannot connect to no-such-host.invalid:{port}: the name cannot be looked up: ")
    assert isinstance(error.__cause__, OSError)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_server_that_does_not_answer(scheme):
    with RawServer(lambda peer: peer.at_end()) as server:
        place = urlsplit(server.url).netloc
        error = unable(f"{scheme}://{place}/ocpp", handshake_timeout=seconds(0.2))
    assert str(error) == f"cannot connect to {place}: the handshake took too long"


def test_a_certificate_that_is_not_trusted():
    server = Server(profiles=v16.PROFILES, ssl_context=server_context())
    with server.listen(host="127.0.0.1"):
        port = urlsplit(server.url).port
        error = unable(f"wss://localhost:{port}")
    assert str(error).startswith(f"cannot connect to localhost:{port}: ")
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"SSH-2.0\r\n\r\n", "the server does not speak HTTP"),
        (b"\x16\x03\x01", "the server's answer cannot be read: "),
        (b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: x\r\n\r\n", ""),
    ],
    ids=["ssh", "tls", "accept"],
)
def test_a_server_that_is_none(reply, reason):
    error, place = refused_by(answer(reply))
    assert str(error).startswith(f"cannot connect to {place}: {reason}")


def test_a_server_that_hangs_up():
    error, place = refused_by(lambda peer: peer.read_head() and peer.sock.shutdown(socket.SHUT_RDWR))
    assert str(error) == f"cannot connect to {place}: the peer ended the connection during the handshake"


def test_an_option_that_fails():
    def headers():
        raise KeyError("a")

    error = unable("ws://127.0.0.1:1", headers=headers)
    assert str(error) == "cannot connect to 127.0.0.1:1: headers() failed: KeyError: 'a'"
    assert isinstance(error.__cause__, KeyError)


def test_another_subprotocol():
    error, place = refused_by(lambda peer: peer.answer(None) or peer.at_end())
    assert isinstance(error, SubprotocolError)
    assert str(error) == f"the server at {place} chose none of ocpp1.6"
