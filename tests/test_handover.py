"""What another thread does for one that was interrupted."""

import threading
import time

import pytest

from ocppj import ManualClock, UsageError, WouldDeadlock, handover
from ocppj.exchange.repeats import LeftCalls
from ocppj.handover import hand_over
from tests.helpers import Recorder, eventually, seconds


def test_another_thread_does_it_and_is_waited_for():
    seen = Recorder()
    hand_over("ocppj-test", lambda: seen(threading.current_thread().name, threading.get_ident()))
    assert seen.calls[0][0] == "ocppj-test"
    assert seen.calls[0][1] != threading.get_ident()


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
@pytest.mark.parametrize("runs", [False, True])
def test_it_is_done_once_though_no_thread_with_a_name_can_be_started(monkeypatch, error, runs):
    start = threading.Thread.start

    def fail(thread):
        if runs:
            start(thread)
            thread.join()
        raise error("no thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    seen = Recorder()
    hand_over("ocppj-test", lambda: seen(threading.get_ident()))
    assert len(seen.calls) == 1
    assert seen.calls[0][0] != threading.get_ident()


def test_what_it_raises_in_time_is_raised():
    def fail():
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        hand_over("ocppj-test", fail)


def test_what_it_raises_later_is_logged(caplog):
    go = threading.Event()

    def fail():
        go.wait(seconds(10))
        raise UsageError("no")

    hand_over("ocppj-test", fail, 0)
    go.set()
    eventually(lambda: "ocppj-test failed" in caplog.text and "UsageError: no" in caplog.text)


def test_it_is_waited_for_so_long(monkeypatch):
    monkeypatch.setattr(handover, "PATIENCE", 0.02)
    go, done = threading.Event(), Recorder()
    hand_over("ocppj-test", lambda: done(go.wait(seconds(10))))
    assert not done.calls
    go.set()
    done.wait()


def test_what_waits_for_a_lock_is_not_waited_for(monkeypatch):
    """Most likely the interrupted thread has it."""
    monkeypatch.setattr(handover, "PATIENCE", seconds(60))
    left, done = LeftCalls(ManualClock(), 1), Recorder()
    begun = time.monotonic()
    with left.lock:
        hand_over("ocppj-test", lambda: done(left.forget("CP_1", "1")))
        assert time.monotonic() - begun < seconds(20)
        assert not done.calls
    done.wait()


def test_no_thread_can_be_started(monkeypatch):
    def none(*arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(handover, "start_new_thread", none)
    with pytest.raises(WouldDeadlock, match="ocppj-test: no thread can be started"):
        hand_over("ocppj-test", lambda: None)


def test_only_the_first_thread_can_be_started(monkeypatch):
    class Thread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    done = Recorder()
    monkeypatch.setattr(handover.threading, "Thread", Thread)
    hand_over("ocppj-test", done)
    assert done.calls == [()]


def test_no_thread_is_left_behind():
    before = threading.active_count()
    for _ in range(5):
        hand_over("ocppj-test", lambda: None)
    eventually(lambda: threading.active_count() <= before)
