"""`Server`: a central system. An `Endpoint`, a `ServerDispatcher` and a transport's server."""

from __future__ import annotations

from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
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
from .downlinks import Downlinks
from .errors import (
    ConnectionLost,
    ErrorCode,
    NotRunning,
    QueueFailed,
    QueueFull,
    Stopped,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
)
from .exchange.handlers import check_callable
from .exchange.options import Options, check_kind, check_seconds
from .exchange.passwords import Admitting
from .payloads.jsontext import MAX_DEPTH
from .payloads.model import Payload, Request
from .rpc.dialect import Dialect
from .rpc.features import Profile
from .rpc.messages import Call
from .rpc.signing import Signer, Verifier
from .settings import LoggerLike, ValidationSetting
from .ws.base import Server as WsServer
from .ws.server import WebSocketServer

__all__ = ["Server"]

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound=Payload)

# Requests that may wait for one client.
_MAX_QUEUED = 1000


class Server(Admitting, Downlinks):
    """A central system, with one connection per charge point.

    ``profiles`` say what it speaks; each connection uses those of the OCPP version it negotiated. ``timeout`` is how
    long a request may stay unanswered, in seconds.

    ``queues`` is where requests wait, a queue per client: in memory, at most 1,000 for a client, unless others are
    given (`SQLiteQueueMap` survives the process, and keeps the requests to a client that has disconnected).
    What is kept is sent again over each connection of its client, until it has ended; it is given up, and set aside,
    when ``max_losses`` of them in a row were lost while its answer was awaited. 0 means no limit, ``None`` means 20.

    ``ws_server``, ``dispatcher`` and ``state`` replace the defaults; ``transport`` options (``ssl_context``,
    ``ping_interval``, ``duplicates`` ...) are those of `ocppj.ws.server.WebSocketServer`. The other arguments are as in
    `Client`.

    Handlers get the client's id first. Those of one connection run one at a time, in order, on its dispatcher thread
    or, where threads are shared (``readers``: by default beyond 8 connections), on any worker. They may block and
    ``call()`` anyone, their own connection included.
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
        **transport: Any,
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
        super().__init__(profiles, options, ws_server, dispatcher, state or ServerState())

    # Life cycle

    def listen(self, port: int = 0, path: str = "/{id}", host: str = "0.0.0.0") -> "Server":
        """Listen, and return this server. Port 0 takes any free one; `url` tells where it listens.

        ``path`` is where clients connect: a template that ends in ``{id}``. Raises `TransportError` when the address
        cannot be had, `UsageError` when the server is started already, has no profiles, or the path is no template.
        """
        self._begin()
        try:
            self._dispatcher.start()
            self._ws.listen(port, path, host, [dialect.subprotocol for dialect in self.dialects])
        except BaseException:
            self.stop()
            raise
        if not self._started:  # stop() came while it began to listen
            self._ws.stop()
            raise Stopped("the server was stopped while it began to listen")
        return self

    def start(self, port: int, path: str = "/{id}", host: str = "0.0.0.0") -> None:
        """Listen, and block until `stop` is called from another thread. Raises what `listen` raises."""
        try:
            self.listen(port, path, host)
        except Stopped:
            return
        self._ended.wait()

    def stop(self) -> None:
        """Stop listening, close every connection, and end every request with `Stopped`.

        Returns when threads and sockets are gone. May be called from any thread, handlers included, and more than once.
        """
        super().stop()
        with self._lock:
            if not self._started:
                self._state.clear()  # frames that came while it stopped may have asked for a state

    @property
    def url(self) -> str:
        """The URL for a client on this machine, without the identity: what `Client.connect` takes."""
        return self._ws.url

    def client_ids(self) -> List[str]:
        """Return the ids of the connected clients."""
        with self._lock:
            return list(self._by_id)

    def version_of(self, client_id: str) -> str:
        """Return the OCPP version spoken with that client, such as "1.6". Raises `UnknownClient`."""
        return self._connection_of(client_id).dialect.version

    def disconnect(self, client_id: str, code: int = 1000, reason: str = "") -> None:
        """Close that client's connection. Raises `UnknownClient`."""
        self._connection_of(client_id).channel.close(code, reason)

    def set_ping_interval(self, client_id: str, interval: Optional[float]) -> None:
        """Ping that client every ``interval`` seconds; ``None`` or 0: not at all, for one that never answers pings.

        Raises `UnknownClient`, and ``ValueError`` for a negative interval.
        """
        self._connection_of(client_id).channel.ping_interval = interval

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

        ``timeout`` bounds the wait for the answer, in seconds, the wait in the queue included; without it the request
        may wait its turn, and then for the server's ``timeout`` to be answered.

        Raises `OCPPError` when the peer answers with a CALLERROR,
        `CallTimeout` when it does not answer, `ConnectionLost` when the connection ends, `Stopped`,
        `InvalidResponse`, and what `send_request` raises.

        May be called from any thread, and from handlers. Not from callbacks of futures, observers and the like, which
        run on the thread that reads the connection: there it raises `WouldDeadlock`.
        """
        return self._call(client_id, request, timeout, signed)

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
        """Queue ``request`` for that client and return a future with its ``message_id``.

        One request to a client is under way at a time. ``timeout`` is as in `call`, ``signed`` as in `Client`. Raises
        `NotRunning`, `UnknownClient`, `ValidationError` and `EncodingError` for a bad payload, `UnsupportedFeature`,
        `QueueFull`, `QueueFailed` from a durable queue, and `UsageError` without a signer. A failed write is not
        raised: the future fails.
        """
        return self._send_request(client_id, request, timeout, fragile=not self._dispatcher.durable, signed=signed)

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
        """Queue ``request`` for each of ``client_ids``, by default all that are connected; return futures by id.

        What keeps it from one client (it has gone, its queue is full, it speaks a version without this request) fails
        that client's future. What is wrong with the request itself is raised: `ValidationError`, `EncodingError`. Also
        raises `NotRunning`, `UsageError`.
        """
        if not self._started:
            raise NotRunning("the server is not started")
        if isinstance(client_ids, str):
            raise UsageError("client_ids is a sequence of ids, not one text")
        fragile = not self._dispatcher.durable
        futures = {}
        made: Dict[Dialect, Call] = {}  # it is encoded and checked once for each version
        for client_id in self.client_ids() if client_ids is None else dict.fromkeys(client_ids):
            try:
                future = self._send_request(client_id, request, timeout, fragile, False, made)
            except (UnknownClient, UnsupportedFeature, QueueFull, QueueFailed, ConnectionLost, NotRunning) as error:
                future = CallFuture("", lambda message_id: None)
                future.set_exception(error)
            futures[client_id] = future
        return futures

    def send(self, client_id: str, request: Payload, *, signed: bool = False) -> str:
        """Send a message that is never answered, and return its id: OCPP 2.1's SEND (Part 4 section 4.2.4).

        It is written at once, whatever is pending. Raises `UnknownClient`, `ValidationError`, `EncodingError`,
        `UnsupportedFeature`, `UsageError` for a request that is answered, and `TransportError` when it cannot be
        written.
        """
        return self._send_one_way(client_id, request, signed)

    def send_response(self, client_id: str, message_id: str, response: Payload) -> None:
        """Answer the CALL ``message_id`` of that client.

        Raises `UnknownClient`, `ValidationError`, `UnsupportedFeature` or `TransportError`. When the response cannot
        be sent, a CALLERROR is sent in its place.
        """
        self._answer_later(self._connection_of(client_id), message_id, response)

    def send_error(
        self,
        client_id: str,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str = "",
        details: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Answer the CALL ``message_id`` of that client with an error.

        Raises `UnknownClient`, `UsageError` for an unknown code, and `TransportError`.
        """
        self._answer_with_error(self._connection_of(client_id), message_id, code, description, details)

    # Handlers of a server's own; the others are `ocppj.exchange.handlers.Registering`'s

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
