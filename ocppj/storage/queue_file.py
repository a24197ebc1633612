"""`QueueFile`: the file of a `SQLiteQueue` or a `SQLiteQueueMap`, seen from another process than its own."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Iterator, List, NamedTuple, Optional

from ..errors import UsageError
from .database import PathLike, RequestDatabase, Row, action_of, read_file

__all__ = ["QueueFile", "QueuedRequest", "describe", "state_of"]


class QueuedRequest(NamedTuple):
    """A request in a file.

    Attributes:
        client_id: The charging station. "" in the file of a client.
        message_id: Its id.
        action: Its action.
        version: "1.6", "2.0.1" or "2.1".
        data: The CALL as it is sent.
        since: When it was stored, in UTC. ``None``: it is not known.
        expires: When it ends at the latest, in UTC, or ``None``.
        state: "waiting"; "waiting for boot" (the client must have booted); "expired" (its time is over, and it is
            removed at the next start); or "set aside".
        reason: Why it was set aside, else "".
        set_aside: When it was set aside, in UTC, or ``None``.
    """

    client_id: str
    message_id: str
    action: str
    version: str
    data: str
    since: Optional[datetime]
    expires: Optional[datetime]
    state: str
    reason: str = ""
    set_aside: Optional[datetime] = None


class QueueFile:
    """The file of a durable queue, for programs that look into it from outside. ``ocppj queue`` uses it.

    `list` works while a service has the file open, and changes nothing. The other methods need the file for themselves.

    Args:
        path: The file.
    """

    def __init__(self, path: PathLike) -> None:
        self._path = path

    def list(self) -> List[QueuedRequest]:
        """Return the requests in the file: those that wait, oldest first, and then those that were set aside.

        How often a request was tried is not in the file: the process that sends it counts that in memory.

        Raises:
            UsageError: There is no such file, or this process has it open.
            QueueDamaged: The file is damaged, or is of another kind.
            QueueFailed: It cannot be read.
        """
        content, now = read_file(self._path), time.time()
        waiting = [describe(row, state_of(row, now)) for row in content.waiting]
        aside = [describe(row, "set aside", reason, when) for row, reason, when in content.set_aside]
        return [*waiting, *aside]

    def set_aside(self, message_id: str, client_id: Optional[str] = None, reason: str = "set aside by hand") -> None:
        """Have a request that waits not be sent. It stays in the file until `put_back` or `forget`.

        Args:
            message_id: Its id.
            client_id: Whose request it is, if requests of several clients have that id.
            reason: Why.

        Raises:
            UsageError: No such request waits, or several do.
            QueueInUse: A service has the file open.
            OcppjError: What `list` raises.
        """
        with self._open() as database:
            rows = [row for row in database.rows_of_message(message_id) if client_id in (None, row.client_id)]
            if not rows:
                raise UsageError(f"no request {message_id!r}{_whose(client_id)} waits in {database.path}")
            _check_clients([row.client_id or "" for row in rows], message_id)
            database.set_aside(rows[0].seq, reason)
            database.list_set_aside()  # it raises if that could not be written

    def put_back(self, message_id: str, client_id: Optional[str] = None) -> None:
        """Have a request that was set aside sent after all, in its old place. Raises as `set_aside`."""
        self._take(message_id, client_id, True)

    def forget(self, message_id: str, client_id: Optional[str] = None) -> None:
        """Delete a request that was set aside. Raises as `set_aside`."""
        self._take(message_id, client_id, False)

    def _take(self, message_id: str, client_id: Optional[str], put_back: bool) -> None:
        with self._open() as database:
            found = [each for each in database.list_set_aside() if each.message_id == message_id]
            clients = [each.client_id for each in found if client_id in (None, each.client_id)]
            if not clients:
                if any(client_id in (None, row.client_id) for row in database.rows_of_message(message_id)):
                    raise UsageError(f"the request {message_id!r}{_whose(client_id)} waits: it was not set aside")
                raise UsageError(f"no request {message_id!r}{_whose(client_id)} was set aside in {database.path}")
            _check_clients([each or "" for each in clients], message_id)
            database.take_set_aside(clients[0], message_id, put_back)

    @contextmanager
    def _open(self) -> Iterator[RequestDatabase]:
        """Return the file, open for this process alone. One that is not there is not made."""
        read_file(self._path)  # raises for files of another kind
        database = RequestDatabase(self._path)
        if not os.path.getsize(database.path):
            raise UsageError(f"{database.path} is empty")
        database.open()
        try:
            yield database
        finally:
            database.close()


def state_of(row: Row, now: float) -> str:
    """Return the state of a request that was not set aside. ``now`` is as `time.time`."""
    if row.expires is not None and row.expires <= now:
        return "expired"
    return "waiting for boot" if row.offline else "waiting"


def describe(row: Row, state: str, reason: str = "", when: Optional[datetime] = None) -> QueuedRequest:
    """Return what a row says."""
    since, expires = _moment(row.since), _moment(row.expires)
    action = action_of(row.data)
    return QueuedRequest(
        row.client_id or "", row.message_id, action, row.version, row.data, since, expires, state, reason, when
    )


def _moment(seconds: Optional[float]) -> Optional[datetime]:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)


def _whose(client_id: Optional[str]) -> str:
    return "" if client_id is None else f" of client {client_id!r}"


def _check_clients(clients: List[str], message_id: str) -> None:
    if len(set(clients)) > 1:
        names = ", ".join(sorted(set(clients)))
        raise UsageError(f"requests of several clients have the id {message_id!r}: say which of {names} is meant")
