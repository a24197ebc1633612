"""Run all benchmarks, and write their output to RESULTS.md, with the machine and all versions.

    python benchmarks/run_all.py                                   an hour or so, on a machine that does nothing else
    python benchmarks/run_all.py --brief                           about 20 minutes
    python benchmarks/run_all.py --quick                           two minutes, rough figures

``--seconds`` and ``--repeat`` go to each benchmark that has them. ``--brief`` measures for one second: five rounds for
the goals, and three for the rest. It leaves out 500 and 8,000 connections. With 1 to 16 connections it measures only
this library. Without the extra it measures only "shared". ``--quick`` prints its figures, and does not change
RESULTS.md. Otherwise README.md and docs/speed.md get the new figures, too.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import List, NamedTuple, Sequence

import figures
from goals import goals_table
from harness import HERE, ROOT, python
from results import RESULTS, Results
from subjects import node, node_installed, rpc_version


class Part(NamedTuple):
    """A section of the report: its title, the script that writes it, and what the script is run with for ``--brief``.

    It is run once for each list of arguments. ``fixed``: it has no rounds, and no seconds.
    """

    title: str
    script: str
    brief: Sequence[Sequence[str]] = ((),)
    fixed: bool = False


_OURS = "[fast] auto,[fast] shared"
#: Without the extra "fast", only "shared".
_MOST = "--only=-ocppj auto,-ocppj per-connection"
#: Of these, the servers that do not take minutes with 2,000 connections.
_QUICK = f"{_MOST},-per-connection,-simple-websocket"
_THREE = "--repeat=3"
PARTS = [
    Part(
        "Throughput",
        "throughput.py",
        [
            ["--connections=1,4,8,9,16", f"--only={_OURS}", _THREE, "--seconds=0.5"],
            ["--connections=50", _MOST],
            ["--connections=2000", _QUICK],
        ],
    ),
    Part("Handlers that block", "blocking.py", [["--connections=2000", f"--only={_OURS},rpc", _THREE]]),
    Part("Latency", "latency.py", [[_MOST]]),
    Part("More than one process", "processes.py", [[_THREE]]),
    Part("Connections", "connections.py", [[_QUICK, _THREE]]),
    Part("Reconnections", "reconnects.py", [[_THREE]]),
    Part("Idle connections", "idle.py", [["--connections=8000", "--repeat=1"]]),
    Part("Pauses", "pauses.py", [["--repeat=1"]]),
    Part("Broadcast", "broadcast.py", [[_QUICK, _THREE]]),
    Part("Costs", "costs.py", [["--messages=100000"]], fixed=True),
    Part("One message", "steps.py", fixed=True),
    Part("Payloads", "validation.py", fixed=True),
]
GOALS = "What was asked for, and what was reached in this run. Nearly all are ratios of the medians below."
PACKAGES = [
    "simple-websocket",
    "wsproto",
    "websocket-client",
    "jsonschema",
    "jsonschema-rs",
    "orjson",
    "ocpp",
    "websockets",
]


def machine() -> List[str]:
    """Return a description of this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    release = platform.release().partition("-")[0]
    return [
        f"{models[0] if models else platform.machine()}, {len(models) or '?'} cores, {memory:.0f} GiB",
        f"{platform.system()} {release}, {platform.python_implementation()} {platform.python_version()}",
    ]


def versions() -> List[str]:
    """Return the versions of all measured programs."""
    found = [f"ocppj {own_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    with node() as nodes:
        if nodes:
            command = ["node", "--version"]
            release = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().strip()
            found.append(f"ocpp-rpc {rpc_version(str(nodes[0].directory))} on Node {release}")
    return found


def own_version() -> str:
    """Return the measured commit, if git knows it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return (
            subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            .stdout.decode()
            .strip()
        )
    except (OSError, subprocess.SubprocessError):
        return "of no known commit"


def about(script: str) -> str:
    """Return the docstring of a benchmark without its usage."""
    parts = (HERE / script).read_text().split('"""')[1].split("\n\n")
    return "\n\n".join(part.strip() for part in [parts[0], *parts[2:]])


def run(script: str, arguments: List[str], report: List[str]) -> bool:
    """Run one benchmark, print its output and add it to ``report``; return whether it succeeded."""
    with subprocess.Popen(python(script, *arguments), stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            report.append(re.sub(r"(/[\w.+-]+)+/", "", line.rstrip("\n")))  # no path of this machine, as in a traceback
    return running.returncode == 0


def runs(part: Part, chosen: argparse.Namespace) -> List[List[str]]:
    """Return the arguments of each run of the script of ``part``."""
    given = ["--quick"] if chosen.quick else []
    if part.fixed:
        return [[*each, *given] for each in part.brief] if chosen.brief else [given]
    given += [f"--{name}={getattr(chosen, name)}" for name in ("seconds", "repeat") if getattr(chosen, name)]
    if not chosen.brief:
        return [given]
    return [["--seconds=1", "--repeat=5", *each, *given] for each in part.brief]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a rough figure of everything")
    parser.add_argument("--brief", action="store_true", help="what tells most, in half the time")
    parser.add_argument("--seconds", help="how long each figure is measured")
    parser.add_argument("--repeat", help="rounds, of which the median counts")
    chosen = parser.parse_args()
    with node_installed():
        measure_all(chosen)


def measure_all(chosen: argparse.Namespace) -> None:
    """Run all parts, and write the report."""
    started = datetime.now(timezone.utc)
    how = f"options: {' '.join(sys.argv[1:]) or 'none'}"
    medians = f"messages per second: medians of {chosen.repeat or (5 if chosen.brief else 3)} rounds"
    facts = [f"{started:%Y-%m-%d}", *machine(), ", ".join(versions()), how, medians]
    head = [
        "# Results\n\nWritten by `make bench`: do not edit. Compare rows, not machines.\n",
        "\n".join(f"- {line}" for line in facts) + "\n",
    ]
    report: List[str] = []
    failed: List[str] = []
    for part in PARTS:
        begun = time.monotonic()
        print(f"== {part.script}", flush=True)
        report.append(f"## {part.title}\n\n{about(part.script)}\n")
        failed += [part.script for arguments in runs(part, chosen) if not run(part.script, arguments, report)]
        print(f"== {part.script}: {time.monotonic() - begun:.0f} s", flush=True)
    text = "\n".join(report).rstrip() + "\n"
    reached = f"## Goals\n\n{GOALS}\n\n{goals_table(Results(text))}"
    print(reached)
    if failed:
        sys.exit(f"RESULTS.md is as it was: {', '.join(failed)} failed")
    if chosen.quick:
        return
    RESULTS.write_text("\n".join([*head, reached, text]), "utf-8")
    figures.write()
    print(f"written to {RESULTS.relative_to(ROOT)}; the figures of README.md and docs/speed.md are those")


if __name__ == "__main__":
    main()
