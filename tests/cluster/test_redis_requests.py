"""`RedisRequests`: what it does with what Redis holds, whoever wrote it, and the process that is killed or forked."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from ocppj import NotRunning, QueueFailed, RedisCluster, UsageError
from ocppj.cluster.redis.queue_news import News
from ocppj.cluster.redis.requests import RedisRequests
from ocppj.storage.group_commit import PendingInsert
from tests.cluster.redis_queues import Nodes, nodes, redis, shared_redis  # noqa: F401
from tests.helpers import Recorder, eventually, seconds
from tests.redis_server import RedisServer, needs_redis
from tests.storing import bundle, ids

pytestmark = needs_redis

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def requests(redis: RedisServer) -> Iterator[RedisRequests]:
    cluster = RedisCluster(redis.url, timeout=seconds(2))
    requests = RedisRequests(cluster.links, cluster.prefix, Recorder())
    requests.open()
    yield requests
    requests.close()


def store(requests: RedisRequests, client_id: str, *bundles: Any) -> List[int]:
    numbers: List[Any] = []
    inserts = [
        PendingInsert(client_id, each, lambda: None, lambda bundle, seq: numbers.append(seq)) for each in bundles
    ]
    requests.insert(*inserts)
    assert [each.error for each in inserts] == [None] * len(inserts)
    return numbers


def test_rows_are_as_they_were_stored(requests: RedisRequests) -> None:
    texts = ["", 'ä😀\0\x1f"\\/', "x" * 100_000, "%s {} $1 \r\n*3"]
    numbers = store(requests, "Ä \0 1", *[bundle(f"{n} {text[:5]}", filling=text) for n, text in enumerate(texts)])
    assert numbers == sorted(set(numbers))
    rows = requests.rows("Ä \0 1")
    assert [row.seq for row in rows] == numbers
    assert [json.loads(row.data)[3]["vendorId"] for row in rows] == texts
    assert {(row.client_id, row.version, row.offline, row.expires) for row in rows} == {("Ä \0 1", "1.6", 0, None)}
    assert requests.all_rows() == rows
    assert requests.rows_of_message(rows[1].message_id) == [rows[1]]


@pytest.mark.parametrize("data", ["\ud800", None])
def test_what_redis_cannot_hold_is_refused_and_harms_nothing(requests: RedisRequests, data: Any) -> None:
    good, bad = bundle(1), bundle(2)
    bad.data = data
    inserts = [PendingInsert("A", each, lambda: None, lambda *arguments: None) for each in (bad, good)]
    requests.insert(*inserts)
    assert isinstance(inserts[0].error, QueueFailed)
    assert inserts[1].error is None
    assert [row.message_id for row in requests.rows("A")] == ["1"]


def test_many_requests_are_stored_in_few_round_trips_in_order(requests: RedisRequests) -> None:
    numbers = store(requests, "A", *[bundle(n) for n in range(1000)])
    assert numbers == sorted(set(numbers))
    assert [row.message_id for row in requests.rows("A")] == [str(n) for n in range(1000)]


def test_numbers_are_not_used_again_by_a_redis_that_has_lost_its_data(requests: RedisRequests, redis: Any) -> None:
    (before,) = store(requests, "A", bundle(1))
    with redis.client() as client:
        client.flushall()
    (after,) = store(requests, "A", bundle(2))
    assert after > before
    requests.delete(before)
    assert [row.message_id for row in requests.rows("A")] == ["2"]


def test_removals_are_out_of_all_lists_at_once(requests: RedisRequests) -> None:
    numbers = store(requests, "A", *[bundle(n) for n in range(5)])
    requests.delete(numbers[0])
    requests.set_aside(numbers[1], "why")
    requests.detach(numbers[2], "A", "2")
    for rows in (requests.rows("A"), requests.all_rows()):
        assert [row.message_id for row in rows] == ["3", "4"]
    assert requests.rows_of_message("2") == []
    assert requests.detached_rows() == {numbers[2]}
    requests.settle("A", "2")
    requests.settle("A", "2")
    assert requests.detached_rows() == set()
    assert [(each.message_id, each.reason) for each in requests.list_set_aside()] == [("1", "why")]


def test_removals_do_not_wait_for_redis(requests: RedisRequests, redis: RedisServer) -> None:
    numbers = store(requests, "A", *[bundle(n) for n in range(200)])
    redis.pause()
    done = threading.Event()

    def remove() -> None:
        for number in numbers:
            requests.delete(number)
        done.set()

    thread = threading.Thread(target=remove, daemon=True)
    thread.start()
    try:
        assert done.wait(seconds(0.5))
    finally:
        redis.go_on()
    thread.join()
    eventually(lambda: _rows(requests) == [])


def _rows(requests: RedisRequests) -> Any:
    try:
        return requests.rows("A")
    except QueueFailed:
        return None


def test_what_is_put_back_has_its_old_place(requests: RedisRequests) -> None:
    numbers = store(requests, "A", *[bundle(n) for n in range(3)])
    requests.set_aside(numbers[1], "\ud800 ä\n")
    (aside,) = requests.list_set_aside()
    assert (aside.client_id, aside.action, aside.version, aside.reason) == ("A", "DataTransfer", "1.6", "\\ud800 ä\n")
    with pytest.raises(UsageError, match="'7' of client 'A'"):
        requests.take_set_aside("A", "7", put_back=True)
    requests.take_set_aside("A", "1", put_back=True)
    assert [row.seq for row in requests.rows("A")] == numbers
    assert requests.list_set_aside() == []


def test_a_script_that_redis_has_forgotten_is_sent_again(requests: RedisRequests, redis: RedisServer) -> None:
    store(requests, "A", bundle(1))
    with redis.client() as client:
        client.script_flush()
    store(requests, "A", bundle(2), bundle(3))
    assert [row.message_id for row in requests.rows("A")] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "value",
    [b"", b"x", b"\xff\xfe", b"0 o/1 {}", b"0 o/1 [1,2,3]", b'0 o/1 ["A","2","1.6",7,1,null,0]', b"nan o/1 [",
     b'0 o/1 ["A","2","1.6","[]",1,null,0,"more"]', b'0 o/1 ["A","2","1.6","[]","x",null,0]'],
)  # fmt: skip
def test_what_has_another_format_is_left_there_with_a_log_line(requests: RedisRequests, redis: Any, value: bytes,
                                                              caplog: Any) -> None:  # fmt: skip
    (number,) = store(requests, "A", bundle(1))
    with redis.client() as client:
        client.hset("{ocppj}:queue:rows", str(number + 1), value)
        client.zadd("{ocppj}:queue:of:A", {str(number + 1): number + 1})
        assert [row.message_id for row in requests.rows("A")] == ["1"]
        assert [row.message_id for row in requests.all_rows()] == ["1"]
        assert client.hget("{ocppj}:queue:rows", str(number + 1)) == value
    assert "unknown format" in caplog.text


@pytest.mark.parametrize("news", ["x", "[]", '["new"]', "{}", '["ended","A","x"]', '["unknown","A","1"]', "[" * 5000])
def test_news_of_another_format_are_ignored(nodes: Nodes, redis: RedisServer, news: str) -> None:
    one, other = nodes.add(), nodes.add()
    queue = other.get_or_create("A")
    with redis.client(decode_responses=True) as client:
        for name in client.keys("{ocppj}:queue:node:*"):
            client.zadd(name.replace("node:", "news:"), {news: 0})
        one.push_all([("A", bundle(1))])
        eventually(lambda: ids(queue) == ["1"])


def test_a_handler_of_news_that_fails_is_called_again(redis: RedisServer, caplog: Any) -> None:
    heard: List[News] = []

    def hear(news: News) -> None:
        heard.append(news)
        raise RuntimeError("from a program")

    cluster = RedisCluster(redis.url)
    requests = RedisRequests(cluster.links, cluster.prefix, hear)
    requests.open()
    try:
        with redis.client(decode_responses=True) as client:
            (name,) = client.keys("{ocppj}:queue:node:*")
            for n in range(2):
                client.zadd(name.replace("node:", "news:"), {json.dumps(["new", f"A{n}", ""]): n})
        eventually(lambda: len(heard) == 2)
        assert heard == [News("new", "A0", ""), News("new", "A1", "")]
        assert "from a program" in caplog.text
    finally:
        requests.close()


@pytest.mark.parametrize("kind", ["all", "lost"])
def test_a_node_that_redis_has_forgotten_begins_anew_and_looks_at_everything(redis: RedisServer, kind: str) -> None:
    hear = Recorder()
    cluster = RedisCluster(redis.url)
    requests = RedisRequests(cluster.links, cluster.prefix, hear)
    requests.open()
    try:
        with redis.client() as client:
            client.delete(*client.keys("{ocppj}:queue:node:*")) if kind == "all" else client.flushall()
            assert hear.wait(timeout=20)[0] == (News(kind, "", ""),)
            assert len(client.keys("{ocppj}:queue:node:*")) == 1
    finally:
        requests.close()


def test_it_is_used_between_open_and_close(redis: RedisServer) -> None:
    cluster = RedisCluster(redis.url)
    requests = RedisRequests(cluster.links, cluster.prefix, Recorder())
    for _ in range(2):
        assert not requests.is_open()
        with pytest.raises(NotRunning):
            requests.rows("A")
        requests.delete(1)
        requests.open()
        requests.open()
        assert requests.rows("A") == []
        requests.close()
        requests.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("ocppj-queue-")]
    with redis.client() as client:
        assert client.keys("{ocppj}:queue:node:*") == []


# Processes

PUSHER = """
    import sys
    from ocppj import RedisCluster, RedisQueueMap
    from tests.storing import bundle, decode

    url, name = sys.argv[1:]
    queues = RedisQueueMap(RedisCluster(url))
    queues.set_decoder(decode)
    queues.init()
    queue = queues.get_or_create(name)
    print("ready", flush=True)
    for n in range(100_000):
        queue.push(bundle(f"{name}-{n}"))
        print("pushed", n, flush=True)
        assert queues.push_all([("away", bundle(f"{name}-away-{n}"))]) == [None]
        print("away", n, flush=True)
        if n % 3 == 2:
            head = queue.peek().message_id  # it is answered, and the program is told
            print("sent", head, flush=True)
            assert queue.detach(head) is not None
            print("told", head, flush=True)
            queue.settle(head)
"""


def said_by(process: Any) -> Dict[str, List[str]]:
    """Return what a killed process has said, by the first word of each line: the rest of the lines.

    A last line without an end does not count. The process was killed in the middle of it: with ``PYTHONUNBUFFERED``,
    each part of a line is written alone.
    """
    said: Dict[str, List[str]] = {"pushed": [], "away": [], "sent": [], "told": []}
    for line in process.stdout.read().rpartition("\n")[0].splitlines():
        word, _, rest = line.partition(" ")
        said[word].append(rest)
    return said


@pytest.mark.alone
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9")
def test_a_process_that_is_killed_loses_no_command() -> None:
    chance = random.Random(15)
    with RedisServer(appendonly="always") as redis:
        reader = Nodes(redis)
        try:
            count = 0
            for turn in range(12):
                name = f"P{turn}"
                process = subprocess.Popen(
                    [sys.executable, "-c", textwrap.dedent(PUSHER), redis.url, name],
                    cwd=ROOT, stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                threading.Event().wait(seconds(chance.uniform(0, 0.3)))
                process.kill()
                said = said_by(process)
                process.wait()
                count += len(said["told"])
                if turn % 3 == 2:
                    redis.kill()  # the machine of Redis goes as well
                    redis.start()
                check(reader, name, said)
            assert count > 0
        finally:
            for each in reader.maps:
                each.close()


def check(reader: Nodes, name: str, said: Dict[str, List[str]]) -> None:
    """Check that another node has all that was pushed, in order, but for what the program was told of."""
    queues = reader.add(timeout=20.0)
    queue, away = queues.get_or_create(name), queues.get_or_create("away")
    pushed, stored = {f"{name}-{n}" for n in said["pushed"]}, {f"{name}-away-{n}" for n in said["away"]}
    # A machine that is busy may not answer in time: then they come a moment later.
    with suppress(AssertionError):
        eventually(lambda: pushed <= {*ids(queue), *said["told"]} and stored <= {*ids(away)})
    assert pushed - {*ids(queue), *said["told"]} == set()
    assert stored - {*ids(away)} == set()
    numbers = [int(each.rpartition("-")[2]) for each in ids(queue)]
    assert numbers == sorted(set(numbers))
    assert all(each.startswith(f"{name}-away-") for each in ids(away) if each.startswith(f"{name}-"))
    queues.close()


FORK = """
    import os, sys
    from ocppj import NotRunning, RedisCluster, RedisQueueMap
    from tests.storing import bundle, decode, ids

    def made():
        queues = RedisQueueMap(RedisCluster(sys.argv[1]))
        queues.set_decoder(decode)
        queues.init()
        return queues

    queues = made()
    queue = queues.get_or_create("A")
    queue.push(bundle("parent"))
    child = os.fork()
    if child == 0:
        try:
            queue.push(bundle("no"))
        except NotRunning:
            own = made()
            own.push_all([("A", bundle("child"))])
            own.close()
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    queue.push(bundle("later"))
    while len(queue) < 3:
        pass
    print(*sorted(ids(queue)))
    queues.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_no_part_in_the_queues_of_its_parent(redis: RedisServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK), redis.url],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds(60), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["child", "later", "parent"]), done.stderr
