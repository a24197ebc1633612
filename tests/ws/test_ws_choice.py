"""Which readers an endpoint uses, and how connections move from threads of their own to shared ones."""

import random
import threading
import time

import pytest

from ocppj import Client, Server, v16
from ocppj.errors import UsageError
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.readers.choice import AutoReaders, readers_maker
from ocppj.ws.readers.per_connection import SharedReaders, ThreadPerConnection
from ocppj.ws.readers.shared import Seat
from tests.helpers import Recorder, eventually, seconds
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
    shared = SharedReaders()
    maker = readers_maker(shared)
    assert maker()._pool is maker()._pool is shared._pool
    automatic = AutoReaders()
    assert readers_maker(automatic)() is not automatic


@pytest.mark.parametrize("option", ["?", "", None, 7])
def test_what_is_no_option(option):
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
    assert isinstance(server._run.readers, AutoReaders)
    assert isinstance(client._session.readers, ThreadPerConnection)
    client.stop()
    server.stop()


def here():
    return threading.current_thread().name[:12]


def test_threads_of_their_own_up_to_the_limit_and_shared_ones_for_all_beyond():
    readers = AutoReaders(3)
    sources = [WaitingSource(f"CP_{number}") for number in range(6)]
    ran = Recorder()
    for source in sources[:3]:
        readers.submit(source, lambda: ran(here()))  # the choice is made here
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
    """Make it one too many: from now on each source moves."""
    other = WaitingSource("other")
    readers.submit(other, lambda: None)
    readers.add(other)
    other.end.set()
    other.finished.wait(1)


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


def test_a_connection_that_moves_takes_the_jobs_not_begun_along(readers, source, monkeypatch):
    late, ran = [], Recorder()
    monkeypatch.setattr(readers._own, "_start", late.append)
    for number in range(3):
        readers.submit(source, lambda number=number: ran(number, here()))
    crowd(readers)
    source.notify()
    assert ran.wait(3) == [(number, "ocppj-worker") for number in range(3)]
    (dispatcher,) = late
    dispatcher.start()
    dispatcher.join(seconds(10))
    assert not dispatcher.is_alive()
    assert len(ran.calls) == 3


def test_who_comes_to_the_old_seat_goes_to_the_new_one(readers, source, monkeypatch):
    ran, old = Recorder(), source.seat
    crowd(readers)
    source.notify()
    eventually(moved)
    monkeypatch.setattr(readers, "_for", lambda source: readers._own)
    readers.submit(source, lambda: ran(here()))  # found out before it looks at the seat
    monkeypatch.setattr(readers._own, "_seat", lambda source: old)
    readers.submit(source, lambda: ran(here()))  # and after
    assert ran.wait(2) == [("ocppj-worker",)] * 2
    source.step = lambda block: time.monotonic() < source.deadline
    source.deadline = time.monotonic() + seconds(0.05)
    readers.wake(source)
    source.finished.wait(1)


def test_a_connection_whose_closing_is_timed_stays(readers, source):
    source.deadline = time.monotonic() + 3600
    readers.wake(source)
    crowd(readers)
    for number in range(1, 4):
        source.notify()
        source.steps.wait(number)
    assert names("reader") == {"ocppj-reader-CP_0"}


def test_a_connection_that_cannot_move_ends(readers, source, monkeypatch, caplog):
    ran = Recorder()
    crowd(readers)
    add = lambda source: (_ for _ in ()).throw(RuntimeError("no more"))  # noqa: E731
    monkeypatch.setattr(readers._shared, "add", add)
    source.on_finish = lambda: readers.submit(source, lambda: ran(here()))
    source.notify()
    assert source.finished.wait(1) == [("ocppj-reader-CP_0",)]
    assert ran.wait(1) == [("ocppj-worker",)]
    assert "CP_0: it cannot be read any more" in caplog.text


def test_jobs_that_move_when_a_stop_has_begun_are_discarded(readers, source, monkeypatch, caplog):
    caplog.set_level("INFO", "ocppj")
    ran, add = Recorder(), readers._shared.add
    monkeypatch.setattr(readers._own, "_start", lambda thread: None)
    readers.submit(source, ran)
    crowd(readers)
    monkeypatch.setattr(readers._shared, "add", lambda source: (readers._shared.discard(), add(source)))
    source.notify()
    eventually(moved)
    assert "CP_0: stopping, 1 jobs are discarded" in caplog.text
    source.end.set()
    source.finished.wait(1)
    assert not ran.calls


def test_a_server_that_gets_crowded_while_all_talk():
    """Handlers that call over their own connection, over real sockets, before, while and after it moves."""
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
    """Sources come and go, so that one too many is there sooner or later, whatever the others are at."""
    seed = random.randrange(10**6)
    print("seed", seed)
    total = 0
    for number in range(20):
        readers = AutoReaders(20)
        world = World(seed + number, readers, (WaitingSource, WaitingPair))
        models = world.play(500)
        total += sum(isinstance(model.source.seat, Seat) for model in models[:20])
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
    """Those of shared sources too, while one with a thread of its own still ends."""
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
