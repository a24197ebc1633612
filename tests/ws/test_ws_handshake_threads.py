"""The threads of handshakes: a handshake that waits has a thread for itself, the others share, and none is left."""

import random
import threading
import time

import pytest

from ocppj.ws.serving.handshake_threads import HandshakeThreads
from ocppj.ws.threads import Threads
from tests.helpers import Recorder, eventually, seconds
from tests.inside.transports import handshake_threads_of, idle_workers, run_of
from tests.ws.support import RawClient, request


@pytest.fixture
def threads():
    return Threads()


@pytest.fixture
def make_handshakes(threads):
    """Return a function that makes `HandshakeThreads`. Their threads end with the test."""
    made = []

    def make_(**options):
        made.append(HandshakeThreads(threads, **options))
        return made[-1]

    yield make_
    for each in made:
        stop(each, threads)


@pytest.fixture
def handshakes(make_handshakes):
    return make_handshakes()


def stop(handshakes, threads):
    handshakes.stop()
    assert threads.join(time.monotonic() + seconds(10))


def names(prefix):
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(prefix))


class Waiting:
    """A handshake that hands the queue over, or does not, and then waits for ``go``."""

    def __init__(self, handshakes, hands_over=True):
        self.begun, self.go = threading.Event(), threading.Event()
        self.handshakes, self.hands_over = handshakes, hands_over

    def __call__(self):
        if self.hands_over:
            self.handshakes.hand_over()
        self.begun.set()
        assert self.go.wait(seconds(10))


def test_handshakes_that_need_not_wait_share_a_thread_and_keep_their_order(make_handshakes):
    handshakes = make_handshakes(queue_size=100)
    first, ran = Waiting(handshakes, hands_over=False), Recorder()
    handshakes.submit("first", first)
    assert first.begun.wait(seconds(10))
    for number in range(20):
        handshakes.submit(str(number), lambda number=number: ran(number, threading.current_thread()))
    assert ran.calls == []
    first.go.set()
    calls = ran.wait(20)
    assert [number for number, _ in calls] == list(range(20))
    assert len({thread for _, thread in calls}) == 1


def test_a_handshake_that_waits_delays_no_other(handshakes):
    waiting = [Waiting(handshakes) for _ in range(50)]
    for number, each in enumerate(waiting):
        handshakes.submit(f"host:{number}", each)
    for each in waiting:
        assert each.begun.wait(seconds(10))
    assert names("ocppj-handshake-host:") == sorted(f"ocppj-handshake-host:{number}" for number in range(50))
    last = Recorder()
    handshakes.submit("last", last)
    last.wait(1)
    for each in waiting:
        each.go.set()
    eventually(lambda: not names("ocppj-handshake"))


def test_queued_handshakes_run_when_the_one_before_hands_over(handshakes):
    held, go, over, ran = threading.Event(), threading.Event(), threading.Event(), Recorder()

    def hold():
        held.set()
        assert go.wait(seconds(10))
        handshakes.hand_over()
        handshakes.hand_over()  # again, which does nothing
        assert over.wait(seconds(30))

    handshakes.submit("first", hold)
    assert held.wait(seconds(10))
    handshakes.submit("second", lambda: ran("second"))
    handshakes.submit("third", lambda: ran("third"))
    assert ran.calls == []
    go.set()
    assert ran.wait(2) == [("second",), ("third",)]
    over.set()


def test_submit_waits_while_the_queue_is_full(make_handshakes):
    handshakes = make_handshakes(queue_size=4, submit_timeout=seconds(60))
    first, submitted, ran = Waiting(handshakes, hands_over=False), Recorder(), Recorder()

    def submit():
        for _ in range(40):
            handshakes.submit("next", ran)
            submitted(handshakes.queued)

    handshakes.submit("first", first)
    assert first.begun.wait(seconds(10))
    submitting = threading.Thread(target=submit)
    submitting.start()
    submitted.wait(4)
    submitting.join(0.05)
    assert [length for (length,) in submitted.calls] == [1, 2, 3, 4]
    first.go.set()
    ran.wait(40)
    submitting.join(seconds(10))
    assert not submitting.is_alive()
    assert max(length for (length,) in submitted.calls) <= 4


def test_submit_does_not_wait_for_ever(make_handshakes):
    handshakes = make_handshakes(queue_size=2, submit_timeout=0.01)
    first, ran = Waiting(handshakes, hands_over=False), Recorder()
    handshakes.submit("first", first)
    assert first.begun.wait(seconds(10))
    for _ in range(5):
        handshakes.submit("next", ran)
    assert handshakes.queued == 5
    first.go.set()
    ran.wait(5)


def test_idle_threads_are_used_again(make_handshakes):
    handshakes = make_handshakes(idle_timeout=seconds(60))
    ran = Recorder()
    for number in range(20):
        handshakes.submit(str(number), lambda: ran(threading.current_thread()))
        ran.wait(number + 1)
        eventually(lambda: handshakes.idle == 1)
    assert len({thread for (thread,) in ran.calls}) == 1
    eventually(lambda: not names("ocppj-handshake"))


def test_idle_threads_end(make_handshakes):
    handshakes = make_handshakes(idle_timeout=0.01)
    ran = Recorder()
    for number in range(10):
        handshakes.submit(str(number), ran)
        ran.wait(number + 1)
        eventually(lambda: not names("ocppj-idle-handshake") and not names("ocppj-handshake"))
    assert handshakes.idle == 0


def test_a_late_ring_does_no_harm(make_handshakes):
    handshakes = make_handshakes(idle_timeout=seconds(60))
    ran = Recorder()
    handshakes.submit("first", ran)
    eventually(lambda: handshakes.idle == 1)
    for number in range(50):
        for worker in idle_workers(handshakes):
            worker.bell.set()
        handshakes.submit("next", ran)
        ran.wait(number + 2)
    eventually(lambda: not names("ocppj-handshake") and handshakes.idle == 1)
    (worker,) = idle_workers(handshakes)
    worker.bell.set()  # without a handshake
    eventually(lambda: not worker.bell.is_set())
    waiting = Waiting(handshakes)
    handshakes.submit("waiting", waiting)  # the idle thread must run this one alone
    assert waiting.begun.wait(seconds(10))
    handshakes.submit("last", ran)
    ran.wait(52, timeout=5)
    waiting.go.set()


def test_a_handshake_that_fails_does_not_stop_the_queue(handshakes, caplog):
    def fail():
        raise SystemExit

    ran = Recorder()
    handshakes.submit("bad", fail)
    handshakes.submit("good", ran)
    ran.wait(1)
    eventually(lambda: "bad: the handshake failed" in caplog.text)


def no_more_threads(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_no_thread_at_all(handshakes, monkeypatch):
    with monkeypatch.context() as patch:
        no_more_threads(patch)
        ran = Recorder()
        with pytest.raises(RuntimeError, match="no thread"):
            handshakes.submit("one", ran)
    done = Recorder()
    handshakes.submit("two", done)
    done.wait(1)
    assert ran.calls == []


def test_without_another_thread_handshakes_run_one_after_the_other(handshakes, monkeypatch, caplog):
    entered, go, ran = threading.Event(), threading.Event(), Recorder()

    def first():
        entered.set()
        assert go.wait(seconds(10))
        handshakes.hand_over()
        ran("first")

    handshakes.submit("first", first)
    assert entered.wait(seconds(10))
    handshakes.submit("second", lambda: ran("second"))
    no_more_threads(monkeypatch)
    go.set()
    assert ran.wait(2) == [("first",), ("second",)]
    assert "handshakes wait for one another" in caplog.text


def test_stop_ends_idle_threads(make_handshakes, threads):
    handshakes = make_handshakes(idle_timeout=seconds(60))
    waiting = [Waiting(handshakes) for _ in range(3)]
    for each in waiting:
        handshakes.submit("address", each)
        assert each.begun.wait(seconds(10))
    for each in waiting:
        each.go.set()
    eventually(lambda: handshakes.idle == 3)
    stop(handshakes, threads)


def test_stop_runs_what_is_queued(make_handshakes, threads):
    handshakes = make_handshakes(queue_size=100)
    first, ran = Waiting(handshakes, hands_over=False), Recorder()
    handshakes.submit("first", first)
    assert first.begun.wait(seconds(10))
    for _ in range(10):
        handshakes.submit("next", ran)
    handshakes.stop()
    first.go.set()
    ran.wait(10)
    stop(handshakes, threads)
    handshakes.submit("late", ran)  # of a connection that was accepted meanwhile
    ran.wait(11)
    eventually(lambda: not names("ocppj-handshake"))


class Exempt(set):
    """Idents of threads that must not be joined. It notes for which threads it was asked."""

    def __init__(self):
        super().__init__()
        self.asked, self.changed = set(), threading.Condition()

    def __contains__(self, ident):
        with self.changed:
            self.asked.add(ident)
            self.changed.notify_all()
        return super().__contains__(ident)

    def wait(self):
        """Wait until another thread joins this one; return whether that happened."""
        me = threading.get_ident()
        with self.changed:
            self.asked.discard(me)  # an ended thread may have had the same ident
            return self.changed.wait_for(lambda: me in self.asked, seconds(5))


def test_stop_joins_a_thread_that_starts_after_it_has_begun(make):
    server, _ = make(close_timeout=seconds(10))
    exempt = run_of(server).stoppers = Exempt()
    handshakes = handshake_threads_of(server)
    begun, joined = threading.Event(), Recorder()

    def first():
        begun.set()
        joined("first", exempt.wait())
        handshakes.hand_over()  # which starts another thread for the second

    handshakes.submit("first", first)
    assert begun.wait(seconds(10))
    handshakes.submit("second", lambda: joined("second", exempt.wait()))
    server.stop(timeout=seconds(20))
    assert joined.calls == [("first", True), ("second", True)]
    assert names("ocppj-handshake") == []


@pytest.mark.parametrize("seed", range(5))
def test_every_handshake_runs_once(make_handshakes, seed):
    handshakes = make_handshakes(idle_timeout=0.001)
    dice, ran = random.Random(seed), Recorder()

    def handshake(number, times, pause):
        for _ in range(times):
            handshakes.hand_over()
        if pause:
            threading.Event().wait(pause)
        ran(number)

    for number in range(1000):
        times, pause = dice.choice([0, 1, 1, 2]), dice.choice([0, 0, 0, 0.001, 0.003])
        handshakes.submit(str(number), lambda n=number, t=times, p=pause: handshake(n, t, p))
        if dice.random() < 0.02:
            threading.Event().wait(0.002)
    assert sorted(number for (number,) in ran.wait(1000)) == list(range(1000))
    eventually(lambda: not names("ocppj-handshake") and not names("ocppj-idle-handshake"))


# In a server ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", ["check", "connected"])
def test_a_handler_that_blocks_delays_its_own_client_alone(make, handler):
    server, log = make()
    blocked, go = threading.Event(), threading.Event()

    def block(client):  # a `HandshakeRequest` or a channel
        if getattr(client, "id", None) == "CP_1" or getattr(client, "identity", None) == "CP_1":
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


def test_a_refused_peer_that_stays_connected_delays_no_other(make):
    server, log = make(close_timeout=seconds(20), linger=seconds(20))
    refused = [RawClient(server.url) for _ in range(5)]
    for client in refused:
        client.send(request("/nowhere/CP"))
    for client in refused:
        assert " 404 " in client.read_head()
    with RawClient(server.url) as client:
        assert " 101 " in client.upgrade("/ocpp/CP_1")
    assert server.stats().handshakes == 5
    for client in refused:
        client.sock.close()
    eventually(lambda: server.stats().handshakes == 0)
