"""Who holds whom, on a real Redis: what `Registry`, `Claims` and the scripts keep there."""

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
    server,
)
from tests.cluster.support import Recording
from tests.helpers import eventually, seconds
from tests.redis_server import SlowRedis, needs_redis

pytestmark = needs_redis


def test_all_keys_have_the_prefix(server, nodes):
    here, there = nodes(prefix="north"), nodes(prefix="south")
    here.claim("CP_1", {})
    assert all(key.startswith(("{north}:", "{south}:")) for key in keys_of(server))
    assert there.holder_of("CP_1") is None
    assert here.nodes() == [here.node_id]


def test_nothing_is_left_when_all_have_left(server, nodes):
    here, there = nodes(), nodes()
    for number in range(100):
        here.claim(f"CP_{number}", {})
    assert there.post("CP_1", {}) == here.node_id
    here.leave()
    there.leave()
    assert keys_of(server) == []


def test_a_client_of_a_released_claim_is_not_held(server, nodes):
    here, there = nodes(), nodes()
    claim = here.claim("CP_1", {})
    here.release("CP_1", "another")
    held_by(there, "CP_1", here)
    here.release("CP_1", claim)
    eventually(lambda: there.holder_of("CP_1") is None, SOON)
    eventually(lambda: "{ocppj}:clients" not in keys_of(server), SOON)


def test_a_late_release_does_not_remove_a_newer_claim_of_another_node(server, nodes):
    held = threading.Event()
    here, there = nodes(Recording(lambda sender, message: held.wait(seconds(SOON)))), nodes()
    older = here.claim("CP_1", {})
    there.post("CP_1", {})  # so it does not read yet that there is a newer one
    there.claim("CP_1", {})
    here.release("CP_1", older)
    here.claim("CP_3", {})
    held_by(there, "CP_3", here)  # so the release was done
    assert here.holder_of("CP_1").node_id == there.node_id
    held.set()
    here.claim("CP_2", {})  # so the release was done
    held_by(there, "CP_2", here)
    assert here.holder_of("CP_1").node_id == there.node_id


def test_entries_that_are_not_understood_are_skipped(server, nodes, caplog):
    here = nodes()
    here.claim("CP_1", {})
    with server.client() as client:
        for text in ("", "one two", "a b c d", f"{here.node_id} claim 1 [1]", f"{here.node_id} claim 1 {{", "\xff"):
            client.hset("{ocppj}:clients", f"CP_{text}", text.encode("latin-1"))
        client.hset("{ocppj}:clients", b"\xff\xfe", f"{here.node_id} claim 1 {{}}")
        client.zadd("{ocppj}:nodes", {b"\xff": 1e16})
    assert {holder.client_id for holder in here.holders()} >= {"CP_1"}
    assert here.holder_of("CP_one two") is None
    assert here.post("CP_one two", {}) is None
    here.claim("CP_one two", {})
    assert here.holder_of("CP_one two").node_id == here.node_id
    assert "not understood" in caplog.text


def test_the_keys_are_of_another_program(server, nodes):
    with server.client() as client:
        client.set("{ocppj}:clients", "mine")
        here = nodes()
        here.claim("CP_1", {})
        with pytest.raises(ClusterUnavailable, match="WRONGTYPE"):
            here.holder_of("CP_1")
        assert client.get("{ocppj}:clients") == b"mine"
        client.delete("{ocppj}:clients")
    eventually(lambda: here.holder_of("CP_1"), SOON)


def test_the_claims_of_a_dead_node_are_swept_once(server, nodes):
    members = [Recording() for _ in range(4)]
    others = [nodes(member) for member in members]
    with SlowRedis(server) as proxy:
        dead = nodes(url=proxy.url)
        gone = dead.node_id
        for number in range(50):
            dead.claim(f"CP_{number}", {})
        others[0].claim("CP_1", {})  # it came here
        proxy.cut()
        eventually(lambda: all(gone in member.gone for member in members), SOON)
        assert [member.gone for member in members] == [[gone]] * 4
        assert [holder.client_id for holder in others[1].holders()] == ["CP_1"]
        assert not [key for key in keys_of(server) if gone in key]
        others[2].reply(gone, {"text": "late"})
        others[2].claim("CP_2", {})
        held_by(others[3], "CP_2", others[2])  # so the reply was tried
        assert not [key for key in keys_of(server) if gone in key]
        dead.leave()


def test_a_node_whose_lease_ran_out_loses_what_came_elsewhere(server, nodes):
    member = Recording()
    here = nodes()
    with SlowRedis(server) as proxy:
        there = nodes(member, url=proxy.url)
        older = there.claim("CP_1", {})
        there.claim("CP_2", {})
        proxy.cut()
        eventually(lambda: f"{{ocppj}}:held:{there.node_id}" not in keys_of(server), SOON)
        here.claim("CP_1", {})
        assert member.lost == []
        proxy.heal()
        eventually(lambda: member.lost == [("CP_1", older)], SOON)
        held_by(here, "CP_2", there)
        held_by(there, "CP_1", here)
        there.leave()


def test_the_newer_connection_wins_though_it_is_told_first(server, nodes):
    """The node with the older one could not reach Redis when it began."""
    member, other = Recording(), Recording()
    here = nodes(member)
    with SlowRedis(server) as proxy:
        proxy.cut()
        there = nodes(other, url=proxy.url)
        older = there.claim("CP_1", {})
        pause(0.2)
        here.claim("CP_1", {})
        proxy.heal()
        eventually(lambda: other.lost == [("CP_1", older)], SOON)
        held_by(there, "CP_1", here)
        assert member.lost == []
        there.leave()


def test_a_redis_that_has_missed_changes_is_told_them(server, nodes):
    """A replica that became the master may lack the last claims, and have clients that are gone."""
    here, there = nodes(), nodes()
    here.claim("CP_1", {})
    here.claim("CP_2", {})
    with server.client() as client:
        gone = client.hget("{ocppj}:clients", "CP_2")
        client.hdel("{ocppj}:clients", "CP_1")
        client.hset("{ocppj}:clients", "CP_3", gone)
        client.sadd(f"{{ocppj}}:held:{here.node_id}", "CP_3")
        client.client_kill_filter(_type="normal", skipme=True)
    held_by(there, "CP_1", here)
    eventually(lambda: there.holder_of("CP_3") is None, SOON)
    held_by(there, "CP_2", here)


def test_claims_of_many_threads(server, nodes):
    here, there = nodes(), nodes()

    def come_and_go(name):
        for number in range(20):
            claim = here.claim(f"CP_{name}", {"number": number})
            if number % 2:
                here.release(f"CP_{name}", claim)
        here.claim(f"CP_{name}", {"number": "last"})

    threads = [threading.Thread(target=come_and_go, args=(name,)) for name in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: len(there.holders()) == 10, SOON)
    assert {holder.about["number"] for holder in there.holders()} == {"last"}


@pytest.mark.alone
def test_ten_thousand_clients_come_at_once(server, nodes):
    members = [Recording(), Recording()]
    here, there = nodes(members[0]), nodes(members[1])
    began = time.monotonic()

    def connect(node, name):
        for number in range(200):
            node.claim(f"CP_{name}_{number}", {"version": "1.6", "since": 1.0})

    for node in (here, there):  # all come to one, and then to the other
        threads = [threading.Thread(target=connect, args=(node, name)) for name in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        eventually(lambda node=node: len(here.holders()) == 10_000, SOON)
    eventually(lambda: len(members[0].lost) == 10_000, SOON)
    assert time.monotonic() - began < seconds(20)
    assert {holder.node_id for holder in here.holders()} == {there.node_id}


@pytest.mark.alone
def test_a_renewal_does_not_depend_on_the_number_of_clients(server, nodes):
    here = nodes(lease=5.0)
    for number in range(2000):
        here.claim(f"CP_{number}", {})
    with server.client() as client:
        client.config_resetstat()
        pause(3.0)
        stats = client.info("commandstats")
        calls = sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval", "hset", "hget"))
        assert 1 <= stats["cmdstat_evalsha"]["calls"] <= 5
        assert calls <= 5
