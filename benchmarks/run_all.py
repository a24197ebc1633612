"""Run all benchmarks, and write their output to RESULTS.md, with the machine and all versions.

    python benchmarks/run_all.py                                   an hour or so, on a machine that does nothing else
    python benchmarks/run_all.py --brief --seconds 1 --repeat 5    25 minutes
    python benchmarks/run_all.py --quick                           two minutes, rough figures

``--seconds`` and ``--repeat`` go to each benchmark that has them. ``--brief`` leaves out 1, 500 and 8,000 connections.
Of blocking.py it leaves out 500 connections and the servers that take minutes. Without the extra it measures only
"shared". ``--quick`` prints its figures, and does not change RESULTS.md.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Dict, List

from harness import HERE, ROOT, python
from subjects import install

RESULTS = HERE / "RESULTS.md"
SCRIPTS: Dict[str, str] = {
    "throughput.py": "Throughput",
    "blocking.py": "Handlers that block",
    "latency.py": "Latency",
    "connections.py": "Connections",
    "broadcast.py": "Broadcast",
    "steps.py": "One message",
    "validation.py": "Payloads",
}
#: The scripts whose only option, if any, is ``--quick``.
WITHOUT_OPTIONS = ("steps.py", "validation.py")
BRIEF = {
    "throughput.py": ["--connections=50,2000"],
    "blocking.py": ["--connections=2000", "--only=-ocppj auto,-per-connection,-a thread each,-blocking handler"],
}
BRIEF_ONLY = "--only=-ocppj auto,-ocppj per-connection"
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
    with tempfile.TemporaryDirectory(prefix="ocppj-bench-") as directory:
        rpc = install(directory)
    if rpc is not None:
        node = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
        found.append(f"ocpp-rpc {rpc} on Node {node}")
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


def arguments_for(script: str, chosen: argparse.Namespace) -> List[str]:
    """Return the arguments for one benchmark."""
    arguments = ["--quick"] if chosen.quick else []
    if script in WITHOUT_OPTIONS:
        return arguments
    arguments += [f"--{name}={getattr(chosen, name)}" for name in ("seconds", "repeat") if getattr(chosen, name)]
    return [*arguments, BRIEF_ONLY, *BRIEF.get(script, [])] if chosen.brief else arguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a rough figure of everything")
    parser.add_argument("--brief", action="store_true", help="what tells most, in half the time")
    parser.add_argument("--seconds", help="how long each figure is measured")
    parser.add_argument("--repeat", help="rounds, of which the median counts")
    chosen = parser.parse_args()
    started = datetime.now(timezone.utc)
    how = f"options: {' '.join(sys.argv[1:]) or 'none'}"
    report = [
        "# Results\n\nWritten by `make bench`: do not edit. Compare rows, not machines.\n",
        "\n".join(f"- {line}" for line in [f"{started:%Y-%m-%d}", *machine(), ", ".join(versions()), how]) + "\n",
    ]
    failed = []
    for script, title in SCRIPTS.items():
        print(f"== {script}", flush=True)
        report.append(f"## {title}\n\n{about(script)}\n")
        if not run(script, arguments_for(script, chosen), report):
            failed.append(script)
    if failed:
        sys.exit(f"RESULTS.md is as it was: {', '.join(failed)} failed")
    if chosen.quick:
        return
    RESULTS.write_text("\n".join(report).rstrip() + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
