"""A server process that uses `ocppj` like a normal program, with a handler for each message.

    ours.py --readers shared --plain       readers: a strategy, "" for the default; plain: without the extra "fast"

``--pause 0.05 --every 10`` makes every tenth handler sleep.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import wait
from datetime import datetime, timezone
from typing import Any, Dict

from harness import ROOT, obey, percentiles

if "--plain" in sys.argv:  # before any import of ocppj: a module that is None here cannot be imported
    sys.modules["orjson"] = sys.modules["jsonschema_rs"] = None  # type: ignore[assignment]
sys.path.insert(0, str(ROOT))

from ceiling import Pause

from ocppj import Server, v16


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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--readers", default="")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--every", type=int, default=1)
    chosen = parser.parse_args()
    transport: Dict[str, Any] = {"readers": chosen.readers} if chosen.readers else {}
    server = Server(profiles=v16.PROFILES, **transport)
    answer_all(server, Pause(chosen.pause, chosen.every))
    server.listen(host="127.0.0.1")
    port = int(server.url.split(":")[2].split("/")[0])
    obey(port, call=lambda times: call(server, times), broadcast=lambda times: broadcast(server, times))


if __name__ == "__main__":
    main()
