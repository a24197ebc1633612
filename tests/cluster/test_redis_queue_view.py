"""``RedisQueueView`` and ``ocppj queue list redis://...``: the requests of a cluster, seen from outside."""

import pytest

from ocppj import UsageError
from ocppj.cluster.redis.cluster import RedisCluster
from ocppj.cluster.redis.queue_view import RedisQueueView
from tests.cli.commands import ocppj
from tests.cluster.redis_queues import Nodes, nodes, redis, shared_redis  # noqa: F401
from tests.helpers import eventually, seconds
from tests.redis_server import RedisServer, needs_redis
from tests.storing import bundle

pytestmark = needs_redis


def test_requests_are_listed_and_put_back_while_a_node_runs(redis: RedisServer, nodes: Nodes) -> None:
    node = nodes.add()
    for client in ("CP_1", "CP_2"):
        node.get_or_create(client).push(bundle("same"))
    node.get_or_create("CP_2").set_aside("same", "why")
    eventually(lambda: len(node.list_set_aside()) == 1)

    with RedisQueueView(RedisCluster(redis.url, timeout=seconds(10))) as view:
        first, second = view.list()
        assert (first.client_id, first.message_id, first.action, first.state) == (
            "CP_1",
            "same",
            "DataTransfer",
            "waiting",
        )
        assert (second.client_id, second.state, second.reason) == ("CP_2", "set aside", "why")
        with pytest.raises(UsageError, match="cannot be set aside from outside"):
            view.set_aside("same")
        with pytest.raises(UsageError, match="was set aside"):
            view.forget("other")
        view.put_back("same")
        assert [each.state for each in view.list()] == ["waiting", "waiting"]

    ran = ocppj("queue", "list", redis.url)
    assert ran.code == 0, ran.err
    assert ran.lines[-1] == "2 wait, 0 set aside"


def test_a_redis_that_is_away_is_named() -> None:
    ran = ocppj("queue", "list", "redis://127.0.0.1:1/0")
    assert ran.code == 1
    assert "queue: " in ran.err
    assert "127.0.0.1:1" in ran.err
