"""Writes the tables of the reference pages that come from the code.

A table stands between two remarks of a page, and is written anew there::

    <!-- table: options of Client -->
    <!-- end of the table -->

Kinds of tables:

* ``options of NAME``: the arguments of a class or a method: what they take, their defaults, and what they mean.
* ``options of NAME and NAME``: those that have the same meaning in both. The tables of each leave them out.
* ``connections of Client``, ``connections of Server``, ``connections of both``: what both hand on to their transports.
* ``arguments of COMMAND``, ``arguments of all commands``: those of the command line.

What an option takes is what `ocppj.option_checks` checks. What it means stands in the docstrings.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Tuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import ocppj  # noqa: E402
from ocppj.cli import main as cli  # noqa: E402
from ocppj.option_checks import row_of  # noqa: E402
from ocppj.proxy.proxy import Proxy  # noqa: E402
from ocppj.ws import options as ws_options  # noqa: E402
from ocppj.ws.client import WebSocketClient  # noqa: E402
from ocppj.ws.server import WebSocketServer  # noqa: E402

PAGES = ("options.md", "command-options.md")
TABLE = re.compile(r"<!-- table: ([^>]*?) -->\n(.*?)<!-- end of the table -->\n", re.DOTALL)
REQUIRED = "required"
BAR = "\\|"  # in a cell
#: What arguments take that no row of `OPTIONS` is about, by their types.
TAKES = {
    "str": "a text",
    "int": "a whole number",
    "bool": "True or False",
    "float": "a number",
    "Union[str, Sequence[str]]": "a text, or a list of texts",
    "Union[str, 'os.PathLike[str]']": "the path of a file",
    "Optional[int]": "a whole number, or None",
    "Optional[IdentifyFunction]": "a function f(request), or None",
    "Optional[Any]": "a redis.Redis, or None",
    "Sequence[Union[str, Observer]]": "a list of URLs or Observer objects",
    "Sequence[Hook]": "a list of functions",
    "Sequence[FrameObserver]": "a list of recorders",
    "CredentialsOption": '"pass", None, a mapping of passwords by identity, or a function f(request)',
    "ContextOption": "an ssl.SSLContext, a function f(request), or None",
    "Optional[CredentialsCheck]": "a function f(identity, password), or None",
    "Iterable[Profile]": "a list of profiles, such as v16.PROFILES",
}
#: Types that say more than the row of `OPTIONS` of that name.
FIRST = ("Union[str, Sequence[str]]",)
#: What a row says, and no reader needs: the longest time, and the methods of an object.
TOO_MUCH = re.compile(r" and at most \d{9,}|: an object with \w+\(\)(?:, \w+\(\))*")


class Row(NamedTuple):
    """An option."""

    takes: str
    default: str
    meaning: str


Rows = Dict[str, Row]


def meanings(documented: Any) -> Dict[str, str]:
    """Return what the docstring of a class or a function says of each argument or attribute."""
    found: Dict[str, str] = {}
    text = inspect.cleandoc(documented.__doc__ or "") + "\n"
    for section in re.findall(r"^(?:Args|Attributes):\n((?: .*\n|\n)+)", text, re.MULTILINE):
        for name, words in re.findall(r"^    (\w+): (.*\n(?:     .*\n|\n)*)", section, re.MULTILINE):
            found[name] = " ".join(words.split())
    return found


def options(owner: str, function: Callable[..., Any], told: Mapping[str, str], leave_out: Iterable[str] = ()) -> Rows:
    """Return the options of a function or a class. ``told`` has what they mean. ``owner`` is its name in `OPTIONS`."""
    rows: Rows = {}
    for name, parameter in inspect.signature(function).parameters.items():
        plain = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if plain and name not in ("self", *leave_out):
            rows[name] = Row(_takes(owner, name, parameter), _default(parameter.default), told.get(name, ""))
    return rows


def _takes(owner: str, name: str, parameter: inspect.Parameter) -> str:
    kind, annotation = row_of(owner, name), str(parameter.annotation).strip('"')
    if kind is not None and owner != "Recorder" and annotation not in FIRST:
        takes = TOO_MUCH.sub("", kind.takes)
    elif annotation in TAKES:
        takes = TAKES[annotation]
    else:
        raise LookupError(f"{owner}: what does {name} take? Its type is {annotation}")
    return takes.replace("'", '"')


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return REQUIRED
    if callable(value):
        return f"`{value.__name__}`"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000:
        return f"`{value:_}`"
    return "`" + repr(value).replace("'", '"') + "`"


def own_options(name: str) -> Rows:
    """Return the options of ``Client``, ``Server.listen``, or another name of `ocppj`."""
    holder = Proxy if name == "Proxy" else getattr(ocppj, name.partition(".")[0])
    method = name.partition(".")[2]
    if method:
        function, of_client = getattr(holder, method), getattr(ocppj.Client, method, None)
        told = {**meanings(of_client), **meanings(function)}
        return options(method, function, told)
    told = meanings(holder)
    if name in ("Server", "RemoteServer"):
        told = {**meanings(ocppj.Client), **told}
    if name == "Server":  # these stand beside others in the docstring of a client
        told["answer_timeout"] = meanings(ocppj.Client)["answer_timeout"]
    return options(name, holder, told)


def connection_options(side: str) -> Rows:
    """Return the options that ``Client`` or ``Server`` hands on to its transport."""
    transport = WebSocketClient if side == "Client" else WebSocketServer
    declared = ws_options.ClientOptions if side == "Client" else ws_options.ServerOptions
    told: Dict[str, str] = {}
    for kind in (ws_options.CoreOptions, getattr(ws_options, f"{side}CoreOptions"), transport):
        told.update(meanings(kind))
    rows: Rows = {}
    for kind in transport.__mro__:
        if "__init__" in vars(kind):
            rows = {**options(kind.__name__, kind, told), **rows}
    return {name: rows[name] for name in declared.__annotations__}


def common(first: Rows, second: Rows) -> Rows:
    """Return the options that mean the same in both."""
    rows: Rows = {}
    for name, row in first.items():
        other = second.get(name)
        if other is not None and other.meaning == row.meaning:
            same = row.default == other.default
            default = row.default if same else f"client: {row.default}; server: {other.default}"
            rows[name] = Row(row.takes if same else max(row.takes, other.takes, key=len), default, row.meaning)
    return rows


def without(rows: Rows, others: Iterable[str]) -> Rows:
    """Return the options that are not among the others."""
    return {name: row for name, row in rows.items() if name not in others}


def rows_of(what: str) -> Rows:
    """Return the options of the table called ``what``, such as "options of Client"."""
    kind, _, names = what.partition(" of ")
    if kind == "arguments":
        return command_arguments(names)
    if kind == "connections":
        both = common(connection_options("Client"), connection_options("Server"))
        return both if names == "both" else without(connection_options(names), both)
    both = common(own_options("Client"), own_options("Server"))
    if names == "Client and Server":
        return both
    return without(own_options(names), both) if names in ("Client", "Server") else own_options(names)


def command_arguments(command: str) -> Rows:
    """Return the arguments of a command, or those that all commands have."""
    every = _arguments_of(cli.COMMANDS["schema"][0])
    shared = [flags for flags in every if flags.startswith(("-h", "--json", "--show-secrets"))]
    if command == "all commands":
        return {flags: every[flags] for flags in shared}
    return without(_arguments_of(cli.COMMANDS[command][0]), shared)


def _arguments_of(module: str) -> Rows:
    parser = cli._parser_of(module, import_module(f"ocppj.cli.{module}"))
    rows: Rows = {}
    for action in parser._actions:
        if action.help != argparse.SUPPRESS:
            rows[_flags(action)] = Row("", "", (action.help or "") % {**vars(action), "prog": parser.prog})
    return rows


def _flags(action: argparse.Action) -> str:
    value = ""
    if action.nargs != 0:
        value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        if action.choices and action.metavar is None:
            value = "{" + ",".join(map(str, action.choices)) + "}"
    return f"{', '.join(action.option_strings)} {value}".strip()


def table(what: str) -> str:
    """Return the lines of a table."""
    rows = rows_of(what)
    if what.startswith("arguments"):
        lines = ["| argument | meaning |", "|---|---|"]
        lines += [f"| `{name.replace('|', BAR)}` | {_cell(row.meaning)} |" for name, row in rows.items()]
    else:
        lines = ["| option | takes | default | meaning |", "|---|---|---|---|"]
        lines += [f"| `{name}` | {row.takes} | {row.default} | {_cell(row.meaning)} |" for name, row in rows.items()]
    return "".join(f"{line}\n" for line in lines)


def _cell(text: str) -> str:
    text = text.replace("``", "`").replace("|", BAR).replace("*", "\\*")
    text = re.sub(r"docs/([a-z-]+)\.md", r"[\1.md](\1.md)", text)
    return text if text.endswith((".", ")")) or not text else f"{text}."


def fill(page: str) -> str:
    """Return the text of a page with its tables written anew."""
    return TABLE.sub(_fill, page)


def _fill(match: "re.Match[str]") -> str:
    return f"<!-- table: {match[1]} -->\n\n{table(match[1])}\n<!-- end of the table -->\n"


def tables(page: str) -> List[Tuple[str, str]]:
    """Return what the tables of a page are of, and their texts."""
    return [(match[1], match[2]) for match in TABLE.finditer(page)]


def main() -> int:
    """Write the tables of all pages anew."""
    for name in PAGES:
        path = ROOT / "docs" / name
        path.write_text(fill(path.read_text("utf-8")), "utf-8")
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
