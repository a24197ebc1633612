"""`Membership`: what a `Server` with ``cluster=`` holds. It joins the server's parts with those of the cluster.

From ``listen()`` to ``stop()`` the server is a node. Each of its connections is claimed when it has been made, and
released when it has ended. What other nodes ask for goes to `Serving`, their answers to `RemoteCalls`.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any, Dict, List, Optional

from ..errors import ClusterUnavailable, UnknownClient
from ..exchange.connection import Connection
from ..exchange.connection_info import ConnectionInfo
from ..log_limit import LimitedLog, part_log
from ..payloads.model import Payload
from ..recent import Recent
from ..rpc.messages import Call
from ..secrets import mask_value
from ..settings import LoggerLike, get_part_logger
from ..ws.base import Close
from .base import Cluster, Holder, Message
from .holdings import about_connection, info_of_holder
from .kept import KeptRequests
from .line import Line
from .messages import AnyMessage, CallMessage, Ended, Failed, SendMessage, read_or_log
from .remote_calls import RemoteCalls, Sender
from .serving import LocalServer, Serving

__all__ = ["Membership"]

_REPLACED = "replaced by a newer connection of the same identity, to another process"
_REMEMBERED = 1000  # claims that were lost before they were noted


class Membership:
    """A server's part in a cluster. It is the `Member` that the cluster calls. Thread-safe.

    Args:
        cluster: The cluster.
        sender: The server, for its calls to other nodes.
        server: The server, for its connections.
        logger: That of the server; ``None``: that of the process.
    """

    def __init__(self, cluster: Cluster, sender: Sender, server: LocalServer, logger: Optional[LoggerLike]) -> None:
        self.cluster = cluster
        self._logger = logger
        self._log = part_log("cluster")
        self._limited_log = LimitedLog(partial(get_part_logger, "cluster"))
        self._log.use(logger)
        self._limited_log.use(logger)
        self.remote: RemoteCalls = RemoteCalls(cluster, sender)
        self.kept: KeptRequests = KeptRequests(self._later, sender.timeouts)
        self._server = server
        self._serving = Serving(cluster, server, self._limited_log)
        self._lock = threading.Lock()  # guards what follows
        self._line: Optional[Line] = None  # for what may wait; ``None``: this is no node just now
        self._claims: Dict[Connection, str] = {}
        self._claimed: Dict[str, Connection] = {}  # by claim
        self._lost: Recent[str, bool] = Recent(_REMEMBERED)

    # Life cycle

    def begin(self) -> None:
        """Join the cluster, unless it was done. Raises `UsageError` if another endpoint uses it."""
        if self._line is not None:
            return
        self.cluster.join(self, self._logger)
        line = Line("ocppj-cluster-work", self._log)
        try:
            line.start()
        except BaseException:
            self.cluster.leave(0)
            raise
        self._line = line
        self.remote.start()

    def stop_calls(self) -> None:
        """End the calls to other nodes with `Stopped`, and make no more."""
        self.remote.stop()

    def leave(self, timeout: float) -> None:
        """Leave the cluster, and end all threads."""
        line, self._line = self._line, None
        if line is None:
            return
        self.remote.stop()
        deadline = time.monotonic() + timeout
        self.cluster.leave(timeout)
        line.close(max(0.0, deadline - time.monotonic()))
        self.kept.stop()
        with self._lock:
            self._claims.clear()
            self._claimed.clear()
            self._lost.clear()

    def _after_fork(self) -> None:
        """Forget the session, which is the parent's: see `ocppj.forks`."""
        line, self._line = self._line, None
        if line is not None:
            line._after_fork()
        self.remote._after_fork()
        self.kept._after_fork()
        self._serving._after_fork()
        self._claims.clear()
        self._claimed.clear()

    # Connections

    def connected(self, connection: Connection) -> None:
        """Claim a connection that was made just now."""
        client_id, about = connection.client_id, about_connection(connection)
        claim = self.cluster.claim(client_id, about)
        with self._lock:
            self._claims[connection] = claim
            self._claimed[claim] = connection
            lost = claim in self._lost
        if lost:  # meanwhile
            connection.channel.close(1008, _REPLACED)
        if self.cluster.wants("connected"):
            self.cluster.publish("connected", client_id, about)

    def disconnected(self, connection: Connection, close: Close) -> None:
        """Release a connection that has ended. Never waits."""
        with self._lock:
            claim = self._claims.pop(connection, None)
            if claim is not None:
                self._claimed.pop(claim, None)
        if claim is None:
            return
        self.cluster.release(connection.client_id, claim)
        if self.cluster.wants("disconnected"):
            about = {"code": close.code, "reason": close.reason, "by_peer": close.by_peer}
            self.cluster.publish("disconnected", connection.client_id, about)

    def is_held_elsewhere(self, client_id: str) -> bool:
        """Tell whether another node has a connection of that client, as far as that can be found out."""
        try:
            holder = self.cluster.holder_of(client_id)
        except ClusterUnavailable:
            return False
        return holder is not None and holder.node_id != self.cluster.node_id

    def note_request(self, connection: Connection, call: Call) -> None:
        """Publish a CALL of a client, if anybody has subscribed to that. Never waits, and raises nothing."""
        if not self.cluster.wants("request"):
            return
        try:
            payload = call.payload.to_wire() if isinstance(call.payload, Payload) else call.payload
            about = {
                "version": connection.dialect.version,
                "action": call.action,
                "message_id": call.unique_id,
                "payload": mask_value(payload),
            }
            self.cluster.publish("request", connection.client_id, about)
        except Exception as error:  # the payload has no form as JSON
            words = "%s: a request could not be published: %s"
            self._limited_log.warning(words, connection.client_id, type(error).__name__, call=call)

    # Questions

    def holder_of(self, client_id: str) -> Holder:
        """Return which node holds that client. Raises `UnknownClient`, and `ClusterUnavailable`."""
        holder = self.cluster.holder_of(client_id)
        if holder is None:
            raise UnknownClient(f"no client {client_id!r} is connected to any process")
        return holder

    def infos_elsewhere(self) -> List[ConnectionInfo]:
        """Return what is known of the clients of the other nodes."""
        node_id = self.cluster.node_id
        return [info_of_holder(each) for each in self.cluster.holders() if each.node_id != node_id]

    # What the cluster calls: see `Member`

    def receive(self, sender: str, message: Message, age: float) -> None:
        """Take a message of another node."""
        posted = time.monotonic() - age
        known = read_or_log(sender, message, self._limited_log)
        if known is None:
            return
        if isinstance(known, (Ended, Failed)):
            self.remote.receive(sender, known)
        elif not self._server.may_wait:
            self._serve(sender, known, posted)
        elif isinstance(known, (CallMessage, SendMessage)) and self._is_full():
            self._serving.refuse(sender, known)
        else:
            self._later(partial(self._serve, sender, known, posted))

    def claim_lost(self, client_id: str, claim: str) -> None:
        """Close a connection: another node has a newer one of the same client."""
        with self._lock:
            connection = self._claimed.get(claim)
            if connection is None:
                self._lost.remember(claim, True)
                return
        self._log.info("%s: another process has a newer connection", client_id, client_id=client_id)
        line = self._line
        if line is not None:  # what waits there may take long
            line.put_first(partial(connection.channel.close, 1008, _REPLACED))

    def node_gone(self, node_id: str) -> None:
        """End the calls to that node."""
        self.remote.node_gone(node_id)

    def availability_changed(self, available: bool) -> None:
        """Note that the cluster can be reached again, or no more."""
        self.remote.availability_changed(available)

    def _serve(self, sender: str, message: AnyMessage, posted: float) -> None:
        self._serving.serve(sender, message, time.monotonic() - posted)

    def _is_full(self) -> bool:
        line = self._line
        return line is not None and len(line) >= self.cluster.max_inbox

    def _later(self, job: Any) -> None:
        line = self._line
        if line is not None:
            line.put(job)
