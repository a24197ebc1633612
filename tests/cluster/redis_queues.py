"""What tests of requests on Redis share: a Redis server, and maps as of several nodes."""

from typing import Any, Iterator, List

import pytest

from ocppj.cluster.redis.cluster import RedisCluster
from ocppj.cluster.redis.queue_map import RedisQueueMap
from tests.helpers import Recorder, seconds
from tests.redis_server import RedisServer
from tests.storing import decode


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    """A Redis server without data."""
    with shared_redis.client() as client:
        client.flushall()
    return shared_redis


class Owner:
    """What a map asks of its dispatcher, and what it told it."""

    def __init__(self) -> None:
        self.pending: List[Any] = []
        self.grew, self.over, self.canceled = Recorder(), Recorder(), Recorder()

    def cancel_request(self, client_id: str, message_id: str, error: Any) -> bool:
        self.canceled(client_id, message_id, type(error).__name__)
        return True

    def is_pending(self, client_id: str, message_id: str) -> bool:
        return (client_id, message_id) in self.pending

    def queue_grew(self, client_id: str, bundles: Any) -> None:
        self.grew(client_id, [each.message_id for each in bundles])

    def ended_elsewhere(self, client_id: str, message_id: str) -> None:
        self.over(client_id, message_id)


def map_on(url: str, *arguments: Any, timeout: float = 10.0, **options: Any) -> RedisQueueMap:
    """Return a map as of another node."""
    cluster = RedisCluster(url, timeout=seconds(timeout))
    queues = RedisQueueMap(cluster, *arguments, **options)
    queues.cluster = cluster
    queues.set_decoder(decode)
    return queues


class Nodes:
    """Maps of several nodes."""

    def __init__(self, redis: RedisServer) -> None:
        self.redis = redis
        self.maps: List[RedisQueueMap] = []

    def add(self, *arguments: Any, url: str = "", **options: Any) -> RedisQueueMap:
        queues = map_on(url or self.redis.url, *arguments, **options)
        queues.owner = Owner()
        queues.set_owner(queues.owner)
        queues.init()
        self.maps.append(queues)
        return queues

    def stored(self) -> List[str]:
        """Return the names of the keys that hold requests or say where they are."""
        with self.redis.client(decode_responses=True) as client:
            names = [name[len("{ocppj}:queue:") :] for name in client.keys("*")]
        return sorted(name for name in names if not name.startswith(("node:", "news:", "last", "epoch")))


@pytest.fixture
def nodes(redis: RedisServer) -> Iterator[Nodes]:
    nodes = Nodes(redis)
    yield nodes
    for each in nodes.maps:
        each.close()
