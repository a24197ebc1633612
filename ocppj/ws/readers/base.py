"""Who reads which connection, and who runs its handlers: the interface.

A `Source` is the reading side of a channel. `Readers` decides on which threads sources are stepped and jobs are run;
nothing a handler can see depends on which `Readers` it is. Whatever the strategy:

* a source is stepped by one thread at a time, and `Source.finish` is called once, after its last step;
* the jobs of one source run one at a time, in order, never within the call that submits them and never where the
  source's next step waits for them: a job may block, and its connection is still read;
* jobs submitted while a source finishes run after all others, and then nothing of the source is left.

The strategies are in `ocppj.ws.readers`.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import Any, Callable, Collection, ContextManager, Optional, Protocol

from ...settings import get_logger
from ..stream.outlet import Outlet

__all__ = ["Job", "Readers", "Source", "join_all"]


Job = Callable[[], None]


class Source(Protocol):
    """The reading side of a channel."""

    #: What the `Readers` keeps with this source. Nobody else touches it.
    seat: Any

    @property
    def name(self) -> str:
        """The name its threads are called after."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is something to step for; -1 if there is none."""

    @property
    def outlet(self) -> Optional[Outlet]:
        """What writes the bytes in line; ``None`` if there never are any."""

    def step(self, block: bool) -> bool:
        """Read what is there and deliver it, write what is in line; return false when the connection has ended.

        With ``block``, wait until something is there, or until `next_deadline`, writing meanwhile. Without, never
        wait; then the calling thread counts as the reading one until this returns, and no longer.
        """

    def next_deadline(self) -> Optional[float]:
        """Return the time (`time.monotonic`) at which `step` must be called though nothing came; ``None``: never."""

    def wants_write(self) -> bool:
        """Whether `step` must be called when the descriptor becomes writable."""

    def watch(self, notify: Callable[[], None]) -> bool:
        """Call ``notify``, on any thread, whenever there may be something to step for; false if nobody does that.

        For a source without a descriptor. After the last step it is called no more, or in vain.
        """

    def expire(self) -> None:
        """End the connection if its closing is overdue. May be called by any thread."""

    def finish(self) -> None:
        """Release what the connection holds and tell its handler."""


class Readers(ABC):
    """A strategy."""

    #: Returns a context in which a handler's thread waits for another message. Each `call()` calls it.
    waiting: Callable[[], ContextManager[Any]] = nullcontext

    def for_endpoint(self) -> "Readers":
        """Return what one endpoint uses of these readers, when they were made by the user: its `stop` ends that alone.

        This one returns the readers themselves: they serve one endpoint.
        """
        return self

    @abstractmethod
    def add(self, source: Source) -> None:
        """Begin to step ``source``. Raises ``RuntimeError`` when that is impossible: then `give_up` is to be called."""

    def give_up(self, source: Source) -> None:
        """Finish, on this thread, a ``source`` that could not be added. Its jobs are run as always."""
        source.finish()

    @abstractmethod
    def submit(self, source: Source, job: Job) -> None:
        """Run ``job`` after all jobs of ``source`` that were submitted before, never within this call."""

    @abstractmethod
    def wake(self, source: Source) -> None:
        """Take notice that the closing deadline of ``source`` was set by a thread that does not read it."""

    @abstractmethod
    def flush(self, source: Source) -> None:
        """Take notice that a thread that neither reads ``source`` nor waits left bytes in line: have them written.

        Raises ``RuntimeError`` or ``OSError`` when that is impossible.
        """

    @abstractmethod
    def stop(self, timeout: float, exempt: Collection[int] = ()) -> bool:
        """Discard the jobs not begun, and wait ``timeout`` seconds for all threads; return whether they are gone.

        To be called when all sources have been told to end. The calling thread, and those whose ident is in
        ``exempt``, are not waited for. Jobs that are submitted while a source finishes are still run.
        """


def join_all(threads: Collection[threading.Thread], deadline: float, exempt: Collection[int] = ()) -> bool:
    """Join ``threads`` until ``deadline``; return whether all ended. Neither this thread nor the exempt are joined.

    ``exempt`` is looked at again and again: two threads that stop the same endpoint must not wait for each other.
    """
    all_gone = True
    pause = threading.Event()
    for thread in threads:
        while thread is not threading.current_thread() and thread.ident not in exempt:
            left = deadline - time.monotonic()
            try:
                thread.join(max(0.0, min(left, 0.05)))
                if not thread.is_alive():
                    break
            except RuntimeError:  # made, and about to be started by another thread
                pause.wait(0.001)
            if left <= 0:
                get_logger().warning("the thread %s does not end", thread.name)
                all_gone = False
                break
    return all_gone
