"""What docs/serve.md says can be typed: its commands are run, and its Python block, too."""

import re
import shlex
import subprocess
import sys
from typing import List

import pytest

from ocppj import Client, Server, v16
from ocppj.cli import serve
from ocppj.cli.main import _parser_of, main
from ocppj.testing import ScriptedStation
from tests.cli.commands import ROOT, Running
from tests.helpers import seconds
from tests.test_readme import BLOCK

PAGE = (ROOT / "docs" / "serve.md").read_text("utf-8")


def blocks(language):
    found: List[str] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return found


SHELL = [line for block in blocks("shell") for line in block.splitlines()]
(COMMANDS,) = (block for block in blocks("text") if "expect" in block)


def words_of(command):
    return [shlex.split(line.partition(" < ")[0])[2:] for line in SHELL if line.startswith(f"ocppj {command}")]


@pytest.mark.parametrize("words", words_of("serve"), ids=" ".join)
def test_serve_takes_these_words(words):
    options = _parser_of("serve", serve).parse_args(words)
    assert options.port == 9000


@pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets")
def test_calls(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with Server(profiles=v16.PROFILES).listen(host="127.0.0.1") as server:
        server.control(f"unix:{tmp_path}/ocppj.sock")
        with ScriptedStation(server.url, "CP_1"):
            for words in words_of("call"):
                assert main(["call", *words]) == 0, words
    assert "status=Accepted" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets")
def test_the_commands(tmp_path, monkeypatch):
    """All of them can be done, by a charger that boots, and sends a Heartbeat."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    client = Client("CP_1", profiles=v16.PROFILES)
    with Running("serve", "--port", 0, "--host", "127.0.0.1") as running, client:
        client.set_request_handler(_accepted)
        client.connect(running.url())
        running.wait_for("CONNECTED")
        client.call(v16.BootNotificationRequest(charge_point_vendor="Acme", charge_point_model="One"))
        client.call(v16.HeartbeatRequest())
        for line in COMMANDS.splitlines():
            running.say(line)
        ran = running.wait()
    assert (ran.code, ran.err) == (0, "warning: CP_1: ignored an answer to '1', which is not pending")  # the raw frame
    assert ran.out.count("RESULT  Reset") == 2


def _accepted(request, message_id, action):
    return getattr(v16, f"{action}Response")(status="Accepted")


@pytest.mark.skipif(sys.platform == "win32", reason="no Unix sockets")
@pytest.mark.parametrize("code", BLOCK.findall(PAGE))
def test_block_runs(code, tmp_path):
    code = code.replace("port=9000", 'host="127.0.0.1"')
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=seconds(50),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE)


def test_every_option_is_named():
    usage = _parser_of("serve", serve).format_usage()
    table = PAGE.split("| option |")[1].split("\n\n")[0]
    assert sorted(set(re.findall(r"--[a-z-]+", usage)) - set(re.findall(r"--[a-z-]+", table))) == []
