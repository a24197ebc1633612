"""Request queues that outlive the process: `SQLiteQueue` for a client, `SQLiteQueueMap` for a server.

``docs/durable.md`` has what is promised, and `ocppj.storage.database` how the file keeps it.

The file holds the requests of one queue, or of all clients of a map. Each queue has a copy of its requests in
memory, which answers everything. Only ``init`` and ``get_or_create`` read the file. Two locks:

* The database's lock is held while SQLite works: for ``push``, during a sync. Rows enter the file and the copy under
  it, so that both have the same order.
* A queue's own lock guards its copy, and is held for a moment. It may be taken while the database's is held, never the
  other way round.

Dispatchers call ``pop``, ``remove`` and ``set_aside`` with a lock of theirs held, so these never wait for the
database's lock.
"""

from __future__ import annotations

import threading
from typing import Dict, List, Optional

from ..dispatch.queues import Decoder, RequestBundle, RequestQueue, ServerQueueMap, check_capacity
from ..errors import UsageError
from ..settings import get_logger
from .database import PathLike, RequestDatabase, SetAside
from .stored_queue import StoredQueue, missing_decoder

__all__ = ["SQLiteQueue", "SQLiteQueueMap", "SetAside"]


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
        """Open the file, made if need be, and read the requests in it.

        A request that cannot be read is set aside, and an ERROR is logged.

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
        """Take no more, and release the file. The requests stay in it."""
        self.discard()
        self._database.close()

    def list_set_aside(self) -> List[SetAside]:
        """Return the requests that were set aside, oldest first: they could not be read, or were given up for good.

        Like `put_back` and `forget`, it waits for the disk, and may be called from any thread while the queue is open.

        Raises:
            NotRunning: when the queue is not open.
            QueueFailed: when the file cannot be read or written.
        """
        return self._database.list_set_aside()

    def put_back(self, message_id: str) -> None:
        """Have a request that was set aside sent after all, in its old place: with the next start, after `init`.

        Until then it stays in the file. If several have that id, the oldest is put back.

        Raises:
            UsageError: when no request of that id was set aside.
            NotRunning: when the queue is not open.
            QueueFailed: when the file cannot be read or written.
        """
        self._database.take_set_aside(None, message_id, put_back=True)

    def forget(self, message_id: str) -> None:
        """Delete a request that was set aside. Raises as `put_back`."""
        self._database.take_set_aside(None, message_id, put_back=False)


class SQLiteQueueMap(ServerQueueMap):
    """The requests of all clients of a server, in a file. Those of a client that is not connected stay in the file.

    Args:
        path: The SQLite file. Nothing else may use it. It is made by `init` if there is none.
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
        # Taken before that lock and the database's, so that no two threads load the requests of one client. The decoder
        # runs with it held: it reads a text and calls nothing.
        self._loading = threading.Lock()
        self._queues: Dict[str, RequestQueue] = {}

    def set_decoder(self, decode: Decoder) -> None:
        self._decode = decode

    def init(self) -> None:
        """Open the file, made if need be, and forget every queue in memory. Raises as `SQLiteQueue.init`.

        The requests of a client are read when it connects: `get_or_create`.
        """
        self._discard_all()
        self._database.open()
        try:
            if self._database.has_rows(of_clients=False):
                raise UsageError(f"{self._database.path} holds the requests of a SQLiteQueue")
            if self._decode is None and self._database.count():
                raise missing_decoder(self._database)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Discard every queue in memory, and release the file. The requests stay in it."""
        self._discard_all()
        self._database.close()

    def get(self, client_id: str) -> Optional[RequestQueue]:
        """Return that client's queue if it is in memory, or ``None``."""
        with self._lock:
            return self._queues.get(client_id)

    def get_or_create(self, client_id: str) -> RequestQueue:
        """Return that client's queue. If it is not in memory, read the client's requests from the file.

        A request that cannot be read is set aside, and an ERROR is logged. Waits for the disk.

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
        """Forget that client's queue, which takes no more. Its requests stay in the file."""
        with self._lock:
            queue = self._queues.pop(client_id, None)
        _discard(queue)

    def add(self, client_id: str, queue: RequestQueue) -> None:
        """Make ``queue`` that client's queue. It need not be durable."""
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
        """Have a request that was set aside sent after all, in its old place: when the client connects the next time.

        As `SQLiteQueue.put_back` otherwise.
        """
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
            queues = list(self._queues.values())
            self._queues.clear()
        for queue in queues:
            _discard(queue)


def _discard(queue: Optional[RequestQueue]) -> None:
    """Let a queue that the map has forgotten take no more: its successor would lack what is pushed to it."""
    if isinstance(queue, StoredQueue):
        queue.discard()
