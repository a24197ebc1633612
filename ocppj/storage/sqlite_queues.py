"""Request queues that outlive the process: `SQLiteQueue` for a client, `SQLiteQueueMap` for a server.

``docs/durable.md`` has what is promised, and `ocppj.storage.database` how the file keeps it. ``docs/design.md`` has the
order of the locks. Rows enter the file and the copy in memory under the database's lock: both have the same order.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Dict, List, Optional, Tuple

from ..dispatch.queues import Decoder, RequestBundle, RequestQueue, ServerQueueMap, check_capacity
from ..errors import NotRunning, QueueFull, UsageError, printable
from ..settings import get_logger
from .database import PathLike, RequestDatabase, Row, SetAside, action_of
from .group_commit import PendingInsert

__all__ = ["SQLiteQueue", "SQLiteQueueMap", "SetAside"]

#: Requests that were set aside, and why.
Refused = List[Tuple[Row, str]]


class StoredQueue(RequestQueue):
    """The requests of one client in ``database``, and a copy of them in memory, which answers everything."""

    durable = True

    def __init__(self, database: RequestDatabase, client_id: Optional[str], capacity: int) -> None:
        self._database = database
        self._client_id = client_id
        self._capacity = check_capacity(capacity)
        self._decode: Optional[Decoder] = None
        self._lock = threading.Lock()  # guards the fields below; taken inside the database's lock, never around it
        self._bundles: "OrderedDict[int, RequestBundle]" = OrderedDict()  # by the number of the row
        self._numbers: Dict[str, List[int]] = {}  # by message id, which need not be unique here
        self._inserting = 0  # requests that are being written
        self._open = False

    def set_decoder(self, decode: Decoder) -> None:
        self._decode = decode

    def init(self) -> None:
        """Read the requests from the file, and take requests from now on."""
        self.report(*self.revive())

    def revive(self) -> Tuple[int, Refused]:
        """Do as `init`, without the log. Return how many requests there are, and those that were set aside."""
        self.discard()  # otherwise the copy would lack what is pushed from here on
        bundles, refused = [], []
        for row in self._database.rows(self._client_id):
            if self._decode is None:
                raise _missing_decoder(self._database)
            try:
                bundles.append((row.seq, RequestBundle(self._decode(row.version, row.data), row.data, row.version)))
            except Exception as error:
                refused.append((row, f"it cannot be read: {error}"))
        for row, reason in refused:
            self._database.set_aside(row.seq, reason)
        with self._lock:
            for seq, bundle in bundles:
                self._add(seq, bundle)
            self._open = True
        return len(bundles), refused

    def report(self, revived: int, refused: Refused) -> None:
        """Log what `revive` returned."""
        path, whose = self._database.path, "" if self._client_id is None else f" for {self._client_id}"
        if revived:
            get_logger().info("%s: %d requests%s wait since earlier", path, revived, whose)
        for row, reason in refused:
            what = f"{row.message_id!r}{whose} ({action_of(row.data)}, OCPP {row.version or 'of no version'})"
            words = "%s: request %s was set aside, and is not sent: %s"
            get_logger().error(words, path, printable(what), printable(reason))

    def push(self, bundle: RequestBundle) -> None:
        """Write ``bundle`` to disk and add it at the end. Pushes at the same time share a sync.

        Raises:
            QueueFull: when there is no room.
            QueueFailed: when the request could not be written.
            NotRunning: before `init`, and after `close`.
        """
        insert = PendingInsert(self._client_id, bundle, self._admit, self._finish)
        self._database.insert(insert)
        if insert.error is not None:
            raise insert.error

    def peek(self) -> Optional[RequestBundle]:
        with self._lock:
            return next(iter(self._bundles.values()), None)

    def pop(self) -> Optional[RequestBundle]:
        with self._lock:
            taken = self._take(next(iter(self._bundles), None))
        return self._delete(taken)

    def remove(self, message_id: str) -> Optional[RequestBundle]:
        return self._delete(self._take_id(message_id))

    def set_aside(self, message_id: str, reason: str) -> Optional[RequestBundle]:
        taken = self._take_id(message_id)
        if taken is None:
            return None
        self._database.set_aside(taken[0], reason)
        return taken[1]

    def bundles(self) -> List[RequestBundle]:
        with self._lock:
            return list(self._bundles.values())

    def discard(self) -> List[RequestBundle]:
        """Forget the copy in memory, keep the rows, and take no more until `init`."""
        with self._lock:
            self._open = False
            self._bundles.clear()
            self._numbers.clear()
        return []

    def __len__(self) -> int:
        return len(self._bundles)

    def is_full(self) -> bool:
        with self._lock:
            return self._is_full()

    def is_empty(self) -> bool:
        return len(self) == 0

    def _is_full(self) -> bool:
        return 0 < self._capacity <= len(self._bundles) + self._inserting

    def _admit(self) -> None:
        with self._lock:
            if not self._open:
                raise NotRunning(f"the queue in {self._database.path} is not open")
            if self._is_full():
                raise QueueFull(f"the queue holds {self._capacity} requests, all it may")
            self._inserting += 1

    def _finish(self, bundle: RequestBundle, seq: Optional[int]) -> None:
        with self._lock:
            self._inserting -= 1
            if seq is not None and self._open:  # if it is closed, the request waits in the file for the next `init`
                self._add(seq, bundle)

    def _add(self, seq: int, bundle: RequestBundle) -> None:
        self._bundles[seq] = bundle
        self._numbers.setdefault(bundle.message_id, []).append(seq)

    def _take_id(self, message_id: str) -> Optional[Tuple[int, RequestBundle]]:
        with self._lock:
            return self._take(next(iter(self._numbers.get(message_id, ())), None))

    def _take(self, seq: Optional[int]) -> Optional[Tuple[int, RequestBundle]]:
        if seq is None:
            return None
        bundle = self._bundles.pop(seq)
        numbers = self._numbers[bundle.message_id]
        numbers.remove(seq)
        if not numbers:
            del self._numbers[bundle.message_id]
        return seq, bundle

    def _delete(self, taken: Optional[Tuple[int, RequestBundle]]) -> Optional[RequestBundle]:
        if taken is None:
            return None
        self._database.delete(taken[0])
        return taken[1]


class SQLiteQueue(StoredQueue):
    """The requests of a client, in a file.

    Args:
        path: The SQLite file. Nothing else may use it. It is made by `init` if there is none.
        capacity: How many requests it holds at most; 0 means no limit.

    Raises:
        UsageError: for a path that is not a file's (":memory:").
        ValueError: for a negative capacity.
    """

    def __init__(self, path: PathLike, capacity: int = 0) -> None:
        super().__init__(RequestDatabase(path), None, capacity)

    def init(self) -> None:
        """Open the file, made if need be, and read it. What cannot be read is set aside, and an ERROR is logged.

        Raises:
            QueueDamaged: when the file is damaged, or is of another kind.
            QueueFailed: when it cannot be opened, or is in use.
            UsageError: when it holds requests and there is no decoder, or the requests of a `SQLiteQueueMap`.
        """
        self._database.open()
        try:
            if self._database.has_rows(of_clients=True):
                raise UsageError(f"{self._database.path} holds the requests of a SQLiteQueueMap")
            super().init()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        self.discard()
        self._database.close()

    def list_set_aside(self) -> List[SetAside]:
        """Return the requests that were set aside, oldest first. Like `put_back` and `forget`, waits for the disk.

        Raises:
            NotRunning: when the queue is not open.
            QueueFailed: when the file cannot be read or written.
        """
        return self._database.list_set_aside()

    def put_back(self, message_id: str) -> None:
        """Have a request that was set aside sent after all, in its old place: with the next start, after `init`.

        If several have that id, the oldest is put back.

        Raises:
            UsageError: when no request of that id was set aside.
            OcppjError: What `list_set_aside` raises.
        """
        self._database.take_set_aside(None, message_id, put_back=True)

    def forget(self, message_id: str) -> None:
        """Delete a request that was set aside. Raises as `put_back`."""
        self._database.take_set_aside(None, message_id, put_back=False)


class SQLiteQueueMap(ServerQueueMap):
    """The requests of all clients of a server, in a file. Those of a client that is not connected stay in the file.

    Args:
        path: The SQLite file, as for `SQLiteQueue`.
        capacity: How many requests per client it holds at most; 0 means no limit.

    Raises:
        UsageError: for a path that is not a file's (":memory:").
        ValueError: for a negative capacity.
    """

    durable = True

    def __init__(self, path: PathLike, capacity: int = 0) -> None:
        self._database = RequestDatabase(path)
        self._capacity = check_capacity(capacity)
        self._decode: Optional[Decoder] = None
        self._lock = threading.Lock()  # guards the queues
        # Taken before both others: no two threads load the requests of one client. The decoder runs with it held.
        self._loading = threading.Lock()
        self._queues: Dict[str, RequestQueue] = {}

    def set_decoder(self, decode: Decoder) -> None:
        self._decode = decode

    def init(self) -> None:
        """Open the file, made if need be, and forget every queue in memory. Raises as `SQLiteQueue.init`."""
        self._discard_all()
        self._database.open()
        try:
            if self._database.has_rows(of_clients=False):
                raise UsageError(f"{self._database.path} holds the requests of a SQLiteQueue")
            if self._decode is None and self._database.count():
                raise _missing_decoder(self._database)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        self._discard_all()
        self._database.close()

    def get(self, client_id: str) -> Optional[RequestQueue]:
        with self._lock:
            return self._queues.get(client_id)

    def get_or_create(self, client_id: str) -> RequestQueue:
        """Return that client's queue, read from the file if need be. What cannot be read is set aside and logged.

        Raises:
            NotRunning: before `init`.
            QueueFailed: when the file cannot be read.
        """
        queue = self.get(client_id)
        if queue is not None:  # does not wait while the requests of another client are read
            return queue
        with self._loading:
            queue = self.get(client_id)
            if queue is not None:
                return queue
            stored = StoredQueue(self._database, client_id, self._capacity)
            if self._decode is not None:
                stored.set_decoder(self._decode)
            loaded = stored.revive()
            with self._lock:
                queue = self._queues.setdefault(client_id, stored)
        stored.report(*loaded)
        return queue

    def remove(self, client_id: str) -> None:
        with self._lock:
            queue = self._queues.pop(client_id, None)
        _discard(queue)

    def add(self, client_id: str, queue: RequestQueue) -> None:
        with self._lock:
            before = self._queues.get(client_id)
            self._queues[client_id] = queue
        if before is not queue:
            _discard(before)

    def withdraw(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, in memory or in the file, or ``None``. Errors are logged."""
        try:
            with self._loading:  # otherwise it could be loaded from the file while it is deleted there
                queue = self.get(client_id)
                return self._take_stored(client_id, message_id) if queue is None else queue.remove(message_id)
        except Exception as error:  # the decoder's, too
            get_logger().error("%s: request %r cannot be withdrawn: %s", self._database.path, message_id, error)
            return None

    def list_set_aside(self) -> List[SetAside]:
        """Return the requests of all clients that were set aside, oldest first; as `SQLiteQueue.list_set_aside`."""
        return self._database.list_set_aside()

    def put_back(self, client_id: str, message_id: str) -> None:
        """Have a request that was set aside sent when the client connects the next time; as `SQLiteQueue.put_back`."""
        self._database.take_set_aside(client_id, message_id, put_back=True)

    def forget(self, client_id: str, message_id: str) -> None:
        """Delete a request that was set aside. Raises as `put_back`."""
        self._database.take_set_aside(client_id, message_id, put_back=False)

    def _take_stored(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        row = next((row for row in self._database.rows(client_id) if row.message_id == message_id), None)
        if row is None or self._decode is None:
            return None
        bundle = RequestBundle(self._decode(row.version, row.data), row.data, row.version)
        self._database.delete(row.seq)
        return bundle

    def _discard_all(self) -> None:
        with self._lock:
            queues, self._queues = self._queues, {}
        for queue in queues.values():
            _discard(queue)


def _discard(queue: Optional[RequestQueue]) -> None:
    if isinstance(queue, StoredQueue):
        queue.discard()  # it takes no more: its successor in the map would lack what is pushed to it


def _missing_decoder(database: RequestDatabase) -> UsageError:
    return UsageError(f"{database.path} holds requests that cannot be read: set_decoder() comes first")
