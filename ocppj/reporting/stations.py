"""`Station`: reads what was recorded of one station, and adds it to the rows of the report."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..errors import UsageError
from ..recording import Recorded
from ..testing.rules import FrameJudge, JudgedFrame
from .gaps import Gaps, new_interval
from .messages import CSMS, STATION, Messages
from .transactions import Transactions
from .values import microseconds

__all__ = ["Station"]

_EVENTS = {"connected": "CONNECTED", "disconnected": "DISCONNECTED", "refused": "REFUSED"}
_DIRECTIONS = ("in", "out")  # of the judge, by the sender
#: A version for frames of a connection whose version is not known: the action of each is of one version only.
_TELLING = {"StartTransaction": "1.6", "StopTransaction": "1.6", "TransactionEvent": "2.0.1", "NotifyEvent": "2.0.1"}
#: A CALL without an answer is a fault, unless the recording ended so many seconds after it.
_PATIENCE = 10.0


class _Open(NamedTuple):
    """A CALL that has no answer yet."""

    row: int
    action: str
    payload: Any


class Station:
    """What was recorded of one station. Not thread-safe.

    Args:
        number: Its number in the report.
        client_id: Its identity.
        messages: The rows of the report.
        gaps: Takes its gaps.

    Attributes:
        versions: The OCPP versions of its connections.
        connections: How many connections it has had, as far as their begin was recorded.
    """

    def __init__(self, number: int, client_id: str, messages: Messages, gaps: Gaps) -> None:
        self.number = number
        self.client_id = client_id
        self.versions: List[str] = []
        self.connections = 0
        self.gaps = gaps
        self.transactions = Transactions(number)
        self._messages = messages
        self._judges: Dict[int, FrameJudge] = {}
        self._newest: Optional[FrameJudge] = None
        self._open: Dict[Tuple[int, int, str], _Open] = {}  # by connection, sender and message id

    def add_event(self, recorded: Recorded) -> None:
        """Add the begin or the end of a connection."""
        kind, time = _EVENTS[recorded.event], microseconds(recorded.time)
        row = self._messages.add(
            time, self.number, kind, STATION, "", recorded.connection, -1, recorded.reason, [], True
        )
        if kind != "REFUSED":
            self._forget(recorded.connection)
        if kind == "CONNECTED":
            self.connections += 1
            self._note_version(recorded.version)
            self.gaps.connected(time, row, recorded.connection)
        elif kind == "DISCONNECTED":
            self.gaps.disconnected(time, row, recorded.connection, recorded.reason)

    def add_frame(self, recorded: Recorded) -> None:
        """Add a frame."""
        time, sender = microseconds(recorded.time), CSMS if recorded.sender == "csms" else STATION
        judge = self._judge_of(recorded)
        if recorded.sent:
            judged = judge.judge(_DIRECTIONS[sender], recorded.text, time / 1e6)
        else:
            judged = judge.read(_DIRECTIONS[sender], recorded.text)
        call = self._find_call(judged, recorded.connection, sender) if recorded.sent else None
        action = judged.action or (call.action if call is not None else "")
        row = self._messages.add(
            time,
            self.number,
            judged.kind,
            sender,
            action,
            recorded.connection,
            -1 if call is None else call.row,
            judged.error_code or "",
            judged.faults,
            recorded.sent,
        )
        self._follow(row, time, sender, judged, recorded, call)

    def finish(self, time: int) -> None:
        """Note the end of the recording."""
        late = time - _PATIENCE * 1e6
        times = self._messages.times
        self._messages.unanswered.update(each.row for each in self._open.values() if times[each.row] <= late)
        self._open.clear()
        self.gaps.finish(time)
        self.transactions.finish()

    def _follow(
        self, row: int, time: int, sender: int, judged: JudgedFrame, recorded: Recorded, call: Optional[_Open]
    ) -> None:
        """Have the parts look at a frame."""
        if sender == STATION and recorded.sent:
            self.gaps.message(time, row)
        if judged.kind == "CALL" and recorded.sent:
            self._open[recorded.connection, sender, judged.message_id or ""] = _Open(
                row, judged.action or "", judged.payload
            )
        if judged.kind in ("CALL", "SEND") and sender == STATION:
            self.transactions.call(row, time, judged.action or "", judged.payload)
        elif judged.kind == "RESULT" and call is not None:
            self.transactions.result(call.row, judged.payload)
            interval = new_interval(call.action, call.payload, judged.payload)
            if interval is not None:
                self.gaps.interval(interval)

    def _find_call(self, judged: JudgedFrame, connection: int, sender: int) -> Optional[_Open]:
        """Return the CALL that a frame answers, and forget it."""
        if judged.kind not in ("RESULT", "ERROR"):
            return None
        return self._open.pop((connection, CSMS if sender == STATION else STATION, judged.message_id or ""), None)

    def _judge_of(self, recorded: Recorded) -> FrameJudge:
        judge = self._judges.get(recorded.connection)
        if judge is None:
            version = recorded.version or self._guess_version(recorded.text)
            self._note_version(version)
            judge = self._judges[recorded.connection] = self._newest = self._make_judge(version)
        return judge

    def _make_judge(self, version: str) -> FrameJudge:
        try:
            return FrameJudge(version) if self._newest is None else self._newest.next_connection(version)
        except UsageError:  # no version that this library knows
            return FrameJudge() if self._newest is None else self._newest.next_connection()

    def _guess_version(self, text: str) -> str:
        if self.versions:
            return self.versions[-1]
        for action, version in _TELLING.items():
            if f'"{action}"' in text:
                return version
        return "2.0.1" if '"chargingStation"' in text else "1.6"

    def _note_version(self, version: str) -> None:
        if version and version not in self.versions:
            self.versions.append(version)

    def _forget(self, connection: int) -> None:
        """Forget a connection that has ended: its CALLs get no answer any more."""
        self._judges.pop(connection, None)
        keys = [key for key in self._open if key[0] == connection]
        self._messages.unanswered.update(self._open.pop(key).row for key in keys)
