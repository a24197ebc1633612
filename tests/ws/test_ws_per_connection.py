"""What all readers promise, with fake sources; and the threads of ThreadPerConnection."""

import threading
import time

import pytest

from ocppj.ws.readers import SharedReaders, ThreadPerConnection
from ocppj.ws.readers.choice import AutoReaders
from tests.helpers import Recorder, eventually, seconds
from tests.inside.readers import kept
from tests.ws.sources import FakeSource


def ours(*names):
    return [t for t in threading.enumerate() if t.name.startswith(tuple(f"ocppj-{name}" for name in names or ("",)))]


MAKERS = {
    "per-connection": ThreadPerConnection,
    "shared": SharedReaders,
    "auto-own": AutoReaders,
    "auto-shared": lambda: AutoReaders(0),
}


@pytest.fixture(params=MAKERS)
def readers(request):
    readers = MAKERS[request.param]()
    yield readers
    assert readers.stop(seconds(5))


@pytest.fixture
def own():
    """Threads of their own."""
    readers = ThreadPerConnection()
    yield readers
    assert readers.stop(seconds(5))


def test_names_and_one_finish(own):
    readers, source = own, FakeSource()
    ran = Recorder()
    readers.add(source)
    readers.submit(source, lambda: ran(threading.current_thread().name))
    assert ran.wait(1) == [("ocppj-dispatcher-CP_1",)]
    source.end.set()
    assert source.finished.wait(1) == [("ocppj-reader-CP_1",)]
    assert source.steps.calls == [("ocppj-reader-CP_1",)]
    eventually(lambda: not ours())


def test_one_finish_and_nothing_is_left(readers):
    source, ran = FakeSource(), Recorder()
    readers.add(source)
    readers.submit(source, ran)
    ran.wait(1)
    source.end.set()
    eventually(lambda: not ours(), 4)
    readers.wake(source)
    assert len(source.finished.calls) == 1
    assert len(ran.calls) == 1


def test_no_dispatcher_without_a_job(own):
    source = FakeSource()
    own.add(source)
    source.steps.wait(1)
    assert not ours("dispatcher")
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


def test_stop_discards_the_jobs_of_a_source_that_has_finished(readers, caplog):
    caplog.set_level("INFO", "ocppj")
    source = FakeSource()
    begun, go, ran = threading.Event(), threading.Event(), Recorder()
    source.on_finish = lambda: readers.submit(source, lambda: ran("finish"))
    readers.add(source)
    readers.submit(source, lambda: (begun.set(), go.wait(seconds(10))))
    readers.submit(source, lambda: ran("job"))
    assert begun.wait(seconds(10))
    source.end.set()
    source.finished.wait(1)
    stopper = threading.Thread(target=readers.stop, args=(seconds(5),))
    stopper.start()
    eventually(lambda: "1 jobs are discarded" in caplog.text)
    go.set()
    stopper.join(seconds(10))
    assert ran.calls == [("finish",)]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_stop_is_bounded_and_names_what_does_not_end(make, caplog):
    readers, source = make(), FakeSource("SLOW")
    readers.add(source)
    begun = time.monotonic()
    assert not readers.stop(seconds(0.2))
    assert time.monotonic() - begun < seconds(8)
    assert "SLOW" in caplog.text
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
    source.step = lambda block: not source.end.wait(seconds(10) if block else 0)
    readers.add(source)
    source.deadline = time.monotonic() + seconds(0.1)
    readers.wake(source)
    if not ours("reader"):
        source.step = lambda block: time.monotonic() < source.deadline
    source.finished.wait(1)


def test_a_source_whose_step_is_blocked_is_expired(readers):
    """The reader does not see that the closing is overdue; another thread does."""
    source = FakeSource()

    def step(block):
        source.steps()
        assert source.end.wait(seconds(10))
        return False

    readers.add(source)
    source.steps.wait(1)
    source.step = step
    source.deadline = time.monotonic() + seconds(0.2)
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
    eventually(lambda: not ours("close"))
    readers.wake(source)
    assert source.expired.calls == []


class StartingTimer(threading.Timer):
    """Has an ident, as it is for a moment, before it counts as started."""

    ident = 1


def test_a_timer_that_is_about_to_start_does_not_keep_a_source_from_finishing(own):
    source = FakeSource()
    own.add(source)
    source.steps.wait(1)
    source.slot.timer = StartingTimer(60, source.expire)
    source.end.set()
    eventually(lambda: source.slot.finished)


def test_a_step_that_raises_ends_the_source(readers, caplog):
    source = FakeSource()
    source.step = lambda block: 1 / 0
    readers.add(source)
    source.finished.wait(1)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_no_error_ends_a_dispatcher_or_leaves_a_slot(readers, caplog, error):
    def fail(*_):
        raise error

    def step(block):
        if block:
            source.end.wait(seconds(10))
        return True if not source.end.is_set() else fail()

    source, ran = FakeSource(), Recorder()
    source.step = step
    source.on_finish = fail
    readers.add(source)
    readers.submit(source, fail)
    readers.submit(source, ran)
    ran.wait(1)
    source.end.set()
    eventually(lambda: source.slot.finished and not kept(readers))
    eventually(lambda: not ours())
    for story in ("a job failed", "reading failed", "finishing failed"):
        assert story in caplog.text


def test_stop_on_a_reader_thread_does_not_wait_for_its_dispatcher(readers):
    source, ran, result = FakeSource(), Recorder(), Recorder()

    def step(block):
        ran.wait(1)
        begun = time.monotonic()
        result(readers.stop(seconds(5)), time.monotonic() - begun < seconds(4))
        return False

    source.step = step
    source.on_finish = lambda: readers.submit(source, lambda: ran("finish"))
    readers.submit(source, lambda: ran("job"))
    readers.add(source)
    assert result.wait(1) == [(True, True)]
    assert ran.wait(2) == [("job",), ("finish",)]
    eventually(lambda: not ours())


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


def test_a_dispatcher_that_was_idle_is_woken_by_each_job(readers):
    """Two threads submit, each when its last job has run. Now and then both find the dispatcher idle, or neither."""
    source, ran = FakeSource(), []
    readers.add(source)

    def submit():
        for _ in range(500):
            done = threading.Event()
            readers.submit(source, done.set)
            ran.append(done.wait(seconds(10)))

    threads = [threading.Thread(target=submit, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(30))
    assert ran == [True] * 1000
    source.end.set()


def test_waiting_does_nothing_where_no_handler_runs(readers):
    with readers.waiting():
        pass


def test_jobs_that_wait_for_each_other_all_run(readers):
    """Each source's job waits for the job of the next."""
    sources = [FakeSource(f"CP_{number}") for number in range(30)]
    events = [threading.Event() for _ in sources]
    done = Recorder()

    def job(number):
        if number + 1 < len(sources):
            readers.submit(sources[number + 1], lambda: job(number + 1))
            with readers.waiting():
                done(events[number + 1].wait(seconds(10)))
        events[number].set()

    for source in sources:
        readers.add(source)
    readers.submit(sources[0], lambda: job(0))
    assert done.wait(29) == [(True,)] * 29
    for source in sources:
        source.end.set()


def test_a_source_that_cannot_be_added_is_given_up_on_this_thread(readers):
    source, ran = FakeSource(), Recorder()
    source.on_finish = lambda: readers.submit(source, lambda: ran("finish"))
    readers.submit(source, lambda: ran("before"))
    readers.give_up(source)
    assert source.finished.calls == [(threading.current_thread().name,)]
    assert ran.wait(2) == [("before",), ("finish",)]
    eventually(lambda: not ours())


def test_what_one_endpoint_uses_is_not_stopped_with_another(readers):
    one, two = readers.for_endpoint(), readers.for_endpoint()
    if one is readers:
        return  # these serve one endpoint
    first, second, ran = FakeSource("CP_1"), FakeSource("CP_2"), Recorder()
    one.add(first)
    two.add(second)
    first.end.set()
    assert one.stop(seconds(5))
    two.submit(second, ran)
    ran.wait(1)
    second.end.set()
    assert two.stop(seconds(5))
