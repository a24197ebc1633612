"""`LoadStation`: a charging station that does little but send, so that the load costs less than what answers it."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Deque, List, Optional

from ..errors import TransportError
from ..ws.base import Channel, Client, Close

__all__ = ["LoadStation", "Tally"]

_BOOT = "BootNotification"
_LOST = "ConnectionLost"


@dataclass
class Tally:
    """What became of requests that were due in one step. Threads only append to its lists.

    Attributes:
        latencies: From when a request was due until its answer, in seconds.
        on_wire: From when it was sent until its answer.
        errors: The error of each request that was not answered with a result.
        last: When the last answer came.
    """

    latencies: List[float] = field(default_factory=list)
    on_wire: List[float] = field(default_factory=list)
    errors: List[str] = field(default_factory=list)
    last: float = 0.0

    @property
    def ended(self) -> int:
        """How many requests were answered, or failed."""
        return len(self.latencies) + len(self.errors)


@dataclass
class _Request:
    due: float
    tally: Tally
    text: str  # what follows the id in its frame
    sent: float = 0.0


class LoadStation:
    """A charging station that sends requests when they are due, one after the other: the next waits for the answer.

    Args:
        client_id: Its identity.
        version: "1.6", "2.0.1" or "2.1".
        transport: Connects it, with ``reconnect=False``.
        boot: The payload of its BootNotification, as JSON text.
    """

    def __init__(self, client_id: str, version: str, transport: Client, boot: str) -> None:
        self.id = client_id
        self._version = version
        self._transport = transport
        self._boot = boot
        self._prefix = uuid.uuid4().hex[:12]
        self._number = 0
        self._lock = threading.Lock()
        self._waiting: Deque[_Request] = deque()
        self._pending: Optional[_Request] = None
        self._pending_id = ""
        self._channel: Optional[Channel] = None
        self._is_lost = False
        self._answered = threading.Event()
        self._answer: Any = None
        transport.set_connected_handler(self._connected)
        transport.set_message_handler(self._received)
        transport.set_disconnected_handler(self._disconnected)

    def connect(self, url: str, timeout: float) -> None:
        """Connect, and boot.

        Args:
            url: Where the central system listens, without the identity.
            timeout: Seconds until the boot is answered.

        Raises:
            OcppjError: It cannot connect, or its boot is not accepted.
        """
        self._transport.connect(url, self.id, [f"ocpp{self._version}"])
        tally = Tally()
        self.send_due(time.perf_counter(), tally, f'"{_BOOT}",{self._boot}')
        if not self._answered.wait(timeout):
            raise TransportError(f"{self.id}: the BootNotification was not answered within {timeout:g} s")
        status = self._answer.get("status") if isinstance(self._answer, dict) else None
        if status != "Accepted":
            why = tally.errors[0] if tally.errors else status
            raise TransportError(f"{self.id}: the boot was not accepted: {why}")

    def stop(self) -> None:
        """Close the connection."""
        self._transport.stop()

    def send_due(self, due: float, tally: Tally, text: str) -> None:
        """Send a request, or have it wait for the answer to the one before.

        Args:
            due: When it is due, as `time.perf_counter`.
            tally: Where its end is noted.
            text: Its action and payload, as they stand in the frame: ``"Heartbeat",{}``.
        """
        request = _Request(due, tally, text)
        with self._lock:
            if self._is_lost:
                request.tally.errors.append(_LOST)
                return
            if self._pending is not None:
                self._waiting.append(request)
                return
            frame = self._take(request)
        self._write(frame)

    def give_up(self, older_than: float) -> None:
        """End requests that were sent before that time and have no answer: ``CallTimeout``."""
        with self._lock:
            pending = self._pending
            if pending is None or pending.sent > older_than:
                return
            pending.tally.errors.append("CallTimeout")
            frame = self._take_next()
        self._write(frame)

    def drop_waiting(self, tally: Tally) -> None:
        """End the requests of ``tally`` that were not sent yet: "NotSent"."""
        with self._lock:
            self._drop(tally)

    def _drop(self, tally: Tally) -> None:
        kept = [each for each in self._waiting if each.tally is not tally]
        tally.errors += ["NotSent"] * (len(self._waiting) - len(kept))
        self._waiting = deque(kept)

    def _take(self, request: _Request) -> str:
        """Make ``request`` the pending one, and return its frame. Called with the lock held."""
        self._number += 1
        self._pending, self._pending_id = request, f"{self._prefix}{self._number}"
        request.sent = time.perf_counter()
        return f'[2,"{self._pending_id}",{request.text}]'

    def _take_next(self) -> Optional[str]:
        """Return the frame of the next request that waits. Called with the lock held."""
        self._pending = None
        return self._take(self._waiting.popleft()) if self._waiting else None

    def _write(self, frame: Optional[str]) -> None:
        channel = self._channel
        if frame is None or channel is None:
            return
        try:
            channel.send(frame, wait=False)
        except TransportError:
            self._lose()

    def _connected(self, channel: Channel) -> None:
        self._channel = channel

    def _disconnected(self, channel: Channel, close: Close) -> None:
        self._lose()

    def _lose(self) -> None:
        with self._lock:
            self._is_lost = True
            left = [*([self._pending] if self._pending is not None else []), *self._waiting]
            self._pending = None
            self._waiting.clear()
        for request in left:
            request.tally.errors.append(_LOST)
        self._answered.set()

    def _received(self, channel: Channel, text: str) -> None:
        now = time.perf_counter()
        try:
            fields = json.loads(text)
            kind, message_id, third = fields[0], fields[1], fields[2]
        except (ValueError, LookupError, TypeError):
            return
        if kind == 2:
            answer = [4, message_id, "NotSupported", "this station makes load, and nothing else", {}]
            self._write(json.dumps(answer))
            return
        with self._lock:
            pending = self._pending
            if pending is None or message_id != self._pending_id:
                return
            frame = self._take_next()
        self._write(frame)
        self._note(pending, kind, third, now)

    def _note(self, request: _Request, kind: int, third: Any, now: float) -> None:
        tally = request.tally
        if kind == 3:
            tally.latencies.append(now - request.due)
            tally.on_wire.append(now - request.sent)
        else:
            tally.errors.append(str(third))
        tally.last = now
        if not self._answered.is_set():
            self._answer = third
            self._answered.set()
