"""`RedisCluster`: a `Cluster` of processes that share a Redis."""

from __future__ import annotations

import threading
import time
from typing import Any, List, Mapping, Optional
from weakref import WeakSet

from ...errors import ClusterUnavailable, NotRunning, UsageError
from ...forks import register
from ...log_limit import LimitedLog, part_log
from ...option_checks import check_options
from ...settings import LoggerLike, get_part_logger
from ..base import Cluster, ClusterEvent, Holder, Member, Message, Subscription
from ..watcher import Handler, check_handlers
from .connection import Links, settings_of
from .events import RedisSubscription
from .node import Node
from .registry import Registry
from .store import Store

__all__ = ["RedisCluster"]


class RedisCluster(Cluster):
    """A node of a cluster on Redis. Each `Server` and `RemoteServer` has one of its own.

    ::

        server = Server(profiles=v16.PROFILES, cluster=RedisCluster("redis://localhost:6379/0"))

    Nothing is sent to Redis before it is used: so it may be made before a process forks. It needs Redis 6.2, or Valkey,
    and the package ``redis`` (``pip install 'ocppj[redis]'``).

    Args:
        url: Where Redis is, as ``redis.Redis.from_url`` takes it: "rediss://" is TLS. It is ignored beside ``client``.
        prefix: All keys begin with it, in braces; it has none itself. Each system that shares a Redis has its own.
        client: A ``redis.Redis`` of the program, in place of ``url``: for a Sentinel, for example. The cluster makes
            connections of its own, to the same address, with the same user and the same TLS. It sends nothing over
            those of the client. The client's timeouts and retries do not count here: ``timeout`` does, and no command
            is tried again.
        lease: A node that has not been heard of for so many seconds is dead.
        max_inbox: So many messages may wait for a node, and as many in it, for what stores requests. More are refused,
            with `ClusterUnavailable`.
        timeout: The seconds in which Redis has to answer a command.
        redis_options: What ``redis.Redis.from_url`` takes, such as ``ssl_ca_certs``, ``username`` and ``password``.
            Timeouts, retries, encodings, ``protocol``, ``health_check_interval`` and ``max_connections`` are refused:
            the cluster has values of its own for them. In the query of ``url`` they are ignored.

    Raises:
        UsageError: The package ``redis`` is missing, or an option cannot be used.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        prefix: str = "ocppj",
        client: Optional[Any] = None,
        lease: float = 10.0,
        max_inbox: int = 10_000,
        timeout: float = 2.0,
        **redis_options: Any,
    ) -> None:
        check_options("RedisCluster", locals())
        #: The connections, and the prefix of all keys. A `RedisQueueMap` uses them, too.
        self.links: Links = Links(settings_of(url, client, timeout, redis_options), timeout)
        self.prefix: str = prefix
        self._store = Store(self.links, prefix)
        self.max_inbox: int = max_inbox
        self._lease = lease
        self._log = part_log("cluster")
        self._limited = LimitedLog(lambda: get_part_logger("cluster"))
        self._registry = Registry(self._store, self._limited)
        self._lock = threading.Lock()
        self._node: Optional[Node] = None
        self._subscriptions: "WeakSet[RedisSubscription]" = WeakSet()
        register(self)

    @property
    def node_id(self) -> str:
        """The id of this node, from `join` to `leave`. Empty otherwise."""
        node = self._node
        return "" if node is None else node.id

    @property
    def available(self) -> bool:
        """Whether Redis answered when this node renewed its lease the last time. Without a `join` it is not known."""
        node = self._node
        return node is None or node.available

    def join(self, member: Member, logger: Optional[LoggerLike] = None) -> None:
        """Take part, as a new node. Raises `UsageError` if it has joined already."""
        with self._lock:
            if self._node is not None:
                raise UsageError("the cluster is in use: each Server and RemoteServer has one of its own")
            self._log.use(logger)
            self._limited.use(logger)
            node = Node(self._store, member, self._log, self._limited, lease=self._lease, max_inbox=self.max_inbox)
            node.enter()
            self._node = node
        try:
            node.start()
        except BaseException:
            self.leave(0.0)
            raise

    def leave(self, timeout: float = 5.0) -> None:
        """Write what waits, give up all claims, and end the threads of this node."""
        with self._lock:
            node, self._node = self._node, None
        if node is not None:
            node.end(timeout)
            self.links.close()
            self._limited.report(last=True)

    def claim(self, client_id: str, about: Mapping[str, Any]) -> str:
        """Say that this node has a connection of that client, which began just now. Return the id of the claim."""
        node = self._node
        return "" if node is None else node.claim(client_id, about)

    def release(self, client_id: str, claim: str) -> None:
        """Take a claim back. Never waits."""
        node = self._node
        if node is not None:
            node.release(client_id, claim)

    def holder_of(self, client_id: str) -> Optional[Holder]:
        """Return which living node holds that client; ``None``: none does. Raises `ClusterUnavailable`."""
        self._check()
        return self._registry.holder_of(client_id)

    def holders(self) -> List[Holder]:
        """Return all clients that living nodes hold. Raises `ClusterUnavailable`."""
        self._check()
        return self._registry.holders()

    def nodes(self) -> List[str]:
        """Return the ids of the living nodes. Raises `ClusterUnavailable`."""
        self._check()
        return self._registry.nodes()

    def post(self, client_id: str, message: Message, timeout: Optional[float] = None) -> Optional[str]:
        """Deliver ``message`` to the node that holds that client, and return the node's id; ``None``: none does.

        Raises:
            ClusterUnavailable: Redis is away, slow or full, or the inbox of that node is full.
            NotRunning: It has not joined.
        """
        node = self._node
        if node is None:
            raise NotRunning("this process has not joined the cluster")
        self._check()
        return node.post(client_id, message, timeout)

    def reply(self, node_id: str, message: Message) -> None:
        """Deliver ``message`` to that node soon. Never waits. Dropped if that node is gone."""
        node = self._node
        if node is not None:
            node.reply(node_id, message)

    def wants(self, kind: str) -> bool:
        """Return whether anybody has subscribed to that kind of event, as far as this node knows."""
        node = self._node
        return node is not None and node.wants(kind)

    def publish(self, kind: str, client_id: str, about: Mapping[str, Any]) -> None:
        """Spread an event to those that have subscribed. Never waits. Dropped when too much waits."""
        node = self._node
        if node is not None:
            node.publish(ClusterEvent(kind, node.id, client_id, about, time.time()))

    def subscribe(
        self,
        *,
        connected: Optional[Handler] = None,
        disconnected: Optional[Handler] = None,
        request: Optional[Handler] = None,
        max_waiting: int = 1000,
    ) -> Subscription:
        """Have handlers called for what happens on all nodes. See `Cluster.subscribe`."""
        handlers = check_handlers(connected=connected, disconnected=disconnected, request=request)
        subscription = RedisSubscription(
            self._store, handlers, max_waiting, self._log, self._limited, self._subscriptions_changed
        )
        self._subscriptions.add(subscription)
        subscription.start()
        return subscription

    def _subscriptions_changed(self) -> None:
        node = self._node
        if node is not None:
            node.look()

    def _check(self) -> None:
        """Raise at once while Redis is away, so that no thread waits for it."""
        node = self._node
        if node is not None and not node.available:
            raise ClusterUnavailable(f"Redis is away: {node.trouble}")

    def _after_fork(self) -> None:
        """Forget that it has joined, in the child: see `ocppj.forks`."""
        self._node = None
        for subscription in list(self._subscriptions):
            subscription._after_fork()
        self._subscriptions = WeakSet()
        self.links._after_fork()
