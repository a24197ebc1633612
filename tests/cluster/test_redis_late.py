"""What comes late to Redis, when its sender has given up; and a Redis that has forgotten some of it."""

import threading

import pytest

from ocppj import ClusterUnavailable, RedisCluster
from tests.cluster.fault_proxy import RedisProxy
from tests.cluster.support import Recording
from tests.helpers import eventually, seconds
from tests.redis_server import RedisServer, needs_redis

pytestmark = [needs_redis, pytest.mark.timeout(seconds(60))]

LEASE, TIMEOUT = seconds(2), seconds(0.5)


class Nodes:
    """Nodes of a Redis, each with a proxy before it."""

    def __init__(self, count=2, redis=None, **options):
        self.redis = redis or RedisServer()
        self.proxies = [RedisProxy(self.redis.port) for _ in range(count)]
        options = {"lease": LEASE, "timeout": TIMEOUT, **options}
        self.clusters = [RedisCluster(f"redis://127.0.0.1:{proxy.port}/0", **options) for proxy in self.proxies]
        self.members = [Recording() for _ in self.clusters]
        for cluster, member in zip(self.clusters, self.members):
            cluster.join(member)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for cluster in self.clusters:
            cluster.leave()
        for proxy in self.proxies:
            proxy.close()
        self.redis.close()

    def holder(self, client_id, by=0):
        try:
            holder = self.clusters[by].holder_of(client_id)
        except ClusterUnavailable:
            return "unavailable"
        return None if holder is None else self.ids.index(holder.node_id)

    @property
    def ids(self):
        return [cluster.node_id for cluster in self.clusters]

    def all_available(self):
        return all(cluster.available for cluster in self.clusters)


def wait(for_seconds):
    threading.Event().wait(seconds(for_seconds))


def test_a_message_that_redis_gets_after_its_sender_has_given_up_is_not_delivered():
    """It is in the buffer of a connection while Redis hangs. The sender has been told that it failed."""
    with Nodes() as nodes:
        first, second = nodes.clusters
        second.claim("CP_1", {})
        assert first.post("CP_1", {"n": 0}) == second.node_id
        eventually(lambda: nodes.members[1].messages == [{"n": 0}])
        nodes.redis.pause()
        with pytest.raises(ClusterUnavailable) as caught:
            first.post("CP_1", {"n": 1})
        assert caught.value.maybe_sent
        wait(3)
        nodes.redis.go_on()
        eventually(nodes.all_available)
        assert eventually(lambda: nodes.holder("CP_1") == 1)
        assert first.post("CP_1", {"n": 2}) == second.node_id
        eventually(lambda: {"n": 2} in nodes.members[1].messages)
        assert nodes.members[1].messages == [{"n": 0}, {"n": 2}]


def test_nobody_is_swept_because_redis_hung_for_longer_than_the_lease():
    with Nodes(count=3) as nodes:
        for number, cluster in enumerate(nodes.clusters):
            cluster.claim(f"CP_{number}", {})
        for _ in range(3):
            nodes.redis.pause()
            wait(3)
            nodes.redis.go_on()
            eventually(nodes.all_available)
            wait(0.5)
        assert [nodes.holder(f"CP_{number}") for number in range(3)] == [0, 1, 2]
        assert [member.gone for member in nodes.members] == [[], [], []]


@pytest.mark.parametrize("newer", [0, 1])
def test_the_newer_connection_wins_that_began_while_redis_hung(newer):
    with Nodes() as nodes:
        older = 1 - newer
        nodes.redis.pause()
        nodes.clusters[older].claim("CP_1", {})  # each is in the buffer of a connection
        nodes.clusters[newer].claim("CP_1", {})
        wait(3)
        nodes.redis.go_on()
        eventually(lambda: len(nodes.members[older].lost) == 1)
        eventually(nodes.all_available)
        wait(2.5)
        assert nodes.members[newer].lost == []
        assert nodes.holder("CP_1") == newer


def test_a_connection_that_ended_while_redis_hung_is_no_ghost():
    with Nodes() as nodes:
        first = nodes.clusters[0]
        nodes.proxies[0].freeze()  # what is under way arrives later than what is sent over new connections
        claim = first.claim("CP_1", {})
        wait(1.5)
        first.release("CP_1", claim)
        eventually(lambda: first.available)
        wait(1)
        nodes.proxies[0].thaw()
        wait(2)
        assert nodes.holder("CP_1", by=1) is None


def test_a_late_release_does_not_remove_a_newer_claim_of_the_same_node():
    with Nodes() as nodes:
        first = nodes.clusters[0]
        claim = first.claim("CP_1", {})
        eventually(lambda: nodes.holder("CP_1", by=1) == 0)
        nodes.proxies[0].freeze()
        first.release("CP_1", claim)
        wait(0.3)
        first.claim("CP_1", {})
        eventually(lambda: nodes.holder("CP_1", by=1) == 0)
        eventually(lambda: first.available)
        wait(1)
        nodes.proxies[0].thaw()
        wait(2)
        assert nodes.holder("CP_1", by=1) == 0


def test_claims_that_a_replica_has_not_got_are_made_again_after_a_fail_over():
    """The replica knows the nodes, and so tells none that it was forgotten. It has a client still that has gone."""
    with RedisServer() as replica, Nodes(count=1, lease=seconds(20)) as nodes:
        first, master = nodes.clusters[0], nodes.redis
        gone = first.claim("CP_0", {})
        eventually(lambda: nodes.holder("CP_0") == 0)
        with replica.client() as other:
            other.replicaof(master.host, master.port)
            eventually(lambda: other.hexists("{ocppj}:clients", "CP_0"))
            other.replicaof("NO", "ONE")
            first.claim("CP_1", {})
            first.release("CP_0", gone)
            eventually(lambda: nodes.holder("CP_1") == 0 and nodes.holder("CP_0") is None)
            assert other.hkeys("{ocppj}:clients") == [b"CP_0"]
            nodes.proxies[0].aim(replica.port)
            nodes.proxies[0].cut_all()
            eventually(lambda: other.hkeys("{ocppj}:clients") == [b"CP_1"])
        assert nodes.members[0].lost == []
