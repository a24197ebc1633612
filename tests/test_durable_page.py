"""Every Python block of docs/durable.md runs, with files of the test and a server of the test in place of its own."""

import re
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict

import pytest

from ocppj import CallCanceled, Client, Server, SQLiteQueue, SQLiteQueueMap, UsageError, v16
from tests.helpers import seconds
from tests.redis_server import RedisServer, needs_redis
from tests.test_readme import BLOCK, ROOT

PAGE = (ROOT / "docs" / "durable.md").read_text("utf-8")
BLOCKS = BLOCK.findall(PAGE)


def block(words: str) -> str:
    """Return the one block that has ``words``."""
    (found,) = (each for each in BLOCKS if words in each)
    return str(found)


def run(code: str, folder: Path, names: Dict[str, Any], url: str = "ws://csms.example/ocpp") -> Dict[str, Any]:
    """Run a block with ``names``, which the blocks before it made, and return what it makes."""
    code = re.sub(r'"/var/lib/\w+/(\w+\.db)"', lambda match: repr(str(folder / match[1])), code)
    code = code.replace('"ws://csms.example/ocpp"', repr(url)).replace("listen(9000)", 'listen(0, host="127.0.0.1")')
    exec(compile(code, "durable.md", "exec"), names)
    return names


def test_every_block_has_a_test_here() -> None:
    tested = "SQLiteQueue, v16", "capacity=100)", "put_back", "offline=True"
    tested += "queues.list", "ThinOut()", "DropNewest", "lost.db", "RedisQueueMap", "QueueFile"
    assert sorted(BLOCKS) == sorted(map(block, tested))


def test_the_client_sends_its_boot_first(tmp_path: Path) -> None:
    came, actions = threading.Event(), []
    server = Server(profiles=v16.PROFILES)
    server.before(lambda client_id, action, request: actions.append(action))

    @server.on(v16.BootNotificationRequest)
    def boot(client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
        return v16.BootNotificationResponse(current_time=datetime.now(timezone.utc), interval=300, status="Accepted")

    @server.on(v16.StatusNotificationRequest)
    def status(client_id: str, request: v16.StatusNotificationRequest) -> v16.StatusNotificationResponse:
        came.set()
        return v16.StatusNotificationResponse()

    with server.listen(port=0, host="127.0.0.1"):
        made = run(block("SQLiteQueue, v16"), tmp_path, {}, server.url)
        try:
            assert came.wait(seconds(5))
        finally:
            made["client"].stop()
    assert actions == ["BootNotification", "StatusNotification"]


def test_the_server_takes_a_file(tmp_path: Path) -> None:
    with run(block("capacity=100)"), tmp_path, {})["server"].listen(port=0, host="127.0.0.1"):
        assert (tmp_path / "requests.db").exists()


def test_requests_to_a_client_that_is_away(tmp_path: Path) -> None:
    made = run(block("offline=True"), tmp_path, {})
    with made["server"]:
        assert [each.message_id for each in made["queues"].list()] == [made["future"].message_id]
        run(block("queues.list"), tmp_path, made)
        assert isinstance(made["future"].exception(seconds(5)), CallCanceled)
        assert made["queues"].list() == []


@needs_redis
def test_the_requests_of_several_servers(tmp_path: Path) -> None:
    with RedisServer() as redis:
        code = block("RedisQueueMap").replace("redis://redis.example:6379/0", redis.url)
        first, second = (run(code, tmp_path, {}) for _ in range(2))
        with first["server"].listen(port=0, host="127.0.0.1"), second["server"].listen(port=0, host="127.0.0.1"):
            future = first["server"].send_request("CP_1", v16.ResetRequest(type="Soft"), offline=True)
            assert [each.message_id for each in second["queues"].list()] == [future.message_id]
            assert second["queues"].cancel(future.message_id)


def test_the_file_is_looked_at_from_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with run(block("capacity=100)"), tmp_path, {})["server"].listen(port=0, host="127.0.0.1") as server:
        server.send_request("CP_1", v16.ResetRequest(type="Soft"), offline=True, version="1.6")
    run(block("QueueFile"), tmp_path, {})
    assert re.match(r"CP_1 \S+ Reset \S+ \S+ waiting for boot", capsys.readouterr().out)


def offline(queue: SQLiteQueue) -> Client:
    """Return a client that finds no server."""
    return Client("CP_1", profiles=v16.PROFILES, queue=queue).connect("ws://127.0.0.1:1", retry=True, wait=False)


def test_what_was_set_aside(tmp_path: Path) -> None:
    queue = SQLiteQueue(tmp_path / "requests.db")
    with offline(queue), pytest.raises(UsageError, match="no request 'some-id' was set aside"):
        run(block("put_back"), tmp_path, {"queue": queue})


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    made = run(block("DropNewest"), tmp_path, run(block("ThinOut()"), tmp_path, {}))
    queue = SQLiteQueue(tmp_path / "own.db", capacity=2, overflow=made["DropNewest"]())
    with offline(queue) as client:
        for connector in (1, 2, 3):
            client.send_request(v16.StatusNotificationRequest(connector, "NoError", "Available"))
        assert [bundle.call.payload.connector_id for bundle in queue.bundles()] == [1, 3]


def test_a_server_goes_on_in_memory(tmp_path: Path) -> None:
    made = run(block("lost.db"), tmp_path, {"SQLiteQueueMap": SQLiteQueueMap})
    with Server(profiles=v16.PROFILES, queues=made["queues"]).listen(port=0, host="127.0.0.1") as server:
        (tmp_path / "lost.db").unlink()
        with Client("CP_1", profiles=v16.PROFILES).connect(server.url) as client:
            client.on(v16.ClearCacheRequest)(lambda request: v16.ClearCacheResponse(status="Accepted"))
            assert server.call("CP_1", v16.ClearCacheRequest()).status == "Accepted"
