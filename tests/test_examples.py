"""The programs in examples/ do what they say, each as a process, as a user runs it; and so does the demo.

Elsewhere: flask_service and django_service in tests/web, celery_worker in tests/cluster, the suites of pytest in
tests/testing/test_testing_pages.py, and grafana in tests/test_grafana.py.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Iterator, List

import pytest

from ocppj import Client, Server, v16, v21, v201
from ocppj.testing import ScriptedCSMS, SimulatedStation, TestPKI, default_response, example
from tests.cli.commands import Ran, Running
from tests.helpers import eventually, seconds
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
DEMO = ROOT / "tools" / "demo.py"
FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__")
#: What Django writes by itself when a project is made.
WRITTEN_BY_DJANGO = {"manage.py", "settings.py"}
NOW = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")


def start(name: str, *words: object) -> Running:
    """Start the program of a folder, which has the name of its folder."""
    program = str(EXAMPLES / name / f"{name}.py")
    return Running(*words, program=[program], env={"PYTHONUNBUFFERED": "1"})


def run(name: str, *words: object) -> Ran:
    with start(name, *words) as program:
        return program.wait(within=30)


def python(arguments: List[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds(50),
        check=False,
    )


def ended(program: Running) -> str:
    """Press Ctrl-C; return what the program has logged."""
    ran = program.end(signal.SIGINT)
    assert ran.code == 0, ran.err
    return ran.err


# What holds for each folder


def programs(folder: str) -> List[Path]:
    return [file for file in (EXAMPLES / folder).rglob("*.py") if file.name not in WRITTEN_BY_DJANGO]


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_is_small(folder: str) -> None:
    """The README has at most 15 lines, and the programs at most 150, without blank ones."""
    assert len((EXAMPLES / folder / "README.md").read_text("utf-8").splitlines()) <= 15
    lines = [line for file in programs(folder) for line in file.read_text("utf-8").splitlines() if line.strip()]
    assert len(lines) <= 150


@pytest.mark.parametrize("folder", FOLDERS)
def test_commands_of_the_readme_fit_the_program(folder: str) -> None:
    readme = (EXAMPLES / folder / "README.md").read_text("utf-8")
    for name, words in re.findall(r"^python (\w+\.py)(.*)$", readme, re.MULTILINE):
        source = (EXAMPLES / folder / name).read_text("utf-8")
        for option in re.findall(r"--[a-z]+\S*", words):
            assert f'"{option}"' in source or name == "manage.py", f"{name} has no {option}"


def test_page_lists_each_folder_once() -> None:
    page = (ROOT / "docs" / "examples.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| \[\w+\]\(\.\./examples/(\w+)\) \|", page, re.MULTILINE)) == FOLDERS


def test_only_folders_are_there() -> None:
    assert [path.name for path in EXAMPLES.iterdir() if path.is_file()] == []


# The demo


def test_demo_shows_a_whole_session(tmp_path: Path) -> None:
    done = python([str(DEMO)], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if "->" in line]
    assert len(lines) == 24
    shape = re.compile(r"\d\d:\d\d:\d\d\.\d{3}  (CP_1 -> CSMS|CSMS -> CP_1)  (CALL|RESULT)  +([A-Z]\w+)")
    seen = [shape.match(line) for line in lines]
    assert all(seen), done.stdout
    actions = [match.group(3) for match in seen if match]
    assert actions[::2] == actions[1::2], "each answer follows its request, and names its action"
    assert "\x1b" not in done.stdout


def test_demo_fails_when_something_is_missing(tmp_path: Path) -> None:
    broken = DEMO.read_text("utf-8").replace("for energy in (350, 700, 1050)", "for energy in (350,)")
    (tmp_path / "demo.py").write_text(broken.replace("told_to_stop.wait(PATIENCE)", "told_to_stop.wait(0.5)"), "utf-8")
    done = python(["demo.py"], tmp_path)
    assert done.returncode == 1
    assert "nobody stopped the transaction" in done.stderr


# Central systems


@pytest.fixture
def central_system() -> Iterator[Running]:
    with start("central_system_16", "--port", 0, "--tag", "TAG-0001") as program:
        yield program


@needs_signals
def test_charge_point_charges_at_central_system(central_system: Running) -> None:
    url = central_system.url()
    ran = run("charge_point", url, "CP_1", "--interval", 0)
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[-1] == "transaction 1 ends"
    stranger = run("charge_point", url, "CP_1", "--tag", "TAG-9")
    assert (stranger.code, stranger.err) == (1, "TAG-9 may not charge: Invalid")
    log = ended(central_system)
    for said in (
        "CP_1 is a Acme One",
        "CP_1 has HeartbeatInterval = 60",
        "CP_1 starts transaction 1 for TAG-0001",
        "CP_1 meter: 1000 Wh",
        "CP_1 ends transaction 1 at 1000 Wh",
        "CP_1: connection closed by the peer with 1000",
    ):
        assert said in log


@needs_signals
def test_charge_point_is_killed_offline_and_tells_all_later(tmp_path: Path) -> None:
    port = free_port()  # nothing listens there at first
    url = f"ws://127.0.0.1:{port}"
    words = (url, "CP_1", "--folder", tmp_path, "--interval", 0.05)
    with start("charge_point_offline", *words) as program:
        program.wait_for("charged 500 Wh")
        program.end(signal.SIGKILL)
    server = Server(profiles=v16.PROFILES)
    server.set_request_handler(lambda client_id, request, message_id, action: default_response(request, NOW))
    stops: List[Any] = []

    @server.on(v16.StopTransactionRequest)
    def stop(client_id: str, request: v16.StopTransactionRequest) -> v16.StopTransactionResponse:
        stops.append(request)
        return v16.StopTransactionResponse()

    with (
        server.listen(port=port, host="127.0.0.1"),
        start("charge_point_offline", *words, "--samples", 0) as program,
    ):
        eventually(lambda: stops, 20)
        program.end(signal.SIGINT)
    assert (stops[0].reason, stops[0].meter_stop >= 500, stops[0].transaction_id > 0) == ("PowerLoss", True, True)


def test_central_system_says_that_its_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = run("central_system_16", "--port", taken.getsockname()[1])
    assert ran.code == 1
    assert "AddressInUse: " in ran.err.splitlines()[-1]


def charge(program: Running, url: str, client_id: str, version: str, end: str) -> None:
    """Have a simulated station charge until the program logs ``end``. No message of the station may fail."""
    with SimulatedStation(client_id, version=version, speed=600).start(url) as station:
        assert station.wait(lambda: station.accepted, within=seconds(20))
        station.charge(connector=1, id_token="TAG-1", seconds=120)
        program.wait_for(end)
        assert dict(station.summary().failed) == {}


@needs_signals
def test_central_system_for_201() -> None:
    energy = v201.SampledValue(value=1.5, unit_of_measure=v201.UnitOfMeasure(unit="kWh"))
    event = v201.TransactionEventRequest(
        event_type="Updated",
        timestamp=NOW,
        trigger_reason="MeterValuePeriodic",
        seq_no=4,
        transaction_info=v201.Transaction(transaction_id="T-1"),
        meter_value=[v201.MeterValue(timestamp=NOW, sampled_value=[energy])],
    )
    with start("central_system_201", "--port", 0) as program:
        url = program.url()
        charge(program, url, "CS_1", "2.0.1", "Ended")
        with Client("CS_2", profiles=v201.PROFILES).connect(url) as client:
            client.call(event)
            client.call(event)  # as if its answer was lost
            assert client.call(v201.HeartbeatRequest()).current_time
        log = ended(program)
    assert "CS_1 is a ocppj Simulated, and boots: PowerUp" in log
    assert "CS_1 has HeartbeatInterval = 60" in log
    assert re.search(r"CS_1 \S+: Started at 0 Wh for TAG-1", log)
    assert re.search(r"CS_1 \S+: Ended at [1-9]\d+(\.\d+)? Wh for TAG-1", log)
    assert log.count("CS_2 T-1: Updated at 1500 Wh") == 1


@needs_signals
def test_central_system_for_21() -> None:
    def event(kind: str, number: int, energy: float) -> v21.TransactionEventRequest:
        value = v21.MeterValue(timestamp=NOW, sampled_value=[v21.SampledValue(value=energy)])
        return v21.TransactionEventRequest(
            event_type=kind,
            timestamp=NOW,
            trigger_reason="MeterValuePeriodic",
            seq_no=number,
            transaction_info=v21.Transaction(transaction_id="T-1"),
            meter_value=[value],
        )

    stream = v21.NotifyPeriodicEventStream(
        data=[v21.StreamDataElement(t=0, v="230.1"), v21.StreamDataElement(t=1, v="229.8")],
        id=7,
        pending=0,
        basetime=NOW,
    )
    with start("central_system_21", "--port", 0, "--price", 0.5, "--limit", 9000) as program:
        url = program.url()
        charge(program, url, "CS_1", "2.1", "Ended")
        with Client("CS_2", profiles=v21.PROFILES).connect(url) as client:
            started = client.call(event("Started", 0, 100_000))
            assert started.transaction_limit.max_energy == 9000
            assert client.call(event("Updated", 1, 104_000)).total_cost == 2
            assert client.call(event("Updated", 1, 104_000)).transaction_limit is None
            assert client.call(example(v21.OpenPeriodicEventStreamRequest)).status == "Accepted"
            client.send(stream)
            client.call(example(v21.ClosePeriodicEventStreamRequest))
        log = ended(program)
    assert re.search(r"CS_1 \S+: Ended at \d+\.\d\d$", log, re.MULTILINE)
    assert "CS_2 T-1: Updated at 2.00" in log
    assert "CS_2 stream 7: 230.1, 229.8" in log


@needs_signals
def test_central_system_for_all_versions() -> None:
    with start("central_system_all", "--port", 0, "--block", "TAG-9") as program:
        url = program.url()
        for number, version in enumerate(("1.6", "2.0.1", "2.1")):
            charge(program, url, f"CS_{number}", version, "ends")
        with Client("CS_9", profiles=v16.PROFILES).connect(url) as client:
            assert client.call(v16.AuthorizeRequest(id_tag="TAG-9")).id_tag_info.status == "Blocked"
        log = ended(program)
    for number, version in enumerate(("1.6", "2.0.1", "2.1")):
        assert f"CS_{number} speaks OCPP {version}, heartbeat 60 s" in log
        assert re.search(rf"CS_{number} begins \S+ for TAG-1", log)
        assert re.search(rf"CS_{number} ends \S+ for TAG-1", log)


# Charge points


def test_charge_point_says_what_went_wrong() -> None:
    ran = run("charge_point", "ws://127.0.0.1:1", "CP_1")
    assert ran.code == 1
    assert ran.err.startswith("TransportError: ")


@needs_signals
def test_charge_point_ends_its_transaction_at_ctrl_c() -> None:
    with ScriptedCSMS() as csms, start("charge_point", csms.url, "CP_1", "--interval", 60) as program:
        csms.expect(v16.StatusNotificationRequest, status="Charging", within=seconds(20))
        program.process.send_signal(signal.SIGINT)
        assert csms.expect(v16.StopTransactionRequest, within=seconds(20)).reason == "Local"
        assert program.wait().code == 0


@needs_signals
def test_charge_point_with_profile_3(tmp_path: Path) -> None:
    pki = TestPKI(tmp_path)
    files = ["--ca", pki.ca, "--certificate", pki.station("CS_1")]
    name = "charge_point_profile_3"
    context = pki.server_context(require_client_certificate=True)
    with ScriptedCSMS(versions=["2.0.1"], security_profile=3, ssl_context=context) as csms:
        pending = example(v201.BootNotificationResponse, status="Pending", interval=1)
        csms.reply(v201.BootNotificationRequest, pending, example(v201.BootNotificationResponse, interval=1))
        with start(name, csms.url, "CS_1", *files) as program:
            csms.expect(v201.BootNotificationRequest, reason="PowerUp", within=seconds(20))
            csms.expect(v201.StatusNotificationRequest, connector_status="Available", within=seconds(20))
            csms.expect(v201.HeartbeatRequest, within=seconds(20))
            security = v201.GetVariableData(v201.Component("SecurityCtrlr"), v201.Variable("SecurityProfile"))
            answer = csms.call(v201.GetVariablesRequest([security])).get_variable_result[0]
            assert answer.attribute_value == "3"
            assert csms.call(v201.ResetRequest(type="Immediate")).status == "Accepted"
            csms.expect(v201.BootNotificationRequest, reason="RemoteReset", within=seconds(20))
            csms.expect(v201.StatusNotificationRequest, within=seconds(20))
            csms.drop()
            csms.expect(v201.HeartbeatRequest, within=seconds(20))  # over another connection
            assert "boot: Pending, interval 1 s" in ended(program)
        stranger = run(name, csms.url, "CS_2", *files)
        assert (stranger.code, "401" in stranger.err) == (1, True)


def test_suite_of_unittest_passes() -> None:
    done = python(["-m", "unittest", "-v"], EXAMPLES / "unittest_charge_point")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "OK"
    assert done.stderr.count("... ok") > 3


# What stands between, and tools


@needs_signals
def test_charge_point_charges_through_the_proxy(central_system: Running) -> None:
    with start("proxy", central_system.url(), "--port", 0) as proxy:
        ran = run("charge_point", proxy.url(), "CP_1", "--interval", 0)
        assert (ran.code, ran.err) == (0, "")
        assert ran.lines[-1] == "transaction 1 ends"
        said = ended(proxy)
    assert "CP_1: station sends CALL StartTransaction" in said
    assert "CP_1: csms sends CALLRESULT StopTransaction" in said
    assert said.splitlines()[-1].endswith("ended: 1 connections")
    assert "CP_1 is a ACME Inc. One" in ended(central_system), "the proxy has changed the vendor"


def test_recording_is_played_against_another_central_system(tmp_path: Path) -> None:
    done = python([str(EXAMPLES / "recording" / "recording.py")], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "CP_1 ends transaction 1",
        "recorded 8 lines",
        "CP_1 ends transaction 100",
        "CP_1: answer BootNotification interval: recorded 300, now 60",
    ]


def test_load_test_judges_a_central_system() -> None:
    words: List[Any] = ["--stations", 3, "--seconds", 2, "--charge", 60, "--speed", 120, "--p99"]
    with ScriptedCSMS(strict=False) as csms:
        good = run("load_test", csms.url, *words, 5000)
        assert (good.code, good.err) == (0, "")
        assert "3 stations, 3 connected, 3 accepted" in good.out
        bad = run("load_test", csms.url, *words, 0.001)
        assert (bad.code, bad.err.startswith("p99 is ")) == (1, True)
