"""``ocppj check`` as a process, against a central system."""

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ocppj import Server, v16
from ocppj.cli.answers import Answers
from ocppj.cli.main import main
from ocppj.testing import TestPKI
from tests.cli.commands import Running, ocppj
from tests.conformance.faulty import FaultyCSMS
from tests.helpers import eventually


def test_a_central_system_that_breaks_a_rule(tmp_path: Path) -> None:
    junit, html = tmp_path / "check.xml", tmp_path / "check.html"
    with FaultyCSMS("bad-accept") as csms:
        ran = ocppj(
            *("check", csms.url, "CP_1", "--version", "1.6", "--only", "handshake-accept", "--only", "ws-ping"),
            *("--junit", junit, "--html", html),
        )

    assert (ran.code, ran.err) == (1, "")
    assert ran.lines[0] == f"{'fail':<14}  1.6    {'handshake-accept':<32}  Sec-WebSocket-Accept has another value"
    assert ran.lines[1].split() == ["pass", "1.6", "ws-ping"]
    assert "FAIL  handshake-accept  OCPP 1.6: Check the Sec-WebSocket-Accept of the answer" in ran.lines
    assert any("<GET /ocpp/CP_1 [ocpp1.6]>" in line for line in ran.lines)
    assert ran.lines[-1].endswith("1 passed, 1 failed, 0 suspicious, 0 not applicable")
    assert ElementTree.parse(junit).getroot().attrib["failures"] == "1"
    assert "handshake-accept" in html.read_text("utf-8")


def test_json_and_a_password() -> None:
    with FaultyCSMS(password="a secret of CP_1") as csms:
        ran = ocppj(
            *("check", csms.url, "CP_1", "--password", "a secret of CP_1"),
            *("--only", "handshake-password-*", "--only", "handshake-subprotocol", "--json"),
        )
        without = ocppj("check", csms.url, "CP_1")

    assert (ran.code, ran.err) == (0, "")
    *cases, last = ran.json
    assert {(each["case"]["id"], each["case"]["verdict"]) for each in cases} == {
        ("handshake-subprotocol", "pass"),
        ("handshake-password-missing", "suspicious"),  # a 401 without WWW-Authenticate
        ("handshake-password-wrong", "pass"),
        ("handshake-password-of-another", "pass"),
        ("handshake-password-malformed", "pass"),
        ("handshake-password-scheme-case", "pass"),
    }
    assert last["report"]["counts"]["passed"] == 7
    assert "a secret" not in ran.out
    assert without.code == 1
    assert without.err.strip().endswith("it answered 401: give the password of the station by --password")


def test_a_central_system_that_goes_away_in_the_middle() -> None:
    with FaultyCSMS() as csms:
        with Running("check", csms.url, "CP_1", "--version", "1.6") as running:
            running.wait_for("handshake-subprotocol")
            csms.stop()
            ran = running.wait()
        assert ran.code == 1
        last = ran.out.splitlines()[-1]
        assert " not run: 127.0.0.1" in last and "cannot be reached" in last


def test_a_central_system_with_tls(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("trustme")
    pki = TestPKI(folder=tmp_path)
    key = tmp_path / "key"
    key.write_text("a password of CP_1\n", "utf-8")
    server = Server(profiles=[v16.CORE], ssl_context=pki.server_context())
    server.set_request_handler(Answers())
    server.set_basic_auth_handler({"CP_1": "a password of CP_1"})
    with server.listen(0, "/{id}", "127.0.0.1"):
        words = ["check", server.url.replace("127.0.0.1", "localhost"), "CP_1", "--password-file", str(key), "--json"]
        code = main([*words, "--tls", str(tmp_path), "--only", "handshake-*", "--only", "rpc-heartbeat"])
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        untrusted = main(words)
        printed = capsys.readouterr()

    verdicts = {each["case"]["id"]: each["case"]["verdict"] for each in lines[:-1]}
    assert code == 0, verdicts
    names = ("handshake-plain-to-tls", "handshake-tls-suites", "handshake-password-wrong", "rpc-heartbeat")
    assert {verdicts[name] for name in names} == {"pass"}
    assert verdicts["handshake-tls-old"] in ("pass", "not applicable")
    assert (untrusted, printed.out) == (1, "")
    assert "CERTIFICATE_VERIFY_FAILED" in printed.err


def test_nobody_listens() -> None:
    ran = ocppj("check", "ws://127.0.0.1:1/ocpp", "CP_1")

    assert ran.code == 1
    assert "127.0.0.1:1 cannot be reached" in ran.err


def test_ctrl_c_keeps_what_is_known(tmp_path: Path) -> None:
    junit = tmp_path / "check.xml"
    with FaultyCSMS() as csms:
        with Running("check", csms.url, "CP_1", "--junit", junit) as running:
            running.wait_for("pass")
            ran = running.end()
        assert ran.code == 130
        assert re.search(r"\d+ cases in .* passed, .*; \d+ not run: it was interrupted", ran.lines[-1])
        root = ElementTree.parse(junit).getroot()
        error = root.find("testsuite/testcase/error")
        assert error is not None and error.attrib["message"].startswith("it was interrupted: ")
        eventually(lambda: csms.open == 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_report_that_cannot_be_written_is_a_failure_and_the_summary_is_printed() -> None:
    with FaultyCSMS() as csms:
        words = ["check", csms.url, "CP_1", "--version", "1.6", "--only", "rpc-heartbeat"]
        ran = ocppj(*words, "--html", "/dev/full")
    assert (ran.code, ran.err) == (1, "check: [Errno 28] No space left on device\n")
    assert ran.lines[-1].startswith("1 cases in ")


def test_the_list_of_cases() -> None:
    ran = ocppj("check", "--list", "--json", "--version", "2.1", "--only", "rpc-*")

    cases = [case for case in ran.json if case["role"] == "csms"]
    assert ran.code == 0
    assert len(cases) > 30
    assert {case["id"].split("-")[0] for case in cases} == {"rpc"}
    assert all("2.1" in case["versions"] and case["section"] and case["expects"] for case in cases)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("check", "give a URL and an identity"),
        ("check http://host CP_1", "'http://host' is no URL of a central system"),
        ("check ws:// CP_1", "not a ws:// or wss:// URL"),
        ("check ws://host CP_1 --password-file none", "--password-file cannot be read"),
        ("check ws://host CP_1 --html .", "'.' is a folder"),
        ("check ws://host CP_1 --junit none/check.xml", "there is no folder none"),
        ("check ws://host CP_1 --only tea-*", "no case has the id 'tea-*'"),
        ("check ws://host CP_1 --tls ca.pem", "--tls and --certificate are for URLs"),
        ("check ws://host CP_1 --password a --password-file b", "give --password or --password-file, not both"),
        ("check ws://host CP_1 --version 3", "'3' is no OCPP version"),
        ("check ws://user:pw@host CP_1", "an endpoint URL has neither a fragment nor credentials"),
    ],
)
def test_wrong_usage(words: str, told: str, capsys: pytest.CaptureFixture) -> None:
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
