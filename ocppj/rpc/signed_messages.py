"""The signed messages of an endpoint (OCPP 2.x Part 4 chapter 7).

A signed frame contains a normal frame. It is opened first, and then checked, handled and answered as the normal one.
`Call.signature` and `Call.signed_payload` keep what is left of the signed form.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple, Union

from ..errors import UnsupportedFeature, UsageError
from ..settings import LoggerLike
from .dialect import Dialect
from .messages import Call, CallResult, MessageType, SignatureResult
from .signing import Signer, Verifier, check_header, result_of, sign_payload, unwrap

__all__ = ["SignedMessages", "open_payload"]


def open_payload(signed_payload: Any, action: str, message_type: MessageType) -> Tuple[Any, SignatureResult]:
    """Return the payload inside ``signed_payload``, and its signature, which is not verified yet.

    Args:
        signed_payload: The last element of a signed frame.
        action: The action of the normal message.
        message_type: The type of the message.

    Raises:
        ValidationError: It is no signed payload, or its header names another action or type.
    """
    payload, header = unwrap(signed_payload)
    check_header(header, action, message_type)
    return payload, result_of(header, None, "there is no verifier")


class SignedMessages:
    """Signs messages and verifies signatures. ``signer`` and ``verifier`` may each be ``None``."""

    def __init__(self, signer: Optional[Signer], verifier: Optional[Verifier]) -> None:
        self.signer = signer
        self._verifier = verifier

    def sign(self, message: Union[Call, CallResult], action: str, dialect: Dialect) -> None:
        """Set the signed payload of ``message``.

        Args:
            message: A message with a ``wire_payload``.
            action: The action of the message, or of the CALL that it answers.
            dialect: The version of the message.

        Raises:
            UnsupportedFeature: The version has no signed messages.
            UsageError: There is no signer, or it failed.
            EncodingError: A value in the payload has no JSON form.
        """
        if not dialect.signed_messages:
            raise UnsupportedFeature(f"OCPP {dialect.version} has no signed messages")
        if self.signer is None:
            raise UsageError("there is no signer: give signer=Signer(...)")
        assert message.wire_payload is not None
        message.signed_payload = sign_payload(self.signer, message.wire_payload, action, message.message_type_id)

    def check(self, message: Union[Call, CallResult], client_id: str, log: LoggerLike) -> Optional[SignatureResult]:
        """Verify the signature of ``message``, store the result there, and return it; ``None`` if it is not signed.

        If the verifier fails, this is logged, and the result says that the signature was not verified.
        """
        if message.signature is not None and self._verifier is not None:
            assert message.signed_payload is not None
            try:
                message.signature = self._verifier.verify(message.signed_payload, client_id)
            except Exception:
                log.exception("%s: the verifier failed", client_id)
                message.signature = result_of(message.signature.header, None, "the verifier failed")
        return message.signature
