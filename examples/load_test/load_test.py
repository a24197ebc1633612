"""Charges many simulated stations at a central system at once, and fails if that gives way. See README.

Its exit code makes it a check of a pipeline: 0 if all limits were kept, 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import List

from ocppj import OcppjError
from ocppj.testing import Fleet

EVERY = 1.0  # seconds between two lines of progress


class LoadTest:
    """A fleet, and the limits that the central system has to keep.

    Args:
        fleet: The stations.
        p99: Milliseconds within which 99 of 100 answers come.
        failures: How many requests may fail.
    """

    def __init__(self, fleet: Fleet, p99: float, failures: int) -> None:
        self._fleet = fleet
        self._p99 = p99
        self._failures = failures

    def run(self, seconds: float, charge: float) -> None:
        """Have all stations connect and boot, then have drivers come for ``seconds``."""
        end = time.monotonic() + seconds
        self._fleet.wait(lambda: self._fleet.summary().booted == len(self._fleet), within=seconds)
        # `speed` of the fleet makes minutes of charging seconds of the test. Drivers come within one charge.
        self._fleet.charge(seconds=charge, spread=charge)
        while time.monotonic() < end:
            self._fleet.wait(lambda: False, within=min(EVERY, max(0.0, end - time.monotonic())))
            now = self._fleet.summary()
            print(f"{now.connected} connected, {now.charging} charging, {sum(now.sent.values())} answers", flush=True)

    def problems(self) -> List[str]:
        """Return which limits were broken."""
        found, now = [], self._fleet.summary()
        if now.booted < now.stations:
            found.append(f"only {now.booted} of {now.stations} stations have booted")
        if sum(now.failed.values()) > self._failures:
            found.append(f"{sum(now.failed.values())} requests failed: {dict(now.failed)}")
        p99 = now.latencies.quantile(0.99)
        if p99 is None or p99 * 1000 > self._p99:
            found.append("there was no answer" if p99 is None else f"p99 is {p99 * 1000:.1f} ms")
        if not now.transactions:
            found.append("no transaction has begun")
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description="A load test of a central system.")
    parser.add_argument("url", help="the central system, such as ws://127.0.0.1:9000")
    parser.add_argument("--stations", type=int, default=100, help="how many")
    parser.add_argument("--version", default="1.6", choices=["1.6", "2.0.1", "2.1"], help="the OCPP version")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the test takes")
    parser.add_argument("--charge", type=float, default=600.0, help="how long a car charges, in simulated seconds")
    parser.add_argument("--speed", type=float, default=60.0, help="how many times as fast as the clock cars charge")
    parser.add_argument("--p99", type=float, default=250.0, help="ms within which 99 of 100 answers come")
    parser.add_argument("--failures", type=int, default=0, help="how many requests may fail")
    options = parser.parse_args()
    try:
        # Switched on a hundred a second: a storm of connections is another test.
        spread = options.stations / 100
        fleet = Fleet(options.stations, options.url, options.version, spread=spread, speed=options.speed)
        test = LoadTest(fleet, options.p99, options.failures)
        with fleet:
            try:
                test.run(options.seconds, options.charge)
            except KeyboardInterrupt:
                print("ended before its time")
            problems = test.problems()  # while the stations are connected: their end is no problem
            print(fleet.summary())
    except OcppjError as error:  # a number that cannot be
        sys.exit(f"{type(error).__name__}: {error}")
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    main()
