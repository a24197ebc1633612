"""A server process with the asyncio package ``ocpp`` on ``websockets``, written as in its documentation.

    peers.py [--no-pool]       check payloads in the event loop, not in a thread pool

``--pause 0.05 --every 10`` makes every tenth handler sleep. It awaits, or with ``--block`` it blocks.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from datetime import datetime, timezone
from typing import Any, Coroutine, Dict, List

import ocpp.messages
from ceiling import Pause
from harness import obey, percentiles
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action, RegistrationStatus
from websockets.asyncio.server import ServerConnection, serve


class Options:
    """How the handlers sleep."""

    seconds = 0.0
    blocking = False
    pause = Pause()


def now() -> str:
    return datetime.now(timezone.utc).isoformat()


class Station(ChargePoint):  # type: ignore[misc]
    """The central system's side of one connection."""

    @on(Action.heartbeat)
    async def on_heartbeat(self, **_: Any) -> call_result.Heartbeat:
        if Options.seconds and Options.pause.due():
            if Options.blocking:
                time.sleep(Options.seconds)
            else:
                await asyncio.sleep(Options.seconds)
        return call_result.Heartbeat(current_time=now())

    @on(Action.meter_values)
    async def on_meter_values(self, **_: Any) -> call_result.MeterValues:
        return call_result.MeterValues()

    @on(Action.boot_notification)
    async def on_boot_notification(self, **_: Any) -> call_result.BootNotification:
        return call_result.BootNotification(current_time=now(), interval=300, status=RegistrationStatus.accepted)


class Central:
    """All connections, and their event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self._open: List[Station] = []
        self._ready = threading.Event()

    def start(self) -> None:
        """Listen, and serve on a new thread."""
        threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),), daemon=True).start()
        self._ready.wait(20)

    async def _serve(self) -> None:
        server = await serve(self._connected, "127.0.0.1", 0, subprotocols=["ocpp1.6"], backlog=1024)  # type: ignore[list-item]
        self.port = next(iter(server.sockets)).getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _connected(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        station = Station(connection.request.path.strip("/"), connection)
        self._open.append(station)
        await station.start()

    def do(self, work: Coroutine[Any, Any, Dict[str, float]]) -> Dict[str, float]:
        """Run ``work`` in the event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def call(self, times: int) -> Dict[str, float]:
        """Call the first client again and again; return latencies in ms."""
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            if await self._open[0].call(call.ClearCache()) is None:
                raise ValueError("an error came back")
            taken.append(time.perf_counter() - begun)
        p50, p99 = percentiles(taken)
        return {"p50": p50, "p99": p99}

    async def broadcast(self, times: int) -> Dict[str, float]:
        """Send a request to every client; return the seconds until all had answered, and the number of clients."""
        taken = []
        for _ in range(times):
            begun = time.perf_counter()
            if None in await asyncio.gather(*(station.call(call.ClearCache()) for station in self._open)):
                raise ValueError("an error came back")
            taken.append(time.perf_counter() - begun)
        return {"seconds": sorted(taken)[len(taken) // 2], "clients": len(self._open)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-pool", action="store_true")
    parser.add_argument("--block", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--every", type=int, default=1)
    chosen = parser.parse_args()
    ocpp.messages.ASYNC_VALIDATION = not chosen.no_pool
    Options.seconds, Options.blocking, Options.pause = chosen.pause, chosen.block, Pause(chosen.pause, chosen.every)
    central = Central()
    central.start()
    obey(
        central.port,
        call=lambda times: central.do(central.call(times)),
        broadcast=lambda times: central.do(central.broadcast(times)),
    )


if __name__ == "__main__":
    main()
