"""The measured servers, by their names in the tables."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, Optional

from harness import HERE, ROOT, Subject, python

sys.path.insert(0, str(ROOT))

from ocppj.ws import readers

BARE_LOOP = "ceiling: websockets, one loop"
LOOP = "ceiling: simple-websocket, one loop"
THREAD_CEILING = "ceiling: simple-websocket, a thread each"
_PACKAGE = "ocpp-rpc@2"
_INSTALLED = "OCPPJ_BENCH_NODE"  # where a process that runs several of these scripts has installed it; or empty
_THREADS = 2000  # with more threads a figure takes minutes, and is not better

#: The values of `Server(readers=...)`; the first is the default.
STRATEGIES = ["auto", "per-connection", "shared"] if hasattr(readers, "SharedReaders") else ["per-connection"]


def has_fast() -> bool:
    """Tell whether the extra "fast" is installed."""
    return _has("orjson", "jsonschema_rs")


def has_bare_loop() -> bool:
    """Tell whether the packages of `bare_loop.py` are installed."""
    return _has("orjson", "websockets")


def has_ocpp() -> bool:
    """Tell whether the peer ``ocpp`` is installed, with ``websockets``, on which it is built."""
    return _has("ocpp", "websockets")


def _has(*names: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in names)


def ceilings(pause: float = 0.0, every: int = 1) -> List[Subject]:
    """Return the servers that only parse and answer."""
    sleep = (str(pause), str(every))
    found = [
        Subject(LOOP, python("ceiling.py", "loop", *sleep)),
        Subject(THREAD_CEILING, python("ceiling.py", "threads", *sleep), _THREADS),
    ]
    if has_bare_loop():
        found.insert(0, Subject(BARE_LOOP, python("bare_loop.py", *sleep)))
    return found


def ours(pause: float = 0.0, every: int = 1, both: bool = False) -> List[Subject]:
    """Return this library with each strategy, with the extra "fast" if it is installed; ``both``: and without it."""
    found = []
    for strategy in STRATEGIES:
        arguments = ["--pause", str(pause), "--every", str(every)]
        if len(STRATEGIES) > 1:
            arguments += ["--readers", strategy]
        most = _THREADS if strategy == "per-connection" else 1_000_000
        if has_fast():
            found.append(Subject(f"ocppj[fast] {strategy}", python("ours.py", *arguments), most))
        if both or not has_fast():
            found.append(Subject(f"ocppj {strategy}", python("ours.py", "--plain", *arguments), most))
    return found


def ocpp(pause: float = 0.0, every: int = 1) -> List[Subject]:
    """Return the package ``ocpp``, with its default settings and without its thread pool."""
    if not has_ocpp():
        return []
    arguments = ["--pause", str(pause), "--every", str(every)]
    found = [
        Subject("ocpp", python("peers.py", *arguments)),
        Subject("ocpp, no pool", python("peers.py", "--no-pool", *arguments)),
    ]
    if pause:
        found.append(Subject("ocpp, blocking handler", python("peers.py", "--block", *arguments)))
    return found


#: What the ratios of the tables compare with.
CEILING = BARE_LOOP if has_bare_loop() else LOOP


@contextmanager
def node(pause: float = 0.0, every: int = 1) -> Iterator[List[Subject]]:
    """Install ``ocpp-rpc``, unless `node_installed` did. The list is empty if this fails."""
    program = shutil.which("node")
    with node_installed() as directory:
        if program is None or directory is None:
            yield []
        else:
            command = [program, str(HERE / "peer_node.js"), str(pause), str(every)]
            yield [Subject("ocpp-rpc (Node)", command, directory=directory)]


@contextmanager
def node_installed() -> Iterator[Optional[str]]:
    """Install ``ocpp-rpc`` into a directory that is removed afterwards, for this process and its children.

    The directory is ``None`` if this fails.
    """
    if _INSTALLED in os.environ:
        yield os.environ[_INSTALLED] or None
        return
    with tempfile.TemporaryDirectory(prefix="ocppj-bench-") as directory:
        os.environ[_INSTALLED] = directory if install(directory) else ""
        try:
            yield os.environ[_INSTALLED] or None
        finally:
            del os.environ[_INSTALLED]


def install(directory: str) -> bool:
    """Install ``ocpp-rpc`` into ``directory`` with npm; return whether this succeeded."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    (Path(directory) / "package.json").write_text("{}")
    command = [npm, "install", "--no-audit", "--no-fund", "--silent", _PACKAGE]
    try:
        subprocess.run(
            command, cwd=directory, timeout=60, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"ocpp-rpc cannot be installed: {error}", file=sys.stderr)
        return False
    return True


def rpc_version(directory: str) -> str:
    """Return the version of ``ocpp-rpc`` in ``directory``."""
    about = Path(directory, "node_modules", "ocpp-rpc", "package.json").read_text()
    return str(json.loads(about)["version"])


def absent(nodes: List[Subject]) -> str:
    """Return which peers are not measured, and why; empty if all are measured."""
    missing = []
    if not has_bare_loop():
        missing.append(f'{BARE_LOOP}: not run, the extras "fast" and "bench" are not installed')
    if not has_fast():
        missing.append('ocppj[fast]: not run, the extra "fast" is not installed')
    if not has_ocpp():
        missing.append('ocpp: not run, the extra "bench" is not installed (it needs Python 3.11)')
    if not nodes:
        missing.append("ocpp-rpc: not run, for want of node, npm or a network")
    return "\n".join(f"- {each}" for each in missing)
