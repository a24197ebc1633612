"""`Refusal`: check handlers choose the status of a refusal, and its fields."""

import pickle

import pytest

from ocppj import Backoff, Client, HandshakeRefused, Refusal, Server, UsageError, v16
from ocppj.ws.handshake.wrong_passwords import WrongPasswords
from tests.fixtures import cleanup, make_client, make_server, transport  # noqa: F401
from tests.helpers import Recorder, seconds
from tests.ws.support import RawClient


def refused(client, url):
    with pytest.raises(HandshakeRefused) as caught:
        client.connect(url)
    return caught.value


SETTERS = ["set_check_client_handler", "set_check_origin_handler", "set_check_certificate_handler"]


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("raises", [False, True], ids=["returned", "raised"])
def test_a_check_chooses_the_status_and_retry_after(make_server, make_client, setter, raises):
    server = make_server()

    def check(_):
        refusal = Refusal(503, retry_after=2, reason="come back later")
        if raises:
            raise refusal
        return refusal

    getattr(server, setter)(check)
    error = refused(make_client(), server.url)
    assert (error.status, error.retry_after, error.body) == (503, 2.0, "come back later")
    assert server.stats().refused == {"refusal": 1}


def test_one_for_passwords(make_server, make_client):
    server = make_server()
    server.set_basic_auth_handler(lambda client_id, password: Refusal(403, reason="expired"))
    error = refused(make_client(ws={"basic_auth": ("CP_1", "a password of some length")}), server.url)
    assert (error.status, error.body) == (403, "expired")


@pytest.mark.parametrize("raises", [False, True], ids=["returned", "raised"])
def test_identify_may_refuse_so(make_server, make_client, raises):
    def identify(request):
        if raises:
            raise Refusal(429, retry_after=1.2)
        return Refusal(429, retry_after=1.2)

    server = make_server(listen=False)
    server.listen(host="127.0.0.1", identify=identify)
    error = refused(make_client(), server.url)
    assert (error.status, error.retry_after) == (429, 2.0)


def test_a_status_without_a_name(make_server, make_client):
    server = make_server()
    server.set_check_client_handler(lambda request: Refusal(599))
    error = refused(make_client(), server.url)
    assert (error.status, error.body) == (599, "Refused")


def test_a_client_comes_back_after_retry_after(make_server, make_client):
    server, seen = make_server(), Recorder()

    def check(request):
        seen(request.identity)
        return Refusal(503, retry_after=1) if len(seen.calls) == 1 else True

    server.set_check_client_handler(check)
    failed = Recorder()
    client = make_client(ws={"backoff": Backoff(0.0, 0.0, 0)}, reconnect=True)
    client.set_attempt_failed_handler(failed)
    client.connect(server.url, retry=True)
    assert failed.calls[0][0].retry_after == 1.0
    assert len(seen.calls) == 2


def test_the_response_has_the_fields():
    with Server(profiles=v16.PROFILES).listen(host="127.0.0.1") as server:
        server.set_check_client_handler(lambda request: Refusal(302, headers={"Location": "/elsewhere", "X-A": "b"}))
        with RawClient(server.url) as raw:
            head = raw.upgrade("/CP_1")
    assert head.startswith("HTTP/1.1 302 Found\r\n")
    assert "\r\nLocation: /elsewhere\r\nX-A: b" in head
    assert "Retry-After" not in head


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [(None, 'Basic realm="ocppj", charset="UTF-8"'), ({"www-authenticate": "Bearer"}, "Bearer")],
    ids=["basic", "own"],
)
def test_a_401_has_one_challenge(headers, challenge):
    with Server(profiles=v16.PROFILES).listen(host="127.0.0.1") as server:
        server.set_check_client_handler(lambda request: Refusal(401, headers=headers))
        with RawClient(server.url) as raw:
            head = raw.upgrade("/CP_1").split("\r\n")
    found = [line for line in head if line.lower().startswith("www-authenticate")]
    assert [line.partition(": ")[2] for line in found] == [challenge]


@pytest.mark.parametrize(
    "arguments",
    [
        {"status": 200},
        {"status": 299},
        {"status": 600},
        {"status": True},
        {"status": "503"},
        {"status": 503, "retry_after": -1},
        {"status": 503, "retry_after": float("nan")},
        {"status": 503, "retry_after": "soon"},
        {"status": 503, "headers": {"X": "a\r\nY: b"}},
        {"status": 503, "headers": {"X": "ä"}},
        {"status": 503, "headers": {"Content-Length": "5"}},
        {"status": 503, "headers": {"content-type": "a/b"}},
        {"status": 503, "headers": [("X", "a")]},
        {"status": 503, "headers": {"retry-after": "5"}, "retry_after": 5},
        {"status": 503, "reason": b"bytes"},
        {"status": 503, "reason": "\ud800"},
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_refused_where_it_is_made(arguments):
    with pytest.raises(UsageError):
        Refusal(**arguments)


def test_a_refusal_that_cannot_be_made_is_500(make_server, make_client):
    server = make_server()
    server.set_check_client_handler(lambda request: Refusal(200))
    assert refused(make_client(), server.url).status == 500


def test_it_says_what_it_is():
    assert str(Refusal(503)) == "503 Service Unavailable"
    assert str(Refusal(503, reason="closed")) == "503 closed"
    again = pickle.loads(pickle.dumps(Refusal(503, 2, {"X": "a"}, "closed")))
    assert (again.status, again.retry_after, again.headers, again.reason) == (503, 2, {"X": "a"}, "closed")


def test_it_counts_as_a_wrong_password():
    guard, statuses = WrongPasswords(lambda: 0.0), []

    def is_right():
        raise Refusal(403)

    for _ in range(12):
        try:
            guard.check("CP_1", "192.0.2.1", is_right)
        except Exception as error:
            statuses.append(error.status)
    assert statuses == [403] * 10 + [429] * 2


def test_a_station_that_is_refused_elsewhere_is_not_held_up():
    """A Refusal of one client changes nothing for the others."""
    with Server(profiles=v16.PROFILES).listen(host="127.0.0.1") as server:
        server.set_check_client_handler(lambda request: request.identity == "CP_2" or Refusal(503))
        with Client("CP_2", profiles=v16.PROFILES, timeout=seconds(10)).connect(server.url) as client:
            assert refused(Client("CP_1", profiles=v16.PROFILES), server.url).status == 503
            assert client.is_connected()
