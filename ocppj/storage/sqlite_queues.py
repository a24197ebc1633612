"""Request queues in a file: `SQLiteQueue` for a client, `SQLiteQueueMap` for a server.

``docs/durable.md`` has what is promised, and `ocppj.storage.database` how the file keeps it. Rows enter the file and
the copy in memory under the database's lock: both have the same order.
"""

from __future__ import annotations

from typing import List, Literal

from ..dispatch.queues import Overflow, policy_of
from ..errors import UsageError
from ..option_checks import check_options
from .database import PathLike, RequestDatabase, SetAside
from .stored_queues import StoredQueue, StoredQueueMap, missing_decoder

__all__ = ["SQLiteQueue", "SQLiteQueueMap", "SetAside"]


class SQLiteQueue(StoredQueue):
    """The requests of a client, in a file.

    Args:
        path: The SQLite file. Nothing else may use it. It is made by `init` if there is none.
        capacity: How many requests it holds at most; 0 means no limit.
        overflow: What happens when it is full; as for `FIFOClientQueue`.

    Raises:
        UsageError: for a path that is not a file's (":memory:"), a negative capacity, and for such an ``overflow`` as
            "drop".
    """

    def __init__(self, path: PathLike, capacity: int = 0, *, overflow: Overflow = None) -> None:
        check_options("SQLiteQueue", locals())
        policy = policy_of(overflow)
        self._file = RequestDatabase(path)
        super().__init__(self._file, None, capacity, None if policy is None else policy.for_queue())

    def init(self) -> None:
        """Open the file, made if need be, and read it. What cannot be read is set aside, and an ERROR is logged.

        Raises:
            QueueDamaged: when the file is damaged, or is of another kind.
            QueueFailed: when it cannot be opened, or is in use.
            UsageError: when it holds requests and there is no decoder, or the requests of a `SQLiteQueueMap`.
        """
        self._file.open()
        try:
            if self._file.has_rows(of_clients=True):
                raise UsageError(f"{self._file.path} holds the requests of a SQLiteQueueMap")
            super().init()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self.discard()
        self._file.close()

    def list_set_aside(self) -> List[SetAside]:
        """Return the requests that were set aside, oldest first. Like `put_back` and `forget`, waits for the disk.

        Raises:
            NotRunning: when the queue is not open.
            QueueFailed: when the file cannot be read or written.
        """
        return self._file.list_set_aside()

    def put_back(self, message_id: str) -> None:
        """Have a request that was set aside sent after all, in its old place: with the next start, after `init`.

        If several have that id, the oldest is put back.

        Raises:
            UsageError: when no request of that id was set aside.
            OcppjError: What `list_set_aside` raises.
        """
        self._file.take_set_aside(None, message_id, put_back=True)

    def forget(self, message_id: str) -> None:
        """Delete a request that was set aside. Raises as `put_back`."""
        self._file.take_set_aside(None, message_id, put_back=False)


class SQLiteQueueMap(StoredQueueMap):
    """The requests of all clients of a server, in a file. Those of a client that is not connected stay in the file.

    Args:
        path: The SQLite file, as for `SQLiteQueue`.
        capacity: How many requests per client it holds at most; 0 means no limit.
        overflow: What happens when that many wait for a client; as for `FIFOClientQueue`.
        on_lost: What happens when the file is lost while the server runs: deleted, moved, or not to be read or written
            any more. ``"refuse"``: new requests raise `QueueFailed`, and clients that connect are refused with 1011.
            ``"memory"``: both go on, an ERROR is logged, and new requests to connected clients are in memory alone
            until the server is stopped. A file that is lost at the start is an error all the same.

    Raises:
        UsageError: for a path that is not a file's (":memory:"), a negative capacity, and for such an ``overflow`` as
            "drop".
    """

    loss: str = (
        "%s is lost: requests are kept in memory alone, and those in the file are not sent, "
        "until the server is started again: %s"
    )

    def __init__(
        self,
        path: PathLike,
        capacity: int = 0,
        *,
        overflow: Overflow = None,
        on_lost: Literal["refuse", "memory"] = "refuse",
    ) -> None:
        check_options("SQLiteQueueMap", locals())
        self._file = RequestDatabase(path)
        super().__init__(self._file, capacity, overflow, on_lost)

    def init(self) -> None:
        """Open the file, made if need be, and forget every queue in memory. Raises as `SQLiteQueue.init`."""
        super().init()
        try:
            if self._file.has_rows(of_clients=False):
                raise UsageError(f"{self._file.path} holds the requests of a SQLiteQueue")
            if self._decode is None and self._file.count():
                raise missing_decoder(self._file)
        except BaseException:
            self._file.close()
            raise
