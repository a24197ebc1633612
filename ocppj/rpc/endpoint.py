"""`Endpoint`: creates and parses messages. It has no threads, no sockets and no clock."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Protocol, Sequence, Type, Union

from ..errors import EncodingError, ErrorCode, MessageError, UnsupportedFeature, UsageError, ValidationError
from ..interrupted import calls_program
from ..log_limit import LimitedLog, SafeLog
from ..option_checks import check_option, check_options
from ..payloads.lenient import Unreadable, decode_later, decode_leniently
from ..payloads.model import Payload, encode_payload
from ..settings import LoggerLike, Validation, ValidationChoice, ValidationSetting, get_part_logger, process
from .dialect import V16, Dialect, is_error_code_valid
from .feature_registry import FeatureRegistry
from .features import Feature, Profile
from .forgiving import DESCRIPTIONS
from .frames import build_action_error, build_frame_error, get_type_name, parse_error, parse_head
from .messages import SIGNED, Call, CallError, CallResult, Message, MessageType, Send, SignatureResult, create_uuid
from .peer_warnings import PeerWarnings
from .per_peer import PerPeer
from .signing import Signer, Verifier, looks_signed, open_payload, result_of, sign_payload
from .validation import QuickChecks, check_payload, forgive_and_check

__all__ = ["DigitsChoice", "Endpoint", "Pending"]

_CALL, _SEND = MessageType.CALL, MessageType.SEND
_CALL_RESULT, _CALL_RESULT_ERROR = MessageType.CALL_RESULT, MessageType.CALL_RESULT_ERROR


#: What ``datetime_digits`` of an endpoint takes: a number, or a function of a peer's id that returns one.
DigitsChoice = Union[int, Callable[[str], int]]


_NOT_PENDING = "%s: ignored an answer to %r, which is not pending"


class Pending(Protocol):
    """The pending requests, as `Endpoint.parse_message` needs them."""

    def get(self, message_id: str) -> Optional[Any]: ...


class Endpoint:
    """The profiles of a client or a server, and the messages that they allow.

    Any thread may create and parse messages. Add profiles before that.

    Args:
        profiles: The profiles, such as ``v16.PROFILES``.
        validate: A `Validation`, a mode ("standard", "strict", "warn", "off"), or ``True`` (strict) or ``False`` (off).
            ``None``: as the process does (`set_message_validation`). Or a function ``f(client_id)`` that returns one of
            these for that peer: it is called once for each connection, on the thread that makes or reads its first
            message, and must not block. If it raises, this is logged, and the connection is ``"strict"``.
        message_id_generator: Returns the id of a new message, on the thread that creates the message. ``None``: that
            of the process (`set_message_id_generator`).
        logger: For the lines of this endpoint and all below it. ``None``: that of the process (`set_logger`).
        signer: Signs messages. Without it signed messages are still received.
        verifier: Verifies signatures. Without it they are not verified.
        datetime_digits: How many fractional digits the date-times have that are sent: 0, 3 or 6. Some charge points
            refuse date-times without a fraction, and others those with one. OCPP 2.x allows no more than 3 (Part 2
            section 3.1): there 6 means 3. Or a function ``f(client_id)`` that returns the number for that peer; it is
            called as that of ``validate``. If it raises, this is logged, and the number is 3.

    Raises:
        DuplicateFeature: Two profiles have the same name, action or request type in the same OCPP version.
        UsageError: An argument is not valid.
    """

    #: Which child of "ocppj" its lines go to: see `get_part_logger`.
    _log_part = ""

    def __init__(
        self,
        profiles: Iterable[Profile] = (),
        *,
        validate: Optional[ValidationChoice] = None,
        message_id_generator: Optional[Callable[[], str]] = None,
        logger: Optional[LoggerLike] = None,
        signer: Optional[Signer] = None,
        verifier: Optional[Verifier] = None,
        datetime_digits: DigitsChoice = 3,
    ) -> None:
        check_options("Endpoint", locals())
        self._features = FeatureRegistry(profiles)
        self._quick_checks = QuickChecks()
        self._message_id_generator = message_id_generator
        self._logger = logger
        #: For log lines of this library.
        self.safe_log: SafeLog = SafeLog(lambda: self.log)
        self._validation: Optional[Validation] = None
        self._validation_by_peer: Optional[PerPeer[Validation]] = None
        self.set_message_validation(validate)
        self._digits = 3
        self._digits_by_peer: Optional[PerPeer[int]] = None
        self._set_digits(datetime_digits)
        #: For log lines that a peer can cause.
        self.peer_log: LimitedLog = LimitedLog(lambda: self.log)
        self.peer_warnings: PeerWarnings = PeerWarnings(lambda: self.safe_log)
        self._signer = signer
        self._verifier = verifier

    @property
    def log(self) -> LoggerLike:
        """The logger of the endpoint, or else of the process: by default ``ocppj.server`` or ``ocppj.client``."""
        return self._logger if self._logger is not None else get_part_logger(self._log_part)

    def set_message_validation(self, setting: Optional[ValidationChoice]) -> None:
        """Set how the payloads of this endpoint are checked, from the next message on.

        Args:
            setting: As ``validate`` of the constructor.

        Raises:
            UsageError: There is no such mode.
        """
        if setting is None or isinstance(setting, (Validation, str, bool, type)) or not callable(setting):
            fixed = None if setting is None else Validation.of(setting)  # type: ignore[arg-type]  # it refuses others
            self._validation, self._validation_by_peer = fixed, None
        else:
            strict = Validation("strict", "strict")
            self._validation_by_peer = PerPeer("validate", setting, _check_choice, strict, lambda: self.safe_log)

    def validation_for(self, client_id: str = "") -> Validation:
        """Return how the payloads from and to that peer are checked. Without a peer: as the process does."""
        by_peer = self._validation_by_peer
        if by_peer is not None and client_id:
            return by_peer.get(client_id)
        return self._validation or process.validation

    def _set_digits(self, setting: DigitsChoice) -> None:
        if callable(setting):
            self._digits_by_peer = PerPeer("datetime_digits", setting, _check_digits, 3, lambda: self.safe_log)
            return
        self._digits = setting
        if setting == 6 and self.dialects and V16 not in self.dialects:
            raise UsageError("OCPP 2.x allows at most 3 fractional digits in a date-time (Part 2 section 3.1)")

    @property
    def _is_alike_for_all(self) -> bool:
        """Whether a request is checked and encoded in the same way for each peer of a version."""
        return self._validation_by_peer is None and self._digits_by_peer is None

    def _forget_peer(self, client_id: str) -> None:
        """Ask the functions among the settings again: that peer has connected anew."""
        for choices in (self._validation_by_peer, self._digits_by_peer):
            if choices is not None:
                choices.forget(client_id)

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
        payload = self._encode_payload(feature, False, request, client_id, dialect)
        call = Call(message_id or self._create_id(), feature.name, request, payload)
        if signed:
            self._sign(call, feature.name, dialect or self._features.dialect_of(type(request)))
        return call

    def create_request(self, action: str, payload: Mapping[str, Any], dialect: Optional[Dialect] = None) -> Any:
        """Return the typed request of a JSON object, checked strictly whatever the mode.

        Args:
            action: The action of the request, such as "Reset".
            payload: The JSON object.
            dialect: ``None``: that of the first profile.

        Raises:
            UnsupportedFeature: No profile has the action.
            ValidationError: The payload breaks its schema, or has a property that the request does not have. ``path``
                says where.
        """
        feature = self._features.of_action(action, dialect or self._features.default_dialect())
        data = dict(payload) if isinstance(payload, Mapping) else payload
        check_payload(feature, False, data)
        request = feature.request_type.from_wire(data)
        # A schema of the program's own may let properties through that the type does not have, or there is none.
        lost = _find_lost(data, request.to_wire())
        if lost is not None:
            text = f"{lost}: {feature.request_type.__name__} has no such property"
            raise ValidationError(ErrorCode.FORMAT_VIOLATION, lost, text)
        return request

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
        payload = self._encode_payload(feature, False, request, client_id, dialect)
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
        feature = self._features.by_action.get((dialect, action))  # the usual case
        if feature is None or type(response) is not feature.response_type:
            feature = self._features.of_response(type(response), dialect, action)
        result = CallResult(message_id, response, self._encode_payload(feature, True, response, client_id, dialect))
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

    @calls_program
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

    def _encode_payload(
        self, feature: Feature, is_response: bool, payload: Payload, client_id: str, dialect: Optional[Dialect]
    ) -> Dict[str, Any]:
        """Return ``payload`` as a JSON object, checked as the mode says."""
        try:
            if self._digits == 3 and self._digits_by_peer is None:
                data = payload.to_wire()
            else:
                data = self._encode_with_digits(feature, payload, client_id, dialect)
        except RecursionError:
            raise EncodingError(f"{type(payload).__name__} contains itself") from None
        validation = self._validation or process.validation
        if self._validation_by_peer is not None:
            validation = self.validation_for(client_id)
        mode = validation.mode(feature.name, False) if validation.actions else validation.outgoing
        # What is sent is checked strictly in the mode "standard", too.
        is_strict = mode == "standard" or mode == "strict"
        refusal: object = None
        try:
            refusal = mode == "off" or self._quick_checks[feature, is_response, is_strict](data)
            if refusal:
                return data
        except Exception:  # The quick check cannot handle some values. The full check decides.
            pass
        try:
            check_payload(feature, is_response, data, is_strict, was_tried=True, refusal=refusal)
        except ValidationError as error:
            if is_strict:
                raise
            self._log_invalid(client_id, "sent", feature, is_response, error)
        return data

    def _encode_with_digits(
        self, feature: Feature, payload: Payload, client_id: str, dialect: Optional[Dialect]
    ) -> Dict[str, Any]:
        """Return ``payload`` as a JSON object, with the fractional digits that the peer is to get."""
        by_peer = self._digits_by_peer
        digits = by_peer.get(client_id) if by_peer is not None and client_id else self._digits
        if digits == 6 and self._features.by_action.get((V16, feature.name)) is not feature:
            digits = 3  # 2.x allows no more: Part 2 section 3.1
        return encode_payload(payload, digits)

    # Parsing messages

    def parse_message(
        self,
        fields: Sequence[Any],
        pending: Pending,
        dialect: Optional[Dialect] = None,
        client_id: str = "",
        *,
        again: bool = False,
    ) -> Optional[Message]:
        """Return the message of a frame, with a typed payload (OCPP-J 1.6 and OCPP 2.x Part 4, both section 4.2).

        A signed message is returned as the normal message inside it. `check_signature` verifies its signature.

        Args:
            fields: The elements of the frame, from `parse_json_message`.
            pending: The pending requests, by which an answer gets its type. They are only read.
            dialect: ``None``: that of the first profile.
            client_id: The peer, for the log.
            again: Whether the frame was parsed before: what is accepted all the same is not logged again.

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
                call = Call(message_id, action, payload, payload)
        except Exception:  # Any other frame, valid or not. It is parsed below, from the head on.
            pass
        try:
            if call is not None:
                call.payload = self._decode_payload(feature, False, payload, client_id, again)
                return call
            message_type, message_id = parse_head(fields, dialect)
            if message_type is _CALL or message_type is _SEND:
                return self._parse_request(fields, message_type, dialect, client_id, again)
            if message_type is _CALL_RESULT_ERROR:  # It is about a response of this side: no request is pending.
                return parse_error(fields, message_type)
            request = pending.get(message_id)
            if request is None:
                about = {"client_id": client_id or None, "message_id": message_id}
                self.peer_log.warning(_NOT_PENDING, client_id or "endpoint", message_id, **about)
                return None
            if message_type is _CALL_RESULT:
                return self._parse_result(fields, type(request), dialect, client_id)
            return parse_error(fields, message_type)
        except MessageError:
            raise
        except ValidationError as error:
            raise build_frame_error(fields, error.code, error.description) from error
        except Exception as error:  # A schema or a type of the program is faulty.
            about = {"client_id": client_id or None, "message_id": message_id}
            self.peer_log.exception("%s: message %r cannot be read", client_id or "endpoint", message_id, **about)
            raise build_frame_error(fields, ErrorCode.INTERNAL_ERROR, "the message could not be read") from error

    @calls_program
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
                self.peer_log.exception("%s: the verifier failed", client_id)
                message.signature = result_of(message.signature.header, None, "the verifier failed")
        return message.signature

    def _parse_request(
        self, fields: Sequence[Any], message_type: MessageType, dialect: Dialect, client_id: str, again: bool
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
        typed = self._decode_payload(feature, False, payload, client_id, again)
        message_class = Send if message_type is _SEND else Call
        return message_class(message_id, feature.name, typed, payload, signed_payload, signature)

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
        try:
            response = self._decode_payload(feature, True, payload, client_id)
        except ValidationError as error:
            raise self._build_answer_error(fields, feature, payload, error) from error
        return CallResult(message_id, response, None, signed_payload, signature)

    def _build_answer_error(
        self, fields: Sequence[Any], feature: Feature, payload: Any, error: ValidationError
    ) -> MessageError:
        """Return the error for a response that breaks its schema. It has the response, as far as that can be read."""
        failure = build_frame_error(fields, error.code, error.description)
        failure.payload = payload
        if isinstance(payload, dict) and feature.response_type is not None:
            failure.response = decode_later(feature.response_type, payload)
        return failure

    def _decode_payload(
        self, feature: Feature, is_response: bool, payload: Any, client_id: str, again: bool = False
    ) -> Payload:
        """Return the typed payload, checked as the mode says. Raises `ValidationError`."""
        if payload is None:
            payload = {}  # some peers write null for an empty payload
        payload_type = feature.response_type if is_response else feature.request_type
        if payload_type is None:
            raise ValidationError(ErrorCode.FORMAT_VIOLATION, "", f"{feature.name} is never answered")
        validation = self._validation or process.validation
        if self._validation_by_peer is not None:
            validation = self.validation_for(client_id)
        mode = validation.mode(feature.name, True) if validation.actions else validation.incoming
        is_object = type(payload) is dict or isinstance(payload, dict)
        if mode == "off" and is_object:
            return self._decode_leniently(payload_type, payload, client_id, again)
        is_strict = mode == "strict"
        try:
            is_valid = is_object and self._quick_checks[feature, is_response, is_strict](payload)
        except Exception:  # The quick check cannot handle some values. The full check decides.
            is_valid = False
        try:
            if not is_valid and mode == "standard" and is_object:
                payload = self._forgive(feature, is_response, payload, client_id, is_valid)
            elif not is_valid:
                check_payload(feature, is_response, payload, is_strict, was_tried=True, refusal=is_valid)
            return payload_type.from_wire(payload)
        except ValidationError as error:
            if mode != "warn" or not is_object:
                raise
            if not again:
                self._log_invalid(client_id, "received", feature, is_response, error)
        return self._decode_leniently(payload_type, payload, client_id, again)

    def _forgive(
        self, feature: Feature, is_response: bool, payload: Dict[str, Any], client_id: str, refusal: object
    ) -> Dict[str, Any]:
        """Return ``payload`` without the faults that are forgiven. Each kind is logged once for each peer.

        Raises `ValidationError` if it has others. Then nothing is told.
        """
        mended, found = forgive_and_check(feature, is_response, payload, refusal)
        for kind, (path, value) in found.items():
            text = "%s: %s was read in the %s of %s: %.40r at %.255s; there may be more, which are not logged"
            about = (DESCRIPTIONS[kind], "response" if is_response else "request", feature.name, value, path)
            self.peer_warnings.warn(client_id, kind, text, client_id or "endpoint", *about)
        return mended

    def _decode_leniently(
        self, payload_type: Type[Payload], payload: Dict[str, Any], client_id: str, again: bool
    ) -> Payload:
        unreadable: List[Unreadable] = []
        message = decode_leniently(payload_type, payload, unreadable)
        if unreadable and not again:  # one line: a peer may send very many
            place, value = unreadable[0]
            text = "%s: the date-time %s cannot be read: it is None, and extra has %.40r%s"
            more = f"; {len(unreadable) - 1} more cannot be read either" if unreadable[1:] else ""
            self.peer_log.warning(text, client_id or "endpoint", place, value, more, client_id=client_id or None)
        return message

    def _log_invalid(
        self, client_id: str, verb: str, feature: Feature, is_response: bool, error: ValidationError
    ) -> None:
        """Log a payload that breaks its schema and is accepted."""
        who, kind = client_id or "endpoint", "response" if is_response else "request"
        text = "%s: %s an invalid %s of %s, and went on: at %r: %s"
        about = {"client_id": client_id or None, "action": feature.name}
        self.peer_log.warning(text, who, verb, kind, feature.name, error.path[:255], error, **about)


def _check_choice(setting: Optional[ValidationSetting]) -> Validation:
    """Return what a function of a peer's id has chosen. ``None``: as the process does."""
    return process.validation if setting is None else Validation.of(setting)


def _check_digits(digits: Any) -> int:
    check_option("PerPeer", "datetime_digits", digits)
    return int(digits)


def _find_lost(data: Any, written: Any, path: str = "") -> Optional[str]:
    """Return the path of the first property of ``data``, ``null`` aside, that is not in ``written``, or ``None``."""
    if isinstance(data, Mapping) and isinstance(written, Mapping):
        for name, value in data.items():
            place = f"{path}.{name}" if path else str(name)
            if value is not None and name not in written:
                return place
            lost = _find_lost(value, written.get(name), place)
            if lost is not None:
                return lost
    elif isinstance(data, (list, tuple)) and isinstance(written, (list, tuple)):
        for number, (item, other) in enumerate(zip(data, written)):
            lost = _find_lost(item, other, f"{path}[{number}]")
            if lost is not None:
                return lost
    return None
