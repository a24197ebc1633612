"""Security profiles: which options make them, and that no client connects without what they demand; on real sockets."""

import base64
import logging
import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest

from ocppj import HandshakeRefused, TransportError, UsageError, client_tls_context, server_tls_context
from ocppj.ws.client import WebSocketClient
from ocppj.ws.handshake.security_profiles import (
    check_client_profile,
    check_context,
    check_server_profile,
    check_user,
    exposed,
)
from ocppj.ws.server import WebSocketServer
from ocppj.ws.tls import may_resume
from tests.certificates import authority, server_file, stranger
from tests.helpers import Recorder, eventually, seconds
from tests.ws.support import NO_WAIT, PATH, Log, RawClient, request

OCPP = ["ocpp1.6"]
SECRET = "a password nobody sees"


def plain_tls():
    return server_tls_context([server_file("EC"), server_file("RSA")])


def mutual_tls(required=True):
    return server_tls_context(server_file(), client_ca=authority().path, require_client_certificate=required)


def of_client(*names, issuer=None, **options):
    return client_tls_context(authority().path, (issuer or authority()).both(*names, **options))


def unchecked():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture
def ends():
    todo = []
    yield todo
    for each in reversed(todo):
        each.stop()


@pytest.fixture
def serve(ends):
    def make(profile=None, passwords=None, context=None, prepare=lambda server: None):
        server = WebSocketServer(security_profile=profile, ssl_context=context)
        ends.append(server)
        Log(server)
        if passwords is not None:
            server.set_basic_auth_handler(lambda identity, password: passwords.get(identity) == password)
        prepare(server)
        server.listen(0, PATH, "127.0.0.1", OCPP)
        return server

    return make


@pytest.fixture
def dial(ends):
    def make(server, identity="CP_1", **options):
        client = WebSocketClient(reconnect=False, **options)
        ends.append(client)
        client.connect(server.url, identity, OCPP)
        return client

    return make


def status(dial, server, identity="CP_1", **options):
    with pytest.raises(HandshakeRefused) as caught:
        dial(server, identity, **options)
    return caught.value.status


# What options make them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "tls", "basic"), [(None, 0, 0), (None, 1, 1), (0, 0, 0), (1, 0, 1), (2, 1, 1), (3, 2, 0), (3, 2, 1)]
)
def test_servers_that_have_their_profile(profile, tls, basic):
    check_server_profile(profile, [None, plain_tls(), mutual_tls()][tls], bool(basic))


@pytest.mark.parametrize(
    ("profile", "tls", "basic", "named"),
    [
        (0, 1, 0, "ssl_context"),
        (0, 0, 1, "handler"),
        (1, 1, 1, "ssl_context"),
        (1, 0, 0, "set_basic_auth_handler"),
        (2, 0, 1, "ssl_context"),
        (2, 1, 0, "set_basic_auth_handler"),
        (3, 0, 0, "ssl_context"),
        (3, 1, 0, "CERT_REQUIRED"),
        (3, 3, 0, "CERT_REQUIRED"),
    ],
)
def test_servers_that_have_not(profile, tls, basic, named):
    context = [None, plain_tls(), mutual_tls(), mutual_tls(False)][tls]
    with pytest.raises(UsageError, match=rf"security profile {profile} .*{named}"):
        check_server_profile(profile, context, bool(basic))


def test_a_server_says_so_when_it_listens(serve):
    with pytest.raises(UsageError, match="security profile 2 .*ssl_context"):
        serve(2, {"CP_1": b"x"})
    with pytest.raises(UsageError, match="security profile 1 .*set_basic_auth_handler"):
        serve(1)


@pytest.mark.parametrize(
    ("profile", "url", "tls", "user"),
    [
        (None, "ws://h", 0, None),
        (None, "wss://h", 3, "X"),
        (0, "ws://h", 0, None),
        (1, "ws://h", 0, "CP_1"),
        (2, "wss://h", 0, "CP_1"),
        (2, "WSS://h", 1, "CP_1"),
        (3, "wss://h", 1, None),
    ],
)
def test_clients_that_have_their_profile(profile, url, tls, user):
    check_client_profile(profile, url, "CP_1", [None, client_tls_context(), None, unchecked()][tls], user)


@pytest.mark.parametrize(
    ("profile", "url", "context", "user", "named"),
    [
        (0, "wss://h", None, None, "wss:// URL"),
        (0, "ws://h", None, "CP_1", "basic_auth"),
        (1, "wss://h", None, "CP_1", "wss:// URL"),
        (1, "ws://h", None, None, "basic_auth"),
        (1, "ws://h", None, SECRET, "identity 'CP_1'"),
        (2, "ws://h", None, "CP_1", "wss:// URL"),
        (2, "wss://h", None, None, "basic_auth"),
        (2, "wss://h", None, SECRET, "identity 'CP_1'"),
        (2, "wss://h", unchecked, "CP_1", "checks the server's certificate"),
        (2, "wss://h", lambda: client_tls_context(check_hostname=False), "CP_1", "its name"),
        (3, "ws://h", client_tls_context, None, "wss:// URL"),
        (3, "wss://h", None, None, "client certificate"),
        (3, "wss://h", unchecked, None, "checks the server's certificate"),
    ],
)
def test_clients_that_have_not(profile, url, context, user, named):
    with pytest.raises(UsageError, match=rf"security profile {profile} .*{named}") as caught:
        check_client_profile(profile, url, "CP_1", context and context(), user)
    assert SECRET not in str(caught.value)


def test_a_client_says_so_when_it_connects(dial, serve):
    server = serve(0)
    with pytest.raises(UsageError, match="security profile 2 .*wss"):
        dial(server, security_profile=2, basic_auth=("CP_1", SECRET))
    with pytest.raises(UsageError, match="':'") as caught:
        dial(server, basic_auth=(f"{SECRET}:", "x"))
    assert SECRET not in str(caught.value)
    dial(server, "AA:BB", basic_auth=("AA:BB", SECRET))


@pytest.mark.parametrize("bad", [4, -1, "2", True, 1.5])
def test_what_is_no_profile(bad):
    for make in (WebSocketServer, WebSocketClient):
        with pytest.raises(UsageError, match="security_profile is 0, 1, 2 or 3, or "):
            make(security_profile=bad)


def test_users():
    check_user(None, "CP")
    check_user("other", "CP")
    check_user("A:B", "A:B")
    with pytest.raises(UsageError):
        check_user("A:B", "A")


def test_a_context_is_one_for_that_side():
    for context in (None, plain_tls(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)):
        check_context(context, ssl.PROTOCOL_TLS_CLIENT)
    for bad, named in [
        ("server.pem", "not '"),
        (True, "not (True|False)"),
        (client_tls_context(), "server was made for a c"),
    ]:
        with pytest.raises(UsageError, match=named):
            WebSocketServer(ssl_context=bad)
    for bad, named in [("ca.pem", "not '"), (False, "not (True|False)"), (plain_tls(), "client was made for a server")]:
        with pytest.raises(UsageError, match=named):
            WebSocketClient(ssl_context=bad)


@pytest.mark.parametrize(
    ("profile", "url", "context", "credentials", "named"),
    [
        (None, "ws://csms.example/ocpp", False, True, "in the clear"),
        (None, "WS://10.0.0.7", True, True, "in the clear"),
        (None, "ws://[2001:db8::7]:80", True, False, "ssl_context is not used"),
        (None, "ws://csms.example", False, False, None),
        (None, "wss://csms.example", True, True, None),
        (None, "ws://localhost:9000", True, True, None),
        (None, "ws://127.0.0.5:9000", True, True, None),
        (None, "ws://[::1]:9000", True, True, None),
        (1, "ws://csms.example", False, True, None),
    ],
)
def test_a_client_that_sends_secrets_in_the_clear_is_warned(profile, url, context, credentials, named):
    warning = exposed(profile, url, client_tls_context() if context else None, credentials)
    assert (warning is None) if named is None else (named in warning)


def test_the_warning_is_given_once_for_each_connect(caplog):
    client = WebSocketClient(reconnect=False, handshake_timeout=seconds(0.2), basic_auth=("CP_1", SECRET))
    for count in (1, 2):
        with pytest.raises(TransportError):
            client.connect("ws://192.0.2.1:9", "CP_1", OCPP)  # RFC 5737: nobody's
        assert caplog.text.count("sent in the clear") == count
    assert SECRET not in caplog.text


def test_the_warning_names_the_url_that_it_is_about(caplog):
    client = WebSocketClient(reconnect=False, handshake_timeout=seconds(0.2), basic_auth=("CP_1", SECRET))
    with pytest.raises(TransportError):
        client.connect(["wss://192.0.2.1:9/a?token=1", "ws://192.0.2.1:10/b?token=1"], "CP_1", OCPP)
    [told] = [record.getMessage() for record in caplog.records if "sent in the clear" in record.getMessage()]
    assert told.startswith("CP_1: 192.0.2.1:10: credentials are sent in the clear")


# Who gets in ---------------------------------------------------------------------------------------------------------


def test_profile_0(serve, dial):
    dial(serve(0), security_profile=0)


def test_profile_1(serve, dial):
    server = serve(1, {"CP_1": SECRET.encode()})
    assert status(dial, server) == 401
    assert status(dial, server, basic_auth=("CP_1", "wrong")) == 401
    assert status(dial, server, basic_auth=("CP_2", SECRET)) == 401
    dial(server, security_profile=1, basic_auth=("CP_1", SECRET))


@pytest.mark.parametrize("profile", [1, 2])
def test_no_credentials_no_admission_whatever_becomes_of_the_handler(serve, dial, profile):
    server = serve(profile, {"CP_1": SECRET.encode()}, plain_tls() if profile == 2 else None)
    server.set_basic_auth_handler(None)
    tls = {"ssl_context": client_tls_context(authority().path)} if profile == 2 else {}
    assert status(dial, server, **tls) == 401
    assert status(dial, server, basic_auth=("CP_1", SECRET), **tls) == 401


def test_profile_2(serve, dial):
    server = serve(2, {"CP_1": SECRET.encode()}, plain_tls())
    trusting = client_tls_context(authority().path)
    assert status(dial, server, ssl_context=trusting) == 401
    assert status(dial, server, ssl_context=trusting, basic_auth=("CP_1", "wrong")) == 401
    dial(server, security_profile=2, ssl_context=trusting, basic_auth=("CP_1", SECRET))
    with pytest.raises(TransportError, match="certificate"):
        dial(server, security_profile=2, basic_auth=("CP_1", SECRET))  # the system's authorities


def test_a_client_without_a_context_trusts_the_system(serve, dial, monkeypatch):
    server = serve(context=plain_tls())
    with pytest.raises(TransportError, match="certificate"):
        dial(server)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().path))
    client = dial(server)
    assert client.get_channel().is_open


def test_profile_3(serve, dial, caplog):
    server = serve(3, context=mutual_tls())
    dial(server, security_profile=3, ssl_context=of_client("CP_1"))
    dial(server, "CP_2", security_profile=3, ssl_context=of_client("x", dns=("CP_2",)))
    dial(server, "CP_3", security_profile=3, ssl_context=of_client("serial", "CP_3", kind="RSA"))
    assert status(dial, server, "CP_4", ssl_context=of_client("CP_1")) == 401
    assert "the certificate is not one of 'CP_4'" in caplog.text
    assert server.stats().refused == {"certificate": 1}
    with pytest.raises(TransportError):
        dial(server, "CP_4", ssl_context=client_tls_context(authority().path))
    with pytest.raises(TransportError):
        dial(server, "CP_4", ssl_context=of_client("CP_4", issuer=stranger()))


def test_a_verified_certificate_is_checked_without_a_profile_too(serve, dial):
    server = serve(context=mutual_tls(False))
    assert status(dial, server, "CP_2", ssl_context=of_client("CP_1")) == 401
    dial(server, "CP_1", ssl_context=of_client("CP_1"))
    dial(server, "CP_2", ssl_context=client_tls_context(authority().path))


def test_a_handler_replaces_the_check_of_certificates(serve, dial):
    def check(request):
        return request.subject("organizationName") == ("Operator",)

    server = serve(3, context=mutual_tls(), prepare=lambda server: server.set_check_certificate_handler(check))
    dial(server, "CP_1", ssl_context=of_client("serial-7", organization="Operator"))
    assert status(dial, server, "CP_2", ssl_context=of_client("CP_2", organization="Other")) == 401
    server.set_check_certificate_handler(lambda request: 1 / 0)
    assert status(dial, server, "CP_2", ssl_context=of_client("CP_2")) == 500
    server.set_check_certificate_handler(None)
    assert status(dial, server, "CP_3", ssl_context=of_client("serial-7", organization="Operator")) == 401


# Credentials that change ---------------------------------------------------------------------------------------------


def test_a_password_that_was_changed_is_used_the_next_time(serve, ends):
    """1.6 security whitepaper and Part 2, A01: the central system no longer takes the old one."""
    passwords = {"CP_1": b"old"}
    server = serve(1, passwords)
    log = Log(server)
    stored = ["CP_1", "old"]
    client = WebSocketClient(basic_auth=lambda: tuple(stored), security_profile=1, backoff=NO_WAIT)
    ends.append(client)
    client.connect(server.url, "CP_1", OCPP)
    stored[1], passwords["CP_1"] = "new", b"new"
    log.channel().abort()
    log.connected.wait(2)
    assert server.stats().refused.get("bad_credentials", 0) == 0


def test_headers_that_change(serve, ends):
    seen = Recorder(True)
    server = serve(prepare=lambda server: server.set_check_client_handler(seen))
    log = Log(server)
    tokens = ["2", "1"]
    client = WebSocketClient(headers=lambda: {"X-Token": tokens.pop()}, backoff=NO_WAIT)
    ends.append(client)
    client.connect(server.url, "CP_1", OCPP)
    log.channel().abort()
    log.connected.wait(2)
    assert [request.headers["X-Token"] for (request,) in seen.calls] == ["1", "2"]


@pytest.mark.parametrize(
    ("profile", "url", "client_id", "options", "story"),
    [
        (2, "ws://csms/", "CP_1", {"basic_auth": lambda: ("CP_1", "x")}, "over TLS"),
        (2, "ws://csms/", "CP_1", {"basic_auth": ("CP_1", "x"), "headers": dict}, "over TLS"),
        (1, "wss://csms/", "CP_1", {"basic_auth": lambda: ("CP_1", "x")}, "without TLS"),
        (1, "ws://csms/", "CP_2", {"basic_auth": ("CP_1", "x"), "headers": dict}, "needs the identity"),
        (1, "ws://csms/", "CP_1", {"headers": dict}, "needs basic_auth"),
        (3, "wss://csms/", "CP_1", {"headers": dict}, "needs an ssl_context"),
        (None, "ws://csms/", "CP_1", {"basic_auth": ("CP:1", "x"), "headers": dict}, "has a ':'"),
    ],
)
def test_an_error_that_no_function_can_avoid_is_raised_at_once(profile, url, client_id, options, story):
    client = WebSocketClient(security_profile=profile, **options)
    with pytest.raises(UsageError, match=story):  # not a failed attempt, after which it would be tried again for ever
        client.connect(url, client_id, OCPP)


def test_a_function_that_fails_is_asked_again(serve, ends, caplog):
    server = serve(1, {"CP_1": b"x"})
    log = Log(server)
    answers = [("CP_1", "x"), ("CP_2", "x"), None, ("CP_1", 7), (), "", ("CP_1", "x")]
    client = WebSocketClient(basic_auth=lambda: answers.pop(), security_profile=1, backoff=NO_WAIT)
    ends.append(client)
    client.connect(server.url, "CP_1", OCPP)
    answers[0:0] = [("CP_1", "x")]
    log.channel().abort()
    log.connected.wait(2)
    assert answers == [("CP_1", "x")]
    for story in ("needs the identity 'CP_1'", "needs basic_auth", "is a text or bytes", "is a pair"):
        assert story in caplog.text
    client.stop()
    failing = WebSocketClient(basic_auth=lambda: {}["nobody's"], reconnect=False)
    with pytest.raises(TransportError, match='basic_auth.. failed: KeyError: "nobody\'s"'):
        failing.connect(server.url, "CP_1", OCPP)


# Attacks -------------------------------------------------------------------------------------------------------------


def credentials(user, password):
    return "Basic " + base64.b64encode(user + b":" + password).decode()


PASSWORDS = {
    "CP_1": b"sixteen letters!",
    "A": b"B:pw",
    "A:B": b"pw2",
    "\u00fc": b"x",
    "CP 1": b"x",
    "hex": bytes(range(20)),
}
GOOD = credentials(b"CP_1", PASSWORDS["CP_1"])
HEAD = request(Authorization=GOOD)


@pytest.fixture
def fortress(serve, caplog):
    caplog.set_level(logging.DEBUG, "ocppj")
    server = serve(1, PASSWORDS)
    log = Log(server)
    return server, log


def knock(server, data):
    """Return the status and the rest of the head of what the server answers."""
    with RawClient(server.url) as peer:
        peer.send(data)
        head = peer.read_head()
    return int(head.split(" ")[1]), head


@pytest.mark.parametrize(
    ("user", "password"),
    [
        *[
            (b"CP_1", b""),
            (b"CP_1", b"sixteen letters"),
            (b"CP_1", b"sixteen letters!!"),
            (b"CP_1", b"SIXTEEN LETTERS!"),
        ],
        *[(b"CP_1", b"sixteen letters!\0"), (b"CP_1", b"\xff\xfe"), (b"cp_1", PASSWORDS["CP_1"])],
        *[(b"A", b"B:pw"), (b"CP", b"1:sixteen letters!"), (b"", PASSWORDS["CP_1"]), (b"CP_1\0", PASSWORDS["CP_1"])],
        *[(b"CP_1 ", PASSWORDS["CP_1"]), (b" CP_1", PASSWORDS["CP_1"]), (b"CP%5F1", PASSWORDS["CP_1"])],
    ],
)
def test_credentials_that_are_not_right(fortress, user, password, caplog):
    server, log = fortress
    status, head = knock(server, request(Authorization=credentials(user, password)))
    assert status == 401
    assert "WWW-Authenticate: Basic" in head
    assert log.connected.calls == []
    eventually(lambda: server.stats().refused == {"bad_credentials": 1})
    assert caplog.text.count("refused with") == 1
    if len(password) > 4:
        assert password.decode("latin-1") not in caplog.text


@pytest.mark.parametrize(
    ("path", "user", "status"),
    [
        *[("/ocpp/x/../CP_1", "CP_1", 404), ("/ocpp/./CP_1", "CP_1", 404), ("/ocpp/%20/CP_1", "CP_1", 404)],
        *[("/OCPP/CP_1", "CP_1", 404), ("/CP_1", "CP_1", 404), ("/", "CP_1", 404), ("*", "CP_1", 404)],
        *[("http://x?y=/ocpp/CP_1", "CP_1", 404), ("/ocpp/..", "CP_1", 400), ("/ocpp/%2e%2e", "CP_1", 400)],
        *[("/ocpp/CP_1;x", "CP_1", 401), ("/ocpp/cp_1", "CP_1", 401), ("/ocpp/%2543P_1", "CP_1", 401)],
        *[("/ocpp/CP+1", "CP 1", 401), ("/ocpp/x%2F..%2FCP_1", "CP_1", 401), ("/ocpp/CP_1%20", "CP_1", 401)],
        *[("/ocpp/u%CC%88", "\u00fc", 401), ("/ocpp/%EF%BC%A3P_1", "CP_1", 401), ("/ocpp/CP_1#x", "CP_1", 400)],
        *[("/ocpp/CP_1%00", "CP_1", 400), ("/ocpp/CP_%C0%B1", "CP_1", 400), ("/ocpp/CP_1%", "CP_1", 400)],
        *[("/ocpp/", "CP_1", 400), ("/ocpp/" + "x" * 256, "CP_1", 400), ("/ocpp/" + "x" * 17000, "CP_1", 431)],
        *[("/ocpp/A:B", "A", 401), ("/ocpp/A", "A:B", 401)],
    ],
)
def test_the_identity_of_another(fortress, path, user, status):
    server, log = fortress
    authorization = credentials(user.encode(), PASSWORDS[user])
    assert knock(server, request(path, Authorization=authorization))[0] == status
    assert log.connected.calls == []


@pytest.mark.parametrize(
    ("path", "user"),
    [
        *[("/ocpp/%43P_1", "CP_1"), ("/%6Fcpp/CP_1", "CP_1"), ("/ocpp/CP%201", "CP 1"), ("/ocpp/%C3%BC", "\u00fc")],
        *[("http://x/ocpp/CP_1?y=/ocpp/A", "CP_1"), ("/ocpp/A:B", "A:B"), ("/ocpp/A", "A"), ("/ocpp/hex", "hex")],
        *[("/ocpp/CP_1/", "CP_1"), ("/ocpp//CP_1", "CP_1"), ("//ocpp///CP_1//?x=/", "CP_1")],
    ],
)
def test_their_own_identity_however_it_is_written(fortress, path, user):
    server, log = fortress
    assert knock(server, request(path, Authorization=credentials(user.encode(), PASSWORDS[user])))[0] == 101
    assert log.channel().id == user


def changed(old, new):
    data = HEAD.replace(old, new)
    assert data != HEAD
    return data


ODD = {
    "two credentials, one of them right": (
        changed(b"Authorization", b"Authorization: Basic eDp4\r\nAuthorization"),
        400,
    ),
    "two hosts": (changed(b"Host: test", b"Host: test\r\nHost: other"), 400),
    "no host": (changed(b"Host: test\r\n", b""), 400),
    "HTTP/1.0": (changed(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "lower case": (changed(b"GET", b"get"), 400),
    "another method": (changed(b"GET", b"POST"), 405),
    "a body": (changed(b"Host", b"Content-Length: 5\r\nHost") + b"hello", 400),
    "two lengths": (changed(b"Host", b"Content-Length: 0\r\nContent-Length: 0\r\nHost"), 400),
    "chunks": (changed(b"Host", b"Transfer-Encoding: chunked\r\nHost") + b"0\r\n\r\n", 400),
    "space before the colon": (changed(b"Authorization:", b"Authorization :"), 400),
    "a field that begins with a space": (changed(b"Host", b" X: y\r\nHost"), 400),
    "a field hidden behind LF": (changed(b"Authorization", b"Cookie: x\nAuthorization"), 400),
    "a field hidden behind CR": (changed(b"Authorization", b"Cookie: x\rAuthorization"), 400),
    "NUL": (changed(b"Host: test", b"Host: te\0st"), 400),
    "two request lines": (changed(b" HTTP/1.1\r\n", b" HTTP/1.1 \r\nGET /ocpp/A HTTP/1.1\r\n"), 400),
    "tabs": (HEAD.replace(b" ", b"\t", 2), 400),
    "another scheme": (changed(b"Authorization: Basic", b"Authorization: Bearer"), 401),
    "no scheme": (changed(b"Authorization: Basic ", b"Authorization: "), 401),
    "two keys": (changed(b"Sec-WebSocket-Version", b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version"), 400),
    "a proxy's line": (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + HEAD, 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_requests(fortress, name):
    server, log = fortress
    data, status = ODD[name]
    assert knock(server, data)[0] == status
    assert log.connected.calls == []
    assert knock(server, HEAD)[0] == 101


def test_what_follows_a_request_is_no_request(fortress):
    """Before the 101 or after it: it is a frame, or a violation."""
    server, log = fortress
    other = request("/ocpp/A", Authorization=credentials(b"A", PASSWORDS["A"]))
    assert knock(server, HEAD + other)[0] == 101
    assert log.close().error is not None
    assert [channel.id for (channel,) in log.connected.calls] == ["CP_1"]


@pytest.mark.parametrize("what", ["raises", "nothing", "text", "ends its thread", "is no function any more"])
def test_a_broken_handler_accepts_no_client_and_stops_nothing(serve, what):
    def check(identity, password):
        if what == "raises":
            raise ValueError(password)
        if what == "ends its thread":
            raise SystemExit
        return "Rejected" if what == "text" else None

    server = serve(1, PASSWORDS)
    log = Log(server)
    server.set_basic_auth_handler(7 if what == "is no function any more" else check)
    for _ in range(3):
        assert knock(server, HEAD)[0] == (401 if what == "nothing" else 500)
    server.set_basic_auth_handler(lambda identity, password: True)
    assert knock(server, HEAD)[0] == 101
    assert len(log.connected.calls) == 1


def test_a_handler_that_blocks_delays_no_other_client(serve):
    go, blocked = threading.Event(), threading.Event()

    def check(identity, password):
        if identity == "CP_1":
            blocked.set()
            go.wait(seconds(20))
        return True

    server = serve(1, PASSWORDS, prepare=lambda server: server.set_basic_auth_handler(check))
    with RawClient(server.url) as patient:
        patient.send(HEAD)
        assert blocked.wait(seconds(10))
        assert knock(server, request("/ocpp/A", Authorization=credentials(b"A", b"x")))[0] == 101
        go.set()
        assert "101" in patient.read_head()


def test_a_changed_handler_is_used_for_the_next_client(fortress):
    server, log = fortress
    with RawClient(server.url) as first:
        assert "101" in first.upgrade(Authorization=GOOD)
        server.set_basic_auth_handler(lambda identity, password: False)
        assert knock(server, HEAD)[0] == 401
        assert server.get_channel("CP_1") is log.channel()
        assert log.channel().is_open


# TLS where none is, and the reverse ----------------------------------------------------------------------------------


def test_tls_on_a_plain_port_is_refused_at_once(serve, dial, caplog):
    server = serve()
    begun = time.monotonic()
    client = WebSocketClient(reconnect=False, ssl_context=client_tls_context(authority().path))
    with pytest.raises(TransportError, match="(?i)wrong.version.number|record layer"):
        client.connect(server.url.replace("ws:", "wss:"), "CP_1", OCPP)
    assert time.monotonic() - begun < seconds(5)  # not the ten of handshake_timeout
    eventually(lambda: "TLS came where there is none" in caplog.text)
    assert server.stats().refused == {"bad_request": 1}


def test_http_on_a_tls_port(serve, caplog):
    server = serve(context=plain_tls())
    with RawClient(server.url) as peer:
        peer.send(HEAD)
        assert peer.at_end()
    eventually(lambda: server.stats().refused == {"tls": 1})
    assert "http request" in caplog.text.lower().replace("_", " ")


# Certificates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "options", "status"),
    [
        (("CP_1",), {}, 101),
        (("serial", "CP_1"), {}, 101),
        ((), {"dns": ("CP_1",)}, 101),
        ((), {}, 401),
        (("CP_1 ",), {}, 401),
        (("cp_1",), {}, 401),
        (("CP_1\0x",), {}, 401),
        (("CP_1,CN=CP_2",), {}, 401),
        (("CP_2",), {"dns": ("*",)}, 401),
        (("CP_2",), {"organization": "CP_1"}, 401),
        (("CP_1",), {"expired": True}, None),
        (("CP_1",), {"issuer": stranger}, None),
    ],
)
def test_certificates_of_others(serve, names, options, status):
    server = serve(3, context=mutual_tls())
    issuer = {"issuer": options["issuer"]()} if "issuer" in options else {}
    context = of_client(*names, **{**options, **issuer})
    client = WebSocketClient(reconnect=False, ssl_context=context, security_profile=3)
    try:
        client.connect(server.url, "CP_1", OCPP)
        found = 101
    except HandshakeRefused as error:
        found = error.status
    except TransportError:
        found = None
    finally:
        client.stop()
    assert found == status
    if status != 101:
        eventually(lambda: server.stats().refused == {"certificate" if status else "tls": 1})


def test_both_password_and_certificate_are_asked_for_if_there_is_a_handler(serve, dial):
    server = serve(3, PASSWORDS, mutual_tls())
    mine, others = of_client("CP_1"), of_client("A")
    right, wrong = ("CP_1", PASSWORDS["CP_1"]), ("CP_1", b"x")
    assert status(dial, server, ssl_context=mine) == 401
    assert status(dial, server, ssl_context=mine, basic_auth=wrong) == 401
    assert status(dial, server, ssl_context=others, basic_auth=right) == 401
    dial(server, ssl_context=mine, basic_auth=right)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_not_resumed_past_a_certificate(serve, version):
    """OpenSSL would not verify it again: one that was revoked since would do."""
    certificate, key = authority().pair("CP_1", organization=version.name)
    context = server_tls_context(
        server_file(), client_ca=authority().path, client_crl=authority().revoke(), require_client_certificate=True
    )
    server = serve(3, context=context)
    station = client_tls_context(authority().path, certificate, key)
    station.minimum_version = station.maximum_version = version

    def knock_with(session):
        """Return the first line of the answer, if there is one, and the session."""
        with socket.create_connection(("127.0.0.1", server.port), seconds(10)) as raw:
            try:
                with station.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
                    sock.sendall(HEAD)
                    found = sock.recv(4096)[:12], sock.session
                    with suppress(OSError):
                        sock.unwrap()  # an orderly end: the server keeps the session
                    return found
            except OSError:
                return b"", None

    answer, session = knock_with(None)
    assert answer == b"HTTP/1.1 101"
    again = []  # a client with a session and a good certificate can connect again
    eventually(lambda: again.append(knock_with(session)) or again[-1][0])
    assert again[-1][0] == b"HTTP/1.1 101"
    # OpenSSL has forgotten the session as soon as a connection that tried it is no more
    session = again[-1][1]
    context.load_verify_locations(authority().revoke(certificate))
    for _ in range(3):
        assert knock_with(session)[0] == b""
    assert set(server.stats().refused) == {"tls"}


def test_a_session_without_a_certificate_is_resumed(serve):
    """Of a charge point with a password, beside others with certificates: else each second attempt would fail."""
    context = server_tls_context(server_file(), client_ca=authority().path)
    server = serve(2, PASSWORDS, context)
    station = client_tls_context(authority().path)
    station.maximum_version = ssl.TLSVersion.TLSv1_2
    station.options |= ssl.OP_NO_TICKET
    session = None
    for head, answer, resumed in [(HEAD, b"101", False), (HEAD, b"101", True), (request(), b"401", True)]:
        raw = socket.create_connection(("127.0.0.1", server.port), seconds(10))
        with station.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
            sock.sendall(head)
            assert sock.recv(4096).split()[1] == answer  # a password is asked for each time
            session = sock.session
            assert sock.session_reused == resumed
            with suppress(OSError):
                sock.unwrap()


def test_where_sessions_may_be_resumed():
    assert may_resume(plain_tls())
    assert may_resume(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority().path))
    assert not may_resume(mutual_tls())
    assert not may_resume(mutual_tls(required=False))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: of_client("CP_1", issuer=stranger()), "unknown.ca"),
        (lambda: of_client("CP_1", expired=True), "certificate.expired"),
        (lambda: client_tls_context(authority().path), "certificate.required|handshake.failure"),
    ],
)
def test_a_client_learns_what_is_wrong_with_its_certificate(serve, version, make, named):
    """In TLS 1.3 it has sent its request by then: what closes with that unread takes its own alert back."""
    server = serve(3, context=mutual_tls())
    context = make()
    context.minimum_version = context.maximum_version = version
    for _ in range(5):
        with pytest.raises(TransportError, match=f"(?i){named}"):
            WebSocketClient(reconnect=False, ssl_context=context).connect(server.url, "CP_1", OCPP)


def test_a_client_that_tries_again_hears_why_it_must(serve, ends):
    """Part 2 A00.FR.310, A00.FR.413: a wrong certificate is to become a security event, also while regaining."""
    context = plain_tls()
    server = serve(2, PASSWORDS, context)
    log = Log(server)
    right, wrong = [
        authority().both("localhost", dns=("localhost",), ip="127.0.0.1", kind="EC", expired=e) for e in (0, 1)
    ]
    context.load_cert_chain(wrong)
    station = client_tls_context(authority().path)
    station.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    station.maximum_version = ssl.TLSVersion.TLSv1_2  # whose suites say which of the server's certificates is wanted
    client = WebSocketClient(ssl_context=station, basic_auth=("CP_1", PASSWORDS["CP_1"]), backoff=NO_WAIT)
    ends.append(client)
    errors = []

    def failed(error):
        errors.append(error)
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            context.load_cert_chain(right)
        else:
            server.set_basic_auth_handler(lambda identity, password: True)
        raise ZeroDivisionError("which changes nothing")

    client.set_attempt_failed_handler(failed)
    with pytest.raises(TransportError, match="expired"):
        client.connect(server.url, "CP_1", OCPP)  # tried once: its caller hears
    assert errors == []
    client.connect(server.url, "CP_1", OCPP, retry=True)
    assert [type(error.__cause__) for error in errors] == [ssl.SSLCertVerificationError]
    server.set_basic_auth_handler(lambda identity, password: False)
    context.load_cert_chain(wrong)
    log.channel().abort()
    log.connected.wait(2)
    assert [type(error.__cause__) for error in errors[1:]] == [ssl.SSLCertVerificationError, type(None)]
    assert errors[2].status == 401
