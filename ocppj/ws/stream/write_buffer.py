"""Bytes in line to be written. Not locked: its owner does that."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Callable, Deque, Optional, Tuple

__all__ = ["Outbox"]


class Outbox:
    """What is to be written, in order, with positions counted in bytes from the beginning of the connection.

    ``piece`` is how many bytes are given to one write at most (a TLS write that could not be done must be repeated
    with the same bytes, so they are kept apart). What is written without ever being put in line is not counted.

    Most connections never have anything in line: the tables are made when something is.
    """

    __slots__ = ("_chunks", "_left", "_piece", "queued", "sent")

    def __init__(self, piece: int) -> None:
        self._piece = piece
        self._chunks: Optional[Deque[memoryview]] = None
        self._left: Optional[Deque[Tuple[int, float]]] = None  # (position, deadline) of what nobody waits for
        #: The position of the end of the line.
        self.queued = 0
        #: How far the writing has come.
        self.sent = 0

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __len__(self) -> int:
        return self.queued - self.sent

    def put(self, data: memoryview) -> None:
        """Put ``data`` at the end of the line."""
        size = len(data)
        if not size:
            return
        self.queued += size
        if self._chunks is None:
            self._chunks = deque()
        self._chunks.extend(data[at : at + self._piece] for at in range(0, size, self._piece))

    def write(self, send: Callable[[Any], int]) -> None:
        """Give everything in line to ``send``. When it raises, the line begins with what it did not take."""
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
            while self._left and self._left[0][0] <= self.sent:
                self._left.popleft()
            self._left = self._left or None

    def leave(self, deadline: float) -> None:
        """Remember that nobody waits for what is in line, and that it is to be out by ``deadline``."""
        if self._chunks:
            if self._left is None:
                self._left = deque()
            self._left.append((self.queued, deadline))

    def deadline(self) -> Optional[float]:
        """Return when the first of what was left is to be out; ``None`` when nothing was."""
        return self._left[0][1] if self._left else None

    def is_overdue(self) -> bool:
        """Tell whether what was left is not out in time."""
        return self._left is not None and bool(self._left) and time.monotonic() >= self._left[0][1]

    def drop(self) -> None:
        """Forget everything in line. It does not count as sent: whoever waits for it is to be told."""
        self._chunks = self._left = None
        self.queued = self.sent
