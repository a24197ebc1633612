"""The table of docs/install.md names the extras of setup.cfg, and the packages of each."""

import configparser
import re
from pathlib import Path
from typing import Dict, Set

ROOT = Path(__file__).resolve().parent.parent
#: Those that make installs.
OF_DEVELOPERS = {"test", "dev", "docs", "bench"}
PAGE = (ROOT / "docs" / "install.md").read_text("utf-8")


def listed() -> Dict[str, Set[str]]:
    """Return the extras of the table with their packages."""
    rows = re.findall(r"^\| `([\w-]+)` \| .+ \| (.+) \|$", PAGE, re.MULTILINE)
    return {extra: set(re.findall(r"`([\w-]+)`", packages)) for extra, packages in rows}


def requirements(text: str) -> Set[str]:
    """Return the packages of the lines of ``text``."""
    return set(re.findall(r"^([\w-]+)", text, re.MULTILINE))


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", "utf-8")
    return parser


def test_each_extra_is_listed_with_its_packages() -> None:
    extras = {name: requirements(text) for name, text in settings()["options.extras_require"].items()}
    assert {name: packages for name, packages in extras.items() if name not in OF_DEVELOPERS} == listed()
    assert set(extras) >= OF_DEVELOPERS
    assert all(f"`{name}`" in PAGE for name in OF_DEVELOPERS)


def test_the_packages_of_the_library_itself_are_named() -> None:
    needed = requirements(settings()["options"]["install_requires"])
    sentence = PAGE.split("The library itself needs ", 1)[1].split("All else", 1)[0]
    assert needed == set(re.findall(r"`([\w-]+)`", sentence))
