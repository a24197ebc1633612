"""What every test has: an end (``timeout`` in setup.cfg, pytest-timeout), and no thread of ours left behind."""

import contextlib
import threading
import time
from typing import Iterator, List, Set

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers import seconds

#: Seconds that threads get to end after a test.
GRACE = seconds(5)

# How long an example takes is up to the machine, and to what else it does.
settings.register_profile("ocppj", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ocppj")


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
