"""The SQLite file behind a durable request queue: `RequestFile`. The only file that knows SQLite.

Durability. The database is in WAL mode. A request is inserted with ``synchronous=FULL``: the commit is in the WAL, and
synced, before `insert` returns. SQLite syncs the directory when it has made the WAL, which is after it made the
database, so that both names are there too. Rows leave the table with ``synchronous=NORMAL``: written at once, but
synced with the next insert or checkpoint.

Who waits. `insert` does. `delete` and `set_aside` never do: they note the row as leaving and write that if the file is
free; else whoever has the file does, as soon as it is free. No checkpoint, which syncs, is made by that
(``wal_autocheckpoint``).

Inserts that meet share a sync: `pushes` says how.

One process has the file: SQLite's exclusive locking mode, whose lock the system releases when the process dies,
however. Before the file is opened for writing it is looked at through a read-only connection (`filecheck`). That one
cannot checkpoint, so a damaged database, and the WAL beside it, stay as they are.

What cannot be told from a crash is a WAL that has lost its end: the requests are then as they were when what is left of
it had been written.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import deque
from datetime import datetime, timezone
from typing import Deque, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union
from urllib.parse import quote

from ..errors import NotRunning, QueueFailed, UsageError
from ..settings import get_logger
from .group_commit import Line, Push, write_all
from .integrity import APPLICATION, LAYOUT, check_database, check_wal, checksum, damaged, size

__all__ = ["AsideRow", "PathLike", "RequestFile", "Row"]

PathLike = Union[str, "os.PathLike[str]"]

#: ``client_id`` is NULL in the file of a `SQLiteQueue`. AUTOINCREMENT: no number is given twice, so order is age.
SCHEMA = [
    """CREATE TABLE requests (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT,
        message_id TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL)""",
    "CREATE INDEX requests_of_client ON requests (client_id)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {LAYOUT}",
]
#: Of requests that can never be dealt with; ``seq`` is what it was, ``time`` is in ISO 8601.
SET_ASIDE = """CREATE TABLE IF NOT EXISTS set_aside (
    seq INTEGER PRIMARY KEY, client_id TEXT, message_id TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL,
    reason TEXT NOT NULL, time TEXT NOT NULL, crc INTEGER NOT NULL)"""
#: How many pages the WAL may have before a commit of that kind moves them to the database; 0: it never does.
CHECKPOINTS = {"FULL": 1000, "NORMAL": 0}

INSERT = "INSERT INTO requests (client_id, message_id, version, data, crc) VALUES (?, ?, ?, ?, ?)"


class Row(NamedTuple):
    """A request as it stands in the file; ``seq`` numbers them in order of age."""

    seq: int
    message_id: str
    version: str
    data: str


class AsideRow(NamedTuple):
    """A request as it stands in the file among those that were set aside."""

    client_id: Optional[str]
    message_id: str
    version: str
    data: str
    reason: str
    time: str


class _Leaving(NamedTuple):
    """A row that is to leave the table: deleted, or set aside for a reason, at a time in ISO 8601."""

    seq: int
    reason: Optional[str] = None
    time: str = ""


class RequestFile:
    """The SQLite file, open in one process: rows in order of age. One lock for everything."""

    def __init__(self, path: PathLike) -> None:
        name = os.fspath(path)
        if not isinstance(name, str) or name in ("", ":memory:") or "\0" in name:
            raise UsageError(f"a durable queue needs a file, not {name!r}")
        self.path = os.path.abspath(name)
        self._lock = threading.Lock()
        self._connection: Optional[sqlite3.Connection] = None
        self._process = 0  # the id of the one that opened it
        self._opened: List[Tuple[str, os.stat_result]] = []  # the files, when they were opened
        self._synchronous = ""
        # Added to by any thread, taken from under the lock:
        self._line = Line()
        self._leaving: Deque[_Leaving] = deque()
        self._unwritten: List[_Leaving] = []  # taken from `_leaving`, until it is written

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock. What was to leave meanwhile leaves after it. Raises `QueueFailed` in a forked process."""
        self._check_ours()  # else it might wait for a thread that there is in the other process only
        try:
            with self._lock:
                yield
        finally:
            self._tell(self._sweep())

    def open(self) -> None:
        """Check the file and take it, made if need be. Raises `QueueFailed`, `QueueDamaged`."""
        with self.held():
            if self._connection is None:
                path = os.path.realpath(self.path)
                with _reading(self.path, checking=True):
                    _check(path)
                with _reading(self.path):
                    self._connection = _take(path)
                    self._opened = [(name, os.stat(name)) for name in (path, f"{path}-wal")]
                self._process, self._synchronous = os.getpid(), ""

    def close(self) -> None:
        """Release the file; a last checkpoint makes the database one file again."""
        if self._forked():
            return  # to close it here would take the WAL away from the process that has the file
        with self.held():
            error = self._write_leaving()
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
        self._tell(error)

    def rows(self, client_id: Optional[str]) -> List[Row]:
        """Return the rows of that client, oldest first, but those that are leaving."""
        with self.held(), _reading(self.path):
            query = "SELECT seq, message_id, version, data FROM requests WHERE client_id IS ? ORDER BY seq"
            rows = [Row(*row) for row in self._get_connection().execute(query, (client_id,))]
            leaving = {each.seq for each in self._take_leaving()}
            return [row for row in rows if row.seq not in leaving]

    def count(self, condition: str = "1", table: str = "requests") -> int:
        """Return how many rows of ``table`` there are for which the SQL ``condition`` is true."""
        with self.held(), _reading(self.path):
            query = f"SELECT count(*) FROM {table} WHERE {condition}"
            return int(self._get_connection().execute(query).fetchone()[0])

    def insert(self, push: Push) -> None:
        """Write the request, after those that wait already, and sync; then it has ``error``, or none.

        Waits for the disk. Raises `QueueFailed` in a forked process.
        """
        self._check_ours()
        self._line.add(push)
        try:
            while not push.ended:
                if self._lock.acquire(blocking=False):
                    try:
                        write_all(self._line.take(), self._insert, self.path)
                    finally:
                        self._lock.release()
                        self._tell(self._sweep())
                else:
                    push.turn.wait()
                    push.turn.clear()
        except BaseException:
            self._line.give_up(push)
            raise

    def delete(self, seq: int) -> None:
        """Delete the row of that number now, or as soon as the file is free. Never waits, never raises."""
        self._leaving.append(_Leaving(seq))
        self._leave()

    def set_aside(self, seq: int, reason: str) -> None:
        """Move the row of that number to those that are set aside; as `delete`."""
        text = reason.encode("utf-8", "backslashreplace").decode("utf-8")  # it may be the peer's
        self._leaving.append(_Leaving(seq, text, datetime.now(timezone.utc).isoformat()))
        self._leave()

    def aside(self) -> List[AsideRow]:
        """Return the rows that were set aside, oldest first. Raises `QueueFailed`."""
        query = "SELECT client_id, message_id, version, data, reason, time FROM set_aside ORDER BY seq"
        with self._settled(), _reading(self.path):
            return [AsideRow(*row) for row in self._get_connection().execute(query)]

    def take_aside(self, client_id: Optional[str], message_id: str, put_back: bool) -> bool:
        """Delete the oldest such row of those set aside, and put it where it was or not; return whether there was one.

        Waits for the disk. Raises `QueueFailed`.
        """
        query = "SELECT * FROM set_aside WHERE client_id IS ? AND message_id = ? ORDER BY seq LIMIT 1"
        with self._settled(), _reading(self.path), self._transaction("FULL") as connection:
            row = connection.execute(query, (client_id, message_id)).fetchone()
            if row is None:
                return False
            seq, fields = row[0], row[1:5]
            connection.execute("DELETE FROM set_aside WHERE seq = ?", (seq,))
            if put_back:
                values = (seq, *fields, checksum(fields))
                connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?)", values)
            return True

    @contextlib.contextmanager
    def _settled(self) -> Iterator[None]:
        """Hold the lock, with nothing left that is leaving. Raises `QueueFailed` when that cannot be written."""
        with self.held():
            error = self._write_leaving()
            if error is not None:
                raise QueueFailed(f"{self.path} cannot be written: {error}") from error
            yield

    def _insert(self, pushes: Sequence[Push]) -> Optional[Exception]:
        """Insert in one transaction, and end, what can be; as `pushes.Write`. Called with the lock held."""
        try:
            with self._transaction("FULL") as connection:
                rows = [(*push.fields, checksum(push.fields)) for push in pushes]
                numbers = [connection.execute(INSERT, row).lastrowid for row in rows]
        except Exception as error:
            return error
        for push, number in zip(pushes, numbers):
            push.end(number)
        return None

    def _leave(self) -> None:
        """Write what is leaving, if the file is free.

        What goes wrong is logged by another thread: a dispatcher's lock may be held here, and a log handler may ask it.
        """
        error = self._sweep()
        if error is not None:
            with contextlib.suppress(RuntimeError):  # no thread: who has the file next tries again, and tells
                threading.Thread(target=self._tell, args=(error,), name="ocppj-queue-log", daemon=True).start()

    def _sweep(self) -> Optional[Exception]:
        """Write what is leaving, unless another thread has the file: it comes here when it is done, as all who had it.

        Then the file is free: wake who waits for it. Return why it could not be written, if so.
        """
        error: Optional[Exception] = None
        try:
            while (self._leaving or self._unwritten) and error is None and self._lock.acquire(blocking=False):
                try:
                    error = self._write_leaving()
                finally:
                    self._lock.release()
        finally:
            self._line.wake()
        return error

    def _write_leaving(self) -> Optional[Exception]:
        """Write what is leaving, and return why that failed: it is tried again next time. Called with the lock held."""
        leaving = self._take_leaving()
        if self._connection is not None and leaving:
            try:
                with self._transaction("NORMAL") as connection:
                    for each in leaving:
                        if each.reason is not None:
                            _copy_aside(connection, each)
                        connection.execute("DELETE FROM requests WHERE seq = ?", (each.seq,))
            except (sqlite3.Error, QueueFailed) as error:
                return error
        self._unwritten = []
        return None

    def _take_leaving(self) -> List[_Leaving]:
        """Return what is to leave; no iteration over what other threads append to."""
        while self._leaving:
            self._unwritten.append(self._leaving.popleft())
        return self._unwritten

    def _tell(self, error: Optional[Exception]) -> None:
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
            if connection.in_transaction:  # after some errors SQLite has rolled back itself
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    def _get_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise NotRunning(f"{self.path} is not open: init() comes first")
        self._check_ours()
        for name, before in self._opened:
            if _moved(name, before):
                raise QueueFailed(f"{name} was moved or deleted while it was open: what is written would be lost")
        return self._connection

    def _check_ours(self) -> None:
        if self._forked():
            raise QueueFailed(f"{self.path} was opened by the process this one was forked from: it is not ours")

    def _forked(self) -> bool:
        return self._connection is not None and self._process != os.getpid()


def _copy_aside(connection: sqlite3.Connection, leaving: _Leaving) -> None:
    """Copy a row to those that are set aside."""
    query = "SELECT client_id, message_id, version, data FROM requests WHERE seq = ?"
    row = connection.execute(query, (leaving.seq,)).fetchone()
    if row is not None:
        fields = (*row, leaving.reason, leaving.time)
        values = (leaving.seq, *fields, checksum(fields))
        connection.execute("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


@contextlib.contextmanager
def _reading(path: str, checking: bool = False) -> Iterator[None]:
    """Raise what SQLite has to say about ``path`` as `QueueFailed`, or `QueueDamaged`."""
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
        raise damaged(path, words) from error


def _connect(path: str, mode: str) -> sqlite3.Connection:
    name = quote(os.fsencode(path.replace(os.sep, "/")))
    uri = f"file://{'' if name.startswith('/') else '/'}{name}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)


def _check(path: str) -> None:
    """Raise `QueueDamaged` or a `sqlite3.Error` unless ``path`` is whole and ours, or an empty database."""
    check_wal(path)
    if size(path):
        with contextlib.closing(_connect(path, "ro")) as connection:
            check_database(path, connection)


def _moved(name: str, before: os.stat_result) -> bool:
    """Tell whether ``name`` is the name of another file now, or of none."""
    try:
        return not os.path.samestat(os.stat(name), before)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # who gave up the right to look has the file all the same


def _take(path: str) -> sqlite3.Connection:
    """Open the file for this process alone, made if need be."""
    new = not size(path)
    connection = _connect(path, "rwc")
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if new:
            # The first page is then written in one piece, without a journal that a crash would leave to be rolled back.
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
    with contextlib.suppress(OSError):
        os.unlink(path + "-shm")  # the read-only connection made it; with the exclusive lock nobody needs it
    return connection
