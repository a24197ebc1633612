"""A central system on the port of a web service under gunicorn, against one with `listen()`.

    python benchmarks/mounted.py --connections 2000 --seconds 5 --repeat 3

``listen()`` is a process that does nothing else. "beside" listens on a port of its own in a gunicorn worker of 4
threads. "mounted" is on the port of that worker. ``ratio`` compares with ``listen()``.

Then, in a process of its own, a browser asks for a page every 10 ms, over a new connection each time. The columns
``web`` are the 99th percentile of its times, in ms: without chargers; while they all are connected and idle; while they
send 200 messages a second; and while each sends its next message at once.
"""

from __future__ import annotations

import http.client
import importlib.util
import threading
import time
from typing import Callable, List

from harness import (
    Child,
    Figures,
    Subject,
    add_ratio,
    allow_files,
    chosen_from,
    load,
    measure,
    options,
    percentiles,
    say,
    table,
)
from harness import python as command
from subjects import ours

LISTEN = "listen()"
PACE = 200  # messages per second: what 2,000 chargers send, each every ten seconds
PAUSE = 0.01
COLUMNS = {
    "rate": "messages/s",
    "ratio": "ratio",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "cpu": "cpu us/message",
    "alone": "web alone",
    "idle": "web idle",
    "paced": f"web {PACE}/s",
    "full": "web full",
}


class Browser:
    """Asks for a page until the ``with`` block ends. ``taken`` are the seconds until each answer was there."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._browse, daemon=True)
        self.taken: List[float] = []

    def _browse(self) -> None:
        while not self._over.wait(PAUSE):
            begun = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            connection.request("GET", "/page/ping")
            assert connection.getresponse().read() == b"pong"
            connection.close()
            self.taken.append(time.perf_counter() - begun)

    def __enter__(self) -> "Browser":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)


def browse(port: int, during: Callable[[], object]) -> float:
    """Return the 99th percentile of the times of pages while ``during`` runs, in ms."""
    with Browser(port) as browser:
        during()
    return percentiles(browser.taken)[1]


def once(subject: Subject, connections: int, seconds: float) -> Figures:
    """Measure one server: first its throughput, without a browser."""
    with Child(subject.command, subject.directory) as server, load() as generator:
        ready = {"ocpp": server.ready, "pid": server.pid} if subject.name == LISTEN else server.ready
        generator.ask("connect", 240, port=ready["ocpp"], count=connections)
        figures = run(generator, seconds, ready["pid"])
    return figures if subject.name == LISTEN else {**figures, **pages(subject, connections, seconds)}


def pages(subject: Subject, connections: int, seconds: float) -> Figures:
    """Measure how long pages take."""
    with Child(subject.command, subject.directory) as server, load() as generator:
        web, ocpp, pid = (server.ready[key] for key in ("web", "ocpp", "pid"))
        figures = {"alone": browse(web, lambda: time.sleep(seconds))}
        generator.ask("connect", 240, port=ocpp, count=connections)
        figures["idle"] = browse(web, lambda: time.sleep(seconds))
        figures["paced"] = browse(web, lambda: generator.ask("pace", 10 * seconds + 60, rate=PACE, seconds=seconds))
        figures["full"] = browse(web, lambda: run(generator, seconds, pid))
        return figures


def run(generator: Child, seconds: float, pid: int) -> Figures:
    figures: Figures = generator.ask(
        "run", 10 * seconds + 60, action="Heartbeat", seconds=seconds, warm_up=min(1.0, seconds / 2), pid=pid
    )
    return figures


def main() -> None:
    chosen = options(__doc__, [2000], [200], seconds=5.0)
    if importlib.util.find_spec("gunicorn") is None:
        say("not run: gunicorn is not installed")
        return
    alone = ours()[0]
    servers = [
        Subject(LISTEN, alone.command),
        Subject("beside gunicorn", command("mounted_server.py", "beside")),
        Subject("mounted", command("mounted_server.py", "mounted")),
    ]
    for connections in chosen.connections:
        if not allow_files(connections + 100):
            say(f"{connections} connections: not run, the hard limit of open files (ulimit -Hn) is too low\n")
            continue
        results, failures = measure(
            chosen_from(servers, chosen.only),
            chosen.repeat,
            lambda subject: once(subject, connections, chosen.seconds),  # noqa: B023 (called here)
        )
        add_ratio(results, "rate", LISTEN)
        say(
            table(
                f"### Heartbeat, {connections:,} connections, a gunicorn worker of 4 threads", servers, results, COLUMNS
            )
        )
        for failure in failures:
            say(f"- failed: {failure}")


if __name__ == "__main__":
    main()
