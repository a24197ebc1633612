"""Starting and joining threads."""

import gc
import threading
import time
import weakref

import pytest

from ocppj.ws.threads import Threads
from tests.helpers import Recorder, seconds


@pytest.fixture
def threads():
    return Threads()


def soon():
    return time.monotonic() + seconds(10)


def refuse(thread):
    raise RuntimeError("can't start new thread")


def test_a_thread_has_its_name_and_arguments_and_is_a_daemon(threads):
    called = Recorder()
    assert threads.start("ocppj-test", lambda *args: called(threading.current_thread(), *args), 1, "two")
    ((thread, *args),) = called.wait(1)
    assert (thread.name, thread.daemon, args) == ("ocppj-test", True, [1, "two"])
    assert threads.join(soon())


def test_join_waits_for_threads_that_start_meanwhile(threads):
    called = Recorder()

    def first():
        threads.start("second", second)

    def second():
        threads.start("third", called)

    threads.start("first", first)
    assert threads.join(soon())
    assert called.calls == [()]


def test_join_says_which_thread_does_not_end(threads, caplog):
    go = threading.Event()
    threads.start("ocppj-slow", go.wait)
    assert not threads.join(time.monotonic() + 0.01)
    assert "the thread ocppj-slow does not end" in caplog.text
    go.set()
    assert threads.join(soon())


def test_a_thread_does_not_join_itself(threads):
    done = Recorder()
    threads.start("ocppj-test", lambda: done(threads.join(soon())))
    assert done.wait(1) == [(True,)]


def test_two_threads_that_stop_the_same_owner_do_not_wait_for_each_other(threads):
    stoppers, both, done = set(), threading.Barrier(2), Recorder()

    def stop():
        both.wait(seconds(10))
        stoppers.add(threading.get_ident())
        done(threads.join(soon(), stoppers))

    for _ in range(2):
        threads.start("ocppj-test", stop)
    assert done.wait(2) == [(True,), (True,)]


def test_nothing_starts_after_close(threads):
    called = Recorder()
    threads.close()
    assert not threads.start("ocppj-test", called)
    assert threads.join(soon())
    assert called.calls == []


def test_a_thread_that_the_system_does_not_give_is_forgotten(threads, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        threads.start("ocppj-test", int)
    assert threads.join(soon())


def test_join_waits_for_a_thread_that_is_about_to_start(threads, monkeypatch):
    begun, go, called, start = threading.Event(), threading.Event(), Recorder(), threading.Thread.start

    def start_later(thread):
        if thread.name == "ocppj-late":
            begun.set()
            assert go.wait(seconds(10))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_later)
    starting = threading.Thread(target=threads.start, args=("ocppj-late", called))
    starting.start()
    assert begun.wait(seconds(10))
    joined = Recorder()
    joining = threading.Thread(target=lambda: joined(threads.join(soon())))
    joining.start()
    go.set()
    assert joined.wait(1) == [(True,)]
    assert called.calls == [()]
    starting.join(seconds(10))
    joining.join(seconds(10))


def test_threads_that_ended_are_dropped(threads):
    begun = []
    for _ in range(100):
        threads.start("ocppj-test", lambda: begun.append(weakref.ref(threading.current_thread())))
        assert threads.join(soon())
    gc.collect()
    assert len(begun) == 100
    assert sum(thread() is not None for thread in begun) < 100
