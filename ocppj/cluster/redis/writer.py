"""`Writer`: the thread that writes what nobody waits for: claims, replies and events."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Deque, List, NamedTuple, Protocol, Sequence, Tuple, Union

from ...errors import ClusterUnavailable
from ...events import Condition
from ...log_limit import LimitedLog
from .claims import Change, Claims
from .connection import Command, ResponseFault
from .scripts import REPLY, SYNC
from .store import Call, Store

__all__ = ["Event", "Reply", "Writer", "WriterOwner"]

_CHANGES = 500  # that are written at once
_MESSAGES = 100  # replies, and as many events, that are written at once
_PAUSE = 0.05  # seconds after a fault
_LONG_PAUSE = 1.0  # seconds after Redis has refused claims


class Reply(NamedTuple):
    """A message to a node."""

    node_id: str
    text: str
    sent: int  # when, by Redis' clock, in milliseconds


class Event(NamedTuple):
    """An event, and the channel for it."""

    channel: str
    text: str


class WriterOwner(Protocol):
    """What a writer asks and tells."""

    def is_available(self) -> bool:
        """Return whether Redis answered the last time."""

    def sent(self) -> Tuple[int, int]:
        """Return when a command is sent, and its patience: see `scripts`."""

    def reconnected(self) -> None:
        """Note that there is a new connection. It may lead to another Redis, which lacks the last claims."""

    def replaced(self, client_id: str, claim_id: str) -> None:
        """Note that another node has a newer connection. The claim is not held any more."""

    def unreachable(self) -> None:
        """Note that Redis does not answer, or has forgotten this node."""


class Writer:
    """Writes in batches: each is one round trip.

    A claim is written again until that has worked. A reply and an event go out once at most: they wait while Redis is
    away, and are dropped if they may have gone out when it failed.

    Args:
        store: Where to.
        node_id: This node.
        claims: What it holds.
        owner: See there.
        log: For what is dropped.
        max_inbox: So many entries at most an inbox has.
        max_replies: So many replies at most wait; and a tenth as many events, at least 1000.
    """

    def __init__(
        self,
        store: Store,
        node_id: str,
        claims: Claims,
        owner: WriterOwner,
        log: LimitedLog,
        *,
        max_inbox: int,
        max_replies: int,
    ) -> None:
        self._store, self._id, self._claims, self._owner, self._log = store, node_id, claims, owner, log
        self._max_inbox = max_inbox
        self._link = store.links.new(lambda link: owner.reconnected())
        self._changed = Condition(threading.Lock())
        self._replies: Deque[Reply] = deque()
        self._events: Deque[Event] = deque()
        self._max_replies, self._max_events = max_replies, max(1000, max_replies // 10)
        self._in_hand: Sequence[Change] = []  # changes that were taken
        self._claims_from = 0.0  # when claims may be written
        self._ending = False
        self._ends = 0.0  # when it ends, though something waits
        self.dropped: int = 0  # replies and events

    def claims_changed(self) -> None:
        """Have the changes of claims be written."""
        with self._changed:
            self._changed.notify_all()

    def reply(self, reply: Reply) -> None:
        """Write a message to a node soon. If too many wait, the oldest is dropped."""
        with self._changed:
            self._replies.append(reply)
            dropped = len(self._replies) > self._max_replies
            if dropped:
                self._replies.popleft()
            self._changed.notify_all()
        if dropped:
            self._note_dropped(1, "reply", "too many wait")

    def publish(self, event: Event) -> None:
        """Write an event soon. If too many wait, it is dropped."""
        with self._changed:
            dropped = len(self._events) >= self._max_events
            if not dropped:
                self._events.append(event)
                self._changed.notify_all()
        if dropped:
            self._note_dropped(1, "event", "too many wait")

    def end(self, patience: float) -> None:
        """Have `step` return false when all is written, or after ``patience`` seconds, or when Redis is away."""
        with self._changed:
            self._ending, self._ends = True, time.monotonic() + patience
            self._changed.notify_all()

    def cut(self) -> None:
        """End what `step` waits for, after `end`."""
        self._link.stop()

    def step(self) -> bool:
        """Wait until there is something to write, and write it. Return whether to go on."""
        self._claims.put_back(self._in_hand)  # a step that has failed has left them
        self._in_hand = []
        if self._wait():
            if not self._write():
                self._look()
            return True
        self._store.links.end(self._link)
        return False

    def _wait(self) -> bool:
        """Wait until there is something to write. Return whether to go on."""
        with self._changed:
            self._changed.wait_for(lambda: self._ending or self._is_due(), _LONG_PAUSE)
            if not self._ending:
                return True
            return self._is_due() and time.monotonic() < self._ends

    def _is_due(self) -> bool:
        """Return whether there is something to write, and Redis can be reached. The lock is held."""
        if not self._owner.is_available():
            return False
        return bool(self._replies or self._events or self._claims_are_due())

    def _claims_are_due(self) -> bool:
        return self._claims.waiting() and time.monotonic() >= self._claims_from

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._ending, _PAUSE)

    def _look(self) -> None:
        """Find out whether this connection leads to a Redis that takes what is written: this changes nothing there."""
        if not self._owner.is_available():
            return
        try:
            self._link.run(["ZREM", self._store.keys.nodes, ""])
        except ClusterUnavailable:
            self._owner.unreachable()

    def _write(self) -> bool:
        """Write one batch. Return whether there was one."""
        with self._changed:
            if not self._is_due():
                return False
            changes = self._in_hand = self._claims.take(_CHANGES) if self._claims_are_due() else []
            replies, events = _take(self._replies), _take(self._events)
        calls: List[Union[Call, Command]] = []
        if changes:
            words = [word for change in changes for word in change.words()]
            calls.append(Call(SYNC, (self._id, *self._owner.sent(), *words)))
        # An answer is worth more than a new request, which its caller can make again.
        room = 2 * self._max_inbox
        calls += [Call(REPLY, (reply.node_id, self._id, reply.text, room, reply.sent)) for reply in replies]
        calls += [["PUBLISH", event.channel, event.text] for event in events]
        try:
            results = self._store.run_all(calls, self._link) if calls else []
        except ClusterUnavailable as error:
            self._failed(error, replies, events)
            return True
        if changes:
            self._end_changes(changes, results.pop(0))
        self._end_replies(results[: len(replies)])
        self._note_refused(results[len(replies) :], "event")
        return True

    def _failed(self, error: ClusterUnavailable, replies: List[Reply], events: List[Event]) -> None:
        if error.maybe_sent:
            self._note_dropped(len(replies), "reply", "Redis failed")
            self._note_dropped(len(events), "event", "Redis failed")
        else:
            self._put_back(replies, events)
        self._owner.unreachable()
        self._pause()

    def _put_back(self, replies: List[Reply], events: List[Event]) -> None:
        with self._changed:
            self._replies.extendleft(reversed(replies))
            self._events.extendleft(reversed(events))

    def _end_changes(self, changes: Sequence[Change], result: Any) -> None:
        if isinstance(result, ResponseFault):
            self._log.warning("%s: claims wait, because Redis refuses them: %s", "claims", result.text)
            self._claims_from = time.monotonic() + _LONG_PAUSE
        elif result is None:  # it came late; or the node is not in the registry: it begins anew there, and claims all
            self._owner.unreachable()
            self._pause()
        else:
            refused = self._claims.done(changes, result)
            self._in_hand = []
            for client_id, claim_id in refused:
                self._owner.replaced(client_id, claim_id)

    def _end_replies(self, results: Sequence[Any]) -> None:
        self._note_refused(results, "reply")
        self._note_dropped(sum(result is None for result in results), "reply", "the node is gone")
        self._note_dropped(sum(result == 0 for result in results), "reply", "the inbox of the node is full")

    def _note_refused(self, results: Sequence[Any], what: str) -> None:
        for fault in [result for result in results if isinstance(result, ResponseFault)]:
            self._note_dropped(1, what, f"Redis refuses it: {fault.text}")

    def _note_dropped(self, count: int, what: str, why: str) -> None:
        if count:
            self.dropped += count
            self._log.warning("%s: dropped %d: %s", what, count, why)


def _take(waiting: "Deque[Any]") -> List[Any]:
    """Take the first messages. The lock is held."""
    return [waiting.popleft() for _ in range(min(_MESSAGES, len(waiting)))]
