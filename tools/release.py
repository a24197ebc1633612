"""Makes a release: ``make release VERSION=1.0.0``. Checks, writes the version, tags, and builds.

It changes two files, the version in ``ocppj/__init__.py`` and the heading in ``CHANGELOG.md``, runs the checks on them,
commits them and sets the tag ``v1.0.0``. If a check fails, the files are as they were, and there is no tag. Nothing is
pushed or uploaded.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

VERSION = re.compile(r"\d+\.\d+\.\d+")
ASSIGNED = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
UNRELEASED = "## [Unreleased]\n"


class Refused(Exception):
    """The release cannot be made. Its text says why."""


def main(words: Optional[Sequence[str]] = None) -> int:
    """Make the release, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="such as 1.0.0")
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent, help="the checkout")
    parser.add_argument("--check", default="bash .ci/run", help="what has to succeed before the tag (default: .ci/run)")
    parser.add_argument("--build", default="make package", help="what builds the packages (default: make package)")
    options = parser.parse_args(words)
    try:
        Release(options.folder, options.version).make(options.check, options.build)
    except Refused as error:
        print(f"no release: {error}", file=sys.stderr)
        return 1
    return 0


class Release:
    """A release of a checkout.

    Args:
        folder: The checkout.
        version: The new version.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self._folder, self._version = folder, version
        self._tag = f"v{version}"
        self._files = [folder / "ocppj" / "__init__.py", folder / "CHANGELOG.md"]

    def make(self, check: str, build: str) -> None:
        """Check, commit, tag and build. Raises `Refused`."""
        self._look()
        before = [path.read_text("utf-8") for path in self._files]
        after = self._new_texts(*before)
        try:
            self._write(after)
            self._run(check)
        except BaseException:
            self._write(before)
            raise
        self._git("commit", "--quiet", "--message", f"Release {self._version}", "--", *map(str, self._files))
        self._git("tag", "--annotate", self._tag, "--message", f"ocppj {self._version}")
        self._run(build)
        print(f"tagged {self._tag}. Next: git push --follow-tags, and upload dist/*{self._version}*")

    def _look(self) -> None:
        if not VERSION.fullmatch(self._version):
            raise Refused(f"{self._version!r} is no version: three numbers, such as 1.0.0")
        found = ASSIGNED.search(self._files[0].read_text("utf-8"))
        if found is None:
            raise Refused(f"{self._files[0]} has no __version__")
        if _numbers(self._version) <= _numbers(found[1]):
            raise Refused(f"{self._version} is not newer than {found[1]}")
        if self._git("status", "--porcelain").strip():
            raise Refused("there are changes that are not committed")
        if self._git("tag", "--list", self._tag).strip():
            raise Refused(f"the tag {self._tag} exists")

    def _new_texts(self, code: str, changes: str) -> List[str]:
        """Return both files with the new version."""
        if UNRELEASED not in changes:
            raise Refused("CHANGELOG.md has no heading [Unreleased]")
        body = changes.split(UNRELEASED, 1)[1].split("\n## [", 1)[0]
        if not body.strip():
            raise Refused("CHANGELOG.md says nothing under [Unreleased]")
        heading = f"{UNRELEASED}\n## [{self._version}] - {date.today().isoformat()}\n"  # noqa: DTZ011 - the maintainer's
        return [
            ASSIGNED.sub(f'__version__ = "{self._version}"', code),
            changes.replace(UNRELEASED, heading, 1),
        ]

    def _write(self, texts: List[str]) -> None:
        for path, text in zip(self._files, texts):
            path.write_text(text, "utf-8")

    def _run(self, command: str) -> None:
        if subprocess.run(command, shell=True, cwd=self._folder, check=False).returncode != 0:
            raise Refused(f"{command} failed")

    def _git(self, *words: str) -> str:
        done = subprocess.run(["git", *words], cwd=self._folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Refused(f"git {words[0]}: {done.stderr.strip()}")
        return done.stdout


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(number) for number in VERSION.match(version)[0].split("."))  # type: ignore[index]


if __name__ == "__main__":
    sys.exit(main())
