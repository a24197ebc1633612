"""`Endpoint`: what messages there are, how they are made and what they mean. Pure: no threads, no sockets, no time."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Protocol, Sequence, Tuple, Type, Union

from .dialect import Dialect, is_error_code_valid
from .errors import (
    DuplicateFeature,
    EncodingError,
    ErrorCode,
    MessageError,
    UnsupportedFeature,
    UsageError,
    ValidationError,
)
from .messages import MAX_ID, Call, CallError, CallResult, CallResultError, Message, MessageType, Send, unreadable
from .payloads import Payload
from .profile import Feature, Profile
from .settings import LoggerLike, get_logger, get_message_id_generator, message_validation
from .validation import check_payload, check_schemas

__all__ = ["Endpoint", "Pending", "read_head"]


class Pending(Protocol):
    """What `Endpoint.parse_message` asks of a pending-request state."""

    def get(self, message_id: str) -> Optional[Any]:
        """Return the pending request of that id, or ``None``."""


class Endpoint:
    """The profiles of one side, and the messages they allow.

    ``validate``, ``message_id_generator`` and ``logger`` override the settings of the process (see
    `ocppj.settings`); ``None`` leaves them to it.
    """

    def __init__(
        self,
        profiles: Iterable[Profile] = (),
        *,
        validate: Optional[bool] = None,
        message_id_generator: Optional[Callable[[], str]] = None,
        logger: Optional[LoggerLike] = None,
    ) -> None:
        self._validate = validate
        self._generate_id = message_id_generator
        self._logger = logger
        self._profiles: List[Profile] = []
        self._by_action: Dict[Tuple[Dialect, str], Feature] = {}
        self._by_request: Dict[Tuple[Dialect, Type[Payload]], Feature] = {}
        self._by_response: Dict[Tuple[Dialect, Type[Payload]], Feature] = {}
        # Features whose types are not imported yet, so that the two tables above lack them.
        self._unread: Dict[Dialect, List[Feature]] = {}
        for profile in profiles:
            self.add_profile(profile)

    # Profiles

    @property
    def profiles(self) -> Sequence[Profile]:
        """The profiles, in the order they were added."""
        return tuple(self._profiles)

    @property
    def dialects(self) -> Sequence[Dialect]:
        """The OCPP versions of the profiles, in the order they were first added: the order of preference."""
        return tuple(dict.fromkeys(profile.dialect for profile in self._profiles))

    @property
    def log(self) -> LoggerLike:
        """The endpoint's logger, or the process's."""
        return self._logger if self._logger is not None else get_logger()

    def set_message_validation(self, enabled: Optional[bool]) -> None:
        """Check this endpoint's payloads, or not; ``None`` leaves it to the setting of the process."""
        self._validate = enabled

    def add_profile(self, profile: Profile) -> None:
        """Add ``profile``, with the features that it has now.

        Raises `DuplicateFeature`, and adds nothing, when its name, one of its actions or one of its request types is
        there already in the same OCPP version; and `UsageError` when a schema of one's own is no JSON schema.
        """
        dialect = profile.dialect
        self._read_types(dialect)
        if any(each.name == profile.name and each.dialect is dialect for each in self._profiles):
            raise DuplicateFeature(f"a profile {profile.name!r} of OCPP {dialect.version} is there already")
        for feature in profile:
            known = feature.is_loaded and (dialect, feature.request_type) in self._by_request
            if known or (dialect, feature.name) in self._by_action:
                raise DuplicateFeature(f"a feature {feature.name!r} of OCPP {dialect.version} is there already")
            check_schemas(feature)
        self._profiles.append(profile)
        for feature in profile:
            self._by_action[dialect, feature.name] = feature
            if feature.is_loaded:
                self._index(dialect, feature)
            else:
                self._unread.setdefault(dialect, []).append(feature)

    def _index(self, dialect: Dialect, feature: Feature) -> None:
        self._by_request[dialect, feature.request_type] = feature
        if feature.response_type is not None:
            self._by_response.setdefault((dialect, feature.response_type), feature)

    def _read_types(self, dialect: Dialect) -> None:
        """Index the features of ``dialect`` whose types have been imported since they were added.

        Nothing is imported for it: who asks for a feature by its type has the type. Two threads may do it at once.
        """
        unread = self._unread.get(dialect)
        if not unread:
            return
        loaded = {feature for feature in unread if feature.is_loaded}
        for feature in unread:
            if feature in loaded:
                self._index(dialect, feature)
        # The last, so that who finds it empty finds the tables full.
        self._unread[dialect] = [feature for feature in unread if feature not in loaded]

    def get_profile(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        """Return the profile of that name (in that version, or the first that has it), or ``None``."""
        for profile in self._profiles:
            if profile.name == name and dialect in (None, profile.dialect):
                return profile
        return None

    def get_profile_for_feature(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        """Return the profile that has the action ``name`` (in that version, or the first that does), or ``None``."""
        for profile in self._profiles:
            if profile.supports_feature(name) and dialect in (None, profile.dialect):
                return profile
        return None

    def get_dialect(self, subprotocol: str) -> Optional[Dialect]:
        """Return the version of that WebSocket subprotocol, if this endpoint has a profile of it."""
        for dialect in self.dialects:
            if dialect.subprotocol == subprotocol:
                return dialect
        return None

    # Making messages

    def create_call(
        self, request: Payload, dialect: Optional[Dialect] = None, message_id: Optional[str] = None
    ) -> Call:
        """Return the CALL of ``request``, checked, with a new id unless one is given. It is not queued or pending.

        Raises `UnsupportedFeature` when no profile (of ``dialect``, if given) has the request, `ValidationError` when
        it breaks its schema, and `EncodingError` when a field cannot be written.
        """
        feature = self._lookup(self._by_request, type(request), dialect)
        if feature.response_type is None:
            raise UsageError(f"{feature.name} is never answered: send it with send()")
        return Call(message_id or self._new_id(), feature.name, request, self._checked(feature, False, request))

    def create_send(self, request: Payload, dialect: Optional[Dialect] = None) -> Send:
        """Return the SEND of ``request``, checked, with a new id (OCPP 2.1 Part 4 section 4.2.4).

        Raises what `create_call` raises, and `UsageError` for a request that is answered, and must be called.
        """
        feature = self._lookup(self._by_request, type(request), dialect)
        if feature.response_type is not None:
            raise UsageError(f"{feature.name} is answered: send it with call() or send_request()")
        return Send(self._new_id(), feature.name, request, self._checked(feature, False, request))

    def _new_id(self) -> str:
        return (self._generate_id or get_message_id_generator())()

    def create_call_result(
        self,
        response: Payload,
        message_id: str,
        dialect: Optional[Dialect] = None,
        action: Optional[str] = None,
    ) -> CallResult:
        """Return the CALLRESULT of ``response`` to the CALL ``message_id``, checked.

        ``action`` names the CALL's action where it is known. Raises `UnsupportedFeature` when no profile has the
        response, or it does not answer that action; `ValidationError` and `EncodingError` as `create_call` does.
        """
        feature = self._lookup(self._by_response, type(response), dialect)
        if action is not None and feature.name != action:
            known = self._by_action.get((dialect or self._default_dialect(), action))
            if known is None or not isinstance(response, known.response_type or ()):
                raise UnsupportedFeature(f"{type(response).__name__} does not answer {action}")
            feature = known
        payload = self._checked(feature, True, response)
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
        if not isinstance(code, ErrorCode):
            if not is_error_code_valid(code):
                raise UsageError(f"{code!r} is no error code")
            code = ErrorCode(code)
        return CallError(message_id, dialect.spell(code), description, dict(details or {}))

    def _default_dialect(self) -> Dialect:
        if not self._profiles:
            raise UsageError("the endpoint has no profiles, hence no OCPP version")
        return self._profiles[0].dialect

    def _lookup(
        self,
        table: Mapping[Tuple[Dialect, Type[Payload]], Feature],
        payload_type: Type[Payload],
        dialect: Optional[Dialect],
    ) -> Feature:
        dialects = self.dialects if dialect is None else (dialect,)
        for each in dialects:
            self._read_types(each)
            feature = table.get((each, payload_type))
            if feature is not None:
                return feature
        versions = ", ".join(each.version for each in dialects) or "none"
        raise UnsupportedFeature(f"no profile has {payload_type.__name__} (OCPP version: {versions})")

    def _validates(self) -> bool:
        return message_validation() if self._validate is None else self._validate

    def _checked(self, feature: Feature, answer: bool, payload: Payload) -> Dict[str, Any]:
        try:
            data = payload.to_wire()
        except RecursionError:
            raise EncodingError(f"{type(payload).__name__} contains itself") from None
        if self._validates():
            check_payload(feature, answer, data)
        return data

    # Reading messages

    def parse_message(
        self, fields: Sequence[Any], pending: Pending, dialect: Optional[Dialect] = None
    ) -> Optional[Message]:
        """Return what the elements of a frame mean, with a typed payload.

        ``pending`` tells which request an answer belongs to; it is only read. An answer to no pending request is
        logged, and ``None`` is returned. Raises `MessageError` for anything that breaks the rules (OCPP-J 1.6
        section 4.2; OCPP 2.x Part 4 section 4.2).
        """
        dialect = dialect or self._default_dialect()
        message_type, message_id = read_head(fields, dialect)
        try:
            return self._parse(fields, pending, dialect, message_type, message_id)
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
    ) -> Optional[Message]:
        if message_type is MessageType.CALL or message_type is MessageType.SEND:
            return self._parse_call(fields, message_type, message_id, dialect)
        if message_type is MessageType.CALL_RESULT_ERROR:  # about an answer of ours: nothing is pending
            return _parse_error(fields, message_type, message_id)
        request = pending.get(message_id)
        if request is None:
            self.log.warning("ignored an answer to %r, which is not pending", message_id)
            return None
        if message_type is MessageType.CALL_RESULT:
            return self._parse_result(fields, message_id, request, dialect)
        return _parse_error(fields, message_type, message_id)

    def _parse_call(self, fields: Sequence[Any], message_type: MessageType, message_id: str, dialect: Dialect) -> Call:
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
            request = self._decoded(feature, False, payload)
        except ValidationError as error:
            raise broken(error.code, error.description) from error
        return Send(message_id, action, request) if one_way else Call(message_id, action, request)

    def _parse_result(self, fields: Sequence[Any], message_id: str, request: Any, dialect: Dialect) -> CallResult:
        def broken(code: ErrorCode, description: str) -> MessageError:
            return MessageError(code, description, message_id=message_id, message_type=MessageType.CALL_RESULT)

        if len(fields) != 3:
            raise broken(ErrorCode.FORMAT_VIOLATION, f"a CALLRESULT has 3 elements, not {len(fields)}")
        feature = self._lookup(self._by_request, type(request), dialect)
        try:
            response = self._decoded(feature, True, fields[2])
        except ValidationError as error:
            raise broken(error.code, error.description) from error
        return CallResult(message_id, response)

    def _decoded(self, feature: Feature, answer: bool, payload: Any) -> Payload:
        if payload is None:
            payload = {}  # some peers write null for "nothing in it"
        if self._validates() or not isinstance(payload, dict):
            check_payload(feature, answer, payload)
        payload_type = feature.response_type if answer else feature.request_type
        if payload_type is None:
            raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", f"{feature.name} is never answered")
        return payload_type.from_wire(payload)


def read_head(fields: Sequence[Any], dialect: Dialect) -> Tuple[MessageType, str]:
    """Return the type and the id of a frame. Raises `MessageError`, with the id if it can be read."""
    number = fields[0] if fields else None
    message_id = fields[1] if len(fields) > 1 else None
    if not isinstance(number, int) or isinstance(number, bool):
        raise unreadable("the first element is no message type")
    readable = isinstance(message_id, str) and 1 <= len(message_id) <= MAX_ID
    if number not in dialect.message_types:
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
    return MessageType(number), message_id


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
