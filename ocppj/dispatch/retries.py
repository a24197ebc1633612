"""Which requests are sent again, how often, and after how long. Pure.

Transaction-related messages are sent again, because money depends on them (OCPP 1.6 edition 2 section 3.7; OCPP 2.x
Part 2, use case E13): after a CALLERROR, and when no answer came in time. The other transaction-related messages wait
behind the failed one, in order. All other messages overtake it. Lost connections are counted apart, for every request:
one that makes the peer crash must not be sent for ever, and one whose answer is awaited anew must end on a bad link.
"""

from __future__ import annotations

from typing import Optional

from ..option_checks import check_options
from ..rpc.messages import Call

__all__ = ["ConsecutiveFailures", "TransactionRetries", "is_transaction_related", "loss_limit"]

_ALWAYS = ("StartTransaction", "StopTransaction", "TransactionEvent")


class TransactionRetries:
    """How often transaction-related requests are tried. One object may serve any number of clients.

    Both attributes may be changed at any time. A change counts from the next failure on.

    Args:
        message_attempts: How often a request is sent at most (TransactionMessageAttempts; in 2.x MessageAttempts).
        message_attempt_interval: Seconds to wait after the first failure, twice that after the second, and so on
            (TransactionMessageRetryInterval; in 2.x MessageAttemptInterval).

    Raises:
        UsageError: for values that are not valid.
    """

    def __init__(self, message_attempts: int = 3, message_attempt_interval: float = 60.0) -> None:
        check_options("TransactionRetries", locals())
        self.message_attempts = message_attempts
        self.message_attempt_interval = message_attempt_interval

    def concerns(self, call: Call) -> bool:
        """Tell whether ``call`` is transaction-related."""
        return is_transaction_related(call)

    def wait(self, failures: int) -> Optional[float]:
        """Return the seconds to wait after that many ``failures``. ``None`` means: give the request up."""
        return None if failures >= self.message_attempts else failures * self.message_attempt_interval


def is_transaction_related(call: Call) -> bool:
    """Tell whether ``call`` is a message about a transaction; these stay in order."""
    if call.action == "MeterValues":  # in 1.6; in 2.x they are never part of a transaction
        return getattr(call.payload, "transaction_id", None) is not None
    return call.action in _ALWAYS


def loss_limit(max_losses: Optional[int], default: int) -> int:
    """Return ``max_losses``, or ``default`` for ``None``."""
    return default if max_losses is None else max_losses


class ConsecutiveFailures:
    """How often in a row the same request failed in the same way: at most ``limit`` times; 0 means no limit."""

    __slots__ = ("count", "limit", "message_id")

    def __init__(self, limit: int = 0) -> None:
        self.message_id: str = ""
        self.count: int = 0
        self.limit: int = limit

    def add(self, message_id: str) -> int:
        """Count one more failure of that request, from 1 if another failed before. Return the count."""
        self.count = self.count + 1 if message_id == self.message_id else 1
        self.message_id = message_id
        return self.count

    def limit_reached(self) -> bool:
        return 0 < self.limit <= self.count

    def reset(self) -> None:
        self.message_id, self.count = "", 0
