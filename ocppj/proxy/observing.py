"""`Observing`: connects stations to observers, and ends these connections."""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import Deque, Dict, List, Optional, Sequence, Union

from ..errors import UsageError
from ..log_limit import LimitedLog, safe_log
from ..settings import LoggerLike
from ..ws.readers.shared import SharedReaders
from ..ws.threads import Threads
from .copies import Copies
from .link import Link
from .observer import PASS_CALLS, Observer
from .relay import Relay
from .tally import Tally

__all__ = ["Observing"]

_CLOSERS = 8  # threads that end connections to observers, at most
_PATIENCE = 1.0  # seconds for an observer to take the last frames of a station


class Observing:
    """The connections of all stations to observers."""

    def __init__(
        self,
        observers: Sequence[Union[str, Observer]],
        tally: Tally,
        log: LimitedLog,
        ping_interval: Optional[float],
        logger: Optional[LoggerLike],
    ) -> None:
        if isinstance(observers, str):
            raise UsageError("observers is a list of URLs, not one text")
        self._observers = [each if isinstance(each, Observer) else Observer(each) for each in observers]
        self._tally = tally
        self._log = log
        self._ping_interval = ping_interval
        self._logger = logger
        self._lock = threading.Lock()  # guards the fields below
        self._readers: Optional[SharedReaders] = None
        self._copies: Dict[Link, List[Copies]] = {}
        self._ending: Deque[Copies] = deque()
        self._closers = 0
        self._stops_at: Optional[float] = None  # (`time.monotonic`) while all stop
        self._threads = Threads(safe_log)

    def attach(self, link: Link) -> None:
        """Have observers get what the station of ``link`` sends."""
        if not self._observers:
            return
        if not link.subprotocol:
            self._log.warning("%s: no observer sees it: it has no subprotocol", link.client_id)
            return
        if any(each.calls == PASS_CALLS for each in self._observers):
            link.relay = Relay(link.send_to_station)
        copies = [each for each in (self._make(observer, link) for observer in self._observers) if each is not None]
        with self._lock:
            self._copies[link] = copies
        link.copy = partial(_offer, copies)
        for each in copies:
            self._start(each, link, link.subprotocol)

    def end(self, link: Link) -> None:
        """End the connections to observers of a link. Returns at once: a thread waits for their ends."""
        with self._lock:
            copies = self._copies.pop(link, [])
            self._ending.extend(copies)
            starts = bool(copies) and self._closers < _CLOSERS
            self._closers += starts
        if starts:
            self._threads.start("ocppj-proxy-closer", self._close_all)

    def stop(self, deadline: float) -> None:
        """End all connections to observers, and wait until ``deadline`` (of `time.monotonic`) at most."""
        with self._lock:
            links = list(self._copies)
            self._stops_at = deadline
            readers, self._readers = self._readers, None
        for link in links:
            self.end(link)
        self._threads.join(deadline)
        if readers is not None:
            readers.stop(max(0.2, deadline - time.monotonic()))

    def _make(self, observer: Observer, link: Link) -> Optional[Copies]:
        about = (self._tally, self._log, self._ping_interval, self._logger)
        try:
            return Copies(observer, link.client_id, link.relay, self._get_readers(), *about)
        except Exception as error:  # the system lacks something: the primary does not suffer from that
            self._note_failure(link, error)
            return None

    def _start(self, copies: Copies, link: Link, subprotocol: str) -> None:
        try:
            copies.start(link.path, subprotocol)
        except Exception as error:  # no thread is left, or the URL of this station cannot be sent
            self._note_failure(link, error)

    def _note_failure(self, link: Link, error: Exception) -> None:
        words = "%s: an observer does not see it: %s"
        self._log.error(words, link.client_id, error or type(error).__name__, client_id=link.client_id)

    def _get_readers(self) -> SharedReaders:
        with self._lock:
            if self._readers is None:
                self._readers = SharedReaders()
                self._stops_at = None
            return self._readers

    def _close_all(self) -> None:
        copies = self._next()
        while copies is not None:
            copies.stop(self._patience())
            copies = self._next()

    def _patience(self) -> float:
        with self._lock:
            stops_at = self._stops_at
        return _PATIENCE if stops_at is None else max(0.0, min(_PATIENCE, stops_at - time.monotonic()))

    def _next(self) -> Optional[Copies]:
        with self._lock:
            if self._ending:
                return self._ending.popleft()
            self._closers -= 1
            return None


def _offer(copies: Sequence[Copies], text: str) -> None:
    for each in copies:
        each.offer(text)
