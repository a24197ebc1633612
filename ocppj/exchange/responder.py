"""`Responder`: how a client or a server handles and answers the CALLs of its peers.

A CALL becomes a job of its connection's handler thread. The jobs of one connection run one at a time, in order. Every
CALL is answered once: with what its handler returns, with an error, or later by ``send_response`` or ``send_error``.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Mapping, Optional, Union

from ..errors import (
    EncodingError,
    ErrorCode,
    OCPPError,
    TransportError,
    UnsupportedFeature,
    UsageError,
    ValidationError,
)
from ..payloads.model import Payload
from ..rpc.messages import Call, CallError, CallResultError, MessageType, Send
from .connection import AnswerMemory, Connection
from .handlers import RequestHandler, Shared

__all__ = ["Responder"]


class Responder:
    """Handles and answers what the peers of an endpoint ask."""

    def __init__(self, shared: Shared) -> None:
        self._endpoint, options, self._handlers, _, self._count_refusal = shared
        self._max_waiting_calls = options.max_waiting_calls
        self._answers = AnswerMemory(options.repeat_answers) if options.repeat_answers else None
        self._signs = options.signer is not None

    # CALLs and SENDs of the peer

    def receive_call(self, connection: Connection, call: Call) -> None:
        """Have ``call`` handled, or refuse it. On the thread that reads the connection."""
        again = None if self._answers is None else self._answers.get(connection.client_id, call.unique_id)
        if again is not None:
            self._answer_again(connection, call, again)
        elif connection.unanswered() >= self._max_waiting_calls:
            self._endpoint.log.warning("%s: too many CALLs are waiting", connection.client_id)
            self._count_refusal("waiting_calls")
            description = "too many CALLs are waiting"
            self.send_error(connection, call.unique_id, ErrorCode.GENERIC_ERROR, description, finish=False)
        elif not connection.begin(call):
            self._endpoint.log.warning("%s: CALL %r is being handled already", connection.client_id, call.unique_id)
            code = connection.dialect.repeated_id_code
            self.send_error(connection, call.unique_id, code, "a CALL of this id is being handled", finish=False)
        else:
            connection.channel.submit(partial(self._handle, connection, call))

    def _answer_again(self, connection: Connection, call: Call, text: str) -> None:
        log = self._endpoint.log
        log.info("%s: CALL %r came again, and gets its answer again", connection.client_id, call.unique_id)
        try:
            # Not as a job: a peer that repeats itself could pile them up.
            self._handlers.write(connection, text, wait=False)
        except TransportError as error:
            log.warning("%s: an answer was not sent again: %s", connection.client_id, error)

    def receive_send(self, connection: Connection, message: Send) -> None:
        """Have a SEND handled, or drop it. On the thread that reads the connection."""
        log = self._endpoint.log
        if connection.unanswered() >= self._max_waiting_calls:
            log.warning("%s: dropped %s: too many CALLs are waiting", connection.client_id, message.action)
            self._count_refusal("waiting_calls")
        elif not connection.begin(message):
            words = "%s: dropped %s: one of the id %r is waiting"
            log.warning(words, connection.client_id, message.action, message.unique_id)
        else:
            self._handlers.submit(connection, self._handle_send, connection, message)

    def _handle(self, connection: Connection, call: Call) -> None:
        """Run the handler of ``call`` and send what it returns; on the connection's handler thread. Raises nothing."""
        client_id, handlers = connection.client_id, self._handlers
        request: Any = call.payload
        try:
            handler = handlers.by_type.get(type(request), handlers.request)
            if handler is None:
                description = f"{call.action} is not supported here"
                self.send_error(connection, call.unique_id, ErrorCode.NOT_SUPPORTED, description)
                return
            try:
                response = self._run(handler, client_id, call)
            except OCPPError as error:
                self._refuse_handled(connection, call, error)
            except BaseException:  # sys.exit() and pytest.fail() too: it must not end the thread
                self._endpoint.log.exception("%s: the handler of %s failed", client_id, call.action)
                self._refuse_handled(connection, call, _failed())
            else:
                if isinstance(response, Payload):
                    self._answer_handled(connection, call, response)
                elif response is not None:
                    words = "%s: the handler of %s returned %r, which is no message"
                    self._endpoint.log.error(words, client_id, call.action, response)
                    self._refuse_handled(connection, call, _failed())
        except BaseException:
            self._endpoint.log.exception("%s: answering %s failed", client_id, call.action)

    def _run(self, handler: RequestHandler, client_id: str, call: Call) -> Any:
        """Call the handler of a CALL or SEND with the arguments that it takes, and return what it returns."""
        signature = None if call.signature is None else self._endpoint.check_signature(call, client_id)
        function, pass_id, pass_action, pass_signature = handler
        if not pass_id and not pass_signature:
            return function(client_id, call.payload)
        arguments = [client_id, call.payload, call.unique_id, call.action, signature]
        takes = [True, True, pass_id, pass_action, pass_signature]
        return function(*(argument for argument, taken in zip(arguments, takes) if taken))

    def _handle_send(self, connection: Connection, message: Send) -> None:
        """Run the handler of a SEND, which is never answered (OCPP 2.1 Part 4 section 4.2.4)."""
        connection.finish_call(message)
        handlers, log = self._handlers, self._endpoint.log
        request: Any = message.payload
        handler = handlers.by_type.get(type(request), handlers.request)
        if handler is None:
            log.warning("%s: nobody handles %s", connection.client_id, message.action)
            return
        try:
            self._run(handler, connection.client_id, message)
        except BaseException:
            log.exception("%s: the handler of %s failed", connection.client_id, message.action)

    # Answers

    def answer(self, connection: Connection, message_id: str, response: Payload) -> None:
        """Answer the CALL of that id, one that is waiting or one that is not known; see `Client.send_response`."""
        self._answer(connection, message_id, connection.finish(message_id), response)

    def answer_with_error(
        self,
        connection: Connection,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str,
        details: Optional[Mapping[str, Any]],
    ) -> None:
        """Send a CALLERROR; see `Client.send_error`. One that cannot be sent is replaced by a plain one."""
        try:
            error = self._endpoint.create_call_error(message_id, code, description, details, connection.dialect)
            text = error.to_json()
        except UsageError:
            plain = code if isinstance(code, ErrorCode) else ErrorCode.GENERIC_ERROR
            self.send_error(connection, message_id, plain, description)
            raise
        connection.finish(message_id)
        self._write_answer(connection, message_id, text)

    def send_error(
        self,
        connection: Connection,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str,
        details: Optional[Mapping[str, Any]] = None,
        finish: bool = True,
    ) -> None:
        """Send a CALLERROR, and log what goes wrong. Without ``finish`` the CALL of that id goes on."""
        log = self._endpoint.log
        if finish:
            connection.finish(message_id)
        try:
            error = self._endpoint.create_call_error(message_id, code, description, details, connection.dialect)
            text = error.to_json()
        except Exception as failure:
            log.error("%s: a CALLERROR cannot be sent as it is: %s", connection.client_id, failure)
            plain = connection.dialect.spell(ErrorCode.GENERIC_ERROR)
            text = CallError(message_id, plain, str(description)).to_json()
        try:
            if finish:
                self._write_answer(connection, message_id, text)
            else:
                self._handlers.write(connection, text)
        except TransportError as failure:
            log.warning("%s: a CALLERROR was not sent: %s", connection.client_id, failure)

    def send_result_error(self, connection: Connection, message_id: str, error: OCPPError) -> None:
        """Tell the peer that its answer is invalid, where the version has a message for that (2.1: section 4.2.3)."""
        dialect = connection.dialect
        if MessageType.CALL_RESULT_ERROR not in dialect.message_types:
            return
        try:
            text = CallResultError(message_id, dialect.spell(error.code), error.description, error.details).to_json()
            self._handlers.write(connection, text)
        except (UsageError, TransportError) as failure:
            words = "%s: a CALLRESULTERROR was not sent: %s"
            self._endpoint.log.warning(words, connection.client_id, failure)

    def _refuse_handled(self, connection: Connection, call: Call, error: OCPPError) -> None:
        if connection.finish_call(call):
            self.send_error(connection, call.unique_id, error.code, error.description, error.details)
        else:
            self._endpoint.log.error("%s: the handler answered %s twice", connection.client_id, call.action)

    def _answer_handled(self, connection: Connection, call: Call, response: Payload) -> None:
        if not connection.finish_call(call):
            self._endpoint.log.error("%s: the handler answered %s twice", connection.client_id, call.action)
            return
        try:
            self._answer(connection, call.unique_id, call, response)
        except UsageError as error:
            words = "%s: the answer to %s cannot be sent: %s"
            self._endpoint.log.error(words, connection.client_id, call.action, error)
        except TransportError as error:
            words = "%s: the answer to %s was not sent: %s"
            self._endpoint.log.warning(words, connection.client_id, call.action, error)

    def _answer(self, connection: Connection, message_id: str, call: Optional[Call], response: Payload) -> None:
        """Send ``response``; one that cannot be sent is replaced by a CALLERROR, and the error is raised."""
        endpoint = self._endpoint
        # A signed request gets a signed answer, if there is a signer (2.x Part 4 section 7.2).
        signed = call is not None and call.signature is not None and self._signs
        action = None if call is None else call.action
        try:
            result = endpoint.create_call_result(
                response, message_id, connection.dialect, action, connection.client_id, signed=signed
            )
            text = result.to_json()
        except UsageError as error:
            self.send_error(connection, message_id, _code_for(error), f"the answer is invalid: {error}")
            raise
        except BaseException:  # a type or a schema of the program's own: the peer waits all the same
            self.send_error(connection, message_id, ErrorCode.INTERNAL_ERROR, "the answer could not be made")
            raise
        try:
            self._write_answer(connection, message_id, text)
        except TransportError:
            # Not remembered: the peer that asks again is to get the answer.
            description = "the answer could not be sent"
            self.send_error(connection, message_id, ErrorCode.GENERIC_ERROR, description, finish=False)
            raise
        after = self._handlers.after
        if call is not None and after:
            request: Any = call.payload
            for handler in after.get(type(request), ()):
                self._handlers.call(handler, connection.client_id, request)

    def _write_answer(self, connection: Connection, message_id: str, text: str) -> None:
        if self._answers is not None:  # first: the peer may repeat its CALL as soon as the answer is written
            self._answers.put(connection.client_id, message_id, text)
        handlers = self._handlers
        if handlers.observers:
            handlers.observe("out", connection, text)
        try:
            connection.channel.send(text, True)
        except TransportError as error:
            error.message_id = message_id
            raise


def _failed() -> OCPPError:
    return OCPPError(ErrorCode.INTERNAL_ERROR, "the request could not be handled")


def _code_for(error: UsageError) -> ErrorCode:
    if isinstance(error, ValidationError):
        return error.code
    if isinstance(error, UnsupportedFeature):
        return ErrorCode.NOT_SUPPORTED
    if isinstance(error, EncodingError):
        return ErrorCode.INTERNAL_ERROR
    return ErrorCode.GENERIC_ERROR
