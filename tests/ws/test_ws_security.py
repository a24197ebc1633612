"""Security profiles: what options make them, and that nobody gets in without what they demand; on real sockets."""

import ssl

import pytest

from ocppj import HandshakeRefused, TransportError, UsageError, client_tls_context, server_tls_context
from ocppj.ws.client import WebSocketClient
from ocppj.ws.security import check_client_profile, check_profile, check_server_profile, check_user
from ocppj.ws.server import WebSocketServer
from tests.certificates import authority, server_file, stranger
from tests.ws.support import PATH, Log

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
    for make in (check_profile, lambda bad: WebSocketServer(security_profile=bad)):
        with pytest.raises(UsageError, match="0, 1, 2, 3 or None"):
            make(bad)
    with pytest.raises(UsageError, match="0, 1, 2, 3 or None"):
        WebSocketClient(security_profile=bad)


def test_users():
    check_user(None, "CP")
    check_user("other", "CP")
    check_user("A:B", "A:B")
    with pytest.raises(UsageError):
        check_user("A:B", "A")


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
    assert "wrong or missing certificate of 'CP_4'" in caplog.text
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
