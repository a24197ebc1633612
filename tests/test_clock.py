"""The clock that is real, and the one that tests hold."""

import threading
from datetime import datetime, timedelta, timezone

import pytest

from ocppj import Client, ManualClock, NotRunning, SystemClock, v16
from ocppj.events import Event
from tests.helpers import eventually, seconds

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def test_time_stands_still_until_it_is_advanced():
    clock = ManualClock(START)
    assert (clock.monotonic(), clock.now()) == (0.0, START)
    clock.advance(86_400)
    assert (clock.monotonic(), clock.now()) == (86_400.0, START + timedelta(days=1))


def test_callbacks_run_in_order_of_their_time_at_their_time():
    clock, ran = ManualClock(), []
    for name, delay in [("late", 3), ("early", 1), ("same", 1), ("never", 4)]:
        clock.call_later(delay, lambda name=name: ran.append((name, clock.monotonic())), name)
    clock.call_later(2, lambda: ran.append("canceled"), "x").cancel()
    assert clock.timers() == 4
    clock.advance(3)
    assert ran == [("early", 1), ("same", 1), ("late", 3)]
    assert clock.timers() == 1
    clock.advance(0.5)
    assert len(ran) == 3


def test_a_callback_may_set_the_next_and_advance_runs_it_too():
    clock, ran = ManualClock(), []

    def again():
        ran.append(clock.monotonic())
        clock.call_later(1, again, "again")

    clock.call_later(1, again, "again")
    clock.advance(3.5)
    assert ran == [1, 2, 3]


def test_the_next_callback_is_due():
    clock = ManualClock()
    assert clock.next_due() is None
    later = clock.call_later(7, lambda: None, "later")
    sooner = clock.call_later(2.5, lambda: None, "sooner")
    assert clock.next_due() == 2.5
    clock.advance(1)
    assert clock.next_due() == 1.5
    sooner.cancel()
    assert clock.next_due() == 6
    later.cancel()
    assert clock.next_due() is None


def test_a_timed_wait_is_due():
    clock, ended = ManualClock(), []
    thread = threading.Thread(target=lambda: ended.append(clock.wait(Event(), 60)), daemon=True)
    thread.start()
    assert clock.wait_for_waiters(1)
    assert clock.next_due() == 60
    clock.advance(60)
    thread.join(seconds(10))
    assert ended == [False]
    assert clock.next_due() is None


def test_a_timed_wait_ends_when_its_time_has_come():
    clock, ended = ManualClock(), []
    thread = threading.Thread(target=lambda: ended.append(clock.wait(threading.Event(), 60)), daemon=True)
    thread.start()
    assert clock.wait_for_waiters(1)
    clock.advance(59)
    assert clock.timers() == 1
    assert not ended
    clock.advance(1)
    thread.join(seconds(10))
    assert ended == [False]
    assert clock.timers() == 0


@pytest.mark.parametrize("make_event", [threading.Event, Event], ids=["of Python", "of ocppj"])
def test_a_wait_ends_when_its_event_is_set(make_event):
    clock, event, ended = ManualClock(), make_event(), []
    for timeout in (None, 60):
        thread = threading.Thread(target=lambda timeout=timeout: ended.append(clock.wait(event, timeout)), daemon=True)
        thread.start()
    assert clock.wait_for_waiters(1)
    event.set()
    eventually(lambda: ended == [True, True])


def test_nobody_waits():
    assert not ManualClock().wait_for_waiters(1, 0.01)


def test_real_time_passes():
    clock = SystemClock()
    before, done = clock.monotonic(), threading.Event()
    assert not clock.wait(done, 0.01)
    assert clock.monotonic() - before > 0.005
    assert abs(clock.now() - datetime.now(timezone.utc)) < timedelta(seconds=10)
    done.set()
    assert clock.wait(done, None)


def test_a_real_callback_runs_on_a_daemon_thread_of_that_name():
    ran = []
    handle = SystemClock().call_later(0.001, lambda: ran.append(threading.current_thread()), "ocppj-test")
    handle.join(seconds(10))
    assert [(thread.name, thread.daemon) for thread in ran] == [("ocppj-test", True)]
    assert handle.done()


def test_a_real_callback_may_use_the_library():
    client, raised = Client("CP_1", profiles=v16.PROFILES), []

    def ask():
        try:
            client.send_request(v16.HeartbeatRequest())
        except Exception as error:
            raised.append(error)

    timer = SystemClock().call_later(0.01, ask, "test")
    eventually(timer.done)
    assert [type(error) for error in raised] == [NotRunning]  # and not WouldDeadlock


def test_a_real_callback_can_be_canceled_and_joins_itself_at_once():
    clock, ran, handles = SystemClock(), [], []
    canceled = clock.call_later(60, lambda: ran.append("canceled"), "ocppj-test")
    assert not canceled.done()
    canceled.cancel()
    canceled.join(seconds(10))
    assert canceled.done()
    known = threading.Event()

    def join_self():
        known.wait(10)
        handles[0].join()
        ran.append("joined")

    handles.append(clock.call_later(0, join_self, "ocppj-test"))
    known.set()
    handles[0].join(seconds(10))
    assert ran == ["joined"]


def test_a_real_callback_runs_though_its_thread_had_no_memory_to_wait(monkeypatch):
    """All deadlines of an endpoint hang on one such thread."""
    wait, failures = Event.wait, []

    def fail_at_first(event, timeout=None):
        if threading.current_thread().name == "ocppj-test" and len(failures) < 3:
            failures.append(timeout)
            raise MemoryError
        return wait(event, timeout)

    monkeypatch.setattr(Event, "wait", fail_at_first)
    ran = threading.Event()
    handle = SystemClock().call_later(0.2, ran.set, "ocppj-test")
    assert ran.wait(seconds(10))
    assert len(failures) == 3
    handle.join(seconds(10))
    assert handle.done()


def test_time_never_goes_back():
    """Whoever advances further meanwhile, another thread or a callback, has the last word."""
    clock = ManualClock()
    clock.call_later(1, lambda: clock.advance(100), "far")
    clock.advance(10)
    assert clock.monotonic() == 101
