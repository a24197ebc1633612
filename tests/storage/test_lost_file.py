"""The file of a server's queues is lost while the server runs: chargers are refused, or served without it."""

import logging
import os
import shutil

import pytest

from ocppj import QueueFailed, Server, SQLiteQueue, SQLiteQueueMap, UsageError, v16
from tests.fixtures import HEARTBEAT, RESET, cleanup  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.peers import RawClient, Sockets
from tests.storing import bundle, opened

pytestmark = pytest.mark.skipif(os.name == "nt", reason="an open file cannot be taken away there")


class Site:
    """A server whose queues are in a file of a folder of their own."""

    def __init__(self, cleanup, folder, **options):
        self.cleanup, self.folder = cleanup, folder
        folder.mkdir()
        self.queues = SQLiteQueueMap(folder / "requests.db", **options)
        self.server = Server(profiles=v16.PROFILES, queues=self.queues, timeout=seconds(30))
        self.left = Recorder()
        self.server.set_disconnected_client_handler(self.left)
        cleanup.append(self.server.stop)
        self.server.listen(host="127.0.0.1")

    def join(self, identity="CP_1"):
        raw = RawClient(Sockets(), self.server.url, identity)
        self.cleanup.append(raw.stop)
        eventually(lambda: identity in self.server.client_ids() or raw.closed.is_set())
        return raw

    def lose(self, how):
        if how == "deleted":
            os.unlink(self.folder / "requests.db")
        else:
            shutil.rmtree(self.folder)


@pytest.fixture
def make(cleanup, tmp_path):
    return lambda **options: Site(cleanup, tmp_path / "queues", **options)


def answer(raw):
    frame = raw.receive()
    raw.send([3, frame[1], {"status": "Accepted"}])
    return frame[1]


def lost_lines(caplog):
    return [line for line in caplog.messages if "is lost: requests are kept in memory alone" in line]


@pytest.mark.parametrize("how", ["deleted", "folder gone"])
def test_by_default_clients_are_refused(make, how):
    site = make()
    there = site.join()
    site.lose(how)
    with pytest.raises(QueueFailed, match="moved or deleted"):
        site.server.send_request("CP_1", RESET)
    assert site.join("CP_2").wait_closed().code == 1011
    assert not there.closed.is_set()


@pytest.mark.parametrize("how", ["deleted", "folder gone"])
def test_in_memory_all_goes_on(make, how, caplog):
    site = make(on_lost="memory")
    there = site.join()
    site.lose(how)
    futures = [site.server.send_request("CP_1", RESET) for _ in range(2)]
    assert [answer(there) for _ in futures] == [future.message_id for future in futures]
    assert [future.result(seconds(10)).status for future in futures] == ["Accepted"] * 2
    late = site.join("CP_2")
    future = site.server.send_request("CP_2", RESET)
    assert answer(late) == future.message_id
    assert future.result(seconds(10)).status == "Accepted"
    futures = site.server.broadcast(RESET)
    answer(there)
    answer(late)
    assert [each.result(seconds(10)).status for each in futures.values()] == ["Accepted"] * 2
    assert len(lost_lines(caplog)) == 1
    assert "requests were in memory alone" not in caplog.text


def test_a_request_in_memory_outlives_its_connection(make):
    site = make(on_lost="memory")
    raw = site.join()
    site.lose("deleted")
    future = site.server.send_request("CP_1", RESET)
    assert raw.receive()[1] == future.message_id
    raw.stop()
    site.left.wait()
    assert not future.done()
    assert answer(site.join()) == future.message_id
    assert future.result(seconds(10)).status == "Accepted"


def test_what_is_in_memory_alone_is_missed_at_the_end(make, caplog):
    site = make(on_lost="memory")
    raw = site.join()
    site.lose("deleted")
    future = site.server.send_request("CP_1", RESET)
    raw.receive()
    site.server.stop()
    assert future.exception(seconds(10)) is not None
    assert "1 requests were in memory alone, and are gone" in caplog.text


def test_a_request_for_a_client_that_is_away_needs_the_file(make):
    site = make(on_lost="memory")
    site.lose("deleted")
    with pytest.raises(QueueFailed):
        site.server.send_request("CP_1", RESET, offline=True)


def test_the_queue_in_memory_is_as_long_as_it_may_be(make):
    site = make(on_lost="memory", capacity=2)
    site.join()
    site.lose("deleted")
    site.server.send_request("CP_1", RESET)
    site.server.send_request("CP_1", RESET)
    with pytest.raises(UsageError, match="holds 2 requests"):
        site.server.send_request("CP_1", RESET)


def test_a_file_that_is_lost_at_the_start_is_an_error(tmp_path, cleanup):
    queues = SQLiteQueueMap(tmp_path / "none" / "requests.db", on_lost="memory")
    server = Server(profiles=v16.PROFILES, queues=queues)
    cleanup.append(server.stop)
    with pytest.raises(QueueFailed):
        server.listen(host="127.0.0.1")


def test_the_log_does_not_repeat_itself(tmp_path, caplog):
    """What has ended cannot be removed from a file that is lost. That is told once a minute."""
    queue = opened(SQLiteQueue, tmp_path / "requests.db")
    for number in range(20):
        queue.push(bundle(number))
    os.unlink(tmp_path / "requests.db")
    with caplog.at_level(logging.ERROR):
        while queue.pop() is not None:
            pass
        eventually(lambda: "could not delete" in caplog.text)
        queue.close()
    _, *others = [line for line in caplog.messages if "could not delete" in line]
    assert len(others) == 1
    assert "more lines like this were left out" in others[0]


@pytest.mark.parametrize("kind", [SQLiteQueue, SQLiteQueueMap])
@pytest.mark.parametrize("name", ["\ud800.db", "a\udcff.db", "\udfff/b.db"])
def test_a_path_with_a_lone_surrogate_cannot_be_used(kind, name):
    with pytest.raises(UsageError, match="has a character that is none"):
        kind(name)
