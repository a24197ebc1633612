"""What is remembered of the peers' CALLs, for a peer that sends one again.

A peer may send a request again, with its id (OCPP-J 1.6 errata 3.1; OCPP 2.1 Part 4 section 4.1.4), over a new
connection too. `LeftCalls` knows the CALLs whose connection ended before their answer, `AnswerMemory` the last answers.
Ids alone say little: some charge points count them from the same number after each start. So action and payload are
compared, too, and everything is forgotten after some time.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from typing import Dict, NamedTuple, Optional, Tuple

from ..budget import RECORDED, MemoryBudget, weigh
from ..clock import Clock
from ..errors import MessageError
from ..rpc.dialect import Dialect
from ..rpc.messages import Call
from .connection import Connection
from .waiting import WaitingCalls, contents

__all__ = ["AnswerMemory", "LeftCalls", "fingerprint", "is_repeated"]

#: CALLs of ended connections that are remembered, over all clients. The handlers of most end soon.
_MOST_LEFT = 10_000
_MOST_LEFT_BYTES = 64 * 1024 * 1024  # of those whose answers come later, as text


def fingerprint(call: Call) -> Optional[bytes]:
    """Return what is the same for two CALLs of the same action and payload; ``None`` for one that cannot be read."""
    # A signed CALL gets a signed answer, so the plain form of it is another one. Its signature may differ: some
    # algorithms never make the same twice.
    try:
        what = [int(call.message_type_id), call.action, call.signature is not None, contents(call)[1] or {}]
        text = json.dumps(what, sort_keys=True, default=str)
    except (RecursionError, MessageError):
        return None
    return hashlib.sha256(text.encode("ascii")).digest()


def is_repeated(first: Call, second: Call) -> bool:
    """Tell whether two CALLs of one id have the same action and payload, too."""
    mark = fingerprint(first)
    return mark is not None and mark == fingerprint(second)


def _end(*calls: Call) -> None:
    """Note that ``calls`` wait for no answer any more. The lock of the connections is held."""
    for call in calls:
        held = call.held  # once: its turn may come just now
        if held is not None:
            held.call_ended()


def _note_left(call: Call, is_left: bool) -> None:
    """Note whether ``call`` is open on no present connection. The lock of the connections is held."""
    held = call.held
    if held is not None:
        held.note_left(is_left)


class _LeftCall:
    """A CALL whose connection has ended.

    ``repeated``: it has come again over a newer connection. ``over``: the present one of these, where its id is open.
    """

    __slots__ = ("call", "dialect", "over", "repeated", "since")

    def __init__(self, call: Call, dialect: Dialect, since: float) -> None:
        self.call = call
        self.dialect = dialect
        self.since = since  # when the last connection on which it was open has ended
        self.repeated = False
        self.over: Optional[Connection] = None


class LeftCalls:
    """The CALLs that were unanswered when their connection ended, so that none is handled twice. Thread-safe.

    A CALL is forgotten when its handler has ended with an answer, ``max_age`` seconds after the end of its connection,
    and when there are too many, by number or by the size of their texts. ``lock`` is that of the connections, too: an
    entry moves from one to the other in one step.
    """

    def __init__(self, clock: Clock, max_age: float) -> None:
        self._clock = clock
        self._max_age = max_age
        self.lock: threading.Lock = threading.Lock()
        self.texts: Optional[WaitingCalls] = None  # of CALLs whose answers come later
        #: Those that are open on no present connection, oldest first. Empty for nearly all of the time.
        self.waiting: "OrderedDict[Tuple[str, str], _LeftCall]" = OrderedDict()
        #: Those that came again, and whose id is open on a present connection. That connection bounds their number.
        self.joined: Dict[Tuple[str, str], _LeftCall] = {}

    def leave(self, connection: Connection, remember: bool = True) -> None:
        """Note that ``connection`` has ended, and ``remember`` its unanswered CALLs. May be called again."""
        now = self._clock.monotonic()
        with self.lock:
            connection.left = True
            for call in connection.take_unanswered():
                key = connection.client_id, call.unique_id
                entry = self.joined.pop(key, None)
                if not remember:
                    _end(call, *([] if entry is None else [entry.call]))
                    continue
                if entry is None:  # usually; one that waits already is about to be joined by this one
                    entry = self.waiting.get(key) or _LeftCall(call, connection.dialect, now)
                if entry.call is not call:
                    _end(call)
                entry.over, entry.since = None, now
                self.waiting[key] = entry
                self.waiting.move_to_end(key)
                _note_left(entry.call, True)
            self._forget_old(now)

    def _forget_old(self, now: float) -> None:
        """Forget what is too old, and the oldest of too many. Lock held."""
        while self.waiting:
            oldest = next(iter(self.waiting.values()))
            heavy = self.texts is not None and self.texts.left_bytes > _MOST_LEFT_BYTES
            if now - oldest.since < self._max_age and len(self.waiting) <= _MOST_LEFT and not heavy:
                return
            self.waiting.popitem(last=False)
            _end(oldest.call)

    def join(self, connection: Connection, call: Call) -> bool:
        """Tell whether ``call``, which has begun on ``connection``, is a CALL left that has come again.

        If it is, it is not to be handled. The answer to the first copy answers it: see `finish`. A CALL of the same id
        with another action or payload takes the place of the one left, which is not answered any more.
        """
        key = connection.client_id, call.unique_id
        entry = self.waiting.get(key)
        if entry is None or entry.call is call:
            return False
        same = entry.dialect is connection.dialect and is_repeated(entry.call, call)
        now = self._clock.monotonic()
        with self.lock:
            if self.waiting.get(key) is not entry:  # its handler has ended just now
                return False
            if not same or now - entry.since >= self._max_age:
                del self.waiting[key]
                _end(entry.call)
                return False
            entry.repeated = True
            if not connection.left:
                entry.over = connection
                self.joined[key] = self.waiting.pop(key)
                _note_left(entry.call, False)
            return True

    def find(self, client_id: str, message_id: str) -> Optional[Call]:
        """Return the CALL left that waits for an answer by ``send_response`` or ``send_error``, or ``None``."""
        entry = self.waiting.get((client_id, message_id))
        return None if entry is None else entry.call

    def has(self, client_id: str, call: Call) -> bool:
        """Tell whether ``call`` is one that was left. Lock held."""
        key = client_id, call.unique_id
        entry = self.joined.get(key) or self.waiting.get(key)
        return entry is not None and entry.call is call

    def is_joined(self, connection: Connection, call: Call) -> bool:
        """Tell whether ``call`` waits on ``connection`` for the answer to a CALL left. Lock held."""
        entry = self.joined.get((connection.client_id, call.unique_id))
        return entry is not None and entry.over is connection

    def wants(self, client_id: str, call: Call) -> bool:
        """Tell whether the answer of the handler of ``call`` is still wanted: see `finish`."""
        with self.lock:
            return self.has(client_id, call)

    def finish(self, client_id: str, call: Call, newest: Optional[Connection]) -> Tuple[bool, Optional[Connection]]:
        """Note that the handler of ``call`` gives its answer. Return whether it is wanted, and where it can be sent.

        It is not wanted when it was given already, or another CALL took its id. It goes out over the newest connection
        if the CALL came again, and nowhere otherwise: then the peer may have begun to count its ids anew.
        """
        key = client_id, call.unique_id
        with self.lock:
            table: Dict[Tuple[str, str], _LeftCall] = self.joined if key in self.joined else self.waiting
            entry = table.get(key)
            if entry is None or entry.call is not call:
                return False, None
            del table[key]
            _end(call)
            if entry.over is not None:
                entry.over.drop(call.unique_id)
                return True, entry.over
            usable = entry.repeated and newest is not None and newest.dialect is entry.dialect and not newest.left
            return True, newest if usable else None

    def hand_on(self, client_id: str, call: Call) -> Optional[Tuple[Connection, Call]]:
        """Note that ``call`` gets no answer. If it came again over a present connection, return that and the copy."""
        key = client_id, call.unique_id
        with self.lock:
            if not self.has(client_id, call):
                return None
            entry = self.joined.pop(key, None) or self.waiting.pop(key)
            _end(entry.call)
            copy = None if entry.over is None else entry.over.find(call.unique_id)
            return None if entry.over is None or copy is None else (entry.over, copy)

    def forget(self, client_id: str, message_id: str) -> bool:
        """Note that ``send_response`` or ``send_error`` answers the CALL of that id. Return whether there was one."""
        key = client_id, message_id
        with self.lock:
            joined, waiting = self.joined.pop(key, None), self.waiting.pop(key, None)
            _end(*(entry.call for entry in (joined, waiting) if entry is not None))
        return joined is not None or waiting is not None

    def clear(self) -> None:
        """Forget all: the endpoint has stopped, and handlers that had not begun will not run."""
        with self.lock:
            _end(*(entry.call for table in (self.waiting, self.joined) for entry in table.values()))
            self.waiting.clear()
            self.joined.clear()

    def _after_fork(self) -> None:
        """Forget all, which is the parent's: see `ocppj.forks`."""
        self.waiting.clear()
        self.joined.clear()


class _Answer(NamedTuple):
    text: str
    mark: bytes  # the fingerprint of the CALL
    since: float
    size: int


class _OfClient:
    """The answers to one client: their ids, oldest first, and their size in bytes."""

    __slots__ = ("ids", "size")

    def __init__(self) -> None:
        self.ids: "OrderedDict[str, None]" = OrderedDict()
        self.size = 0


class AnswerMemory:
    """The last answers given, so that a CALL that is repeated after its answer gets the same answer again.

    ``capacity`` answers are kept, over all clients, each for ``max_age`` seconds. They have at most `MOST_BYTES`, and
    at most `MOST_BYTES_OF_CLIENT` for each client; older ones are forgotten for new ones. An answer for which the
    ``budget`` has no room is not remembered. Thread-safe.
    """

    MOST_BYTES = 64 * 1024 * 1024
    MOST_BYTES_OF_CLIENT = 1024 * 1024

    def __init__(self, capacity: int, max_age: float, clock: Clock, budget: Optional[MemoryBudget] = None) -> None:
        if capacity < 0:
            raise ValueError("the number of answers to remember must not be negative")
        self._capacity = capacity
        self._max_age = max_age
        self._clock = clock
        self._budget = MemoryBudget() if budget is None else budget
        self._lock = threading.Lock()
        self._answers: "OrderedDict[Tuple[str, str], _Answer]" = OrderedDict()
        self._by_client: Dict[str, _OfClient] = {}
        self._size = 0
        self.counted: int = 0  #: Belongs to the budget.

    def _after_fork(self) -> None:
        """Forget all answers: see `ocppj.forks`."""
        self._answers.clear()
        self._by_client.clear()
        self._size = self.counted = 0

    def put(self, client_id: str, call: Call, text: str) -> None:
        """Remember that ``text`` answered ``call``. The first answer to a CALL stays."""
        mark = fingerprint(call)
        if mark is None:
            return
        key, now, size = (client_id, call.unique_id), self._clock.monotonic(), weigh(text)
        with self._lock:
            known = self._answers.get(key)
            if known is not None and known.mark == mark and now - known.since < self._max_age:
                return
            if known is not None:
                self._forget(key)
            if size <= self.MOST_BYTES_OF_CLIENT and self._budget.count(self, RECORDED, self._size + size):
                self._add(key, _Answer(text, mark, now, size))
            self._forget_old(now)

    def _add(self, key: Tuple[str, str], answer: _Answer) -> None:
        """Add an answer, and forget the oldest of too many to that client. Lock held."""
        client_id, message_id = key
        own = self._by_client.setdefault(client_id, _OfClient())
        while own.size + answer.size > self.MOST_BYTES_OF_CLIENT:
            self._forget((client_id, next(iter(own.ids))))
        self._by_client[client_id] = own  # it is forgotten with its last answer
        self._answers[key] = answer
        own.ids[message_id] = None
        own.size += answer.size
        self._size += answer.size
        self._budget.count(self, RECORDED, self._size, must=True)  # those that were forgotten took it away

    def _forget_old(self, now: float) -> None:
        """Forget what is too old, and the oldest of too many. Lock held."""
        while self._answers:
            key = next(iter(self._answers))
            is_fresh = now - self._answers[key].since < self._max_age
            if is_fresh and len(self._answers) <= self._capacity and self._size <= self.MOST_BYTES:
                return
            self._forget(key)

    def _forget(self, key: Tuple[str, str]) -> None:
        """Forget an answer. Lock held."""
        client_id, message_id = key
        own, answer = self._by_client.get(client_id), self._answers.pop(key, None)
        if answer is not None:  # else the thread that was to add it was interrupted, or that which was to forget it
            self._size -= answer.size
            self._budget.count(self, RECORDED, self._size)
        if own is not None:
            own.size -= 0 if answer is None else answer.size
            own.ids.pop(message_id, None)
            if not own.ids:
                del self._by_client[client_id]

    def get(self, client_id: str, call: Call) -> Optional[str]:
        """Return the text that answered a CALL of this id, action and payload not too long ago, or ``None``."""
        known = self._answers.get((client_id, call.unique_id))
        if known is None or self._clock.monotonic() - known.since >= self._max_age:
            return None
        return known.text if known.mark == fingerprint(call) else None
