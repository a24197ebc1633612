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

_CLOSERS = 8  # threads that end connections to observers, at most: each waits for a Close, half a second at most
_GOING_AWAY = 1001


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
        readers = self._get_readers()
        about = (link.client_id, link.relay, readers, self._tally, self._log, self._ping_interval, self._logger)
        copies = [Copies(observer, *about) for observer in self._observers]
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
            readers, self._readers = self._readers, None
        for link in links:
            self.end(link)
        self._threads.join(deadline)
        if readers is not None:
            readers.stop(max(0.2, deadline - time.monotonic()))

    def _start(self, copies: Copies, link: Link, subprotocol: str) -> None:
        try:
            copies.start(link.path, subprotocol)
        except Exception as error:  # no thread is left, or the URL of this station cannot be sent
            words = "%s: an observer does not see it: %s"
            self._log.error(words, link.client_id, error or type(error).__name__, client_id=link.client_id)

    def _get_readers(self) -> SharedReaders:
        with self._lock:
            if self._readers is None:
                self._readers = SharedReaders()
            return self._readers

    def _close_all(self) -> None:
        copies = self._next()
        while copies is not None:
            copies.stop(_GOING_AWAY, "")
            copies = self._next()

    def _next(self) -> Optional[Copies]:
        with self._lock:
            if self._ending:
                return self._ending.popleft()
            self._closers -= 1
            return None


def _offer(copies: Sequence[Copies], text: str) -> None:
    for each in copies:
        each.offer(text)
