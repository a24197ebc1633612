"""Which `Readers` an endpoint uses: by name, by object, or made by a function of the user's."""

from __future__ import annotations

import time
from typing import Callable, Collection, Union

from ...errors import UsageError
from .base import Job, Readers, Source
from .per_connection import Moved, SharedReaders, ThreadPerConnection
from .shared import Seat

__all__ = ["AutoReaders", "ReadersOption", "readers_maker"]

#: "auto", "per-connection", "shared", an object, or what makes one for each ``listen()`` or ``connect()``.
ReadersOption = Union[str, Readers, Callable[[], Readers]]


class AutoReaders(Readers):
    """Threads of its own for each connection while there are at most ``limit``; shared ones for all from then on.

    All or nothing: threads of their own and a shared worker would fight for the interpreter, and the worker, which is
    one among many, would lose. A connection that has its own moves when it is next read; an idle one's fight nobody.
    None moves back.
    """

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._shared = SharedReaders()
        self._own = ThreadPerConnection(limit, self._shared)
        self.waiting = self._shared.waiting

    def for_endpoint(self) -> "AutoReaders":
        """Return one of its own for the endpoint."""
        return AutoReaders(self._limit)

    def add(self, source: Source) -> None:
        """See `Readers.add`."""
        self._for(source).add(source)

    def give_up(self, source: Source) -> None:
        """See `Readers.give_up`."""
        self._for(source).give_up(source)

    def submit(self, source: Source, job: Job) -> None:
        """See `Readers.submit`."""
        try:
            self._for(source).submit(source, job)
        except Moved:
            self._shared.submit(source, job)

    def wake(self, source: Source) -> None:
        """See `Readers.wake`."""
        try:
            self._for(source).wake(source)
        except Moved:
            self._shared.wake(source)

    def flush(self, source: Source) -> None:
        """See `Readers.flush`. By either, whether it has moved meanwhile or not: it is the socket that counts."""
        self._for(source).flush(source)

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        """See `Readers.stop`."""
        deadline = time.monotonic() + timeout
        self._own.discard()
        self._shared.discard()
        gone = self._own.stop(timeout, exempt)
        return self._shared.stop(max(0.0, deadline - time.monotonic()), exempt) and gone

    def _for(self, source: Source) -> Readers:
        """Return the readers of ``source``, which are chosen when it is first heard of."""
        if source.seat is None:
            self._own.take_seat(source)
        return self._shared if isinstance(source.seat, Seat) else self._own


_MAKERS = {"auto": AutoReaders, "per-connection": ThreadPerConnection, "shared": SharedReaders}


def readers_maker(option: ReadersOption) -> Callable[[], Readers]:
    """Return what makes the readers of one ``listen()`` or ``connect()``. Raises `UsageError` for what is no option."""
    if isinstance(option, Readers):
        return option.for_endpoint
    if isinstance(option, str) and option in _MAKERS:
        return _MAKERS[option]
    if callable(option):
        return option
    names = ", ".join(map(repr, _MAKERS))
    raise UsageError(f"readers is one of {names}, an object of Readers, or a function that makes one, not {option!r}")
