"""Check handlers of `Server`, and passwords: keys, comparisons, tables."""

import hashlib
import hmac
import secrets
import threading
from functools import partial

import pytest

from ocppj import Client, HandshakeRefused, Server, UsageError, authorization_key, passwords_match, v16
from tests.fixtures import cleanup, make_client, make_server, transport  # noqa: F401
from tests.helpers import Recorder, seconds

#: OCPP-J 1.6 section 6.2.
HEX = "0001020304050607FFFFFFFFCCCCCCCCCCCCCCCC"
KEY = bytes.fromhex(HEX)
SECRETS = {"CP_1": "sixteen letters!", "AL1000": KEY, "AA:BB:CC": "pässword", "empty": "x"}


class Bare:
    """A transport that can do no more than it must."""

    def __init__(self):
        for name in ("connected", "message", "disconnected"):
            setattr(self, f"set_{name}_handler", lambda handler: None)

    def stop(self, code=1001, reason=""):
        pass


def refused(make_client, server, identity="CP_1", **options):
    with pytest.raises(HandshakeRefused) as caught:
        make_client(server.url, identity, ws=options)
    return caught.value.status


def check_of(passwords):
    """Return the check that a server hands to its transport for a table of passwords."""
    bare = Bare()
    bare.set_basic_auth_handler = Recorder()
    Server(profiles=v16.PROFILES, ws_server=bare).set_basic_auth_handler(passwords)
    ((check,),) = bare.set_basic_auth_handler.calls
    return check


# Passwords -----------------------------------------------------------------------------------------------------------


def test_the_key_of_the_document():
    assert authorization_key(HEX) == KEY
    assert authorization_key("0a") == authorization_key("0A") == b"\n"


@pytest.mark.parametrize("bad", ["", "0", "0g", "00 01", HEX + "00", " 00", "00\n", "\uff100", KEY, None, 7])
def test_what_is_no_key(bad):
    with pytest.raises(UsageError, match="hexadecimal") as caught:
        authorization_key(bad)
    assert str(bad) == "" or len(str(bad)) < 3 or str(bad) not in repr(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("given", "expected", "same"),
    [
        (b"secret", "secret", True),
        (b"secret", b"secret", True),
        ("ü€".encode(), "ü€", True),
        (KEY, KEY, True),
        (b"secret", "Secret", False),
        (b"secre", "secret", False),
        (b"secret\0", "secret", False),
        (b"", "secret", False),
        (HEX.encode(), KEY, False),
    ],
)
def test_passwords_match(given, expected, same):
    assert passwords_match(given, expected) is same


def test_passwords_are_compared_in_constant_time(monkeypatch):
    lengths = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: lengths.append((len(a), len(b))) or False)
    for given, expected in [(b"", "x"), (b"a" * 1000, "secret"), (b"secret", "secret")]:
        assert passwords_match(given, expected) is False  # nothing else decides
    assert lengths == [(32, 32)] * 3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s3cret", "s3cret"),
        (None, "s3cret"),
        (b"s3cret", ""),
        (b"s3cret", b""),
        (b"s3cret", None),
        (b"x", "s3cret\ud800"),
    ],
)
def test_what_cannot_be_a_password(given, expected):
    with pytest.raises(UsageError) as caught:
        passwords_match(given, expected)
    assert "s3cret" not in repr(caught.value) + str(caught.value)


# Tables of passwords -------------------------------------------------------------------------------------------------


def test_a_table_of_passwords(make_server, make_client):
    server = make_server()
    table = dict(SECRETS)
    assert server.set_basic_auth_handler(table) is table
    for identity, password in SECRETS.items():
        assert refused(make_client, server, identity) == 401
        assert refused(make_client, server, identity, basic_auth=(identity, b"wrong")) == 401
        assert refused(make_client, server, identity, basic_auth=("CP", password)) == 401
        make_client(server.url, identity, ws={"basic_auth": (identity, password)})
    assert refused(make_client, server, "CP_9", basic_auth=("CP_9", "sixteen letters!")) == 401
    table["CP_9"] = "new"
    make_client(server.url, "CP_9", ws={"basic_auth": ("CP_9", "new")})
    del table["CP_9"]
    assert refused(make_client, server, "CP_9", basic_auth=("CP_9", "new")) == 401


def test_an_unknown_identity_takes_a_comparison_too(monkeypatch):
    """It is compared with a password of nobody, which cannot be guessed, and is another one in each table."""
    drawn, token_bytes = [], secrets.token_bytes

    def draw(count):
        drawn.append(token_bytes(count))
        return drawn[-1]

    monkeypatch.setattr(secrets, "token_bytes", draw)
    checks = [check_of({"CP_1": "secret"}), check_of({})]
    compared = Recorder(True)  # even if it were the right password of nobody
    monkeypatch.setattr(hmac, "compare_digest", compared)
    assert checks[0]("CP_1", b"secret") is True
    assert checks[0]("CP_2", b"secret") is False
    assert checks[1]("CP_2", b"secret") is False
    expected = [hashlib.sha256(password).digest() for password in (b"secret", *drawn)]
    assert compared.calls == [(expected[0], each) for each in expected]
    assert [len(nobodys) for nobodys in drawn] == [20, 20]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("bad", [{"CP_1": ""}, {"CP_1": b""}, {"CP_1": None}, {"CP_1": ["s3cret"]}])
def test_bad_tables(make_server, bad):
    server = make_server(listen=False)
    with pytest.raises(UsageError) as caught:
        server.set_basic_auth_handler(bad)
    assert "s3cret" not in str(caught.value)
    assert "1" in str(caught.value)  # whose it is


@pytest.mark.parametrize("bad", [{1: "s3cret"}, {b"s3cret": "CP_1"}])
def test_a_table_the_wrong_way_round_shows_no_password(make_server, bad):
    with pytest.raises(UsageError, match="go by identities, which are texts, not by (int|bytes)") as caught:
        make_server(listen=False).set_basic_auth_handler(bad)
    assert "s3cret" not in str(caught.value)


def test_a_table_that_goes_bad_lets_nobody_in(make_server, make_client, caplog):
    server = make_server()
    table = {"CP_1": "secret"}
    server.set_basic_auth_handler(table)
    table["CP_1"] = None
    assert refused(make_client, server, basic_auth=("CP_1", "None")) == 401
    table["CP_1"] = 7
    assert refused(make_client, server, basic_auth=("CP_1", "secret")) == 500
    assert "secret" not in caplog.text


# Handlers ------------------------------------------------------------------------------------------------------------


def test_check_client(make_server, make_client):
    server = make_server()

    @server.set_check_client_handler
    def known(request):
        return request.identity == "CP_1" and request.subprotocols == ("ocpp1.6",)

    assert callable(known)
    make_client(server.url)
    assert refused(make_client, server, "CP_2") == 404


def test_basic_auth(make_server, make_client):
    server = make_server()
    check = Recorder(True)
    assert server.set_basic_auth_handler(check) is check
    assert refused(make_client, server) == 401
    make_client(server.url, ws={"basic_auth": ("CP_1", KEY)})
    assert check.calls == [("CP_1", KEY)]


def test_check_origin(make_server, make_client):
    server = make_server()
    check = Recorder(False)
    assert server.set_check_origin_handler(check) is check
    assert refused(make_client, server, headers={"Origin": "https://bad"}) == 403
    assert check.calls == [("https://bad",)]


def test_check_certificate(make_server, make_client):
    server = make_server()
    asked = []

    @server.set_check_certificate_handler
    def check(request):
        asked.append((request.identity, request.peer_certificate))
        return request.identity == "CP_2"

    assert refused(make_client, server) == 401
    make_client(server.url, "CP_2")
    assert asked == [("CP_1", None), ("CP_2", None)]


SETTERS = {
    "set_check_client_handler": 1,
    "set_basic_auth_handler": 2,
    "set_check_origin_handler": 1,
    "set_check_certificate_handler": 1,
}


@pytest.mark.parametrize("name", SETTERS)
def test_handlers_are_checked(make_server, name):
    setter = getattr(make_server(listen=False), name)
    for bad in (5, "f", lambda: True, lambda a, b, c: True):
        with pytest.raises(UsageError, match="f\\("):
            setter(bad)
    for good in (lambda *a: True, [lambda a: True, lambda a, b: True][SETTERS[name] - 1]):
        assert setter(good) is good
    assert setter(None) is None


@pytest.mark.parametrize("name", SETTERS)
def test_an_async_check_would_let_everybody_in(make_server, name):
    async def check(*arguments):
        return False

    with pytest.raises(UsageError, match="check is an async function"):
        getattr(make_server(listen=False), name)(check)


def test_an_async_check_is_known_in_any_form(make_server):
    class Check:
        async def __call__(self, client_id, password):
            return False

    async def check(client_id, password):
        return False

    server = make_server(listen=False)
    for each in (Check(), partial(check), Check().__call__):
        with pytest.raises(UsageError, match="is an async function"):
            server.set_basic_auth_handler(each)


@pytest.mark.filterwarnings("error")
def test_what_a_check_would_say_later_is_no_yes(make_server, make_client, caplog):
    async def check(*arguments):
        return False

    server = make_server()
    server.set_basic_auth_handler(lambda client_id, password: check())
    assert refused(make_client, server, basic_auth=("CP_1", "wrong")) == 500
    assert "returned coroutine" in caplog.text


def test_profiles_of_servers_and_clients(cleanup):
    server = Server(profiles=v16.PROFILES, security_profile=1)
    cleanup.append(server.stop)
    with pytest.raises(UsageError, match="security profile 1 needs a handler"):
        server.listen(host="127.0.0.1")
    server.set_basic_auth_handler(SECRETS)
    server.listen(host="127.0.0.1")
    client = Client("CP_1", profiles=v16.PROFILES, security_profile=1)
    cleanup.append(client.stop)
    with pytest.raises(UsageError, match="security profile 1 needs basic_auth"):
        client.connect(server.url)
    with pytest.raises(HandshakeRefused):
        Client("CP_1", profiles=v16.PROFILES).connect(server.url)
    good = Client("CP_1", profiles=v16.PROFILES, security_profile=1, basic_auth=("CP_1", SECRETS["CP_1"]))
    cleanup.append(good.stop)
    good.connect(server.url)
    assert server.client_ids() == ["CP_1"]


@pytest.mark.parametrize("name", [*SETTERS, "stats"])
def test_a_transport_that_has_no_such_thing(name):
    server = Server(profiles=v16.PROFILES, ws_server=Bare())
    arguments = [lambda *a: True] if name in SETTERS else []
    with pytest.raises(UsageError, match=f"Bare has no {name}"):
        getattr(server, name)(*arguments)


def test_the_transport_is_handed_a_function_and_asked_for_stats():
    bare = Bare()
    server = Server(profiles=v16.PROFILES, ws_server=bare)
    bare.stats = lambda: {"connections": 3}
    assert server.stats() == {"connections": 3}
    check = check_of({"CP_1": "secret"})
    assert (check("CP_1", b"secret"), check("CP_1", b"other"), check("CP_2", b"secret")) == (True, False, False)


def test_a_table_may_change_while_it_is_asked():
    """What the docstring promises: looked at for each handshake, whatever other threads do to it."""
    table = {"CP_1": "secret"}
    check = check_of(table)
    done = threading.Event()

    def change():
        for number in range(20000):
            table[f"CP_{2 + number % 1000}"] = "x"
            table.pop(f"CP_{2 + (number + 500) % 1000}", None)
        done.set()

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    while not done.is_set():
        assert check("CP_1", b"secret")
        assert not check("CP_0", b"x")
    thread.join(seconds(10))
