"""``ocppj check --listen`` as a process, with simulated stations that connect to it."""

import json

import pytest

from ocppj.cli.main import main
from ocppj.testing import TestPKI
from ocppj.testing.simulation.station import SimulatedStation
from tests.cli.commands import Running, ocppj

LISTEN = ("check", "--listen", "127.0.0.1:0", "--wait", "20s", "--answer-within", "5s")


def test_a_station_is_checked(tmp_path):
    junit, html = tmp_path / "check.xml", tmp_path / "check.html"
    with Running(*LISTEN, "--only", "config-*", "--junit", junit, "--html", html) as check:
        station = SimulatedStation("CP_1", "1.6")
        with station.start(check.url()):
            ran = check.wait()
    assert (ran.code, ran.err) == (0, "")
    assert "CP_1 has connected, OCPP 1.6" in ran.lines
    assert any(line.split()[:3] == ["pass", "1.6", "config-known"] for line in ran.lines)
    assert any("config-change" in line and "it needs --allow-changes" in line for line in ran.lines)
    assert "config-known" in junit.read_text("utf-8") and "CP_1" in html.read_text("utf-8")


def test_a_fault_with_json():
    with Running(*LISTEN, "--id", "CP_1", "--only", "data-unknown-vendor", "--json") as check:
        station = SimulatedStation("CP_1", "1.6")
        station.faults.refuse("DataTransfer")
        with station.start(check.url()):
            ran = check.wait()
    first, last = (json.loads(line) for line in ran.lines)
    assert ran.code == 1
    assert (first["case"]["id"], first["case"]["verdict"]) == ("data-unknown-vendor", "fail")
    assert last["report"]["role"] == "station" and last["report"]["good"] is False


def test_tls_and_a_password(tmp_path):
    with TestPKI(tmp_path) as pki:
        words = (
            "--tls",
            tmp_path,
            "--password",
            "0123456789abcdef",
            "--only",
            "handshake-pass*",
            "--only",
            "rpc-answer",
        )
        with Running(*LISTEN, *words) as check:
            options = {"ssl_context": pki.client_context(), "password": "0123456789abcdef"}
            with SimulatedStation("CP_1", "2.0.1", **options).start(check.url().replace("127.0.0.1", "localhost")):
                ran = check.wait()
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines[0].startswith("listening on wss://")
    assert ran.lines[-1].endswith("2 passed, 0 failed, 0 suspicious, 0 not applicable")


def test_somebody_is_asked_at_the_prompt():
    with Running(*LISTEN, "--only", "tx-local", "--interactive") as check:
        station = SimulatedStation("CP_1", "1.6")
        with station.start(check.url()):
            check.wait_for("please plug in a vehicle at connector 1, and present a card, and press Enter")
            station.plug_in(1)
            station.present_card("TAG", 1)
            check.say("")
            check.wait_for("please present the card again")
            station.present_card("TAG", 1)
            check.say("")
            ran = check.wait()
    assert ran.code == 0 and ran.lines[-1].endswith("1 passed, 0 failed, 0 suspicious, 0 not applicable")


def test_ctrl_c_while_it_waits():
    with Running("check", "--listen", "127.0.0.1:0") as check:
        check.wait_for("waiting 60 s for a charging station")
        ran = check.end()
    assert (ran.code, ran.err) == (130, "")


def test_no_station_comes():
    ran = ocppj("check", "--listen", "127.0.0.1:0", "--wait", "200ms")
    assert (ran.code, ran.err) == (1, "check: no station has connected within 0.2 s\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["ws://localhost:1", "CP_1", "--allow-reset"],
            "--allow-reset is for charging stations: it needs --listen PORT",
        ),
        (["--listen", "9000", "ws://localhost:1"], "--listen takes no URL"),
        (["--listen", "9000", "--only", "nonsense"], "no case has the id 'nonsense'"),
        (["--listen", "127.0.0.1:0", "--require-certificate"], "--require-certificate needs --tls DIR"),
        (["--listen", "port"], "'port' is no port"),
        (["--listen", "9000", "--connector", "0"], "no whole number above 0"),
    ],
)
def test_wrong_usage(words, told, capsys):
    assert main(["check", *words]) == 2
    assert told in capsys.readouterr().err
