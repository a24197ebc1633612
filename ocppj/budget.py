"""`MemoryBudget`: how many bytes an endpoint holds for its peers, by kind, and the most that it may hold.

=============  =====================================================================================================
kind           what is held
=============  =====================================================================================================
``waiting``    CALLs that wait for their turn, or for an answer that comes later than their handler: as text
``handled``    large CALLs while their handlers run, as objects: about 250 bytes for each value, and the text
``unfinished`` messages whose last bytes have not come
``unsent``     what peers have not taken yet: write buffers
``recorded``   answers that are remembered for ``repeat_answers``
``queued``     requests in the queues in memory, which wait to be sent
=============  =====================================================================================================

A message of at most `LARGE` characters that is handled at once, answered and written is never counted, so it costs
nothing here.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, Dict, Optional, Protocol, Tuple

__all__ = [
    "HANDLED",
    "LARGE",
    "QUEUED",
    "RECORDED",
    "UNFINISHED",
    "UNSENT",
    "WAITING",
    "Account",
    "Counted",
    "MemoryBudget",
    "weigh",
    "weigh_objects",
    "weigh_read",
]

WAITING = "waiting"
HANDLED = "handled"
UNFINISHED = "unfinished"
UNSENT = "unsent"
RECORDED = "recorded"
QUEUED = "queued"

LARGE = 64 * 1024  #: A CALL of more characters counts while it is handled.

_READ_VALUE = 250  # bytes of the objects of one value that was read, typed and as JSON: the most of what was measured
_VALUE = 600  # bytes of the objects of one value, typed and as JSON
_OBJECTS = 600  # bytes of the small objects that hold one text: a message, entries of tables, a job


def weigh(text: str) -> int:
    """Return the bytes that it takes to hold ``text``, with what is kept beside it."""
    return sys.getsizeof(text) + _OBJECTS


def weigh_objects(text: str) -> int:
    """Return, about, the bytes that it takes to hold a message as objects, and as the ``text`` that was made of them.

    Each comma stands for a value. A list of structures takes 35 times its text, one long value takes its own length.
    """
    return len(text) + _VALUE * text.count(",")


def weigh_read(text: str, payload: Any) -> int:
    """Return, about, the bytes of the objects of a message that was read from ``text``, with its JSON ``payload``."""
    count, rest = 1, [payload]
    while rest:
        value = rest.pop()
        inner: Any = value.values() if isinstance(value, dict) else value
        count += len(inner)
        rest.extend(each for each in inner if isinstance(each, (dict, list)))
    return sys.getsizeof(text) + _READ_VALUE * count


class Counted(Protocol):
    """What holds bytes of one kind. ``counted``, at first 0, is how many count. The budget alone changes it."""

    counted: int


class Account:
    """A `Counted` that is nothing else."""

    __slots__ = ("counted",)

    def __init__(self) -> None:
        self.counted: int = 0


class MemoryBudget:
    """An account of bytes by kind. Thread-safe: its lock may be taken inside any other, and none is taken inside it.

    Args:
        limit: How many bytes may be held in all. ``None``: no limit.
    """

    def __init__(self, limit: Optional[int] = None) -> None:
        self.limit = limit
        self._lock = threading.Lock()  # guards what follows
        self._held: Dict[str, int] = {}
        self._total = 0
        self._decided: Optional[Tuple[str, int, int, Counted, int]] = None  # what is being noted

    def count(self, account: Counted, kind: str, size: int, must: bool = False) -> bool:
        """Count ``size`` bytes for ``account``, in place of what counted. Return false, and count nothing, if too much.

        To hold less is never too much, nor is a ``must``. An account is always counted for one kind. A call that was
        cut off is made good by the next one for the account.
        """
        with self._lock:
            self._carry_out()
            more = size - account.counted
            if more > 0 and not must and self.limit is not None and self._total + more > self.limit:
                return False
            held, total = self._held.get(kind, 0) + more, self._total + more
            self._decided = kind, held, total, account, size
            self._carry_out()
            return True

    def _carry_out(self) -> None:
        """Do what was decided, again if a KeyboardInterrupt has cut it off. Lock held."""
        if self._decided is not None:
            kind, held, total, account, size = self._decided
            self._held[kind], self._total, account.counted = held, total, size
            self._decided = None

    def _after_fork(self) -> None:
        """Count nothing: what is held is the parent's. The accounts begin anew, too. See `ocppj.forks`."""
        self._held.clear()
        self._total, self._decided = 0, None

    def held(self) -> Dict[str, int]:
        """Return the bytes held by kind, without the kinds of which nothing is held."""
        with self._lock:
            self._carry_out()
            held = dict(self._held)
        return {kind: size for kind, size in held.items() if size}
