"""Real `redis-server` processes for tests: on free ports of 127.0.0.1, in a folder that is removed at the end."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import pytest
import redis

from tests.certificates import authority, server_file
from tests.helpers import eventually, seconds
from tests.ports import free_port

MISSING = "there is no redis-server: these tests need the package redis-server (Debian, Ubuntu), redis or valkey"


def program() -> Optional[str]:
    """Return the path of a Redis server, or of a Valkey server; ``None``: there is none."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


def must_be_here() -> bool:
    """Return whether tests without a Redis server are a fault: in CI, on Linux."""
    return bool(os.environ.get("CI")) and sys.platform == "linux"


#: For modules of tests that need a Redis server: ``pytestmark = needs_redis``.
needs_redis = pytest.mark.skipif(program() is None, reason=MISSING)


class RedisServer:
    """A Redis server of its own, which saves nothing. It runs from the start; a context manager ends it.

    Args:
        appendonly: "" (nothing is saved), or what ``appendfsync`` is: "always", "everysec" or "no". What was saved is
            there again after `stop` or `kill`, and `start`.
        maxmemory: In bytes; 0: no limit. What needs more memory is refused (``noeviction``).
        tls: Whether it speaks TLS, with the certificate of `tests.certificates`, and nothing else.
        users: ACL users by name, as rules: ``{"app": "on >secret ~{ocppj}:* &* +@all"}``. Without users everybody may
            do everything.
        options: Further words of the command line, such as ``["--replicaof", "127.0.0.1 6379"]``.
        sentinel: Lines of the configuration of a Sentinel: then it is one.
    """

    def __init__(
        self,
        *,
        appendonly: str = "",
        maxmemory: int = 0,
        tls: bool = False,
        users: Optional[Dict[str, str]] = None,
        options: Sequence[str] = (),
        sentinel: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.host = "127.0.0.1"
        self.tls = tls
        self._folder = Path(tempfile.mkdtemp(prefix="ocppj-redis-"))
        self._users = users
        self._sentinel = bool(sentinel)
        self._words = self._command(appendonly, maxmemory, options)
        if sentinel:
            (self._folder / "sentinel.conf").write_text("\n".join([*sentinel, ""]))
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._paused = False
        atexit.register(self.close)  # if a test has not done it
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def _command(self, appendonly: str, maxmemory: int, options: Sequence[str]) -> List[str]:
        words = ["--bind", self.host, "--dir", str(self._folder), "--port", "0" if self.tls else str(self.port)]
        if self.tls:
            file = str(server_file())
            words += ["--tls-port", str(self.port), "--tls-cert-file", file, "--tls-key-file", file]
            words += ["--tls-ca-cert-file", str(authority().path), "--tls-auth-clients", "no"]
        if self._sentinel:
            return [*words, *options]
        words += ["--save", "", "--appendonly", "yes" if appendonly else "no", "--maxmemory", str(maxmemory)]
        words += ["--appendfsync", appendonly] if appendonly else []
        words += ["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0"]
        if self._users is not None:
            lines = [f"user {name} {rules}" for name, rules in self._users.items()]
            (self._folder / "users.acl").write_text("\n".join([*lines, ""]))
            words += ["--aclfile", str(self._folder / "users.acl")]
        return [*words, *options]

    @property
    def url(self) -> str:
        """The URL for clients, without a user."""
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}/0"

    def client(self, **options: Any) -> "redis.Redis":
        """Return a new client; close it, or let it be freed."""
        if self.tls:
            options.setdefault("ssl_ca_certs", str(authority().path))
        options.setdefault("socket_timeout", seconds(5))
        return redis.Redis.from_url(self.url, **options)

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        assert self._process is None, "it runs"
        words = [program() or "redis-server"]
        if self._sentinel:
            words.append(str(self._folder / "sentinel.conf"))
        words += self._words + (["--sentinel"] if self._sentinel else [])
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text("utf-8", "replace")
        with suppress(redis.ConnectionError, redis.TimeoutError), self.client() as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return True
            except redis.ResponseError as error:  # LOADING, or a user without the right to PING
                return "LOADING" not in str(error)
        return False

    def stop(self) -> None:
        """End it in order. Does nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it by ``kill -9``."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        if self._paused:
            process.send_signal(signal.SIGCONT)
            self._paused = False
        try:
            process.wait(seconds(10))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart_empty(self) -> None:
        """End it, if it runs, and start it without what it had, on the same port."""
        self.kill()
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)
        self.start()

    def pause(self) -> None:
        """Have it do nothing, with its connections open, until `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self._paused = True

    def go_on(self) -> None:
        """Have it work again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._paused = False

    def log(self) -> str:
        """Return what it has written."""
        return (self._folder / "log").read_text("utf-8", "replace")

    def close(self) -> None:
        """End it, and remove its folder."""
        atexit.unregister(self.close)
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def replica_of(master: RedisServer, **options: Any) -> RedisServer:
    """Return a new server that copies ``master``, once it has a first copy."""
    replica = RedisServer(options=["--replicaof", f"{master.host} {master.port}"], **options)
    with replica.client() as client:
        eventually(lambda: client.info("replication")["master_link_status"] == "up", 30)
    return replica


def sentinel_of(master: RedisServer, name: str = "main", down_after: float = 1.0) -> RedisServer:
    """Return a new Sentinel, alone, that fails over when ``master`` has been away for ``down_after`` seconds.

    It knows the replicas that ``master`` has now.
    """
    lines = [
        f"sentinel monitor {name} {master.host} {master.port} 1",
        f"sentinel down-after-milliseconds {name} {int(down_after * 1000)}",
        f"sentinel failover-timeout {name} 5000",
    ]
    sentinel = RedisServer(sentinel=lines)
    with master.client() as client, sentinel.client() as watcher:
        wanted = client.info("replication")["connected_slaves"]
        eventually(lambda: len(watcher.sentinel_slaves(name)) >= wanted, 30)
    return sentinel


class SlowRedis:
    """A TCP proxy before a Redis server, for faults of the network. A context manager ends it.

    Set ``delay`` to have each piece of data wait so many seconds, in both directions together. `cut` ends all
    connections and refuses new ones; `heal` takes new ones again. `silence` keeps the connections that there are, and
    drops what comes over them. `lead_to` has new connections go to another server.
    """

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.delay = 0.0
        self._cut = False
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._sockets: List[socket.socket] = []
        self._silent: List[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, name="redis-proxy", daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """End all connections, and have new ones end at once."""
        with self._lock:
            self._cut = True
            sockets, self._sockets = self._sockets, []
        _close(sockets)

    def heal(self) -> None:
        """Take connections again."""
        self._cut = False

    def silence(self) -> None:
        """Drop all that comes over the connections that there are now, and leave them open."""
        with self._lock:
            self._silent = list(self._sockets)

    def lead_to(self, server: RedisServer) -> None:
        """Have new connections go to that server."""
        self._server = server

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection((self._server.host, self._server.port), seconds(5))
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                taken = not self._cut and not self._closed.is_set()
                if taken:
                    self._sockets += [near, far]
            if not taken:
                _close([near, far])
                continue
            for source, target, slow in ((near, far, True), (far, near, False)):
                mover = threading.Thread(
                    target=self._move, args=(source, target, slow), name="redis-proxy", daemon=True
                )
                self._threads.append(mover)
                mover.start()

    def _move(self, source: socket.socket, target: socket.socket, slow: bool) -> None:
        with suppress(OSError):
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if source in self._silent:
                    continue
                if slow and self.delay:
                    self._closed.wait(self.delay)
                target.sendall(data)
        _close([source, target])

    def __enter__(self) -> "SlowRedis":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, and its threads."""
        self._closed.set()
        _close([self._listener])
        self.cut()
        for thread in self._threads:
            thread.join(seconds(5))


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            each.close()
