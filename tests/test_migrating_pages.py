"""The programs of the pages about migrating do the same before and after."""

import importlib.util
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List
from urllib.parse import urlsplit

import pytest

from ocppj import Client, Server, v16
from ocppj.testing import default_response
from ocppj.ws.backoff import Backoff
from tests.helpers import eventually, seconds
from tests.ports import free_port

DOCS = Path(__file__).resolve().parent.parent / "docs"
ANSWER = v16.GetConfigurationResponse(
    configuration_key=[v16.KeyValue(key="HeartbeatInterval", readonly=False, value="300")]
)


def blocks(page: str) -> List[str]:
    """Return the Python blocks of a page: before, and after."""
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def is_there(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)


@contextmanager
def running(code: str, folder: Path) -> Iterator[str]:
    """Run a program that serves on port 9000, on a free one in place of it, and yield its URL."""
    port = free_port()
    (folder / "program.py").write_text(code.replace("9000", str(port)).replace("8887", str(port)), "utf-8")
    process = subprocess.Popen([sys.executable, "program.py"], cwd=str(folder), env=environment())
    try:
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(seconds(10))


def environment() -> Dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(DOCS.parent)}


def talk(url: str, asked: type, answer: Any) -> None:
    """Boot, beat once, and wait until the central system has asked."""
    client = Client("CP_1", profiles=v16.PROFILES, backoff=Backoff(0.1, 0.1, 1))
    got: List[Any] = []

    @client.on(asked)
    def reply(request: Any) -> Any:
        got.append(request)
        return answer

    client.connect(url, retry=True)
    with client:
        boot = client.call(v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One"))
        assert (boot.status, boot.interval) == ("Accepted", 300)
        eventually(lambda: got)


@pytest.mark.parametrize("which", [0, 1], ids=["before", "after"])
def test_from_ocpp(which: int, tmp_path: Path) -> None:
    if which == 0 and not is_there("ocpp", "websockets"):
        pytest.skip("the package ocpp is not installed")
    with running(blocks("migrating-from-ocpp.md")[which], tmp_path) as url:
        talk(url, v16.GetConfigurationRequest, ANSWER)


@pytest.mark.parametrize("which", [2, 3], ids=["before", "after"])
def test_a_charge_point_from_ocpp(which: int, tmp_path: Path) -> None:
    if which == 2 and not is_there("ocpp", "websockets"):
        pytest.skip("the package ocpp is not installed")
    server = Server(profiles=v16.PROFILES)
    got: List[Any] = []

    @server.set_request_handler
    def answer(client_id: str, request: Any, message_id: str, action: str) -> Any:
        got.append(request)
        return default_response(request, datetime.now(timezone.utc))

    with (
        running(blocks("migrating-from-ocpp.md")[which], tmp_path) as url,
        server.listen(port=urlsplit(url).port or 0, host="127.0.0.1"),
    ):
        eventually(lambda: got, 15)
        start = v16.RemoteStartTransactionRequest(id_tag="TAG-0001")
        assert server.call("CP_1", start).status == "Accepted"
        eventually(lambda: isinstance(got[-1], v16.MeterValuesRequest), 15)
    boot, begin, measured = got[:3]
    assert (boot.charge_point_vendor, begin.id_tag) == ("Acme", "TAG-0001")
    assert measured.transaction_id is not None
    assert measured.meter_value[0].sampled_value[0].value == "250"


def test_from_ocpp_go(tmp_path: Path) -> None:
    with running(blocks("migrating-from-ocpp-go.md")[0], tmp_path) as url:
        talk(url, v16.ResetRequest, v16.ResetResponse(status="Accepted"))


@pytest.mark.parametrize("which", [0, 1], ids=["before", "after"])
def test_from_a_server_of_your_own(which: int, tmp_path: Path) -> None:
    if not is_there("flask", *(["flask_sock"] if which == 0 else [])):
        pytest.skip("Flask or flask-sock is not installed")
    code = blocks("migrating-from-asyncio.md")[which] + "\n\napp.run(port=9000)\n"
    with (
        running(code, tmp_path) as url,
        Client("CP_1", profiles=v16.PROFILES, backoff=Backoff(0.1, 0.1, 1), default_subprotocol="ocpp1.6") as client,
    ):
        client.connect(f"{url}/ocpp", retry=True)
        boot = client.call(v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One"))
        assert boot.status == "Accepted"
        assert client.call(v16.HeartbeatRequest()).current_time


@pytest.mark.parametrize("which", [2, 3], ids=["before", "after"])
def test_from_a_server_of_your_own_with_asyncio(which: int, tmp_path: Path) -> None:
    if which == 2 and not is_there("websockets"):
        pytest.skip("websockets is not installed")
    with running(blocks("migrating-from-asyncio.md")[which], tmp_path) as url:
        talk(url, v16.GetConfigurationRequest, ANSWER)
