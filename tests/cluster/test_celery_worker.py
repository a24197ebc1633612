"""The tasks of examples/celery_worker, in a real Celery worker with a pool of processes, against a real server."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from ocppj import Client, OCPPError, RedisCluster, Server, v16
from tests.helpers import Recorder, eventually, seconds
from tests.web.hosts import ROOT, require, surroundings

require("celery", "redis")
import celery  # noqa: E402

from tests.redis_server import RedisServer, needs_redis  # noqa: E402

pytestmark = [needs_redis, pytest.mark.skipif(not hasattr(os, "fork"), reason="the pool of processes is forked")]


class Worker:
    """A Celery worker with a pool of two processes, in a copy of the example."""

    def __init__(self, folder: Path, url: str) -> None:
        shutil.copytree(ROOT / "examples" / "celery_worker", folder)
        self._log = folder / "worker.log"
        command = [sys.executable, "-m", "celery", "--app", "tasks", "worker", "--concurrency", "2"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=surroundings({"REDIS_URL": url}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._app = celery.Celery("of the test", broker=url, backend=url)
        self._results: List[Any] = []

    def start(self, task: str, *arguments: Any) -> Any:
        self._results.append(self._app.send_task(f"tasks.{task}", arguments))
        return self._results[-1]

    def result(self, task: str, *arguments: Any) -> Any:
        return self.start(task, *arguments).get(timeout=seconds(30))

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def end(self) -> int:
        """End it as a service manager does; return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds(20))

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(seconds(20))
        for result in self._results:
            result.backend = None  # else its finalizer asks a Redis that has ended, again and again, in another test
        self._app.close()


@pytest.fixture
def store() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(store: RedisServer) -> Iterator[Server]:
    with Server(profiles=v16.PROFILES, cluster=RedisCluster(store.url)).listen(host="127.0.0.1") as server:
        yield server


@pytest.fixture
def worker(tmp_path: Path, store: RedisServer) -> Iterator[Worker]:
    worker = Worker(tmp_path / "worker", store.url)
    yield worker
    worker.close()


@pytest.fixture
def chargers(server: Server) -> Iterator[List[Recorder]]:
    """Connect CP_0 to CP_3; yield what keeps the remote starts of each. CP_3 has no handler for them."""
    told = [
        Recorder(v16.RemoteStartTransactionResponse(status=status)) for status in ("Accepted", "Accepted", "Rejected")
    ]
    clients = [Client(f"CP_{number}", profiles=v16.PROFILES) for number in range(4)]
    for client, each in zip(clients, told):
        client.on(v16.RemoteStartTransactionRequest)(lambda request, each=each: each(request))
    for client in clients:
        client.connect(server.url)
    yield told
    for client in clients:
        client.stop()


def test_tasks_start_charges(worker: Worker, server: Server, chargers: List[Recorder]) -> None:
    assert sorted(worker.result("chargers")) == ["CP_0", "CP_1", "CP_2", "CP_3"]
    results = [worker.start("start_charging", f"CP_{number % 2}", f"TAG-{number}", 1) for number in range(20)]
    assert [each.get(timeout=seconds(30)) for each in results] == ["Accepted"] * 20
    tags = [request.id_tag for told in chargers for (request,) in told.calls]
    assert sorted(tags) == sorted(f"TAG-{number}" for number in range(20)), "each once"
    assert worker.result("start_charging", "CP_2", "TAG-1") == "Rejected"


def test_error_of_a_charger_fails_the_task(worker: Worker, server: Server, chargers: List[Recorder]) -> None:
    with pytest.raises(OCPPError, match="NotSupported"):
        worker.result("start_charging", "CP_3", "TAG-1")


def test_task_for_a_charger_that_is_away_is_tried_again(worker: Worker, server: Server) -> None:
    result = worker.start("start_charging", "CP_9", "TAG-1")
    eventually(lambda: result.state == "RETRY", timeout=30)


def test_pool_leaves_no_node_behind(worker: Worker, server: Server, store: RedisServer) -> None:
    assert worker.result("chargers") == []
    watcher = RedisCluster(store.url)
    assert len(watcher.nodes()) > 1
    assert worker.end() == 0, worker.log()
    eventually(lambda: len(watcher.nodes()) == 1, timeout=2)  # less than the lease
