"""`Journal`: all that a scripted peer has seen, in its order."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime, timedelta
from typing import Callable, Deque, Dict, List, Optional

from ..clock import Clock, SystemClock
from ..events import Condition
from ..exchange.observers import Frame
from ..ws.base import Close
from .rules import FrameJudge
from .seen import Seen

__all__ = ["Journal"]

#: For how many connections of a charging station late frames and open CALLs are told apart.
_KEPT_CONNECTIONS = 4
#: This side closes so when the other side breaks the rules of WebSocket, or sends binary data (RFC 6455 section 7.4.1).
_BROKEN_RULES = (1002, 1003, 1007)


class _Station:
    """What the journal knows of one charging station."""

    def __init__(self) -> None:
        self.entries: List[Seen] = []
        self.judges: Dict[int, FrameJudge] = {}  # by the number of the connection, the oldest first
        self.connections = 0  # how many it has now; two, for a moment, when one replaces another
        self.quiet = 0  # of these: those of which no frame has come
        self.early = 0  # connections that a frame has told of; their own event is still to come
        # When connections have ended of which no frame had come.
        self.silent: Deque[datetime] = deque(maxlen=_KEPT_CONNECTIONS)
        self.excused: List[str] = []  # CALLs that were excused before anything came

    def live_judges(self) -> List[FrameJudge]:
        """Return the judges of the connections that are there."""
        count = self.connections - self.quiet
        return list(self.judges.values())[-count:] if count > 0 else []


class Journal:
    """Keeps the frames and the connections of a `Client` or a `Server`. Any thread may add and read.

    `add_frame` is an observer: ``server.add_observer(journal.add_frame)``.

    Args:
        clock: The clock of the client or the server. ``None``: that of the machine.
        make_judge: Returns the judge of a charging station that speaks that OCPP version. ``None``: a `FrameJudge`
            that knows all actions of the version.

    Attributes:
        changed: Is notified when something was added. Its lock guards all that the journal knows.
    """

    def __init__(self, clock: Optional[Clock] = None, make_judge: Optional[Callable[[str], FrameJudge]] = None) -> None:
        self.changed: Condition = Condition(threading.RLock())  # a thread that waits reads the entries, too
        self._clock: Clock = clock or SystemClock()
        self._make_judge = make_judge or FrameJudge
        self._entries: List[Seen] = []
        self._stations: Dict[str, _Station] = {}

    # Adding

    def add_frame(self, frame: Frame) -> Seen:
        """Add a frame, as an observer is shown it, and return its entry."""
        at, now = self._clock.monotonic(), self._clock.now()
        at -= max(timedelta(0), now - frame.time).total_seconds()
        with self.changed:
            station = self._get_station(frame.client_id)
            judge = self._get_judge(station, frame, at)
            if frame.sent:
                judged = judge.judge(frame.direction, frame.text, at)
            else:
                judged = judge.read(frame.direction, frame.text)
            seen = Seen(
                number=0,
                at=at,
                time=frame.time,
                client_id=frame.client_id,
                direction=frame.direction,
                text=frame.text,
                version=frame.version,
                connection=frame.connection,
                sent=frame.sent,
                **vars(judged),
            )
            return self._add(station, seen)

    def add_event(
        self, kind: str, client_id: str, *, close: Optional[Close] = None, reason: str = "", version: str = ""
    ) -> None:
        """Add the begin or the end of a connection.

        The first frame of a connection may be added before its "CONNECTED". Then the journal has that already.

        Args:
            kind: "CONNECTED", "DISCONNECTED" or "REFUSED".
            client_id: The charging station.
            close: How the connection ended.
            reason: Why it was refused.
            version: The OCPP version of the connection, if it is known.
        """
        with self.changed:
            station = self._get_station(client_id)
            if kind == "CONNECTED" and station.early:
                station.early -= 1
                return
            if kind == "CONNECTED":
                station.connections += 1
                station.quiet += 1
            elif kind == "DISCONNECTED" and station.connections:
                station.connections -= 1
                if station.quiet > station.connections:
                    station.quiet = station.connections
                    station.silent.append(self._clock.now())
            at, now = self._clock.monotonic(), self._clock.now()
            seen = Seen(0, at, now, client_id, "", kind, close=close, reason=reason, version=version)
            seen.faults += _faults_of(close)
            self._add(station, seen)

    def excuse(self, client_id: str, message_id: str) -> None:
        """Note that a CALL of the other side gets no answer, or a late one, on purpose.

        Its sender may send the next one, and nobody complains. The CALL itself may be added later.
        """
        with self.changed:
            station = self._get_station(client_id)
            station.excused.append(message_id)
            self._tell_excused(station)
            self.changed.notify_all()

    # Reading

    def entries(self, client_id: Optional[str] = None, after: int = 0) -> List[Seen]:
        """Return what was seen, in its order.

        Args:
            client_id: The charging station. ``None``: all of them.
            after: Only what has a greater number.
        """
        with self.changed:
            if client_id is None:
                return self._entries[after:]
            station = self._stations.get(client_id)
            entries = [] if station is None else station.entries
            first = len(entries)
            while first and entries[first - 1].number > after:
                first -= 1
            return entries[first:]

    def last_number(self) -> int:
        """Return the number of the last entry."""
        with self.changed:
            return len(self._entries)

    def client_ids(self) -> List[str]:
        """Return the charging stations that have connected, in the order in which they were first seen."""
        with self.changed:
            return [
                name
                for name, station in self._stations.items()
                if any(each.kind != "REFUSED" for each in station.entries)
            ]

    def is_connected(self, client_id: str) -> bool:
        """Tell whether that charging station has a connection."""
        with self.changed:
            station = self._stations.get(client_id)
            return station is not None and station.connections > 0

    def unanswered(self, client_id: Optional[str] = None) -> List[Seen]:
        """Return the CALLs of both directions that wait for an answer, over connections that are still there."""
        with self.changed:
            waiting = []
            for name, station in self._stations.items():
                if client_id not in (None, name):
                    continue
                open_calls = {
                    (direction, call.message_id)
                    for judge in station.live_judges()
                    for direction in ("in", "out")
                    for call in judge.open_calls(direction)
                }
                if open_calls:  # the latest of each id is the one
                    calls = (each for each in station.entries if each.kind == "CALL")
                    latest = {(each.direction, each.message_id): each for each in calls}
                    waiting += [seen for key, seen in latest.items() if key in open_calls]
        return sorted(waiting, key=lambda seen: seen.number)

    # With the lock held

    def _get_station(self, client_id: str) -> _Station:
        station = self._stations.get(client_id)
        if station is None:
            station = self._stations[client_id] = _Station()
        return station

    def _get_judge(self, station: _Station, frame: Frame, at: float) -> FrameJudge:
        """Return the judge of the connection of ``frame``, which may be its first."""
        number = frame.connection
        judge = station.judges.get(number)
        # Frames that a program has made itself may have no number.
        if judge is not None and not (number == 0 and station.quiet):
            return judge
        latest = next(reversed(list(station.judges.values())), None)
        judge = self._make_judge(frame.version) if latest is None else latest.next_connection(frame.version)
        station.judges.pop(number, None)
        if station.silent and frame.time <= station.silent[-1]:  # its connection has ended before the frame was shown
            station.silent.pop()
            station.judges = {number: judge, **station.judges}
            return judge
        station.judges[number] = judge
        if len(station.judges) > _KEPT_CONNECTIONS:
            del station.judges[next(iter(station.judges))]
        self._tell_excused(station)
        if station.quiet:
            station.quiet -= 1
        else:  # the event of the connection comes later, from another thread
            station.early += 1
            station.connections += 1
            begun = Seen(0, at, frame.time, frame.client_id, "", "CONNECTED", version=frame.version, connection=number)
            self._add(station, begun)
        return judge

    @staticmethod
    def _tell_excused(station: _Station) -> None:
        """Tell the judges which CALLs are excused. All of a station have one history."""
        for judge in list(station.judges.values())[:1]:
            while station.excused:
                judge.excuse(station.excused.pop())

    def _add(self, station: _Station, seen: Seen) -> Seen:
        self._entries.append(seen)
        seen.number = len(self._entries)
        station.entries.append(seen)
        self.changed.notify_all()
        return seen


def _faults_of(close: Optional[Close]) -> List[str]:
    """Return which rule the other side has broken, if the connection ended so. No observer is shown such a frame."""
    if close is None or close.by_peer or close.error is None or close.code not in _BROKEN_RULES:
        return []
    return [f"a WebSocket frame breaks the rules: {close.reason}"]
