"""`Node`: what a client and a server do alike: send requests and receive frames (`Answering` answers them).

Life of a message. The transport calls `_receive` on the connection's reading thread. An answer completes its request
there and then, so that a handler which waits for it in ``call()`` is woken whatever else the connection is doing. A
CALL becomes a job of the connection's handler thread; jobs of one connection run one at a time, in order. Everything
a program registered runs as such a job, except observers, the invalid-message hook and canceled-request handlers,
which run where the thing happens and must not block.

A client and a server differ in who their peers are: `Client` and `Server` fill in `_dispatch`, `_complete`,
`_withdraw`, `_pending` and the like.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any, ContextManager, Dict, Iterable, Optional, Sequence, Tuple, Union

from ..dispatch.futures import AwaitedCall, CallFuture, OpenCall, OpenCalls
from ..dispatch.pending import PendingLater, PendingRequestState
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
    UnsupportedFeature,
    UsageError,
    WouldDeadlock,
)
from ..payloads.jsontext import NestedTooDeeply
from ..payloads.model import Payload
from ..rpc.dialect import Dialect
from ..rpc.endpoint import Pending
from ..rpc.features import Profile
from ..rpc.messages import Call, CallError, CallResult, CallResultError, MessageType, Send, parse_json_message
from ..ws.base import Channel
from .connection import Connection
from .options import Options, check_seconds
from .responder import Answering

__all__ = ["Node"]


class Node(Answering):
    """An `Endpoint` with connections. Use `Client` or `Server`."""

    def __init__(self, profiles: Iterable[Profile], options: Options) -> None:
        super().__init__(profiles, options)
        self._timeouts = Timeouts(self._clock)
        self._calls = OpenCalls()
        self._connections: Dict[Channel, Connection] = {}

    # What a client and a server do differently

    _dispatcher: Any  # a ClientDispatcher or a ServerDispatcher

    @abstractmethod
    def _dispatch(self, client_id: str, bundle: RequestBundle) -> None:
        """Give ``bundle`` to the dispatcher."""

    @abstractmethod
    def _complete(self, client_id: str, message_id: str) -> bool:
        """Tell the dispatcher that the answer came; return whether it did before any other end of the request.

        If not, handlers have been told of that end, and are told of no other.
        """

    @abstractmethod
    def _retry(self, client_id: str, message_id: str, error: OCPPError) -> bool:
        """Have the dispatcher send a request answered with ``error`` again, if it may; tell whether it will."""

    @abstractmethod
    def _withdraw(self, client_id: str, message_id: str, error: CallFailed) -> bool:
        """Have the dispatcher cancel a request; return whether it did."""

    @abstractmethod
    def _current(self, client_id: str) -> Optional[Connection]:
        """Return the connection to that peer, or ``None`` when there is none now."""

    @abstractmethod
    def _pending(self, client_id: str) -> Pending:
        """Return the pending-request state of that peer."""

    @abstractmethod
    def _connection_of(self, client_id: str) -> Connection:
        """Return the connection to that peer. Raises `NotRunning`, `UnknownClient` or `TransportError`."""

    @abstractmethod
    def _dialect_of(self, client_id: str) -> Optional[Dialect]:
        """Return the version spoken with that peer, ``None`` where that is not known yet."""

    @abstractmethod
    def _waiting(self) -> ContextManager[Any]:
        """Return the transport's context for a thread that waits for a message."""

    # Sending requests

    def _send_request(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        fragile: bool,
        signed: bool,
        made: Optional[Dict[Dialect, Call]] = None,
    ) -> CallFuture[Any]:
        """Check, encode and queue ``request``; see `Client.send_request`. ``made`` is as in `_prepare`."""
        connection, bundle = self._prepare(client_id, request, timeout, signed, made)
        future: CallFuture[Any] = CallFuture(bundle.message_id, partial(self._give_up, client_id))
        call = OpenCall(request, future, connection if fragile else None)
        self._queue(client_id, bundle, call, timeout, fragile)
        return future

    def _call(self, client_id: str, request: Payload, timeout: Optional[float], signed: bool) -> Any:
        """Send ``request`` and wait for its end; see `Client.call`."""
        inside = self._inside.connection
        if inside is not None and inside.client_id == client_id:
            raise WouldDeadlock("call() where the connection is read or written: use send_request(), or a handler")
        if self._timeouts.is_firing():
            raise WouldDeadlock("call() on the thread that ends requests in time: use send_request()")
        connection, bundle = self._prepare(client_id, request, timeout, signed)
        call = AwaitedCall(request, bundle.message_id, connection)
        self._queue(client_id, bundle, call, timeout, fragile=True)
        try:
            with self._waiting():
                return call.wait()
        except BaseException:
            if not call.ended:
                self._give_up(client_id, bundle.message_id)  # an interrupted wait leaves nothing behind
            raise

    def _prepare(
        self,
        client_id: str,
        request: Payload,
        timeout: Optional[float],
        signed: bool,
        made: Optional[Dict[Dialect, Call]] = None,
    ) -> Tuple[Optional[Connection], RequestBundle]:
        """Check and encode ``request``; return the connection it is made for, if there is one, and what to queue.

        ``made`` has the CALLs of the same request to other peers, checked already; an id is all that this one lacks.
        """
        if timeout is not None:
            check_timeout(timeout)
        if not isinstance(request, Payload):
            raise UsageError(f"a request is an object of a message type, not {request!r}")
        connection = self._current(client_id)
        if connection is not None:
            dialect = connection.dialect
        else:
            dialect = self._dialect_of(client_id) or self._features.dialect_of(type(request))
        known = made.get(dialect) if made is not None else None
        if known is None:
            call = self.create_call(request, dialect, client_id=client_id, signed=signed)
            if made is not None:
                made[dialect] = call
        else:
            call = Call(self._new_id(), known.action, request, known.wire_payload)
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
        if not self._calls.add(client_id, call):
            raise UsageError(f"a request with the id {message_id!r} is waiting already")
        if timeout is not None:
            expiry = CallTimeout(f"no answer within {timeout} seconds", message_id)
            call.expire_by(self._timeouts.add(timeout, partial(self._fail, client_id, expiry)))
        try:
            self._dispatch(client_id, bundle)
        except BaseException as error:
            if self._calls.take(client_id, message_id) is not None:
                call.fail(error)
            raise
        if call.unanswered:
            # It ended before it was queued: nobody could withdraw it then.
            self._withdraw(client_id, message_id, CallCanceled("the request had ended", message_id))
        elif fragile and (call.connection is None or self._current(client_id) is not call.connection):
            # The connection was lost since it was looked at, perhaps before the call was there to be ended with it,
            # or there was none: then nothing would end the call until there is one again.
            self._fail(client_id, ConnectionLost("the connection was lost", message_id))

    def _send_one_way(self, client_id: str, request: Payload, signed: bool) -> str:
        """Write the SEND of ``request`` at once, past the queue; see `Client.send`."""
        connection = self._connection_of(client_id)
        message = self.create_send(request, connection.dialect, client_id, signed=signed)
        self._write(connection, message.to_json())
        return message.unique_id

    def _give_up(self, client_id: str, message_id: str) -> None:
        """Forget a request whose future was canceled."""
        open_call = self._calls.take(client_id, message_id)
        if open_call is not None:
            open_call.give_up()
            self._withdraw(client_id, message_id, CallCanceled("the request was canceled", message_id))

    def _fail(self, client_id: str, error: CallFailed) -> None:
        """End the request ``error.message_id`` with ``error``, sent or not."""
        message_id = error.message_id
        assert message_id is not None
        if not self._withdraw(client_id, message_id, error):
            open_call = self._calls.take(client_id, message_id)
            if open_call is not None:
                open_call.fail(error)

    def _unfit(self, client_id: str, bundle: RequestBundle) -> Optional[CallFailed]:
        """Return why ``bundle`` cannot go over the present connection: it is of another OCPP version."""
        connection = self._current(client_id)
        if connection is None or not bundle.version or bundle.version == connection.dialect.version:
            return None
        words = f"the connection is in OCPP {connection.dialect.version}; the request is one of OCPP {bundle.version}"
        return ConnectionLost(words, bundle.message_id)

    def _decode_stored(self, version: str, text: str) -> Call:
        """Return the CALL that was stored as ``text``. Raises `UsageError` or `MessageError` when it cannot be read."""
        dialect = next((each for each in self.dialects if each.version == version), None)
        if dialect is None:
            raise UnsupportedFeature(f"there are no profiles of OCPP {version}")
        message = self.parse_message(parse_json_message(text), PendingRequestState(), dialect)
        if not isinstance(message, Call):
            raise UsageError("what is stored is no CALL")
        return message

    def _on_canceled(self, client_id: str, message_id: str, request: Any, error: CallFailed) -> None:
        """Take note that the dispatcher gave a request up."""
        open_call = self._calls.take(client_id, message_id)
        if open_call is not None:
            open_call.fail(error)
        elif not isinstance(error, CallCanceled):
            self._note_loss(client_id, message_id, error)
        if self._handlers.canceled is not None:
            self._guarded(self._handlers.canceled, client_id, message_id, request, error)

    def _note_loss(self, client_id: str, message_id: str, error: Exception) -> None:
        """Log the failure of a request that nobody waits for, if that is because a durable queue has kept it."""
        if self._dispatcher.durable:
            words = "%s: the stored request %r has failed, and is given up: %s"
            self.log.error(words, client_id, message_id, str(error))

    # Receiving frames

    def _receive(self, channel: Channel, text: str) -> None:
        """Act on one frame; called on the thread that reads ``channel``."""
        connection = self._connections.get(channel)
        if connection is None:
            self.log.warning("ignored a frame on a connection that has ended")
            return
        inside = self._inside
        before, inside.connection = inside.connection, connection
        try:
            if self._handlers.observers:
                self._observe("in", connection, text)
            if text:
                self._interpret(connection, text)
            else:
                self.log.warning("%s: ignored an empty frame", connection.client_id)
        finally:
            inside.connection = before

    def _interpret(self, connection: Connection, text: str) -> None:
        fields: Optional[Sequence[Any]] = None
        try:
            fields = parse_json_message(text, max_depth=self._options.max_depth)
            pending = PendingLater(self._pending, connection.client_id)
            message = self.parse_message(fields, pending, connection.dialect, connection.client_id)
        except MessageError as error:
            self._receive_invalid(connection, error, text, fields)
            return
        connection.bad_in_a_row = 0
        if type(message) is Call:
            self._receive_call(connection, message)
        elif type(message) is CallResult:
            self._receive_result(connection, message)
        elif isinstance(message, Send):
            self._receive_send(connection, message)
        elif isinstance(message, CallResultError):
            self._receive_result_error(connection, message)
        elif isinstance(message, CallError):
            self._receive_error(connection, message)
        elif self._handlers.ignored_message is not None:
            self._guarded(self._handlers.ignored_message, connection.client_id, fields)

    def _receive_invalid(
        self, connection: Connection, error: MessageError, text: str, fields: Optional[Sequence[Any]]
    ) -> None:
        self.log.warning("%s: invalid message: %s", connection.client_id, error)
        if isinstance(error.__cause__, NestedTooDeeply):
            self._count_refusal("nesting_depth")
        replacement = None
        if self._handlers.invalid_message is not None:
            hook = self._handlers.invalid_message
            replacement = self._guarded(hook, connection.client_id, error, text, fields)
        if error.message_type == MessageType.CALL_RESULT or error.message_type == MessageType.CALL_ERROR:
            self._receive_invalid_answer(connection, error, replacement)
        elif error.answerable or self._answers_unknown_type(connection, error):
            self._answer_invalid(connection, error, replacement)
        if error.message_type is not None and error.code is not ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED:
            connection.count_good()
        elif connection.count_bad() == self._options.max_bad_messages:
            self.log.error("%s: %d bad frames in a row", connection.client_id, self._options.max_bad_messages)
            self._count_refusal("bad_messages")
            connection.channel.close(1002, "too many bad messages")

    def _answer_invalid(self, connection: Connection, error: MessageError, replacement: Any) -> None:
        message_id = error.message_id
        if message_id is None:
            message_id = connection.dialect.unreadable_id
            if message_id is None:
                return
        if isinstance(replacement, OCPPError):
            self._send_error(connection, message_id, replacement.code, replacement.description, replacement.details)
        else:
            self._send_error(connection, message_id, error.code, error.description)

    def _answers_unknown_type(self, connection: Connection, error: MessageError) -> bool:
        return (
            self._options.answer_unknown_types
            and error.code is ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED
            and error.message_id is not None
            and error.code in connection.dialect.spellings
        )

    def _receive_invalid_answer(self, connection: Connection, error: MessageError, replacement: Any) -> None:
        message_id = error.message_id
        request = None if message_id is None else self._pending(connection.client_id).get(message_id)
        if message_id is None or request is None:
            return
        open_call = self._calls.take(connection.client_id, message_id)
        first = self._guarded(self._complete, connection.client_id, message_id)  # as in `_receive_result`
        if error.message_type == MessageType.CALL_RESULT:
            self._send_result_error(connection, message_id, replacement or OCPPError(error.code, error.description))
        failure = InvalidResponse(error, message_id)
        if open_call is not None:
            open_call.fail(failure)
        elif first:
            self._note_loss(connection.client_id, message_id, failure)
        if first and self._handlers.canceled is not None:
            self._guarded(self._handlers.canceled, connection.client_id, message_id, request, failure)

    def _receive_result(self, connection: Connection, result: CallResult) -> None:
        response: Any = result.payload
        signature = None if result.signature is None else self.check_signature(result, connection.client_id)
        open_call = self._calls.take(connection.client_id, result.unique_id)
        try:
            first = self._complete(connection.client_id, result.unique_id)
        finally:  # a queue of the program's own may raise, and nobody else ends what was taken
            if open_call is not None:
                open_call.answer(response, signature)
        handler = self._handlers.response
        if first and handler is not None:
            self._submit(connection, handler, connection.client_id, response, result.unique_id)

    def _receive_result_error(self, connection: Connection, message: CallResultError) -> None:
        error = OCPPError(message.code, message.error_description, message.error_details, message.unique_id)
        self.log.warning("%s: the peer refused an answer: %s", connection.client_id, error)
        if self._handlers.result_error is not None:
            self._submit(connection, self._handlers.result_error, connection.client_id, error, error.details)

    def _receive_error(self, connection: Connection, message: CallError) -> None:
        error = OCPPError(message.code, message.error_description, message.error_details, message.unique_id)
        if not isinstance(error.code, ErrorCode):
            self.log.warning("%s: unknown error code %r", connection.client_id, error.code)
        if self._retry(connection.client_id, message.unique_id, error):
            return
        open_call = self._calls.take(connection.client_id, message.unique_id)
        first = self._guarded(self._complete, connection.client_id, message.unique_id)  # as above
        if open_call is not None:
            open_call.fail(error)
        elif first:
            self._note_loss(connection.client_id, message.unique_id, error)
        if first and self._handlers.error is not None:
            self._submit(connection, self._handlers.error, connection.client_id, error, error.details)


def check_timeout(timeout: float) -> None:
    """Raise `UsageError` for what is no number of seconds, and `CallTimeout` when there is no time left."""
    check_seconds("a timeout", timeout)
    if timeout <= 0:
        raise CallTimeout(f"no answer within {timeout} seconds: nothing was sent")
