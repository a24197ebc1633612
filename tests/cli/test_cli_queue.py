"""``ocppj queue``: what it prints, what it changes, and what it does not."""

import io
import json
import os
import re
import shlex
import stat
from pathlib import Path
from typing import Any, Callable

import pytest

from ocppj import Call, RequestBundle
from ocppj.cli.main import main
from ocppj.storage.queue_file import QueueFile
from ocppj.storage.sqlite_queues import SQLiteQueueMap
from tests.cli import commands
from tests.storing import decode

Run = Callable[..., commands.Ran]
PASSWORD = {"key": "AuthorizationKey", "value": "a-very-secret-password"}


@pytest.fixture
def ocppj(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process: to start one takes longer than all it does."""

    def run(*words: object) -> commands.Ran:
        code = main([str(each) for each in words])
        printed = capsys.readouterr()
        return commands.Ran(code, printed.out, printed.err)

    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a central system, with three requests."""
    path = tmp_path / "requests.db"
    queues = fill(path)
    queues.close()
    return path


def fill(path: Path) -> Any:
    queues = SQLiteQueueMap(path)
    queues.set_decoder(decode)
    queues.init()
    requests = [("CP_1", "a-1", "Reset", {"type": "Soft"}), ("CP_1", "a-2", "ChangeConfiguration", PASSWORD)]
    for client, message_id, action, payload in [*requests, ("CP_2", "b-1", "ClearCache", {})]:
        call = Call(message_id, action, payload)
        queues.get_or_create(client).push(RequestBundle(call, call.to_json(), "1.6"))
    return queues


def test_the_list(ocppj: Run, path: Path) -> None:
    QueueFile(path).set_aside("b-1", reason="the peer closed 3 connections because of it")
    ran = ocppj("queue", "list", path)
    assert ran.code == 0, ran.err
    assert ran.lines[0].split() == ["client", "id", "action", "OCPP", "age", "expires", "in", "state", "reason"]
    assert re.match(r"CP_1 +a-1 +Reset +1.6 +\d+s +waiting", ran.lines[1]), ran.out
    assert re.match(r"CP_2 +b-1 +ClearCache .* set aside +the peer closed 3 connections", ran.lines[3]), ran.out
    assert ran.lines[-1] == "2 wait, 1 set aside"


def test_the_list_of_one_client_as_json_while_the_service_runs(tmp_path: Path) -> None:
    ocppj, busy = commands.ocppj, tmp_path / "busy.db"  # in another process than the one that has it open
    queues = fill(busy)
    try:
        ran = ocppj("queue", "list", busy, "--client", "CP_1", "--json")
        assert ran.code == 0, ran.err
        assert [each["id"] for each in ran.json] == ["a-1", "a-2"]
        assert json.loads(ran.json[1]["text"])[3] == {"key": "AuthorizationKey", "value": "***"}
        ran = ocppj("queue", "set-aside", busy, "a-1")
        assert ran.code == 1
        assert "is in use by another process" in ran.err
        assert "Stop it first" in ran.err
    finally:
        queues.close()
    assert [each.state for each in QueueFile(busy).list()] == ["waiting"] * 3


def test_requests_are_set_aside_put_back_and_forgotten(ocppj: Run, path: Path) -> None:
    ran = ocppj("queue", "set-aside", path, "a-", "--reason", "look")
    assert (ran.code, "means several requests: a-1 of CP_1, a-2 of CP_1" in ran.err) == (2, True)
    ran = ocppj("queue", "set-aside", path, "a-1", "b", "--reason", "look")
    assert (ran.code, ran.lines) == (0, ["set aside: Reset a-1 for CP_1", "set aside: ClearCache b-1 for CP_2"])
    ran = ocppj("queue", "forget", path, "--all", "--client", "CP_2")
    assert (ran.code, "Say --yes" in ran.err) == (2, True)
    assert [each.reason for each in QueueFile(path).list()] == ["", "look", "look"]
    ran = ocppj("queue", "forget", path, "--all", "--client", "CP_2", "--yes")
    assert (ran.code, ran.lines) == (0, ["deleted: ClearCache b-1 for CP_2"])
    ran = ocppj("queue", "put-back", path, "--all", "--json")
    assert ran.json == [{"done": "put-back", "client": "CP_1", "id": "a-1"}]
    assert [(each.message_id, each.state) for each in QueueFile(path).list()] == [
        ("a-1", "waiting"),
        ("a-2", "waiting"),
    ]
    ran = ocppj("queue", "forget", path, "a-1", "--yes")
    assert ran.code == 2
    assert f"Set it aside first: ocppj queue set-aside {path} a-1" in ran.err


def test_the_export_masks_secrets_and_replaces_no_file(ocppj: Run, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    ran = ocppj("queue", "export", path, "-o", target)
    assert (ran.code, ran.out) == (0, f"3 requests were written to {target}\n"), ran.err
    lines = target.read_text("utf-8").splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["Reset", "ChangeConfiguration", "ClearCache"]
    assert PASSWORD["value"] not in lines[1]
    assert os.name != "posix" or stat.S_IMODE(target.stat().st_mode) == 0o600
    ran = ocppj("queue", "export", path, "-o", target)
    assert (ran.code, "is there already" in ran.err) == (2, True)
    ran = ocppj("queue", "export", path, "--show-secrets")
    assert PASSWORD["value"] in ran.lines[1]


def test_who_does_not_answer_deletes_nothing(ocppj: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-D in place of an answer. A request that is named twice is taken once."""

    class Ended(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert ocppj("queue", "set-aside", path, "a-1", "a-").code == 2  # "a-" means two
    assert ocppj("queue", "set-aside", path, "a-1", "a-1").code == 0
    monkeypatch.setattr("sys.stdin", Ended())
    ran = ocppj("queue", "forget", path, "a-1")
    assert (ran.code, "nothing was deleted" in ran.out) == (1, True)
    assert "set aside" in ocppj("queue", "list", path).lines[3]


def test_wrong_usage_is_named(ocppj: Run, path: Path, tmp_path: Path) -> None:
    for words, code, text in (
        (["list", tmp_path / "none.db"], 2, "there is no file"),
        (["list", __file__], 1, "no request queue"),
        (["forget", path], 2, "name the ids of requests, or --all"),
        (["forget", path, "a-1", "--all", "--yes"], 2, "or say --all, and not both"),
        (["list", path, "a-1"], 2, "it takes no ids"),
        (["put-back", path, "zz"], 2, "there is no request 'zz'"),
    ):
        ran = ocppj("queue", *words)
        assert (ran.code, text in ran.err) == (code, True), ran.err


def test_the_commands_of_the_docs_run(ocppj: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    queues = fill(tmp_path / "requests.db")
    call = Call("5a3c", "Reset", {"type": "Hard"})
    queues.get_or_create("CP_1").push(RequestBundle(call, call.to_json(), "1.6"))
    queues.close()
    page = (commands.ROOT / "docs" / "durable.md").read_text("utf-8")
    section = page.split("## Look into it from a shell")[1].split("\n## ")[0]
    lines = "".join(re.findall(r"^```shell\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)).splitlines()
    assert len(lines) == 7
    for line in lines:
        ran = ocppj(*shlex.split(line)[1:])
        assert ran.code == 0, (line, ran.err)
    assert "5a3c" not in [each.message_id for each in QueueFile(tmp_path / "requests.db").list()]
