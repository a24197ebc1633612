"""What tests of durable queues share: requests, queues that are ready for use, threads, and a full disk."""

import contextlib
import json
import threading

import pytest

from ocppj import Call, RequestBundle
from ocppj.durable import SQLiteQueue, SQLiteQueueMap
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


@pytest.fixture
def path(tmp_path):
    return tmp_path / "queue.db"


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
