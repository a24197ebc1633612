"""`Boot`: the registration of a station at the CSMS, and its heartbeats.

1.6 edition 2 section 4.2; 2.x Part 2, B01 (Accepted), B02 (Pending), B03 (Rejected), G02 (Heartbeat).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Optional

from .common import Common
from .scheduler import Handle

__all__ = ["Boot"]


class Boot:
    """Whether the station is registered. All methods are to be called in jobs of the mailbox.

    Args:
        common: What all parts share.
        is_up: Tells whether there is a connection.
        on_accepted: Called when a boot was accepted.

    Attributes:
        retry_seconds: When the next BootNotification is sent, if the CSMS gives no interval, or no answer.
        status: The status that the CSMS has given: "Accepted", "Pending", "Rejected", or ``None`` before its answer.
    """

    def __init__(self, common: Common, is_up: Callable[[], bool], on_accepted: Callable[[], object]) -> None:
        self._common = common
        self._is_up = is_up
        self._on_accepted = on_accepted
        self.status: Optional[str] = None
        self.retry_seconds: float = 3.0
        self.reason: str = "PowerUp"  #: Why the station boots, in the words of 2.x.
        self._timer: Optional[Handle] = None  # of the next BootNotification, or Heartbeat
        self._not_before = 0.0  # seconds of the clock: the CSMS wants no BootNotification until then
        self._attempt: Optional[object] = None  # the BootNotification that is under way
        common.settings.watch("heartbeat_interval", self._restart_heartbeat)

    @property
    def accepted(self) -> bool:
        """Whether the CSMS has accepted the station since it was switched on."""
        return self.status == "Accepted"

    def begin(self, reason: str = "PowerUp") -> None:
        """Begin anew: the station was switched on, or has rebooted."""
        self.status, self.reason, self._not_before = None, reason, 0.0
        self._cancel_timer()

    def connection_made(self) -> None:
        """Ask for registration over a new connection; go on with the heartbeats of a station that is registered.

        The wait that the CSMS has asked for goes on (1.6 edition 2 section 4.2; Part 2 B02.FR.04, B03.FR.02).
        """
        left = self._not_before - self._common.timers.now()
        if self.accepted:
            self._restart_heartbeat()
        elif left > 0:
            self._later(left)
        else:
            self.ask()

    def connection_lost(self) -> None:
        """Wait for the next connection."""
        self._attempt = None
        self._cancel_timer()

    def ask(self, reason: Optional[str] = None) -> None:
        """Send a BootNotification now. Without a ``reason``: with that of the boot."""
        self._cancel_timer()
        if self._attempt is None:
            attempt = self._attempt = object()
            answered, failed = partial(self._answered, attempt), partial(self._failed, attempt)
            self._common.behaviour.boot(reason or self.reason, answered, failed)

    def _answered(self, attempt: object, response: Any) -> None:
        if attempt is not self._attempt:  # of a connection before
            return
        self._attempt, was_accepted = None, self.accepted
        self.status = getattr(response.status, "value", response.status)
        interval = response.interval
        if not self.accepted:
            wait = interval if interval > 0 else self.retry_seconds
            self._not_before = self._common.timers.now() + wait
            self._later(wait)
            return
        self._common.time.synchronize(response.current_time)
        if interval > 0:
            self._common.settings.put_named("heartbeat_interval", interval)
        if not was_accepted:
            self._on_accepted()
        self._restart_heartbeat()

    def _failed(self, attempt: object, error: Exception) -> None:
        if attempt is not self._attempt:
            return
        self._attempt = None
        if self.accepted:
            self._restart_heartbeat()
        elif self._is_up():
            self._later(self.retry_seconds)

    def _later(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self._common.timers.call_later(seconds, self.ask)

    def _restart_heartbeat(self) -> None:
        if not self.accepted:
            return
        self._cancel_timer()
        interval = self._common.settings.get("heartbeat_interval", 0)
        if interval > 0:
            self._timer = self._common.timers.call_later(interval, self._beat)

    def _beat(self) -> None:
        self._common.behaviour.heartbeat()
        self._restart_heartbeat()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
