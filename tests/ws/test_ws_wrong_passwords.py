"""Who guesses passwords is slowed, and who knows its password is not shut out."""

import base64
import threading
import time

import pytest

from ocppj.errors import HandshakeRefused
from ocppj.ws.handshake.http import BadRequest
from ocppj.ws.handshake.wrong_passwords import WrongPasswords
from tests.peers import Memory, Sockets
from tests.ws.support import OCPP, PATH, Log

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Guard:
    """`WrongPasswords` at a time that the test sets."""

    def __init__(self):
        self.now = 0.0
        self.passwords = WrongPasswords(lambda: self.now)
        self.checks = 0

    def attempt(self, identity="CP_1", source=HERE, right=False):
        """Return what an attempt gets: 101, 401 or 429."""

        def check():
            self.checks += 1
            return right

        try:
            return 101 if self.passwords.check(identity, source, check) else 401
        except BadRequest as error:
            return error.status


@pytest.fixture
def guard():
    return Guard()


def test_ten_wrong_passwords_of_an_identity_and_then_one_every_five_seconds(guard):
    assert [guard.attempt() for _ in range(12)] == [401] * 10 + [429] * 2
    assert guard.checks == 10, "what is refused is not checked"
    for _ in range(3):
        guard.now += 5.0
        assert [guard.attempt() for _ in range(100)] == [401] + [429] * 99


def test_the_refusal_says_when_to_come_again(guard):
    for _ in range(10):
        guard.attempt()
    with pytest.raises(BadRequest) as caught:
        guard.passwords.check("CP_1", HERE, lambda: True)
    assert (caught.value.status, caught.value.kind) == (429, "wrong_passwords")
    assert 5 <= int(dict(caught.value.headers)["Retry-After"]) <= 15


def test_who_guesses_from_many_addresses_gets_one_check_from_each_and_then_they_share(guard):
    sources = [f"192.0.2.{number}" for number in range(100)]
    assert [guard.attempt(source=source) for source in sources] == [401] * 100
    assert {guard.attempt(source=source) for source in sources} == {429}


def test_the_right_client_comes_in_at_once_from_its_own_address(guard):
    for _ in range(1000):
        guard.attempt()
    assert guard.attempt(source=THERE, right=True) == 101


def test_who_guesses_many_identities_does_not_shut_out_those_that_were_let_in_from_its_address(guard):
    assert guard.attempt("good", right=True) == 101
    got = [guard.attempt(f"CP_{number}") for number in range(1000)]
    assert got.count(401) == 200
    assert guard.attempt("good", right=True) == 101
    assert guard.attempt("another", right=True) == 429
    guard.now += 0.1
    assert guard.attempt("another", right=True) == 101, "a moment later it gets its turn"


def test_right_passwords_use_nothing_up(guard):
    assert {guard.attempt(right=True) for _ in range(1000)} == {101}
    assert {guard.attempt(f"CP_{number}", right=True) for number in range(1000)} == {101}


def test_attempts_at_the_same_time_count_before_they_are_checked(guard):
    """Each waits for a slow check. They do not all get one."""
    inside, got = [], []

    def check():
        inside.append(1)
        if len(inside) < 100:
            got.append(guard.attempt())  # another one comes while this one is checked
        return False

    with pytest.raises(BadRequest):
        for _ in range(100):
            guard.passwords.check("CP_1", HERE, check)
    assert guard.checks + len(inside) == 10


def test_a_check_that_fails_uses_nothing_up(guard):
    def fail():
        raise RuntimeError("the database is away")

    for _ in range(50):
        with pytest.raises(RuntimeError):
            guard.passwords.check("CP_1", HERE, fail)
    assert guard.attempt() == 401


def test_what_is_remembered_is_bounded(guard):
    for number in range(12_000):
        guard.now += 1.0
        guard.attempt(f"CP_{number}", f"s{number}", right=number % 2 == 0)
    assert len(guard.passwords) <= 40_000


# On a server ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", [Sockets(), Memory()], ids=lambda transport: transport.name)
def test_a_server_answers_429_and_no_thread_waits(transport, caplog):
    server = transport.server()
    Log(server)
    asked = []
    server.set_basic_auth_handler(lambda identity, password: bool(asked.append(1)) or password == b"right")
    server.listen(0, PATH, "127.0.0.1", OCPP)
    try:
        statuses, began = [], time.monotonic()
        while statuses.count(429) < 2:
            client = transport.client(reconnect=False, basic_auth=("CP_1", "wrong"))
            with pytest.raises(HandshakeRefused) as caught:
                client.connect(server.url, "CP_1", OCPP)
            statuses.append(caught.value.status)
            again = int((time.monotonic() - began) / 5)  # one may be checked again every 5 seconds
            assert len(statuses) <= 12 + again
        assert statuses[:10] == [401] * 10
        assert 5 <= caught.value.retry_after <= 15
        checked = len(statuses) - 2
        assert server.stats().refused == {"bad_credentials": checked, "wrong_passwords": 2}
        assert len(asked) == checked
        other = transport.client(reconnect=False, basic_auth=("CP_2", "right"))
        Log(other)
        other.connect(server.url, "CP_2", OCPP)
        other.stop()
    finally:
        server.stop()
    secret = base64.b64encode(b"CP_1:wrong").decode()
    assert secret not in caplog.text
    assert threading.active_count() < 50
