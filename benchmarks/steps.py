"""The time of one message, step by step, in microseconds: a server without any thread switch.

    python benchmarks/steps.py              --profile Heartbeat: functions by their own time

The whole message is measured over a real socket. Its readers run everything on one thread. Each step is measured alone.
The whole without the steps is locks, bookkeeping and calls. "sockets" is send and recv at both ends; half of it is the
server's. A second table has the cost of a request's timeout.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import socket
import sys
import threading
import time
import timeit
from collections import deque
from datetime import datetime, timezone
from typing import Any, Callable, Collection, Deque, Dict, List, Tuple

from harness import ROOT, Subject, say, table
from load import Connection, Frames, frame
from ours import NO_LIMITS
from samples import MESSAGES

sys.path.insert(0, str(ROOT))

from ocppj import CallResult, Endpoint, Server, parse_json_message, v16
from ocppj.clock import SystemClock
from ocppj.dispatch.timeouts import Timeouts
from ocppj.rpc.validation import check_payload, use_accelerators
from ocppj.ws.connection.plain_frames import frame_of_text, text_of_frame
from ocppj.ws.readers.base import Job, Readers, Source

ACTIONS = {
    "Heartbeat": (v16.HeartbeatRequest, lambda: v16.HeartbeatResponse(current_time=datetime.now(timezone.utc))),
    "MeterValues": (v16.MeterValuesRequest, v16.MeterValuesResponse),
}


class Inline(Readers):
    """Readers that do everything on the thread that calls `turn`. They read the first connection alone."""

    def __init__(self) -> None:
        self.added = threading.Event()
        self._over = False
        self._sources: List[Source] = []
        self._jobs: Deque[Job] = deque()

    def add(self, source: Source) -> None:
        self._sources.append(source)
        self.added.set()

    def submit(self, source: Source, job: Job) -> None:
        self._jobs.append(job)

    def wake(self, source: Source) -> None:
        pass

    def flush(self, source: Source) -> None:
        pass

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        for source in self._sources[self._over :]:
            source.finish()
        self._work()
        return True

    def turn(self) -> None:
        """Read the available bytes, and run the handlers."""
        if not self._sources[0].step(False):
            self._over = True
            self._sources[0].finish()
        self._work()

    def _work(self) -> None:
        while self._jobs:
            self._jobs.popleft()()


class Whole:
    """A server and a client on one thread."""

    def __init__(self, action: str) -> None:
        self._inline = Inline()
        self._server = Server(profiles=v16.PROFILES, readers=lambda: self._inline, ping_interval=None, **NO_LIMITS)
        request, answer = ACTIONS[action]
        self._server.on(request)(lambda client_id, request: answer())
        self._server.listen(host="127.0.0.1")
        self.port = int(self._server.url.split(":")[2].split("/")[0])
        self._client = Connection(self.port, 0)
        self._client.sock.setblocking(True)
        while not self._client.upgraded:
            self._client.read()
            self._client.upgrade()
        self._inline.added.wait(10)
        frames = Frames(action)
        self._frame, self._head = frames.wire[0], frames.heads[0]

    def message(self) -> None:
        """Send one, serve it, receive the answer."""
        self._client.send(self._frame)
        self._inline.turn()
        if not self._client.recv(4096).startswith(self._head, 2):
            raise ValueError("a wrong answer")

    def close(self) -> None:
        """End the connection without a Close, which would not be answered, then the server."""
        self._client.sock.close()
        self._inline.turn()
        self._server.stop()


def sockets(there: bytes, back: bytes) -> Callable[[], None]:
    """Return a function that sends a message and its answer through sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server = listener.accept()[0]
    for sock in (client, server):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange() -> None:
        client.send(there)
        server.recv(65536)
        server.send(back)
        client.recv(4096)

    return exchange


def steps(action: str) -> List[Tuple[str, Callable[[], Any]]]:
    """Return the steps of a message, in order."""
    feature = next(each for profile in v16.PROFILES for each in profile if each.name == action)
    request_type, answer = ACTIONS[action]
    frames = Frames(action)
    response = answer()
    message_id = frames.heads[0].split(b'"')[1].decode()
    payload = MESSAGES[action].payload
    data = response.to_wire()
    result = Endpoint(v16.PROFILES).create_call_result(response, message_id, action=action)
    text = result.to_json()

    there = frames.wire[0]
    call = text_of_frame(there, 0, True)[0]  # type: ignore[index]
    return [
        ("sockets", sockets(there, frame(1, result.to_json().encode())[4:])),
        ("WebSocket frame to text", lambda: text_of_frame(there, 0, True)),
        ("text to JSON values", lambda: parse_json_message(call)),
        ("check of the request", lambda: check_payload(feature, False, payload)),
        ("values to dataclass", lambda: request_type.from_wire(payload)),
        ("handler", answer),
        ("dataclass to values", response.to_wire),
        ("check of the answer", lambda: check_payload(feature, True, data)),
        ("values to JSON text", lambda: CallResult(result.unique_id, response, data).to_json()),
        ("text to WebSocket frame", lambda: frame_of_text(text, False)),
    ]


def microseconds(function: Callable[[], object], number: int) -> float:
    function()
    return min(timeit.repeat(function, number=number, repeat=7)) / number * 1e6


def column(action: str, number: int) -> Dict[str, float]:
    """Measure all steps of a message."""
    figures = {name: microseconds(step, number) for name, step in steps(action)}
    whole = Whole(action)
    try:
        total = microseconds(whole.message, number)
    finally:
        whole.close()
    figures["all else"] = total - sum(figures.values())
    figures["the whole message"] = total
    return figures


def deadlines(number: int) -> Dict[str, Dict[str, float]]:
    """Measure a timeout that is added and canceled, alone and with one thousand others waiting."""

    def with_endpoint(others: int) -> float:
        timeouts = Timeouts(SystemClock())
        for _ in range(others):
            timeouts.add(30.0, time.monotonic)
        taken = microseconds(lambda: timeouts.add(30.0, time.monotonic).cancel(), number)
        timeouts.stop()
        return taken

    def timer() -> None:
        started = threading.Timer(30.0, time.monotonic)
        started.start()
        started.cancel()

    names = {"a Timer an endpoint": with_endpoint(0), "the same, 1,000 wait": with_endpoint(1000)}
    names["threading.Timer a request"] = microseconds(timer, max(30, number // 20))
    return {name: {"us": taken, "ratio": taken / names["a Timer an endpoint"]} for name, taken in names.items()}


def profile(action: str, number: int) -> None:
    """Print the functions that take most time."""
    whole = Whole(action)
    try:
        with cProfile.Profile() as profiler:
            for _ in range(number):
                whole.message()
    finally:
        whole.close()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="rough figures in some seconds")
    parser.add_argument("--profile", choices=list(ACTIONS), help="what takes the time of this message")
    chosen = parser.parse_args()
    number = 300 if chosen.quick else 2000
    if chosen.profile:
        profile(chosen.profile, number * 10)
        return
    results: Dict[str, Dict[str, float]] = {}
    columns = {}
    for action in ACTIONS:
        for fast in (False, True):
            use_accelerators(fast)
            heading = f"{action} [fast]" if fast else action
            columns[heading] = heading
            for name, value in column(action, number).items():
                results.setdefault(name, {})[heading] = value
    say(table("### One message, us", [Subject(name, []) for name in results], results, columns))
    results = deadlines(number)
    heads = {"us": "us", "ratio": "ratio"}
    say(table("### The timeout of a request", [Subject(name, []) for name in results], results, heads))


if __name__ == "__main__":
    main()
