"""The address of a client behind proxies that the server trusts."""

import pytest

from ocppj.errors import UsageError
from ocppj.ws.handshake.forwarded import TrustedProxies
from ocppj.ws.handshake.http import Headers
from ocppj.ws.server import WebSocketServer
from tests.helpers import eventually
from tests.ws.support import OCPP, PATH, Log, RawClient

PROXIES = ["10.0.0.0/8", "192.0.2.1", "2001:db8:ffff::/48"]
PEER = "10.1.2.3:4711"


def client_of(address, value, header="X-Forwarded-For", name=None):
    headers = Headers([(name or header, each) for each in ([value] if isinstance(value, str) else value)])
    return TrustedProxies(PROXIES, header).client_of(address, headers)


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.7", "203.0.113.7:0"),
        ("203.0.113.7:1234", "203.0.113.7:1234"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7:0"),  # the first was sent by the client
        ("203.0.113.7, 192.0.2.1, 10.9.9.9", "203.0.113.7:0"),
        (["203.0.113.7", "192.0.2.1"], "203.0.113.7:0"),  # two fields are one list
        ("10.0.0.1, 192.0.2.1", "10.0.0.1:0"),  # nobody but proxies
        ("2001:db8::7", "[2001:db8::7]:0"),
        ("[2001:db8::7]:443", "[2001:db8::7]:443"),
        ("::ffff:203.0.113.7", "203.0.113.7:0"),
        ("unknown", PEER),
        ("203.0.113.7, unknown", PEER),
        ("203.0.113.7, rubbish, 192.0.2.1", "192.0.2.1:0"),
        ("", PEER),
        (" , ,", PEER),
        ("1.2.3.4.5", PEER),
        ("203.0.113.7:999999", PEER),
    ],
)
def test_the_last_address_that_is_no_proxy_is_the_client(value, client):
    assert client_of(PEER, value) == client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=203.0.113.7", "203.0.113.7:0"),
        ('proto=https; FOR = "203.0.113.7:80" ;by=10.0.0.1', "203.0.113.7:80"),
        ('for="[2001:db8::7]:443"', "[2001:db8::7]:443"),
        ("for=198.51.100.1, for=203.0.113.7, for=192.0.2.1", "203.0.113.7:0"),
        ("for=unknown", PEER),
        ("for=_hidden", PEER),
        ("proto=https", PEER),
        ('for="198.51.100.1, for=203.0.113.7', "203.0.113.7:0"),  # a quote that is left open hides nothing
        ("", PEER),
    ],
)
def test_the_standard_field(value, client):
    assert client_of(PEER, value, "Forwarded") == client


def test_the_field_that_was_not_chosen_means_nothing():
    assert client_of(PEER, "203.0.113.7", "Forwarded", "X-Forwarded-For") == PEER
    assert client_of(PEER, "for=203.0.113.7", "X-Forwarded-For", "Forwarded") == PEER


@pytest.mark.parametrize("peer", ["203.0.113.9:1", "[2001:db8::9]:1", "memory", "[fe80::1%eth0]:1"])
def test_who_is_no_proxy_is_not_believed(peer):
    assert client_of(peer, "198.51.100.1") == peer


@pytest.mark.parametrize("peer", ["192.0.2.1:1", "[::ffff:192.0.2.1]:1", "[2001:db8:ffff::1]:1"])
def test_a_proxy_may_be_an_address_or_in_a_network(peer):
    assert client_of(peer, "203.0.113.7") == "203.0.113.7:0"


def test_a_long_field_costs_little():
    entries = ", ".join(["10.0.0.1"] * 1000)
    assert client_of(PEER, entries) == "10.0.0.1:0"
    for rubbish in ('"' * 16_000, "for=" + " " * 16_000 + '"x', ";" * 16_000, '"\\' * 8_000):
        assert client_of(PEER, rubbish, "Forwarded") == PEER


@pytest.mark.parametrize("proxy", ["nonsense", "10.0.0.0/99", 7, None, b"10.0.0.1"])
def test_what_is_no_proxy(proxy):
    with pytest.raises(UsageError, match="trusted proxy"):
        WebSocketServer(trusted_proxies=[proxy])


@pytest.mark.parametrize("options", [{"trusted_proxies": "10.0.0.1"}, {"proxy_header": "X-Real-IP"}])
def test_options_that_cannot_be(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        WebSocketServer(**options)


# On a server ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def make():
    made = []

    def make(**options):
        server = WebSocketServer(**options)
        made.append(server)
        log = Log(server)
        server.listen(0, PATH, "127.0.0.1", OCPP)
        return server, log

    yield make
    for server in made:
        server.stop()


def upgrade(server, client, path="/ocpp/CP_1"):
    """Connect through a proxy; return the status and the socket."""
    raw = RawClient(server.url)
    head = raw.upgrade(path, X_Forwarded_For=client)
    return int(head.split()[1]), raw


def test_handlers_and_channels_are_told_of_the_client(make):
    server, log = make(trusted_proxies=["127.0.0.0/8"])
    asked = []
    server.set_check_client_handler(lambda request: bool(asked.append(request.remote_address)) or True)
    status, raw = upgrade(server, "203.0.113.7")
    with raw:
        assert status == 101
        assert log.channel().remote_address == "203.0.113.7:0"
        assert asked == ["203.0.113.7:0"]


def test_connections_and_attempts_are_counted_by_client(make, caplog):
    server, _ = make(
        trusted_proxies=["127.0.0.1"], max_connections_per_address=2, max_attempts_per_second_per_address=3
    )
    raws = []
    for client, statuses in [("203.0.113.7", [101, 101, 503, 503]), ("203.0.113.8", [101, 101, 503])]:
        for number, status in enumerate(statuses):
            got, raw = upgrade(server, client, f"/ocpp/{client}-{number}")
            raws.append(raw)
            assert got == status, (client, number)
    assert server.stats().refused == {
        "max_connections_per_address": 2,
        "max_attempts_per_second_per_address": 1,
    }
    assert "203.0.113.7:0: refused with 503: too many attempts from this address" in caplog.text
    for raw in raws:
        raw.sock.close()
    eventually(lambda: server.stats().connections == 0)
    assert upgrade(server, "203.0.113.9", "/ocpp/9")[0] == 101


def test_without_trust_the_field_means_nothing(make):
    server, log = make(max_connections_per_address=1)
    first = upgrade(server, "203.0.113.7")
    assert first[0] == 101
    assert log.channel().remote_address.startswith("127.0.0.1:")
    second = upgrade(server, "203.0.113.8", "/ocpp/CP_2")
    assert second[0] == 503
    for _, raw in (first, second):
        raw.sock.close()
