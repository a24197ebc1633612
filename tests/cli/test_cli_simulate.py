"""``ocppj simulate``: what it prints, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Iterator
from xml.etree import ElementTree

import pytest

from ocppj import ErrorCode, OCPPError, Server, v16
from ocppj.cli.main import main
from ocppj.recording import read_recording
from ocppj.testing import default_response
from tests.cli import commands
from tests.cli.commands import Running, ocppj
from tests.helpers import eventually, seconds

PASSWORD = "password of CP_1, for tests"


Run = Callable[..., commands.Ran]


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process: to start one takes longer than some of them do."""

    def run(*words: object) -> commands.Ran:
        code = main([str(each) for each in words])
        printed = capsys.readouterr()
        return commands.Ran(code, printed.out, printed.err)

    return run


class Central:
    """A central system that answers by default."""

    def __init__(self, **options: Any) -> None:
        self.server = Server(profiles=v16.PROFILES, readers="shared", **options)
        self.server.set_request_handler(self._handle)
        self.failing = ""
        self.booted = threading.Event()

    def _handle(self, client_id: str, request: Any, message_id: str, action: str) -> Any:
        if action == "BootNotification":
            self.booted.set()
        if action == self.failing:
            raise OCPPError(ErrorCode.GENERIC_ERROR, "no")
        return default_response(request, datetime.now(timezone.utc))


@pytest.fixture
def central() -> Iterator[Central]:
    central = Central()
    with central.server.listen(port=0):
        yield central


def test_one_station_is_shown_with_its_traffic(central: Central, tmp_path: Path) -> None:
    record = tmp_path / "s.jsonl"
    words = ["simulate", central.server.url, "--charge", "30s", "--speed", "60", "--record", record, "--tag", "CARD"]
    ran = ocppj(*words)
    assert ran.code == 0, ran.err
    shown = [line.split()[1:6] for line in ran.lines]
    assert ["CP_1", "->", "CSMS", "CALL", "BootNotification"] in shown
    assert ["CSMS", "->", "CP_1", "RESULT", "StopTransaction"] in shown
    assert any("Authorize" in line and "idTag=CARD" in line for line in ran.lines)
    table = {line.split()[0]: line.split()[1] for line in ran.lines if line}
    assert (table["StartTransaction"], table["BootNotification"], table["transactions"]) == ("1", "1", "1,")
    frames = [each for each in read_recording(record) if not each.event]
    assert [frames[0].sender, frames[0].client_id, frames[0].version] == ["station", "CP_1", "1.6"]
    assert json.loads(frames[0].text)[2] == "BootNotification"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_recording_that_lacks_lines_is_a_failure(central: Central, here: Run) -> None:
    ran = here("simulate", central.server.url, "--charge", "30s", "--record", "/dev/full")
    assert ran.code == 1
    assert ran.err == "error: lines are left out of the recording /dev/full: the disk is full, or slow\n"


def test_many_stations_as_json(central: Central) -> None:
    words = ["-n", 3, "--id", "X-{n}", "--charge", "20s", "--speed", "100", "--json", "--every", "100ms"]
    ran = ocppj("simulate", central.server.url, *words)
    assert ran.code == 0, ran.err
    [value] = ran.json
    assert (value["stations"], value["booted"], value["transactions"], value["problems"]) == (3, 3, 3, [])
    assert value["actions"]["StopTransaction"]["count"] == 3
    assert value["energy_wh"] > 150  # twenty seconds at 11 kW are 61 Wh each, and a slow machine adds to that
    assert "3/3 connected" in ran.err
    assert "messages/s" in ran.err


def test_requests_that_fail_are_told_by_action(central: Central, here: Run) -> None:
    central.failing = "StatusNotification"
    ran = here("simulate", central.server.url, "-n", 2, "--duration", f"{seconds(2):g}s")
    assert ran.code == 1
    assert "requests failed: GenericError" in ran.err
    row = next(line for line in ran.lines if line.startswith("StatusNotification"))
    assert row.split()[1:3] == ["0", "GenericError"]


def test_a_station_that_is_refused(here: Run, tmp_path: Path) -> None:
    central = Central()
    central.server.set_basic_auth_handler(lambda client_id, password: password == PASSWORD.encode())
    with central.server.listen(port=0):
        words = ["simulate", central.server.url, "--patience", f"{seconds(2):g}s"]
        ran = here(*words, "--password", "wrong password of CP_1")
        assert ran.code == 1
        assert "simulate: 1 of 1 stations could not connect: refused: 401" in ran.err
        assert "wrong password" not in ran.err + ran.out
        (tmp_path / "pw").write_text(f"{PASSWORD.replace('CP_1', '{id}')}\n", "utf-8")
        ran = here(*words, "--password-file", tmp_path / "pw", "--duration", f"{seconds(2):g}s")
        assert ran.code == 0, ran.err


def test_a_url_that_ends_in_the_identity_gets_a_hint(central: Central, here: Run) -> None:
    ran = here("simulate", f"{central.server.url}/CP_1", "--patience", "300ms")
    hint = "simulate: the URL ends in 'CP_1' already, and the identity is added to it: leave it out of the URL"
    assert (ran.code, ran.err.splitlines()[0]) == (1, hint)


def test_ctrl_c_ends_it_with_the_table(central: Central) -> None:
    with Running("simulate", central.server.url) as running:
        running.wait_for("RESULT  StatusNotification")
        eventually(lambda: central.server.connections())
        ran = running.end(signal.SIGINT)
    assert ran.code == 130
    assert any(line.startswith("BootNotification ") for line in ran.lines)
    assert "messages" in ran.out
    eventually(lambda: not central.server.connections())


@pytest.mark.skipif(os.name != "posix", reason="fills a pipe")
def test_an_output_that_nothing_reads_stops_neither_the_station_nor_the_end(central: Central) -> None:
    """As when a terminal is stopped by Ctrl-S."""
    unread, full = os.pipe()
    os.set_blocking(full, False)
    with suppress(BlockingIOError):
        while True:
            os.write(full, b"x" * 4096)
    os.set_blocking(full, True)
    words = [sys.executable, "-m", "ocppj", "simulate", central.server.url]
    with subprocess.Popen(words, cwd=str(commands.ROOT), stdout=full, stderr=subprocess.PIPE) as process:
        os.close(full)
        try:
            assert central.booted.wait(seconds(20))
            process.terminate()
            _, err = process.communicate(timeout=seconds(20))
            assert (process.returncode, b"Traceback" in err) == (143, False), err
        finally:
            process.kill()
            os.close(unread)


def test_the_knee(central: Central, tmp_path: Path) -> None:
    plot = tmp_path / "knee.svg"
    words = ["--load", "-n", 4, "--from", 20, "--most", 40, "--step", "200ms", "--p99", "20s", "--plot", plot]
    ran = ocppj("simulate", central.server.url, *words)
    assert ran.code == 0, ran.err
    assert ran.lines[-2] == "No knee: the central system kept up with 40 messages/s, the highest rate that was tried."
    assert ran.lines[-1] == f"written to {plot}"
    assert [line.split()[0] for line in ran.lines[2:4]] == ["20", "40"]
    assert any(line.strip().startswith("+---") for line in ran.lines)
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")


def test_a_first_rate_that_is_too_much(central: Central, here: Run) -> None:
    central.failing = "Heartbeat"
    words = ["--load", "-n", 2, "--message", "Heartbeat", "--step", "100ms", "--from", 20, "--p99", "60s", "--json"]
    ran = here("simulate", central.server.url, *words)
    assert ran.code == 1
    [value] = ran.json
    assert (value["knee"], value["good_until"], value["steps"][0]["errors"]) == (None, 0, {"GenericError": 2})
    assert value["text"].startswith("The central system gave way at the lowest rate, 20 messages/s: 100.0 %")


def test_wrong_usage_is_named(here: Run, tmp_path: Path) -> None:
    url = "ws://127.0.0.1:1"
    for words, text in (
        (["http://x"], "write ws://HOST:PORT/PATH"),
        ([url, "-n", "2", "--id", "CP_1"], "need ids of their own: write --id 'CP_{n}'"),
        ([url, "--charge", "soon"], "'soon' is no time: write 60s"),
        (["ws://127.0.0.1:99999"], "the endpoint URL is malformed"),
        (["ws://"], "not a ws:// or wss:// URL"),
        ([url, "--speed", "nan"], "'nan' is no speed: a number above 0"),
        ([url, "--load", "--errors", "nan"], "'nan' is no percentage"),
        ([url, "--load", "--step", "0s"], "--step is a time above 0"),
        ([url, "--load", "--p99", "0"], "--p99 is a time above 0"),
        ([url, "--load", "--message", "Foo"], "OCPP 1.6 has no message 'Foo'"),
        ([url, "--password-file", str(tmp_path)], "--password-file cannot be read"),
        ([url, "--password-file", "key", "--password", "a"], "give --password or --password-file, not both"),
        (["wss://127.0.0.1:1", "--tls", str(tmp_path)], "there is no file"),
        (["wss://127.0.0.1:1", "--cert", str(tmp_path)], "nor a folder of `ocppj certs`"),
    ):
        ran = here("simulate", *words)
        assert (ran.code, text in ran.err) == (2, True), ran.err
