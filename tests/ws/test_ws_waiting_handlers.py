"""Handlers of shared readers that wait for a message: how many may, what is logged, and jobs that are released."""

import threading

import pytest

from ocppj.errors import NoHandlerSlot
from ocppj.ws.readers import SharedReaders, ThreadPerConnection
from ocppj.ws.readers.choice import AutoReaders
from ocppj.ws.readers.scheduler import reserve_of
from ocppj.ws.readers.waiting_handlers import WaitingHandlers
from tests.helpers import Recorder, eventually, seconds
from tests.ws.sources import FakeSource, WaitingSource

# The tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slots", "reserve"), [(1, 0), (2, 1), (5, 2), (8, 4), (40, 4), (100, 10), (1000, 100)])
def test_a_tenth_of_the_slots_and_at_least_four_are_the_reserve(slots, reserve):
    assert reserve_of(slots) == reserve


def test_so_many_may_wait_and_one_of_each_client_when_half_of_them_do():
    table = WaitingHandlers(4)
    assert [table.take("CP_1"), table.take("CP_1")] == [True, True], "nobody else needs them"
    assert not table.take("CP_1")
    assert [table.take("CP_2"), table.take("CP_3"), table.take("CP_4")] == [True, True, False]
    table.give_back("CP_1")
    assert [table.take("CP_2"), table.take("CP_1"), table.take("CP_4")] == [False, False, True]
    assert table.count == 4


def test_refusals_are_reported_once_a_minute_with_their_number():
    table = WaitingHandlers(0)
    refuse = lambda: table.take("CP_1") or table.report(now)  # noqa: E731
    now = 1000.0
    assert refuse() == 1
    now = 1059.0
    assert [refuse(), refuse()] == [None, None]
    now = 1060.0
    assert refuse() == 3


def test_what_has_gone_is_not_kept():
    table = WaitingHandlers(10_000)
    for number in range(5000):
        assert table.take(f"CP_{number}")
    for number in range(5000):
        table.give_back(f"CP_{number}")
    assert table.count == 0
    assert all(table.take("CP_1") for _ in range(5000))


# The readers ---------------------------------------------------------------------------------------------------------


class Waiters:
    """Readers whose jobs wait for an answer, until `go_on`."""

    def __init__(self, max_handlers):
        self.readers = SharedReaders(max_handlers=max_handlers)
        self.go_on = threading.Event()
        self.waits, self.refused, self.ended = Recorder(), Recorder(), Recorder()

    def wait(self, name, again=False):
        """Have a job of the client ``name`` wait for an answer."""
        self.readers.submit(FakeSource(name), lambda: self._job(name, again))

    def _job(self, name, again):
        try:
            with self.readers.waiting():
                self.waits(name)
                assert self.go_on.wait(seconds(20))
        except NoHandlerSlot as error:
            self.refused(name, error)
        if again:
            self._job(name, False)
        self.ended(name)

    def stop(self):
        self.go_on.set()
        return self.readers.stop(seconds(5))


@pytest.fixture
def make_waiters():
    made = []

    def make(max_handlers):
        made.append(Waiters(max_handlers))
        return made[-1]

    yield make
    for waiters in made:
        assert waiters.stop()


def test_handlers_that_do_not_wait_run_though_as_many_as_may_wait_do(make_waiters, caplog):
    waiters = make_waiters(20)
    for number in range(40):
        waiters.wait(f"CP_{number}")
    assert len(waiters.refused.wait(24)) == 24, "16 may wait"
    assert len(waiters.waits.wait(16)) == 16
    assert waiters.refused.calls[0][1].message_id is None
    ran = Recorder()
    for number in range(100, 200):
        waiters.readers.submit(FakeSource(f"CP_{number}"), ran)
    ran.wait(100)
    (line,) = [each.getMessage() for each in caplog.records if "handlers wait for answers to their call()" in each.msg]
    assert line.startswith("16 handlers wait for answers to their call(), of 16 that may. More were refused 1 times")
    assert line.count(" for ") == 11, "the text has one, and ten clients are named"


def test_a_handler_that_waits_no_more_makes_room(make_waiters):
    waiters = make_waiters(8)
    for number in range(4):
        waiters.wait(f"CP_{number}")
    waiters.waits.wait(4)
    waiters.wait("CP_5")
    waiters.refused.wait(1)
    waiters.go_on.set()
    waiters.ended.wait(5)
    waiters.go_on.clear()
    for number in range(4):
        waiters.wait(f"CP_{number}", again=number == 0)
    waiters.waits.wait(8)
    waiters.go_on.set()
    waiters.waits.wait(9)


def test_a_thread_that_is_no_worker_waits_without_a_slot(make_waiters):
    waiters = make_waiters(2)
    waiters.wait("CP_1")
    waiters.waits.wait(1)
    waiters.wait("CP_2")
    waiters.refused.wait(1)
    with waiters.readers.waiting():
        pass


def test_one_client_does_not_take_the_last_slots_from_the_others():
    readers, go_on, begun = SharedReaders(max_handlers=8), threading.Event(), Recorder()

    def job(name):
        begun(name)
        assert go_on.wait(seconds(20))

    for _ in range(20):  # as after twenty reconnects
        readers.submit(FakeSource("CP_1"), lambda: job("CP_1"))
    begun.wait(4)
    for number in range(2, 6):
        name = f"CP_{number}"
        readers.submit(FakeSource(name), lambda name=name: job(name))
    names = [name for (name,) in begun.wait(8)]
    assert sorted(names) == ["CP_1"] * 4 + ["CP_2", "CP_3", "CP_4", "CP_5"]
    go_on.set()
    begun.wait(24)
    assert readers.stop(seconds(5))


# Jobs that are listed, and released ----------------------------------------------------------------------------------


@pytest.fixture(params=[ThreadPerConnection, SharedReaders, AutoReaders], ids=lambda kind: kind.__name__)
def readers(request):
    readers = request.param()
    yield readers
    assert readers.stop(seconds(5))


@pytest.fixture
def source(readers):
    source = WaitingSource()
    readers.add(source)
    yield source
    source.end.set()
    source.finished.wait(1)


def test_a_job_that_runs_is_listed_with_its_thread(readers, source):
    assert readers.running() == []
    go_on, begun = threading.Event(), Recorder()
    readers.submit(source, lambda: (begun(threading.get_ident()), go_on.wait(seconds(20))))
    ((ident,),) = begun.wait(1)
    (job,) = eventually(readers.running)
    assert (job.client_id, job.ident, job.waiting, job.released) == ("CP_1", ident, False, False)
    eventually(lambda: readers.running()[0].seconds > 0)
    go_on.set()
    eventually(lambda: readers.running() == [])


def test_the_next_jobs_run_in_order_when_a_job_is_released_and_it_ends_without_a_trace(readers, source):
    go_on, begun, ran, hung = threading.Event(), Recorder(), Recorder(), Recorder()
    readers.submit(source, lambda: (begun(), go_on.wait(seconds(20)), hung()))
    begun.wait(1)
    for number in range(3):
        readers.submit(source, lambda number=number: ran(number))
    (job,) = eventually(readers.running)
    assert readers.release(job)
    assert not readers.release(job), "once"
    assert ran.wait(3) == [(0,), (1,), (2,)]
    eventually(lambda: [each.released for each in readers.running()] == [True])
    readers.submit(source, lambda: ran(3))
    ran.wait(4)
    go_on.set()
    hung.wait(1)
    eventually(lambda: readers.running() == [])
    readers.submit(source, lambda: ran(4))
    assert ran.wait(5)[-1] == (4,)
    assert not readers.release(job)


def test_a_job_that_has_ended_is_not_released_and_the_one_after_it_goes_on_alone(readers, source):
    gates, begun = [threading.Event() for _ in range(3)], Recorder()
    for number, gate in enumerate(gates):
        readers.submit(source, lambda number=number, gate=gate: (begun(number), gate.wait(seconds(20))))
    begun.wait(1)
    (job,) = eventually(readers.running)
    gates[0].set()
    begun.wait(2)
    assert not readers.release(job)
    assert len(begun.calls) == 2
    gates[1].set(), gates[2].set()
    begun.wait(3)


def test_jobs_of_the_finish_run_though_one_before_them_hangs(readers):
    source, go_on, begun, ran = WaitingSource(), threading.Event(), Recorder(), Recorder()
    source.on_finish = lambda: readers.submit(source, ran)
    readers.add(source)
    readers.submit(source, lambda: (begun(), go_on.wait(seconds(20))))
    begun.wait(1)
    source.end.set()
    source.finished.wait(1)
    (job,) = eventually(readers.running)
    assert readers.release(job)
    ran.wait(1)
    go_on.set()


def test_a_released_job_holds_no_slot_and_there_are_at_most_as_many_as_slots(make_waiters):
    waiters = make_waiters(2)
    readers, begun = waiters.readers, Recorder()
    for number in range(4):
        readers.submit(FakeSource(f"CP_{number}"), lambda: (begun(), waiters.go_on.wait(seconds(20))))
    begun.wait(2)
    jobs = readers.running()
    assert [readers.release(job) for job in jobs] == [True, True]
    begun.wait(4)
    assert [readers.release(job) for job in readers.running() if not job.released] == [False, False]
    assert sum(job.released for job in readers.running()) == 2


def test_a_handler_that_waits_and_is_released_gives_its_place_back_and_may_wait_again(make_waiters):
    waiters = make_waiters(2)
    readers = waiters.readers
    waiters.wait("CP_1", again=True)
    waiters.waits.wait(1)
    (job,) = [each for each in readers.running() if each.waiting]
    assert readers.release(job)
    waiters.wait("CP_2")
    assert waiters.waits.wait(2)[1] == ("CP_2",)
    waiters.go_on.set()
    waiters.ended.wait(3)  # CP_1 twice
    assert waiters.refused.calls == []
    waiters.go_on.clear()
    waiters.wait("CP_3")
    waiters.waits.wait(4)
