"""`Server`: a central system, with one connection per charge point."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Literal,
    Mapping,
    Optional,
    Type,
    TypeVar,
    Union,
    overload,
)

from .clock import Clock, SystemClock
from .dispatch.dispatchers import DEFAULT_TIMEOUT, DefaultServerDispatcher
from .dispatch.futures import CallFuture
from .dispatch.interfaces import ServerDispatcher
from .dispatch.pending import ServerState
from .dispatch.queues import FIFOQueueMap, ServerQueueMap
from .errors import (
    ConnectionLost,
    ErrorCode,
    NotRunning,
    OcppjError,
    QueueFailed,
    QueueFull,
    Stopped,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
)
from .exchange.connection import Connection
from .exchange.handlers import check_callable
from .exchange.node import Network, Node
from .exchange.notices import Notice
from .exchange.options import Options, check_kind, check_option_names, check_seconds
from .exchange.passwords import PasswordsOption, check_handshake_check, password_check
from .payloads.jsontext import MAX_DEPTH
from .payloads.model import Payload, Request, RequestType
from .rpc.dialect import Dialect
from .rpc.features import Profile
from .rpc.messages import Call, SignatureResult
from .rpc.signing import Signer, Verifier
from .settings import LoggerLike, ValidationSetting
from .ws.base import Channel, Close
from .ws.base import Server as WsServer
from .ws.options import ServerOptions
from .ws.server import WebSocketServer
from .ws.stats import Stats

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Server"]

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=PasswordsOption)
Q = TypeVar("Q")
R = TypeVar("R", bound=Payload)
A = TypeVar("A")
Signature = Optional[SignatureResult]

_MAX_QUEUED = 1000  # requests that may wait for one client
_PATIENCE = 3.0  # seconds that what is told about a connection waits for what is to be told before


class Server(Node):
    """A central system, with one connection per charge point.

    Use `listen`, or `start`, which blocks; then `stop`; or ``with Server(...).listen(port=9000) as server``. Register
    handlers with `on` before listening.

    Handlers get the client's id first. Those of one connection run one at a time, in order, on its dispatcher thread
    or, where threads are shared (``readers``: by default beyond 8 connections), on any worker. They may block and
    ``call()`` anyone, their own connection included.

    Args:
        profiles: What it speaks, such as ``v16.PROFILES``. A connection uses those of the version that it negotiated.
        ws_server: A transport in place of the default, `ocppj.ws.server.WebSocketServer`.
        dispatcher: Sends the requests, in place of a `DefaultServerDispatcher`.
        queues: Where requests wait: by default in memory, at most 1,000 for a client. `SQLiteQueueMap` survives the
            process, and keeps the requests to a client that has disconnected. What is kept is sent again over each
            connection of its client, until it has ended.
        max_losses: A stored request is given up, and set aside, when so many connections in a row were lost while its
            answer was awaited. 0: no limit. ``None``: 20.
        state: What is pending, in place of a `ServerState` of its own.
        timeout: Seconds that a request may stay unanswered.
        clock: The source of time. It and the arguments from ``validate`` to ``verifier`` are as in `Client`.
        transport: Options of the default transport, such as ``ssl_context``: see `ocppj.ws.server.WebSocketServer`.

    Raises:
        UsageError: An argument cannot be used.
        TypeError: There is no such option.
    """

    def __init__(
        self,
        *,
        profiles: Iterable[Profile] = (),
        ws_server: Optional[WsServer] = None,
        dispatcher: Optional[ServerDispatcher] = None,
        queues: Optional[ServerQueueMap] = None,
        max_losses: Optional[int] = None,
        state: Optional[ServerState] = None,
        timeout: float = DEFAULT_TIMEOUT,
        clock: Optional[Clock] = None,
        validate: Optional[ValidationSetting] = None,
        message_id_generator: Optional[Callable[[], str]] = None,
        logger: Optional[LoggerLike] = None,
        max_bad_messages: int = 100,
        max_waiting_calls: int = 1000,
        max_depth: Optional[int] = MAX_DEPTH,
        repeat_answers: int = 0,
        answer_unknown_types: bool = False,
        signer: Optional[Signer] = None,
        verifier: Optional[Verifier] = None,
        **transport: Unpack[ServerOptions],
    ) -> None:
        options = Options(
            clock=clock or SystemClock(),
            validate=validate,
            message_id_generator=message_id_generator,
            logger=logger,
            max_bad_messages=max_bad_messages,
            max_waiting_calls=max_waiting_calls,
            max_depth=max_depth,
            repeat_answers=repeat_answers,
            answer_unknown_types=answer_unknown_types,
            signer=signer,
            verifier=verifier,
        )
        check_option_names(Server, transport, ServerOptions)
        if ws_server is None:
            ws_server = WebSocketServer(**transport)
        elif transport:
            raise UsageError(f"give the ws_server its options itself: {', '.join(transport)}")
        check_seconds("timeout", timeout)
        check_kind("queues", queues, ServerQueueMap)
        if dispatcher is None:
            queues = FIFOQueueMap(_MAX_QUEUED) if queues is None else queues
            dispatcher = DefaultServerDispatcher(queues, max_losses=max_losses)
        elif (queues, max_losses) != (None, None):
            raise UsageError("give the dispatcher its queues and max_losses itself")
        dispatcher.set_timeout(timeout)
        super().__init__("the server", profiles, options, with_client_id=True)
        self._ws: WsServer = ws_server
        self._dispatcher: ServerDispatcher = dispatcher
        self._state = state or ServerState()
        self._hold_parts(dispatcher, self._absent, self._count_refusal, unconnected=False)
        dispatcher.set_timeouts(self._timeouts)
        dispatcher.set_pending_request_state(self._state)
        dispatcher.set_network_server(Network(self._send_text))
        dispatcher.set_on_request_canceled(self._caller.request_canceled)
        dispatcher.set_decoder(self._caller.decode_stored)
        dispatcher.set_request_check(self._caller.refuse_other_version)
        ws_server.set_connected_handler(self._connected)
        ws_server.set_message_handler(self._router.receive)
        ws_server.set_disconnected_handler(self._disconnected)
        # Connections that have ended, and whose requests have not. Guarded by the lock of the lifecycle.
        self._ending: Dict[str, Connection] = {}
        self._new_client_handler: Optional[Callable[[str], object]] = None
        self._disconnected_client_handler: Optional[Callable[[str], object]] = None

    # Life cycle

    def listen(self, port: int = 0, path: str = "/{id}", host: str = "0.0.0.0") -> "Server":
        """Listen on ``host`` and ``port``.

        Args:
            port: 0 takes any free one; `url` tells where the server listens.
            path: Where clients connect: a template that ends in ``{id}``.
            host: The address of this machine to listen on.

        Returns:
            This server.

        Raises:
            TransportError: The address cannot be had.
            UsageError: The server is started already, has no profiles, or the path is no template.
            Stopped: `stop` was called meanwhile.
        """
        self._begin()
        try:
            self._dispatcher.start()
            self._ws.listen(port, path, host, [dialect.subprotocol for dialect in self.dialects])
        except BaseException:
            self.stop()
            raise
        if not self._lifecycle.started:  # stop() came while it began to listen
            self._ws.stop()
            raise Stopped(f"{self} was stopped while it began to listen")
        return self

    def start(self, port: int, path: str = "/{id}", host: str = "0.0.0.0") -> None:
        """Listen, and block until `stop` is called from another thread. Raises what `listen` raises."""
        try:
            self.listen(port, path, host)
        except Stopped:
            return
        self._lifecycle.ended.wait()

    def stop(self) -> None:
        """Stop listening, close every connection, and end every request with `Stopped`; else as `Client.stop`."""
        self._stop(self._dispatcher.stop, self._ws.stop)
        with self._lifecycle.lock:
            if not self._lifecycle.started:
                self._state.clear()  # frames that came while it stopped may have asked for a state

    @property
    def url(self) -> str:
        """The URL for a client on this machine, without the identity: what `Client.connect` takes."""
        return self._ws.url

    def client_ids(self) -> List[str]:
        """Return the ids of the connected clients."""
        with self._lifecycle.lock:
            return list(self._connections.by_id)

    def version_of(self, client_id: str) -> str:
        """Return the OCPP version spoken with that client, such as "1.6". Raises `UnknownClient`."""
        return self._connections.get(client_id).dialect.version

    def disconnect(self, client_id: str, code: int = 1000, reason: str = "") -> None:
        """Close that client's connection. Raises `UnknownClient`."""
        self._connections.get(client_id).channel.close(code, reason)

    def set_ping_interval(self, client_id: str, interval: Optional[float]) -> None:
        """Ping that client every ``interval`` seconds; ``None`` or 0: not at all, for one that never answers pings.

        Raises `UnknownClient`, and ``ValueError`` for a negative interval.
        """
        self._connections.get(client_id).channel.ping_interval = interval

    def stats(self) -> Stats:
        """Return what was let in, refused and lost. `ocppj.ws.stats` names the reasons.

        Beside those of the transport, ``refused`` counts ``queue_full`` (a request to a client whose queue is full),
        ``waiting_calls`` (a CALL or SEND of a client of which too many wait already), ``nesting_depth`` (a frame nested
        too deeply) and ``bad_messages`` (a connection closed for too many frames that are no messages).

        Raises:
            UsageError: The transport counts nothing.
        """
        stats: Callable[[], Stats] = self._of_transport("stats")
        return stats()

    # Requests and answers

    @overload
    def call(
        self, client_id: str, request: Request[R], timeout: Optional[float] = None, *, signed: bool = False
    ) -> R: ...

    @overload
    def call(
        self, client_id: str, request: Payload, timeout: Optional[float] = None, *, signed: bool = False
    ) -> Any: ...

    def call(self, client_id: str, request: Payload, timeout: Optional[float] = None, *, signed: bool = False) -> Any:
        """Send ``request`` to that client, wait, and return the typed response.

        It may be called where `Client.call` may be.

        Args:
            client_id: A connected client.
            request: A request of one of the profiles.
            timeout: Seconds to wait, in the queue too. Without it: the server's ``timeout``, from the sending on.
            signed: Whether to send the signed form of an OCPP 2.x message.

        Raises:
            UnknownClient: No such client is connected.
            OcppjError: What `Client.call` raises.
        """
        return self._caller.call(client_id, request, timeout, signed)

    @overload
    def send_request(
        self, client_id: str, request: Request[R], timeout: Optional[float] = None, *, signed: bool = False
    ) -> CallFuture[R]: ...

    @overload
    def send_request(
        self, client_id: str, request: Payload, timeout: Optional[float] = None, *, signed: bool = False
    ) -> CallFuture[Any]: ...

    def send_request(
        self, client_id: str, request: Payload, timeout: Optional[float] = None, *, signed: bool = False
    ) -> CallFuture[Any]:
        """Queue ``request`` for that client. One request to a client is under way at a time.

        Args:
            client_id: A connected client.
            request: A request of one of the profiles.
            timeout: As in `call`.
            signed: As in `call`. The future's ``signature`` tells about the signature of the answer.

        Returns:
            A future of the response. A failed write fails it.

        Raises:
            UnknownClient: No such client is connected.
            OcppjError: What `Client.send_request` raises.
        """
        fragile = not self._dispatcher.durable
        return self._caller.send_request(client_id, request, timeout, fragile=fragile, signed=signed)

    @overload
    def broadcast(
        self, request: Request[R], client_ids: Optional[Iterable[str]] = None, timeout: Optional[float] = None
    ) -> Dict[str, CallFuture[R]]: ...

    @overload
    def broadcast(
        self, request: Payload, client_ids: Optional[Iterable[str]] = None, timeout: Optional[float] = None
    ) -> Dict[str, CallFuture[Any]]: ...

    def broadcast(
        self, request: Payload, client_ids: Optional[Iterable[str]] = None, timeout: Optional[float] = None
    ) -> Dict[str, CallFuture[Any]]:
        """Queue ``request`` for each of ``client_ids``, by default all that are connected.

        Args:
            request: A request of one of the profiles.
            client_ids: Their ids.
            timeout: As in `call`.

        Returns:
            A future for each id. What keeps the request from one client (it has gone, its queue is full, its version
            has no such request) fails that client's future.

        Raises:
            ValidationError: The payload breaks its schema.
            EncodingError: A field cannot be written.
            NotRunning: The server is not started.
            UsageError: ``client_ids`` is one text.
        """
        if not self._lifecycle.started:
            raise NotRunning(f"{self} is not started")
        if isinstance(client_ids, str):
            raise UsageError("client_ids is a sequence of ids, not one text")
        fragile = not self._dispatcher.durable
        futures = {}
        made: Dict[Dialect, Call] = {}  # it is encoded and checked once for each version
        for client_id in self.client_ids() if client_ids is None else dict.fromkeys(client_ids):
            try:
                future = self._caller.send_request(client_id, request, timeout, fragile=fragile, made=made)
            except (UnknownClient, UnsupportedFeature, QueueFull, QueueFailed, ConnectionLost, NotRunning) as error:
                future = CallFuture("", lambda message_id: None)
                future.set_exception(error)
            futures[client_id] = future
        return futures

    def send(self, client_id: str, request: Payload, *, signed: bool = False) -> str:
        """Send a message that is never answered, at once, and return its id: see `Client.send`.

        Raises:
            UnknownClient: No such client is connected.
            OcppjError: What `Client.send` raises.
        """
        return self._caller.send_one_way(client_id, request, signed)

    def send_response(self, client_id: str, message_id: str, response: Payload) -> None:
        """Answer the CALL ``message_id`` of that client: see `Client.send_response`. Raises `UnknownClient`, too."""
        self._responder.answer(self._connections.get(client_id), message_id, response)

    def send_error(
        self,
        client_id: str,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str = "",
        details: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Answer the CALL with an error: see `Client.send_error`. Raises `UnknownClient`, too."""
        connection = self._connections.get(client_id)
        self._responder.answer_with_error(connection, message_id, code, description, details)

    # Handlers. Those that a client has alike are in `Node`.

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]]
    ) -> Callable[[Callable[[str, Q], Optional[A]]], Callable[[str, Q], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_id: Literal[True]
    ) -> Callable[[Callable[[str, Q, str], Optional[A]]], Callable[[str, Q, str], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_signature: Literal[True]
    ) -> Callable[[Callable[[str, Q, Signature], Optional[A]]], Callable[[str, Q, Signature], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_id: Literal[True], pass_signature: Literal[True]
    ) -> Callable[
        [Callable[[str, Q, str, Signature], Optional[A]]], Callable[[str, Q, str, Signature], Optional[A]]
    ]: ...

    @overload
    def on(
        self, request_type: Type[Payload], *, pass_id: bool = False, pass_signature: bool = False
    ) -> Callable[[F], F]: ...

    def on(self, request_type: Any, *, pass_id: bool = False, pass_signature: bool = False) -> Any:
        """Have requests of that type handled by the decorated ``f(client_id, request)``.

        Else it is as `Client.on`.

        Args:
            request_type: A message type, such as ``v16.BootNotificationRequest``.
            pass_id: Whether the message id is the next argument: ``f(client_id, request, message_id)``.
            pass_signature: Whether the last argument is the request's `SignatureResult`, or ``None`` without signature.

        Raises:
            UnsupportedFeature: No profile has the type.
        """
        return self._handlers.on(request_type, pass_id, pass_signature)

    def set_new_client_handler(self, handler: F) -> F:
        """Call ``f(client_id)`` when a client has connected, before its first request is handled."""
        check_callable(handler, ["client_id"])
        self._new_client_handler = handler
        return handler

    def set_disconnected_client_handler(self, handler: F) -> F:
        """Call ``f(client_id)`` when a client has disconnected, after its last request was handled."""
        check_callable(handler, ["client_id"])
        self._disconnected_client_handler = handler
        return handler

    # Checks of a handshake. They run on its thread, several at a time, and must not block for long. ``True`` is a yes,
    # what counts as false a no. A check that returns anything else, or raises, refuses with 500, and is logged. Each
    # setter raises `UsageError` when a transport of the program's own has no such check.

    def set_check_client_handler(self, handler: F) -> F:
        """Let ``f(request: HandshakeRequest)`` say whether that client is known; if not, it is refused with 404.

        OCPP-J 1.6 section 3.2; Part 4 section 3.2.
        """
        self._of_transport("set_check_client_handler")(check_handshake_check(handler, ["request"]))
        return handler

    def set_basic_auth_handler(self, handler: C) -> C:
        """Let ``f(client_id, password: bytes)`` say whether Basic credentials are right; if not, or none came: 401.

        The user name equals the identity in the URL already. In place of a function a mapping may be given, and
        changed: identity -> expected password, text (UTF-8) or bytes (`authorization_key` for a 1.6 key). It is
        compared in constant time. 1.6 security whitepaper and Part 2, A00.FR.202 to 207.
        """
        self._of_transport("set_basic_auth_handler")(password_check(handler))
        return handler

    def set_check_origin_handler(self, handler: F) -> F:
        """Let ``f(origin: str | None)`` say whether a browser's page may connect; if not, it is refused with 403."""
        self._of_transport("set_check_origin_handler")(check_handshake_check(handler, ["origin"]))
        return handler

    def set_check_certificate_handler(self, handler: F) -> F:
        """Let ``f(request: HandshakeRequest)`` say whether the client's certificate is its own; if not: 401.

        It replaces the check that a verified certificate names the identity (``request.certificate_matches``). It is
        called for each client, with a ``request.peer_certificate`` of ``None`` for one without a certificate. 1.6
        security whitepaper and Part 2, A00.FR.404 and 405.
        """
        self._of_transport("set_check_certificate_handler")(check_handshake_check(handler, ["request"]))
        return handler

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
        connection = Connection(channel.id, channel, dialect, _Pending(self._state, channel.id))
        connections = self._connections
        with self._lifecycle.lock:
            if not self._lifecycle.started:
                return
            before = connections.by_id.get(channel.id) or self._ending.get(channel.id)
            connections.by_channel[channel] = connection
            connections.by_id[channel.id] = connection
        if before is not None and not before.released:  # its reader is held up, here or where its end is told
            self._end_requests(before, "replaced by a newer one")
        if not self._take_requests(connection):
            return
        handler = self._new_client_handler
        if handler is not None:
            self._announce(connection, self._add_notice(connection, handler, channel.id), _PATIENCE)

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

    def _disconnected(self, channel: Channel, close: Close) -> None:
        connections, handler = self._connections, self._disconnected_client_handler
        notice: Optional[Notice] = None
        with self._lifecycle.lock:
            connection = connections.by_channel.pop(channel, None)
            if connection is None:
                return
            current = connections.by_id.get(channel.id) is connection
            if current:
                del connections.by_id[channel.id]
            self._ending[channel.id] = connection
            if handler is not None or self._new_client_handler is not None:  # else it is not worth a thread
                # Before a newer connection can be: its requests may begin, and be told of, while these are ended.
                notice = self._add_notice(connection, handler or (lambda client_id: None), channel.id)
        try:
            self.log.info("%s: connection %s", channel.id, close)
            if current:  # not replaced by a newer connection of the same identity, whose requests these would be
                self._end_requests(connection, str(close))
        finally:
            with self._lifecycle.lock:
                if self._ending.get(channel.id) is connection:
                    del self._ending[channel.id]
            if notice is not None:
                self._announce(connection, notice, _PATIENCE)

    def _end_requests(self, connection: Connection, how: str) -> None:
        """End the requests of a connection that has ended; those that a durable queue keeps go on later."""
        if self._dispatcher.durable:  # else `delete_client` does that
            self._caller.connection_lost(connection, how)
        with self._lifecycle.lock:
            released, connection.released = connection.released, True
        if not released:  # by a newer one, whose requests they are by now
            # A queue of the program's own may raise; the rest must be done.
            self._handlers.call(self._dispatcher.delete_client, connection.client_id)
            newer = self._connections.by_id.get(connection.client_id)
            if newer is not None and newer is not connection:  # it came meanwhile, and was deleted, too
                self._take_requests(newer)
        self._caller.connection_lost(connection, how)

    # What the parts call

    def _absent(self, client_id: str) -> Exception:
        if not self._lifecycle.started:
            return NotRunning(f"{self} is not started")
        return UnknownClient(f"no client {client_id!r} is connected")

    def _count_refusal(self, reason: str) -> None:
        # A transport of the program's own need not count.
        getattr(self._ws, "count_refusal", lambda reason: None)(reason)

    def _send_text(self, client_id: str, text: str) -> None:
        """Write what the dispatcher sends, on whatever thread ended the request before."""
        connection = self._connections.by_id.get(client_id) or self._connections.get(client_id)
        handlers = self._handlers
        if handlers.observers:
            handlers.observe("out", connection, text)
        connection.channel.send(text, False)


class _Pending:
    """The pending request of one client. Its table is looked up each time: `ServerState.clear_client` replaces it."""

    __slots__ = ("_client_id", "_state")

    def __init__(self, state: ServerState, client_id: str) -> None:
        self._state = state
        self._client_id = client_id

    def get(self, message_id: str) -> Optional[Any]:
        return self._state.get_client_state(self._client_id).get(message_id)
