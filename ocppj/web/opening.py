"""`Opening`: a mounted server begins in the process that serves its requests, at the first of them."""

from __future__ import annotations

import threading
from typing import Callable, Optional

from ..errors import NotRunning
from ..events import Event
from ..ws.handshake.http import BadRequest

__all__ = ["Opening"]

_PATIENCE = 10.0  # seconds that a request waits while another thread opens the server
_RETRY = [("Retry-After", "5")]


class _Attempt:
    """One thread opens the server; others wait for ``done``. ``error`` is what kept it from that."""

    def __init__(self) -> None:
        self.done = Event()
        self.error: Optional[BaseException] = None


class Opening:
    """Opens a server once, however many threads ask for it. Thread-safe.

    Args:
        begin: Begins the session of the server. Raises what keeps it from that.
        end: Ends that session.
        is_open: Tells whether there is a session.
        is_stopping: Tells whether the session is being ended.
    """

    def __init__(
        self,
        begin: Callable[[], object],
        end: Callable[[], object],
        is_open: Callable[[], bool],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._begin = begin
        self._end = end
        self._is_open = is_open
        self._is_stopping = is_stopping
        self._lock = threading.Lock()  # guards _attempt
        self._attempt: Optional[_Attempt] = None
        # Not guarded: a signal handler may set them. Whatever sets one ends the session after that.
        self.stopped: bool = False  #: Whether the program has stopped the server: then requests do not open it.
        self.for_good = False  #: Whether the process ends: then nothing opens the server.

    def _after_fork(self) -> None:
        """Forget a thread of the parent that opens the server: see `ocppj.forks`."""
        self._attempt = None

    def open(self) -> None:
        """Open the server for the program. Does nothing when it is open.

        Raises:
            NotRunning: A stop is under way, the process ends, or another thread could not open it.
            Exception: What ``begin`` raises.
        """
        self._check_process()
        if self._is_stopping():
            raise NotRunning("the server is being stopped")
        self._open(self._begin_anew)

    def open_for_request(self) -> None:
        """Open the server for a request, unless the program has stopped it. Raises `BadRequest`, and as `open`."""
        if self._ready():
            return
        self._check_stopped()
        try:
            self._open(self._begin_unless_stopped)
        except Exception:
            self._check_stopped()  # then that is why
            raise
        if not self._is_open():
            raise BadRequest(503, "the server is not open yet", _RETRY, "stopping")

    def _begin_anew(self) -> None:
        self.stopped = False
        self._begin()
        if self.for_good:  # the process began to end when there was no session to end
            self._end()
            self._check_process()

    def _begin_unless_stopped(self) -> None:
        self._check_stopped()
        self._begin()
        if self.stopped or self.for_good:  # the stop came when there was no session to end
            self._end()
            self._check_stopped()

    def _check_process(self) -> None:
        if self.for_good:
            raise NotRunning("the process ends, and the server with it")

    def _check_stopped(self) -> None:
        if self.stopped or self.for_good:
            raise BadRequest(503, "the server is stopped", _RETRY, "stopping")

    def _ready(self) -> bool:
        return self._attempt is None and self._is_open()  # the session begins before all of its parts have

    def _open(self, begin: Callable[[], None]) -> None:
        mine = _Attempt()
        with self._lock:
            if self._ready():
                return
            attempt = self._attempt = self._attempt or mine
        if attempt is not mine:
            if not attempt.done.wait(_PATIENCE):
                raise NotRunning("another thread has begun to open the server, and has not ended yet")
            if attempt.error is not None:
                raise NotRunning(f"the server could not be opened: {attempt.error}") from attempt.error
            return
        try:
            begin()
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                self._attempt = None
            mine.done.set()
