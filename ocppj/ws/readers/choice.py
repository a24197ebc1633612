"""Which `Readers` an endpoint uses: chosen by name, by object, or by a function that makes them."""

from __future__ import annotations

import time
from typing import Any, Callable, Collection, ContextManager, List, Optional, Union

from ...settings import LoggerLike
from ..base import RunningJob
from .base import Job, Readers, Source
from .per_connection import ThreadPerConnection
from .scheduler import Slot as SharedSlot
from .shared import SharedReaders

__all__ = ["AutoReaders", "ReadersOption", "readers_maker"]

#: "auto", "per-connection", "shared", an object, or a function that makes one for each ``listen()`` or ``connect()``.
ReadersOption = Union[str, Readers, Callable[[], Readers]]


class AutoReaders(Readers):
    """Threads of its own for each connection while there are at most ``limit``; shared ones for all from then on.

    There is no mixture. Threads of connections would fight with a shared worker for the interpreter, and the worker,
    one thread among many, would lose. A connection with threads of its own moves when it is next read.

    Nothing old is given up before the new is there. If the shared readers cannot take the one connection too many, that
    alone is refused. If they cannot take one of the others, it keeps its thread until they have taken the next new one.
    """

    def __init__(self, limit: int = 8) -> None:
        super().__init__()
        self._limit = limit
        self._shared = SharedReaders()
        self._own = ThreadPerConnection(limit, self._shared)
        self.waiting: Callable[[], ContextManager[Any]] = self._shared.waiting

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        for readers in (self._own, self._shared):
            readers.set_logger(logger, client_id)

    def for_endpoint(self) -> "AutoReaders":
        return AutoReaders(self._limit)

    def add(self, source: Source) -> None:
        """Begin to step ``source``. The first that the shared readers take has all others move to them."""
        readers = self._for(source)
        readers.add(source)
        if readers is self._shared:
            self._own.hand_over()

    def give_up(self, source: Source) -> None:
        self._for(source).give_up(source)

    def submit(self, source: Source, job: Job) -> None:
        self._for(source).submit(source, job)

    def wake(self, source: Source) -> None:
        self._for(source).wake(source)

    def resume(self, source: Source) -> None:
        self._for(source).resume(source)

    def flush(self, source: Source) -> None:
        self._for(source).flush(source)  # if ``source`` moves meanwhile, either of the two writes to its socket

    def holds_back(self, source: Source) -> bool:
        return self._shared.holds_back(source)  # which knows its own threads

    def blocked_by(self, source: Source) -> Optional[List[int]]:
        return self._for(source).blocked_by(source)

    def running(self) -> List[RunningJob]:
        return self._own.running() + self._shared.running()

    def count_loaned(self) -> int:
        return self._shared.count_loaned()

    def release(self, job: RunningJob) -> bool:
        return self._own.release(job) or self._shared.release(job)  # each knows its own

    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        deadline = time.monotonic() + timeout
        self._own.discard()
        self._shared.discard()
        gone = self._own.stop(timeout, exempt)
        return self._shared.stop(max(0.0, deadline - time.monotonic()), exempt) and gone

    def _for(self, source: Source) -> Readers:
        """Return the readers of ``source``. The first call for a source chooses them."""
        if source.slot is None:
            self._own.assign(source)
        return self._shared if isinstance(source.slot, SharedSlot) else self._own


_MAKERS = {"auto": AutoReaders, "per-connection": ThreadPerConnection, "shared": SharedReaders}


def readers_maker(option: ReadersOption) -> Callable[[], Readers]:
    """Return a function that makes the readers of one ``listen()`` or ``connect()``."""
    if isinstance(option, Readers):
        return option.for_endpoint
    return _MAKERS[option] if isinstance(option, str) else option
