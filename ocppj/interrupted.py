"""Calls from a signal handler or a finalizer that interrupted this library, on the thread that it interrupted.

Between two bytecodes Python may run a signal handler (on the main thread), or finalizers and weak-reference callbacks
of objects that the garbage collector frees (on any thread). If that happens inside this library, the interrupted code
may hold one of its locks, and goes on only when the handler has returned. So a method that waits for that lock would
wait for ever. `place_of` tells from the frames of the thread where a method was called:

* Outwards from the caller, the first function of this library decides. If it is one that calls functions of the
  program, and so holds no lock meanwhile (`calls_program`), this is an ordinary call, by a handler of messages for
  example. Any other function was interrupted.
* Locks that all threads share are in `logging`, `threading` and `concurrent.futures`. Code that was interrupted there
  may hold one of them, and threads that a method waits for may need it.
* Otherwise the program called.

What must work from everywhere is then done by another thread (`ocppj.handover`). Other methods raise `WouldDeadlock`:
`refuse_inside`.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any, Callable, Dict, Optional, Set, TypeVar

from .errors import WouldDeadlock

__all__ = ["FREE", "INSIDE", "LOGGING", "called_by_program", "calls_program", "place_of", "refuse_inside"]

F = TypeVar("F", bound=Callable[..., Any])

_CODE = "__code__"  # which a type checker does not see in a callable

#: The program called: the thread holds no lock that others may need.
FREE = 0
#: A log call of this thread is under way. This library holds no lock while it logs.
LOGGING = 1
#: This library was interrupted, or a part of the standard library that holds locks.
INSIDE = 2

_boundaries: Dict[int, CodeType] = {}  # code objects by `id`: to hash one reads all of its bytecode
_entrances: Dict[int, CodeType] = {}

_OURS = "ocppj"
#: Rooms that are programs, built on the library: they hold none of its locks when they call it.
_PROGRAMS = ("testing", "cli", "control", "load", "proxy", "conformance", "reporting", "replaying")
_plain: Set[object] = {""}  # names of modules whose functions tell nothing: most frames are theirs
_MOST_PLAIN = 10_000

#: Functions of the standard library that hold a lock which other threads may need, by module. Those that wait hold it
#: not while they wait, and are not among them, unless what they wait for could end unseen.
_HOLDERS = {
    "threading": frozenset(
        [
            "__init__",
            "_delete",
            "_maintain_shutdown_locks",
            "_register_atexit",
            "_set_tstate_lock",
            "_shutdown",
            "_stop",
            "active_count",
            "enumerate",
            "start",
        ]
    ),
    "concurrent.futures._base": frozenset(
        [
            "add_done_callback",
            "as_completed",
            "cancel",
            "cancelled",
            "done",
            "exception",
            "result",
            "running",
            "set_exception",
            "set_result",
            "set_running_or_notify_cancel",
            "wait",
        ]
    ),
}


def calls_program(function: F) -> F:
    """Note that ``function`` calls functions of the program, with no lock held meanwhile. Costs nothing at a call."""
    code: CodeType = getattr(function, _CODE)
    _boundaries[id(code)] = code
    return function


def called_by_program(function: F) -> F:
    """Note that ``function`` is a public method that calls others: what it calls, the program calls."""
    code: CodeType = getattr(function, _CODE)
    _entrances[id(code)] = code
    return function


def place_of(caller: Optional[FrameType]) -> int:
    """Return `FREE`, `LOGGING` or `INSIDE` for the code that ``caller`` runs; ``None``: Python itself, at its end."""
    frame, inner, logs = caller, None, False
    while frame is not None:
        try:
            module = frame.f_globals["__name__"]
        except KeyError:  # of code that was run in a dict of the program's own
            module = ""
        if module not in _plain:
            code = frame.f_code
            kind = _kind_of(module)
            if kind == _OURS:
                if inner is not None and _kind_of(inner.f_globals.get("__name__")) == "logging":
                    return LOGGING
                if id(code) in _boundaries:
                    return LOGGING if logs else FREE
                if id(code) not in _entrances:
                    return INSIDE
            elif kind == "logging":
                logs = True
            elif kind and code.co_name in _HOLDERS[kind] and not _has_let_go(frame, inner):
                return INSIDE
        inner, frame = frame, frame.f_back
    return LOGGING if logs else FREE


def _has_let_go(holder: FrameType, inner: Optional[FrameType]) -> bool:
    """Tell whether ``holder``, which calls ``inner``, has released its lock, to call functions of the program."""
    if inner is not None and inner.f_code.co_name == "_invoke_callbacks":
        return True
    if holder.f_code.co_name != "add_done_callback":
        return False
    future: Any = holder.f_locals.get("self")  # one that is done calls the function at once
    return inner is not None and not future._condition._is_owned()


def _kind_of(module: object) -> str:
    """Return what a function of ``module`` tells: `_OURS`, a module of the standard library, or nothing."""
    name = str(module)
    if name.startswith("ocppj.") and name.split(".")[1] not in _PROGRAMS:
        return _OURS
    if name == "logging" or name.startswith("logging."):
        return "logging"
    if name in _HOLDERS:
        return name
    if len(_plain) < _MOST_PLAIN:
        _plain.add(name)
    return ""


def refuse_inside(what: str, waits: bool = False) -> None:
    """Raise `WouldDeadlock` if the method that calls this was called where it could wait for its own thread.

    Args:
        what: The method, for the error.
        waits: Whether it waits for other threads, which may have to log.
    """
    method = sys._getframe().f_back
    place = place_of(method and method.f_back)
    if place is INSIDE or (waits and place is LOGGING):
        inside = "where this library was interrupted (signal handler, finalizer)"
        where = inside if place is INSIDE else "in a log call"
        raise WouldDeadlock(f"{what} {where} would wait for its own thread: have another thread call it")
