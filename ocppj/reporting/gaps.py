"""`Gaps`: when nothing came from a station for longer than is to be expected, and when it was not connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Set

from .values import number, objects, part

__all__ = ["INTERVAL_ACTIONS", "LOST", "SILENT", "Gap", "Gaps", "is_in_order", "new_interval"]

#: The kinds of gaps: there was no connection, or one over which nothing came.
LOST, SILENT = "not connected", "silent"
#: The actions that set the heartbeat interval.
INTERVAL_ACTIONS = frozenset({"BootNotification", "ChangeConfiguration", "SetVariables"})
#: Nothing is expected sooner than after so many heartbeat intervals.
_PATIENCE = 1.5
#: A gap at the end of the recording takes so many microseconds at least.
_SHORTEST = 1_000_000


@dataclass
class Gap:
    """A time in which nothing came from a station.

    Attributes:
        station: The number of the station.
        kind: `LOST` or `SILENT`.
        begin: When it began, in microseconds from 1970 on.
        end: When it ended. That of a gap that is open at the end of the recording is the end of the recording.
        row: The row before it.
        is_open: Whether the recording ended before it.
        reason: Why the connection ended, or how long a silence was to be expected.
    """

    station: int
    kind: str
    begin: int
    end: int
    row: int
    is_open: bool = False
    reason: str = ""

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end - self.begin) / 1e6


class Gaps:
    """The gaps of one station.

    Args:
        station: Its number.
        expected: The longest silence to be expected, in seconds. ``None``: one and a half heartbeat intervals, as the
            answer to the BootNotification says them.
        otherwise: The longest silence to be expected where that answer is not known.
    """

    def __init__(self, station: int, expected: Optional[float], otherwise: float) -> None:
        self.found: List[Gap] = []
        self._station = station
        self._is_fixed = expected is not None
        self._expected = otherwise if expected is None else expected
        self._connections: Set[int] = set()
        self._lost: Optional[Gap] = None
        self._last = 0  # when something came last; 0: that is not known
        self._last_row = -1

    def interval(self, seconds: float) -> None:
        """Note the heartbeat interval."""
        if not self._is_fixed and seconds > 0:
            self._expected = seconds * _PATIENCE

    def connected(self, time: int, row: int, connection: int) -> None:
        """Note the begin of a connection."""
        self._connections.add(connection)
        self._came_back(time)
        self._last, self._last_row = time, row

    def disconnected(self, time: int, row: int, connection: int, reason: str) -> None:
        """Note the end of a connection."""
        self._connections.discard(connection)
        if not self._connections:
            self._look(time)
            self._lost = Gap(self._station, LOST, time, time, row, True, reason)

    def message(self, time: int, row: int) -> None:
        """Note a message of the station."""
        self._came_back(time)
        self._look(time)
        self._last, self._last_row = time, row

    def finish(self, time: int) -> None:
        """Note the end of the recording. A station that has said goodbye, and does not come back, leaves no gap."""
        lost, self._lost = self._lost, None
        if lost is None:
            self._look(time, is_open=True)
        elif time - lost.begin >= _SHORTEST and not is_in_order(lost.reason):
            lost.end = time
            self.found.append(lost)

    def _came_back(self, time: int) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            lost.end, lost.is_open = max(time, lost.begin), False
            self.found.append(lost)
            self._last = 0

    def _look(self, time: int, is_open: bool = False) -> None:
        if self._last > 0 and time - self._last > self._expected * 1e6:
            reason = f"a message was to be expected within {self._expected:g} s"
            self.found.append(Gap(self._station, SILENT, self._last, time, self._last_row, is_open, reason))
            self._last = time


def is_in_order(reason: str) -> bool:
    """Tell whether a connection has ended for a reason that is no fault: the codes 1000 and 1001 of RFC 6455."""
    return reason[:4] in ("", "1000", "1001")


def new_interval(action: str, request: object, response: object) -> Optional[float]:
    """Return the heartbeat interval that an answered CALL has set. ``None``: it has set none."""
    is_accepted = part(response, "status") == "Accepted"
    if action == "BootNotification" and is_accepted:
        return number(part(response, "interval"))
    if action == "ChangeConfiguration" and is_accepted and part(request, "key") == "HeartbeatInterval":
        return number(part(request, "value"))
    if action == "SetVariables":
        return _variable_interval(request, response)
    return None


def _variable_interval(request: object, response: object) -> Optional[float]:
    asked, answered = objects(part(request, "setVariableData")), objects(part(response, "setVariableResult"))
    for wanted, result in zip(asked, answered):
        is_interval = part(wanted, "variable", "name") == "HeartbeatInterval"
        if is_interval and result.get("attributeStatus") == "Accepted":
            return number(wanted.get("attributeValue"))
    return None
