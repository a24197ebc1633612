"""Looking names up. ``getaddrinfo`` is replaced by one that can be held."""

import socket
import threading
import time

import pytest

from ocppj.errors import TransportError
from ocppj.ws import resolving
from ocppj.ws.resolving import Resolver
from tests.helpers import eventually, seconds

REAL = socket.getaddrinfo


class Names:
    """Stands in for ``getaddrinfo``: a name is what it is said to be, after `go`."""

    def __init__(self):
        self.go = threading.Event()
        self.asked = []
        self.error = None

    def __call__(self, host, port, **options):
        self.asked.append(host)
        assert self.go.wait(seconds(20))
        if self.error is not None:
            raise self.error
        return REAL("127.0.0.1", port, **options)


@pytest.fixture
def names(monkeypatch):
    names = Names()
    monkeypatch.setattr(resolving.socket, "getaddrinfo", names)
    yield names
    names.go.set()


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ocppj-resolve")]


def soon():
    return time.monotonic() + seconds(10)


def nothing():
    pass


def test_a_name(names):
    names.go.set()
    assert Resolver().resolve("csms.test", 80, soon(), nothing)[0][4] == ("127.0.0.1", 80)
    assert names.asked == ["csms.test"]
    assert threads() == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_needs_no_thread(monkeypatch, address):
    monkeypatch.setattr(threading.Thread, "start", lambda thread: pytest.fail("a thread was started"))
    assert Resolver().resolve(address, 9000, soon(), nothing)[0][4][:2] == (address, 9000)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_nobody_knows(names, error):
    names.go.set()
    names.error = error
    with pytest.raises(TransportError, match="cannot look csms.test up: ") as caught:
        Resolver().resolve("csms.test", 80, soon(), nothing)
    assert caught.value.__cause__ is error


def test_a_deadline_and_one_thread_however_often_it_is_tried(names):
    resolver = Resolver()
    begun = time.monotonic()
    for _ in range(5):
        with pytest.raises(TransportError, match="too long"):
            resolver.resolve("csms.test", 80, time.monotonic() + 0.02, nothing)
    assert time.monotonic() - begun < seconds(2)
    assert threads() == ["ocppj-resolve-csms.test"]
    assert all(thread.daemon for thread in threading.enumerate() if thread.name in threads())
    with pytest.raises(TransportError):
        resolver.resolve("other.test", 80, time.monotonic() + 0.02, nothing)
    assert len(threads()) == 2
    names.go.set()
    eventually(lambda: not threads())
    assert names.asked == ["csms.test", "other.test"]
    resolver.resolve("csms.test", 80, soon(), nothing)  # what was learnt is not kept
    assert len(names.asked) == 3
    assert resolver._pending == {}


def test_giving_up(names):
    def check():
        raise TransportError("given up")

    with pytest.raises(TransportError, match="given up"):
        Resolver().resolve("csms.test", 80, soon(), check)


def test_several_wait_for_one_look_up(names):
    resolver, got = Resolver(), []
    waiters = [
        threading.Thread(target=lambda: got.append(resolver.resolve("csms.test", 80, soon(), nothing)))
        for _ in range(5)
    ]
    for waiter in waiters:
        waiter.start()
    eventually(lambda: names.asked)
    names.go.set()
    for waiter in waiters:
        waiter.join(seconds(10))
    assert len(got) == 5
    assert len({str(addresses) for addresses in got}) == 1


def test_no_thread_can_be_started(names, monkeypatch):
    resolver = Resolver()

    def fail(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(TransportError, match="can't start new thread"):
            resolver.resolve("csms.test", 80, soon(), nothing)
    names.go.set()
    assert resolver.resolve("csms.test", 80, soon(), nothing)
