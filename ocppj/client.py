"""`Client`: a charge point. An `Endpoint`, a `ClientDispatcher` and a transport's client."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Mapping, Optional, TypeVar, Union, overload

from .clock import Clock, SystemClock
from .dispatch.dispatchers import DEFAULT_TIMEOUT, DefaultClientDispatcher
from .dispatch.futures import CallFuture
from .dispatch.interfaces import ClientDispatcher
from .dispatch.pending import PendingRequestState
from .dispatch.queues import RequestQueue
from .dispatch.retries import TransactionRetries
from .errors import ConnectionLost, ErrorCode, NotRunning, Stopped, TransportError, UsageError
from .exchange.connection import Notices
from .exchange.handlers import check_callable
from .exchange.options import Options, check_kind, check_seconds
from .payloads.jsontext import MAX_DEPTH
from .payloads.model import Payload, Request
from .rpc.features import Profile
from .rpc.signing import Signer, Verifier
from .settings import LoggerLike, ValidationSetting
from .uplink import Uplink
from .ws.base import Client as WsClient
from .ws.client import WebSocketClient

__all__ = ["Client"]

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound=Payload)


class Client(Uplink):
    """A charge point called ``id``, with one connection to a central system.

    ``profiles`` say what it speaks; their OCPP versions are offered in order. ``timeout`` is how long a request may
    stay unanswered, in seconds. With ``reconnect`` (the default) a lost connection is regained until `stop`: queued
    requests are kept and sent then.

    ``queue`` is where requests wait: in memory and without limit, unless another is given (`SQLiteQueue` survives the
    process). ``retries`` say which requests are sent again when the peer fails to process them (`TransactionRetries`).
    With ``resend`` a request whose answer was awaited when the connection was lost is sent again, with its id, when the
    connection is back (OCPP 2.1 Part 4 section 4.1.4 lets a retry keep its id); without it the answer is awaited anew.
    One whose write failed is kept, too. The default is to resend what is in a durable queue. Either way a request is
    given up, with `ConnectionLost`, when ``max_losses`` connections in a row were lost while its answer was awaited; a
    durable queue sets it aside. 0 means no limit, ``None`` means 5, and no limit for a durable queue (see
    `DefaultClientDispatcher`).

    ``ws_client``, ``dispatcher`` and ``state`` replace the defaults; ``transport`` options (``ssl_context``,
    ``basic_auth``, ``headers``, ``ping_interval`` ...) are those of `ocppj.ws.client.WebSocketClient`.

    ``max_bad_messages`` frames in a row that are no OCPP message close the connection with 1002.
    A frame whose arrays and objects are more than ``max_depth`` deep is none. ``max_waiting_calls`` bounds the peer's
    CALLs that wait to be handled. ``repeat_answers`` is how many answers are remembered, for a peer that repeats a CALL
    with its id. With ``answer_unknown_types`` a frame of an unknown message type is answered with
    MessageTypeNotSupported in OCPP 2.x, instead of being ignored. ``validate``, ``message_id_generator`` (called on the
    thread that sends the request) and ``logger`` override the settings of the process.

    ``signer`` signs what is sent with ``signed=True``, and the answers to signed requests; ``verifier`` looks at the
    signatures of the peer (OCPP 2.x; see `ocppj.signing`).

    Handlers are called without the ``client_id`` that the methods which set them name: that is a server's. They run
    one at a time, in order, on the connection's dispatcher thread (or, with shared ``readers``, on any worker), and may
    block and ``call()``.
    """

    def __init__(
        self,
        id: str,
        *,
        profiles: Iterable[Profile] = (),
        ws_client: Optional[WsClient] = None,
        dispatcher: Optional[ClientDispatcher] = None,
        queue: Optional[RequestQueue] = None,
        retries: Optional[TransactionRetries] = None,
        resend: Optional[bool] = None,
        max_losses: Optional[int] = None,
        state: Optional[PendingRequestState] = None,
        timeout: float = DEFAULT_TIMEOUT,
        reconnect: Optional[bool] = None,
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
        if ws_client is not None and transport:
            raise UsageError(f"give the ws_client its options itself: {', '.join(transport)}")
        ws: WsClient = WebSocketClient(clock=options.clock, **transport) if ws_client is None else ws_client
        if reconnect is not None:
            ws.reconnect = reconnect
        check_seconds("timeout", timeout)
        check_kind("queue", queue, RequestQueue)
        check_kind("retries", retries, TransactionRetries)
        if dispatcher is None:
            dispatcher = DefaultClientDispatcher(queue, retries=retries, resend=resend, max_losses=max_losses)
        elif (queue, retries, resend, max_losses) != (None, None, None, None):
            raise UsageError("give the dispatcher its queue, retries, resend and max_losses itself")
        dispatcher.set_timeout(timeout)
        super().__init__(id, profiles, options, ws, dispatcher, state or PendingRequestState())

    # Life cycle

    def connect(self, url: str, *, retry: bool = False, wait: bool = True) -> "Client":
        """Connect to ``url`` + "/" + the percent-encoded id, and return this client when connected.

        Raises `TransportError` (`HandshakeRefused`, `SubprotocolError`) when the connection cannot be made; it is tried
        once. With ``retry`` it is tried until it is made, with the waits of the transport's back-off in between, and
        requests may be queued meanwhile; without ``wait`` a thread does that, and this returns as soon as requests may
        be queued. Raises `Stopped` when `stop` was called meanwhile, `UsageError` when the client is started already or
        has no profiles, or not to wait without ``retry``; and `QueueFailed` when the file of a durable queue cannot be
        opened, or is damaged.
        """
        for dialect in self.dialects:
            if not dialect.allows_identity(self.id):
                raise UsageError(f"OCPP {dialect.version} does not allow the id {self.id!r}")
        options: Dict[str, bool] = {} if wait else {"wait": False}
        if retry:  # a transport of the program's own need not know of these
            options["retry"] = True
        with self._connecting():
            self._connect(url, options)
        return self

    def _connect(self, url: str, options: Mapping[str, bool]) -> None:
        session = self._begin()
        self._end = None
        self._first = True
        self._notices = Notices()
        try:
            self._dispatcher.open()
            if options.get("retry"):
                self._dispatcher.pause()
                self._dispatcher.start()
            self._ws.connect(url, self.id, [dialect.subprotocol for dialect in self.dialects], **options)
        except BaseException as error:
            stopped = self._is_stopped(session)
            if session is self._session:  # not stopped so long ago that another has begun
                self.stop()
            if stopped and isinstance(error, TransportError):
                raise Stopped(f"client {self.id!r} was stopped while it connected") from error
            raise
        if self._is_stopped(session):
            if session is self._session:
                self._ws.stop()
            raise Stopped(f"client {self.id!r} was stopped while it connected")

    def _is_stopped(self, session: object) -> bool:
        """Tell whether `stop` was called since ``session`` began."""
        with self._lock:
            return session is not self._session or (not self._started and self._end is None)

    def start(self, url: str) -> None:
        """Connect, and block until `stop` or, with ``reconnect=False``, until the connection ends.

        Raises what `connect` raises, and `ConnectionLost` when the connection broke and is not to be regained.
        """
        self._start(url, retry=False)

    def start_with_retries(self, url: str) -> None:
        """`start`, but for the first connection, which is tried until it is made: see ``retry`` of `connect`."""
        self._start(url, retry=True)

    def _start(self, url: str, retry: bool) -> None:
        try:
            self.connect(url, retry=retry)
        except Stopped:
            return
        self._ended.wait()
        end = self._end
        if end is not None and (end.error is not None or end.code == 1006):
            raise ConnectionLost(f"the connection broke: {end}")

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
        connection = self._connection
        if self._started and connection is None:
            raise ConnectionLost("there is no connection now")
        try:
            return self._call(self.id, request, timeout, signed)
        except NotRunning as error:
            if connection is None or not self._has_lost(connection):
                raise
            raise ConnectionLost("the connection was lost, and is not regained") from error

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
        `EncodingError` for a bad payload, `UnsupportedFeature`, `QueueFull`, `QueueFailed` from a durable queue,
        `UsageError` without a signer. A failed write is not raised: the future fails, unless the request is
        kept (``resend``, a durable queue).
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

    # Handlers of a client's own; the others are `ocppj.exchange.handlers.Registering`'s

    def set_disconnected_handler(self, handler: F) -> F:
        """Call ``f(close)`` when a connection has ended; `ocppj.ws.base.Close` says how."""
        check_callable(handler, ["close"])
        self._disconnected_handler = handler
        return handler

    def set_reconnected_handler(self, handler: F) -> F:
        """Call ``f()`` when a lost connection is regained, after the disconnected handler has returned."""
        check_callable(handler, [])
        self._reconnected_handler = handler
        return handler

    def set_attempt_failed_handler(self, handler: F) -> F:
        """Call ``f(error)`` when an attempt to connect has failed, and another one will be made.

        ``error`` is what `connect` raises when it is tried once, and its ``__cause__`` what the system raised: an
        ``ssl.SSLCertVerificationError`` is to be the security event InvalidCsmsCertificate, in 1.6
        InvalidCentralSystemCertificate (Part 2 A00.FR.310; 1.6 security whitepaper A00.FR.309). It is called on the
        thread that connects, and the next attempt waits for it. Raises `UsageError` when the transport has no such
        handler.
        """
        check_callable(handler, ["error"])
        setter = getattr(self._ws, "set_attempt_failed_handler", None)
        if setter is None:
            raise UsageError(f"the transport {type(self._ws).__name__} has no set_attempt_failed_handler()")
        setter(handler)
        return handler
