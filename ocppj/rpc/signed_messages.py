"""Signed messages as an endpoint sees them: how they are opened, made and verified.

OCPP 2.x Part 4 chapter 7. A signed frame is turned into the normal frame inside it, and that is read as ever. So a
signed message is checked, handled and answered as the normal one is. What remains of its form is `Call.signature` and
`Call.signed_payload`.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple, Union

from ..errors import UnsupportedFeature, UsageError
from ..settings import LoggerLike
from .dialect import Dialect
from .messages import Call, CallResult, MessageType, SignatureResult
from .signing import Signer, Verifier, check_header, result_of, sign_payload, unwrap

__all__ = ["SignedMessages", "open_payload"]


def open_payload(signed_payload: Any, action: str, message_type: MessageType) -> Tuple[Any, Mapping[str, Any]]:
    """Return the payload inside ``signed_payload``, and the protected header. Nothing is verified.

    Args:
        signed_payload: The last element of a signed frame.
        action: The action of the normal message.
        message_type: The type of the message.

    Raises:
        ValidationError: It is no signed payload, or that of another action or type.
    """
    payload, header = unwrap(signed_payload)
    check_header(header, action, message_type)
    return payload, header


class SignedMessages:
    """Signs messages with ``signer``, and looks at signatures with ``verifier``. Each may be ``None``."""

    def __init__(self, signer: Optional[Signer], verifier: Optional[Verifier]) -> None:
        self.signer = signer
        self._verifier = verifier

    def sign(self, message: Union[Call, CallResult], action: str, dialect: Dialect) -> None:
        """Give ``message`` its signed form.

        Args:
            message: A message that was made here, with its payload as JSON values.
            action: The action of the message, or of the CALL that it answers.
            dialect: The version of the message.

        Raises:
            UnsupportedFeature: The version has no signed messages.
            UsageError: There is no signer, or it failed.
            EncodingError: The payload cannot be written.
        """
        if not dialect.signed_messages:
            raise UnsupportedFeature(f"OCPP {dialect.version} has no signed messages")
        if self.signer is None:
            raise UsageError("there is no signer: give signer=Signer(...)")
        assert message.wire_payload is not None
        message.signed_payload = sign_payload(self.signer, message.wire_payload, action, message.message_type_id)

    def check(self, message: Union[Call, CallResult], client_id: str, log: LoggerLike) -> Optional[SignatureResult]:
        """Return what the verifier says of the signature of ``message``, ``None`` if it is not signed.

        The message has the result from now on. What goes wrong is logged, and a signature that could not be verified.
        """
        if message.signature is not None and self._verifier is not None:
            assert message.signed_payload is not None
            try:
                message.signature = self._verifier.verify(message.signed_payload, client_id)
            except Exception:
                log.exception("%s: the verifier failed", client_id)
                message.signature = result_of(message.signature.header, None, "the verifier failed")
        return message.signature
