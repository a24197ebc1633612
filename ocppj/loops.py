"""Keep the threads of this library alive, whatever they meet.

A thread may meet anything at any step: MemoryError, no more threads or descriptors, a logger that raises. The
thread may be the only one of its kind, so it must go on. `run_loop` is the loop of every such thread. It calls a *step*
again and again. When a step raises, the owner repairs its tables, and the next step goes on from what they say.
"""

from __future__ import annotations

from typing import Callable, Optional

from .events import Event
from .log_limit import SafeLog, safe_log

__all__ = ["do_all", "log_failure", "run_loop"]

_ATTEMPTS = 3  # to do one of the steps of `do_all`
_NEVER = Event()  # is not set: to pause; it has no lock that a fork could leave taken
_PAUSE, _LONGEST_PAUSE = 0.02, 0.5  # seconds before the next attempt, from the second failure in a row on


def log_failure(text: str, *args: object, log: SafeLog = safe_log) -> None:
    """Log ``text`` as an error, with the exception that is being handled. Whatever the logger raises is dropped."""
    try:
        log.error(text, *args, exc_info=True)
    except BaseException:  # the caller has more to do than to log
        pass


def run_loop(
    name: str, step: Callable[[], object], repair: Optional[Callable[[], object]] = None, log: SafeLog = safe_log
) -> None:
    """Call ``step`` until it returns something false. Nothing that it raises ends the loop, or leaves it.

    After each failure ``repair`` is called, until it has returned, and then ``step`` again. From the second failure in
    a row on there is a pause before that. Every failure whose number in the row is a power of two is logged.

    Args:
        name: What fails, for the log.
        step: Does one thing. It must go on from whatever an interrupted step has left, after ``repair``.
        repair: Makes the tables consistent that an interrupted step has left. May be called several times.
        log: Where failures are logged.
    """
    failures = [0]  # in a row
    while True:
        try:
            _run(name, step, repair, failures, log)
            return
        except BaseException:  # raised while a failure was dealt with
            failures[0] += 1


def _run(
    name: str,
    step: Callable[[], object],
    repair: Optional[Callable[[], object]],
    failures: "list[int]",
    log: SafeLog,
) -> None:
    """Go on until ``step`` returns something false. Raises what is raised while a failure is dealt with."""
    while True:
        try:
            if failures[0] > 1:
                _NEVER.wait(min(_PAUSE * failures[0], _LONGEST_PAUSE))
            if failures[0] and repair is not None:
                repair()
            while step():
                failures[0] = 0
            return
        except BaseException:
            failures[0] += 1
            if not failures[0] & (failures[0] - 1):
                log_failure("%s failed %d times in a row, and goes on", name, failures[0], log=log)


def do_all(*steps: Callable[[], object], log: SafeLog = safe_log) -> None:
    """Call each of ``steps``, whatever another one raises. One that raises is logged, and called again, twice at most.

    What is no ``Exception``, such as KeyboardInterrupt, is raised in the end, and its step not called again.
    """
    interrupt: Optional[BaseException] = None
    for step in steps:
        for _ in range(_ATTEMPTS):
            try:
                step()
                break
            except Exception:
                log_failure("a step failed that must be done", log=log)
            except BaseException as error:
                interrupt = error
                break
    if interrupt is not None:
        raise interrupt
