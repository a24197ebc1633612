"""All deadlines on one timer."""

import random
import threading
from functools import partial

import pytest

from ocppj import ManualClock, SystemClock
from ocppj.dispatch.timeouts import Timeouts
from tests.helpers import eventually, seconds


class CountingClock(ManualClock):
    def __init__(self):
        super().__init__()
        self.delays = []

    def call_later(self, delay, callback, name):
        self.delays.append(delay)
        return super().call_later(delay, callback, name)


@pytest.fixture
def clock():
    return CountingClock()


@pytest.fixture
def timeouts(clock):
    return Timeouts(clock)


def test_nothing_is_armed_when_nothing_waits(clock, timeouts):
    timeouts.start()
    timeouts.stop()
    assert clock.delays == []


def test_a_deadline_runs_out_once_at_its_time(clock, timeouts):
    ran = []
    timeouts.add(30, lambda: ran.append(clock.monotonic()))
    clock.advance(29.9)
    assert ran == []
    assert timeouts.pending() == 1
    clock.advance(1000)
    assert ran == [30]
    assert (timeouts.pending(), clock.timers()) == (0, 0)


def test_a_canceled_deadline_does_not_run_out(clock, timeouts):
    ran = []
    deadline = timeouts.add(30, lambda: ran.append(1))
    deadline.cancel()
    deadline.cancel()
    assert timeouts.pending() == 0
    clock.advance(60)
    assert ran == []
    assert clock.timers() == 0


def test_deadlines_of_all_durations_run_in_order_of_their_time(clock, timeouts):
    ran = []
    for n, duration in enumerate([30, 5, 30, 12, 0, 5]):
        timeouts.add(duration, lambda n=n: ran.append(n))
    clock.advance(30)
    assert ran == [4, 1, 5, 3, 0, 2]


@pytest.mark.parametrize("answered", [True, False])
def test_the_timer_is_armed_once_per_period_however_many_requests(clock, timeouts, answered):
    ran = []
    for _ in range(10_000):
        deadline = timeouts.add(30, lambda: ran.append(1))
        clock.advance(0.03)
        if answered:
            deadline.cancel()
    periods = 10_000 * 0.03 / 30
    assert len(clock.delays) <= (periods + 1 if answered else 10_000)
    if not answered:
        clock.advance(30)
    assert len(ran) == (0 if answered else 10_000)
    assert clock.timers() <= 1
    clock.advance(30)
    assert (timeouts.pending(), clock.timers()) == (0, 0)


def test_a_burst_is_armed_once(clock, timeouts):
    ran = []
    for n in range(5_000):
        timeouts.add(30, lambda n=n: ran.append(n))
    assert len(clock.delays) == 1
    clock.advance(30)
    assert ran == list(range(5_000))
    assert len(clock.delays) == 1


def test_an_earlier_deadline_arms_anew_and_a_later_one_does_not(clock, timeouts):
    timeouts.add(30, lambda: None)
    timeouts.add(60, lambda: None)
    timeouts.add(30, lambda: None)
    assert clock.delays == [30]
    timeouts.add(5, lambda: None)
    assert clock.delays == [30, 5]
    assert clock.timers() == 1
    clock.advance(5)
    assert clock.delays == [30, 5, 25]


def test_a_callback_may_add(clock, timeouts):
    ran = []

    def again():
        ran.append(clock.monotonic())
        if len(ran) < 4:
            timeouts.add(10, again)

    timeouts.add(10, again)
    clock.advance(100)
    assert ran == [10, 20, 30, 40]
    assert clock.delays == [10, 10, 10, 10]
    assert clock.timers() == 0


def test_a_callback_may_stop_and_nothing_runs_after(clock, timeouts):
    ran = []

    def stop():
        ran.append("stop")
        timeouts.stop()

    timeouts.add(10, stop)
    timeouts.add(10, lambda: ran.append("same time"))
    timeouts.add(20, lambda: ran.append("later"))
    clock.advance(100)
    assert ran == ["stop"]
    assert (timeouts.pending(), clock.timers()) == (0, 0)
    timeouts.add(1, lambda: ran.append("stopped"))
    clock.advance(100)
    assert ran == ["stop"]
    timeouts.start()
    timeouts.add(1, lambda: ran.append("again"))
    clock.advance(1)
    assert ran == ["stop", "again"]


def test_a_callback_may_cancel_one_that_runs_out_with_it(clock, timeouts):
    ran = []
    timeouts.add(10, lambda: second.cancel())
    second = timeouts.add(10, lambda: ran.append("second"))
    clock.advance(10)
    assert ran == []


def test_a_callback_that_fails_does_not_hurt_the_others(clock, timeouts, caplog):
    ran = []
    timeouts.add(10, lambda: 1 / 0)
    timeouts.add(10, lambda: ran.append(1))
    timeouts.add(20, lambda: ran.append(2))
    clock.advance(20)
    assert ran == [1, 2]
    assert "a timeout callback failed" in caplog.text


def test_is_firing_is_true_in_callbacks_only(clock, timeouts):
    said = []
    timeouts.add(1, lambda: said.append(timeouts.is_firing()))
    clock.advance(1)
    assert said == [True]
    assert not timeouts.is_firing()


@pytest.mark.parametrize("duration", [float("inf"), 1e12])
def test_a_duration_too_long_for_a_thread_waits_all_the_same(clock, timeouts, duration):
    ran = []
    timeouts.add(duration, lambda: ran.append("never"))
    assert max(clock.delays) <= threading.TIMEOUT_MAX
    timeouts.add(5, lambda: ran.append("soon"))
    clock.advance(1_000_000)
    assert ran == ["soon"]
    assert timeouts.pending() == 1


def test_when_no_thread_can_start_the_next_deadline_tries_again(clock, timeouts, caplog):
    ran, real = [], clock.call_later

    def fail(*arguments):
        raise RuntimeError("can't start new thread")

    clock.call_later = fail
    timeouts.add(10, lambda: ran.append(1))
    assert "cannot be armed" in caplog.text
    clock.call_later = real
    timeouts.add(10, lambda: ran.append(2))
    clock.advance(10)
    assert ran == [1, 2]


def test_any_mixture_runs_each_deadline_at_its_time(clock, timeouts):
    rng, due, ran = random.Random(7), {}, {}
    for n in range(2_000):
        duration = rng.choice([0.1, 0.3, 1, 2.5, 30, rng.random() * 10])
        due[n] = clock.monotonic() + duration
        deadline = timeouts.add(duration, lambda n=n: ran.__setitem__(n, clock.monotonic()))
        if rng.random() < 0.3:
            deadline.cancel()
            del due[n]
        clock.advance(rng.random() / 10)
    clock.advance(60)
    assert set(ran) == set(due)
    assert all(abs(ran[n] - due[n]) <= 0.002 for n in due)
    assert clock.timers() == 0


# The real clock


def timers():
    return [thread for thread in threading.enumerate() if thread.name == "ocppj-test-timeouts"]


@pytest.fixture
def real():
    timeouts = Timeouts(SystemClock(), "ocppj-test-timeouts")
    yield timeouts
    timeouts.stop()
    assert not timers()


def test_real_deadlines_run_out_and_leave_no_thread(real):
    ran, lock = [], threading.Lock()

    def note(n):
        with lock:
            ran.append(n)

    for n in range(500):
        real.add(0.02 + n % 5 / 100, lambda n=n: note(n))
    eventually(lambda: len(ran) == 500)
    eventually(lambda: not timers())
    assert real.pending() == 0


def test_without_a_thread_the_one_that_waits_runs_what_is_due(real, monkeypatch):
    """``call()`` does that: no other thread may come that could start the timer."""
    ended = threading.Event()

    def fail(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        real.add(0.01, ended.set)
        assert real.unarmed
        real.stand_in(ended.wait)
        assert ended.is_set()
    again = threading.Event()
    real.add(0.01, again.set)
    assert again.wait(seconds(10))
    assert not real.unarmed


def test_a_timer_that_cannot_arm_the_next_one_stays(real, monkeypatch):
    first, second, start = threading.Event(), threading.Event(), threading.Thread.start
    failures = []

    def fail(thread):
        if threading.current_thread().name == "ocppj-test-timeouts" and len(failures) < 3:
            failures.append(thread)
            raise MemoryError
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    real.add(0.3, second.set)
    real.add(0.01, first.set)
    assert first.wait(seconds(10))
    assert second.wait(seconds(10))
    assert failures


def test_stop_ends_the_thread_at_once(real):
    real.add(3600, lambda: None)
    assert len(timers()) == 1
    real.stop()
    assert not timers()


def test_many_requests_have_one_thread(real):
    for _ in range(1_000):
        real.add(3600, lambda: None)
    assert len(timers()) == 1


def test_stop_from_a_callback_does_not_wait_for_itself(real):
    stopped = threading.Event()

    def stop():
        real.stop()
        stopped.set()

    real.add(0.001, stop)
    assert stopped.wait(seconds(4))
    eventually(lambda: not timers())


def test_a_callback_that_blocks_delays_no_later_deadline(real):
    release, ran = threading.Event(), threading.Event()
    try:
        real.add(0.001, lambda: release.wait(seconds(30)))
        real.add(0.05, ran.set)
        assert ran.wait(seconds(10))
    finally:
        release.set()


def test_threads_that_add_cancel_and_stop_leave_nothing(real):
    ran, lock, barrier = [], threading.Lock(), threading.Barrier(6)

    def note(n):
        with lock:
            ran.append(n)

    def work(seed):
        rng = random.Random(seed)
        barrier.wait(10)
        for n in range(300):
            kept = rng.random() < 0.5
            deadline = real.add(rng.choice([0.001, 0.01, 3600]), partial(note, n))
            if not kept or deadline.duration == 3600:
                deadline.cancel()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(20))
    eventually(lambda: real.pending() == 0)
    real.stop()
    assert not timers()
