"""Looking up names, with a resolver that the tests control."""

import socket
import threading
import time

import pytest

from ocppj.errors import TransportError
from ocppj.ws.connecting.dial import Resolver
from tests.helpers import eventually, seconds


class Names:
    """What a resolver asks: every name is this machine's, after `go`."""

    def __init__(self):
        self.go = threading.Event()
        self.asked = []
        self.error = None

    def __call__(self, host, port):
        self.asked.append(host)
        assert self.go.wait(seconds(20))
        if self.error is not None:
            raise self.error
        return socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)


@pytest.fixture
def names():
    names = Names()
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
    assert Resolver(names).resolve("csms.test", 80, soon(), nothing)[0][4] == ("127.0.0.1", 80)
    assert names.asked == ["csms.test"]
    assert threads() == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_needs_no_thread(address):
    asking = []

    def ask(host, port):
        asking.append(threading.current_thread())
        return [(host, port)]

    assert Resolver(ask).resolve(address, 9000, soon(), nothing) == [(address, 9000)]
    assert asking == [threading.current_thread()]
    assert Resolver().resolve(address, 9000, soon(), nothing)[0][4][:2] == (address, 9000)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_an_unknown_name(names, error):
    names.go.set()
    names.error = error
    with pytest.raises(TransportError, match="the name cannot be looked up: ") as caught:
        Resolver(names).resolve("csms.test", 80, soon(), nothing)
    assert caught.value.__cause__ is error


def test_a_deadline_and_one_thread_however_often_it_is_tried(names):
    resolver = Resolver(names)
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
    for name in ["csms.test", "other.test", "csms.test"]:  # what was learnt is not kept
        names.asked.clear()
        resolver.resolve(name, 80, soon(), nothing)
        assert names.asked == [name]


def test_giving_up(names):
    def check():
        raise TransportError("given up")

    with pytest.raises(TransportError, match="given up"):
        Resolver(names).resolve("csms.test", 80, soon(), check)


def test_several_wait_for_one_look_up(names):
    resolver, got = Resolver(names), []
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
    resolver = Resolver(names)

    def fail(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(TransportError, match="can't start new thread"):
            resolver.resolve("csms.test", 80, soon(), nothing)
    names.go.set()
    assert resolver.resolve("csms.test", 80, soon(), nothing)
