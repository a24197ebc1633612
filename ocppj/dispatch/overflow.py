"""What a full queue drops: `DropOldest` and `ThinOut`. A program may write a policy of its own: see `OverflowPolicy`.

A policy chooses, and does nothing else. `RequestSender.push` drops the request and tells the program.
"""

from __future__ import annotations

import threading
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple, Type

from ..errors import RequestDropped, UsageError
from ..interrupted import calls_program
from ..log_limit import SafeLog, safe_log
from ..payloads.model import Payload
from .queues import OverflowPolicy, RequestBundle, RequestQueue

#: The action and the transaction of a request.
_Series = Tuple[str, Any]

__all__ = ["DropOldest", "ThinOut", "choose_victim", "log_drop"]


class DropOldest(OverflowPolicy):
    """Drop the oldest waiting request of some types.

    Args:
        types: The types of the requests that may be dropped, such as ``v16.HeartbeatRequest``. All their requests
            count, also a `TransactionEventRequest` that starts or ends a transaction: see `ThinOut` for those.

    Raises:
        UsageError: Without a type, and for what is no type of requests.
    """

    def __init__(self, *types: Type[Payload]) -> None:
        self._types = _check_types(types)
        if not types:
            raise UsageError("DropOldest needs the types of the requests that may be dropped")

    def __repr__(self) -> str:
        return f"DropOldest({_names(self._types)})"

    def choose(self, waiting: Sequence[RequestBundle], new: RequestBundle) -> Optional[RequestBundle]:
        return next((each for each in waiting if isinstance(each.call.payload, self._types)), None)


class ThinOut(OverflowPolicy):
    """Drop every second request of some types, oldest first: the 1st, the 3rd, the 5th ...; then so again.

    Intermediate values are lost evenly, and none is dropped that need not be (E04.FR.07 and 08, J02.FR.12 and 13 of
    OCPP 2.x Part 2). The requests of each transaction are counted apart.

    Args:
        types: The types of the requests that may be dropped. By default, they are those of the intermediate values of
            transactions: each TransactionEvent whose eventType is Updated, and each MeterValues with a transaction. A
            TransactionEvent of another eventType is never dropped (E04.FR.07).

    Raises:
        UsageError: For what is no type of requests.
    """

    # A request that is spared, because the one before it was dropped, stands for both, and gets a level more. Those of
    # the lowest level are thinned out first. So however long it goes on, what is left is spread over all of the time.
    # Without levels, old values would be thinned out with each new sweep, until none of them is left.

    def __init__(self, *types: Type[Payload]) -> None:
        self._types = _check_types(types)
        self._lock = threading.Lock()  # several threads may push to one queue
        # By message id; of requests that have left the queue, too, until there are too many of these.
        self._levels: Dict[str, int] = {}  # of those that were spared
        self._series: Dict[str, Optional[_Series]] = {}  # `None`: it may not be dropped

    def __repr__(self) -> str:
        return f"ThinOut({_names(self._types)})"

    def for_queue(self) -> "ThinOut":
        return ThinOut(*self._types)

    def choose(self, waiting: Sequence[RequestBundle], new: RequestBundle) -> Optional[RequestBundle]:
        with self._lock:
            self._forget_those_that_left(waiting)
            victim, partner = self._find_pair(waiting, new)
            if victim is not None and partner is not None:
                self._levels[partner.message_id] = self._levels.get(victim.message_id, 0) + 1
        return victim

    def _find_pair(
        self, waiting: Sequence[RequestBundle], new: RequestBundle
    ) -> Tuple[Optional[RequestBundle], Optional[RequestBundle]]:
        """Return which request is dropped, and the next one of its series, which is spared for that, if there is one.

        A kind is a series and a level. Of two of a kind the older is dropped, which ``new`` may be the other of. What
        has none of its kind waits for the next one of its series: else what is new of one transaction would always be
        dropped for what is new of another.
        """
        first: Dict[Tuple[int, _Series], RequestBundle] = {}  # the oldest of each kind, the oldest of all at the front
        second: Dict[Tuple[int, _Series], RequestBundle] = {}
        latest: Dict[_Series, RequestBundle] = {}
        neighbours: List[Tuple[RequestBundle, RequestBundle]] = []  # one after the other in a series
        for each in [*waiting, new]:
            series = self._series_of(each)
            if series is not None:
                kind = self._levels.get(each.message_id, 0), series
                if kind not in first:
                    first[kind] = each
                else:
                    second.setdefault(kind, each)
                if series in latest:
                    neighbours.append((latest[series], each))
                latest[series] = each
        kinds = sorted(first, key=lambda kind: kind[0])
        pair = next((kind for kind in kinds if kind in second), None)
        if pair is not None:
            return first[pair], second[pair]
        if self._series_of(new) is None:  # it is none that the next one could take the room of
            return (first[kinds[0]], None) if kinds else (None, None)
        if neighbours:
            return min(neighbours, key=lambda two: self._levels.get(two[0].message_id, 0))
        return next((each for each in first.values() if each is not new), None), None

    def _series_of(self, bundle: RequestBundle) -> Optional[_Series]:
        """Return what the requests of one series of values have in common, ``None`` if it may not be dropped."""
        try:
            return self._series[bundle.message_id]
        except KeyError:
            series = (bundle.call.action, _transaction_of(bundle)) if self._may_drop(bundle) else None
            self._series[bundle.message_id] = series
            return series

    def _forget_those_that_left(self, waiting: Sequence[RequestBundle]) -> None:
        if len(self._series) > 2 * len(waiting) + 100:
            present = {each.message_id for each in waiting}
            self._levels = {key: level for key, level in self._levels.items() if key in present}
            self._series = {key: series for key, series in self._series.items() if key in present}

    def _may_drop(self, bundle: RequestBundle) -> bool:
        payload = bundle.call.payload
        if bundle.call.action == "TransactionEvent" and getattr(payload, "event_type", None) != "Updated":
            return False
        if self._types:
            return isinstance(payload, self._types)
        return bundle.call.action == "TransactionEvent" or _has_transaction(bundle)


@calls_program
def choose_victim(
    queue: RequestQueue, kept: Collection[str], new: RequestBundle, log: SafeLog = safe_log
) -> Optional[RequestBundle]:
    """Return the request of ``queue`` that its policy would drop for ``new``; ``kept`` are ids that it may not drop.

    The policy may be the program's own: it is called with no lock held, and what goes wrong there is logged.
    """
    policy = queue.overflow
    waiting = [each for each in queue.bundles() if each.message_id not in kept]
    try:
        chosen = None if policy is None else policy.choose(waiting, new)
    except Exception:
        log.exception("the overflow policy %r failed, and nothing is dropped", policy)
        return None
    if chosen is None or any(each is chosen for each in waiting):
        return chosen
    log.error("the overflow policy %r chose %r, which does not wait: nothing is dropped", policy, chosen)
    return None


def log_drop(
    dropped: RequestBundle, new: RequestBundle, log: SafeLog, client_id: Optional[str] = None
) -> RequestDropped:
    """Log that ``dropped`` made room for ``new``, and return the error that it ends with."""
    words = "request %r (%s) was dropped from a full queue: %r (%s) needs its room"
    about = {"client_id": client_id, "action": dropped.call.action, "message_id": dropped.message_id}
    log.warning(words, dropped.message_id, dropped.call.action, new.message_id, new.call.action, **about)
    return RequestDropped("the queue was full, and a newer request took its room", dropped.message_id)


def _has_transaction(bundle: RequestBundle) -> bool:
    return bundle.call.action == "MeterValues" and _transaction_of(bundle) is not None


def _transaction_of(bundle: RequestBundle) -> Any:
    """Return the id of the transaction that a request belongs to, or ``None``."""
    payload = bundle.call.payload
    info = getattr(payload, "transaction_info", None)  # 2.x; 1.6 has the id itself
    return getattr(payload, "transaction_id", None) if info is None else getattr(info, "transaction_id", None)


def _check_types(types: Tuple[Type[Payload], ...]) -> Tuple[Type[Payload], ...]:
    for each in types:
        if not (isinstance(each, type) and issubclass(each, Payload)):
            raise UsageError(f"the types of requests are classes such as v16.HeartbeatRequest, not {each!r}")
    return types


def _names(types: Sequence[Type[Payload]]) -> str:
    return ", ".join(each.__name__ for each in types)
