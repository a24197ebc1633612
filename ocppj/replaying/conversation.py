"""`Conversation`: what was said over one recorded connection, as steps that can be played."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Counter as CounterType
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ..recording.recorded import EVENTS, Recorded
from ..ws.handshake.urls import can_be_encoded
from .message import CALL, ERROR, REFUSAL, RESULT, RawMessage, read_message

__all__ = ["Conversation", "Step", "read_conversations"]

#: The time of frames of which the log does not say it.
UNKNOWN = datetime(1970, 1, 1, tzinfo=timezone.utc)

#: Actions that one version has, and earlier ones have not: for recordings that do not say the version.
_OF_21 = {"NotifyPeriodicEventStream", "BatterySwap", "NotifySettlement", "NotifyDERAlarm", "SetDefaultTariff"}
_OF_201 = {"TransactionEvent", "NotifyReport", "NotifyEvent", "GetVariables", "SetVariables", "GetBaseReport"}
_OF_201 |= {"RequestStartTransaction", "RequestStopTransaction", "SecurityEventNotification"}


@dataclass(frozen=True)
class Answer:
    """A recorded answer: when it came, in seconds since the begin of its conversation, and what it says."""

    index: int
    at: float
    message: RawMessage


@dataclass
class Step:
    """A CALL or a SEND of one side, or a frame that is no message.

    Attributes:
        index: Its place in the conversation.
        at: When it was sent, in seconds since the begin of the conversation.
        sender: "station" or "csms".
        text: The frame.
        message: What it says. ``None``: it is no message.
        answer: The answer to a CALL, if one was recorded.
    """

    index: int
    at: float
    sender: str
    text: str
    message: Optional[RawMessage] = None
    answer: Optional[Answer] = None

    @property
    def action(self) -> str:
        """The action, or "" for what is no message."""
        return "" if self.message is None else self.message.action


@dataclass
class Conversation:
    """What was said over one connection.

    Attributes:
        client_id: The identity of the charging station.
        connection: The number of the connection in the recording, or 0.
        begin: When it began. 1970: no time is known.
        version: The OCPP version.
        steps: What each side sent, in its order. Answers belong to their CALLs.
        end: When it ended, in seconds since its begin. ``None``: the recording ends before.
        last: When the last frame was sent, in the same seconds.
        left_out: What cannot be played or compared, and how many frames that are.
    """

    client_id: str
    connection: int
    begin: datetime
    version: str = ""
    steps: List[Step] = field(default_factory=list)
    end: Optional[float] = None
    last: float = 0.0
    left_out: CounterType[str] = field(default_factory=Counter)
    _open: Dict[Tuple[str, str], Step] = field(default_factory=dict, repr=False)

    def add(self, recorded: Recorded) -> None:
        """Add a frame."""
        self.version = self.version or recorded.version
        if not recorded.sent:
            self._leave_out("frames whose write had failed")
            return
        if not recorded.sender:
            self._leave_out("frames of which the log does not say the sender")
            return
        if not can_be_encoded(recorded.text):
            self._leave_out("frames with characters that cannot be sent")
            return
        self._note_time(recorded)
        index, sender, message = len(self.steps), recorded.sender, read_message(recorded.text)
        if message is not None and message.type in (RESULT, ERROR):
            asker = "csms" if sender == "station" else "station"
            asked = self._open.pop((asker, message.id), None)
            if asked is None:
                self._leave_out("answers whose CALL was not recorded")
            else:
                asked.answer = Answer(index, self.last, message)
            return
        if message is not None and message.type == REFUSAL:
            self._leave_out("CALLRESULTERRORs")
            return
        step = Step(index, self.last, sender, recorded.text, message)
        self.steps.append(step)
        if message is not None and message.type == CALL:
            self._open[sender, message.id] = step

    def _note_time(self, recorded: Recorded) -> None:
        """Take the time of a frame. That of the log of another program may not be known."""
        if not getattr(recorded, "is_time_known", True):
            return
        if self.begin == UNKNOWN:
            self.begin = recorded.time
        self.last = max(self.last, (recorded.time - self.begin).total_seconds())

    def finish(self) -> None:
        """Do what can be done when the recording has ended."""
        if not self.version:
            actions = {step.action for step in self.steps}
            self.version = "2.1" if actions & _OF_21 else "2.0.1" if actions & _OF_201 else "1.6"

    def _leave_out(self, what: str) -> None:
        self.left_out[what] += 1

    def of(self, sender: str) -> Iterator[Step]:
        """Yield the steps of one side."""
        return (step for step in self.steps if step.sender == sender)


def read_conversations(
    recorded: Iterable[Recorded], name: Optional[str] = None
) -> Tuple[List[Conversation], Mapping[str, int]]:
    """Return the conversations of a recording in the order of their begin, and what of it belongs to none of them.

    A connection in which nothing was sent is a conversation, too.

    Args:
        recorded: The lines of the recording.
        name: The identity of the station in lines that name none.
    """
    found: List[Conversation] = []
    current: Dict[Tuple[str, int], Conversation] = {}
    left_out: CounterType[str] = Counter()
    for line in recorded:
        if line.event == "lost":
            count = line.reason.partition(" ")[0]
            left_out["lines that were lost in recording"] += int(count) if count.isdecimal() else 1
        elif line.event == "refused":
            left_out["refused connections"] += 1
        elif line.event and line.event not in EVENTS:
            left_out["events that are not known"] += 1
        else:
            _add(line, line.client_id or name or "", current, found)
    first = min((each.begin for each in found if each.begin != UNKNOWN), default=UNKNOWN)
    for conversation in found:
        conversation.finish()
        conversation.begin = max(first, conversation.begin)
    return sorted(found, key=lambda each: each.begin), left_out


def _add(
    line: Recorded, client_id: str, current: Dict[Tuple[str, int], Conversation], found: List[Conversation]
) -> None:
    key = client_id, line.connection
    conversation = current.get(key)
    if line.event == "disconnected":
        if conversation is not None:
            conversation.end = max(conversation.last, (line.time - conversation.begin).total_seconds())
            if not line.connection:  # else what comes later, such as a write that failed, belongs to it
                del current[key]
        return
    if conversation is None or line.event == "connected":
        conversation = current[key] = Conversation(client_id, line.connection, line.time, line.version)
        found.append(conversation)
    if not line.event:
        conversation.add(line)
