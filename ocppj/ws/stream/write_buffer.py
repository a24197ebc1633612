"""Bytes that wait to be written. Not locked: the owner has a lock."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Callable, Deque, Optional, Tuple

__all__ = ["WriteBuffer"]


_CHUNK = 250  # bytes of the objects that hold one chunk


class WriteBuffer:
    """Bytes in the order in which they are to be written, and their deadlines.

    Positions are counted in bytes from the first that was ever appended. One write gets at most ``piece`` bytes: a TLS
    write that failed must be repeated with the same bytes. The tables are made when they are first needed.
    """

    __slots__ = ("_chunks", "_deadlines", "_piece", "queued", "sent")

    def __init__(self, piece: int) -> None:
        self._piece = piece
        self._chunks: Optional[Deque[memoryview]] = None
        self._deadlines: Optional[Deque[Tuple[int, float]]] = None  # (position, time by which all before it is written)
        self.queued: int = 0  #: The position after the last byte.
        self.sent: int = 0  #: The position of the first byte that is not written.

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __len__(self) -> int:
        return self.queued - self.sent

    @property
    def weight(self) -> int:
        """How many bytes of memory the buffer takes, about."""
        return self.queued - self.sent + _CHUNK * len(self._chunks or ())

    def append(self, data: memoryview) -> None:
        size = len(data)
        if not size:
            return
        self.queued += size
        if self._chunks is None:
            self._chunks = deque()
        self._chunks.extend(data[at : at + self._piece] for at in range(0, size, self._piece))

    def write(self, send: Callable[[Any], int]) -> None:
        """Give all bytes to ``send``. When it raises, the buffer begins with the first byte that it did not take."""
        chunks = self._chunks
        try:
            while chunks:
                head = chunks[0]
                count = send(head)
                self.sent += count
                if count == len(head):
                    chunks.popleft()
                else:
                    chunks[0] = head[count:]
            self._chunks = None
        finally:
            while self._deadlines and self._deadlines[0][0] <= self.sent:
                self._deadlines.popleft()
            self._deadlines = self._deadlines or None

    def set_deadline(self, deadline: float) -> None:
        """Have all bytes that are in the buffer now written by ``deadline``: no thread waits for them itself."""
        if self._chunks:
            if self._deadlines is None:
                self._deadlines = deque()
            self._deadlines.append((self.queued, deadline))

    def deadline(self) -> Optional[float]:
        return self._deadlines[0][1] if self._deadlines else None

    def is_overdue(self) -> bool:
        return self._deadlines is not None and bool(self._deadlines) and time.monotonic() >= self._deadlines[0][1]

    def clear(self) -> None:
        """Drop all bytes. They do not count as sent: threads that wait for them must get an error."""
        self._chunks = self._deadlines = None
        self.queued = self.sent
