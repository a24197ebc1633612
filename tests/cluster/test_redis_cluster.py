"""`RedisCluster` as a whole: joining, leaving, forks."""

import os
import sys
import threading
import time

import pytest

from ocppj import ClusterUnavailable, NotRunning, RedisCluster, RemoteServer, UsageError, v16
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
from tests.redis_server import RedisServer, SlowRedis, needs_redis

pytestmark = needs_redis
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def our_threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ocppj-cluster-")]


def test_without_a_join():
    cluster = RedisCluster("redis://127.0.0.1:1/0")
    assert cluster.node_id == ""
    with pytest.raises(NotRunning):
        cluster.post("CP_1", {})
    cluster.claim("CP_1", {})
    cluster.release("CP_1", "")
    cluster.reply("nobody", {})
    cluster.publish("connected", "CP_1", {})
    assert not cluster.wants("connected")
    assert our_threads() == []


def test_it_asks_without_a_join(server, nodes):
    node = nodes()
    node.claim("CP_1", {"number": 1})
    asking = RedisCluster(server.url)
    assert asking.nodes() == [node.node_id]
    assert asking.holder_of("CP_1").about == {"number": 1}
    assert [each.client_id for each in asking.holders()] == ["CP_1"]
    assert asking.holder_of("CP_2") is None


def test_a_program_that_holds_no_join(server):
    cluster = RedisCluster(server.url)
    cluster.join(Recording())
    with pytest.raises(UsageError):
        cluster.join(Recording())
    assert len(our_threads()) == 3
    cluster.leave()
    assert our_threads() == []


@pytest.mark.parametrize("fault", ["pause", "stop"])
def test_leave_ends_the_threads_though_redis_hangs(fault):
    with RedisServer() as server:
        cluster = RedisCluster(server.url)
        cluster.join(Recording())
        cluster.claim("CP_1", {})
        server.pause() if fault == "pause" else server.kill()
        began = time.monotonic()
        cluster.leave()
        assert time.monotonic() - began < 5 + seconds(5)
        eventually(lambda: our_threads() == [], SOON)


def test_leave_is_called_from_the_member(nodes):
    left = threading.Event()

    def leave(sender, message):
        there.leave()
        left.set()

    here, there = nodes(), nodes(Recording(leave))
    gone = there.node_id
    there.claim("CP_1", {})
    held_by(here, "CP_1", there)
    here.post("CP_1", {"text": "leave"})
    assert left.wait(seconds(SOON))
    eventually(lambda: gone not in here.nodes(), SOON)
    eventually(lambda: len(our_threads()) == 3, SOON)


def test_join_and_leave_again_and_again(server, nodes):
    here = nodes()
    cluster = RedisCluster(server.url)
    ids = set()
    for number in range(20):
        member = Recording()
        cluster.join(member)
        ids.add(cluster.node_id)
        cluster.claim("CP_1", {})
        here.post("CP_1", {"text": number})
        eventually(lambda member=member, number=number: texts(member) == [number], SOON)
        cluster.leave()
    assert len(ids) == 20
    assert here.holders() == []
    assert here.nodes() == [here.node_id]


def test_leave_while_others_use_it(server, nodes):
    here, cluster = nodes(), RedisCluster(server.url)
    cluster.join(Recording())
    stop = threading.Event()
    errors = []

    def use(name):
        while not stop.is_set():
            try:
                cluster.release(f"CP_{name}", cluster.claim(f"CP_{name}", {}))
                cluster.reply(here.node_id, {"text": name})
                cluster.post("CP_0", {"text": name})
            except NotRunning:
                stop.wait(0.01)
            except Exception as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=use, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        pause(0.05)
        cluster.leave()
        cluster.join(Recording())
    stop.set()
    for thread in threads:
        thread.join()
    cluster.leave()
    assert errors == []
    eventually(lambda: here.nodes() == [here.node_id], SOON)
    assert here.holders() == []


@forks
def test_a_child_is_a_node_of_its_own(server, nodes):
    member = Recording()
    here = nodes(member)
    here.claim("CP_1", {})
    made_before = RedisCluster(server.url)
    seen = Recorder()
    subscription = here.subscribe(connected=seen)
    child = os.fork()
    if not child:
        status = 1
        try:
            made_before.join(Recording())
            assert made_before.available
            assert here.node_id == ""
            made_before.post("CP_1", {"text": "of the child"})
            made_before.claim("CP_2", {})
            eventually(lambda: made_before.wants("connected"), SOON)
            made_before.publish("connected", "CP_2", {})
            made_before.leave()
            here.join(Recording())
            here.post("CP_1", {"text": "of the child, again"})
            here.leave()
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    eventually(lambda: texts(member) == ["of the child", "of the child, again"], SOON)
    seen.wait(1)
    here.post("CP_1", {"text": "of the parent"})
    eventually(lambda: texts(member)[-1] == "of the parent", SOON)
    subscription.close()
    assert here.available
    assert member.changes == []


@forks
def test_forks_while_it_is_busy(server, nodes):
    """Whatever its threads hold at that moment, the child can join, and the parent goes on."""
    member = Recording()
    here = nodes(member, lease=30.0)
    here.claim("CP_1", {})
    stop = threading.Event()
    posted = []

    def post(name):
        while not stop.is_set():
            here.post("CP_1", {"text": name})
            posted.append(name)

    threads = [threading.Thread(target=post, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    statuses = []
    for _ in range(10):
        child = os.fork()
        if not child:
            try:
                here.join(Recording())
                here.claim("CP_2", {})
                here.leave()
                os._exit(0)
            finally:
                os._exit(1)
        statuses.append(os.waitpid(child, 0)[1])
    stop.set()
    for thread in threads:
        thread.join()
    assert statuses == [0] * 10
    eventually(lambda: len(member.got) == len(posted), SOON)
    assert here.nodes() == [here.node_id]


def test_three_nodes_while_the_network_fails(server, nodes):
    """Each message arrives once at most, and once if its post has returned; all is well in the end."""
    members = [Recording() for _ in range(3)]
    with SlowRedis(server) as first, SlowRedis(server) as second, SlowRedis(server) as third:
        proxies = [first, second, third]
        made = [nodes(member, url=proxy.url, lease=1.0) for member, proxy in zip(members, proxies)]
        for number, node in enumerate(made):
            node.claim(f"CP_{number}", {})
        stop, counts = threading.Event(), {"sent": [], "unsure": []}

        def post(node, number):
            count = 0
            while not stop.is_set():
                count += 1
                text = f"{number}-{count}"
                try:
                    if node.post(f"CP_{count % 3}", {"text": text}):
                        counts["sent"].append(text)
                except ConnectionError as error:
                    counts["unsure"].append(text) if error.maybe_sent else stop.wait(0.01)
                stop.wait(0.001)

        threads = [threading.Thread(target=post, args=(node, number)) for number, node in enumerate(made)]
        for thread in threads:
            thread.start()
        for turn in range(12):
            proxy = proxies[turn % 3]
            proxy.cut()
            pause(0.1 if turn % 4 else 1.5)
            proxy.heal()
            pause(0.1)
        stop.set()
        for thread in threads:
            thread.join()
        eventually(lambda: all(node.available for node in made), SOON)
        eventually(lambda: len(made[0].holders()) == 3, SOON)
        pause(0.5)
        got = [text for member in members for text in texts(member)]
        assert len(got) == len(set(got)), "delivered twice"
        assert set(got) <= {*counts["sent"], *counts["unsure"]}
        assert len(got) > 100
        assert [member.lost for member in members] == [[], [], []]
        for node in made:
            node.leave()


def test_a_call_ends_at_its_deadline_though_redis_hangs():
    with (
        RedisServer() as server,
        RemoteServer(RedisCluster(server.url, timeout=seconds(5)), profiles=v16.PROFILES) as remote,
    ):
        assert remote.client_ids() == []
        server.pause()
        try:
            began = time.monotonic()
            with pytest.raises(ClusterUnavailable):
                remote.call("CP_1", v16.ClearCacheRequest(), timeout=seconds(0.3))
            assert time.monotonic() - began < seconds(2)
        finally:
            server.go_on()
