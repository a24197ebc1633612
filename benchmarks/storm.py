"""A real storm on one node, beside the simulated one, so that the simulation can be believed or not.

    python benchmarks/storm.py --clients 300 --attempts 30

All clients are connected to one server. It stops, and another one listens at its address, as behind a load balancer.
That one takes ``--attempts`` a second. All are in one process. The simulation gets the same numbers, with five seeds.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import threading
import time
from typing import List

from harness import ROOT, say
from scaling import Measured, Result, Storm, simulate

sys.path.insert(0, str(ROOT))

from ocppj import Client, Server, v16

CONNECT_US = 2000.0  # of this process, for a connection: both its ends
REPORT = "| {} | {:.1f} s | {:.1f} s | {:.1f} s | {} |"


class Arrivals:
    """When the clients of a server came."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._begun = time.monotonic()
        self.times: List[float] = []
        self.all = threading.Event()

    def begin(self) -> None:
        self._begun = time.monotonic()

    def note(self, *_: object) -> None:
        self.times.append(time.monotonic() - self._begun)
        if len(self.times) >= self._expected:
            self.all.set()


def real(count: int, attempts: float) -> str:
    """Return a row of the table: what real clients do."""
    first = Server(profiles=v16.PROFILES, max_attempts_per_second=None, max_attempts_per_second_per_address=None)
    second = Server(profiles=v16.PROFILES, max_attempts_per_second=attempts)
    clients = [Client(f"CP_{number}", profiles=v16.PROFILES) for number in range(count)]
    arrivals = Arrivals(count)
    second.set_new_client_handler(arrivals.note)
    try:
        first.listen(host="127.0.0.1")
        url = first.url
        for client in clients:
            client.connect(url)
        arrivals.begin()
        first.stop()
        with second.listen(host="127.0.0.1", port=int(url.split(":")[2].split("/")[0])):
            arrivals.all.wait(600)
            refused = second.stats().refused.get("max_attempts_per_second", 0)
    finally:
        for client in clients:
            client.stop()
    times = sorted(arrivals.times)
    return REPORT.format("real", _after(times, 0.5), _after(times, 0.99), times[-1], refused)


def _after(times: List[float], part: float) -> float:
    return times[math.ceil(part * len(times)) - 1]


def simulated(result: Result, seed: int) -> str:
    return REPORT.format(f"simulated, seed {seed}", result.half, result.most, result.all, result.refused)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--attempts", type=float, default=30.0)
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)  # a line for each attempt
    say("| | half | 99 % | all | refused |\n|---|---:|---:|---:|---:|")
    say(real(chosen.clients, chosen.attempts))
    storm = Storm(chosen.clients, 1, attempts=chosen.attempts, share=1.0)
    for seed in range(1, 6):
        say(simulated(simulate(storm, Measured(connect_us=CONNECT_US), seed), seed))


if __name__ == "__main__":
    main()
