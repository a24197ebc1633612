"""Leases on a real Redis: what a node learns of the others, and of Redis."""

import logging
import threading
import time

import pytest

from ocppj import ClusterUnavailable
from tests.cluster.redis_nodes import (  # noqa: F401 - fixtures
    SOON,
    held_by,
    keys_of,
    nodes,
    one_server,
    pause,
    post_once,
    server,
    texts,
)
from tests.cluster.support import Recording
from tests.helpers import eventually, seconds
from tests.redis_server import RedisServer, SlowRedis, needs_redis, replica_of, sentinel_of

pytestmark = needs_redis


@pytest.mark.alone
def test_a_dead_node_is_gone_when_its_lease_has_run_out(server, nodes):
    member = Recording()
    nodes(member, lease=2.0)
    with SlowRedis(server) as proxy:
        dead = nodes(url=proxy.url, lease=2.0)
        pause(1.0)
        began = time.monotonic()
        proxy.cut()
        eventually(lambda: member.gone == [dead.node_id], SOON)
        took = time.monotonic() - began
        assert 1.4 <= took <= 3.0 + seconds(0.5)
        dead.leave()


@pytest.mark.alone
def test_a_node_that_leaves_is_gone_at_once(nodes):
    member = Recording()
    nodes(member, lease=10.0)
    there = nodes(lease=10.0)
    gone = there.node_id
    began = time.monotonic()
    there.leave()
    eventually(lambda: member.gone == [gone], SOON)
    assert time.monotonic() - began < seconds(0.5)


def test_nobody_is_swept_because_redis_did_not_run(server, nodes):
    members = [Recording(), Recording()]
    here, there = (nodes(member, lease=2.0, timeout=1.0) for member in members)
    there.claim("CP_1", {})
    server.pause()
    try:
        eventually(lambda: not here.available and not there.available, SOON)
        pause(2.5)
    finally:
        server.go_on()
    eventually(lambda: here.available and there.available, SOON)
    held_by(here, "CP_1", there)
    pause(2.0)
    assert [member.gone for member in members] == [[], []]
    assert [member.changes for member in members] == [[False, True]] * 2


def test_others_get_time_to_come_back(server, nodes):
    """One node reaches Redis again before the other: it does not take that for dead."""
    member = Recording()
    here = nodes(member, lease=2.0, timeout=0.5)
    with SlowRedis(server) as proxy:
        there = nodes(url=proxy.url, lease=2.0, timeout=0.5)
        there.claim("CP_1", {})
        proxy.cut()
        server.pause()
        try:
            eventually(lambda: not here.available, SOON)
            pause(2.0)  # the leases run out
        finally:
            server.go_on()
        eventually(lambda: here.available, SOON)
        pause(0.8)
        proxy.heal()
        held_by(here, "CP_1", there)
        pause(1.0)
        assert member.gone == []
        proxy.cut()  # and now it is dead
        eventually(lambda: member.gone == [there.node_id], SOON)
        there.leave()


def test_redis_is_restarted_empty(server, nodes, caplog):
    caplog.set_level(logging.INFO, "ocppj.cluster")
    asking, answering = Recording(), Recording()
    here, there = nodes(asking), nodes(answering)
    claims = {f"CP_{number}": there.claim(f"CP_{number}", {"number": number}) for number in range(30)}
    here.post("CP_1", {"text": "before"})
    eventually(lambda: texts(answering) == ["before"], SOON)
    server.restart_empty()
    for number in range(30):
        held_by(here, f"CP_{number}", there)
    eventually(lambda: here.available and there.available, SOON)
    assert {holder.client_id: holder.claim for holder in here.holders()} == claims
    post_once(here, "CP_1", {"text": "after"})
    eventually(lambda: texts(answering) == ["before", "after"], SOON)
    pause(2.5)  # longer than a lease
    assert asking.gone == answering.gone == []
    assert asking.lost == answering.lost == []
    for node in (here, there):
        lines = [record.getMessage() for record in caplog.records if node.node_id in record.getMessage()]
        assert len([line for line in lines if "cannot reach" in line]) <= 1, lines
        assert len([line for line in lines if "forgotten" in line]) == 1, lines


def test_a_node_that_died_while_redis_was_emptied_is_gone(server, nodes):
    member = Recording()
    nodes(member, lease=1.0)
    with SlowRedis(server) as proxy:
        dead = nodes(url=proxy.url, lease=1.0)
        pause(1.5)
        proxy.cut()
        server.restart_empty()
        eventually(lambda: member.gone == [dead.node_id], SOON)
        dead.leave()


def test_redis_has_less_than_a_second_of_the_past(server, nodes):
    """The clock of another Redis may be behind: then new entries of an inbox have lower ids."""
    member = Recording()
    here, there = nodes(), nodes(member)
    there.claim("CP_1", {})
    held_by(here, "CP_1", there)
    inbox = f"{{ocppj}}:inbox:{there.node_id}"
    with server.client() as client:
        client.xadd(inbox, {"from": "future", "message": '{"text": "future"}'}, id="9999999999999-0")
        eventually(lambda: texts(member) == ["future"], SOON)
    server.restart_empty()
    eventually(lambda: here.available and there.available, SOON)
    held_by(here, "CP_1", there)
    post_once(here, "CP_1", {"text": "now"})
    eventually(lambda: texts(member) == ["future", "now"], SOON)


def test_redis_is_slow(server, nodes):
    asking, answering = Recording(), Recording()
    with SlowRedis(server) as proxy:
        here, there = nodes(asking, url=proxy.url), nodes(answering, url=proxy.url)
        proxy.delay = 0.3
        there.claim("CP_1", {})
        held_by(here, "CP_1", there)
        for number in range(5):
            here.post("CP_1", {"text": number})
            there.reply(here.node_id, {"text": number})
        eventually(lambda: texts(answering) == texts(asking) == list(range(5)), SOON)
        assert asking.changes == answering.changes == []
        assert max(age for _, _, age in answering.got) < seconds(2)
        assert here.available and there.available
        proxy.delay = 0.0
        here.leave()
        there.leave()


def test_redis_is_full():
    asking, answering = Recording(), Recording()
    with RedisServer() as server:
        from tests.cluster.redis_nodes import Nodes

        nodes = Nodes(server.url)
        here, there = nodes(asking, lease=2.0), nodes(answering, lease=2.0)
        there.claim("CP_1", {})
        held_by(here, "CP_1", there)
        with server.client() as client:
            client.config_set("maxmemory", 1)
            with pytest.raises(ClusterUnavailable) as caught:
                here.post("CP_1", {"text": "never"})
            assert not caught.value.maybe_sent
            began = time.monotonic()
            there.claim("CP_2", {})
            assert time.monotonic() - began < seconds(1)
            there.reply(here.node_id, {"text": "never"})
            pause(3.0)  # longer than a lease: the renewals go on
            assert here.available and there.available
            assert here.holder_of("CP_1").node_id == there.node_id
            assert asking.gone == answering.gone == []
            client.config_set("maxmemory", 0)
        held_by(here, "CP_2", there)
        here.post("CP_1", {"text": "room"})
        eventually(lambda: texts(answering) == ["room"], SOON)
        assert texts(asking) == []
        nodes.close()


@pytest.mark.alone
@pytest.mark.timeout(180)
def test_a_sentinel_fails_over():
    from redis.sentinel import Sentinel

    from tests.cluster.redis_nodes import Nodes

    asking, answering = Recording(), Recording()
    with RedisServer() as master, replica_of(master) as replica, sentinel_of(master) as sentinel:
        known = Sentinel([(sentinel.host, sentinel.port)], socket_timeout=1.0)
        nodes = Nodes("")
        here = nodes(asking, url="redis://unused", client=known.master_for("main"), timeout=1.0)
        there = nodes(answering, url="redis://unused", client=known.master_for("main"), timeout=1.0)
        there.claim("CP_1", {})
        held_by(here, "CP_1", there)
        here.post("CP_1", {"text": 1})
        eventually(lambda: texts(answering) == [1], SOON)
        pause(0.5)  # the replica copies
        master.kill()
        eventually(lambda: not here.available and not there.available, SOON)
        with pytest.raises(ClusterUnavailable):
            here.post("CP_1", {"text": "never"})
        eventually(lambda: here.available and there.available, 60)
        held_by(here, "CP_1", there)
        post_once(here, "CP_1", {"text": 2})
        there.reply(here.node_id, {"text": 3})
        eventually(lambda: texts(answering) == [1, 2] and texts(asking) == [3], SOON)
        with replica.client() as client:
            assert client.info("replication")["role"] == "master"
            assert client.info("commandstats")["cmdstat_evalsha"]["calls"]
        assert asking.lost == answering.lost == []
        nodes.close()


def test_the_master_of_an_address_changes(server, nodes):
    """The old one has become a replica, and refuses to write. Its connections stay: new ones lead to the new one."""
    with RedisServer() as other, SlowRedis(server) as proxy, server.client() as client:
        member = Recording()
        here = nodes(member, url=proxy.url)
        here.claim("CP_1", {})
        client.replicaof(other.host, other.port)
        try:
            eventually(lambda: member.changes == [False], SOON)
            with pytest.raises(ClusterUnavailable):
                here.post("CP_1", {})
            proxy.lead_to(other)
            eventually(lambda: member.changes == [False, True], SOON)
            held_by(here, "CP_1", here)
            post_once(here, "CP_1", {"text": "by the new one"})
            eventually(lambda: texts(member) == ["by the new one"], SOON)
            here.leave()
        finally:
            client.replicaof("NO", "ONE")


def _connections(client, command):
    """Return those of a node whose last command was that one."""
    return [each["id"] for each in client.client_list() if each["cmd"].startswith(command)]


def test_one_connection_finds_the_new_master_before_the_other(server, nodes):
    """What the writer has written to the old one meanwhile is written again to the new one."""
    held = "{ocppj}:clients"
    with RedisServer() as old, replica_of(old) as new, SlowRedis(old) as proxy, new.client() as there:
        here = nodes(url=proxy.url, lease=30.0)
        here.claim("CP_1", {})
        eventually(lambda: there.hexists(held, "CP_1"), SOON)
        there.replicaof("NO", "ONE")
        proxy.lead_to(new)
        with old.client() as client:
            for number in eventually(lambda: _connections(client, "pubsub"), SOON):  # the lease's
                client.client_kill_filter(_id=number)
            eventually(lambda: _connections(there, "pubsub"), SOON)
            here.claim("CP_2", {})
            eventually(lambda: client.hexists(held, "CP_2"), SOON)
        assert not there.hexists(held, "CP_2")
        old.kill()
        held_by(here, "CP_2", here)
        here.leave()


def test_redis_is_away_at_first(caplog):
    from tests.cluster.redis_nodes import Nodes

    with RedisServer() as server:
        server.stop()
        member = Recording()
        nodes = Nodes(server.url)
        here = nodes(member)
        assert not here.available
        here.claim("CP_1", {})
        pause(2.0)
        assert caplog.text.count("cannot reach") == 1
        server.start()
        eventually(lambda: here.available, SOON)
        held_by(here, "CP_1", here)
        nodes.close()
        assert keys_of(server) == []


def _threads_of_nodes():
    return [each for each in threading.enumerate() if each.name.startswith("ocppj-cluster-")]


def test_leave_does_not_wait_longer_for_a_redis_that_hangs(server, nodes):
    here = nodes(timeout=seconds(8))
    server.pause()
    try:
        pause(1.2)  # the lease asks
        began = time.monotonic()
        here.leave(0.5)
        assert time.monotonic() - began < 0.5 + seconds(3)
        eventually(lambda: not _threads_of_nodes(), 3)  # long before their commands time out
    finally:
        server.go_on()
