"""`Cluster`: what the servers of several processes share, as far as a `Server` and a `RemoteServer` use it.

A cluster knows which node holds which client, delivers messages to nodes, and spreads events. It knows nothing of OCPP:
a message is an object of JSON values. `membership` and `remote_calls` say what the messages mean.

A node is one `join` of one process. It has a new id each time. A node that neither renews its lease nor leaves is dead
when the lease has run out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol

from ..settings import LoggerLike

__all__ = ["Cluster", "ClusterEvent", "Holder", "Member", "Message", "Subscription"]

#: JSON values by name.
Message = Dict[str, Any]


@dataclass(frozen=True)
class Holder:
    """A client, and the node that has its connection.

    Attributes:
        client_id: The client.
        node_id: The node.
        claim: The id of the claim: each connection has its own.
        about: What the node said of the connection when it claimed it, as JSON values.
    """

    client_id: str
    node_id: str
    claim: str
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ClusterEvent:
    """Something that happened on a node. See `Cluster.subscribe`.

    Attributes:
        kind: "connected", "disconnected" or "request".
        node_id: Where it happened.
        client_id: The client.
        about: What is known of it, as JSON values. ``connected``: as `Holder.about`. ``disconnected``: "code",
            "reason", "by_peer". ``request``: "version", "action", "message_id", "payload", in which secrets are masked.
        time: When it happened, in seconds since 1970, by the clock of that node.
    """

    kind: str
    node_id: str
    client_id: str
    about: Mapping[str, Any]
    time: float


class Subscription(Protocol):
    """What `Cluster.subscribe` returns."""

    @property
    def dropped(self) -> int:
        """How many events were dropped, because the program was too slow or the cluster was away, as far as known."""

    def close(self) -> None:
        """End it. When it returns, no handler runs any more, unless this is called from one."""


class Member(Protocol):
    """What a cluster calls of the node that has joined. On a thread of the cluster; no method may block."""

    def receive(self, sender: str, message: Message, age: float) -> None:
        """Take a message of the node ``sender``, which was posted ``age`` seconds ago. In order for each sender."""

    def claim_lost(self, client_id: str, claim: str) -> None:
        """Note that another node holds a newer connection of that client."""

    def node_gone(self, node_id: str) -> None:
        """Note that a node has left, or that its lease has run out. What it has not answered it will not answer."""

    def availability_changed(self, available: bool) -> None:
        """Note that the cluster can be reached again, or no more."""


class Cluster(ABC):
    """What several processes share. One object for each `Server` or `RemoteServer`. Every method is for any thread.

    No method waits longer than a few seconds. Those that ask or tell the cluster something raise `ClusterUnavailable`
    when that cannot be done now. `claim`, `release`, `reply` and `publish` never raise it: they are done later, or
    dropped where they say so.

    A forked process has no part in what its parent has joined; it may `join` itself.

    Attributes:
        max_inbox: So many messages may wait for this node, and as many in it.
    """

    max_inbox: int = 10_000

    @property
    @abstractmethod
    def node_id(self) -> str:
        """The id of this node, from `join` to `leave`. Empty otherwise."""

    @property
    @abstractmethod
    def available(self) -> bool:
        """Whether the cluster could be reached when this node tried it the last time."""

    @abstractmethod
    def join(self, member: Member, logger: Optional[LoggerLike] = None) -> None:
        """Take part, as a new node. Begins although the cluster cannot be reached: then it tries again by itself.

        Raises:
            UsageError: It has joined already.
        """

    @abstractmethod
    def leave(self, timeout: float = 5.0) -> None:
        """Give up all claims, and end all threads. Does nothing if it has not joined. May be called from a `Member`."""

    @abstractmethod
    def claim(self, client_id: str, about: Mapping[str, Any]) -> str:
        """Say that this node has a connection of that client, which began just now. Return the id of the claim.

        It waits until the others can know, but at most half a second, and not at all while the cluster is away: then
        the claim is made later, by itself. The newest connection of a client counts. A node whose connection is older
        is told by `Member.claim_lost`.
        """

    @abstractmethod
    def release(self, client_id: str, claim: str) -> None:
        """Take a claim back. A newer claim of another node stays. Never waits.

        Args:
            client_id: The client.
            claim: What `claim` has returned.
        """

    @abstractmethod
    def holder_of(self, client_id: str) -> Optional[Holder]:
        """Return which living node holds that client; ``None``: none does. Raises `ClusterUnavailable`."""

    @abstractmethod
    def holders(self) -> List[Holder]:
        """Return all clients that living nodes hold. Raises `ClusterUnavailable`."""

    @abstractmethod
    def nodes(self) -> List[str]:
        """Return the ids of the living nodes. Raises `ClusterUnavailable`."""

    @abstractmethod
    def post(self, client_id: str, message: Message, timeout: Optional[float] = None) -> Optional[str]:
        """Deliver ``message`` to the node that holds that client, and return the node's id; ``None``: none does.

        It is delivered at most once. A node that dies may have received it, or not. Messages that one thread posts for
        one client arrive in their order.

        Args:
            client_id: The client.
            message: The message.
            timeout: So many seconds at most it waits. ``None``: as long as any method may.

        Raises:
            ClusterUnavailable: It cannot be delivered now, or its inbox is full. The error says if it may have arrived.
        """

    @abstractmethod
    def reply(self, node_id: str, message: Message) -> None:
        """Deliver ``message`` to that node soon, at most once. Never waits. Dropped if that node is gone.

        What waits is bounded. While the cluster is away, it waits; beyond the bound the oldest are dropped.
        """

    @abstractmethod
    def wants(self, kind: str) -> bool:
        """Return whether anybody has subscribed to that kind of event, as far as this node knows. Never waits.

        Args:
            kind: As `ClusterEvent.kind`.
        """

    @abstractmethod
    def publish(self, kind: str, client_id: str, about: Mapping[str, Any]) -> None:
        """Spread an event to those that have subscribed. Never waits. Dropped when too much waits.

        Args:
            kind: As `ClusterEvent.kind`.
            client_id: The client.
            about: JSON values.
        """

    @abstractmethod
    def subscribe(
        self,
        *,
        connected: Optional[Callable[[ClusterEvent], object]] = None,
        disconnected: Optional[Callable[[ClusterEvent], object]] = None,
        request: Optional[Callable[[ClusterEvent], object]] = None,
        max_waiting: int = 1000,
    ) -> Subscription:
        """Have handlers called for what happens on all nodes. Needs no `join`.

        The handlers run on a thread of their own, one at a time. They may block: at most ``max_waiting`` events wait,
        then the oldest are dropped and counted. Events are for watching: some are lost when the cluster is away.

        Args:
            connected: Called with a `ClusterEvent` when a client has connected.
            disconnected: Called when a connection has ended.
            request: Called when a request of a client has come.
            max_waiting: So many events at most wait for the handlers.

        Raises:
            UsageError: No handler is given, or one cannot be called so.
        """
