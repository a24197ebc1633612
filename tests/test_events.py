"""Events, conditions and attempts to take a lock: they wait and wake, and an interrupt loses no lock."""

import threading

import pytest

from ocppj import events as events_module
from ocppj.events import Condition, Event, Thread, Timer, acquire, releasing, try_acquire, wait_for_any
from tests.faults.interrupts import Injector
from tests.helpers import Recorder, eventually, seconds


def waiting(event, timeout=None):
    ended = Recorder()
    Thread(target=lambda: ended(event.wait(timeout)), daemon=True).start()
    return ended


def test_all_that_wait_for_an_event_go_on_when_it_is_set():
    event = Event()
    threads = [waiting(event) for _ in range(3)]
    event.set()
    assert [each.wait()[0] for each in threads] == [(True,)] * 3
    assert event.wait(0)
    event.clear()
    assert not event.is_set()
    assert not event.wait(0.01)


def test_an_event_that_is_set_and_waited_for_at_once_loses_no_thread():
    for _ in range(200):
        event = Event()
        ended = waiting(event, seconds(10))
        event.set()
        assert ended.wait()[0] == (True,)


@pytest.mark.parametrize("chosen", [0, 1], ids=["the first", "the second"])
def test_a_wait_for_two_events_ends_with_either(chosen):
    events = Event(), Event()
    ended = Recorder()
    Thread(target=lambda: ended(wait_for_any(*events)), daemon=True).start()
    events[chosen].set()
    ended.wait()
    wait_for_any(*events)
    assert events[0].is_set() != events[1].is_set()


def test_two_events_that_are_set_and_waited_for_at_once_lose_no_thread():
    for number in range(200):
        events, ended = (Event(), Event()), Recorder()
        Thread(target=lambda events=events, ended=ended: ended(wait_for_any(*events)), daemon=True).start()
        events[number % 2].set()
        ended.wait()


def test_a_condition_wakes_as_many_as_it_is_told_to():
    lock = threading.Lock()
    condition, ended = Condition(lock), Recorder()

    def wait():
        with lock:
            inside.release()
            ended(condition.wait(seconds(10)))

    inside = threading.Semaphore(0)
    for _ in range(3):
        Thread(target=wait, daemon=True).start()
    for _ in range(3):
        assert inside.acquire(timeout=seconds(10))
    with lock:
        condition.notify()
    assert ended.wait(1) == [(True,)]
    with condition:
        condition.notify_all()
    assert ended.wait(3) == [(True,)] * 3
    with condition:
        assert not condition.wait(0.01)
        assert condition.wait_for(lambda: True)


def test_a_lock_that_is_tried_is_released_once_if_it_was_taken():
    lock = threading.Lock()
    mine, yours = [], []
    release = releasing(lock)
    try_acquire(lock, mine)
    try_acquire(lock, yours)
    assert (mine, yours) == ([True], [False])
    mine[:] = release
    assert not lock.locked()
    lock.acquire()
    mine[:] = release
    assert lock.locked(), "a second time changes nothing"


def test_a_timer_runs_and_can_be_canceled():
    ran = Recorder()
    canceled = Timer(seconds(30), ran)
    canceled.start()
    canceled.cancel()
    canceled.join(seconds(10))
    Timer(0.01, ran).start()
    assert ran.wait() == [()]


def wait_for_a_set_event():
    event = Event()
    timer = Thread(target=event.set)
    timer.start()
    event.wait(seconds(10))
    timer.join()


def use_a_condition(lock, condition):
    with condition:
        condition.wait(0.001)
        condition.notify_all()


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock])
def test_an_interrupt_loses_no_lock_of_a_condition(kind):
    """As it does with `threading.Condition`."""
    lock = kind()
    condition, injector = Condition(lock), Injector()
    points = injector.points(lambda: use_a_condition(lock, condition))
    for at in points:
        injector.interrupt(lambda: use_a_condition(lock, condition), at)
        taken = Recorder()
        thread = threading.Thread(
            target=lambda taken=taken: taken(lock.acquire(timeout=seconds(2)) and not lock.release())
        )
        thread.start()
        thread.join()
        assert taken.calls == [(True,)], f"after an interrupt at {injector.raised}"


def test_an_interrupt_at_the_start_of_a_thread_leaves_one_that_ends():
    """One that was interrupted may not start. But one that starts runs."""
    injector = Injector()
    for at in injector.points(wait_for_a_set_event):
        injector.interrupt(wait_for_a_set_event, at)
    eventually(lambda: not [each for each in threading.enumerate() if each.ident and isinstance(each, Thread)])


def test_where_waits_run_no_signal_handler_they_are_in_slices(monkeypatch):
    """So it is on Windows before Python 3.14. Here a wait is cut into slices by hand."""
    monkeypatch.setattr(events_module, "_IN_SLICES", True)
    monkeypatch.setattr(events_module, "_SLICE", 0.01)
    lock = threading.Lock()
    assert acquire(lock)
    assert not acquire(lock, 0.03)
    threading.Timer(0.05, lock.release).start()
    assert acquire(lock)
    event = Event()
    threading.Timer(0.05, event.set).start()
    assert event.wait()
    assert not Event().wait(0.03)
