"""`Settings`: how a charging station is checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Sequence

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """How the station is checked.

    Attributes:
        wait: How long to wait for the station to connect, first and after each cut, in seconds.
        answer: How long to wait for an answer, or for a message that has to come, in seconds.
        brief: How long to wait for what may come, or not, in seconds.
        interval: The interval of boots and heartbeats while those are checked, in seconds.
        quiet: How long nothing may come where nothing may come, in seconds.
        connector: The connector (1.6) or EVSE (2.x) that is used.
        id_tag: The id token that is used.
        allowed: What the user allows: "allow-reset", "allow-changes".
        prompt: Asks the user to do something, and waits until it is done. ``None``: nobody is there.
        with_boot: Whether the first BootNotifications are answered Rejected and Pending, before Accepted.
    """

    wait: float = 60.0
    answer: float = 10.0
    brief: float = 2.0
    interval: int = 2
    quiet: float = 0.5
    connector: int = 1
    id_tag: str = "04A1B2C3"
    allowed: Sequence[str] = ()
    prompt: Optional[Callable[[str], object]] = None
    with_boot: bool = True
