"""`Endpoint`: what messages there are, how they are made and what they mean. Pure: no threads, no sockets, no time."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Protocol, Sequence, Tuple, Union

from ..errors import EncodingError, ErrorCode, MessageError, UsageError, ValidationError
from ..payloads.lenient import read_leniently
from ..payloads.model import Payload
from ..settings import LoggerLike, Validation, ValidationSetting, get_logger, get_message_id_generator, process
from .dialect import Dialect, is_error_code_valid
from .feature_registry import FeatureRegistry
from .features import Feature, Profile
from .frames import broken, read_error, read_head, type_name
from .messages import SIGNED, Call, CallError, CallResult, Message, MessageType, Send, SignatureResult
from .signed_messages import SignedMessages, open_payload
from .signing import Signer, Verifier, looks_signed, result_of
from .validation import check_payload, judge_of

__all__ = ["Endpoint", "Pending"]

_CALL, _CALL_RESULT, _SEND = MessageType.CALL, MessageType.CALL_RESULT, MessageType.SEND

#: A message whose payload is still the JSON value, its feature, and the protected header if it came signed.
_Undecoded = Tuple[Union[Call, CallResult], Feature, Optional[Mapping[str, Any]]]


class Pending(Protocol):
    """What `Endpoint.parse_message` asks of a pending-request state."""

    def get(self, message_id: str) -> Optional[Any]:
        """Return the pending request of that id, or ``None``."""


class Endpoint:
    """The profiles of one side, and the messages they allow.

    Args:
        profiles: The profiles, such as ``v16.PROFILES``.
        validate: How payloads are checked: a `Validation`, a mode ("strict", "warn", "off"), or ``True`` (strict) or
            ``False`` (off). ``None`` leaves it to the setting of the process (see `ocppj.settings`).
        message_id_generator: A function that returns a new message id. ``None`` leaves it to the process.
        logger: The logger. ``None`` leaves it to the process.
        signer: What signs messages that are to be signed. Signed messages are understood without it.
        verifier: What looks at the signatures of messages that come in signed.
    """

    def __init__(
        self,
        profiles: Iterable[Profile] = (),
        *,
        validate: Optional[ValidationSetting] = None,
        message_id_generator: Optional[Callable[[], str]] = None,
        logger: Optional[LoggerLike] = None,
        signer: Optional[Signer] = None,
        verifier: Optional[Verifier] = None,
    ) -> None:
        self._features = FeatureRegistry(profiles)
        self._validation = None if validate is None else Validation.of(validate)
        self._generate_id = message_id_generator
        self._logger = logger
        self._signed_messages = SignedMessages(signer, verifier)

    @property
    def log(self) -> LoggerLike:
        """The endpoint's logger, or the process's."""
        return self._logger if self._logger is not None else get_logger()

    def set_message_validation(self, setting: Optional[ValidationSetting]) -> None:
        """Check this endpoint's payloads as ``setting`` says; ``None`` leaves it to the setting of the process.

        Raises `UsageError` for a mode that there is not.
        """
        self._validation = None if setting is None else Validation.of(setting)

    # Profiles

    @property
    def profiles(self) -> Sequence[Profile]:
        """The profiles, in the order they were added."""
        return self._features.profiles

    @property
    def dialects(self) -> Sequence[Dialect]:
        """The OCPP versions of the profiles, in the order they were first added: the order of preference."""
        return self._features.dialects

    def add_profile(self, profile: Profile) -> None:
        """Add ``profile``, with the features that it has now.

        Raises `DuplicateFeature`, and adds nothing, when its name, one of its actions or one of its request types is
        there already in the same OCPP version; and `UsageError` when a schema of one's own is no JSON schema.
        """
        self._features.add_profile(profile)

    def get_profile(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        """Return the profile of that name (in that version, or the first that has it), or ``None``."""
        return self._features.get_profile(name, dialect)

    def get_profile_for_feature(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        """Return the profile that has the action ``name`` (in that version, or the first that does), or ``None``."""
        return self._features.get_profile_for_feature(name, dialect)

    def get_dialect(self, subprotocol: str) -> Optional[Dialect]:
        """Return the version of that WebSocket subprotocol, if this endpoint has a profile of it."""
        return self._features.get_dialect(subprotocol)

    # Making messages

    def create_call(
        self,
        request: Payload,
        dialect: Optional[Dialect] = None,
        message_id: Optional[str] = None,
        client_id: str = "",
        *,
        signed: bool = False,
    ) -> Call:
        """Return the CALL of ``request``, checked. It is not queued or pending.

        Args:
            request: The request.
            dialect: The version. By default it is the first whose profiles have the request.
            message_id: The id. By default it is a new one.
            client_id: The peer, for the log.
            signed: Whether to make the signed form.

        Raises:
            UnsupportedFeature: No profile has the request, or the version has no signed messages.
            ValidationError: The request breaks its schema.
            EncodingError: A field cannot be written.
            UsageError: The request is never answered, or there is no signer.
        """
        feature = self._features.of_request(type(request), dialect)
        if feature.response_type is None:
            raise UsageError(f"{feature.name} is never answered: send it with send()")
        payload = self._checked(feature, False, request, client_id)
        call = Call(message_id or self._new_id(), feature.name, request, payload)
        if signed:
            self._signed_messages.sign(call, feature.name, dialect or self._features.dialect_of(type(request)))
        return call

    def create_send(
        self, request: Payload, dialect: Optional[Dialect] = None, client_id: str = "", *, signed: bool = False
    ) -> Send:
        """Return the SEND of ``request``, checked, with a new id (OCPP 2.1 Part 4 section 4.2.4).

        Raises what `create_call` raises, and `UsageError` for a request that is answered, and must be called.
        """
        feature = self._features.of_request(type(request), dialect)
        if feature.response_type is not None:
            raise UsageError(f"{feature.name} is answered: send it with call() or send_request()")
        message = Send(self._new_id(), feature.name, request, self._checked(feature, False, request, client_id))
        if signed:
            self._signed_messages.sign(message, feature.name, dialect or self._features.dialect_of(type(request)))
        return message

    def create_call_result(
        self,
        response: Payload,
        message_id: str,
        dialect: Optional[Dialect] = None,
        action: Optional[str] = None,
        client_id: str = "",
        *,
        signed: bool = False,
    ) -> CallResult:
        """Return the CALLRESULT of ``response``, checked.

        Args:
            response: The response.
            message_id: The id of the CALL that it answers.
            dialect: The version. By default it is the first whose profiles have the response.
            action: The action of the CALL, where it is known. It must be given for a signed answer.
            client_id: The peer, for the log.
            signed: Whether to make the signed form.

        Raises:
            UnsupportedFeature: No profile has the response, or it does not answer that action, or the version has no
                signed messages.
            ValidationError: The response breaks its schema.
            EncodingError: A field cannot be written.
            UsageError: The id is none, there is no signer, or no action for a signed answer.
        """
        key: Any = dialect, action
        known = self._features.by_action
        if key in known and type(response) is known[key].response_type:  # the fast case
            feature = known[key]
        else:
            feature = self._features.of_response(type(response), dialect, action)
        result = CallResult(message_id, response, self._checked(feature, True, response, client_id))
        if signed:
            if action is None:
                raise UsageError("a signed answer names its action")
            self._signed_messages.sign(result, action, dialect or self._features.default_dialect())
        return result

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
        dialect = dialect or self._features.default_dialect()
        if not isinstance(description, str) or not isinstance(details, (Mapping, type(None))):
            raise UsageError("a CALLERROR has a description, which is text, and details, which are a dict")
        if not isinstance(code, ErrorCode):
            if not is_error_code_valid(code):
                raise UsageError(f"{code!r} is no error code")
            code = ErrorCode(code)
        return CallError(message_id, dialect.spell(code), description, dict(details or {}))

    def _new_id(self) -> str:
        return (self._generate_id or get_message_id_generator())()

    def _checked(self, feature: Feature, answer: bool, payload: Payload, client_id: str) -> Dict[str, Any]:
        """Return ``payload`` as JSON values, checked as the mode says."""
        try:
            data = payload.to_wire()
        except RecursionError:
            raise EncodingError(f"{type(payload).__name__} contains itself") from None
        validation = self._validation or process.validation
        mode = validation.mode(feature.name, False) if validation.actions else validation.outgoing
        try:
            if mode == "off" or judge_of(feature, answer)(data):
                return data
        except Exception:  # the judge does not know such a value
            pass
        try:
            check_payload(feature, answer, data)
        except ValidationError as error:
            if mode == "strict":
                raise
            self._tolerate(client_id, "sent", feature, answer, error)
        return data

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

    # Reading messages

    def parse_message(
        self, fields: Sequence[Any], pending: Pending, dialect: Optional[Dialect] = None, client_id: str = ""
    ) -> Optional[Message]:
        """Return what the elements of a frame mean, with a typed payload.

        The rules are those of OCPP-J 1.6 section 4.2 and of OCPP 2.x Part 4 section 4.2. A signed message is returned
        as the normal message inside it, with a ``signature`` that is not verified yet (`check_signature` does it).

        Args:
            fields: The elements of the frame.
            pending: What knows the request that an answer belongs to. It is only read.
            dialect: The version of the connection. By default it is that of the first profile.
            client_id: The peer, for the log.

        Returns:
            The message, or ``None`` for an answer to no pending request, which is logged.

        Raises:
            MessageError: The frame breaks the rules.
        """
        if dialect is None:
            dialect = self._features.default_dialect()
        message: Union[Call, CallResult, None] = None
        try:  # the fast case, which most frames are: a CALL of an action that is known, and not signed
            number, message_id, action, payload = fields
            feature, header = self._features.by_action[dialect, action], None
            if type(number) is int and number == _CALL and feature.response_type is not None:
                message, message_type = Call(message_id, action, payload), _CALL
        except Exception:  # any other frame; and whatever it is, it is met again
            pass
        if message is None:
            message_type, message_id = read_head(fields, dialect)
        try:
            if message is None:
                found = self._undecoded(fields, message_type, message_id, pending, dialect)
                if not isinstance(found, tuple):
                    return found
                message, feature, header = found
            message.payload = self._decoded(feature, message_type is _CALL_RESULT, message.payload, client_id)
            if header is not None:
                message.signed_payload = fields[-1]
                message.signature = result_of(header, None, "there is no verifier")
            return message
        except MessageError:
            raise
        except ValidationError as error:
            raise broken(fields, message_type, error.code, error.description) from error
        except Exception as error:  # a schema or a type of the program's own that cannot be used
            self.log.exception("message %r cannot be read", message_id)
            raise broken(fields, message_type, ErrorCode.INTERNAL_ERROR, "the message could not be read") from error

    def check_signature(self, message: Union[Call, CallResult], client_id: str) -> Optional[SignatureResult]:
        """Have the verifier look at the signature of ``message``; return its result, ``None`` if it is not signed.

        Whatever goes wrong in there is logged, and a signature that could not be verified.
        """
        return self._signed_messages.check(message, client_id, self.log)

    def _undecoded(
        self, fields: Sequence[Any], message_type: MessageType, message_id: str, pending: Pending, dialect: Dialect
    ) -> Union[_Undecoded, CallError, None]:
        """Return an error message as it is, and any other with its payload still to be decoded.

        Raises `MessageError`, and `ValidationError` for a signed payload that is none.
        """
        if message_type is _CALL or message_type is _SEND:
            return self._undecoded_call(fields, message_type, dialect)
        if message_type is MessageType.CALL_RESULT_ERROR:  # about an answer of ours: nothing is pending
            return read_error(fields, message_type)
        request = pending.get(message_id)
        if request is None:
            self.log.warning("ignored an answer to %r, which is not pending", message_id)
            return None
        if message_type is not _CALL_RESULT:
            return read_error(fields, message_type)
        if len(fields) != 3:
            words = f"a CALLRESULT has 3 elements, not {len(fields)}"
            raise broken(fields, message_type, ErrorCode.FORMAT_VIOLATION, words)
        feature, payload, header = self._features.of_request(type(request), dialect), fields[2], None
        if dialect.signed_messages and looks_signed(payload):
            payload, header = open_payload(payload, feature.name, message_type)
        return CallResult(message_id, payload), feature, header

    def _undecoded_call(self, fields: Sequence[Any], message_type: MessageType, dialect: Dialect) -> _Undecoded:
        if len(fields) != 4:
            words = f"a {type_name(message_type)} has 4 elements, not {len(fields)}"
            raise broken(fields, message_type, ErrorCode.FORMAT_VIOLATION, words)
        _, message_id, action, payload = fields
        if not isinstance(action, str):
            words = f"the action of a {type_name(message_type)} is a string"
            raise broken(fields, message_type, ErrorCode.FORMAT_VIOLATION, words)
        feature, header = self._features.by_action.get((dialect, action)), None
        if feature is None and dialect.signed_messages and action.endswith(SIGNED):
            normal = action[: -len(SIGNED)]
            feature = self._features.by_action.get((dialect, normal))
            if feature is not None:
                payload, header = open_payload(payload, normal, message_type)
            elif normal in dialect.actions:  # refused for its action, whatever its payload
                action = normal
        if feature is None:
            if action in dialect.actions:
                raise broken(fields, message_type, ErrorCode.NOT_SUPPORTED, f"{action} is not supported here")
            words = f"OCPP {dialect.version} has no action {action[:40]!r:.60}"
            raise broken(fields, message_type, ErrorCode.NOT_IMPLEMENTED, words)
        if (message_type is _SEND) != (feature.response_type is None):
            kind = "SEND" if feature.response_type is None else "CALL"
            raise broken(fields, message_type, ErrorCode.FORMAT_VIOLATION, f"{feature.name} travels in a {kind}")
        return (Send if message_type is _SEND else Call)(message_id, feature.name, payload), feature, header

    def _decoded(self, feature: Feature, answer: bool, payload: Any, client_id: str) -> Payload:
        """Return the typed payload, checked as the mode says. Raises `ValidationError`."""
        if payload is None:
            payload = {}  # some peers write null for "nothing in it"
        payload_type = feature.response_type if answer else feature.request_type
        if payload_type is None:
            raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", f"{feature.name} is never answered")
        validation = self._validation or process.validation
        mode = validation.mode(feature.name, True) if validation.actions else validation.incoming
        is_object = type(payload) is dict or isinstance(payload, dict)
        try:
            sound = is_object and (mode == "off" or judge_of(feature, answer)(payload))
        except Exception:  # the judge does not know such a value
            sound = False
        try:
            if not sound:
                check_payload(feature, answer, payload)
            return payload_type.from_wire(payload)
        except ValidationError as error:
            if mode == "strict" or not is_object:
                raise
            if mode == "warn":
                self._tolerate(client_id, "received", feature, answer, error)
        return read_leniently(payload_type, payload)
