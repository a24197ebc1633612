"""`Notices`: what a program is told about the connections of each peer, in the order in which things happened.

A notice is added when the thing happens: a connection was made, or has ended. It is told on the handler thread of that
connection, which may be busy until then. So the thread of a newer connection may be ready while the last notice of the
older connection is not told yet. Without ``patience`` the newer thread goes on, and the older thread tells both.
With ``patience`` the newer thread waits for its turn, and tells its notice itself. When its patience ends it tells the
notice at once, and the older notices delay nothing any more.
"""

from __future__ import annotations

import threading
from typing import Callable, Dict, List, Optional

from ..clock import Clock
from ..events import Event

__all__ = ["Notice", "Notices"]


class Notice:
    """One thing that is to be told about a peer, by calling ``tell``."""

    __slots__ = ("line", "ready", "source", "tell", "turn")

    def __init__(self, line: "_Line", tell: Callable[[], object], source: Optional[object]) -> None:
        self.line: _Line = line
        self.tell: Callable[[], object] = tell
        self.source: Optional[object] = source  # the connection
        self.ready: bool = False  # the thread of its connection has come to it
        self.turn: Optional[Event] = None  # wakes the thread that waits to tell it


class _Line:
    """Notices about one peer that are still to be told, the oldest first."""

    __slots__ = ("notices", "peer", "telling")

    def __init__(self, peer: str) -> None:
        self.peer: str = peer
        self.notices: List[Notice] = []
        self.telling: bool = False  # a thread tells notices of this line, or is about to


def _drop_discarded(notices: List[Notice], notice: Notice) -> None:
    """Drop the older notices of the same connection that its thread has not come to."""
    for each in notices[: notices.index(notice)]:
        if notice.source is not None and each.source is notice.source and not each.ready:
            notices.remove(each)


class Notices:
    """The notices of one endpoint: a line for each peer about which something is still to be told. Thread-safe.

    ``late`` is called with a peer whose older notices took so long that a newer one is told before them.
    """

    def __init__(self, clock: Clock, late: Callable[[str], None]) -> None:
        self._clock = clock
        self._late = late
        self._lock = threading.Lock()  # guards the lines, and the notices in them
        self._lines: Dict[str, _Line] = {}  # where the next notice of each peer is added

    def __len__(self) -> int:
        """Return about how many peers something is still to be told."""
        return len(self._lines)

    def add(self, peer: str, tell: Callable[[], object], source: Optional[object] = None) -> Notice:
        """Put a notice at the end of the line of ``peer``. ``tell`` must not raise.

        The notices of one ``source``, a connection, are told by its thread in the order in which they were added.
        """
        with self._lock:
            line = self._lines.get(peer)
            if line is None:
                line = self._lines[peer] = _Line(peer)
            notice = Notice(line, tell, source)
            line.notices.append(notice)
        return notice

    def _after_fork(self) -> None:
        """Forget all notices: the parent tells them. See `ocppj.forks`."""
        self._lines.clear()

    def leave_behind(self) -> None:
        """Have what was added until now delay nothing that is added later."""
        with self._lock:
            self._lines.clear()

    def tell(self, notice: Notice, patience: Optional[float] = None) -> None:
        """Tell ``notice`` when the older ones are told; on the thread of its connection. A second call does nothing.

        An older notice of the same connection that the thread has not come to is dropped: its job was discarded.
        ``patience`` is the seconds to wait for the older notices; then this one is told before them. ``None`` does not
        wait: the thread that tells the last older notice tells this one, too.
        """
        turn = None if patience is None else Event()
        with self._lock:
            notices = notice.line.notices
            if notice.ready or notice not in notices:
                return
            _drop_discarded(notices, notice)
        self.tell_ready(notice, turn)
        if turn is None:
            return
        self._clock.wait(turn, patience)
        with self._lock:
            late = not turn.is_set()
            if late:
                self._step_out(notice)
        try:
            if late:
                self._late(notice.line.peer)
            notice.tell()
        finally:
            self._go_on(notice.line)

    def tell_ready(self, notice: Notice, turn: Optional[Event] = None) -> None:
        """Have ``notice`` told after the older ones: by the thread that waits for ``turn``, else by this or theirs."""
        with self._lock:
            line = notice.line
            notice.ready, notice.turn = True, turn
            if line.telling:
                return
            line.telling = True
        self._go_on(line)

    def _go_on(self, line: _Line) -> None:
        """Tell what is ready, up to a notice whose own thread waits to tell it; for the thread that set ``telling``."""
        while True:
            with self._lock:
                if not line.notices or not line.notices[0].ready:
                    line.telling = False
                    if not line.notices and self._lines.get(line.peer) is line:
                        del self._lines[line.peer]
                    return
                notice = line.notices.pop(0)
                if notice.turn is not None:
                    notice.turn.set()
                    return
            notice.tell()

    def _step_out(self, notice: Notice) -> None:
        """Take ``notice`` and those after it out of their line, and give the latter a line of their own.

        What is left of the old line goes by itself: nothing is added to it any more.
        """
        old, new = notice.line, _Line(notice.line.peer)
        new.telling = True  # by this thread
        place = old.notices.index(notice)
        new.notices = old.notices[place + 1 :]
        for each in old.notices[place:]:
            each.line = new
        del old.notices[place:]
        if self._lines.get(old.peer) is old:
            self._lines[old.peer] = new
