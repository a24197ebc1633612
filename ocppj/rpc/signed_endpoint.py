"""`SignedEndpoint`: an `Endpoint` that understands and makes signed messages (OCPP 2.x Part 4 chapter 7). Pure, too.

A signed frame is turned into the normal frame inside it, and that is read as ever. So a signed message is checked,
handled and answered as the normal one is; what remains of its form is `Call.signature` and `Call.signed_payload`.
"""

from __future__ import annotations

from typing import Any, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from ..errors import MessageError, UnsupportedFeature, UsageError, ValidationError
from ..payloads.model import Payload
from .dialect import Dialect
from .endpoint import Endpoint, Pending, read_head
from .features import Profile
from .messages import SIGNED, Call, CallResult, Message, MessageType, Send, SignatureResult
from .signing import Signer, Verifier, check_header, looks_signed, result_of, sign_payload, unwrap

__all__ = ["SignedEndpoint"]


class SignedEndpoint(Endpoint):
    """An `Endpoint` with a ``signer`` for what it is asked to sign, and a ``verifier`` for what comes in signed.

    Neither is needed to understand signed messages. ``options`` are those of `Endpoint`.
    """

    def __init__(
        self,
        profiles: Iterable[Profile] = (),
        *,
        signer: Optional[Signer] = None,
        verifier: Optional[Verifier] = None,
        **options: Any,
    ) -> None:
        super().__init__(profiles, **options)
        self._signer = signer
        self._verifier = verifier

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
        """Return the CALL of ``request``, as `Endpoint.create_call` does; its signed form if ``signed``.

        Raises `UnsupportedFeature` when the version has no signed messages, and `UsageError` without a signer.
        """
        call = super().create_call(request, dialect, message_id, client_id)
        return self._signed_call(call, dialect) if signed else call

    def create_send(
        self, request: Payload, dialect: Optional[Dialect] = None, client_id: str = "", *, signed: bool = False
    ) -> Send:
        """Return the SEND of ``request``, as `Endpoint.create_send` does; its signed form if ``signed``."""
        message = super().create_send(request, dialect, client_id)
        return self._signed_call(message, dialect) if signed else message

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
        """Return the CALLRESULT of ``response``, as `Endpoint.create_call_result` does; its signed form if ``signed``.

        To sign it ``action`` must be given: it is part of what is signed.
        """
        result = super().create_call_result(response, message_id, dialect, action, client_id)
        if signed:
            if action is None:
                raise UsageError("a signed answer names its action")
            self._sign(result, action, dialect or self._default_dialect())
        return result

    def _signed_call(self, call: Any, dialect: Optional[Dialect]) -> Any:
        if dialect is None:  # the one that was taken for it
            dialect = next(each for each in self.dialects if (each, type(call.payload)) in self._by_request)
        self._sign(call, call.action, dialect)
        return call

    def _sign(self, message: Union[Call, CallResult], action: str, dialect: Dialect) -> None:
        if not dialect.signed_messages:
            raise UnsupportedFeature(f"OCPP {dialect.version} has no signed messages")
        if self._signer is None:
            raise UsageError("there is no signer: give signer=Signer(...)")
        assert message.wire_payload is not None
        message.signed_payload = sign_payload(self._signer, message.wire_payload, action, message.message_type_id)

    # Reading messages

    def parse_message(
        self, fields: Sequence[Any], pending: Pending, dialect: Optional[Dialect] = None, client_id: str = ""
    ) -> Optional[Message]:
        """Return what a frame means, as `Endpoint.parse_message` does, whether it is signed or not.

        A signed one has a ``signature``, which nobody has looked at yet: that is `check_signature`'s.
        """
        dialect = dialect or self._default_dialect()
        signed = self._unwrapped(fields, pending, dialect) if dialect.signed_messages else None
        if signed is None:
            return super().parse_message(fields, pending, dialect, client_id)
        plain, header = signed
        message = super().parse_message(plain, pending, dialect, client_id)
        if isinstance(message, (Call, CallResult)):
            message.signed_payload = fields[-1]
            message.signature = result_of(header, None, "there is no verifier")
        return message

    def check_signature(self, message: Union[Call, CallResult], client_id: str) -> Optional[SignatureResult]:
        """Have the verifier look at the signature of ``message``; return its result, ``None`` if it is not signed.

        Whatever goes wrong in there is logged, and a signature that could not be verified.
        """
        if message.signature is not None and self._verifier is not None:
            assert message.signed_payload is not None
            try:
                message.signature = self._verifier.verify(message.signed_payload, client_id)
            except Exception:
                self.log.exception("%s: the verifier failed", client_id)
                message.signature = result_of(message.signature.header, None, "the verifier failed")
        return message.signature

    def _unwrapped(
        self, fields: Sequence[Any], pending: Pending, dialect: Dialect
    ) -> Optional[Tuple[List[Any], Mapping[str, Any]]]:
        """Return the normal frame inside a signed one, and the protected header; ``None`` for any other frame.

        A frame with a fault outside the signed payload is left to `Endpoint.parse_message`, which says so.
        """
        message_type, message_id = read_head(fields, dialect)
        if message_type in (MessageType.CALL, MessageType.SEND) and len(fields) == 4:
            return self._unwrapped_call(fields, dialect)
        if message_type is MessageType.CALL_RESULT and len(fields) == 3 and looks_signed(fields[2]):
            request = pending.get(message_id)
            if request is not None:
                return self._unwrapped_result(fields, request, dialect)
        return None

    def _unwrapped_result(
        self, fields: Sequence[Any], request: Any, dialect: Dialect
    ) -> Optional[Tuple[List[Any], Mapping[str, Any]]]:
        try:
            feature = self._lookup(self._by_request, type(request), dialect)
        except UnsupportedFeature:  # it was sent in another version
            return None
        payload, header = _opened(fields, feature.name)
        return [*fields[:2], payload], header

    def _unwrapped_call(self, fields: Sequence[Any], dialect: Dialect) -> Optional[Tuple[List[Any], Mapping[str, Any]]]:
        action = fields[2]
        if not isinstance(action, str) or not action.endswith(SIGNED) or (dialect, action) in self._by_action:
            return None
        normal = action[: -len(SIGNED)]
        if (dialect, normal) not in self._by_action:
            # Refused for its action, whatever its payload. An action that does not exist is named as it came.
            return ([*fields[:2], normal, {}], {}) if normal in dialect.actions else None
        payload, header = _opened(fields, normal)
        return [*fields[:2], normal, payload], header


def _opened(fields: Sequence[Any], action: str) -> Tuple[Any, Mapping[str, Any]]:
    """Return the payload inside the last element of ``fields``, and the protected header. Raises `MessageError`."""
    message_type = MessageType(fields[0])
    try:
        payload, header = unwrap(fields[-1])
        check_header(header, action, message_type)
    except ValidationError as error:
        raise MessageError(
            error.code,
            error.description,
            message_id=fields[1],
            message_type=message_type,
            answerable=message_type is MessageType.CALL,
        ) from error
    return payload, header
