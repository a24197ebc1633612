"""`KeptRequests`: a command for a client that is away or not outlives the node that it was given to."""

import threading
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest

from ocppj import (
    CallTimeout,
    Client,
    Cluster,
    ConnectionLost,
    MemoryCluster,
    MemoryHub,
    QueueFailed,
    RedisCluster,
    RedisQueueMap,
    Server,
    SQLiteQueueMap,
    v16,
)
from ocppj import Stopped as StoppedError
from ocppj.cluster import kept, remote_calls
from tests.helpers import eventually, seconds
from tests.redis_server import RedisServer, SlowRedis, needs_redis

RESET = v16.ResetRequest(type="Soft")


def server_of(cluster: Cluster, queues: Any) -> Server:
    server = Server(profiles=v16.PROFILES, cluster=cluster, queues=queues, known_clients=lambda name: True)
    server.on(v16.HeartbeatRequest)(lambda name, request: v16.HeartbeatResponse(datetime.now(timezone.utc)))
    return server.listen(host="127.0.0.1")


def charger(url: str, told: List[str], gate: Optional[threading.Event] = None) -> Client:
    """Return CP_1, which has said something. With a ``gate`` it answers when that is set."""
    client = Client("CP_1", profiles=v16.PROFILES, reconnect=False)

    @client.on(v16.ResetRequest)
    def reset(request: v16.ResetRequest) -> v16.ResetResponse:
        told.append(request.type)
        if gate is not None:
            gate.wait(seconds(20))
        return v16.ResetResponse(status="Accepted")

    client.connect(url)
    client.call(v16.HeartbeatRequest())
    return client


class Pair:
    """Two servers in one process. The charger is connected to ``one``, which may die. ``two`` gives the commands."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        hub = MemoryHub()
        self.cluster = MemoryCluster(hub)
        self.queues = SQLiteQueueMap(str(folder / "two.db"))
        self.one = stack.enter_context(server_of(self.cluster, SQLiteQueueMap(str(folder / "one.db"))))
        self.hub, self.near = hub, MemoryCluster(hub)
        self.two = stack.enter_context(server_of(self.near, self.queues))
        self.told: List[str] = []
        self.gate = threading.Event()
        stack.callback(self.gate.set)
        self.client = charger(self.one.url, self.told, self.gate)
        stack.callback(self.client.stop)

    def command(self, **options: Any) -> Any:
        """Give a command that the charger does not answer until the gate is open; return its future."""
        future = self.two.send_request("CP_1", RESET, offline=True, **options)
        eventually(lambda: self.told)
        return future

    def move(self) -> Client:
        """Let the charger connect to the other server, and answer there."""
        self.gate.set()
        self.client.stop()
        return charger(self.two.url, self.told)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(tmp_path, stack)


def test_command_ends_with_its_answer(pair: Pair) -> None:
    future = pair.command()
    pair.gate.set()
    assert future.result(seconds(10)).status == "Accepted"
    assert (len(pair.told), pair.queues.list()) == (1, [])


def test_command_is_made_again_when_its_node_dies(pair: Pair) -> None:
    future = pair.command(expires=1000)
    before = time.time()
    pair.cluster.kill()
    (stored,) = eventually(lambda: pair.queues.list())
    assert stored.message_id == future.message_id
    assert stored.expires.timestamp() <= before + 1000
    assert not future.done()
    with pair.move():
        assert future.result(seconds(10)).status == "Accepted"


def test_command_of_a_broadcast_is_made_again(pair: Pair) -> None:
    future = pair.two.broadcast(RESET, ["CP_1"], offline=True)["CP_1"]
    eventually(lambda: pair.told)
    pair.cluster.kill()
    eventually(lambda: pair.queues.list())
    with pair.move():
        assert future.result(seconds(10)).status == "Accepted"


def test_command_is_made_again_when_its_node_stops(pair: Pair) -> None:
    future = pair.command()
    pair.one.stop()
    eventually(lambda: pair.queues.list())
    with pair.move():
        assert future.result(seconds(10)).status == "Accepted"


def test_command_whose_answer_was_lost_ends(pair: Pair) -> None:
    """The node that gave it was dead for the others when the charger answered."""
    future = pair.command()
    pair.near.away = True
    pair.hub.expire()
    pair.gate.set()
    eventually(lambda: pair.one.connection("CP_1").queue_length == 0)
    assert not future.done()
    pair.near.away = False
    assert isinstance(future.exception(seconds(10)), ConnectionLost)
    assert len(pair.told) == 1


def test_command_whose_answer_was_lost_unnoticed_ends(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_calls, "CHECKS", 0.1)
    lost, reply = threading.Event(), pair.cluster.reply

    def lose(node_id: str, message: Any) -> None:
        if message["kind"] == "answer":
            lost.set()
        else:
            reply(node_id, message)

    monkeypatch.setattr(pair.cluster, "reply", lose)
    future = pair.command()
    threading.Event().wait(0.5)  # some checks
    assert not future.done()
    pair.gate.set()
    assert lost.wait(seconds(10))
    assert isinstance(future.exception(seconds(10)), ConnectionLost)


class Failing:
    """Stands for ``send_request`` of a server. Its disk is full from the second request to the one before ``until``."""

    def __init__(self, server: Server, until: int) -> None:
        self._send, self._until = server.send_request, until
        self.count = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.count += 1
        if 1 < self.count < self._until:
            raise QueueFailed("the disk is full")
        return self._send(*arguments, **options)


def test_command_is_made_again_although_that_fails_at_first(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "PAUSE", 0.1)
    monkeypatch.setattr(pair.two, "send_request", Failing(pair.two, 4))
    future = pair.command()
    pair.cluster.kill()
    eventually(lambda: pair.queues.list())
    with pair.move():
        assert future.result(seconds(10)).status == "Accepted"


def test_command_that_cannot_be_made_again_expires(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "PAUSE", 0.1)
    failing = Failing(pair.two, 10_000)
    monkeypatch.setattr(pair.two, "send_request", failing)
    future = pair.command(expires=seconds(2))
    pair.cluster.kill()
    assert isinstance(future.exception(seconds(10)), CallTimeout)
    assert failing.count > 2


def test_canceled_command_is_not_made_again(pair: Pair) -> None:
    future = pair.command()
    assert future.cancel()
    pair.cluster.kill()
    with pair.move() as client:
        client.call(v16.HeartbeatRequest())
        assert (len(pair.told), pair.queues.list()) == (1, [])


def test_command_that_was_made_again_can_be_canceled(pair: Pair) -> None:
    future = pair.command()
    pair.cluster.kill()
    eventually(lambda: pair.queues.list())
    assert future.cancel()
    eventually(lambda: pair.queues.list() == [])


def test_stop_ends_the_future(pair: Pair) -> None:
    futures = [pair.command(), pair.command()]
    pair.cluster.kill()
    pair.two.stop()
    assert [type(each.exception(seconds(10))) for each in futures] == [StoppedError] * 2


@needs_redis
def test_command_in_the_inbox_of_a_node_that_dies(tmp_path: Path) -> None:
    """It never reads it. The other node learns that when the lease has run out, and stores the command."""
    told: List[str] = []
    with RedisServer() as store, SlowRedis(store) as broken:
        near, far = (RedisCluster(url, lease=seconds(2)) for url in (store.url, broken.url))
        with server_of(far, RedisQueueMap(far)) as one, server_of(near, RedisQueueMap(near)) as two:
            client = charger(one.url, told)
            broken.cut()
            future = two.send_request("CP_1", RESET, offline=True)
            client.stop()
            eventually(lambda: near.holders() == [])
            with charger(two.url, told):
                assert future.result(seconds(10)).status == "Accepted"
            assert told == ["Soft"]
            broken.heal()
