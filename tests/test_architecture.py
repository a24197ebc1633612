"""The shape of the house: who may import whom."""

import ast
from pathlib import Path
from typing import Dict, Iterator, List, Set

import pytest

from ocppj import Client, Server

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ocppj"

#: The rooms, from the ground up. A module may import modules of lower rooms, and of its own if there is no cycle.
ROOMS = [
    {"errors", "lazy", "interrupted", "activity", "clock", "budget", "events"}
    | {"recent", "secrets", "histogram", "forks", "made_code"},
    {"callables"},
    {"option_checks"},
    {"settings"},
    {"log_limit"},
    {"loops"},
    {"handover"},
    {"payloads"},
    {"rpc", "signing"},
    {"dispatch"},
    {"storage", "durable"},
    {"exchange"},
    {"client", "server"},
    {"testing", "web", "cluster", "metrics", "tracing", "recording"},
    {"control", "proxy", "conformance", "reporting", "replaying", "load", "validating"},
    {"cli", "_pyinstaller"},
    {"__main__"},
]
GROUND = {"budget", "errors", "interrupted", "clock", "callables", "events", "log_limit", "option_checks", "settings"}
GROUND |= {"activity", "handover", "histogram", "lazy", "loops", "recent", "secrets", "forks", "made_code"}
#: What a method of `Server` imports when it is called.
DOORS = {"web.opening", "web.wsgi", "cluster.membership", "cluster.base"}
DOORS |= {"cluster.remote_calls", "cluster.serving", "control.control"}
#: Where a name is public whose module has moved to a room. Nothing in the library imports from there.
PUBLIC_NAMES = {"durable": "storage.sqlite_queues", "signing": "rpc.signing"}
#: What each package beside the rooms may import of ocppj, besides itself.
VERSIONS_MAY = {"errors", "payloads", "rpc"}
WS_MAY = GROUND
#: Who may import the transports. Below the client and the server nobody knows them but by `ws.base`, the seam.
SEAM = "ws.base"

#: Packages that are known in one place: a file, or a folder.
SINGLE = {
    "jsonschema": "rpc/validation.py",
    "jsonschema_rs": "rpc/accelerated.py",
    "orjson": "payloads/jsontext.py",
    "websocket": "ws/client.py",
    "simple_websocket": "ws/server.py",
    "wsproto": "ws/connection/frames.py ws/connection/deflate.py ws/connection/plain_frames.py",
    "sqlite3": "storage/database.py",
    "joserfc": "rpc/jws.py",
    "cryptography": "rpc/jws.py testing/simulation/certificates.py",
    "trustme": "testing/pki.py",
    "pytest": "testing/plugin.py",
    "prometheus_client": "metrics.py",
    "opentelemetry": "tracing.py",
    "redis": "cluster/redis/connection.py",
    "rich": "cli/terminal.py",
    "PyInstaller": "_pyinstaller/hook-ocppj.py",
}


def modules() -> Dict[str, Path]:
    """Every module of ocppj by its dotted name without ``ocppj.``; a package goes by its own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


MODULES = modules()
NAMES = sorted(name for name in MODULES if name)


def absolute(name: str, node: ast.ImportFrom) -> str:
    """Return the module that ``node``, in module ``name``, imports from, with ``ocppj.`` in front if it is ours."""
    if not node.level:
        return node.module or ""
    package = ["ocppj", *(name.split(".") if name else [])]
    if MODULES[name].name != "__init__.py":
        package.pop()
    package = package[: len(package) - (node.level - 1)]
    return ".".join([*package, *([node.module] if node.module else [])])


def imported(name: str) -> Iterator[str]:
    """Yield the full name of each module that ``name`` imports, wherever in the file the import stands."""
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(name, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner[len("ocppj.") :] in MODULES else base


def ours(name: str) -> Set[str]:
    """Return what ``name`` imports of ocppj, without ``ocppj.``; the package itself is ``""``."""
    return {each[len("ocppj.") :] for each in imported(name) if each.split(".")[0] == "ocppj"} - {name}


def height(name: str) -> int:
    """Return how high the room of ``name`` lies. Raises `KeyError` when it has none."""
    room = name.split(".")[0]
    for floor, rooms in enumerate(ROOMS):
        if room in rooms:
            return floor
    raise KeyError(f"{name} is in no room: give it one in ROOMS, and name it in docs/design.md")


def beside(name: str) -> str:
    """Return ``"ws"`` or ``"v*"`` for modules of the packages that stand beside the layers, else ``""``."""
    top = name.split(".")[0]
    if top == "ws":
        return "ws"
    return "v*" if top[:1] == "v" and top[1:].isdigit() else ""


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_down(name: str) -> None:
    room = name.split(".")[0]
    if beside(name):
        may = WS_MAY if beside(name) == "ws" else VERSIONS_MAY
        foreign = {each for each in ours(name) if each.split(".")[0] != room}
        assert {each.split(".")[0] for each in foreign} <= may, f"{name} may import {sorted(may)} alone"
        return
    for each in ours(name):
        assert each, f"{name} imports the package's public names: import the module that has them"
        if beside(each) == "ws":
            assert each == SEAM or height(name) >= height("client"), f"{name} knows the transports by {SEAM} alone"
        elif beside(each) == "v*":
            assert height(name) > height("client"), f"{name} must not know one version's messages, but imports {each}"
        elif name in PUBLIC_NAMES:
            assert each == PUBLIC_NAMES[name]
        else:
            assert each not in PUBLIC_NAMES, f"{name} imports {each}: its module is {PUBLIC_NAMES.get(each)}"
            door = name == "server" and each in DOORS
            assert height(each) <= height(name) or door, f"{name} imports {each}, which stands above it"


def test_no_import_cycle() -> None:
    done: Set[str] = set()

    def visit(name: str, path: List[str]) -> None:
        assert name not in path, "import cycle: " + " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        for each in sorted(ours(name) - {""}):
            if not name.startswith(each + "."):  # a package and its own modules
                visit(each, [*path, name])
        done.add(name)

    for name in NAMES:
        visit(name, [])


@pytest.mark.parametrize("package", SINGLE)
def test_foreign_package_is_known_to_its_file(package: str) -> None:
    knowing = {
        MODULES[name].relative_to(PACKAGE).as_posix()
        for name in MODULES
        for each in imported(name)
        if each.split(".")[0] == package
    }
    assert knowing == set(SINGLE[package].split())


@pytest.mark.parametrize("name", [*NAMES, ""])
def test_no_asyncio(name: str) -> None:
    assert not [each for each in imported(name) if each.split(".")[0] == "asyncio"]


def sleeps(path: Path) -> List[int]:
    """Return the lines of ``path`` that call or import ``time.sleep``."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr == "sleep" and getattr(node.value, "id", "") == "time":
            found.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [node.lineno for alias in node.names if alias.name == "sleep"]
    return found


def test_nobody_sleeps() -> None:
    files = [*sorted(PACKAGE.rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]
    sleepers = {str(path.relative_to(ROOT)): lines for path in files for lines in [sleeps(path)] if lines}
    assert not sleepers, f"time.sleep in {sleepers}: wait for an event"


@pytest.mark.parametrize("kind", [Client, Server])
def test_a_client_and_a_server_hold_their_parts(kind: type) -> None:
    assert len(kind.__mro__) <= 4, [each.__name__ for each in kind.__mro__]
