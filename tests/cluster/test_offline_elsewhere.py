"""Requests to clients that may be away, or at another server: ``offline=True`` with `RedisQueueMap`."""

import pytest

from ocppj import RedisQueueMap, RemoteServer, UsageError, v16
from tests.cluster.nodes import RESET, Nodes
from tests.cluster.support import SOON, RedisWorld
from tests.fixtures import BOOT, BOOTED
from tests.helpers import Recorder, eventually, seconds
from tests.redis_server import needs_redis

pytestmark = needs_redis
ACCEPTED = v16.ResetResponse(status="Accepted")


@pytest.fixture
def redis_nodes():
    made = Nodes(RedisWorld())
    yield made
    made.end()


def server_of(nodes):
    cluster = nodes.world.make()
    server = nodes.server(cluster=cluster, queues=RedisQueueMap(cluster))
    server.on(v16.BootNotificationRequest)(lambda client_id, request: BOOTED)
    return server


def station_of(nodes, server):
    station = nodes.station(server)
    station.call(BOOT)
    return station


def test_it_goes_to_the_server_that_has_the_client(redis_nodes):
    here, there = server_of(redis_nodes), server_of(redis_nodes)
    station_of(redis_nodes, there)
    future = here.send_request("CP_1", RESET, offline=True, expires=seconds(60))
    assert future.result(seconds(20)) == ACCEPTED
    assert here.send_request("CP_1", RESET).result(seconds(20)) == ACCEPTED
    assert here.call("CP_1", RESET) == ACCEPTED


def test_it_waits_here_and_goes_to_the_server_that_the_client_comes_to(redis_nodes):
    here, there = server_of(redis_nodes), server_of(redis_nodes)
    here.send_request("CP_1", RESET, offline=True)
    (future,) = here.broadcast(RESET, ["CP_1"], offline=True).values()
    station, asked = redis_nodes.station(there), Recorder(ACCEPTED)
    station.off(v16.ResetRequest)
    station.on(v16.ResetRequest)(asked)
    station.call(BOOT)
    asked.wait(2, SOON)
    assert future is not None


def test_a_broadcast_to_those_that_are_there_and_those_that_are_away(redis_nodes):
    here, there = server_of(redis_nodes), server_of(redis_nodes)
    station_of(redis_nodes, there)
    futures = here.broadcast(RESET, ["CP_1", "CP_2"], offline=True)
    assert list(futures) == ["CP_1", "CP_2"]
    assert futures["CP_1"].result(seconds(20)) == ACCEPTED
    eventually(lambda: here._dispatcher.count_requests("CP_2") in (1, None))


def test_it_is_stored_when_the_server_that_has_the_client_dies(redis_nodes):
    here, there = server_of(redis_nodes), server_of(redis_nodes)
    station = redis_nodes.station(there)  # it has not booted
    future = here.send_request("CP_1", RESET, offline=True)
    eventually(lambda: there.connection("CP_1").queue_length == 1, SOON)
    redis_nodes.kill(there)
    assert future.exception(seconds(SOON)) is not None
    there.stop()
    station.stop()
    asked = Recorder(ACCEPTED)
    station.off(v16.ResetRequest)
    station.on(v16.ResetRequest)(asked)
    station.connect(here.url)
    station.call(BOOT)
    asked.wait(1, SOON)


def test_a_server_that_stores_nothing_takes_none(redis_nodes):
    here, there = redis_nodes.server(), server_of(redis_nodes)
    station_of(redis_nodes, there)
    with pytest.raises(UsageError):
        here.send_request("CP_1", RESET, offline=True)
    assert isinstance(redis_nodes.remote(), RemoteServer)
