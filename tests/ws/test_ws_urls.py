"""Connection URLs, and the target of a request."""

import pytest

from ocppj.errors import UsageError
from ocppj.ws.handshake.urls import connection_url, doubled_identity, split_target


@pytest.mark.parametrize(
    ("endpoint", "identity", "url"),
    [
        ("ws://csms/ocpp", "RDAM|123", "ws://csms/ocpp/RDAM%7C123"),
        ("ws://csms/ocpp/", "RDAM 123", "ws://csms/ocpp/RDAM%20123"),
        ("wss://csms:8443", "a/b", "wss://csms:8443/a%2Fb"),
        ("ws://[::1]:9000/x?site=7", "ü", "ws://[::1]:9000/x/%C3%BC?site=7"),
    ],
)
def test_connection_urls(endpoint, identity, url):
    assert connection_url(endpoint, identity) == url


@pytest.mark.parametrize(
    ("endpoint", "identity"),
    [
        ("ws://csms", ""),
        ("ws://csms", "a\0"),
        ("ws://csms", "."),
        ("ws://csms", ".."),
        ("ws://csms", "x" * 256),
        ("ws://csms", "secret\ud800"),
        ("ws://csms#x", "CP"),
        ("ws://user:secret@csms", "CP"),
        ("ws://user:secret", "CP"),
        ("user:secret@csms/ocpp", "CP"),
        ("ws://user:secret@csm\u2100/", "CP"),
        ("ws://[secret", "CP"),
        ("ws://csms/ocpp?token=secret one", "CP"),
        ("ws://csms/ocpp two", "CP"),
        ("ws://csms/ocpp?token=secret\x7f", "CP"),
        ("ws://csms/ocpp?token=secret\ud800", "CP"),
    ],
)
def test_bad_connection_urls(endpoint, identity):
    with pytest.raises(UsageError) as caught:
        connection_url(endpoint, identity)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "identity"),
    [
        *[("ws://csms/ocpp/CP_1", "CP_1"), ("ws://csms/CP_1/", "CP_1"), ("wss://csms/a%2Fb?x=1", "a/b")],
        *[("ws://csms/%43P_1", "CP_1"), ("ws://csms/AA:BB", "AA:BB"), ("ws://csms/x y", "x y")],
    ],
)
def test_an_endpoint_that_ends_in_the_identity_is_noticed(endpoint, identity):
    assert repr(identity) in doubled_identity(endpoint, identity)


@pytest.mark.parametrize("endpoint", ["ws://csms", "ws://csms/", "ws://csms/ocpp", "ws://CP_1", "ws://csms/x?CP_1",
    "ws://csms/CP_1/ocpp", "ws://csms/cp_1", "ws://csms/xCP_1"])  # fmt: skip
def test_other_endpoints_are_not(endpoint):
    assert doubled_identity(endpoint, "CP_1") is None


def test_targets():
    assert split_target("/a?b?c") == ("/a", "b?c")
    assert split_target("http://host/ocpp/CP?x=1") == ("/ocpp/CP", "x=1")
