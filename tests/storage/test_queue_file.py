"""``QueueFile``: a durable queue seen from outside, also while its service writes."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ocppj import QueueDamaged, QueueFailed, QueueInUse, UsageError
from ocppj.storage import file_copy
from ocppj.storage.queue_file import QueueFile
from ocppj.storage.sqlite_queues import SQLiteQueue, SQLiteQueueMap
from tests.storing import bundle, decode, opened

#: A process that has the queue open: it stores requests as fast as it can, and removes most of them.
SERVICE = """
import sys
from ocppj.storage.sqlite_queues import SQLiteQueue
from tests.storing import bundle, opened

queue = opened(SQLiteQueue, sys.argv[1])
for number in range(50):
    queue.push(bundle(f"first-{number}", filling="x" * 2000))
print("ready", flush=True)
number = 0
while True:
    for _ in range(20):
        queue.push(bundle(f"more-{number}", filling="y" * 2000))
        number += 1
    for _ in range(20):
        queue.remove(f"more-{number - 1 - _}")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "requests.db"


def fill(path, count=3):
    queue = opened(SQLiteQueue, path)
    for number in range(count):
        queue.push(bundle(f"id-{number}"))
    return queue


def states(path):
    return {each.message_id: each.state for each in QueueFile(path).list()}


def test_what_waits_is_listed_with_its_age_and_state(path):
    queues = SQLiteQueueMap(path)
    queues.set_decoder(decode)
    queues.init()
    queues.get_or_create("CP_1").push(bundle("a"))
    later = bundle("b", "2.0.1")
    later.offline, later.expires = True, 4_000_000_000.0
    queues.get_or_create("CP_2").push(later)
    over = bundle("c")
    over.expires = 1.0
    queues.get_or_create("CP_2").push(over)
    queues.close()
    first, second, third = QueueFile(path).list()
    assert (first.client_id, first.message_id, first.action, first.version) == ("CP_1", "a", "DataTransfer", "1.6")
    assert (first.state, first.expires, first.reason, first.set_aside) == ("waiting", None, "", None)
    assert first.since is not None
    assert (second.client_id, second.version, second.state) == ("CP_2", "2.0.1", "waiting for boot")
    assert second.expires is not None
    assert second.expires.year == 2096
    assert third.state == "expired"
    assert '"DataTransfer"' in first.data


def test_a_request_goes_aside_and_back_into_its_place(path):
    fill(path).close()
    file = QueueFile(path)
    file.set_aside("id-1", reason="the charger restarts")
    assert states(path) == {"id-0": "waiting", "id-2": "waiting", "id-1": "set aside"}
    assert file.list()[-1].reason == "the charger restarts"
    assert file.list()[-1].set_aside is not None
    with pytest.raises(UsageError, match="waits: it was not set aside"):
        file.forget("id-0")
    with pytest.raises(UsageError, match="no request 'id-9' was set aside"):
        file.put_back("id-9")
    file.put_back("id-1")
    assert [each.message_id for each in file.list()] == ["id-0", "id-1", "id-2"]
    file.set_aside("id-1")
    file.forget("id-1")
    assert states(path) == {"id-0": "waiting", "id-2": "waiting"}
    queue = opened(SQLiteQueue, path)
    assert [each.message_id for each in queue.bundles()] == ["id-0", "id-2"]
    queue.close()


def test_an_id_of_several_clients_is_no_answer(path):
    queues = SQLiteQueueMap(path)
    queues.set_decoder(decode)
    queues.init()
    for client in ("CP_1", "CP_2"):
        queues.get_or_create(client).push(bundle("same"))
    queues.close()
    file = QueueFile(path)
    with pytest.raises(UsageError, match="CP_1, CP_2"):
        file.set_aside("same")
    file.set_aside("same", "CP_2")
    assert [(each.client_id, each.state) for each in file.list()] == [("CP_1", "waiting"), ("CP_2", "set aside")]
    with pytest.raises(UsageError, match="of client 'CP_1' waits"):
        file.put_back("same", "CP_1")


def test_the_list_changes_nothing(path):
    fill(path).close()
    folder = path.parent
    before = [(each.name, each.read_bytes(), each.stat().st_mtime_ns) for each in sorted(folder.iterdir())]
    QueueFile(path).list()
    assert [(each.name, each.read_bytes(), each.stat().st_mtime_ns) for each in sorted(folder.iterdir())] == before


def test_a_queue_of_this_process_is_not_touched(path):
    queue = fill(path)
    with pytest.raises(UsageError, match="is open in this process"):
        QueueFile(path).list()
    queue.close()
    assert len(QueueFile(path).list()) == 3


def test_a_name_that_is_damaged_is_no_error_of_python(path):
    fill(path).close()
    data = path.read_bytes()
    whole, cut = b"tablerequestsrequests\x02CREATE TABLE", b"table\xc8equestsrequests\x02CREATE TABLF"
    assert data.count(whole) == 1
    path.write_bytes(data.replace(whole, cut))
    with pytest.raises(QueueDamaged, match="is damaged, or no request queue"):
        QueueFile(path).list()
    with pytest.raises(QueueDamaged, match="is damaged, or no request queue"):
        SQLiteQueueMap(path).init()


def test_files_of_others_are_told_apart(path, tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        QueueFile(path).list()
    with pytest.raises(UsageError, match="there is no file"):
        QueueFile(path).forget("x")
    assert not path.exists()
    path.write_text("no database " * 100, "utf-8")
    with pytest.raises(QueueDamaged, match=f"{path} is damaged, or no request queue"):
        QueueFile(path).list()
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()
    with pytest.raises(QueueDamaged, match="the database of another program"):
        QueueFile(other).list()
    with pytest.raises(QueueDamaged, match="the database of another program"):
        QueueFile(other).put_back("x")
    (tmp_path / "empty.db").touch()
    with pytest.raises(QueueDamaged, match=r"empty.db is damaged.*too short"):
        QueueFile(tmp_path / "empty.db").forget("x")


def test_a_file_of_the_first_layout_is_read_as_it_is(path):
    connection = sqlite3.connect(path)
    connection.executescript(
        """CREATE TABLE requests (seq INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT, message_id TEXT NOT NULL,
        version TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL);
        PRAGMA application_id = 0x4F435051; PRAGMA user_version = 1"""
    )
    connection.commit()
    connection.close()
    before = path.read_bytes()
    assert QueueFile(path).list() == []
    assert path.read_bytes() == before


@pytest.fixture
def service(path):
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen([sys.executable, "-c", SERVICE, str(path)], stdout=subprocess.PIPE, env=env)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_running_service_is_looked_at_while_it_writes(path, service):
    file = QueueFile(path)
    for _ in range(15):
        found = [each.message_id for each in file.list()]
        assert found[:50] == [f"first-{number}" for number in range(50)]
        assert len(found) <= 50 + 20
        rest = [int(each.split("-")[1]) for each in found[50:]]
        assert rest == list(range(rest[0], rest[0] + len(rest))) if rest else True
    with pytest.raises(QueueInUse):
        file.set_aside("first-0")
    assert service.poll() is None, "the locks of the service are its own still"


def test_a_copy_is_made_again_when_the_log_began_anew_meanwhile(path, monkeypatch):
    fill(path).close()
    copies = []

    def copy(source, target):
        copies.append(source)
        if len(copies) == 1:  # while the database is copied, a service moves its log into it, and begins a new one
            result = shutil.copyfile(source, target)
            queue = opened(SQLiteQueue, path)
            queue.push(bundle("new"))
            queue.close()
            return result
        return shutil.copyfile(source, target)

    monkeypatch.setattr(file_copy, "copy_file", copy)
    assert [each.message_id for each in QueueFile(path).list()] == ["id-0", "id-1", "id-2", "new"]


def test_a_file_that_changes_all_the_time_is_an_error(path, monkeypatch):
    fill(path).close()

    def touch(source, target):
        os.utime(path, ns=(touch.count, touch.count))
        touch.count += 1_000_000_000
        return shutil.copyfile(source, target)

    touch.count = 1_000_000_000
    monkeypatch.setattr(file_copy, "copy_file", touch)
    with pytest.raises(QueueFailed, match="it changes all the time"):
        QueueFile(path).list()
