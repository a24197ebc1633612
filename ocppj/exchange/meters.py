"""`Meters`: counts the messages of an endpoint, and how long calls and handlers take.

Each message comes here, so a method takes one lock and changes one number. There is a lock for each action, so threads
that count different actions do not meet. A peer can cause no new entry: an action that no profile has is counted as
`OTHER`, and so is an error code that OCPP does not have.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from typing import Callable, Dict, List, Mapping, NamedTuple, Tuple, Union

from ..errors import ErrorCode, parse_error_code
from ..histogram import BOUNDS, Histogram
from ..recent import Recent
from ..rpc.messages import MessageType

__all__ = ["OTHER", "RECEIVED", "SENT", "Figures", "Meters"]

#: The name under which everything is counted that has no name of its own.
OTHER = "other"
RECEIVED, SENT = "received", "sent"

#: What a frame is counted as, by its message type. 0: it has none, or one that OCPP does not have.
_KINDS = {
    0: "invalid",
    MessageType.CALL: "CALL",
    MessageType.CALL_RESULT: "CALLRESULT",
    MessageType.CALL_ERROR: "CALLERROR",
    MessageType.CALL_RESULT_ERROR: "CALLRESULTERROR",
    MessageType.SEND: "SEND",
}
_TYPES = max(_KINDS) + 1
_CAPACITY = 100_000  # clients that are known to have been here

ByAction = Mapping[str, int]


class Figures(NamedTuple):
    """What was counted up to one moment. The names are those of `ocppj.ws.stats.Stats`."""

    messages: Mapping[str, Mapping[str, ByAction]]
    errors: Mapping[str, Mapping[str, int]]
    call_seconds: Mapping[str, Histogram]
    handler_seconds: Mapping[str, Histogram]
    timeouts: int
    reconnects: int


class _Times:
    """The times of one thing. Its owner locks it."""

    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def copy(self) -> Histogram:
        buckets = tuple(self.buckets)
        return Histogram(sum(buckets), self.sum, BOUNDS, buckets)


class _Action:
    """What is counted of one action. ``lock`` guards the rest."""

    __slots__ = ("calls", "handlers", "lock", "received", "sent")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.received = [0] * _TYPES  # by message type
        self.sent = [0] * _TYPES
        self.calls = _Times()
        self.handlers = _Times()

    def copy(self) -> Tuple[List[int], List[int], Histogram, Histogram]:
        with self.lock:
            return list(self.received), list(self.sent), self.calls.copy(), self.handlers.copy()


class Meters:
    """The counts of one endpoint. For any thread. ``knows`` tells whether a profile has an action."""

    def __init__(self, knows: Callable[[str], bool]) -> None:
        self._knows = knows
        self._other = _Action()
        self._actions: Dict[str, _Action] = {OTHER: self._other}  # only grows; an entry is added in one step
        self._lock = threading.Lock()  # guards the rest
        self._errors: Dict[str, Dict[str, int]] = {RECEIVED: Counter(), SENT: Counter()}
        self._timeouts = 0
        self._reconnects = 0
        self._seen: Recent[str, None] = Recent(_CAPACITY)

    def _find(self, action: str) -> _Action:
        """Return what is counted of an action that is not in the table."""
        return self._actions.setdefault(action, _Action()) if self._knows(action) else self._other

    def received(self, kind: int, action: str) -> None:
        """Count a frame of the peer of this message type: see `_KINDS`."""
        entry = self._actions.get(action) or self._find(action)
        with entry.lock:
            entry.received[kind] += 1

    def sent(self, kind: int, action: str) -> None:
        """Count a frame of ours of this message type."""
        entry = self._actions.get(action) or self._find(action)
        with entry.lock:
            entry.sent[kind] += 1

    def answered(self, action: str, seconds: float) -> None:
        """Count a request of ours that was answered so long after it was written."""
        entry = self._actions.get(action) or self._find(action)
        index = bisect_left(BOUNDS, seconds)
        with entry.lock:
            entry.calls.buckets[index] += 1
            entry.calls.sum += seconds

    def handled(self, action: str, seconds: float) -> None:
        """Count a handler that ran for so long."""
        entry = self._actions.get(action) or self._find(action)
        index = bisect_left(BOUNDS, seconds)
        with entry.lock:
            entry.handlers.buckets[index] += 1
            entry.handlers.sum += seconds

    def error(self, direction: str, code: Union[ErrorCode, str]) -> None:
        """Count an error code that was `SENT` or `RECEIVED`."""
        known = code if isinstance(code, ErrorCode) else parse_error_code(code)
        name = known.value if isinstance(known, ErrorCode) else OTHER
        with self._lock:
            self._errors[direction][name] += 1

    def timed_out(self) -> None:
        """Count a request of ours that ran out of time."""
        with self._lock:
            self._timeouts += 1

    def connected(self, client_id: str) -> None:
        """Count a connection, if it is not the first of that client."""
        with self._lock:
            if client_id in self._seen:
                self._reconnects += 1
            self._seen.remember(client_id, None)

    def figures(self) -> Figures:
        """Return what was counted until now."""
        messages: Dict[str, Dict[str, Dict[str, int]]] = {RECEIVED: {}, SENT: {}}
        calls: Dict[str, Histogram] = {}
        handlers: Dict[str, Histogram] = {}
        for action, entry in sorted(self._actions.copy().items()):
            received, sent, call_times, handler_times = entry.copy()
            _add(messages[RECEIVED], action, received)
            _add(messages[SENT], action, sent)
            if call_times.count:
                calls[action] = call_times
            if handler_times.count:
                handlers[action] = handler_times
        with self._lock:
            errors = {RECEIVED: dict(self._errors[RECEIVED]), SENT: dict(self._errors[SENT])}
            timeouts, reconnects = self._timeouts, self._reconnects
        return Figures(messages, errors, calls, handlers, timeouts, reconnects)


def _add(by_kind: Dict[str, Dict[str, int]], action: str, counts: List[int]) -> None:
    """Add the ``counts`` of ``action`` by message type, where they are not 0."""
    for message_type, name in _KINDS.items():
        if counts[message_type]:
            by_kind.setdefault(name, {})[action] = counts[message_type]
