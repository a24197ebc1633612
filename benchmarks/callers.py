"""A client process that makes one call after another.

callers.py websocket-client PORT       the bare library, text and JSON only
callers.py reader-thread PORT          the same, but another thread reads all the time, and wakes the caller
callers.py simple-websocket PORT
callers.py ocppj [--plain] PORT        plain: without the extra "fast"
"""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from typing import Any, Callable, Dict

from harness import ROOT, obey, percentiles

if "--plain" in sys.argv:  # before any import of ocppj: a module that is None here cannot be imported
    sys.modules["orjson"] = sys.modules["jsonschema_rs"] = None  # type: ignore[assignment]
sys.path.insert(0, str(ROOT))

import simple_websocket
import websocket

from ocppj import Client, v16


def bare(send: Callable[[str], Any], receive: Callable[[], Any]) -> Callable[[], None]:
    """Return a round trip over a socket."""

    def call() -> None:
        message_id = str(uuid.uuid4())
        send(json.dumps([2, message_id, "Heartbeat", {}]))
        if json.loads(receive())[1] != message_id:
            raise ValueError("a wrong answer")

    return call


class Reader:
    """A thread that reads all the time, so that the peer is always heard.

    The caller waits for a lock. The thread passes the text by releasing it: this is the cheapest way, with one wake-up.
    """

    def __init__(self, ws: websocket.WebSocket) -> None:
        self._ws = ws
        self._text: Any = ""
        self._came = threading.Lock()
        self._came.acquire()
        threading.Thread(target=self._read, daemon=True).start()

    def receive(self) -> Any:
        """Return the next text."""
        self._came.acquire()
        return self._text

    def _read(self) -> None:
        while True:
            self._text = self._ws.recv()
            self._came.release()


def caller(kind: str, port: str) -> Callable[[], Any]:
    """Connect; return a function that makes one call."""
    url = f"ws://127.0.0.1:{port}"
    if kind in ("websocket-client", "reader-thread"):
        first = websocket.create_connection(f"{url}/CP", subprotocols=["ocpp1.6"])
        return bare(first.send, first.recv if kind == "websocket-client" else Reader(first).receive)
    if kind == "simple-websocket":
        second = simple_websocket.Client.connect(f"{url}/CP", subprotocols=["ocpp1.6"])
        return bare(second.send, lambda: second.receive(timeout=10))
    client = Client("CP", profiles=v16.PROFILES).connect(url)
    return lambda: client.call(v16.HeartbeatRequest())


def main() -> None:
    once = caller(sys.argv[1], sys.argv[-1])

    def call(times: int) -> Dict[str, float]:
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            once()
            taken.append(time.perf_counter() - begun)
        p50, p99 = percentiles(taken)
        return {"p50": p50, "p99": p99}

    obey(None, call=call)


if __name__ == "__main__":
    main()
