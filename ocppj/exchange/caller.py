"""`Caller`: how a client or a server sends its requests, and how each of them ends.

A request is checked and encoded on the thread that makes it, noted among the open calls, and given to the dispatcher.
It ends once, whatever comes together: an answer, a timeout, a cancellation, a lost connection, ``stop()``. Whoever
takes it out of the open calls ends it, and nobody else does (`ocppj.dispatch.futures`).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, ContextManager, Dict, Optional, Protocol, Tuple, Union

from ..dispatch.futures import AwaitedCall, CallFuture, OpenCall, OpenCalls
from ..dispatch.pending import PendingRequestState
from ..dispatch.queues import RequestBundle
from ..dispatch.timeouts import Timeouts
from ..errors import (
    CallCanceled,
    CallFailed,
    CallTimeout,
    ConnectionLost,
    ErrorCode,
    InvalidResponse,
    MessageError,
    OCPPError,
    QueueFull,
    UnsupportedFeature,
    UsageError,
    WouldDeadlock,
)
from ..payloads.model import Payload
from ..rpc.dialect import Dialect
from ..rpc.feature_registry import FeatureRegistry
from ..rpc.messages import Call, CallError, CallResult, parse_json_message
from .connection import Connection
from .handlers import Shared
from .options import check_seconds

__all__ = ["Caller", "PeerDispatcher", "Transport"]


class PeerDispatcher(Protocol):
    """What a `Caller` asks of a dispatcher: the methods of a `ServerDispatcher`, with the id of the peer."""

    @property
    def durable(self) -> bool: ...

    def send_request(self, client_id: str, bundle: RequestBundle) -> None: ...

    def complete_request(self, client_id: str, message_id: str) -> Optional[bool]: ...

    def cancel_request(self, client_id: str, message_id: str, error: CallFailed) -> bool: ...


class Transport(Protocol):
    """What a `Caller` asks of a transport."""

    def waiting(self) -> ContextManager[Any]:
        """Return a context in which a handler's thread waits for another message."""


class Caller:
    """Sends the requests of an endpoint, and ends them.

    ``unconnected`` tells whether a request may be queued while there is no connection: ``features`` say then which
    version has it. ``retry`` asks the dispatcher to send a request again that was answered with an error; it tells
    whether it will.
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
    ) -> None:
        self._endpoint, _, self._handlers, self._connections, self._count_refusal = shared
        self._by_id = self._connections.by_id
        self._context = self._handlers.context
        self._features = features
        self._new_message_id = new_message_id
        self._transport = transport
        self._dispatcher = dispatcher
        self._timeouts = timeouts
        self._unconnected = unconnected
        self._retry = retry
        self.calls = OpenCalls()

    # Sending

    def call(self, client_id: str, request: Payload, timeout: Optional[float], signed: bool) -> Any:
        """Send ``request`` and wait for its end; see `Client.call`."""
        reading = self._context.connection
        if reading is not None and reading.client_id == client_id:
            raise WouldDeadlock("call() where the connection is read or written: use send_request(), or a handler")
        if self._timeouts.is_firing():
            raise WouldDeadlock("call() on the thread that ends requests in time: use send_request()")
        connection, bundle = self._prepare(client_id, request, timeout, signed)
        call = AwaitedCall(request, bundle.message_id, connection)
        self._queue(client_id, bundle, call, timeout, fragile=True)
        try:
            with self._transport.waiting():
                return call.wait()
        except BaseException:
            if not call.ended:
                self._give_up(client_id, bundle.message_id)  # an interrupted wait leaves nothing behind
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
    ) -> CallFuture[Any]:
        """Queue ``request`` and return its future; see `Client.send_request`.

        A ``fragile`` request ends with the connection that it is made for. ``made`` has the CALLs of the same request
        to other peers, by version: they are checked already.
        """
        connection, bundle = self._prepare(client_id, request, timeout, signed, made)
        future: CallFuture[Any] = CallFuture(bundle.message_id, partial(self._give_up, client_id))
        call = OpenCall(request, future, connection if fragile else None)
        self._queue(client_id, bundle, call, timeout, fragile)
        return future

    def send_one_way(self, client_id: str, request: Payload, signed: bool) -> str:
        """Write the SEND of ``request`` at once, past the queue; see `Client.send`."""
        connection = self._connections.get(client_id)
        message = self._endpoint.create_send(request, connection.dialect, client_id, signed=signed)
        self._handlers.write(connection, message.to_json())
        return message.unique_id

    def _prepare(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        signed: bool,
        made: Optional[Dict[Dialect, Call]] = None,
    ) -> Tuple[Optional[Connection], RequestBundle]:
        """Check and encode ``request``; return the connection it is made for, if there is one, and what to queue."""
        if timeout is not None:
            check_seconds("a timeout", timeout)
            if timeout <= 0:
                raise CallTimeout(f"no answer within {timeout} seconds: nothing was sent")
        if not isinstance(request, Payload):
            raise UsageError(f"a request is an object of a message type, not {request!r}")
        connection = self._by_id.get(client_id)
        if connection is None and not self._unconnected:
            connection = self._connections.get(client_id)  # which says why there is none
        dialect = self._features.dialect_of(type(request)) if connection is None else connection.dialect
        known = made.get(dialect) if made is not None else None
        if known is None:
            call = self._endpoint.create_call(request, dialect, client_id=client_id, signed=signed)
            if made is not None:
                made[dialect] = call
        else:
            call = Call(self._new_message_id(), known.action, request, known.wire_payload)
        return connection, RequestBundle(call, call.to_json(), dialect.version)

    def _queue(
        self,
        client_id: str,
        bundle: RequestBundle,
        call: Union[OpenCall, AwaitedCall],
        timeout: Optional[float],
        fragile: bool,
    ) -> None:
        """Note that ``call`` is open, and queue its request."""
        message_id = bundle.message_id
        if not self.calls.add(client_id, call):
            raise UsageError(f"a request with the id {message_id!r} is waiting already")
        if timeout is not None:
            expiry = CallTimeout(f"no answer within {timeout} seconds", message_id)
            call.expire_by(self._timeouts.add(timeout, partial(self.fail, client_id, expiry)))
        try:
            self._dispatcher.send_request(client_id, bundle)
        except BaseException as error:
            if isinstance(error, QueueFull):
                self._count_refusal("queue_full")
            if self.calls.take(client_id, message_id) is not None:
                call.fail(error)
            raise
        if call.unanswered:
            # The call ended before its request was in the queue. Withdraw the request now.
            canceled = CallCanceled("the request had ended", message_id)
            self._dispatcher.cancel_request(client_id, message_id, canceled)
        elif fragile and (call.connection is None or self._by_id.get(client_id) is not call.connection):
            # The connection has gone, or there was none. `connection_lost` may have run before the call was noted, so
            # it ends here.
            self.fail(client_id, ConnectionLost("the connection was lost", message_id))

    # What the dispatcher asks and tells

    def refuse_other_version(self, client_id: str, bundle: RequestBundle) -> Optional[CallFailed]:
        """Return why ``bundle`` cannot go over the present connection, if it is of another OCPP version."""
        connection = self._by_id.get(client_id)
        if connection is None or not bundle.version or bundle.version == connection.dialect.version:
            return None
        words = f"the connection is in OCPP {connection.dialect.version}; the request is one of OCPP {bundle.version}"
        return ConnectionLost(words, bundle.message_id)

    def decode_stored(self, version: str, text: str) -> Call:
        """Return the CALL that was stored as ``text``. Raises `UsageError`, or `MessageError`, when it is none."""
        endpoint = self._endpoint
        dialect = next((each for each in endpoint.dialects if each.version == version), None)
        if dialect is None:
            raise UnsupportedFeature(f"there are no profiles of OCPP {version}")
        message = endpoint.parse_message(parse_json_message(text), PendingRequestState(), dialect)
        if not isinstance(message, Call):
            raise UsageError("what is stored is no CALL")
        return message

    def request_canceled(self, client_id: str, message_id: str, request: Any, error: CallFailed) -> None:
        """End a request that the dispatcher gave up, and tell the canceled-request handler."""
        open_call = self.calls.take(client_id, message_id)
        if open_call is not None:
            open_call.fail(error)
        elif not isinstance(error, CallCanceled):
            self._log_loss(client_id, message_id, error)
        handler = self._handlers.canceled
        if handler is not None:
            self._handlers.call(handler, client_id, message_id, request, error)

    # Answers. The dispatcher says whether the answer ended its request. If the request had already ended another way,
    # handlers were told then, and a late answer is not reported.

    def receive_result(self, connection: Connection, result: CallResult) -> None:
        """End the request that ``result`` answers; on the reading thread."""
        client_id, message_id = connection.client_id, result.unique_id
        response: Any = result.payload
        signature = None if result.signature is None else self._endpoint.check_signature(result, client_id)
        open_call = self.calls.take(client_id, message_id)
        try:
            first = self._dispatcher.complete_request(client_id, message_id)
        finally:  # a queue of the program's own may raise, and nobody else ends what was taken
            if open_call is not None:
                open_call.answer(response, signature)
        handler = self._handlers.response
        if handler is not None and first is not False:
            self._handlers.submit(connection, handler, client_id, response, message_id)

    def receive_error(self, connection: Connection, message: CallError) -> None:
        """End the request that a CALLERROR answers, unless it is sent again; on the reading thread."""
        client_id = connection.client_id
        error = OCPPError(message.code, message.error_description, message.error_details, message.unique_id)
        if not isinstance(error.code, ErrorCode):
            self._endpoint.log.warning("%s: unknown error code %r", client_id, error.code)
        if self._retry is not None and self._retry(message.unique_id, error):
            return
        first = self._end(client_id, message.unique_id, error)
        if first and self._handlers.error is not None:
            self._handlers.submit(connection, self._handlers.error, client_id, error, error.details)

    def receive_invalid_answer(
        self, connection: Connection, error: MessageError, message_id: str, request: Any, refuse: Callable[[], None]
    ) -> None:
        """End the request whose answer breaks the rules; on the reading thread.

        ``refuse`` tells the peer, after the next request was sent and before the caller is woken.
        """
        client_id = connection.client_id
        failure = InvalidResponse(error, message_id)
        first = self._end(client_id, message_id, failure, refuse)
        if first and self._handlers.canceled is not None:
            self._handlers.call(self._handlers.canceled, client_id, message_id, request, failure)

    def _end(
        self, client_id: str, message_id: str, error: Exception, between: Optional[Callable[[], None]] = None
    ) -> bool:
        """End a request whose answer is an error. Return true if this answer ended it, false if it had ended before."""
        open_call = self.calls.take(client_id, message_id)
        # A queue or a transport of the program's own may raise, and nobody else ends what was taken.
        first = self._handlers.call(self._complete, client_id, message_id)
        if between is not None:
            self._handlers.call(between)
        if open_call is not None:
            open_call.fail(error)
        elif first:
            self._log_loss(client_id, message_id, error)
        return bool(first)

    def _complete(self, client_id: str, message_id: str) -> bool:
        return self._dispatcher.complete_request(client_id, message_id) is not False

    # Other ends

    def fail(self, client_id: str, error: CallFailed) -> None:
        """End the request ``error.message_id`` with ``error``, sent or not."""
        message_id = error.message_id
        assert message_id is not None
        # A queue of the program's own may raise, and nobody else ends the request.
        if not self._handlers.call(self._dispatcher.cancel_request, client_id, message_id, error):
            open_call = self.calls.take(client_id, message_id)
            if open_call is not None:
                open_call.fail(error)

    def connection_lost(self, connection: Optional[Connection], how: str) -> None:
        """End the requests that end with ``connection``, with `ConnectionLost`: "the connection was HOW"."""
        for client_id, message_id in self.calls.over(connection):
            self.fail(client_id, ConnectionLost(f"the connection was {how}", message_id))

    def _give_up(self, client_id: str, message_id: str) -> None:
        """Forget a request whose future was canceled, or whose caller was interrupted."""
        open_call = self.calls.take(client_id, message_id)
        if open_call is not None:
            open_call.give_up()
            canceled = CallCanceled("the request was canceled", message_id)
            self._dispatcher.cancel_request(client_id, message_id, canceled)

    def _log_loss(self, client_id: str, message_id: str, error: Exception) -> None:
        """Log the failure of a stored request that has no open call. For queues in memory nothing is logged."""
        if self._dispatcher.durable:
            words = "%s: the stored request %r has failed, and is given up: %s"
            self._endpoint.log.error(words, client_id, message_id, str(error))
