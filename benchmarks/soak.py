"""Make calls in both directions for minutes or days over connections that break. Look for losses and growth.

    python benchmarks/soak.py --minutes 5 [--clients 50] [--cuts-per-minute 20] [--seed N]
    python benchmarks/soak.py --quick

A server and its clients are in this process. A proxy between them delays, splits, cuts, half-closes and freezes
connections (``tests/faults/proxy.py``). Each connection has four callers: ``call`` and ``send_request`` in both
directions. Every ten seconds a line shows calls answered per second, calls with other outcomes, reconnects, threads,
file descriptors, memory, and the time of an answered ``call`` (median and 99th percentile, ms).

These are violations, and make the exit code 1: a call was lost or ended twice; a request was answered twice; an error
was logged; connections, threads or descriptors are left at the end; memory has grown by more than a tenth and 10 MB
from the second third of the run to the last.
"""

import argparse
import gc
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import List, Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.faults.proxy import END, FREEZE, HALF, RESET, Faults
from tests.faults.traffic import Fleet, Ledger, errors_logged, run_threads
from tests.inside.faults import alive
from tests.ws.support import open_files

REPORT_EVERY = 10.0  # seconds
TIMEOUT = 2.0  # seconds that a request may stay unanswered


def slow_some(number: int, random: random.Random) -> Tuple[Faults, Faults]:
    """Slow down three directions in ten, and freeze one in ten for a second; `Breaker` makes the cuts."""

    def faults() -> Faults:
        slow = random.random() < 0.3
        return Faults(
            delay=random.choice([0.001, 0.01, 0.05]) if slow else 0.0,
            split=random.choice([0, 20, 200]) if slow else 0,
            at=((random.randrange(1_000_000), FREEZE),) if random.random() < 0.1 else (),
            freeze_for=1.0,
        )

    return faults(), faults()


class Breaker(threading.Thread):
    """Cuts one connection after another, at random times, ``per_minute`` of them."""

    def __init__(self, fleet: Fleet, per_minute: float, over: threading.Event) -> None:
        super().__init__(name="breaker", daemon=True)
        self._fleet = fleet
        self._per_minute = per_minute
        self._over = over

    def run(self) -> None:
        while not self._over.wait(random.expovariate(self._per_minute / 60)):
            self._fleet.proxy.cut_some(0, random.choice([RESET, RESET, END, HALF]))


class Reporter:
    """Prints the lines, and stores the memory figures."""

    def __init__(self, fleet: Fleet, ledger: Ledger) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._kinds: "Counter[str]" = Counter()
        self._began = self._last = time.monotonic()
        self.memory: List[float] = []  # MB
        print("   time  answered/s  threads   fds  RSS MB  p50 ms  p99 ms  reconnects  other ends", flush=True)

    def look(self) -> None:
        now = time.monotonic()
        kinds = Counter(self._ledger.kinds)
        new, self._kinds = kinds - self._kinds, kinds
        answered = new.pop("answered", 0) / max(0.001, now - self._last)
        self._last = now
        p50, p99 = percentiles(list(self._ledger.durations))
        gc.collect()
        self.memory.append(resident())
        reconnects = sum(self._fleet.reconnects.values())
        print(
            f"{now - self._began:6.0f}s {answered:11.0f} {threading.active_count():8} {open_files():5} "
            f"{self.memory[-1]:7.1f} {p50:7.1f} {p99:7.1f} {reconnects:11}  {dict(new)}",
            flush=True,
        )


def percentiles(durations: List[float]) -> Tuple[float, float]:
    """Return median and 99th percentile, in ms."""
    ordered = sorted(durations) or [0.0]
    return ordered[len(ordered) // 2] * 1000, ordered[len(ordered) * 99 // 100] * 1000


def resident() -> float:
    """Return this process's memory in MB; 0 if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(memory: List[float]) -> Optional[str]:
    """Say how memory has grown, or ``None``. It compares the maxima of the second and the last third of the run."""
    third = len(memory) // 3
    if third < 2:
        return None
    before, after = max(memory[third : 2 * third]), max(memory[2 * third :])
    if after > before * 1.1 and after > before + 10:
        return f"memory has grown from {before:.0f} to {after:.0f} MB"
    return None


def soak(seconds: float, clients: int, cuts_per_minute: float, seed: Optional[int]) -> List[str]:
    """Run for ``seconds``; return the violations."""
    ledger = Ledger(capacity=1 << 18)
    over = threading.Event()
    end = time.monotonic() + seconds
    with errors_logged() as wrong:
        with Fleet(clients, slow_some, ledger, TIMEOUT, seed, ping_interval=2.0, pong_timeout=2.0) as fleet:
            fleet.connect()
            breaker, reporter = Breaker(fleet, cuts_per_minute, over), Reporter(fleet, ledger)

            def report() -> None:
                while not over.wait(min(REPORT_EVERY, max(0.1, seconds / 6))):
                    reporter.look()
                    if time.monotonic() >= end:
                        over.set()

            breaker.start()
            run_threads([report, *fleet.callers(lambda: not over.is_set())], seconds + 120)
            breaker.join()
            fleet.check_idle()
            reporter.look()
            ledger.settled()
            print(f"{ledger.begun} requests: {dict(ledger.kinds)}; faults: {dict(fleet.proxy.counts)}")
        del fleet, breaker, report
        wrong = wrong + ledger.violations()
    grown = growth(reporter.memory)
    return wrong + ([grown] if grown else [])


def left_behind(files: int) -> List[str]:
    """Return what is still there after everything was stopped."""
    deadline, pause = time.monotonic() + 10, threading.Event()
    while True:
        threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("ocppj-")]
        objects, more = dict(alive()), open_files() - files
        left = [f"{name}: {what}" for name, what in (("threads", threads), ("objects", objects)) if what]
        left += [f"descriptors: {more} more than before"] if more > 0 else []
        if not left or time.monotonic() > deadline:
            return left
        pause.wait(0.1)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--cuts-per-minute", type=float, default=20.0)
    parser.add_argument("--seed", type=int, help="repeat the faults of a run")
    parser.add_argument("--quick", action="store_true", help="ten seconds with ten clients and many cuts")
    options = parser.parse_args()
    seconds, clients, cuts = options.minutes * 60, options.clients, options.cuts_per_minute
    if options.quick:
        seconds, clients, cuts = 10.0, 10, 120.0
    files = open_files()
    wrong = soak(seconds, clients, cuts, options.seed)
    wrong += left_behind(files)
    for line in wrong[:50]:
        print("VIOLATION:", line)
    print("verdict:", f"{len(wrong)} violations" if wrong else "nothing lost, nothing doubled, nothing grown or left")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
