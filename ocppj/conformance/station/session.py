"""`Session`: what cases have found out about the station, for the cases after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Set

__all__ = ["Session"]


@dataclass
class Session:
    """What is known of the station.

    Attributes:
        configuration: The keys of 1.6 with their entries. ``None``: not asked for yet.
        trial: The transaction that several cases judge, a `trial.Trial`. ``None``: none yet.
        why_no_trial: Why there can be no transaction. "": that is not known.
        excused: The ids of wrong CALLs of ours, as JSON: what answers them is no fault of the station.
    """

    configuration: Optional[Dict[str, Dict[str, Any]]] = None
    trial: Any = None
    why_no_trial: str = ""
    excused: Set[str] = field(default_factory=set)
