"""Which request an error is about."""

from __future__ import annotations

from datetime import datetime
from typing import Callable, Optional, TypeVar

from ..errors import CallFailed, OCPPError

E = TypeVar("E", bound=BaseException)

__all__ = ["described"]


def described(
    error: E, client_id: Optional[str], message_id: Optional[str], action: Optional[str], now: Callable[[], datetime]
) -> E:
    """Note in ``error`` which request it is about, and the time, as far as it does not say that. Return it."""
    if isinstance(error, (CallFailed, OCPPError)):
        error.client_id = error.client_id or client_id
        error.message_id = error.message_id or message_id
        error.action = error.action or action
        if isinstance(error, CallFailed) and error.time is None:
            error.time = now()
    return error
