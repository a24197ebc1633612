"""Replay: plays one side of a recording against a real other side, and compares what that does."""

from ..lazy import TYPE_CHECKING, hooks

if TYPE_CHECKING:
    from .conversation import Conversation, Step, read_conversations
    from .outcome import Difference, Outcome
    from .performance import Pace
    from .rules import Rules
    from .stage import CSMSReplay, StationReplay
else:
    _HOMES = {
        ".conversation": "Conversation Step read_conversations",
        ".outcome": "Difference Outcome",
        ".performance": "Pace",
        ".rules": "Rules",
        ".stage": "CSMSReplay StationReplay",
    }
    __getattr__, __dir__ = hooks(__name__, _HOMES)

__all__ = [
    "CSMSReplay",
    "Conversation",
    "Difference",
    "Outcome",
    "Pace",
    "Rules",
    "StationReplay",
    "Step",
    "read_conversations",
]
