"""Many descriptors in one selector, and a way to wake who waits there.

One thread at a time is in `Poller.wait`, while others, under a lock of theirs, change what it waits for. Where the
kernel keeps the list (epoll, kqueue: ``live``) a change counts at once; with poll and select it counts from the next
`wait` on, so that whoever changes it must `wake` the waiting thread.
"""

from __future__ import annotations

import selectors
import socket
import sys
from contextlib import suppress
from typing import Any, Callable, List, Optional, Tuple

__all__ = ["READ", "WRITE", "Poller"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

_LONGEST = 3600.0  # seconds; keeps the milliseconds of poll() within a C int
_LIVE = tuple(getattr(selectors, name) for name in ("EpollSelector", "KqueueSelector") if hasattr(selectors, name))
_SELECT_SOCKETS = 512 if sys.platform == "win32" else 1024  # FD_SETSIZE: a number of sockets there, else a highest one


class Poller:
    """A selector made by ``make``. Raises ``OSError`` when there can be no more descriptors."""

    def __init__(self, make: Callable[[], selectors.BaseSelector]) -> None:
        self._selector = make()
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._selector.register(self._far, READ, None)
        #: Whether what is armed counts at once for the thread that waits.
        self.live = isinstance(self._selector, _LIVE)

    def has_room(self, fd: int) -> bool:
        """Tell whether ``fd`` can be armed: select() is limited."""
        if not isinstance(self._selector, selectors.SelectSelector):
            return True
        size = len(self._selector.get_map()) if sys.platform == "win32" else fd
        return size < _SELECT_SOCKETS

    def arm(self, fd: int, events: int, before: int, data: Any) -> None:
        """Wait for ``events`` of ``fd`` instead of ``before``; 0 means nothing. Raises ``OSError``, ``ValueError``."""
        if not events:
            with suppress(KeyError):
                self._selector.unregister(fd)
        elif before:
            self._selector.modify(fd, events, data)
        else:
            self._selector.register(fd, events, data)

    def wait(self, timeout: Optional[float]) -> List[Tuple[Any, int]]:
        """Return (data, events) of those that are ready, after at most ``timeout`` seconds, or an hour."""
        ready = self._selector.select(_LONGEST if timeout is None else min(timeout, _LONGEST))
        found = [(key.data, events) for key, events in ready if key.data is not None]
        if len(found) < len(ready):
            with suppress(OSError):
                self._far.recv(4096)
        return found

    def wake(self) -> None:
        """Make `wait` return. For any thread, at any time."""
        with suppress(OSError):  # full: then it is woken already; closed: then nobody waits
            self._near.send(b"!")

    def close(self) -> None:
        """Give the descriptors back."""
        self._selector.close()
        self._near.close()
        self._far.close()
