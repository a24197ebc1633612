"""A simulation: a cluster for 1,000,000 chargers, and what happens when a region fails. Same seed, same result.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --chargers 200000 --regions 2 --handler-us 5000 --attempts 2000,500,100

It prints its assumptions, what the fleet needs from day to day, and a row for each storm. `cluster.py` measures the
figures of the class `Measured`, and prints them as options of this script. Nothing here uses a network or a clock.

In a storm all nodes that are left are alike, so one of them is simulated, with its share of the chargers. Its limit of
attempts and the back-off of the chargers are those of the library (`TokenBucket`, `Backoff`).
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import io
import math
import random
import re
import shlex
import sys
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Type, TypeVar, Union

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ocppj.ws.backoff import Backoff
from ocppj.ws.limits import TokenBucket

DAY = 86400.0
BACKLOG = 4096  # attempts that wait to be accepted: the backlog of `listen`
HANDSHAKE_TIMEOUT = 10.0  # seconds that a client waits for the answer to its handshake
BLOCK = re.compile(
    r"(`python benchmarks/scaling\.py([^`\n]*)` prints:\n\n<!-- begin -->\n).*?(<!-- end -->)", re.DOTALL
)
RETRY_AFTER = (1, 10)  # seconds: what a refused client is asked to wait, by `ocppj.ws.limits`


def figure(default: float, about: str) -> Any:
    """Return a field that is an option and an assumption."""
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class Measured:
    """What one thing costs. `cluster.py` measures it."""

    message_us: float = figure(105.0, "us of a node for a MeterValues and its answer")
    ping_us: float = figure(110.0, "us of a node for a ping and its pong")
    connect_us: float = figure(1000.0, "us of a node for a connection with its BootNotification")
    refusal_us: float = figure(100.0, "us of a node for an attempt that is refused or comes to nothing")
    remote_call_us: float = figure(900.0, "us of both nodes together for a remote call")
    connection_kb: float = figure(7.0, "kB of a node for an idle connection")
    node_mb: float = figure(41.0, "MB of a node without connections")
    redis_claim_us: float = figure(60.0, "us of Redis for a connection")
    redis_release_us: float = figure(30.0, "us of Redis for the end of a connection")
    redis_call_us: float = figure(170.0, "us of Redis for a remote call and its answer")
    redis_node_us: float = figure(300.0, "us of Redis for a node at rest, each second")
    redis_claim_commands: float = figure(5.0, "commands of Redis for a connection")
    redis_release_commands: float = figure(4.0, "commands of Redis for the end of a connection")
    redis_call_commands: float = figure(15.0, "commands of Redis for a remote call and its answer")
    redis_node_commands: float = figure(8.0, "commands of Redis for a node at rest, each second")
    redis_client_kb: float = figure(0.6, "kB of Redis for a connected charger")


@dataclass(frozen=True)
class Fleet:
    """The chargers, what they do, and how much one node is given."""

    chargers: int = figure(1_000_000, "chargers")
    regions: int = figure(3, "regions of equal size; when one fails, the nodes of the others must do for all chargers")
    message_every: float = figure(150.0, "seconds between two messages of a charger, on average")
    ping_every: float = figure(45.0, "seconds between two pings (the default of a server)")
    handler_us: float = figure(1000.0, "us of the program's own handler for a message")
    calls_a_day: float = figure(100.0, "calls to each charger in a day")
    losses_a_day: float = figure(4.0, "connections that a charger loses in a day")
    first_messages: float = figure(4.0, "messages after each connection: boot, states, what was kept")
    connections: int = figure(10_000, "connections of a node at most (the default of a server)")
    program_kb: float = figure(10.0, "kB that the program keeps of a charger")
    load: float = figure(0.5, "of its processor that a node uses at most, as planned")
    seed: int = figure(1, "seed of the simulation")


class Need(NamedTuple):
    """What a fleet needs. Shares are of one processor."""

    nodes: int  # in all regions together
    left: int  # when a region has failed
    why: str  # what decides the number of nodes
    per_node: int  # chargers, when a region has failed
    messages: float  # a second, of the whole fleet
    node_load: float  # when a region has failed
    node_mb: float  # when a region has failed
    calls: float  # a second, of the whole fleet
    redis_commands: float  # a second
    redis_load: float
    redis_mb: float
    redis_refill: float  # seconds until a Redis that was emptied knows all connections again


def need(fleet: Fleet, measured: Measured) -> Need:
    """Return what ``fleet`` needs, by arithmetic alone."""
    messages = fleet.chargers / fleet.message_every
    calls = fleet.chargers * fleet.calls_a_day / DAY
    losses = fleet.chargers * fleet.losses_a_day / DAY
    busy = _node_seconds(fleet, measured, messages, calls, losses)
    by_connections = math.ceil(fleet.chargers / fleet.connections)
    by_processor = math.ceil(busy / fleet.load)
    left = max(by_connections, by_processor, 1)
    nodes, left = _with_spare(left, fleet.regions)
    remote = calls * (nodes - 1) / nodes  # the caller is any node
    per_node = math.ceil(fleet.chargers / left)
    rates = {"claim": losses, "release": losses, "call": remote, "node": float(nodes)}
    return Need(
        nodes=nodes,
        left=left,
        why="connections" if by_connections >= by_processor else "processor",
        per_node=per_node,
        messages=messages,
        node_load=busy / left,
        node_mb=measured.node_mb + per_node * (measured.connection_kb + fleet.program_kb) / 1000,
        calls=calls,
        redis_commands=sum(rate * getattr(measured, f"redis_{what}_commands") for what, rate in rates.items()),
        redis_load=sum(rate * getattr(measured, f"redis_{what}_us") for what, rate in rates.items()) / 1e6,
        redis_mb=fleet.chargers * measured.redis_client_kb / 1000,
        redis_refill=fleet.chargers * measured.redis_claim_us / 1e6,
    )


def _node_seconds(fleet: Fleet, measured: Measured, messages: float, calls: float, losses: float) -> float:
    """Return the processor seconds that all nodes together need in a second."""
    return (
        messages * (measured.message_us + fleet.handler_us)
        + fleet.chargers / fleet.ping_every * measured.ping_us
        + calls * measured.remote_call_us
        + losses * (measured.connect_us + first_us(fleet, measured))
    ) / 1e6


def first_us(fleet: Fleet, measured: Measured) -> float:
    """Return the processor time of the first messages of a connection, in microseconds."""
    others = max(0.0, fleet.first_messages - 1) * measured.message_us  # the boot is a part of what was measured
    return others + fleet.first_messages * fleet.handler_us


def _with_spare(left: int, regions: int) -> Tuple[int, int]:
    """Return the number of nodes, and how many are left when one of the regions fails: at least ``left``."""
    if regions < 2:
        return left, left
    each = math.ceil(left / (regions - 1))
    return each * regions, each * (regions - 1)


# Storms --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Storm:
    """How the chargers of a region come back.

    Attributes:
        clients: How many come to one node.
        nodes: How many nodes take them.
        first_us: The processor time of the first messages of a connection.
        attempts: ``max_attempts_per_second`` of a node; ``None`` is no limit.
        detect: Seconds until the last of them has noticed; the others notice evenly before. 0: all at once.
        share: The part of a node's processor that is free for new connections.
        backoff: Minimum, random range (seconds) and repeat times of the chargers; ``None``: the defaults of `Backoff`.
    """

    clients: int
    nodes: int
    first_us: float = 0.0
    attempts: Optional[float] = 2000.0
    detect: float = 0.0
    share: float = 0.5
    backoff: Optional[Tuple[float, float, int]] = None


class Result(NamedTuple):
    """What came of a storm. Rates are of all nodes together, in the busiest second. Times are in seconds."""

    attempts: int  # of the clients of one node
    refused: int  # with 503
    unanswered: int  # ended by the clients' timeout
    peak_attempts: int
    peak_connected: int
    half: float
    most: float  # until 99 of 100 are connected
    all: float
    served: float  # until all first messages are answered
    known: float  # until Redis has all claims
    redis_load: float  # what the busiest second asks of it; beyond 1 claims wait


class Node:
    """One node in a storm. Attempts wait in line; the first messages of connections are a second line.

    While both lines wait, each has half of the processor.
    """

    def __init__(self, storm: Storm, measured: Measured) -> None:
        self._share = storm.share
        self._connect, self._refuse = measured.connect_us / 1e6, measured.refusal_us / 1e6
        self._first = storm.first_us / 1e6
        self._bucket = TokenBucket(storm.attempts, max(1.0, storm.attempts), 0.0) if storm.attempts else None
        self._free_at = 0.0
        self._messages = 0.0  # seconds of the processor that the messages need which wait

    def attempt(self, now: float) -> Tuple[str, float]:
        """Take an attempt; return what becomes of it, and when: "connected", "refused" or "unanswered"."""
        begin = max(now, self._free_at)
        if begin - now > BACKLOG * self._connect / self._share:  # no room: the kernel drops it
            return "unanswered", now + HANDSHAKE_TIMEOUT
        if begin - now > HANDSHAKE_TIMEOUT:
            self._work(begin, self._refuse)  # the node finds that the client has gone
            return "unanswered", now + HANDSHAKE_TIMEOUT
        allowed = self._bucket is None or self._bucket.take(begin)
        self._work(begin, self._connect if allowed else self._refuse)
        if allowed:
            self._messages += self._first
        return "connected" if allowed else "refused", self._free_at

    def served(self) -> float:
        """Return when all messages of the connections that there are have been answered."""
        return self._free_at + self._messages / self._share

    def _work(self, begin: float, seconds: float) -> None:
        """Do that much for an attempt from ``begin`` on, and as much for messages, if so many wait."""
        self._messages = max(0.0, self._messages - (begin - self._free_at) * self._share)
        beside = min(seconds, self._messages)
        self._messages -= beside
        self._free_at = begin + (seconds + beside) / self._share


def simulate(storm: Storm, measured: Measured, seed: int = 1) -> Result:
    """Return what becomes of ``storm``."""
    chance = random.Random(seed)
    node = Node(storm, measured)
    backoff = _backoff(storm, chance)
    due = [(chance.uniform(0, storm.detect), each, backoff.waits()) for each in range(storm.clients)]
    # As after any loss, a client waits before its first attempt.
    line = [(noticed + next(waits), each, waits) for noticed, each, waits in due]
    heapq.heapify(line)
    ends: Counter[str] = Counter()
    arrivals: Counter[int] = Counter()
    connected: List[float] = []
    while line:
        now, each, waits = heapq.heappop(line)
        arrivals[int(now)] += 1
        end, at = node.attempt(now)
        ends[end] += 1
        if end == "connected":
            connected.append(at)
            continue
        asked = chance.randint(*RETRY_AFTER) if end == "refused" else 0
        heapq.heappush(line, (at + max(next(waits), asked), each, waits))
    return _result(storm, measured, ends, arrivals, sorted(connected))._replace(served=node.served())


def _backoff(storm: Storm, chance: random.Random) -> Backoff:
    if storm.backoff is None:
        return Backoff(random=chance.random)
    minimum, extent, repeats = storm.backoff
    return Backoff(minimum, extent, repeats, chance.random)


def _result(
    storm: Storm, measured: Measured, ends: Counter[str], arrivals: Counter[int], connected: Sequence[float]
) -> Result:
    peak = max(Counter(map(int, connected)).values(), default=0) * storm.nodes
    return Result(
        attempts=sum(ends.values()),
        refused=ends["refused"],
        unanswered=ends["unanswered"],
        peak_attempts=max(arrivals.values(), default=0) * storm.nodes,
        peak_connected=peak,
        half=_after(connected, 0.5),
        most=_after(connected, 0.99),
        all=_after(connected, 1.0),
        served=0.0,
        known=_known(connected, storm.nodes * measured.redis_claim_us / 1e6),
        redis_load=peak * measured.redis_claim_us / 1e6,
    )


def _known(connected: Sequence[float], each: float) -> float:
    """Return when Redis has made the last claim. ``each`` is its time for one claim of every node."""
    free_at = 0.0
    for at in connected:
        free_at = max(free_at, at) + each
    return free_at


def _after(times: Sequence[float], part: float) -> float:
    return times[max(0, math.ceil(part * len(times)) - 1)] if times else 0.0


# The report ----------------------------------------------------------------------------------------------------------


def assumptions(fleet: Fleet, measured: Measured) -> str:
    """Return the figures that the rest is computed from."""
    return f"### Assumptions\n\n{figures('assumed', fleet)}\n\n{figures('measured', measured)}\n"


def figures(head: str, values: Union[Fleet, Measured]) -> str:
    """Return figures with what they mean, and their options, as a table."""
    rows = (
        f"| {getattr(values, each.name):,.10g} | {each.metadata['about']} | `{option(each.name)}` |"
        for each in fields(values)
    )
    return "\n".join([f"| {head} | | option |", "|---:|---|---|", *rows])


def daily(found: Need) -> str:
    """Return what a fleet needs, as a table."""
    rows = {
        "nodes (processes with one processor each)": f"{found.nodes:,}",
        "nodes left when a region has failed": f"{found.left:,} (decided by: {found.why})",
        "chargers for each of these": f"{found.per_node:,}",
        "load of each of these": f"{found.node_load:.0%} of a processor",
        "memory of each of these": f"{found.node_mb:,.0f} MB",
        "messages of chargers": f"{found.messages:,.0f} a second, none of them by Redis",
        "calls to chargers": f"{found.calls:,.0f} a second",
        "Redis": f"{found.redis_commands:,.0f} commands a second, {found.redis_load:.1%} of a processor",
        "memory of Redis": f"{found.redis_mb:,.0f} MB",
        "Redis knows all again after it was emptied": f"after {found.redis_refill:,.0f} s of its processor",
    }
    lines = [
        "### From day to day",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
    ]
    return "\n".join(lines) + "\n"


def storms(fleet: Fleet, measured: Measured, limits: Sequence[float], detects: Sequence[float]) -> Dict[str, Storm]:
    """Return the storms that are simulated, by name."""
    found = need(fleet, measured)
    lost = fleet.chargers / fleet.regions if fleet.regions > 1 else float(fleet.chargers)
    base = Storm(
        clients=math.ceil(lost / found.left),
        nodes=found.left,
        first_us=first_us(fleet, measured),
        share=max(0.05, 1 - found.node_load),
    )
    return {
        f"{_notice(detect)}, at most {limit:,g} attempts": replace(base, attempts=limit, detect=detect)
        for detect in detects
        for limit in limits
    }


def _notice(detect: float) -> str:
    return f"noticed within {detect:g} s" if detect else "noticed at once"


def storm_table(results: Dict[str, Result], clients: int, nodes: int) -> str:
    """Return the results of storms, as a table."""
    heads = (
        "attempts each",
        "refused",
        "no answer",
        "attempts/s",
        "connections/s",
        "half",
        "99 %",
        "all",
        "served",
        "known",
        "Redis",
    )
    lines = [
        f"### A region fails: {clients * nodes:,} chargers come to {nodes:,} nodes, {clients:,} to each",
        "",
        "| | " + " | ".join(heads) + " |",
        "|---" + "|---:" * len(heads) + "|",
    ]
    for name, each in results.items():
        cells = (
            f"{each.attempts / clients:.2f}",
            f"{each.refused * nodes:,}",
            f"{each.unanswered * nodes:,}",
            f"{each.peak_attempts:,}",
            f"{each.peak_connected:,}",
            f"{each.half:.0f} s",
            f"{each.most:.0f} s",
            f"{each.all:.0f} s",
            f"{each.served:.0f} s",
            f"{each.known:.0f} s",
            f"{each.redis_load:.0%}",
        )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


# The command line ----------------------------------------------------------------------------------------------------

Values = TypeVar("Values", Fleet, Measured)


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def add_options(parser: argparse.ArgumentParser, values: Values) -> None:
    """Add an option for each field of ``values``."""
    for each in fields(values):
        default = getattr(values, each.name)
        parser.add_argument(
            option(each.name), type=type(default), default=default, metavar="N", help=each.metadata["about"]
        )


def chosen(kind: Type[Values], options: argparse.Namespace) -> Values:
    return kind(**{each.name: getattr(options, each.name) for each in fields(kind)})


def numbers(text: str) -> List[float]:
    return [float(part) for part in text.split(",")]


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, Fleet())
    add_options(parser, Measured())
    parser.add_argument("--attempts", type=numbers, default=[2000.0, 200.0, 50.0], metavar="N,N")
    parser.add_argument("--detect", type=numbers, default=[0.0, 60.0], metavar="SECONDS,SECONDS")
    parser.add_argument("--brief", action="store_true", help="leave out the assumptions")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put what the commands in that page print into it")
    options = parser.parse_args(arguments)
    if options.page is not None:
        options.page.write_text(filled(options.page.read_text("utf-8")), "utf-8")
    else:
        print(report(options))


def report(options: argparse.Namespace) -> str:
    """Return what is printed."""
    fleet, measured = chosen(Fleet, options), chosen(Measured, options)
    waiting = storms(fleet, measured, options.attempts, options.detect)
    results = {name: simulate(each, measured, fleet.seed) for name, each in waiting.items()}
    first = next(iter(waiting.values()))
    parts = [] if options.brief else [assumptions(fleet, measured)]
    parts += [daily(need(fleet, measured)), storm_table(results, first.clients, first.nodes)]
    return "\n".join(parts)


def filled(page: str) -> str:
    """Return a page with what its commands print. Each stands in a block, and what it prints is between comments."""
    return BLOCK.sub(lambda block: block[1] + "\n" + printed(shlex.split(block[2])) + block[3], page)


def printed(arguments: Sequence[str]) -> str:
    """Return what this script prints for ``arguments``."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        main(arguments)
    return output.getvalue()


if __name__ == "__main__":
    main()
