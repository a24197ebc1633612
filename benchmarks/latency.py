"""How long one call takes: `call()` of a client and of a server, against a bare round trip of the WebSocket library.

    python benchmarks/latency.py --seconds 5 --repeat 5          # 1,000 calls for each "second"

A client's calls are Heartbeats to a server that only answers (ceiling.py); client and server are separate processes. A
server's calls are ClearCaches to the load generator. A bare round trip only sends and receives text and reads the JSON.
``ratio`` compares medians with the bare round trip on the same library. A client that always hears its peer has a
thread that reads, and wakes the caller. "read by a thread" is the bare library with such a thread. It is the floor for
any client of this kind, and ``of the floor`` compares with it.
"""

from __future__ import annotations

from typing import List

from harness import Child, Figures, Subject, add_ratio, chosen_from, load, measure, options, python, say, table
from subjects import absent, has_fast, node, ocpp, ours

COLUMNS = {"p50": "p50 ms", "p99": "p99 ms", "ratio": "ratio (p50)"}
CLIENT_COLUMNS = {**COLUMNS, "floor": "of the floor (p50)"}
BARE_CLIENT = "bare websocket-client"
THREAD_CLIENT = "bare websocket-client, read by a thread"
BARE_SERVER = "bare simple-websocket"


def callers() -> List[Subject]:
    """Return the clients that are measured."""
    found = [
        Subject(BARE_CLIENT, python("callers.py", "websocket-client")),
        Subject(THREAD_CLIENT, python("callers.py", "reader-thread")),
        Subject("bare simple-websocket", python("callers.py", "simple-websocket")),
        Subject("ocppj", python("callers.py", "ocppj", "--plain")),
    ]
    if has_fast():
        found.append(Subject("ocppj[fast]", python("callers.py", "ocppj")))
    return found


def from_client(subject: Subject, times: int) -> Figures:
    """Measure one client."""
    with Child(python("ceiling.py", "loop")) as server, Child([*subject.command, str(server.ready)]) as caller:
        caller.ask("call", times=times // 10)  # the first ones have extra costs
        figures: Figures = caller.ask("call", times=times)
        return figures


def from_server(subject: Subject, times: int) -> Figures:
    """Measure one server."""
    with Child(subject.command, subject.directory) as server, load() as generator:
        generator.ask("connect", port=server.ready, count=1)
        server.ask("call", times=times // 10)
        figures: Figures = server.ask("call", times=times)
        return figures


def main() -> None:
    chosen = options(__doc__, [1], [1])
    times = int(chosen.seconds * 1000)
    clients = chosen_from(callers(), chosen.only)
    results, failures = measure(clients, chosen.repeat, lambda subject: from_client(subject, times))
    add_ratio(results, "p50", BARE_CLIENT)
    add_ratio(results, "p50", THREAD_CLIENT, "floor")
    say(table(f"### `client.call()`, {times:,} times", clients, results, CLIENT_COLUMNS))
    with node() as nodes:
        bare = Subject(BARE_SERVER, python("ceiling.py", "caller"))
        servers = chosen_from([bare, *ours(both=True), *ocpp(), *nodes], chosen.only)
        results, more = measure(servers, chosen.repeat, lambda subject: from_server(subject, times))
        add_ratio(results, "p50", BARE_SERVER)
        say(table(f"### `server.call()`, {times:,} times", servers, results, COLUMNS))
        for failure in [*failures, *more]:
            say(f"- failed: {failure}")
        say(absent(nodes))


if __name__ == "__main__":
    main()
