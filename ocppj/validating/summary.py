"""`Summary`: what a check of a log has found, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, List, Tuple
from typing import Counter as CounterOf

__all__ = ["ActionCount", "StationCount", "Summary"]


@dataclass
class ActionCount:
    """The frames of one action.

    Attributes:
        requests: CALLs and SENDs.
        results: CALLRESULTs.
        errors: CALLERRORs.
        bad: Frames that break rules.
        unanswered: CALLs without an answer.
    """

    requests: int = 0
    results: int = 0
    errors: int = 0
    bad: int = 0
    unanswered: int = 0


@dataclass
class StationCount:
    """The frames of one charging station.

    Attributes:
        version: The OCPP version in which they were checked.
        reason: How it was found out.
        frames: How many there are.
        bad: Those that break rules.
        unanswered: CALLs without an answer.
    """

    version: str = ""
    reason: str = ""
    frames: int = 0
    bad: int = 0
    unanswered: int = 0


@dataclass
class Summary:
    """What a check of a log has found.

    Attributes:
        frames: All frames.
        bad: Those that break rules.
        unpaired: Answers whose CALL is not in the log, because it begins later. Only their form was checked.
        unanswered: CALLs without an answer. Those that may be answered after the end of the log do not count.
        actions: By the action, and the side that sends its requests. "" stands for what is not known.
        stations: By the identity. "" stands for those that the log does not name.
        codes: How often a fault has an error code, or without one, what kind of fault it is.
    """

    frames: int = 0
    bad: int = 0
    unpaired: int = 0
    unanswered: int = 0
    actions: Dict[Tuple[str, str], ActionCount] = field(default_factory=dict)
    stations: Dict[str, StationCount] = field(default_factory=dict)
    codes: CounterOf[str] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.bad and not self.unanswered

    def to_json(self) -> Dict[str, Any]:
        """Return it as a JSON object."""
        actions: List[Dict[str, Any]] = [
            {"action": action, "from": sender, **vars(count)} for (action, sender), count in self.actions.items()
        ]
        stations = [{"client": client_id, **vars(count)} for client_id, count in self.stations.items()]
        totals = {name: getattr(self, name) for name in ("frames", "bad", "unpaired", "unanswered")}
        return {**totals, "codes": dict(self.codes), "actions": actions, "stations": stations}
