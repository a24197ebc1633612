"""Which clients a server accepts."""

from concurrent.futures import Future
from enum import Enum
from urllib.parse import quote

import pytest

from ocppj.ws.handshake.credentials import client_headers
from ocppj.ws.handshake.http import BadRequest, Headers, parse_request
from ocppj.ws.handshake.identities import IdentityByFunction, PathTemplates
from ocppj.ws.handshake.policy import Demands, HandshakePolicy, choose_subprotocol, websocket_headers
from tests.ws.support import request

TEMPLATE = PathTemplates("/ocpp/{id}")


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


@pytest.mark.parametrize(
    ("offered", "supported", "server", "chosen"),
    [("ab", "ba", False, "a"), ("ab", "ba", True, "b"), ("a", "b", False, None), ("", "b", True, None)],
)
def test_choosing_a_subprotocol(offered, supported, server, chosen):
    assert choose_subprotocol(list(offered), list(supported), server) == chosen


def test_a_default_subprotocol_is_for_clients_that_offer_none():
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
    policy.demands = Demands(3)
    assert answer(policy, certificate) == 401
    policy.check_certificate = lambda request: True
    assert answer(policy, certificate) == 401
    policy.demands = Demands()
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
        (1, None, ("other", "x"), "Basic credentials of another identity than 'CP'"),
        (1, None, ("CP", "x"), "wrong credentials of 'CP'"),
        (3, None, ("CP", "x"), "no verified certificate of 'CP'"),
        (3, {}, None, "no verified certificate of 'CP'"),
        (3, {"subject": ((("commonName", "other"),),)}, None, "the certificate is not one of 'CP'"),
    ],
)
def test_what_is_wrong_is_said(profile, certificate, credentials, story):
    policy = HandshakePolicy()
    policy.demands = Demands(profile)
    headers = Headers(client_headers(None, credentials).items())
    with pytest.raises(BadRequest) as caught:
        policy.decide(TEMPLATE, ["x"], "/ocpp/CP", headers, "here", certificate)
    assert (caught.value.status, str(caught.value)) == (401, story)


def test_a_query_is_not_shown():
    accepted = HandshakePolicy().decide(TEMPLATE, ["x"], "/ocpp/CP?token=secret", Headers(), "here")
    assert accepted.request.query == "token=secret"
    assert "secret" not in repr(accepted)


@pytest.mark.parametrize("profile", [1, 2])
def test_a_profile_of_passwords_needs_a_password(profile):
    policy = HandshakePolicy()
    policy.demands = Demands(profile)
    credentials = client_headers(None, ("CP", "x"))
    assert answer(policy, None, **credentials) == 401
    policy.check_credentials = lambda identity, password: password == b"x"
    assert answer(policy, None) == 401
    assert answer(policy, None, **client_headers(None, ("CP", "y"))) == 401
    assert answer(policy, None, **credentials) == 101


@pytest.mark.parametrize("unseen", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u061c", "\u3164"])
@pytest.mark.parametrize("place", ["identity", "tenant"])
def test_plain_identities_have_no_character_that_does_not_show(place, unseen):
    values = {"identity": "CP_1", "tenant": "Zürich"}
    template = PathTemplates("/{tenant}/{id}")

    def decide(**options):
        target = "/" + quote(values["tenant"]) + "/" + quote(values["identity"])
        return HandshakePolicy(**options).decide(template, ["ocpp1.6"], target, Headers(()), "192.0.2.1")

    assert decide(plain_identities=True).request.identity == "CP_1"
    values[place] += unseen
    assert decide().request.identity == values["identity"]
    with pytest.raises(BadRequest, match=f"the {place} has characters that do not show") as caught:
        decide(plain_identities=True)
    assert caught.value.status == 400


def test_plain_identities_holds_for_identities_of_a_function():
    policy = HandshakePolicy(plain_identities=True)
    with pytest.raises(BadRequest):
        policy.decide(IdentityByFunction(lambda request: "CP\u200b"), ["ocpp1.6"], "/", Headers(()), "192.0.2.1")
