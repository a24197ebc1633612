"""`Client`: a charge point. An `Endpoint`, a `ClientDispatcher` and a transport's client."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, ContextManager, Iterable, Mapping, Optional, Sequence, TypeVar, Union, overload

from .calls import CallFuture
from .clock import Clock, SystemClock
from .connection import Connection
from .dialect import Dialect
from .dispatcher import DEFAULT_TIMEOUT, ClientDispatcher, DefaultClientDispatcher
from .endpoint import Pending
from .errors import CallFailed, ConnectionLost, ErrorCode, NotRunning, Stopped, TransportError, UsageError
from .handlers import check_callable
from .options import Options
from .payloads import Payload, Request
from .profile import Profile
from .queues import RequestBundle
from .running import Running
from .settings import LoggerLike, ValidationSetting
from .signing import Signer, Verifier
from .state import PendingRequestState
from .ws.base import Channel, Close
from .ws.base import Client as WsClient
from .ws.client import WebSocketClient

__all__ = ["Client"]

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound=Payload)


class Client(Running):
    """A charge point called ``id``, with one connection to a central system.

    ``profiles`` say what it speaks; their OCPP versions are offered in order. ``timeout`` is how long a request may
    stay unanswered, in seconds. With ``reconnect`` (the default) a lost connection is regained until `stop`: queued
    requests are kept and sent then.

    ``ws_client``, ``dispatcher`` and ``state`` replace the defaults; ``transport`` options (``ssl_context``,
    ``basic_auth``, ``headers``, ``ping_interval`` ...) are those of `ocppj.ws.client.WebSocketClient`.

    ``max_bad_messages`` frames in a row that are no OCPP message close the connection with 1002.
    ``max_waiting_calls`` bounds the peer's CALLs that wait to be handled. ``repeat_answers`` is how many answers are
    remembered, for a peer that repeats a CALL with its id. With ``answer_unknown_types`` a frame of an unknown message
    type is answered with MessageTypeNotSupported in OCPP 2.x, instead of being ignored. ``validate``,
    ``message_id_generator`` and ``logger`` override the settings of the process.

    ``signer`` signs what is sent with ``signed=True``, and the answers to signed requests; ``verifier`` looks at the
    signatures of the peer (OCPP 2.x; see `ocppj.signing`).

    Handlers run on the connection's dispatcher thread, one at a time, in order, and may block and ``call()``.
    """

    def __init__(
        self,
        id: str,
        *,
        profiles: Iterable[Profile] = (),
        ws_client: Optional[WsClient] = None,
        dispatcher: Optional[ClientDispatcher] = None,
        state: Optional[PendingRequestState] = None,
        timeout: float = DEFAULT_TIMEOUT,
        reconnect: Optional[bool] = None,
        clock: Optional[Clock] = None,
        validate: Optional[ValidationSetting] = None,
        message_id_generator: Optional[Callable[[], str]] = None,
        logger: Optional[LoggerLike] = None,
        max_bad_messages: int = 100,
        max_waiting_calls: int = 1000,
        repeat_answers: int = 0,
        answer_unknown_types: bool = False,
        signer: Optional[Signer] = None,
        verifier: Optional[Verifier] = None,
        **transport: Any,
    ) -> None:
        if not isinstance(id, str) or not id:
            raise UsageError("a client's id is a text that is not empty")
        self.id = id
        options = Options(
            clock=clock or SystemClock(),
            validate=validate,
            message_id_generator=message_id_generator,
            logger=logger,
            max_bad_messages=max_bad_messages,
            max_waiting_calls=max_waiting_calls,
            repeat_answers=repeat_answers,
            answer_unknown_types=answer_unknown_types,
            signer=signer,
            verifier=verifier,
        )
        super().__init__(profiles, options)
        if ws_client is not None and transport:
            raise UsageError(f"give the ws_client its options itself: {', '.join(transport)}")
        self._ws: WsClient = WebSocketClient(clock=self._clock, **transport) if ws_client is None else ws_client
        if reconnect is not None:
            self._ws.reconnect = reconnect
        self._state = PendingRequestState() if state is None else state
        self._dispatcher: ClientDispatcher = DefaultClientDispatcher() if dispatcher is None else dispatcher
        self._dispatcher.set_timeouts(self._timeouts)
        self._dispatcher.set_timeout(timeout)
        self._dispatcher.set_pending_request_state(self._state)
        self._dispatcher.set_network_client(_Network(self))
        self._dispatcher.set_on_request_canceled(partial(self._on_canceled, id))
        self._ws.set_connected_handler(self._connected)
        self._ws.set_message_handler(self._receive)
        self._ws.set_disconnected_handler(self._disconnected)
        # Guarded by the lock:
        self._connection: Optional[Connection] = None
        self._end: Optional[Close] = None
        self._disconnected_handler: Optional[Callable[[Close], None]] = None
        self._reconnected_handler: Optional[Callable[[], None]] = None

    # Life cycle

    def connect(self, url: str) -> "Client":
        """Connect to ``url`` + "/" + the percent-encoded id, and return this client when connected.

        Raises `TransportError` (`HandshakeRefused`, `SubprotocolError`) when the connection cannot be made; the first
        connection is tried once. Raises `Stopped` when `stop` was called meanwhile, and `UsageError` when the client is
        started already or has no profiles.
        """
        for dialect in self.dialects:
            if not dialect.allows_identity(self.id):
                raise UsageError(f"OCPP {dialect.version} does not allow the id {self.id!r}")
        self._begin()
        self._end = None
        try:
            self._ws.connect(url, self.id, [dialect.subprotocol for dialect in self.dialects])
        except BaseException as error:
            stopped = not self._started
            self.stop()
            if stopped and isinstance(error, TransportError):
                raise Stopped(f"client {self.id!r} was stopped while it connected") from error
            raise
        with self._lock:
            stopped = not self._started and self._end is None
        if stopped:
            self._ws.stop()
            raise Stopped(f"client {self.id!r} was stopped while it connected")
        return self

    def start(self, url: str) -> None:
        """Connect, and block until `stop` or, with ``reconnect=False``, until the connection ends.

        Raises what `connect` raises, and `ConnectionLost` when the connection broke and is not to be regained.
        """
        try:
            self.connect(url)
        except Stopped:
            return
        self._ended.wait()
        end = self._end
        if end is not None and (end.error is not None or end.code == 1006):
            raise ConnectionLost(f"the connection broke: {end}")

    def __str__(self) -> str:
        return f"client {self.id!r}"

    @property
    def version(self) -> Optional[str]:
        """The OCPP version of the present connection, such as "1.6", or ``None`` when there is none."""
        dialect = self._dialect_of(self.id)
        return None if dialect is None else dialect.version

    def is_connected(self) -> bool:
        """Tell whether there is a connection now."""
        return self._connection is not None

    # Requests and answers

    @overload
    def call(self, request: Request[R], timeout: Optional[float] = None, *, signed: bool = False) -> R: ...

    @overload
    def call(self, request: Payload, timeout: Optional[float] = None, *, signed: bool = False) -> Any: ...

    def call(self, request: Payload, timeout: Optional[float] = None, *, signed: bool = False) -> Any:
        """Send ``request``, wait, and return the typed response.

        ``timeout`` bounds the wait for the answer, in seconds, the wait in the queue included; without it the request
        may wait its turn, and then for the client's ``timeout`` to be answered.

        Raises `OCPPError` when the peer answers with a CALLERROR,
        `CallTimeout` when it does not answer, `ConnectionLost` as soon as the connection is lost (the request is then
        given up; use `send_request` for one that outlives the connection), `Stopped`, `InvalidResponse`, and what
        `send_request` raises.

        May be called from any thread, and from handlers. Not from callbacks of futures, observers and the like, which
        run on the thread that reads the connection: there it raises `WouldDeadlock`.
        """
        if self._started and self._connection is None:
            raise ConnectionLost("there is no connection now")
        return self._call(self.id, request, timeout, signed)

    @overload
    def send_request(
        self, request: Request[R], timeout: Optional[float] = None, *, signed: bool = False
    ) -> CallFuture[R]: ...

    @overload
    def send_request(
        self, request: Payload, timeout: Optional[float] = None, *, signed: bool = False
    ) -> CallFuture[Any]: ...

    def send_request(
        self, request: Payload, timeout: Optional[float] = None, *, signed: bool = False
    ) -> CallFuture[Any]:
        """Queue ``request`` and return a future with its ``message_id``; one request is under way at a time.

        ``timeout`` is as in `call`. ``signed`` sends the signed form of an OCPP 2.x message; the future's ``signature``
        tells about the answer's. Raises `NotRunning` before the start and after the end, `ValidationError` and
        `EncodingError` for a bad payload, `UnsupportedFeature`, `QueueFull`, `UsageError` without a signer. A failed
        write is not raised: the future fails.
        """
        return self._send_request(self.id, request, timeout, fragile=False, signed=signed)

    def send(self, request: Payload, *, signed: bool = False) -> str:
        """Send a message that is never answered, and return its id: OCPP 2.1's SEND (Part 4 section 4.2.4).

        It is written at once, whatever is pending. Raises `NotRunning`, `ValidationError`, `EncodingError`,
        `UnsupportedFeature`, `UsageError` for a request that is answered, and `TransportError` when it cannot be
        written.
        """
        return self._send_one_way(self.id, request, signed)

    def send_response(self, message_id: str, response: Payload) -> None:
        """Answer the CALL ``message_id``. Raises `ValidationError`, `UnsupportedFeature` or `TransportError`.

        When the response cannot be sent, a CALLERROR is sent in its place.
        """
        self._answer_later(self._connection_of(self.id), message_id, response)

    def send_error(
        self,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str = "",
        details: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Answer the CALL ``message_id`` with an error. Raises `UsageError` for an unknown code, `TransportError`."""
        self._answer_with_error(self._connection_of(self.id), message_id, code, description, details)

    # Handlers of a client's own; the others are `ocppj.handlers.Registering`'s

    def set_disconnected_handler(self, handler: F) -> F:
        """Call ``f(close)`` when a connection has ended; `ocppj.ws.base.Close` says how."""
        check_callable(handler, ["close"])
        self._disconnected_handler = handler
        return handler

    def set_reconnected_handler(self, handler: F) -> F:
        """Call ``f()`` when a lost connection is regained."""
        check_callable(handler, [])
        self._reconnected_handler = handler
        return handler

    # What the transport and `Node` call

    def _connected(self, channel: Channel) -> None:
        dialect = self.get_dialect(channel.subprotocol)
        if dialect is None:
            channel.close(1002, "no OCPP version in common")
            return
        connection = Connection(self.id, channel, dialect)
        with self._lock:
            self._connections[channel] = connection
            self._connection = connection
            started = self._started
        if not started:
            return
        if self._dispatcher.is_running():
            self._drop_foreign(dialect)
            self._dispatcher.resume()
            if self._reconnected_handler is not None:
                self._submit(connection, self._reconnected_handler)
        else:
            self._dispatcher.start()
            if not self._started:  # stop() came between the look above and the start
                self._dispatcher.stop()

    def _drop_foreign(self, dialect: Dialect) -> None:
        """End the requests that were made for another OCPP version than the one the connection came back with."""
        for client_id, message_id, version in self._calls.foreign(dialect):
            words = f"the connection is back in OCPP {dialect.version}; the request is one of OCPP {version}"
            self._fail(client_id, ConnectionLost(words, message_id))

    def _disconnected(self, channel: Channel, close: Close) -> None:
        with self._lock:
            connection = self._connections.pop(channel, None)
            if self._connection is connection:
                self._connection = None
            final = not (self._started and self._ws.reconnect)
        self.log.info("%s: connection %s", self.id, close)
        if final:
            self._end_session(close)
        else:
            self._suspend(connection, close)
        if connection is not None and self._disconnected_handler is not None:
            self._submit(connection, self._disconnected_handler, close)

    def _end_session(self, close: Close) -> None:
        """Take note that the connection has ended and will not be regained: after it a new session may begin."""
        self._dispatcher.stop()
        open_calls = self._calls.take_all()
        if self._started:  # not by stop(), which does the rest itself
            self._timeouts.stop(0)
            with self._lock:
                self._started = False
                self._end = close
                self._ended.set()
        for open_call in open_calls:
            open_call.fail(ConnectionLost(f"the connection was {close}", open_call.future.message_id))

    def _suspend(self, connection: Optional[Connection], reason: object) -> None:
        """Keep requests back until the connection is regained; those of `call` over it end now."""
        self._dispatcher.pause()
        for client_id, message_id in self._calls.over(connection):
            self._fail(client_id, ConnectionLost(f"the connection was lost: {reason}", message_id))
        if self._connection is not None:  # regained meanwhile: whoever regained it may have resumed before the pause
            self._dispatcher.resume()

    def _send_text(self, text: str) -> None:
        connection = self._connection_of(self.id)
        try:
            self._write(connection, text)
        except TransportError as error:
            with self._lock:
                lost = self._ws.reconnect and self._connection is connection
                if lost:
                    self._connection = None
            if lost:  # one write failed; the requests that wait behind it need not fail too
                self._suspend(connection, error)
            raise

    def _adapt(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        return lambda client_id, *arguments: handler(*arguments)

    def _parameters(self, *names: str) -> Sequence[str]:
        return names

    def _current(self, client_id: str) -> Optional[Connection]:
        return self._connection

    def _dispatch(self, client_id: str, bundle: RequestBundle) -> None:
        self._dispatcher.send_request(bundle)

    def _complete(self, client_id: str, message_id: str) -> None:
        self._dispatcher.complete_request(message_id)

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

    def __init__(self, client: Client) -> None:
        self._client = client

    def send(self, text: str) -> None:
        self._client._send_text(text)
