"""The threads of shared readers: each slot of the ready list is served, whatever the threads are at."""

import sys
import threading

import pytest

from ocppj.ws.readers import SharedReaders
from ocppj.ws.readers import workers as module
from ocppj.ws.readers.scheduler import Slot
from tests.helpers import Recorder, eventually, seconds
from tests.inside.readers import all_serve, check, is_found_blocked, is_parked, set_pace, waits_for_others, workers_of
from tests.ws.sources import FakeSource, PairSource, TellingSelectors
from tests.ws.support import open_files


@pytest.fixture
def readers():
    readers = SharedReaders()
    yield readers
    assert readers.stop(seconds(5))


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ocppj-worker")]


def ended(*sources):
    for source in sources:
        source.close()
        source.finished.wait(1)


# Jobs that wait for others to end ------------------------------------------------------------------------------------


def test_jobs_of_one_endpoint_run_though_those_of_another_were_discarded():
    readers = SharedReaders(max_handlers=1)
    mine, others = readers.for_endpoint(), readers.for_endpoint()
    go, begun, ran = threading.Event(), threading.Event(), Recorder()
    mine.submit(FakeSource("CP_1"), lambda: (begun.set(), go.wait(seconds(20))))
    assert begun.wait(seconds(10))
    waiting = [FakeSource(f"other_{number}") for number in range(3)]
    for source in waiting:
        others.submit(source, ran)
    waiting.append(FakeSource("CP_2"))
    mine.submit(waiting[-1], lambda: ran("mine"))
    eventually(lambda: all(waits_for_others(source) for source in waiting))
    assert others.stop(seconds(5))
    go.set()
    assert ran.wait(1) == [("mine",)]
    assert readers.stop(seconds(5))


def test_stop_while_jobs_wait_for_others_leaves_no_thread():
    readers = SharedReaders(max_handlers=1)
    go, begun, stopped = threading.Event(), threading.Event(), Recorder()
    readers.submit(FakeSource("CP_1"), lambda: (begun.set(), go.wait(seconds(20)), stopped(readers.stop(seconds(5)))))
    assert begun.wait(seconds(10))
    waiting = [FakeSource(f"other_{number}") for number in range(3)]
    for source in waiting:
        readers.submit(source, lambda: None)
    eventually(lambda: all(waits_for_others(source) for source in waiting))
    go.set()
    assert stopped.wait(1) == [(True,)]
    assert readers.stop(seconds(5))
    eventually(lambda: not workers())


@pytest.mark.skipif(not open_files(), reason="the number of open files is not known here")
def test_stop_closes_the_selector_though_no_thread_could_be_started(monkeypatch):
    before = open_files()
    readers, source = SharedReaders(), FakeSource()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("no more")))
        with pytest.raises(RuntimeError, match="no thread"):
            readers.add(source)
        readers.give_up(source)
    assert open_files() > before
    assert readers.stop(seconds(5))
    assert open_files() == before


class Starts:
    """Calls ``meanwhile``, on a thread of its own, when the test's thread is about to start a worker.

    With ``late`` the worker begins when the test says so, and no other thread can start one.
    """

    def __init__(self, monkeypatch):
        self._start = threading.Thread.start
        self._mine = threading.get_ident()
        self._late = []
        self.meanwhile, self.late = lambda: None, False
        self.raised = Recorder()
        monkeypatch.setattr(threading.Thread, "start", lambda thread: self._start_one(thread))

    def _start_one(self, thread):
        if not thread.name.startswith("ocppj-worker"):
            self._start(thread)
        elif threading.get_ident() == self._mine:
            other = threading.Thread(target=self._note, args=(self.meanwhile,))
            self._start(other)
            other.join(seconds(10))
            if self.late:
                self._late.append(thread)
            else:
                self._start(thread)
        elif self.late:
            raise RuntimeError("no more")
        else:
            self._start(thread)

    def _note(self, act):
        try:
            act()
        except BaseException as error:
            self.raised(error)

    def begin(self):
        self.late = False
        for thread in self._late:
            self._start(thread)


@pytest.fixture
def starts(monkeypatch):
    return Starts(monkeypatch)


def test_a_job_is_taken_while_the_first_worker_is_started_by_another_thread(readers, starts):
    ran = Recorder()
    starts.meanwhile = lambda: readers.submit(FakeSource("CP_2"), lambda: ran(2))
    readers.submit(FakeSource("CP_1"), lambda: ran(1))
    assert not starts.raised.calls
    assert sorted(ran.wait(2)) == [(1,), (2,)]


def test_a_source_is_taken_though_its_worker_begins_late_and_another_one_fails_meanwhile(starts):
    readers = SharedReaders()  # its threads are started by the test
    refused, source = FakeSource("CP_2"), FakeSource("CP_1")
    refused.watch = lambda notify: False
    starts.late, starts.meanwhile = True, lambda: readers.take(Slot(refused, readers))
    readers.add(source)
    assert all("CP_2" in str(error) for (error,) in starts.raised.calls)
    starts.begin()
    source.end.set()
    source.finished.wait(1)
    assert readers.stop(seconds(5))
    assert not workers()


# Steps that block ----------------------------------------------------------------------------------------------------


def test_a_job_is_run_that_a_step_submits_after_it_was_found_blocked(readers):
    ran, result = threading.Event(), Recorder()

    def on_data(source, data):
        eventually(lambda: is_found_blocked(source))
        readers.submit(source, ran.set)
        result(ran.wait(seconds(5)))

    source = PairSource("CP_1", on_data)
    readers.add(source)
    source.far.send(b"x")
    assert result.wait(1) == [(True,)]
    ended(source)


@pytest.fixture
def two_at_work():
    """Make readers with two active workers: one waits in the selector, the other makes a step, that calls ``on_data``.

    Call ``two_at_work(max_handlers, on_data)``. A third worker is blocked meanwhile. The monitor does not check; the
    test does.
    """
    made = []

    def make(max_handlers, on_data):
        selectors, go, begun, returned = TellingSelectors(), threading.Event(), threading.Event(), threading.Event()
        readers = SharedReaders(max_handlers=max_handlers, selector=selectors)
        set_pace(readers, check_interval=3600.0)

        def in_step(source, data):
            eventually(lambda: selectors.waits)
            on_data(readers, source)
            returned.set()

        blocker = PairSource("blocker", lambda source, data: (begun.set(), go.wait(seconds(20))))
        source = PairSource("CP_1", in_step)
        made.append((readers, go, [blocker, source]))
        for each in (blocker, source):
            readers.add(each)
            each.steps.wait(1)
        blocker.far.send(b"x")
        assert begun.wait(seconds(10))
        source.far.send(b"x")
        readers.flush(source)  # it is in the ready list: no worker is in the selector, and no other worker is active
        check(readers)
        check(readers)  # the blocked worker is where it was at the check before: two others become active
        return readers

    yield make
    for readers, go, sources in made:
        go.set()
        ended(*sources)
        assert readers.stop(seconds(5))


def test_the_selecting_worker_runs_the_job_of_a_worker_that_hands_over(two_at_work):
    ran, result = threading.Event(), Recorder()

    def on_data(readers, source):
        readers.submit(source, ran.set)
        with readers.waiting():
            result(ran.wait(seconds(5)))

    two_at_work(1000, on_data)
    assert result.wait(1) == [(True,)]


def test_the_selecting_worker_runs_the_job_of_a_blocked_one_when_there_can_be_no_more_workers(two_at_work):
    submitted, ran, result = threading.Event(), threading.Event(), Recorder()

    def on_data(readers, source):
        readers.submit(source, ran.set)
        submitted.set()
        result(ran.wait(seconds(5)))

    readers = two_at_work(1, on_data)  # three workers, then: that is all of them
    assert submitted.wait(seconds(10))
    assert len(workers()) == 3
    check(readers)
    check(readers)
    assert result.wait(1) == [(True,)]


# The monitor ---------------------------------------------------------------------------------------------------------


class StoppedMonitor:
    """Calls ``then()`` when the monitor, after `armed` was set, comes to line ``number`` of those without the lock."""

    def __init__(self, readers, number, then):
        self.armed = threading.Event()
        self._lock, self._number, self._then = workers_of(readers).lock, number, then

    def __enter__(self):
        threading.settrace(self._trace)
        return self

    def __exit__(self, *error):
        threading.settrace(None)

    def _trace(self, frame, event, argument):
        if threading.current_thread().name != "ocppj-monitor":
            sys.settrace(None)
            return None
        if frame.f_code.co_filename != module.__file__:
            return None
        if event == "line" and self.armed.is_set() and not self._lock.locked():
            self._number -= 1
            if self._number == -1:
                self._then()
        return self._trace


@pytest.mark.parametrize("number", range(30))
def test_a_handler_may_begin_to_block_at_any_line_of_the_monitor(readers, number):
    """Before it parks, and just when it parks, after its last check: other connections are served."""
    set_pace(readers, park_after=1)
    go, begun, once, got = threading.Event(), threading.Event(), threading.Lock(), Recorder()
    slow = PairSource("CP_1")
    other = PairSource("CP_2", lambda source, data: got(data))

    def begin():
        if once.acquire(blocking=False):
            readers.submit(slow, lambda: (begun.set(), go.wait(seconds(20))))
        assert begun.wait(seconds(10))

    with StoppedMonitor(readers, number, begin) as monitor:
        for source in (slow, other):
            readers.add(source)
            source.steps.wait(1)
        monitor.armed.set()
        other.far.send(b"x")  # it checks again, if it was parked
        got.wait(1)
        eventually(lambda: begun.is_set() or is_parked(readers))
        begin()
    other.far.send(b"y")
    assert got.wait(2, timeout=5) == [(b"x",), (b"y",)]
    go.set()
    ended(slow, other)


def test_more_and_more_workers_begin_while_all_handlers_block(readers):
    """The workers that were just activated seem to get on: they have begun a job. That does not undo what was found."""
    set_pace(readers, check_interval=3600.0)
    go, begun = threading.Event(), Recorder()
    sources = [FakeSource(f"CP_{number}") for number in range(200)]
    try:
        for source in sources:
            readers.submit(source, lambda: (begun(), go.wait(seconds(60))))
        for _ in range(14):
            eventually(lambda: all_serve(readers), 30)
            check(readers)
        eventually(lambda: len(begun.calls) >= 120, 30)
    finally:
        go.set()
    begun.wait(200)
