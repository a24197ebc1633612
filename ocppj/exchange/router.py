"""`Router`: what becomes of each frame that comes in.

The transport calls `Router.receive` on the connection's reading thread. An answer ends its request there and then, so
that a handler that waits for it in ``call()`` is woken whatever else the connection is doing. A CALL becomes a job of
the connection's handler thread (`Responder`). What a program registered runs as such a job, too. Exceptions are
observers, the invalid-message hook and canceled-request handlers: they run where the thing happens, and must not block.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

from ..errors import ErrorCode, MessageError, OCPPError
from ..interrupted import calls_program
from ..payloads.jsontext import NestedTooDeeply
from ..rpc.frames import read_head
from ..rpc.messages import (
    Call,
    CallError,
    CallResult,
    CallResultError,
    MessageType,
    Send,
    is_message_id,
    parse_json_message,
)
from ..ws.base import Channel
from .caller import Caller
from .connection import Connection
from .handlers import Shared, TextHook
from .leniency import LenientReader
from .meters import OTHER, RECEIVED
from .responder import Responder
from .waiting import HeldText

__all__ = ["Router"]

#: What a CALL or a SEND is refused with whose action no profile has: see `ocppj.rpc.frames.build_action_error`.
_UNHANDLED = (ErrorCode.NOT_SUPPORTED, ErrorCode.NOT_IMPLEMENTED)
#: What no CALLERROR is sent for, whatever the hook says: answers, and a SEND.
_NEVER_ANSWERED = frozenset(set(MessageType) - {MessageType.CALL})
_ANSWERS = (MessageType.CALL_RESULT, MessageType.CALL_ERROR)


def _kind_of(message_type: object) -> int:
    """Return what `Meters.received` counts a frame as that has this as its first element."""
    if isinstance(message_type, int) and MessageType.CALL <= message_type <= MessageType.SEND:
        return int(message_type)
    return 0


def _action_in(fields: Optional[Sequence[Any]]) -> object:
    """Return what stands for the action of an invalid CALL or SEND."""
    return fields[2] if fields is not None and len(fields) > 2 else None


def _as_error(message: CallResultError) -> OCPPError:
    return OCPPError(message.code, message.error_description, message.error_details, message.unique_id)


def _told_action(fields: Optional[Sequence[Any]]) -> Optional[str]:
    """Return the action of the CALL or the SEND ``fields``, as far as it can be read."""
    if fields is None or len(fields) < 3 or fields[0] not in (MessageType.CALL, MessageType.SEND):
        return None
    return fields[2] if isinstance(fields[2], str) else None


class Router:
    """Hands each frame to the caller or the responder, and judges frames that break the rules."""

    def __init__(self, shared: Shared, caller: Caller, responder: Responder) -> None:
        self._endpoint, options, self._handlers, connections, self._count_refusal, *_ = shared
        self._meters = shared.meters
        self._connections = connections.by_channel
        self._context = self._handlers.context
        self._caller = caller
        self._responder = responder
        self._max_depth = options.max_depth
        self._lenient = LenientReader(self._endpoint, options.max_depth)
        self._max_bad_messages = options.max_bad_messages
        self._answer_unknown_types = options.answer_unknown_types
        responder.waiting.read = self._read_again

    def receive(self, channel: Channel, text: str) -> None:
        """Act on one frame; on the thread that reads ``channel``."""
        connection = self._connections.get(channel)
        if connection is None:
            self._endpoint.peer_log.warning("%s: ignored a frame on a connection that has ended", channel.id)
            return
        context = self._context
        before, context.connection = context.connection, connection
        connection.last_written = None
        try:
            if self._handlers.observers or self._handlers.frame_log.is_on():
                self._handlers.observe(connection, text)
            hook, came = self._handlers.text, text
            if hook is not None:
                text = self._change_text(connection, hook, text)
            if text:
                self._interpret(connection, text, came)
            else:
                self._endpoint.peer_log.warning("%s: ignored an empty frame", connection.client_id)
        finally:
            context.connection = before

    def _interpret(self, connection: Connection, text: str, came: str) -> None:
        """Act on ``text``, which the text hook made of what ``came``."""
        fields: Optional[Sequence[Any]] = None
        try:
            fields = parse_json_message(text, max_depth=self._max_depth)
            message = self._endpoint.parse_message(fields, connection.pending, connection.dialect, connection.client_id)
        except MessageError as refusal:
            fields, message, error = self._lenient.read(connection, text, fields, refusal)
            if error is not None:
                self._receive_invalid(connection, error, text, fields, came)
                return
        if type(message) is Call:
            connection.bad_in_a_row = 0
            self._meters.received(2, message.action)
            self._responder.receive_call(connection, message, text)
            return
        if message is None or type(message) is CallResultError:
            self._judge_answer(connection, message, fields)
        else:
            connection.bad_in_a_row = 0
        if type(message) is CallResult:
            self._caller.receive_result(connection, message)
        elif isinstance(message, Send):
            self._meters.received(6, message.action)
            self._responder.receive_send(connection, message, text)
        elif isinstance(message, CallResultError):
            self._meters.received(5, OTHER)
            self._meters.error(RECEIVED, message.code)
            self._receive_result_error(connection, message, text)
        elif isinstance(message, CallError):
            self._caller.receive_error(connection, message)
        else:
            self._meters.received(_kind_of(fields and fields[0]), OTHER)
            ignored = self._handlers.ignored_message
            if ignored is not None:
                self._handlers.call(ignored, connection.client_id, fields)

    @calls_program
    def _change_text(self, connection: Connection, hook: TextHook, text: str) -> str:
        """Return what the text hook makes of ``text``. If that is no text, it is logged, and ``text`` is used."""
        log = self._endpoint.peer_log
        try:
            changed = hook(connection.client_id, text)
        except BaseException:  # sys.exit() and pytest.fail() too: it must not end the thread
            log.exception("%s: the text hook failed; the frame is read as it came", connection.client_id)
            return text
        if not isinstance(changed, str):
            words = "%s: the text hook returned %.100r, which is no text; the frame is read as it came"
            log.error(words, connection.client_id, changed)
            return text
        if changed != text:
            log.debug("%s: the text hook changed a frame", connection.client_id)
        return changed

    def _read_again(self, connection: Connection, text: str) -> Any:
        """Return the message of a text that was accepted before. What was logged of it is not logged again."""
        fields: Optional[Sequence[Any]] = None
        try:
            fields = parse_json_message(text, max_depth=self._max_depth)
            about = connection.pending, connection.dialect, connection.client_id
            return self._endpoint.parse_message(fields, *about, again=True)
        except MessageError as refusal:
            _, message, error = self._lenient.read(connection, text, fields, refusal, again=True)
            if error is not None:
                raise error from refusal
            return message

    def _receive_result_error(self, connection: Connection, message: CallResultError, text: str) -> None:
        error = _as_error(message)
        words, message_id = "%s: the peer refused an answer: %s", message.unique_id
        self._endpoint.peer_log.warning(words, connection.client_id, error, message_id=message_id)
        if self._handlers.result_error is None or self._responder.waiting.is_too_much(connection):
            return
        held = self._responder.waiting.hold(connection, text)  # nothing else bounds how many of them wait
        if held is None:
            self._responder.cut(connection)
            return
        try:
            self._handlers.submit(connection, self._tell_result_error, connection.client_id, held)
        except BaseException:  # no thread
            self._responder.waiting.let_go(held)
            raise
        self._responder.waiting.pause_if_over(connection)

    def _tell_result_error(self, client_id: str, held: HeldText) -> None:
        """Call the handler of CALLRESULTERRORs, on the handler thread."""
        handler = self._handlers.result_error
        try:
            error = _as_error(held.read())
        finally:
            self._responder.waiting.let_go(held)
        if handler is not None:
            handler(client_id, error, error.details)

    # Frames that break the rules

    def _receive_invalid(
        self, connection: Connection, error: MessageError, text: str, fields: Optional[Sequence[Any]], came: str
    ) -> None:
        if error.message_type is None:
            error.visible_type, error.visible_id = read_head(text)
            # Nothing but a CALL is answered with an error. Two peers would answer one another's errors for ever.
            error.answerable = error.answerable and error.visible_type in (None, MessageType.CALL)
        self._log_invalid(connection, error, fields)
        if isinstance(error.__cause__, NestedTooDeeply):
            self._count_refusal("nesting_depth")
        own = self._ask_invalid_message_hook(connection, error, text, fields)
        message_type = error.visible_type if error.message_type is None else error.message_type
        answered = False
        if message_type not in _ANSWERS:
            self._meters.received(_kind_of(message_type), self._meters.name_of(_action_in(fields)))
        if message_type == MessageType.CALL_RESULT or message_type == MessageType.CALL_ERROR:
            self._receive_invalid_answer(connection, error, message_type, own, fields)
        elif came is text or read_head(came)[0] not in _NEVER_ANSWERED:  # the text hook may have spoilt an answer
            answered = self._answer_invalid(connection, error, message_type, own)
        if answered or (error.message_type is not None and error.code is not ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED):
            connection.bad_in_a_row = 0
            return
        self._count_bad(connection)

    def _judge_answer(
        self, connection: Connection, message: Optional[CallResultError], fields: Optional[Sequence[Any]]
    ) -> None:
        """Count an answer to nothing as a bad frame. A late answer to a request of ours is none.

        So is the first CALLRESULTERROR after a frame of another kind: it refuses an answer. Those that follow at once
        are counted, for at most one CALL of a peer is open at a time.
        """
        if message is None and fields is not None and self._caller.late.take(connection.client_id, fields[1]):
            return
        self._count_bad(connection)

    def _count_bad(self, connection: Connection) -> None:
        connection.bad_in_a_row += 1
        if connection.bad_in_a_row == self._max_bad_messages:
            self._endpoint.peer_log.error("%s: %d bad frames in a row", connection.client_id, self._max_bad_messages)
            self._count_refusal("bad_messages")
            connection.channel.close(1002, "too many bad messages")

    def _log_invalid(self, connection: Connection, error: MessageError, fields: Optional[Sequence[Any]]) -> None:
        client_id, log = connection.client_id, self._endpoint.peer_log
        about = {"message_id": error.message_id or error.visible_id, "action": _told_action(fields)}
        if fields is not None and error.code in _UNHANDLED:
            # A charger may send it again and again: one WARNING, as for an action that has a profile and no handler.
            what = "no profile has it" if error.code is ErrorCode.NOT_SUPPORTED else error.description
            if not self._responder.warn_of_unhandled(connection, fields[2], what):
                log.debug("%s: refused again: %s", client_id, error, **about)
            return
        seen = "" if error.visible_type is None else f"; its head: type {error.visible_type:d}, id {error.visible_id!r}"
        log.warning("%s: invalid message: %s%s", client_id, error, seen, **about)

    def _ask_invalid_message_hook(
        self, connection: Connection, error: MessageError, text: str, fields: Optional[Sequence[Any]]
    ) -> Optional[OCPPError]:
        """Return the error that the hook wants sent, or ``None``. Its message id is ``None`` or valid."""
        hook = self._handlers.invalid_message
        if hook is None:
            return None
        own = self._handlers.call(hook, connection.client_id, error, text, fields)
        if not isinstance(own, OCPPError):
            return None
        if own.message_id is None or is_message_id(own.message_id):
            return own
        words = "%s: the invalid-message hook gave the message id %.100r, which is none"
        self._endpoint.peer_log.error(words, connection.client_id, own.message_id)
        return OCPPError(own.code, own.description, own.details)

    def _answer_invalid(
        self, connection: Connection, error: MessageError, message_type: Optional[int], own: Optional[OCPPError]
    ) -> bool:
        """Send an error, if one is to be sent. Return whether the hook named the CALL that it answers."""
        dialect = connection.dialect
        named = None if own is None or message_type in _NEVER_ANSWERED else own.message_id
        if named is not None:
            message_id: Optional[str] = named
        elif error.answerable or (
            self._answer_unknown_types
            and error.code is ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED
            and error.message_id is not None
            and error.code in dialect.spellings
        ):
            message_id = dialect.unreadable_id if error.message_id is None else error.message_id
        else:
            message_id = None
        if message_id is not None:
            sent = OCPPError(error.code, error.description) if own is None else own
            # A CALL of this id that is being handled is another one, and goes on.
            self._responder.send_error(connection, message_id, sent)
        return named is not None

    def _receive_invalid_answer(
        self,
        connection: Connection,
        error: MessageError,
        message_type: int,
        own: Optional[OCPPError],
        fields: Optional[Sequence[Any]],
    ) -> None:
        message_id = error.visible_id if error.message_id is None else error.message_id
        request = None if message_id is None else connection.pending.get(message_id)
        if message_id is None or request is None:
            self._meters.received(_kind_of(message_type), OTHER)
            return

        def refuse() -> None:
            refusal = OCPPError(error.code, error.description) if own is None else own
            self._responder.send_result_error(connection, message_id, refusal)

        between = refuse if message_type == MessageType.CALL_RESULT else None
        code = fields[2] if fields is not None and len(fields) > 2 and isinstance(fields[2], str) else ""
        self._caller.receive_invalid_answer(connection, error, message_id, request, between, code)
