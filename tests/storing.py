"""What tests of durable queues share: requests, queues that are ready for use, threads, and disks of all kinds."""

import contextlib
import json
import sqlite3
import threading

import pytest

from ocppj import Call, RequestBundle
from ocppj.storage.database import RequestDatabase
from ocppj.storage.sqlite_queues import SQLiteQueue, SQLiteQueueMap, StoredQueue
from tests.helpers import seconds


def bundle(message_id="1", version="1.6", filling="x" * 200):
    call = Call(str(message_id), "DataTransfer", {"vendorId": filling})
    return RequestBundle(call, call.to_json(), version)


def decode(version, text):
    _, message_id, action, payload = json.loads(text)
    return Call(message_id, action, payload)


def opened(kind, path, capacity=0):
    queue = kind(path, capacity)
    queue.set_decoder(decode)
    queue.init()
    return queue


def queue_in(file, client_id=None, capacity=0):
    """Return a queue of the requests in ``file``; as one of a `SQLiteQueueMap`, if it is a client's."""
    queue = StoredQueue(file, client_id, capacity)
    queue.set_decoder(decode)
    queue.init()
    return queue


class Disk:
    """The statements that SQLite gets, on each connection that is made from now on."""

    def __init__(self):
        self.told = []
        self.connections = []
        self._once = []

    def once(self, statement, act):
        """Run ``act`` once, just before SQLite runs a statement that begins with ``statement``.

        The file is locked as long as ``act`` takes.
        """
        self._once.append((statement, act))

    def tell(self, statement):
        self.told.append(statement)
        due = [each for each in self._once if statement.startswith(each[0])]
        self._once = [each for each in self._once if each not in due]
        for _, act in due:
            act()

    def pragma(self, name):
        """Return what is set on the connection that was made last."""
        return self.connections[-1].execute(f"PRAGMA {name}").fetchone()[0]


@pytest.fixture
def disk(monkeypatch):
    disk, connect = Disk(), sqlite3.connect

    class Told(sqlite3.Connection):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            disk.connections.append(self)

        def execute(self, statement, *parameters):
            disk.tell(statement)
            return super().execute(statement, *parameters)

    monkeypatch.setattr(sqlite3, "connect", lambda *arguments, **options: connect(*arguments, factory=Told, **options))
    return disk


@pytest.fixture
def path(tmp_path):
    return tmp_path / "queue.db"


@pytest.fixture
def file(disk, path):
    """The database alone."""
    file = RequestDatabase(path)
    file.open()
    yield file
    file.close()


@pytest.fixture
def stored(file):
    """The queue of a client in ``file``."""
    return queue_in(file)


@pytest.fixture
def queue(path):
    queue = opened(SQLiteQueue, path)
    yield queue
    queue.close()


@pytest.fixture
def queues(path):
    queues = opened(SQLiteQueueMap, path)
    yield queues
    queues.close()


def ids(queue):
    return [each.message_id for each in queue.bundles()]


def run(*targets):
    """Run each target in a thread of its own, let them begin together, and raise what one of them raised."""
    barrier, errors = threading.Barrier(len(targets)), []

    def body(target):
        try:
            barrier.wait(seconds(10))
            target()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(target,), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds(50))
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@contextlib.contextmanager
def disk_full():
    """Let every write to a file fail, as on a full disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
