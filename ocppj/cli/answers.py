"""`Answers`: what ``ocppj serve`` answers to its clients."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Optional

from ..payloads.model import Payload
from ..testing.defaults import DefaultAnswers

__all__ = ["Answers"]


class Answers:
    """A handler of all requests, with the default answers of `ocppj.testing`. Any thread may call it."""

    def __init__(self) -> None:
        self._defaults = DefaultAnswers()

    def __call__(self, client_id: str, request: Payload, message_id: str, action: str) -> Optional[Payload]:
        """Return the answer. Transactions of 1.6 have ids that go up from 1."""
        return self._defaults.respond(request, datetime.now(timezone.utc))
