"""Durable queues: what outlives the process, which process may open the file, and bad files and disks."""

import contextlib
import gc
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import zlib
from types import BuiltinFunctionType, FunctionType, ModuleType

import pytest

from ocppj import (
    CallTimeout,
    Client,
    DefaultServerDispatcher,
    FIFOClientQueue,
    NotRunning,
    QueueDamaged,
    QueueFailed,
    QueueFull,
    RequestBundle,
    Server,
    UsageError,
    v16,
)
from ocppj.clock import ManualClock
from ocppj.dispatch.request_sender import RequestSender
from ocppj.storage.sqlite_queues import SQLiteQueue, SQLiteQueueMap
from tests.dispatching import ClientSide
from tests.fixtures import BEAT_WIRE, HEARTBEAT, RESET, RESET_DONE
from tests.helpers import Recorder, eventually, seconds
from tests.inside.endpoints import open_calls, queued
from tests.inside.storage import held
from tests.interleaving import at_call
from tests.peers import RawClient, RawServer, Sockets
from tests.storing import (  # noqa: F401
    bundle,
    decode,
    disk,
    disk_full,
    file,
    ids,
    opened,
    path,
    queue,
    queues,
    run,
    stored,
)

PAGE = 4096


def test_they_say_that_they_are_durable():
    assert SQLiteQueue.durable
    assert SQLiteQueueMap.durable
    assert not FIFOClientQueue.durable


# What outlives what


def test_requests_are_there_again_in_order_with_text_and_version(queue, path):
    pushed = [bundle(n, version) for n, version in enumerate(["1.6", "2.0.1", "2.1"] * 5)]
    for each in pushed:
        queue.push(each)
    queue.pop()
    queue.remove("7")
    queue.close()
    seen = []
    again = SQLiteQueue(path)
    again.set_decoder(lambda version, text: seen.append((version, text)) or decode(version, text))
    again.init()
    left = [each for each in pushed if each.message_id not in ("0", "7")]
    assert seen == [(each.version, each.data) for each in left]
    assert [(each.call, each.data, each.version) for each in again.bundles()] == [
        (each.call, each.data, each.version) for each in left
    ]
    again.push(bundle("new"))
    assert [again.pop().message_id for _ in range(len(left) + 1)] == [*(each.message_id for each in left), "new"]
    again.close()


def test_order_survives_when_everything_was_removed_between(queue):
    queue.push(bundle("1"))
    queue.push(bundle("2"))
    assert queue.remove("2").message_id == "2"
    queue.init()
    queue.push(bundle("3"))
    queue.init()
    assert ids(queue) == ["1", "3"]


def test_discard_keeps_the_rows_and_takes_no_more_until_init(queue):
    queue.push(bundle("1"))
    assert queue.discard() == []
    assert queue.is_empty()
    with pytest.raises(NotRunning):
        queue.push(bundle("2"))
    assert queue.pop() is None
    queue.init()
    assert ids(queue) == ["1"]


def test_close_releases_the_file_and_leaves_one(queue, path):
    queue.push(bundle("1"))
    queue.close()
    queue.close()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    with pytest.raises(NotRunning):
        queue.push(bundle("2"))
    queue.init()
    assert ids(queue) == ["1"]


def texts_in(one):
    """Return all texts that are in memory because of ``one``, but for what programs are made of."""
    seen, left = {}, [one]
    while left:
        each = left.pop()
        if id(each) not in seen and not isinstance(each, (type, ModuleType, FunctionType, BuiltinFunctionType)):
            seen[id(each)] = each
            left += gc.get_referents(each)
            left += list(each) if isinstance(each, dict) else []  # the collector leaves such keys out
    return {each for each in seen.values() if isinstance(each, str)}


def test_nothing_stays_in_memory_of_what_has_gone(queue):
    numbers = ["n0", "n1", "n2", "n3", "n4"]
    for number in [*numbers, "n3"]:  # an id twice
        queue.push(bundle(number))
    assert texts_in(queue).issuperset(numbers)
    queue.pop()
    queue.remove("n2")
    queue.remove("n3")
    assert texts_in(queue).intersection(numbers) == {"n1", "n3", "n4"}
    while queue.pop() is not None:
        pass
    assert texts_in(queue).isdisjoint(numbers)


def test_a_closed_queue_shows_nothing(queue):
    queue.push(bundle("1"))
    queue.close()
    assert (len(queue), queue.peek(), ids(queue)) == (0, None, [])


def test_a_queue_takes_nothing_before_init(path):
    queue = SQLiteQueue(path)
    with pytest.raises(NotRunning, match=r"queue\.db"):
        queue.push(bundle())
    assert (queue.peek(), queue.pop(), len(queue)) == (None, None, 0)
    assert not path.exists()


def test_the_same_objects_are_shown_again_and_again(queue):
    one = bundle()
    queue.push(one)
    assert queue.peek() is queue.peek() is queue.find(lambda each: True) is one
    queue.init()
    assert queue.peek() is queue.pop()


def test_loaded_requests_count_for_the_capacity(path):
    queue = opened(SQLiteQueue, path, 3)
    for n in range(3):
        queue.push(bundle(n))
    queue.close()
    smaller = opened(SQLiteQueue, path, 2)
    assert len(smaller) == 3
    assert smaller.is_full()
    smaller.pop()
    with pytest.raises(QueueFull, match="2"):
        smaller.push(bundle("no"))
    smaller.pop()
    smaller.push(bundle("yes"))
    smaller.init()
    assert ids(smaller) == ["2", "yes"]
    smaller.close()


def test_text_of_any_kind_and_size_comes_back(queue):
    strange = [bundle("ä\u2028😀'\"", filling="ß\\\n"), bundle("big", filling="y" * 300_000), bundle("v", version="")]
    for each in strange:
        queue.push(each)
    queue.init()
    assert [(each.message_id, each.data, each.version) for each in queue.bundles()] == [
        (each.message_id, each.data, each.version) for each in strange
    ]


@pytest.mark.parametrize("data", ["\ud800", None])
def test_what_the_file_cannot_hold_is_refused_and_harms_nothing(queue, data):
    with pytest.raises(QueueFailed, match="'1'"):
        queue.push(RequestBundle(bundle().call, data, "1.6"))
    queue.push(bundle("2"))
    queue.init()
    assert ids(queue) == ["2"]


@pytest.mark.parametrize("name", ["a b?c#d%20.db", "ü", "'quoted'"])
def test_any_file_name_will_do_as_text_or_path(tmp_path, name):
    for named in (tmp_path / name, str(tmp_path / name)):
        queue = opened(SQLiteQueue, named)
        queue.push(bundle())
        queue.close()
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_relative_path_means_the_directory_at_the_time(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    queue = SQLiteQueue("q.db")
    monkeypatch.chdir(tmp_path / "other")
    queue.init()
    queue.close()
    assert (tmp_path / "q.db").exists()


@pytest.mark.parametrize("name", ["", ":memory:", "a\0b", b"q.db"])
@pytest.mark.parametrize("kind", [SQLiteQueue, SQLiteQueueMap])
def test_what_is_no_file_is_refused(kind, name):
    with pytest.raises(UsageError, match="needs a file|path is the path of a file"):
        kind(name)


@pytest.mark.parametrize("kind", [SQLiteQueue, SQLiteQueueMap])
def test_without_a_decoder_there_must_be_nothing_to_decode(kind, path):
    def push():
        queue = opened(kind, path)
        (queue if kind is SQLiteQueue else queue.get_or_create("A")).push(bundle())
        queue.close()

    fresh = kind(path)
    fresh.init()
    fresh.close()
    push()
    with pytest.raises(UsageError, match="set_decoder"):
        fresh.init()
    fresh.set_decoder(decode)
    fresh.init()
    fresh.close()


# The map


def test_each_client_has_its_own_requests(queues):
    for n in range(6):
        queues.get_or_create("AB"[n % 2]).push(bundle(n))
    queues.init()
    assert queues.get("A") is None
    assert ids(queues.get_or_create("B")) == ["1", "3", "5"]
    assert queues.get("B") is queues.get_or_create("B")
    assert queues.get_or_create("C").is_empty()
    queues.get_or_create("A").pop()
    queues.init()
    assert ids(queues.get_or_create("A")) == ["2", "4"]


def test_remove_forgets_the_queue_and_never_the_rows(queues):
    old = queues.get_or_create("A")
    old.push(bundle("1"))
    old.push(bundle("2"))
    queues.remove("A")
    assert queues.get("A") is None
    new = queues.get_or_create("A")
    assert new is not old
    # Two objects on the same rows would lose requests: the old one is out of use.
    assert old.pop() is old.peek() is None
    with pytest.raises(NotRunning):
        old.push(bundle("3"))
    assert old.discard() == []
    assert ids(new) == ["1", "2"]
    queues.init()
    assert ids(queues.get_or_create("A")) == ["1", "2"]


def test_a_request_is_withdrawn_wherever_it_is(queues, caplog):
    for n in range(4):
        queues.get_or_create("A").push(bundle(n))
    queues.get_or_create("B").push(bundle(1))
    assert queues.withdraw("A", "0").message_id == "0"
    assert ids(queues.get("A")) == ["1", "2", "3"]
    queues.remove("A")
    assert queues.withdraw("A", "2").call.payload == bundle(2).call.payload
    assert queues.withdraw("A", "2") is None
    assert queues.withdraw("C", "1") is None
    assert ids(queues.get_or_create("A")) == ["1", "3"]
    queues.init()
    assert (ids(queues.get_or_create("A")), ids(queues.get_or_create("B"))) == (["1", "3"], ["1"])
    queues.close()
    assert queues.withdraw("A", "1") is None
    assert "'1' cannot be withdrawn" in caplog.text


def test_a_queue_of_ones_own_may_be_added(queues):
    stored = queues.get_or_create("A")
    stored.push(bundle("1"))
    own = FIFOClientQueue()
    queues.add("A", own)
    assert queues.get("A") is queues.get_or_create("A") is own
    with pytest.raises(NotRunning):
        stored.push(bundle("2"))
    queues.remove("A")
    assert ids(queues.get_or_create("A")) == ["1"]


def test_the_capacity_is_per_client(path):
    queues = opened(SQLiteQueueMap, path, 1)
    queues.get_or_create("A").push(bundle())
    queues.get_or_create("B").push(bundle())
    with pytest.raises(QueueFull):
        queues.get_or_create("B").push(bundle())
    queues.close()


def test_a_closed_map_has_no_queues_to_give(queues):
    queue = queues.get_or_create("A")
    queues.close()
    with pytest.raises(NotRunning):
        queue.push(bundle())
    with pytest.raises(NotRunning):
        queues.get_or_create("A")


def test_the_file_of_the_one_is_refused_by_the_other(tmp_path):
    queue, queues = opened(SQLiteQueue, tmp_path / "one"), opened(SQLiteQueueMap, tmp_path / "many")
    queue.push(bundle())
    queues.get_or_create("").push(bundle())
    queue.close()
    queues.close()
    with pytest.raises(UsageError, match="of a SQLiteQueueMap"):
        opened(SQLiteQueue, tmp_path / "many")
    with pytest.raises(UsageError, match="of a SQLiteQueue$"):
        opened(SQLiteQueueMap, tmp_path / "one")


# Threads


def test_file_and_memory_agree_after_threads_push_pop_and_remove(file, stored):
    popped, removed, pause = [], [], threading.Event()

    def push(name):
        for n in range(40):
            stored.push(bundle(f"{name}-{n}"))

    def pop():
        while len(popped) < 100:
            taken = stored.pop()
            if taken is not None:
                popped.append(taken.message_id)
            else:
                pause.wait(0.001)

    def remove():
        while len(removed) < 20:
            taken = stored.remove(f"3-{len(removed)}")
            if taken is not None:
                removed.append(taken.message_id)
            elif f"3-{len(removed)}" in popped:
                removed.append("")
            else:
                pause.wait(0.001)

    run(*[lambda name=name: push(name) for name in range(4)], pop, remove)
    left = ids(stored)
    assert len(left) + len(popped) + len([each for each in removed if each]) == 160
    assert len({*left, *popped, *removed} - {""}) == 160
    for name in "0124":  # 3 has holes
        numbers = [int(each.split("-")[1]) for each in popped + left if each.startswith(name)]
        assert numbers == sorted(numbers)
    assert file.count() == len(left)
    stored.init()
    assert ids(stored) == left


def test_clients_that_come_and_go_while_others_send_lose_nothing(queues):
    """A push may come to a queue that was just removed. What push took is there when the client is back."""
    taken = []

    def push():
        for n in range(60):
            with contextlib.suppress(NotRunning):
                queues.get_or_create("A").push(bundle(n))
                taken.append(str(n))

    def come_and_go():
        while len(taken) < 30:
            queues.remove("A")
            queues.get_or_create("A")

    run(push, come_and_go, come_and_go)
    assert ids(queues.get_or_create("A")) == taken
    queues.init()
    assert ids(queues.get_or_create("A")) == taken


def test_two_threads_that_ask_for_a_client_get_the_same_queue(queues):
    queues.get_or_create("A").push(bundle())
    for _ in range(20):
        queues.remove("A")
        got = []
        run(*[lambda got=got: got.append(queues.get_or_create("A"))] * 4)
        assert len(set(map(id, got))) == 1
        assert len(got[0]) == 1


def test_a_push_that_ends_after_discard_is_in_the_file_alone(disk, queue):
    disk.once("COMMIT", queue.discard)
    queue.push(bundle("1"))
    assert queue.is_empty()
    queue.init()
    assert ids(queue) == ["1"]


def test_nothing_is_taken_while_init_reads_what_there_is(queue):
    """What came after the file was read would be on disk, and not in memory."""
    queue.push(bundle("1"))
    refusals = []

    def decode_and_push(version, text):
        with pytest.raises(NotRunning) as caught:
            queue.push(bundle("2"))
        refusals.append(caught.value)
        return decode(version, text)

    queue.set_decoder(decode_and_push)
    queue.init()
    assert len(refusals) == 1
    assert queue.remove("1").message_id == "1"
    assert queue.remove("1") is None


def test_pop_and_remove_do_not_wait_for_the_file(file, stored):
    for n in range(3):
        stored.push(bundle(n))
    with held(file):  # as a push does, as long as the disk takes
        run(lambda: stored.pop(), lambda: stored.remove("2"))
        assert ids(stored) == ["1"]
        assert stored.peek().message_id == "1"
    assert file.count() == 1  # deleted when the file was released
    stored.init()
    assert ids(stored) == ["1"]


def test_a_push_is_synced_and_a_pop_neither_syncs_nor_checkpoints(disk, queue):
    """No test can cut the power: this one looks at what SQLite was told."""

    def told():
        return [disk.pragma(name) for name in ("journal_mode", "synchronous", "wal_autocheckpoint")]

    queue.push(bundle())
    assert told() == ["wal", 2, 1000]
    queue.pop()
    assert told() == ["wal", 1, 0]
    queue.push(bundle())
    assert told() == ["wal", 2, 1000]


def test_the_wal_does_not_grow_for_ever(queue, path):
    for n in range(700):  # each commit writes three pages or more
        queue.push(bundle(n))
        queue.pop()
    assert os.stat(f"{path}-wal").st_size < 1100 * (PAGE + 24)


# One process at a time

OPEN = """
import sys
from ocppj import QueueFailed
from ocppj.durable import SQLiteQueue
queue = SQLiteQueue(sys.argv[1])
try:
    queue.init()
except QueueFailed as error:
    print(error)
else:
    print("opened", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_a_file_in_use(queue, path):
    queue.push(bundle())
    result = subprocess.run([sys.executable, "-c", OPEN, path], capture_output=True, timeout=seconds(50), check=True)
    assert result.stdout.decode().strip().startswith(f"{path} is in use by another process")
    queue.push(bundle("2"))  # and the first has taken no harm
    queue.init()
    assert ids(queue) == ["1", "2"]


def test_a_process_that_is_killed_releases_the_file(path):
    with subprocess.Popen([sys.executable, "-c", OPEN, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline().strip() == b"opened"
        with pytest.raises(QueueFailed, match="in use by another process"):
            opened(SQLiteQueue, path)
        child.kill()
    opened(SQLiteQueue, path).close()


@pytest.mark.parametrize("kind", [SQLiteQueue, SQLiteQueueMap])
def test_a_second_queue_of_this_process_is_refused_too(queue, path, kind):
    with pytest.raises(QueueFailed, match="in use"):
        opened(kind, path)
    queue.close()
    opened(kind, path).close()


FORK = """
import os, sqlite3, sys, threading
from ocppj import Call, QueueFailed, RequestBundle
from ocppj.durable import SQLiteQueue
def bundle(message_id):
    call = Call(message_id, "Heartbeat", {})
    return RequestBundle(call, call.to_json(), "1.6")
held, go_on, slow = threading.Event(), threading.Event(), []
class Connection(sqlite3.Connection):
    def execute(self, statement, *parameters):
        if statement == "COMMIT" and threading.current_thread() in slow:
            held.set()
            go_on.wait()
        return super().execute(statement, *parameters)
connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **options: connect(*arguments, factory=Connection, **options)
queue = SQLiteQueue(sys.argv[1])
queue.init()
queue.push(bundle("1"))
thread = threading.Thread(target=queue.push, args=(bundle("slow"),))  # it has the file as long as the disk takes
slow.append(thread)
thread.start()
held.wait()
child = os.fork()
if not child:
    for act in (lambda: queue.push(bundle("2")), queue.init, queue.list_set_aside, lambda: queue.put_back("1")):
        try:
            act()
        except QueueFailed as error:
            print(error, flush=True)
    queue.pop()
    queue.close()
    os._exit(0)
os.waitpid(child, 0)
go_on.set()
thread.join()
queue.push(bundle("3"))
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_cannot_use_the_queue_of_its_parent(path):
    result = subprocess.run([sys.executable, "-c", FORK, path], capture_output=True, timeout=seconds(50), check=True)
    assert result.stdout.count(b"was opened by the process this one was forked from") == 4
    queue = opened(SQLiteQueue, path)
    assert ids(queue) == ["1", "slow", "3"]
    queue.close()


# A file that is taken away


def rename(path):
    os.rename(path, f"{path}.bak")


def replace(path):
    shutil.copyfile(path, f"{path}.copy")
    os.replace(f"{path}.copy", path)


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be taken away there")
@pytest.mark.parametrize("end", ["", "-wal"])
@pytest.mark.parametrize("take_away", [os.unlink, rename, replace])
def test_nothing_is_taken_into_a_file_that_was_moved_or_deleted(queue, path, take_away, end, caplog):
    """It would be written to a file without a name, and be lost with the process."""
    queue.push(bundle("1"))
    queue.push(bundle("2"))
    take_away(f"{path}{end}")
    with pytest.raises(QueueFailed, match=rf"request '3' could not be written: .*queue\.db{end} was moved or deleted"):
        queue.push(bundle("3"))
    assert queue.pop().message_id == "1"
    eventually(lambda: "was moved or deleted" in caplog.text)
    with pytest.raises(QueueFailed, match="was moved or deleted"):
        queue.list_set_aside()
    assert ids(queue) == ["2"]


# Files that are damaged, or none of ours


@pytest.fixture
def clean(tmp_path):
    """A file with 60 requests on more than 10 pages, well closed."""
    path = tmp_path / "clean" / "queue.db"
    path.parent.mkdir()
    queue = opened(SQLiteQueue, path)
    for n in range(60):
        queue.push(bundle(n, filling="x" * 800))
    queue.close()
    return path


@pytest.fixture
def crashed(queue, path, tmp_path):
    """A database of 30 requests and a WAL with 10 more, as a process leaves them that is killed."""
    for n in range(30):
        queue.push(bundle(n, filling="x" * 800))
    queue.close()
    queue.init()
    for n in range(30, 40):
        queue.push(bundle(n))
    copy = tmp_path / "copy" / "queue.db"
    copy.parent.mkdir()
    for end in ("", "-wal"):
        shutil.copyfile(f"{path}{end}", f"{copy}{end}")
    return copy


def contents(path):
    return {each.name: each.read_bytes() for each in path.parent.iterdir() if each.is_file()}


def refused(path, match):
    """Assert that the file is refused, and left as it is."""
    before = contents(path)
    for kind in (SQLiteQueue, SQLiteQueueMap):
        with pytest.raises(QueueDamaged, match=match) as caught:
            opened(kind, path)
        assert str(path) in str(caught.value)
        after = contents(path)
        assert {name: after.get(name) for name in before} == before
        assert set(after) - set(before) <= {f"{path.name}-wal", f"{path.name}-shm"}
        assert after.get(f"{path.name}-wal", b"") == before.get(f"{path.name}-wal", b"")


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def test_what_the_damage_is_made_of_is_sound(clean, crashed):
    assert clean.stat().st_size > 10 * PAGE
    queue = opened(SQLiteQueue, clean)
    assert ids(queue) == [str(n) for n in range(60)]
    queue.close()
    queue = opened(SQLiteQueue, crashed)
    assert ids(queue) == [str(n) for n in range(40)]
    queue.close()


@pytest.mark.parametrize("data", [b"not a database, but a text\n" * 50, b"\xa7" * 10_000, b"x", bytes(PAGE)])
def test_garbage_is_refused(path, data):
    path.write_bytes(data)
    refused(path, "not a database|too short for a database")


@pytest.mark.parametrize("size", [1, 50, 99, 100, 1000, PAGE, PAGE + 100, 5 * PAGE, -PAGE, -1])
def test_a_file_cut_short_is_refused(clean, size):
    whole = clean.stat().st_size
    os.truncate(clean, size if size > 0 else whole + size)
    refused(clean, "was left as it is")


@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"ab"])
def test_a_page_overwritten_is_refused_whichever_it_is(clean, filling):
    data = clean.read_bytes()
    for offset in range(0, len(data), PAGE):
        overwrite(clean, offset, (filling * PAGE)[:PAGE])
        refused(clean, "was left as it is")
        clean.write_bytes(data)


def test_a_request_with_a_wrong_byte_in_it_is_refused(clean):
    where = clean.read_bytes().index(b'"40","DataTransfer"')
    overwrite(clean, where + 6, b"X")
    refused(clean, "checksum of row 41")


def test_a_request_that_is_no_text_any_more_is_refused(clean):
    where = clean.read_bytes().index(b'"40","DataTransfer"')
    overwrite(clean, where + 8, b"\xff")
    refused(clean, "checksum of row 41")


def test_the_database_of_someone_else_is_refused(path):
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE requests (seq, crc, client_id, message_id, version, data)")
        other.commit()
    refused(path, "another program")
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA application_id = 77")
        other.execute("PRAGMA journal_mode = WAL")
    refused(path, "another program")


def test_a_later_layout_is_refused(clean):
    with contextlib.closing(sqlite3.connect(clean)) as other:
        other.execute("PRAGMA user_version = 3")
    refused(clean, "its layout is 3, this version of ocppj knows 2")


OLD_LAYOUT = """
    CREATE TABLE requests (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT,
        message_id TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL);
    CREATE INDEX requests_of_client ON requests (client_id);
    PRAGMA application_id = 1329811537;
    PRAGMA user_version = 1;"""
OLD_SET_ASIDE = """
    CREATE TABLE set_aside (
        seq INTEGER PRIMARY KEY, client_id TEXT, message_id TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL,
        reason TEXT NOT NULL, time TEXT NOT NULL, crc INTEGER NOT NULL);"""


def old_checksum(*fields):
    return zlib.crc32(b"".join((field or "").encode() + b"\0" for field in fields))


def file_of_layout_1(path, client_id, set_aside=True):
    """Write such a file as the first versions did, with two requests, and one that was set aside."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.executescript(OLD_LAYOUT + (OLD_SET_ASIDE if set_aside else ""))
        for seq, each in [(3, bundle("3")), (7, bundle("7", "2.1"))]:
            fields = (client_id, each.message_id, each.version, each.data)
            other.execute("INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)", (seq, *fields, old_checksum(*fields)))
        if set_aside:
            fields = (client_id, "5", "1.6", bundle("5").data, "why", "2026-01-02T03:04:05+00:00")
            values = (5, *fields, old_checksum(*fields))
            other.execute("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        other.commit()


@pytest.mark.parametrize("set_aside", [True, False])
def test_a_file_of_the_first_layout_is_brought_to_this_one(path, set_aside):
    file_of_layout_1(path, None, set_aside)
    for _ in range(3):
        queue = opened(SQLiteQueue, path)
        assert [(each.message_id, each.version) for each in queue.bundles()] == [("3", "1.6"), ("7", "2.1")]
        assert len(queue.list_set_aside()) == set_aside
        queue.close()
    queue = opened(SQLiteQueue, path)
    if set_aside:
        queue.put_back("5")
    queue.set_aside("7", "lost")
    queue.push(bundle("9"))
    queue.close()
    queue = opened(SQLiteQueue, path)
    assert ids(queue) == (["3", "5", "9"] if set_aside else ["3", "9"])
    queue.close()


def test_the_requests_of_the_first_layout_are_listed_without_a_time(path):
    file_of_layout_1(path, "CP_1")
    queues = opened(SQLiteQueueMap, path)
    assert [tuple(each) for each in queues.list()] == [
        ("3", "DataTransfer", "CP_1", "1.6", None, None, "waiting"),
        ("7", "DataTransfer", "CP_1", "2.1", None, None, "waiting"),
    ]
    assert not any(each.offline for each in queues.get_or_create("CP_1").bundles())
    queues.close()


def test_a_damaged_file_of_the_first_layout_stays_as_it_is(path):
    file_of_layout_1(path, None)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE set_aside SET reason = 'another'")
        other.commit()
    refused(path, "checksum of row 5 of set_aside")


@pytest.mark.parametrize("column", ["since", "expires", "offline"])
def test_the_checksum_covers_when_and_how_a_request_is_sent(path, column):
    queues = opened(SQLiteQueueMap, path)
    assert queues.push_all([("A", RequestBundle(bundle().call, bundle().data, "1.6", offline=True, expires=5.5))]) == [
        None
    ]
    queues.close()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(f"UPDATE requests SET {column} = 7")
        other.commit()
    refused(path, "checksum of row 1 of requests")


def test_what_is_set_aside_and_put_back_is_as_it_was(path):
    queues = opened(SQLiteQueueMap, path)
    queues.push_all([("A", RequestBundle(bundle("1").call, bundle("1").data, "1.6", offline=True, expires=5.5))])
    [before] = queues.list()
    queues.get_or_create("A").set_aside("1", "why")
    queues.put_back("A", "1")
    queues.close()
    queues = opened(SQLiteQueueMap, path)
    [after] = queues.get_or_create("A").bundles()
    assert (after.offline, after.expires, queues.list()) == (True, 5.5, [before])
    queues.close()


def test_a_file_of_ours_without_its_table_is_refused(clean):
    with contextlib.closing(sqlite3.connect(clean)) as other:
        other.execute("DROP TABLE requests")
    refused(clean, "no such table")


def test_an_empty_file_is_a_new_one(path):
    path.touch()
    queue = opened(SQLiteQueue, path)
    queue.push(bundle())
    queue.init()
    assert ids(queue) == ["1"]
    queue.close()


def test_damage_beside_a_wal_is_refused_and_the_wal_kept(crashed):
    overwrite(crashed, 0, b"\xa7" * 100)
    os.truncate(crashed, 100)
    refused(crashed, "left as it is")


def test_a_wrong_byte_beside_a_wal_is_refused_and_the_wal_kept(crashed):
    """Here SQLite finds nothing wrong, and would move the WAL to the database when it closes."""
    overwrite(crashed, crashed.read_bytes().index(b'"7","DataTransfer"') + 5, b"X")
    refused(crashed, "checksum of row 8")


@pytest.mark.parametrize("remove", [os.remove, lambda path: os.truncate(path, 0)])
def test_a_wal_without_its_database_is_refused(crashed, remove):
    remove(crashed)
    refused(crashed, "empty or missing, but its WAL is not")


@pytest.mark.parametrize(("offset", "data"), [(0, b"garbage!"), (16, b"\1"), (24, b"\1"), (0, bytes(3) + b"\1")])
def test_a_wal_with_a_wrong_header_is_refused(crashed, offset, data):
    overwrite(f"{crashed}-wal", offset, data)
    refused(crashed, "header of its WAL")


def test_a_wal_that_lost_its_end_leaves_what_was_before(crashed, tmp_path):
    """As after a crash, which cannot be told from it: the first requests are there, whole and in order."""
    size = os.stat(f"{crashed}-wal").st_size
    counts = []
    for cut in [0, 1, 31, 32, 33, *range(2000, size, 3001), size - 1, size]:
        directory = tmp_path / str(cut)
        directory.mkdir()
        copy = shutil.copyfile(crashed, directory / "q.db")
        shutil.copyfile(f"{crashed}-wal", directory / "q.db-wal")
        os.truncate(directory / "q.db-wal", cut)
        queue = opened(SQLiteQueue, copy)
        counts.append(len(queue))
        assert ids(queue) == [str(n) for n in range(len(queue))]
        queue.push(bundle("new"))
        queue.init()
        assert len(queue) == counts[-1] + 1
        queue.close()
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (30, 40)
    assert len(set(counts)) == 11


# Disks that fail


def test_a_push_that_cannot_be_written_raises_and_is_not_in_the_queue(queue):
    queue.push(bundle("1"))
    with disk_full():
        for n in range(3):
            with pytest.raises(QueueFailed, match=r"queue\.db: request '2-\d' could not be written: .*(disk|full)"):
                queue.push(bundle(f"2-{n}"))
    assert ids(queue) == ["1"]
    queue.push(bundle("3"))  # there is room again
    assert ids(queue) == ["1", "3"]
    queue.init()
    assert ids(queue) == ["1", "3"]


def test_a_pop_that_cannot_be_written_is_logged_and_done_later(file, stored, caplog):
    for n in range(3):
        stored.push(bundle(n))
    with disk_full(), caplog.at_level(logging.ERROR):
        assert stored.pop().message_id == "0"
        assert stored.remove("1").message_id == "1"
        stored.init()  # reads the file, in which they still are
        assert ids(stored) == ["2"]
        assert file.count() == 3
    eventually(lambda: "may be sent again" in caplog.text)  # a thread of its own logs it
    assert "queue.db" in caplog.text
    stored.init()
    assert ids(stored) == ["2"]
    assert file.count() == 1  # deleted as soon as it could be


def test_a_log_handler_may_ask_the_dispatcher_when_a_pop_cannot_be_written(tmp_path):
    """The dispatcher pops with its lock held."""
    queue, told = SQLiteQueue(tmp_path / "q.db"), Recorder()
    queue.set_decoder(decode)
    side = ClientSide(queue=queue).start()

    class Asking(logging.Handler):
        def emit(self, record):
            told(side.dispatcher.is_paused(), record.getMessage())

    asking = Asking(logging.ERROR)
    side.send_all("1", "2")
    logging.getLogger("ocppj").addHandler(asking)
    try:
        with disk_full():
            run(lambda: side.complete("1"))
            assert "may be sent again" in told.wait()[0][1]
    finally:
        logging.getLogger("ocppj").removeHandler(asking)
    assert side.sent == ["1", "2"]
    side.complete("2")
    side.dispatcher.stop()


def test_a_pop_that_was_never_written_is_sent_again(queue, caplog):
    queue.push(bundle("1"))
    with disk_full(), caplog.at_level(logging.ERROR):
        queue.pop()
        queue.close()
    queue.init()
    assert ids(queue) == ["1"]


def test_a_file_that_cannot_be_made_is_a_clear_error(tmp_path):
    with pytest.raises(QueueFailed, match="unable to open"):
        opened(SQLiteQueue, tmp_path / "no such directory" / "q.db")
    with pytest.raises(QueueFailed, match=r"cannot be used as a request queue"):
        opened(SQLiteQueue, tmp_path)
    with disk_full(), pytest.raises(QueueFailed, match=r"full\.db cannot be used"):
        opened(SQLiteQueue, tmp_path / "full.db")
    opened(SQLiteQueue, tmp_path / "full.db").close()


NOT_ALLOWED = """
import os, sys
from ocppj import Call, QueueFailed, RequestBundle
from ocppj.durable import SQLiteQueue
if os.geteuid() == 0:
    os.seteuid(65534)  # root may write everywhere
os.mkdir(sys.argv[1])
path = os.path.join(sys.argv[1], "q.db")
queue = SQLiteQueue(path)
queue.set_decoder(lambda version, text: Call("1", "Heartbeat", {}))
queue.init()
queue.push(RequestBundle(Call("1", "Heartbeat", {}), "[]", "1.6"))
queue.close()
for name, mode in ((sys.argv[1], 0o500), (path, 0o400), (path, 0)):
    before = os.stat(name).st_mode
    os.chmod(name, mode)
    try:
        queue.init()
    except QueueFailed as error:
        print(type(error).__name__, error)
    os.chmod(name, before)
queue.init()
print(len(queue))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such permissions")
def test_what_may_not_be_written_is_a_clear_error_and_no_damage():
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o777)
        command = [sys.executable, "-c", NOT_ALLOWED, os.path.join(directory, "sub")]
        result = subprocess.run(command, capture_output=True, timeout=seconds(50), check=True)
    *refusals, last = result.stdout.decode().splitlines()
    assert last == "1", "and nothing is lost"
    assert len(refusals) == 3
    for refusal in refusals:
        assert refusal.startswith(f"QueueFailed {directory}/sub/q.db cannot be used as a request queue: ")
        assert "may this process write there?" in refusal


# In an endpoint


def test_a_client_sends_what_an_earlier_process_could_not(path):
    with RawServer(Sockets()) as raw:
        with Client("CP_1", profiles=v16.PROFILES, queue=SQLiteQueue(path), boot_first=False).connect(
            raw.url
        ) as client:
            sent = [client.send_request(HEARTBEAT).message_id for _ in range(3)]
            assert raw.receive()[1] == sent[0]
        assert path.exists()
        with Client("CP_1", profiles=v16.PROFILES, queue=SQLiteQueue(path), boot_first=False).connect(
            raw.url
        ) as client:
            sent.append(client.send_request(HEARTBEAT).message_id)
            for message_id in sent:
                assert raw.receive()[:3] == [2, message_id, "Heartbeat"]
                raw.send([3, message_id, BEAT_WIRE])
            eventually(lambda: queued(client) == 0)
    queue = opened(SQLiteQueue, path)
    assert queue.is_empty()
    queue.close()


def test_a_server_sends_it_when_the_client_is_back(path):
    message_id = ""
    for turn in range(2):
        server = Server(profiles=v16.PROFILES, queues=SQLiteQueueMap(path))
        with server.listen(host="127.0.0.1", port=0), RawClient(Sockets(), server.url, "CP_1") as raw:
            eventually(lambda server=server: server.client_ids() == ["CP_1"])
            message_id = message_id or server.send_request("CP_1", RESET).message_id
            assert raw.receive()[:3] == [2, message_id, "Reset"]
            if turn:
                raw.send([3, message_id, {"status": "Accepted"}])
                eventually(lambda server=server: queued(server) == 0)
    queues = opened(SQLiteQueueMap, path)
    assert queues.get_or_create("CP_1").is_empty()
    queues.close()


def test_what_is_given_up_while_the_client_is_away_is_never_sent(path):
    clock = ManualClock()
    server = Server(profiles=v16.PROFILES, queues=SQLiteQueueMap(path), clock=clock)
    canceled = Recorder()
    server.set_canceled_request_handler(canceled)
    with server.listen(host="127.0.0.1", port=0):
        with RawClient(Sockets(), server.url, "CP_1") as raw:
            eventually(lambda: server.client_ids() == ["CP_1"])
            late = server.send_request("CP_1", RESET, timeout=1)
            withdrawn, kept = (server.send_request("CP_1", RESET) for _ in range(2))
            assert raw.receive()[1] == late.message_id
        eventually(lambda: server.client_ids() == [])
        assert withdrawn.cancel()
        clock.advance(1)
        assert isinstance(late.exception(seconds(10)), CallTimeout)
        assert [call[1] for call in canceled.wait(2)] == [withdrawn.message_id, late.message_id]
        assert [call[2] for call in canceled.calls] == [RESET, RESET]
        with RawClient(Sockets(), server.url, "CP_1") as raw:
            assert raw.receive()[1] == kept.message_id
            raw.send([3, kept.message_id, {"status": "Accepted"}])
            assert kept.result(seconds(10)) == RESET_DONE
            assert raw.nothing_came()
    assert len(canceled.calls) == 2


def test_a_client_that_comes_and_goes_while_requests_are_given_up_has_each_ended_once(path):
    """In any order: a request is canceled once, or answered, and nothing is left."""
    queues = SQLiteQueueMap(path)
    server = Server(profiles=v16.PROFILES, queues=queues)
    canceled = Recorder()
    server.set_canceled_request_handler(canceled)
    futures = []
    with server.listen(host="127.0.0.1", port=0):
        for _ in range(15):
            with RawClient(Sockets(), server.url, "CP_1"):
                eventually(lambda: server.client_ids() == ["CP_1"])
                futures += [server.send_request("CP_1", RESET) for _ in range(4)]
                given_up = threading.Thread(target=lambda late=futures[-4:]: [each.cancel() for each in late])
                given_up.start()
            given_up.join(seconds(10))
        assert all(future.cancelled() for future in futures)
        eventually(lambda: server.client_ids() == [])
        assert queues.get_or_create("CP_1").is_empty()
        assert open_calls(server) == 0
    told = [call[1] for call in canceled.calls]
    assert sorted(told) == sorted(future.message_id for future in futures)


def test_a_request_given_up_at_the_moment_its_client_leaves_is_not_sent_when_it_is_back(path):
    queues = SQLiteQueueMap(path)
    dispatcher = DefaultServerDispatcher(queues)
    server = Server(profiles=v16.PROFILES, dispatcher=dispatcher)
    canceled = Recorder()
    server.set_canceled_request_handler(canceled)
    with server.listen(host="127.0.0.1", port=0), RawClient(Sockets(), server.url, "CP_1"):
        eventually(lambda: server.client_ids() == ["CP_1"])
        future = server.send_request("CP_1", RESET)
        with at_call(RequestSender.cancel, lambda: dispatcher.delete_client("CP_1")) as met:  # its sender is found
            assert future.cancel()
        assert met == [True]
        assert queues.get_or_create("CP_1").is_empty()
    assert [call[1] for call in canceled.calls] == [future.message_id]


def test_a_client_with_a_damaged_queue_does_not_start(path):
    path.write_bytes(b"nonsense" * 1000)
    with RawServer(Sockets()) as raw:
        client = Client("CP_1", profiles=v16.PROFILES, queue=SQLiteQueue(path), boot_first=False)
        with pytest.raises(QueueDamaged, match=r"queue\.db"):
            client.connect(raw.url)
        assert raw.channel is None
        client.stop()
