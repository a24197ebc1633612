"""The connections of one endpoint, and what outlives them: the answers given (`AnswerMemory`)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Callable, Dict, Optional, Tuple

from ..rpc.dialect import Dialect
from ..rpc.endpoint import Pending
from ..rpc.messages import Call
from ..ws.base import Channel

__all__ = ["AnswerMemory", "Connection", "Connections", "ThreadContext"]


class ThreadContext(threading.local):
    """What the running thread is doing."""

    #: The connection that this thread reads, or whose frame it shows to an observer. A ``call()`` over that connection
    #: would wait for itself.
    connection: Optional["Connection"] = None


class Connection:
    """A channel and what OCPP knows about it. Thread-safe.

    `begin` and `unanswered` need no lock: ``setdefault`` and ``len`` of a dict with keys of `str` are one step each,
    whatever other threads do. To take an entry away needs the lock, because the entry is looked at first. While that
    happens its id is occupied, so that nothing can be added there.
    """

    __slots__ = (
        "_lock",
        "_unanswered",
        "bad_in_a_row",
        "channel",
        "client_id",
        "dialect",
        "pending",
        "released",
        "session",
    )

    def __init__(self, client_id: str, channel: Channel, dialect: Dialect, pending: Pending) -> None:
        self.client_id = client_id
        self.channel = channel
        self.dialect = dialect
        self.pending = pending  # tells which request of ours an answer belongs to
        self.session: object = None  # the client's session that made it
        self.released = False  # the server's dispatcher knows that it has ended
        self.bad_in_a_row = 0  # frames that are no message; touched by the reading thread alone
        self._lock = threading.Lock()
        self._unanswered: Dict[str, Call] = {}

    def begin(self, call: Call) -> bool:
        """Note that ``call`` is being handled. Return false when a CALL of its id is being handled already."""
        return self._unanswered.setdefault(call.unique_id, call) is call

    def unanswered(self) -> int:
        """Return how many CALLs of the peer wait for their answer."""
        return len(self._unanswered)

    def finish_call(self, call: Call) -> bool:
        """Note that ``call`` is answered. Return false when it was answered already."""
        message_id = call.unique_id
        with self._lock:
            if message_id not in self._unanswered or self._unanswered[message_id] is not call:
                return False
            del self._unanswered[message_id]
            return True

    def finish(self, message_id: str) -> Optional[Call]:
        """Note that an answer goes out. Return the CALL that it answers, if that is known."""
        with self._lock:
            return self._unanswered.pop(message_id, None)


class Connections:
    """The connections of one endpoint: all by channel, and the present one of each peer by its identity.

    Both tables change under the lock of the endpoint's lifecycle. One look-up needs no lock. ``absent`` returns the
    error to raise when a peer has no connection.
    """

    def __init__(self, absent: Callable[[str], Exception]) -> None:
        self._absent = absent
        self.by_channel: Dict[Channel, Connection] = {}
        self.by_id: Dict[str, Connection] = {}

    def get(self, client_id: str) -> Connection:
        """Return the present connection to that peer, or raise why there is none."""
        connection = self.by_id.get(client_id)
        if connection is None:
            raise self._absent(client_id)
        return connection


class AnswerMemory:
    """The last answers given, so that a CALL repeated with its id gets the same answer again.

    A peer that did not get an answer may send the request again with the same id (OCPP-J 1.6 errata 3.1), on a new
    connection too. ``capacity`` answers are kept, over all clients. Thread-safe.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise ValueError("the number of answers to remember must not be negative")
        self._capacity = capacity
        self._lock = threading.Lock()
        self._answers: "OrderedDict[Tuple[str, str], str]" = OrderedDict()

    def put(self, client_id: str, message_id: str, text: str) -> None:
        """Remember that ``text`` answered that CALL."""
        with self._lock:
            self._answers[client_id, message_id] = text
            self._answers.move_to_end((client_id, message_id))
            while len(self._answers) > self._capacity:
                self._answers.popitem(last=False)

    def get(self, client_id: str, message_id: str) -> Optional[str]:
        """Return the text that answered that CALL, or ``None``."""
        with self._lock:
            return self._answers.get((client_id, message_id))
