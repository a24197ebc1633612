"""`Messages`: one row for each message and event, in columns. Their texts are kept elsewhere."""

from __future__ import annotations

from array import array
from typing import Callable, Dict, List, Optional, Sequence, Set

__all__ = ["CSMS", "ERRORS", "KINDS", "STATION", "Messages", "Names"]

#: The kinds of rows; a row has the place of its kind in here. The last three are no messages.
KINDS = ("CALL", "RESULT", "ERROR", "SEND", "RESULTERROR", "TEXT", "CONNECTED", "DISCONNECTED", "REFUSED")
#: The kinds that are errors by themselves.
ERRORS = frozenset({"ERROR", "RESULTERROR", "TEXT", "REFUSED"})
#: Which side has sent a message.
STATION, CSMS = 0, 1
_LARGEST = 2**53  # a number that a browser can hold


class Names:
    """Texts that come again and again, each with a number. The number of "" is 0.

    Args:
        shown: Returns a text as it is kept: without its secrets.
    """

    def __init__(self, shown: Callable[[str], str]) -> None:
        self.texts: List[str] = [""]
        self._shown = shown
        self._numbers: Dict[str, int] = {"": 0}

    def number(self, text: str) -> int:
        """Return the number of a text."""
        found = self._numbers.get(text)
        if found is None:
            found = self._numbers[text] = len(self.texts)
            self.texts.append(self._shown(text))
        return found


class Messages:
    """The rows, in the order of the recording.

    Args:
        shown: Returns a text as it is kept: without its secrets.

    Attributes:
        times: When, in microseconds from 1970 on. 0: the log does not say it.
        stations: The number of the station.
        kinds: The place of the kind in `KINDS`.
        senders: `STATION` or `CSMS`.
        actions: The number of the action in ``names``.
        connections: The number of the connection.
        partners: The row of the CALL that a message answers, or of the answer to a CALL. -1: there is none.
        labels: By row: the number of the code of an error, or of the reason of an event.
        faults: By row: the numbers of the rules that it breaks.
        unsent: The rows whose write failed.
        unanswered: The CALLs that have got no answer in time.
        names: The texts of actions, labels and faults.
    """

    def __init__(self, shown: Callable[[str], str]) -> None:
        self.times: array[int] = array("q")
        self.stations: array[int] = array("l")
        self.kinds: array[int] = array("b")
        self.senders: array[int] = array("b")
        self.actions: array[int] = array("l")
        self.connections: array[int] = array("q")
        self.partners: array[int] = array("q")
        self.labels: Dict[int, int] = {}
        self.faults: Dict[int, List[int]] = {}
        self.unsent: Set[int] = set()
        self.unanswered: Set[int] = set()
        self.names: Names = Names(shown)

    def __len__(self) -> int:
        return len(self.times)

    def add(
        self,
        time: int,
        station: int,
        kind: str,
        sender: int,
        action: str,
        connection: int,
        partner: int,
        label: str,
        faults: Sequence[str],
        sent: bool,
    ) -> int:
        """Add a row, and return its number."""
        row = len(self.times)
        self.times.append(time)
        self.stations.append(station)
        self.kinds.append(KINDS.index(kind))
        self.senders.append(sender)
        self.actions.append(self.names.number(action))
        self.connections.append(connection if 0 <= connection <= _LARGEST else 0)
        self.partners.append(partner)
        if partner >= 0:
            self.partners[partner] = row
        if label:
            self.labels[row] = self.names.number(label)
        if faults:
            self.faults[row] = [self.names.number(each) for each in faults]
        if not sent:
            self.unsent.add(row)
        return row

    def kind(self, row: int) -> str:
        """Return the kind of a row."""
        return KINDS[self.kinds[row]]

    def action(self, row: int) -> str:
        """Return the action of a row. "": it is not known."""
        return self.names.texts[self.actions[row]]

    def label(self, row: int) -> str:
        """Return the code of an error, or the reason of an event."""
        return self.names.texts[self.labels.get(row, 0)]

    def fault_texts(self, row: int) -> List[str]:
        """Return the rules that a row breaks."""
        return [self.names.texts[each] for each in self.faults.get(row, ())]

    def latency(self, row: int) -> Optional[float]:
        """Return the seconds from a CALL to this answer. ``None``: that is not known, or the row is no answer."""
        partner = self.partners[row]
        if self.kind(row) not in ("RESULT", "ERROR") or partner < 0:
            return None
        if not self.times[row] or not self.times[partner]:
            return None
        return max(0, self.times[row] - self.times[partner]) / 1e6
