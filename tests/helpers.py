"""What tests share: times that scale, and waits that end."""

import os
import threading
import time
from typing import Any, Callable, List

#: All times in tests are multiplied by this; a slow machine sets it.
FACTOR = float(os.environ.get("OCPPJ_TEST_TIME_FACTOR", "1"))


def seconds(n: float) -> float:
    """Return ``n`` seconds, scaled."""
    return n * FACTOR


def eventually(predicate: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Wait until ``predicate()`` is true, looking again and again, and return what it returned; fail in the end."""
    deadline = time.monotonic() + seconds(timeout)
    pause = threading.Event()
    while True:
        result = predicate()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {timeout} s: {predicate}"
        pause.wait(0.005)


class Recorder:
    """Calls itself a handler, and keeps what it was called with."""

    def __init__(self, result: Any = None) -> None:
        self.result = result
        self._changed = threading.Condition()
        self._calls: List[Any] = []

    def __call__(self, *arguments: Any) -> Any:
        with self._changed:
            self._calls.append(arguments)
            self._changed.notify_all()
        return self.result

    @property
    def calls(self) -> List[Any]:
        with self._changed:
            return list(self._calls)

    def wait(self, count: int = 1, timeout: float = 10.0) -> List[Any]:
        """Return the calls once there are ``count``; fail in the end."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self._calls) >= count, seconds(timeout))
            assert done, f"{len(self._calls)} calls instead of {count} within {timeout} s: {self._calls}"
            return list(self._calls)
