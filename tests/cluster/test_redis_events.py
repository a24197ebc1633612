"""Events over Pub/Sub of a real Redis."""

import json
import threading
import time

import pytest

from ocppj import RedisCluster
from tests.cluster.redis_nodes import SOON, nodes, one_server, pause, server  # noqa: F401 - fixtures
from tests.cluster.support import Recording
from tests.helpers import Recorder, eventually, seconds
from tests.redis_server import RedisServer, SlowRedis, needs_redis

pytestmark = needs_redis


def numbers(seen):
    return [event.about["number"] for (event,) in seen.calls]


def test_a_subscription_goes_on_after_redis_was_away(server, nodes):
    seen = Recorder()
    here = nodes(lease=30.0)
    subscription = here.subscribe(connected=seen)
    eventually(lambda: here.wants("connected"), SOON)
    here.publish("connected", "CP_1", {"number": 1})
    seen.wait(1)
    server.restart_empty()
    eventually(lambda: here.available, SOON)
    with server.client() as client:
        eventually(lambda: client.pubsub_numsub("{ocppj}:events:0:connected")[0][1], SOON)
    here.publish("connected", "CP_1", {"number": 2})
    seen.wait(2)
    assert numbers(seen) == [1, 2]
    subscription.close()


def test_databases_are_apart(server, nodes):
    here, other = Recorder(), Recorder()
    node = nodes()
    subscriptions = [
        node.subscribe(connected=here),
        RedisCluster(server.url.replace("/0", "/1")).subscribe(connected=other),
    ]
    with server.client() as client:
        eventually(lambda: client.pubsub_numsub("{ocppj}:events:1:connected")[0][1], SOON)
    eventually(lambda: node.wants("connected"), SOON)
    node.publish("connected", "CP_1", {"number": 1})
    here.wait(1)
    for subscription in subscriptions:
        subscription.close()
    assert other.calls == []


def test_a_subscription_begins_while_redis_is_away(server, nodes):
    seen = Recorder()
    with SlowRedis(server) as proxy:
        proxy.cut()
        watching = RedisCluster(proxy.url, timeout=0.5)
        began = time.monotonic()
        subscription = watching.subscribe(connected=seen)
        assert time.monotonic() - began < seconds(2)
        here = nodes()
        proxy.heal()
        eventually(lambda: here.wants("connected"), SOON)
        here.publish("connected", "CP_1", {"number": 1})
        seen.wait(1)
        subscription.close()


def test_a_connection_that_has_silently_died_is_noticed(server, nodes):
    """As if a firewall had forgotten it: nothing comes any more, and no error either."""
    seen = Recorder()
    here = nodes()
    with SlowRedis(server) as proxy:
        watching = RedisCluster(proxy.url, timeout=0.5)
        subscription = watching.subscribe(connected=seen)
        eventually(lambda: here.wants("connected"), SOON)
        proxy.silence()
        eventually(lambda: _publishes(here, seen), SOON)
        subscription.close()


def _publishes(node, seen):
    node.publish("connected", "CP_1", {"number": 1})
    pause(0.1)
    return seen.calls


def test_events_that_are_not_understood_are_skipped(server, nodes, caplog):
    seen = Recorder()
    here = nodes()
    subscription = here.subscribe(connected=seen)
    good = {"v": 1, "kind": "connected", "node_id": "n", "client_id": "c", "about": {"number": 1}, "time": 1.0}
    with server.client() as client:
        for bad in ("", "{", "[]", b"\xff", json.dumps({**good, "v": 2}), json.dumps({**good, "about": []})):
            client.publish("{ocppj}:events:0:connected", bad)
        client.publish("{ocppj}:events:0:connected", json.dumps({**good, "more": "of a newer version"}))
    seen.wait(1)
    assert numbers(seen) == [1]
    assert "not understood" in caplog.text
    subscription.close()


@pytest.mark.parametrize("rules", ["resetchannels +@all", "allchannels +@all -publish"])
def test_what_a_user_may_not_do_with_events_is_logged(rules, caplog):
    with RedisServer(users={"default": f"on nopass ~* {rules}"}) as server:
        here = RedisCluster(server.url)
        here.join(Recording())
        subscription = here.subscribe(connected=Recorder())
        here.publish("connected", "CP_1", {"number": 1})
        word = "event: dropped 1" if "publish" in rules else "events: they cannot be read now"
        eventually(lambda: word in caplog.text, SOON)
        subscription.close()
        here.leave()


def test_nobody_asks_for_events_that_nobody_wants(server, nodes):
    here, there = nodes(), nodes()
    assert not there.wants("request")
    subscription = here.subscribe(request=Recorder())
    eventually(lambda: there.wants("request"), SOON)
    assert not there.wants("connected")
    subscription.close()
    eventually(lambda: not there.wants("request"), SOON)


def test_a_slow_handler_holds_nothing_up(nodes):
    held, seen = threading.Event(), Recorder()
    here = nodes()

    def slow(event):
        seen(event)
        held.wait(seconds(SOON))

    subscription = here.subscribe(connected=slow, max_waiting=10)
    eventually(lambda: here.wants("connected"), SOON)
    for number in range(200):
        here.publish("connected", "CP_1", {"number": number})
    eventually(lambda: subscription.dropped >= 189, SOON)
    here.claim("CP_1", {})
    assert here.holder_of("CP_1")
    held.set()
    subscription.close()


@pytest.mark.parametrize("paused", [False, True])
def test_close_ends_the_threads(server, nodes, paused):
    """The fixture of all tests fails when a thread is left."""
    here = nodes(timeout=0.5)
    subscriptions = [here.subscribe(connected=Recorder()) for _ in range(3)]
    if paused:
        server.pause()
    try:
        for subscription in subscriptions:
            subscription.close()
            subscription.close()
    finally:
        if paused:
            server.go_on()
