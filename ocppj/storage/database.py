"""`RequestDatabase`: the SQLite file behind a durable request queue. The only module that knows SQL and SQLite.

Durability. The database is in WAL mode. A request is inserted with ``synchronous=FULL``: the commit is in the WAL, and
synced, before `insert` returns. Rows are removed with ``synchronous=NORMAL``: written at once, but synced with the next
insert or checkpoint. A WAL that has lost its end cannot be told from one after a crash: what it had is lost.

Who waits. `insert` waits for the disk. `delete` and `set_aside` never wait: they note the removal and write it if the
file is free. If it is not, the thread that has the file writes it before it goes on. A removal never causes a
checkpoint, because a checkpoint syncs (``wal_autocheckpoint``).

One process has the file. SQLite's exclusive locking mode holds a lock that the system releases when the process dies.
Before the file is opened for writing, it is checked through a read-only connection, which cannot checkpoint. So a
damaged database, and the WAL beside it, stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import threading
import zlib
from collections import deque
from datetime import datetime, timezone
from typing import Deque, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union
from urllib.parse import quote

from ..errors import MessageError, NotRunning, QueueDamaged, QueueFailed, UsageError
from ..rpc.messages import parse_json_message
from ..settings import get_logger
from .group_commit import CommitQueue, PendingInsert, commit

__all__ = ["PathLike", "RequestDatabase", "Row", "SetAside", "action_of"]

PathLike = Union[str, "os.PathLike[str]"]

#: "OCPQ" in the header of our files (``PRAGMA application_id``), and the layout of the tables (``user_version``).
APPLICATION = 0x4F435051
LAYOUT = 1
#: ``client_id`` is NULL in the file of a `SQLiteQueue`. AUTOINCREMENT never gives a number twice, so order is age.
SCHEMA = [
    """CREATE TABLE requests (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT,
        message_id TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL)""",
    "CREATE INDEX requests_of_client ON requests (client_id)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {LAYOUT}",
]
#: Requests that can never be dealt with. ``seq`` is as it was in ``requests``, ``time`` is in ISO 8601.
SET_ASIDE = """CREATE TABLE IF NOT EXISTS set_aside (
    seq INTEGER PRIMARY KEY, client_id TEXT, message_id TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL,
    reason TEXT NOT NULL, time TEXT NOT NULL, crc INTEGER NOT NULL)"""
#: The tables, each with the fields of a row that its checksum covers. The first files had no ``set_aside``.
FIELDS = {
    "requests": ("client_id", "message_id", "version", "data"),
    "set_aside": ("client_id", "message_id", "version", "data", "reason", "time"),
}
#: How many pages the WAL may have before a commit of that kind moves them to the database; 0: it never does.
CHECKPOINTS = {"FULL": 1000, "NORMAL": 0}
#: How many bytes the smallest page has, and so the smallest database.
SMALLEST = 512
#: Magic (its last bit: whether checksums are big-endian), version, page size, checkpoints, 2 salts, 2 checksums.
WAL_HEADER = struct.Struct(">8I")
WAL_MAGIC = 0x377F0682

INSERT = "INSERT INTO requests (client_id, message_id, version, data, crc) VALUES (?, ?, ?, ?, ?)"


class Row(NamedTuple):
    """A row of the table of requests. ``seq`` numbers them in order of age."""

    seq: int
    message_id: str
    version: str
    data: str


class SetAside(NamedTuple):
    """A request that was set aside, because it could not be read or was given up for good.

    ``client_id`` is ``None`` in a client's file; ``data`` is the CALL; ``version`` is "1.6", "2.0.1" or "2.1"; ``time``
    is when it was set aside, in UTC.
    """

    client_id: Optional[str]
    message_id: str
    action: str
    version: str
    data: str
    reason: str
    time: datetime


class _Removal(NamedTuple):
    """A row that is to be removed from the table of requests; with a reason, it is set aside."""

    seq: int
    reason: Optional[str] = None
    time: str = ""


class RequestDatabase:
    """The file, open in one process. One lock guards all of it."""

    def __init__(self, path: PathLike) -> None:
        name = os.fspath(path)
        if not isinstance(name, str) or name in ("", ":memory:") or "\0" in name:
            raise UsageError(f"a durable queue needs a file, not {name!r}")
        self.path = os.path.abspath(name)
        self._lock = threading.Lock()
        self._connection: Optional[sqlite3.Connection] = None
        self._process = 0  # the id of the process that opened it
        self._opened: List[Tuple[str, os.stat_result]] = []  # the files, when they were opened
        self._synchronous = ""
        # Any thread adds to these two. Items are taken out under the lock.
        self._commits = CommitQueue()
        self._removals: Deque[_Removal] = deque()
        self._unwritten: List[_Removal] = []  # taken from `_removals`, and not written yet

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock. Write removals that came meanwhile after it. Raises `QueueFailed` in a forked process."""
        self._check_process()  # else it might wait for a thread that is in the other process only
        try:
            with self._lock:
                yield
        finally:
            self._log_failure(self._flush_removals())

    def open(self) -> None:
        """Check the file and open it for this process alone, made if need be. Raises `QueueFailed`, `QueueDamaged`."""
        with self.locked():
            if self._connection is None:
                path = os.path.realpath(self.path)
                with _translated(self.path, checking=True):
                    _check_wal(path)
                    if _size(path):
                        with contextlib.closing(_connect(path, "ro")) as connection:
                            _check_tables(path, connection)
                with _translated(self.path):
                    self._connection = _open_exclusively(path)
                    self._opened = [(name, os.stat(name)) for name in (path, f"{path}-wal")]
                self._process, self._synchronous = os.getpid(), ""

    def close(self) -> None:
        """Release the file. A last checkpoint makes the database one file again."""
        if self._forked():
            return  # to close it here would take the WAL away from the process that has the file
        with self.locked():
            error = self._write_removals()
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
        self._log_failure(error)

    def rows(self, client_id: Optional[str]) -> List[Row]:
        """Return the rows of that client, oldest first, without those that are to be removed."""
        with self.locked(), _translated(self.path):
            query = "SELECT seq, message_id, version, data FROM requests WHERE client_id IS ? ORDER BY seq"
            rows = [Row(*row) for row in self._get_connection().execute(query, (client_id,))]
            removed = {each.seq for each in self._collect_removals()}
            return [row for row in rows if row.seq not in removed]

    def count(self) -> int:
        with self.locked(), _translated(self.path):
            return int(self._get_connection().execute("SELECT count(*) FROM requests").fetchone()[0])

    def has_rows(self, *, of_clients: bool) -> bool:
        """Tell whether a row of any table has a client id (as in the file of a map), or else whether one has none."""
        condition = "IS NOT NULL" if of_clients else "IS NULL"
        with self.locked(), _translated(self.path):
            parts = [f"SELECT 1 FROM {table} WHERE client_id {condition}" for table in FIELDS]
            return bool(self._get_connection().execute(f"{' UNION ALL '.join(parts)} LIMIT 1").fetchone())

    def insert(self, insert: PendingInsert) -> None:
        """Write the request after those that wait, and sync. Then it has ended, with an ``error`` or without."""
        self._check_process()
        self._commits.add(insert)
        try:
            while not insert.ended:
                if self._lock.acquire(blocking=False):
                    try:
                        commit(self._commits.take_all(), self._insert_all, self.path)
                    finally:
                        self._lock.release()
                        self._log_failure(self._flush_removals())
                else:
                    insert.wake.wait()
                    insert.wake.clear()
        except BaseException:
            self._commits.give_up(insert)
            raise

    def delete(self, seq: int) -> None:
        """Delete that row, as soon as the file is free. Never waits, never raises."""
        self._remove(_Removal(seq))

    def set_aside(self, seq: int, reason: str) -> None:
        """Move that row to the table of those that are set aside. As `delete`."""
        text = reason.encode("utf-8", "backslashreplace").decode("utf-8")  # it may be the peer's
        self._remove(_Removal(seq, text, datetime.now(timezone.utc).isoformat()))

    def list_set_aside(self) -> List[SetAside]:
        """Return the requests that were set aside, oldest first."""
        query = "SELECT client_id, message_id, version, data, reason, time FROM set_aside ORDER BY seq"
        with self._flushed(), _translated(self.path):
            rows = self._get_connection().execute(query).fetchall()
        return [
            SetAside(client_id, message_id, action_of(data), version, data, reason, datetime.fromisoformat(time))
            for client_id, message_id, version, data, reason, time in rows
        ]

    def take_set_aside(self, client_id: Optional[str], message_id: str, put_back: bool) -> None:
        """Delete the oldest such request that was set aside, and put it back in its old place if ``put_back``."""
        try:
            with self._flushed(), _translated(self.path), self._transaction("FULL") as connection:
                found = _take_set_aside(connection, client_id, message_id, put_back)
        except UnicodeError:  # a text that cannot be in the file
            found = False
        if not found:
            whose = "" if client_id is None else f" of client {client_id!r}"
            raise UsageError(f"no request {message_id!r}{whose} was set aside in {self.path}")

    @contextlib.contextmanager
    def _flushed(self) -> Iterator[None]:
        """Hold the lock, with all removals written."""
        with self.locked():
            error = self._write_removals()
            if error is not None:
                raise QueueFailed(f"{self.path} cannot be written: {error}") from error
            yield

    def _insert_all(self, inserts: Sequence[PendingInsert]) -> Optional[Exception]:
        """Do what `group_commit.Write` says. Called with the lock held."""
        try:
            with self._transaction("FULL") as connection:
                rows = [(*insert.fields, _checksum(insert.fields)) for insert in inserts]
                numbers = [connection.execute(INSERT, row).lastrowid for row in rows]
        except Exception as error:
            return error
        for insert, number in zip(inserts, numbers):
            insert.end(number)
        return None

    def _remove(self, removal: _Removal) -> None:
        """Note ``removal``, and write it if the file is free.

        Another thread logs what goes wrong: a dispatcher's lock may be held here, and a log handler may ask for it.
        """
        self._removals.append(removal)
        error = self._flush_removals()
        if error is not None:
            with contextlib.suppress(RuntimeError):  # no thread: the next user of the file tries again, and logs
                threading.Thread(target=self._log_failure, args=(error,), name="ocppj-queue-log", daemon=True).start()

    def _flush_removals(self) -> Optional[Exception]:
        """Write all removals, unless another thread has the file: it comes here, too. Then wake the first that waits.

        Return why they could not be written, if so.
        """
        error: Optional[Exception] = None
        try:
            while (self._removals or self._unwritten) and error is None and self._lock.acquire(blocking=False):
                try:
                    error = self._write_removals()
                finally:
                    self._lock.release()
        finally:
            self._commits.wake_first()
        return error

    def _write_removals(self) -> Optional[Exception]:
        """Write all removals. Return why that failed: the next call tries again. Called with the lock held."""
        removals = self._collect_removals()
        if self._connection is not None and removals:
            try:
                with self._transaction("NORMAL") as connection:
                    for each in removals:
                        if each.reason is not None:
                            _copy_aside(connection, each)
                        connection.execute("DELETE FROM requests WHERE seq = ?", (each.seq,))
            except (sqlite3.Error, QueueFailed) as error:
                return error
        self._unwritten = []
        return None

    def _collect_removals(self) -> List[_Removal]:
        """Return all removals. Other threads append meanwhile, so there is no iteration over the deque."""
        while self._removals:
            self._unwritten.append(self._removals.popleft())
        return self._unwritten

    def _log_failure(self, error: Optional[Exception]) -> None:
        if error is not None:
            words = "%s: could not delete or set aside requests that were dealt with, they may be sent again: %s"
            get_logger().error(words, self.path, error)

    @contextlib.contextmanager
    def _transaction(self, synchronous: str) -> Iterator[sqlite3.Connection]:
        """Commit what is done in the block, or nothing of it when it raises. Called with the lock held."""
        connection = self._get_connection()
        try:
            if synchronous != self._synchronous:
                connection.execute(f"PRAGMA synchronous = {synchronous}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINTS[synchronous]}")
                self._synchronous = synchronous
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # after some errors SQLite has rolled back already
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    def _get_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise NotRunning(f"{self.path} is not open: init() comes first")
        self._check_process()
        for name, before in self._opened:
            if _moved(name, before):
                raise QueueFailed(f"{name} was moved or deleted while it was open: what is written would be lost")
        return self._connection

    def _check_process(self) -> None:
        if self._forked():
            raise QueueFailed(f"{self.path} was opened by the process this one was forked from: it is not ours")

    def _forked(self) -> bool:
        return self._connection is not None and self._process != os.getpid()


def action_of(text: str) -> str:
    """Return the action of the CALL ``text``, or "no CALL"."""
    try:
        return str(parse_json_message(text)[2])
    except (MessageError, IndexError):
        return "no CALL"


def _copy_aside(connection: sqlite3.Connection, removal: _Removal) -> None:
    query = "SELECT client_id, message_id, version, data FROM requests WHERE seq = ?"
    row = connection.execute(query, (removal.seq,)).fetchone()
    if row is not None:
        fields = (*row, removal.reason, removal.time)
        values = (removal.seq, *fields, _checksum(fields))
        connection.execute("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def _take_set_aside(connection: sqlite3.Connection, client_id: Optional[str], message_id: str, put_back: bool) -> bool:
    query = "SELECT * FROM set_aside WHERE client_id IS ? AND message_id = ? ORDER BY seq LIMIT 1"
    row = connection.execute(query, (client_id, message_id)).fetchone()
    if row is None:
        return False
    seq, fields = row[0], row[1:5]
    connection.execute("DELETE FROM set_aside WHERE seq = ?", (seq,))
    if put_back:
        values = (seq, *fields, _checksum(fields))
        connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)", values)
    return True


@contextlib.contextmanager
def _translated(path: str, checking: bool = False) -> Iterator[None]:
    """Raise SQLite's errors about ``path`` as `QueueFailed`, or `QueueDamaged`."""
    try:
        yield
    except sqlite3.Error as error:
        words = str(error)
        if "locked" in words:
            raise QueueFailed(f"{path} is in use by another process, or another queue of this one") from error
        failing = any(sign in words for sign in ("unable to open", "I/O", "readonly"))
        if isinstance(error, sqlite3.OperationalError) and (failing or not checking):
            hint = "; is there room on the disk, and may this process write there?" if failing else ""
            raise QueueFailed(f"{path} cannot be used as a request queue: {words}{hint}") from error
        raise _damaged(path, words) from error


def _damaged(path: str, why: str) -> QueueDamaged:
    return QueueDamaged(f"{path} is damaged, or no request queue, and was left as it is: {why}")


def _size(path: str) -> int:
    """Return how many bytes the file has, 0 when there is none. Nothing is opened: to close it would end our locks."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _checksum(fields: Iterable[Union[str, bytes, None]]) -> int:
    """Return the CRC-32 of the fields. SQLite's own checks do not cover the content of rows."""
    crc = 0
    for field in fields:
        data = b"" if field is None else field if isinstance(field, bytes) else field.encode("utf-8")
        crc = zlib.crc32(data + b"\0", crc)
    return crc


def _connect(path: str, mode: str) -> sqlite3.Connection:
    name = quote(os.fsencode(path.replace(os.sep, "/")))
    uri = f"file://{'' if name.startswith('/') else '/'}{name}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)


def _check_wal(path: str) -> None:
    """Refuse a WAL that SQLite would throw away without an error: one without a database, or with a bad header.

    A crash leaves neither: the database is made first, and the header is synced before a commit follows it.
    """
    length = _size(path + "-wal")
    if length and not _size(path):
        raise _damaged(path, "the database is empty or missing, but its WAL is not")
    if length < WAL_HEADER.size:
        return
    with open(path + "-wal", "rb") as file:  # closing a WAL ends no locks: they are all on the database
        header = file.read(WAL_HEADER.size)
    words = WAL_HEADER.unpack(header)
    if not any(words):
        return
    order = ">" if words[0] & 1 else "<"
    first = second = 0
    numbers = struct.unpack(f"{order}6I", header[:24])
    for one, two in zip(numbers[::2], numbers[1::2]):  # SQLite file format, section 4.1
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    if words[0] & ~1 != WAL_MAGIC or words[6:] != (first, second):
        raise _damaged(path, "the header of its WAL is wrong")


def _check_tables(path: str, connection: sqlite3.Connection) -> None:
    """Raise `QueueDamaged` or a `sqlite3.Error` unless the database is whole and ours, or empty."""
    if _size(path) < SMALLEST:
        raise _damaged(path, "it is too short for a database")  # SQLite would take one byte for an empty database
    connection.text_factory = bytes  # text that is not UTF-8 is damage to report, not an error of the query
    marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    tables = {row[0].decode("utf-8", "replace") for row in connection.execute("SELECT name FROM sqlite_master")}
    if marks == [0, 0] and not tables:
        return  # a process died while it made the file
    if marks[0] != APPLICATION:
        raise _damaged(path, "it is the database of another program")
    if marks[1] != LAYOUT:
        raise _damaged(path, f"its layout is {marks[1]}, this version of ocppj knows {LAYOUT}")
    found = [row[0] for row in connection.execute("PRAGMA quick_check")]
    if found != [b"ok"]:
        raise _damaged(path, b"; ".join(found[:3]).decode("utf-8", "replace"))
    for table, names in FIELDS.items():
        if table == "set_aside" and table not in tables:
            continue
        for seq, crc, *fields in connection.execute(f"SELECT seq, crc, {', '.join(names)} FROM {table}"):
            if crc != _checksum(fields):
                raise _damaged(path, f"the checksum of row {seq} of {table} is wrong")


def _moved(name: str, before: os.stat_result) -> bool:
    try:
        return not os.path.samestat(os.stat(name), before)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # a process that has given up its right to look still has the file


def _open_exclusively(path: str) -> sqlite3.Connection:
    """Open the file for this process alone, made if need be."""
    new = not _size(path)
    connection = _connect(path, "rwc")
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if new:  # then the first page is written in one piece, without a journal that a crash would leave
            connection.execute("PRAGMA journal_mode = OFF")
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise sqlite3.OperationalError("database is locked")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN EXCLUSIVE")
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            for statement in SCHEMA:
                connection.execute(statement)
        connection.execute(SET_ASIDE)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    with contextlib.suppress(OSError):  # the read-only connection made it; with the exclusive lock nothing needs it
        os.unlink(path + "-shm")
    return connection
