"""Which readers an endpoint uses."""

import threading

import pytest

from ocppj.errors import UsageError
from ocppj.ws.memory import MemoryNetwork
from ocppj.ws.readers import SharedReaders, ThreadPerConnection
from ocppj.ws.strategy import AutoReaders, readers_maker
from tests.helpers import Recorder, eventually, seconds
from tests.ws.sources import FakeSource
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


def test_threads_of_their_own_for_the_first_and_shared_beyond():
    readers = AutoReaders(3)
    sources = [FakeSource(f"CP_{number}") for number in range(6)]
    ran = Recorder()
    for source in sources:
        readers.submit(source, lambda: ran(threading.current_thread().name[:12]))  # the choice is made here
        readers.add(source)
    assert sorted(ran.wait(6)) == [("ocppj-dispat",)] * 3 + [("ocppj-worker",)] * 3
    assert names("reader") == {"ocppj-reader-CP_0", "ocppj-reader-CP_1", "ocppj-reader-CP_2"}
    sources[0].end.set()
    sources[0].finished.wait(1)
    eventually(lambda: names("reader") == {"ocppj-reader-CP_1", "ocppj-reader-CP_2"})
    sources.append(FakeSource("CP_6"))
    readers.add(sources[-1])  # there is room again; those that are shared stay so
    eventually(lambda: names("reader") == {"ocppj-reader-CP_1", "ocppj-reader-CP_2", "ocppj-reader-CP_6"})
    for source in sources:
        source.end.set()
    assert readers.stop(seconds(5))
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
