"""`Session`: what cases have found out about the station, for the cases after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from ...testing.seen import Seen

__all__ = ["Session", "Trial"]


@dataclass
class Trial:
    """One transaction that was begun and ended from here.

    Attributes:
        why_not: Why there was none. "": there was one.
        entries: All that was seen of it, from the command that began it on.
        transaction_id: Its id.
        stop_answer: The answer to the command that ended it.
    """

    why_not: str = ""
    entries: List[Seen] = field(default_factory=list)
    transaction_id: Any = None
    start_answer: Optional[Seen] = None
    stop_answer: Optional[Seen] = None


@dataclass
class Session:
    """What is known of the station.

    Attributes:
        configuration: The keys of 1.6 with their entries. ``None``: not asked for yet.
        trial: The transaction that several cases judge. ``None``: none yet.
        values: What else cases keep for each other.
    """

    configuration: Optional[Dict[str, Dict[str, Any]]] = None
    trial: Optional[Trial] = None
    values: Dict[str, Any] = field(default_factory=dict)
