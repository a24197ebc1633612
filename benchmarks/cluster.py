"""What a cluster on Redis costs: remote calls, messages, and what Redis has to do.

    python benchmarks/cluster.py --connections 500 --seconds 5 --repeat 5

It starts a `redis-server` of its own. All figures of a table are of the same run, in turn.

- `server.call()` of a charger that is connected here, of one that another process has, and the same of a
  `RemoteServer`. ``allowed`` is 2.5 local calls and a Redis round trip pair: two PINGs, one after the other.
- Messages of chargers, on one node and on three. ``ratio`` compares the processor time for one message with that of a
  single node without a cluster: what three nodes carry, of what their processor time would carry there. ``no cluster``
  compares with as many nodes without a cluster, on the same busy machine.
- What Redis does: requests (reads of its sockets), commands (those inside scripts count, too) and processor time. What
  nodes at rest cause in the same time is taken off.

The last line starts the simulation (`scaling.py`) with these figures.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from harness import (
    Child,
    Failed,
    Figures,
    Subject,
    allow_files,
    chosen_from,
    footprint,
    load,
    measure,
    options,
    processor_seconds,
    say,
    table,
)
from harness import python as command

CLIENT = "CP00000"
PACE = 2000  # messages a second: those that must not touch Redis
FIRST = 10  # connections before what is measured
ALONE, THREE = "one node, no cluster", "three nodes, no cluster"
OURS = ("info", "config|resetstat", "config")  # commands of this script


class Redis:
    """A `redis-server` on a free port, which ends with the ``with`` block."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        self._folder = tempfile.TemporaryDirectory(prefix="ocppj-bench-")
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder.name]
        self._process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        self._client = self._connect(port)

    def _connect(self, port: int) -> Any:
        from redis import Redis as Client
        from redis.exceptions import ConnectionError

        client = Client(host="127.0.0.1", port=port, decode_responses=True)
        for _ in range(100):
            try:
                client.ping()
                return client
            except ConnectionError:
                time.sleep(0.05)
        self.__exit__()
        raise Failed("redis-server does not answer")

    def done(self) -> "Done":
        """Return what it has done until now."""
        about = self._client.info("everything")
        commands = {
            name.partition("_")[2]: values["calls"] for name, values in about.items() if name.startswith("cmdstat_")
        }
        return Done(
            {name: calls for name, calls in commands.items() if name not in OURS},
            about["total_reads_processed"],
            (about["used_cpu_user"] + about["used_cpu_sys"]) * 1e6,
            about["used_memory"],
            time.perf_counter(),
        )

    def __enter__(self) -> "Redis":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


class Done(NamedTuple):
    """What a Redis has done."""

    commands: Dict[str, int]
    reads: int
    us: float
    memory: int
    at: float


class Work(NamedTuple):
    """What a Redis did in a while."""

    requests: float
    commands: float
    us: float
    seconds: float
    by_name: Dict[str, float]

    def without(self, rest: "Work", times: float) -> Figures:
        """Return it for one of ``times`` things, without what nodes at rest cause in the same time."""
        part = self.seconds / rest.seconds
        return {
            "requests": (self.requests - part * rest.requests) / times,
            "commands": (self.commands - part * rest.commands) / times,
            "us": (self.us - part * rest.us) / times,
        }


def watch(redis: Redis, during: Callable[[], object]) -> Work:
    """Return what Redis does during a call."""
    before = redis.done()
    during()
    after = redis.done()
    by_name = {name: calls - before.commands.get(name, 0) for name, calls in after.commands.items()}
    return Work(
        after.reads - before.reads - 1,  # one of them asked for this
        sum(by_name.values()),
        after.us - before.us,
        after.at - before.at,
        {name: calls for name, calls in by_name.items() if calls},
    )


def server(redis: Optional[Redis] = None, *more: str) -> Child:
    """Start a server, in the cluster of a Redis or without one."""
    return Child(command("cluster_node.py", "server", *(["--redis", redis.url] if redis else []), *more))


def remote(redis: Redis) -> Child:
    """Start a `RemoteServer`."""
    return Child(command("cluster_node.py", "remote", "--redis", redis.url))


# Calls ---------------------------------------------------------------------------------------------------------------


def latency(seconds: float, repeat: int) -> Figures:
    """Measure calls; print a table. Return the processor time of all processes for a remote call."""
    times = max(100, int(seconds * 400))
    with Redis() as redis, server(redis) as holder, server(redis) as other, remote(redis) as caller, load() as charger:
        charger.ask("connect", port=holder.ready, count=1)
        tasks: Dict[str, Tuple[Child, Dict[str, Any]]] = {
            "two PINGs": (other, {"do": "pings"}),
            "local call": (holder, {"do": "call", "client_id": CLIENT}),
            "remote call": (other, {"do": "call", "client_id": CLIENT}),
            "RemoteServer call": (caller, {"do": "call", "client_id": CLIENT}),
        }
        for child, task in tasks.values():
            child.ask(times=max(10, times // 10), **task)
        pids = [holder.pid, other.pid, caller.pid]

        def once(subject: Subject) -> Figures:
            child, task = tasks[subject.name]
            before = sum(map(processor_seconds, pids))
            figures: Figures = child.ask(times=times, timeout=120, **task)
            figures["us"] = (sum(map(processor_seconds, pids)) - before) / times * 1e6
            return figures

        subjects = [Subject(name, []) for name in tasks]
        results, failures = measure(subjects, repeat, once)
    for failure in failures:
        say(f"- failed: {failure}")
    allowed = 2.5 * results["local call"]["p50"] + results["two PINGs"]["p50"]
    for name in ("remote call", "RemoteServer call"):
        results[name]["allowed"] = allowed
        results[name]["ratio"] = results[name]["p50"] / allowed
    columns = {"p50": "p50 ms", "p99": "p99 ms", "allowed": "allowed ms", "ratio": "p50 / allowed", "us": "cpu us"}
    say(table(f"### Calls, {times:,} of each", subjects, results, columns))
    return {"remote_call_us": results["remote call"]["us"]}


# Messages ------------------------------------------------------------------------------------------------------------


class Setting(NamedTuple):
    """How many nodes, and whether they are in a cluster."""

    nodes: int
    clustered: bool
    base: str


SETTINGS = {
    ALONE: Setting(1, False, ALONE),
    "one node of a cluster": Setting(1, True, ALONE),
    THREE: Setting(3, False, THREE),
    "three nodes of a cluster": Setting(3, True, THREE),
}


def compare(figures: Figures, key: str, base: Optional[Figures]) -> None:
    """Add how many messages a processor carries, compared with ``base``."""
    if base is not None:
        figures[key] = base["cpu"] / figures["cpu"]


def carried(setting: Setting, connections: int, seconds: float) -> Figures:
    """Measure the messages that some nodes carry together, each with its own load."""
    with ExitStack() as stack:
        redis = stack.enter_context(Redis()) if setting.clustered else None
        nodes = [stack.enter_context(server(redis)) for _ in range(setting.nodes)]
        loads = [stack.enter_context(load()) for _ in nodes]
        opened = _open(nodes, loads, connections)
        with ThreadPoolExecutor(setting.nodes) as pool:
            runs = list(pool.map(lambda node, generator: _run(node, generator, seconds), nodes, loads))
    rate = sum(run["rate"] for run in runs)
    return {
        "rate": rate,
        "cpu": sum(run["cpu"] * run["rate"] for run in runs) / rate,
        "p99": max(run["p99"] for run in runs),
        **opened,
    }


def _open(nodes: Sequence[Child], loads: Sequence[Child], connections: int) -> Figures:
    """Open the connections of each node, one node after the other; return what one costs."""
    seconds = 0.0
    for each, (node, generator) in enumerate(zip(nodes, loads)):
        identities = {"port": node.ready, "boot": True, "first": each * (connections + FIRST)}
        generator.ask("connect", count=FIRST, **identities)  # the first ones have extra costs
    memory = sum(footprint(node.pid)[0] for node in nodes)
    processor = sum(processor_seconds(node.pid) for node in nodes)
    for each, (node, generator) in enumerate(zip(nodes, loads)):
        identities = {"port": node.ready, "boot": True, "first": each * (connections + FIRST)}
        seconds += generator.ask("connect", 240, count=connections, **identities)["seconds"]
    total = connections * len(nodes)
    return {
        "opened": total / seconds,
        "connect": (sum(processor_seconds(node.pid) for node in nodes) - processor) / total * 1e6,
        "memory": (sum(footprint(node.pid)[0] for node in nodes) - memory) / total / 1000,
    }


def _run(node: Child, generator: Child, seconds: float) -> Figures:
    figures: Figures = generator.ask(
        "run", 10 * seconds + 120, action="MeterValues", seconds=seconds, warm_up=min(1.0, seconds / 2), pid=node.pid
    )
    return figures


def messages(connections: int, seconds: float, repeat: int, only: str) -> Figures:
    """Measure messages; print a table. Return what one costs a node."""
    subjects = chosen_from([Subject(name, []) for name in SETTINGS], only)
    results, failures = measure(subjects, repeat, lambda subject: carried(SETTINGS[subject.name], connections, seconds))
    for name, figures in results.items():
        compare(figures, "ratio", results.get(ALONE))
        compare(figures, "same", results.get(SETTINGS[name].base))
    columns = {
        "rate": "messages/s", "cpu": "cpu us/message", "ratio": "ratio", "same": "no cluster", "p99": "p99 ms",
        "opened": "connections/s", "connect": "cpu us/connection", "memory": "kB/connection",
    }  # fmt: skip
    say(table(f"### MeterValues, {connections:,} connections to each node", subjects, results, columns))
    for failure in failures:
        say(f"- failed: {failure}")
    found = results.get("one node of a cluster", {})
    return {
        option: found[key]
        for option, key in {"message_us": "cpu", "connect_us": "connect", "connection_kb": "memory"}.items()
        if key in found
    }


# Redis ---------------------------------------------------------------------------------------------------------------


def operations(connections: int, seconds: float) -> Figures:
    """Measure what Redis does; print a table. Return it for the simulation."""
    times = max(200, int(seconds * 200))
    names = ("a node at rest, each second", "a connection", "a message of a charger", "a remote call", "an end")
    rows: Dict[str, Figures] = {}
    with ExitStack() as stack:
        redis = stack.enter_context(Redis())
        alone = watch(redis, lambda: time.sleep(3))
        holder, other, caller = (stack.enter_context(each) for each in (server(redis), server(redis), remote(redis)))
        time.sleep(2)
        rest = watch(redis, lambda: time.sleep(max(3.0, seconds)))
        say(f"- three nodes at rest for {rest.seconds:.1f} s: {_by_name(rest)}")
        rows[names[0]] = rest.without(alone, rest.seconds * 3)
        empty = redis.done().memory
        with load() as generator:
            work = watch(redis, lambda: _connect(generator, holder, connections))
            say(f"- {connections:,} connections in {work.seconds:.1f} s: {_by_name(work)}")
            rows[names[1]] = work.without(rest, connections)
            kept = (redis.done().memory - empty) / connections / 1000
            answered: List[int] = []
            work = watch(redis, lambda: answered.append(generator.ask("pace", 300, rate=PACE, seconds=seconds)))
            say(f"- {answered[0]:,} Heartbeats in {work.seconds:.1f} s: {_by_name(work)}")
            rows[names[2]] = work.without(rest, answered[0])
            for child in (other, caller):
                child.ask("call", client_id=CLIENT, times=10)
            work = watch(redis, lambda: caller.ask("call", 120, client_id=CLIENT, times=times))
            say(f"- {times:,} remote calls in {work.seconds:.1f} s: {_by_name(work)}")
            rows[names[3]] = work.without(rest, times)
            many = min(connections, 1000)
            taken = other.ask("many", 120, client_ids=many, times=5)
            say(f"- {5 * many:,} remote calls at once, to {many:,} chargers: {5 * many / taken:,.0f} a second")
            before = redis.done()
        work = watch(redis, lambda: _ended(holder))
        work = work._replace(
            commands=sum(redis.done().commands.values()) - sum(before.commands.values()),
            requests=redis.done().reads - before.reads - 3,
            us=redis.done().us - before.us,
            seconds=time.perf_counter() - before.at,
        )
        rows[names[4]] = work.without(rest, connections)
    subjects = [Subject(name, []) for name in names]
    say("")
    say(table("### What Redis does", subjects, rows, {"requests": "requests", "commands": "commands", "us": "cpu us"}))
    say(f"- memory of Redis for a connected charger: {kept:.2f} kB\n")
    found: Figures = {"redis_client_kb": kept}
    for option, name in zip(("node", "claim", "call", "release"), (names[0], names[1], names[3], names[4])):
        found[f"redis_{option}_us"] = rows[name]["us"]
        found[f"redis_{option}_commands"] = rows[name]["commands"]
    return found


def _connect(generator: Child, node: Child, connections: int) -> None:
    generator.ask("connect", 240, port=node.ready, count=connections)


def _ended(node: Child) -> None:
    """Wait until a node has noticed that its connections have ended."""
    for _ in range(600):
        if not node.ask("clients"):
            break
        time.sleep(0.05)
    time.sleep(2)


def _by_name(work: Work) -> str:
    most = sorted(work.by_name.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {calls:,.0f}" for name, calls in most) or "nothing"


# What else the simulation needs --------------------------------------------------------------------------------------


def rest_of_node(connections: int, seconds: float) -> Figures:
    """Measure the processor time of a ping and of a refused attempt, and the memory of an empty node."""
    with server(None, "--ping", "0.5") as node, load() as generator:
        memory = footprint(node.pid)[0]
        _connect(generator, node, connections)
        time.sleep(1)
        seconds = max(3.0, seconds)
        before = processor_seconds(node.pid)
        generator.ask("pace", 60 + seconds, rate=1, seconds=seconds)  # it answers pings meanwhile
        ping = (processor_seconds(node.pid) - before) / (connections * seconds / 0.5)
    with server(None, "--attempts", "0.001") as node:
        refused(node.ready)  # the one that is allowed
        times = 500
        before = processor_seconds(node.pid)
        for _ in range(times):
            refused(node.ready)
        refusal = (processor_seconds(node.pid) - before) / times
    return {"ping_us": ping * 1e6, "refusal_us": refusal * 1e6, "node_mb": memory / 1e6}


def refused(port: int) -> None:
    """Try to connect, as the load generator does, and read the answer to its end."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(
            b"GET /CP1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
        )
        sock.recv(4096)


def why_not() -> Optional[str]:
    """Return what is missing."""
    if shutil.which("redis-server") is None:
        return "there is no redis-server (Debian: apt install redis-server)"
    if importlib.util.find_spec("redis") is None:
        return 'the extra "redis" is not installed'
    return None


def scaling_command(found: Figures) -> str:
    """Return how the simulation is started with these figures."""
    given = [f"--{name.replace('_', '-')} {max(0.0, value):.3g}" for name, value in found.items()]
    return "python benchmarks/scaling.py " + " ".join(given)


def add(found: Figures, part: Callable[[], Figures]) -> None:
    """Add what ``part`` has measured. If it fails, say why: the others go on."""
    try:
        found.update(part())
    except Failed as error:
        say(f"- failed: {error}\n")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    chosen = options(__doc__, [500], [100], seconds=5.0)
    missing = why_not()
    if missing is not None:
        say(f"not run: {missing}")
        return
    found: Figures = {}
    add(found, partial(latency, chosen.seconds, chosen.repeat))
    for connections in chosen.connections:
        if not allow_files(connections + 100):
            say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
            continue
        add(found, partial(messages, connections, chosen.seconds, chosen.repeat, chosen.only))
        add(found, partial(operations, connections, chosen.seconds))
        add(found, partial(rest_of_node, connections, chosen.seconds))
        say(f"    {scaling_command(found)}\n")


if __name__ == "__main__":
    main()
