"""`Histogram`: how long things took, as counts of ranges of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

__all__ = ["BOUNDS", "Histogram"]

#: The upper ends of the ranges, in seconds. The last range has no end.
BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class Histogram:
    """How often something was done, and how long it took.

    Attributes:
        count: How often.
        sum: The seconds of all together.
        bounds: The upper ends of the ranges in seconds, each included. The last range has no end, and none here.
        buckets: How often the time lay in each range: ``len(bounds) + 1`` counts, together ``count``.
    """

    count: int = 0
    sum: float = 0.0
    bounds: Tuple[float, ...] = BOUNDS
    buckets: Tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
