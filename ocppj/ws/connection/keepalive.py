"""When to ping, and when to give a silent or idle peer up. Pure: the time is an argument."""

from __future__ import annotations

from enum import Enum
from typing import Optional

from ...errors import TransportError
from ...option_checks import check_option
from ..stream.waiting import earliest

__all__ = ["KeepAlive", "PeerSilent", "Verdict"]


class Verdict(Enum):
    """What is due: see `KeepAlive.judge`."""

    NOTHING = "nothing"
    PING = "ping"
    DEAD = "dead"
    IDLE = "idle"


class PeerSilent(TransportError):
    """The peer was given up. ``limit`` is the limit that it passed: "ping_timeout" or "idle_timeout"."""

    def __init__(self, description: str, limit: str) -> None:
        super().__init__(description)
        self.limit = limit


def _checked(interval: Optional[float]) -> Optional[float]:
    """Return ``interval``, with 0 as ``None``. Raises `UsageError` if it is negative or no number."""
    check_option("Channel", "ping_interval", interval)
    return interval or None


class KeepAlive:
    """The pings and the idleness of one connection.

    A ping is due every ``interval`` seconds (``None`` or 0: never). Whatever comes from the peer within
    ``pong_timeout`` seconds after a ping counts as life. If nothing comes for ``idle_timeout`` seconds, the peer is
    idle. ``due`` does not move with each message, so a scheduler has little to do: `judge` puts it off. Any thread may
    read ``due`` and set ``interval``. The rest is for the reading thread.
    """

    __slots__ = (
        "_idle_timeout", "_interval", "_last_ping", "_look_at", "_pong_timeout", "due", "heard_at", "silent_since",
    )  # fmt: skip

    def __init__(
        self, interval: Optional[float], pong_timeout: float, now: float, idle_timeout: Optional[float] = None
    ) -> None:
        self._idle_timeout = idle_timeout
        #: When something last came from the peer. While ``silent_since`` is ``None``, to set this is to call `heard`.
        self.heard_at: float = now
        self._look_at = None if idle_timeout is None else now + idle_timeout  # when to ask whether the peer is idle
        self._interval = _checked(interval)
        self._pong_timeout = pong_timeout
        self._last_ping = now
        #: When the first ping was sent after which nothing has come; ``None``: something has come since.
        self.silent_since: Optional[float] = None
        self.due: Optional[float] = None  #: When `judge` must be called next; ``None``: never.
        self._set_due()

    @property
    def interval(self) -> Optional[float]:
        """Seconds between pings, ``None`` for no pings. Takes effect at the connection's next step."""
        return self._interval

    @interval.setter
    def interval(self, interval: Optional[float]) -> None:
        self._interval = _checked(interval)
        if self._interval is None:
            self.silent_since = None
        self._set_due()

    def pinged(self, now: float) -> None:
        """Note a ping that `judge` has not asked for: the next is due ``interval`` seconds after it."""
        self._last_ping = now
        self._set_due()

    def heard(self, now: float) -> None:
        self.heard_at = now
        if self.silent_since is not None:
            self.silent_since = None
            self._set_due()

    def judge(self, now: float) -> Verdict:
        verdict = self._judge(now)
        self._set_due()
        return verdict

    def _set_due(self) -> None:
        while True:
            interval, silent_since = self._interval, self.silent_since
            due = self._look_at
            if interval is not None:
                due = earliest(due, self._last_ping + interval)
                if silent_since is not None:
                    due = earliest(due, silent_since + self._pong_timeout)
            self.due = due
            if self._interval is interval:  # else another thread has set it, and we may have overwritten its ``due``
                return

    def _judge(self, now: float) -> Verdict:
        interval, silent_since = self._interval, self.silent_since
        if self._idle_timeout is not None and self._look_at is not None and now >= self._look_at:
            self._look_at = self.heard_at + self._idle_timeout
            if now >= self._look_at:
                return Verdict.IDLE
        if interval is None:
            return Verdict.NOTHING
        if silent_since is not None and now >= silent_since + self._pong_timeout:
            return Verdict.DEAD
        if now < self._last_ping + interval:
            return Verdict.NOTHING
        self._last_ping = now
        if silent_since is None:
            self.silent_since = now
        return Verdict.PING
