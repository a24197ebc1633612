"""`tools/release.py` in a checkout of its own: what it refuses, what it changes, and what it puts back."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.release import main

CHANGES = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2026-01-01\n\n- The first.\n"


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    return subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.com")
    (tmp_path / "ocppj").mkdir()
    (tmp_path / "ocppj" / "__init__.py").write_text('"""A package."""\n\n__version__ = "0.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGES)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "begin")
    return tmp_path


def release(folder: Path, version: str = "1.0.0", check: str = "true", build: str = "true") -> int:
    return main([version, "--folder", str(folder), "--check", check, "--build", build])


def version_of(folder: Path) -> str:
    found = re.search('__version__ = "(.*)"', (folder / "ocppj" / "__init__.py").read_text())
    assert found
    return found[1]


def test_a_release(checkout: Path, capfd: Any) -> None:
    assert release(checkout, check="grep -q 1.0.0 ocppj/__init__.py CHANGELOG.md", build="echo built") == 0
    assert version_of(checkout) == "1.0.0"
    changes = (checkout / "CHANGELOG.md").read_text()
    headings = re.findall("^## .*$", changes, re.MULTILINE)
    assert headings[0] == "## [Unreleased]"
    assert re.fullmatch(r"## \[1\.0\.0\] - \d{4}-\d\d-\d\d", headings[1])
    assert headings[2] == "## [0.1.0] - 2026-01-01"
    assert git(checkout, "tag", "--list").split() == ["v1.0.0"]
    assert git(checkout, "status", "--porcelain") == ""
    assert git(checkout, "log", "-1", "--format=%s").strip() == "Release 1.0.0"
    out = capfd.readouterr().out
    assert "built" in out
    assert "tagged v1.0.0" in out


def test_a_check_that_fails_changes_nothing(checkout: Path, capsys: pytest.CaptureFixture) -> None:
    assert release(checkout, check="false") == 1
    assert "no release: false failed" in capsys.readouterr().err
    assert version_of(checkout) == "0.1.0"
    assert (checkout / "CHANGELOG.md").read_text() == CHANGES
    assert git(checkout, "tag", "--list") == ""
    assert git(checkout, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("1.0", "'1.0' is no version"),
        ("v1.0.0", "'v1.0.0' is no version"),
        ("0.1.0", "0.1.0 is not newer than 0.1.0"),
        ("0.0.9", "0.0.9 is not newer than 0.1.0"),
    ],
)
def test_versions_that_are_refused(checkout: Path, capsys: pytest.CaptureFixture, version: str, why: str) -> None:
    assert release(checkout, version) == 1
    assert why in capsys.readouterr().err


def test_what_is_not_committed_is_not_released(checkout: Path, capsys: pytest.CaptureFixture) -> None:
    (checkout / "more.py").write_text("")
    assert release(checkout) == 1
    assert "not committed" in capsys.readouterr().err


def test_a_tag_that_exists(checkout: Path, capsys: pytest.CaptureFixture) -> None:
    git(checkout, "tag", "v1.0.0")
    assert release(checkout) == 1
    assert "the tag v1.0.0 exists" in capsys.readouterr().err


@pytest.mark.parametrize("changes", ["# Changelog\n", "# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n\n- x\n"])
def test_a_release_has_something_to_say(checkout: Path, capsys: pytest.CaptureFixture, changes: str) -> None:
    (checkout / "CHANGELOG.md").write_text(changes)
    git(checkout, "commit", "--quiet", "--all", "--message", "changes")
    assert release(checkout) == 1
    assert "[Unreleased]" in capsys.readouterr().err
