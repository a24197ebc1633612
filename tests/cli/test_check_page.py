"""The commands and the Python block of docs/check.md run as they stand, against a central system that is there."""

import re
import shlex
from pathlib import Path

import pytest

from ocppj import Server
from ocppj.cli.answers import Answers
from ocppj.cli.main import main
from ocppj.testing.scripted import profiles_of
from tests.test_readme import BLOCK, DOCS

TEXT = (DOCS / "check.md").read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if "--listen" not in line
]


@pytest.fixture
def url():
    server = Server(profiles=[profile for version in ("1.6", "2.0.1", "2.1") for profile in profiles_of(version)])
    server.set_request_handler(Answers())
    with server.listen(0, "/ocpp/{id}", "127.0.0.1"):
        yield server.url


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command(
    line: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.replace("ws://localhost:9000/ocpp", url))
    if "--only" not in words and "--list" not in words:
        words += ["--only", "rpc-heartbeat"]  # all cases would take too long here

    assert main(words[1:]) == 0

    printed = capsys.readouterr()
    assert printed.err == "" and len(printed.out.splitlines()) > 1
    for name in ("check.xml", "check.html"):
        assert (tmp_path / name).exists() == (name in line)


def test_the_python_block(url: str, capsys: pytest.CaptureFixture) -> None:
    (code,) = [each for each in BLOCK.findall(TEXT) if "CentralSystem" in each]

    exec(code.replace("ws://localhost:9000/ocpp", url), {})

    assert capsys.readouterr().out.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE)
