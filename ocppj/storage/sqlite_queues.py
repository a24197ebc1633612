"""Request queues that outlive the process: `SQLiteQueue` for a client, `SQLiteQueueMap` for a server.

What is promised. When ``push`` returns, the request is on disk, synced. Removing a request is written at once, but not
synced: it survives the death of the process; after a power cut the request may be back, and is then sent twice, but
none is lost. So: at least once, in order. How the file keeps that: `ocppj.storage.database`.

What can never be dealt with is not lost either, and keeps nothing else waiting: it is *set aside* in the file, with the
reason, to be listed, put back or forgotten.

How. The file holds the requests of one queue, or of all clients of a map. Each queue has a mirror in memory, from which
it answers everything; the file is read by ``init`` and ``get_or_create`` alone. Two locks:

* The file's lock is held while SQLite works: for ``push``, during a sync. Rows enter file and mirror under it, so that
  both have the same order.
* A queue's own lock guards its mirror, and is held for a moment. It may be taken while the file's is held, never the
  other way round.

Dispatchers call ``pop``, ``remove`` and ``set_aside`` with a lock of theirs held, so these never wait for the file's.
"""

from __future__ import annotations

import threading
from typing import Dict, List, Optional

from ..dispatch.queues import Decoder, RequestBundle, RequestQueue, ServerQueueMap
from ..errors import UsageError
from ..settings import get_logger
from .database import PathLike, RequestFile
from .integrity import FIELDS
from .stored_queue import SetAside, StoredQueue, checked_capacity, list_set_aside, no_decoder, take_aside

__all__ = ["SQLiteQueue", "SQLiteQueueMap", "SetAside"]


class SQLiteQueue(StoredQueue):
    """The requests of a client, in the SQLite file ``path``, which no one else may use. ``capacity`` 0 means no limit.

    See the head of this file for what is promised. Raises `UsageError` for a path that is no file's (":memory:").
    """

    def __init__(self, path: PathLike, capacity: int = 0) -> None:
        super().__init__(RequestFile(path), None, capacity)

    def init(self) -> None:
        """Open the file, made if need be, and take up the requests in it.

        A request that cannot be read is set aside, and an ERROR is logged. Raises `QueueDamaged` for a damaged file, or
        one of another kind; `QueueFailed` when it cannot be opened, or is in use; `UsageError` when it holds requests
        and there is no decoder.
        """
        self._file.open()
        try:
            if any(self._file.count("client_id IS NOT NULL", table) for table in FIELDS):
                raise UsageError(f"{self._file.path} holds the requests of a SQLiteQueueMap")
            super().init()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Take no more, and release the file. The requests stay in it."""
        self.discard()
        self._file.close()

    def list_set_aside(self) -> List[SetAside]:
        """Return what was set aside, oldest first: what could not be read, or was given up for good.

        As `put_back` and `forget`, it waits for the disk, may be called from any thread while the queue is open, and
        raises `NotRunning` when it is not, and `QueueFailed`.
        """
        return list_set_aside(self._file)

    def put_back(self, message_id: str) -> None:
        """Have a request that was set aside sent after all, in its old place: with the next start, after `init`.

        Until then it stays in the file. Raises `UsageError` when no request of that id was set aside; of several, the
        oldest is put back.
        """
        take_aside(self._file, None, message_id, put_back=True)

    def forget(self, message_id: str) -> None:
        """Delete a request that was set aside. Raises as `put_back`."""
        take_aside(self._file, None, message_id, put_back=False)


class SQLiteQueueMap(ServerQueueMap):
    """The requests of all clients of a server, in the SQLite file ``path``; ``capacity`` per client, 0 means no limit.

    Requests of a client that is not connected stay in the file until it is back. As `SQLiteQueue` otherwise.
    """

    durable = True

    def __init__(self, path: PathLike, capacity: int = 0) -> None:
        self._file = RequestFile(path)
        self._capacity = checked_capacity(capacity)
        self._decode: Optional[Decoder] = None
        self._lock = threading.Lock()  # guards the queues
        # Held around that and the file's, so that no two threads revive the requests of one client. The decoder runs
        # with it held: it reads a text and calls nothing.
        self._reviving = threading.Lock()
        self._queues: Dict[str, RequestQueue] = {}

    def set_decoder(self, decode: Decoder) -> None:
        """Read the requests that an earlier process left, or an earlier connection, with ``decode``."""
        self._decode = decode

    def init(self) -> None:
        """Open the file, made if need be, and forget every queue in memory. Raises as `SQLiteQueue.init`.

        Requests are read when their client comes: `get_or_create`.
        """
        self._forget_all()
        self._file.open()
        try:
            if any(self._file.count("client_id IS NULL", table) for table in FIELDS):
                raise UsageError(f"{self._file.path} holds the requests of a SQLiteQueue")
            if self._decode is None and self._file.count():
                raise no_decoder(self._file)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Forget every queue in memory, which takes no more, and release the file. The requests stay in it."""
        self._forget_all()
        self._file.close()

    def get(self, client_id: str) -> Optional[RequestQueue]:
        """Return that client's queue if it is in memory, or ``None``."""
        with self._lock:
            return self._queues.get(client_id)

    def get_or_create(self, client_id: str) -> RequestQueue:
        """Return that client's queue; if it is not in memory, with the requests that the file has for the client.

        A request that cannot be read is set aside, and an ERROR is logged. Waits for the disk. Raises `QueueFailed`,
        and `NotRunning` before `init`.
        """
        queue = self.get(client_id)
        if queue is not None:  # though another's requests are being read from the disk
            return queue
        with self._reviving:
            queue = self.get(client_id)
            if queue is not None:
                return queue
            stored = StoredQueue(self._file, client_id, self._capacity)
            if self._decode is not None:
                stored.set_decoder(self._decode)
            found = stored.revive()
            with self._lock:
                queue = self._queues.setdefault(client_id, stored)
        stored.report(*found)
        return queue

    def remove(self, client_id: str) -> None:
        """Forget that client's queue, which takes no more; its requests stay in the file."""
        with self._lock:
            queue = self._queues.pop(client_id, None)
        _retire(queue)

    def add(self, client_id: str, queue: RequestQueue) -> None:
        """Make ``queue`` that client's queue. It need not be durable."""
        with self._lock:
            before = self._queues.get(client_id)
            self._queues[client_id] = queue
        if before is not queue:
            _retire(before)

    def withdraw(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, wherever it is, or ``None``. What goes wrong is logged."""
        try:
            with self._reviving:  # else it would be revived from the file while it is deleted there
                queue = self.get(client_id)
                return self._take_stored(client_id, message_id) if queue is None else queue.remove(message_id)
        except Exception as error:  # the decoder's among them
            get_logger().error("%s: request %r cannot be withdrawn: %s", self._file.path, message_id, error)
            return None

    def list_set_aside(self) -> List[SetAside]:
        """Return what was set aside, of all clients, oldest first; as `SQLiteQueue.list_set_aside`."""
        return list_set_aside(self._file)

    def put_back(self, client_id: str, message_id: str) -> None:
        """Have a request that was set aside sent after all, in its old place: when the client connects the next time.

        As `SQLiteQueue.put_back` otherwise.
        """
        take_aside(self._file, client_id, message_id, put_back=True)

    def forget(self, client_id: str, message_id: str) -> None:
        """Delete a request that was set aside. Raises as `put_back`."""
        take_aside(self._file, client_id, message_id, put_back=False)

    def _take_stored(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        row = next((row for row in self._file.rows(client_id) if row.message_id == message_id), None)
        if row is None or self._decode is None:
            return None
        bundle = RequestBundle(self._decode(row.version, row.data), row.data, row.version)
        self._file.delete(row.seq)
        return bundle

    def _forget_all(self) -> None:
        with self._lock:
            queues = list(self._queues.values())
            self._queues.clear()
        for queue in queues:
            _retire(queue)


def _retire(queue: Optional[RequestQueue]) -> None:
    """Let a queue that the map gave up take no more: what is pushed to it would be missing in its successor."""
    if isinstance(queue, StoredQueue):
        queue.discard()
