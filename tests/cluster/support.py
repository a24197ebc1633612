"""The kinds of clusters, as the tests of `Cluster` need them: with what goes wrong."""

import threading
from typing import Any, Callable, Dict, List, Tuple

import pytest

from ocppj import Cluster, MemoryCluster, MemoryHub, RedisCluster
from tests.redis_server import RedisServer, SlowRedis, needs_redis

#: Seconds in which everything must be seen that takes a lease, or another try, of any kind of cluster.
SOON = 20.0


class World:
    """What the nodes of a test share. Each kind of cluster has a subclass, which is one of `MAKERS`."""

    name = ""

    def __init__(self) -> None:
        self._made: List[Any] = []

    def make(self) -> Any:
        """Return a `Cluster` object, which has not joined."""
        cluster = self._make()
        self._made.append(cluster)
        return cluster

    def close(self) -> None:
        """End everything."""
        for cluster in self._made:
            cluster.leave()

    def _make(self) -> Cluster:
        raise NotImplementedError

    def set_away(self, away: bool) -> None:
        """Have nobody reach the others, or have it be as before."""
        raise NotImplementedError

    def cut(self, cluster: Any, cut: bool) -> None:
        """Have this node reach nothing, or have it be as before."""
        raise NotImplementedError

    def expire(self) -> None:
        """Return when the leases of the nodes that are cut off have run out, or will soon."""
        raise NotImplementedError

    def restart_empty(self) -> None:
        """Have what the nodes share be lost."""
        raise NotImplementedError


class MemoryWorld(World):
    name = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.hub = MemoryHub(max_inbox=100)

    def _make(self) -> Cluster:
        return MemoryCluster(self.hub)

    def set_away(self, away: bool) -> None:
        self.hub.away = away

    def cut(self, cluster: Any, cut: bool) -> None:
        cluster.away = cut

    def expire(self) -> None:
        self.hub.expire()

    def restart_empty(self) -> None:
        self.hub.restart_empty()


class RedisWorld(World):
    name = "redis"

    def __init__(self) -> None:
        super().__init__()
        self.server = RedisServer()
        self._proxies: Dict[Any, SlowRedis] = {}

    def _make(self) -> Cluster:
        proxy = SlowRedis(self.server)
        cluster = RedisCluster(proxy.url, lease=2.0, max_inbox=100)
        self._proxies[cluster] = proxy
        return cluster

    def set_away(self, away: bool) -> None:
        if away:
            self.server.pause()
        else:
            self.server.go_on()

    def cut(self, cluster: Any, cut: bool) -> None:
        if cut:
            self._proxies[cluster].cut()
        else:
            self._proxies[cluster].heal()

    def expire(self) -> None:
        """Return at once: the lease is short."""

    def restart_empty(self) -> None:
        self.server.restart_empty()

    def close(self) -> None:
        super().close()
        for proxy in self._proxies.values():
            proxy.close()
        self.server.close()


#: Each makes a `World`, and has its ``name``. Each has inboxes for 100 messages.
MAKERS: List[Any] = [MemoryWorld, pytest.param(RedisWorld, marks=needs_redis)]


class Recording:
    """A `Member` that keeps what it is told. ``answer`` is called with each message, on the thread of the cluster."""

    def __init__(self, answer: Callable[[str, Dict[str, Any]], object] = lambda sender, message: None) -> None:
        self.answer = answer
        self._lock = threading.Lock()
        self._got: List[Tuple[str, Dict[str, Any], float]] = []
        self._lost: List[Tuple[str, str]] = []
        self._gone: List[str] = []
        self._changes: List[bool] = []

    def receive(self, sender: str, message: Dict[str, Any], age: float) -> None:
        with self._lock:
            self._got.append((sender, message, age))
        self.answer(sender, message)

    def claim_lost(self, client_id: str, claim: str) -> None:
        with self._lock:
            self._lost.append((client_id, claim))

    def node_gone(self, node_id: str) -> None:
        with self._lock:
            self._gone.append(node_id)

    def availability_changed(self, available: bool) -> None:
        with self._lock:
            self._changes.append(available)

    @property
    def got(self) -> List[Tuple[str, Dict[str, Any], float]]:
        with self._lock:
            return list(self._got)

    @property
    def messages(self) -> List[Dict[str, Any]]:
        return [message for _, message, _ in self.got]

    @property
    def lost(self) -> List[Tuple[str, str]]:
        with self._lock:
            return list(self._lost)

    @property
    def gone(self) -> List[str]:
        with self._lock:
            return list(self._gone)

    @property
    def changes(self) -> List[bool]:
        with self._lock:
            return list(self._changes)
