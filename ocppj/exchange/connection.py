"""One connection, seen from OCPP: its version, the CALLs of the peer that are not answered yet, its bad frames.

Beside it what outlives a connection: the answers given, and what is still to be told of its end.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from functools import partial
from typing import Callable, Deque, Dict, Optional, Set, Tuple

from ..rpc.dialect import Dialect
from ..rpc.messages import Call
from ..ws.base import Channel

__all__ = ["AnswerMemory", "Connection", "Notices"]


class Connection:
    """A channel and what OCPP knows about it. Thread-safe.

    What is added to the CALLs that are not answered, and how many there are, needs no lock: ``setdefault`` and ``len``
    of a dict with keys of `str` are done in one piece, whatever other threads do. What is taken away does, for it is
    looked at first; meanwhile its place is occupied, so that nothing can be added there.
    """

    def __init__(self, client_id: str, channel: Channel, dialect: Dialect) -> None:
        self.client_id = client_id
        self.channel = channel
        self.dialect = dialect
        self.session: object = None  # in which a client made it
        self.released = False  # a server's dispatcher has been told that it has ended
        self.left: Optional[threading.Event] = None  # made at the end of the connection; set after its last handler
        self._lock = threading.Lock()
        self._unanswered: Dict[str, Call] = {}
        self.bad_in_a_row = 0  # touched by the reading thread alone

    def begin(self, call: Call) -> bool:
        """Note that ``call`` is being handled; return false when one of its id is already."""
        return self._unanswered.setdefault(call.unique_id, call) is call

    def unanswered(self) -> int:
        """Return how many CALLs of the peer wait for their answer."""
        return len(self._unanswered)

    def finish_call(self, call: Call) -> bool:
        """Note that ``call`` is done with; return false when it was already."""
        message_id = call.unique_id
        with self._lock:
            if message_id not in self._unanswered or self._unanswered[message_id] is not call:
                return False
            del self._unanswered[message_id]
            return True

    def finish(self, message_id: str) -> Optional[Call]:
        """Note that an answer goes out; return the CALL it answers, if it is known."""
        with self._lock:
            return self._unanswered.pop(message_id, None)

    def count_bad(self) -> int:
        """Count a frame that is no message; return how many came in a row."""
        self.bad_in_a_row += 1
        return self.bad_in_a_row

    def count_good(self) -> None:
        """Count a frame that is a message."""
        self.bad_in_a_row = 0


class AnswerMemory:
    """The last answers given, so that a CALL repeated with its id gets the same answer again.

    A peer that did not get an answer may send the request again with the same id (OCPP-J 1.6 errata 3.1), on a new
    connection too. ``capacity`` bounds the number of answers kept over all clients; 0 keeps none.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise ValueError("the number of answers to remember must not be negative")
        self._capacity = capacity
        self._lock = threading.Lock()
        self._answers: "OrderedDict[Tuple[str, str], str]" = OrderedDict()

    def put(self, client_id: str, message_id: str, text: str) -> None:
        """Remember that ``text`` answered that CALL."""
        if not self._capacity:
            return
        with self._lock:
            self._answers[client_id, message_id] = text
            self._answers.move_to_end((client_id, message_id))
            while len(self._answers) > self._capacity:
                self._answers.popitem(last=False)

    def get(self, client_id: str, message_id: str) -> Optional[str]:
        """Return the text that answered that CALL, or ``None``."""
        if not self._capacity:
            return None
        with self._lock:
            return self._answers.get((client_id, message_id))


class Notices:
    """What a program is told of a client's connections: one thing at a time, in the order in which it happened.

    The threads that tell it are those that run the handlers of the connection concerned, each when it is free. When an
    older notice is still to be told, because the thread for it is busy, that thread tells the newer one too, after it:
    nobody waits. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: Deque[Callable[[], object]] = deque()
        self._free: Set[Callable[[], object]] = set()  # those of the line that may be told
        self._telling = False  # a thread is in `_tell`

    def add(self, tell: Callable[[], object]) -> Callable[[], None]:
        """Put ``tell``, which must not raise, in line; return what is to be called once it may be told."""
        notice = partial(tell)  # which is like no other
        with self._lock:
            self._line.append(notice)
        return partial(self._tell, notice)

    def _tell(self, notice: Callable[[], object]) -> None:
        """Let ``notice`` be told, and tell what may be, unless another thread does that already."""
        with self._lock:
            self._free.add(notice)
            if self._telling:
                return
            self._telling = True
        while True:
            with self._lock:
                if not self._line or self._line[0] not in self._free:
                    self._telling = False
                    return
                following = self._line.popleft()
                self._free.discard(following)
            following()
