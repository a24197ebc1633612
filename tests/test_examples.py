"""The programs in examples/ do what they say."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
PATIENCE = 30


def environment() -> "dict[str, str]":
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def run(arguments: List[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_demo_shows_a_whole_session(tmp_path: Path) -> None:
    done = run([str(EXAMPLES / "demo.py")], tmp_path)
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
    broken = (EXAMPLES / "demo.py").read_text("utf-8").replace("for energy in (350, 700, 1050)", "for energy in (350,)")
    (tmp_path / "demo.py").write_text(broken.replace("told_to_stop.wait(PATIENCE)", "told_to_stop.wait(0.5)"), "utf-8")
    done = run(["demo.py"], tmp_path)
    assert done.returncode == 1
    assert "nobody stopped the transaction" in done.stderr


@pytest.fixture
def central_system() -> Any:
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "central_system.py"), "--port", "0"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=PATIENCE)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_charge_point_charges_at_central_system(central_system: Any, tmp_path: Path) -> None:
    said = central_system.stderr.readline()
    url = re.search(r"listening on (ws://\S+)", said)
    assert url, said
    done = run([str(EXAMPLES / "charge_point.py"), url.group(1), "CP_1", "--interval", "0"], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "transaction 1 ends"
    central_system.send_signal(signal.SIGINT)
    _, log = central_system.communicate(timeout=PATIENCE)
    assert central_system.returncode == 0, log
    for said in (
        "CP_1 is here",
        "CP_1 is a Acme One",
        "CP_1 has HeartbeatInterval = 60",
        "CP_1 starts transaction 1 for TAG-0001",
        "CP_1 meter: 1000 Wh",
        "CP_1 ends transaction 1 at 1000 Wh",
        "CP_1 is gone",
    ):
        assert said in log


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_charge_point_charges_through_the_proxy(central_system: Any, tmp_path: Path) -> None:
    url = re.search(r"listening on (ws://\S+)", central_system.stderr.readline())
    assert url
    proxy = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "proxy.py"), url.group(1), "--port", "0"],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert proxy.stdout is not None
        url = re.search(r"listening on (ws://\S+)", proxy.stdout.readline())
        assert url
        done = run([str(EXAMPLES / "charge_point.py"), url.group(1), "CP_1", "--interval", "0"], tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == "transaction 1 ends"
        proxy.send_signal(signal.SIGINT)
        said, errors = proxy.communicate(timeout=PATIENCE)
    finally:
        proxy.kill()
        proxy.communicate(timeout=PATIENCE)
    assert (proxy.returncode, errors) == (0, "")
    assert "CP_1: station sends CALL StartTransaction" in said
    assert "CP_1: csms sends CALLRESULT StopTransaction" in said
    assert said.splitlines()[-1] == "ended: 1 connections"
    central_system.send_signal(signal.SIGINT)
    _, log = central_system.communicate(timeout=PATIENCE)
    assert "CP_1 is a ACME Inc. One" in log, "the proxy has changed the vendor"


def test_charge_point_says_what_went_wrong(tmp_path: Path) -> None:
    done = run([str(EXAMPLES / "charge_point.py"), "ws://127.0.0.1:1", "CP_1"], tmp_path)
    assert done.returncode == 1
    assert "TransportError" in done.stderr
    assert "Traceback" not in done.stderr


def test_recording_is_played_against_another_central_system(tmp_path: Path) -> None:
    done = run([str(EXAMPLES / "recording.py")], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "CP_1 ends transaction 1",
        "recorded 8 lines",
        "CP_1 ends transaction 100",
        "CP_1: answer BootNotification interval: recorded 300, now 60",
    ]
