"""`RedisQueueMap`: the requests of all clients of a cluster, on Redis. ``docs/durable.md`` has what is promised."""

from __future__ import annotations

import threading
import zlib
from contextlib import nullcontext
from functools import partial
from typing import Callable, ContextManager, List, Literal, Optional

from ...dispatch.interfaces import EndedElsewhere
from ...dispatch.queues import Overflow, QueueOwner, RequestBundle, RequestQueue
from ...errors import UsageError
from ...option_checks import check_options
from ...storage.stored_queues import Loading, StoredQueue, StoredQueueMap
from ..line import Line
from .cluster import RedisCluster
from .queue_news import News
from .requests import RedisRequests

__all__ = ["RedisQueueMap"]

#: So many clients are loaded at a time at most.
_TURNS = 64
#: A node looks at least every so many seconds which requests have expired: the node that stored one may be dead.
_LOOK = 300.0


class _Turns(Loading):
    """The turns of a map that shares its requests: many clients are loaded at a time, as each waits for Redis.

    Requests are stored without a turn: a queue that is loaded meanwhile learns of them, as it does of those of other
    nodes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._locks = [threading.Lock() for _ in range(_TURNS)]

    def of(self, client_id: str) -> ContextManager[object]:
        return self._locks[zlib.crc32(client_id.encode("utf-8", "replace")) % _TURNS]

    def of_all(self) -> ContextManager[object]:
        return nullcontext()


class RedisQueueMap(StoredQueueMap):
    """The requests of all clients of a cluster, on Redis. Each server of the cluster has one of its own.

    A request stays on Redis until it is answered, or has ended in another way, and the program was told of it. It
    follows its client to whichever node that connects to. What Redis has is as safe as its own persistence makes it:
    with ``appendonly yes`` and ``appendfsync always`` a request is on disk when ``send_request`` returns; with
    ``everysec`` the last second may be lost with the machine of Redis; with snapshots alone, the last minutes; without
    persistence, all when Redis ends. A failover may lose what the new master had not received yet.

    Args:
        cluster: Where Redis is. The server may, and need not, take part in that cluster.
        capacity: How many requests per client it holds at most; 0 means no limit. Nodes that store requests for one
            client at the same moment may exceed it, by one each.
        overflow: What happens when that many wait for a client; as for `FIFOClientQueue`.
        on_lost: What happens while Redis cannot be reached. ``"refuse"``: new requests raise `QueueFailed`.
            ``"memory"``: new requests to connected clients are kept in memory alone. In both cases what is in memory
            is sent, clients may connect, and what Redis has for them is sent when it is back.

    Raises:
        UsageError: for a negative capacity, and for such an ``overflow`` as "drop"; and a second server that is made
            with it.
    """

    loss = "%s cannot be reached: what it has is not sent until it is back, new requests are in memory alone: %s"

    def __init__(
        self,
        cluster: RedisCluster,
        capacity: int = 0,
        *,
        overflow: Overflow = None,
        on_lost: Literal["refuse", "memory"] = "refuse",
    ) -> None:
        check_options("RedisQueueMap", locals())
        self._timeout = cluster.links.timeout
        self._ends: Optional[Line] = None  # calls functions of the program, which may take long
        self._requests = RedisRequests(cluster.links, cluster.prefix, self._hear)
        super().__init__(self._requests, capacity, overflow, on_lost, _Turns())

    def init(self) -> None:
        """Begin as a new node, and start the threads."""
        if self._ends is None:
            self._ends = Line("ocppj-queue-ends", self._requests.safe_log)
            self._ends.start()
        super().init()

    def close(self) -> None:
        """Forget every queue in memory, and leave Redis. Removals that wait are written, if Redis can be reached."""
        super().close()
        ends, self._ends = self._ends, None
        if ends is not None:
            ends.close(2 * self._timeout)  # a function of the program may take longer

    def _after_fork(self) -> None:
        super()._after_fork()
        self._ends = None

    def set_owner(self, owner: QueueOwner) -> None:
        if self._owner not in (None, owner):
            raise UsageError("the RedisQueueMap is in use: each Server has one of its own")
        super().set_owner(owner)

    def get_or_create(self, client_id: str) -> RequestQueue:
        known = self.get(client_id)
        queue = super().get_or_create(client_id)
        if known is None and self._owner is not None:
            expiring = [bundle for bundle in queue.bundles() if bundle.expires is not None]
            if expiring:  # this node ends them from now on
                self._owner.queue_grew(client_id, expiring)
        return queue

    def next_expiry(self, now: float) -> Optional[float]:
        following = super().next_expiry(now)
        return now + _LOOK if following is None else min(following, now + _LOOK)

    def _opens_when_lost(self) -> bool:
        return True  # what is stored is loaded when Redis is back

    def _tell_of_loss(self, error: Exception) -> None:
        if self._goes_on:
            super()._tell_of_loss(error)

    def _hear(self, news: News) -> None:
        """Look at what other nodes have changed."""
        if news.kind in ("all", "lost"):
            self._look_at_all(news.kind == "lost")
        elif news.kind == "new":
            self._look_at(news.client_id)
        elif news.kind in ("ended", "canceled"):
            self._end(news.client_id, int(news.about), news.kind == "canceled")
        elif news.kind == "over" and self._owner is not None:
            self._tell(partial(self._owner.ended_elsewhere, news.client_id, news.about))

    def _tell(self, job: Callable[[], object]) -> None:
        """Have the program be told of an end, on another thread: this one has the news of all clients to read."""
        ends = self._ends
        if ends is not None:
            ends.put(job)

    def _look_at_all(self, lost: bool) -> None:
        """Load what is new of all clients: Redis was away. If it has ``lost`` what it had, it gets that again."""
        with self._lock:
            self._lost = False
            clients = list(self._queues)
        for client_id in clients:
            self._look_at(client_id, lost)
            self._requests.renew()  # else Redis forgets a node with many clients meanwhile, and it begins again

    def _look_at(self, client_id: str, lost: bool = False) -> None:
        """Load what other nodes have stored for that client, if it has a queue here."""
        with self._loading.of(client_id):
            queue = self.get(client_id)
            if not isinstance(queue, StoredQueue):
                return
            if lost:
                self._requests.restore(queue, client_id)
            added = self._merge(queue, client_id)
        if added and self._owner is not None:
            self._owner.queue_grew(client_id, added)

    def _merge(self, queue: StoredQueue, client_id: str) -> List[RequestBundle]:
        known = queue.numbers()  # first: what ends meanwhile is not added again
        rows = self._database.load(queue, client_id)
        added, refused = queue.merge([row for row in rows if row.seq not in known and row.place != queue.place])
        queue.report(0, refused)
        return added

    def _end(self, client_id: str, seq: int, canceled: bool) -> None:
        """Do not send a request that another node has ended, unless that is done. If it was canceled, end that, too.

        The other node tells the handlers of a cancellation.
        """
        with self._loading.of(client_id):  # not while it is loaded: what was read may be what has ended since
            queue = self.get(client_id)
        bundle = queue.bundle_at(seq) if isinstance(queue, StoredQueue) else None
        if bundle is None or not isinstance(queue, StoredQueue):
            return
        if self._owner is None or not self._owner.is_pending(client_id, bundle.message_id):
            queue.drop(seq)
        elif canceled:
            error = EndedElsewhere("the request was canceled by another process", bundle.message_id)
            queue.drop(seq)  # first: it is the other node that settles it
            self._tell(partial(self._owner.cancel_request, client_id, bundle.message_id, error))
