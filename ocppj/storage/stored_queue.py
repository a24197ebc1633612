"""`StoredQueue`: the requests of one client in the file of a durable queue, with a copy of them in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Dict, List, Optional, Tuple

from ..dispatch.queues import Decoder, RequestBundle, RequestQueue, check_capacity
from ..errors import NotRunning, QueueFull, UsageError, printable
from ..settings import get_logger
from .database import RequestDatabase, Row, action_of
from .group_commit import PendingInsert

__all__ = ["StoredQueue", "missing_decoder"]

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
        """Read the requests from the file, and take requests from now on.

        A request that cannot be read is set aside. Raises `QueueFailed`, and `UsageError` when there are requests and
        no decoder.
        """
        self.report(*self.revive())

    def revive(self) -> Tuple[int, Refused]:
        """Do as `init`, without the log. Return how many requests there are, and those that were set aside."""
        self.discard()  # otherwise the copy would lack what is pushed from here on
        bundles, refused = [], []
        for row in self._database.rows(self._client_id):
            if self._decode is None:
                raise missing_decoder(self._database)
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
        """Write ``bundle`` to disk and add it at the end. Waits for the disk. Pushes at the same time share a sync.

        When it raises, the request has not been taken.

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
        """Remove and return the head, or ``None``. If the disk fails, that is logged: the request may be sent again."""
        with self._lock:
            taken = self._take(next(iter(self._bundles), None))
        return self._delete(taken)

    def remove(self, message_id: str) -> Optional[RequestBundle]:
        """Remove and return the request of that id, or ``None``. If the disk fails, that is logged, as in `pop`."""
        return self._delete(self._take_id(message_id))

    def set_aside(self, message_id: str, reason: str) -> Optional[RequestBundle]:
        """Take the request of that id out, keep it apart in the file, and return it; ``None`` when there is none.

        The caller logs the reason, because a lock may be held here. If the disk fails, that is logged, as in `pop`.
        """
        taken = self._take_id(message_id)
        if taken is None:
            return None
        self._database.set_aside(taken[0], reason)
        return taken[1]

    def bundles(self) -> List[RequestBundle]:
        with self._lock:
            return list(self._bundles.values())

    def discard(self) -> List[RequestBundle]:
        """Forget the copy in memory, keep the rows, and take no more until `init`. Returns nothing."""
        with self._lock:
            self._open = False
            self._bundles.clear()
            self._numbers.clear()
        return []

    def __len__(self) -> int:
        with self._lock:
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


def missing_decoder(database: RequestDatabase) -> UsageError:
    """Return the error for requests that cannot be decoded."""
    return UsageError(f"{database.path} holds requests that cannot be read: set_decoder() comes first")
