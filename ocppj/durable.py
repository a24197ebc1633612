"""Request queues that outlive the process: `SQLiteQueue` for a client, `SQLiteQueueMap` for a server.

What is promised. When ``push`` returns, the request is on disk, synced. Removing a request is written at once, but not
synced: it survives the death of the process; after a power cut the request may be back, and is then sent twice, but
none is lost. So: at least once, in order. How the file keeps that: `ocppj.sqlitefile`.

How. The file holds the requests of one queue, or of all clients of a map. Each queue has a mirror in memory, from which
it answers everything; the file is read by ``init`` and ``get_or_create`` alone. Two locks:

* The file's lock is held while SQLite works: for ``push``, during a sync. Rows enter file and mirror under it, so that
  both have the same order.
* A queue's own lock guards its mirror, and is held for a moment. It may be taken while the file's is held, never the
  other way round.

Dispatchers call ``pop`` and ``remove`` with a lock of theirs held, so these never wait for the file's lock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Dict, List, Optional, Tuple

from .errors import MessageError, NotRunning, OcppjError, QueueFailed, QueueFull, UsageError
from .messages import parse_json_message
from .queues import Decoder, RequestBundle, RequestQueue, ServerQueueMap
from .settings import get_logger
from .sqlitefile import PathLike, RequestFile, Row

__all__ = ["SQLiteQueue", "SQLiteQueueMap"]


class _StoredQueue(RequestQueue):
    """The requests of one client in ``file``, and their mirror in memory."""

    durable = True

    def __init__(self, file: RequestFile, client_id: Optional[str], capacity: int) -> None:
        self._file = file
        self._client_id = client_id
        self._capacity = _checked(capacity)
        self._decode: Optional[Decoder] = None
        self._lock = threading.Lock()  # guards what is below; taken inside the file's lock, never around it
        self._bundles: "OrderedDict[int, RequestBundle]" = OrderedDict()
        self._numbers: Dict[str, List[int]] = {}  # by message id, which need not be unique here
        self._taking = False

    def set_decoder(self, decode: Decoder) -> None:
        """Read the requests that an earlier process left with ``decode``."""
        self._decode = decode

    def init(self) -> None:
        """Fill the mirror from the file, and take requests from now on.

        Raises `QueueFailed` for a request that cannot be read, `UsageError` when there are requests and no decoder.
        """
        self.discard()  # else what is pushed from here on would be missing in the mirror
        rows = self._file.rows(self._client_id)
        if rows and self._decode is None:
            raise _no_decoder(self._file)
        bundles = [] if self._decode is None else [_decoded(self._file, row, self._decode) for row in rows]
        with self._lock:
            for seq, bundle in bundles:
                self._add(seq, bundle)
            self._taking = True
        if bundles:
            whose = "" if self._client_id is None else f" for {self._client_id}"
            get_logger().info("%s: %d requests%s wait since earlier", self._file.path, len(bundles), whose)

    def push(self, bundle: RequestBundle) -> None:
        """Write ``bundle`` to disk and add it at the end. Waits for the disk; requests pushed at once come one by one.

        Raises `QueueFull`, `QueueFailed` when it could not be written, and `NotRunning` before `init` and after
        `discard`; it has not been taken then.
        """
        with self._file.held():
            with self._lock:
                if not self._taking:
                    raise NotRunning(f"the queue in {self._file.path} is not open")
                if self._full():
                    raise QueueFull(f"the queue holds {self._capacity} requests, all it may")
            seq = self._file.insert(self._client_id, bundle)
            with self._lock:
                if self._taking:  # else it waits in the file for the next `init`
                    self._add(seq, bundle)

    def peek(self) -> Optional[RequestBundle]:
        """Return the head, or ``None``."""
        with self._lock:
            return next(iter(self._bundles.values()), None)

    def pop(self) -> Optional[RequestBundle]:
        """Remove and return the head, or ``None``. A disk that fails is logged: the request may be sent again."""
        with self._lock:
            taken = self._take(next(iter(self._bundles), None))
        return self._delete(taken)

    def remove(self, message_id: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, or ``None``. A disk that fails is logged, as in `pop`."""
        with self._lock:
            taken = self._take(next(iter(self._numbers.get(message_id, ())), None))
        return self._delete(taken)

    def bundles(self) -> List[RequestBundle]:
        """Return what is in the queue, in order."""
        with self._lock:
            return list(self._bundles.values())

    def discard(self) -> List[RequestBundle]:
        """Forget the mirror, keep the rows, and take no more until `init`. Returns nothing."""
        with self._lock:
            self._taking = False
            self._bundles.clear()
            self._numbers.clear()
        return []

    def __len__(self) -> int:
        """Return how many requests are in the queue."""
        with self._lock:
            return len(self._bundles)

    def is_full(self) -> bool:
        """Tell whether the queue holds ``capacity`` requests."""
        with self._lock:
            return self._full()

    def is_empty(self) -> bool:
        """Tell whether there is nothing in the queue."""
        return len(self) == 0

    def _full(self) -> bool:
        return 0 < self._capacity <= len(self._bundles)

    def _add(self, seq: int, bundle: RequestBundle) -> None:
        self._bundles[seq] = bundle
        self._numbers.setdefault(bundle.message_id, []).append(seq)

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
        self._file.delete(taken[0])
        return taken[1]


class SQLiteQueue(_StoredQueue):
    """The requests of a client, in the SQLite file ``path``, which no one else may use. ``capacity`` 0 means no limit.

    See the head of this file for what is promised. Raises `UsageError` for a path that is no file's (":memory:").
    """

    def __init__(self, path: PathLike, capacity: int = 0) -> None:
        super().__init__(RequestFile(path), None, capacity)

    def init(self) -> None:
        """Open the file, made if need be, and take up the requests in it.

        Raises `QueueDamaged` for a damaged file, or one of another kind; `QueueFailed` when it cannot be opened, is in
        use, or holds a request that cannot be read; `UsageError` when it holds requests and there is no decoder.
        """
        self._file.open()
        try:
            if self._file.count("client_id IS NOT NULL"):
                raise UsageError(f"{self._file.path} holds the requests of a SQLiteQueueMap")
            super().init()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Take no more, and release the file. The requests stay in it."""
        self.discard()
        self._file.close()


class SQLiteQueueMap(ServerQueueMap):
    """The requests of all clients of a server, in the SQLite file ``path``; ``capacity`` per client, 0 means no limit.

    Requests of a client that is not connected stay in the file until it is back. As `SQLiteQueue` otherwise.
    """

    durable = True

    def __init__(self, path: PathLike, capacity: int = 0) -> None:
        self._file = RequestFile(path)
        self._capacity = _checked(capacity)
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
            if self._file.count("client_id IS NULL"):
                raise UsageError(f"{self._file.path} holds the requests of a SQLiteQueue")
            if self._decode is None and self._file.count():
                raise _no_decoder(self._file)
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

        Waits for the disk. Raises `QueueFailed` for a request that cannot be read, `NotRunning` before `init`.
        """
        queue = self.get(client_id)
        if queue is not None:  # though another's requests are being read from the disk
            return queue
        with self._reviving:
            queue = self.get(client_id)
            if queue is not None:
                return queue
            stored = _StoredQueue(self._file, client_id, self._capacity)
            if self._decode is not None:
                stored.set_decoder(self._decode)
            stored.init()
            with self._lock:
                return self._queues.setdefault(client_id, stored)

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
        except OcppjError as error:
            get_logger().error("%s: request %r cannot be withdrawn: %s", self._file.path, message_id, error)
            return None

    def _take_stored(self, client_id: str, message_id: str) -> Optional[RequestBundle]:
        row = next((row for row in self._file.rows(client_id) if row.message_id == message_id), None)
        if row is None or self._decode is None:
            return None
        _, bundle = _decoded(self._file, row, self._decode)
        self._file.delete(row.seq)
        return bundle

    def _forget_all(self) -> None:
        with self._lock:
            queues = list(self._queues.values())
            self._queues.clear()
        for queue in queues:
            _retire(queue)


def _checked(capacity: int) -> int:
    if capacity < 0:
        raise ValueError("the capacity must not be negative; 0 means no limit")
    return capacity


def _retire(queue: Optional[RequestQueue]) -> None:
    """Let a queue that the map gave up take no more: what is pushed to it would be missing in its successor."""
    if isinstance(queue, _StoredQueue):
        queue.discard()


def _no_decoder(file: RequestFile) -> UsageError:
    return UsageError(f"{file.path} holds requests that cannot be read: set_decoder() comes first")


def _decoded(file: RequestFile, row: Row, decode: Decoder) -> Tuple[int, RequestBundle]:
    """Return the number and the request of ``row``. Raises `QueueFailed` when ``decode`` raises."""
    try:
        return row.seq, RequestBundle(decode(row.version, row.data), row.data, row.version)
    except Exception as error:
        what = f"request {row.message_id!r} ({_action(row.data)}, OCPP {row.version or 'of no version'})"
        raise QueueFailed(f"{file.path}: {what} cannot be read: {error}") from error


def _action(text: str) -> str:
    try:
        return str(parse_json_message(text)[2])
    except (MessageError, IndexError):
        return "no CALL"
