"""What was measured: `Reading` and `Sample`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Optional, Sequence

__all__ = ["Reading", "Sample"]


@dataclass(frozen=True)
class Sample:
    """One measured value. ``measurand``, ``unit``, ``phase`` and ``location`` are in the words of OCPP."""

    measurand: str
    value: float
    unit: str
    phase: Optional[str] = None
    location: str = "Outlet"


@dataclass(frozen=True)
class Reading:
    """Samples of one moment. ``context`` is a ReadingContext, such as "Sample.Periodic"; ``at`` is simulated time."""

    at: datetime
    context: str
    samples: Sequence[Sample]
