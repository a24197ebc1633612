"""What every test has: an end (``timeout`` in setup.cfg, pytest-timeout), and no thread of ours left behind."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from typing import IO, Iterator, List, Set

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers import seconds

#: Seconds that threads get to end after a test.
GRACE = seconds(5)

#: Seconds after its time limit in which a test must have failed. Beyond them the process ends.
FAILING = 60.0
STDERR: "pytest.StashKey[IO[bytes]]" = pytest.StashKey()

# A shell has what it starts in the background ignore Ctrl-C. So would the programs that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is up to the machine, and to what else it does.
settings.register_profile("ocppj", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ocppj")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.fdopen(os.dup(sys.stderr.fileno()), "wb")  # before pytest captures what is written there


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End the process, with the tracebacks of all threads, if a test does not obey its time limit.

    pytest-timeout raises in the main thread. That is not enough for one that waits in C, nor for a failure that is
    being reported while other threads are busy.
    """
    mark = item.get_closest_marker("timeout")
    limit = float(mark.args[0] if mark is not None else item.config.getini("timeout"))
    faulthandler.dump_traceback_later(limit + FAILING, exit=True, file=item.config.stash[STDERR])
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process, with the tracebacks of all threads, if one that a test left behind keeps it alive."""
    faulthandler.dump_traceback_later(FAILING, exit=True, file=config.stash[STDERR])


def our_threads() -> List[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ocppj-")]


def forget_interrupted(threads: Set[threading.Thread]) -> None:
    """Take the threads off Python's list whose start was interrupted: they never live, and would stay there."""
    deadline = time.monotonic() + seconds(1)
    for thread in threads:
        while not thread.is_alive() and thread in threading.enumerate() and time.monotonic() < deadline:
            threading.Event().wait(0.01)  # it may be just being started
        if not thread.is_alive():
            threading._limbo.pop(thread, None)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    """Fail a test after which a thread lives whose name starts with ``ocppj-``, and which was not there before."""
    before = set(our_threads())
    yield
    deadline = time.monotonic() + GRACE
    for thread in set(our_threads()) - before:
        with contextlib.suppress(RuntimeError):  # one that is just being started
            thread.join(max(0.0, deadline - time.monotonic()))
    left = sorted(thread.name for thread in set(our_threads()) - before if thread.is_alive())
    forget_interrupted(set(our_threads()) - before)
    if left:
        pytest.fail(f"threads left alive {GRACE:g} s after the test: {', '.join(left)}", pytrace=False)
