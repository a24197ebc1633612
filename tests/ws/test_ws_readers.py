"""ThreadPerConnection, with sources made for the purpose."""

import threading
import time

import pytest

from ocppj.ws.readers import ThreadPerConnection
from tests.helpers import Recorder, eventually, seconds


class FakeSource:
    """Ends when told so."""

    def __init__(self, name="CP_1"):
        self.seat = None
        self.name = name
        self.go = threading.Event()
        self.end = threading.Event()
        self.steps = Recorder()
        self.finished = Recorder()
        self.on_finish = lambda: None
        self.deadline = None
        self.expired = Recorder()

    def fileno(self):
        return -1

    def step(self, block):
        self.steps(threading.current_thread().name)
        assert self.end.wait(seconds(10))
        return False

    def next_deadline(self):
        return self.deadline

    def wants_write(self):
        return False

    def expire(self):
        self.expired()
        self.end.set()

    def finish(self):
        self.on_finish()
        self.finished(threading.current_thread().name)


@pytest.fixture
def readers():
    readers = ThreadPerConnection()
    yield readers
    assert readers.stop(seconds(5))


def test_names_and_one_finish(readers):
    source = FakeSource()
    ran = Recorder()
    readers.add(source)
    readers.submit(source, lambda: ran(threading.current_thread().name))
    assert ran.wait(1) == [("ocppj-dispatcher-CP_1",)]
    source.end.set()
    assert source.finished.wait(1) == [("ocppj-reader-CP_1",)]
    assert source.steps.calls == [("ocppj-reader-CP_1",)]
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("ocppj-")])


def test_no_dispatcher_without_a_job(readers):
    source = FakeSource()
    readers.add(source)
    source.steps.wait(1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ocppj-dispatcher")]
    source.end.set()


def test_jobs_before_add_and_after_the_end(readers):
    source = FakeSource()
    ran = Recorder()
    readers.submit(source, lambda: ran(1))
    readers.add(source)
    ran.wait(1)
    source.end.set()
    source.finished.wait(1)
    readers.submit(source, lambda: ran(2))
    assert ran.wait(2) == [(1,), (2,)]


def test_stop_discards_what_is_not_begun_but_not_what_finish_submits(readers, caplog):
    caplog.set_level("INFO", "ocppj")
    source = FakeSource()
    begun, go, discarded, final = threading.Event(), threading.Event(), Recorder(), Recorder()
    source.on_finish = lambda: readers.submit(source, final)
    readers.add(source)
    readers.submit(source, lambda: (begun.set(), go.wait(seconds(10))))
    readers.submit(source, discarded)
    assert begun.wait(seconds(10))
    stopper = threading.Thread(target=readers.stop, args=(seconds(5),))
    stopper.start()
    eventually(lambda: "1 jobs are discarded" in caplog.text)
    readers.submit(source, discarded)
    source.end.set()
    source.finished.wait(1)
    go.set()
    stopper.join(seconds(10))
    assert not stopper.is_alive()
    final.wait(1)
    assert discarded.calls == []


def test_stop_is_bounded_and_names_who_does_not_end(caplog):
    readers, source = ThreadPerConnection(), FakeSource("SLOW")
    readers.add(source)
    begun = time.monotonic()
    assert not readers.stop(seconds(0.2))
    assert time.monotonic() - begun < seconds(2)
    assert "ocppj-reader-SLOW" in caplog.text
    source.end.set()
    assert readers.stop(seconds(5))


def test_stop_does_not_wait_for_its_own_thread(readers):
    source = FakeSource()
    result = Recorder()
    readers.add(source)
    readers.submit(source, lambda: (source.end.set(), result(readers.stop(seconds(5)))))
    assert result.wait(1) == [(True,)]


def test_wake_ends_a_source_whose_closing_is_overdue(readers):
    source = FakeSource()
    readers.add(source)
    source.deadline = time.monotonic() + seconds(0.1)
    readers.wake(source)
    source.expired.wait(1)
    source.finished.wait(1)


def test_a_source_that_ends_in_time_is_not_expired(readers):
    source = FakeSource()
    readers.add(source)
    source.deadline = time.monotonic() + 60
    readers.wake(source)
    source.end.set()
    source.finished.wait(1)
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("ocppj-close")])
    readers.wake(source)
    assert source.expired.calls == []


def test_a_timer_that_is_about_to_start_does_not_keep_a_source_from_finishing(readers):
    source = FakeSource()
    readers.add(source)
    source.steps.wait(1)
    source.seat.timer = threading.Timer(60, source.expire)
    source.seat.timer._ident = 1  # as it is for a moment, before it counts as started
    source.end.set()
    eventually(lambda: source.seat.finished)


def test_a_step_that_raises_ends_the_source(readers, caplog):
    source = FakeSource()
    source.step = lambda block: 1 / 0
    readers.add(source)
    source.finished.wait(1)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_no_error_ends_a_dispatcher_or_leaves_a_seat(readers, caplog, error):
    def fail(*_):
        raise error

    source, ran = FakeSource(), Recorder()
    source.step = lambda block: (source.end.wait(seconds(10)), fail())
    source.on_finish = fail
    readers.add(source)
    readers.submit(source, fail)
    readers.submit(source, ran)
    ran.wait(1)
    source.end.set()
    eventually(lambda: source.seat.finished and not readers._seats)
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("ocppj-")])
    for story in ("a job failed", "reading failed", "finishing failed"):
        assert story in caplog.text


def test_stop_on_a_reader_thread_does_not_wait_for_its_dispatcher(readers):
    source, ran, result = FakeSource(), Recorder(), Recorder()

    def step(block):
        ran.wait(1)
        begun = time.monotonic()
        result(readers.stop(seconds(5)), time.monotonic() - begun < seconds(2))
        return False

    source.step = step
    source.on_finish = lambda: readers.submit(source, lambda: ran("finish"))
    readers.submit(source, lambda: ran("job"))
    readers.add(source)
    assert result.wait(1) == [(True, True)]
    assert ran.wait(2) == [("job",), ("finish",)]
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("ocppj-")])


def test_jobs_from_many_threads_run_one_at_a_time(readers):
    source = FakeSource()
    readers.add(source)
    running, ran = threading.Lock(), []

    def job():
        assert running.acquire(blocking=False)
        ran.append(1)
        running.release()

    threads = [threading.Thread(target=lambda: [readers.submit(source, job) for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    source.end.set()
    eventually(lambda: len(ran) == 800)


def test_waiting_does_nothing():
    with ThreadPerConnection().waiting():
        pass
