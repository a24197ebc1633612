"""`Answering`: what a client and a server do alike with the CALLs of their peers: handle them and answer them.

A CALL becomes a job of its connection's handler thread; jobs of one connection run one at a time, in order. Every CALL
is answered once: with what its handler returns, with an error, or later by ``send_response`` or ``send_error``.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, Iterable, Mapping, Optional, Union

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
from ..rpc.features import Profile
from ..rpc.messages import Call, CallError, CallResultError, MessageType, Send
from .connection import AnswerMemory, Connection
from .handlers import Frame, Handlers, Registering
from .options import Options

__all__ = ["Answering"]


class _Inside(threading.local):
    """Where this thread is."""

    #: The connection that it is reading, or being watched writing to: ``call()`` over it would wait for itself.
    connection: Optional[Connection] = None


class Answering(Registering):
    """An `Endpoint` that answers CALLs. Use `Client` or `Server`."""

    def __init__(self, profiles: Iterable[Profile], options: Options) -> None:
        super().__init__(
            profiles,
            signer=options.signer,
            verifier=options.verifier,
            validate=options.validate,
            message_id_generator=options.message_id_generator,
            logger=options.logger,
        )
        self._options = options
        self._clock = options.clock
        self._handlers = Handlers()
        self._answers = AnswerMemory(options.repeat_answers) if options.repeat_answers else None
        self._inside = _Inside()

    def _receive_call(self, connection: Connection, call: Call) -> None:
        again = None if self._answers is None else self._answers.get(connection.client_id, call.unique_id)
        if again is not None:
            self.log.info("%s: CALL %r came again, and gets its answer again", connection.client_id, call.unique_id)
            try:
                # Not as a job: a peer that repeats itself could pile them up.
                self._write(connection, again, wait=False)
            except TransportError as error:
                self.log.warning("%s: an answer was not sent again: %s", connection.client_id, error)
        elif connection.unanswered() >= self._options.max_waiting_calls:
            self.log.warning("%s: too many CALLs are waiting", connection.client_id)
            self._count_refusal("waiting_calls")
            description = "too many CALLs are waiting"
            self._send_error(connection, call.unique_id, ErrorCode.GENERIC_ERROR, description, finish=False)
        elif not connection.begin(call):
            self.log.warning("%s: CALL %r is being handled already", connection.client_id, call.unique_id)
            code = connection.dialect.repeated_id_code
            self._send_error(connection, call.unique_id, code, "a CALL of this id is being handled", finish=False)
        else:
            connection.channel.submit(partial(self._handle, connection, call))

    def _handle(self, connection: Connection, call: Call) -> None:
        """Run the handler of ``call`` and send what it returns; on the connection's handler thread. Raises nothing."""
        client_id = connection.client_id
        request: Any = call.payload
        try:
            handler = self._handlers.for_request(request)
            if handler is None:
                description = f"{call.action} is not supported here"
                self._send_error(connection, call.unique_id, ErrorCode.NOT_SUPPORTED, description)
                return
            try:
                signature = None if call.signature is None else self.check_signature(call, client_id)
                response = handler(client_id, request, call.unique_id, call.action, signature)
            except OCPPError as error:
                self._refuse_handled(connection, call, error)
            except BaseException:  # sys.exit() and pytest.fail() too: it must not end the thread
                self.log.exception("%s: the handler of %s failed", client_id, call.action)
                self._refuse_handled(connection, call, _failed())
            else:
                if isinstance(response, Payload):
                    self._answer_handled(connection, call, response)
                elif response is not None:
                    words = "%s: the handler of %s returned %r, which is no message"
                    self.log.error(words, client_id, call.action, response)
                    self._refuse_handled(connection, call, _failed())
        except BaseException:
            self.log.exception("%s: answering %s failed", client_id, call.action)

    def _receive_send(self, connection: Connection, message: Send) -> None:
        if connection.unanswered() >= self._options.max_waiting_calls:
            self.log.warning("%s: dropped %s: too many CALLs are waiting", connection.client_id, message.action)
            self._count_refusal("waiting_calls")
            return
        if not connection.begin(message):
            words = "%s: dropped %s: one of the id %r is waiting"
            self.log.warning(words, connection.client_id, message.action, message.unique_id)
            return
        self._submit(connection, self._handle_send, connection, message)

    def _handle_send(self, connection: Connection, message: Send) -> None:
        """Run the handler of a SEND, which is never answered (OCPP 2.1 Part 4 section 4.2.4)."""
        assert isinstance(message.payload, Payload)
        connection.finish_call(message)
        handler = self._handlers.for_request(message.payload)
        if handler is None:
            self.log.warning("%s: nobody handles %s", connection.client_id, message.action)
            return
        try:
            signature = self.check_signature(message, connection.client_id)
            handler(connection.client_id, message.payload, message.unique_id, message.action, signature)
        except BaseException:
            self.log.exception("%s: the handler of %s failed", connection.client_id, message.action)

    def _send_result_error(self, connection: Connection, message_id: str, error: OCPPError) -> None:
        """Tell the peer that its answer is invalid, where the version has a message for that (2.1: section 4.2.3)."""
        dialect = connection.dialect
        if MessageType.CALL_RESULT_ERROR not in dialect.message_types:
            return
        try:
            text = CallResultError(message_id, dialect.spell(error.code), error.description, error.details).to_json()
            self._write(connection, text)
        except (UsageError, TransportError) as failure:
            self.log.warning("%s: a CALLRESULTERROR was not sent: %s", connection.client_id, failure)

    def _refuse_handled(self, connection: Connection, call: Call, error: OCPPError) -> None:
        if connection.finish_call(call):
            self._send_error(connection, call.unique_id, error.code, error.description, error.details)
        else:
            self.log.error("%s: the handler answered %s twice", connection.client_id, call.action)

    def _answer_handled(self, connection: Connection, call: Call, response: Payload) -> None:
        if not connection.finish_call(call):
            self.log.error("%s: the handler answered %s twice", connection.client_id, call.action)
            return
        try:
            self._answer(connection, call.unique_id, call, response)
        except UsageError as error:
            self.log.error("%s: the answer to %s cannot be sent: %s", connection.client_id, call.action, error)
        except TransportError as error:
            self.log.warning("%s: the answer to %s was not sent: %s", connection.client_id, call.action, error)

    def _answer_later(self, connection: Connection, message_id: str, response: Payload) -> None:
        """Answer the CALL of that id, one that is waiting or one that nobody knows of; see `Client.send_response`."""
        self._answer(connection, message_id, connection.finish(message_id), response)

    def _answer(self, connection: Connection, message_id: str, call: Optional[Call], response: Payload) -> None:
        """Send ``response``; one that cannot be sent is replaced by a CALLERROR, and the error is raised."""
        action = None if call is None else call.action
        # A signed request gets a signed answer from who can sign (2.x Part 4 section 7.2).
        signed = call is not None and call.signature is not None and self._signed_messages.signer is not None
        try:
            text = self.create_call_result(
                response, message_id, connection.dialect, action, connection.client_id, signed=signed
            ).to_json()
        except UsageError as error:
            self._send_error(connection, message_id, _code_for(error), f"the answer is invalid: {error}")
            raise
        except BaseException:  # a type or a schema of the program's own: the peer waits all the same
            self._send_error(connection, message_id, ErrorCode.INTERNAL_ERROR, "the answer could not be made")
            raise
        try:
            self._write_answer(connection, message_id, text)
        except TransportError:
            # Not remembered: the peer that asks again is to get the answer.
            description = "the answer could not be sent"
            self._send_error(connection, message_id, ErrorCode.GENERIC_ERROR, description, finish=False)
            raise
        after = self._handlers.after
        if call is not None and after:
            request: Any = call.payload
            for handler in after.get(type(request), ()):
                self._guarded(handler, connection.client_id, request)

    def _answer_with_error(
        self,
        connection: Connection,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str,
        details: Optional[Mapping[str, Any]],
    ) -> None:
        """Send a CALLERROR; one that cannot be sent is replaced by a plain one, and the error is raised."""
        try:
            text = self.create_call_error(message_id, code, description, details, connection.dialect).to_json()
        except UsageError:
            plain = code if isinstance(code, ErrorCode) else ErrorCode.GENERIC_ERROR
            self._send_error(connection, message_id, plain, description)
            raise
        connection.finish(message_id)
        self._write_answer(connection, message_id, text)

    def _send_error(
        self,
        connection: Connection,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str,
        details: Optional[Mapping[str, Any]] = None,
        finish: bool = True,
    ) -> None:
        """Send a CALLERROR from inside the library: what goes wrong is logged.

        ``finish`` is false when the CALL of that id goes on, and will be answered.
        """
        if finish:
            connection.finish(message_id)
        try:
            text = self.create_call_error(message_id, code, description, details, connection.dialect).to_json()
        except Exception as error:
            self.log.error("%s: a CALLERROR cannot be sent as it is: %s", connection.client_id, error)
            plain = connection.dialect.spell(ErrorCode.GENERIC_ERROR)
            text = CallError(message_id, plain, str(description)).to_json()
        try:
            if finish:
                self._write_answer(connection, message_id, text)
            else:
                self._write(connection, text)
        except TransportError as error:
            self.log.warning("%s: a CALLERROR was not sent: %s", connection.client_id, error)

    def _count_refusal(self, reason: str) -> None:
        """Take note that something of the peer's was refused; `Server.stats` tells of it."""

    # Writing, and calling what the program registered

    def _write_answer(self, connection: Connection, message_id: str, text: str) -> None:
        if self._answers is not None:  # first: the peer may repeat its CALL as soon as the answer is written
            self._answers.put(connection.client_id, message_id, text)
        if self._handlers.observers:
            self._observe("out", connection, text)
        try:
            connection.channel.send(text, True)
        except TransportError as error:
            error.message_id = message_id
            raise

    def _write(self, connection: Connection, text: str, wait: bool = True) -> None:
        """Write one frame. Raises `TransportError`.

        Without ``wait`` it is put in line, and what the network does not take at once is written by another thread.
        """
        if self._handlers.observers:
            self._observe("out", connection, text)
        connection.channel.send(text, wait)

    def _submit(self, connection: Connection, function: Callable[..., Any], *arguments: Any) -> None:
        connection.channel.submit(partial(self._guarded, function, *arguments))

    def _guarded(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except BaseException:  # sys.exit() and pytest.fail() too: it must not end the thread
            self.log.exception("%s failed", getattr(function, "__qualname__", function))
            return None

    def _observe(self, direction: str, connection: Connection, text: str) -> None:
        frame = Frame(direction, connection.client_id, connection.dialect.version, self._clock.now(), text)
        before, self._inside.connection = self._inside.connection, connection
        try:
            for observer in self._handlers.observers:
                self._guarded(observer, frame)
        finally:
            self._inside.connection = before


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
