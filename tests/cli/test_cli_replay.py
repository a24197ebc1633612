"""``ocppj replay`` plays a recording, prints what differs, and says it by its exit code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ocppj import Client, Recorder, Server, v16
from ocppj.cli.answers import Answers
from ocppj.recording.recorded import format_line
from ocppj.testing.csms import ScriptedCSMS
from tests.cli.commands import ROOT, Ran, Running, ocppj
from tests.helpers import seconds
from tests.replaying.talk import BOOTED, Talk, started

PAGE = ROOT / "docs" / "recordings.md"
BOOT = v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="Two")


def write(path: Path, *talks: Talk) -> Path:
    path.write_bytes(b"".join(format_line(line) for talk in talks for line in talk.lines))
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    talk = started().call("station", "DataTransfer", {"vendorId": "A", "data": "***"}, {"status": "Rejected"})
    return write(tmp_path / "s.jsonl", talk.event("disconnected"), started(client_id="CP_2", connection=2))


def test_the_commands_of_the_page(recording: Path) -> None:
    page = PAGE.read_text("utf-8")
    fast, served, filtered = re.findall(r"^ocppj replay (.*)$", page, re.MULTILINE)
    with ScriptedCSMS(path="/ocpp/{id}", strict=False) as csms:
        csms.reply(v16.BootNotificationRequest, v16.BootNotificationResponse.from_wire({**BOOTED, "interval": 60}))

        def run(line: str) -> Ran:
            line = line.replace("--speed 10", "--speed 1000").replace("ws://127.0.0.1:9000/ocpp", csms.url)
            return ocppj("replay", *line.split(), cwd=recording.parent)

        ran = run(fast)
        assert (ran.code, ran.err) == (1, "")
        assert sorted(ran.lines) == [
            "CP_1: answer BootNotification interval: recorded 300, now 60",
            'CP_1: answer DataTransfer status: recorded "Rejected", now "Accepted"',
            "CP_2: answer BootNotification interval: recorded 300, now 60",
            "connections: 2, messages sent: 3, compared: 3, differences: 3",
            "not as recorded: messages with *** in place of secrets, which were masked in recording: 1",
        ]
        ran = run(f"{filtered} --speed 1000")
        left = {"what": "messages with *** in place of secrets, which were masked in recording", "count": 1}
        summary = {"connections": 1, "sent": 2, "compared": 2, "differences": 0, "leftOut": [left]}
        assert (ran.code, ran.json) == (0, [{"kind": "summary", **summary}])
    command = Running("replay", *served.replace("9000", "0").split(), "--client", "CP_2", cwd=recording.parent)
    with command, Client("CP_2", profiles=v16.PROFILES).connect(command.url()) as client:
        assert client.call(BOOT).interval == 300
        ran = command.wait()
    assert ran.code == 1
    assert ran.lines[1:] == [
        "waiting for 1 connection of CP_2",
        'CP_2: request BootNotification chargePointModel: recorded "One", now "Two"',
        "connections: 1, messages sent: 1, compared: 1, differences: 1",
    ]


def test_the_password_of_a_file(recording: Path) -> None:
    (recording.parent / "key").write_text("password of {id}\n", "utf-8")
    server = Server(profiles=v16.PROFILES)
    server.set_request_handler(Answers())
    server.set_basic_auth_handler({"CP_1": "password of CP_1", "CP_2": "password of CP_2"})
    with server.listen(0, "/{id}", "127.0.0.1"):
        words = ["--password-file", "key", "--speed", "1000"]
        ran = ocppj("replay", recording, server.url, *words, cwd=recording.parent)
    assert (ran.code, ran.lines[-1].split(",")[0], ran.err) == (1, "connections: 2", "")


def test_it_says_for_whom_it_waits(recording: Path) -> None:
    with Running("replay", recording, "--listen", 0) as command:
        command.url()
        assert command.wait_for(r"waiting for (.*)")[1] == "2 connections of 2 stations"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: FILE"),
        (["s.jsonl"], "name the URL of the central system"),
        (["s.jsonl", "http://x"], "'http://x' is no URL"),
        (["s.jsonl", "ws://127.0.0.1:99999"], "the endpoint URL is malformed"),
        (["s.jsonl", "ws://x", "--listen", "0"], "Leave out the URL"),
        (["s.jsonl", "--as", "csms"], "--listen 9000"),
        (["s.jsonl", "--as", "station", "--listen", "0"], "a station does not listen"),
        (["s.jsonl", "ws://x", "--speed", "0"], "'0' is no speed"),
        (["s.jsonl", "wss://x", "--tls", "none.pem"], "there is no file none.pem"),
        (["s.jsonl", "wss://x", "--cert", "none.pem"], "none.pem is neither a certificate with its key"),
        (["s.jsonl", "ws://x", "--password-file", "none"], "--password-file cannot be read"),
        (["s.jsonl", "ws://x", "--client", "CP_9"], "it has CP_1, CP_2"),
        (["none.jsonl", "ws://x"], "none.jsonl cannot be read: No such file"),
        (["empty", "ws://x"], "there is no frame in empty"),
        (["log", "ws://x"], "add --client CP_1"),
    ],
)
def test_wrong_usage(recording: Path, words: list, said: str, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    from ocppj.cli.main import main

    monkeypatch.chdir(recording.parent)
    Path("empty").write_text("nothing here\n")
    Path("log").write_text('2026-11-30 18:12:26 [2,"1","Heartbeat",{}]\n')
    assert main(["replay", *words]) == 2
    assert said in capsys.readouterr().err


def test_ctrl_c_prints_what_was_found(tmp_path: Path) -> None:
    talk = started().call("station", "Heartbeat", {}, {"currentTime": "2026-01-02T03:04:05Z"}, after=10_000)
    with ScriptedCSMS() as csms:
        csms.reply(v16.BootNotificationRequest, v16.BootNotificationResponse.from_wire({**BOOTED, "interval": 60}))
        with Running("replay", write(tmp_path / "s.jsonl", talk), csms.url, "--speed", "10") as command:
            command.wait_for("interval")
            ran = command.end()
        assert ran.code == 130
        assert ran.lines == [
            "CP_1: answer BootNotification interval: recorded 300, now 60",
            "connections: 1, messages sent: 1, compared: 1, differences: 1",
        ]


def test_an_output_that_is_closed_ends_it(recording: Path) -> None:
    """As with ``ocppj replay ... | head``."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "ocppj", "replay", str(recording), "ws://127.0.0.1:1"]
    ran = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, timeout=seconds(50), env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_recording_of_ours_is_played_with_nothing_to_tell(tmp_path: Path) -> None:
    with ScriptedCSMS() as csms, Recorder(tmp_path / "s.jsonl") as recorder:
        csms.server.add_observer(recorder)
        with Client("CP_1", profiles=v16.PROFILES).connect(csms.url) as client:
            client.call(BOOT)
            client.call(v16.HeartbeatRequest())
        csms.server.remove_observer(recorder)
        with (tmp_path / "s.jsonl").open("a") as file:
            file.write('{"time": "2026-')
        ran = ocppj("replay", tmp_path / "s.jsonl", csms.url)
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [
        "not as recorded: lines that are broken: 1",
        "connections: 1, messages sent: 2, compared: 2, differences: 0",
    ]


def test_a_log_that_never_says_the_sender_has_nothing_to_play(tmp_path: Path) -> None:
    (tmp_path / "s.log").write_text('got [3,"1",{"currentTime":"2026-01-01T00:00:00Z"}]\n', "utf-8")
    ran = ocppj("replay", tmp_path / "s.log", "ws://127.0.0.1:1/", "--client", "CP_1")
    assert ran.code == 1
    assert "there is nothing that could be played" in ran.err
