"""`Takeover`: begin what another process still keeps from this one, as soon as it lets go."""

from __future__ import annotations

import threading
from typing import Callable, Optional, Tuple, Type

from ..events import Event, Thread
from ..log_limit import SafeLog

__all__ = ["Takeover"]

_INTERVAL = 0.2  # seconds between two attempts
_FIRST_WARNING = 256  # attempts, about 50 seconds; then after each doubling
_PATIENCE = 2.0  # seconds that `stop` waits for an attempt that is under way


class Takeover:
    """A thread that calls ``begin()`` again and again, until it raises none of the errors ``held``.

    Args:
        begin: Begins. It leaves nothing behind when it raises one of ``held``.
        held: The errors that say that another process has what is needed.
        end: Ends what was begun. It is called on the thread when ``begin()`` has raised another error, and when it
            returns after `stop`: the attempt took long.
        log: Gets that error, and a warning when the wait is long: what holds it may be no process before this one.
    """

    def __init__(
        self,
        begin: Callable[[], object],
        held: Tuple[Type[Exception], ...],
        end: Callable[[], object],
        log: SafeLog,
    ) -> None:
        self._begin = begin
        self._held = held
        self._end = end
        self._log = log
        self._stopped = Event()
        self._thread: Optional[threading.Thread] = None
        self.error: Optional[BaseException] = None  #: The other error.

    def start(self) -> None:
        """Begin to try. Raises ``RuntimeError`` when the system gives no thread."""
        self._thread = Thread(target=self._run, name="ocppj-takeover", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up, and wait for an attempt that is under way. For any thread, any number of times."""
        self._stopped.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.ident is not None:
            thread.join(_PATIENCE)

    def _run(self) -> None:
        attempts = 0
        while not self._stopped.wait(_INTERVAL):
            attempts += 1
            try:
                self._begin()
                if self._stopped.is_set():
                    self._end()
                return
            except self._held as error:
                if attempts >= _FIRST_WARNING and not attempts & (attempts - 1):
                    self._log.warning("still waiting after %d attempts: %s", attempts, error)
            except BaseException as error:
                self.error = error
                self._log.error("nothing was taken over: %s", error, exc_info=error)
                self._end()
                return
