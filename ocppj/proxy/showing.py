"""Shows what goes through the proxy to recorders, in an order that makes sense.

A frame is shown when its write has ended, well or not. The answer to it may have come by then. So each connection has a
line: a frame takes its place before it is written, and the first in the line is shown when it is complete.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime, timezone
from typing import Any, Callable, Deque, List, Optional, Sequence

from ..callables import check_not_async
from ..errors import UsageError
from ..exchange.frame import ConnectionChange, Frame
from ..interrupted import calls_program
from ..log_limit import LimitedLog

__all__ = ["FrameObserver", "Line", "Place", "Shows"]


#: What is shown the frames: `ocppj.Recorder`, or any other observer that `ocppj.Server.add_observer` takes.
FrameObserver = Callable[[Frame], object]


class Shows:
    """The recorders of a proxy. What they raise is logged and changes nothing."""

    def __init__(self, recorders: Sequence[FrameObserver], log: LimitedLog) -> None:
        self._log = log
        self._recorders: List[FrameObserver] = []
        for recorder in recorders:
            self.add(recorder)

    def __bool__(self) -> bool:
        return bool(self._recorders)

    def add(self, recorder: FrameObserver) -> None:
        """Add a recorder. Raises `UsageError` for what cannot be called."""
        if not callable(recorder):
            raise UsageError(f"a recorder is an observer: a function of a Frame, not {type(recorder).__name__}")
        check_not_async("the recorder", recorder)
        check_not_async("the method", getattr(recorder, "connection_changed", None))
        self._recorders = [*self._recorders, recorder]  # a new list: other threads go through the old one

    def frame(self, frame: Frame) -> None:
        """Show a frame to all."""
        for recorder in self._recorders:
            self._call(recorder, frame, frame.client_id)

    def change(self, change: ConnectionChange) -> None:
        """Show that a connection has begun or ended, or was refused, to all that have ``connection_changed``."""
        for recorder in self._recorders:
            changed = getattr(recorder, "connection_changed", None)
            if changed is not None:
                self._call(changed, change, change.client_id)

    @calls_program
    def _call(self, show: Callable[[Any], object], what: Any, client_id: str) -> None:
        try:
            show(what)
        except BaseException as error:  # also SystemExit: nothing more of this connection would be shown
            self._log.error("%s: a recorder failed", client_id, exc_info=error, kind="a recorder failed")


class Place:
    """A place in a line. ``show`` is ``None`` while its frame is being written."""

    __slots__ = ("show", "time")

    def __init__(self) -> None:
        self.show: Optional[Callable[[], None]] = None
        self.time: datetime = datetime.now(timezone.utc)


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
