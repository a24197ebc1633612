"""Everything at once: a request ends exactly once, one is pending at most, the order is kept, and nothing is left."""

import queue
import random
import sys
import threading
from contextlib import suppress

import pytest

from ocppj import FIFOClientQueue, ManualClock, NotRunning, UnknownClient
from tests.dispatching import TIMEOUT, ClientSide, ServerSide, make_side  # noqa: F401
from tests.helpers import eventually, seconds

PRODUCERS = 3
EACH = 60


@pytest.fixture(autouse=True)
def often():
    """Have threads switched as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class RecordingQueue(FIFOClientQueue):
    """Remembers the order in which requests came and went."""

    def __init__(self):
        super().__init__()
        self.came, self.went = [], []
        self._order = threading.Lock()

    def push(self, bundle):
        with self._order:
            super().push(bundle)
            self.came.append(bundle.message_id)

    def pop(self):
        bundle = super().pop()
        if bundle is not None:
            self.went.append(bundle.message_id)
        return bundle

    def remove(self, message_id):
        bundle = super().remove(message_id)
        if bundle is not None:
            self.went.append(bundle.message_id)
        return bundle


class Mayhem:
    """Threads that send, answer, cancel, pause, and move time on a dispatcher, until all requests have ended."""

    def __init__(self, make_side, seed):
        self.rng = random.Random(seed)
        self.queue = RecordingQueue()
        self.side = make_side(queue=self.queue, clock=ManualClock()).start()
        self.side.network.act = self.receive
        self.frames = queue.Queue()
        self.answered = set()
        self.refused = []
        self.failures = []
        self.producing = PRODUCERS
        self.over = threading.Event()
        self.lock = threading.Lock()

    def receive(self, message_id):
        self.frames.put(message_id)
        if message_id.endswith("7"):
            self.side.network.fail(message_id)

    # What the threads do

    def produce(self, name, rng):
        for n in range(EACH):
            try:
                self.side.send(f"{name}-{n}")
            except (NotRunning, UnknownClient):
                self.refused.append(f"{name}-{n}")
        with self.lock:
            self.producing -= 1

    def answer(self, rng):
        while not self.over.is_set():
            try:
                message_id = self.frames.get(timeout=0.002)
            except queue.Empty:
                continue
            chance = rng.random()
            if chance < 0.7:
                self.answered.add(message_id)
                self.side.complete(message_id)
            if chance < 0.2:
                self.side.complete(message_id)
            self.side.complete("unknown")

    def cancel(self, rng):
        while not self.over.wait(0.0005):
            self.side.cancel(f"{rng.randrange(PRODUCERS)}-{rng.randrange(EACH)}")

    def pass_time(self, rng):
        while not self.over.wait(0.0005):
            self.side.clock.advance(TIMEOUT * rng.random())

    def pause(self, rng):
        while not self.over.wait(0.001):
            self.side.dispatcher.pause()
            if rng.random() < 0.5:
                self.over.wait(0.0005)
            self.side.dispatcher.resume()

    def guarded(self, act, *arguments):
        try:
            act(*arguments)
        except BaseException as error:
            self.failures.append(error)

    def run(self, until):
        acts = [(self.produce, (str(name),)) for name in range(PRODUCERS)]
        acts += [(self.answer, ()), (self.answer, ()), (self.cancel, ()), (self.pass_time, ())]
        if isinstance(self.side, ClientSide):
            acts.append((self.pause, ()))
        threads = [
            threading.Thread(target=self.guarded, args=(act, *arguments, random.Random(self.rng.random())), daemon=True)
            for act, arguments in acts
        ]
        for thread in threads:
            thread.start()
        try:
            until()
            eventually(lambda: not self.producing and len(self.queue) == 0, 20)
        finally:
            self.over.set()
            for thread in threads:
                thread.join(seconds(10))
        assert not any(thread.is_alive() for thread in threads)
        assert self.failures == []

    # What must hold

    def check(self, stopped=False):
        side = self.side
        assert side.network.overlaps == 0, "two were written at once"
        if isinstance(side, ClientSide):
            assert side.state().twice == 0, "two were pending at once"
        places = {message_id: place for place, message_id in enumerate(self.queue.came)}
        sent = [places[message_id] for message_id in side.sent]
        assert sent == sorted(set(sent)), "each was written once, in the order of the queue"
        assert sorted(self.queue.went) == sorted(self.queue.came), "each left the queue once"
        assert len({*self.queue.came, *self.refused}) == PRODUCERS * EACH, "each was taken or refused"
        canceled = side.canceled_ids
        assert len(canceled) == len(set(canceled)), "none is reported twice"
        assert not set(canceled) & set(self.refused)
        if not stopped:
            told = {*canceled, *self.answered, *self.refused}
            assert set(self.queue.came) <= told, "each was answered or reported"
        assert side.left() == (0, False, 0)
        side.clock.advance(100 * TIMEOUT)
        assert side.canceled_ids == canceled
        assert side.clock.timers() == 0


@pytest.mark.parametrize("seed", range(6))
def test_answers_timeouts_cancellations_failed_writes_and_pauses(make_side, seed):
    mayhem = Mayhem(make_side, seed)
    mayhem.run(until=lambda: None)
    mayhem.check()
    mayhem.side.dispatcher.stop()


@pytest.mark.parametrize("seed", range(6))
def test_all_of_that_and_stop(make_side, seed):
    mayhem = Mayhem(make_side, seed)

    def stop():
        eventually(lambda: len(mayhem.queue.came) > 20 * seed)
        stoppers = [threading.Thread(target=mayhem.side.dispatcher.stop) for _ in range(2)]
        for each in stoppers:
            each.start()
        for each in stoppers:
            each.join(seconds(10))
            assert not each.is_alive()

    mayhem.run(until=stop)
    mayhem.check(stopped=True)
    with pytest.raises(NotRunning):
        mayhem.side.send("late")


@pytest.mark.parametrize("seed", range(6))
def test_all_of_that_and_delete_client(seed):
    mayhem = Mayhem(ServerSide, seed)

    def delete():
        eventually(lambda: len(mayhem.queue.came) > 20 * seed)
        mayhem.side.dispatcher.delete_client("CP")

    mayhem.run(until=delete)
    mayhem.check()
    with pytest.raises(UnknownClient):
        mayhem.side.send("late")


def test_a_client_that_connects_while_it_is_deleted_has_the_current_tables():
    """The sender of a new connection must use the tables that its answers are looked up in, not forgotten ones."""
    side, rounds, failures = ServerSide().start(), 400, []
    barrier = threading.Barrier(2)

    def go():
        for _ in range(rounds):
            barrier.wait(seconds(20))
            side.dispatcher.delete_client("CP")
            barrier.wait(seconds(20))

    def come():
        for n in range(rounds):
            barrier.wait(seconds(20))
            side.dispatcher.create_client("CP")
            barrier.wait(seconds(20))
            side.dispatcher.create_client("CP")
            side.send(f"{n}")
            if side.state().get(f"{n}") is None or len(side.queue()) != 1:
                failures.append(n)
            side.complete(f"{n}")

    threads = [threading.Thread(target=act, daemon=True) for act in (go, come)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(40))
        assert not thread.is_alive()
    assert failures == []
    assert side.left() == (0, False, 0)


def test_starts_and_stops_at_once_leave_one_sender_or_none(make_side):
    side = make_side()

    def start_and_stop(seed):
        rng = random.Random(seed)
        for _ in range(100):
            with suppress(NotRunning, UnknownClient):
                rng.choice([side.start, side.dispatcher.stop, lambda: side.send(f"{seed}")])()

    threads = [threading.Thread(target=start_and_stop, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(20))
        assert not thread.is_alive()
    side.dispatcher.stop()
    assert side.left() == (0, False, 0)
    side.start()
    side.network.sent.clear()
    side.send("fresh")
    assert side.sent == ["fresh"]
