"""What a forked process does with the endpoints and files of its parent.

After ``os.fork()`` only the thread that forked is in the child. The other threads are gone, perhaps in the middle of a
change, with a lock held. The child has copies of their objects, and of all descriptors. So in the child, before
anything else runs there:

* Each object that owns descriptors, threads or a session, and has called `register`, forgets them in its method
  ``_after_fork()``. It closes its copies of descriptors, by ``close()`` alone. ``shutdown()`` would end the parent's
  connection, and a Close frame would go to the parent's peer. ``_after_fork()`` takes no lock, waits for nothing and
  calls no program code.
* Then each lock that can be reached from those objects is released (`renew_locks`).

So in the child an endpoint is one that was stopped. It knows that the parent has it (`ocppj.exchange.lifecycle`).
In the
parent nothing is done but a short wait before (`_before_fork`). A system without fork (Windows) never comes here.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections import OrderedDict, defaultdict, deque
from contextlib import ExitStack, suppress
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any, Callable, Dict, Iterable, List, Optional, Protocol, Set
from weakref import WeakSet

from .events import Event

__all__ = ["close_copies", "forget_parent", "keep_for_ever", "register", "renew_locks"]

_LOCKS = (type(threading.Lock()), type(threading.RLock()))
_CONTAINERS = (dict, list, tuple, set, deque, OrderedDict, defaultdict, partial, MethodType, CellType)
_WAITS = (threading.Condition, threading.Event)
#: Modules of ours whose objects hold much, and no lock: types of messages and their schemas. And the testing kit, which
#: is a program that uses the library.
_PLAIN = ("ocppj.payloads.", "ocppj.rpc.features", "ocppj.testing.", "ocppj.v16.", "ocppj.v201.", "ocppj.v21.")

#: Packages that are imported by the thread that needs them first.
_IMPORTED_LATE = {"cryptography", "joserfc", "jsonschema", "jsonschema_rs", "ocppj", "orjson", "referencing", "rpds"}
_PATIENCE = 1.0  # seconds that a fork waits for such imports
_LOOK = 0.002  # seconds between two looks meanwhile


class _Forkable(Protocol):
    def _after_fork(self) -> None: ...


class _Closable(Protocol):
    def close(self) -> None: ...


_registered: "WeakSet[_Forkable]" = WeakSet()
_kept: List[object] = []


def register(thing: _Forkable) -> None:
    """Have ``thing._after_fork()`` called in each process that is forked from now on, as long as the object lives."""
    _registered.add(thing)


def close_copies(*things: _Closable) -> None:
    """Close sockets and selectors, in the child. A system may have closed some of them by itself."""
    for thing in things:
        with suppress(OSError, ValueError):
            thing.close()


def forget_parent(part: object) -> None:
    """Call ``_after_fork()`` of a part that may be one of the program's own, without such a method."""
    forget: Optional[Callable[[], None]] = getattr(part, "_after_fork", None)
    if forget is not None:
        forget()


def keep_for_ever(thing: object) -> None:
    """Have the object never be freed, not even at the end of the process."""
    _kept.append(thing)
    with suppress(ImportError, AttributeError):  # of a Python without it: then the end of the process frees the list
        from ctypes import py_object, pythonapi

        pythonapi.Py_IncRef(py_object(thing))


def renew_locks(things: Iterable[object]) -> None:
    """Release all locks that can be reached from ``things`` over objects of this library.

    For a process that has one thread: no other thread uses what a lock guards.
    """
    seen: Set[int] = set()
    kinds: Dict[type, bool] = {}  # whether objects of that type are looked into
    rest: List[Any] = list(things)
    while rest:
        thing = rest.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        kind = type(thing)
        if kind in _LOCKS:
            thing._at_fork_reinit()
            continue
        if kind is FunctionType:  # not into its module
            rest.extend(thing.__closure__ or ())
            continue
        if kind not in kinds:
            kinds[kind] = kind in _CONTAINERS or issubclass(kind, _WAITS) or _is_ours(kind)
        if kinds[kind]:
            rest.extend(gc.get_referents(thing))


def _is_ours(kind: type) -> bool:
    names = [base.__module__ for base in kind.__mro__ if base.__module__.startswith("ocppj.")]
    return bool(names) and not names[0].startswith(_PLAIN)


def _before_fork() -> None:
    """Let other threads end their imports of what this library imports when it needs it.

    Python keeps a lock for each module that is being imported, and does not release it in the child.
    """
    deadline = time.monotonic() + _PATIENCE
    while _registered and time.monotonic() < deadline and any(_is_begun(*each) for each in list(sys.modules.items())):
        Event().wait(_LOOK)


def _is_begun(name: str, module: object) -> bool:
    if name.partition(".")[0] not in _IMPORTED_LATE:
        return False
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _after_fork() -> None:
    things = list(_registered)
    with ExitStack() as steps:
        steps.callback(renew_locks, things)  # the last step
        for thing in things:
            steps.callback(thing._after_fork)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
