"""docs/log-messages.md has every line that the library logs at INFO and above, with its level, in its section."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Dict, Set, Tuple

import pytest

from tools.log_lines import log_lines

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "log-messages.md").read_text("utf-8")
#: The section of the page that has the lines of a module. The longest beginning counts.
SECTIONS = {
    "": "ocppj",
    "client.py": "ocppj.server and ocppj.client",
    "server.py": "ocppj.server and ocppj.client",
    "exchange/": "ocppj.server and ocppj.client",
    "exchange/exits.py": "ocppj",
    "rpc/": "ocppj.server and ocppj.client",
    "control/": "ocppj.server and ocppj.client",
    "web/": "ocppj.server and ocppj.client",
    "ws/": "ocppj.ws",
    "dispatch/": "ocppj.queue",
    "dispatch/futures.py": "ocppj.server and ocppj.client",
    "dispatch/timeouts.py": "ocppj.server and ocppj.client",
    "storage/": "ocppj.queue",
    "cluster/": "ocppj.cluster",
    "cluster/redis/queue_": "ocppj.queue",
    "cluster/redis/requests.py": "ocppj.queue",
    "testing/": "Simulated stations",
}
ROW = re.compile(r"^\| (INFO|WARNING|ERROR) \| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
Lines = Set[Tuple[str, str]]


def section_of(module: str) -> str:
    return SECTIONS[max((each for each in SECTIONS if module.startswith(each)), key=len)]


@lru_cache(maxsize=None)
def lines_of_the_code() -> Dict[str, Lines]:
    found: Dict[str, Lines] = {name: set() for name in SECTIONS.values()}
    for level, text, module in log_lines():
        if text != "the shared readers could not wake or start a thread":  # the one line of ws/ that has no endpoint
            found[section_of(module)].add((level, text))
    found["ocppj"].add(("ERROR", "the shared readers could not wake or start a thread"))
    return found


def lines_of_the_page() -> Dict[str, Lines]:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    return {each.partition("\n")[0]: {(row[0], row[1]) for row in ROW.findall(each)} for each in sections}


@pytest.mark.parametrize("section", sorted(set(SECTIONS.values())))
def test_the_page_has_the_lines_of_the_code(section: str) -> None:
    code, page = lines_of_the_code()[section], lines_of_the_page()[section]
    assert (sorted(code - page), sorted(page - code)) == ([], [])


def test_no_line_is_there_twice_and_each_row_is_whole() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    for each in sections:
        rows = [row[:2] for row in ROW.findall(each)]
        assert len(rows) == len(set(rows))
        assert len(rows) == len(re.findall(r"^\| (?!level|---)", each, re.MULTILINE)), "a row is not understood"


def test_what_a_name_may_be(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "_LATE = '%s: late'\n"
        "def f(self, x):\n"
        "    words = 'not this one'\n"
        "    words, about = '%s: one', 1\n"
        "    if x:\n"
        "        words = '%s: two'\n"
        "    self._log.warning(words, x)\n"
        "    self.safe_log.error(_LATE, x)\n"
        "    self.log.info('a' if x else 'b')\n"
        "    words += ' more'\n"
        "    self._log.exception(words)\n"
        "    self.log.debug('quiet')\n"
        "    write, what = (log.info, 1) if x else (log.debug, 2)\n"
        "    write('%s: by name', what)\n"
    )
    assert {each[:2] for each in log_lines(tmp_path)} == {
        ("WARNING", "%s: one"),
        ("WARNING", "%s: two"),
        ("ERROR", "%s: late"),
        ("INFO", "a"),
        ("INFO", "b"),
        ("ERROR", "%s: one more"),
        ("ERROR", "%s: two more"),
        ("INFO", "%s: by name"),
    }


def test_a_text_that_is_not_found_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(self, words):\n    self._log.warning(words)\n")
    with pytest.raises(LookupError, match=r"a\.py:2: the text is not found"):
        log_lines(tmp_path)
