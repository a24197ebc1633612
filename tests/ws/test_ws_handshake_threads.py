"""The threads of handshakes: who waits has one for itself, who need not shares, and none is left."""

import random
import threading

import pytest

from ocppj.ws.serving.handshake_threads import Greeters
from tests.helpers import Recorder, eventually, seconds
from tests.inside.readers import standing
from tests.inside.transports import run_of
from tests.ws.support import RawClient, request


@pytest.fixture
def make_greeters():
    """Return what makes `Greeters`, whose threads end with the test."""
    made = []

    def make_(**options):
        made.append(Greeters(**options))
        return made[-1]

    yield make_
    for each in made:
        for thread in each.stop():
            thread.join(seconds(10))
            assert not thread.is_alive()


@pytest.fixture
def greeters(make_greeters):
    return make_greeters()


def names(prefix):
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(prefix))


def resting():
    """Return the threads that rest."""
    return [thread for thread in threading.enumerate() if thread.name == "ocppj-greeter"]


class Waiting:
    """A guest who steps aside, or does not, and then waits until he is let go."""

    def __init__(self, greeters, aside=True):
        self.begun, self.go = threading.Event(), threading.Event()
        self._greeters, self._aside = greeters, aside

    def __call__(self):
        if self._aside:
            self._greeters.step_aside()
        self.begun.set()
        assert self.go.wait(seconds(10))


def test_those_who_need_not_wait_share_a_thread_and_keep_their_order(make_greeters):
    greeters = make_greeters(line=100)
    first, greeted = Waiting(greeters, aside=False), Recorder()
    greeters.submit("first", first)
    assert first.begun.wait(seconds(10))
    for number in range(20):
        greeters.submit(str(number), lambda number=number: greeted(number, threading.current_thread()))
    assert greeted.calls == []
    first.go.set()
    calls = greeted.wait(20)
    assert [number for number, _ in calls] == list(range(20))
    assert len({thread for _, thread in calls}) == 1


def test_who_waits_keeps_nobody_waiting(greeters):
    guests = [Waiting(greeters) for _ in range(50)]
    for number, guest in enumerate(guests):
        greeters.submit(f"host:{number}", guest)
    for guest in guests:
        assert guest.begun.wait(seconds(10))
    assert names("ocppj-handshake-host:") == sorted(f"ocppj-handshake-host:{number}" for number in range(50))
    last = Recorder()
    greeters.submit("last", last)
    last.wait(1)
    for guest in guests:
        guest.go.set()
    eventually(lambda: not names("ocppj-handshake"))


def test_who_stands_in_line_is_greeted_when_the_one_before_steps_aside(greeters):
    held, aside, over, greeted = threading.Event(), threading.Event(), threading.Event(), Recorder()

    def hold():
        held.set()
        assert aside.wait(seconds(10))
        greeters.step_aside()
        greeters.step_aside()  # which is nothing
        assert over.wait(seconds(30))

    greeters.submit("first", hold)
    assert held.wait(seconds(10))
    greeters.submit("second", lambda: greeted("second"))
    greeters.submit("third", lambda: greeted("third"))
    assert greeted.calls == []
    aside.set()
    assert greeted.wait(2) == [("second",), ("third",)]
    over.set()


def test_who_brings_guests_too_fast_waits_until_the_line_is_empty(make_greeters):
    greeters = make_greeters(line=4, moment=seconds(60))
    first, brought, greeted = Waiting(greeters, aside=False), Recorder(), Recorder()

    def bring():
        for _ in range(40):
            greeters.submit("next", greeted)
            brought(standing(greeters))

    greeters.submit("first", first)
    assert first.begun.wait(seconds(10))
    bringing = threading.Thread(target=bring)
    bringing.start()
    brought.wait(4)
    bringing.join(0.05)
    assert [length for (length,) in brought.calls] == [1, 2, 3, 4]
    first.go.set()
    greeted.wait(40)
    bringing.join(seconds(10))
    assert not bringing.is_alive()
    assert max(length for (length,) in brought.calls) <= 4


def test_who_brings_guests_waits_no_longer_than_a_moment(make_greeters):
    greeters = make_greeters(line=2, moment=0.01)
    first, greeted = Waiting(greeters, aside=False), Recorder()
    greeters.submit("first", first)
    assert first.begun.wait(seconds(10))
    for _ in range(5):
        greeters.submit("next", greeted)
    assert standing(greeters) == 5
    first.go.set()
    greeted.wait(5)


def test_threads_rest_and_are_used_again(make_greeters):
    greeters = make_greeters(patience=seconds(60))
    greeted = Recorder()
    for number in range(20):
        greeters.submit(str(number), lambda: greeted(threading.current_thread()))
        greeted.wait(number + 1)
        eventually(lambda: len(resting()) == 1)
    assert len({thread for (thread,) in greeted.calls}) == 1
    eventually(lambda: not names("ocppj-handshake"))


def test_threads_that_rest_end(make_greeters):
    greeters = make_greeters(patience=0.01)
    greeted = Recorder()
    for number in range(10):
        greeters.submit(str(number), greeted)
        greeted.wait(number + 1)
        eventually(lambda: not resting() and not names("ocppj-handshake"))


def test_a_ring_that_comes_late_does_no_harm(make_greeters):
    greeters = make_greeters(patience=seconds(60))
    greeted = Recorder()
    greeters.submit("first", greeted)
    eventually(lambda: len(resting()) == 1)
    for number in range(50):
        for each in resting():
            each.bell.set()
        greeters.submit("next", greeted)
        greeted.wait(number + 2)
    eventually(lambda: not names("ocppj-handshake"))
    (thread,) = resting()
    thread.bell.set()  # though nobody has called it
    eventually(lambda: not thread.bell.is_set())
    waiting = Waiting(greeters)  # who rests is called for one guest, not for another too
    greeters.submit("waiting", waiting)
    assert waiting.begun.wait(seconds(10))
    greeters.submit("last", greeted)
    greeted.wait(52, timeout=5)
    waiting.go.set()


def test_a_greeting_that_fails_does_not_end_the_line(greeters, caplog):
    def fail():
        raise SystemExit

    greeted = Recorder()
    greeters.submit("bad", fail)
    greeters.submit("good", greeted)
    greeted.wait(1)
    eventually(lambda: "bad: greeting failed" in caplog.text)


def no_more_threads(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_no_thread_at_all(greeters, monkeypatch):
    with monkeypatch.context() as patch:
        no_more_threads(patch)
        greeted = Recorder()
        with pytest.raises(RuntimeError, match="no thread"):
            greeters.submit("one", greeted)
    done = Recorder()
    greeters.submit("two", done)
    done.wait(1)
    assert greeted.calls == []


def test_without_another_thread_they_are_greeted_one_after_the_other(greeters, monkeypatch, caplog):
    entered, go, greeted = threading.Event(), threading.Event(), Recorder()

    def first():
        entered.set()
        assert go.wait(seconds(10))
        greeters.step_aside()
        greeted("first")

    greeters.submit("first", first)
    assert entered.wait(seconds(10))
    greeters.submit("second", lambda: greeted("second"))
    no_more_threads(monkeypatch)
    go.set()
    assert greeted.wait(2) == [("first",), ("second",)]
    assert "handshakes wait for one another" in caplog.text


def test_stop_ends_those_who_rest(make_greeters):
    greeters = make_greeters(patience=seconds(60))
    guests = [Waiting(greeters) for _ in range(3)]
    for guest in guests:
        greeters.submit("address", guest)
        assert guest.begun.wait(seconds(10))
    for guest in guests:
        guest.go.set()
    eventually(lambda: len(resting()) == 3)
    for thread in greeters.stop():
        thread.join(seconds(10))
        assert not thread.is_alive()


def test_stop_greets_who_stands_in_line(make_greeters):
    greeters = make_greeters(line=100)
    first, greeted = Waiting(greeters, aside=False), Recorder()
    greeters.submit("first", first)
    assert first.begun.wait(seconds(10))
    for _ in range(10):
        greeters.submit("next", greeted)
    threads = greeters.stop()
    first.go.set()
    greeted.wait(10)
    for thread in threads:
        thread.join(seconds(10))
        assert not thread.is_alive()
    greeters.submit("late", greeted)  # somebody who was accepted meanwhile
    greeted.wait(11)
    eventually(lambda: not names("ocppj-handshake"))


class Exempt(set):
    """Idents of threads that are not waited for. Says for which thread that was asked."""

    def __init__(self):
        super().__init__()
        self._asked, self._changed = set(), threading.Condition()

    def __contains__(self, ident):
        with self._changed:
            self._asked.add(ident)
            self._changed.notify_all()
        return super().__contains__(ident)

    def wait(self):
        """Wait until somebody waits for this thread; return whether that came to be."""
        me = threading.get_ident()
        with self._changed:
            self._asked.discard(me)  # it may have been asked for a thread that has ended, and had the same ident
            return self._changed.wait_for(lambda: me in self._asked, seconds(5))


def test_stop_waits_for_a_thread_that_is_called_after_it_has_begun(make):
    server, _ = make(close_timeout=seconds(10))
    exempt = run_of(server).stoppers = Exempt()
    greeters = run_of(server).greeters
    begun, waited_for = threading.Event(), Recorder()

    def first():
        begun.set()
        waited_for("first", exempt.wait())
        greeters.step_aside()  # which calls another thread for the second

    greeters.submit("first", first)
    assert begun.wait(seconds(10))
    greeters.submit("second", lambda: waited_for("second", exempt.wait()))
    server.stop(timeout=seconds(20))
    assert waited_for.calls == [("first", True), ("second", True)]
    assert names("ocppj-handshake") == []


@pytest.mark.parametrize("seed", range(5))
def test_everybody_is_greeted_once(make_greeters, seed):
    greeters = make_greeters(patience=0.001)
    dice, greeted = random.Random(seed), Recorder()

    def guest(number, asides, pause):
        for _ in range(asides):
            greeters.step_aside()
        if pause:
            threading.Event().wait(pause)
        greeted(number)

    for number in range(1000):
        asides, pause = dice.choice([0, 1, 1, 2]), dice.choice([0, 0, 0, 0.001, 0.003])
        greeters.submit(str(number), lambda n=number, a=asides, p=pause: guest(n, a, p))
        if dice.random() < 0.02:
            threading.Event().wait(0.002)
    assert sorted(number for (number,) in greeted.wait(1000)) == list(range(1000))
    eventually(lambda: not names("ocppj-handshake") and not resting())


# In a server ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", ["check", "connected"])
def test_a_handler_that_blocks_delays_its_own_client_alone(make, handler):
    server, log = make()
    blocked, go = threading.Event(), threading.Event()

    def block(who):
        if getattr(who, "id", None) == "CP_1" or getattr(who, "identity", None) == "CP_1":
            blocked.set()
            assert go.wait(seconds(10))
        return True

    if handler == "check":
        server.set_check_client_handler(block)
    else:
        log.on_connected = block
    with RawClient(server.url) as slow:
        slow.send(request("/ocpp/CP_1"))
        assert blocked.wait(seconds(10))
        for number in range(2, 6):
            with RawClient(server.url) as client:
                assert " 101 " in client.upgrade(f"/ocpp/CP_{number}")
        go.set()
        assert " 101 " in slow.read_head()


def all_linger(server):
    """Have five refused who do not hang up, and one let in; return whether the five were there all the time."""
    refused = [RawClient(server.url) for _ in range(5)]
    for client in refused:
        client.send(request("/nowhere/CP"))
    for client in refused:
        assert " 404 " in client.read_head()
    with RawClient(server.url) as client:
        assert " 101 " in client.upgrade("/ocpp/CP_1")
    there = server.stats().handshakes
    for client in refused:
        assert client.at_end()
        client.sock.close()
    eventually(lambda: server.stats().handshakes == 0)
    return there == 5


def test_one_who_is_refused_and_does_not_hang_up_delays_nobody(make):
    server, _ = make(close_timeout=seconds(5))
    eventually(lambda: all_linger(server))  # for a second, which a slow machine may need for other things
