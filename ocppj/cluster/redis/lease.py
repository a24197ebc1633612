"""`Lease`: the thread that keeps this node alive, and learns what became of the others."""

from __future__ import annotations

import time
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Protocol, Tuple

from ...errors import ClusterUnavailable
from ...events import Event
from ...log_limit import SafeLog
from ..watcher import KINDS
from .claims import Claims
from .connection import Link, ResponseFault, result_of, text_of
from .redis_clock import RedisClock
from .scripts import JOIN, RENEW
from .store import Call, Store

__all__ = ["Lease", "LeaseOwner"]

#: At most so many seconds are between two renewals; and a lease has at least so many of them.
_INTERVAL, _RENEWALS = 1.0, 5
_PAUSE = 0.02  # seconds between two renewals at least
_SLACK = 100  # milliseconds that a command may be late beyond that
_LISTS = 5  # each of so many renewals asks which nodes there are


class LeaseOwner(Protocol):
    """What a lease tells. On its thread."""

    def reachable(self, available: bool) -> None:
        """Note that Redis can be reached again, or no more."""

    def joining(self) -> None:
        """Note that this node begins in the registry, with an empty inbox."""

    def left(self, node_id: str) -> None:
        """Note that another node is gone."""


class Lease:
    """One node in the registry.

    After Redis was away, or had forgotten this node, leases of others may have run out although they live. So nobody is
    swept or reported as gone until this node has renewed its own lease for as long as a lease lasts.

    Args:
        store: Where the registry is.
        node_id: The node.
        seconds: How long a lease lasts.
        claims: What this node holds.
        owner: Is told.
        log: For lines.
    """

    def __init__(
        self, store: Store, node_id: str, seconds: float, claims: Claims, owner: LeaseOwner, log: SafeLog
    ) -> None:
        self._store, self._id, self._claims, self._owner, self._log = store, node_id, claims, owner, log
        self._seconds = seconds
        self._interval = min(_INTERVAL, seconds / _RENEWALS)
        self._link = store.links.new(self._greet)
        self._is_new = False  # whether a connection is new: it may lead to another Redis than before
        self._wake, self._ended = Event(), Event()
        self._nodes: Dict[str, int] = {}  # that were there, and how often in a row they were missed since
        self._renewals = 0
        self._joined = False  # whether this node was in the registry once
        self._reached: Optional[bool] = None  # whether Redis answered the last time; None: it was not asked
        self.trouble: str = ""  # why Redis cannot be reached
        self._settles = 0.0  # when others may be swept: see above
        self._clock = RedisClock()
        self.wanted: FrozenSet[str] = frozenset()

    @property
    def available(self) -> bool:
        """Whether Redis answered the last time."""
        return bool(self._reached)

    def now(self) -> float:
        """Return the time by Redis' clock, in seconds since 1970."""
        return time.monotonic() + self._clock.offset

    def milliseconds(self) -> int:
        """Return `now` in milliseconds; 0: it is not known yet."""
        return int(self.now() * 1000) if self._clock.offset else 0

    def sent(self) -> Tuple[int, int]:
        """Return when a command is sent, and its patience: see `scripts`."""
        return self.milliseconds(), int(1500 * self._store.links.timeout) + _SLACK

    def forget(self, node_id: str) -> None:
        """Note that it is known that another node is gone. On any thread."""
        self._nodes.pop(node_id, None)

    def look(self) -> None:
        """Renew the lease now. Never waits."""
        self._wake.set()

    def claim_again(self) -> None:
        """Have all be claimed anew, soon. On any thread."""
        self._is_new = True
        self.look()

    def end(self) -> None:
        """Have `step` return false soon. Then this node is not put into the registry any more."""
        self._ended.set()
        self._wake.set()

    def cut(self) -> None:
        """End what `step` waits for, after `end`."""
        self._link.stop()

    def step(self) -> bool:
        """Wait for the time of the next renewal, and renew. Return whether to go on."""
        self._wake.wait(self._interval)
        self._ended.wait(_PAUSE)  # many threads may ask for a look
        self._wake.clear()
        if self._ended.is_set():
            self._store.links.end(self._link)
            return False
        self.renew()
        return True

    def renew(self) -> None:
        """Renew the lease, or begin it, if this node is not in the registry. Never raises for want of Redis."""
        began = time.monotonic()
        try:
            self._renew_or_join()
        except ClusterUnavailable as error:
            if time.monotonic() - began > self._store.links.timeout / 2:
                self._lost(error)
            else:
                self._renew_again()

    def _renew_again(self) -> None:
        """Try once more: the connection alone may have ended."""
        try:
            self._renew_or_join()
        except ClusterUnavailable as error:
            self._lost(error)

    def _renew_or_join(self) -> None:
        if not self._renew():
            self._join()

    def _renew(self) -> bool:
        """Return whether this node was in the registry."""
        began = time.monotonic()
        settled = began >= self._settles
        self._renewals += 1
        lists = self._renewals % _LISTS == 1
        channels = [self._store.keys.events + kind for kind in KINDS]
        sweeps_until = int((self.now() + self._interval) * 1e6) if settled else 0
        renew = Call(RENEW, (self._id, int(self._seconds * 1e6), sweeps_until, int(lists)))
        answers = self._store.run_all([renew, ["PUBSUB", "NUMSUB", *channels]], self._link)
        known, now, nodes = result_of(answers[0])
        self._clock.measure(int(now) / 1e6, began, time.monotonic())
        self.wanted = _wanted(answers[1])
        if known:
            self._claim_anew()
            self._found()
        if known and lists:
            self._compare(map(text_of, nodes), settled)
        return bool(known)

    def _join(self) -> None:
        """Begin in the registry, with an empty inbox and all claims."""
        if self._ended.is_set():
            return
        if self._joined:
            self._log.warning("Redis has forgotten node %s: it begins anew", self._id)
            self._settle()
        self._owner.joining()
        result_of(self._store.run_all([Call(JOIN, (self._id, int(self._seconds * 1e6)))], self._link)[0])
        self._joined, self._is_new = True, False
        self._claims.claim_anew([])
        self._found()
        self._wake.set()

    def _greet(self, link: Link) -> None:
        self._is_new = True

    def _claim_anew(self) -> None:
        """Claim all over a new connection, and take back what is not held: a replica may lack the last changes."""
        if not self._is_new:
            return
        self._is_new = False  # first: meanwhile the other connection may be made anew
        try:
            known = result_of(self._link.run(["SMEMBERS", self._store.keys.held + self._id])[0])
        except ClusterUnavailable:
            self._is_new = True
            raise
        self._claims.claim_anew(map(text_of, known))

    def _settle(self) -> None:
        self._settles = time.monotonic() + self._seconds

    def _found(self) -> None:
        before, self._reached = self._reached, True
        if before:
            return
        self._log.info("node %s is in the cluster: Redis answers", self._id)
        if before is False:
            self._settle()
            self._owner.reachable(True)

    def _lost(self, error: ClusterUnavailable) -> None:
        self.trouble = str(error)
        before, self._reached = self._reached, False
        self._settles = float("inf")  # until Redis is found: it may be that leases of others have run out meanwhile
        if before is False:
            return
        self._log.warning("node %s cannot reach the cluster, and tries again: %s", self._id, error)
        if before:
            self._owner.reachable(False)

    def _compare(self, nodes: Iterable[str], settled: bool) -> None:
        """Find out which nodes are gone. An entry in the inbox says it of most: so only if they were missed twice."""
        there = dict.fromkeys(nodes, 0)
        missed = {node: times + 1 for node, times in list(self._nodes.items()) if node not in there}
        gone = [node for node, times in missed.items() if settled and times > 1]
        self._nodes.update({**there, **missed})
        for node in gone:
            self._nodes.pop(node, None)
            self._owner.left(node)


def _wanted(counts: Any) -> FrozenSet[str]:
    """Return the kinds of events that somebody listens to, of what PUBSUB NUMSUB answers."""
    if isinstance(counts, ResponseFault):
        return frozenset()
    kinds: List[Optional[str]] = [kind if int(count) else None for kind, count in zip(KINDS, counts[1::2])]
    return frozenset(filter(None, kinds))
