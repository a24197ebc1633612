"""`Performance`: plays one side of one conversation over a connection.

One thread plays: it sends what its side had sent, at the recorded distance, and the answers. The thread that reads the
connection only notes what has come, and compares it.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..errors import TransportError
from ..events import Condition
from ..secrets import MASK
from .answers import Answers
from .conversation import Conversation, Step
from .expected import Expected
from .message import (
    CALL,
    ERROR,
    REFUSAL,
    RESULT,
    SEND,
    RawMessage,
    make_error,
    make_frame,
    make_result,
    read_message,
    with_id,
)
from .outcome import Difference, Outcome
from .rules import MISSING, Carried, Compared, Rules

__all__ = ["Pace", "Performance"]


@dataclass(frozen=True)
class Pace:
    """How fast a replay goes, and how long it waits.

    Attributes:
        speed: 10 plays ten seconds of the recording in one.
        patience: How many seconds a message of the other side may come later than recorded.
        timeout: How many seconds the other side may take for an answer.
    """

    speed: float = 1.0
    patience: float = 3.0
    timeout: float = 30.0


_MASKED = "messages with *** in place of secrets, which were masked in recording"


class _Ended(Exception):
    """The connection has ended, or the replay was stopped."""


@dataclass
class _Reply:
    """An answer of ours: when it is due, which recorded answer it is (-1: none), and its text."""

    due: float
    index: int
    text: str


class Performance:
    """One use.

    Args:
        conversation: What is played.
        side: Whose part is played: "station" or "csms".
        send: Sends a frame. Raises `TransportError`.
        rules: What is compared.
        pace: How fast.
        carried: The ids of this station.
        answers: What is answered when the recording has no answer.
        outcome: Where the differences go.
    """

    def __init__(
        self,
        conversation: Conversation,
        side: str,
        send: Callable[[str], None],
        rules: Rules,
        pace: Pace,
        carried: Carried,
        answers: Answers,
        outcome: Outcome,
    ) -> None:
        self._conversation = conversation
        self._side = side
        self._peer = "csms" if side == "station" else "station"
        self._send = send
        self._rules = rules
        self._pace = pace
        self._carried = carried
        self._answers = answers
        self._outcome = outcome
        self._begun = time.monotonic()
        self._changed = Condition()  # its lock guards what follows
        self._expected = Expected(list(conversation.of(self._peer)), rules, carried)
        self._pending: Optional[Tuple[str, Step]] = None  # the CALL of ours that is not answered
        self._late: Dict[str, Step] = {}  # those that ran out of time
        self._replies: List[_Reply] = []
        self._ended: Optional[str] = None  # why the connection has ended
        self._stopped = False
        self._unsent = len(list(conversation.of(side)))

    # What comes, on the reading thread

    def receive(self, text: str) -> None:
        """Take a frame of the other side."""
        message = read_message(text)
        if message is None:
            self._add(self._about("unreadable", live=text, text="the frame is no message that can be read"))
        elif message.type in (CALL, SEND):
            self._receive_request(message)
        elif message.type == REFUSAL:
            self._add(self._about("refused", text=f"the other side has refused an answer: {message.code}"))
        else:
            self._receive_answer(message)

    def lost(self, why: str) -> None:
        """Take note that the connection has ended."""
        with self._changed:
            self._ended = self._ended or why
            self._changed.notify_all()

    def stop(self) -> None:
        """Have `play` end soon."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _receive_request(self, message: RawMessage) -> None:
        with self._changed:
            step, compared, later = self._expected.take(message)
        self._outcome.count("compared")
        found: List[Difference] = []
        if step is None or compared is None:
            if self._rules.counts(message.action):
                found.append(self._about("additional", message.action, text="the recording has no more of these"))
        else:
            found += self._faults("request", message.action, compared)
        if later is not None:
            found.append(self._about("order", message.action, text=f"it was recorded before {later.action}"))
        reply = self._reply_to(message, step) if message.type == CALL else None
        with self._changed:
            if reply is not None:
                self._replies.append(reply)
            self._changed.notify_all()
        self._add(*found)

    def _reply_to(self, message: RawMessage, step: Optional[Step]) -> Optional[_Reply]:
        """Return the answer to a CALL. ``None``: the recording has none."""
        now = time.monotonic()
        if step is None:
            return _Reply(now, -1, self._answers.invent(message))
        answer = step.answer
        if answer is None:
            return None
        recorded = answer.message
        if recorded.type == ERROR:
            text = make_error(message.id, recorded.code, recorded.rest)
        else:
            payload = self._answers.renew(self._side, step.action, self._carried.put_in(recorded.payload))
            text = make_result(message.id, payload)
        return _Reply(now + (answer.at - step.at) / self._pace.speed, answer.index, text)

    def _receive_answer(self, message: RawMessage) -> None:
        with self._changed:
            pending, late = self._pending, self._late.pop(message.id, None)
            expected = pending[1] if pending is not None and pending[0] == message.id else None
        if expected is not None:
            self._outcome.count("compared")
            self._add(*self._compare_answer(expected, message))
            with self._changed:
                if self._pending is pending:
                    self._pending = None
                self._changed.notify_all()
        elif late is None:
            self._add(self._about("additional", text=f"an answer to {message.id!r}, which no open CALL has"))

    def _compare_answer(self, step: Step, message: RawMessage) -> List[Difference]:
        if self._rules.ignores(step.action):
            self._compare_payloads(step, message)  # for its ids
            return []
        if step.answer is None:
            if self._conversation.end is None and step is self._last_own_step():
                return []  # the recording ends before its answer
            return [self._about("answer", step.action, text="the recording has no answer")]
        recorded = step.answer.message
        if ERROR in (recorded.type, message.type):
            before, now = (_kind_of_answer(each) for each in (recorded, message))
            return [] if before == now else [self._about("answer", step.action, "", before, now)]
        return self._compare_payloads(step, message)

    def _compare_payloads(self, step: Step, message: RawMessage) -> List[Difference]:
        if step.answer is None or step.answer.message.type != RESULT or message.type != RESULT:
            return []
        recorded = step.answer.message.payload
        compared = self._rules.compare(step.action, recorded, message.payload, Carried())
        return self._faults("answer", step.action, compared)

    def _faults(self, kind: str, action: str, compared: Compared) -> List[Difference]:
        self._carried.learn(compared.ids)
        return [self._about(kind, action, path, recorded, live) for path, recorded, live in compared.faults]

    # What is played

    def play(self) -> None:
        """Play the conversation to its end. The caller closes the connection then."""
        self._outcome.count("connections")
        self._begun = time.monotonic()
        try:
            for step in self._conversation.of(self._side):
                self._play(step)
            self._finish()
        except _Ended:
            self._tell_of_end()

    def _play(self, step: Step) -> None:
        self._wait_until(self._due(step.at))
        before = step.index
        if not self._wait(lambda: not self._expected.has_before(before), self._pace.patience):
            with self._changed:
                self._expected.give_up_before(before)
        self._wait(lambda: all(reply.index > before for reply in self._replies), self._pace.patience)
        self._await_answer()
        self._write(self._prepare(step))
        self._unsent -= 1

    def _prepare(self, step: Step) -> str:
        """Return the text of a step of ours. A CALL is the pending one from now on."""
        message = step.message
        if message is None:
            return step.text
        message_id = str(uuid.uuid4())
        payload = self._carried.put_in(message.payload)
        if payload is message.payload:
            text = with_id(step.text, message.id, message_id)
        else:
            text = make_frame([message.type, message_id, message.action, payload])
        if message.type == CALL:
            with self._changed:
                self._pending = message_id, step
        return text

    def _write(self, text: str) -> None:
        if f'"{MASK}"' in text:
            self._outcome.leave_out({_MASKED: 1})
        try:
            self._send(text)
        except TransportError as error:
            self.lost(str(error))
            raise _Ended from None
        self._outcome.count("sent")

    def _await_answer(self) -> None:
        """Wait for the answer to the pending CALL: there is one at a time."""
        with self._changed:
            pending = self._pending
        if pending is None:
            return
        message_id, step = pending
        seconds = self._pace.patience if step.answer is None else self._pace.timeout
        if self._wait(lambda: self._pending is None, seconds):
            return
        with self._changed:
            if self._pending is None:
                return
            self._pending = None
            self._late[message_id] = step
        if step.answer is not None and not self._rules.ignores(step.action):
            self._add(self._about("no answer", step.action, text=f"none within {seconds:g} s"))

    def _finish(self) -> None:
        conversation, pace = self._conversation, self._pace
        self._wait_until(self._due(conversation.last if conversation.end is None else conversation.end))
        self._wait(lambda: not self._expected.has_before(len(conversation.steps) + 1), pace.patience)
        self._await_answer()
        self._wait(lambda: not self._replies, pace.patience)
        self._tell_missing()

    def _tell_missing(self) -> None:
        with self._changed:
            missing = self._expected.missing()
        self._add(*(self._about("missing", step.action, text="it did not come") for step in missing))

    def _tell_of_end(self) -> None:
        """Tell that the connection has ended early, unless nothing was left to do, or the replay was stopped."""
        with self._changed:
            missing, why, stopped = self._expected.missing(), self._ended, self._stopped
            open_call = self._pending is not None and self._pending[1].answer is not None
        if stopped or not (self._unsent or missing or open_call):
            return
        text = f"it ended early ({why}): {self._unsent} messages were not sent, and {len(missing)} did not come"
        self._add(self._about("connection", text=text))

    # Waiting

    def _due(self, at: float) -> float:
        return self._begun + at / self._pace.speed

    def _wait_until(self, moment: float) -> None:
        self._wait(lambda: False, moment - time.monotonic())

    def _wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Wait, and send the answers that are due meanwhile. Return whether ``ready()`` became true.

        ``ready`` is called with the lock. Raises `_Ended`.
        """
        deadline = time.monotonic() + seconds
        while True:
            with self._changed:
                reply, is_ready = self._step(ready, deadline)
            if reply is not None:
                self._write(reply.text)
            elif is_ready is not None:
                return is_ready

    def _step(self, ready: Callable[[], bool], deadline: float) -> Tuple[Optional[_Reply], Optional[bool]]:
        """Return an answer that is to be sent now, or whether the wait is over, or wait a while. The lock is held."""
        if self._stopped or self._ended is not None:
            raise _Ended
        now = time.monotonic()
        due = min(self._replies, key=lambda reply: reply.due, default=None)
        if due is not None and due.due <= now:
            self._replies.remove(due)
            return due, None
        if ready():
            return None, True
        if now >= deadline:
            return None, False
        self._changed.wait(min([deadline, *([due.due] if due is not None else [])]) - now)
        return None, None

    # Telling

    def _last_own_step(self) -> Optional[Step]:
        return next((step for step in reversed(self._conversation.steps) if step.sender == self._side), None)

    def _about(
        self, kind: str, action: str = "", path: str = "", recorded: Any = MISSING, live: Any = MISSING, text: str = ""
    ) -> Difference:
        conversation = self._conversation
        where = conversation.client_id, conversation.connection
        return Difference(kind, *where, action, path, recorded, live, text)

    def _add(self, *differences: Difference) -> None:
        self._outcome.add(*differences)


def _kind_of_answer(message: RawMessage) -> str:
    return f"CALLERROR {message.code}" if message.type == ERROR else "CALLRESULT"
