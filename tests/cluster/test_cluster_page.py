"""Every Python block of docs/cluster.md runs, with a Redis server of the test in place of its own."""

import contextlib
import io
import re
import signal
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest

from ocppj import Client, RedisCluster, RedisQueueMap, RemoteServer, Server, UnknownClient, v16
from tests.certificates import authority
from tests.helpers import Recorder, eventually, seconds
from tests.ports import free_port
from tests.programs import environment
from tests.test_readme import BLOCK, ROOT
from tests.web.hosts import require

require("redis")
from tests.redis_server import RedisServer, needs_redis, replica_of, sentinel_of  # noqa: E402

PAGE = (ROOT / "docs" / "cluster.md").read_text("utf-8")
BLOCKS = BLOCK.findall(PAGE)
BLOCK_NAMES = (
    "server.start(9000)",
    "SimulatedStation(",
    "remote.call(",
    "remote.send_request(",
    "RedisQueueMap(cluster",
    "cluster.subscribe(",
    "rediss://",
    "Sentinel(",
    "MemoryHub()",
)


def block(words: str) -> str:
    """Return the one block that has ``words``."""
    (found,) = (each for each in BLOCKS if words in each)
    return str(found)


def run(code: str, url: Optional[str] = None) -> Dict[str, Any]:
    """Run a block, and return what it makes."""
    if url is not None:
        code = re.sub(r'"rediss?://[^"]*"', repr(url), code)
    names: Dict[str, Any] = {}
    exec(compile(code, "cluster.md", "exec"), names)
    return names


def said(code: str, url: Optional[str] = None) -> List[str]:
    """Run a block, and return the lines that it prints."""
    lines = io.StringIO()
    with contextlib.redirect_stdout(lines):
        run(code, url)
    return lines.getvalue().splitlines()


def promised(code: str) -> List[str]:
    return re.findall(r"# -> (.*)$", code, re.MULTILINE)


def charger(name: str = "CP_1") -> Client:
    client = Client(name, profiles=v16.PROFILES)
    client.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
    client.on(v16.ClearCacheRequest)(lambda request: v16.ClearCacheResponse(status="Accepted"))
    return client


@pytest.fixture
def store() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def test_every_block_has_a_test_here() -> None:
    assert sorted(BLOCKS) == sorted(map(block, BLOCK_NAMES))


class Script:
    """A block that runs as a program of its own, and is killed if it does not end. A context manager."""

    def __init__(self, words: str, folder: Path, port: int, url: str = "") -> None:
        folder.mkdir()
        code = re.sub(r'"redis://[^"]*"', repr(url), block(words)).replace("9000", str(port))
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-c", code],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> "Script":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def lines(self) -> List[str]:
        return self._output.read_text("utf-8").splitlines()

    def press_enter(self) -> None:
        """Wait for the end."""
        self._process.communicate(b"\n", timeout=seconds(20))
        assert self._process.returncode == 0, self.lines()

    def terminate(self) -> None:
        """Wait for the end."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(seconds(20))
        assert self._process.returncode == 0, self.lines()


@needs_redis
def test_five_minutes_and_a_cron_job(store: RedisServer, tmp_path: Path) -> None:
    port = free_port()
    with (
        RemoteServer(RedisCluster(store.url), profiles=v16.PROFILES) as remote,
        Script("server.start(9000)", tmp_path / "server", port, store.url) as serving,
        Script("SimulatedStation(", tmp_path / "charger", port) as station,
    ):
        eventually(lambda: remote.client_ids() == ["CP_1"], 20)
        for words in ("remote.send_request(", "remote.call("):
            assert said(block(words), store.url) == promised(block(words))
        station.press_enter()
        eventually(lambda: remote.client_ids() == [], 20)
        serving.terminate()
        assert serving.lines() == []


@needs_redis
def test_durable_commands(store: RedisServer) -> None:
    with run(block("RedisQueueMap(cluster"), store.url)["server"].listen(host="127.0.0.1") as one:
        future = one.send_request("CP_1", v16.ClearCacheRequest(), offline=True)
        made = run(block("RedisQueueMap(cluster"), store.url)
        with made["server"].listen(host="127.0.0.1") as two, charger().connect(two.url) as client:
            two.on(v16.HeartbeatRequest)(lambda name, request: v16.HeartbeatResponse(datetime.now(timezone.utc)))
            assert [each.message_id for each in made["queues"].list()] == [future.message_id]
            client.call(v16.HeartbeatRequest())
            eventually(lambda: made["queues"].list() == [])


@needs_redis
def test_events(store: RedisServer, tmp_path: Path) -> None:
    cluster = RedisCluster(store.url)
    with (
        Server(profiles=v16.PROFILES, cluster=cluster).listen(host="127.0.0.1") as server,
        Script("cluster.subscribe(", tmp_path / "watching", 0, store.url) as watching,
    ):
        server.on(v16.HeartbeatRequest)(lambda name, request: v16.HeartbeatResponse(datetime.now(timezone.utc)))
        eventually(lambda: cluster.wants("connected") and cluster.wants("request"), 20)
        with charger().connect(server.url) as client:
            client.call(v16.HeartbeatRequest())
            eventually(lambda: watching.lines() == promised(block("cluster.subscribe(")), 20)
        watching.press_enter()


def store_command_for_later(queues: RedisQueueMap, cluster: RedisCluster) -> None:
    """Store a command for a client that is away, and deliver it."""
    with Server(profiles=v16.PROFILES, cluster=cluster, queues=queues, known_clients=lambda name: True) as server:
        server.on(v16.HeartbeatRequest)(lambda name, request: v16.HeartbeatResponse(datetime.now(timezone.utc)))
        future = server.listen(host="127.0.0.1").send_request("CP_1", v16.ClearCacheRequest(), offline=True)
        with charger().connect(server.url) as client:
            client.call(v16.HeartbeatRequest())
            assert future.result(seconds(10)).status == "Accepted"


def reset_through(near: RedisCluster, far: RedisCluster) -> str:
    """Return what a charger says that is connected to a server with ``near``, to a call by ``far``."""
    server, remote = Server(profiles=v16.PROFILES, cluster=near), RemoteServer(far, profiles=v16.PROFILES)
    with server.listen(host="127.0.0.1"), charger().connect(server.url), remote:
        return str(remote.call("CP_1", v16.ResetRequest(type="Soft")).status)


@needs_redis
def test_user_of_the_page_over_tls() -> None:
    (rules,) = re.findall(r"^ACL SETUSER ocpp (.*)$", PAGE, re.MULTILINE)
    users = {"default": "off", "ocpp": rules, "admin": "on >admin ~* &* +@all"}
    with RedisServer(tls=True, users=users) as store:
        code = block("rediss://").replace("/etc/ssl/redis-ca.pem", str(authority().path))
        url = store.url.replace("rediss://", "rediss://ocpp:secret@")
        near, far, third = (run(code, url)["cluster"] for _ in range(3))
        events = Recorder()
        watching = far.subscribe(connected=events, disconnected=events, request=events)
        try:
            assert reset_through(near, far) == "Accepted"
            store_command_for_later(RedisQueueMap(third), third)
        finally:
            watching.close()
        with store.client(username="admin", password="admin") as admin:
            assert admin.acl_log() == [], "what it was refused"


@needs_redis
def test_sentinel() -> None:
    with RedisServer() as master, replica_of(master), sentinel_of(master, "mymaster") as sentinel:
        addresses = re.compile(r"\[\(.*?\)\]")
        code = addresses.sub(f'[("127.0.0.1", {sentinel.port})]', block("Sentinel("))
        assert reset_through(*(run(code)["cluster"] for _ in range(2))) == "Accepted"


def test_memory() -> None:
    assert said(block("MemoryHub()")) == promised(block("MemoryHub()"))


@needs_redis
def test_prefixes_are_apart(store: RedisServer) -> None:
    north, south = (RedisCluster(store.url, prefix=prefix) for prefix in ("north", "south"))
    server, remote = Server(profiles=v16.PROFILES, cluster=north), RemoteServer(south, profiles=v16.PROFILES)
    with server.listen(host="127.0.0.1"), charger().connect(server.url), remote:
        assert remote.client_ids() == []
        with pytest.raises(UnknownClient):
            remote.call("CP_1", v16.ResetRequest(type="Soft"))
        with store.client() as client:
            assert {key[:8] for key in client.scan_iter()} <= {b"{north}:", b"{south}:"}
