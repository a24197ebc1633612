"""`Caller`: how a client or a server sends its requests, and how each of them ends.

A request is checked and encoded on the thread that makes it, noted among the open calls, and given to the dispatcher.
It ends once, whatever comes together: an answer, a timeout, a cancellation, a lost connection, ``stop()``. Whoever
takes it out of the open calls ends it, and nobody else does (`ocppj.dispatch.futures`).
"""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from functools import partial
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterable,
    List,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from ..dispatch.futures import AnyCall, AwaitedCall, CallFuture, OpenCall, OpenCalls
from ..dispatch.interfaces import EndedElsewhere
from ..dispatch.pending import PendingRequestState
from ..dispatch.queues import RequestBundle
from ..dispatch.timeouts import DEFAULT_TIMEOUT, Timeouts
from ..errors import (
    CallCanceled,
    CallFailed,
    CallTimeout,
    ClusterUnavailable,
    ConnectionLost,
    ErrorCode,
    InvalidResponse,
    MessageError,
    NoHandlerSlot,
    NotRunning,
    OCPPError,
    QueueFailed,
    QueueFull,
    RequestDropped,
    UnknownClient,
    UnsupportedFeature,
    UsageError,
    ValidationError,
    WouldDeadlock,
)
from ..option_checks import check_option
from ..payloads.lenient import decode_leniently
from ..payloads.model import Payload
from ..rpc.dialect import Dialect
from ..rpc.feature_registry import FeatureRegistry
from ..rpc.messages import Call, CallError, CallResult, MessageType, check_message_id, parse_json_message
from ..secrets import mask_secrets
from .boot import BOOT_NOTIFICATION, boot_status
from .boot_first import BootFirst
from .connection import Connection
from .described import described
from .ends import Ends
from .handlers import Shared
from .late import LateAnswers
from .meters import OTHER, RECEIVED
from .offline import Offline
from .outgoing import OutgoingSize
from .watches import Watched

E = TypeVar("E", bound=BaseException)

__all__ = ["EXCUSED", "Caller", "PeerDispatcher", "Transport"]

#: What keeps a request from one client, and not from the others, in a broadcast.
EXCUSED = (ClusterUnavailable, UnknownClient, UnsupportedFeature, QueueFull, QueueFailed, ConnectionLost, NotRunning)


_BOOT_RESPONSE = f"{BOOT_NOTIFICATION}Response"  # the name of the type, in each version


class PeerDispatcher(Protocol):
    """What a `Caller` asks of a dispatcher: the methods of a `ServerDispatcher`, with the id of the peer."""

    @property
    def durable(self) -> bool: ...

    def send_request(self, client_id: str, bundle: RequestBundle) -> None: ...
    def complete_request(self, client_id: str, message_id: str) -> Optional[bool]: ...

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool: ...

    def has_request(self, client_id: str, message_id: str) -> bool: ...

    def settle_request(self, client_id: str, message_id: str, told: bool = True) -> None: ...


class Transport(Protocol):
    """What a `Caller` asks of a transport."""

    def waiting(self) -> ContextManager[Any]:
        """Return a context in which a handler's thread waits for another message."""


class Caller:
    """Sends the requests of an endpoint, and ends them.

    ``unconnected`` tells whether a request may be queued while there is no connection: ``features`` say then which
    version has it. ``retry`` asks the dispatcher to send a request again that was answered with an error; it tells
    whether it will. ``boot`` knows what a client holds until its boot is accepted, and ``timeout`` is how many seconds
    a held request of a `call` without a timeout may wait.
    """

    def __init__(
        self,
        shared: Shared,
        features: FeatureRegistry,
        new_message_id: Callable[[], str],
        transport: Transport,
        dispatcher: PeerDispatcher,
        timeouts: Timeouts,
        unconnected: bool,
        retry: Optional[Callable[[str, OCPPError], bool]],
        boot: Optional[BootFirst] = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._endpoint, options, self._handlers, self._connections, self._count_refusal, *_ = shared
        self._meters, self._watches = shared.meters, shared.watches
        self._clock = options.clock
        self._size = OutgoingSize(options.max_outgoing_size)
        self._by_id = self._connections.by_id
        self._context = self._handlers.context
        self._features = features
        self._new_message_id = new_message_id
        self._transport = transport
        self._dispatcher = dispatcher
        self._durable = dispatcher.durable
        self._timeouts = timeouts
        self._unconnected = unconnected
        self._retry = retry
        self._boot = boot
        self._timeout = timeout
        self.closing = False  #: No more requests are taken: the endpoint is about to stop.
        self.calls: OpenCalls = OpenCalls()
        self.late: LateAnswers = LateAnswers()
        self.ends: Ends = Ends(self._handlers, self._by_id, dispatcher)

    def _after_fork(self) -> None:
        """Forget the requests of the parent: see `ocppj.forks`."""
        self.calls._after_fork()
        self.ends._after_fork()

    # Sending

    def call(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        signed: bool,
        message_id: Optional[str] = None,
        before_boot: bool = False,
    ) -> Any:
        """Send ``request`` and wait for its end; see `Client.call`."""
        reading = self._context.connection
        if reading is not None and reading.client_id == client_id:
            raise WouldDeadlock("call() where the connection is read or written: use send_request(), or a handler")
        if self._timeouts.is_firing():
            raise WouldDeadlock("call() on the thread that ends requests in time: use send_request()")
        try:
            with self.waiting():  # first: if this handler must not wait, nothing is sent
                return self._call(client_id, request, timeout, signed, message_id, before_boot)
        except NoHandlerSlot as error:
            self.describe(error, client_id, request=request)
            raise

    def _call(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        signed: bool,
        message_id: Optional[str],
        before_boot: bool,
    ) -> Any:
        options = message_id, before_boot, None, True
        connection, bundle = self._prepare(client_id, request, timeout, signed, None, *options)
        call = AwaitedCall(request, bundle.message_id, connection)
        try:
            self._queue(client_id, bundle, call, timeout, fragile=True)
            if self._timeouts.unarmed:  # no thread ends calls in time: this one does
                self._timeouts.stand_in(call.has_ended)
            return call.wait()
        except BaseException:
            if self.calls.discard(call):
                self._end_given_up(call)  # an interrupted wait leaves nothing behind
            raise

    def send_request(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        *,
        fragile: bool,
        signed: bool = False,
        made: Optional[Dict[Dialect, Call]] = None,
        message_id: Optional[str] = None,
        before_boot: bool = False,
        offline: Optional[Offline] = None,
    ) -> CallFuture[Any]:
        """Queue ``request`` and return its future; see `Client.send_request`.

        A ``fragile`` request ends with the connection that it is made for. ``made`` has the CALLs of the same request
        to other peers, by version: they are checked already. With ``offline`` the peer may be away.
        """
        options = message_id, before_boot, offline, fragile and offline is None
        connection, bundle = self._prepare(client_id, request, timeout, signed, made, *options)
        future: CallFuture[Any] = self._make_future(client_id, bundle.message_id)
        call = OpenCall(request, future, connection if fragile else None)
        self._queue(client_id, bundle, call, timeout, fragile)
        return future

    def _make_future(self, client_id: str, message_id: str) -> CallFuture[Any]:
        return CallFuture(message_id, partial(self._give_up, client_id), self.waiting, self._endpoint.safe_log)

    def send_to_all(
        self,
        client_ids: Iterable[str],
        request: Payload,
        timeout: Optional[float],
        offline: Optional[Offline],
        made: Optional[Dict[Dialect, Call]],
        excused: Tuple[Type[Exception], ...],
        send: Callable[[Sequence[Tuple[str, RequestBundle]]], List[Optional[Exception]]],
    ) -> Dict[str, CallFuture[Any]]:
        """Queue ``request`` for each peer with one ``send``, and return the futures. They outlive the connections.

        What is ``excused`` fails the future of its peer. Other errors are raised, before anything is queued.
        """
        futures: Dict[str, CallFuture[Any]] = {}
        ready: List[Tuple[str, RequestBundle, OpenCall]] = []
        for client_id in client_ids:
            try:
                _, bundle = self._prepare(client_id, request, timeout, False, made, offline=offline)
            except excused as error:
                futures[client_id] = CallFuture.failed(self.describe(error, client_id, request=request))
                continue
            future = futures[client_id] = self._make_future(client_id, bundle.message_id)
            ready.append((client_id, bundle, OpenCall(request, future, None)))
        try:
            for client_id, bundle, call in ready:
                self._open(client_id, bundle, call, timeout)
            errors = send([(client_id, bundle) for client_id, bundle, _ in ready])
        except BaseException as error:  # such as KeyboardInterrupt: then requests may be in the queues
            for client_id, _, call in ready:
                self._refused(call, error)
                if not isinstance(error, Exception):
                    self._withdraw(client_id, call.message_id)
            raise
        for (client_id, bundle, call), failure in zip(ready, errors):
            if failure is not None:
                self._refused(call, failure)
            elif call.unanswered:
                self._withdraw(client_id, bundle.message_id)
        return futures

    def check_open(self) -> None:
        """Raise `NotRunning` when no more requests are taken."""
        if self.closing:
            raise NotRunning(f"{self._endpoint} is being stopped")

    def has_open(self) -> bool:
        """Tell whether a request that is in memory alone has not ended, or an end is still to be told."""
        return self.ends.has_untold() or (not self._durable and len(self.calls) > 0)

    def waiting(self) -> ContextManager[Any]:
        """Return a context in which a thread waits for the end of a request."""
        # It is the transport's of the present session, and one of the program's own may have none.
        waiting: Callable[[], ContextManager[Any]] = getattr(self._transport, "waiting", nullcontext)
        return waiting()

    def send_one_way(self, client_id: str, request: Payload, signed: bool, wait: bool = True) -> str:
        """Write the SEND of ``request`` at once, past the queue; see `Client.send`.

        ``wait`` tells whether to wait until the network has taken it.
        """
        self.check_open()
        connection = self._connections.get(client_id)
        message = self._endpoint.create_send(request, connection.dialect, client_id, signed=signed)
        text = message.to_json()
        self._size.check(text)
        connection.last_written = message.unique_id
        self._handlers.write(connection, text, wait)
        self._meters.sent(MessageType.SEND, message.action)
        return message.unique_id

    def _prepare(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        signed: bool,
        made: Optional[Dict[Dialect, Call]] = None,
        message_id: Optional[str] = None,
        before_boot: bool = False,
        offline: Optional[Offline] = None,
        fragile: bool = False,
    ) -> Tuple[Optional[Connection], RequestBundle]:
        """Check and encode ``request``; return the connection it is made for, if there is one, and what to queue."""
        self.check_open()
        if timeout is not None:
            check_option("call", "timeout", timeout)
            if timeout <= 0:
                expiry = CallTimeout(f"no answer within {timeout:g} seconds: nothing was sent")
                raise self.describe(expiry, client_id, request=request)
        if message_id is not None:
            check_message_id(message_id)
            if self._dispatcher.durable and self._dispatcher.has_request(client_id, message_id):
                raise UsageError(f"a request with the id {message_id!r} is stored already")
        if not isinstance(request, Payload):
            raise UsageError(f"a request is an object of a message type, not {mask_secrets(repr(request))}")
        connection = self._by_id.get(client_id)
        if connection is None and offline is None and not self._unconnected:
            connection = self._connections.get(client_id)  # which says why there is none
        if connection is not None:
            dialect = connection.dialect
        elif offline is not None:
            dialect = offline.dialect_of(client_id, type(request))
        else:
            dialect = self._features.dialect_of(type(request))
        known = None if made is None else made.get(dialect)
        if known is not None:
            call = Call(self._new_message_id(), known.action, request, known.wire_payload)
        else:
            call = self._endpoint.create_call(request, dialect, message_id, client_id, signed=signed)
            if made is not None:
                made[dialect] = call
        text, version, expires = call.to_json(), dialect.version, None if offline is None else offline.expires
        if text[self._size.surely :]:  # as in `Responder._make_result`
            self._size.check(text)
        bundle = RequestBundle(
            call,
            text,
            version,
            before_boot=before_boot,
            offline=offline is not None,
            expires=expires,
            fragile=fragile,
        )
        return connection, bundle

    def _open(self, client_id: str, bundle: RequestBundle, call: AnyCall, timeout: Optional[float]) -> None:
        """Note that ``call`` is open. It ends after ``timeout`` seconds."""
        message_id = call.message_id
        if self._watches.all:
            watched = Watched(client_id, bundle.version or "", bundle.call.action, message_id)
            call.on_end = self._watches.call_began(watched)
        if not self.calls.add(client_id, call):
            error = UsageError(f"a request with the id {message_id!r} is waiting already")
            if call.on_end is not None:
                call.on_end(error)
            raise error
        if timeout is not None:
            call.expire_by(self._timeouts.add(timeout, partial(self._expire, client_id, message_id, timeout)))

    def _refused(self, call: AnyCall, error: BaseException) -> None:
        """End ``call``, whose request is not in the queue."""
        if isinstance(error, QueueFull):
            self._count_refusal("queue_full")
        if self.calls.discard(call):
            self.end(call, error)

    def _withdraw(self, client_id: str, message_id: str) -> None:
        """Take the request of a call back that ended before its request was in the queue."""
        canceled = CallCanceled("the request had ended", message_id)
        self._dispatcher.cancel_request(client_id, message_id, canceled)

    def _queue(
        self,
        client_id: str,
        bundle: RequestBundle,
        call: AnyCall,
        timeout: Optional[float],
        fragile: bool,
    ) -> None:
        """Note that ``call`` is open, and queue its request."""
        try:
            self._open(client_id, bundle, call, timeout)
            self._dispatcher.send_request(client_id, bundle)
            self._follow_up(client_id, call, timeout, fragile)
        except Exception as error:
            self._refused(call, error)
            raise
        except BaseException:  # such as KeyboardInterrupt: the request may be in the queue, and even be written
            if self.calls.discard(call):
                self._end_given_up(call)
            raise

    def _follow_up(self, client_id: str, call: AnyCall, timeout: Optional[float], fragile: bool) -> None:
        """Do what is left when the request of ``call`` was queued."""
        message_id = call.message_id
        if call.unanswered:
            self._withdraw(client_id, message_id)
        elif fragile and (call.connection is None or self._by_id.get(client_id) is not call.connection):
            # The connection has gone, or there was none. `connection_lost` may have run before the call was noted, so
            # it ends here.
            self.fail(client_id, ConnectionLost("the connection was lost", message_id))
        if self._boot is not None and self._boot.holding:
            self._boot.look()
            if timeout is None and isinstance(call, AwaitedCall):
                self._limit_held_call(client_id, call)

    def _expire(self, client_id: str, message_id: str, timeout: float) -> None:
        words = f"no answer within {timeout:g} seconds"
        if self._boot is not None and self._boot.holds(message_id):
            words += ": the request was held, because no BootNotification was accepted"
        self.fail(client_id, CallTimeout(words, message_id))

    def _limit_held_calls(self, client_id: str) -> None:
        for call in self.calls.without_deadline():
            self._limit_held_call(client_id, call)

    def _limit_held_call(self, client_id: str, call: AwaitedCall) -> None:
        """Let a `call` without a timeout end, although the time of its request does not run while it is held."""
        call.expire_by(self._timeouts.add(self._timeout, partial(self._expire_held, client_id, call)))

    def _expire_held(self, client_id: str, call: AwaitedCall) -> None:
        if call.ended or self._boot is None:
            return
        call.deadline = None  # of this hold; before the look below, because another hold may begin after it
        if self._boot.holds(call.message_id):
            self._expire(client_id, call.message_id, self._timeout)

    # What the dispatcher asks and tells

    def refuse_other_version(self, client_id: str, bundle: RequestBundle) -> Optional[CallFailed]:
        """Return why ``bundle`` cannot go over the present connection, if it is of another OCPP version.

        Called before each write of a request, stored ones included.
        """
        if self._handlers.asking is not None:
            self._handlers.asking(client_id, bundle.call)
        connection = self._by_id.get(client_id)
        if connection is None:
            return None
        if not bundle.version or bundle.version == connection.dialect.version:
            connection.last_request = connection.last_written = bundle.message_id
            connection.asked = bundle.message_id, bundle.call.action, self._clock.monotonic()
            return None
        words = f"the connection is in OCPP {connection.dialect.version}; the request is one of OCPP {bundle.version}"
        return ConnectionLost(words, bundle.message_id)

    def decode_stored(self, version: str, text: str) -> Call:
        """Return the CALL that was stored as ``text``.

        Raises `UsageError`, or `MessageError`, when it is none, and `MessageTooLarge`.
        """
        endpoint = self._endpoint
        dialect = next((each for each in endpoint.dialects if each.version == version), None)
        if dialect is None:
            raise UnsupportedFeature(f"there are no profiles of OCPP {version}")
        self._size.check(text)
        fields = parse_json_message(text)
        try:
            message = endpoint.parse_message(fields, PendingRequestState(), dialect)
        except MessageError as error:
            # It was checked when it was queued, perhaps in another mode. To refuse it now would be to lose it.
            feature = self._features.by_action.get((dialect, fields[2])) if len(fields) == 4 else None
            if feature is None or not isinstance(error.__cause__, ValidationError) or not isinstance(fields[3], dict):
                raise
            words = "the stored request %s breaks its schema, and is sent all the same: %s"
            endpoint.safe_log.warning(words, fields[1], error, action=fields[2], message_id=fields[1])
            return Call(fields[1], fields[2], decode_leniently(feature.request_type, fields[3]))
        if not isinstance(message, Call):
            raise UsageError("what is stored is no CALL")
        return message

    def request_canceled(self, client_id: str, message_id: str, request: object, error: CallFailed) -> None:
        """End a request that the dispatcher gave up, and tell the canceled-request handler."""
        if isinstance(error, EndedElsewhere):
            self._ended_elsewhere(client_id, message_id, error)
            return
        self.late.expect(client_id, message_id)
        open_call = self.calls.take(client_id, message_id)
        if open_call is None and isinstance(error, CallTimeout):  # else `end` counts it
            self._meters.timed_out()

        def tell() -> None:
            if open_call is None and not isinstance(error, (CallCanceled, RequestDropped)):  # a drop is logged already
                self._log_loss(client_id, message_id, error)
            self.describe(error, client_id, message_id, request)
            if open_call is not None:
                self.end(open_call, error)
            handler = self._handlers.canceled
            if handler is not None:
                self._handlers.call(handler, client_id, message_id, request, error)

        self.ends.tell(tell)
        ended = self._durable or open_call is not None
        self.ends.add(client_id, message_id, request, error, ended=ended)

    def _ended_elsewhere(self, client_id: str, message_id: str, error: CallFailed) -> None:
        """End the future of a request, if there is one. Another process has told its handlers of the end."""
        open_call = self.calls.take(client_id, message_id)
        if open_call is not None:
            self.end(open_call, error)

    # Answers. The dispatcher says whether the answer ended its request. If the request had already ended another way,
    # handlers were told then, and a late answer is not reported.

    def receive_result(self, connection: Connection, result: CallResult) -> None:
        """End the request that ``result`` answers; on the reading thread."""
        connection.brought_answer = True
        client_id, message_id = connection.client_id, result.unique_id
        response: Any = result.payload
        signature = None if result.signature is None else self._endpoint.check_signature(result, client_id)
        if self._boot is not None and self._boot.answered(connection, response):
            self._limit_held_calls(client_id)
        if type(response).__name__ == _BOOT_RESPONSE:
            words, about = "%s: booted: the BootNotification is answered with %s", {"action": BOOT_NOTIFICATION}
            self._endpoint.peer_log.info(words, client_id, boot_status(response), message_id=message_id, **about)
        open_call = self.calls.take(client_id, message_id)
        request = connection.pending.get(message_id) if open_call is None else open_call.request
        self._count_answer(connection, 3, message_id, request)
        try:
            first = self._dispatcher.complete_request(client_id, message_id)
        finally:  # a queue of the program's own may raise, and nobody else ends what was taken
            if open_call is not None:
                open_call.answer(response, signature)
        handler = self._handlers.response
        if handler is not None and first is False:
            handler = None
        if self._durable or self._handlers.ended is not None:
            ended = first is not False if self._durable else open_call is not None
            tell = handler and partial(self._handlers.call, handler, client_id, response, message_id, request)
            outcome = client_id, message_id, request, response
            self.ends.add(*outcome, ended=ended, tell=tell, connection=connection)
        elif handler is not None:
            self._handlers.submit(connection, handler, client_id, response, message_id, request)

    def receive_error(self, connection: Connection, message: CallError) -> None:
        """End the request that a CALLERROR answers, unless it is sent again; on the reading thread."""
        connection.brought_answer = True
        client_id = connection.client_id
        error = OCPPError(message.code, message.error_description, message.error_details, message.unique_id)
        if not isinstance(error.code, ErrorCode):
            self._endpoint.peer_log.warning(
                "%s: unknown error code %r", client_id, error.code, message_id=message.unique_id
            )
        self._meters.error(RECEIVED, error.code)
        self._count_answer(connection, 4, message.unique_id, connection.pending.get(message.unique_id))
        if self._is_kept(connection, error):
            return
        request, first, ended = self._end(connection, message.unique_id, error)
        handler = self._handlers.error
        tell = None
        if first and handler is not None:
            tell = partial(self._handlers.call, handler, client_id, error, error.details, request)
        self.ends.add(client_id, message.unique_id, request, error, ended=ended, tell=tell, connection=connection)

    def receive_invalid_answer(
        self,
        connection: Connection,
        error: MessageError,
        message_id: str,
        request: object,
        refuse: Optional[Callable[[], None]],
        code: Union[ErrorCode, str] = "",
    ) -> None:
        """End the request whose answer breaks the rules, unless it is sent again; on the reading thread.

        ``refuse`` tells the peer, after the next request was sent and before the caller is woken. A CALLERROR has none.
        It has the error ``code``, if that can be read.
        """
        connection.brought_answer = True
        client_id = connection.client_id
        self._count_answer(connection, 3 if refuse is not None else 4, message_id, request)
        if refuse is None:  # the peer did not process the request, whatever else it says
            refusal = OCPPError(code or error.code, error.description, message_id=message_id)
            if self._is_kept(connection, refusal):
                return
        failure = InvalidResponse(error, message_id)
        _, first, ended = self._end(connection, message_id, failure, refuse)
        handler = self._handlers.canceled
        if first and handler is not None:
            self.ends.tell(partial(self._handlers.call, handler, client_id, message_id, request, failure))
        self.ends.add(client_id, message_id, request, failure, ended=ended, connection=connection)

    def _count_answer(self, connection: Connection, kind: int, message_id: str, request: object) -> None:
        """Count an answer to ``request``, and how long after the request it came, if that is known."""
        asked, action, since = connection.asked
        if asked == message_id:
            self._meters.answered(action, self._clock.monotonic() - since)
        else:  # it was written over an earlier connection
            action = self._features.action_of(type(request)) or OTHER
        self._meters.received(kind, action)

    def _is_kept(self, connection: Connection, error: OCPPError) -> bool:
        """Tell whether the request that was answered with ``error`` is sent again: after the boot, or after a wait."""
        assert error.message_id is not None
        if self._boot is not None and self._boot.keeps(connection, error.message_id, error):
            self._limit_held_calls(connection.client_id)
            return True
        return self._retry is not None and self._retry(error.message_id, error)

    def _end(
        self, connection: Connection, message_id: str, error: Exception, between: Optional[Callable[[], None]] = None
    ) -> Tuple[Any, bool, bool]:
        """End a request whose answer is an error.

        Return the request; whether this answer ended it, and not something else before; and whether its end is to be
        told here.
        """
        client_id = connection.client_id
        open_call = self.calls.take(client_id, message_id)
        request = connection.pending.get(message_id) if open_call is None else open_call.request
        # A queue or a transport of the program's own may raise, and nobody else ends what was taken.
        first = self._handlers.call(self._complete, client_id, message_id)
        if between is not None:
            self._handlers.call(between)
        if open_call is None and first:
            self._log_loss(client_id, message_id, error)
        self.describe(error, client_id, message_id, request)
        if open_call is not None:
            self.end(open_call, error)
        return request, bool(first), bool(first) if self._durable else open_call is not None

    def _complete(self, client_id: str, message_id: str) -> bool:
        return self._dispatcher.complete_request(client_id, message_id) is not False

    # Other ends

    def fail(self, client_id: str, error: CallFailed) -> None:
        """End the request ``error.message_id`` with ``error``, sent or not."""
        message_id = error.message_id
        assert message_id is not None
        ended = False
        try:
            ended = bool(self._dispatcher.cancel_request(client_id, message_id, error))
        except Exception:  # of a queue of the program's own
            about = {"client_id": client_id, "message_id": message_id}
            self._endpoint.safe_log.exception("%s: request %r could not be canceled", client_id, message_id, **about)
        finally:  # nobody else ends the request, also when Ctrl-C has come in between, which goes on
            open_call = None if ended else self.calls.take(client_id, message_id)
            if open_call is not None:
                self.fail_taken([open_call], lambda message_id: error)

    def fail_taken(self, calls: Sequence[AnyCall], error: Callable[..., CallFailed]) -> None:
        """End ``calls``, which were taken, each with ``error(message_id=its id)``, and have the program told.

        What a durable queue keeps has not ended. Ctrl-C in a function of the program is raised when all have ended.
        """
        with ExitStack() as rest:  # calls the last callback first
            for call in reversed(calls):
                rest.callback(self._fail_taken, call, error(message_id=call.message_id))

    def _fail_taken(self, call: AnyCall, error: CallFailed) -> None:
        try:
            self.end(call, error)
        finally:
            if not self._durable:
                self.ends.add(call.client_id or "", call.message_id, call.request, error, ended=True)

    def end(self, call: AnyCall, error: BaseException) -> None:
        """End ``call``, which was taken out of the open calls, with ``error``."""
        if isinstance(error, CallFailed) and not isinstance(error, InvalidResponse):
            self.late.expect(call.client_id or "", call.message_id)
        if isinstance(error, CallTimeout):
            self._meters.timed_out()
        call.fail(self.describe(error, call.client_id, call.message_id, call.request))

    def describe(
        self, error: E, client_id: Optional[str], message_id: Optional[str] = None, request: object = None
    ) -> E:
        """Note in ``error`` which request it is about, and the time, as far as it does not say that. Return it."""
        return described(error, client_id, message_id, self._features.action_of(type(request)), self._clock.now)

    def connection_lost(self, connection: Optional[Connection], how: str) -> None:
        """End the requests that end with ``connection``, with `ConnectionLost`: "the connection was HOW"."""
        for client_id, message_id in self.calls.over(connection):
            self.fail(client_id, ConnectionLost(f"the connection was {how}", message_id))

    def _give_up(self, client_id: str, message_id: str) -> None:
        """Forget a request whose future is to be canceled."""
        open_call: Optional[AnyCall] = None
        try:
            open_call = self.calls.take(client_id, message_id)
            if open_call is not None:
                self._end_given_up(open_call)
        except Exception:
            raise
        except BaseException:  # an interrupt: the call may be in no table any more, and its request still in the queue
            open_call = open_call or self.calls.take(client_id, message_id)
            self._withdraw(client_id, message_id)
            if open_call is not None and not open_call.ended:
                open_call.give_up()
            raise

    def _end_given_up(self, call: AnyCall) -> None:
        """Withdraw the request of ``call``, which was taken out of the open calls, and end it."""
        client_id, message_id = call.client_id or "", call.message_id
        canceled = CallCanceled("the request was canceled", message_id)
        try:
            self.late.expect(client_id, message_id)
            self._dispatcher.cancel_request(client_id, message_id, canceled)
        finally:
            call.give_up()
        if not self._durable:  # else the dispatcher has said so
            self.describe(canceled, client_id, message_id, call.request)
            self.ends.add(client_id, message_id, call.request, canceled, ended=True)

    def _log_loss(self, client_id: str, message_id: str, error: Exception) -> None:
        """Log the failure of a stored request that has no open call. For queues in memory nothing is logged."""
        if self._dispatcher.durable:
            words = "%s: the stored request %r has failed, and is given up: %s"
            reason = error.description if isinstance(error, CallFailed) else error  # the line has the rest
            about = {"client_id": client_id, "message_id": message_id}
            self._endpoint.safe_log.error(words, client_id, message_id, reason, **about)
