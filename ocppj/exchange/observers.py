"""Shows the frames of connections to observers: what was received, and what was given to the network.

An outgoing frame is shown when its write has ended, well or not. Another thread may read the answer to it before the
writing thread gets that far. So each connection has a line of the frames that are to be shown. A frame takes its place
there before it is written, and the first in the line is shown when it is complete. Whichever thread completes the
first shows it, and all complete ones behind it. No thread waits for the observer of another: it leaves its frame in the
line. Only one thread at a time shows frames of a connection.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from contextlib import suppress
from datetime import datetime
from typing import Callable, Deque, Optional, Union

from ..activity import UNCOUNTED
from ..clock import Clock
from ..errors import TransportError
from ..log_limit import SafeLog
from .connection import Connection
from .frame import ConnectionChange, FindAction, Frame, note_request

__all__ = ["ConnectionChange", "Frame", "FrameLines", "Observer", "Seen", "Unseen"]

#: Frames of one connection that may wait to be shown. More wait only while an observer does not return.
_MOST_UNSEEN = 10_000


Observer = Callable[[Frame], object]
#: What an observer is shown.
Seen = Union[Frame, ConnectionChange]


class _Place:
    """A place in the line of a connection. ``frame`` is ``None`` while it is being written."""

    __slots__ = ("frame",)

    def __init__(self) -> None:
        self.frame: Optional[Seen] = None


class Unseen:
    """The line of one connection: the frames that are still to be shown, in their order."""

    __slots__ = ("full", "number", "places", "showing")

    def __init__(self, number: int) -> None:
        self.number: int = number  # of its connection
        self.places: Deque[_Place] = deque()
        self.showing: bool = False  # a thread shows frames of this connection
        self.full: bool = False  # frames are dropped, and that was logged


class FrameLines:
    """The lines of all connections of an endpoint. ``show`` shows one frame to the observers, and raises nothing."""

    def __init__(self, show: Callable[[Connection, Seen], None], clock: Clock, log: SafeLog, side: str = "") -> None:
        self._side = side
        self._show = show
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()  # guards all lines
        self._numbers = itertools.count(1)

    def change(self, connection: Connection, kind: str, reason: str = "") -> None:
        """Show that a connection has begun or ended."""
        place = _Place()
        if self._enter(connection, place):
            version, line = connection.dialect.version, connection.unseen
            number = 0 if line is None else line.number
            now, client_id = self._clock.now(), connection.client_id
            self._complete(
                connection, place, ConnectionChange(kind, client_id, version, now, number, reason, self._side)
            )

    def receive(self, connection: Connection, text: str, find: FindAction) -> None:
        """Show a frame that was received. ``find`` tells the action of our request that it answers."""
        place = _Place()
        if self._enter(connection, place):
            frame = note_request(self._frame(connection, "in", text, self._clock.now()), find)
            self._complete(connection, place, frame)

    def write(
        self, connection: Connection, text: str, send: Callable[[], object], request: Union[str, FindAction, None]
    ) -> None:
        """Write a frame by ``send``, and show it. Raises `TransportError`.

        ``request`` is the action of the CALL that it answers, or finds that.
        """
        with getattr(connection.channel, "activity", UNCOUNTED):  # the peer may answer before the frame is shown
            self._write(connection, text, send, request)

    def _write(
        self, connection: Connection, text: str, send: Callable[[], object], request: Union[str, FindAction, None]
    ) -> None:
        place = _Place()
        try:
            entered, begun = self._enter(connection, place), self._clock.now()
            error: Optional[Exception] = None
            try:
                send()
            except BaseException as failure:
                error = failure if isinstance(failure, Exception) else TransportError("the write was interrupted")
                raise
            finally:
                if entered:
                    frame = note_request(self._frame(connection, "out", text, begun, error), request)
                    self._complete(connection, place, frame)
        except BaseException:
            self._leave(connection, place)
            raise

    def _frame(
        self, connection: Connection, direction: str, text: str, time: datetime, error: Optional[Exception] = None
    ) -> Frame:
        version, line = connection.dialect.version, connection.unseen
        number = 0 if line is None else line.number
        return Frame(direction, connection.client_id, version, time, text, error is None, error, number, self._side)

    def _enter(self, connection: Connection, place: _Place) -> bool:
        """Make ``place`` the last in the line of ``connection``. Return false if there are too many."""
        with self._lock:
            line: Optional[Unseen] = connection.unseen
            if line is None:
                line = connection.unseen = Unseen(next(self._numbers))
            if len(line.places) < _MOST_UNSEEN:
                line.places.append(place)
                line.full = False
                return True
            told, line.full = line.full, True
        if not told:
            words = "%s: %d frames wait for an observer that does not return; further ones are not shown"
            self._log.error(words, connection.client_id, _MOST_UNSEEN, client_id=connection.client_id)
        return False

    def _leave(self, connection: Connection, place: _Place) -> None:
        """Take ``place`` out of the line if it is not complete: its thread was interrupted. Others wait behind it."""
        with self._lock:
            line: Optional[Unseen] = connection.unseen
            if place.frame is None and line is not None and place in line.places:
                line.places.remove(place)

    def _complete(self, connection: Connection, place: _Place, frame: Seen) -> None:
        """Put ``frame`` into its place, and show what can be shown, unless another thread does that."""
        line: Optional[Unseen] = connection.unseen
        if line is None:
            return
        mine = False  # whether it is this thread that shows
        try:
            with self._lock:
                if not line.showing and line.places and line.places[0] is place:
                    place.frame = frame
                    mine = line.showing = True
            if not mine:
                _keep_action(frame)  # when another thread shows it, the request that it answers may have ended
                with self._lock:
                    place.frame = frame
                    if line.showing:
                        return
                    mine = line.showing = True
            while True:
                following = self._take(line)
                if following is None:
                    return
                self._show(connection, following)
        except BaseException:  # such as KeyboardInterrupt between two observers
            if mine:
                with self._lock:
                    line.showing = False
            raise

    def _take(self, line: Unseen) -> Optional[Seen]:
        """Return what is to be shown next. Without one, this thread shows no more."""
        with self._lock:
            frame = line.places[0].frame if line.places else None
            if frame is None:
                line.showing = False
            else:
                line.places.popleft()
            return frame


def _keep_action(seen: Seen) -> None:
    """Have a frame find its action, which it keeps."""
    if isinstance(seen, Frame):
        with suppress(Exception):
            seen.action  # noqa: B018
