"""`Relay`: passes CALLs of observers on to a charging station.

Each gets an id of its own on its way, so ids of observers and of the central system cannot be mixed up. Nothing else of
the frame is changed. A station answers one CALL after the other, so such a CALL waits until the station has answered
what it was asked before. A CALL of the central system never waits.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import deque
from typing import Callable, Deque, Dict, NamedTuple, Optional

from ..rpc.frames import FrameHead, read_frame_head
from ..rpc.messages import MessageType
from .message import STATION

__all__ = ["Relay"]

_MOST = 20  # CALLs of observers that may wait
_PATIENCE = 30.0  # seconds after which a CALL without an answer holds no other one up
_REMEMBERED = 50  # CALLs without an answer: it may come late, and is for the observer, too
_ANSWERS = (MessageType.CALL_RESULT, MessageType.CALL_ERROR)
_ID = re.compile(r'([ \t\r\n\ufeff]*\[[ \t\r\n]*[2-6][ \t\r\n]*,[ \t\r\n]*)("(?:[^"\\]|\\.)*")', re.DOTALL)


class _Call(NamedTuple):
    """A CALL of an observer. ``answer`` takes what the station answers, with the id of the observer in it."""

    text: str
    answer: Callable[[str], None]


class _Sent(NamedTuple):
    since: float
    written_id: str  # as it stands in the frame of the observer, with its quotes
    answer: Callable[[str], None]


class Relay:
    """The CALLs of observers to one station. ``send`` has a frame written to it, and returns at once."""

    def __init__(self, send: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()  # guards the fields below
        self._waiting: Deque[_Call] = deque()
        self._sent: Dict[str, _Sent] = {}  # by the id that the station was sent
        self._asked: Dict[str, float] = {}  # the CALLs of the central system, by id: since when

    def call(self, text: str, answer: Callable[[str], None]) -> bool:
        """Take a CALL; return false if it cannot be passed on: too many wait, or its id cannot be replaced."""
        if _ID.match(text) is None:
            return False
        with self._lock:
            if len(self._waiting) >= _MOST:
                return False
            self._waiting.append(_Call(text, answer))
        self._send_next()
        return True

    def note(self, sender: str, text: str) -> None:
        """Note a frame that is passed on between the station and its central system."""
        head = read_frame_head(text)
        if head.message_id is None:
            return
        if sender != STATION:
            if head.message_type is MessageType.CALL:
                with self._lock:
                    self._asked[head.message_id] = self._clock()
            return
        if head.message_type in _ANSWERS:
            with self._lock:
                self._asked.pop(head.message_id, None)
        self._send_next()  # also after a CALL of the station: one that has no answer may have become overdue

    def take_answer(self, sender: str, text: str) -> bool:
        """Give an answer of the station to the observer that waits for it; return false if none does."""
        if sender != STATION or not self._sent:
            return False
        sent = self._take(read_frame_head(text))
        if sent is None:
            return False
        sent.answer(_with_id(text, sent.written_id))
        self._send_next()
        return True

    def _take(self, head: FrameHead) -> Optional[_Sent]:
        if head.message_type not in _ANSWERS or head.message_id is None:
            return None
        with self._lock:
            return self._sent.pop(head.message_id, None)

    def _send_next(self) -> None:
        text = self._next()
        if text is not None:
            self._send(text)

    def _next(self) -> Optional[str]:
        """Return the next CALL, with the id that it gets; ``None`` if none waits, or the station is asked already."""
        with self._lock:
            is_asked = self._is_asked()  # first: what is overdue has to be forgotten in any case
            if not self._waiting or is_asked:
                return None
            call = self._waiting.popleft()
            message_id = str(uuid.uuid4())
            match = _ID.match(call.text)
            assert match is not None
            if len(self._sent) >= _REMEMBERED:
                del self._sent[next(iter(self._sent))]  # the oldest
            self._sent[message_id] = _Sent(self._clock(), match[2], call.answer)
        return _with_id(call.text, f'"{message_id}"')

    def _is_asked(self) -> bool:
        """Tell whether the station still has to answer. Forgets what is overdue. Called with the lock held."""
        overdue = self._clock() - _PATIENCE
        self._asked = {each: since for each, since in self._asked.items() if since > overdue}
        return bool(self._asked) or any(sent.since > overdue for sent in self._sent.values())


def _with_id(text: str, written_id: str) -> str:
    """Return a frame with another id. Nothing else is changed."""
    return _ID.sub(lambda match: match[1] + written_id, text, count=1)
