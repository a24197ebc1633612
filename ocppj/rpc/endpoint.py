"""`Endpoint`: creates and parses messages. It has no threads, no sockets and no clock."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Protocol, Sequence, Type, Union

from ..errors import EncodingError, ErrorCode, MessageError, UnsupportedFeature, UsageError, ValidationError
from ..payloads.lenient import decode_leniently
from ..payloads.model import Payload
from ..settings import LoggerLike, Validation, ValidationSetting, process
from .dialect import Dialect, is_error_code_valid
from .feature_registry import FeatureRegistry
from .features import Feature, Profile
from .frames import build_action_error, build_frame_error, get_type_name, parse_error, parse_head
from .messages import SIGNED, Call, CallError, CallResult, Message, MessageType, Send, SignatureResult, create_uuid
from .signing import Signer, Verifier, looks_signed, open_payload, result_of, sign_payload
from .validation import check_payload, get_quick_check

__all__ = ["Endpoint", "Pending"]

_CALL, _SEND = MessageType.CALL, MessageType.SEND
_CALL_RESULT, _CALL_RESULT_ERROR = MessageType.CALL_RESULT, MessageType.CALL_RESULT_ERROR


class Pending(Protocol):
    """The pending requests, as `Endpoint.parse_message` needs them."""

    def get(self, message_id: str) -> Optional[Any]: ...


class Endpoint:
    """The profiles of a client or a server, and the messages that they allow.

    Any thread may create and parse messages. Add profiles before that.

    Args:
        profiles: The profiles, such as ``v16.PROFILES``.
        validate: A `Validation`, a mode ("strict", "warn", "off"), or ``True`` (strict) or ``False`` (off). ``None``:
            as the process does (`set_message_validation`).
        message_id_generator: Returns the id of a new message, on the thread that creates the message. ``None``: that
            of the process (`set_message_id_generator`).
        logger: ``None``: that of the process (`set_logger`).
        signer: Signs messages. Without it signed messages are still received.
        verifier: Verifies signatures. Without it they are not verified.

    Raises:
        DuplicateFeature: Two profiles have the same name, action or request type in the same OCPP version.
        UsageError: An argument is not valid.
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
        self._message_id_generator = message_id_generator
        self._logger = logger
        self._signer = signer
        self._verifier = verifier

    @property
    def log(self) -> LoggerLike:
        """The logger of the endpoint, or else of the process."""
        return self._logger if self._logger is not None else process.logger

    def set_message_validation(self, setting: Optional[ValidationSetting]) -> None:
        """Set how the payloads of this endpoint are checked, from the next message on.

        Args:
            setting: As ``validate`` of the constructor.

        Raises:
            UsageError: There is no such mode.
        """
        self._validation = None if setting is None else Validation.of(setting)

    # Profiles

    @property
    def profiles(self) -> Sequence[Profile]:
        """The profiles, in the order in which they were added."""
        return self._features.profiles

    @property
    def dialects(self) -> Sequence[Dialect]:
        """The OCPP versions of the profiles, in the order in which they were first added: the order of preference."""
        return self._features.dialects

    def add_profile(self, profile: Profile) -> None:
        """Add a profile, with the features that it has now. A profile that is refused changes nothing.

        Raises:
            DuplicateFeature: Its name, an action or a request type is there already, in the same OCPP version.
            UsageError: It is no profile, or one of its schemas is no JSON schema.
        """
        self._features.add_profile(profile)

    def get_profile(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        """Return the profile of that name, or ``None``. Without ``dialect``: the first of any version."""
        return self._features.get_profile(name, dialect)

    def get_profile_for_feature(self, name: str, dialect: Optional[Dialect] = None) -> Optional[Profile]:
        """Return the profile with the action ``name``, or ``None``. Without ``dialect``: the first of any version."""
        return self._features.get_profile_for_feature(name, dialect)

    def get_dialect(self, subprotocol: str) -> Optional[Dialect]:
        """Return the version of a WebSocket subprotocol, such as "ocpp1.6". ``None``: no profile is of that version."""
        return self._features.get_dialect(subprotocol)

    # Creating messages

    def create_call(
        self,
        request: Payload,
        dialect: Optional[Dialect] = None,
        message_id: Optional[str] = None,
        client_id: str = "",
        *,
        signed: bool = False,
    ) -> Call:
        """Return the CALL of a request. The payload is checked. The CALL is not sent.

        Args:
            request: The request.
            dialect: ``None``: the first version whose profiles have the request.
            message_id: ``None``: a new one.
            client_id: The peer, for the log.
            signed: Whether to sign the message.

        Raises:
            UnsupportedFeature: No profile has the request, or the version has no signed messages.
            ValidationError: The request breaks its schema.
            EncodingError: A field cannot be written.
            UsageError: The request has no response and must be a SEND, the id is not valid, or there is no signer.
        """
        # The table has most requests; `of_request` knows the rest.
        feature = self._features.by_request.get((dialect, type(request))) or self._features.of_request(
            type(request), dialect
        )
        if feature.response_type is None:
            raise UsageError(f"{feature.name} is never answered: send it with send()")
        payload = self._encode_payload(feature, False, request, client_id)
        call = Call(message_id or self._create_id(), feature.name, request, payload)
        if signed:
            self._sign(call, feature.name, dialect or self._features.dialect_of(type(request)))
        return call

    def create_send(
        self, request: Payload, dialect: Optional[Dialect] = None, client_id: str = "", *, signed: bool = False
    ) -> Send:
        """Return the SEND of a request, with a new id (OCPP 2.1 Part 4 section 4.2.4). It is checked, but not sent.

        The arguments are those of `create_call`.

        Raises:
            OcppjError: What `create_call` raises. `UsageError`: the request has a response and must be a CALL.
        """
        feature = self._features.of_request(type(request), dialect)
        if feature.response_type is not None:
            raise UsageError(f"{feature.name} is answered: send it with call() or send_request()")
        payload = self._encode_payload(feature, False, request, client_id)
        message = Send(self._create_id(), feature.name, request, payload)
        if signed:
            self._sign(message, feature.name, dialect or self._features.dialect_of(type(request)))
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
        """Return the CALLRESULT of a response. The payload is checked. The CALLRESULT is not sent.

        Args:
            response: The response.
            message_id: The id of the CALL that it answers.
            dialect: ``None``: the first version whose profiles have the response.
            action: The action of the CALL, if it is known. A signed response needs it.
            client_id: The peer, for the log.
            signed: Whether to sign the message.

        Raises:
            OcppjError: What `create_call` raises. `UnsupportedFeature` too: the response does not answer the action.
        """
        key, known = (dialect, action), self._features.by_action
        if key in known and type(response) is known[key].response_type:  # the usual case
            feature = known[key]
        else:
            feature = self._features.of_response(type(response), dialect, action)
        result = CallResult(message_id, response, self._encode_payload(feature, True, response, client_id))
        if signed:
            if action is None:
                raise UsageError("a signed answer names its action")
            self._sign(result, action, dialect or self._features.default_dialect())
        return result

    def create_call_error(
        self,
        message_id: str,
        code: Union[ErrorCode, str],
        description: str = "",
        details: Optional[Mapping[str, Any]] = None,
        dialect: Optional[Dialect] = None,
    ) -> CallError:
        """Return a CALLERROR. It is not sent.

        Args:
            message_id: The id of the CALL that it answers.
            code: The error code, or its text in the spelling of any version. It is written as ``dialect`` spells it.
            description: What went wrong.
            details: A JSON object.
            dialect: ``None``: that of the first profile.

        Raises:
            UsageError: No version has the code, or description or details are of the wrong type.
        """
        dialect = dialect or self._features.default_dialect()
        if not isinstance(description, str) or not isinstance(details, (Mapping, type(None))):
            raise UsageError("a CALLERROR has a description, which is text, and details, which are a dict")
        if not isinstance(code, ErrorCode):
            if not is_error_code_valid(code):
                raise UsageError(f"{code!r} is no error code")
            code = ErrorCode(code)
        return CallError(message_id, dialect.spell(code), description, dict(details or {}))

    def _create_id(self) -> str:
        return (self._message_id_generator or process.message_id_generator or create_uuid)()

    def _sign(self, message: Union[Call, CallResult], action: str, dialect: Dialect) -> None:
        """Set the signed payload of ``message``. ``action`` is its action, or that of the CALL that it answers."""
        if not dialect.signed_messages:
            raise UnsupportedFeature(f"OCPP {dialect.version} has no signed messages")
        if self._signer is None:
            raise UsageError("there is no signer: give signer=Signer(...)")
        assert message.wire_payload is not None
        message.signed_payload = sign_payload(self._signer, message.wire_payload, action, message.message_type_id)

    def _encode_payload(self, feature: Feature, is_response: bool, payload: Payload, client_id: str) -> Dict[str, Any]:
        """Return ``payload`` as a JSON object, checked as the mode says."""
        try:
            data = payload.to_wire()
        except RecursionError:
            raise EncodingError(f"{type(payload).__name__} contains itself") from None
        validation = self._validation or process.validation
        mode = validation.mode(feature.name, False) if validation.actions else validation.outgoing
        try:
            if mode == "off" or get_quick_check(feature, is_response)(data):
                return data
        except Exception:  # The quick check cannot handle some values. The full check decides.
            pass
        try:
            check_payload(feature, is_response, data)
        except ValidationError as error:
            if mode == "strict":
                raise
            self._log_invalid(client_id, "sent", feature, is_response, error)
        return data

    # Parsing messages

    def parse_message(
        self, fields: Sequence[Any], pending: Pending, dialect: Optional[Dialect] = None, client_id: str = ""
    ) -> Optional[Message]:
        """Return the message of a frame, with a typed payload (OCPP-J 1.6 and OCPP 2.x Part 4, both section 4.2).

        A signed message is returned as the normal message inside it. `check_signature` verifies its signature.

        Args:
            fields: The elements of the frame, from `parse_json_message`.
            pending: The pending requests, by which an answer gets its type. They are only read.
            dialect: ``None``: that of the first profile.
            client_id: The peer, for the log.

        Returns:
            The message. ``None`` for an answer to no pending request, which is logged.

        Raises:
            MessageError: The frame breaks the rules.
            UsageError: ``dialect`` is ``None``, and there is no profile.
        """
        if dialect is None:
            dialect = self._features.default_dialect()
        call: Optional[Call] = None
        try:
            # The usual frame: a CALL of a known action, not signed. `Call` checks the id.
            number, message_id, action, payload = fields
            feature = self._features.by_action[dialect, action]
            if type(number) is int and number == _CALL and feature.response_type is not None:
                call = Call(message_id, action, payload)
        except Exception:  # Any other frame, valid or not. It is parsed below, from the head on.
            pass
        try:
            if call is not None:
                call.payload = self._decode_payload(feature, False, payload, client_id)
                return call
            message_type, message_id = parse_head(fields, dialect)
            if message_type is _CALL or message_type is _SEND:
                return self._parse_request(fields, message_type, dialect, client_id)
            if message_type is _CALL_RESULT_ERROR:  # It is about a response of this side: no request is pending.
                return parse_error(fields, message_type)
            request = pending.get(message_id)
            if request is None:
                self.log.warning("ignored an answer to %r, which is not pending", message_id)
                return None
            if message_type is _CALL_RESULT:
                return self._parse_result(fields, type(request), dialect, client_id)
            return parse_error(fields, message_type)
        except MessageError:
            raise
        except ValidationError as error:
            raise build_frame_error(fields, error.code, error.description) from error
        except Exception as error:  # A schema or a type of the program is faulty.
            self.log.exception("message %r cannot be read", message_id)
            raise build_frame_error(fields, ErrorCode.INTERNAL_ERROR, "the message could not be read") from error

    def check_signature(self, message: Union[Call, CallResult], client_id: str) -> Optional[SignatureResult]:
        """Verify the signature of a message from `parse_message`. The message keeps the result.

        If the verifier fails, this is logged, and the result says that the signature was not verified.

        Returns:
            The result, or ``None`` if the message is not signed.
        """
        if message.signature is not None and self._verifier is not None:
            assert message.signed_payload is not None
            try:
                message.signature = self._verifier.verify(message.signed_payload, client_id)
            except Exception:
                self.log.exception("%s: the verifier failed", client_id)
                message.signature = result_of(message.signature.header, None, "the verifier failed")
        return message.signature

    def _parse_request(
        self, fields: Sequence[Any], message_type: MessageType, dialect: Dialect, client_id: str
    ) -> Union[Call, Send]:
        """Return the CALL or SEND of a frame whose head is valid. Raises `MessageError` and `ValidationError`."""
        if len(fields) != 4:
            text = f"a {get_type_name(message_type)} has 4 elements, not {len(fields)}"
            raise build_frame_error(fields, ErrorCode.FORMAT_VIOLATION, text)
        _, message_id, action, payload = fields
        if not isinstance(action, str):
            text = f"the action of a {get_type_name(message_type)} is a string"
            raise build_frame_error(fields, ErrorCode.FORMAT_VIOLATION, text)
        feature = self._features.by_action.get((dialect, action))
        signed_payload, signature = None, None
        if feature is None and dialect.signed_messages and action.endswith(SIGNED):
            feature = self._features.by_action.get((dialect, action[: -len(SIGNED)]))
            if feature is not None:
                signed_payload = payload
                payload, signature = open_payload(signed_payload, feature.name, message_type)
        if feature is None:
            raise build_action_error(fields, dialect)
        if (message_type is _SEND) != (feature.response_type is None):
            text = f"{feature.name} travels in a {'SEND' if feature.response_type is None else 'CALL'}"
            raise build_frame_error(fields, ErrorCode.FORMAT_VIOLATION, text)
        payload = self._decode_payload(feature, False, payload, client_id)
        message_class = Send if message_type is _SEND else Call
        return message_class(message_id, feature.name, payload, None, signed_payload, signature)

    def _parse_result(
        self, fields: Sequence[Any], request_type: Type[Payload], dialect: Dialect, client_id: str
    ) -> CallResult:
        """Return the CALLRESULT of a frame whose head is valid. Raises `MessageError` and `ValidationError`."""
        if len(fields) != 3:
            text = f"a CALLRESULT has 3 elements, not {len(fields)}"
            raise build_frame_error(fields, ErrorCode.FORMAT_VIOLATION, text)
        _, message_id, payload = fields
        feature = self._features.of_request(request_type, dialect)
        signed_payload, signature = None, None
        if dialect.signed_messages and looks_signed(payload):
            signed_payload = payload
            payload, signature = open_payload(signed_payload, feature.name, _CALL_RESULT)
        payload = self._decode_payload(feature, True, payload, client_id)
        return CallResult(message_id, payload, None, signed_payload, signature)

    def _decode_payload(self, feature: Feature, is_response: bool, payload: Any, client_id: str) -> Payload:
        """Return the typed payload, checked as the mode says. Raises `ValidationError`."""
        if payload is None:
            payload = {}  # some peers write null for an empty payload
        payload_type = feature.response_type if is_response else feature.request_type
        if payload_type is None:
            raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", f"{feature.name} is never answered")
        validation = self._validation or process.validation
        mode = validation.mode(feature.name, True) if validation.actions else validation.incoming
        is_object = type(payload) is dict or isinstance(payload, dict)
        try:
            is_valid = is_object and (mode == "off" or get_quick_check(feature, is_response)(payload))
        except Exception:  # The quick check cannot handle some values. The full check decides.
            is_valid = False
        try:
            if not is_valid:
                check_payload(feature, is_response, payload)
            return payload_type.from_wire(payload)
        except ValidationError as error:
            if mode == "strict" or not is_object:
                raise
            if mode == "warn":
                self._log_invalid(client_id, "received", feature, is_response, error)
        return decode_leniently(payload_type, payload)

    def _log_invalid(
        self, client_id: str, verb: str, feature: Feature, is_response: bool, error: ValidationError
    ) -> None:
        """Log a payload that breaks its schema and is accepted."""
        who, kind = client_id or "endpoint", "response" if is_response else "request"
        text = "%s: %s an invalid %s of %s, and went on: at %r: %s"
        self.log.warning(text, who, verb, kind, feature.name, error.path[:255], error)
