"""A central system with a port of its own in a worker of gunicorn: the next worker waits for the port and the file."""

import os
import signal
import threading
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest

from ocppj import Client, v16
from ocppj.ws.backoff import Backoff
from tests.helpers import eventually, seconds
from tests.web.hosts import Host, Port, Start, bad_lines, gunicorn, needs_linux, require, starting

require("gunicorn")
pytestmark = needs_linux

SERVICE = "tests.web.listening_service:application"
SOON = Backoff(seconds(0.1), seconds(0.1), 1)
TIMES = int(os.environ.get("OCPPJ_RELOADS", "2"))  # how often in a row


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    yield from starting(tmp_path)


@pytest.fixture
def ocpp() -> Iterator[Port]:
    port = Port()
    yield port
    port.close()


@pytest.fixture
def charger(ocpp: Port) -> Iterator["Charger"]:
    made = Charger()
    made.client.connect(f"ws://127.0.0.1:{ocpp.number}", retry=True, wait=False)
    yield made
    made.may_answer.set()
    made.client.stop()


class Charger:
    """A charger that answers ClearCache when ``may_answer`` is set."""

    def __init__(self) -> None:
        self.client = Client("CP_1", profiles=v16.PROFILES, backoff=SOON, timeout=seconds(20))
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.client.on(v16.ClearCacheRequest)(self._answer)
        self.codes: List[int] = []  # with which connections ended
        self.client.set_disconnected_handler(lambda close: self.codes.append(close.code))

    def _answer(self, request: Any) -> Any:
        self.asked.set()
        self.may_answer.wait(seconds(20))
        return v16.ClearCacheResponse(status="Accepted")


def ask(host: Host, path: str = "/chargers") -> Tuple[int, Any]:
    """Return status and answer of a page. Some releases of gunicorn reset some at a reload: (0, None)."""
    try:
        reply = host.get(path)
    except ConnectionError:
        return 0, None
    return reply.status, reply.json()


def is_online(host: Host) -> bool:
    return ask(host) == (200, ["CP_1"])


@pytest.mark.timeout(60 + 20 * TIMES)
def test_idle_reloads(start: Start, ocpp: Port, charger: Charger) -> None:
    charger.may_answer.set()
    host = start(gunicorn, SERVICE, environment={"OCPP_PORT": str(ocpp.number)})
    seen = set()
    for _ in range(TIMES):
        eventually(lambda: is_online(host))
        seen.add(host.get("/pid").json())
        assert host.get("/call/CP_1").json() == "Accepted"
        host.reload()
    eventually(lambda: is_online(host))
    assert len({host.get("/pid").json(), *seen}) == TIMES + 1
    assert host.terminate() == 0
    eventually(lambda: len(charger.codes) == TIMES + 1)
    assert set(charger.codes) == {1001}
    assert bad_lines(host) == []


@pytest.mark.timeout(60 + 20 * TIMES)
def test_reloads_with_a_call_under_way(start: Start, ocpp: Port, charger: Charger, tmp_path: Path) -> None:
    host = start(gunicorn, SERVICE, environment={"OCPP_PORT": str(ocpp.number)})
    for _ in range(TIMES):
        eventually(lambda: is_online(host))
        charger.asked.clear()
        charger.may_answer.clear()
        replies: List[Any] = []
        button = threading.Thread(target=lambda replies=replies: replies.append(host.get("/call/CP_1").json()))
        button.start()
        assert charger.asked.wait(seconds(10))
        old = host.workers()
        host.send_signal(signal.SIGHUP)
        eventually(lambda old=old: host.workers() - old)  # the new worker has begun; the old one still has the port
        waits = f"the server waits for {tmp_path / 'commands.db'}, which another process holds"
        eventually(lambda waits=waits: ask(host) == (503, waits))
        charger.may_answer.set()
        button.join(seconds(20))
        assert replies == ["Accepted"], "the old worker ends what it has begun"
        eventually(lambda old=old: not host.workers() & old, timeout=30)
    eventually(lambda: is_online(host))
    assert bad_lines(host) == []
