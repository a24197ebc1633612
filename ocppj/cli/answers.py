"""`Answers`: what ``ocppj serve`` answers to its clients."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Optional

from ..errors import ErrorCode, OCPPError
from ..payloads.model import Payload
from ..recording.sides import CSMS, sender_of
from ..testing.defaults import DefaultAnswers

__all__ = ["Answers"]


class Answers:
    """A handler of all requests, with the default answers of `ocppj.testing`. Any thread may call it."""

    def __init__(self) -> None:
        self._defaults = DefaultAnswers()

    def __call__(self, client_id: str, request: Payload, message_id: str, action: str) -> Optional[Payload]:
        """Return the answer. Transactions of 1.6 have ids that go up from 1.

        Raises:
            OCPPError: Only central systems send this action, such as Reset.
        """
        if sender_of(action) == CSMS:
            raise OCPPError(ErrorCode.NOT_SUPPORTED, f"only a central system sends {action}")
        answer = self._defaults.respond(request, datetime.now(timezone.utc))
        if action == "DataTransfer" and answer is not None:  # it knows no vendor (1.6 4.3; 2.x Part 2 P01.FR.05)
            return type(answer).from_wire({"status": "UnknownVendorId"})
        return answer
