"""The SQLite file behind a durable request queue: `RequestFile`. The only file that knows SQLite.

Durability. The database is in WAL mode. A request is inserted with ``synchronous=FULL``: the commit is in the WAL, and
synced, before `insert` returns. SQLite syncs the directory when it has made the WAL, which is after it made the
database, so that both names are there too. Rows are deleted with ``synchronous=NORMAL``: written at once, but synced
with the next insert or checkpoint.

Who waits. `insert` does. `delete` never does: it notes the row as doomed and deletes it if the file is free; else
whoever has the file does, as soon as it is free. No checkpoint, which syncs, is made by a delete
(``wal_autocheckpoint``).

One process has the file: SQLite's exclusive locking mode, whose lock the system releases when the process dies,
however. Before the file is opened for writing it is looked at through a read-only connection. That one cannot
checkpoint, so a damaged database, and the WAL beside it, stay as they are.

What cannot be told from a crash is a WAL that has lost its end: the requests are then as they were when what is left of
it had been written.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import threading
import zlib
from collections import deque
from typing import Any, Deque, Iterable, Iterator, List, NamedTuple, Optional, Tuple, Union
from urllib.parse import quote

from .errors import NotRunning, QueueDamaged, QueueFailed, UsageError
from .queues import RequestBundle
from .settings import get_logger

__all__ = ["PathLike", "RequestFile", "Row"]

PathLike = Union[str, "os.PathLike[str]"]

#: "OCPQ": what the header of our files says they are (``PRAGMA application_id``), and the layout of the tables.
APPLICATION = 0x4F435051
LAYOUT = 1
#: ``client_id`` is NULL in the file of a `SQLiteQueue`. AUTOINCREMENT: no number is given twice, so order is age.
SCHEMA = [
    """CREATE TABLE requests (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT,
        message_id TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL)""",
    "CREATE INDEX requests_of_client ON requests (client_id)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {LAYOUT}",
]
#: How many pages the WAL may have before a commit of that kind moves them to the database; 0: it never does.
CHECKPOINTS = {"FULL": 1000, "NORMAL": 0}
#: How many bytes the smallest page, and so the smallest database, has.
SMALLEST = 512
#: Magic (its last bit: whether checksums are big-endian), version, page size, checkpoints, 2 salts, 2 checksums.
WAL_HEADER = struct.Struct(">8I")
WAL_MAGIC = 0x377F0682


class Row(NamedTuple):
    """A request as it stands in the file; ``seq`` numbers them in order of age."""

    seq: int
    message_id: str
    version: str
    data: str


class RequestFile:
    """The SQLite file, open in one process: rows in order of age. One lock for everything."""

    def __init__(self, path: PathLike) -> None:
        name = os.fspath(path)
        if name in ("", ":memory:"):
            raise UsageError(f"a durable queue needs a file, not {name!r}")
        self.path = os.path.abspath(name)
        self._lock = threading.Lock()
        self._connection: Optional[sqlite3.Connection] = None
        self._process = 0  # the id of the one that opened it
        self._synchronous = ""
        self._doomed: Deque[int] = deque()  # rows to be deleted; appended by any thread, taken under the lock
        self._deleting: List[int] = []  # rows taken from there, until they are deleted

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; the methods below say when that is needed. What was doomed meanwhile is deleted after it."""
        try:
            with self._lock:
                yield
        finally:
            self._sweep()

    def open(self) -> None:
        """Check the file and take it, made if need be. Raises `QueueFailed`, `QueueDamaged`."""
        with self.held():
            if self._connection is None:
                path = os.path.realpath(self.path)
                with _reading(self.path, checking=True):
                    _check(path)
                with _reading(self.path):
                    self._connection = _take(path)
                self._process, self._synchronous = os.getpid(), ""

    def close(self) -> None:
        """Release the file; a last checkpoint makes the database one file again."""
        if self._forked():
            return  # to close it here would take the WAL away from the process that has the file
        with self.held():
            error = self._delete_doomed()
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
        self._tell(error)

    def rows(self, client_id: Optional[str]) -> List[Row]:
        """Return the rows of that client, oldest first, but those that are doomed."""
        with self.held(), _reading(self.path):
            query = "SELECT seq, message_id, version, data FROM requests WHERE client_id IS ? ORDER BY seq"
            rows = [Row(*row) for row in self._get_connection().execute(query, (client_id,))]
            doomed = set(self._take_doomed())
            return [row for row in rows if row.seq not in doomed]

    def count(self, condition: str = "1") -> int:
        """Return how many rows there are for which the SQL ``condition`` is true."""
        with self.held(), _reading(self.path):
            query = f"SELECT count(*) FROM requests WHERE {condition}"
            return int(self._get_connection().execute(query).fetchone()[0])

    def insert(self, client_id: Optional[str], bundle: RequestBundle) -> int:
        """Write the request, sync, and return its number. Raises `QueueFailed`. Called with the lock `held`."""
        fields = (client_id, bundle.message_id, bundle.version, bundle.data)
        statement = "INSERT INTO requests (client_id, message_id, version, data, crc) VALUES (?, ?, ?, ?, ?)"
        try:
            return self._commit("FULL", statement, [(*fields, _checksum(fields))])
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            raise QueueFailed(f"{self.path}: request {bundle.message_id!r} could not be written: {error}") from error

    def delete(self, seq: int) -> None:
        """Delete the row of that number now, or as soon as the file is free. Never waits, never raises."""
        self._doomed.append(seq)
        self._sweep()

    def _sweep(self) -> None:
        """Delete the doomed rows, unless another thread has the file: it comes here when it is done."""
        error: Optional[Exception] = None
        while (self._doomed or self._deleting) and error is None and self._lock.acquire(blocking=False):
            try:
                error = self._delete_doomed()
            finally:
                self._lock.release()
        self._tell(error)

    def _delete_doomed(self) -> Optional[Exception]:
        """Delete what is doomed, and return why that failed: it is tried again next time. Called with the lock held."""
        doomed = self._take_doomed()
        if self._connection is not None and doomed:
            try:
                self._commit("NORMAL", "DELETE FROM requests WHERE seq = ?", [(seq,) for seq in doomed])
            except (sqlite3.Error, QueueFailed) as error:
                return error
        self._deleting = []
        return None

    def _take_doomed(self) -> List[int]:
        """Return what is to be deleted; no iteration over what other threads append to."""
        while self._doomed:
            self._deleting.append(self._doomed.popleft())
        return self._deleting

    def _tell(self, error: Optional[Exception]) -> None:
        if error is not None:
            words = "%s: could not delete requests that were dealt with, they may be sent again: %s"
            get_logger().error(words, self.path, error)

    def _commit(self, synchronous: str, statement: str, rows: List[Tuple[Any, ...]]) -> int:
        """Run ``statement`` for each of ``rows`` in a transaction; return the number of the last row inserted."""
        connection = self._get_connection()
        if synchronous != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINTS[synchronous]}")
            self._synchronous = synchronous
        last = 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                last = connection.execute(statement, row).lastrowid or 0
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # after some errors SQLite has rolled back itself
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise
        return last

    def _get_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise NotRunning(f"{self.path} is not open: init() comes first")
        if self._forked():
            raise QueueFailed(f"{self.path} was opened by the process this one was forked from: it is not ours")
        return self._connection

    def _forked(self) -> bool:
        return self._connection is not None and self._process != os.getpid()


@contextlib.contextmanager
def _reading(path: str, checking: bool = False) -> Iterator[None]:
    """Raise what SQLite has to say about ``path`` as `QueueFailed`, or `QueueDamaged`."""
    try:
        yield
    except sqlite3.Error as error:
        words = str(error)
        if "locked" in words:
            raise QueueFailed(f"{path} is in use by another process, or another queue of this one") from error
        failing = isinstance(error, sqlite3.OperationalError) and ("unable to open" in words or "I/O" in words)
        if failing or (not checking and isinstance(error, sqlite3.OperationalError)):
            raise QueueFailed(f"{path} cannot be used as a request queue: {words}") from error
        raise _damaged(path, words) from error


def _damaged(path: str, why: str) -> QueueDamaged:
    return QueueDamaged(f"{path} is damaged, or no request queue, and was left as it is: {why}")


def _size(path: str) -> int:
    """Return how many bytes the file has, 0 when there is none. Nothing is opened: to close it would end our locks."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _connect(path: str, mode: str) -> sqlite3.Connection:
    name = quote(os.fsencode(path.replace(os.sep, "/")))
    uri = f"file://{'' if name.startswith('/') else '/'}{name}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)


def _check(path: str) -> None:
    """Raise `QueueDamaged` or a `sqlite3.Error` unless ``path`` is whole and ours, or an empty database."""
    _check_wal(path)
    size = _size(path)
    if not size:
        return
    if size < SMALLEST:
        raise _damaged(path, "it is too short for a database")  # SQLite would take one byte for nothing
    with contextlib.closing(_connect(path, "ro")) as connection:
        # Text is read as bytes: what is no UTF-8 is damage to be told, not an error in passing.
        connection.text_factory = bytes
        marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if marks == [0, 0] and not tables:
            return  # a process died while it made the file
        if marks[0] != APPLICATION:
            raise _damaged(path, "it is the database of another program")
        if marks[1] != LAYOUT:
            raise _damaged(path, f"its layout is {marks[1]}, this version of ocppj knows {LAYOUT}")
        found = [row[0] for row in connection.execute("PRAGMA quick_check")]
        if found != [b"ok"]:
            raise _damaged(path, b"; ".join(found[:3]).decode("utf-8", "replace"))
        for seq, crc, *fields in connection.execute(
            "SELECT seq, crc, client_id, message_id, version, data FROM requests"
        ):
            if crc != _checksum(fields):
                raise _damaged(path, f"the checksum of row {seq} is wrong")


def _check_wal(path: str) -> None:
    """Raise `QueueDamaged` for a WAL that SQLite would throw away without a word.

    It does so when the database is empty, or the header of the WAL is none (SQLite file format, section 4.1). A crash
    leaves neither: the database is made first, and the header is synced before a commit follows it.
    """
    size = _size(path + "-wal")
    if size and not _size(path):
        raise _damaged(path, "the database is empty or missing, but its WAL is not")
    if size < WAL_HEADER.size:
        return
    with open(path + "-wal", "rb") as file:  # closing a WAL ends no locks: they are all on the database
        header = file.read(WAL_HEADER.size)
    words = WAL_HEADER.unpack(header)
    if not any(words):
        return
    order = ">" if words[0] & 1 else "<"
    first = second = 0
    numbers = struct.unpack(f"{order}6I", header[:24])
    for one, two in zip(numbers[::2], numbers[1::2]):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + two + first) & 0xFFFFFFFF
    if words[0] & ~1 != WAL_MAGIC or words[6:] != (first, second):
        raise _damaged(path, "the header of its WAL is wrong")


def _take(path: str) -> sqlite3.Connection:
    """Open the file for this process alone, made if need be."""
    new = not _size(path)
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
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    with contextlib.suppress(OSError):
        os.unlink(path + "-shm")  # the read-only connection made it; with the exclusive lock nobody needs it
    return connection


def _checksum(fields: Iterable[Union[str, bytes, None]]) -> int:
    """Return the CRC-32 of the fields; SQLite's own checks do not cover the content of rows."""
    crc = 0
    for field in fields:
        data = b"" if field is None else field if isinstance(field, bytes) else field.encode("utf-8")
        crc = zlib.crc32(data + b"\0", crc)
    return crc
