"""`Haste`: makes the waits of a 2.x station between attempts to connect short, and puts them back."""

from __future__ import annotations

from typing import Any, Dict

from .room import Room, fields

__all__ = ["Haste"]

#: The variables, and the value that they have during the check (2.x Part 4, sections 8.1 to 8.3).
_SHORT = {"RetryBackOffWaitMinimum": "1", "RetryBackOffRandomRange": "1", "RetryBackOffRepeatTimes": "2"}


class Haste:
    """The waits of one station. Nothing happens with 1.6, which has no such settings."""

    def __init__(self) -> None:
        self._before: Dict[str, str] = {}
        self._is_asked = False

    def begin(self, room: Room) -> None:
        """Make the waits short, unless they are already."""
        if self._is_asked or room.is_16:
            return
        self._is_asked = True
        for name, value in _SHORT.items():
            results = fields(room.ask("GetVariables", {"getVariableData": [_data(name)]})).get("getVariableResult")
            before = str((results or [{}])[0].get("attributeValue") or "")
            if before.isdigit() and int(before) > int(value):
                self._before[name] = before
                room.ask("SetVariables", {"setVariableData": [_data(name, attributeValue=value)]})

    def end(self, room: Room) -> None:
        """Put the waits back."""
        before, self._before = self._before, {}
        for name, value in before.items():
            room.ask("SetVariables", {"setVariableData": [_data(name, attributeValue=value)]})


def _data(name: str, **more: Any) -> Dict[str, Any]:
    return {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": name}, **more}
