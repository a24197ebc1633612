"""`Refusals`: which frame of ours a peer has refused with its Close, and what is remembered of it.

RFC 6455 section 7.4.1: 1009 refuses a message that is too big, 1007 one whose data is inconsistent, 1002 one that
breaks the protocol, 1008 one that breaks a policy. A frame that was refused so is refused again over the next
connection. So it is counted: a request by its dispatcher (``max_refusals``), an answer here.

The peer does not say which frame it means. 1009 and 1007 may mean the last request, and the answer to the last CALL.
1002 and 1008 may mean the connection as such: they count only if nothing was written or came after the frame. The other
frame is suspected at most a few times: a request that is answered no longer counts, and a new CALL shows that the peer
has taken the answer to the one before (OCPP-J 1.6 section 4.1.1).
"""

from __future__ import annotations

import threading
from typing import Optional, Tuple

from ..clock import Clock
from ..recent import Recent
from ..ws.base import Close
from .connection import Connection

__all__ = ["Refusals"]

_ABOUT_A_FRAME = (1007, 1009)
_PERHAPS_ABOUT_A_FRAME = (1002, 1008)

_MOST_ANSWERS = 1000  # that are remembered, over all peers
_MAX_AGE = 3600.0  # seconds since the last refusal
_MAX_REFUSALS = 3  # connections that the same answer may end


class Refusals:
    """How many connections the answer to the same CALL has ended. Thread-safe.

    A peer may repeat its CALL over each new connection, with its id, and would get the same answer each time. What is
    too old is forgotten, and the oldest of too many.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: By the id of the peer and of its CALL: how many, and when the last was. Empty for nearly all of the time.
        self.answers: Recent[Tuple[str, str], Tuple[int, float]] = Recent(_MOST_ANSWERS)

    def note_end(self, connection: Connection, close: Close) -> Optional[str]:
        """Take note that ``connection`` has ended with ``close``.

        Return the id of the request that ``close`` may refuse, answered or not, if there is one. If it refuses the same
        answer again, that is the likelier one.
        """
        request, answer = _suspects(connection, close)
        times = 0 if answer is None else self._count(connection.client_id, answer)
        return request if times < 2 else None

    def is_refused(self, client_id: str, message_id: str) -> bool:
        """Tell whether the answer to that CALL has ended so many connections that it is not to be given again.

        That is forgotten then: the CALL gets an error, and a later one of that id is another one.
        """
        key = client_id, message_id
        with self._lock:
            refused = self._known(key) >= _MAX_REFUSALS
            if refused:
                del self.answers[key]
        return refused

    def _count(self, client_id: str, message_id: str) -> int:
        key = client_id, message_id
        with self._lock:
            times = self._known(key) + 1
            self.answers.remember(key, (times, self._clock.monotonic()))
        return times

    def _known(self, key: Tuple[str, str]) -> int:
        """Return how many connections that answer has ended lately. Lock held."""
        times, since = self.answers.get(key, (0, 0.0))
        return times if self._clock.monotonic() - since < _MAX_AGE else 0


def _suspects(connection: Connection, close: Close) -> Tuple[Optional[str], Optional[str]]:
    """Return the ids of the request and of the answer that ``close`` may refuse."""
    request, answer, last = connection.last_request, connection.last_answer, connection.last_written
    if close.by_peer and close.code in _ABOUT_A_FRAME:
        return request, answer
    if close.by_peer and close.code in _PERHAPS_ABOUT_A_FRAME and last is not None:
        return request if last is request else None, answer if last is answer else None
    return None, None
