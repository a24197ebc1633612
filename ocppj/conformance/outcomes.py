"""What is kept of a run: the frames of each case, its verdict, and the sum."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Dict, List, Sequence

from ..events import Condition
from .cases import Case
from .verdicts import FAIL, VERDICTS

__all__ = ["Frame", "Frames", "Outcome", "Report"]

#: Longer texts are cut in the reports: floods and frames of a megabyte.
LONGEST = 2000
#: A case keeps so many frames, from its beginning.
MOST = 200


@dataclass(frozen=True)
class Frame:
    """A frame, or something else that happened on the connection.

    Attributes:
        at: Seconds since the case began.
        sender: "station" or "csms". "": a remark.
        text: The frame; a remark, such as "<closed: 1002 protocol error>", is in angle brackets.
    """

    at: float
    sender: str
    text: str


class Frames:
    """The frames of one case. Any thread may note one."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._lock = Condition()
        self._noted: List[Frame] = []
        self._left_out = 0

    def note(self, sender: str, text: str) -> None:
        """Note a frame of "station" or "csms", or a remark of "".

        Args:
            sender: That of the frame.
            text: The frame. A long one is cut.
        """
        cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)"
        frame = Frame(round(time.monotonic() - self._begun, 4), sender, cut)
        with self._lock:
            if len(self._noted) < MOST:
                self._noted.append(frame)
            else:
                self._left_out += 1

    def all(self) -> List[Frame]:
        """Return the frames so far."""
        with self._lock:
            noted, left_out = list(self._noted), self._left_out
        if left_out:
            noted.append(Frame(noted[-1].at, "", f"<{left_out} more>"))
        return noted


@dataclass(frozen=True)
class Outcome:
    """What came of a case over one OCPP version.

    Attributes:
        case: The case.
        version: The version of the connection.
        verdict: "pass", "fail", "not applicable" or "suspicious".
        reason: Why. "" for "pass".
        seconds: How long it took.
        frames: What went over its connections.
    """

    case: Case
    version: str
    verdict: str
    reason: str
    seconds: float
    frames: Sequence[Frame] = ()


@dataclass
class Report:
    """What came of a run.

    Attributes:
        role: What was checked: "csms" or "station".
        peer: Where it is: a URL, or an identity.
        begun: When the run began.
        outcomes: One for each case and version.
        ended: Why the run ended before all cases were run. "": all were.
        not_run: How many cases were not run, over all versions.
    """

    role: str
    peer: str
    begun: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    outcomes: List[Outcome] = field(default_factory=list)
    ended: str = ""
    not_run: int = 0

    def counts(self) -> Dict[str, int]:
        """Return how many outcomes there are of each verdict."""
        return {verdict: sum(each.verdict == verdict for each in self.outcomes) for verdict in VERDICTS}

    @property
    def is_good(self) -> bool:
        """Whether all cases were run, and none failed."""
        return not self.ended and not any(each.verdict == FAIL for each in self.outcomes)

    @property
    def seconds(self) -> float:
        """How long all cases took."""
        return sum(each.seconds for each in self.outcomes)
