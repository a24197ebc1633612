"""`Client`: a charge point, with one connection to a central system."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Literal,
    Mapping,
    Optional,
    Set,
    Type,
    TypeVar,
    Union,
    overload,
)

from .clock import Clock, SystemClock
from .dispatch.dispatchers import DEFAULT_TIMEOUT, DefaultClientDispatcher
from .dispatch.futures import CallFuture
from .dispatch.interfaces import ClientDispatcher
from .dispatch.pending import PendingRequestState
from .dispatch.queues import RequestBundle, RequestQueue
from .dispatch.retries import TransactionRetries
from .errors import CallFailed, ConnectionLost, ErrorCode, NotRunning, Stopped, TransportError, UsageError
from .exchange.connection import Connection
from .exchange.handlers import check_callable
from .exchange.node import Network, Node
from .exchange.options import Options, check_kind, check_option_names, check_seconds
from .payloads.jsontext import MAX_DEPTH
from .payloads.model import Payload, Request, RequestType
from .rpc.features import Profile
from .rpc.messages import SignatureResult
from .rpc.signing import Signer, Verifier
from .settings import LoggerLike, ValidationSetting
from .ws.base import Channel, Close
from .ws.base import Client as WsClient
from .ws.client import WebSocketClient
from .ws.options import ClientOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Client"]

F = TypeVar("F", bound=Callable[..., Any])
Q = TypeVar("Q")
R = TypeVar("R", bound=Payload)
A = TypeVar("A")
Signature = Optional[SignatureResult]

_SETTLING = 1.0  # seconds that stop() waits for a thread inside connect() to leave it
_LOOK = 0.02  # seconds between two stops of the transport meanwhile


class Client(Node):
    """A charge point called ``id``, with one connection to a central system.

    Use `connect`, then `call` or `send_request`, then `stop`; or ``with Client(...).connect(url) as client``. Register
    handlers with `on` before connecting.

    Handlers are called without the ``client_id`` that the methods which set them name: that is a server's. They run
    one at a time, in order, on the connection's dispatcher thread (or, with shared ``readers``, on any worker), and may
    block and ``call()``.

    Args:
        id: The identity, which ends the URL of the connection.
        profiles: What it speaks, such as ``v16.PROFILES``. Their OCPP versions are offered in order.
        ws_client: A transport in place of the default, `ocppj.ws.client.WebSocketClient`.
        dispatcher: Sends the requests, in place of a `DefaultClientDispatcher`.
        queue: Where requests wait: by default in memory, without limit. `SQLiteQueue` survives the process.
        retries: Which requests are sent again when the peer fails to process them.
        resend: Whether a request whose answer was awaited when the connection was lost is sent again, with its id
            (OCPP 2.1 Part 4 section 4.1.4), and one whose write failed is kept. Without it the answer is awaited anew.
            The default is to resend what is in a durable queue.
        max_losses: A request is given up, with `ConnectionLost`, when so many connections in a row were lost while its
            answer was awaited. A durable queue sets it aside. 0: no limit. ``None``: 5, no limit for a durable queue.
        state: What is pending, in place of a `PendingRequestState` of its own.
        timeout: Seconds that a request may stay unanswered.
        reconnect: Whether a lost connection is regained until `stop`, and queued requests are sent then. The default
            is what the transport says: yes.
        clock: The source of time.
        validate: Overrides `set_message_validation`.
        message_id_generator: Overrides `set_message_id_generator`. Called on the thread that sends the request.
        logger: Overrides `set_logger`.
        max_bad_messages: So many frames in a row that are no OCPP message close the connection with 1002.
        max_waiting_calls: The number of the peer's CALLs that may wait to be handled.
        max_depth: A frame whose arrays and objects are more than so many deep is no OCPP message. ``None``: no limit.
        repeat_answers: How many answers are remembered, for a peer that repeats a CALL with its id.
        answer_unknown_types: Whether unknown message types get MessageTypeNotSupported in OCPP 2.x, or are ignored.
        signer: Signs what is sent with ``signed=True``, and the answers to signed requests (OCPP 2.x; `ocppj.signing`).
        verifier: Looks at the signatures of the peer.
        transport: Options of the default transport, such as ``ssl_context``: see `ocppj.ws.client.WebSocketClient`.

    Raises:
        UsageError: An argument cannot be used.
        TypeError: There is no such option.
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
        **transport: Unpack[ClientOptions],
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
        check_option_names(Client, transport, ClientOptions)
        if ws_client is None:
            ws_client = WebSocketClient(clock=options.clock, **transport)
        elif transport:
            raise UsageError(f"give the ws_client its options itself: {', '.join(transport)}")
        if reconnect is not None:
            ws_client.reconnect = reconnect
        check_seconds("timeout", timeout)
        check_kind("queue", queue, RequestQueue)
        check_kind("retries", retries, TransactionRetries)
        if dispatcher is None:
            dispatcher = DefaultClientDispatcher(queue, retries=retries, resend=resend, max_losses=max_losses)
        elif (queue, retries, resend, max_losses) != (None, None, None, None):
            raise UsageError("give the dispatcher its queue, retries, resend and max_losses itself")
        dispatcher.set_timeout(timeout)
        if not isinstance(id, str) or not id:
            raise UsageError("a client's id is a text that is not empty")
        super().__init__(f"client {id!r}", profiles, options, with_client_id=False)
        self.id = id
        self._ws: WsClient = ws_client
        self._dispatcher: ClientDispatcher = dispatcher
        self._state = state or PendingRequestState()
        to_peer = _ToPeer(dispatcher, str(self))
        retry = dispatcher.retry_request
        self._hold_parts(to_peer, self._absent, lambda reason: None, unconnected=True, retry=retry)
        dispatcher.set_timeouts(self._timeouts)
        dispatcher.set_pending_request_state(self._state)
        dispatcher.set_network_client(Network(self._send_text))
        dispatcher.set_on_request_canceled(partial(self._caller.request_canceled, id))
        dispatcher.set_decoder(self._caller.decode_stored)
        dispatcher.set_request_check(partial(self._caller.refuse_other_version, id))
        ws_client.set_connected_handler(self._connected)
        ws_client.set_message_handler(self._router.receive)
        ws_client.set_disconnected_handler(self._disconnected)
        # Guarded by the lock of the lifecycle:
        self._first = True  # the first connection of the session is still to be made
        self._end: Optional[Close] = None
        self._connectors: Set[int] = set()  # idents of threads inside connect()
        self._settled = threading.Condition(self._lifecycle.lock)  # one of them has left it
        self._disconnected_handler: Optional[Callable[[Close], object]] = None
        self._reconnected_handler: Optional[Callable[[], object]] = None

    # Life cycle

    def connect(self, url: str, *, retry: bool = False, wait: bool = True) -> "Client":
        """Connect to ``url`` + "/" + the percent-encoded id.

        Args:
            url: Where the central system listens, without the identity: "ws://host:9000/ocpp".
            retry: Whether to try until the connection is made, with back-off. Requests may be queued meanwhile.
            wait: Whether to return only when connected. If not, which needs ``retry``, a thread connects.

        Returns:
            This client.

        Raises:
            TransportError: The connection cannot be made (`HandshakeRefused`, `SubprotocolError`).
            Stopped: `stop` was called meanwhile.
            UsageError: The client is started already, has no profiles, or is not to wait without ``retry``.
            QueueFailed: The file of a durable queue cannot be opened, or is damaged.
        """
        for dialect in self.dialects:
            if not dialect.allows_identity(self.id):
                raise UsageError(f"OCPP {dialect.version} does not allow the id {self.id!r}")
        options: Dict[str, bool] = {} if wait else {"wait": False}
        if retry:  # a transport of the program's own need not know of these
            options["retry"] = True
        me = threading.get_ident()
        with self._lifecycle.lock:
            self._connectors.add(me)
        try:
            self._connect(url, options)
        finally:
            with self._settled:
                self._connectors.discard(me)
                self._settled.notify_all()
        return self

    def _connect(self, url: str, options: Mapping[str, bool]) -> None:
        session = self._begin()
        self._end = None
        self._first = True
        self._notices.leave_behind()  # what an earlier session has not told yet delays nothing in this one
        try:
            self._dispatcher.open()
            if options.get("retry"):
                self._dispatcher.pause()
                self._dispatcher.start()
            self._ws.connect(url, self.id, [dialect.subprotocol for dialect in self.dialects], **options)
        except BaseException as error:
            stopped = self._is_stopped(session)
            if session is self._lifecycle.session:  # not stopped so long ago that another has begun
                self.stop()
            if stopped and isinstance(error, TransportError):
                raise Stopped(f"{self} was stopped while it connected") from error
            raise
        if self._is_stopped(session):
            if session is self._lifecycle.session:
                self._ws.stop()
            raise Stopped(f"{self} was stopped while it connected")

    def _is_stopped(self, session: object) -> bool:
        """Tell whether `stop` was called since ``session`` began."""
        lifecycle = self._lifecycle
        with lifecycle.lock:
            return session is not lifecycle.session or (not lifecycle.started and self._end is None)

    def start(self, url: str) -> None:
        """Connect, and block until `stop` or, with ``reconnect=False``, until the connection ends.

        Raises:
            ConnectionLost: The connection broke and is not to be regained.
            OcppjError: What `connect` raises.
        """
        self._start(url, retry=False)

    def start_with_retries(self, url: str) -> None:
        """Do what `start` does, but try the first connection until it is made: see ``retry`` of `connect`."""
        self._start(url, retry=True)

    def _start(self, url: str, retry: bool) -> None:
        try:
            self.connect(url, retry=retry)
        except Stopped:
            return
        self._lifecycle.ended.wait()
        end = self._end
        if end is not None and (end.error is not None or end.code == 1006):
            raise ConnectionLost(f"the connection broke: {end}")

    def stop(self) -> None:
        """Close the connection, and end every request with `Stopped`; return when threads and sockets are gone.

        May be called from any thread, handlers included, and again. Its own thread is not waited for, and a handler
        that does not end only for some seconds. What a part of the program's own raises is raised when all is done.
        """
        self._stop(self._dispatcher.stop, self._stop_transport)

    def _stop_transport(self) -> None:
        """Stop the transport, and for a second again while a thread connects: it may have had nothing to stop yet."""
        self._ws.stop()
        me, deadline = {threading.get_ident()}, time.monotonic() + _SETTLING
        while time.monotonic() < deadline:
            with self._settled:
                if self._settled.wait_for(lambda: self._connectors <= me, _LOOK):
                    return
            self._ws.stop()

    @property
    def version(self) -> Optional[str]:
        """The OCPP version of the present connection, such as "1.6", or ``None`` when there is none."""
        connection = self._connections.by_id.get(self.id)
        return None if connection is None else connection.dialect.version

    def is_connected(self) -> bool:
        """Tell whether there is a connection now."""
        return self.id in self._connections.by_id

    # Requests and answers

    @overload
    def call(self, request: Request[R], timeout: Optional[float] = None, *, signed: bool = False) -> R: ...

    @overload
    def call(self, request: Payload, timeout: Optional[float] = None, *, signed: bool = False) -> Any: ...

    def call(self, request: Payload, timeout: Optional[float] = None, *, signed: bool = False) -> Any:
        """Send ``request``, wait, and return the typed response.

        May be called from any thread, and from handlers; not from observers and callbacks of futures, which run on the
        thread that reads the connection.

        Args:
            request: A request of one of the profiles.
            timeout: Seconds to wait, in the queue too. Without it: the client's ``timeout``, from the sending on.
            signed: Whether to send the signed form of an OCPP 2.x message.

        Raises:
            OCPPError: The peer answered with a CALLERROR.
            CallTimeout: It did not answer.
            ConnectionLost: The connection was lost. A request by `send_request` outlives that.
            Stopped: `stop` was called.
            InvalidResponse: The answer breaks the rules.
            WouldDeadlock: The calling thread would wait for itself.
            OcppjError: What `send_request` raises.
        """
        connection = self._connections.by_id.get(self.id)
        if connection is None and self._lifecycle.started:
            raise ConnectionLost("there is no connection now")
        try:
            return self._caller.call(self.id, request, timeout, signed)
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
        """Queue ``request``. One request is under way at a time.

        Args:
            request: A request of one of the profiles.
            timeout: As in `call`.
            signed: As in `call`. The future's ``signature`` tells about the signature of the answer.

        Returns:
            A future of the response. A failed write fails it, unless the request is kept (``resend``, a durable queue).

        Raises:
            NotRunning: Before the start, and after the end.
            ValidationError: The payload breaks its schema.
            EncodingError: A field cannot be written.
            UnsupportedFeature: No profile has the request.
            QueueFull: The queue has no room.
            QueueFailed: A durable queue could not store it.
            UsageError: It is to be signed, and there is no signer.
        """
        return self._caller.send_request(self.id, request, timeout, fragile=False, signed=signed)

    def send(self, request: Payload, *, signed: bool = False) -> str:
        """Send a message that is never answered (OCPP 2.1 Part 4 section 4.2.4), at once, and return its id.

        Raises:
            UsageError: It is a request that is answered.
            TransportError: It cannot be written.
            OcppjError: What `send_request` raises, but for the queue.
        """
        return self._caller.send_one_way(self.id, request, signed)

    def send_response(self, message_id: str, response: Payload) -> None:
        """Answer the CALL ``message_id``. When the response cannot be sent, a CALLERROR is sent in its place.

        Raises:
            ValidationError: The response breaks its schema.
            UnsupportedFeature: No profile has it.
            TransportError: It cannot be written.
        """
        self._responder.answer(self._connections.get(self.id), message_id, response)

    def send_error(
        self,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str = "",
        details: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Answer the CALL ``message_id`` with an error.

        Raises:
            UsageError: There is no such code.
            TransportError: It cannot be written.
        """
        connection = self._connections.get(self.id)
        self._responder.answer_with_error(connection, message_id, code, description, details)

    # Handlers. Those that a server has alike are in `Node`.

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]]
    ) -> Callable[[Callable[[Q], Optional[A]]], Callable[[Q], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_id: Literal[True]
    ) -> Callable[[Callable[[Q, str], Optional[A]]], Callable[[Q, str], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_signature: Literal[True]
    ) -> Callable[[Callable[[Q, Signature], Optional[A]]], Callable[[Q, Signature], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_id: Literal[True], pass_signature: Literal[True]
    ) -> Callable[[Callable[[Q, str, Signature], Optional[A]]], Callable[[Q, str, Signature], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[Payload], *, pass_id: bool = False, pass_signature: bool = False
    ) -> Callable[[F], F]: ...

    def on(self, request_type: Any, *, pass_id: bool = False, pass_signature: bool = False) -> Any:
        """Have requests of that type handled by the decorated ``f(request)``.

        The handler returns the response, raises `OCPPError`, or returns ``None`` and answers later with `send_response`
        or `send_error`. A later registration replaces an earlier one.

        Args:
            request_type: A message type, such as ``v16.ResetRequest``.
            pass_id: Whether the message id is the next argument: ``f(request, message_id)``.
            pass_signature: Whether the last argument is the request's `SignatureResult`, or ``None`` without signature.

        Raises:
            UnsupportedFeature: No profile has the type.
        """
        return self._handlers.on(request_type, pass_id, pass_signature)

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
        thread that connects, and the next attempt waits for it.

        Raises:
            UsageError: The transport has no such handler.
        """
        check_callable(handler, ["error"])
        self._of_transport("set_attempt_failed_handler")(handler)
        return handler

    # What the transport calls

    def _connected(self, channel: Channel) -> None:
        dialect = self.get_dialect(channel.subprotocol)
        if dialect is None:
            channel.close(1002, "no OCPP version in common")
            return
        connection = Connection(self.id, channel, dialect, self._state)
        lifecycle = self._lifecycle
        with lifecycle.lock:
            connection.session = lifecycle.session
            self._connections.by_channel[channel] = connection
            self._connections.by_id[self.id] = connection
            started, first, self._first = lifecycle.started, self._first, False
        if not started:
            return
        if self._dispatcher.is_running():
            self._dispatcher.resume()
        else:
            self._dispatcher.start()
            if not lifecycle.started:  # stop() came between the look above and the start
                self._dispatcher.stop()
        if not first and self._reconnected_handler is not None:
            self._announce(connection, self._add_notice(connection, self._tell_reconnected))

    def _disconnected(self, channel: Channel, close: Close) -> None:
        lifecycle, connections = self._lifecycle, self._connections
        with lifecycle.lock:
            connection = connections.by_channel.pop(channel, None)
            if connection is not None and connections.by_id.get(self.id) is connection:
                del connections.by_id[self.id]
            present = connection is None or connection.session is lifecycle.session
            lost = present and lifecycle.started  # else stop() does the rest itself, and a new session may have begun
        self.log.info("%s: connection %s", self.id, close)
        if lost and self._ws.reconnect:
            self._suspend(connection, close)
        elif lost:
            self._end_session(close)
        handler = self._disconnected_handler
        if connection is None or handler is None:
            return
        if present:
            self._announce(connection, self._add_notice(connection, handler, close))
        else:
            self._handlers.submit(connection, handler, close)

    def _tell_reconnected(self) -> None:
        if self._lifecycle.started and self._reconnected_handler is not None:
            self._handlers.call(self._reconnected_handler)

    def _suspend(self, connection: Optional[Connection], reason: object) -> None:
        """Keep requests back until the connection is regained. Those of `call` over it end now."""
        self._handlers.call(self._dispatcher.pause)  # a queue of the program's own may raise; the rest must be done
        self._caller.connection_lost(connection, f"lost: {reason}")
        if self.is_connected():  # regained meanwhile, and perhaps resumed before the pause
            self._dispatcher.resume()

    def _end_session(self, close: Close) -> None:
        """Take note that the connection has ended and will not be regained. Then a new session may begin."""
        self._handlers.call(self._dispatcher.stop)  # as above
        open_calls = self._caller.calls.take_all()
        lifecycle = self._lifecycle
        if lifecycle.started:  # not ended by stop(), which does the rest itself
            self._timeouts.stop(0)
            with lifecycle.lock:
                lifecycle.started = False
                self._end = close
                lifecycle.ended.set()
        for open_call in open_calls:
            open_call.fail(ConnectionLost(f"the connection was {close}", open_call.message_id))

    def _has_lost(self, connection: Connection) -> bool:
        """Tell whether ``connection`` has ended otherwise than by `stop`."""
        with self._lifecycle.lock:
            present = self._connections.by_id.get(self.id)
            return present is not connection and (self._lifecycle.started or self._end is not None)

    # What the parts call

    def _absent(self, client_id: str) -> Exception:
        if not self._lifecycle.started:
            return NotRunning(f"{self} is not started")
        return TransportError("there is no connection now")

    def _send_text(self, text: str) -> None:
        """Write what the dispatcher sends, on whatever thread ended the request before."""
        connection = self._connections.by_id.get(self.id) or self._connections.get(self.id)
        handlers = self._handlers
        if handlers.observers:
            handlers.observe("out", connection, text)
        try:
            connection.channel.send(text, False)
        except TransportError as error:
            with self._lifecycle.lock:
                lost = self._ws.reconnect and self._connections.by_id.get(self.id) is connection
                if lost:
                    del self._connections.by_id[self.id]
            if lost:  # one write failed; the requests that wait behind it need not fail too
                self._suspend(connection, error)
            raise


class _ToPeer:
    """A client's dispatcher, called with the id of the peer as a server's is."""

    def __init__(self, dispatcher: ClientDispatcher, name: str) -> None:
        self._dispatcher = dispatcher
        self._name = name

    @property
    def durable(self) -> bool:
        return self._dispatcher.durable

    def send_request(self, client_id: str, bundle: RequestBundle) -> None:
        try:
            self._dispatcher.send_request(bundle)
        except NotRunning as error:
            raise NotRunning(f"{self._name} is not started, or not connected yet") from error

    def complete_request(self, client_id: str, message_id: str) -> Optional[bool]:
        return self._dispatcher.complete_request(message_id)

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        return self._dispatcher.cancel_request(message_id, error)
