"""Fixtures: servers of one process that are a cluster of each kind, and stations that connect to them."""

import threading
from typing import Any, Callable, Dict, Iterator, List

import pytest

from ocppj import Client, RemoteServer, Server, v16
from tests.cluster.support import MAKERS, SOON, MemoryWorld, World
from tests.helpers import eventually, seconds

RESET = v16.ResetRequest(type="Soft")
CLEAR = v16.ClearCacheRequest()


class Nodes:
    """Makes servers, stations and remote servers, and ends them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._todo: List[Callable[[], object]] = []

    def server(self, profiles: Any = v16.PROFILES, listen: Any = None, **options: Any) -> Any:
        """Return a server that listens."""
        options.setdefault("cluster", self.world.make())
        server = Server(profiles=profiles, **options)
        server.cluster = options["cluster"]  # for the tests
        self._todo.append(server.stop)
        server.listen(host="127.0.0.1", **(listen or {}))
        return server

    def remote(self, profiles: Any = v16.PROFILES, **options: Any) -> Any:
        """Return a remote server."""
        options.setdefault("cluster", self.world.make())
        remote = RemoteServer(options.pop("cluster"), profiles=profiles, **options)
        self._todo.append(remote.stop)
        return remote

    def station(self, server: Any, client_id: str = "CP_1", profiles: Any = v16.PROFILES, **options: Any) -> Any:
        """Return a station that is connected, and accepts resets."""
        station = Client(client_id, profiles=profiles, **options)
        if profiles is v16.PROFILES:
            station.on(v16.ResetRequest)(lambda request: v16.ResetResponse(status="Accepted"))
        self._todo.append(station.stop)
        station.connect(server.url)
        eventually(lambda: server.cluster.holder_of(client_id), SOON)
        return station

    def set_away(self, away: bool, *servers: Any) -> None:
        """Have the cluster be away, or have it be back, and wait until ``servers`` know."""
        self.world.set_away(away)
        eventually(lambda: all(each.cluster.available is not away for each in servers), SOON)

    def kill(self, server: Any) -> None:
        """Have a node be dead for the others."""
        self.world.cut(server.cluster, True)
        self.world.expire()

    def end(self) -> None:
        while self._todo:
            self._todo.pop()()
        self.world.close()


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.name)
def nodes(request: Any) -> Iterator[Nodes]:
    """Nodes of each kind of cluster."""
    made = Nodes(request.param())
    yield made
    made.end()


@pytest.fixture
def memory_nodes() -> Iterator[Nodes]:
    """Nodes in memory."""
    made = Nodes(MemoryWorld())
    yield made
    made.end()


class Held:
    """A request handler that says it was called, and does not return before it is let go."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.called = threading.Event()
        self.go = threading.Event()
        self.count = 0

    def __call__(self, request: Any) -> Any:
        self.count += 1
        self.called.set()
        self.go.wait(seconds(20))
        return self.response


def in_thread(function: Callable[[], Any]) -> "Dict[str, Any]":
    """Call ``function`` on a thread. Return what has "result" or "error" when it has ended, and its "thread"."""
    outcome: Dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = function()
        except BaseException as error:
            outcome["error"] = error

    outcome["thread"] = threading.Thread(target=run, daemon=True)
    outcome["thread"].start()
    return outcome


def end_of(outcome: "Dict[str, Any]", timeout: float = 10.0) -> Any:
    """Return the error, or else the result, of `in_thread`."""
    outcome["thread"].join(seconds(timeout))
    assert not outcome["thread"].is_alive()
    return outcome.get("error", outcome.get("result"))
