"""`Report`: what a recording says, by rows, stations, gaps and transactions."""

from __future__ import annotations

from collections import deque
from typing import Callable, Deque, Dict, Iterable, Iterator, List, Optional

from ..recording import FoundFrame, Recorded
from ..recording.recorded import EVENTS
from ..secrets import mask_secrets
from ..validating.log_check import LogCheck
from .gaps import Gap, Gaps, is_in_order
from .messages import ERRORS, Messages
from .stations import Station
from .transactions import Transaction

__all__ = ["Report"]


class Report:
    """Reads a recording, and keeps what a reader asks for. The texts of the messages go elsewhere. Not thread-safe.

    ::

        report = Report()
        report.read(read_recording("s.jsonl"))
        print(json.dumps(summarize(report)))

    Args:
        expected: The longest silence of a station to be expected, in seconds. ``None``: one and a half of its heartbeat
            intervals.
        otherwise: The longest silence to be expected of a station whose heartbeat interval is not known.
        show_secrets: Whether passwords and keys are kept. Else ``***`` stands for them.
        keep_text: Called with the text of each row, in their order.

    Attributes:
        messages: A row for each frame and each event.
        stations: The stations, in the order in which they came.
        lost_lines: What the recording says of lines that it lacks.
    """

    def __init__(
        self,
        *,
        expected: Optional[float] = None,
        otherwise: float = 300.0,
        show_secrets: bool = False,
        keep_text: Optional[Callable[[str], object]] = None,
    ) -> None:
        self.messages: Messages = Messages(self.shown)
        self.stations: List[Station] = []
        self.lost_lines: List[str] = []
        self._expected = expected
        self._otherwise = otherwise
        self._show_secrets = show_secrets
        self._keep_text = keep_text
        self._by_id: Dict[str, Station] = {}

    @property
    def gaps(self) -> List[Gap]:
        """The gaps of all stations, in the order of their begin."""
        return sorted((gap for each in self.stations for gap in each.gaps.found), key=lambda gap: gap.begin)

    @property
    def transactions(self) -> List[Transaction]:
        """The transactions of all stations, in the order of their first rows."""
        return sorted((one for each in self.stations for one in each.transactions.found), key=lambda one: one.row)

    def read(self, recording: Iterable[Recorded]) -> None:
        """Read a recording to its end. Its frames are judged as ``ocppj validate`` does it."""
        waiting: Deque[FoundFrame] = deque()  # what is not judged yet, and the events between
        for checked in LogCheck().check(_noted(recording, waiting)):
            self._add_events(waiting, checked.frame)
            self._station(checked.frame.client_id).add_frame(checked)
            self._keep(checked.frame)
        self._add_events(waiting)
        end = max(self.messages.times, default=0)
        for each in self.stations:
            each.finish(end)

    def _add_events(self, waiting: Deque[FoundFrame], until: Optional[FoundFrame] = None) -> None:
        """Add the events that come before a frame."""
        while waiting:
            recorded = waiting.popleft()
            if recorded is until:
                return
            if recorded.event == "lost":
                self._note_lost(recorded)
            elif recorded.event in EVENTS:
                self._station(recorded.client_id).add_event(recorded)
                self._keep(recorded)

    def _note_lost(self, recorded: Recorded) -> None:
        """Note that lines are missing here: they may have been answers."""
        self.lost_lines.append(self.shown(recorded.reason))
        for each in self.stations:
            each.forget_calls()

    def _keep(self, recorded: Recorded) -> None:
        if self._keep_text is not None:
            self._keep_text(self.shown(recorded.text))

    def shown(self, text: str) -> str:
        """Return a text as people may see it."""
        return text if self._show_secrets else mask_secrets(text)

    def is_error(self, row: int) -> bool:
        """Tell whether something went wrong in a row."""
        messages = self.messages
        if messages.kind(row) in ERRORS or row in messages.faults:
            return True
        if row in messages.unsent or row in messages.unanswered:
            return True
        return messages.kind(row) == "DISCONNECTED" and not is_in_order(messages.label(row))

    def _station(self, client_id: str) -> Station:
        found = self._by_id.get(client_id)
        if found is None:
            number = len(self.stations)
            gaps = Gaps(number, self._expected, self._otherwise)
            found = self._by_id[client_id] = Station(number, client_id, self.messages, gaps)
            self.stations.append(found)
        return found


def _noted(recording: Iterable[Recorded], waiting: Deque[FoundFrame]) -> Iterator[FoundFrame]:
    """Yield what was recorded, and note it in ``waiting``."""
    for each in recording:
        found = each if isinstance(each, FoundFrame) else _found(each)
        waiting.append(found)
        yield found


def _found(each: Recorded) -> FoundFrame:
    sender = each.time, each.sender, each.client_id, each.version
    return FoundFrame(*sender, each.text, each.event, each.connection, each.reason, each.sent)
