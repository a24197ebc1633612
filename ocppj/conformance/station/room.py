"""`Room`: what a case for a charging station is run with. We are the central system."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, TypeVar

from ...errors import OcppjError
from ...testing.seen import Seen
from ..outcomes import Frames
from ..verdicts import Doubtful, Failed, NotApplicable, PeerGone
from .link import Link
from .session import Session
from .settings import Settings

__all__ = ["PAYLOAD_CODES", "UNSUPPORTED", "Room", "check_status", "fields", "is_call", "told"]

T = TypeVar("T")

#: The codes of an answer to a command that the station does not know, or does not do.
UNSUPPORTED = ("NotSupported", "NotImplemented")
#: The codes that say that a payload is wrong, in the spelling of every version.
PAYLOAD_CODES = (
    "FormationViolation",
    "FormatViolation",
    "OccurenceConstraintViolation",
    "OccurrenceConstraintViolation",
    "PropertyConstraintViolation",
    "ProtocolError",
    "TypeConstraintViolation",
)


class Room:
    """What a case does with the station, and what it waits for.

    Args:
        link: The central system that the station is connected to.
        version: The OCPP version of the run.
        frames: Where the frames of the case are noted.

    Attributes:
        begun: The number of the last entry of the journal before the case.
    """

    def __init__(self, link: Link, version: str, frames: Frames) -> None:
        self.link = link
        self.version = version
        self._frames = frames
        self._csms = link.csms
        self._journal = link.journal
        self.begun: int = self._journal.last_number()

    @property
    def settings(self) -> Settings:
        """How the station is checked."""
        return self.link.settings

    @property
    def session(self) -> Session:
        """What cases before this one have found out."""
        return self.link.session

    @property
    def is_16(self) -> bool:
        """Whether it is OCPP 1.6."""
        return self.version == "1.6"

    def by_version(self, of_16: T, of_2: T) -> T:
        """Return the first in OCPP 1.6, and the second in 2.x."""
        return of_16 if self.is_16 else of_2

    # Sending

    def send_text(self, text: str) -> None:
        """Send a text frame as it is."""
        self._send(lambda client: self._csms.send_raw(text, id=client))

    def send_frame(self, opcode: int, data: bytes, fin: bool = True) -> None:
        """Send a WebSocket frame as it is."""
        self._frames.note("csms", f"<frame: opcode {opcode}, {'' if fin else 'not '}final, {len(data)} bytes> {data!r}")
        self._send(lambda client: self._csms.send_frame(opcode, data, fin, id=client))

    def _send(self, send: Callable[[str], object]) -> None:
        self.link.await_connection()
        try:
            send(self.link.connected_id)
        except (OcppjError, AssertionError) as error:
            raise Failed(f"the connection was lost: {str(error).splitlines()[0]}") from error

    def send_call(self, action: str, payload: Any = None, message_id: Optional[str] = None) -> str:
        """Send a CALL, and return its id. Nothing checks it."""
        message_id = str(uuid.uuid4()) if message_id is None else message_id
        self.send_text(json.dumps([2, message_id, action, {} if payload is None else payload]))
        return message_id

    def ask(self, action: str, payload: Any = None, within: Optional[float] = None) -> Seen:
        """Send a CALL, and return the answer.

        Raises:
            Failed: There is none.
        """
        since = self.now()
        answer = self.answer_to(self.send_call(action, payload), within, since)
        if answer is None:
            raise Failed(f"there is no answer to {action}: {self._why_not(within, since)}")
        return answer

    def ask_for(self, action: str, payload: Any = None) -> Dict[str, Any]:
        """Send a CALL, and return the payload of the answer.

        Raises:
            Failed: There is none, or it is an error.
            NotApplicable: The station does not support the action.
        """
        answer = self.ask(action, payload)
        self.skip_unsupported(answer, action)
        if answer.kind == "ERROR":
            raise Failed(f"{action} is answered with the error {told(answer)}")
        return answer.payload if isinstance(answer.payload, dict) else {}

    def skip_unsupported(self, answer: Seen, action: str) -> None:
        """Raise `NotApplicable` if the answer says that the station does not support the action."""
        if answer.kind == "ERROR" and answer.error_code in UNSUPPORTED:
            raise NotApplicable(f"the station does not support {action}: {answer.error_code}")

    def greet(self) -> None:
        """Ask for a Heartbeat. A station may wait longer for its next connection until this one has been of use."""
        since = self.now()
        with suppress(Failed):
            answer = self.answer_to(
                self.send_call("TriggerMessage", {"requestedMessage": "Heartbeat"}), self.settings.brief, since
            )
            if answer is not None and fields(answer).get("status") == "Accepted":
                self.wait(lambda: self._has_answered("Heartbeat", since), self.settings.brief)

    def _has_answered(self, action: str, since: int) -> bool:
        return any(each.direction == "out" and each.action == action for each in self.entries(since))

    # Waiting

    def now(self) -> int:
        """Return the number of the last entry: what comes later has a greater one."""
        return self._journal.last_number()

    def seconds(self) -> float:
        """Return the seconds of the clock."""
        return self._csms.timeline.now()

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self._csms.timeline.sleep(seconds)

    def entries(self, since: Optional[int] = None) -> List[Seen]:
        """Return what was seen of the station, since the case began or since ``since``."""
        return self._journal.entries(self.link.connected_id, self.begun if since is None else since)

    def wait(self, find: Callable[[], T], within: Optional[float] = None) -> T:
        """Wait until ``find()`` is true. Return what it returned last."""
        seconds = self.settings.answer if within is None else within
        return self._csms.timeline.wait(find, seconds, self._journal.changed)

    def answer_to(self, message_id: str, within: Optional[float] = None, since: Optional[int] = None) -> Optional[Seen]:
        """Return the answer with that id. ``None``: it has not come, or the connection has ended."""

        def find() -> Optional[Seen]:
            for seen in self.entries(since):
                if seen.direction == "in" and seen.is_answer and seen.message_id == message_id:
                    return seen
                if seen.kind == "DISCONNECTED":
                    return seen
            return None

        found = self.wait(find, within)
        return None if found is None or found.kind == "DISCONNECTED" else found

    def _why_not(self, within: Optional[float], since: int) -> str:
        ended = next((each for each in self.entries(since) if each.kind == "DISCONNECTED"), None)
        if ended is not None:
            return f"the connection has ended, {ended.close}"
        return f"none came within {self.settings.answer if within is None else within:g} s"

    def find_calls(self, action: Optional[str] = None, since: Optional[int] = None) -> List[Seen]:
        """Return the CALLs of the station, those of one action or all."""
        calls = [each for each in self.entries(since) if is_call(each)]
        return calls if action is None else [each for each in calls if each.action == action]

    def find_call(
        self,
        action: str,
        since: Optional[int] = None,
        within: Optional[float] = None,
        where: Callable[[Dict[str, Any]], object] = lambda payload: True,
    ) -> Optional[Seen]:
        """Wait for a CALL of the station, and return it. ``None``: it has not come.

        Args:
            action: Its action.
            since: Only what has a greater number. ``None``: since the case began.
            within: How long to wait, in seconds.
            where: Takes the payload, and returns whether it is the one.
        """

        def find() -> Optional[Seen]:
            calls = self.find_calls(action, since)
            return next((each for each in calls if where(fields(each))), None)

        return self.wait(find, within)

    def expect_call(
        self,
        action: str,
        why: str,
        since: Optional[int] = None,
        within: Optional[float] = None,
        where: Callable[[Dict[str, Any]], object] = lambda payload: True,
    ) -> Seen:
        """Wait as `find_call` does. Raises `Failed` if it does not come: ``why`` says after what."""
        found = self.find_call(action, since, within, where)
        if found is None:
            seconds = self.settings.answer if within is None else within
            raise Failed(f"no {action} came within {seconds:g} s {why}")
        return found

    def calls_during(self, seconds: float, but: Iterable[str] = (), since: Optional[int] = None) -> List[Seen]:
        """Let time pass, and return the CALLs that came since ``since``, or from now on. Those of ``but`` may come."""
        since = self.now() if since is None else since
        self.pause(seconds)
        return [each for each in self.find_calls(since=since) if each.action not in (*but,)]

    # The connection

    def cut(self) -> None:
        """Cut the connection, without a Close."""
        self._send(lambda client: self._csms.drop(id=client))
        self._frames.note("", "<cut by the check>")

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection with a code."""
        self._send(lambda client: self._csms.close(code, reason, id=client))

    def await_end(self, since: int, within: float) -> Optional[Seen]:
        """Wait until the connection has ended. Return its entry, or ``None``."""

        def find() -> Optional[Seen]:
            return next((each for each in self.entries(since) if each.kind == "DISCONNECTED"), None)

        return self.wait(find, within)

    def await_return(self, since: int) -> float:
        """Wait until the station has connected anew. Return how many seconds that took.

        Raises:
            PeerGone: It has not.
        """
        begun = self.seconds()

        def find() -> Optional[Seen]:
            return next((each for each in self.entries(since) if each.kind == "CONNECTED"), None)

        if self.wait(find, self.settings.wait) is None:
            raise PeerGone(f"{self.link.client_id} has not connected again within {self.settings.wait:g} s")
        self.link.await_connection()
        return self.seconds() - begun

    def check_alive(self, after: str) -> None:
        """Ask something harmless. Raises `Failed` if there is no answer: ``after`` says after what."""
        since = self.now()
        action, payload = self.harmless()
        answer = self.answer_to(self.send_call(action, payload), since=since)
        if answer is None:
            raise Failed(f"the station answers no more after {after}: {self._why_not(None, since)}")

    def harmless(self) -> "tuple[str, Dict[str, Any]]":
        """Return a CALL that changes nothing: its action and its payload."""
        if self.is_16:
            return "GetConfiguration", {"key": ["HeartbeatInterval"]}
        variable = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
        return "GetVariables", {"getVariableData": [variable]}

    # What the case changes

    def reply(self, action: str, reply: Any) -> None:
        """Answer CALLs of the station with ``reply`` until the case ends, or until `usual`."""
        self.link.replies[action] = reply

    def usual(self, action: str) -> None:
        """Answer CALLs of that action as usual again."""
        self.link.replies.pop(action, None)

    def trigger(self, message: str, **more: Any) -> Optional[Seen]:
        """Ask for a message by TriggerMessage, and return it.

        Raises:
            NotApplicable: The station does not support that, or rejects it.
            Failed: The message does not come.
        """
        since = self.now()
        answer = self.ask_for("TriggerMessage", {"requestedMessage": message, **more})
        if answer.get("status") != "Accepted":
            raise NotApplicable(f"TriggerMessage for {message} is answered {answer.get('status')!r}")
        return self.expect_call(message, "after TriggerMessage was accepted", since)

    def show(self, entries: Sequence[Seen]) -> None:
        """Note frames of another case, which this one judges, too."""
        for each in entries:
            if each.text:
                self._frames.note("station" if each.direction == "in" else "csms", each.text)

    def prompt(self, text: str) -> bool:
        """Ask the user to do something. Return whether that is possible."""
        ask = self.settings.prompt
        if ask is None:
            return False
        ask(text)
        return True


def fields(seen: Seen) -> Dict[str, Any]:
    """Return the payload of a frame. One that is no object counts as an empty one."""
    return seen.payload if isinstance(seen.payload, dict) else {}


def is_call(seen: Seen) -> bool:
    """Whether it is a CALL or a SEND of the station."""
    return seen.direction == "in" and seen.is_request


def told(answer: Seen) -> str:
    """Return what an error says, for people."""
    text = str(answer.error_code)
    return f"{text} ({answer.error_description})" if answer.error_description else text


def check_status(answer: Seen, good: Sequence[str], odd: Sequence[str] = (), name: str = "status") -> None:
    """Judge the status in an answer.

    Args:
        answer: A CALLRESULT.
        good: What it may be.
        odd: What is doubtful.
        name: The name of the property.

    Raises:
        Failed: It is something else, or the answer is an error.
        Doubtful: It is one of ``odd``.
        NotApplicable: The station does not support the command.
    """
    if answer.kind == "ERROR":
        text = f"the answer is the error {told(answer)}"
        raise NotApplicable(text) if answer.error_code in UNSUPPORTED else Failed(text)
    status = fields(answer).get(name)
    if status in good:
        return
    text = f"the {name} is {status!r}, not {' or '.join(good)}"
    raise Doubtful(text) if status in odd else Failed(text)
