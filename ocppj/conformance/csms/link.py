"""`Link`: OCPP-J over one connection. It answers what the central system asks, and keeps what it has answered."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Sequence

from ...rpc.messages import is_message_id
from ...testing.defaults import default_response
from ...testing.rules import FrameJudge, JudgedFrame
from ..verdicts import Failed, NotApplicable
from .samples import Samples
from .wire import PONG, TEXT, Ended, Wire

__all__ = ["Answer", "Link", "Patience", "Reaction"]

#: How long the answer to a CALL may take.
ANSWER_TIME = 5.0
#: And when the central system has left CALLs without an answer before: each time half as long, and so long at least.
_LEAST = 1.0
#: Part of a fault that OCPP 1.6 does not have: its descriptions may be long.
_DESCRIPTION = "the description of a CALLERROR has at most"
#: An answer may come so much later than that to a later CALL.
_STRAGGLING = 0.05


@dataclass(frozen=True)
class Answer:
    """A frame of the central system that is no CALL of its own.

    Attributes:
        kind: "RESULT", "ERROR", "RESULTERROR", or "TEXT" for what is no message.
        message_id: Its message id.
        payload: That of a CALLRESULT.
        code: The error code of a CALLERROR.
        description: Its description.
        faults: Which rules the frame breaks in itself.
        text: The frame.
    """

    kind: str
    message_id: Optional[str]
    payload: Any
    code: Optional[str]
    description: str
    faults: Sequence[str]
    text: str

    def __str__(self) -> str:
        if self.kind == "ERROR":
            return f"CALLERROR {self.code}"
        names = {"RESULT": "a CALLRESULT", "RESULTERROR": "a CALLRESULTERROR"}
        return names.get(self.kind, "a frame that is no message")


class Patience:
    """How long answers to CALLs are waited for. It is less for a central system that leaves many without an answer.

    Args:
        seconds: So long at first.
        straggling: So long after the answer to a later CALL.
    """

    def __init__(self, seconds: float = ANSWER_TIME, straggling: float = _STRAGGLING) -> None:
        self.seconds: float = seconds
        self.straggling: float = straggling

    def lose(self) -> None:
        """Note that a CALL was not answered."""
        self.seconds = max(min(_LEAST, self.seconds), self.seconds / 2)

    def at_most(self, seconds: float) -> float:
        """Return how long to wait for something else: so many seconds, or less."""
        return min(seconds, self.seconds)


@dataclass
class Reaction:
    """What came after a frame.

    Attributes:
        answers: The answers, in their order.
        ended: How the connection ended, if it did.
    """

    answers: List[Answer] = field(default_factory=list)
    ended: Optional[Ended] = None

    def __str__(self) -> str:
        parts = [*map(str, self.answers), *([str(self.ended)] if self.ended else [])]
        return ", then ".join(parts) or "nothing"


class Link:
    """One connection, by the rules of OCPP-J.

    Attributes:
        wire: The connection below.
        version: The OCPP version.
        samples: Valid payloads.
        calls: The CALLs of the central system so far.
        serves: Whether its CALLs are answered.
        faults: Which rules its frames broke.
        patience: How long its answers are waited for.
    """

    def __init__(
        self, wire: Wire, judge: FrameJudge, samples: Samples, faults: List[str], patience: Optional[Patience] = None
    ) -> None:
        self.wire = wire
        self.version: str = judge.version
        self.samples = samples
        self.calls: List[JudgedFrame] = []
        self.serves = True
        self.faults = faults
        self._judge = judge
        self._answers: List[Answer] = []
        self.patience: Patience = patience or Patience()
        self._odd_ids: List[Any] = []  # message ids of ours that are none: answers have them too

    # What a case sends

    def send_text(self, text: str) -> None:
        """Send a frame with any text."""
        self._judge.judge("out", text)
        used = _id_of(text)
        if not is_message_id(used):
            self._odd_ids.append(used)
        self.wire.send_text(text)

    def send(self, *elements: Any) -> None:
        """Send a frame with these elements."""
        self.send_text(json.dumps(elements, ensure_ascii=False))

    def send_call(self, action: str, payload: Any, message_id: Optional[str] = None) -> str:
        """Send a CALL, and return its message id."""
        used = message_id or str(uuid.uuid4())
        self.send(2, used, action, payload)
        return used

    def call(self, action: str, payload: Any = None, message_id: Optional[str] = None) -> Answer:
        """Send a CALL, and return its answer.

        Args:
            action: The action.
            payload: The payload. ``None``: a valid example.
            message_id: The message id. ``None``: a new one.

        Raises:
            Failed: No answer came in time, or the connection ended.
        """
        used = self.samples.of(action) if payload is None else payload
        return self.answer_to(self.send_call(action, used, message_id))

    def result(self, action: str, payload: Any = None) -> Dict[str, Any]:
        """Send a CALL, and return the payload of its CALLRESULT.

        Raises:
            Failed: Something else came, or the CALLRESULT breaks its schema.
            NotApplicable: The central system does not have this action.
        """
        answer = self.call(action, payload)
        if answer.code in ("NotImplemented", "NotSupported"):
            raise NotApplicable(f"the central system does not serve {action}: {answer.code}")
        if answer.kind != "RESULT":
            raise Failed(f"{action} was answered with {answer}: {answer.description}")
        if answer.faults:
            raise Failed(f"the answer to {action} breaks a rule: {answer.faults[0]}")
        return dict(answer.payload or {})

    def boot(self) -> Dict[str, Any]:
        """Send a BootNotification, and return the payload of its answer.

        Raises:
            NotApplicable: The central system does not accept the station.
        """
        answer = self.result("BootNotification")
        if answer.get("status") != "Accepted":
            raise NotApplicable(f"the central system has not accepted the station: {answer.get('status')}")
        return answer

    # What comes

    def answer_to(self, message_id: str, within: Optional[float] = None) -> Answer:
        """Return the answer to a CALL.

        Args:
            message_id: That of the CALL.
            within: How long to wait. ``None``: as long as this central system may take.

        Raises:
            Failed: No answer came in time, or the connection ended.
        """
        patience = self.patience.seconds if within is None else within
        try:
            answer = self.find_answer(message_id, patience)
        except Ended as error:
            raise Failed(f"there was no answer: {error}") from None
        if answer is None:
            self.patience.lose()
            raise Failed(f"there was no answer within {patience:.2g} s")
        self._answers.remove(answer)
        return answer

    def react(self, text: Optional[str] = None) -> Reaction:
        """Send a frame, and return all that comes before the answer to a later CALL, and a moment after it.

        So nobody has to wait long for what is not to come.

        Args:
            text: The frame. ``None``: none is sent.

        Raises:
            Failed: The later CALL is not answered either, and the connection goes on.
        """
        reaction = Reaction()
        try:
            if text is not None:
                self.send_text(text)
            fence = self._fence()
            self._gather(self.patience.straggling)
            self._answers = [each for each in self._answers if each is not fence]
        except Ended as error:
            reaction.ended = error
        reaction.answers, self._answers = self._answers, []
        return reaction

    def check_alive(self) -> None:
        """Check that a Heartbeat is answered.

        Raises:
            Failed: It is not.
        """
        self.call("Heartbeat")

    def end(self, within: float) -> Optional[Ended]:
        """Wait until the connection has ended, so many seconds at most, and return how. ``None``: it has not."""
        try:
            self._gather(self.patience.at_most(within))
        except Ended as error:
            return error
        return None

    def wait_for_pong(self) -> Optional[bytes]:
        """Return the data of the next pong, or ``None``."""
        while True:
            try:
                frame = self.wire.receive(self.patience.seconds)
            except Ended:
                return None
            if frame is None:
                return None
            if frame.opcode == PONG:
                return frame.data
            if frame.opcode == TEXT:
                self._take(frame.data)

    def gather(self, within: float) -> List[Answer]:
        """Read for so many seconds, and return the answers that came.

        Raises:
            Ended: The connection has ended.
        """
        self._gather(within)
        answers, self._answers = self._answers, []
        return answers

    def _fence(self) -> Answer:
        message_id = self.send_call("Heartbeat", {})
        answer = self.find_answer(message_id, self.patience.seconds)
        if answer is None:
            raise Failed(f"a Heartbeat after it was not answered within {self.patience.seconds:.2g} s")
        return answer

    def find_answer(self, message_id: str, within: float) -> Optional[Answer]:
        """Return the answer to a CALL. ``None``: none came in so many seconds.

        Raises:
            Ended: The connection has ended.
        """
        patience = self.wire.patience(within)
        while True:
            for answer in self._answers:
                if answer.message_id == message_id:
                    return answer
            left = patience.seconds_left()
            if left <= 0 or not self._read(left):
                return None

    def _gather(self, within: float) -> None:
        patience = self.wire.patience(within)
        while patience.seconds_left() > 0:
            self._read(patience.seconds_left())

    def _read(self, within: float) -> bool:
        frame = self.wire.receive(within)
        if frame is not None and frame.opcode == TEXT:
            self._take(frame.data)
        return frame is not None

    def _take(self, data: bytes) -> None:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Failed("a text frame is no UTF-8") from None
        own = self._judge.read("in", text)
        judged = self._judge.judge("in", text)
        if own.kind in ("CALL", "SEND"):
            self.faults.extend(judged.faults)
            self.calls.append(own)
            if own.kind == "CALL" and self.serves:
                self._serve(own)
            return
        is_echo = own.kind == "TEXT" and any(_id_of(text) == each for each in self._odd_ids)
        answer = _echo(text) if is_echo else self._read_answer(own, text)
        self.faults.extend(answer.faults)
        self._answers.append(answer)

    def _read_answer(self, own: JudgedFrame, text: str) -> Answer:
        faults = [each for each in own.faults if self.version != "1.6" or _DESCRIPTION not in each]
        return Answer(own.kind, own.message_id, own.payload, own.error_code, own.error_description, faults, text)

    def _serve(self, call: JudgedFrame) -> None:
        response = None if call.message is None else default_response(call.message, datetime.now(timezone.utc))
        if response is None:
            self.send(4, call.message_id, "NotImplemented", "", {})
        else:
            self.send(3, call.message_id, response.to_wire())

    def close(self) -> None:
        """Close the connection."""
        self.wire.close()


def _id_of(text: str) -> Any:
    """Return what stands in the place of the message id in a frame. ``...``: there is no such place."""
    try:
        elements = json.loads(text)
    except (ValueError, RecursionError):
        return ...
    return elements[1] if isinstance(elements, list) and len(elements) > 1 else ...


def _echo(text: str) -> Answer:
    """Return an answer with a message id of ours that is none. That is our fault, and not that of the answer."""
    number, message_id, *rest = json.loads(text)
    first = rest[0] if rest else None
    kind = "RESULT" if number == 3 else "ERROR" if number == 4 else "TEXT"
    code = first if kind == "ERROR" and isinstance(first, str) else None
    return Answer(kind, message_id if isinstance(message_id, str) else None, first, code, "", (), text)
