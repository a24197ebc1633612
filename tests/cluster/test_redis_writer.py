"""What a node writes without anybody who waits, to a real Redis: replies, claims and events."""

import threading
import time

from ocppj.cluster.redis import writer
from tests.cluster.redis_nodes import (  # noqa: F401 - fixtures
    SOON,
    held_by,
    keys_of,
    nodes,
    one_server,
    pause,
    server,
    texts,
)
from tests.cluster.support import Recording
from tests.helpers import Recorder, eventually, seconds
from tests.redis_server import SlowRedis, needs_redis

pytestmark = needs_redis


def cut_off(proxy, node):
    proxy.cut()
    eventually(lambda: not node.available, SOON)


def test_replies_wait_while_redis_is_away(server, nodes):
    member = Recording()
    here = nodes(member, lease=30.0)
    with SlowRedis(server) as proxy:
        there = nodes(url=proxy.url, lease=30.0)
        cut_off(proxy, there)
        began = time.monotonic()
        for number in range(50):
            there.reply(here.node_id, {"text": number})
        assert time.monotonic() - began < seconds(1)
        proxy.heal()
        eventually(lambda: texts(member) == list(range(50)), SOON)
        there.leave()


def test_the_oldest_replies_are_dropped(server, nodes, caplog):
    member = Recording()
    here = nodes(member, lease=30.0)
    with SlowRedis(server) as proxy:
        there = nodes(url=proxy.url, lease=30.0, max_inbox=20)
        cut_off(proxy, there)
        for number in range(50):
            there.reply(here.node_id, {"text": number})
        proxy.heal()
        eventually(lambda: texts(member) == list(range(30, 50)), SOON)
        there.leave()
    assert "too many wait" in caplog.text
    assert caplog.text.count("too many wait") <= 11


def test_a_reply_that_was_not_answered_is_not_sent_again(server, nodes):
    member = Recording()
    here = nodes(member, lease=30.0)
    with SlowRedis(server) as proxy:
        there = nodes(url=proxy.url, lease=30.0, timeout=seconds(0.3))
        there.reply(here.node_id, {"text": "first"})
        eventually(lambda: texts(member) == ["first"], SOON)
        proxy.delay = seconds(0.6)
        there.reply(here.node_id, {"text": "slow"})
        eventually(lambda: texts(member) == ["first", "slow"], SOON)
        proxy.delay = 0.0
        eventually(lambda: there.available, SOON)
        there.reply(here.node_id, {"text": "fast"})
        eventually(lambda: texts(member)[-1] == "fast", SOON)
        assert texts(member) == ["first", "slow", "fast"]
        there.leave()


def test_connections_that_come_and_go_while_redis_is_away(server, nodes):
    here = nodes(lease=30.0)
    with SlowRedis(server) as proxy:
        there = nodes(url=proxy.url, lease=30.0)
        first, second = there.claim("CP_1", {"number": 1}), there.claim("CP_2", {"number": 2})
        held_by(here, "CP_2", there)
        cut_off(proxy, there)
        began = time.monotonic()
        there.release("CP_1", first)
        there.release("CP_2", second)
        again = there.claim("CP_2", {"number": 22})
        there.release("CP_3", there.claim("CP_3", {}))
        assert time.monotonic() - began < seconds(0.4)
        proxy.heal()
        eventually(lambda: [(each.client_id, each.claim) for each in here.holders()] == [("CP_2", again)], SOON)
        there.leave()


def test_what_waits_is_written_before_the_end(nodes):
    member = Recording()
    here, there = nodes(member), nodes()
    for number in range(300):
        there.reply(here.node_id, {"text": number})
    there.leave()
    eventually(lambda: texts(member) == list(range(300)), SOON)


def test_a_claim_waits_until_others_know(nodes):
    here, there = nodes(), nodes()
    for number in range(50):
        there.claim(f"CP_{number}", {})
        assert here.holder_of(f"CP_{number}").node_id == there.node_id


def test_a_claim_waits_for_half_a_second_at_most(server, nodes):
    there = nodes(lease=30.0)
    server.pause()
    try:
        began = time.monotonic()
        claim = there.claim("CP_1", {})
        assert claim
        assert time.monotonic() - began < seconds(1)
    finally:
        server.go_on()
    held_by(there, "CP_1", there)


def test_events_that_are_too_many_are_dropped(server, nodes, monkeypatch, caplog):
    seen = Recorder()
    here = nodes(lease=30.0)
    with SlowRedis(server) as proxy:
        there = nodes(url=proxy.url, lease=30.0, max_inbox=10)
        subscription = here.subscribe(connected=seen, max_waiting=5000)
        cut_off(proxy, there)
        for number in range(1500):
            there.publish("connected", "CP_1", {"number": number})
        proxy.heal()
        eventually(lambda: len(seen.calls) >= 1000, SOON)
        pause(0.2)
        assert [event.about["number"] for (event,) in seen.calls] == list(range(1000))
        subscription.close()
        there.leave()
    assert "event: dropped" in caplog.text


def test_a_writer_that_failed_goes_on(nodes, monkeypatch, caplog):
    """As for want of memory: the claims that it had in hand are written all the same."""
    failures = [MemoryError("once"), MemoryError("twice")]
    run_all, lock = writer.Store.run_all, threading.Lock()

    def fail(store, calls, link):
        with lock:
            failing = failures and any(getattr(call, "script", None) is writer.SYNC for call in calls)
            error = failures.pop() if failing else None
        if error is not None:
            raise error
        return run_all(store, calls, link)

    here, there = nodes(), nodes()
    monkeypatch.setattr(writer.Store, "run_all", fail)
    there.claim("CP_1", {})
    held_by(here, "CP_1", there)
    assert not failures
