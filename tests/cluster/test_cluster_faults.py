"""Everything that breaks: nodes, Redis, and the way to it, under 500 stations on three nodes.

Whatever happens: connections stay, local calls work, remote calls fail at once or at their deadline, or succeed;
all recovers by itself; nothing reaches a station twice; nothing grows; nothing is left.
"""

import os
import random
import signal
import threading
from collections import Counter

import pytest

from tests.cluster.fault_proxy import at_random
from tests.cluster.rig import LEASE, Clock, Rig, ends_of, wait
from tests.cluster.stations import Stations
from tests.helpers import eventually, seconds
from tests.redis_server import RedisServer, needs_redis, replica_of, sentinel_of

pytestmark = [pytest.mark.alone, pytest.mark.timeout(seconds(120)), needs_redis]

AWAY = {"ClusterUnavailable", "ClusterUnavailable, maybe sent"}
CALLS = int(os.environ.get("OCPPJ_CLUSTER_CALLS", "10000"))


@pytest.fixture
def rig():
    with Rig() as rig:
        rig.wait_until_whole()
        yield rig


def test_each_node_calls_the_stations_of_all_and_ordinary_messages_do_not_touch_redis(rig):
    for number in range(3):
        assert rig.call(number, rig.stations.ids) == {"answered": len(rig.stations.ids)}
    with rig.redis.client() as client:
        before, clock = client.info("stats")["total_commands_processed"], Clock()
        for _ in range(4):
            rig.check_stations_are_served()
        rest = 50 + clock.elapsed * 30  # renewals, and readers that wait
        assert client.info("stats")["total_commands_processed"] - before < rest
    rig.check()


# Nodes


def test_a_node_is_killed_and_its_stations_come_back_elsewhere(rig):
    """Calls that wait for it end with ConnectionLost within the lease, and two seconds."""
    lost = rig.here(0, 30)
    rig.stations.mute = set(lost)
    waiting = [rig.begin_calls(number, lost, len(lost), 60, threads=30) for number in (1, 2)]
    eventually(lambda: sum(rig.stations.by_text.values()) == len(lost))  # each station gets one at a time
    clock = Clock()
    rig.stations.urls[0] = ""
    rig.nodes[0].kill()
    for future in waiting:
        done = future.result(LEASE + seconds(2) + 1)
        assert ends_of(done) == {"ConnectionLost": len(lost)}, done["errors"]
    print(f"ConnectionLost after {clock.elapsed:.2f} s")
    rig.stations.mute = set()
    rig.wait_until_whole(but=[0])
    print(f"all stations known again after {clock.elapsed:.2f} s")
    rig.check(but=[0])


def test_a_node_that_is_killed_is_replaced(rig):
    rig.replace_node(0)
    for identity in rig.stations.ids[:60]:
        rig.stations.cut(identity)
    rig.check()


def test_a_node_does_not_run_for_longer_than_its_lease(rig):
    """Then it goes on, and its stations are there still."""
    rig.nodes[0].process.send_signal(signal.SIGSTOP)
    clock = Clock()
    ends = rig.call(1, rig.here(0), timeout=60, threads=20)
    assert set(ends) <= {"ConnectionLost", "UnknownClient"}
    assert clock.elapsed < LEASE + seconds(2) + 1
    wait(3)
    rig.nodes[0].process.send_signal(signal.SIGCONT)
    rig.check()


def test_a_process_without_connections_is_killed(rig):
    """It has a `RemoteServer`. What it has asked for is answered to nobody."""
    remote = rig.start_remote()
    rig.stations.mute = set(rig.here(0, 3))
    calling = {"clients": rig.stations.ids, "count": 5000, "timeout": seconds(5), "name": "R", "threads": 30}
    remote.begin("calls", **calling)
    eventually(lambda: len(rig.stations.by_text) > 60)
    remote.kill()
    rig.stations.mute = set()
    wait(4)
    rig.check()


def test_a_node_stops_in_order_and_its_stations_are_free_at_once(rig):
    lost = rig.stations.on(0)
    rig.stations.mute = set(lost[:10])
    waiting = rig.begin_calls(1, lost[:10], 10, 60, threads=10)
    eventually(lambda: sum(rig.stations.by_text.values()) == 10)
    rig.stations.urls[0] = ""
    clock = Clock()
    left = rig.nodes[0].ask("stop")
    assert left["left"] == [] and left["errors"] == [], left
    ends = ends_of(waiting.result(seconds(10)))
    assert set(ends) <= {"Stopped", "ConnectionLost"}, ends
    print(f"stopped after {clock.elapsed:.2f} s: {ends}")
    rig.stations.mute = set()
    rig.check(but=[0])


def test_a_node_stops_while_redis_hangs(rig):
    rig.redis.pause()
    try:
        for node in rig.nodes:
            left = node.ask("stop")
            assert left["left"] == [] and left["errors"] == [], left
            assert left["took"] < seconds(10), left
    finally:
        rig.redis.go_on()


def test_the_older_of_two_connections_of_one_identity_is_closed(rig):
    """The station that holds the older gets 1008, and the newer one is called from everywhere."""
    first = rig.here(0, 5)
    with Stations([rig.nodes[1].url], 1, come_back=False) as newer:
        newer.wait_until_connected()
        assert newer.ids == ["CP_0"] and "CP_0" in first
        eventually(lambda: rig.stations.closes.get("CP_0", [])[:1] == [1008])
        eventually(lambda: rig.nodes[0].ask("closed").get("CP_0", [])[:1] == [1008])
    rig.check()


# Redis


def outage(rig, how):
    """Begin it, and return what ends it."""
    if how == "paused":
        rig.redis.pause()
        return rig.redis.go_on
    if how == "killed":
        rig.redis.kill()
        return rig.redis.start
    for proxy in rig.proxies:
        {"cut": proxy.refuse, "silent": proxy.partition}[how]()
    return lambda: [proxy.heal() for proxy in rig.proxies]


@pytest.mark.parametrize("how", ["paused", "killed", "cut", "silent"])
def test_redis_is_away_for_ten_seconds(rig, how):
    lost = rig.stations.lost
    rig.stations.mute = set(rig.here(0, 10))
    waiting = rig.begin_calls(1, sorted(rig.stations.mute), 10, 4, threads=10)  # they were sent before
    eventually(lambda: sum(rig.stations.by_text.values()) == 10)
    end, clock = outage(rig, how), Clock()
    try:
        assert rig.call(1, rig.here(1), timeout=5) == {"answered": 20}
        ends = rig.call(1, rig.here(2) + rig.here(0)[10:], timeout=2, threads=30)
        assert set(ends) <= AWAY
        assert clock.elapsed < seconds(8)
        assert set(ends_of(waiting.result(seconds(10)))) <= AWAY | {"CallTimeout", "ConnectionLost"}
        rig.check_stations_are_served()
        eventually(lambda: not rig.nodes[2].ask("stats")["available"])
        clock_of_one = Clock()
        assert set(rig.call(2, rig.here(0), timeout=10, threads=20)) <= AWAY
        print(f"known to be away: a call fails after {clock_of_one.elapsed:.2f} s")
        wait(max(0.1, 10 - clock.elapsed / seconds(1)))
        assert rig.call(0, rig.here(0)[10:]) == {"answered": 10}
    finally:
        end()
    clock = Clock()
    rig.stations.mute = set()
    rig.wait_until_whole()
    print(f"whole again after {clock.elapsed:.2f} s")
    assert rig.stations.lost == lost
    rig.check()


def test_calls_that_redis_gets_after_their_end_reach_no_station(rig):
    """Redis hangs, and runs what is in its buffers when it goes on."""
    rig.redis.pause()
    ends = [rig.call(number, rig.elsewhere(number)[:10], timeout=1.5, threads=10) for number in range(3)]
    assert set().union(*ends) <= AWAY
    wait(4)
    rig.redis.go_on()
    rig.wait_until_whole()
    wait(2)
    assert rig.stations.by_text == {}
    rig.check()


def test_redis_is_restarted_empty_at_once(rig):
    lost = rig.stations.lost
    rig.redis.restart_empty()
    clock = Clock()
    ends = rig.call(1, rig.here(0) + rig.here(2), timeout=5)
    assert set(ends) <= AWAY | {"answered", "UnknownClient"}
    rig.wait_until_whole()
    print(f"whole again after {clock.elapsed:.2f} s")
    assert rig.stations.lost == lost
    rig.check()


def test_stations_come_and_go_while_redis_is_away(rig):
    """What a node could not claim and release meanwhile it does when Redis is back."""
    rig.redis.pause()
    for identity in rig.stations.ids[:60]:
        rig.stations.cut(identity)
    eventually(lambda: len(rig.stations.where()) == len(rig.stations.ids))
    moved = [identity for identity in rig.stations.ids[:60] if identity in rig.stations.on(1)][:20]
    assert rig.call(1, moved) == {"answered": 20}
    wait(4)
    rig.redis.go_on()
    rig.check()


@pytest.mark.parametrize("late", [0.15])
def test_redis_is_slow(rig, late):
    """Each round trip takes 300 ms: calls take longer, and nothing else happens."""
    lost = rig.stations.lost
    for proxy in rig.proxies:
        proxy.slow(seconds(late))
    for number in range(3):
        clients = rig.elsewhere(number)[:60]
        assert rig.call(number, clients, timeout=10, threads=12) == {"answered": len(clients)}
    for identity in rig.stations.ids[:300]:
        rig.stations.cut(identity)
    clock = Clock()
    rig.wait_until_whole()
    print(f"300 stations are known again after {clock.elapsed:.2f} s")
    wait(4)
    assert all(node.ask("stats")["available"] for node in rig.nodes)
    assert rig.stations.lost == lost + min(300, len(rig.stations.ids))
    for proxy in rig.proxies:
        proxy.heal()
    rig.check()


def test_redis_is_full(rig):
    lost = rig.stations.lost
    with rig.redis.client() as client:
        client.config_set("maxmemory", 1)
        assert rig.call(0, rig.here(0)) == {"answered": 20}
        ends = rig.call(1, rig.here(0) + rig.here(2), timeout=3, threads=20)
        assert set(ends) <= AWAY | {"ConnectionLost"}
        wait(5)
        assert rig.call(0, rig.here(0)) == {"answered": 20}
        assert set(rig.call(1, rig.here(0) + rig.here(2), timeout=3, threads=20)) <= AWAY | {"UnknownClient"}
        rig.check_stations_are_served()
        client.config_set("maxmemory", 0)
    clock = Clock()
    rig.wait_until_whole()
    print(f"whole again after {clock.elapsed:.2f} s")
    assert rig.stations.lost == lost
    rig.check()


def test_redis_fails_over_to_a_replica_by_sentinel():
    with RedisServer() as master, replica_of(master) as replica, sentinel_of(master) as sentinel:
        cluster = {"sentinels": [sentinel.port], "service": "main"}
        with Rig(redis=master, cluster=cluster) as rig:
            rig.check_whole()
            lost = rig.stations.lost
            master.kill()
            clock = Clock()
            assert rig.call(1, rig.here(1)) == {"answered": 20}
            assert set(rig.call(1, rig.here(2), timeout=2, threads=20)) <= AWAY | {"UnknownClient"}
            rig.wait_until_whole()
            print(f"whole again after {clock.elapsed:.2f} s")
            assert rig.stations.lost == lost
            rig.redis = replica
            rig.check()


# One node


def test_one_node_is_partitioned_for_longer_than_its_lease(rig):
    """Its stations stay, and it calls them. The others do without it, and know its stations again afterwards."""
    lost = rig.stations.lost
    rig.proxies[0].partition()
    assert rig.call(0, rig.here(0)) == {"answered": 20}
    assert set(rig.call(0, rig.here(1), timeout=3, threads=20)) <= AWAY
    ends = rig.call(1, rig.here(0), timeout=3, threads=20)
    assert set(ends) <= {"ConnectionLost", "CallTimeout", "UnknownClient", *AWAY}
    eventually(lambda: rig.nodes[1].ask("connections") == sorted(rig.elsewhere(0)))
    assert rig.call(1, rig.here(2)) == {"answered": 20}
    assert rig.call(1, rig.here(0)) == {"UnknownClient": 20}
    with Stations([rig.nodes[1].url], 1, come_back=False) as newer:
        newer.wait_until_connected()
        assert rig.call(2, ["CP_0"]) == {"answered": 1}
        rig.proxies[0].heal()
        eventually(lambda: rig.stations.closes.get("CP_0", [])[:1] == [1008])
    rig.wait_until_whole()
    assert rig.stations.lost <= lost + 2
    rig.check()


@pytest.mark.parametrize("direction", [0, 1])
def test_one_direction_between_a_node_and_redis_is_lost(rig, direction):
    lost = rig.stations.lost
    rig.proxies[0].swallow(direction)
    assert rig.call(0, rig.here(0)) == {"answered": 20}
    assert set(rig.call(0, rig.here(1), timeout=3, threads=20)) <= AWAY
    assert set(rig.call(1, rig.here(0), timeout=3, threads=20)) <= {"ConnectionLost", "CallTimeout", *AWAY} | {
        "UnknownClient"
    }
    wait(4)
    rig.proxies[0].heal()
    rig.wait_until_whole()
    assert rig.stations.lost == lost
    rig.check()


def test_clocks_that_differ_by_minutes_change_nothing():
    with Rig(stations=60, skews=(60, 0, -60)) as rig:
        rig.check_whole()
        for number in range(3):
            assert rig.call(number, rig.elsewhere(number), timeout=3) == {"answered": 40}
        before = list(rig.stations.ids[:12])
        for identity in before:
            rig.stations.cut(identity)
        rig.wait_until_whole()
        for node in (1, 2):
            with Stations([rig.nodes[node].url], 1, come_back=False) as newer:
                newer.wait_until_connected()
                eventually(lambda: 1008 in rig.stations.closes.get("CP_0", []))
                rig.stations.closes.clear()
            rig.wait_until_whole()
        rig.nodes[0].kill()
        rig.stations.urls[0] = ""
        rig.check(but=[0])


# All of it


class Chaos:
    """Has something happen to Redis, to the way of one node to it, or to the last node, until it is closed."""

    def __init__(self, rig, seed):
        self.happened = Counter()
        self._rig = rig
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(seconds(20))
        assert not self._thread.is_alive()
        print(f"what happened: {dict(self.happened)}")

    def _run(self):
        while not self._over.is_set():
            self.happened[self._one()] += 1
            self._over.wait(seconds(self._chance.uniform(0.1, 1)))

    def _one(self):
        kinds = {"redis paused": self._pause, "redis emptied": self._rig.redis.restart_empty}
        kinds.update({"stations move": self._move, "node killed": lambda: self._rig.replace_node(3)})
        if self._chance.random() < 0.6:
            return self._cut_off_one()
        kind = self._chance.choice(sorted(kinds))
        kinds[kind]()
        return kind

    def _pause(self):
        self._rig.redis.pause()
        self._over.wait(seconds(self._chance.uniform(0.1, 3)))
        self._rig.redis.go_on()

    def _move(self):
        for identity in self._chance.sample(self._rig.stations.ids, 20):
            self._rig.stations.cut(identity)

    def _cut_off_one(self):
        proxy = self._chance.choice(self._rig.proxies)
        kind = at_random(proxy, self._chance)
        self._over.wait(seconds(self._chance.uniform(0.1, 3)))
        proxy.heal()
        return kind


@pytest.mark.timeout(seconds(120) + CALLS * seconds(0.03))
def test_calls_under_random_faults_end_once_each():
    """Half of them by call(), half by send_request(), from three nodes to the stations of all others."""
    with Rig(nodes=4) as rig:
        rig.wait_until_whole()
        check_calls_under_random_faults(rig)


def check_calls_under_random_faults(rig):
    seed = int(os.environ.get("OCPPJ_FAULT_SEED") or random.SystemRandom().randrange(10**9))
    print(f"OCPPJ_FAULT_SEED={seed}")
    clock, share = Clock(), -(-CALLS // 3)
    with Chaos(rig, seed):
        waiting = [
            rig.begin_calls(number, rig.elsewhere(number), share, 3, threads=20, pause=seconds(0.15))
            for number in range(3)
        ]
        done = [future.result(seconds(80) + CALLS * seconds(0.03)) for future in waiting]
    ends = sum((ends_of(each) for each in done), Counter())
    print(f"{sum(ends.values())} calls in {clock.elapsed:.0f} s: {dict(ends)}")
    assert sum(ends.values()) == share * 3
    assert set(ends) <= AWAY | {"answered", "CallTimeout", "ConnectionLost", "UnknownClient"}, [
        each["errors"] for each in done
    ]
    assert ends["answered"] > share
    assert max(each["slowest"] for each in done) < seconds(3) + seconds(3), [each["slowest"] for each in done]
    rig.check()
