"""`Responder`: how a client or a server handles and answers the CALLs of its peers.

A CALL becomes a job of its connection's handler thread. The jobs of one connection run one at a time, in order. Every
CALL is answered once: with what its handler returns, with an error, or later by ``send_response`` or ``send_error``.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional, Union

from ..budget import LARGE, MemoryBudget
from ..callables import refuse_coroutine
from ..dispatch.timeouts import Timeouts
from ..errors import ErrorCode, MessageTooLarge, OCPPError, TransportError, UsageError, WriteTimeout, printable
from ..interrupted import calls_program
from ..payloads.model import Payload
from ..rpc.messages import (
    Call,
    CallError,
    CallResultError,
    MessageType,
    Send,
    check_message_id,
    parse_json_message,
)
from ..rpc.signing import looks_signed, unwrap
from ..ws.base import RunningJob
from .boot import BOOT_NOTIFICATION, Boots
from .connection import Connection
from .handlers import NoAnswer, RequestHandler, Shared
from .meters import OTHER, SENT
from .outgoing import OutgoingSize
from .overdue import Jobs, OverdueAnswers
from .refusals import Refusals
from .repeats import AnswerMemory, LeftCalls, is_repeated
from .waiting import HandledObjects, HeldText, WaitingCalls, typed_payload
from .watches import Ended, Watched

__all__ = ["Responder"]


class Responder:
    """Handles and answers what the peers of an endpoint ask."""

    def __init__(self, shared: Shared, timeouts: Timeouts, budget: MemoryBudget, jobs: Optional[Jobs] = None) -> None:
        self._endpoint, options, self._handlers, connections, self._count_refusal, *_ = shared
        self._meters, self._watches = shared.meters, shared.watches
        self._by_id, self._get_present = connections.by_id, connections.get
        self._max_waiting_calls = options.max_waiting_calls
        self._size = OutgoingSize(options.max_outgoing_size)
        max_age, clock = options.repeat_answers_for, options.clock
        kept = options.repeat_answers
        self._monotonic = options.clock.monotonic
        self._answers = AnswerMemory(kept, max_age, clock, budget) if kept else None
        self.left: LeftCalls = LeftCalls(clock, max_age)
        self.waiting: WaitingCalls = WaitingCalls(budget, options.max_waiting_bytes, self.left.lock)
        self.left.texts = self.waiting
        self.refusals: Refusals = Refusals(clock)
        self._signs = options.signer is not None
        self.boots: Optional[Boots] = None  # what a server notes of its answers to BootNotifications
        #: The CALL or SEND that a thread handles just now, by the ident of the thread.
        self.handled: Dict[int, Call] = {}
        self._answer_timeout = options.answer_timeout
        self.overdue: OverdueAnswers = OverdueAnswers(
            timeouts,
            options.timeout,
            lambda: list(connections.by_channel.values()),
            lambda: self._endpoint.peer_log,
            options.answer_timeout,
            self.expire,
            jobs,
            self._name_of,
        )
        if options.answer_timeout is not None:
            self._handlers.jobs = self.overdue

    def _after_fork(self) -> None:
        """Forget the CALLs of the parent's peers: see `ocppj.forks`."""
        self.handled.clear()
        self.left._after_fork()
        self.waiting._after_fork()
        self.overdue._after_fork()
        if self._answers is not None:
            self._answers._after_fork()

    def under_way(self) -> Callable[[], bool]:
        """Return a function that tells whether any CALL that has come until now is unanswered, or being handled.

        That which this thread handles does not count.
        """
        me = threading.get_ident()
        mine = self.handled.get(me)
        handled = [each for each in list(self.handled.items()) if each[0] != me]
        calls = [
            (connection, call)
            for connection in list(self._by_id.values())
            for call in list(connection.unanswered.values())
            if call is not mine
        ]

        def is_under_way() -> bool:
            if any(self.handled.get(ident) is call for ident, call in handled):
                return True
            return any(connection.find(call.unique_id) is call for connection, call in calls)

        return is_under_way

    # CALLs and SENDs of the peer

    def receive_call(self, connection: Connection, call: Call, text: str) -> None:
        """Have ``call``, which came as ``text``, handled, or refuse it. On the thread that reads the connection."""
        connection.last_answer = None
        first = connection.begin(call)
        if self.overdue.idle:
            self.overdue.watch(first)
        if first is not call:
            self._receive_again(connection, call, first)
        elif self.refusals.answers and self.refusals.is_refused(connection.client_id, call.unique_id):
            connection.finish_call(call)
            words = "%s: %s %r is answered with InternalError: its answer has ended several connections"
            self._endpoint.safe_log.error(
                words, connection.client_id, call.action, call.unique_id, client_id=connection.client_id, call=call
            )
            self.send_error(connection, call.unique_id, _unmade(), call.action)
        elif self.left.waiting and self.left.join(connection, call):
            self._hold_until_answered(connection, call, is_copy=True)
            words = "%s: CALL %r came again over a newer connection while it is handled; one answer serves both"
            self._endpoint.peer_log.info(words, connection.client_id, call.unique_id, call=call)
        elif self._answers is not None and self._answer_again(connection, call, self._answers):
            pass
        elif len(connection.unanswered) <= 1:  # usually: nothing is before it
            if not text[LARGE:]:  # costs no call
                connection.channel.submit(partial(self._handle, connection, call))
            else:
                self._submit_large(connection, call, text, self._handle)
        elif len(connection.unanswered) > self._max_waiting_calls or self.waiting.is_too_much(connection):
            connection.finish_call(call)
            self._endpoint.peer_log.warning("%s: too many CALLs are waiting", connection.client_id)
            self._count_refusal("waiting_calls")
            self.send_error(connection, call.unique_id, _generic("too many CALLs are waiting"), call.action)
        else:
            self._wait(connection, call, text, self._handle)

    def _wait(self, connection: Connection, call: Call, text: str, handle: Callable[[Connection, Call], None]) -> None:
        """Have ``call`` wait for its turn as ``text``; then ``handle`` gets it. On the reading thread."""
        waiting = self.waiting
        if not waiting.hold_call(connection, call, text):
            connection.finish_call(call)
            self.cut(connection)
            return
        try:
            connection.channel.submit(partial(self._begin, connection, call, handle))
        except BaseException:  # no thread
            waiting.let_go(call.held)
            raise
        waiting.pause_if_over(connection)

    def _begin(self, connection: Connection, call: Call, handle: Callable[[Connection, Call], None]) -> None:
        """Read a CALL or SEND again whose turn has come, and handle it."""
        held: HeldText = call.held
        if call.expired:
            self.waiting.let_go(held)
            return
        try:
            self.waiting.begin(call)
        except BaseException:  # MemoryError, or the settings have changed: the peer is not to wait
            self._endpoint.safe_log.exception(
                "%s: %s, which waited, cannot be read",
                connection.client_id,
                call.action,
                client_id=connection.client_id,
                call=call,
            )
            if not isinstance(call, Send):
                self._refuse_handled(connection, call, _failed(), remember=False)
            else:
                connection.finish_call(call)
            return
        if not held.text[LARGE:]:
            handle(connection, call)
            return
        objects = self.waiting.hold_objects(call, held.text)
        if objects is not None:
            self._handle_large(connection, call, handle, objects)
            return
        over = self._finish_handled(connection, call, None)
        if over is not None:
            self._close_full(over)

    def _submit_large(
        self, connection: Connection, call: Call, text: str, handle: Callable[[Connection, Call], None]
    ) -> None:
        """Have ``handle`` called for a large CALL or SEND, which counts until that has ended. On the reading thread."""
        objects = self.waiting.hold_objects(call, text)
        if objects is None:
            connection.finish_call(call)
            self.cut(connection)
            return
        try:
            self._handlers.submit(connection, self._handle_large, connection, call, handle, objects)
        except BaseException:  # no thread
            self.waiting.let_go_objects(objects)
            raise

    def _handle_large(
        self,
        connection: Connection,
        call: Call,
        handle: Callable[[Connection, Call], None],
        objects: HandledObjects,
    ) -> None:
        try:
            handle(connection, call)
        finally:
            self.waiting.let_go_objects(objects)

    def cut(self, connection: Connection) -> None:
        """Close a connection for which the endpoint would hold more than it may. On the reading thread."""
        self._close_full(connection)
        self.waiting.pause(connection)  # it closes, so what comes is dropped

    def _close_full(self, connection: Connection) -> None:
        if _is_closed(connection):
            return
        self._endpoint.peer_log.warning("%s: closed: too much is held for all connections", connection.client_id)
        self._count_refusal("memory")
        connection.channel.close(1013, "this side holds too much")

    def _hold_until_answered(self, connection: Connection, call: Call, is_copy: bool = False) -> None:
        """Keep ``call``, which is not answered for now, as text.

        ``is_copy``: it came again, and waits for the answer to a CALL left.
        """

        def is_open() -> bool:
            if is_copy and not self.left.is_joined(connection, call):  # it is to be handled itself by now
                return False
            return connection.find(call.unique_id) is call or self.left.has(connection.client_id, call)

        try:
            self.waiting.hold_until_answered(connection, call, is_open)
        except Exception as error:  # a payload that cannot be written again is kept as it is
            self._endpoint.safe_log.debug(
                "%s: %s is not kept as text: %s",
                connection.client_id,
                call.action,
                error,
                client_id=connection.client_id,
                call=call,
            )

    def _receive_again(self, connection: Connection, call: Call, first: Call) -> None:
        """Act on a CALL whose id is being handled."""
        client_id, message_id = connection.client_id, call.unique_id
        if is_repeated(first, call):  # a retry may keep its id (OCPP-J 1.6 errata 3.1; 2.1 Part 4 section 4.1.4)
            words = "%s: CALL %r came again while it is handled; one answer serves both"
            self._endpoint.peer_log.info(words, client_id, message_id, message_id=message_id)
            return
        words = "%s: CALL %r is being handled already, and this is another one of that id"
        self._endpoint.peer_log.warning(words, client_id, message_id, message_id=message_id)
        refusal = OCPPError(connection.dialect.repeated_id_code, "another CALL of this id is being handled")
        self.send_error(connection, message_id, refusal, call.action)

    def _answer_again(self, connection: Connection, call: Call, answers: AnswerMemory) -> bool:
        """Send the answer that ``call`` got before. Return whether there is one."""
        text = answers.get(connection.client_id, call)
        if text is None:
            return False
        connection.finish_call(call)
        log, boots, boot = self._endpoint.peer_log, self.boots, None
        log.info("%s: CALL %r came again, and gets its answer again", connection.client_id, call.unique_id, call=call)
        if boots is not None and call.action == BOOT_NOTIFICATION:  # as in `_send_result`, whose write may have failed
            boot = boots.answer(connection.client_id, _response_in(text))
            self._handlers.call(boots.hold, boot)
        try:
            # Not as a job: a peer that repeats itself could pile them up.
            connection.last_answer = connection.last_written = call.unique_id
            self._handlers.write(connection, text, False, call.action)
            self._count(text, call.action)
        except TransportError as error:
            if boots is not None and boot is not None:
                self._handlers.call(boots.take_back, boot)
            self._log_unsent(connection, "an answer was not sent again", error)
        else:
            if boots is not None and boot is not None:
                self._handlers.call(boots.written, connection.client_id, True)
        return True

    def receive_send(self, connection: Connection, message: Send, text: str) -> None:
        """Have a SEND, which came as ``text``, handled, or drop it. On the thread that reads the connection."""
        log = self._endpoint.peer_log
        if len(connection.unanswered) >= self._max_waiting_calls or self.waiting.is_too_much(connection):
            log.warning(
                "%s: dropped %s: too many CALLs are waiting", connection.client_id, message.action, call=message
            )
            self._count_refusal("waiting_calls")
        elif connection.begin(message) is not message:
            words = "%s: dropped %s: one of the id %r is waiting"
            log.warning(words, connection.client_id, message.action, message.unique_id, call=message)
        else:
            self._submit_send(connection, message, text)

    def _submit_send(self, connection: Connection, message: Send, text: str) -> None:
        if len(connection.unanswered) > 1:
            self._wait(connection, message, text, self._handle_send)
        elif text[LARGE:]:
            self._submit_large(connection, message, text, self._handle_send)
        else:
            self._handlers.submit(connection, self._handle_send, connection, message)

    def _handle(self, connection: Connection, call: Call) -> None:
        """Run the handler of ``call`` and send what it returns; on the connection's handler thread. Raises nothing."""
        if call.expired:
            return
        client_id, handlers, ident = connection.client_id, self._handlers, threading.get_ident()
        request: Any = call.payload
        self.handled[ident] = call
        try:
            if (handlers.before or handlers.heard) and not self._may_be_handled(connection, call):
                return
            handler = handlers.by_type.get(type(request), handlers.request)
            if handler is None:
                self.warn_of_unhandled(connection, call.action, "it is answered with NotSupported")
                description = f"{call.action} is not supported here"
                self._refuse_handled(connection, call, OCPPError(ErrorCode.NOT_SUPPORTED, description))
                return
            try:
                response = self._run(handler, connection, call)
            except OCPPError as error:
                self._refuse_handled(connection, call, error)
            except BaseException:  # sys.exit() and pytest.fail() too: it must not end the thread
                self._endpoint.peer_log.exception("%s: the handler of %s failed", client_id, call.action, call=call)
                self._refuse_handled(connection, call, _failed())
            else:
                if isinstance(response, Payload):
                    self._answer_handled(connection, call, response)
                elif isinstance(response, NoAnswer):
                    self._leave_unanswered(connection, call)
                elif response is not None or not handler.pass_id:
                    self._refuse_useless(connection, call, handler, response)
                else:
                    self._hold_until_answered(connection, call)
        except BaseException:
            self._endpoint.peer_log.exception("%s: answering %s failed", client_id, call.action, call=call)
        finally:
            if ident in self.handled:
                del self.handled[ident]

    @calls_program
    def _may_be_handled(self, connection: Connection, call: Call) -> bool:
        """Run what is to run before every handler. Return false if the CALL is refused, and answer it then."""
        error: OCPPError
        if self._handlers.heard is not None:
            self._handlers.heard(connection, call)
        try:
            for before in self._handlers.before:
                returned = before(connection.client_id, call.action, call.payload)
                if returned is not None:
                    refuse_coroutine(before, returned)  # what it would have raised is not known
            return True
        except OCPPError as refusal:
            error = refusal
            self._endpoint.peer_log.info(
                "%s: %s was refused: %s", connection.client_id, call.action, refusal, call=call
            )
        except BaseException:  # as below
            error = _failed()
            words = "%s: what runs before the handler of %s failed"
            self._endpoint.peer_log.exception(words, connection.client_id, call.action, call=call)
        if not isinstance(call, Send):
            # The answer is not remembered: the peer that repeats its CALL later may be let through.
            self._refuse_handled(connection, call, error, remember=False)
        return False

    def _leave_unanswered(self, connection: Connection, call: Call) -> None:
        """Forget ``call``, whose handler wants no answer to be sent. If it comes again, it is handled again."""
        words = "%s: %s %r gets no answer: its handler returned NO_ANSWER"
        self._endpoint.peer_log.debug(words, connection.client_id, call.action, call.unique_id, call=call)
        if connection.finish_call(call):
            return
        again = self.left.hand_on(connection.client_id, call)
        if again is not None:  # it has come over a newer connection, and waits there for the answer to the first copy
            newer, copy = again
            handle = partial(self._begin, newer, copy, self._handle)
            newer.channel.submit(handle if copy.held is not None else partial(self._handle, newer, copy))

    def _refuse_useless(self, connection: Connection, call: Call, handler: RequestHandler, response: Any) -> None:
        """Refuse a CALL whose handler returned what is no answer: it would never get one."""
        name, client_id = getattr(handler.function, "__qualname__", handler.function), connection.client_id
        if response is not None:
            words = "%s: the handler %s of %s returned %r, which is no message"
            self._endpoint.peer_log.error(words, connection.client_id, name, call.action, response, call=call)
            self._refuse_handled(connection, call, _failed())
        elif connection.find(call.unique_id) is call or self.left.wants(client_id, call):
            # Else what saw its id elsewhere, as an observer does, has answered it.
            words = "%s: the handler %s of %s returned None, and cannot answer later: it does not get the message id, "
            words += "because it was registered without pass_id=True"
            self._endpoint.peer_log.error(words, connection.client_id, name, call.action, call=call)
            self._refuse_handled(connection, call, _failed())

    def warn_of_unhandled(self, connection: Connection, action: str, what: str) -> bool:
        """Warn of an action that nobody handles, once for each client. Return whether that was done now.

        The action may be any text of the peer.
        """
        client_id, name = connection.client_id, printable(action[:80])
        words = "%s: nobody handles %s: %s. There is no second warning"
        return self._endpoint.peer_warnings.warn(client_id, f"unhandled {name}", words, client_id, name, what)

    @calls_program
    def _run(self, handler: RequestHandler, connection: Connection, call: Call) -> Any:
        """Call the handler of a CALL or SEND with the arguments that it takes, and return what it returns."""
        client_id, failure = connection.client_id, None
        signature = None if call.signature is None else self._endpoint.check_signature(call, client_id)
        function, pass_id, pass_action, pass_signature = handler
        ended = self._tell_watches(connection, call) if self._watches.all else None
        began = self._monotonic()
        try:
            if not pass_id and not pass_signature:
                return function(client_id, call.payload)
            arguments = [client_id, call.payload, call.unique_id, call.action, signature]
            takes = [True, True, pass_id, pass_action, pass_signature]
            return function(*(argument for argument, taken in zip(arguments, takes) if taken))
        except BaseException as error:
            failure = error
            raise
        finally:
            self._meters.handled(call.action, self._monotonic() - began)
            if ended is not None:
                ended(failure)
            failure = None  # its traceback holds this frame

    def _tell_watches(self, connection: Connection, call: Call) -> Ended:
        watched = Watched(connection.client_id, connection.dialect.version, call.action, call.unique_id)
        return self._watches.handler_began(watched)

    def _handle_send(self, connection: Connection, message: Call) -> None:
        """Run the handler of a SEND, which is never answered (OCPP 2.1 Part 4 section 4.2.4)."""
        connection.finish_call(message)
        handlers, ident = self._handlers, threading.get_ident()
        self.handled[ident] = message
        try:
            if (handlers.before or handlers.heard) and not self._may_be_handled(connection, message):
                return
            request: Any = message.payload
            handler = handlers.by_type.get(type(request), handlers.request)
            if handler is None:
                self.warn_of_unhandled(connection, message.action, "it is dropped")
                return
            self._run(handler, connection, message)
        except BaseException:
            self._endpoint.peer_log.exception(
                "%s: the handler of %s failed", connection.client_id, message.action, call=message
            )
        finally:
            self.handled.pop(ident, None)

    def expire(self, connection: Connection, call: Call) -> None:
        """Answer ``call`` with InternalError: it was not answered in time. On the timer's thread."""
        call.expired = True  # first: its handler may end just now
        if not connection.finish_call(call):
            return
        client_id, message_id = connection.client_id, call.unique_id
        self.left.forget(client_id, message_id)
        self.waiting.resume(connection)
        words = "%s: %s (message %r) was not answered within %g s, and is answered with InternalError"
        self._endpoint.peer_log.error(words, client_id, call.action, message_id, self._answer_timeout, call=call)
        late = OCPPError(ErrorCode.INTERNAL_ERROR, "the request was not handled in time")
        try:
            text = self._make_error(connection, message_id, late)
            self._handlers.write(connection, text, False, call.action)
            self._count(text, call.action)
        except TransportError as failure:
            self._log_unsent(connection, "a CALLERROR was not sent", failure)

    def _name_of(self, job: RunningJob) -> str:
        call = self.handled.get(job.ident)
        return "an event" if call is None else call.action

    # Answers by the program, later

    def answer(self, client_id: str, message_id: str, response: Payload) -> None:
        """Answer the CALL of that id, one that is waiting or one that is not known; see `Client.send_response`."""
        check_message_id(message_id)
        connection = self._get_connection(client_id, message_id)
        call = self._find(connection, message_id)
        try:
            text = self._make_result(connection, message_id, call, response)
        except BaseException:  # of a type or a schema of the program's own, too: the peer waits all the same
            self._finish(connection, call, None)
            self.send_error(connection, message_id, _unmade(), _action_of(call))
            raise
        known = self._finish(connection, call, text)
        self._send_result(connection, message_id, known, text, response)

    def answer_with_error(
        self,
        client_id: str,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str,
        details: Optional[Mapping[str, Any]],
    ) -> None:
        """Send a CALLERROR; see `Client.send_error`. One that cannot be sent is replaced by a plain one."""
        check_message_id(message_id)
        connection = self._get_connection(client_id, message_id)
        call = self._find(connection, message_id)
        try:
            error = self._endpoint.create_call_error(message_id, code, description, details, connection.dialect)
            text = error.to_json()
            self._size.check(text)
        except UsageError:
            self._finish(connection, call, None)
            plain = code if isinstance(code, ErrorCode) else ErrorCode.GENERIC_ERROR
            self.send_error(connection, message_id, OCPPError(plain, description), _action_of(call))
            raise
        self._finish(connection, call, text)
        self._write(connection, message_id, text, _action_of(call))
        self._count(text, _action_of(call))

    def _get_connection(self, client_id: str, message_id: str) -> Connection:
        """Return the connection over which the CALL of that id is answered. Raises `NotConnected`, and others."""
        connection = self._by_id.get(client_id)
        if connection is None:
            # The program will not answer it again. So if it comes again, it is handled again.
            self.left.forget(client_id, message_id)
            connection = self._get_present(client_id)  # which says why there is none
        return connection

    def _find(self, connection: Connection, message_id: str) -> Optional[Call]:
        """Return the unanswered CALL of that id, also one of an earlier connection, if it is known."""
        return connection.find(message_id) or self.left.find(connection.client_id, message_id)

    def _finish(self, connection: Connection, call: Optional[Call], text: Optional[str]) -> Optional[Call]:
        """Note that ``text`` answers ``call``. Return it, unless it was answered already. ``None``: nobody knows it."""
        if call is None:
            return None
        self._remember(connection, call, text)
        here = connection.finish_call(call)
        earlier = self.left.forget(connection.client_id, call.unique_id)
        if call.held is not None:
            self.waiting.resume(connection)
        return call if here or earlier else None

    def send_error(
        self, connection: Connection, message_id: str, error: OCPPError, action: Optional[str] = None
    ) -> None:
        """Send a CALLERROR, and log what goes wrong. If a CALL of that id is being handled, it goes on.

        ``action`` is that of the CALL that it answers, if it is known.
        """
        self._write_error(connection, message_id, self._make_error(connection, message_id, error), action)

    def send_result_error(self, connection: Connection, message_id: str, error: OCPPError) -> None:
        """Tell the peer that its answer is invalid, where the version has a message for that (2.1: section 4.2.3)."""
        dialect = connection.dialect
        if MessageType.CALL_RESULT_ERROR not in dialect.message_types:
            return
        try:
            text = CallResultError(message_id, dialect.spell(error.code), error.description, error.details).to_json()
            self._size.check(text)
            connection.last_written = message_id  # no request, and no answer
            self._handlers.write(connection, text)
            self._count(text, None)
        except (UsageError, TransportError) as failure:
            words = "%s: a CALLRESULTERROR was not sent: %s"
            self._endpoint.peer_log.warning(words, connection.client_id, failure)

    # Answers of handlers

    def _answer_handled(self, connection: Connection, call: Call, response: Payload) -> None:
        """Send what the handler returned, over whichever connection it can be sent now."""
        try:
            text = self._make_result(connection, call.unique_id, call, response)
        except BaseException as error:
            self._refuse_handled(connection, call, _unmade())
            if not isinstance(error, UsageError):  # that one is logged
                raise
            return
        over: Optional[Connection] = connection
        if self._answers is not None or not connection.finish_call(call):
            over = self._finish_handled(connection, call, text)
        if over is not None:
            try:
                self._send_result(over, call.unique_id, call, text, response)
            except TransportError as error:
                self._log_unsent(over, f"the answer to {call.action} was not sent", error)

    def _refuse_handled(self, connection: Connection, call: Call, error: OCPPError, remember: bool = True) -> None:
        text = self._make_error(connection, call.unique_id, error)
        over = self._finish_handled(connection, call, text if remember else None)
        if over is not None:
            self._write_error(over, call.unique_id, text, call.action)

    def _finish_handled(self, connection: Connection, call: Call, text: Optional[str]) -> Optional[Connection]:
        """Note that ``text`` answers ``call``. Return where it is to be written; ``None``: it is not wanted.

        A text of ``None`` is not remembered.
        """
        client_id, log = connection.client_id, self._endpoint.peer_log
        if connection.find(call.unique_id) is call:  # first: a peer may repeat its CALL as soon as it is answered
            self._remember(connection, call, text)
        if connection.finish_call(call):
            return connection
        if call.expired:
            log.warning("%s: the answer to %s came too late, and was not sent", client_id, call.action, call=call)
            return None
        if not connection.left:
            log.error("%s: the handler answered %s twice", client_id, call.action, call=call)
            return None
        if self.left.wants(client_id, call):
            self._remember(connection, call, text)
        wanted, newer = self.left.finish(client_id, call, self._by_id.get(client_id))
        if not wanted:
            words = "%s: the answer to %s was not sent: the connection has ended, and nobody waits for it"
            log.debug(words, client_id, call.action, call=call)
            return None
        return newer or connection

    def _remember(self, connection: Connection, call: Call, text: Optional[str]) -> None:
        if self._answers is not None and text is not None:
            self._answers.put(connection.client_id, call, text)

    # The text of answers, and their writing

    def _make_result(self, connection: Connection, message_id: str, call: Optional[Call], response: Payload) -> str:
        # A signed request gets a signed answer, if there is a signer (2.x Part 4 section 7.2).
        signed = self._signs and call is not None and call.signature is not None
        action = None if call is None else call.action
        try:
            result = self._endpoint.create_call_result(
                response, message_id, connection.dialect, action, connection.client_id, signed=signed
            )
            text = result.to_json()
            if text[self._size.surely :]:  # it is long. ``len`` would be a call for every message.
                self._size.check(text)
            return text
        except UsageError as error:
            words = "%s: the answer to %s cannot be sent: %s"
            self._endpoint.peer_log.error(
                words, connection.client_id, action or repr(message_id), error, message_id=message_id
            )
            raise

    def _make_error(self, connection: Connection, message_id: str, error: OCPPError) -> str:
        """Return the text of a CALLERROR, of a plain one if it cannot be sent as it is."""
        code, description, dialect = error.code, error.description, connection.dialect
        try:
            text = self._endpoint.create_call_error(message_id, code, description, error.details, dialect).to_json()
            self._size.check(text)
            return text
        except Exception as failure:
            self._endpoint.peer_log.error("%s: a CALLERROR cannot be sent as it is: %s", connection.client_id, failure)
            plain = code if isinstance(failure, MessageTooLarge) else ErrorCode.GENERIC_ERROR
            return CallError(message_id, dialect.spell(plain), str(description)).to_json()

    def _send_result(
        self, connection: Connection, message_id: str, call: Optional[Call], text: str, response: Payload
    ) -> None:
        """Write the answer ``text``, and do what is to be done after it. Raises `TransportError`, with the id."""
        handlers, boots, boot = self._handlers, self.boots, None
        if boots is not None and call is not None and call.action == BOOT_NOTIFICATION:
            boot = boots.answer(connection.client_id, response)
            handlers.call(boots.hold, boot)
        connection.last_answer = connection.last_written = message_id
        try:
            if connection.left or handlers.observers or handlers.frame_log.is_on():
                self._write(connection, message_id, text, _action_of(call))
            else:
                connection.channel.send(text, True)
        except TransportError as error:
            error.message_id = message_id
            if boots is not None and boot is not None:
                handlers.call(boots.take_back, boot)
            if not _is_closed(connection):
                # Not remembered: the peer that asks again is to get the answer.
                self.send_error(connection, message_id, _generic("the answer could not be sent"), _action_of(call))
            raise
        self._meters.sent(3, OTHER if call is None else call.action)
        if boot is not None and boot.now is not None:
            words = "%s: booted: its BootNotification is answered with %s"
            self._endpoint.peer_log.info(words, connection.client_id, boot.now.status, call=call)
        if boots is not None and boots.watcher is not None:
            if boot is not None or connection.client_id not in boots.by_id:
                handlers.call(boots.written, connection.client_id, boot is not None)
        if handlers.after and call is not None:
            request: Any = call.payload if call.held is None else handlers.call(typed_payload, call)
            for handler, pass_response in handlers.after.get(type(request), ()):
                if pass_response:
                    handlers.call(handler, connection.client_id, request, response)
                else:
                    handlers.call(handler, connection.client_id, request)

    def _write(self, connection: Connection, message_id: str, text: str, action: Optional[str] = None) -> None:
        """Write an answer to a CALL of that action. Raises `TransportError`, with the id."""
        handlers = self._handlers
        connection.last_answer = connection.last_written = message_id
        try:
            if connection.left:
                raise TransportError("the connection has ended")
            if handlers.observers or handlers.frame_log.is_on():
                handlers.write(connection, text, action=action)
            else:
                connection.channel.send(text, True)
        except TransportError as error:
            error.message_id = message_id
            raise

    def _write_error(self, connection: Connection, message_id: str, text: str, action: Optional[str] = None) -> None:
        try:
            self._write(connection, message_id, text, action)
        except TransportError as failure:
            self._log_unsent(connection, "a CALLERROR was not sent", failure)
        else:
            self._count(text, action)

    def _count(self, text: str, action: Optional[str]) -> None:
        """Count an answer that was written, with its code as the peer reads it."""
        kind = int(text[1])
        self._meters.sent(kind, action or OTHER)
        if kind != MessageType.CALL_RESULT:
            self._meters.error(SENT, parse_json_message(text, max_depth=None)[2])

    def _log_unsent(self, connection: Connection, what: str, error: TransportError) -> None:
        """Log that a write failed. That a peer leaves before its answer is ordinary; that it takes nothing is not."""
        log = self._endpoint.peer_log
        write = log.debug if _is_closed(connection) and not isinstance(error, WriteTimeout) else log.warning
        write("%s: %s: %s", connection.client_id, what, error)


def _is_closed(connection: Connection) -> bool:
    """Tell whether nothing can be sent over ``connection`` any more. A transport of the program's own may not say."""
    return connection.left or not getattr(connection.channel, "is_open", True)


def _action_of(call: Optional[Call]) -> Optional[str]:
    return None if call is None else call.action


def _generic(description: str) -> OCPPError:
    return OCPPError(ErrorCode.GENERIC_ERROR, description)


def _response_in(text: str) -> Any:
    """Return the payload of the response ``text``, a frame of ours; ``None`` if it is a CALLERROR."""
    message_type, _, payload, *_ = parse_json_message(text, max_depth=None)
    if message_type != MessageType.CALL_RESULT:
        return None
    return unwrap(payload)[0] if looks_signed(payload) else payload


def _failed() -> OCPPError:
    return OCPPError(ErrorCode.INTERNAL_ERROR, "the request could not be handled")


def _unmade() -> OCPPError:
    # Not ValidationError's code: to the peer it would look like a fault in its request, and the text is ours.
    return OCPPError(ErrorCode.INTERNAL_ERROR, "the answer could not be made")
