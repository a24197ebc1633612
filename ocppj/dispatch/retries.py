"""Which requests are sent again, how often, and after how long. Pure.

Transaction-related messages are: money hangs on them (OCPP 1.6 edition 2 section 3.7; OCPP 2.x Part 2, use case E13).
They are sent again after a CALLERROR, and when no answer came in time, after an interval that grows with each failure;
until then the other transaction-related messages wait behind the one that failed, in order, and all others overtake it.
What a lost connection cuts short is no failure to process, and does not count as one.

Lost connections have a count of their own, for every request: one at whose receipt the peer closes or crashes would
else be sent again on each connection, for ever, and one whose answer is awaited anew would never end on a link that
stays up for less than the timeout (`max_losses` of `Client` and `Server`).
"""

from __future__ import annotations

from typing import Optional

from ..errors import UsageError
from ..rpc.messages import Call

__all__ = ["Streak", "TransactionRetries", "loss_limit"]

_ALWAYS = ("StartTransaction", "StopTransaction", "TransactionEvent")


class TransactionRetries:
    """How often transaction-related requests are tried. One may serve any number of clients.

    ``message_attempts`` is how many times a request is sent before it is given up (TransactionMessageAttempts in OCPP
    1.6, MessageAttempts in 2.x). ``message_attempt_interval`` is how many seconds to wait after the first failure,
    twice that after the second, and so on (TransactionMessageRetryInterval, MessageAttemptInterval). Both may be
    changed at any time, and count from the next failure on. Raises `UsageError` for values that cannot be.
    """

    def __init__(self, message_attempts: int = 3, message_attempt_interval: float = 60.0) -> None:
        if isinstance(message_attempts, bool) or not isinstance(message_attempts, int) or message_attempts < 1:
            raise UsageError(f"message_attempts is a whole number, at least 1, not {message_attempts!r}")
        if not isinstance(message_attempt_interval, (int, float)) or not 0 <= message_attempt_interval < float("inf"):
            raise UsageError(f"message_attempt_interval is a number of seconds, not {message_attempt_interval!r}")
        self.message_attempts = message_attempts
        self.message_attempt_interval = message_attempt_interval

    def concerns(self, call: Call) -> bool:
        """Tell whether ``call`` is transaction-related."""
        if call.action == "MeterValues":  # in 1.6; in 2.x they are never part of a transaction
            return getattr(call.payload, "transaction_id", None) is not None
        return call.action in _ALWAYS

    def wait(self, failures: int) -> Optional[float]:
        """Return the seconds to wait after so many ``failures``, or ``None``: give the request up."""
        return None if failures >= self.message_attempts else failures * self.message_attempt_interval


def loss_limit(max_losses: Optional[int], default: int) -> int:
    """Return ``max_losses``, or ``default`` in place of ``None``. Raises `UsageError` for what is no such number."""
    if max_losses is None:
        return default
    if isinstance(max_losses, bool) or not isinstance(max_losses, int) or max_losses < 0:
        raise UsageError(f"max_losses is a whole number, 0 for no limit, or None, not {max_losses!r}")
    return max_losses


class Streak:
    """How often in a row the same thing befell the same request. Not thread-safe: the lane's lock guards it.

    ``limit`` is how often it may; 0 means always.
    """

    __slots__ = ("count", "limit", "message_id")

    def __init__(self, limit: int = 0) -> None:
        self.message_id = ""
        self.count = 0
        self.limit = limit

    def add(self, message_id: str) -> int:
        """Count once more for that request, from the start when it was another before; return how often it was."""
        self.count = self.count + 1 if message_id == self.message_id else 1
        self.message_id = message_id
        return self.count

    def is_over(self) -> bool:
        """Tell whether the limit is reached."""
        return 0 < self.limit <= self.count

    def clear(self) -> None:
        """Begin anew."""
        self.message_id, self.count = "", 0
