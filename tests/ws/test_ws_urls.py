"""Connection URLs, and the identity in a request's target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocppj.errors import UsageError
from ocppj.ws.handshake.urls import BadIdentity, PathTemplate, connection_url, split_target

TEMPLATE = PathTemplate("/ocpp/{id}")
NO_CONTROLS = st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"))


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


@given(st.text(NO_CONTROLS, min_size=1, max_size=48).filter(lambda text: text not in (".", "..")))
def test_every_identity_survives_the_url(identity):
    target = connection_url("ws://csms/ocpp", identity)[len("ws://csms") :]
    assert TEMPLATE.identity(target) == identity


@pytest.mark.parametrize("target", ["/ocpp", "/", "/OCPP/CP", "/ocpp/CP/x", "/ocpp//CP", "//ocpp/CP", "/ocpp/CP/", "*"])
def test_other_paths(target):
    assert TEMPLATE.identity(target) is None


@pytest.mark.parametrize(
    "target",
    [
        *["/ocpp/", "/ocpp/%", "/ocpp/%zz", "/ocpp/%FF", "/ocpp/%00", "/ocpp/a%0Ab", "/ocpp/\xe9", "/ocpp/%C1%83P"],
        *["/ocpp/.", "/ocpp/..", "/ocpp/%2E%2e", "/ocpp/" + "x" * 256, "/ocpp/%ED%A0%80"],
    ],
    ids=lambda target: target[:20],
)
def test_bad_identities(target):
    with pytest.raises(BadIdentity):
        TEMPLATE.identity(target)


def test_unusual_targets():
    assert TEMPLATE.identity("http://host/ocpp/CP?x=1") == "CP"
    assert TEMPLATE.identity("/ocpp/\xc3\xbc") == "ü"  # raw UTF-8, as ISO 8859-1 shows it
    assert TEMPLATE.identity("/%6Fcpp/a%2Fb") == "a/b"
    assert PathTemplate("/{id}").identity("/CP") == "CP"
    assert PathTemplate("/ü x/{id}").identity("/%C3%BC%20x/CP") == "CP"
    assert split_target("/a?b?c") == ("/a", "b?c")
    assert TEMPLATE.identity("/ocpp/" + "%C3%BC" * 255) == "ü" * 255


@pytest.mark.parametrize("target", ["http://host?x=/ocpp/CP", "http://host?/ocpp/CP", "x?://host/ocpp/CP", "?/ocpp/CP"])
def test_a_query_is_no_path(target):
    """Who forwards requests by their path has looked at another one."""
    assert TEMPLATE.identity(target) is None
    assert split_target(target)[1] == target.partition("?")[2]
