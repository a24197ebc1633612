"""A durable queue on a small disk: it refuses requests while it can still shrink, and then it shrinks."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ocppj import QueueFailed
from ocppj.storage.room import has_room
from ocppj.storage.sqlite_queues import SQLiteQueue
from tests.inside.storage import file_of
from tests.storing import bundle, disk, ids, opened, path, queue, run  # noqa: F401

FILLING = "x" * 2000


@pytest.fixture
def free(monkeypatch):
    """How many bytes the disk says are free. It is set in the attribute ``free``."""
    said = SimpleNamespace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: said)
    return said


def checkpoints(disk):
    return sum(statement.startswith("PRAGMA wal_checkpoint") for statement in disk.told)


def test_with_plenty_of_room_nothing_is_asked(disk, queue, free):
    queue.push(bundle("1"))
    before = len(disk.told)
    queue.push(bundle("2"))
    queue.pop()
    assert not [told for told in disk.told[before:] if "page_count" in told]
    assert checkpoints(disk) == 0


def test_with_hardly_any_room_the_wal_is_moved_into_the_database_first(disk, queue, path, free):
    for number in range(40):
        queue.push(bundle(number, filling=FILLING))
    assert os.stat(f"{path}-wal").st_size > 400_000
    free.free = 200_000
    queue.push(bundle("last"))
    assert checkpoints(disk) == 1
    assert os.stat(f"{path}-wal").st_size < 100_000
    assert len(queue) == 41


def test_without_room_a_request_is_refused_and_removals_go_on(disk, queue, path, free):
    queue.push(bundle("1"))
    queue.push(bundle("2"))
    free.free = 1000
    with pytest.raises(QueueFailed, match="the disk is full"):
        queue.push(bundle("3"))
    assert queue.pop().message_id == "1"
    assert file_of(queue).count() == 1
    free.free = 10**9
    queue.push(bundle("4"))
    assert ids(queue) == ["2", "4"]


def test_where_it_cannot_be_known_all_is_tried(queue, monkeypatch):
    def unknown(folder):
        raise OSError("no such call")

    monkeypatch.setattr(shutil, "disk_usage", unknown)
    queue.push(bundle("1"))
    assert queue.pop().message_id == "1"


def test_a_larger_request_needs_more(tmp_path, free):
    path = tmp_path / "room.db"
    path.write_bytes(b"x" * 40_960)
    sizes = {"page_size": 4096, "page_count": 10, "freelist_count": 0}

    def fits(size):
        return has_room(str(path), size, sizes.get)

    free.free = 1_000_000
    assert fits(400_000)
    assert not fits(600_000), "it is written twice"
    sizes["page_count"] = 110
    assert not fits(400_000), "the WAL has a hundred pages that the database lacks"
    sizes.update(page_count=10, freelist_count=200)
    assert fits(600_000), "the database has room"


@pytest.fixture
def small(tmp_path):
    """Return a folder on a disk of half a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if not sys.platform.startswith("linux") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_drains_and_takes_requests_again(small, caplog):
    path = small / "requests.db"
    queue = opened(SQLiteQueue, path)
    for _ in range(3):
        stored = 0
        with pytest.raises(QueueFailed, match="full"):
            while True:
                queue.push(bundle(stored, filling=FILLING))
                stored += 1
        assert stored > 80, "most of the disk is used for requests"
        while queue.pop() is not None:
            pass
        assert file_of(queue).count() == 0
    queue.push(bundle("new"))
    queue.close()
    again = opened(SQLiteQueue, path)
    assert ids(again) == ["new"]
    again.close()
    assert "could not delete" not in caplog.text


def test_a_full_disk_is_opened_again_after_a_crash(small):
    code = f"""if True:
        import os
        from ocppj.storage.sqlite_queues import SQLiteQueue
        from tests.storing import bundle, opened
        queue = opened(SQLiteQueue, {str(small / "requests.db")!r})
        try:
            for number in range(10_000):
                queue.push(bundle(number, filling={FILLING!r}))
        except Exception:
            os._exit(9)
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    queue = opened(SQLiteQueue, small / "requests.db")
    count = len(queue)
    assert count > 80
    assert [queue.pop().message_id for _ in range(count)] == [str(number) for number in range(count)]
    assert file_of(queue).count() == 0
    queue.close()


FAILING_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int fails(void) { return access(getenv("FAIL_SYNC"), F_OK) == 0; }
int fsync(int fd) {
    if (fails()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
int fdatasync(int fd) {
    if (fails()) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


@pytest.mark.parametrize("size", [100, 20_000])
def test_a_request_that_was_refused_because_a_sync_failed_is_not_there_after_a_crash(tmp_path, size):
    """The disk has taken the data, with the mark of a commit. A system call fails, and then the process dies."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no compiler for the library that makes a sync fail")
    (tmp_path / "sync.c").write_text(FAILING_SYNC)
    library, path, flag = tmp_path / "sync.so", tmp_path / "requests.db", tmp_path / "fail"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "sync.c", "-ldl"], check=True)
    code = f"""if True:
        import os
        from ocppj import QueueFailed
        from ocppj.storage.sqlite_queues import SQLiteQueue
        from tests.storing import bundle, opened
        queue = opened(SQLiteQueue, {str(path)!r})
        queue.push(bundle("stored"))
        open({str(flag)!r}, "w").close()
        try:
            queue.push(bundle("refused", filling="x" * {size}))
        except QueueFailed as error:
            os._exit(9 if "I/O" in str(error) else 8)
    """
    environment = {**os.environ, "LD_PRELOAD": str(library), "FAIL_SYNC": str(flag)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 9
    queue = opened(SQLiteQueue, path)
    assert ids(queue) == ["stored"]
    queue.close()
