"""`Traffic`: prints the frames and the connections of an endpoint. What it remembers does not grow with the traffic."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from typing import Optional

from ..exchange.frame import ConnectionChange, Frame
from ..recording.recorded import Recorded, format_line
from ..secrets import mask_secrets
from ..testing.live import LiveTraffic
from ..testing.transcript import Transcript
from .terminal import Terminal

__all__ = ["Traffic"]


class Traffic:
    """An observer of a server or a client. It prints a line for each frame, and for each rule that the frame breaks.

    With ``--json`` the lines are those of a recording. When the output is closed, the program is interrupted.

    Args:
        terminal: Where it prints.
        name: What the side is called that is observed.
        peer: What the other side is called. ``None``: each charging station by its identity.
    """

    def __init__(self, terminal: Terminal, name: str = "CSMS", peer: Optional[str] = None) -> None:
        self._terminal = terminal
        width = shutil.get_terminal_size((120, 24)).columns if terminal.is_terminal else None
        colour, show_secrets = terminal.has_colours, terminal.show_secrets
        transcript = Transcript(name, peer=peer, width=width, colour=colour, show_secrets=show_secrets)
        self._live = LiveTraffic(transcript, self._write)
        self.is_broken: bool = False  #: Whether the output was closed.
        self._is_unwritten_told = False

    def __call__(self, frame: Frame) -> None:
        """Print a frame."""
        if not self._terminal.as_json:
            self._live(frame)
            return
        text = frame.text if self._terminal.show_secrets else mask_secrets(frame.text)
        about = frame.time, frame.sender, frame.client_id, frame.version, text
        self._print_json(Recorded(*about, connection=frame.connection, sent=frame.sent))

    def connection_changed(self, change: ConnectionChange) -> None:
        """Print that a connection has begun or ended."""
        if not self._terminal.as_json:
            self._live.connection_changed(change)
            return
        reason = change.reason if self._terminal.show_secrets else mask_secrets(change.reason)
        about = change.client_id, change.version, "", change.kind, change.connection, reason
        self._print_json(Recorded(change.time, "", *about))

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
        except OSError as error:  # such as a full disk: the clients are served all the same
            self._tell_unwritten(error)

    def _tell_unwritten(self, error: OSError) -> None:
        if not self._is_unwritten_told:
            self._is_unwritten_told = True
            self._terminal.error(f"the traffic cannot be shown: {error}")


def _interrupt() -> None:
    """Have the main thread raise ``KeyboardInterrupt``, also when it waits for input. See `exits.ended_by_signals`.

    A shell has what it starts in the background ignore SIGINT: so this is SIGTERM.
    """
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGINT)
