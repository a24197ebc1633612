"""The pure parts: URLs, credentials, HTTP, and whom a server lets in."""

import base64
import contextlib
import http.client
import sys
import time
from concurrent.futures import Future
from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocppj.errors import TransportError, UsageError
from ocppj.ws.handshake.http import BadRequest, Headers, parse_request, refusal
from ocppj.ws.handshake.policy import HandshakePolicy, choose_subprotocol, websocket_headers
from ocppj.ws.handshake.urls import (
    BadIdentity,
    PathTemplate,
    UpgradeFields,
    basic_password,
    client_headers,
    connection_url,
    split_target,
)
from tests.helpers import seconds
from tests.ws.support import request

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


def test_basic_credentials_of_the_documents():
    key = bytes.fromhex("0001020304050607FFFFFFFFCCCCCCCCCCCCCCCC")
    header = client_headers(None, ("AL1000", key))["Authorization"]
    assert header == "Basic QUwxMDAwOgABAgMEBQYH/////8zMzMzMzMzM"
    assert basic_password(header, "AL1000") == key
    assert basic_password(header, "AL100") is None
    assert basic_password(client_headers(None, ("A:B", "ü:x"))["Authorization"], "A:B") == "ü:x".encode()


@pytest.mark.parametrize("header", [None, "", "Basic", "Basic !!!", "Bearer QUw6eA==", "Basic QUw=", "basic QUx4"])
def test_no_credentials(header):
    assert basic_password(header, "AL") is None


def test_the_scheme_is_in_any_case():
    assert basic_password("BASIC  " + base64.b64encode(b"AL:x").decode(), "AL") == b"x"


def test_headers():
    headers = Headers([("X-A", "1"), ("x-a", "2, 3"), ("Authorization", "Basic secret")])
    assert headers["X-a"] == "1, 2, 3"
    assert headers.tokens("x-A") == ["1", "2", "3"]
    assert "X-B" not in headers
    assert "secret" not in repr(headers)


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
    assert len(passwords) == len(tokens) == 3  # nobody has asked yet
    assert fields.ask() == ({"X-A": "1", "Authorization": "Basic Q1A6eA=="}, "CP")
    assert fields.ask() == ({"Authorization": "Basic Q1A6eQ=="}, "CP")
    assert fields.ask() == ({}, None)


@pytest.mark.parametrize("bad", [lambda: {}["secret-of-nobody"], lambda: ("CP", 7), lambda: "CP:s3cret", lambda: 7])
def test_functions_that_fail(bad):
    for fields in (UpgradeFields(bad, None), UpgradeFields(None, bad)):
        with pytest.raises(TransportError, match="cannot connect") as caught:
            fields.ask()
        assert "s3cret" not in str(caught.value)


@given(st.binary(max_size=400))
def test_parsing_never_fails_otherwise(data):
    try:
        parse_request(data + b"\r\n\r\n")
    except BadRequest:
        pass


@given(
    st.lists(st.sampled_from([b"GET ", b"/x", b" HTTP/1.1", b"\r\n", b"A: b", b":", b" ", b"\t", b"\xff"]), max_size=12)
)
def test_parsing_near_requests_never_fails_otherwise(parts):
    try:
        websocket_headers(parse_request(b"GET /x HTTP/1.1\r\n" + b"".join(parts) + b"\r\n\r\n"), True)
    except BadRequest:
        pass


PIECES = [
    *[b"A: b", b"Host: x", b"From x", b"Subject: a", b"Content-Type: text/x", b"Content-Transfer-Encoding: base64"],
    *[b":", b" ", b"\t", b"(", b"-", b"B:", b"=?utf-8?q?x?=", b"\n", b"\r\n "],
    *[b"\x01", b"\x0b", b"\x0c", b"\x1c", b"\x7f", b"\x85", b"\xa0", b"\xff"],
]


@settings(max_examples=500)
@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map(b"".join), max_size=4))
def test_the_short_way_to_read_fields_finds_what_the_long_way_does(lines):
    """A folded field has all fields of its head read the long way."""
    head = b"GET /x HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    head = head[: head.index(b"\r\n\r\n") + 2]
    short, read = reading(head + b"\r\n")
    if short:
        short, otherwise = reading(head + b"Z-Folded: a\r\n b\r\n\r\n")
        assert not short
        assert {**read, "z-folded": otherwise["Z-Folded"]} == dict(otherwise)


def reading(head):
    """Parse ``head``; return whether that was the short way, which leaves http.client alone, and the fields.

    Of a head that is refused there are none, and nothing is the short way.
    """
    long = []

    def look(frame, event, argument):
        if event == "call" and frame.f_code is http.client.parse_headers.__code__:
            long.append(frame)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        fields = parse_request(head).headers
    except BadRequest:
        return False, None
    finally:
        sys.setprofile(before)
    return not long, fields


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        (b"Sec-WebSocket-Key: x", True),
        (b"A:", True),
        (b"A: \t b c", True),
        (b"A: b \t ", True),
        (b" folded", False),
        (b"A : b", False),
        (b"A: b\nC: d", False),
        (b"A: \x01", False),
    ],
)
def test_which_fields_are_read_the_short_way(line, plain):
    assert reading(b"GET /x HTTP/1.1\r\n" + line + b"\r\n\r\n")[0] == plain


def test_there_are_not_too_many_fields():
    for count, refused in [(50, False), (101, True)]:
        many = b"".join(b"A%d: b\r\n" % number for number in range(count))
        short, fields = reading(b"GET /x HTTP/1.1\r\n" + many + b"\r\n")
        assert (short, fields is None) == (not refused, refused)


SLOW = [
    b"X:" + b" " * 16000 + b"\1",
    b"X:" + b"\t" * 16000 + b"\1",
    b"X:" + b" \t" * 8000 + b"\x7f",
    b" " * 16000 + b":",
]


@pytest.mark.parametrize("line", SLOW, ids=["spaces", "tabs", "both", "no name"])
def test_no_line_takes_long_to_parse(line):
    """A regular expression holds the interpreter: all connections would stand still meanwhile."""
    begun = time.process_time()
    with contextlib.suppress(BadRequest):
        parse_request(b"GET /ocpp/CP HTTP/1.1\r\n" + line + b"\r\n\r\n")
    assert time.process_time() - begun < seconds(0.5)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a", "a"), ("  a", "a"), ("\t a b", "a b"), ("", ""), (" a ", "a"), (" a\t ", "a"), ("a\r\n \1b ", "a  \1b")],
)
def test_the_space_around_a_value_is_none_of_it(text, value):
    head = parse_request(b"GET /ocpp/CP HTTP/1.1\r\nX:" + text.encode() + b"\r\n\r\n")
    assert head.headers["x"] == value


def test_spaces_after_the_values_of_an_upgrade_do_not_matter():
    line, _, fields = request().partition(b"\r\n")
    spaced = fields[:-4].replace(b"\r\n", b" \t\r\n") + b" \r\n\r\n"
    plain, odd = (websocket_headers(parse_request(line + b"\r\n" + each), True) for each in (fields, spaced))
    assert odd == plain


@pytest.mark.parametrize(
    "stray", [b"a\rX-Verified: yes", b"a\r\r\nX-Verified: yes", b"a\0", b"a\nX-Verified: yes", b"a\n X-Verified: yes"]
)
def test_a_field_cannot_be_hidden_in_another(stray):
    head = b"GET /ocpp/CP HTTP/1.1\r\nHost: x\r\nCookie: " + stray + b"\r\n\r\n"
    with pytest.raises(BadRequest, match="malformed header"):
        parse_request(head)


def test_a_good_request():
    head = parse_request(request("/ocpp/CP_1", X_Folded="a"))
    assert (head.method, head.target, head.version) == ("GET", "/ocpp/CP_1", "1.1")
    fields = websocket_headers(head, True)
    assert sorted(fields) == ["Sec-WebSocket-Key", "Sec-WebSocket-Protocol", "Sec-WebSocket-Version"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Upgrade": ""}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Connection": ""}, 400),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Host": ""}, 400),
        ({"Content_Length": "5"}, 400),
        ({"Transfer_Encoding": "chunked"}, 400),
    ],
)
def test_what_is_no_upgrade(changes, status):
    with pytest.raises(BadRequest) as caught:
        websocket_headers(parse_request(request(**changes)), True)
    assert caught.value.status == status


@pytest.mark.parametrize("name", ["Host", "Authorization", "Origin"])
def test_what_may_be_there_once(name):
    other = request(X_A="1").replace(b"\r\n\r\n", f"\r\nX-A: 2\r\n{name}: 3\r\n\r\n".encode())
    twice = other.replace(b"\r\n\r\n", f"\r\n{name.lower()}: 3\r\n\r\n".encode())
    if name != "Host":
        websocket_headers(parse_request(other), True)
    with pytest.raises(BadRequest, match="one only") as caught:
        websocket_headers(parse_request(twice), True)
    assert caught.value.status == 400


def test_other_methods_and_versions():
    for line, status in [(b"POST", 405), (b"HEAD", 405)]:
        with pytest.raises(BadRequest) as caught:
            websocket_headers(parse_request(request().replace(b"GET", line)), True)
        assert caught.value.status == status
    with pytest.raises(BadRequest):
        websocket_headers(parse_request(request().replace(b"HTTP/1.1", b"HTTP/1.0")), True)


def test_compression_is_passed_on_when_allowed():
    head = parse_request(request(Sec_WebSocket_Extensions="permessage-deflate"))
    assert "Sec-WebSocket-Extensions" in websocket_headers(head, True)
    assert "Sec-WebSocket-Extensions" not in websocket_headers(head, False)


def test_refusals():
    data = refusal(401, "no", [("WWW-Authenticate", "Basic")])
    assert data.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\nWWW-Authenticate: Basic\r\n" in data
    assert data.endswith(b"\r\n\r\nno\n")
    assert refusal(499, "odd").startswith(b"HTTP/1.1 499 ")


@pytest.mark.parametrize(
    ("offered", "supported", "server", "chosen"),
    [("ab", "ba", False, "a"), ("ab", "ba", True, "b"), ("a", "b", False, None), ("", "b", True, None)],
)
def test_choosing_a_subprotocol(offered, supported, server, chosen):
    assert choose_subprotocol(list(offered), list(supported), server) == chosen


def test_a_default_subprotocol_is_for_those_who_offer_none():
    policy = HandshakePolicy(default_subprotocol="ocpp1.6", no_subprotocol="reject")
    accepted = policy.decide(TEMPLATE, ["ocpp1.6"], "/ocpp/CP", Headers(), "here")
    assert (accepted.subprotocol, accepted.effective) == (None, "ocpp1.6")
    offer = Headers([("Sec-WebSocket-Protocol", "soap")])
    with pytest.raises(BadRequest):
        policy.decide(TEMPLATE, ["ocpp1.6"], "/ocpp/CP", offer, "here")


def test_the_order_of_the_checks():
    policy = HandshakePolicy()
    asked = []
    policy.check_origin = lambda origin: asked.append("origin") or True
    policy.check_client = lambda request: asked.append("client") or True
    policy.check_certificate = lambda request: asked.append("certificate") or True
    policy.check_credentials = lambda identity, password: asked.append("credentials") or True
    headers = Headers([("Sec-WebSocket-Protocol", "x"), *client_headers(None, ("CP", "secret")).items()])
    accepted = policy.decide(TEMPLATE, ["x"], "/ocpp/CP", headers, "here", {"subject": ()})
    assert asked == ["origin", "client", "certificate", "credentials"]
    assert accepted.request.peer_certificate == {"subject": ()}
    assert "secret" not in repr(accepted)


CERTIFICATE = {
    "subject": (
        (("organizationName", "Operator"),),
        (("commonName", "CP"), ("commonName", "serial")),
    ),
    "subjectAltName": (("DNS", "alias"), ("DNS", "*.example"), ("IP Address", "127.0.0.1"), ("URI", "uri")),
}


def answer(policy, certificate, identity="CP", **headers):
    """Return how the policy decides: 101 or the status it refuses with."""
    fields = Headers([("Sec-WebSocket-Protocol", "x"), *headers.items()])
    try:
        policy.decide(TEMPLATE, ["x"], f"/ocpp/{identity}", fields, "here", certificate)
    except BadRequest as error:
        refused = error
    else:
        return 101
    assert (refused.status == 401) == ("WWW-Authenticate" in dict(refused.headers))
    return refused.status


@pytest.mark.parametrize("identity", ["CP", "serial", "alias"])
def test_a_certificate_names_the_identity(identity):
    assert answer(HandshakePolicy(), CERTIFICATE, identity) == 101


@pytest.mark.parametrize("identity", ["cp", "CP2", "Operator", "uri", "127.0.0.1", "x.example", "P", ","])
def test_a_certificate_that_names_someone_else(identity):
    assert answer(HandshakePolicy(), CERTIFICATE, identity) == 401
    assert answer(HandshakePolicy(), {"subject": ()}, identity) == 401


@pytest.mark.parametrize("certificate", [None, {}])
def test_no_verified_certificate(certificate):
    policy = HandshakePolicy()
    assert answer(policy, certificate) == 101
    policy.security_profile = 3
    assert answer(policy, certificate) == 401
    policy.check_certificate = lambda request: True
    assert answer(policy, certificate) == 401
    policy.security_profile = None
    assert answer(policy, certificate) == 101
    policy.check_certificate = lambda request: request.certificate_matches
    assert answer(policy, certificate) == 401


def _generator(*arguments):
    yield False


async def _coroutine(*arguments):
    return False


async def _async_generator(*arguments):
    yield False


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("late", [_generator, _coroutine, _async_generator])
@pytest.mark.parametrize("name", ["check_origin", "check_client", "check_certificate", "check_credentials"])
def test_what_a_check_would_say_later_is_no_yes(name, late, caplog):
    """An async function, for which there is an error of its own where handlers are set, and what is like it."""
    policy = HandshakePolicy()
    setattr(policy, name, late)
    credentials = client_headers(None, ("CP", "x"))
    assert answer(policy, CERTIFICATE, **credentials) == 500
    assert "not True or False" in caplog.text


class Status(str, Enum):
    ACCEPTED = "Accepted"
    REJECTED = "Rejected"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        *[(True, 101), (False, 401), (None, 401), ("", 401), (0, 401), ([], 401)],
        *[("Rejected", 500), (Status.REJECTED, 500), (Status.ACCEPTED, 500), ((False, "no"), 500), ([False], 500)],
        *[(2, 500), (1, 500), (Future(), 500), (lambda: False, 500), (object(), 500)],
    ],
)
@pytest.mark.parametrize("name", ["check_certificate", "check_credentials"])
def test_a_yes_is_true_and_nothing_else(name, said, status, caplog):
    policy = HandshakePolicy()
    setattr(policy, name, lambda *_: said)
    assert answer(policy, CERTIFICATE, **client_headers(None, ("CP", "x"))) == status
    if status == 500:
        assert f"returned {type(said).__name__}, not True or False" in caplog.text


def test_a_wrong_path_is_named_as_far_as_it_is_short():
    for path, shown in [("/x/CP", "'/x/CP'"), ("/" + "y" * 200, "'/" + "y" * 99 + "...'")]:
        with pytest.raises(BadRequest) as caught:
            HandshakePolicy().decide(TEMPLATE, ["x"], path + "?token=secret", Headers(), "here")
        assert str(caught.value) == f"no client connects to {shown}"


@pytest.mark.parametrize(
    ("profile", "certificate", "credentials", "story"),
    [
        (1, None, None, "no Basic credentials of 'CP'"),
        (1, None, ("other", "x"), "no Basic credentials of 'CP'"),
        (1, None, ("CP", "x"), "wrong credentials of 'CP'"),
        (3, None, ("CP", "x"), "no verified certificate of 'CP'"),
        (3, {}, None, "no verified certificate of 'CP'"),
        (3, {"subject": ((("commonName", "other"),),)}, None, "the certificate is not one of 'CP'"),
    ],
)
def test_what_is_wrong_is_said(profile, certificate, credentials, story):
    policy = HandshakePolicy()
    policy.security_profile = profile
    headers = Headers(client_headers(None, credentials).items())
    with pytest.raises(BadRequest) as caught:
        policy.decide(TEMPLATE, ["x"], "/ocpp/CP", headers, "here", certificate)
    assert (caught.value.status, str(caught.value)) == (401, story)


def test_a_query_is_not_shown():
    accepted = HandshakePolicy().decide(TEMPLATE, ["x"], "/ocpp/CP?token=secret", Headers(), "here")
    assert accepted.request.query == "token=secret"
    assert "secret" not in repr(accepted)


@pytest.mark.parametrize("profile", [1, 2])
def test_a_profile_of_passwords_lets_nobody_in_without(profile):
    policy = HandshakePolicy()
    policy.security_profile = profile
    credentials = client_headers(None, ("CP", "x"))
    assert answer(policy, None, **credentials) == 401
    policy.check_credentials = lambda identity, password: password == b"x"
    assert answer(policy, None) == 401
    assert answer(policy, None, **client_headers(None, ("CP", "y"))) == 401
    assert answer(policy, None, **credentials) == 101
