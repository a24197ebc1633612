"""`MemoryCluster`: a `Cluster` of servers that are all in one process. For tests of programs, and of this library."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from functools import partial
from typing import Any, Deque, Dict, List, Mapping, NamedTuple, Optional, Tuple
from uuid import uuid4

from ..errors import ClusterUnavailable, NotRunning, UsageError
from ..forks import register
from ..log_limit import part_log
from ..option_checks import check_options
from ..payloads.jsontext import decode, encode
from ..settings import LoggerLike
from .base import Cluster, ClusterEvent, Holder, Member, Message, Subscription
from .line import Line
from .watcher import Handler, Watcher, check_handlers

__all__ = ["MemoryCluster", "MemoryHub"]


class _Claim(NamedTuple):
    client_id: str
    id: str
    number: int  # a newer connection has a higher one
    about: str  # JSON


class _Sent(NamedTuple):
    sender: str
    text: str
    time: float


class _Node:
    """One `join`. The lock of the hub guards it."""

    def __init__(self, member: Member, line: Line, most: int) -> None:
        self.id = uuid4().hex
        self.member = member
        self.line = line  # calls the member
        self.cut = False  # from the hub
        self.reaches = False  # whether it could reach the hub, as it knows
        self.listed = False  # whether the others know it
        self.claims: Dict[str, _Claim] = {}  # those that it holds, or believes to hold
        self.inbox: Deque[_Sent] = deque()
        self.outbox: Deque[Tuple[str, _Sent]] = deque(maxlen=most)  # replies that wait while it does not reach the hub
        self.missed: List[str] = []  # nodes that went while it did not reach the hub


class MemoryHub:
    """What the `MemoryCluster` objects of a process share: what Redis is to others.

    Args:
        max_inbox: So many messages may wait for a node.

    Raises:
        UsageError: ``max_inbox`` is no whole number, or less than 1.
    """

    def __init__(self, max_inbox: int = 10_000) -> None:
        check_options("MemoryHub", locals())
        self._lock = threading.Lock()  # guards the fields below, and the nodes
        self._max_inbox = max_inbox
        self._away = False
        self._nodes: List[_Node] = []  # those that have joined, and have not left or died
        self._held: Dict[str, Tuple[_Node, _Claim]] = {}
        self._watchers: Dict[Watcher, "MemoryCluster"] = {}
        self._numbers = itertools.count()
        register(self)

    @property
    def away(self) -> bool:
        """Whether no node can reach the hub. A test sets it: then the cluster is away for all, until it is unset."""
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        with self._lock:
            self._away = away
            self._look_at_all()

    def restart_empty(self) -> None:
        """Forget all claims and messages, as a server that has kept nothing. The nodes claim their clients again."""
        with self._lock:
            self._held.clear()
            self._forget_messages()
            self._settle_all()

    def expire(self) -> None:
        """Have the leases of the nodes run out that cannot reach the hub, and tell the others that they are gone."""
        with self._lock:
            self._expire_all()

    # For `MemoryCluster`. The lock is held in what has no `with`.

    def _after_fork(self) -> None:
        """Forget the nodes, which are the parent's: see `ocppj.forks`."""
        self._nodes.clear()
        self._held.clear()
        self._watchers.clear()

    def _look_at_all(self) -> None:
        for node in self._nodes:
            self._look(node)

    def _look(self, node: _Node) -> None:
        """Have ``node`` notice whether it reaches the hub; if it does so again, it catches up."""
        reaches = not self._away and not node.cut
        if reaches == node.reaches:
            return
        node.reaches = reaches
        node.line.put(partial(node.member.availability_changed, reaches))
        if reaches:
            self._catch_up(node)

    def _catch_up(self, node: _Node) -> None:
        node.listed = True
        missed, node.missed = node.missed, []
        for gone in missed:
            node.line.put(partial(node.member.node_gone, gone))
        for client_id, (holder, claim) in list(self._held.items()):
            if holder is node and node.claims.get(client_id) is not claim:  # released meanwhile
                del self._held[client_id]
        self._settle_claims(node)
        for _ in range(len(node.inbox)):
            node.line.put(partial(self._deliver, node))
        while node.outbox:
            self._put(*node.outbox.popleft())

    def _settle_all(self) -> None:
        for node in self._nodes:
            if node.reaches:
                self._settle_claims(node)

    def _settle_claims(self, node: _Node) -> None:
        for claim in list(node.claims.values()):
            self._settle(node, claim)

    def _settle(self, node: _Node, claim: _Claim) -> None:
        """Note ``claim``. If another node has the same client, the newer claim stays, and the older is lost."""
        before = self._held.get(claim.client_id)
        if before is not None and before[0] is not node and before[1].number > claim.number:
            self._lose(node, claim)
            return
        self._held[claim.client_id] = node, claim
        if before is not None and before[0] is not node and before[0].reaches:  # else it learns that in `_catch_up`
            self._lose(*before)

    def _lose(self, node: _Node, claim: _Claim) -> None:
        if node.claims.get(claim.client_id) is claim:
            del node.claims[claim.client_id]
        node.line.put(partial(node.member.claim_lost, claim.client_id, claim.id))

    def _remove(self, node: _Node) -> None:
        """Take out a node that has left, and tell the others."""
        self._nodes.remove(node)
        self._unlist(node)

    def _unlist(self, node: _Node) -> None:
        for client_id, (holder, _) in list(self._held.items()):
            if holder is node:
                del self._held[client_id]
        node.inbox.clear()
        if not node.listed:
            return
        node.listed = False
        for other in self._nodes:
            if other is not node:
                self._tell_gone(other, node.id)

    def _tell_gone(self, node: _Node, gone: str) -> None:
        if node.reaches:
            node.line.put(partial(node.member.node_gone, gone))
        else:
            node.missed.append(gone)

    def _expire_all(self) -> None:
        for node in self._nodes:
            if not node.reaches:
                self._unlist(node)

    def _forget_messages(self) -> None:
        for node in self._nodes:
            node.inbox.clear()

    def _listed(self) -> List[str]:
        return [node.id for node in self._nodes if node.listed]

    def _put(self, node_id: str, sent: _Sent) -> bool:
        """Put a message into the inbox of that node; return false if it is full, or there is no such node."""
        for node in self._nodes:
            if node.id == node_id and node.listed and len(node.inbox) < self._max_inbox:
                node.inbox.append(sent)
                if node.reaches:  # else `_catch_up` does that
                    node.line.put(partial(self._deliver, node))
                return True
        return False

    def _deliver(self, node: _Node) -> None:
        """Hand the oldest message over, on the thread of the node."""
        with self._lock:
            if not node.inbox or not node.reaches:
                return
            sent = node.inbox.popleft()
        node.member.receive(sent.sender, decode(sent.text), time.monotonic() - sent.time)

    def _is_wanted(self, kind: str) -> bool:
        return any(kind in watcher.kinds for watcher in list(self._watchers))

    def _publish(self, event: ClusterEvent) -> None:
        for watcher, owner in list(self._watchers.items()):
            if owner.available:
                watcher.put(event)
            else:
                watcher.miss()


class MemoryCluster(Cluster):
    """A node of a cluster that is in this process. Each `Server` and `RemoteServer` has one of its own.

    ::

        hub = MemoryHub()
        first = Server(profiles=v16.PROFILES, cluster=MemoryCluster(hub))
        second = Server(profiles=v16.PROFILES, cluster=MemoryCluster(hub))

    It keeps what `Cluster` promises. A test can also break it: see `MemoryHub.away`, `away` and `kill`.

    Args:
        hub: What the nodes share.

    Raises:
        UsageError: ``hub`` is no `MemoryHub`.
    """

    def __init__(self, hub: MemoryHub) -> None:
        if not isinstance(hub, MemoryHub):
            raise UsageError(f"hub is a MemoryHub, not {type(hub).__name__}")
        self._hub = hub
        self.max_inbox: int = hub._max_inbox
        self._lock = hub._lock
        self._log = part_log("cluster")
        self._node: Optional[_Node] = None
        self._cut = False
        register(self)

    # For tests

    @property
    def away(self) -> bool:
        """Whether this node alone cannot reach the hub. A test sets it: the others see the node as before.

        `MemoryHub.expire` makes its lease run out. When this is unset, the node claims its clients again.
        """
        return self._cut

    @away.setter
    def away(self, away: bool) -> None:
        with self._lock:
            self._set_cut(away)

    def kill(self) -> None:
        """Be a node that has died: the hub is out of its reach, and its lease has run out, just now."""
        with self._lock:
            self._set_cut(True)
            if self._node is not None and self._node in self._hub._nodes:
                self._hub._unlist(self._node)

    def _set_cut(self, cut: bool) -> None:
        self._cut = cut
        if self._node is not None:
            self._node.cut = cut
            self._hub._look(self._node)

    # What a cluster does

    @property
    def node_id(self) -> str:
        """The id of this node, from `join` to `leave`. Empty otherwise."""
        node = self._node
        return "" if node is None else node.id

    @property
    def available(self) -> bool:
        """Whether this node reaches the hub."""
        return not self._hub._away and not self._cut

    def join(self, member: Member, logger: Optional[LoggerLike] = None) -> None:
        """Take part, as a new node. Raises `UsageError` if it has joined already."""
        self._log.use(logger)
        line = Line("ocppj-cluster-memory", self._log)
        with self._lock:
            if self._node is not None:
                raise UsageError("the cluster is in use: each Server and RemoteServer has one of its own")
            self._node = node = _Node(member, line, self._hub._max_inbox)
            node.cut, node.reaches = self._cut, self.available
            node.listed = node.reaches
            self._hub._nodes.append(node)
        try:
            line.start()
        except BaseException:
            self.leave(0)
            raise

    def leave(self, timeout: float = 5.0) -> None:
        """Give up all claims, and end the thread."""
        with self._lock:
            node, self._node = self._node, None
            if node is None:
                return
            self._hub._remove(node)
        node.line.close(timeout)

    def _after_fork(self) -> None:
        """Forget that it has joined: see `ocppj.forks`."""
        node, self._node = self._node, None
        if node is not None:
            node.line._after_fork()

    def claim(self, client_id: str, about: Mapping[str, Any]) -> str:
        """Say that this node has a connection of that client, which began just now. Return the id of the claim."""
        text = encode(dict(about))
        with self._lock:
            claim = _Claim(client_id, uuid4().hex, next(self._hub._numbers), text)
            if self._node is not None:
                self._node.claims[client_id] = claim
                if self._node.reaches:
                    self._hub._settle(self._node, claim)
        return claim.id

    def release(self, client_id: str, claim: str) -> None:
        """Take a claim back. A newer claim of another node stays."""
        with self._lock:
            node = self._node
            if node is None or client_id not in node.claims or node.claims[client_id].id != claim:
                return
            del node.claims[client_id]
            held = self._hub._held.get(client_id)
            if node.reaches and held is not None and held[1].id == claim:
                del self._hub._held[client_id]

    def holder_of(self, client_id: str) -> Optional[Holder]:
        """Return which node holds that client; ``None``: none does. Raises `ClusterUnavailable`."""
        with self._lock:
            self._check()
            held = self._hub._held.get(client_id)
            return None if held is None else _holder(*held)

    def holders(self) -> List[Holder]:
        """Return all clients that nodes hold. Raises `ClusterUnavailable`."""
        with self._lock:
            self._check()
            held = list(self._hub._held.values())
        return [_holder(node, claim) for node, claim in held]

    def nodes(self) -> List[str]:
        """Return the ids of the living nodes. Raises `ClusterUnavailable`."""
        with self._lock:
            self._check()
            return self._hub._listed()

    def post(self, client_id: str, message: Message, timeout: Optional[float] = None) -> Optional[str]:
        """Deliver ``message`` to the node that holds that client, and return the node's id; ``None``: none does.

        It never waits.

        Raises:
            ClusterUnavailable: The hub is away, or the inbox of the node is full.
            NotRunning: It has not joined.
        """
        text = encode(message)
        with self._lock:
            node = self._node
            if node is None:
                raise NotRunning("this process has not joined the cluster")
            self._check()
            held = self._hub._held.get(client_id)
            if held is None:
                return None
            if not self._hub._put(held[0].id, _Sent(node.id, text, time.monotonic())):
                raise ClusterUnavailable("too many messages wait for the node that holds the client")
            return held[0].id

    def reply(self, node_id: str, message: Message) -> None:
        """Deliver ``message`` to that node soon. Never waits. Dropped if that node is gone."""
        text = encode(message)
        with self._lock:
            node = self._node
            if node is None:
                return
            sent = _Sent(node.id, text, time.monotonic())
            if node.reaches:
                self._hub._put(node_id, sent)
            else:
                node.outbox.append((node_id, sent))

    def wants(self, kind: str) -> bool:
        """Return whether anybody has subscribed to that kind of event."""
        return bool(self._hub._watchers) and self._hub._is_wanted(kind)

    def publish(self, kind: str, client_id: str, about: Mapping[str, Any]) -> None:
        """Spread an event to those that have subscribed. Never waits."""
        node_id, hub = self.node_id, self._hub
        if not hub._watchers:
            return
        event = ClusterEvent(kind, node_id, client_id, decode(encode(dict(about))), time.time())
        with self._lock:
            if self.available:
                hub._publish(event)

    def subscribe(
        self,
        *,
        connected: Optional[Handler] = None,
        disconnected: Optional[Handler] = None,
        request: Optional[Handler] = None,
        max_waiting: int = 1000,
    ) -> Subscription:
        """Have handlers called for what happens on all nodes. See `Cluster.subscribe`."""
        handlers = check_handlers(connected=connected, disconnected=disconnected, request=request)
        watcher = Watcher(handlers, max_waiting, self._log, self._forget)
        with self._lock:
            self._hub._watchers[watcher] = self
        return watcher

    def _forget(self, watcher: Watcher) -> None:
        with self._lock:
            self._hub._watchers.pop(watcher, None)

    def _check(self) -> None:
        if not self.available:
            raise ClusterUnavailable("the cluster is away")


def _holder(node: _Node, claim: _Claim) -> Holder:
    return Holder(claim.client_id, node.id, claim.id, decode(claim.about))
