"""A node whose lease has run out comes back with the id that it had: it is called as before."""

import pytest

from ocppj import Client, ConnectionLost, MemoryCluster, MemoryHub, RedisCluster, Server, UnknownClient, v16
from tests.cluster.fault_proxy import RedisProxy
from tests.helpers import eventually, seconds
from tests.redis_server import RedisServer, needs_redis

pytestmark = pytest.mark.timeout(seconds(60))
RESET = v16.ResetRequest(type="Soft")


def server_of(cluster):
    return Server(profiles=v16.PROFILES, cluster=cluster).listen(host="127.0.0.1")


def station_of(server):
    station = Client("CP_1", profiles=v16.PROFILES)
    station.on(v16.ResetRequest)(lambda request: v16.ResetResponse("Accepted"))
    return station.connect(server.url)


def check_that_it_is_called_again(server):
    def is_called():
        try:
            return server.call("CP_1", RESET, seconds(5)).status == "Accepted"
        except (UnknownClient, ConnectionLost):
            return False

    eventually(is_called, 20)
    for _ in range(10):
        assert is_called()


def test_in_memory():
    hub = MemoryHub()
    away = MemoryCluster(hub)
    with server_of(MemoryCluster(hub)) as first, server_of(away) as second, station_of(second):
        assert first.call("CP_1", RESET).status == "Accepted"
        away.away = True
        hub.expire()
        with pytest.raises(UnknownClient):
            first.call("CP_1", RESET)
        away.away = False
        check_that_it_is_called_again(first)


@needs_redis
def test_on_redis():
    with RedisServer() as redis, RedisProxy(redis.port) as proxy:
        options = {"lease": seconds(2), "timeout": seconds(1)}
        away = RedisCluster(f"redis://127.0.0.1:{proxy.port}/0", **options)
        with server_of(RedisCluster(redis.url, **options)) as first, server_of(away) as second, station_of(second):
            check_that_it_is_called_again(first)
            proxy.partition()
            with redis.client() as client:
                eventually(lambda: client.zcard("{ocppj}:nodes") == 1)  # it is swept
            proxy.heal()
            check_that_it_is_called_again(first)
