"""Header fields and Basic credentials of an upgrade request."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocppj.errors import TransportError, UsageError
from ocppj.ws.handshake.credentials import Fault, UpgradeFields, basic_password, client_headers


def test_basic_credentials_of_the_documents():
    key = bytes.fromhex("0001020304050607FFFFFFFFCCCCCCCCCCCCCCCC")
    header = client_headers(None, ("AL1000", key))["Authorization"]
    assert header == "Basic QUwxMDAwOgABAgMEBQYH/////8zMzMzMzMzM"
    assert basic_password(header, "AL1000") == (key, None)
    assert basic_password(header, "AL100") == (None, Fault.OTHER_IDENTITY)
    assert basic_password(client_headers(None, ("A:B", "ü:x"))["Authorization"], "A:B") == ("ü:x".encode(), None)


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        *[(None, Fault.NONE_GIVEN), ("", Fault.NONE_GIVEN), ("Bearer QUw6eA==", Fault.NONE_GIVEN)],
        *[("Basically QUw6eA==", Fault.NONE_GIVEN), ("Digest: QUw6eA==", Fault.NONE_GIVEN)],
        *[("Basic", Fault.MALFORMED), ("Basic !!!", Fault.MALFORMED), ("Basic QUw=", Fault.MALFORMED)],
        *[("Basic QUw6eA", Fault.MALFORMED), ("Basic: QUw6eA==", Fault.MALFORMED), ("basic QUx4", Fault.MALFORMED)],
        *[("Basic:QUw6eA==", Fault.MALFORMED), ("Basic QUwxOng=", Fault.OTHER_IDENTITY)],
    ],
)
def test_no_credentials(header, fault):
    assert basic_password(header, "AL") == (None, fault)


@pytest.mark.parametrize(
    "header", ["Basic: QUw6eA==", "BASIC:QUw6eA==", "Basic QUw6eA", "basic:QUw6eA", "Basic  QUw6eA=", "Basic QUw6eA==="]
)
def test_credentials_a_little_off(header):
    assert basic_password(header, "AL")[1] is Fault.MALFORMED
    assert basic_password(header, "AL", lenient=True) == (b"x", None)


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        *[(None, Fault.NONE_GIVEN), ("Bearer: QUw6eA", Fault.NONE_GIVEN), ("Basic: !!!", Fault.MALFORMED)],
        *[("Basic:", Fault.MALFORMED), ("Basic QUw6e", Fault.MALFORMED), ("Basic: QUwxOng", Fault.OTHER_IDENTITY)],
        *[("Basic=QUw6eA==", Fault.NONE_GIVEN), ("Basic:QUw6eA== QUw6eA==", Fault.MALFORMED)],
        *[("Basic:QUw6eHk =", Fault.MALFORMED), ("Basic:QUw6eA==, Bearer x", Fault.MALFORMED)],
    ],
)
def test_what_lenient_does_not_read(header, fault):
    assert basic_password(header, "AL", lenient=True) == (None, fault)


@given(st.text(st.characters(max_codepoint=255), max_size=40), st.booleans())
def test_no_field_breaks_it(text, lenient):
    for field in (text, "Basic " + text, "Basic:" + text):
        password, fault = basic_password(field, "A", lenient)
        assert (password is None) == (fault is not None)


def test_the_scheme_is_in_any_case():
    assert basic_password("BASIC  " + base64.b64encode(b"AL:x").decode(), "AL") == (b"x", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"a b": "x"},
        {"": "x"},
        {"A:": "x"},
        {"A": "x\r\nB: y"},
        {"A": "\0"},
        {"A": "secret \ud800"},
        {"A": b"secret"},
        {b"A": "secret"},
        {"Authorization: Basic secret": ""},
        {None: "secret"},
    ],
)
def test_headers_that_cannot_be_sent(fields):
    with pytest.raises(UsageError) as caught:
        client_headers(fields, None)
    assert "secret" not in repr(caught.value) + repr(caught.value.__context__)


@pytest.mark.parametrize(
    "basic_auth",
    [
        "CP:secret",
        ("CP",),
        ("CP", "secret", 1),
        ("", "secret"),
        (b"CP", "secret"),
        ("CP", None),
        (["secret"], None),
        ("secret", ["CP"]),
        ("CP", "secret \ud800"),
        ("secret \ud800", "CP"),
        ("CP", bytearray(b"secret")),
    ],
)
def test_credentials_that_cannot_be_sent(basic_auth):
    with pytest.raises(UsageError, match="basic_auth") as caught:
        client_headers(None, basic_auth)
    assert "secret" not in repr(caught.value) + repr(caught.value.__context__)


@pytest.mark.parametrize(
    "name",
    [
        *["Host", "upgrade", "Connection", "content-length", "Transfer-Encoding"],
        *["Sec-WebSocket-Key", "sec-websocket-protocol", "Sec-WebSocket-Extensions"],
    ],
)
def test_fields_of_the_handshake_itself_are_not_said_twice(name):
    with pytest.raises(UsageError, match=f"'{name}' is set by the handshake") as caught:
        client_headers({name: "secret"}, None)
    assert "secret" not in str(caught.value)


def test_credentials_are_not_said_twice():
    assert client_headers({"authorization": "Bearer x"}, None) == {"authorization": "Bearer x"}
    for name in ("Authorization", "authorization"):
        with pytest.raises(UsageError, match="and basic_auth as well"):
            client_headers({name: "Basic secret"}, ("CP", "x"))


@pytest.mark.parametrize("bad", [["Authorization: Basic secret"], "X: secret", [("A", "secret")], 7])
def test_headers_are_a_mapping(bad):
    with pytest.raises(UsageError, match="headers are a mapping") as caught:
        client_headers(bad, None)
    assert "secret" not in repr(caught.value)


def test_fields_that_stay():
    given = {"X-A": "1"}
    fields = UpgradeFields(given, ("CP", "x"))
    given["X-A"] = "2"
    assert fields.user("else") == "CP"
    assert UpgradeFields(given, None).user("else") is None
    assert fields.has_credentials
    assert fields.ask() == ({"X-A": "1", "Authorization": "Basic Q1A6eA=="}, "CP")
    assert UpgradeFields(None, None).ask() == ({}, None)
    assert not UpgradeFields(given, None).has_credentials
    assert UpgradeFields({"authorization": "Bearer x"}, None).has_credentials
    for headers, basic_auth in [({"A": "\n"}, None), (None, ("CP",)), (dict, ("CP",)), ({"A": 7}, lambda: None)]:
        with pytest.raises(UsageError):
            UpgradeFields(headers, basic_auth)


def test_fields_that_change():
    passwords, tokens = [None, ("CP", "y"), ("CP", "x")], [{}, None, {"X-A": "1"}]
    fields = UpgradeFields(tokens.pop, passwords.pop)
    assert fields.user("CP_2") == "CP_2"
    assert len(passwords) == len(tokens) == 3  # none was asked for yet
    assert fields.ask() == ({"X-A": "1", "Authorization": "Basic Q1A6eA=="}, "CP")
    assert fields.ask() == ({"Authorization": "Basic Q1A6eQ=="}, "CP")
    assert fields.ask() == ({}, None)


@pytest.mark.parametrize("bad", [lambda: {}["secret-of-nobody"], lambda: ("CP", 7), lambda: "CP:s3cret", lambda: 7])
def test_functions_that_fail(bad):
    for fields in (UpgradeFields(bad, None), UpgradeFields(None, bad)):
        with pytest.raises(TransportError, match="basic_auth|headers|password") as caught:
            fields.ask()
        assert "s3cret" not in str(caught.value)
