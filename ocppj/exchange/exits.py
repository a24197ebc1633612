"""Endpoints that are still started when the program ends are stopped then. What is to see their end comes after that.

Python calls `stop_all` at the end of the main thread (``atexit``), while the other threads still run. From Python
3.12.0 to 3.12.2 no thread can be started any more by then. So nothing here starts one.
"""

from __future__ import annotations

import atexit
import time
from contextlib import suppress
from typing import Callable, List, Protocol
from weakref import WeakSet

from ..loops import log_failure

__all__ = ["call_last", "forget_last", "stop_all", "stop_at_exit"]

_LONGEST = 10.0  # seconds for all endpoints together; those that are left end with the process


class _Stoppable(Protocol):
    def _stop_at_exit(self, seconds: float) -> None: ...


_endpoints: "WeakSet[_Stoppable]" = WeakSet()
_last: List[Callable[[], object]] = []


def stop_at_exit(endpoint: _Stoppable) -> None:
    """Have ``endpoint`` stopped at the end of the program, if it is started then."""
    _endpoints.add(endpoint)


def call_last(step: Callable[[], object]) -> None:
    """Have ``step`` called at the end of the program, after the endpoints are stopped."""
    _last.append(step)


def forget_last(step: Callable[[], object]) -> None:
    """Take away what `call_last` added, if it is there."""
    with suppress(ValueError):
        _last.remove(step)


def stop_all() -> None:
    """Stop all endpoints that are started, one after the other. Then call what `call_last` got."""
    _stop_endpoints()
    for step in _last[:]:  # a step may take itself away
        try:
            step()
        except Exception:
            log_failure("%s failed at the end of the program", step)


def _stop_endpoints() -> None:
    deadline = time.monotonic() + _LONGEST
    for endpoint in list(_endpoints):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        try:
            endpoint._stop_at_exit(left)
        except Exception:
            log_failure("%s could not be stopped at the end of the program", endpoint)


atexit.register(stop_all)
