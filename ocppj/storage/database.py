"""`RequestDatabase`: the SQLite file behind a durable request queue. The only module that knows SQL and SQLite.

Durability. The database is in WAL mode. A request is inserted with ``synchronous=FULL``: the commit is in the WAL, and
synced, before `insert` returns. Rows are removed with ``synchronous=NORMAL``: written at once, but synced with the next
insert or checkpoint. A WAL that has lost its end cannot be told from one after a crash: what it had is lost.

A request that has ended is *detached* first: it leaves the queue, and its row stays until the program has been told of
its end (`settle`). Until then it is in no listing of this process. After a crash it is there again. ``close`` lets a
detached row stay.

Who waits. `insert` waits for the disk. `delete` and `set_aside` never wait: they note the removal and write it if the
file is free. If it is not, the thread that has the file writes it before it goes on. A removal causes no checkpoint,
because a checkpoint syncs (``wal_autocheckpoint``), unless the disk is nearly full (`ocppj.storage.room`).

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
import weakref
import zlib
from collections import deque
from datetime import datetime, timezone
from functools import partial
from typing import (
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
    Union,
)
from urllib.parse import quote

from ..errors import MessageError, NotRunning, QueueDamaged, QueueFailed, QueueInUse, UsageError
from ..events import Thread, releasing, try_acquire
from ..forks import keep_for_ever, register
from ..log_limit import LimitedLog, SafeLog, part_log
from ..rpc.messages import parse_json_message
from ..settings import LoggerLike, get_part_logger
from .detached import Detached
from .file_copy import copied
from .group_commit import CommitQueue, PendingInsert, commit
from .room import has_room

__all__ = [
    "FileContent", "FileLost", "PathLike", "RequestDatabase", "Row", "SetAside", "action_of", "is_lost", "read_file",
]  # fmt: skip

T = TypeVar("T")
PathLike = Union[str, "os.PathLike[str]"]

#: "OCPQ" in the header of our files (``PRAGMA application_id``), and the layout of the tables (``user_version``).
APPLICATION = 0x4F435051
LAYOUT = 2
#: ``client_id`` is NULL in the file of a `SQLiteQueue`. AUTOINCREMENT never gives a number twice, so order is age.
#: ``since`` and ``expires`` are seconds, as `time.time`. ``since`` is NULL in rows of layout 1, which lacks the three.
NEW_IN_LAYOUT_2 = ("since REAL", "expires REAL", "offline INTEGER NOT NULL DEFAULT 0")
SCHEMA = [
    f"""CREATE TABLE requests (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT,
        message_id TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL,
        {", ".join(NEW_IN_LAYOUT_2)})""",
    "CREATE INDEX requests_of_client ON requests (client_id)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {LAYOUT}",
]
#: Requests that can never be dealt with. ``seq`` is as it was in ``requests``, ``time`` is in ISO 8601. The last three
#: columns are as there.
SET_ASIDE = f"""CREATE TABLE IF NOT EXISTS set_aside (
    seq INTEGER PRIMARY KEY, client_id TEXT, message_id TEXT NOT NULL, version TEXT NOT NULL, data TEXT NOT NULL,
    reason TEXT NOT NULL, time TEXT NOT NULL, crc INTEGER NOT NULL, {", ".join(NEW_IN_LAYOUT_2)})"""
BY_EXPIRY = "CREATE INDEX IF NOT EXISTS requests_by_expiry ON requests (expires) WHERE expires IS NOT NULL"
#: The tables, each with the fields of a row that its checksum covers. The first files had no ``set_aside``.
REQUEST = ("client_id", "message_id", "version", "data")
TIMES = ("since", "expires", "offline")
FIELDS: Dict[str, Tuple[str, ...]] = {"requests": (*REQUEST, *TIMES), "set_aside": (*REQUEST, "reason", "time", *TIMES)}
FIELDS_OF_LAYOUT_1: Dict[str, Tuple[str, ...]] = {"requests": REQUEST, "set_aside": (*REQUEST, "reason", "time")}
#: How many pages the WAL may have before a commit of that kind moves them to the database; 0: it never does.
CHECKPOINTS = {"FULL": 1000, "NORMAL": 0}
#: Seconds after which a thread that waits for the file looks whether it is free: whoever has it may be interrupted.
_LOOK = 1.0
#: How many rows are removed in one transaction at most.
REMOVALS = 20
#: What SQLite says of a file that is lost: see `is_lost`.
SIGNS_OF_LOSS = ("readonly", "unable to open", "I/O error")
#: How many bytes the smallest page has, and so the smallest database.
SMALLEST = 512
#: Magic (its last bit: whether checksums are big-endian), version, page size, checkpoints, 2 salts, 2 checksums.
WAL_HEADER = struct.Struct(">8I")
WAL_MAGIC = 0x377F0682


def _insert_into(table: str, *more: str) -> str:
    """Return the statement that inserts the fields of ``table``, then their checksum, then ``more``."""
    columns = (*FIELDS[table], "crc", *more)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


INSERT = _insert_into("requests")
#: What a `Row` is read from.
ROW = f"seq, {', '.join((*REQUEST, *TIMES))}"


#: All objects of this process, to know which files it has open.
_databases: "weakref.WeakSet[RequestDatabase]" = weakref.WeakSet()


class FileLost(QueueFailed):
    """The file was moved or deleted while it was open."""


def is_lost(error: Optional[BaseException]) -> bool:
    """Tell whether ``error`` says that the file is gone or cannot be used. That the disk is full says no such thing."""
    while error is not None:
        if isinstance(error, FileLost):
            return True
        if isinstance(error, sqlite3.OperationalError) and any(sign in str(error) for sign in SIGNS_OF_LOSS):
            return True
        error = error.__cause__
    return False


class Row(NamedTuple):
    """A row of the table of requests. ``seq`` numbers them in order of age. ``place``: of the queue that stored it."""

    seq: int
    client_id: Optional[str]
    message_id: str
    version: str
    data: str
    since: Optional[float] = None
    expires: Optional[float] = None
    offline: int = 0
    place: str = ""


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


class FileContent(NamedTuple):
    """What is in a file: the requests that wait, and those that were set aside, with the reason and the time."""

    waiting: List[Row]
    set_aside: List[Tuple[Row, str, datetime]]


class _Removal(NamedTuple):
    """A row that is to be removed from the table of requests; with a reason, it is set aside."""

    seq: int
    reason: Optional[str] = None
    time: str = ""


class RequestDatabase:
    """The file, open in one process. One lock guards all of it."""

    shared = False

    def __init__(self, path: PathLike) -> None:
        name = os.fspath(path)
        if not isinstance(name, str) or name in ("", ":memory:") or "\0" in name:
            raise UsageError(f"a durable queue needs a file, not {name!r}")
        try:
            name.encode("utf-8")  # as SQLite wants it
        except UnicodeEncodeError:
            raise UsageError(f"the path of a durable queue has a character that is none: {name!r}") from None
        self.path: str = os.path.abspath(name)
        self._lock = threading.Lock()
        self._connection: Optional[sqlite3.Connection] = None
        self._process = 0  # the id of the process that opened it
        self._opened: List[Tuple[str, os.stat_result]] = []  # the files, when they were opened
        self._synchronous = ""
        # Any thread adds to these two. Items are taken out under the lock.
        self._commits = CommitQueue()
        self._removals: Deque[_Removal] = deque()
        self._unwritten: List[_Removal] = []  # taken from `_removals`, and not written yet
        self._detached = Detached()
        self.safe_log: SafeLog = part_log("queue")  #: Also for the queues that are in this file.
        self._limited_log = LimitedLog(partial(get_part_logger, "queue"), lines=1)  # each reason once a minute
        register(self)
        _databases.add(self)

    def _after_fork(self) -> None:
        """Leave the file alone, which is the parent's: see `ocppj.forks`.

        The connection must never be closed here. At the end of its process Python would close it, and SQLite would move
        the WAL into the database and delete it, under the hands of the parent.
        """
        if self._connection is not None:
            keep_for_ever(self._connection)
        self._commits = CommitQueue()
        self._removals.clear()
        self._unwritten = []
        self._detached._after_fork()

    is_lost: Callable[[Optional[BaseException]], bool] = staticmethod(is_lost)

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str]) -> None:
        """Log to ``logger``; see `RequestQueue.set_logger`."""
        self.safe_log.use(logger, client_id)
        self._limited_log.use(logger, client_id)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Return a context in which the lock may be taken. Removals that come meanwhile are written after it.

        The block takes the lock itself. Here an interrupt would find it taken, and no block that releases it. Raises
        `QueueFailed` in a forked process: it might wait for a thread that is in the other process only.
        """
        self._check_process()
        try:
            yield
        finally:
            self._log_failure(self._flush_removals())

    def open(self) -> None:
        """Check the file and open it for this process alone, made if need be. Raises `QueueFailed`, `QueueDamaged`."""
        with self._in_turn(), self._lock:
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

    def has_open(self, path: str) -> bool:
        """Tell whether this object has that file open."""
        if self._connection is None or self._forked() or not self._opened:
            return False
        try:
            return os.path.samestat(os.stat(path), self._opened[0][1])
        except OSError:
            return False

    def close(self) -> None:
        """Release the file. A last checkpoint makes the database one file again."""
        if self._forked():
            return  # to close it here would take the WAL away from the process that has the file
        with self._in_turn(), self._lock:
            error = self._write_removals()
            connection, self._connection = self._connection, None
            unsettled = self._detached.clear()
            if connection is not None:
                connection.close()
        self._log_failure(error)
        self._limited_log.report(last=True)
        if unsettled:
            words = "%s: %d requests that were answered are sent again after the next start: handlers have not returned"
            self.safe_log.warning(words, self.path, unsettled)

    def rows(self, client_id: Optional[str]) -> List[Row]:
        """Return the rows of that client, oldest first, without those that are to be removed."""
        return self._rows("client_id IS ?", client_id)

    def load(self, queue: object, client_id: Optional[str]) -> List[Row]:
        """Do as `rows`: who has a copy is of no interest here, as one process has the file."""
        return self.rows(client_id)

    def unload(self, queue: object, client_id: Optional[str]) -> None:
        """Do nothing, as `load`."""

    def all_rows(self) -> List[Row]:
        """Return the rows of all clients, as `rows`."""
        return self._rows("1")

    def rows_of_message(self, message_id: str) -> List[Row]:
        """Return the rows of that message id, of all clients, as `rows`."""
        return self._rows("message_id = ?", message_id)

    def expired_rows(self, now: float) -> List[Row]:
        """Return the rows that have expired by ``now``, as `rows`."""
        return self._rows("expires <= ?", now)

    def next_expiry(self, now: float) -> Optional[float]:
        """Return when the next row after ``now`` expires, or ``None``."""
        with self._in_turn(), self._lock, _translated(self.path):
            query = "SELECT min(expires) FROM requests WHERE expires > ?"
            found: Optional[float] = self._get_connection().execute(query, (now,)).fetchone()[0]
            return found

    def _rows(self, condition: str, *values: Union[str, float, None]) -> List[Row]:
        with self._in_turn(), self._lock, _translated(self.path):
            detached = self.detached_rows()  # before the removals: `settle` moves a row from one to the other
            query = f"SELECT {ROW} FROM requests WHERE {condition} ORDER BY seq"
            rows = [Row(*row) for row in self._get_connection().execute(query, values)]
            removed = {each.seq for each in self._collect_removals()} | detached
        return [row for row in rows if row.seq not in removed]

    def is_open(self) -> bool:
        return self._connection is not None

    def count(self) -> int:
        with self._in_turn(), self._lock, _translated(self.path):
            return int(self._get_connection().execute("SELECT count(*) FROM requests").fetchone()[0])

    def has_rows(self, *, of_clients: bool) -> bool:
        """Tell whether a row of any table has a client id (as in the file of a map), or else whether one has none."""
        condition = "IS NOT NULL" if of_clients else "IS NULL"
        with self._in_turn(), self._lock, _translated(self.path):
            parts = [f"SELECT 1 FROM {table} WHERE client_id {condition}" for table in FIELDS]
            return bool(self._get_connection().execute(f"{' UNION ALL '.join(parts)} LIMIT 1").fetchone())

    def insert(self, *inserts: PendingInsert) -> None:
        """Write the requests after those that wait, and sync once. Then each has ended, with an ``error`` or without.

        If they cannot be written together, each is written alone.
        """
        self._check_process()
        taken: List[bool] = []  # whether this thread has the file
        try:
            self._commits.add(*inserts)
            for insert in inserts:
                self._write_or_wait(insert, taken)
        except BaseException:  # such as KeyboardInterrupt
            if taken == [True]:  # Python 3.9 may not have come to it
                taken[:] = releasing(self._lock)
            with self._lock:  # then no thread writes them just now
                for insert in inserts:
                    self._commits.give_up(insert)
            self._log_failure(self._flush_removals())
            raise

    def _write_or_wait(self, insert: PendingInsert, taken: List[bool]) -> None:
        """Write all requests that wait, or wait until another thread has written ``insert``."""
        while not insert.ended:
            if not self._commit(taken):
                insert.wake.wait(_LOOK)
                insert.wake.clear()

    def _commit(self, taken: List[bool]) -> bool:
        """Write all requests that wait, if the file is free. Return whether it was."""
        taken.clear()
        release = releasing(self._lock)
        try:
            try_acquire(self._lock, taken)
            free = taken == [True]
            if free:
                commit(self._commits, self._insert_all, self.path)
        finally:
            if taken == [True]:
                taken[:] = release
        if free:
            self._log_failure(self._flush_removals())
        return free

    def delete(self, seq: int) -> None:
        """Delete that row, as soon as the file is free. Never waits, never raises."""
        self._remove(_Removal(seq))

    def detach(self, seq: int, client_id: Optional[str], message_id: str) -> None:
        """Leave that row in the file until `settle`, but out of `rows`. Never waits."""
        self._detached.add(seq, client_id, message_id)

    def withdraw(self, row: Row) -> bool:
        """Do as `detach`. Return true: the row was there just now, and no other process has the file."""
        self.detach(row.seq, row.client_id, row.message_id)
        return True

    def settle(self, client_id: Optional[str], message_id: str, told: bool = True) -> None:
        """Delete the oldest detached row of that request, if there is one. As `delete`. Unless ``told``, it stays."""
        seq = self._detached.settle(client_id, message_id, told, lambda seq: self._removals.append(_Removal(seq)))
        if seq is not None and told:
            self._write_noted()

    def detached_rows(self) -> Set[int]:
        """Return the numbers of the rows that are detached."""
        return self._detached.rows()

    def set_aside(self, seq: int, reason: str) -> None:
        """Move that row to the table of those that are set aside. As `delete`."""
        text = reason.encode("utf-8", "backslashreplace").decode("utf-8")  # it may be the peer's
        self._remove(_Removal(seq, text, datetime.now(timezone.utc).isoformat()))

    def list_set_aside(self) -> List[SetAside]:
        """Return the requests that were set aside, oldest first."""
        query = "SELECT client_id, message_id, version, data, reason, time FROM set_aside ORDER BY seq"
        with self._in_turn(), self._lock, _translated(self.path):
            self._write_all_removals()
            rows = self._get_connection().execute(query).fetchall()
        return [
            SetAside(client_id, message_id, action_of(data), version, data, reason, datetime.fromisoformat(time))
            for client_id, message_id, version, data, reason, time in rows
        ]

    def take_set_aside(self, client_id: Optional[str], message_id: str, put_back: bool) -> None:
        """Delete the oldest such request that was set aside, and put it back in its old place if ``put_back``."""
        try:
            take = partial(_take_set_aside, client_id=client_id, message_id=message_id, put_back=put_back)
            with self._in_turn(), self._lock, _translated(self.path):
                self._write_all_removals()
                found = self._transact("FULL", take)
        except UnicodeError:  # a text that cannot be in the file
            found = False
        if not found:
            whose = "" if client_id is None else f" of client {client_id!r}"
            raise UsageError(f"no request {message_id!r}{whose} was set aside in {self.path}")

    def _write_all_removals(self) -> None:
        """Write all removals. Raises `QueueFailed`. Called with the lock held."""
        error = self._write_removals()
        if error is not None:
            raise QueueFailed(f"{self.path} cannot be written: {error}") from error

    def _insert_all(self, inserts: Sequence[PendingInsert]) -> Optional[Exception]:
        """Do what `group_commit.Write` says. Called with the lock held."""
        numbers: List[Optional[int]] = []

        def write(connection: sqlite3.Connection) -> None:
            for insert in inserts:
                if insert.replaces is not None:
                    connection.execute("DELETE FROM requests WHERE seq = ?", (insert.replaces,))
            rows = [(*insert.fields, _checksum(insert.fields)) for insert in inserts]
            numbers.extend([connection.execute(INSERT, row).lastrowid for row in rows])

        def end() -> None:
            for insert, number in zip(inserts, numbers):
                if not insert.ended:
                    insert.end(number)

        try:
            size = sum(len(insert.bundle.data or "") for insert in inserts)
            if not self._make_room(size):
                raise sqlite3.OperationalError("the disk is full")
            self._transact("FULL", write, end)
        except Exception as error:
            self._overwrite()
            return error
        return None

    def _overwrite(self) -> None:
        """Write over what a failed commit may have left in the WAL. Called with the lock held.

        If the disk took the data and then failed to sync it, SQLite would find the commit there after a crash, and the
        requests would be in the file although they were refused.
        """
        with contextlib.suppress(Exception):  # the version is that already: a page is written all the same
            self._transact("NORMAL", lambda connection: connection.execute(f"PRAGMA user_version = {LAYOUT}"))

    def _remove(self, removal: _Removal) -> None:
        """Note ``removal``, and write it if the file is free."""
        self._removals.append(removal)
        self._write_noted()

    def _write_noted(self) -> None:
        """Write the removals that are noted, if the file is free.

        Another thread logs what goes wrong: a dispatcher's lock may be held here, and a log handler may ask for it.
        """
        error = self._flush_removals()
        if error is not None:
            with contextlib.suppress(RuntimeError, MemoryError):  # no thread: the next user of the file logs it
                Thread(target=self._log_failure, args=(error,), name="ocppj-queue-log", daemon=True).start()

    def _flush_removals(self) -> Optional[Exception]:
        """Write all removals, unless another thread has the file: it comes here, too. Then wake the first that waits.

        Return why they could not be written, if so.
        """
        error: Optional[Exception] = None
        taken: List[bool] = []
        release = releasing(self._lock)
        try:
            while (self._removals or self._unwritten) and error is None:
                taken, release = [], releasing(self._lock)
                try:
                    try_acquire(self._lock, taken)
                    if taken != [True]:
                        break
                    error = self._write_removals()
                finally:
                    if taken == [True]:
                        taken[:] = release
        finally:
            if taken == [True]:  # Python 3.9 looks for signals inside the ``finally`` above
                taken[:] = release
            self._commits.wake_first()
        return error

    def _write_removals(self) -> Optional[Exception]:
        """Write all removals. Return why that failed: the next call tries again. Called with the lock held."""
        removals = self._collect_removals()
        while self._connection is not None and removals:
            some = removals[:REMOVALS]
            try:
                self._make_room(0)
                self._remove_rows(some)
            except (sqlite3.Error, QueueFailed) as error:
                return error
            del removals[: len(some)]
        self._unwritten = []
        return None

    def _remove_rows(self, removals: Sequence[_Removal]) -> None:
        """Remove some rows in one transaction. If the disk is full, try it again after a checkpoint."""
        try:
            self._remove_at_once(removals)
        except sqlite3.OperationalError as error:
            if "full" not in str(error):
                raise
            self._checkpoint()
            self._remove_at_once(removals)

    def _remove_at_once(self, removals: Sequence[_Removal]) -> None:
        self._transact("NORMAL", partial(_delete_rows, removals=removals))

    def _collect_removals(self) -> List[_Removal]:
        """Return all removals. Other threads append meanwhile, so there is no iteration over the deque."""
        while self._removals:
            self._unwritten.append(self._removals.popleft())
        return self._unwritten

    def _make_room(self, size: int) -> bool:
        """Make a checkpoint if there is hardly room for ``size`` bytes more. Return whether there is room.

        Called with the lock held, outside a transaction. Only a checkpoint takes time: it syncs.
        """
        self._get_connection()
        if has_room(self.path, size, self._pragma):
            return True
        self._checkpoint()
        return has_room(self.path, size, self._pragma)

    def _pragma(self, name: str) -> int:
        return int(self._get_connection().execute(f"PRAGMA {name}").fetchone()[0])

    def _checkpoint(self) -> None:
        """Move the WAL into the database, and give its room back to the system, if that can be done. Lock held."""
        with contextlib.suppress(sqlite3.Error):
            self._get_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _log_failure(self, error: Optional[Exception]) -> None:
        if error is not None:
            words = "%s: could not delete or set aside requests that were dealt with, they may be sent again: %s"
            self._limited_log.error(words, self.path, error, kind=f"{words[:-2]}{error}", client_id=None)

    def _transact(
        self, synchronous: str, work: Callable[[sqlite3.Connection], T], done: Callable[[], None] = lambda: None
    ) -> T:
        """Commit what ``work(connection)`` does, call ``done``, and return what ``work`` returned.

        When something raises, nothing is committed. If an interrupt comes after the commit, ``done`` is called all the
        same. Called with the lock held.
        """
        connection, begun = self._get_connection(), False
        try:
            if connection.in_transaction:  # of a thread that was interrupted twice
                connection.execute("ROLLBACK")
            if synchronous != self._synchronous:
                connection.execute(f"PRAGMA synchronous = {synchronous}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINTS[synchronous]}")
                self._synchronous = synchronous
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            begun = True
            connection.execute("COMMIT")
            done()
            return result
        except BaseException as error:
            if connection.in_transaction:  # after some errors SQLite has rolled back already
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            elif begun and not isinstance(error, Exception):
                done()
            raise

    def _get_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise NotRunning(f"{self.path} is not open: init() comes first")
        self._check_process()
        for name, before in self._opened:
            if _moved(name, before):
                raise FileLost(f"{name} was moved or deleted while it was open: what is written would be lost")
        return self._connection

    def _check_process(self) -> None:
        if self._forked():
            raise QueueFailed(f"{self.path} was opened by the process this one was forked from: it is not ours")

    def _forked(self) -> bool:
        return self._connection is not None and self._process != os.getpid()


def read_file(path: PathLike) -> FileContent:
    """Return what is in a file, which another process may have open. Nothing is changed: a copy is read.

    Raises:
        UsageError: There is no such file, or this process has it open.
        QueueDamaged: The file is damaged, or is of another kind.
        QueueFailed: It cannot be read.
    """
    name = RequestDatabase(path).path
    if not os.path.isfile(name):
        raise UsageError(f"there is no file {name}")
    if any(each.has_open(name) for each in list(_databases)):
        raise UsageError(f"{name} is open in this process: ask the queue itself")
    try:
        with copied(os.path.realpath(name)) as copy, _renamed(copy, name), _translated(name, checking=True):
            _check_wal(copy)
            with contextlib.closing(_connect(copy, "rw")) as connection:
                _check_tables(copy, connection)
                connection.text_factory = str
                return _read_content(connection)
    except OSError as error:
        raise QueueFailed(f"{name} cannot be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _renamed(copy: str, name: str) -> Iterator[None]:
    """Have errors about ``copy`` name the file that it is of."""
    try:
        yield
    except QueueDamaged as error:
        raise QueueDamaged(str(error).replace(copy, name)) from error


def _read_content(connection: sqlite3.Connection) -> FileContent:
    """Return what is in a database that was checked. It may lack what older layouts lack."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    times = TIMES if connection.execute("PRAGMA user_version").fetchone()[0] == LAYOUT else ("NULL", "NULL", "0")
    columns = f"seq, {', '.join((*REQUEST, *times))}"
    waiting, aside = [], []
    if "requests" in tables:
        waiting = [Row(*row) for row in connection.execute(f"SELECT {columns} FROM requests ORDER BY seq")]
    if "set_aside" in tables:
        for *row, reason, time in connection.execute(f"SELECT {columns}, reason, time FROM set_aside ORDER BY seq"):
            aside.append((Row(*row), reason, datetime.fromisoformat(time)))
    return FileContent(waiting, aside)


def action_of(text: str) -> str:
    """Return the action of the CALL ``text``, or "no CALL"."""
    try:
        return str(parse_json_message(text)[2])
    except (MessageError, IndexError):
        return "no CALL"


def _delete_rows(connection: sqlite3.Connection, removals: Sequence[_Removal]) -> None:
    for each in removals:
        if each.reason is not None:
            _copy_aside(connection, each)
        connection.execute("DELETE FROM requests WHERE seq = ?", (each.seq,))


def _copy_aside(connection: sqlite3.Connection, removal: _Removal) -> None:
    query = f"SELECT {', '.join(FIELDS['requests'])} FROM requests WHERE seq = ?"
    row = connection.execute(query, (removal.seq,)).fetchone()
    if row is not None:
        fields = (*row[: len(REQUEST)], removal.reason, removal.time, *row[len(REQUEST) :])
        connection.execute(_insert_into("set_aside", "seq"), (*fields, _checksum(fields), removal.seq))


def _take_set_aside(connection: sqlite3.Connection, client_id: Optional[str], message_id: str, put_back: bool) -> bool:
    columns = f"seq, {', '.join(FIELDS['requests'])}"
    query = f"SELECT {columns} FROM set_aside WHERE client_id IS ? AND message_id = ? ORDER BY seq LIMIT 1"
    row = connection.execute(query, (client_id, message_id)).fetchone()
    if row is None:
        return False
    seq, *fields = row
    connection.execute("DELETE FROM set_aside WHERE seq = ?", (seq,))
    if put_back:
        connection.execute(_insert_into("requests", "seq"), (*fields, _checksum(fields), seq))
    return True


@contextlib.contextmanager
def _translated(path: str, checking: bool = False) -> Iterator[None]:
    """Raise SQLite's errors about ``path`` as `QueueFailed`, or `QueueDamaged`."""
    try:
        yield
    except sqlite3.Error as error:
        words = str(error)
        if "locked" in words:
            held = QueueInUse(f"{path} is in use by another process, or another queue of this one")
            held.path = path
            raise held from error
        failing = any(sign in words for sign in ("unable to open", "I/O", "readonly"))
        if isinstance(error, sqlite3.OperationalError) and (failing or not checking):
            hint = "; is there room on the disk, and may this process write there?" if failing else ""
            raise QueueFailed(f"{path} cannot be used as a request queue: {words}{hint}") from error
        raise _damaged(path, words) from error
    except UnicodeDecodeError as error:  # SQLite's own words name a table whose name is damaged
        raise _damaged(path, "a name in it is not UTF-8") from error


def _damaged(path: str, why: str) -> QueueDamaged:
    return QueueDamaged(f"{path} is damaged, or no request queue, and was left as it is: {why}")


def _size(path: str) -> int:
    """Return how many bytes the file has, 0 when there is none. Nothing is opened: to close it would end our locks."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _checksum(fields: Iterable[Union[str, bytes, float, None]]) -> int:
    """Return the CRC-32 of the fields. SQLite's own checks do not cover the content of rows."""
    crc = 0
    for field in fields:
        data = b"" if field is None else field if isinstance(field, bytes) else str(field).encode("utf-8")
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
    if marks[1] not in (1, LAYOUT):
        raise _damaged(path, f"its layout is {marks[1]}, this version of ocppj knows {LAYOUT}")
    found = [row[0] for row in connection.execute("PRAGMA quick_check")]
    if found != [b"ok"]:
        raise _damaged(path, b"; ".join(found[:3]).decode("utf-8", "replace"))
    for table, names in (FIELDS_OF_LAYOUT_1 if marks[1] == 1 else FIELDS).items():
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


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring a file of layout 1, which was checked, to layout 2. Called within a transaction."""
    for table, fields in FIELDS.items():
        present = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for column in NEW_IN_LAYOUT_2:
            if column.split()[0] not in present:  # the table was made just now, if it was missing
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
        rows = connection.execute(f"SELECT seq, {', '.join(fields)} FROM {table}").fetchall()
        checksums = [(_checksum(values), seq) for seq, *values in rows]
        connection.executemany(f"UPDATE {table} SET crc = ? WHERE seq = ?", checksums)
    connection.execute(f"PRAGMA user_version = {LAYOUT}")


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
        if connection.execute("PRAGMA user_version").fetchone()[0] == 1:
            _migrate(connection)
        connection.execute(BY_EXPIRY)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    with contextlib.suppress(OSError):  # the read-only connection made it; with the exclusive lock nothing needs it
        os.unlink(path + "-shm")
    return connection
