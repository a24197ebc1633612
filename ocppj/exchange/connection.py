"""The connections of one endpoint."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..rpc.dialect import Dialect
from ..rpc.endpoint import Pending
from ..rpc.messages import Call, Send
from ..ws.base import Channel

__all__ = ["Connection", "Connections", "ThreadContext"]


_UNKNOWN = datetime.fromtimestamp(0, timezone.utc)


class ThreadContext(threading.local):
    """What the running thread is doing."""

    #: The connection that this thread reads, or whose frame it shows to an observer. A ``call()`` over that connection
    #: would wait for itself.
    connection: Optional["Connection"] = None
    #: Whether this thread tells the program of the end of a request, which is forgotten afterwards.
    telling = False


class Connection:
    """A channel and what OCPP knows about it. Thread-safe.

    ``lock`` is that of all connections of an endpoint, because a CALL may outlive its connection: see `LeftCalls`.
    `begin` and the length of `unanswered` need no lock: ``setdefault`` and ``len`` of a dict with keys of `str` are one
    step each, whatever other threads do. To take an entry away needs the lock, because the entry is looked at first.
    While that happens its id is occupied, so that nothing can be added there.
    """

    __slots__ = (
        "_fragments",
        "_lock",
        "asked",
        "bad_in_a_row",
        "brought_answer",
        "channel",
        "client_id",
        "dialect",
        "held_bytes",
        "last_answer",
        "last_request",
        "last_written",
        "left",
        "pending",
        "released",
        "session",
        "since",
        "unanswered",
        "unseen",
    )

    def __init__(
        self,
        client_id: str,
        channel: Channel,
        dialect: Dialect,
        pending: Pending,
        since: datetime = _UNKNOWN,
        lock: Optional[threading.Lock] = None,
    ) -> None:
        self.client_id: str = client_id
        self.channel: Channel = channel
        self.dialect: Dialect = dialect
        self.pending: Pending = pending  # tells which request of ours an answer belongs to
        self.since: datetime = since  # when it was made, in UTC
        self.session: object = None  # the client's session that made it
        self.released: bool = False  # the server's dispatcher knows that it has ended
        self.left: bool = False  # it is known to have ended: nothing can be sent over it
        self.bad_in_a_row: int = 0  # frames that are no message; touched by the reading thread alone
        self.brought_answer: bool = False  # an answer to a request of ours has come over it
        # For `Refusals`: the ids of our last request, of the last CALL that was answered, and of our last frame.
        # A CALL of the peer clears the second, anything that comes the third.
        self.last_request: Optional[str] = None
        self.last_answer: Optional[str] = None
        self.last_written: Optional[str] = None
        #: The request that was written last: its id, its action, and when (`Clock.monotonic`).
        self.asked: Tuple[str, str, float] = ("", "", 0.0)
        self.unseen: Any = None  # the frames that observers are still to be shown; belongs to `FrameLines`
        self.held_bytes: int = 0  # of its CALLs that wait; guarded by the lock. Belongs to `WaitingCalls`.
        self._lock = lock or threading.Lock()
        self._fragments: Optional[bytes] = None  # of a text message that the program sends frame by frame
        #: The CALLs of the peer that wait for their answer, by id. Others only read it.
        self.unanswered: Dict[str, Call] = {}

    def take_frame(self, opcode: Any, data: Any, fin: Any) -> Optional[str]:
        """Take note of a WebSocket frame that the program sends. Return the text message that it completes, if any."""
        if opcode in (0x1, 0x2) or not isinstance(data, (bytes, bytearray, memoryview)):
            self._fragments = None
        if opcode == 0x1 and isinstance(data, (bytes, bytearray, memoryview)):
            self._fragments = b""
        if opcode not in (0x0, 0x1) or self._fragments is None:
            return None
        self._fragments += bytes(data)
        if not fin:
            return None
        message, self._fragments = self._fragments, None
        try:
            return message.decode("utf-8")
        except UnicodeDecodeError:
            return None

    def note_raw(self) -> None:
        """Note that the last frame of ours is neither a request nor an answer: a Close says nothing about those."""
        self.last_request = self.last_answer = self.last_written = None

    def begin(self, call: Call) -> Call:
        """Note that ``call`` is being handled, and return it. If one of its id is being handled, return that one."""
        return self.unanswered.setdefault(call.unique_id, call)

    def find(self, message_id: str) -> Optional[Call]:
        """Return the unanswered CALL of that id, or ``None``."""
        return self.unanswered.get(message_id)

    def unanswered_calls(self) -> List[Call]:
        """Return the CALLs of the peer that wait for their answer. A SEND, which gets none, is not among them."""
        return [call for call in list(self.unanswered.values()) if type(call) is not Send]

    def finish_call(self, call: Call) -> bool:
        """Note that ``call`` is answered. Return false when it was answered already, or its connection has left."""
        message_id = call.unique_id
        with self._lock:
            if self.unanswered.get(message_id) is not call:
                return False
            del self.unanswered[message_id]
            held = call.held  # once: its turn may come just now
            if held is not None:
                held.call_ended()
            return True

    def finish(self, message_id: str) -> Optional[Call]:
        """Note that an answer goes out. Return the CALL that it answers, if that is known."""
        with self._lock:
            return self.drop(message_id)

    def drop(self, message_id: str) -> Optional[Call]:
        """Do what `finish` does. Lock held."""
        call = self.unanswered.pop(message_id, None)
        held = None if call is None else call.held  # once, as above
        if held is not None:
            held.call_ended()
        return call

    def take_unanswered(self) -> List[Call]:
        """Take all unanswered CALLs away, and return them. SENDs are dropped. Lock held."""
        calls = []
        while self.unanswered:  # one by one: the reading thread may add one meanwhile
            _, call = self.unanswered.popitem()
            if not isinstance(call, Send):
                calls.append(call)
        return calls


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
