"""Which readers an endpoint uses, and how connections move from threads of their own to shared ones."""

import random
import threading
import time

import pytest

from ocppj import Client, Server, v16
from ocppj.errors import UsageError
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.readers import SharedReaders, ThreadPerConnection
from ocppj.ws.readers.choice import AutoReaders, readers_maker
from ocppj.ws.readers.scheduler import Slot
from tests.helpers import Recorder, eventually, seconds
from tests.inside.readers import waits_for_others
from tests.inside.transports import run_of, session_of
from tests.ws.schedule import Model, World
from tests.ws.sources import FakeSource, WaitingPair, WaitingSource
from tests.ws.support import OCPP, PATH, Log


def names(kind):
    return {thread.name for thread in threading.enumerate() if thread.name.startswith(f"ocppj-{kind}")}


@pytest.mark.parametrize(
    ("option", "made"),
    [("auto", AutoReaders), ("per-connection", ThreadPerConnection), ("shared", SharedReaders)],
)
def test_by_name(option, made):
    maker = readers_maker(option)
    one, other = maker(), maker()
    assert type(one) is type(other) is made
    assert one is not other


def test_by_function_and_by_object():
    assert isinstance(readers_maker(lambda: ThreadPerConnection())(), ThreadPerConnection)
    own = ThreadPerConnection()
    assert readers_maker(own)() is not own
    automatic = AutoReaders()
    assert readers_maker(automatic)() is not automatic


def test_endpoints_that_are_given_one_shared_object_share_its_threads():
    shared = SharedReaders(max_handlers=1)
    maker = readers_maker(shared)
    go, begun, ran = threading.Event(), threading.Event(), Recorder()
    shared.submit(FakeSource("CP_0"), lambda: (begun.set(), go.wait(seconds(20))))
    assert begun.wait(seconds(10))
    sources = [FakeSource("CP_1"), FakeSource("CP_2")]
    parts = [maker(), maker()]
    assert parts[0] is not parts[1]
    for part, source in zip(parts, sources):
        part.submit(source, ran)
    eventually(lambda: all(waits_for_others(source) for source in sources))
    assert not ran.calls
    go.set()
    ran.wait(2)
    assert shared.stop(seconds(5))
    with pytest.raises(UsageError, match="stopped"):
        maker()


@pytest.mark.parametrize("option", ["?", "", None, 7])
def test_an_option_that_does_not_exist(option):
    network = MemoryNetwork()
    for make in (network.server, network.client):
        with pytest.raises(UsageError, match="per-connection"):
            make(readers=option)


def test_defaults():
    network = MemoryNetwork()
    server, client = network.server(), network.client()
    server_log = Log(server)
    server.listen(0, PATH, "", OCPP)
    client.connect(server.url, "CP_1", OCPP)
    server_log.channel()
    assert isinstance(run_of(server).readers, AutoReaders)
    assert isinstance(session_of(client).readers, ThreadPerConnection)
    client.stop()
    server.stop()


def here():
    return threading.current_thread().name[:12]


def test_threads_of_their_own_up_to_the_limit_and_shared_ones_for_all_beyond():
    readers = AutoReaders(3)
    sources = [WaitingSource(f"CP_{number}") for number in range(6)]
    ran = Recorder()
    for source in sources[:3]:
        readers.submit(source, lambda: ran(here()))  # this chooses
        readers.add(source)
    assert ran.wait(3) == [("ocppj-dispat",)] * 3
    for source in sources[3:]:
        readers.submit(source, lambda: ran(here()))
        readers.add(source)
    assert ran.wait(6)[3:] == [("ocppj-worker",)] * 3
    assert names("reader") == {"ocppj-reader-CP_0", "ocppj-reader-CP_1", "ocppj-reader-CP_2"}
    for source in sources[:2]:
        source.notify()  # it has something to read
    eventually(lambda: names("reader") == {"ocppj-reader-CP_2"} and names("dispatcher") == {"ocppj-dispatcher-CP_2"})
    sources[0].end.set()
    sources[2].end.set()
    assert sources[0].finished.wait(1)[0][0].startswith("ocppj-worker")
    assert sources[2].finished.wait(1) == [("ocppj-reader-CP_2",)]
    sources.append(WaitingSource("CP_6"))
    readers.add(sources[-1])  # there is room again, but what began stays
    sources[-1].steps.wait(1)
    assert not names("reader")
    for source in sources:
        source.end.set()
    assert readers.stop(seconds(5))
    assert not names("")


def test_the_ninth_connection_brings_shared_threads_by_default():
    readers = AutoReaders()
    sources = [WaitingSource(f"CP_{number}") for number in range(9)]
    for source in sources[:8]:
        readers.add(source)
    assert len(names("reader")) == 8
    assert not names("worker")
    readers.add(sources[8])
    sources[8].steps.wait(1)
    for source in sources:
        source.notify()
    eventually(lambda: not names("reader"))
    assert names("worker")
    for source in sources:
        source.end.set()
    assert readers.stop(seconds(5))


# Moving --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def readers():
    """Readers that give threads of its own to one source alone."""
    readers = AutoReaders(1)
    yield readers
    assert readers.stop(seconds(5))
    assert not names("")


@pytest.fixture
def source(readers):
    source = WaitingSource("CP_0")
    readers.add(source)
    yield source
    source.end.set()
    assert source.finished.wait(1)
    assert len(source.finished.calls) == 1


def crowd(readers):
    """Bring one source too many: from now on each source moves."""
    other = WaitingSource("other")
    readers.submit(other, lambda: None)
    readers.add(other)
    other.end.set()
    other.finished.wait(1)


class LateDispatchers:
    """Dispatcher threads that are started later than they should be."""

    def __init__(self, monkeypatch):
        self._start, self._threads = threading.Thread.start, []
        monkeypatch.setattr(threading.Thread, "start", lambda thread: self._start_or_keep(thread))

    def _start_or_keep(self, thread):
        if thread.name.startswith("ocppj-dispatcher"):
            self._threads.append(thread)
        else:
            self._start(thread)

    def run(self):
        """Start the one that there is, and wait for its end."""
        (thread,) = self._threads
        self._start(thread)
        thread.join(seconds(10))
        assert not thread.is_alive()


@pytest.fixture
def dispatchers(monkeypatch):
    return LateDispatchers(monkeypatch)


def moved():
    return not names("reader") and not names("dispatcher")


def test_a_connection_does_not_move_while_a_job_of_it_runs(readers, source):
    go, begun, ran = threading.Event(), threading.Event(), Recorder()
    readers.submit(source, lambda: (begun.set(), go.wait(seconds(20))))
    assert begun.wait(seconds(10))
    readers.submit(source, lambda: ran(here()))
    crowd(readers)
    for number in range(1, 4):
        source.notify()
        source.steps.wait(number)
    go.set()
    assert ran.wait(1) == [("ocppj-dispat",)]
    eventually(lambda: (source.notify(), moved())[1])
    readers.submit(source, lambda: ran(here()))
    assert ran.wait(2)[1] == ("ocppj-worker",)


def test_a_connection_that_moves_takes_the_jobs_not_begun_along(readers, source, dispatchers):
    ran = Recorder()
    for number in range(3):
        readers.submit(source, lambda number=number: ran(number, here()))
    crowd(readers)
    source.notify()
    assert ran.wait(3) == [(number, "ocppj-worker") for number in range(3)]
    dispatchers.run()
    assert len(ran.calls) == 3


class SlowRead(WaitingSource):
    """Stops `thread` when it has read ``slot`` for the time ``number``, until ``go`` is set."""

    def __init__(self, name, number):
        self._kept, self._number = None, number
        self.thread, self.stopped, self.go = None, threading.Event(), threading.Event()
        super().__init__(name)

    @property
    def slot(self):
        found = self._kept
        if threading.current_thread() is self.thread:
            self._number -= 1
            if self._number == 0:
                self.stopped.set()
                assert self.go.wait(seconds(20))
        return found

    @slot.setter
    def slot(self, slot):
        self._kept = slot


@pytest.fixture
def come(readers):
    """Return a function that calls ``act(source)``, which reads the source's slot again and again.

    After read ``number`` it stops, the source moves, ``then(source)`` is called, and it goes on.
    """
    made = []

    def come_(act, number, then=lambda source: None):
        source = SlowRead("CP_0", number)
        made.append(source)
        readers.add(source)
        source.thread = threading.Thread(target=act, args=(source,))
        source.thread.start()
        assert source.stopped.wait(seconds(10))
        crowd(readers)
        source.notify()
        eventually(moved)
        then(source)
        source.go.set()
        source.thread.join(seconds(10))
        assert not source.thread.is_alive()
        return source

    yield come_
    for source in made:
        source.go.set()
        source.end.set()
        source.finished.wait(1)


@pytest.mark.parametrize("number", range(1, 5))
def test_a_job_goes_to_the_new_slot_though_its_thread_has_read_the_old_one(readers, come, number):
    """The slot is read four times until its lock is taken. After each of them the source may move."""
    ran = Recorder()
    come(lambda source: readers.submit(source, lambda: ran(here())), number)
    assert ran.wait(1) == [("ocppj-worker",)]


@pytest.mark.parametrize("number", range(1, 5))
def test_a_wake_goes_to_the_new_slot_though_its_thread_has_read_the_old_one(readers, come, number):
    def set_deadline(source):
        source.step = lambda block: time.monotonic() < source.deadline
        source.deadline = time.monotonic() + seconds(0.2)

    source = come(readers.wake, number, set_deadline)
    source.finished.wait(1)
    assert source.expired.calls == []  # it is stepped in time, by the readers that it has moved to


def test_a_connection_whose_closing_is_timed_stays(readers, source):
    source.deadline = time.monotonic() + 3600
    readers.wake(source)
    crowd(readers)
    for number in range(1, 4):
        source.notify()
        source.steps.wait(number)
    assert names("reader") == {"ocppj-reader-CP_0"}


def test_a_connection_that_cannot_move_keeps_its_thread_until_the_next_newcomer(readers, source, caplog):
    ran, watch = Recorder(), source.watch
    crowd(readers)
    source.watch = lambda notify: False  # shared readers cannot do without
    source.notify()
    eventually(lambda: "CP_0: the shared readers cannot take it, so it keeps its thread" in caplog.text)
    before = len(source.steps.calls)
    source.watch = watch
    source.notify()
    source.steps.wait(before + 1)
    readers.submit(source, lambda: ran(here()))
    assert ran.wait(1) == [("ocppj-dispat",)]
    assert names("reader") == {"ocppj-reader-CP_0"}
    newcomer = FakeSource("newcomer")
    readers.add(newcomer)
    source.notify()
    eventually(lambda: not names("reader"))
    readers.submit(source, lambda: ran(here()))
    assert ran.wait(2)[1:] == [("ocppj-worker",)]
    newcomer.end.set()
    newcomer.finished.wait(1)


class MovingPair(WaitingPair):
    """Calls ``meanwhile`` when it gets a slot of the shared readers: they have taken it, and do not step it yet."""

    def __init__(self, name, meanwhile):
        self._kept, self._meanwhile = None, meanwhile
        super().__init__(name)

    @property
    def slot(self):
        return self._kept

    @slot.setter
    def slot(self, slot):
        if isinstance(slot, Slot):
            self._meanwhile()
        self._kept = slot


def test_a_connection_moves_while_another_one_cannot(caplog):
    """The shared readers make their tables anew after a failure. They count what they have taken meanwhile."""

    def fail():
        fixed.watch = lambda notify: False
        fixed.notify()
        eventually(lambda: "fixed: the shared readers cannot take it" in caplog.text)

    readers, fixed, moving, got = AutoReaders(2), WaitingSource("fixed"), MovingPair("moving", fail), Recorder()
    readers.add(fixed)
    readers.add(moving)
    crowd(readers)
    moving.on_data = lambda source, data: got(data, here())
    moving.far.send(b"1")
    eventually(lambda: names("reader") == {"ocppj-reader-fixed"})
    moving.far.send(b"2")
    assert got.wait(2)[1] == (b"2", "ocppj-worker")
    moving.close()
    assert moving.finished.wait(1)[0][0].startswith("ocppj-worker")
    fixed.end.set()
    assert readers.stop(seconds(5))
    assert not names("")


def test_a_newcomer_that_the_shared_readers_cannot_take_is_refused_alone(readers, source):
    newcomers = [FakeSource(f"CP_{number}") for number in range(1, 4)]
    newcomers[0].watch = newcomers[1].watch = lambda notify: False
    for newcomer in newcomers[:2]:
        with pytest.raises(RuntimeError, match="no descriptor"):
            readers.add(newcomer)
        readers.give_up(newcomer)
        newcomer.finished.wait(1)
        before = len(source.steps.calls)
        source.notify()
        source.steps.wait(before + 1)
        assert names("reader") == {"ocppj-reader-CP_0"}
    readers.add(newcomers[2])
    source.notify()
    eventually(lambda: not names("reader"))
    for each in (source, newcomers[2]):
        each.end.set()
        each.finished.wait(1)


def test_jobs_that_move_when_a_stop_has_begun_are_discarded(readers, source, dispatchers, caplog):
    caplog.set_level("INFO", "ocppj")
    ran, go, begun, stopped = Recorder(), threading.Event(), threading.Event(), Recorder()
    other = WaitingSource("other")
    stopper = threading.Thread(target=lambda: stopped(readers.stop(seconds(10))))

    def stop_first():  # after the exchange of the slot, before the shared readers see it
        stopper.start()
        eventually(lambda: "other: stopping, 1 jobs are discarded" in caplog.text)
        return -1

    readers.submit(source, ran)
    readers.submit(other, lambda: (begun.set(), go.wait(seconds(20))))
    readers.submit(other, ran)
    readers.add(other)
    assert begun.wait(seconds(10))
    source.fileno = stop_first
    source.notify()
    eventually(lambda: "CP_0: stopping, 1 jobs are discarded" in caplog.text)
    go.set()
    dispatchers.run()
    source.end.set()
    other.end.set()
    source.finished.wait(1)
    assert stopped.wait(1) == [(True,)]
    stopper.join(seconds(10))
    assert not ran.calls


def test_a_server_that_gets_crowded_while_all_talk():
    """Handlers call over their own connection, over real sockets, before, while and after it moves."""
    fleet, over, wrong = SharedReaders(), threading.Event(), Recorder()
    server = Server(profiles=v16.PROFILES, readers=lambda: AutoReaders(4)).listen(port=0)
    server.on(v16.DataTransferRequest)(
        lambda client_id, request: reply(server.call(client_id, talk(request.data + "?"), 20).data + "!")
    )

    def reply(data):
        return v16.DataTransferResponse(status=v16.DataTransferStatus.ACCEPTED, data=data)

    def talk(data):
        return v16.DataTransferRequest(vendor_id="x", data=data)

    def call(client):
        number = 0
        while not over.is_set():
            number += 1
            data = client.call(talk(str(number)), 20).data
            if data != f"{number}?:!":
                wrong(client.id, number, data)

    clients = [Client(f"CP_{number}", profiles=v16.PROFILES, readers=fleet) for number in range(8)]
    threads = [threading.Thread(target=call, args=(client,)) for client in clients]
    for number, (client, thread) in enumerate(zip(clients, threads)):
        client.on(v16.DataTransferRequest)(lambda request: reply(request.data + ":"))
        client.connect(server.url)
        thread.start()
        if number == 3:
            eventually(lambda: len(names("dispatcher")) == 4)
    eventually(lambda: not names("reader") and not names("dispatcher"))
    over.set()
    for thread in threads:
        thread.join(seconds(20))
    assert not wrong.calls
    for client in clients:
        client.stop()
    server.stop()
    assert fleet.stop(seconds(5))
    assert not names("")


@pytest.mark.parametrize("abrupt", [False, True], ids=["to the end", "abrupt"])
def test_a_random_schedule_with_moves(abrupt):
    """Sources come and go. Sooner or later there is one too many, whatever the others are doing."""
    seed = random.randrange(10**6)
    print("seed", seed)
    total = 0
    for number in range(20):
        readers = AutoReaders(20)
        world = World(seed + number, readers, (WaitingSource, WaitingPair))
        models = world.play(500)
        total += sum(isinstance(model.source.slot, Slot) for model in models[:20])
        world.end(models, abrupt)
        assert not names("")
    assert total > 50


@pytest.mark.parametrize("abrupt", [False, True], ids=["to the end", "abrupt"])
def test_many_come_at_once_and_talk(abrupt):
    world = World(random.randrange(10**6), AutoReaders(32), (WaitingSource, WaitingPair))
    models = [Model(world, number) for number in range(64)]
    barrier = threading.Barrier(64)

    def come(model):
        barrier.wait(seconds(10))
        world.readers.add(model.source)
        for _ in range(20):
            model.arrive(1)
            world.readers.wake(model.source)
            world.readers.flush(model.source)

    threads = [threading.Thread(target=come, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(10))
    world.end(models, abrupt)
    assert not names("")


def test_a_stop_discards_the_jobs_of_both_kinds_first(caplog):
    """Also those of shared sources, while a source with threads of its own is still ending."""
    caplog.set_level("INFO", "ocppj")
    readers = AutoReaders(1)
    sources = [FakeSource("CP_0"), FakeSource("CP_1")]
    go, late = threading.Event(), Recorder()
    begun = Recorder()
    for source in sources:
        readers.add(source)
        readers.submit(source, lambda: (begun(), go.wait(seconds(10))))
        readers.submit(source, late)
    begun.wait(2)
    stopper = threading.Thread(target=readers.stop, args=(seconds(10),))
    stopper.start()
    eventually(lambda: caplog.text.count("1 jobs are discarded") == 2)
    go.set()
    for source in sources:
        source.end.set()
    stopper.join(seconds(10))
    assert not stopper.is_alive()
    assert late.calls == []
