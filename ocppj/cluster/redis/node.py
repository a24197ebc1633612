"""`Node`: one `join` of a `RedisCluster`: its threads, and what they do for its `Member`."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List, Mapping, Optional, Tuple
from uuid import uuid4

from ...errors import ClusterUnavailable
from ...events import Thread
from ...log_limit import LimitedLog, SafeLog
from ...loops import do_all, run_loop
from ...payloads.jsontext import encode
from ..base import ClusterEvent, Member, Message
from .claims import Claims
from .connection import ResponseFault
from .events import text_of_event
from .inbox import Inbox
from .lease import Lease
from .scripts import POST, REMOVE
from .store import Call, Store
from .writer import Event, Reply, Writer

__all__ = ["Node"]

_CLAIMING = 0.5  # seconds that a claim waits for Redis
_CUTTING = 0.2  # seconds for threads whose connections were cut


class Node:
    """A node from `start` to `end`.

    Args:
        store: What the nodes share.
        member: Is called.
        log: For lines.
        limited: For lines that others can cause.
        lease: How long the lease lasts, in seconds.
        max_inbox: So many entries at most an inbox has.
    """

    def __init__(
        self, store: Store, member: Member, log: SafeLog, limited: LimitedLog, *, lease: float, max_inbox: int
    ) -> None:
        self.id: str = uuid4().hex
        self._store, self._member, self._log, self._limited = store, member, log, limited
        self._max_inbox = max_inbox
        self._claims = Claims()
        self._lease = Lease(store, self.id, lease, self._claims, self, log)
        self._inbox = Inbox(store, self.id, self, limited)
        self._writer = Writer(store, self.id, self._claims, self, limited, max_inbox=max_inbox, max_replies=max_inbox)
        self._threads: List[Thread] = [
            Thread(target=run_loop, args=(name, step, None, log), name=f"ocppj-cluster-{name}", daemon=True)
            for name, step in (
                ("lease", self._lease.step),
                ("inbox", self._inbox.step),
                ("writer", self._writer.step),
            )
        ]

    @property
    def available(self) -> bool:
        """Whether Redis answered the last time."""
        return self._lease.available

    @property
    def trouble(self) -> str:
        """Why Redis could not be reached the last time that this failed."""
        return self._lease.trouble

    def enter(self) -> None:
        """Try to be in the registry, before `start`."""
        self._lease.renew()

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def end(self, timeout: float) -> None:
        """Write what waits, leave the registry, and end the threads. A thread of this node does not wait for itself."""
        deadline = time.monotonic() + timeout
        do_all(
            lambda: self._end_writer(deadline),
            self._lease.end,
            lambda: self._join(self._threads[:1], deadline),  # else it might begin anew
            self._inbox.end,
            self._leave,
            lambda: self._join(self._threads, deadline),
            self._lease.cut,  # a thread that is left waits for Redis, which hangs
            self._writer.cut,
            lambda: self._join(self._threads, time.monotonic() + _CUTTING),
        )

    def claim(self, client_id: str, about: Mapping[str, Any]) -> str:
        """Claim a client, and wait a little. Return the id of the claim."""
        claim = self._claims.add(client_id, about)
        self._writer.claims_changed()
        if self.available and threading.current_thread() not in self._threads:
            claim.known.wait(_CLAIMING)
        return claim.id

    def release(self, client_id: str, claim_id: str) -> None:
        """Take a claim back."""
        if self._claims.remove(client_id, claim_id):
            self._writer.claims_changed()

    def post(self, client_id: str, message: Message, timeout: Optional[float] = None) -> Optional[str]:
        """Add a message to the inbox of the node that holds that client."""
        text = encode(message)
        try:
            post = Call(POST, (client_id, self.id, text, self._max_inbox, *self._lease.sent()))
            node = self._store.run_in(timeout, post)
        except ClusterUnavailable:
            self._lease.look()
            raise
        if node == -1:
            raise ClusterUnavailable("Redis got the message too late: it was not passed on")
        if node == 0:
            raise ClusterUnavailable("too many messages wait for the node that holds the client")
        return None if node is None else str(node, "utf-8")

    def reply(self, node_id: str, message: Message) -> None:
        """Add a message to the inbox of that node, soon."""
        self._writer.reply(Reply(node_id, encode(message), self._lease.milliseconds()))

    def wants(self, kind: str) -> bool:
        """Return whether anybody listens to that kind of events."""
        return kind in self._lease.wanted

    def publish(self, event: ClusterEvent) -> None:
        """Spread an event soon."""
        self._writer.publish(Event(self._store.keys.events + event.kind, text_of_event(event)))

    def look(self) -> None:
        """Ask Redis now what the lease asks it each second."""
        self._lease.look()

    # For the inbox, the lease and the writer

    def received(self, sender: str, message: Message, written: float) -> None:
        """Hand a message over. Its age is told by Redis' clock alone, as far as each node knows that."""
        age = max(0.0, self._lease.now() - written)
        self._tell(lambda: self._member.receive(sender, message, age))

    def lost(self, client_id: str, claim_id: str) -> None:
        """Note that another node has a newer connection of that client."""
        if self._claims.drop(client_id, claim_id):
            self.replaced(client_id, claim_id)

    def reconnected(self) -> None:
        """Note that the writer has a new connection."""
        self._lease.claim_again()

    def replaced(self, client_id: str, claim_id: str) -> None:
        """Note that another node has a newer connection. The claim is not held any more."""
        self._tell(lambda: self._member.claim_lost(client_id, claim_id))

    def joining(self) -> None:
        """Note that this node begins in the registry."""
        self._inbox.begin_anew()

    def left(self, node_id: str) -> None:
        """Note that another node is gone."""
        self._lease.forget(node_id)
        self._tell(lambda: self._member.node_gone(node_id))

    def reachable(self, available: bool) -> None:
        """Note that Redis can be reached again, or no more."""
        self._writer.claims_changed()
        self._tell(lambda: self._member.availability_changed(available))

    def unreachable(self) -> None:
        """Note that a thread could not reach Redis. The lease finds out."""
        self._lease.look()

    def sent(self) -> Tuple[int, int]:
        """Return when a command is sent, and its patience."""
        return self._lease.sent()

    def is_available(self) -> bool:
        """Return `available`."""
        return self.available

    def _tell(self, tell: Callable[[], object]) -> None:
        try:
            tell()
        except Exception as error:
            self._log.error("a call of the member of a cluster failed", exc_info=error)

    # The end

    def _end_writer(self, deadline: float) -> None:
        patience = (deadline - time.monotonic()) / 2
        self._writer.end(patience)
        self._join(self._threads[2:], time.monotonic() + patience)

    def _leave(self) -> None:
        """Leave the registry. If Redis is away, the lease runs out."""
        if not self.available:
            return
        lease = self._threads[0]
        if lease.is_alive() and lease is not threading.current_thread():  # no time is left to wait for Redis
            self._log.warning("node %s has left, but its lease is to run out: Redis does not answer in time", self.id)
            return
        try:
            with self._store.links.use() as link:
                answers = self._store.run_all([Call(REMOVE, (self.id,))], link)
        except ClusterUnavailable as error:
            self._log.warning("node %s has left, but its lease is to run out: %s", self.id, error)
            return
        refused = [answer.text for answer in answers if isinstance(answer, ResponseFault)]
        if refused:
            self._log.warning("node %s has left, but Redis refuses to note it: %s", self.id, refused[0])

    def _join(self, threads: List[Thread], deadline: float) -> None:
        for thread in threads:
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
