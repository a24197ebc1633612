"""`Router`: what becomes of each frame that comes in.

The transport calls `Router.receive` on the connection's reading thread. An answer ends its request there and then, so
that a handler that waits for it in ``call()`` is woken whatever else the connection is doing. A CALL becomes a job of
the connection's handler thread (`Responder`). What a program registered runs as such a job, too. Exceptions are
observers, the invalid-message hook and canceled-request handlers: they run where the thing happens, and must not block.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

from ..errors import ErrorCode, MessageError, OCPPError
from ..payloads.jsontext import NestedTooDeeply
from ..rpc.messages import Call, CallError, CallResult, CallResultError, MessageType, Send, parse_json_message
from ..ws.base import Channel
from .caller import Caller
from .connection import Connection
from .handlers import Shared
from .responder import Responder

__all__ = ["Router"]


class Router:
    """Hands each frame to the caller or the responder, and judges frames that break the rules."""

    def __init__(self, shared: Shared, caller: Caller, responder: Responder) -> None:
        self._endpoint, options, self._handlers, connections, self._count_refusal = shared
        self._connections = connections.by_channel
        self._context = self._handlers.context
        self._caller = caller
        self._responder = responder
        self._max_depth = options.max_depth
        self._max_bad_messages = options.max_bad_messages
        self._answer_unknown_types = options.answer_unknown_types

    def receive(self, channel: Channel, text: str) -> None:
        """Act on one frame; on the thread that reads ``channel``."""
        connection = self._connections.get(channel)
        if connection is None:
            self._endpoint.log.warning("ignored a frame on a connection that has ended")
            return
        context = self._context
        before, context.connection = context.connection, connection
        try:
            if self._handlers.observers:
                self._handlers.observe("in", connection, text)
            if text:
                self._interpret(connection, text)
            else:
                self._endpoint.log.warning("%s: ignored an empty frame", connection.client_id)
        finally:
            context.connection = before

    def _interpret(self, connection: Connection, text: str) -> None:
        fields: Optional[Sequence[Any]] = None
        try:
            fields = parse_json_message(text, max_depth=self._max_depth)
            message = self._endpoint.parse_message(fields, connection.pending, connection.dialect, connection.client_id)
        except MessageError as error:
            self._receive_invalid(connection, error, text, fields)
            return
        connection.bad_in_a_row = 0
        if type(message) is Call:
            self._responder.receive_call(connection, message)
        elif type(message) is CallResult:
            self._caller.receive_result(connection, message)
        elif isinstance(message, Send):
            self._responder.receive_send(connection, message)
        elif isinstance(message, CallResultError):
            self._receive_result_error(connection, message)
        elif isinstance(message, CallError):
            self._caller.receive_error(connection, message)
        elif self._handlers.ignored_message is not None:
            self._handlers.call(self._handlers.ignored_message, connection.client_id, fields)

    def _receive_result_error(self, connection: Connection, message: CallResultError) -> None:
        error = OCPPError(message.code, message.error_description, message.error_details, message.unique_id)
        self._endpoint.log.warning("%s: the peer refused an answer: %s", connection.client_id, error)
        handler = self._handlers.result_error
        if handler is not None:
            self._handlers.submit(connection, handler, connection.client_id, error, error.details)

    # Frames that break the rules

    def _receive_invalid(
        self, connection: Connection, error: MessageError, text: str, fields: Optional[Sequence[Any]]
    ) -> None:
        log = self._endpoint.log
        log.warning("%s: invalid message: %s", connection.client_id, error)
        if isinstance(error.__cause__, NestedTooDeeply):
            self._count_refusal("nesting_depth")
        replacement = None
        hook = self._handlers.invalid_message
        if hook is not None:
            replacement = self._handlers.call(hook, connection.client_id, error, text, fields)
        if error.message_type == MessageType.CALL_RESULT or error.message_type == MessageType.CALL_ERROR:
            self._receive_invalid_answer(connection, error, replacement)
        elif error.answerable or (
            self._answer_unknown_types
            and error.code is ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED
            and error.message_id is not None
            and error.code in connection.dialect.spellings
        ):
            self._answer_invalid(connection, error, replacement)
        if error.message_type is not None and error.code is not ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED:
            connection.bad_in_a_row = 0
            return
        connection.bad_in_a_row += 1
        if connection.bad_in_a_row == self._max_bad_messages:
            log.error("%s: %d bad frames in a row", connection.client_id, self._max_bad_messages)
            self._count_refusal("bad_messages")
            connection.channel.close(1002, "too many bad messages")

    def _answer_invalid(self, connection: Connection, error: MessageError, replacement: Any) -> None:
        message_id = connection.dialect.unreadable_id if error.message_id is None else error.message_id
        if message_id is None:
            return
        if isinstance(replacement, OCPPError):
            code, description, details = replacement.code, replacement.description, replacement.details
            self._responder.send_error(connection, message_id, code, description, details)
        else:
            self._responder.send_error(connection, message_id, error.code, error.description)

    def _receive_invalid_answer(self, connection: Connection, error: MessageError, replacement: Any) -> None:
        message_id = error.message_id
        request = None if message_id is None else connection.pending.get(message_id)
        if message_id is None or request is None:
            return

        def refuse() -> None:
            if error.message_type == MessageType.CALL_RESULT:
                own = isinstance(replacement, OCPPError)
                refusal = replacement if own else OCPPError(error.code, error.description)
                self._responder.send_result_error(connection, message_id, refusal)

        self._caller.receive_invalid_answer(connection, error, message_id, request, refuse)
