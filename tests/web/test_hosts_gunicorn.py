"""A central system on gunicorn's own port, under traffic: its workers of each kind, reloads, and workers that die."""

import os
import signal
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from ocppj import Client, v16
from ocppj.testing import Fleet
from ocppj.ws.backoff import Backoff
from tests.helpers import Recorder, eventually, seconds
from tests.web.hosts import Browser, Host, Start, gunicorn, gunicorn_is_old, needs_linux, require, starting

require("gunicorn")
pytestmark = needs_linux

SERVICE = "tests.web.small_service:application"
OLD = gunicorn_is_old()
WORKERS = ["sync", "gthread", "gevent"]
SOON = Backoff(seconds(0.1), seconds(0.1), 1)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    yield from starting(tmp_path)


@pytest.fixture
def charger() -> Any:
    """Return what makes a charger that is connected, and accepts ClearCache. It ends with the test."""
    made: List[Client] = []

    def make(name: str, host: Any, **handlers: Any) -> Client:
        client = Client(name, profiles=v16.PROFILES, backoff=SOON, timeout=seconds(20))
        made.append(client)
        client.on(v16.ClearCacheRequest)(lambda request: v16.ClearCacheResponse(status="Accepted"))
        client.set_disconnected_handler(handlers.get("disconnected"))
        client.connect(host.url)
        return client

    yield make
    for each in made:
        each.stop()


def begin(start: Start, worker: str, **more: Any) -> Host:
    """Start the service with a worker of that class."""
    if worker == "gevent":
        require("gevent")
    return start(gunicorn, SERVICE, worker=worker, **more)


def say(client: Client, text: str) -> None:
    client.call(v16.DataTransferRequest(vendor_id="ACME", data=text))


@pytest.mark.parametrize("worker", WORKERS)
def test_chargers_and_pages_share_a_port(start: Start, charger: Any, worker: str) -> None:
    host = begin(start, worker, threads=2)
    gone = Recorder()
    one = charger("ONE", host, disconnected=lambda close: gone(close))
    with Fleet(24, host.url) as fleet, Browser(host) as browser:
        assert fleet.wait(lambda: fleet.summary().booted == 24, within=seconds(20))
        for number in range(100):
            say(one, str(number))
        assert host.get("/seen/ONE").json() == [str(number) for number in range(100)]
        assert host.get("/call/ONE").json() == "Accepted", "the button"
        assert host.get("/call-all").json() == 25
        assert len(host.get("/chargers").json()) == 25
    assert (set(browser.replies), browser.failures) == ({200}, [])
    assert host.terminate() == 0
    ((close,),) = gone.wait()
    assert (close.code, close.by_peer) == (1001, True)
    assert host.bad_lines() == []


def test_two_threads_serve_two_hundred_chargers(start: Start) -> None:
    host = start(gunicorn, SERVICE, threads=2)
    with Fleet(200, host.url, connectors=1) as fleet:
        assert fleet.wait(lambda: fleet.summary().booted == 200, within=seconds(30))
        assert host.get("/call-all").json() == 200
    assert host.bad_lines() == []


@pytest.mark.parametrize(("worker", "times"), [("sync", 1), ("gthread", 2), ("gevent", 2)])
def test_reload_under_traffic(start: Start, charger: Any, worker: str, times: int) -> None:
    """The old worker closes its connections with 1001. The chargers come to the new one, and pages never fail."""
    host = begin(start, worker)
    gone = Recorder()
    one = charger("ONE", host, disconnected=lambda close: gone(close))
    with Fleet(9, host.url, connectors=1) as fleet, Browser(host) as browser:
        assert fleet.wait(lambda: fleet.summary().booted == 9, within=seconds(20))
        for number in range(1, times + 1):
            before = host.get("/pid").json()
            host.reload()
            assert gone.wait(number)[-1][0].code == 1001
            eventually(lambda: len(host.get("/chargers").json()) == 10, timeout=20)
            assert host.get("/pid").json() != before
            say(one, "after")
            assert host.get("/seen/ONE").json() == ["after"], "another process has begun anew"
            assert host.get("/call-all").json() == 10
    assert set(browser.replies) == {200}
    assert not browser.failures or OLD, browser.failures
    assert [line for line in host.bad_lines() if not (OLD and "was sent SIGTERM" in line)] == []


@pytest.mark.parametrize("worker", WORKERS)
def test_worker_killed(start: Start, charger: Any, worker: str) -> None:
    host = begin(start, worker)
    gone = Recorder()
    charger("ONE", host, disconnected=lambda close: gone(close))
    os.kill(host.get("/pid").json(), signal.SIGKILL)
    assert gone.wait()[0][0].code == 1006, "a process that is killed says nothing"
    eventually(lambda: host.get("/chargers").json() == ["ONE"], timeout=20)
    assert host.get("/call/ONE").json() == "Accepted"


def test_server_begins_in_each_worker_when_the_service_was_loaded_before_the_fork(start: Start, charger: Any) -> None:
    """Each charger belongs to the worker that took it. The other one does not know it."""
    host = start(gunicorn, SERVICE, more=("--preload", "--workers", "2"))
    names = [f"CP_{number}" for number in range(16)]
    for name in names:
        charger(name, host)
    shares = set()

    def all_shares() -> bool:
        shares.add(tuple(host.get("/chargers").json()))  # of either worker
        return len(shares) == 2

    eventually(all_shares, timeout=20)
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert host.bad_lines() == []
