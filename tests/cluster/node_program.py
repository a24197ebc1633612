"""A node: a server of OCPP 1.6 in a process of its own. `tests.cluster.nodes.Node` starts it.

It reads commands from its input, one JSON object a line, and answers each with one on its output: ``{"n": ...}`` is the
number of the command. Each command runs on a thread of its own. The options are JSON as well, in its first argument.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List

OPTIONS: Dict[str, Any] = json.loads(sys.argv[1])
_true_time = time.time
if OPTIONS.get("skew"):
    time.time = lambda: _true_time() + OPTIONS["skew"]  # before anything else is imported

import ocppj  # noqa: E402
from ocppj import CallFailed, OcppjError, RemoteServer, Server, v16  # noqa: E402


class Logged(logging.Handler):
    """Counts the log lines by level, and keeps the last errors."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: "Counter[str]" = Counter()
        self.errors: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[record.levelname] += 1
        if record.levelno >= logging.ERROR:
            self.errors = [*self.errors[-9:], self.format(record)]
        if OPTIONS.get("verbose"):
            print(f"{_true_time():.2f} {record.levelname} {record.getMessage()}", file=sys.stderr, flush=True)


def how(error: BaseException) -> str:
    name = next(kind.__name__ for kind in type(error).__mro__ if hasattr(ocppj, kind.__name__) or kind is Exception)
    return f"{name}, maybe sent" if getattr(error, "maybe_sent", False) else name


class Work:
    """Calls that several threads make: each takes the next one. ``ends`` has how each ended, by its text."""

    def __init__(self, server: Server, order: Dict[str, Any]) -> None:
        self._server = server
        self._clients: List[str] = order["clients"]
        self._timeout: float = order["timeout"]
        self._pause: float = order.get("pause", 0.0)  # seconds after each call, and four times as much after a failure
        self._texts: Iterator[str] = iter([f"{order['name']} {number}" for number in range(order["count"])])
        self._lock = threading.Lock()
        self._number = 0
        self._never = threading.Event()
        self.ends: Dict[str, List[str]] = {}
        self.slowest = 0.0
        self.errors: Dict[str, str] = {}  # the text of one error of each kind

    def run(self, threads: int) -> None:
        self._threads = [threading.Thread(target=self._work, args=(bool(n % 2),)) for n in range(threads)]
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    def _work(self, by_future: bool) -> None:
        while True:
            with self._lock:
                text, client = next(self._texts, None), self._clients[self._number % len(self._clients)]
                self._number += 1
            if text is None:
                return
            well = self._one(client, text, by_future)
            if self._pause:
                self._never.wait(self._pause * (1 if well else 4))

    def _one(self, client: str, text: str, by_future: bool) -> bool:
        began = time.monotonic()
        request = v16.DataTransferRequest(vendor_id="V", data=text)
        try:
            if by_future:
                self._wait_for(client, text, request)
            else:
                answer = self._server.call(client, request, self._timeout)
                self._note(text, "answered" if answer.data == text else f"answered with {answer.data!r}")
        except Exception as error:
            self._note(text, how(error), error)
        with self._lock:
            self.slowest = max(self.slowest, time.monotonic() - began)
            return self.ends[text] == ["answered"]

    def _wait_for(self, client: str, text: str, request: v16.DataTransferRequest) -> None:
        done = threading.Event()
        future = self._server.send_request(client, request, self._timeout)

        def ended(future: Any) -> None:
            error = future.exception()
            if error is None:
                self._note(text, "answered" if future.result().data == text else "answered with something else")
            else:
                self._note(text, how(error), error)
            done.set()

        future.add_done_callback(ended)
        if not done.wait(OPTIONS.get("patience", 120)):
            self._note(text, "never ended")

    def _note(self, text: str, end: str, error: Any = None) -> None:
        with self._lock:
            self.ends.setdefault(text, []).append(end)
            if error is not None:
                self.errors.setdefault(end, repr(error))


class Program:
    """The server, and the commands: each is a method that is called with the order, and returns the answer."""

    def __init__(self) -> None:
        self.logged = Logged()
        logging.getLogger("ocppj").addHandler(self.logged)
        self.cluster = self._make_cluster()
        options: Dict[str, Any] = {"profiles": v16.PROFILES, **OPTIONS.get("server", {})}
        if self.cluster is not None:
            options["cluster"] = self.cluster
        self.server: Any = RemoteServer(**options) if OPTIONS.get("remote") else Server(**options)
        self.closes: Dict[str, List[int]] = {}
        self._lock = threading.Lock()
        self._output = threading.Lock()
        if not OPTIONS.get("remote"):
            self._add_handlers()

    def _add_handlers(self) -> None:
        self.server.on(v16.BootNotificationRequest)(self._boot)
        self.server.on(v16.HeartbeatRequest)(lambda client_id, request: v16.HeartbeatResponse(self._now()))
        self.server.set_disconnected_client_handler(self._disconnected)

    def _make_cluster(self) -> Any:
        if "redis" not in OPTIONS:
            return None
        from ocppj import RedisCluster

        options: Dict[str, Any] = OPTIONS["redis"]
        if "sentinels" in options:
            options["client"] = self._sentinel_client(options.pop("sentinels"), options.pop("service"))
        return RedisCluster(**options)

    def _sentinel_client(self, ports: List[int], service: str) -> Any:
        from redis.sentinel import Sentinel

        timeouts = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
        sentinel = Sentinel([("127.0.0.1", port) for port in ports], sentinel_kwargs=timeouts, **timeouts)
        return sentinel.master_for(service)

    def _now(self) -> datetime:
        return datetime.now(timezone.utc)

    def _boot(self, client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
        return v16.BootNotificationResponse(status="Accepted", current_time=self._now(), interval=300)

    def _disconnected(self, client_id: str, close: Any) -> None:
        with self._lock:
            self.closes.setdefault(client_id, []).append(close.code)

    # The commands

    def calls(self, order: Dict[str, Any]) -> Any:
        work = Work(self.server, order)
        work.run(order.get("threads", 8))
        return {"ends": work.ends, "slowest": work.slowest, "errors": work.errors}

    def reset(self, order: Dict[str, Any]) -> Any:
        return str(self.server.call(order["client"], v16.ResetRequest(type="Soft"), order["timeout"]).status)

    def clients(self, order: Dict[str, Any]) -> Any:
        return sorted(self.server.client_ids())

    def holders(self, order: Dict[str, Any]) -> Any:
        assert self.cluster is not None
        return {holder.client_id: holder.node_id for holder in self.cluster.holders()}

    def connections(self, order: Dict[str, Any]) -> Any:
        return sorted(info.client_id for info in self.server.connections(cluster=True))

    def stats(self, order: Dict[str, Any]) -> Any:
        cluster = self.cluster
        return {
            "open": self._open(),
            "node": "" if cluster is None else cluster.node_id,
            "available": cluster is not None and cluster.available,
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "memory": self._memory(),
            "logged": dict(self.logged.counts),
            "errors": self.logged.errors,
            "time": time.time(),
        }

    def _open(self) -> List[int]:
        """Return how many calls this node has made, and how many it runs for others, that have not ended."""
        member = getattr(self.server, "_membership", None)
        return [] if member is None else [len(member.remote), len(member._serving)]

    def _memory(self) -> int:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def closed(self, order: Dict[str, Any]) -> Any:
        with self._lock:
            return dict(self.closes)

    def stop(self, order: Dict[str, Any]) -> Any:
        began = time.monotonic()
        self.server.stop()
        took = time.monotonic() - began
        end = time.monotonic() + order.get("grace", 10.0)
        pause = threading.Event()
        while self._ours() and time.monotonic() < end:
            pause.wait(0.02)
        return {"took": took, "left": self._ours(), "errors": self.logged.errors}

    def _ours(self) -> List[str]:
        return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("ocppj-"))

    # The loop

    def run(self) -> None:
        url = "" if OPTIONS.get("remote") else self.server.listen(host="127.0.0.1").url
        self.say({"n": 0, "result": url})
        for line in sys.stdin:
            order = json.loads(line)
            threading.Thread(target=self._obey, args=(order,), name=f"order-{order['n']}", daemon=True).start()

    def _obey(self, order: Dict[str, Any]) -> None:
        try:
            self.say({"n": order["n"], "result": getattr(self, order["do"])(order)})
        except Exception as error:
            maybe = getattr(error, "maybe_sent", False)
            text = str(error) if isinstance(error, (CallFailed, OcppjError)) else repr(error)
            self.say({"n": order["n"], "error": type(error).__name__, "text": text, "maybe_sent": maybe})

    def say(self, words: Dict[str, Any]) -> None:
        with self._output:
            sys.stdout.write(json.dumps(words) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    Program().run()
