"""Nodes on a Redis server of its own, for the tests of `RedisCluster`. Import the fixtures by their names."""

import threading
from typing import Any, Iterator, List, Optional

import pytest

from ocppj import ClusterUnavailable, RedisCluster
from tests.cluster.support import Recording
from tests.helpers import eventually
from tests.redis_server import RedisServer

#: Seconds in which everything must be seen.
SOON = 20.0


@pytest.fixture(scope="module")
def one_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(one_server: RedisServer) -> RedisServer:
    """A Redis server that runs, and is empty."""
    with one_server.client() as client:
        client.flushall()
    return one_server


class Nodes:
    """Makes nodes that have joined, and ends them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: List[RedisCluster] = []

    def __call__(self, member: Optional[Any] = None, url: Optional[str] = None, **options: Any) -> Any:
        """Return a node that has joined; its member is ``member``."""
        cluster = RedisCluster(url or self._url, **{"lease": 2.0, **options})
        self._made.append(cluster)
        cluster.join(member or Recording())
        return cluster

    def close(self) -> None:
        for cluster in self._made:
            cluster.leave()


@pytest.fixture
def nodes(server: RedisServer) -> Iterator[Nodes]:
    made = Nodes(server.url)
    yield made
    made.close()


def held_by(cluster: Any, client_id: str, node: Any) -> None:
    """Wait until ``cluster`` says that ``node`` holds that client."""

    def is_held() -> bool:
        try:
            return getattr(cluster.holder_of(client_id), "node_id", None) == node.node_id
        except ClusterUnavailable:  # it is just finding out that Redis is back
            return False

    eventually(is_held, SOON)


def post_once(cluster: Any, client_id: str, message: Any) -> None:
    """Post as soon as Redis can be reached."""

    def post() -> bool:
        try:
            return bool(cluster.post(client_id, message))
        except ClusterUnavailable as error:
            if error.maybe_sent:
                raise
            return False

    eventually(post, SOON)


def keys_of(server: RedisServer) -> List[str]:
    with server.client() as client:
        return sorted(key.decode() for key in client.keys("*"))


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def texts(member: Recording) -> List[Any]:
    return [message["text"] for message in member.messages]
