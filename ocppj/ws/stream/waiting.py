"""Wait until sockets can be read or written: one with a deadline, or many in a selector that other threads can wake."""

from __future__ import annotations

import math
import select
import selectors
import socket
import time
from contextlib import suppress
from typing import Optional, Tuple

__all__ = ["Waker", "default_selector", "earliest", "remaining", "wait_io"]

_LONGEST = 3600.0  # seconds; keeps the milliseconds of poll() within a C int


def earliest(one: Optional[float], other: Optional[float]) -> Optional[float]:
    """Return the first of two deadlines. ``None`` means no deadline."""
    if one is None or (other is not None and other < one):
        return other
    return one


def remaining(deadline: Optional[float]) -> Optional[float]:
    """Return the seconds until ``deadline`` (of `time.monotonic`), at least 0; ``None`` when there is none."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def default_selector() -> selectors.BaseSelector:
    """Return the best selector of this system. It is looked up now: gevent may have replaced it since the import."""
    return selectors.DefaultSelector()


def _wait_poll(fd: int, read: bool, write: bool, timeout: float) -> Tuple[bool, bool]:
    poller = select.poll()
    poller.register(fd, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
    ready = poller.poll(math.ceil(timeout * 1000))
    if not ready:
        return False, False
    events = ready[0][1]
    broken = bool(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL))
    return broken or bool(events & select.POLLIN), broken or bool(events & select.POLLOUT)


def _wait_selector(fd: int, read: bool, write: bool, timeout: float) -> Tuple[bool, bool]:
    wanted = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
    with selectors.DefaultSelector() as selector:
        selector.register(fd, wanted)
        ready = selector.select(timeout)
    events = ready[0][1] if ready else 0
    return bool(events & selectors.EVENT_READ), bool(events & selectors.EVENT_WRITE)


_wait = _wait_poll if hasattr(select, "poll") else _wait_selector


def wait_io(fd: int, read: bool, write: bool, deadline: Optional[float]) -> Tuple[bool, bool]:
    """Wait until ``fd`` is readable or writable, as wanted; return (readable, writable): both for a broken connection.

    Both are false when the deadline has come or an hour has passed: the caller looks at the time and waits again.
    """
    left = remaining(deadline)
    return _wait(fd, read, write, _LONGEST if left is None else min(left, _LONGEST))


class Waker:
    """Make the thread that waits in ``selector`` return, by a byte in a socket pair that the selector watches.

    After its end, registered with ``None`` as data, was ready, call `drain`. Close the selector before the waker.
    """

    __slots__ = ("_read_end", "_write_end")

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._read_end, self._write_end = socket.socketpair()
        try:
            self._read_end.setblocking(False)
            self._write_end.setblocking(False)
            selector.register(self._read_end, selectors.EVENT_READ, None)
        except BaseException:
            self.close()
            raise

    def wake(self) -> None:
        """Make the waiting thread return, or the next one that waits. For any thread, at any time; never waits."""
        with suppress(OSError):  # full: a byte is there already; closed: no thread waits any more
            self._write_end.send(b"x")

    def drain(self) -> None:
        """Drop the bytes that have woken the thread. Bytes may stay; then it is woken once more."""
        with suppress(OSError):
            self._read_end.recv(4096)

    def close(self) -> None:
        self._read_end.close()
        self._write_end.close()
