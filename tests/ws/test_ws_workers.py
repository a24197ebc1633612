"""The threads of shared readers: nobody who is in the line is left there, whatever the others are at."""

import threading

import pytest

from ocppj.ws.readers import workers as crew
from ocppj.ws.readers.per_connection import SharedReaders
from tests.helpers import Recorder, eventually, seconds
from tests.ws.sources import FakeSource, PairSource
from tests.ws.support import open_files


@pytest.fixture
def readers():
    readers = SharedReaders()
    yield readers
    assert readers.stop(seconds(5))


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
    for number in range(3):
        others.submit(FakeSource(f"other_{number}"), ran)
    mine.submit(FakeSource("CP_2"), lambda: ran("mine"))
    eventually(lambda: len(readers._pool.agenda._backlog) == 4)
    assert others.stop(seconds(5))
    go.set()
    assert ran.wait(1) == [("mine",)]
    assert readers.stop(seconds(5))


def test_stop_while_jobs_wait_for_others_leaves_no_thread():
    readers = SharedReaders(max_handlers=1)
    go, begun, stopped = threading.Event(), threading.Event(), Recorder()
    readers.submit(FakeSource("CP_1"), lambda: (begun.set(), go.wait(seconds(20)), stopped(readers.stop(seconds(5)))))
    assert begun.wait(seconds(10))
    for number in range(3):
        readers.submit(FakeSource(f"other_{number}"), lambda: None)
    eventually(lambda: len(readers._pool.agenda._backlog) == 3)
    go.set()
    assert stopped.wait(1) == [(True,)]
    assert readers.stop(seconds(5))
    eventually(lambda: not readers._pool.crew.manned)


@pytest.mark.skipif(not open_files(), reason="the number of open files is not known here")
def test_stop_gives_the_selector_back_though_no_thread_could_be_started(monkeypatch):
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


# Steps that block ----------------------------------------------------------------------------------------------------


def test_a_job_submitted_by_a_step_that_was_found_blocked_before_is_run(readers):
    ran, result = threading.Event(), Recorder()

    def on_data(source, data):
        me = readers._pool.crew._here.worker
        eventually(lambda: not me.holds)
        readers.submit(source, ran.set)
        result(ran.wait(seconds(5)))

    source = PairSource("CP_1", on_data)
    readers.add(source)
    source.far.send(b"x")
    assert result.wait(1) == [(True,)]
    ended(source)


def test_who_waits_in_the_selector_takes_over_from_who_gives_away(readers, monkeypatch):
    """Two hold: one steps, one waits in the selector. What the first leaves behind is for the second."""
    monkeypatch.setattr(crew, "_LOOK", 3600.0)
    state, ran, result = readers._pool.crew, threading.Event(), Recorder()

    def on_data(source, data):
        with state.lock:
            errands = state._call(1)
        crew.run(errands)
        eventually(lambda: state._selecting)
        readers.submit(source, ran.set)
        with readers.waiting():
            result(ran.wait(seconds(5)))

    source = PairSource("CP_1", on_data)
    readers.add(source)
    source.steps.wait(1)
    eventually(lambda: state._selecting)
    with state.lock:
        state._allowed = 2
    source.far.send(b"x")
    assert result.wait(1) == [(True,)]
    ended(source)


def test_who_waits_in_the_selector_takes_over_when_no_more_can_be_called(readers):
    state, ran, result = readers._pool.crew, threading.Event(), Recorder()

    def on_data(source, data):
        with state.lock:
            errands = state._call(1)
            state._max_workers = 2
        crew.run(errands)
        eventually(lambda: state._selecting)
        readers.submit(source, ran.set)
        result(ran.wait(seconds(5)))

    source = PairSource("CP_1", on_data)
    readers.add(source)
    source.steps.wait(1)
    eventually(lambda: state._selecting)
    with state.lock:
        state._allowed = 2
    source.far.send(b"x")
    assert result.wait(1) == [(True,)]
    ended(source)


# The monitor ---------------------------------------------------------------------------------------------------------


def test_a_handler_that_begins_to_block_just_when_the_monitor_parks(readers, monkeypatch):
    go, begun, met, got = threading.Event(), threading.Event(), threading.Event(), Recorder()
    slow = PairSource("CP_1")
    other = PairSource("CP_2", lambda source, data: got(data))
    state, run = readers._pool.crew, crew.run
    look, active = state._look, [True]

    def remembering():
        active[0], errands = look()
        return active[0], errands

    def between_look_and_parking(errands):
        run(errands)
        quiet = not active[0] and other.steps.calls
        if threading.current_thread().name == "ocppj-monitor" and quiet and not met.is_set():
            met.set()
            readers.submit(slow, lambda: (begun.set(), go.wait(seconds(20))))
            begun.wait(seconds(10))

    monkeypatch.setattr(state, "_look", remembering)
    monkeypatch.setattr(crew, "_QUIET", 1)
    monkeypatch.setattr(crew, "run", between_look_and_parking)
    readers.add(slow)
    readers.add(other)
    assert begun.wait(seconds(10))
    other.far.send(b"x")
    assert got.wait(1, timeout=5) == [(b"x",)]
    go.set()
    ended(slow, other)
