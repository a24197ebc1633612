"""`Outcome`: what a replay found."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional
from typing import Counter as CounterType

from .rules import MISSING

__all__ = ["Difference", "Outcome"]


@dataclass(frozen=True)
class Difference:
    """Something was not as recorded.

    Attributes:
        kind: "answer" (to a CALL of the played side), "request" (its payload), "no answer", "missing", "additional",
            "order", "refused" (an answer of the played side), "unreadable", "connection" (it was refused, or it ended
            early).
        client_id: The charging station.
        connection: The number of the connection in the recording.
        action: The action that it is about, if any.
        path: Where in the payload, such as ``idTagInfo.status``.
        recorded: What was recorded there.
        live: What came now.
        text: More words.
    """

    kind: str
    client_id: str
    connection: int
    action: str = ""
    path: str = ""
    recorded: Any = MISSING
    live: Any = MISSING
    text: str = ""

    def as_json(self) -> Dict[str, Any]:
        """Return it as a JSON object. What is not there is left out."""
        fields = {
            "kind": self.kind,
            "client": self.client_id,
            "connection": self.connection,
            "action": self.action,
            "path": self.path,
            "recorded": self.recorded,
            "live": self.live,
            "text": self.text,
        }
        return {name: value for name, value in fields.items() if value is not MISSING and value != ""}

    def __str__(self) -> str:
        words = f"{self.client_id}: {self.kind}"
        if self.action:
            words += f" {self.action}"
        if self.path:
            words += f" {self.path}"
        if self.recorded is not MISSING or self.live is not MISSING:
            words += f": recorded {_shown(self.recorded)}, now {_shown(self.live)}"
        return f"{words}: {self.text}" if self.text else words


class Outcome:
    """What was played, and what differed. Thread-safe.

    Args:
        on_difference: Called with each `Difference`, on the thread that finds it.
    """

    def __init__(self, on_difference: Optional[Callable[[Difference], object]] = None) -> None:
        self._on_difference = on_difference or (lambda difference: None)
        self._lock = threading.Lock()
        self._counts: CounterType[str] = Counter()
        self._left_out: CounterType[str] = Counter()
        self._differences: List[Difference] = []

    def add(self, *differences: Difference) -> None:
        """Add differences."""
        with self._lock:
            self._differences.extend(differences)
        for each in differences:
            self._on_difference(each)

    def count(self, what: str, number: int = 1) -> None:
        """Count something, such as "sent"."""
        with self._lock:
            self._counts[what] += number

    def leave_out(self, counts: Mapping[str, int]) -> None:
        """Count what could not be played as it was, by what it is."""
        with self._lock:
            self._left_out.update(counts)

    @property
    def left_out(self) -> Dict[str, int]:
        """What could not be played as it was."""
        with self._lock:
            return dict(self._left_out)

    @property
    def differences(self) -> List[Difference]:
        """What was found so far."""
        with self._lock:
            return list(self._differences)

    @property
    def counts(self) -> Dict[str, int]:
        """How many ``connections`` were played, messages ``sent``, and messages of the other side ``compared``."""
        with self._lock:
            return {name: self._counts[name] for name in ("connections", "sent", "compared")}


def _shown(value: Any) -> str:
    if value is MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:200] + "..."
