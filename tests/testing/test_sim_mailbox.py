"""The events of a simulated station run one at a time, and its timers share one of the clock."""

import logging
import threading

import pytest

from ocppj import ManualClock, SystemClock
from ocppj.testing.simulation.background import Background
from ocppj.testing.simulation.mailbox import Mailbox
from ocppj.testing.simulation.scheduler import Scheduler
from ocppj.testing.simulation.simtime import SimulatedTime, Timers
from tests.helpers import seconds

LOG = logging.getLogger("ocppj.test")


def test_a_job_runs_at_once_on_the_thread_that_posts_it():
    mailbox, ran = Mailbox(lambda error: None), []
    mailbox.post(lambda: ran.append(threading.get_ident()))
    assert ran == [threading.get_ident()]


def test_a_job_that_is_posted_in_a_job_runs_afterwards():
    mailbox, ran = Mailbox(lambda error: None), []

    def first():
        mailbox.post(lambda: ran.append("second"))
        ran.append("first")

    mailbox.post(first)
    assert ran == ["first", "second"]


def test_jobs_of_many_threads_run_one_at_a_time_and_none_is_lost():
    mailbox, ran, inside = Mailbox(lambda error: None), [], []

    def job(number):
        inside.append(number)
        assert len(inside) == 1
        ran.append(number)
        inside.pop()

    def post(start):
        for number in range(start, start + 500):
            mailbox.post(lambda number=number: job(number))

    threads = [threading.Thread(target=post, args=(1000 * index,), daemon=True) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(10))
    with mailbox.changed:
        assert mailbox.changed.wait_for(lambda: len(ran) == 2000, seconds(10))
    for index in range(4):  # those of a thread stay in order
        mine = [number for number in ran if 1000 * index <= number < 1000 * index + 500]
        assert mine == sorted(mine)


def test_a_job_that_fails_keeps_no_other_from_running():
    failed, ran = [], []
    mailbox = Mailbox(failed.append)
    mailbox.post(lambda: 1 / 0)
    mailbox.post(lambda: ran.append("next"))
    assert (len(failed), ran) == (1, ["next"])


def test_an_interrupt_of_a_job_leaves_the_next_to_the_next_thread():
    mailbox, ran = Mailbox(lambda error: None), []

    def interrupted():
        mailbox.post(lambda: ran.append("second"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mailbox.post(interrupted)
    mailbox.post(lambda: ran.append("third"))
    assert ran == ["second", "third"]


def test_a_mailbox_tells_when_something_has_changed():
    mailbox, seen = Mailbox(lambda error: None), []

    def watch():
        with mailbox.changed:
            seen.append(mailbox.changed.wait_for(lambda: done, seconds(10)))

    done = []
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    mailbox.post(lambda: done.append(1))
    thread.join(seconds(10))
    assert seen == [[1]]


def test_many_timers_need_one_of_the_clock():
    clock, ran = ManualClock(), []
    scheduler = Scheduler(clock, LOG)
    for delay in (3, 1, 2, 5):
        scheduler.call_later(delay, lambda delay=delay: ran.append((delay, clock.monotonic())))
    assert clock.timers() == 1
    clock.advance(3)
    assert ran == [(1, 1), (2, 2), (3, 3)]
    assert clock.timers() == 1
    scheduler.close()
    assert clock.timers() == 0
    clock.advance(10)
    assert len(ran) == 3


def test_a_timer_is_canceled():
    clock, ran = ManualClock(), []
    scheduler = Scheduler(clock, LOG)
    handle = scheduler.call_later(1, lambda: ran.append(1))
    scheduler.call_later(2, lambda: ran.append(2))
    assert handle.pending
    handle.cancel()
    handle.cancel()
    assert not handle.pending
    clock.advance(2)
    assert ran == [2]


def test_a_timer_that_fails_keeps_no_other_from_running(caplog):
    clock, ran = ManualClock(), []
    scheduler = Scheduler(clock, LOG)
    scheduler.call_later(1, lambda: 1 / 0)
    scheduler.call_later(1, lambda: ran.append(1))
    clock.advance(1)
    assert ran == [1]
    assert "ZeroDivisionError" in caplog.text


def make_time(speed):
    clock = ManualClock()
    timers = Timers(Scheduler(clock, LOG), Mailbox(lambda error: None))
    return clock, timers, SimulatedTime(clock, timers, speed)


def test_timers_in_real_time():
    scheduler, done, ran = Scheduler(SystemClock(), LOG), threading.Event(), []
    scheduler.call_later(0.05, done.set)
    scheduler.call_later(0.01, lambda: ran.append(1))
    scheduler.call_later(0.0, lambda: ran.append(0))
    assert done.wait(seconds(10))
    assert ran == [0, 1]
    scheduler.call_later(1000, done.clear)
    scheduler.close()
    scheduler.call_later(0, done.clear)
    assert done.is_set()


def test_simulated_time_is_faster():
    clock, _, time = make_time(60.0)
    start, ran = time.now(), []
    time.call_later(600, lambda: ran.append((clock.monotonic(), time.seconds())))
    clock.advance(60)
    assert ran == [(10, 600)]
    assert (time.now() - start).total_seconds() == 3600


def test_a_moment_that_has_passed_is_now():
    clock, _, time = make_time(1.0)
    start, ran = time.now(), []
    clock.advance(10)
    time.call_at(start, lambda: ran.append(1))
    clock.advance(0)
    assert ran == [1]


def test_timers_of_a_station_that_is_switched_off():
    clock, timers, _ = make_time(1.0)
    ran = []
    timers.call_later(1, lambda: ran.append(1))
    timers.close()
    timers.call_later(1, lambda: ran.append(2))
    clock.advance(2)
    assert ran == []


def test_background_jobs_run_on_its_own_threads_until_it_is_closed():
    background, ran = Background(2), []
    done = threading.Event()
    background.run(lambda: (ran.append(threading.current_thread().name), done.set()))
    assert done.wait(seconds(10))
    background.close()
    background.run(lambda: ran.append("late"))
    assert len(ran) == 1
    assert ran[0].startswith("ocppj-simulation")


def test_a_background_job_may_close_it():
    background, done = Background(1), threading.Event()
    background.run(lambda: (background.close(), done.set()))
    assert done.wait(seconds(10))
    background.close()


def test_canceled_timers_are_thrown_away():
    scheduler = Scheduler(ManualClock(), LOG)
    timers = Timers(scheduler, Mailbox(lambda error: None))
    kept = [timers.call_later(5000, lambda: None) for _ in range(10)]
    for _ in range(1000):
        timers.call_later(1000, lambda: None).cancel()
    assert scheduler.waiting() <= 22
    timers.close()
    assert scheduler.waiting() == 0
    assert not any(handle.pending for handle in kept)
