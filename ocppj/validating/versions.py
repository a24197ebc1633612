"""`VersionFinder`: finds out which OCPP version the frames of a station have, if the log does not say it."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any, Dict, FrozenSet, List, Set, Tuple

from ..errors import MessageError
from ..recording.foreign import FoundFrame
from ..rpc.dialect import DIALECTS, V21, Dialect
from ..rpc.messages import MessageType, parse_json_message
from ..testing.rules import FrameJudge

__all__ = ["VersionFinder"]

_ALL = frozenset(dialect.version for dialect in DIALECTS)
#: So many frames of a station are looked at before it is decided between versions that have all of them.
_MOST = 20


class VersionFinder:
    """Looks at the first frames of one station.

    Args:
        version: The OCPP version, if it is known.

    Attributes:
        version: The OCPP version. "": it is not decided yet.
        reason: How it was found out.
    """

    def __init__(self, version: str = "") -> None:
        self.version: str = version
        self.reason = "it was given" if version else ""
        self._left: FrozenSet[str] = _ALL
        self._frames: List[FoundFrame] = []

    def add(self, frame: FoundFrame) -> None:
        """Look at the next frame. It may decide the version."""
        if self.version:
            return
        if frame.version in _ALL:
            self._decide(frame.version, "the log says it")
            return
        if frame.event:
            return
        self._frames.append(frame)
        left, reason = _find_versions(frame.text)
        if left & self._left and not self._left <= left:
            self._left &= left
            self.reason = f"{reason}, in line {frame.line}" if frame.line else reason
        if len(self._left) == 1:
            self._decide(next(iter(self._left)), self.reason)
        elif len(self._frames) >= _MOST:
            self.decide()

    def decide(self) -> None:
        """Decide for the version in which most frames are valid. Among equals it is the oldest one."""
        if self.version:
            return
        valid: Dict[str, int] = Counter()
        for frame in self._frames:
            for version in self._left:
                valid[version] += not FrameJudge(version).read("in", frame.text).faults
        best = max(sorted(self._left), key=lambda version: valid[version])
        others = [version for version in sorted(self._left) if version != best and valid[version] == valid[best]]
        reason = "most frames are valid in it" if not others else f"its frames are valid in {' and '.join(others)}, too"
        self._decide(best, f"{self.reason}; {reason}" if self.reason else reason)

    def _decide(self, version: str, reason: str) -> None:
        self.version, self.reason = version, reason
        self._frames.clear()


def _find_versions(text: str) -> Tuple[FrozenSet[str], str]:
    """Return the versions that may have a frame, and how one sees that."""
    try:
        fields = parse_json_message(text)
    except MessageError:
        return _ALL, ""
    if fields and fields[0] in (MessageType.CALL_RESULT_ERROR, MessageType.SEND):
        return frozenset((V21.version,)), f"OCPP 2.1 alone has messages of the type {fields[0]}"
    if len(fields) < 4 or fields[0] != MessageType.CALL or not isinstance(fields[2], str):
        return _ALL, ""
    action, payload = fields[2], fields[3]
    having = frozenset(dialect.version for dialect in DIALECTS if action in dialect.actions)
    if having and having != _ALL:
        return having, f"it has {action}"
    names: Set[Any] = set(payload) if isinstance(payload, dict) else set()
    fitting = frozenset(
        dialect.version for dialect in DIALECTS if dialect.version in having and names <= _properties(dialect, action)
    )
    return (fitting, f"the properties of its {action}") if fitting and names else (_ALL, "")


@lru_cache(maxsize=None)
def _properties(dialect: Dialect, action: str) -> FrozenSet[str]:
    return frozenset(dialect.load_schema(f"{action}Request").get("properties", ()))
