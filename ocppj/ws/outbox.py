"""Bytes in line to be written. Not locked: its owner does that."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Callable, Deque, Optional, Tuple

__all__ = ["Outbox"]


class Outbox:
    """What is to be written, in order, with positions counted in bytes from the beginning of the connection.

    ``piece`` is how many bytes are given to one write at most (a TLS write that could not be done must be repeated
    with the same bytes, so they are kept apart); ``None`` for no limit.
    """

    def __init__(self, piece: Optional[int]) -> None:
        self._piece = piece
        self._chunks: Deque[memoryview] = deque()
        self._left: Deque[Tuple[int, float]] = deque()  # (position, deadline) of what nobody waits for
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
        self.queued += size
        if self._piece is None or size <= self._piece:
            if size:
                self._chunks.append(data)
            return
        self._chunks.extend(data[at : at + self._piece] for at in range(0, size, self._piece))

    def write(self, send: Callable[[Any], int], data: Any = b"") -> None:
        """Put ``data`` at the end of the line, and give everything to ``send``.

        When it raises, the line begins with what it did not take.
        """
        if data and not self._chunks and (self._piece is None or len(data) <= self._piece):
            data = self._write_through(send, data)  # as it nearly always is: nothing waits, and nothing will
        if data:
            self.put(memoryview(data))
        try:
            while self._chunks:
                head = self._chunks[0]
                count = send(head)
                self.sent += count
                if count == len(head):
                    self._chunks.popleft()
                else:
                    self._chunks[0] = head[count:]
        finally:
            while self._left and self._left[0][0] <= self.sent:
                self._left.popleft()

    def _write_through(self, send: Callable[[Any], int], data: Any) -> Any:
        """Give ``data``, which nothing is before in line, to ``send``; return what it did not take."""
        try:
            count = send(data)
        except BlockingIOError:
            self.put(memoryview(data))
            raise
        self.queued += count
        self.sent += count
        return b"" if count == len(data) else memoryview(data)[count:]

    def leave(self, deadline: float) -> None:
        """Remember that nobody waits for what is in line, and that it is to be out by ``deadline``."""
        if self._chunks:
            self._left.append((self.queued, deadline))

    def deadline(self) -> Optional[float]:
        """Return when the first of what was left is to be out; ``None`` when nothing was."""
        return self._left[0][1] if self._left else None

    def is_overdue(self) -> bool:
        """Tell whether what was left is not out in time."""
        return bool(self._left) and time.monotonic() >= self._left[0][1]

    def drop(self) -> None:
        """Forget everything in line. It does not count as sent: whoever waits for it is to be told."""
        self._chunks.clear()
        self._left.clear()
        self.queued = self.sent
