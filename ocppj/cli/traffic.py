"""`Traffic`: prints the frames and the connections of a server. What it remembers does not grow with the traffic."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
from typing import Dict, Tuple

from ..exchange.frame import ConnectionChange, Frame
from ..recording.recorded import Recorded, format_line
from ..secrets import mask_secrets
from ..testing.rules import FrameJudge
from ..testing.seen import Seen
from ..testing.transcript import Transcript
from .terminal import Terminal

__all__ = ["Traffic"]

#: So many frames of a connection are remembered, to judge later ones by; twice as many if one is not answered yet.
_MOST_JUDGED = 1000
_MOST_CONNECTIONS = 10_000
#: How wide the names of the two sides are, in characters.
_COLUMN = 8


class _Judged:
    """The rules of one connection, and how many frames its judge has seen."""

    def __init__(self, version: str) -> None:
        self.judge = FrameJudge(version)
        self.count = 0


class Traffic:
    """An observer of a server. It prints a line for each frame, and one more for each rule that the frame breaks.

    With ``--json`` the lines are those of a recording. When the output is closed, the program is interrupted.

    Args:
        terminal: Where it prints.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        width = shutil.get_terminal_size((120, 24)).columns if terminal.is_terminal else None
        self._transcript = Transcript(
            "CSMS", width=width, colour=terminal.has_colours, show_secrets=terminal.show_secrets
        )
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # guards _judged
        self._judged: Dict[Tuple[str, int], _Judged] = {}
        self.is_broken = False  #: Whether the output was closed.

    def __call__(self, frame: Frame) -> None:
        """Print a frame."""
        if self._terminal.as_json:
            text = frame.text if self._terminal.show_secrets else mask_secrets(frame.text)
            about = frame.time, frame.sender, frame.client_id, frame.version, text
            self._print_json(Recorded(*about, connection=frame.connection, sent=frame.sent))
        else:
            self._print(self._see(frame))

    def connection_changed(self, change: ConnectionChange) -> None:
        """Print that a connection has begun or ended."""
        if change.kind == "disconnected":
            with self._lock:
                self._judged.pop((change.client_id, change.connection), None)
        if self._terminal.as_json:
            self._print_json(
                Recorded(
                    change.time,
                    client_id=change.client_id,
                    version=change.version,
                    event=change.kind,
                    connection=change.connection,
                    reason=change.reason,
                )
            )
            return
        about = {"reason": change.reason, "version": change.version, "connection": change.connection}
        kind = change.kind.upper()
        self._print(Seen(next(self._numbers), 0.0, change.time, change.client_id, "", kind, **about))  # type: ignore[arg-type]

    def _see(self, frame: Frame) -> Seen:
        judge = self._judge_of(frame)
        at = frame.time.timestamp()
        judged = judge.judge(frame.direction, frame.text, at) if frame.sent else judge.read(frame.direction, frame.text)
        judged.action = judged.action or frame.action
        return Seen(
            number=next(self._numbers),
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

    def _judge_of(self, frame: Frame) -> FrameJudge:
        key = frame.client_id, frame.connection
        with self._lock:
            judged = self._judged.pop(key, None)
            if judged is None or self._knows_too_much(judged):
                judged = _Judged(frame.version)
            self._judged[key] = judged  # the newest at the end
            if len(self._judged) > _MOST_CONNECTIONS:
                del self._judged[next(iter(self._judged))]
            judged.count += 1
            return judged.judge

    @staticmethod
    def _knows_too_much(judged: _Judged) -> bool:
        if judged.count < _MOST_JUDGED:
            return False
        is_open = bool(judged.judge.open_calls("in") or judged.judge.open_calls("out"))
        return judged.count >= 2 * _MOST_JUDGED or not is_open

    def _print(self, seen: Seen) -> None:
        for line in self._transcript.lines(seen, _COLUMN):
            self._write(line)

    def _print_json(self, recorded: Recorded) -> None:
        self._write(format_line(recorded).decode("utf-8").rstrip("\n"))

    def _write(self, line: str) -> None:
        if self.is_broken:
            return
        try:
            self._terminal.coloured(line)
        except (BrokenPipeError, ValueError):  # such as `| head`: the rest is not wanted
            self.is_broken = True
            _interrupt()


def _interrupt() -> None:
    """Have the main thread raise ``KeyboardInterrupt``, also when it waits for input."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGINT)
