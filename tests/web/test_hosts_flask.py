"""The service of examples/flask_service, started by gunicorn and by ``flask run``, with chargers and a browser."""

import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from ocppj import Client, HandshakeRefused, Server, SQLiteQueue, SQLiteQueueMap, v16
from ocppj.testing import SimulatedStation
from ocppj.ws.backoff import Backoff
from tests.helpers import Recorder, eventually, seconds
from tests.web.hosts import ROOT, Host, Start, flask_run, gunicorn, needs_linux, require, starting

require("flask", "gunicorn", "prometheus_client")
pytestmark = needs_linux

PASSWORD = "a long and random one"
SOON = Backoff(seconds(0.1), seconds(0.1), 1)
NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a host in a copy of the example."""
    folder = tmp_path / "service"
    shutil.copytree(ROOT / "examples" / "flask_service", folder)
    yield from starting(folder)


def begin(service: Start, command_of: Callable[..., List[str]] = gunicorn, **more: Any) -> Host:
    return service(command_of, "app:app", ready_path="/health", **more)


@pytest.mark.parametrize("command_of", [gunicorn, flask_run], ids=["gunicorn", "flask run"])
def test_session_by_the_buttons(service: Start, command_of: Any) -> None:
    host = begin(service, command_of)
    assert "CP_1 may connect" in host.post("/chargers", id="CP_1", password=PASSWORD).text
    assert "CP_1: away" in host.get("/").text
    with SimulatedStation("CP_1", password=PASSWORD, speed=600).start(host.url) as station:
        assert station.wait(lambda: station.accepted, within=seconds(10))
        station.plug_in()
        assert "CP_1 says Accepted" in host.post("/chargers/CP_1/start", tag="TAG-7").text
        eventually(lambda: "Stop TAG-7" in host.get("/").text)
        eventually(lambda: len(host.get("/chargers/CP_1/meter").json()) > 2)
        assert host.get("/health").json()["chargers"] == 1
        assert 'ocppj_connections{version="1.6"} 1.0' in host.get("/metrics").text
        assert "CP_1 says Accepted" in host.post("/chargers/CP_1/stop", charging="1").text
        eventually(lambda: "Stop TAG-7" not in host.get("/").text)
        assert "CP_1: online" in host.get("/").text
    assert host.post("/chargers/CP_9/start", tag="TAG-7").status == 404
    assert host.post("/chargers/CP_1/start", tag="TAG-7" * 5).status == 400
    assert host.post("/chargers/CP_1/stop", charging="the last").status == 400
    assert host.post("/chargers", id="CP_3", password="short").status == 400
    assert host.bad_lines() == []


def test_charger_with_a_wrong_password_is_refused(service: Start) -> None:
    host = begin(service)
    host.post("/chargers", id="CP_1", password=PASSWORD)
    for name, password in (("CP_1", "a wrong one"), ("CP_2", PASSWORD)):
        client = Client(name, profiles=v16.PROFILES, basic_auth=(name, password))
        with pytest.raises(HandshakeRefused) as refused:
            client.connect(host.url)
        assert refused.value.status == 401


def test_button_gets_503_while_the_worker_before_has_the_commands(service: Start, tmp_path: Path) -> None:
    host = begin(service)
    host.post("/chargers", id="CP_1", password=PASSWORD)
    queues = SQLiteQueueMap(str(tmp_path / "service" / "commands.db"), capacity=100)
    with Server(profiles=v16.PROFILES, queues=queues) as before:
        before.listen(host="127.0.0.1")
        said = host.post("/chargers/CP_1/start", tag="TAG-7")
        assert (said.status, said.headers["Retry-After"]) == (503, "1")
        assert "commands.db" not in said.text
    assert host.post("/chargers/CP_1/start", tag="TAG-7").status == 202


def test_each_meter_value_is_kept_once(service: Start, tmp_path: Path) -> None:
    """Values of one moment may differ in their phase or format, or come from two connectors. Each is sent twice."""
    host = begin(service)
    host.post("/chargers", id="CP_1", password=PASSWORD)
    volts = [v16.SampledValue(value=f"23{n}", measurand="Voltage", phase=f"L{n}") for n in (1, 2, 3)]
    volts.append(v16.SampledValue(value="signed", measurand="Voltage", phase="L1", format="SignedData"))
    energy = [v16.SampledValue(value="100")]
    with Client("CP_1", profiles=v16.PROFILES, basic_auth=("CP_1", PASSWORD)).connect(host.url) as client:
        for connector, transaction, samples in [(1, 7, volts), (1, None, energy), (2, None, energy)] * 2:
            value = v16.MeterValue(timestamp=NOON, sampled_value=samples)
            client.call(v16.MeterValuesRequest(connector_id=connector, transaction_id=transaction, meter_value=[value]))
    assert stored(tmp_path, "SELECT connector, charging, phase, value FROM meter ORDER BY connector, value") == [
        (1, 0, "", "100"),
        (1, 7, "L1", "231"),
        (1, 7, "L2", "232"),
        (1, 7, "L3", "233"),
        (1, 7, "L1", "signed"),
        (2, 0, "", "100"),
    ]


class Charger:
    """A charger whose messages outlive its connections. It keeps the tags of the remote starts that it accepted."""

    def __init__(self, folder: Path, url: str) -> None:
        queue = SQLiteQueue(str(folder / "charger.db"))
        auth = ("CP_1", PASSWORD)
        self.client = Client("CP_1", profiles=v16.PROFILES, basic_auth=auth, queue=queue, backoff=SOON)
        self.tags = Recorder(v16.RemoteStartTransactionResponse(status="Accepted"))
        self.client.on(v16.RemoteStartTransactionRequest)(lambda request: self.tags(request.id_tag))
        # After a restart the server sends commands when it has heard of the charger.
        self.client.set_reconnected_handler(lambda: self.client.send_request(v16.HeartbeatRequest()))
        self._url = url
        self._number = 0

    def connect(self) -> None:
        self.client.connect(self._url)
        boot = v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M")
        eventually(lambda: self.client.call(boot).status == "Accepted")

    def begin(self) -> int:
        started = v16.StartTransactionRequest(connector_id=1, id_tag="TAG", meter_start=0, timestamp=NOON)
        return self.client.call(started).transaction_id

    def measure(self, transaction: int, count: int) -> List[Any]:
        """Queue so many meter values; return their futures."""
        futures = []
        for _ in range(count):
            self._number += 1
            sample = v16.SampledValue(value=str(self._number))
            value = v16.MeterValue(timestamp=NOON + timedelta(seconds=self._number), sampled_value=[sample])
            request = v16.MeterValuesRequest(connector_id=1, transaction_id=transaction, meter_value=[value])
            futures.append(self.client.send_request(request))
        return futures

    def finish(self, transaction: int) -> Any:
        at = NOON + timedelta(hours=1)
        return self.client.send_request(
            v16.StopTransactionRequest(transaction_id=transaction, meter_stop=self._number, timestamp=at)
        )


@pytest.fixture
def charger(tmp_path: Path) -> Iterator[Callable[[Host], Charger]]:
    made: List[Charger] = []

    def make(host: Host) -> Charger:
        made.append(Charger(tmp_path, host.url))
        return made[-1]

    yield make
    for each in made:
        each.client.stop()


def stored(folder: Path, sql: str) -> List[Any]:
    with closing(sqlite3.connect(folder / "service" / "service.db")) as database:
        return database.execute(sql).fetchall()


def test_reload_kill_and_redeploy_lose_no_message_of_a_session(service: Start, charger: Any, tmp_path: Path) -> None:
    host = begin(service)
    host.post("/chargers", id="CP_1", password=PASSWORD)
    one = charger(host)
    one.connect()
    transaction = one.begin()
    futures = one.measure(transaction, 10)
    futures[0].result(seconds(10))
    host.reload()
    futures += one.measure(transaction, 10)
    eventually(futures[10].done, timeout=20)
    host.end()  # as in a power cut: master and worker, in the middle of ten messages
    futures += one.measure(transaction, 10)
    host = begin(service, port=host.place)
    eventually(futures[20].done, timeout=20)
    assert host.terminate() == 0
    futures += one.measure(transaction, 10)
    ended = one.finish(transaction)
    begin(service, port=host.place)
    ended.result(seconds(20))
    assert [future.exception(0) for future in futures] == [None] * 40
    assert stored(tmp_path, "SELECT value FROM meter ORDER BY at") == [(str(n),) for n in range(1, 41)]
    assert stored(tmp_path, "SELECT charger, meter_stop FROM charging") == [("CP_1", 40)]


def test_redeploy_loses_no_command(service: Start, charger: Any) -> None:
    """Neither those for a charger that is away, nor one that it has not answered yet."""
    host = begin(service)
    host.post("/chargers", id="CP_1", password=PASSWORD)
    for number in range(3):
        said = host.post("/chargers/CP_1/start", tag=f"TAG-{number}")
        assert (said.status, "gets the order when it is back" in said.text) == (202, True)
    assert host.terminate() == 0
    host = begin(service, port=host.place)
    one, asked, go_on = charger(host), threading.Event(), threading.Event()

    @one.client.on(v16.RemoteStartTransactionRequest)
    def slow(request: v16.RemoteStartTransactionRequest) -> v16.RemoteStartTransactionResponse:
        if request.id_tag == "TAG-2" and not asked.is_set():
            asked.set()
            go_on.wait(seconds(20))
        return one.tags(request.id_tag)

    one.connect()
    assert asked.wait(seconds(20))
    assert host.terminate() == 0  # while the charger works on the last command
    go_on.set()
    host = begin(service, port=host.place)
    eventually(lambda: one.tags.calls[-1:] == [("TAG-2",)] and len(one.tags.calls) > 3, timeout=20)
    assert sorted(set(one.tags.calls)) == [("TAG-0",), ("TAG-1",), ("TAG-2",)]
