"""`RedisQueueView`: the requests of a cluster on Redis, seen from a process that is no node of it."""

from __future__ import annotations

import time
from typing import List, Optional

from ...errors import UsageError
from ...storage.queue_file import QueuedRequest, describe, state_of
from .cluster import RedisCluster
from .requests import RedisRequests

__all__ = ["RedisQueueView"]


class RedisQueueView:
    """The requests of all clients of a cluster, for programs that look at them from outside. ``ocppj queue`` uses it.

    It is a context manager. Its methods work while services run.

    Args:
        cluster: Where Redis is.
    """

    def __init__(self, cluster: RedisCluster) -> None:
        self._requests = RedisRequests(cluster.links, cluster.prefix, lambda news: None)

    def __enter__(self) -> "RedisQueueView":
        self._requests.open()
        return self

    def __exit__(self, *error: object) -> None:
        self._requests.close()

    def list(self) -> List[QueuedRequest]:
        """Return the requests: those that wait, oldest first, and then those that were set aside.

        Raises:
            QueueFailed: Redis cannot be reached.
        """
        now = time.time()
        waiting = [describe(row, state_of(row, now)) for row in self._requests.all_rows()]
        aside = [
            QueuedRequest(
                each.client_id or "", each.message_id, each.action, each.version, each.data, None, None, "set aside",
                each.reason, each.time,
            )
            for each in self._requests.list_set_aside()
        ]  # fmt: skip
        return [*waiting, *aside]

    def set_aside(self, message_id: str, client_id: Optional[str] = None, reason: str = "") -> None:
        """Raise `UsageError`: a node may be sending the request just now, and only that node can take it back."""
        raise UsageError("requests on Redis cannot be set aside from outside: cancel them in a service (queues.cancel)")

    def put_back(self, message_id: str, client_id: Optional[str] = None) -> None:
        """Have a request that was set aside sent after all.

        Raises:
            UsageError: No such request was set aside, or several were.
            QueueFailed: Redis cannot be reached.
        """
        self._requests.take_set_aside(self._client_of(message_id, client_id), message_id, True)

    def forget(self, message_id: str, client_id: Optional[str] = None) -> None:
        """Delete a request that was set aside. Raises as `put_back`."""
        self._requests.take_set_aside(self._client_of(message_id, client_id), message_id, False)

    def _client_of(self, message_id: str, client_id: Optional[str]) -> Optional[str]:
        found = {each.client_id for each in self._requests.list_set_aside() if each.message_id == message_id}
        if client_id is None and len(found) > 1:
            names = ", ".join(sorted(each or "" for each in found))
            raise UsageError(f"requests of several clients have the id {message_id!r}: say which of {names} is meant")
        return next(iter(found), None) if client_id is None else client_id
