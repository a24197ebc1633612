"""`Downlinks`: the connections of a server, by client: what is behind `Server`."""

from __future__ import annotations

import threading
from typing import Any, Callable, ContextManager, Dict, Iterable, Optional, Sequence

from .dispatch.interfaces import ServerDispatcher
from .dispatch.pending import ServerState
from .dispatch.queues import RequestBundle
from .errors import CallFailed, ConnectionLost, NotRunning, OCPPError, OcppjError, QueueFull, UnknownClient
from .exchange.connection import Connection
from .exchange.lifecycle import Running
from .exchange.options import Options
from .rpc.dialect import Dialect
from .rpc.endpoint import Pending
from .rpc.features import Profile
from .ws.base import Channel, Close
from .ws.base import Server as WsServer

__all__ = ["Downlinks"]

# Seconds that a new connection of an identity waits for the handlers of the one before.
_FAREWELL = 3.0


class Downlinks(Running):
    """A server's side of `Node`: what the transport calls, and what it calls of the dispatcher. Use `Server`."""

    def __init__(
        self,
        profiles: Iterable[Profile],
        options: Options,
        ws: WsServer,
        dispatcher: ServerDispatcher,
        state: ServerState,
    ) -> None:
        super().__init__(profiles, options)
        self._ws: WsServer = ws
        self._state = state
        self._dispatcher: ServerDispatcher = dispatcher
        dispatcher.set_timeouts(self._timeouts)
        dispatcher.set_pending_request_state(state)
        dispatcher.set_network_server(_Network(self))
        dispatcher.set_on_request_canceled(self._on_canceled)
        dispatcher.set_decoder(self._decode_stored)
        dispatcher.set_request_check(self._unfit)
        ws.set_connected_handler(self._connected)
        ws.set_message_handler(self._receive)
        ws.set_disconnected_handler(self._disconnected)
        # Guarded by the lock:
        self._by_id: Dict[str, Connection] = {}
        self._leaving: Dict[str, Connection] = {}  # those that have ended, and whose last handler has not
        self._new_client_handler: Optional[Callable[[str], Any]] = None
        self._disconnected_client_handler: Optional[Callable[[str], Any]] = None

    def __str__(self) -> str:
        return "the server"

    # What the transport calls

    def _connected(self, channel: Channel) -> None:
        dialect = self.get_dialect(channel.subprotocol)
        if dialect is None:
            channel.close(1002, "no OCPP version in common")
            return
        if not dialect.allows_identity(channel.id):
            self.log.warning("%s: OCPP %s does not allow such an identity", channel.id, dialect.version)
            channel.close(1008, "the identity is not allowed")
            return
        connection = Connection(channel.id, channel, dialect)
        with self._lock:
            if not self._started:
                return
            leaving = self._leaving.get(channel.id)
            before = self._by_id.get(channel.id) or leaving
            self._connections[channel] = connection
            self._by_id[channel.id] = connection
        if before is not None and not before.released:  # its reader is held up, here or where its end is told
            self._end_requests(before, "replaced by a newer one")
        if not self._take_requests(connection):
            return
        if self._new_client_handler is not None:  # else nobody waits for the connection before
            self._submit(connection, self._welcome, connection, leaving)

    def _take_requests(self, connection: Connection) -> bool:
        """Let requests to ``connection`` be sent; return whether they can be. If not, it is closed, or will be."""
        try:
            self._dispatcher.create_client(connection.client_id)
            return True
        except NotRunning:  # stop() came in between, and will close the channel
            pass
        except OcppjError as error:
            self.log.error("%s: its stored requests cannot be read: %s", connection.client_id, error)
            connection.channel.close(1011, "internal error")
        return False

    def _welcome(self, connection: Connection, leaving: Optional[Connection]) -> None:
        """Call the new-client handler, after the disconnected-client handler of the connection before."""
        left = leaving.left if leaving is not None else None
        if left is not None and not self._clock.wait(left, _FAREWELL):
            self.log.error("%s: a handler of the connection before does not end", connection.client_id)
        if self._new_client_handler is not None:
            self._new_client_handler(connection.client_id)

    def _disconnected(self, channel: Channel, close: Close) -> None:
        with self._lock:
            connection = self._connections.pop(channel, None)
            current = connection is not None and self._by_id.get(channel.id) is connection
            if current:
                del self._by_id[channel.id]
            if connection is not None:
                connection.left = threading.Event()
                self._leaving[channel.id] = connection
        if connection is None:
            return
        self.log.info("%s: connection %s", channel.id, close)
        if current:  # not replaced by a newer connection of the same identity, whose requests these would be
            self._end_requests(connection, close)
        if self._disconnected_client_handler is None and self._new_client_handler is None:
            self._take_leave(connection)  # which calls nobody: not worth a thread
        else:
            self._submit(connection, self._take_leave, connection)

    def _end_requests(self, connection: Connection, how: object) -> None:
        """End the requests of a connection that has ended; those that a durable queue keeps go on later."""
        if self._dispatcher.durable:  # else `delete_client` does that
            for _, message_id in self._calls.over(connection):
                self._fail(connection.client_id, ConnectionLost(f"the connection was {how}", message_id))
        with self._lock:
            released, connection.released = connection.released, True
        if not released:  # by a newer one, whose requests they are by now
            self._dispatcher.delete_client(connection.client_id)
            with self._lock:
                newer = self._by_id.get(connection.client_id)
            if newer is not None and newer is not connection:  # it came meanwhile, and was deleted, too
                self._take_requests(newer)
        for open_call in self._calls.take_over(connection):
            open_call.fail(ConnectionLost(f"the connection was {how}", open_call.message_id))

    def _take_leave(self, connection: Connection) -> None:
        try:
            if self._disconnected_client_handler is not None:
                self._disconnected_client_handler(connection.client_id)
        finally:
            with self._lock:
                if self._leaving.get(connection.client_id) is connection:
                    del self._leaving[connection.client_id]
            if connection.left is not None:
                connection.left.set()

    # What `Node` calls

    def _adapt(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        return handler

    def _parameters(self, *names: str) -> Sequence[str]:
        return ("client_id", *names)

    def _current(self, client_id: str) -> Optional[Connection]:
        return self._by_id.get(client_id)

    def _dispatch(self, client_id: str, bundle: RequestBundle) -> None:
        try:
            self._dispatcher.send_request(client_id, bundle)
        except QueueFull:
            self._count_refusal("queue_full")
            raise

    def _count_refusal(self, reason: str) -> None:
        count = getattr(self._ws, "count_refusal", None)  # a transport of the program's own need not count
        if count is not None:
            count(reason)

    def _complete(self, client_id: str, message_id: str) -> bool:
        return self._dispatcher.complete_request(client_id, message_id) is not False

    def _retry(self, client_id: str, message_id: str, error: OCPPError) -> bool:
        return False

    def _withdraw(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        return self._dispatcher.cancel_request(client_id, message_id, error)

    def _pending(self, client_id: str) -> Pending:
        return self._state.get_client_state(client_id)

    def _connection_of(self, client_id: str) -> Connection:
        connection = self._by_id.get(client_id)
        if connection is not None:
            return connection
        if not self._started:
            raise NotRunning("the server is not started")
        raise UnknownClient(f"no client {client_id!r} is connected")

    def _dialect_of(self, client_id: str) -> Optional[Dialect]:
        return self._connection_of(client_id).dialect

    def _waiting(self) -> ContextManager[Any]:
        return self._ws.waiting()


class _Network:
    """Where the dispatcher writes: the clients' present connections, with the server's observers."""

    def __init__(self, server: Downlinks) -> None:
        self._server = server

    def send(self, client_id: str, text: str) -> None:
        server = self._server
        connection = server._by_id.get(client_id) or server._connection_of(client_id)
        # Not waiting: it may be the timer's thread, or one that ended another request and has work of its own.
        server._write(connection, text, wait=False)
