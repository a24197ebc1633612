"""A server process that uses `ocppj` like a normal program, with a handler for each message.

    ours.py --readers shared --plain       readers: a strategy, "" for the default; plain: without the extra "fast"

``--pause 0.05 --every 10`` makes every tenth handler sleep. ``--tls`` makes a certificate, and listens with it.
``--compression`` is ``off``, ``alone`` (each message by itself) or ``context``; the default is the default.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from concurrent.futures import wait
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional

from harness import ROOT, obey, percentiles

if "--plain" in sys.argv:  # before any import of ocppj: a module that is None here cannot be imported
    sys.modules["orjson"] = sys.modules["jsonschema_rs"] = None  # type: ignore[assignment]
sys.path.insert(0, str(ROOT))

from ceiling import Pause

from ocppj import Deflate, Server, v16

#: All charge points have one address, and some benchmarks connect them faster than a server allows by default.
NO_LIMITS = {"max_attempts_per_second": None, "max_attempts_per_second_per_address": None}
#: The values of ``--compression``, and of the option of `Server`.
COMPRESSION: Dict[str, Any] = {
    "off": False,
    "alone": Deflate(no_context_takeover=True),
    "context": Deflate(no_context_takeover=False),
}


def answer_all(server: Server, pause: Pause) -> None:
    """Register the handlers."""

    @server.on(v16.HeartbeatRequest)
    def heartbeat(client_id: str, request: v16.HeartbeatRequest) -> v16.HeartbeatResponse:
        pause()
        return v16.HeartbeatResponse(current_time=datetime.now(timezone.utc))

    @server.on(v16.MeterValuesRequest)
    def meter_values(client_id: str, request: v16.MeterValuesRequest) -> v16.MeterValuesResponse:
        pause()
        return v16.MeterValuesResponse()

    @server.on(v16.BootNotificationRequest)
    def boot(client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
        return v16.BootNotificationResponse(
            current_time=datetime.now(timezone.utc), interval=300, status=v16.RegistrationStatus.ACCEPTED
        )


def call(server: Server, times: int) -> Dict[str, float]:
    """Call the first client again and again; return latencies in ms."""
    (client_id,) = server.client_ids()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        server.call(client_id, v16.ClearCacheRequest())
        taken.append(time.perf_counter() - begun)
    p50, p99 = percentiles(taken)
    return {"p50": p50, "p99": p99}


def broadcast(server: Server, times: int) -> Dict[str, float]:
    """Send a request to every client; return the seconds until all had answered, and the number of clients."""
    taken, futures = [], []
    for _ in range(times):
        begun = time.perf_counter()
        if hasattr(server, "broadcast"):
            futures = list(server.broadcast(v16.ClearCacheRequest()).values())
        else:
            futures = [server.send_request(client_id, v16.ClearCacheRequest()) for client_id in server.client_ids()]
        wait(futures, 60)
        for future in futures:
            future.result(0)
        taken.append(time.perf_counter() - begun)
    return {"seconds": sorted(taken)[len(taken) // 2], "clients": len(futures)}


class Collections:
    """How long the collections of garbage have taken; ``full`` are those of the oldest generation."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._taken: List[float] = []
        self._full = 0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: Dict[str, Any]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self._taken.append(time.perf_counter() - self._begun)
            self._full += info["generation"] == 2

    def take(self) -> Dict[str, float]:
        """Return the longest (ms), all (ms), and how many were full, since the last time."""
        taken, full = self._taken, self._full
        self._taken, self._full = [], 0
        return {"longest": max(taken, default=0.0) * 1000, "all": sum(taken) * 1000, "full": full}

    def collect(self, freeze: bool) -> float:
        """Return how long a full collection takes (ms); with ``freeze``, after ``gc.freeze()``."""
        gc.collect()
        if freeze:
            gc.freeze()
        begun = time.perf_counter()
        gc.collect()
        self.take()
        return (time.perf_counter() - begun) * 1000


def tls_context() -> Optional[Any]:
    """Return a context with a new certificate."""
    from ocppj.testing.pki import TestPKI

    return TestPKI().server_context()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--readers", default="")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--compression", choices=list(COMPRESSION))
    chosen = parser.parse_args()
    transport: Dict[str, Any] = dict(NO_LIMITS)
    if chosen.readers:
        transport["readers"] = chosen.readers
    if chosen.tls:
        transport["ssl_context"] = tls_context()
    if chosen.compression:
        transport["compression"] = COMPRESSION[chosen.compression]
    server = Server(profiles=v16.PROFILES, **transport)
    answer_all(server, Pause(chosen.pause, chosen.every))
    server.listen(host="127.0.0.1")
    port = int(server.url.split(":")[2].split("/")[0])
    collections = Collections()
    obey(
        port,
        call=lambda times: call(server, times),
        broadcast=lambda times: broadcast(server, times),
        collections=collections.take,
        collect=collections.collect,
    )


if __name__ == "__main__":
    main()
