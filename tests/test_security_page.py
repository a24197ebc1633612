"""Every Python block of docs/security.md runs as it stands, beside the files it speaks of."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.certificates import authority, server_file, stranger
from tests.helpers import seconds
from tests.test_readme import BLOCK, ROOT

PAGE = ROOT / "docs" / "security.md"
BLOCKS = BLOCK.findall(PAGE.read_text("utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "ca.pem": authority().path,
        "server.pem": server_file("EC"),
        "server-rsa.pem": server_file("RSA"),
        "station-ca.pem": stranger().path,
        "station.pem": stranger().both("CS_1", organization="Operator"),
    }
    for name, path in files.items():
        (tmp_path / name).write_bytes(path.read_bytes())
    return tmp_path


def test_there_is_an_example_of_each_profile() -> None:
    for profile in (1, 2, 3):
        assert any(block.count(f"security_profile={profile}") == 2 for block in BLOCKS)


def test_each_figure_of_what_a_peer_can_spend_has_its_test() -> None:
    section = PAGE.read_text("utf-8").split("## What a peer can make a server spend")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/\S+\.py)(?:: (\w+))?`", row)
        assert named, row
        for path, test in named:
            assert f"\ndef {test}(" in (ROOT / path).read_text("utf-8") or not test, row


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_block_runs(code: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds(50),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"# -> (.*)$", code, re.MULTILINE)
    for line in done.stderr.splitlines():  # what Python's logging prints when nobody set it up
        assert "refused with 401" in line
