"""`LiveTraffic`: shows what goes over the wire while it happens, and keeps none of it."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List

from ..exchange.frame import Frame
from .rules import FrameJudge
from .seen import Seen
from .transcript import Transcript

__all__ = ["LiveTraffic"]

_MOST = 2000  # frames that a judge has seen when it is replaced: it remembers each


class _Station:
    """What is known of one charging station."""

    def __init__(self, version: str) -> None:
        self.judge = FrameJudge(version)
        self.connection = 0
        self.frames = 0


class LiveTraffic:
    """Shows frames as lines of a `Transcript`, with the rules that they break. It keeps none. Any thread may call it.

    It is an observer: ``server.add_observer(LiveTraffic(Transcript.for_terminal(), print))``.

    Args:
        transcript: Makes the lines.
        show: Called with the line of a frame, and a line below it for each rule that it breaks: so nothing can come
            between them. One call at a time.
    """

    def __init__(self, transcript: Transcript, show: Callable[[str], object]) -> None:
        self._transcript = transcript
        self._show = show
        self._lock = threading.Lock()
        self._stations: Dict[str, _Station] = {}

    def __call__(self, frame: Frame) -> None:
        """Show a frame."""
        with self._lock:
            self._show_lines(self._transcript.lines(self._see(frame)))

    def connection_changed(self, change: Any) -> None:
        """Show that a connection has begun or ended. ``change`` has kind, client_id, version, reason and time."""
        with self._lock:
            if change.kind == "disconnected":
                self._stations.pop(change.client_id, None)
            moment: datetime = change.time or datetime.now(timezone.utc)
            kind, reason, version = change.kind.upper(), change.reason, change.version
            seen = Seen(0, 0.0, moment, change.client_id, "", kind, reason=reason, version=version)
            self._show_lines(self._transcript.lines(seen))

    def _show_lines(self, lines: List[str]) -> None:
        if lines:
            self._show("\n".join(lines))

    def _see(self, frame: Frame) -> Seen:
        station = self._stations.get(frame.client_id)
        if station is None:
            station = self._stations[frame.client_id] = _Station(frame.version)
            station.connection = frame.connection
        elif station.connection != frame.connection:
            station.judge = station.judge.next_connection(frame.version)
            station.connection = frame.connection
        station.frames += 1
        is_open = any(station.judge.open_calls(each) for each in ("in", "out"))
        if station.frames > 2 * _MOST or (station.frames > _MOST and not is_open):  # some CALLs are never answered
            station.judge, station.frames = FrameJudge(frame.version), 1
        at = frame.time.timestamp()
        judge = station.judge
        judged = judge.judge(frame.direction, frame.text, at) if frame.sent else judge.read(frame.direction, frame.text)
        judged.action = judged.action or frame.action  # of an answer to a CALL that the judge before has seen
        return Seen(
            number=0,
            at=at,
            time=frame.time,
            client_id=frame.client_id,
            direction=frame.direction,
            text=frame.text,
            version=frame.version,
            connection=frame.connection,
            sent=frame.sent,
            **vars(judged),
        )
