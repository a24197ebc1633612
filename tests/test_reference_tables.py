"""`tools/reference.py`: the tables of the reference pages are those of the code, and no option is missing or twice."""

import ast
import inspect
import re
from collections import Counter
from pathlib import Path
from typing import Dict, List

import pytest

from ocppj import Client, Server
from ocppj.cli.main import COMMANDS, main
from ocppj.ws import options as ws_options
from tools.reference import PAGES, connection_options, fill, meanings, own_options, tables

DOCS = Path(__file__).resolve().parent.parent / "docs"
BOTH = ["options of Client and Server", "connections of both"]
GUIDES = (
    "test-a-charge-point test-a-central-system flask django proxies security-steps offline-charge-point "
    "restart-safe-commands scaling chargers observing migrating-from-ocpp migrating-from-ocpp-go migrating-from-asyncio"
)
LIMITS = (DOCS / "limits.md").read_text("utf-8")
UNITS = {None: 1, "KiB": 1024, "MiB": 1024 * 1024, "h": 3600}
KINDS = [getattr(ws_options, name) for name in ws_options.__all__]


def names(page: str) -> Dict[str, List[str]]:
    """Return the names in the first column of each table of a page."""
    found = tables((DOCS / page).read_text("utf-8"))
    assert len(found) == len(dict(found)), "a table is there twice"
    return {what: re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE) for what, text in found}


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_are_those_of_the_code(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert text == fill(text), "run tools/reference.py"


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_unsaid(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert [line for line in text.splitlines() if re.search(r"\|\s+\|", line)] == []


@pytest.mark.parametrize(("kind", "declared"), [(Client, ws_options.ClientOptions), (Server, ws_options.ServerOptions)])
def test_every_option_is_there_once(kind: type, declared: type) -> None:
    own = [each.name for each in inspect.signature(kind).parameters.values() if each.kind is not each.VAR_KEYWORD]
    handed_on = [name for name in declared.__annotations__ if name not in own]
    by_table = names("options.md")
    shown = [name for what in (*BOTH, f"options of {kind.__name__}") for name in by_table[what]]
    shown += by_table[f"connections of {kind.__name__}"]
    assert Counter(shown) == Counter([*own, *handed_on])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_key_of_a_typed_dict_is_in_a_table(kind: type) -> None:
    assert set(kind.__annotations__) <= {name for each in names("options.md").values() for name in each}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_of_a_command_is_there(command: str, capsys: pytest.CaptureFixture) -> None:
    assert main([command, "--help"]) == 0
    said = re.split(r"\n(?:options|optional arguments):\n", capsys.readouterr().out.split("\n\nexamples:")[0])[-1]
    shown = set(re.findall(r"--[a-z][a-z-]+", said))
    by_table = names("command-options.md")
    listed = " ".join([*by_table[f"arguments of {command}"], *by_table["arguments of all commands"]])
    assert {each for each in shown if each not in listed} == set()


@pytest.mark.parametrize(("name", "default"), re.findall(r"^\| `(\w+)`\*? \| ([\dn][^|]*)", LIMITS, re.MULTILINE))
def test_the_limits_have_the_defaults_of_the_code(name: str, default: str) -> None:
    found = {**own_options("Server"), **own_options("Client"), **connection_options("Server")}[name].default.strip("`")
    number, unit = re.match(r"([\d,]+|none) ?(KiB|MiB|h\b)?", default).groups()  # type: ignore[union-attr]
    expected = None if number == "none" else int(number.replace(",", "")) * UNITS[unit]
    assert ast.literal_eval(found) == expected


def test_what_a_docstring_says() -> None:
    def function() -> None:
        """Do it.

        Args:
            first: One line: with a colon,
                and another.
            second: The next.

        Raises:
            UsageError: Never.
        """

    assert meanings(function) == {"first": "One line: with a colon, and another.", "second": "The next."}


def test_the_start_page_leads_to_each_command_and_each_guide() -> None:
    start = (DOCS / "index.md").read_text("utf-8").partition("```{toctree}")[0]
    linked = set(re.findall(r"\]\(([a-z-]+)\.md\)", start))
    assert set(GUIDES.split()) - linked == set()
    commands = (DOCS / "command-line.md").read_text("utf-8")
    assert [name for name in COMMANDS if f"| `ocppj {name}` |" not in commands] == []
