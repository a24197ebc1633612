"""`Client`: a charge point, with one connection to a central system."""

from __future__ import annotations

import sys
import time
from functools import partial
from threading import get_ident
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Literal,
    Mapping,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
    overload,
)

from .callables import check_handler
from .clock import Clock, SystemClock
from .dispatch.dispatchers import DEFAULT_TIMEOUT, DefaultClientDispatcher
from .dispatch.futures import CallFuture
from .dispatch.interfaces import ClientDispatcher
from .dispatch.pending import PendingRequestState
from .dispatch.queues import RequestBundle, RequestQueue
from .dispatch.retries import TransactionRetries
from .errors import CallFailed, ConnectionLost, ErrorCode, NotRunning, Stopped, TransportError, UsageError
from .exchange.boot_first import BootFirst
from .exchange.connection import Connection
from .exchange.meters import OTHER
from .exchange.node import Network, Node
from .exchange.options import Options, check_option_names
from .exchange.outgoing import MAX_OUTGOING_SIZE
from .forks import forget_parent
from .interrupted import called_by_program, refuse_inside
from .option_checks import check_options
from .payloads.jsontext import MAX_DEPTH
from .payloads.model import Payload, Request, RequestType
from .rpc.endpoint import DigitsChoice
from .rpc.features import Profile
from .rpc.messages import SignatureResult
from .rpc.signing import Signer, Verifier
from .settings import LoggerLike, ValidationChoice
from .ws.base import Channel, Close
from .ws.base import Client as WsClient
from .ws.client import WebSocketClient
from .ws.options import ClientOptions
from .ws.stats import Stats

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Client"]

F = TypeVar("F", bound=Callable[..., Any])
H = TypeVar("H", bound=Optional[Callable[..., Any]])
Q = TypeVar("Q")
R = TypeVar("R", bound=Payload)
A = TypeVar("A")
Q2 = TypeVar("Q2")
A2 = TypeVar("A2")
Q3 = TypeVar("Q3")
A3 = TypeVar("A3")
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
        boot_first: Whether requests wait, in each session, until a BootNotification is answered Accepted; the
            BootNotification goes past them (OCPP 1.6 edition 2 section 4.2; Part 2 B01.FR.08, B02.FR.02). A reconnect
            needs no new one. ``None``: if the queue is durable, and each version has a BootNotification. Whatever this
            is, a stored request that is answered SecurityError before is kept, and requests wait from then on.
        max_losses: A request is given up, with `ConnectionLost`, when so many connections in a row were lost while its
            answer was awaited. A durable queue sets it aside. 0: no limit. ``None``: 5, no limit for a durable queue.
        max_refusals: The same, when the peer closed so many connections because of it: with 1009 or 1007, or right
            after it with 1002 or 1008 (RFC 6455 section 7.4.1). ``None``: 3.
        state: What is pending, in place of a `PendingRequestState` of its own.
        timeout: Seconds that a request may stay unanswered.
        answer_timeout: Seconds that this side may take for the answer to a CALL of the peer. After that (up to half as
            much later) it is answered with InternalError, and what its handler returns is dropped. The handler's thread
            goes on, and the next messages are handled on another one. ``None``: no limit.
        reconnect: Whether a lost connection is regained until `stop`, and queued requests are sent then. The default
            is what the transport says: yes.
        clock: The source of time.
        validate: How payloads are checked: a `Validation`, one of its modes, or a function ``f(client_id)`` that
            returns one for that peer (see `Endpoint`). ``None``: as `set_message_validation` says.
        message_id_generator: Overrides `set_message_id_generator`. Called on the thread that sends the request.
        logger: Takes all lines of this client, its transport and its queues. ``None``: that of `set_logger`. See
            docs/logging.md.
        max_bad_messages: So many frames in a row that are no OCPP message, or answers to nothing, close the connection
            with 1002.
        max_waiting_calls: The number of the peer's CALLs that may wait to be handled.
        max_waiting_bytes: The size of those that wait, as text. When there is more, nothing is read over the connection
            until half is handled, so that the peer waits, too. A handler that calls ``call()`` then gets its answer
            late, or runs into its timeout.
        max_depth: A frame whose arrays and objects are more than so many deep is no OCPP message. ``None``: no limit.
        max_outgoing_size: How many bytes a frame of ours may have, in UTF-8. A larger request raises `MessageTooLarge`
            where it is made; a larger answer is replaced by InternalError. ``None``: no limit.
        repeat_answers: How many answers are remembered, for a peer that repeats a CALL after its answer: the same id,
            action and payload get the same answer again. A CALL that is repeated before its answer needs no memory.
        repeat_answers_for: Seconds for which an answer is remembered, and a CALL whose connection ended before its
            answer, for a peer that repeats it over a newer connection. Older ones are handled anew.
        answer_unknown_types: Whether unknown message types get MessageTypeNotSupported in OCPP 2.x, or are ignored.
        signer: Signs what is sent with ``signed=True``, and the answers to signed requests (OCPP 2.x; `ocppj.signing`).
        verifier: Looks at the signatures of the peer.
        datetime_digits: How many fractional digits the date-times have that are sent: 0, 3 or 6; in OCPP 2.x at most 3.
            Or a function ``f(client_id)`` that returns the number for that peer (see `Endpoint`).
        transport: Options of the default transport, such as ``ssl_context``: see `ocppj.ws.client.WebSocketClient`.

    Raises:
        UsageError: An argument cannot be used.
        TypeError: There is no such option.
    """

    _log_part = "client"

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
        max_refusals: Optional[int] = None,
        boot_first: Optional[bool] = None,
        state: Optional[PendingRequestState] = None,
        timeout: float = DEFAULT_TIMEOUT,
        answer_timeout: Optional[float] = 300.0,
        reconnect: Optional[bool] = None,
        clock: Optional[Clock] = None,
        validate: Optional[ValidationChoice] = None,
        message_id_generator: Optional[Callable[[], str]] = None,
        logger: Optional[LoggerLike] = None,
        max_bad_messages: int = 100,
        max_waiting_calls: int = 1000,
        max_waiting_bytes: int = 4 * 1024 * 1024,
        max_depth: Optional[int] = MAX_DEPTH,
        max_outgoing_size: Optional[int] = MAX_OUTGOING_SIZE,
        repeat_answers: int = 0,
        repeat_answers_for: float = 300.0,
        answer_unknown_types: bool = False,
        signer: Optional[Signer] = None,
        verifier: Optional[Verifier] = None,
        datetime_digits: DigitsChoice = 3,
        **transport: Unpack[ClientOptions],
    ) -> None:
        check_options("Client", locals())
        options = Options(
            clock=SystemClock() if clock is None else clock,
            validate=validate,
            message_id_generator=message_id_generator,
            logger=logger,
            max_bad_messages=max_bad_messages,
            max_waiting_calls=max_waiting_calls,
            max_waiting_bytes=max_waiting_bytes,
            max_depth=max_depth,
            max_outgoing_size=max_outgoing_size,
            repeat_answers=repeat_answers,
            repeat_answers_for=repeat_answers_for,
            timeout=timeout,
            answer_timeout=answer_timeout,
            answer_unknown_types=answer_unknown_types,
            signer=signer,
            verifier=verifier,
            datetime_digits=datetime_digits,
        )
        check_option_names(Client, transport, ClientOptions)
        if ws_client is None:
            ws_client = WebSocketClient(clock=options.clock, **transport)
        elif transport:
            raise UsageError(f"give the ws_client its options itself: {', '.join(transport)}")
        if reconnect is not None:
            ws_client.reconnect = reconnect
        if dispatcher is None:
            limits = {"max_losses": max_losses, "max_refusals": max_refusals}
            dispatcher = DefaultClientDispatcher(queue, retries=retries, resend=resend, **limits)
        elif (queue, retries, resend, max_losses, max_refusals) != (None, None, None, None, None):
            raise UsageError("give the dispatcher its queue, retries, resend, max_refusals and max_losses itself")
        dispatcher.set_timeout(timeout)
        super().__init__(f"client {id!r}", profiles, options, with_client_id=False)
        self.id = id
        self.safe_log.use(None, id)
        self._ws: WsClient = ws_client
        self._dispatcher: ClientDispatcher = dispatcher
        self._state = PendingRequestState() if state is None else state
        to_peer = _ToPeer(dispatcher, self._not_running)
        retry = dispatcher.retry_request
        self._boot = self._make_boot_first(boot_first)
        self._hold_parts(
            to_peer,
            self._absent,
            lambda reason: None,
            unconnected=True,
            retry=retry,
            boot=self._boot,
            timeout=timeout,
        )
        self._share_logger(ws_client, dispatcher, client_id=id)
        dispatcher.set_timeouts(self._timeouts)
        dispatcher.set_pending_request_state(self._state)
        dispatcher.set_network_client(Network(self._send_text))
        dispatcher.keep_until_settled()
        dispatcher.set_on_request_canceled(partial(self._caller.request_canceled, id))
        dispatcher.set_decoder(self._caller.decode_stored)
        dispatcher.set_request_check(partial(self._caller.refuse_other_version, id))
        ws_client.set_connected_handler(self._connected)
        ws_client.set_message_handler(self._router.receive)
        ws_client.set_disconnected_handler(self._disconnected)
        # Guarded by the lock of the lifecycle:
        self._first = True  # the first connection of the session is still to be made
        self._end: Optional[Close] = None
        self._disconnected_handler: Optional[Callable[[Close], object]] = None
        self._connected_handler: Optional[Callable[[], object]] = None
        self._reconnected_handler: Optional[Callable[[], object]] = None

    def _make_boot_first(self, wanted: Optional[bool]) -> Optional[BootFirst]:
        dispatcher, state, clock = self._dispatcher, self._state, self._options.clock
        if wanted and not dispatcher.can_hold:
            raise UsageError(f"boot_first needs a dispatcher that can hold requests: not a {type(dispatcher).__name__}")
        if not wanted and not (dispatcher.durable and dispatcher.can_hold):
            return None
        parts = self.id, self, self._features, dispatcher, state, self._timeouts, clock
        return BootFirst(*parts, wanted, self.is_connected)

    # Life cycle

    def connect(self, url: Union[str, Sequence[str]], *, retry: bool = False, wait: bool = True) -> "Client":
        """Connect to ``url`` + "/" + the percent-encoded id.

        Args:
            url: Where the central system listens, without the identity: "ws://host:9000/ocpp". With a list of URLs
                they are tried in order, and after a loss again from the first on. The waits of the back-off come after
                the last. A URL whose server has asked to wait (Retry-After) is left out for so long, and the others are
                tried. A URL may stand there more than once (2.0.1 Part 2 B10, NetworkConfigurationPriority and
                NetworkProfileConnectionAttempts).
            retry: Whether to try until the connection is made, with back-off. Requests may be queued meanwhile.
            wait: Whether to return only when connected. If not, which needs ``retry``, a thread connects.

        Returns:
            This client.

        Raises:
            TransportError: The connection cannot be made (`HandshakeRefused`, `SubprotocolError`).
            Stopped: `stop` was called meanwhile.
            UsageError: The client is started already, has no profiles, or is not to wait without ``retry``; the list of
                URLs is empty, or the transport takes one URL only.
            QueueFailed: The file of a durable queue cannot be opened, or is damaged.
        """
        asked = self._lifecycle.asked  # first: what interrupts the rest may call `stop`
        refuse_inside("connect()", waits=True)
        for dialect in self.dialects:
            if not dialect.allows_identity(self.id):
                raise UsageError(f"OCPP {dialect.version} does not allow the id {self.id!r}")
        if not isinstance(url, str) and not getattr(self._ws, "takes_several_urls", False):
            raise UsageError(f"the transport {type(self._ws).__name__} takes one URL, not several")
        options: Dict[str, bool] = {} if wait else {"wait": False}
        if retry:  # a transport of the program's own need not know of these
            options["retry"] = True
        with self._lifecycle.beginning():
            self._connect(url, options, asked)
        return self

    def _connect(self, url: Union[str, Sequence[str]], options: Mapping[str, bool], asked: object) -> None:
        session = self._begin(asked)
        self._end = None
        self._first = True
        self._notices.leave_behind()  # what an earlier session has not told yet delays nothing in this one
        try:
            if self._boot is not None:
                self._boot.begin(session)
            self._dispatcher.open()
            if options.get("retry"):
                self._dispatcher.pause()
                self._dispatcher.start()
            if self._is_stopped(session, asked):
                raise self._stopped()
            self._ws.connect(url, self.id, [dialect.subprotocol for dialect in self.dialects], **options)
        except BaseException as error:
            stopped = self._is_stopped(session, asked)
            self._undo(session, error)  # nothing, if it was stopped so long ago that another has begun
            if stopped and isinstance(error, TransportError):
                raise self._stopped() from error
            raise
        if self._is_stopped(session, asked):
            self._stop_now(session)  # again: what began meanwhile ends now
            raise self._stopped()

    def _stopped(self) -> Stopped:
        return self._caller.describe(Stopped("stopped while it connected"), self.id)

    def _is_stopped(self, session: object, asked: object) -> bool:
        """Tell whether `stop` was called since ``session`` began, or has been asked for (`Lifecycle.asked`)."""
        lifecycle = self._lifecycle
        if lifecycle.asked is not asked:
            return True
        with lifecycle.lock:
            return session is not lifecycle.session or (not lifecycle.started and self._end is None)

    @called_by_program
    def start(self, url: Union[str, Sequence[str]], *, signals: bool = True) -> None:
        """Connect, and block until `stop`, a signal or, with ``reconnect=False``, the end of the connection.

        Ctrl-C and SIGTERM stop the client, as they stop a server: see `Server.start`.

        Args:
            url: As in `connect`.
            signals: False leaves signals alone: KeyboardInterrupt is raised, and the client goes on.

        Raises:
            ConnectionLost: The connection broke and is not to be regained.
            OcppjError: What `connect` raises.
        """
        self._start(url, False, signals)

    @called_by_program
    def start_with_retries(self, url: Union[str, Sequence[str]], *, signals: bool = True) -> None:
        """Do what `start` does, but try the first connection until it is made: see ``retry`` of `connect`."""
        self._start(url, True, signals)

    @called_by_program
    def _start(self, url: Union[str, Sequence[str]], retry: bool, signals: bool) -> None:
        if not self._run(partial(self.connect, url, retry=retry), signals):
            return
        end = self._end
        if end is not None and (end.error is not None or end.code == 1006):
            raise self._caller.describe(ConnectionLost(f"the connection was {end}"), self.id)

    def stop(self, timeout: Optional[float] = None, drain: Optional[float] = None) -> None:
        """Close the connection, and end every request with `Stopped`; return when threads and sockets are gone.

        May be called from any thread, handlers included, and again. Its own thread is not waited for, and a handler
        that does not end only for some seconds. What a part of the program's own raises is raised when all is done.

        It may also be called from a signal handler, a finalizer or a log handler, wherever that runs. If it interrupted
        this library or a log call, another thread stops the client. Then `stop` waits up to a second for that, and
        returns; the rest is done when the interrupted code has gone on.

        In a process that was forked from the one in which the client was started, it does nothing.

        Args:
            timeout: Seconds for all of it, ``drain`` included. Then connections are cut whose peer has not answered the
                Close, and threads are left behind that do not end. What a disk takes to close a queue's file comes on
                top. ``None``: each part has its own limit, together some seconds.
            drain: Seconds to let what is under way end before: the requests that were made, sent or not; the CALLs of
                the peer that have come, until their answers are written; and handlers. New requests raise `NotRunning`
                from the beginning on, in handlers too. Of the requests in a durable queue only that one is waited for
                whose answer is awaited: the others stay in the file. It ends as soon as nothing is under way. A CALL
                that comes meanwhile is handled, and not waited for. ``None``: do not wait.

        Raises:
            UsageError: An argument is no number of seconds.
        """
        self._stop_for(sys._getframe().f_back, timeout, drain)

    def _has_pending(self) -> bool:
        return self._state.has()

    def _stop_now(self, session: Optional[object] = None, timeout: Optional[float] = None) -> None:
        self._stop(self._dispatcher.stop, self._stop_transport, session, timeout)

    def _stop_transport(self, timeout: Optional[float]) -> None:
        """Stop the transport, and for a second again while a thread connects: it may have had nothing to stop yet."""
        begun = time.monotonic()
        self._stop_ws(timeout)
        me, deadline = {get_ident()}, time.monotonic() + _SETTLING
        if timeout is not None:
            deadline = min(deadline, begun + timeout)
        while time.monotonic() < deadline:
            if self._lifecycle.wait_for_beginners(_LOOK, me):
                return
            self._stop_ws(None if timeout is None else max(0.0, deadline - time.monotonic()))

    @property
    def version(self) -> Optional[str]:
        """The OCPP version of the present connection, such as "1.6", or ``None`` when there is none."""
        connection = self._connections.by_id.get(self.id)
        return None if connection is None else connection.dialect.version

    def is_connected(self) -> bool:
        """Tell whether there is a connection now."""
        return self.id in self._connections.by_id

    def stats(self) -> Stats:
        """Return the figures of this client, as `Server.stats` does: what is counted of OCPP, and ``connections``.

        Its transport counts nothing. So the rest, such as ``accepted`` and ``refused``, is empty. May be called from
        any thread.
        """
        refuse_inside("stats()")
        connection = self._connections.by_id.get(self.id)
        versions = dict.fromkeys((dialect.version for dialect in self.dialects), 0)
        if connection is not None:
            versions[connection.dialect.version] = 1
        pending = int(self._state.has())
        queued = max(0, (self._dispatcher.count_requests() or 0) - pending)
        counted = self._meters.figures()._asdict()
        return Stats(sum(versions.values()), versions=versions, pending=pending, queued=queued, **counted)

    def set_ping_interval(self, interval: Optional[float]) -> None:
        """Ping every ``interval`` seconds, over this connection and later ones; ``None`` or 0: not at all.

        It is the variable WebSocketPingInterval. May be called at any time, from any thread.

        Raises:
            UsageError: It is no number, or the transport has no such setting.
        """
        refuse_inside("set_ping_interval()")
        self._of_transport("set_ping_interval")(interval)

    def reconnect_now(self) -> bool:
        """Connect at once, in place of waiting for the next attempt: the network has just come back, for instance.

        It ends a wait of the back-off, and one that the server asked for (Retry-After). When an attempt is being made,
        and fails, the next one follows without a wait. Then the waits go on from where they were. A connection that is
        there stays: to move to another central system use `stop` and `connect`. May be called from any thread.

        Returns:
            Whether the client is trying to connect. Else there is a connection, or none is to be regained.

        Raises:
            NotRunning: The client is not started.
            UsageError: The transport cannot do this.
        """
        refuse_inside("reconnect_now()")
        if not self._lifecycle.started:
            raise self._not_running()
        return bool(self._of_transport("reconnect_now")())

    # For tests of central systems: what a charge point that works does not do

    def abort(self) -> None:
        """Cut the connection at once, without a Close. Over a network the central system gets a reset (TCP RST).

        Both sides see the close code 1006. Nothing that has come is handled any more. The client connects again, as
        after any lost connection, unless ``reconnect`` is false. May be called from any thread, handlers included.

        Raises:
            NotRunning: The client is not started.
            TransportError: There is no connection now.
            UsageError: The transport cannot do this.
        """
        refuse_inside("abort()")
        self._of_channel(self.id, "abort")()

    def send_raw(self, text: str) -> None:
        """Send one text frame as it is: unchecked, at once, past all requests that wait. Observers see it.

        It returns when the network has taken the frame. On the thread that reads the connection it returns at once.
        What the peer answers goes to `set_ignored_message_handler`, if no request of that id is under way.

        Raises:
            NotRunning: The client is not started.
            TransportError: There is no connection now, or the frame cannot be written.
            UsageError: It is no text, or one that UTF-8 cannot write.
        """
        refuse_inside("send_raw()")
        self._send_raw(self.id, text)

    def pause_reading(self) -> None:
        """Read nothing more over this connection until `resume_reading`. The central system has to wait then.

        Over a network TCP pushes back when its buffers are full. Pings get no pong, and answers are not seen: requests
        run into their timeouts. A frame that is being read just then is the last. The next connection is read as
        always. `stop` and `abort` work as ever. That the peer has ended the connection may be found only afterwards.

        Raises:
            NotRunning: The client is not started.
            TransportError: There is no connection now.
            UsageError: The transport cannot do this.
        """
        refuse_inside("pause_reading()")
        self._of_channel(self.id, "pause_reading")()

    def resume_reading(self) -> None:
        """Read again what comes, and what has come meanwhile. Raises what `pause_reading` raises."""
        refuse_inside("resume_reading()")
        self._of_channel(self.id, "resume_reading")()

    def send_frame(self, opcode: int, data: bytes, fin: bool = True) -> None:
        """Send one WebSocket frame as it is, at once: any opcode, fragments in any order, reserved opcodes too.

        Observers see the text message that such frames make, when its last one is sent. What the library sends may come
        between two fragments. It returns when the network has taken the frame. After a Close (0x8) no request can be
        sent, and the connection ends when the central system has answered it.

        Args:
            opcode: 0x0 continuation, 0x1 text, 0x2 binary, 0x8 Close, 0x9 ping, 0xA pong (RFC 6455 section 5.2). The
                others, up to 0xF, are reserved.
            data: The payload. It is masked for the way, as all that a client sends.
            fin: Whether it is the last frame of its message.

        Raises:
            NotRunning: The client is not started.
            TransportError: There is no connection now, or the frame cannot be written.
            UsageError: There is no such frame, or the transport cannot do this.
        """
        refuse_inside("send_frame()")
        self._send_frame(self.id, opcode, data, fin)

    # Requests and answers

    @overload
    def call(
        self,
        request: Request[R],
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
        before_boot: bool = False,
    ) -> R: ...

    @overload
    def call(
        self,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
        before_boot: bool = False,
    ) -> Any: ...

    def call(
        self,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
        before_boot: bool = False,
    ) -> Any:
        """Send ``request``, wait, and return the typed response.

        May be called from any thread, and from handlers; not from observers and callbacks of futures, which run on the
        thread that reads the connection.

        Args:
            request: A request of one of the profiles.
            timeout: Seconds to wait, in the queue too. Without it: the client's ``timeout``, from the sending on. A
                request that is held because no BootNotification was accepted waits no longer than ``timeout``, either.
            signed: Whether to send the signed form of an OCPP 2.x message.
            message_id: The id of the CALL, 1 to 36 characters. ``None``: a new one.
            before_boot: Whether to send it before a BootNotification is accepted, past what is held (``boot_first``):
                for what a TriggerMessage, GetBaseReport or GetReport asked for (OCPP 1.6 edition 2 section 4.2; Part 2
                B02.FR.02). A request about a transaction does not go past another one. A stored request that is
                answered SecurityError all the same is held, too. Not kept over a restart of the process.

        Raises:
            OCPPError: The peer answered with a CALLERROR.
            CallTimeout: It did not answer.
            ConnectionLost: The connection was lost. A request by `send_request` outlives that.
            Stopped: `stop` was called.
            InvalidResponse: The answer breaks the rules.
            WouldDeadlock: The calling thread would wait for itself.
            OcppjError: What `send_request` raises.
        """
        refuse_inside("call()", waits=True)
        self._lifecycle.check_process()
        connection = self._connections.by_id.get(self.id)
        if connection is None and self._lifecycle.started:
            raise self._caller.describe(ConnectionLost("there is no connection now"), self.id, request=request)
        try:
            return self._caller.call(self.id, request, timeout, signed, message_id, before_boot)
        except NotRunning as error:
            if connection is None or not self._has_lost(connection):
                raise
            lost = ConnectionLost("the connection was lost, and is not regained")
            raise self._caller.describe(lost, self.id, request=request) from error

    @overload
    def send_request(
        self,
        request: Request[R],
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
        before_boot: bool = False,
    ) -> CallFuture[R]: ...

    @overload
    def send_request(
        self,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
        before_boot: bool = False,
    ) -> CallFuture[Any]: ...

    def send_request(
        self,
        request: Payload,
        timeout: Optional[float] = None,
        *,
        signed: bool = False,
        message_id: Optional[str] = None,
        before_boot: bool = False,
    ) -> CallFuture[Any]:
        """Queue ``request``. One request is under way at a time.

        Args:
            request: A request of one of the profiles.
            timeout: As in `call`, but a request that is held may wait without end.
            message_id: As in `call`. A program that keeps it with its own data finds the request again in a later
                process: in its response, error and canceled-request handlers.
            before_boot: As in `call`.
            signed: As in `call`. The future's ``signature`` tells about the signature of the answer.

        Returns:
            A future of the response. A failed write fails it, unless the request is kept (``resend``, a durable queue).

        Raises:
            NotRunning: Before the start, and after the end.
            ValidationError: The payload breaks its schema.
            EncodingError: A field cannot be written.
            MessageTooLarge: The CALL has more bytes than ``max_outgoing_size``.
            UnsupportedFeature: No profile has the request.
            QueueFull: The queue has no room.
            QueueFailed: A durable queue could not store it.
            UsageError: It is to be signed, and there is no signer; or the ``message_id`` is not valid, or is that of a
                request that has not ended.
        """
        refuse_inside("send_request()")
        self._lifecycle.check_process()
        return self._caller.send_request(
            self.id,
            request,
            timeout,
            fragile=False,
            signed=signed,
            message_id=message_id,
            before_boot=before_boot,
        )

    def send(self, request: Payload, *, signed: bool = False) -> str:
        """Send a message that is never answered (OCPP 2.1 Part 4 section 4.2.4), at once, and return its id.

        Raises:
            UsageError: It is a request that is answered.
            TransportError: It cannot be written.
            OcppjError: What `send_request` raises, but for the queue.
        """
        refuse_inside("send()")
        return self._caller.send_one_way(self.id, request, signed)

    def send_response(self, message_id: str, response: Payload) -> None:
        """Answer the CALL ``message_id``. When the response cannot be sent, a CALLERROR is sent in its place.

        Raises:
            ValidationError: The response breaks its schema.
            UnsupportedFeature: No profile has it.
            TransportError: It cannot be written.
        """
        refuse_inside("send_response()")
        self._responder.answer(self.id, message_id, response)

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
        refuse_inside("send_error()")
        self._responder.answer_with_error(self.id, message_id, code, description, details)

    def make_request(
        self, action: str, payload: Optional[Mapping[str, Any]] = None, *, version: Optional[str] = None
    ) -> Any:
        """Return the typed request of ``action`` with a JSON payload, to `call` with, or `send`.

        It is checked strictly, whatever ``validate`` says: an unknown property is an error, too. The payload's own
        ``from_wire`` would drop it.

        Args:
            action: The action, such as "Heartbeat".
            payload: A JSON object. ``None``: an empty one.
            version: The OCPP version, such as "1.6". ``None``: that of the connection, or the only one of the profiles.

        Raises:
            NotRunning: ``version`` is needed: there are profiles of several versions, and the client is not started.
            TransportError: The same, while there is no connection.
            UnsupportedFeature: No profile of that version has the action.
            ValidationError: The payload breaks its schema. ``path`` says where.
            UsageError: No profile is of that version.
        """
        if version is None and len(self.dialects) == 1:
            version = self.dialects[0].version
        return self._make_request(self.id, action, payload, version)

    # Handlers. Those that a server has alike are in `Node`.

    @overload
    def on(self, request_type: Type[RequestType[Q, A]]) -> Callable[[Callable[[Q], A]], Callable[[Q], A]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_id: Literal[True]
    ) -> Callable[[Callable[[Q, str], Optional[A]]], Callable[[Q, str], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_signature: Literal[True]
    ) -> Callable[[Callable[[Q, Signature], A]], Callable[[Q, Signature], A]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], *, pass_id: Literal[True], pass_signature: Literal[True]
    ) -> Callable[[Callable[[Q, str, Signature], Optional[A]]], Callable[[Q, str, Signature], Optional[A]]]: ...

    @overload
    def on(
        self, request_type: Type[RequestType[Q, A]], second: Type[RequestType[Q2, A2]], /
    ) -> Callable[[Callable[[Union[Q, Q2]], Union[A, A2]]], Callable[[Union[Q, Q2]], Union[A, A2]]]: ...

    @overload
    def on(
        self,
        request_type: Type[RequestType[Q, A]],
        second: Type[RequestType[Q2, A2]],
        third: Type[RequestType[Q3, A3]],
        /,
    ) -> Callable[[Callable[[Union[Q, Q2, Q3]], Union[A, A2, A3]]], Callable[[Union[Q, Q2, Q3]], Union[A, A2, A3]]]: ...

    @overload
    def on(
        self, request_type: Type[Payload], *more: Type[Payload], pass_id: bool = False, pass_signature: bool = False
    ) -> Callable[[F], F]: ...

    def on(self, request_type: Any, *more: Any, pass_id: bool = False, pass_signature: bool = False) -> Any:
        """Have requests of that type handled by the decorated ``f(request)``.

        The handler returns the response, raises `OCPPError`, or returns ``None`` and answers later with `send_response`
        or `send_error`. A later registration replaces an earlier one. For tests it may return `ocppj.NO_ANSWER`: the
        request is forgotten, and never answered. If it comes again, it is handled again; a copy that came over the same
        connection while the handler ran is forgotten with it.

        Args:
            request_type: A message type, such as ``v16.ResetRequest``.
            more: Further types, which the handler takes as well.
            pass_id: Whether the message id is the next argument: ``f(request, message_id)``.
            pass_signature: Whether the last argument is the request's `SignatureResult`, or ``None`` without signature.

        Raises:
            UnsupportedFeature: No profile has the type.
        """
        return self._handlers.on((request_type, *more), pass_id, pass_signature)

    def set_disconnected_handler(self, handler: H) -> H:
        """Call ``f(close)`` when a connection has ended; `ocppj.ws.base.Close` says how."""
        self._disconnected_handler = check_handler(handler, ["close"])
        return handler

    def set_connected_handler(self, handler: H) -> H:
        """Call ``f()`` for every connection, the first one too, before its first request is handled.

        It comes before the handler of `set_reconnected_handler`. It may block and ``call()``: here a charge point sends
        its BootNotification. It may run before or after `connect` returns.
        """
        self._connected_handler = check_handler(handler, [])
        return handler

    def set_reconnected_handler(self, handler: H) -> H:
        """Call ``f()`` when a lost connection is regained, after the disconnected handler has returned."""
        self._reconnected_handler = check_handler(handler, [])
        return handler

    def set_attempt_failed_handler(self, handler: H) -> H:
        """Call ``f(error)`` when an attempt to connect has failed, and another one will be made.

        ``error`` is what `connect` raises when it is tried once, and its ``__cause__`` what the system raised: an
        ``ssl.SSLCertVerificationError`` is to be the security event InvalidCsmsCertificate, in 1.6
        InvalidCentralSystemCertificate (Part 2 A00.FR.310; 1.6 security whitepaper A00.FR.309). It is called on the
        thread that connects, and the next attempt waits for it.

        Raises:
            UsageError: The transport has no such handler.
        """
        self._of_transport("set_attempt_failed_handler")(check_handler(handler, ["error"]))
        return handler

    # What the transport calls

    def _after_fork(self) -> None:
        """Forget the session, which is the parent's: see `ocppj.forks`."""
        super()._after_fork()
        forget_parent(self._state)

    def _connected(self, channel: Channel) -> None:
        dialect = self.get_dialect(channel.subprotocol)
        if dialect is None:
            channel.close(1002, "no OCPP version in common")
            return
        self._forget_peer(self.id)
        left, now = self._responder.left, self._options.clock.now()
        connection = Connection(self.id, channel, dialect, self._state, now, left.lock)
        lifecycle = self._lifecycle
        with lifecycle.lock:
            connection.session = lifecycle.session
            self._connections.by_channel[channel] = connection
            self._connections.by_id[self.id] = connection
            started, first, self._first = lifecycle.started, self._first, False
        self._handlers.connection_changed(connection)
        if not started:
            return
        self._meters.connected(self.id)
        self.peer_log.info("%s: connected to %s, OCPP %s", self.id, channel.remote_address, dialect.version)
        if self._dispatcher.is_running():
            self._dispatcher.resume()
        else:
            self._dispatcher.start()
            if not lifecycle.started:  # stop() came between the look above and the start
                self._dispatcher.stop()
        if self._boot is not None and self._boot.holding:
            self._boot.look()
        if self._connected_handler is not None or (not first and self._reconnected_handler is not None):
            self._announce(connection, self._add_notice(connection, self._tell_connected, first))

    def _disconnected(self, channel: Channel, close: Close) -> None:
        lifecycle, connections = self._lifecycle, self._connections
        refused: Optional[str] = None
        connection = connections.by_channel.get(channel)
        if connection is not None:  # before it is taken out of `by_id`: see `Responder._get_connection`
            remember = lifecycle.started and connection.session is lifecycle.session
            self._responder.left.leave(connection, remember)
            refused = self._responder.refusals.note_end(connection, close)
        with lifecycle.lock:
            connection = connections.by_channel.pop(channel, None)
            if connection is not None and connections.by_id.get(self.id) is connection:
                del connections.by_id[self.id]
            present = connection is None or connection.session is lifecycle.session
            lost = present and lifecycle.started  # else stop() does the rest itself, and a new session may have begun
        if connection is not None:
            self._handlers.connection_changed(connection, close)
        self.peer_log.info("%s: connection %s", self.id, close)
        if present and connection is not None and connection.brought_answer:
            getattr(self._ws, "end_outage", lambda: None)()  # a transport of the program's own need not have it
        if lost and self._ws.reconnect:
            self._suspend(connection, close, refused)
        elif lost:
            if refused is not None:
                self._handlers.call(self._dispatcher.refused_request, refused, str(close))
            self._end_session(close)
        handler = self._disconnected_handler
        if connection is None or handler is None:
            return
        if present:
            self._announce(connection, self._add_notice(connection, handler, close))
        else:
            self._handlers.submit(connection, handler, close)

    def _tell_connected(self, first: bool) -> None:
        for handler in (self._connected_handler, None if first else self._reconnected_handler):
            if handler is not None and self._lifecycle.started:
                self._handlers.call(handler)

    def _suspend(self, connection: Optional[Connection], reason: object, refused: Optional[str] = None) -> None:
        """Keep requests back until the connection is regained. Those of `call` over it end now.

        ``refused`` is the id of the request because of which the peer has closed the connection, if there is one.
        """
        self._handlers.call(self._dispatcher.pause)  # a queue of the program's own may raise; the rest must be done
        self._caller.connection_lost(connection, f"lost: {reason}")
        if refused is not None:
            self._handlers.call(self._dispatcher.refused_request, refused, str(reason))
        if self.is_connected():  # regained meanwhile, and perhaps resumed before the pause
            self._dispatcher.resume()

    def _end_session(self, close: Close) -> None:
        """Take note that the connection has ended and will not be regained. Then a new session may begin."""
        self._handlers.call(self._dispatcher.stop)  # as above
        open_calls = self._caller.calls.take_all()  # before another session may begin
        lifecycle = self._lifecycle
        if lifecycle.started:  # not ended by stop(), which does the rest itself
            self._timeouts.stop(0)
            with lifecycle.lock:
                lifecycle.started = False
                self._end = close
                lifecycle.ended.set()
        self._caller.fail_taken(open_calls, partial(ConnectionLost, f"the connection was {close}"))

    def _has_lost(self, connection: Connection) -> bool:
        """Tell whether ``connection`` has ended otherwise than by `stop`."""
        with self._lifecycle.lock:
            present = self._connections.by_id.get(self.id)
            return present is not connection and (self._lifecycle.started or self._end is not None)

    # What the parts call

    def _absent(self, client_id: str) -> Exception:
        if not self._lifecycle.started:
            return self._not_running()
        return TransportError("there is no connection now")

    def _not_running(self) -> NotRunning:
        return self._lifecycle.why_not(f"{self} is not {'connected yet' if self._lifecycle.started else 'started'}")

    def _send_text(self, text: str) -> None:
        """Write what the dispatcher sends, on whatever thread ended the request before."""
        connection = self._connections.by_id.get(self.id) or self._connections.get(self.id)
        handlers = self._handlers
        action = connection.asked[1]  # before: as soon as this is answered, the next request is written
        try:
            if handlers.observers or handlers.frame_log.is_on():
                handlers.write(connection, text, False)
            else:
                connection.channel.send(text, False)
            self._meters.sent(2, action or OTHER)
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

    def __init__(self, dispatcher: ClientDispatcher, not_running: Callable[[], NotRunning]) -> None:
        self._dispatcher = dispatcher
        self._not_running = not_running

    @property
    def durable(self) -> bool:
        return self._dispatcher.durable

    def send_request(self, client_id: str, bundle: RequestBundle) -> None:
        try:
            self._dispatcher.send_request(bundle)
        except NotRunning as error:
            raise self._not_running() from error

    def has_request(self, client_id: str, message_id: str) -> bool:
        return self._dispatcher.has_request(message_id)

    def complete_request(self, client_id: str, message_id: str) -> Optional[bool]:
        return self._dispatcher.complete_request(message_id)

    def settle_request(self, client_id: str, message_id: str, told: bool = True) -> None:
        self._dispatcher.settle_request(message_id, told)

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        return self._dispatcher.cancel_request(message_id, error)
