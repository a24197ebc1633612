"""Shows what goes through the proxy to recorders, in an order that makes sense.

A frame is shown when its write has ended, well or not. The answer to it may have come by then. So each connection has a
line: a frame takes its place before it is written, and the first in the line is shown when it is complete.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime, timezone
from functools import partial
from typing import Callable, Deque, List, Optional, Protocol, Sequence

from ..interrupted import calls_program
from ..log_limit import LimitedLog

__all__ = ["FrameRecorder", "Line", "Place", "Shows"]


class FrameRecorder(Protocol):
    """What is shown the traffic of a proxy: `ocppj.Recorder`, or an object with the same two methods."""

    def frame(
        self,
        sender: str,
        client_id: str,
        version: str,
        text: str,
        connection: int = 0,
        time: Optional[datetime] = None,
        sent: bool = True,
    ) -> object:
        """Take note of a frame: see `ocppj.Recorder.frame`."""

    def event(self, kind: str, client_id: str, version: str = "", connection: int = 0, reason: str = "") -> object:
        """Take note that a connection has begun or ended, or was refused: see `ocppj.Recorder.event`."""


class Shows:
    """The recorders of a proxy. What they raise is logged and changes nothing."""

    def __init__(self, recorders: Sequence[FrameRecorder], log: LimitedLog) -> None:
        self._recorders: List[FrameRecorder] = list(recorders)
        self._log = log

    def __bool__(self) -> bool:
        return bool(self._recorders)

    def add(self, recorder: FrameRecorder) -> None:
        """Add a recorder."""
        self._recorders = [*self._recorders, recorder]  # a new list: other threads go through the old one

    def event(self, kind: str, client_id: str, version: str, connection: int, reason: str) -> None:
        """Show an event to all."""
        for recorder in self._recorders:
            self._call(partial(recorder.event, kind, client_id, version, connection, reason), client_id)

    def frame(
        self, sender: str, client_id: str, version: str, text: str, connection: int, time: datetime, sent: bool
    ) -> None:
        """Show a frame to all."""
        for recorder in self._recorders:
            self._call(partial(recorder.frame, sender, client_id, version, text, connection, time, sent), client_id)

    @calls_program
    def _call(self, show: Callable[[], object], client_id: str) -> None:
        try:
            show()
        except Exception as error:
            self._log.error("%s: a recorder failed", client_id, exc_info=error, kind="a recorder failed")


class Place:
    """A place in a line. ``show`` is ``None`` while its frame is being written."""

    __slots__ = ("show", "time")

    def __init__(self) -> None:
        self.show: Optional[Callable[[], None]] = None
        self.time = datetime.now(timezone.utc)


class Line:
    """What is still to be shown of one connection. Whichever thread completes the first shows all complete ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the fields below
        self._places: Deque[Place] = deque()
        self._showing = False

    def enter(self) -> Place:
        """Take the last place."""
        place = Place()
        with self._lock:
            self._places.append(place)
        return place

    def complete(self, place: Place, show: Callable[[], None]) -> None:
        """Note how to show what has this place, and show what can be shown, unless another thread does that."""
        with self._lock:
            place.show = show
            if self._showing:
                return
            self._showing = True
        following = self._take()
        while following is not None:
            following()
            following = self._take()

    def _take(self) -> Optional[Callable[[], None]]:
        with self._lock:
            show = self._places[0].show if self._places else None
            if show is None:
                self._showing = False
            else:
                self._places.popleft()
            return show
