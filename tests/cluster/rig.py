"""Three nodes, each with a proxy before Redis, and stations on them: where tests break things."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from typing import Any, Collection, Dict, List, Optional, Sequence

from tests.cluster.fault_proxy import RedisProxy
from tests.cluster.node_processes import Node, NodeFailed
from tests.cluster.stations import Stations
from tests.helpers import eventually, seconds
from tests.redis_server import RedisServer

__all__ = ["LEASE", "STATIONS", "Rig", "ends_of"]

LEASE = seconds(2)
STATIONS = int(os.environ.get("OCPPJ_CLUSTER_STATIONS", "500"))

#: What Redis may hold at the end for a cluster at rest: keys for each node, and some for all.
_KEYS_PER_NODE, _KEYS = 4, 8


def ends_of(done: Dict[str, Any]) -> "Counter[str]":
    """Return how calls ended, from the answer to the order "calls"; fail if one did not end exactly once."""
    wrong = {text: ends for text, ends in done["ends"].items() if len(ends) != 1}
    assert wrong == {}, wrong
    return Counter(ends[0] for ends in done["ends"].values())


class Rig:
    """The parts. Use it as a context; `check` looks at all that must hold in the end.

    Args:
        nodes: How many.
        stations: How many.
        skews: By how many seconds the clock of each node is wrong.
        redis: The server, if not one of its own.
        server: Options of each node's `Server`.
        cluster: Options of each node's `RedisCluster`, in place of the URL of its proxy.
    """

    def __init__(
        self,
        nodes: int = 3,
        stations: int = STATIONS,
        skews: Sequence[float] = (),
        redis: Optional[RedisServer] = None,
        server: Optional[Dict[str, Any]] = None,
        cluster: Optional[Dict[str, Any]] = None,
    ) -> None:
        self._stack = ExitStack()
        self._names = 0
        self._options = {"server": server or {}, "patience": seconds(120), "verbose": "OCPPJ_VERBOSE" in os.environ}
        self._cluster = cluster
        try:
            self.redis = self._stack.enter_context(RedisServer()) if redis is None else redis
            proxies = [RedisProxy(self.redis.port) for _ in range(nodes)]
            self.proxies = [self._stack.enter_context(proxy) for proxy in proxies]
            self.nodes = [self.start_node(n, skew) for n, skew in enumerate(skews or [0] * nodes)]
            self.stations = self._stack.enter_context(Stations([node.url for node in self.nodes], stations))
            self.stations.wait_until_connected()
        except BaseException:
            self._stack.close()
            raise

    def start_node(self, number: int, skew: float = 0.0) -> Node:
        """Return a new node, whose Redis is behind the proxy of that number."""
        redis = {"url": f"redis://127.0.0.1:{self.proxies[number].port}/0"} if self._cluster is None else self._cluster
        return self._start({"redis": redis, "skew": skew})

    def start_remote(self) -> Node:
        """Return a new process with a `RemoteServer`, which no proxy is before."""
        return self._start({"redis": {"url": self.redis.url}, "remote": True, "server": {}})

    def _start(self, options: Dict[str, Any]) -> Node:
        redis = {"lease": LEASE, "timeout": seconds(1), **options["redis"]}
        return self._stack.enter_context(Node(**{**self._options, **options, "redis": redis}))

    def replace_node(self, number: int) -> None:
        """Kill a node, and start another in its place."""
        self.nodes[number].kill()
        self.nodes[number] = self.start_node(number)
        self.stations.urls[number] = self.nodes[number].url

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    # Calls

    def begin_calls(self, by: int, clients: Sequence[str], count: int, timeout: float, **more: Any) -> "Future[Any]":
        """Have node ``by`` make ``count`` calls of these clients, each with a text of its own."""
        self._names += 1
        name = f"{by}/{self._names}"
        order = {"clients": clients, "count": count, "timeout": seconds(timeout), "name": name, **more}
        return self.nodes[by].begin("calls", **order)

    def call(self, by: int, clients: Sequence[str], timeout: float = 5.0, **more: Any) -> "Counter[str]":
        """Have node ``by`` call each of these clients once, and return how that ended."""
        done = self.begin_calls(by, clients, len(clients), timeout, **more).result(seconds(100))
        print(f"node {by}: {dict(ends_of(done))}, the slowest after {done['slowest']:.2f} s {done['errors'] or ''}")
        return ends_of(done)

    def elsewhere(self, node: int) -> List[str]:
        """Return the stations that are connected to another node."""
        return [identity for identity, at in self.stations.where().items() if at != node]

    def here(self, node: int, count: int = 20) -> List[str]:
        """Return some stations that are connected to that node."""
        return self.stations.on(node)[:count]

    # What holds

    def knows_all(self, node: Node) -> bool:
        """Tell whether that node knows of each station that some node holds it."""
        with suppress(NodeFailed):
            return bool(node.ask("connections") == sorted(self.stations.ids))
        return False

    def wait_until_whole(self, timeout: float = 30.0, but: Collection[int] = ()) -> None:
        """Wait until all stations are connected, and each node but those in ``but`` knows that."""
        self.stations.wait_until_connected(timeout)
        for node in self._living(but):
            eventually(lambda node=node: self.knows_all(node), timeout)

    def _living(self, but: Collection[int] = ()) -> List[Node]:
        return [node for n, node in enumerate(self.nodes) if n not in but]

    def check_stations_are_served(self) -> None:
        """Check that each node answers what its stations ask."""
        before = self.stations.answers
        count = self.stations.say_hello()
        assert count == len(self.stations.ids)
        eventually(lambda: self.stations.answers == before + count)

    def check_whole(self, but: Collection[int] = ()) -> None:
        """Check that each node but those in ``but`` can call all stations that others hold."""
        self.wait_until_whole(but=but)
        for number in range(len(self.nodes)):
            if number not in but:
                clients = self.elsewhere(number)
                assert self.call(number, clients) == {"answered": len(clients)}

    def check(self, but: Collection[int] = ()) -> None:
        """Check that all recovered, that nothing came twice, that nothing grew, and that nodes stop cleanly."""
        self.check_whole(but)
        self.check_stations_are_served()
        assert self.stations.repeated() == {}
        self.check_redis(len(self.nodes) - len(set(but)))
        for node in self._living(but):
            assert node.ask("stats")["errors"] == []
            eventually(lambda node=node: node.ask("stats")["open"] == [0, 0])
        for node in self._living(but):
            left = node.ask("stop")
            assert left["left"] == [] and left["errors"] == [], left
            assert left["took"] < seconds(10), left

    def check_redis(self, nodes: int) -> None:
        """Check that Redis holds no more than a cluster at rest needs."""
        with self.redis.client() as client:
            eventually(lambda: client.dbsize() <= nodes * _KEYS_PER_NODE + _KEYS)
            keys = {key: client.type(key) for key in client.scan_iter()}
            print({key.decode(): kind.decode() for key, kind in keys.items()})
            for stream in [key for key, kind in keys.items() if kind == b"stream"]:
                eventually(lambda stream=stream: client.xlen(stream) <= 100)
            used = client.info("memory")["used_memory_dataset"]
        assert used < 10_000_000, used


class Clock:
    """Measures how long something takes."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began


def wait(for_seconds: float) -> None:
    """Wait so long, scaled: for faults that last."""
    threading.Event().wait(seconds(for_seconds))
