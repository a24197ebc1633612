"""The interface of readers: on which threads connections are read and handlers run.

A `Source` is the reading side of a channel. `Readers` choose the threads that step sources and run jobs. A handler
cannot tell which `Readers` run it. All of them promise:

* One thread at a time steps a source. `Source.finish` is called once, after the last step.
* The jobs of one source run one at a time, in order. No job runs inside the call that submits it, or on a thread that
  the source's next step needs. So a job may block, and its connection is still read.
* Jobs that are submitted while a source finishes run after all others. Then nothing of the source is left.
* A job that is released (`Readers.release`) counts as ended, although its thread still runs it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import Any, Callable, Collection, ContextManager, List, Optional, Protocol, Tuple

from ...log_limit import SafeLog, part_log
from ...loops import log_failure
from ...settings import LoggerLike
from ..base import RunningJob
from ..stream.outlet import Outlet

__all__ = ["Job", "Jobs", "Readers", "Source", "finish_source"]

_ATTEMPTS = 3  # to finish a source


Job = Callable[[], None]


class Jobs(List[Tuple[Job, bool]]):
    """The jobs of one source that have not begun, each with whether it was submitted while the source finished."""

    __slots__ = ()

    def discard(self) -> int:
        """Remove all jobs but those of the finish; return how many."""
        count = len(self)
        self[:] = [entry for entry in self if entry[1]]
        return count - len(self)


class Source(Protocol):
    """The reading side of a channel."""

    #: What the `Readers` keep with this source. They alone use it.
    slot: Any
    #: Whether a step reads nothing just now, and whether the descriptor is readable does not matter.
    paused: bool

    @property
    def name(self) -> str:
        """The name in the names of its threads."""

    @property
    def outlet(self) -> Optional[Outlet]:
        """What writes the buffered bytes; ``None`` if there never are any."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a step has something to read; -1 if there is none."""

    def step(self, block: bool) -> bool:
        """Read and deliver what is there, and write what is buffered; return false when the connection has ended.

        With ``block``, wait until there is something to read, or until `next_deadline`, and write meanwhile. Without
        ``block``, never wait; then the calling thread counts as the reading thread until this returns, and no longer.
        """

    def next_deadline(self) -> Optional[float]:
        """Return when (`time.monotonic`) `step` must be called though nothing came; ``None``: never."""

    def wants_write(self) -> bool:
        """Whether `step` must be called when the descriptor becomes writable."""

    def watch(self, notify: Callable[[], None]) -> bool:
        """Have ``notify`` called, on any thread, whenever a step may have something to do; false if that cannot be.

        For a source without a descriptor. ``notify`` may be called after the last step; then it does nothing.
        """

    def expire(self) -> None:
        """End the connection if its closing is overdue. For any thread."""

    def finish(self) -> None:
        """Release what the connection holds, and call its disconnected handler.

        Called again, on the same thread, if it raised: then it goes on with what is not done yet.
        """


def finish_source(source: Source, log: SafeLog) -> None:
    """Finish ``source``. Never raises."""
    for _ in range(_ATTEMPTS):
        try:
            source.finish()
            return
        except BaseException:
            log_failure("%s: finishing failed", source.name, log=log)


class Readers(ABC):
    """A strategy of reading. All methods are for any thread."""

    #: Where its lines go. Readers that do not call `Readers.__init__` share this one.
    safe_log: SafeLog = part_log("ws")

    def __init__(self) -> None:
        self.safe_log = part_log("ws")

    #: Returns a context in which a handler's thread waits for another message. Each `call()` calls it. To enter it
    #: raises `NoHandlerSlot` when too many handlers wait.
    waiting: Callable[[], ContextManager[Any]] = nullcontext

    def for_endpoint(self) -> "Readers":
        """Return the readers of one endpoint, when the user made this object: their `stop` ends its part alone."""
        return self  # it serves one endpoint

    def set_logger(self, logger: Optional[LoggerLike], client_id: Optional[str] = None) -> None:
        """Log to ``logger``, that of the endpoint: see `ocppj.ws.base.Server.set_logger`."""
        if "safe_log" in self.__dict__:
            self.safe_log.use(logger, client_id)

    @abstractmethod
    def add(self, source: Source) -> None:
        """Begin to step ``source``. When it raises, whatever it is, that was impossible: then call `give_up`."""

    def give_up(self, source: Source) -> None:
        """Finish, on this thread, a ``source`` that could not be added. Its jobs run as always."""
        finish_source(source, self.safe_log)

    @abstractmethod
    def submit(self, source: Source, job: Job) -> None:
        """Run ``job`` after all jobs of ``source`` that were submitted before, never inside this call."""

    @abstractmethod
    def wake(self, source: Source) -> None:
        """Note that a thread that does not read ``source`` has set its closing deadline."""

    def resume(self, source: Source) -> None:
        """Note that a paused ``source`` may have a reason to read again. A blocking step notices by itself."""

    @abstractmethod
    def flush(self, source: Source) -> None:
        """Have the bytes written that another thread left in the buffer. Raises ``RuntimeError`` or ``OSError``."""

    def holds_back(self, source: Source) -> bool:
        """Tell whether the next job of ``source`` will wait until all is written that was sent to it.

        Called by a thread that has just left bytes in the buffer of ``source``. True: it need not wait for the peer.
        """
        return False

    def blocked_by(self, source: Source) -> Optional[List[int]]:
        """Return the idents of the threads on which a job must end before the next one of ``source`` can begin.

        ``None``: it can begin now.
        """
        return None

    def running(self) -> List[RunningJob]:
        """Return the jobs that run, or block, just now."""
        return []

    def count_loaned(self) -> int:
        """Return how many shared threads a handler blocks just now: others read in their place."""
        return 0

    def release(self, job: RunningJob) -> bool:
        """Let the next jobs of its source run though ``job`` has not ended; return whether that was done."""
        return False

    @abstractmethod
    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        """Discard the jobs not begun, and wait at most ``timeout`` for all threads; return whether they are gone.

        That holds also for jobs of sources that have finished; not for those that were submitted while one finished.
        Call this after all sources were told to end. Jobs that are submitted while a source finishes still run.
        ``exempt``, which may grow during the call, has the idents of threads that are not waited for, besides this one.
        """
