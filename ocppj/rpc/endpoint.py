"""`Endpoint`: what messages there are, how they are made and what they mean. Pure: no threads, no sockets, no time."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Protocol, Sequence, Tuple, Union

from ..errors import (
    EncodingError,
    ErrorCode,
    MessageError,
    UnsupportedFeature,
    UsageError,
    ValidationError,
)
from ..payloads.lenient import read_leniently
from ..payloads.model import Payload
from ..settings import (
    LoggerLike,
    Validation,
    ValidationSetting,
    get_logger,
    get_message_id_generator,
    process,
)
from .dialect import Dialect, is_error_code_valid
from .feature_registry import Catalogue
from .features import Feature, Profile
from .messages import MAX_ID, Call, CallError, CallResult, CallResultError, Message, MessageType, Send, unreadable
from .validation import check_payload, judge_of

__all__ = ["Endpoint", "Pending", "read_head"]


class Pending(Protocol):
    """What `Endpoint.parse_message` asks of a pending-request state."""

    def get(self, message_id: str) -> Optional[Any]:
        """Return the pending request of that id, or ``None``."""


class Endpoint(Catalogue):
    """The profiles of one side, and the messages they allow.

    ``validate``, ``message_id_generator`` and ``logger`` override the settings of the process (see
    `ocppj.settings`); ``None`` leaves them to it. ``validate`` is a `Validation`, a mode ("strict", "warn", "off"), or
    ``True`` (strict) or ``False`` (off).
    """

    def __init__(
        self,
        profiles: Iterable[Profile] = (),
        *,
        validate: Optional[ValidationSetting] = None,
        message_id_generator: Optional[Callable[[], str]] = None,
        logger: Optional[LoggerLike] = None,
    ) -> None:
        super().__init__(profiles)
        self._validation = None if validate is None else Validation.of(validate)
        self._generate_id = message_id_generator
        self._logger = logger

    @property
    def log(self) -> LoggerLike:
        """The endpoint's logger, or the process's."""
        return self._logger if self._logger is not None else get_logger()

    def set_message_validation(self, setting: Optional[ValidationSetting]) -> None:
        """Check this endpoint's payloads as ``setting`` says; ``None`` leaves it to the setting of the process.

        Raises `UsageError` for a mode that there is not.
        """
        self._validation = None if setting is None else Validation.of(setting)

    # Making messages

    def create_call(
        self,
        request: Payload,
        dialect: Optional[Dialect] = None,
        message_id: Optional[str] = None,
        client_id: str = "",
    ) -> Call:
        """Return the CALL of ``request``, checked, with a new id unless one is given. It is not queued or pending.

        Raises `UnsupportedFeature` when no profile (of ``dialect``, if given) has the request, `ValidationError` when
        it breaks its schema, and `EncodingError` when a field cannot be written. ``client_id`` is for the log.
        """
        feature = self._by_request.get((dialect, type(request))) if dialect is not None else None
        if feature is None:
            feature = self._lookup(self._by_request, type(request), dialect)
        if feature.response_type is None:
            raise UsageError(f"{feature.name} is never answered: send it with send()")
        payload = self._checked(feature, False, request, client_id)
        return Call(message_id or self._new_id(), feature.name, request, payload)

    def create_send(self, request: Payload, dialect: Optional[Dialect] = None, client_id: str = "") -> Send:
        """Return the SEND of ``request``, checked, with a new id (OCPP 2.1 Part 4 section 4.2.4).

        Raises what `create_call` raises, and `UsageError` for a request that is answered, and must be called.
        """
        feature = self._lookup(self._by_request, type(request), dialect)
        if feature.response_type is not None:
            raise UsageError(f"{feature.name} is answered: send it with call() or send_request()")
        return Send(self._new_id(), feature.name, request, self._checked(feature, False, request, client_id))

    def _new_id(self) -> str:
        return (self._generate_id or get_message_id_generator())()

    def create_call_result(
        self,
        response: Payload,
        message_id: str,
        dialect: Optional[Dialect] = None,
        action: Optional[str] = None,
        client_id: str = "",
    ) -> CallResult:
        """Return the CALLRESULT of ``response`` to the CALL ``message_id``, checked.

        ``action`` names the CALL's action where it is known; ``client_id`` is for the log. Raises `UnsupportedFeature`
        when no profile has the response, or it does not answer that action; `ValidationError` and `EncodingError` as
        `create_call` does.
        """
        feature = self._lookup(self._by_response, type(response), dialect)
        if action is not None and feature.name != action:
            known = self._by_action.get((dialect or self._default_dialect(), action))
            if known is None or not isinstance(response, known.response_type or ()):
                raise UnsupportedFeature(f"{type(response).__name__} does not answer {action}")
            feature = known
        payload = self._checked(feature, True, response, client_id)
        return CallResult(message_id, response, payload)

    def create_call_error(
        self,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str = "",
        details: Optional[Mapping[str, Any]] = None,
        dialect: Optional[Dialect] = None,
    ) -> CallError:
        """Return the CALLERROR for the CALL ``message_id``.

        ``code`` is an `ErrorCode`, written as the version spells it, or its text in any version's spelling. Raises
        `UsageError` for a code that no version knows.
        """
        dialect = dialect or self._default_dialect()
        if not isinstance(description, str) or not isinstance(details, (Mapping, type(None))):
            raise UsageError("a CALLERROR has a description, which is text, and details, which are a dict")
        if not isinstance(code, ErrorCode):
            if not is_error_code_valid(code):
                raise UsageError(f"{code!r} is no error code")
            code = ErrorCode(code)
        return CallError(message_id, dialect.spell(code), description, dict(details or {}))

    def _mode(self, feature: Feature, incoming: bool) -> str:
        validation = self._validation or process.validation
        if validation.actions:
            return validation.mode(feature.name, incoming)
        return validation.incoming if incoming else validation.outgoing

    def _tolerate(self, client_id: str, what: str, feature: Feature, answer: bool, error: ValidationError) -> None:
        """Log a payload that breaks its schema and goes on all the same."""
        self.log.warning(
            "%s: %s an invalid %s of %s, and went on: at %r: %s",
            client_id or "endpoint",
            what,
            "response" if answer else "request",
            feature.name,
            error.path[:255],
            error,
        )

    def _checked(self, feature: Feature, answer: bool, payload: Payload, client_id: str) -> Dict[str, Any]:
        try:
            data = payload.to_wire()
        except RecursionError:
            raise EncodingError(f"{type(payload).__name__} contains itself") from None
        mode = self._mode(feature, incoming=False)
        try:
            if mode == "off" or judge_of(feature, answer)(data):
                return data
        except Exception:
            pass
        try:
            check_payload(feature, answer, data)
        except ValidationError as error:
            if mode == "strict":
                raise
            self._tolerate(client_id, "sent", feature, answer, error)
        return data

    # Reading messages

    def parse_message(
        self, fields: Sequence[Any], pending: Pending, dialect: Optional[Dialect] = None, client_id: str = ""
    ) -> Optional[Message]:
        """Return what the elements of a frame mean, with a typed payload.

        ``pending`` tells which request an answer belongs to; it is only read. An answer to no pending request is
        logged, and ``None`` is returned. ``client_id`` is for the log. Raises `MessageError` for anything that breaks
        the rules (OCPP-J 1.6 section 4.2; OCPP 2.x Part 4 section 4.2).
        """
        dialect = dialect or self._default_dialect()
        message_type, message_id = read_head(fields, dialect)
        try:
            return self._parse(fields, pending, dialect, message_type, message_id, client_id)
        except MessageError:
            raise
        except Exception as error:  # a schema or a type of the program's own that cannot be used
            self.log.exception("message %r cannot be read", message_id)
            raise MessageError(
                ErrorCode.INTERNAL_ERROR,
                "the message could not be read",
                message_id=message_id,
                message_type=message_type,
                answerable=message_type is MessageType.CALL,
            ) from error

    def _parse(
        self,
        fields: Sequence[Any],
        pending: Pending,
        dialect: Dialect,
        message_type: MessageType,
        message_id: str,
        client_id: str,
    ) -> Optional[Message]:
        if message_type is MessageType.CALL or message_type is MessageType.SEND:
            return self._parse_call(fields, message_type, message_id, dialect, client_id)
        if message_type is MessageType.CALL_RESULT_ERROR:  # about an answer of ours: nothing is pending
            return _parse_error(fields, message_type, message_id)
        request = pending.get(message_id)
        if request is None:
            self.log.warning("ignored an answer to %r, which is not pending", message_id)
            return None
        if message_type is MessageType.CALL_RESULT:
            return self._parse_result(fields, message_id, request, dialect, client_id)
        return _parse_error(fields, message_type, message_id)

    def _parse_call(
        self, fields: Sequence[Any], message_type: MessageType, message_id: str, dialect: Dialect, client_id: str
    ) -> Call:
        one_way = message_type is MessageType.SEND

        def broken(code: ErrorCode, description: str) -> MessageError:
            return MessageError(
                code, description, message_id=message_id, message_type=message_type, answerable=not one_way
            )

        if len(fields) != 4:
            raise broken(ErrorCode.FORMAT_VIOLATION, f"a {_name(message_type)} has 4 elements, not {len(fields)}")
        action, payload = fields[2], fields[3]
        if not isinstance(action, str):
            raise broken(ErrorCode.FORMAT_VIOLATION, f"the action of a {_name(message_type)} is a string")
        feature = self._by_action.get((dialect, action))
        if feature is None:
            if action in dialect.actions:
                raise broken(ErrorCode.NOT_SUPPORTED, f"{action} is not supported here")
            raise broken(ErrorCode.NOT_IMPLEMENTED, f"OCPP {dialect.version} has no action {action[:40]!r:.60}")
        if one_way != (feature.response_type is None):
            kind = "SEND" if feature.response_type is None else "CALL"
            raise broken(ErrorCode.FORMAT_VIOLATION, f"{action} travels in a {kind}")
        try:
            request = self._decoded(feature, False, payload, client_id)
        except ValidationError as error:
            raise broken(error.code, error.description) from error
        return Send(message_id, action, request) if one_way else Call(message_id, action, request)

    def _parse_result(
        self, fields: Sequence[Any], message_id: str, request: Any, dialect: Dialect, client_id: str
    ) -> CallResult:
        def broken(code: ErrorCode, description: str) -> MessageError:
            return MessageError(code, description, message_id=message_id, message_type=MessageType.CALL_RESULT)

        if len(fields) != 3:
            raise broken(ErrorCode.FORMAT_VIOLATION, f"a CALLRESULT has 3 elements, not {len(fields)}")
        feature = self._lookup(self._by_request, type(request), dialect)
        try:
            response = self._decoded(feature, True, fields[2], client_id)
        except ValidationError as error:
            raise broken(error.code, error.description) from error
        return CallResult(message_id, response)

    def _decoded(self, feature: Feature, answer: bool, payload: Any, client_id: str) -> Payload:
        if payload is None:
            payload = {}  # some peers write null for "nothing in it"
        payload_type = feature.response_type if answer else feature.request_type
        if payload_type is None:
            raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", f"{feature.name} is never answered")
        mode = self._mode(feature, incoming=True)
        try:
            if mode != "off" or not isinstance(payload, dict):
                check_payload(feature, answer, payload)
            return payload_type.from_wire(payload)
        except ValidationError as error:
            if mode == "strict" or not isinstance(payload, dict):
                raise
            if mode == "warn":
                self._tolerate(client_id, "received", feature, answer, error)
        return read_leniently(payload_type, payload)


_TYPES = {int(each): each for each in MessageType}


def read_head(fields: Sequence[Any], dialect: Dialect) -> Tuple[MessageType, str]:
    """Return the type and the id of a frame. Raises `MessageError`, with the id if it can be read."""
    number = fields[0] if fields else None
    message_id = fields[1] if len(fields) > 1 else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise unreadable("the first element is no message type")
    readable = isinstance(message_id, str) and 1 <= len(message_id) <= MAX_ID
    message_type = _TYPES.get(number)
    if message_type not in dialect.message_types:
        raise MessageError(
            ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED,
            f"OCPP {dialect.version} has no message type {number!s:.20}",
            message_id=message_id if readable else None,
            message_type=number,
        )
    if not readable:
        error = unreadable(f"the message id is no string of 1 to {MAX_ID} characters")
        error.answerable = number == MessageType.CALL  # nothing else is ever answered with an error
        raise error
    assert isinstance(message_id, str)
    assert message_type is not None
    return message_type, message_id


def _name(message_type: MessageType) -> str:
    """Return the type as the documents write it: CALLRESULT."""
    return message_type.name.replace("_", "")


def _parse_error(fields: Sequence[Any], message_type: MessageType, message_id: str) -> CallError:
    def broken(description: str) -> MessageError:
        return MessageError(ErrorCode.FORMAT_VIOLATION, description, message_id=message_id, message_type=message_type)

    # Five elements by the rules; real peers leave the details out.
    if not 4 <= len(fields) <= 5:
        raise broken(f"a {_name(message_type)} has 5 elements, not {len(fields)}")
    code, description, details = fields[2], fields[3], fields[4] if len(fields) == 5 else None
    if not isinstance(code, str):
        raise broken(f"the code of a {_name(message_type)} is a string")
    kind = CallError if message_type is MessageType.CALL_ERROR else CallResultError
    return kind(
        message_id,
        code,
        description if isinstance(description, str) else "",
        details if isinstance(details, dict) else {},
    )
