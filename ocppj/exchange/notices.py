"""`Notices`: what a program is told about the connections of each peer, in the order in which things happened.

A notice is added when the thing happens: a connection was made, or has ended. It is told on the handler thread of that
connection, which may be busy until then. So the thread of a newer connection may be free before the thread of the older
one has told that the older connection has ended. The newer thread then has a choice. Without ``patience`` it goes on,
and the older thread tells both notices. With ``patience`` it waits for its turn, and tells its notice itself.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, Dict, Optional

from ..clock import Clock

__all__ = ["Notice", "Notices"]


class Notice:
    """One thing that is to be told about ``peer``, by calling ``tell``."""

    __slots__ = ("peer", "ready", "tell", "turn")

    def __init__(self, peer: str, tell: Callable[[], object]) -> None:
        self.peer = peer
        self.tell = tell
        self.ready = False  # the thread of its connection has come to it
        self.turn: Optional[threading.Event] = None  # set when the thread that waits to tell it may do so


class _Line:
    """The notices about one peer that are still to be told, the oldest first."""

    __slots__ = ("notices", "telling")

    def __init__(self) -> None:
        self.notices: Deque[Notice] = deque()
        self.telling = False  # a thread is calling the handlers of this line


class Notices:
    """The notices of one endpoint: a line for each peer about which something is still to be told. Thread-safe.

    Args:
        clock: What waits are timed by.
        late: Called with a peer whose older notices took so long that a newer one is told before them.
    """

    def __init__(self, clock: Clock, late: Callable[[str], None]) -> None:
        self._clock = clock
        self._late = late
        self._lock = threading.Lock()
        self._lines: Dict[str, _Line] = {}

    def __len__(self) -> int:
        """Return about how many peers something is still to be told."""
        return len(self._lines)

    def add(self, peer: str, tell: Callable[[], object]) -> Notice:
        """Put a notice at the end of the line of ``peer``, and return it for `tell`. ``tell`` must not raise."""
        notice = Notice(peer, tell)
        with self._lock:
            line = self._lines.get(peer)
            if line is None:
                line = self._lines[peer] = _Line()
            line.notices.append(notice)
        return notice

    def tell(self, notice: Notice, patience: Optional[float] = None) -> None:
        """Tell ``notice`` when the older ones are told. Called once for each, on the thread of its connection.

        Args:
            notice: What `add` returned.
            patience: Seconds to wait for the older notices; then this one is told before them. ``None`` does not wait:
                the thread that tells the last older notice tells this one, too.
        """
        if patience is None:
            with self._lock:
                notice.ready = True
            self._tell_ready(notice.peer)
            return
        turn = threading.Event()
        with self._lock:
            notice.turn, notice.ready = turn, True
        self._tell_ready(notice.peer)
        self._clock.wait(turn, patience)
        with self._lock:
            line = self._lines[notice.peer]
            in_turn = line.notices[0] is notice and not line.telling
            line.notices.remove(notice)
            line.telling = line.telling or in_turn
        try:
            if not in_turn:
                self._late(notice.peer)
            notice.tell()
        finally:
            if in_turn:
                with self._lock:
                    line.telling = False
            self._tell_ready(notice.peer)

    def _tell_ready(self, peer: str) -> None:
        """Tell the notices of that line that may be told, unless another thread does that already."""
        with self._lock:
            line = self._lines.get(peer)
            if line is None or line.telling:
                return
            line.telling = True
        while True:
            with self._lock:
                notice = line.notices[0] if line.notices else None
                if notice is None or not notice.ready or notice.turn is not None:
                    line.telling = False
                    if notice is None:
                        del self._lines[peer]
                    elif notice.ready and notice.turn is not None:
                        notice.turn.set()
                    return
                line.notices.popleft()
            notice.tell()
