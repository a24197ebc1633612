"""`LogCheck`: judges the frames of a log, of many stations, in the order in which they were written."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Deque, Dict, Iterable, Iterator, List, Optional, Tuple

from ..recent import Recent
from ..recording.foreign import FoundFrame
from ..recording.recorded import EVENTS
from ..recording.sides import CSMS, STATION, other_side
from ..testing.rules import SECOND_CALL, UNASKED, BrokenRule, FrameJudge, JudgedFrame
from .summary import ActionCount, StationCount, Summary
from .versions import VersionFinder

__all__ = ["BAD", "NOT_SENT", "OK", "UNPAIRED", "CheckedFrame", "LogCheck"]

#: Verdicts.
OK, BAD, UNPAIRED, NOT_SENT = "ok", "bad", "unpaired", "not sent"

#: How `FrameJudge` calls the two sides: it stands at the central system.
_DIRECTIONS = {STATION: "in", CSMS: "out"}
#: So many frames wait for the versions of their stations.
_MOST_WAITING = 1000
#: So many CALLs of each side are remembered, and so many may be without an answer at a time.
_REMEMBERED, _MOST_OPEN = 1000, 50

#: So many actions are counted apart. No version has as many.
_MOST_ACTIONS = 500


@dataclass(frozen=True)
class CheckedFrame:
    """A frame, and what is wrong with it.

    Attributes:
        frame: Where it is, and what the log says of it.
        version: The OCPP version in which it was checked.
        sender: Which side has sent it: "station" or "csms". "": it is not known.
        kind: "CALL", "RESULT", "ERROR", "SEND", "RESULTERROR", or "TEXT" for what is no message.
        action: The action. "": it is not known.
        message_id: The message id. "": it cannot be read.
        verdict: `OK`; `BAD`; `UNPAIRED`: an answer whose CALL is not in the log, of which only the form was checked; or
            `NOT_SENT`: its write failed.
        faults: Which rules it breaks. Each has a code and a path: see `BrokenRule`.
    """

    frame: FoundFrame
    version: str
    sender: str
    kind: str
    action: str
    message_id: str
    verdict: str = OK
    faults: List[BrokenRule] = field(default_factory=list)


class LogCheck:
    """Judges the frames of a log. What it keeps for each station is bounded.

    Args:
        version: The OCPP version. "": it is found out, for each station.
        mode: "strict", or "standard": then what that mode forgives is not wrong.
        station: The station of the frames for which the log names none. "": there may be several.
        call_timeout: After so many seconds without an answer a station may send its next CALL.

    Attributes:
        summary: What was found so far.
        unanswered: The first 1,000 CALLs without an answer. It is complete when `check` has ended.
    """

    def __init__(
        self, *, version: str = "", mode: str = "strict", station: str = "", call_timeout: float = 30.0
    ) -> None:
        self.summary: Summary = Summary()
        self.unanswered: List[CheckedFrame] = []
        self._version = version
        self._mode = mode
        self._name = station
        self._call_timeout = call_timeout
        self._stations: Dict[str, _Station] = {}
        self._waiting: Deque[Tuple[FoundFrame, _Station]] = deque()

    def check(self, frames: Iterable[FoundFrame]) -> Iterator[CheckedFrame]:
        """Yield each frame with what is wrong with it, in their order."""
        for frame in frames:
            for station in self._concerned(frame):
                station.version.add(frame)
                self._waiting.append((frame, station))
            while self._waiting and (self._waiting[0][1].version.version or len(self._waiting) > _MOST_WAITING):
                yield from self._check_first()
        while self._waiting:
            yield from self._check_first()
        for station in self._stations.values():
            self._note_unanswered(station, station.end())

    def _concerned(self, frame: FoundFrame) -> List[_Station]:
        """Return the stations that a frame is of. Lines that are lost may be of all."""
        if frame.event == "lost" and not frame.client_id:
            return list(self._stations.values())
        return [self._find_station(frame)]

    def _find_station(self, frame: FoundFrame) -> _Station:
        name = frame.client_id or self._name
        if name not in self._stations:
            self._stations[name] = _Station(name, self._version, self._mode, self._call_timeout)
        return self._stations[name]

    def _check_first(self) -> Iterator[CheckedFrame]:
        frame, station = self._waiting.popleft()
        station.version.decide()
        if frame.event:
            self._note_unanswered(station, station.note_event(frame))
            return
        checked = station.check(frame)
        self._count(station, checked)
        self._note_unanswered(station, station.take_given_up())
        yield checked

    def _count(self, station: _Station, checked: CheckedFrame) -> None:
        summary, action = self.summary, self._action_of(checked)
        known = summary.stations.setdefault(station.name, StationCount())
        known.version, known.reason = checked.version, station.version.reason
        is_bad = checked.verdict == BAD
        for counts in (summary, known):
            counts.frames += 1
            counts.bad += is_bad
        summary.unpaired += checked.verdict == UNPAIRED
        summary.codes.update(fault.code or fault.kind or "other" for fault in checked.faults)
        action.bad += is_bad
        action.requests += checked.kind in ("CALL", "SEND")
        action.results += checked.kind == "RESULT"
        action.errors += checked.kind in ("ERROR", "RESULTERROR")

    def _action_of(self, checked: CheckedFrame) -> ActionCount:
        is_answer = checked.kind in ("RESULT", "ERROR")
        asker = other_side(checked.sender) if is_answer else checked.sender
        key = (checked.action, asker) if checked.action else ("", "")
        if key not in self.summary.actions and len(self.summary.actions) >= _MOST_ACTIONS:
            key = "", ""
        return self.summary.actions.setdefault(key, ActionCount())

    def _note_unanswered(self, station: _Station, calls: List[CheckedFrame]) -> None:
        for call in calls:
            self.summary.unanswered += 1
            self.summary.stations[station.name].unanswered += 1
            self._action_of(call).unanswered += 1
            if len(self.unanswered) < 1000:
                self.unanswered.append(call)


class _Station:
    """The frames of one station: their judges, and the CALLs without an answer."""

    def __init__(self, name: str, version: str, mode: str, call_timeout: float) -> None:
        self.name = name
        self.version = VersionFinder(version)
        self._is_version_given = bool(version)
        self._mode = mode
        self._call_timeout = call_timeout
        self._judges: Recent[int, FrameJudge] = Recent(4)  # by the connection
        self._newest: Optional[FrameJudge] = None
        self._open: "OrderedDict[Tuple[str, str], CheckedFrame]" = OrderedDict()  # by the direction and the id
        self._askers: Recent[str, str] = Recent(_REMEMBERED)  # the direction of the last CALL with an id
        self._last: Dict[str, Tuple[str, str]] = {}  # the last CALL of each direction
        self._is_begin_known = False  # whether the log has the begin of the connection
        self._given_up: List[CheckedFrame] = []
        self._last_time: Optional[float] = None

    def note_event(self, frame: FoundFrame) -> List[CheckedFrame]:
        """Note the begin or the end of a connection. Return the CALLs that get no answer any more."""
        if frame.event == "refused" or frame.event not in EVENTS:
            return []
        if frame.event == "lost":  # lines are missing: answers may be among them
            for (direction, message_id), call in self._open.items():
                self._find_judge(call.frame).excuse(message_id, direction)
            self._open.clear()
            self._last.clear()
            self._is_begin_known = False
            return []
        ended = self._take_open(frame.connection if frame.event == "disconnected" else 0)
        self._is_begin_known = self._is_begin_known or frame.event == "connected"
        if self._newest is not None and frame.event == "connected":
            self._newest = self._newest.next_connection(self._version_of(frame))
            self._judges.remember(frame.connection, self._newest)
        return ended

    def check(self, frame: FoundFrame) -> CheckedFrame:
        """Judge the next frame."""
        judge = self._find_judge(frame)
        at = frame.time.timestamp() if frame.is_time_known else None
        self._last_time = at if at is not None else self._last_time
        if not frame.sent:
            judged = judge.read(_DIRECTIONS.get(frame.sender, "in"), frame.text)
            return _checked(frame, judge.version, frame.sender, judged, NOT_SENT, [])
        direction = _DIRECTIONS.get(frame.sender) or self._guess_direction(judge, frame)
        judged = judge.judge(direction, frame.text, at)
        asker = direction if judged.kind in ("CALL", "SEND") else {"in": "out", "out": "in"}[direction]
        faults = [fault for fault in judged.faults if self._counts(fault, asker)]
        verdict = BAD if faults else OK if len(faults) == len(judged.faults) else self._verdict_without(judged)
        checked = _checked(frame, judge.version, frame.sender, judged, verdict, faults)
        self._follow(judge, checked, direction, asker)
        return checked

    def end(self) -> List[CheckedFrame]:
        """Return the CALLs that have no answer. The last of each side may be answered after the end of the log."""
        ended = [call for key, call in self._open.items() if key not in self._last.values() or self._is_overdue(call)]
        return ended + self.take_given_up()

    def _find_judge(self, frame: FoundFrame) -> FrameJudge:
        judge = self._judges.get(frame.connection)
        if judge is None:
            version = self.version.version
            if self._newest is None:
                remembers, timeout = _REMEMBERED, self._call_timeout
                judge = FrameJudge(version, call_timeout=timeout, mode=self._mode, remembers=remembers)
            else:
                judge = self._newest.next_connection(self._version_of(frame))
            self._newest = judge
            self._judges.remember(frame.connection, judge)
        return judge

    def _version_of(self, frame: FoundFrame) -> Optional[str]:
        """Return the version of a newer connection. ``None``: that of the one before."""
        return None if self._is_version_given else frame.version or None

    def _guess_direction(self, judge: FrameJudge, frame: FoundFrame) -> str:
        """Return a direction for a frame whose sender is not known. An answer goes the other way than its CALL."""
        head = judge.read("in", frame.text)
        if head.kind in ("CALL", "SEND", "TEXT"):
            return "in"
        return {"in": "out", "out": "in"}[self._askers.get(head.message_id or "", "in")]

    def _counts(self, fault: BrokenRule, asker: str) -> bool:
        """Tell whether a fault is one, for all that the log says."""
        if fault.kind == SECOND_CALL:
            return bool(self.name)  # else these may be CALLs of several stations
        # Else the log may begin after the CALL.
        return fault.kind != UNASKED or asker in self._last or self._is_begin_known

    def _verdict_without(self, judged: JudgedFrame) -> str:
        return UNPAIRED if any(fault.kind == UNASKED for fault in judged.faults) else OK

    def _follow(self, judge: FrameJudge, checked: CheckedFrame, direction: str, asker: str) -> None:
        """Keep account of the CALLs without an answer."""
        key = asker, checked.message_id
        if checked.kind == "CALL":
            for other in [each for each in self._open if each[0] == direction and each != key]:
                judge.excuse(other[1], direction)  # it is told once
            self._last[direction] = key
            self._askers.remember(checked.message_id, direction)
            self._open[key] = checked
            if len(self._open) > _MOST_OPEN:
                old, call = self._open.popitem(last=False)
                judge.give_up(old[1], old[0])
                self._given_up.append(call)
        elif checked.kind in ("RESULT", "ERROR"):
            self._open.pop(key, None)

    def _take_open(self, connection: int) -> List[CheckedFrame]:
        """Return the CALLs of a connection that have no answer. 0: of all connections."""
        keys = [key for key, call in self._open.items() if connection in (0, call.frame.connection)]
        return [*map(self._open.pop, keys), *self.take_given_up()]

    def take_given_up(self) -> List[CheckedFrame]:
        """Return the oldest CALLs without an answer, if there are too many."""
        calls, self._given_up = self._given_up, []
        return calls

    def _is_overdue(self, call: CheckedFrame) -> bool:
        if self._last_time is None or not call.frame.is_time_known:
            return False
        return self._last_time - call.frame.time.timestamp() >= self._call_timeout


def _checked(
    frame: FoundFrame, version: str, sender: str, judged: JudgedFrame, verdict: str, faults: List[BrokenRule]
) -> CheckedFrame:
    about = judged.kind, judged.action or "", judged.message_id or ""
    return CheckedFrame(frame, version, sender, *about, verdict, faults)
