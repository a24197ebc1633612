"""Every Python block of docs/cluster.md runs, with a Redis server of the test in place of its own."""

import contextlib
import io
import re
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Optional

import pytest

from ocppj import Client, RedisCluster, RedisQueueMap, RemoteServer, Server, UnknownClient, v16
from tests.certificates import authority
from tests.helpers import Recorder, eventually, seconds
from tests.test_readme import BLOCK, ROOT
from tests.web.hosts import require

require("redis")
from tests.redis_server import RedisServer, needs_redis, replica_of, sentinel_of  # noqa: E402

PAGE = (ROOT / "docs" / "cluster.md").read_text("utf-8")
BLOCKS = BLOCK.findall(PAGE)
BLOCK_NAMES = (
    "server.listen(9000)",
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
    code = code.replace("listen(9000)", 'listen(0, host="127.0.0.1")')
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


@needs_redis
def test_five_minutes_and_a_cron_job(store: RedisServer) -> None:
    boot = v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M")
    with run(block("server.listen(9000)"), store.url)["server"] as server, charger().connect(server.url) as client:
        assert client.call(boot).status == "Accepted"
        for words in ("remote.call(", "remote.send_request("):
            assert said(block(words), store.url) == promised(block(words))


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
def test_events(store: RedisServer) -> None:
    lines, cluster = io.StringIO(), RedisCluster(store.url)
    with Server(profiles=v16.PROFILES, cluster=cluster).listen(host="127.0.0.1") as server:
        server.on(v16.HeartbeatRequest)(lambda name, request: v16.HeartbeatResponse(datetime.now(timezone.utc)))
        with contextlib.redirect_stdout(lines):
            subscription = run(block("cluster.subscribe("), store.url)["subscription"]
            try:
                eventually(lambda: cluster.wants("connected") and cluster.wants("request"))
                with charger().connect(server.url) as client:
                    client.call(v16.HeartbeatRequest())
                    eventually(lambda: "Heartbeat" in lines.getvalue())
            finally:
                subscription.close()
    assert lines.getvalue().splitlines() == promised(block("cluster.subscribe("))


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
