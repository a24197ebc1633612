"""`WaitingCalls`: the frames of peers that wait, as text.

A CALL that finds others unanswered waits for its turn. It has been checked, so its refusal has gone out. Its typed
payload, which may take 25 times the bytes of its text, is dropped, and made again when its turn comes. The same is done
with a CALL whose handler leaves the answer for later.

What waits is counted, for its connection and for the whole endpoint. A connection with more than ``max_waiting_bytes``
reads nothing more until half of that is free. A large CALL counts for the endpoint while it is handled, too, as the
objects that were made of it.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Callable, Optional, Tuple

from ..budget import HANDLED, WAITING, Account, MemoryBudget, weigh, weigh_read
from ..rpc.messages import Call
from .connection import Connection

__all__ = ["HandledObjects", "HeldText", "WaitingCalls", "contents", "typed_payload"]


class HeldText:
    """The text of one frame that waits.

    ``until_answered`` tells whether it is kept until its CALL is answered. Else it is kept until its turn comes.
    """

    __slots__ = ("connection", "counted", "is_left", "size", "text", "until_answered", "waiting")

    def __init__(self, waiting: "WaitingCalls", connection: Connection, text: str, until_answered: bool) -> None:
        self.waiting: WaitingCalls = waiting
        self.connection: Connection = connection
        self.text: str = text
        self.size: int = weigh(text)
        self.until_answered: bool = until_answered
        # Guarded by the lock of the connections:
        self.counted: object = None  # the session in which it counts
        self.is_left: bool = False  # it waits for an answer, and its connection has ended

    def read(self) -> Any:
        """Return the message of the text, as it was read before. Raises `MessageError`."""
        return self.waiting.read(self.connection, self.text)

    def call_ended(self) -> None:
        """Count the text no more, if it was kept for the answer. The lock of the connections is held."""
        if self.until_answered:
            self.waiting.discount(self)

    def note_left(self, is_left: bool) -> None:
        """Note whether its CALL is open on no present connection. The lock of the connections is held."""
        if self.until_answered and self.is_left != is_left and self.counted is not None:
            self.is_left = is_left
            self.waiting.left_bytes += self.size if is_left else -self.size


class HandledObjects:
    """The objects of one large CALL, which count until its handler has ended."""

    __slots__ = ("counted", "size")

    def __init__(self, text: str, call: Call) -> None:
        self.size: int = weigh_read(text, call.wire_payload or {})
        self.counted: object = None  # as that of `HeldText`


def typed_payload(call: Call) -> Any:
    """Return the typed payload of ``call``. Raises `MessageError` if its text cannot be read."""
    return contents(call)[0]


def contents(call: Call) -> Tuple[Any, Any]:
    """Return the typed payload of ``call``, and its JSON object. Raises as `typed_payload`."""
    while True:
        held, payload, wire_payload = call.held, call.payload, call.wire_payload
        if held is call.held:  # else another thread has just begun or ended to hold it as text
            break
    if held is None:
        return payload, wire_payload
    again = held.read()
    return again.payload, again.wire_payload


class WaitingCalls:
    """What waits of all connections of an endpoint. Thread-safe.

    ``lock`` is that of the connections. ``read`` is set by the `Router`: it makes a message of a text that waited.
    """

    read: Callable[[Connection, str], Any]

    def __init__(self, budget: MemoryBudget, max_bytes: int, lock: threading.Lock) -> None:
        self._budget = budget
        self._max_bytes = max_bytes
        self._lock = lock
        # Guarded by the lock:
        self._session = object()
        self._waiting_bytes = self._handled_bytes = 0
        self._waiting, self._handled = Account(), Account()
        self.left_bytes: int = 0  #: Of texts that are kept for an answer, and whose connections have ended.

    def hold(self, connection: Connection, text: str) -> Optional[HeldText]:
        """Count ``text`` until its turn comes, and return it. ``None``: the endpoint holds too much already."""
        held = HeldText(self, connection, text, False)
        with self._lock:
            return held if self._count(held) else None

    def hold_call(self, connection: Connection, call: Call, text: str) -> bool:
        """Keep ``text`` in place of the payload of ``call``; return false if the endpoint holds too much already."""
        held = self.hold(connection, text)
        if held is not None:
            _drop_payload(call, held)
        return held is not None

    def hold_until_answered(self, connection: Connection, call: Call, is_open: Callable[[], bool]) -> None:
        """Keep the text of ``call`` in place of its payload until it is answered, unless it is no more ``is_open``.

        That takes less than the payload. So it is done even when too much is held. ``is_open`` is called with the lock
        held.
        """
        held = HeldText(self, connection, call.to_json(), True)
        with self._lock:
            if is_open():
                self._count(held, must=True)
                held.note_left(connection.left)
                _drop_payload(call, held)

    def begin(self, call: Call) -> None:
        """Give ``call``, whose turn has come, its payload again. Raises `MessageError`."""
        held: HeldText = call.held
        try:
            again = held.read()
            call.payload, call.wire_payload = again.payload, again.wire_payload
            call.signed_payload = again.signed_payload
        finally:
            call.held = None
            self.let_go(held)

    def let_go(self, held: HeldText) -> None:
        """Count ``held`` no more: its turn has come."""
        with self._lock:
            self.discount(held)
        self.resume(held.connection)

    def discount(self, held: HeldText) -> None:
        """Count ``held`` no more; call `resume` without the lock. Lock held."""
        if held.counted is self._session:
            held.note_left(False)
            self._waiting_bytes -= held.size
            held.connection.held_bytes -= held.size
            held.counted = None
            self._budget.count(self._waiting, WAITING, self._waiting_bytes)

    def hold_objects(self, call: Call, text: str) -> Optional[HandledObjects]:
        """Count the objects of ``call``, a large one. ``None``: the endpoint holds too much already."""
        objects = HandledObjects(text, call)
        with self._lock:
            if not self._budget.count(self._handled, HANDLED, self._handled_bytes + objects.size):
                return None
            self._handled_bytes += objects.size
            objects.counted = self._session
        return objects

    def let_go_objects(self, objects: HandledObjects) -> None:
        """Count ``objects`` no more: the handler has ended."""
        with self._lock:
            if objects.counted is self._session:
                self._handled_bytes -= objects.size
                objects.counted = None
                self._budget.count(self._handled, HANDLED, self._handled_bytes)

    def is_too_much(self, connection: Connection) -> bool:
        """Tell whether more waits for that connection than may, though its transport cannot pause."""
        return self._is_over(connection) and not hasattr(connection.channel, "pause")

    def pause_if_over(self, connection: Connection) -> None:
        """Pause the connection if more waits for it than may. On the reading thread."""
        if self._is_over(connection):
            self.pause(connection)

    def pause(self, connection: Connection) -> None:
        """Have nothing more read there until half is free. A transport of the program's own may not do that."""
        pause = getattr(connection.channel, "pause", None)
        if pause is not None:
            pause(partial(self._has_room, connection))

    def resume(self, connection: Connection) -> None:
        """Have a paused connection read again, if half is free."""
        if getattr(connection.channel, "paused", False) and self._has_room(connection):
            connection.channel.resume()  # type: ignore[attr-defined]

    def clear(self) -> None:
        """Count nothing any more: the endpoint has stopped, and what has not begun is discarded."""
        with self._lock:
            self._session = object()
            self.left_bytes = self._waiting_bytes = self._handled_bytes = 0
            self._budget.count(self._waiting, WAITING, 0)
            self._budget.count(self._handled, HANDLED, 0)

    def _after_fork(self) -> None:
        """Count nothing any more, in a new account: see `ocppj.forks`."""
        self._session = object()
        self.left_bytes = self._waiting_bytes = self._handled_bytes = 0
        self._waiting, self._handled = Account(), Account()

    def _is_over(self, connection: Connection) -> bool:
        return connection.held_bytes > self._max_bytes

    def _has_room(self, connection: Connection) -> bool:
        return connection.held_bytes <= self._max_bytes // 2

    def _count(self, held: HeldText, must: bool = False) -> bool:
        """Count ``held``; return false if that is too much, and not a ``must``. Lock held."""
        if not self._budget.count(self._waiting, WAITING, self._waiting_bytes + held.size, must):
            return False
        self._waiting_bytes += held.size
        held.counted = self._session
        held.connection.held_bytes += held.size
        return True


def _drop_payload(call: Call, held: HeldText) -> None:
    call.held = held  # first: see `contents`
    call.payload, call.wire_payload, call.signed_payload = {}, None, None
