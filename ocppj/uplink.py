"""`Uplink`: the one connection of a client, made, lost and regained: what is behind `Client`."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, ContextManager, Iterable, Iterator, Optional, Sequence, Set

from .dispatch.interfaces import ClientDispatcher
from .dispatch.pending import PendingRequestState
from .dispatch.queues import RequestBundle
from .errors import CallFailed, ConnectionLost, NotRunning, OCPPError, TransportError, UsageError
from .exchange.connection import Connection, Notices
from .exchange.lifecycle import Running
from .exchange.options import Options
from .rpc.dialect import Dialect
from .rpc.endpoint import Pending
from .rpc.features import Profile
from .ws.base import Channel, Close
from .ws.base import Client as WsClient

__all__ = ["Uplink"]

_SETTLING = 1.0  # seconds that stop() waits for a thread inside connect() to leave it
_LOOK = 0.02  # seconds between two stops of the transport meanwhile


class Uplink(Running):
    """A client's side of `Node`: what the transport calls, and what it calls of the dispatcher. Use `Client`."""

    def __init__(
        self,
        id: str,
        profiles: Iterable[Profile],
        options: Options,
        ws: WsClient,
        dispatcher: ClientDispatcher,
        state: PendingRequestState,
    ) -> None:
        if not isinstance(id, str) or not id:
            raise UsageError("a client's id is a text that is not empty")
        self.id = id
        super().__init__(profiles, options)
        self._ws: WsClient = ws
        self._state = state
        self._dispatcher: ClientDispatcher = dispatcher
        dispatcher.set_timeouts(self._timeouts)
        dispatcher.set_pending_request_state(state)
        dispatcher.set_network_client(_Network(self))
        dispatcher.set_on_request_canceled(partial(self._on_canceled, id))
        dispatcher.set_decoder(self._decode_stored)
        dispatcher.set_request_check(partial(self._unfit, id))
        ws.set_connected_handler(self._connected)
        ws.set_message_handler(self._receive)
        ws.set_disconnected_handler(self._disconnected)
        # Guarded by the lock:
        self._connection: Optional[Connection] = None
        self._first = True  # the first connection of the session is still to be made
        self._end: Optional[Close] = None
        self._notices = Notices()  # of the session
        self._connectors: Set[int] = set()  # idents of threads inside connect()
        self._settled = threading.Condition(self._lock)  # one has left it
        self._disconnected_handler: Optional[Callable[[Close], None]] = None
        self._reconnected_handler: Optional[Callable[[], None]] = None

    def __str__(self) -> str:
        return f"client {self.id!r}"

    # Connecting, and stopping meanwhile

    @contextmanager
    def _connecting(self) -> Iterator[None]:
        """Count this thread as one that connects."""
        me = threading.get_ident()
        with self._lock:
            self._connectors.add(me)
        try:
            yield
        finally:
            with self._settled:
                self._connectors.discard(me)
                self._settled.notify_all()

    def _stop_transport(self) -> None:
        """Stop the transport, and again while a thread is in ``connect()``: it may have had nothing to stop yet.

        For a second at most; whoever connects that long has begun what was stopped.
        """
        self._ws.stop()
        me, deadline = {threading.get_ident()}, time.monotonic() + _SETTLING
        while time.monotonic() < deadline:
            with self._settled:
                if self._settled.wait_for(lambda: self._connectors <= me, _LOOK):
                    return
            self._ws.stop()

    # What the transport calls

    def _connected(self, channel: Channel) -> None:
        dialect = self.get_dialect(channel.subprotocol)
        if dialect is None:
            channel.close(1002, "no OCPP version in common")
            return
        connection = Connection(self.id, channel, dialect)
        with self._lock:
            connection.session = self._session
            self._connections[channel] = connection
            self._connection = connection
            started, first, self._first = self._started, self._first, False
        if not started:
            return
        if self._dispatcher.is_running():
            self._dispatcher.resume()
        else:
            self._dispatcher.start()
            if not self._started:  # stop() came between the look above and the start
                self._dispatcher.stop()
        if not first and self._reconnected_handler is not None:
            self._announce(connection, self._welcome_back)

    def _disconnected(self, channel: Channel, close: Close) -> None:
        with self._lock:
            connection = self._connections.pop(channel, None)
            if self._connection is connection:
                self._connection = None
            present = connection is None or connection.session is self._session
            lost = present and self._started  # else stop() does the rest itself, and a new session may have begun
        self.log.info("%s: connection %s", self.id, close)
        if lost and self._ws.reconnect:
            self._suspend(connection, close)
        elif lost:
            self._end_session(close)
        if connection is None or self._disconnected_handler is None:
            return
        if present:
            self._announce(connection, self._disconnected_handler, close)
        else:
            self._submit(connection, self._disconnected_handler, close)

    def _announce(self, connection: Connection, handler: Callable[..., object], *arguments: Any) -> None:
        """Have ``handler`` called, on the thread of ``connection``, after those announced before."""
        tell = self._notices.add(partial(self._guarded, handler, *arguments))
        try:
            self._submit(connection, tell)
        except BaseException:  # no thread: it is this one that tells, for what is announced later comes after it
            tell()
            raise

    def _welcome_back(self) -> None:
        if self._started and self._reconnected_handler is not None:
            self._guarded(self._reconnected_handler)

    def _end_session(self, close: Close) -> None:
        """Take note that the connection has ended and will not be regained: after it a new session may begin."""
        self._guarded(self._dispatcher.stop)  # it may be the program's own, and what follows must be done
        open_calls = self._calls.take_all()
        if self._started:  # not by stop(), which does the rest itself
            self._timeouts.stop(0)
            with self._lock:
                self._started = False
                self._end = close
                self._ended.set()
        for open_call in open_calls:
            open_call.fail(ConnectionLost(f"the connection was {close}", open_call.message_id))

    def _has_lost(self, connection: Connection) -> bool:
        """Tell whether ``connection`` has ended otherwise than by `stop`."""
        with self._lock:
            return self._connection is not connection and (self._started or self._end is not None)

    def _suspend(self, connection: Optional[Connection], reason: object) -> None:
        """Keep requests back until the connection is regained; those of `call` over it end now."""
        self._guarded(self._dispatcher.pause)  # a queue of the program's own may raise, and the rest must be done
        for client_id, message_id in self._calls.over(connection):
            self._fail(client_id, ConnectionLost(f"the connection was lost: {reason}", message_id))
        if self._connection is not None:  # regained meanwhile: whoever regained it may have resumed before the pause
            self._dispatcher.resume()

    def _send_text(self, text: str) -> None:
        connection = self._connection or self._connection_of(self.id)
        try:
            self._write(connection, text, wait=False)  # on whatever thread ended the request before
        except TransportError as error:
            with self._lock:
                lost = self._ws.reconnect and self._connection is connection
                if lost:
                    self._connection = None
            if lost:  # one write failed; the requests that wait behind it need not fail too
                self._suspend(connection, error)
            raise

    # What `Node` calls

    def _adapt(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        return lambda client_id, *arguments: handler(*arguments)

    def _parameters(self, *names: str) -> Sequence[str]:
        return names

    def _current(self, client_id: str) -> Optional[Connection]:
        return self._connection

    def _dispatch(self, client_id: str, bundle: RequestBundle) -> None:
        try:
            self._dispatcher.send_request(bundle)
        except NotRunning as error:
            raise NotRunning(f"{self} is not started, or not connected yet") from error

    def _complete(self, client_id: str, message_id: str) -> bool:
        return self._dispatcher.complete_request(message_id) is not False

    def _retry(self, client_id: str, message_id: str, error: OCPPError) -> bool:
        return self._dispatcher.retry_request(message_id, error)

    def _withdraw(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        return self._dispatcher.cancel_request(message_id, error)

    def _pending(self, client_id: str) -> Pending:
        return self._state

    def _connection_of(self, client_id: str) -> Connection:
        connection = self._connection
        if connection is not None:
            return connection
        if not self._started:
            raise NotRunning(f"client {self.id!r} is not started")
        raise TransportError("there is no connection now")

    def _dialect_of(self, client_id: str) -> Optional[Dialect]:
        connection = self._connection
        return None if connection is None else connection.dialect

    def _waiting(self) -> ContextManager[Any]:
        return self._ws.waiting()


class _Network:
    """Where the dispatcher writes: the client's present connection, with its observers."""

    def __init__(self, client: Uplink) -> None:
        self.send = client._send_text
