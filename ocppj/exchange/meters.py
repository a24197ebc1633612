"""`Meters`: counts the messages of an endpoint, and how long calls and handlers take.

Each message comes here, so a method only appends to a list, which is one step and needs no lock. A list is counted when
it has `_MOST` entries, or when somebody asks. `Counter` and `sum` do that in C. It costs a fraction of what a lock for
each message would.

A peer can cause no new entry: an action that no profile has is counted as `OTHER`, and so is an error code that OCPP
does not have.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from functools import partial
from typing import Callable, Dict, List, Mapping, NamedTuple, Sequence, Union
from typing import Counter as CounterType

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
_MOST = 100  # entries of a list that are not counted yet
_bucket_of = partial(bisect_left, BOUNDS)
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


class _Counts:
    """How often there was a frame of one kind, by action."""

    __slots__ = ("fresh", "total")

    def __init__(self) -> None:
        self.fresh: List[str] = []  # the actions of frames that are not in ``total`` yet
        self.total: CounterType[str] = Counter()  # guarded by the owner's lock

    def take(self) -> None:
        """Count what is fresh. Lock held."""
        taken = self.fresh[:]
        del self.fresh[: len(taken)]  # others append meanwhile
        self.total.update(taken)


class _Times:
    """How often one thing was done, and how long it took."""

    __slots__ = ("buckets", "fresh", "sum")

    def __init__(self) -> None:
        self.fresh: List[float] = []  # the times that are not in the rest yet
        self.buckets: CounterType[int] = Counter()  # these two are guarded by the owner's lock
        self.sum = 0.0

    def take(self) -> None:
        """Count what is fresh. Lock held."""
        taken = self.fresh[:]
        del self.fresh[: len(taken)]  # others append meanwhile
        self.buckets.update(map(_bucket_of, taken))
        self.sum += sum(taken)

    def copy(self) -> Histogram:
        """Return what was counted. Lock held."""
        buckets = tuple(self.buckets[index] for index in range(len(BOUNDS) + 1))
        return Histogram(sum(buckets), self.sum, BOUNDS, buckets)


class Meters:
    """The counts of one endpoint. For any thread. ``knows`` tells whether a profile has an action."""

    def __init__(self, knows: Callable[[str], bool]) -> None:
        self._knows = knows
        self._begin()

    def _begin(self) -> None:
        self._received = tuple(_Counts() for _ in range(_TYPES))  # by message type
        self._sent = tuple(_Counts() for _ in range(_TYPES))
        self._calls: Dict[str, _Times] = {}  # by action; these two only grow, an entry in one step
        self._handlers: Dict[str, _Times] = {}
        self._lock = threading.Lock()  # guards the totals, and the rest
        self._errors: Dict[str, CounterType[str]] = {RECEIVED: Counter(), SENT: Counter()}
        self._timeouts = 0
        self._reconnects = 0
        self._seen: Recent[str, None] = Recent(_CAPACITY)

    def _after_fork(self) -> None:
        """Begin at 0: what was counted is the parent's. See `ocppj.forks`."""
        self._begin()

    def name_of(self, action: object) -> str:
        """Return ``action`` if it is one of a profile, else `OTHER`."""
        return action if isinstance(action, str) and self._knows(action) else OTHER

    # The actions that these take are of messages that were understood, or come from `name_of`.

    def received(self, kind: int, action: str) -> None:
        """Count a frame of the peer of this message type: see `_KINDS`."""
        counts = self._received[kind]
        counts.fresh.append(action)
        if len(counts.fresh) > _MOST:
            self._take(counts)

    def sent(self, kind: int, action: str) -> None:
        """Count a frame of ours of this message type."""
        counts = self._sent[kind]
        counts.fresh.append(action)
        if len(counts.fresh) > _MOST:
            self._take(counts)

    def answered(self, action: str, seconds: float) -> None:
        """Count a request of ours that was answered so long after it was written."""
        times = self._calls.get(action) or self._calls.setdefault(action, _Times())
        times.fresh.append(seconds)
        if len(times.fresh) > _MOST:
            self._take(times)

    def handled(self, action: str, seconds: float) -> None:
        """Count a handler that ran for so long."""
        times = self._handlers.get(action) or self._handlers.setdefault(action, _Times())
        times.fresh.append(seconds)
        if len(times.fresh) > _MOST:
            self._take(times)

    def _take(self, what: Union[_Counts, _Times]) -> None:
        with self._lock:
            what.take()

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
        with self._lock:
            return self._copy()

    def _copy(self) -> Figures:
        messages = {RECEIVED: _by_kind(self._received), SENT: _by_kind(self._sent)}
        errors = {direction: dict(codes) for direction, codes in self._errors.items()}
        calls, handlers = _by_action(self._calls.copy()), _by_action(self._handlers.copy())
        return Figures(messages, errors, calls, handlers, self._timeouts, self._reconnects)


def _by_kind(counts: Sequence[_Counts]) -> Dict[str, Dict[str, int]]:
    """Return all ``counts`` by the name of the kind, where there are any. Lock held."""
    for each in counts:
        each.take()
    return {name: dict(counts[kind].total) for kind, name in _KINDS.items() if counts[kind].total}


def _by_action(times: Mapping[str, _Times]) -> Dict[str, Histogram]:
    """Return all ``times`` by action, where there are any. Lock held."""
    for each in times.values():
        each.take()
    return {action: each.copy() for action, each in sorted(times.items())}
