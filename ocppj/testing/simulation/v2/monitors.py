"""`Monitor`: watches one variable (Part 2, N07 and N08)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

from ..scheduler import Handle
from ..settings import Setting

__all__ = ["PERIODIC", "THRESHOLDS", "Monitor", "is_number"]

THRESHOLDS = ("UpperThreshold", "LowerThreshold")
PERIODIC = ("Periodic", "PeriodicClockAligned")


def is_number(setting: Setting) -> bool:
    """Return whether a variable is of a numeric type."""
    return isinstance(setting.value, (int, float)) and not isinstance(setting.value, bool)


@dataclass(eq=False)
class Monitor:
    """One monitor. ``reference`` is the value of a Delta monitor when it was set, or has last told of a change.

    ``exceeded`` is whether a threshold is exceeded now. ``timer`` is that of a periodic monitor.
    """

    id: int
    setting: Setting
    type: str
    value: float
    severity: int
    transaction: bool
    reference: Any = None
    exceeded: bool = False
    timer: Optional[Handle] = None

    def __post_init__(self) -> None:
        self.reference = self.setting.value

    def look(self) -> Optional[bool]:
        """Look at the value, which has changed. Return ``True`` for an event, ``False`` when an alert is over.

        Rules: N07.FR.02 (over), FR.16 and FR.17 (a threshold is passed, not met), FR.18 and FR.19 (a change).
        """
        value = self.setting.value
        if self.type in THRESHOLDS:
            was = self.exceeded
            self.exceeded = value > self.value if self.type == "UpperThreshold" else value < self.value
            return None if was == self.exceeded else self.exceeded
        if self.type != "Delta":
            return None
        is_same = abs(value - self.reference) <= self.value if is_number(self.setting) else value == self.reference
        if is_same:
            return None
        self.reference = value
        return True
