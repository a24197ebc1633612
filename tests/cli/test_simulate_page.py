"""The commands of docs/simulate.md run as they stand there, for a moment each, and its options are those there are."""

import re
import shlex
from datetime import datetime, timezone
from pathlib import Path
from typing import List

import pytest

from ocppj import Server, v16, v201
from ocppj.cli.main import main
from ocppj.testing import default_response
from tests.cli.commands import ROOT
from tests.helpers import seconds

PAGE = (ROOT / "docs" / "simulate.md").read_text("utf-8")
BLOCKS = re.findall(r"^```shell\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


def shortened(words: List[str]) -> List[str]:
    """Return the words of a command, and what has it end soon: the last of several options counts."""
    if "--load" in words:
        return [*words, "-n", "2", "--from", "20", "--most", "20", "--step", "100ms", "--p99", "20s"]
    few = ["-n", "2"] if "-n" in words else []
    return [*words, *few, "--duration", f"{int(seconds(2) * 1000)}ms", "--spread", "0s"]


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    unlimited = {"max_attempts_per_second": None, "max_attempts_per_second_per_address": None}
    server = Server(profiles=[*v16.PROFILES, *v201.PROFILES], readers="shared", **unlimited)
    server.set_request_handler(lambda client_id, request, *_: default_response(request, datetime.now(timezone.utc)))
    with server.listen(port=0, host="127.0.0.1"):
        assert len(COMMANDS) >= 6
        for command in COMMANDS:
            words = shlex.split(command.replace("ws://localhost:9000", server.url))
            words = [word.replace("100", "5") if word == "100" else word for word in words]
            assert main(shortened(words[1:])) == 0, (command, capsys.readouterr().err)
    assert (tmp_path / "s.jsonl").stat().st_size > 0
    assert (tmp_path / "knee.svg").stat().st_size > 0


def test_each_option_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--help"]) == 0
    options = set(re.findall(r"(--[a-z][a-z0-9-]+)", capsys.readouterr().out))
    named = set(re.findall(r"(--[a-z][a-z0-9-]+)", PAGE))
    assert options - named <= {"--help", "--stations", "--show-secrets"}
    assert named <= options
