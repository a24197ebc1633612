"""`Station`: adds what was recorded of one station to the rows of the report."""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..recording import Recorded
from ..validating.log_check import CheckedFrame
from .gaps import INTERVAL_ACTIONS, Gaps, new_interval
from .messages import CSMS, STATION, Messages
from .transactions import TRANSACTION_ACTIONS, Transactions
from .values import microseconds

__all__ = ["Station"]

_EVENTS = {"connected": "CONNECTED", "disconnected": "DISCONNECTED", "refused": "REFUSED"}
_SENDERS = {"station": STATION, "csms": CSMS}
_READ = TRANSACTION_ACTIONS | INTERVAL_ACTIONS  # the actions whose payloads are read
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
        transactions: Its transactions.
    """

    def __init__(self, number: int, client_id: str, messages: Messages, gaps: Gaps) -> None:
        self.number = number
        self.client_id = client_id
        self.versions: List[str] = []
        self.connections: int = 0
        self.gaps = gaps
        self.transactions: Transactions = Transactions(number)
        self._messages = messages
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

    def add_frame(self, checked: CheckedFrame) -> None:
        """Add a frame."""
        frame, time = checked.frame, microseconds(checked.frame.time)
        self._note_version(checked.version)
        sender, call = self._find_sides(checked)
        action = checked.action or ("" if call is None else call.action)
        partner = -1 if call is None else call.row
        code = _error_code(frame.text) if checked.kind in ("ERROR", "RESULTERROR") else ""
        about = time, self.number, checked.kind, sender, action, frame.connection
        row = self._messages.add(*about, partner, code, checked.faults, frame.sent)
        if frame.sent:
            self._follow(row, time, sender, checked, call)

    def forget_calls(self) -> None:
        """Forget the CALLs without an answer: their answers may be missing in the recording."""
        self._open.clear()

    def finish(self, time: int) -> None:
        """Note the end of the recording."""
        late = time - _PATIENCE * 1e6
        times = self._messages.times
        self._messages.unanswered.update(each.row for each in self._open.values() if times[each.row] <= late)
        self._open.clear()
        self.gaps.finish(time)
        self.transactions.finish()

    def _find_sides(self, checked: CheckedFrame) -> Tuple[int, Optional[_Open]]:
        """Return who sent a frame, and the CALL that it answers. If the log does not say it, the CALL says the side."""
        frame, sender = checked.frame, _SENDERS.get(checked.sender)
        if checked.kind in ("RESULT", "ERROR") and frame.sent:
            for side in (STATION, CSMS) if sender is None else (sender,):
                call = self._open.pop((frame.connection, 1 - side, checked.message_id), None)
                if call is not None:
                    return side, call
        return STATION if sender is None else sender, None

    def _follow(self, row: int, time: int, sender: int, checked: CheckedFrame, call: Optional[_Open]) -> None:
        """Have the parts look at a frame."""
        if sender == STATION:
            self.gaps.message(time, row)
        if checked.kind in ("CALL", "SEND"):
            payload = _payload(checked.frame.text, 3) if checked.action in _READ else None
            if checked.kind == "CALL":
                key = checked.frame.connection, sender, checked.message_id
                self._open[key] = _Open(row, checked.action, payload)
            if sender == STATION:
                self.transactions.call(row, time, checked.action, payload)
        elif checked.kind == "RESULT" and call is not None and call.action in _READ:
            self._follow_result(call, _payload(checked.frame.text, 2))

    def _follow_result(self, call: _Open, payload: Any) -> None:
        self.transactions.result(call.row, payload)
        interval = new_interval(call.action, call.payload, payload)
        if interval is not None:
            self.gaps.interval(interval)

    def _note_version(self, version: str) -> None:
        if version and version not in self.versions:
            self.versions.append(version)

    def _forget(self, connection: int) -> None:
        """Forget a connection that has ended: its CALLs get no answer any more."""
        keys = [key for key in self._open if key[0] == connection]
        self._messages.unanswered.update(self._open.pop(key).row for key in keys)


def _payload(text: str, place: int) -> Any:
    """Return an element of a message. ``None``: it has none there."""
    try:
        return json.loads(text)[place]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _error_code(text: str) -> str:
    code = _payload(text, 2)
    return code if isinstance(code, str) else ""
