"""`RedisQueueMap`: several nodes that share requests, a Redis that goes and comes, and processes that are killed."""

import logging
import re
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, List

import pytest
from redis.sentinel import Sentinel

from ocppj import (
    Call,
    ClusterUnavailable,
    ConnectionLost,
    DropOldest,
    NotRunning,
    QueueFailed,
    QueueFull,
    RedisCluster,
    RedisQueueMap,
    RemoteServer,
    Server,
    UsageError,
    v16,
)
from ocppj.cluster.redis import queue_news
from ocppj.dispatch.queues import RequestBundle
from tests.cluster.redis_queues import Nodes, map_on, nodes, redis, shared_redis  # noqa: F401
from tests.fixtures import boot_of, cleanup  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.peers import RawClient, Sockets
from tests.redis_server import RedisServer, SlowRedis, needs_redis, replica_of, sentinel_of
from tests.storing import bundle, decode, ids, run

pytestmark = needs_redis


def listed(queues: Any) -> List[str]:
    return [each.message_id for each in queues.list()]


# Several nodes


def test_requests_follow_the_client_in_order(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    queue = one.get_or_create("A")
    for n in range(5):
        queue.push(bundle(n))
    queue.pop()
    eventually(lambda: listed(other) == ["1", "2", "3", "4"])
    one.remove("A")
    assert ids(other.get_or_create("A")) == ["1", "2", "3", "4"]


def test_a_node_lists_what_another_has_stored_although_it_has_not_heard_of_it(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    queue = one.get_or_create("A")
    heard, go_on = threading.Event(), threading.Event()

    def hear(*_: Any) -> None:
        heard.set()
        go_on.wait(seconds(20))

    one.owner.queue_grew = hear
    try:
        other.push_all([("A", bundle("1"))])
        assert heard.wait(seconds(10))
        other.push_all([("A", bundle("2"))])
        assert (ids(queue), listed(one)) == (["1"], ["1", "2"])
        queue.pop()
        assert listed(one) == ["2"]
    finally:
        go_on.set()


def test_what_a_node_stores_is_in_the_queue_of_the_node_that_has_the_client(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    queue = other.get_or_create("A")
    assert one.push_all([("A", bundle(1)), ("B", bundle(2)), ("A", bundle(3))]) == [None] * 3
    eventually(lambda: ids(queue) == ["1", "3"])
    assert [id for _, found in other.owner.grew.wait() for id in found] in (["1"], ["1", "3"])
    queue.push(bundle(4))
    assert ids(queue) == ["1", "3", "4"]
    assert one.get("A") is None


def test_a_client_that_moves_leaves_no_request_behind(nodes: Nodes) -> None:
    """For a moment both nodes have a queue: what the older one takes is sent by the newer one."""
    old, new = nodes.add(), nodes.add()
    queue = old.get_or_create("A")
    queue.push(bundle(1))
    moved = new.get_or_create("A")
    assert ids(moved) == ["1"]
    queue.push(bundle(2))
    eventually(lambda: ids(moved) == ["1", "2"])
    moved.push(bundle(3))
    eventually(lambda: ids(queue) == ["1", "2", "3"])
    old.remove("A")
    moved.push(bundle(4))
    assert ids(moved) == ["1", "2", "3", "4"]


def test_what_the_older_node_has_answered_the_newer_one_does_not_send(nodes: Nodes) -> None:
    old, new = nodes.add(), nodes.add()
    queue = old.get_or_create("A")
    for n in (1, 2, 3):
        queue.push(bundle(n))
    moved = new.get_or_create("A")
    new.owner.pending = [("A", "2")]
    queue.pop()
    queue.pop()
    eventually(lambda: ids(moved) == ["2", "3"])
    assert new.owner.canceled.calls == [], "one that is pending goes on"
    old.remove("A")
    assert listed(new) == ["3"]


def test_the_older_node_removes_only_what_it_knows(nodes: Nodes) -> None:
    old, new = nodes.add(), nodes.add()
    queue = old.get_or_create("A")
    queue.push(bundle("same"))
    moved = new.get_or_create("A")
    moved.push(bundle("same"))
    eventually(lambda: len(queue) == 2)
    queue.remove("same")
    eventually(lambda: len(listed(new)) == 1)
    assert len(new.list("A")) == 1
    eventually(lambda: len(moved) == 1)


def test_a_late_farewell_of_the_queue_before_does_not_cut_the_next_one_off(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    for n in range(20):
        queue = one.get_or_create("A")
        one.remove("A")
        queue = one.get_or_create("A")
        other.push_all([("A", bundle(n))])
        eventually(lambda queue=queue, n=n: str(n) in ids(queue))


def test_the_node_that_has_a_future_is_told_of_an_end_elsewhere(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    one.push_all([("A", bundle(1))])
    queue = other.get_or_create("A")
    assert queue.detach("1").message_id == "1"
    other.settle("A", "1")
    assert one.owner.over.wait() == [("A", "1")]
    assert other.owner.over.calls == []


def test_a_request_is_canceled_wherever_its_client_is(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    queue = other.get_or_create("A")
    for n in (1, 2, 3):
        queue.push(bundle(n))
    other.owner.pending = [("A", "1")]
    for id in ("1", "2"):
        assert one.detach("A", id).message_id == id
        assert one.detach("A", id) is None
    eventually(lambda: ids(queue) == ["3"])
    assert other.owner.canceled.wait() == [("A", "1", "EndedElsewhere")], "the node that cancels tells the handlers"
    assert listed(one) == ["3"]
    for id in ("1", "2"):
        one.settle("A", id)
    other.remove("A")
    eventually(lambda: listed(other) == ["3"])


def test_a_function_of_the_program_holds_no_news_up(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    blocked, free = threading.Event(), threading.Event()

    def block(client_id: str, message_id: str, error: Any = None) -> bool:
        blocked.set()
        return free.wait(seconds(20))

    for name in ("cancel_request", "ended_elsewhere"):
        blocked.clear()
        free.clear()
        setattr(other.owner, name, block)
        queue = other.get_or_create("A")
        if name == "cancel_request":
            queue.push(bundle(name))
            other.owner.pending = [("A", name)]
            assert one.detach("A", name) is not None
        else:
            other.push_all([("B", bundle(name))])
            one.get_or_create("B").pop()
        assert blocked.wait(seconds(10))
        one.push_all([("A", bundle("next"))])
        eventually(lambda queue=queue: "next" in ids(queue))
        queue.pop()
        free.set()


def test_what_was_answered_at_one_node_is_not_canceled_at_another(nodes: Nodes) -> None:
    """The program is told of the answer just now."""
    one, other = nodes.add(), nodes.add()
    one.push_all([("A", bundle(1)), ("A", bundle(2))])
    queue = other.get_or_create("A")
    assert queue.detach("1").message_id == "1"
    eventually(lambda: listed(one) == ["2"])
    assert not one.cancel("1")
    assert one.detach("A", "1") is None
    one.get_or_create("A")
    assert ids(one.get("A")) == ["1", "2"], "if the other one dies now, nobody has been told"
    one.remove("A")
    other.settle("A", "1", told=False)
    eventually(lambda: listed(one) == ["1", "2"])
    assert queue.detach("2").message_id == "2"
    other.settle("A", "2")
    eventually(lambda: listed(one) == ["1"])
    eventually(lambda: nodes.stored() == ["at", "ids", "of:A", "rows"])


def expiring(n: Any, after: float) -> RequestBundle:
    made = bundle(n)
    return RequestBundle(made.call, made.data, made.version, offline=True, expires=time.time() + after)


def test_a_request_expires_at_the_node_that_has_its_client(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    one.push_all([("A", expiring(1, 1)), ("B", expiring(2, 1))])
    queue = other.get_or_create("A")
    assert other.owner.grew.calls == [("A", ["1"])], "its time is watched there"
    later = time.time() + 2
    assert one.expired(later) == [("B", "2")]
    assert other.expired(later) == [("A", "1"), ("B", "2")]
    one.get_or_create("A")
    assert one.expired(later) == [("A", "1"), ("B", "2")], "the client has moved"
    assert other.expired(later) == [("B", "2")]
    one.remove("A")
    eventually(lambda: other.expired(later) == [("A", "1"), ("B", "2")])
    queue.detach("1")
    eventually(lambda: one.expired(later) == [("B", "2")])
    other.remove("A")
    assert one.expired(later) == [("B", "2")]


def test_two_nodes_that_cancel_a_request_end_it_once(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    for n in range(50):
        one.push_all([("A", bundle(n))])
        got: List[Any] = []
        run(*[lambda each=each, n=n, got=got: got.append(each.detach("A", str(n))) for each in (one, other)])
        assert len([each for each in got if each is not None]) == 1


def test_what_a_node_has_ended_and_not_settled_is_sent_again_when_that_node_is_dead(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    one.push_all([("A", bundle(1)), ("A", bundle(2))])
    assert one.detach("A", "1") is not None
    assert ids(other.get_or_create("A")) == ["2"]
    other.remove("A")
    one.close()
    assert ids(other.get_or_create("A")) == ["1", "2"]


def test_what_was_not_told_is_there_again(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    one.push_all([("A", bundle(1)), ("B", bundle(1))])
    assert one.detach("A", "1") is not None
    assert one.detach("B", "1") is not None
    queue = other.get_or_create("A")
    assert (ids(queue), listed(other)) == ([], [])
    for client in "AB":
        one.settle(client, "1", told=False)
    eventually(lambda: ids(queue) == ["1"])
    eventually(lambda: listed(other) == ["1", "1"])
    assert ids(other.get_or_create("B")) == ["1"]


def test_an_id_of_several_clients_needs_the_client(nodes: Nodes) -> None:
    queues = nodes.add()
    queues.push_all([("A", bundle("x")), ("B", bundle("x")), ("B", bundle("x\0y"))])
    with pytest.raises(UsageError, match=r"\['A', 'B'\]"):
        queues.cancel("x")
    assert queues.has_stored("A", "x")
    assert not queues.has_stored("A", "x\0y")
    assert not queues.has_stored("C", "x")


def test_nothing_stays_of_what_has_gone(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    one.push_all([("A", RequestBundle(bundle(1).call, bundle(1).data, "1.6", offline=True, expires=time.time() + 99))])
    queue = other.get_or_create("A")
    queue.push(bundle(2))
    one.detach("A", "1")
    one.settle("A", "1")
    queue.set_aside("2", "why")
    eventually(lambda: [each.message_id for each in one.list_set_aside()] == ["2"])
    one.forget("A", "2")
    other.remove("A")
    eventually(lambda: nodes.stored() == [])


def test_a_full_queue_of_a_client_that_is_away_leaves_nothing_behind(nodes: Nodes) -> None:
    queues = nodes.add(2, overflow=DropOldest(v16.DataTransferRequest))
    typed = [bundle(n) for n in range(4)]
    for each in typed:
        each.call = Call(each.message_id, "DataTransfer", v16.DataTransferRequest(vendor_id="v"))
    queues.set_decoder(lambda version, text: next(each.call for each in typed if each.data == text))
    queues.push_all([("A", typed[0]), ("A", typed[1])])
    for n in (2, 3):
        assert queues.push_in_place("A", typed[n]).message_id == str(n - 2)
    assert listed(queues) == ["2", "3"]
    eventually(lambda: "at" not in nodes.stored())


def test_a_prefix_is_a_world_of_its_own(redis: RedisServer) -> None:
    maps = []
    for prefix in ("one", "other"):
        queues = RedisQueueMap(RedisCluster(redis.url, prefix=prefix))
        queues.init()
        maps.append(queues)
    try:
        maps[0].push_all([("A", bundle(1))])
        assert (listed(maps[0]), listed(maps[1])) == (["1"], [])
        with redis.client(decode_responses=True) as client:
            assert all(name.startswith(("{one}:", "{other}:")) for name in client.keys("*"))
    finally:
        for queues in maps:
            queues.close()


def test_times_are_by_the_clock_of_each_node(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = nodes.add(), nodes.add()
    now = time.time()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    call = bundle(1).call
    one.push_all([("A", RequestBundle(call, call.to_json(), "1.6", offline=True, expires=now + 3600 + 60))])
    monkeypatch.setattr(time, "time", real)
    (found,) = other.list()
    assert abs((found.expires - datetime.fromtimestamp(now + 60, timezone.utc)).total_seconds()) < 5
    assert other.expired(now + 50) == []
    assert other.expired(now + 70) == [("A", "1")]
    assert 50 < other.next_expiry(now) - now < 70
    assert other.next_expiry(now + 100) == now + 400, "it looks again for what a dead node has left"


def test_options_that_cannot_be_meant_are_refused(redis: RedisServer) -> None:
    cluster = RedisCluster(redis.url)
    for arguments, options in [((redis.url,), {}), ((cluster, -1), {}), ((cluster,), {"overflow": "drop"})]:
        with pytest.raises(UsageError):
            RedisQueueMap(*arguments, **options)


# Races


@pytest.mark.alone
def test_a_map_is_for_one_server(redis: RedisServer) -> None:
    queues = RedisQueueMap(RedisCluster(redis.url))
    server = Server(profiles=v16.PROFILES, queues=queues)
    with pytest.raises(UsageError, match="one of its own"):
        Server(profiles=v16.PROFILES, queues=queues)
    server.listen(host="127.0.0.1")
    server.stop()


def test_a_push_that_races_with_the_load_is_never_stranded(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    for n in range(300):
        client = f"C{n}"
        queues: List[Any] = []
        run(
            lambda client=client, n=n: one.push_all([(client, bundle(n))]),
            lambda client=client, queues=queues: queues.append(other.get_or_create(client)),
        )
        eventually(lambda queues=queues, n=n: ids(queues[0]) == [str(n)])


def test_a_request_that_is_canceled_while_its_client_is_loaded_is_not_sent(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    one.push_all([("A", bundle(1)), ("A", bundle(2))])

    def cancel_meanwhile(version: str, text: str) -> Any:
        if '"1"' in text and not canceled:
            canceled.append(one.detach("A", "1"))
            one.settle("A", "1")
            eventually(lambda: listed(one) == ["2"])
            threading.Event().wait(seconds(0.1))  # the news come before the queue is there
        return decode(version, text)

    canceled: List[Any] = []
    other.set_decoder(cancel_meanwhile)
    queue = other.get_or_create("A")
    eventually(lambda: ids(queue) == ["2"])


@pytest.mark.alone
def test_none_is_stranded_while_the_client_moves_between_nodes(nodes: Nodes) -> None:
    """Two nodes push all the time, and the client is now here, now there, now at both. Each request is sent."""
    maps = [nodes.add(), nodes.add()]
    pushed: List[str] = []
    sent: List[str] = []
    ended = threading.Event()

    def push(queues: Any, name: str) -> None:
        for n in range(150):
            while isinstance(queues.push_all([("A", bundle(f"{name}{n}"))])[0], NotRunning):
                pass  # the client has just left
            pushed.append(f"{name}{n}")

    def move() -> None:
        n = 0
        while not ended.is_set() or listed(maps[0]):
            queue = maps[n % 2].get_or_create("A")
            deadline = time.monotonic() + 0.01
            while time.monotonic() < deadline:
                head = queue.pop()
                sent.extend([] if head is None else [head.message_id])
            if n % 3:
                maps[n % 2].remove("A")
            n += 1
            assert n < 3000

    def push_all() -> None:
        try:
            run(lambda: push(maps[0], "x"), lambda: push(maps[1], "y"))
        finally:
            ended.set()

    run(push_all, move)
    assert set(sent) == set(pushed)


def test_threads_of_one_node_that_push_for_a_client(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    queue = one.get_or_create("A")
    run(*[lambda name=name: [queue.push(bundle(f"{name}{n}")) for n in range(50)] for name in "abcd"])
    assert ids(queue) == listed(one)
    for name in "abcd":
        assert [id for id in ids(queue) if id[0] == name] == [f"{name}{n}" for n in range(50)]
    one.remove("A")
    assert ids(other.get_or_create("A")) == listed(one)


# Calls: no other node may send them


def fragile(n: Any) -> RequestBundle:
    made = bundle(n)
    return RequestBundle(made.call, made.data, made.version, fragile=True)


def test_a_call_is_in_the_queue_of_its_node_alone_and_keeps_its_turn(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    queue = one.get_or_create("A")
    for each in (fragile(0), bundle(1), fragile(2), fragile(3), bundle(4), bundle(5), fragile(6)):
        queue.push(each)
    assert ids(queue) == [str(n) for n in range(7)]
    assert ids(other.get_or_create("A")) == ["1", "4", "5"]
    assert queue.detach("2").message_id == "2"
    assert queue.remove("6").message_id == "6"
    one.settle("A", "2")
    assert [queue.pop().message_id for _ in range(4)] == ["0", "1", "3", "4"]
    queue.push(fragile(7))
    one.remove("A")
    assert [each.message_id for each in queue.discard()] == ["7"], "it has ended, and its caller is told"
    assert ids(one.get_or_create("A")) == ["5"]
    with pytest.raises(NotRunning):
        queue.push(fragile(8))


def test_calls_count_in_a_full_queue(nodes: Nodes) -> None:
    queue = nodes.add(2, overflow=DropOldest(v16.DataTransferRequest)).get_or_create("A")
    queue.push(fragile(1))
    queue.push(bundle(2))
    for each in (fragile(3), bundle(3)):
        with pytest.raises(QueueFull):
            queue.push(each)
    queue.push_past(fragile(4), 1)
    for new in (fragile(5), bundle(6)):
        displaced = queue.displace(ids(queue)[1])
        assert queue.push_in_place(new, displaced)
    assert ids(queue) == ["1", "5", "6"]
    eventually(lambda: nodes.add().list("A")[0].message_id == "6")


def test_a_call_reaches_the_client_once_whichever_server_it_moves_to(redis: RedisServer, cleanup: Any) -> None:
    servers = []
    for _ in range(2):
        cluster = RedisCluster(redis.url)
        server = Server(profiles=v16.PROFILES, cluster=cluster, queues=RedisQueueMap(cluster), timeout=seconds(60))
        cleanup.append(server.stop)
        servers.append(server.listen(host="127.0.0.1"))
    got: List[Any] = []
    ended = Recorder()
    servers[0].set_ended_handler(ended)
    remote = RemoteServer(RedisCluster(redis.url), profiles=v16.PROFILES)
    cleanup.append(remote.stop)
    for caller in (servers[0], remote):
        station = Station(servers[0])
        eventually(lambda: "CP_1" in servers[1].client_ids(cluster=True))
        thread = threading.Thread(target=_call, args=(caller, got), daemon=True)
        thread.start()
        assert station.raw.receive()[2] == "Reset"
        moved = Station(servers[1])
        thread.join(seconds(30))
        assert [type(each) for each in got] == [ConnectionLost], caller
        got.clear()
        stored = servers[1].send_request("CP_1", v16.ResetRequest(type="Hard"))
        assert moved.answer() == stored.message_id, "what comes first is no copy of the call"
        moved.raw.stop()
        station.raw.stop()
        eventually(lambda: not servers[0].client_ids() and not servers[1].client_ids())
    assert [type(outcome) for _, _, outcome in ended.wait(2)] == [ConnectionLost] * 2


def _call(caller: Any, got: List[Any]) -> None:
    try:
        got.append(caller.call("CP_1", v16.ResetRequest(type="Soft"), timeout=seconds(20)))
    except Exception as error:
        got.append(error)


def test_a_call_does_not_outlive_the_process_of_the_connection(redis: RedisServer, cleanup: Any) -> None:
    cluster = RedisCluster(redis.url)
    server = Server(profiles=v16.PROFILES, cluster=cluster, queues=RedisQueueMap(cluster), timeout=seconds(60))
    cleanup.append(server.stop)
    server.listen(host="127.0.0.1")
    station = Station(server)
    got: List[Any] = []
    thread = threading.Thread(target=_call, args=(server, got), daemon=True)
    thread.start()
    station.raw.receive()
    with redis.client() as client:
        assert client.exists("{ocppj}:queue:rows") == 0, "else another process sends it when this one is killed"
    station.raw.stop()
    thread.join(seconds(10))
    assert isinstance(got[0], ConnectionLost)


# Redis goes and comes


def test_without_redis_a_push_is_refused_and_what_is_in_memory_goes_on(nodes: Nodes, caplog: Any) -> None:
    with RedisServer(appendonly="always") as redis:
        queues = nodes.add(url=redis.url, timeout=1.0)
        queue = queues.get_or_create("A")
        for n in range(4):
            queue.push(bundle(n))
        redis.kill()
        with pytest.raises(QueueFailed):
            queue.push(bundle("no"))
        assert isinstance(queues.push_all([("B", bundle("no"))])[0], QueueFailed)
        assert queue.pop().message_id == "0"
        assert queue.detach("1").message_id == "1"
        queues.settle("A", "1")
        assert ids(queue) == ["2", "3"]
        eventually(lambda: "cannot be reached" in caplog.text)
        redis.start()
        eventually(lambda: _pushed(queue, "later"))
        eventually(lambda: listed(queues) == ["2", "3", "later"])
        assert "can be reached again" in caplog.text
        queues.remove("A")
        assert ids(queues.get_or_create("A")) == ["2", "3", "later"]


def _pushed(queue: Any, message_id: str) -> bool:
    try:
        queue.push(bundle(message_id))
    except QueueFailed:
        return False
    return True


def test_a_client_that_connects_without_redis_gets_its_requests_when_redis_is_back(nodes: Nodes) -> None:
    with RedisServer(appendonly="always") as redis:
        one = nodes.add(url=redis.url, timeout=1.0)
        one.push_all([("A", bundle(1)), ("A", bundle(2))])
        redis.kill()
        queue = one.get_or_create("A")
        assert ids(queue) == []
        redis.start()
        eventually(lambda: ids(queue) == ["1", "2"])
        assert one.owner.grew.wait() == [("A", ["1", "2"])]


def test_a_client_whose_requests_could_not_be_read_once_gets_them_soon(nodes: Nodes, monkeypatch: Any) -> None:
    """One connection to Redis fails. Nothing else notices."""
    one, other = nodes.add(), nodes.add()
    one.push_all([("A", bundle(1))])
    links = other.cluster.links
    use, failures = links.use, iter([ClusterUnavailable("for once")])

    def fail_once() -> Any:
        for error in failures:
            raise error
        return use()

    monkeypatch.setattr(links, "use", fail_once)
    queue = other.get_or_create("A")
    assert ids(queue) == []
    eventually(lambda: ids(queue) == ["1"])
    assert other.owner.grew.wait() == [("A", ["1"])]


def test_one_connection_that_ends_refuses_no_request(nodes: Nodes, redis: RedisServer) -> None:
    queues = nodes.add()
    with redis.client() as client:
        for _ in range(3):
            found = eventually(lambda: [each for each in client.client_list() if each["cmd"] == "bzpopmin"])
            client.client_kill_filter(_id=found[0]["id"])
            until = time.monotonic() + 0.2
            while time.monotonic() < until:
                assert queues.push_all([("A", bundle(1))]) == [None]


def test_a_node_with_many_clients_looks_at_all_once(nodes: Nodes, redis: RedisServer, monkeypatch: Any) -> None:
    """It takes longer than Redis knows the node without a sign of it."""
    monkeypatch.setattr(queue_news, "_LIFE", 1)
    monkeypatch.setattr(queue_news, "_RENEWAL", 0.1)
    with SlowRedis(redis) as slow:
        queues, other = nodes.add(url=slow.url), nodes.add()
        for n in range(40):
            queues.get_or_create(f"C{n}")
        looks = Recorder()
        look = queues._requests.load
        monkeypatch.setattr(queues._requests, "load", lambda *arguments: [looks(arguments[1]), look(*arguments)][1])
        with redis.client() as client:
            theirs = sorted(each["id"] for each in client.client_list() if each["cmd"] == "bzpopmin")
            slow.delay = 0.05
            client.client_kill_filter(_id=theirs[0])
        looks.wait(40, 30)
        slow.delay = 0.0
        other.push_all([("C1", bundle(1))])
        eventually(lambda: ids(queues.get("C1")) == ["1"])
        assert len(looks.calls) < 2 * 40, "it began again"


def test_what_was_answered_does_not_come_back_with_an_older_state_of_redis(nodes: Nodes, redis: RedisServer) -> None:
    """As after a failover to a replica that had not received the deletion."""
    queues = nodes.add()
    queue = queues.get_or_create("A")
    for n in range(3):
        queue.push(bundle(n))
    with redis.client() as client:
        before = {key: client.dump(key) for key in client.keys("{ocppj}:queue:*") if b":news:" not in key}
        queue.pop()
        queue.detach("1")
        queues.settle("A", "1")
        eventually(lambda: client.hlen("{ocppj}:queue:rows") == 1)
        for key, value in before.items():
            client.restore(key, 0, value, replace=True)
        assert client.hlen("{ocppj}:queue:rows") == 3
        found = eventually(lambda: [each for each in client.client_list() if each["cmd"] == "bzpopmin"])
        client.client_kill_filter(_id=found[0]["id"])
        eventually(lambda: client.hlen("{ocppj}:queue:rows") == 1)
    queues.remove("A")
    assert ids(queues.get_or_create("A")) == ["2"]


def test_redis_may_be_away_at_the_start() -> None:
    with RedisServer() as redis:
        redis.stop()
        queues = map_on(redis.url, timeout=1.0)
        queues.init()
        try:
            queue = queues.get_or_create("A")
            with pytest.raises(QueueFailed):
                queue.push(bundle(1))
            redis.start()
            eventually(lambda: _pushed(queue, "1"))
            assert listed(queues) == ["1"]
        finally:
            queues.close()


def test_in_memory_all_goes_on_without_redis(nodes: Nodes, caplog: Any) -> None:
    with RedisServer() as redis:
        queues = nodes.add(url=redis.url, timeout=1.0, on_lost="memory")
        queue = queues.get_or_create("A")
        queue.push(bundle(1))
        redis.kill()
        queue.push(bundle(2))
        assert ids(queue) == ["1", "2"]
        queues.remove("A")
        queue = queues.get_or_create("A")
        assert ids(queue) == ["2"], "what Redis has cannot be read"
        assert "in memory alone" in caplog.text
        queue.pop()


def test_a_redis_that_was_restarted_empty_gets_again_what_is_in_memory(nodes: Nodes, caplog: Any) -> None:
    with RedisServer() as redis:
        one, other = nodes.add(url=redis.url, timeout=1.0), nodes.add(url=redis.url, timeout=1.0)
        queue = one.get_or_create("A")
        for n in (1, 2):
            queue.push(bundle(n))
        other.push_all([("B", bundle("gone"))])
        redis.restart_empty()
        eventually(lambda: _pushed(queue, "3"))
        eventually(lambda: "has lost the requests" in caplog.text)
        eventually(lambda: _listed_if_there(other) == ["1", "2", "3"])
        assert [queue.pop().message_id for _ in range(3)] == ["1", "2", "3"]
        eventually(lambda: other.push_all([("A", bundle(4))]) == [None])
        eventually(lambda: ids(queue) == ["4"])
        queue.pop()
        eventually(lambda: _listed_if_there(one) == [])


def _listed_if_there(queues: Any) -> Any:
    try:
        return listed(queues)
    except QueueFailed:
        return None


@pytest.mark.alone
def test_requests_are_there_after_a_failover() -> None:
    with RedisServer() as master, replica_of(master), sentinel_of(master) as sentinel:
        options = {"socket_timeout": seconds(1), "socket_connect_timeout": seconds(1)}
        finder = Sentinel([(sentinel.host, sentinel.port)], sentinel_kwargs=options, **options)
        queues = RedisQueueMap(RedisCluster(client=finder.master_for("main"), timeout=seconds(1)))
        queues.set_decoder(decode)
        queues.init()
        try:
            queue = queues.get_or_create("A")
            queue.push(bundle(1))
            queues.push_all([("B", bundle(2))])
            with master.client() as client:
                assert client.wait(1, int(seconds(5) * 1000)) == 1
            master.kill()
            eventually(lambda: _pushed(queue, "3"), 60)
            assert ids(queue) == ["1", "3"]
            assert ids(queues.get_or_create("B")) == ["2"]
            queue.pop()
            eventually(lambda: listed(queues) == ["2", "3"])
        finally:
            queues.close()


def test_a_request_that_was_refused_while_redis_hung_is_not_stored_afterwards(nodes: Nodes) -> None:
    with RedisServer() as redis:
        one, other = nodes.add(url=redis.url, timeout=0.5), nodes.add(url=redis.url, timeout=0.5)
        queue = one.get_or_create("A")
        queue.push(bundle("first"))
        redis.pause()
        with pytest.raises(QueueFailed):
            queue.push(bundle("refused"))
        assert isinstance(one.push_all([("B", bundle("refused"))])[0], QueueFailed)
        redis.go_on()
        eventually(lambda: _pushed(queue, "last"))
        eventually(lambda: ids(other.get_or_create("A")) == ["first", "last"])
        eventually(lambda: listed(other) == ["first", "last"])


def test_a_full_redis_refuses_requests_and_removals_go_on(nodes: Nodes) -> None:
    with RedisServer(maxmemory=3_000_000) as redis:
        queues = nodes.add(url=redis.url)
        queue = queues.get_or_create("A")
        filled = 0
        with pytest.raises(QueueFailed, match="OOM|OutOfMemory"):
            for filled in range(1000):
                queue.push(bundle(filled, filling="x" * 20_000))
        assert filled > 3
        for _ in range(filled - 1):
            queue.pop()
        eventually(lambda: _pushed(queue, "again"))
        eventually(lambda: listed(queues) == [str(filled - 1), "again"])


def test_news_that_were_cut_off_are_not_lost(nodes: Nodes, redis: RedisServer, caplog: Any) -> None:
    with SlowRedis(redis) as slow:
        one, cut = nodes.add(), nodes.add(url=slow.url, timeout=1.0)
        queue = cut.get_or_create("A")
        for n in range(3):
            slow.cut()
            # Else it may just not be waiting for news: then none can be on their way, and none are lost.
            eventually(lambda n=n: caplog.text.count("cannot be reached") == n + 1)
            one.push_all([("A", bundle(n))])
            with redis.client() as client:  # as if Redis had taken the news out, and they were lost on their way
                client.delete(*client.keys("{ocppj}:queue:news:*"), "none")
            slow.heal()
            eventually(lambda n=n: ids(queue) == [str(each) for each in range(n + 1)])


def test_many_clients_that_connect_to_a_slow_redis_do_not_wait_for_each_other(nodes: Nodes, redis: RedisServer) -> None:
    with SlowRedis(redis) as slow:
        queues = nodes.add(url=slow.url, timeout=5.0)
        slow.delay = 0.2
        began = time.monotonic()
        run(*[lambda n=n: queues.get_or_create(f"C{n}") for n in range(12)])
        assert time.monotonic() - began < seconds(1.8)
        slow.delay = 0


def test_the_rights_that_the_document_names_are_enough() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "durable.md").read_text("utf-8")
    (words,) = re.findall(r"for the commands (EVAL.*?)\.\s", page, re.DOTALL)
    commands = " ".join(f"+{each.lower()}" for each in re.findall("[A-Z]+", words))
    users = {"default": "off", "app": f"on >secret resetchannels ~{{ocppj}}:* {commands}"}
    with RedisServer(users=users) as redis:
        nodes = Nodes(redis)
        url = redis.url.replace("redis://", "redis://app:secret@")
        try:
            one, other = nodes.add(3, url=url), nodes.add(3, url=url)
            expiring = RequestBundle(bundle(1).call, bundle(1).data, "1.6", offline=True, expires=time.time() + 99)
            assert one.push_all([("A", expiring), ("A", bundle(2)), ("A", bundle(3))]) == [None] * 3
            assert one.next_expiry(time.time()) is not None
            assert one.expired(time.time()) == []
            assert one.detach("A", "3") is not None
            one.settle("A", "3")
            queue = other.get_or_create("A")
            queue.pop()
            queue.set_aside("2", "why")
            other.put_back("A", "2")
            assert listed(one) == ["2"]
            assert one.has_stored("A", "2")
            other.remove("A")
            assert ids(other.get_or_create("A")) == ["2"]
        finally:
            for each in nodes.maps:
                each.close()


# The end


def test_close_ends_while_redis_hangs(redis: RedisServer) -> None:
    queues = map_on(redis.url, timeout=0.5)
    queues.init()
    queue = queues.get_or_create("A")
    queue.push(bundle(1))
    redis.pause()
    try:
        queue.pop()
        began = time.monotonic()
        queues.close()
        assert time.monotonic() - began < seconds(4)
    finally:
        redis.go_on()
    eventually(lambda: not [each for each in threading.enumerate() if each.name.startswith("ocppj-queue-")])
    with pytest.raises(NotRunning):
        queue.push(bundle(2))


def test_close_writes_the_removals_that_wait(nodes: Nodes) -> None:
    one, other = nodes.add(), nodes.add()
    queue = one.get_or_create("A")
    for n in range(300):
        queue.push(bundle(n))
    while queue.pop():
        pass
    one.close()
    assert listed(other) == []


# Servers


class Station:
    """A client that speaks text, at one of the servers."""

    def __init__(self, server: Server) -> None:
        self.raw = RawClient(Sockets(), server.url, "CP_1")
        eventually(lambda: "CP_1" in server.client_ids())

    def boot(self) -> None:
        self.raw.ask([2, "boot", "BootNotification", boot_of(v16).to_wire()])

    def answer(self) -> str:
        _, message_id, _, _ = self.raw.receive()
        self.raw.send([3, message_id, {"status": "Accepted"}])
        return str(message_id)


@pytest.fixture
def servers(redis: RedisServer, cleanup: Any) -> List[Server]:
    servers = []
    for _ in range(2):
        server = Server(profiles=v16.PROFILES, queues=RedisQueueMap(RedisCluster(redis.url)), timeout=seconds(60))
        server.on(v16.BootNotificationRequest)(
            lambda client_id, request: v16.BootNotificationResponse(
                current_time=datetime.now(timezone.utc), interval=300, status="Accepted"
            )
        )
        cleanup.append(server.stop)
        server.listen(host="127.0.0.1")
        servers.append(server)
    return servers


def test_a_command_for_a_client_of_another_server_is_sent_there(servers: List[Server]) -> None:
    station = Station(servers[1])
    station.boot()
    ends: List[Any] = []
    servers[1].set_response_handler(lambda *arguments: ends.append(arguments))
    future = servers[0].send_request("CP_1", v16.ResetRequest(type="Soft"), offline=True)
    assert station.answer() == future.message_id
    error = future.exception(seconds(10))
    assert "another process" in str(error)
    eventually(lambda: ends)
    station.raw.stop()


def test_a_command_waits_for_the_client_whichever_server_it_comes_to(servers: List[Server]) -> None:
    futures = [server.send_request("CP_1", v16.ResetRequest(type="Soft"), offline=True) for server in servers]
    for server in (servers[1], servers[0]):
        station = Station(server)
        station.boot()
        if server is servers[1]:
            assert station.answer() == futures[0].message_id
            assert station.answer() == futures[1].message_id
        else:
            assert station.raw.nothing_came()
        station.raw.stop()
        eventually(lambda server=server: not server.client_ids())
    assert futures[1].result(seconds(10)) == v16.ResetResponse(status="Accepted")


def test_with_a_cluster_the_future_of_a_command_gets_the_answer(redis: RedisServer, cleanup: Any) -> None:
    servers = []
    for _ in range(2):
        cluster = RedisCluster(redis.url)
        server = Server(profiles=v16.PROFILES, cluster=cluster, queues=RedisQueueMap(cluster), timeout=seconds(60))
        cleanup.append(server.stop)
        servers.append(server.listen(host="127.0.0.1"))
    station = Station(servers[1])
    eventually(lambda: "CP_1" in servers[0].client_ids(cluster=True))
    future = servers[0].send_request("CP_1", v16.ResetRequest(type="Soft"))
    assert station.answer() == future.message_id
    assert future.result(seconds(10)) == v16.ResetResponse(status="Accepted")
    station.raw.stop()


def test_the_capacity_counts_what_all_nodes_have_stored(nodes: Nodes) -> None:
    one, other = nodes.add(2), nodes.add(2)
    one.push_all([("A", bundle(1))])
    other.push_all([("A", bundle(2))])
    assert isinstance(one.push_all([("A", bundle(3))])[0], QueueFull)
    with pytest.raises(QueueFull):
        other.get_or_create("A").push(bundle(3))


def test_the_log_has_no_payloads(nodes: Nodes, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    with RedisServer() as redis:
        queues = nodes.add(url=redis.url, timeout=0.5)
        queue = queues.get_or_create("A")
        queue.push(bundle(1, filling="secret-payload"))
        redis.kill()
        with pytest.raises(QueueFailed):
            queue.push(bundle(2, filling="secret-payload"))
        queue.pop()
        eventually(lambda: "cannot be reached" in caplog.text)
    assert "secret-payload" not in caplog.text
