"""`Door`: which handshakes are let in, and what they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Optional, Tuple, Union

from ...events import Condition
from ...ws.handshake.refusal import Refusal
from ...ws.handshake.request import HandshakeRequest

__all__ = ["Attempt", "Door"]

#: So many attempts are kept. A station that makes more has been seen well enough.
_MOST = 1000


@dataclass(frozen=True)
class Attempt:
    """A handshake of the station.

    Attributes:
        at: When it came, in seconds of the clock.
        request: What it asked for.
        refused: The HTTP status with which it was refused. ``None``: it was let in.
    """

    at: float
    request: HandshakeRequest
    refused: Optional[int] = None


class Door:
    """Lets one station in, and refuses it when a case wants that. Any thread may call it.

    Args:
        client_id: The identity of the station. ``None``: the first that comes.
        now: The seconds of the clock.
        on_refused: Called with the identity and a text for each handshake that was refused.
    """

    def __init__(
        self, client_id: Optional[str], now: Callable[[], float], on_refused: Callable[[str, str], object]
    ) -> None:
        self.client_id = client_id
        self._now = now
        self._on_refused = on_refused
        self.changed: Condition = Condition()  # guards the fields below, and tells of a new attempt
        self._attempts: List[Attempt] = []
        self._planned: List[Refusal] = []

    def check(self, request: HandshakeRequest) -> Union[bool, Refusal]:
        """Decide on a handshake. It is a handler as `Server.set_check_client_handler` takes it."""
        with self.changed:
            refusal = self._decide(request)
            self.changed.notify_all()
        if refusal is None:
            return True
        self._on_refused(request.identity, f"refused with {refusal.status}")
        return refusal

    def _decide(self, request: HandshakeRequest) -> Optional[Refusal]:
        if self.client_id is None:
            self.client_id = request.identity
        if request.identity != self.client_id:
            return Refusal(404, reason=f"{self.client_id} is checked here")
        refusal = self._planned.pop(0) if self._planned else None
        if len(self._attempts) < _MOST:
            self._attempts.append(Attempt(self._now(), request, None if refusal is None else refusal.status))
        return refusal

    def plan(self, status: int, times: int, retry_after: Optional[float] = None) -> None:
        """Refuse the next handshakes.

        Args:
            status: The HTTP status.
            times: How many handshakes.
            retry_after: Seconds for the field Retry-After.
        """
        with self.changed:
            self._planned += [Refusal(status, retry_after)] * times

    def open(self) -> None:
        """Refuse no more."""
        with self.changed:
            self._planned.clear()

    @property
    def attempts(self) -> Tuple[Attempt, ...]:
        """The handshakes of the station so far."""
        with self.changed:
            return tuple(self._attempts)
