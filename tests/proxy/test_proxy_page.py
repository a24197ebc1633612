"""The blocks of docs/proxy.md run as they stand, but for the numbers of ports."""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

from ocppj.cli.proxy import add_arguments
from tests.cli.commands import Running
from tests.helpers import seconds
from tests.proxy.rig import Rig
from tests.test_readme import BLOCK, ROOT

TEXT = (ROOT / "docs" / "proxy.md").read_text("utf-8")
(COMMAND,) = re.findall(r"^```shell\n(ocppj proxy .*)\n```$", TEXT, re.MULTILINE)


def test_the_programs_run(tmp_path: Path) -> None:
    first, second = BLOCK.findall(TEXT)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{first}\n{second}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=seconds(50),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+ 0\n", done.stdout)
    assert (tmp_path / "proxied.jsonl").exists()


def test_the_command_runs(rig: Rig, tmp_path: Path) -> None:
    _, central = rig.central()
    words = shlex.split(COMMAND)[1:]
    assert "ws://127.0.0.1:9001/ocpp" in words
    words = [central.transport.url if word.startswith("ws://") else word.replace("9000", "0") for word in words]
    with Running(*words, cwd=tmp_path) as proxy:
        client, _ = rig.station(proxy.url())
        client.send("hello")
        central.wait_texts(1)
        proxy.wait_for("hello")
        assert proxy.end().code == 130
    assert "hello" in (tmp_path / "s.jsonl").read_text("utf-8")


def test_the_options_are_those_of_the_command() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    known = {name for action in parser._actions for name in action.option_strings} | {"--json"}
    named = set(re.findall(r"`(--[a-z-]+)", TEXT))
    assert named <= known
    assert known - named <= {"--help", "-h"}
