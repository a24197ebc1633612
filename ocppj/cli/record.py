"""`ToldRecorder`: the recorder of ``--record``. It tells when lines are left out."""

from __future__ import annotations

import logging

from ..exchange.frame import ConnectionChange, Frame
from ..recording.recorder import Recorder

__all__ = ["ToldRecorder"]


class ToldRecorder(Recorder):
    """A recorder that writes an error to a log, when the disk does not take a line for the first time.

    Args:
        path: The file.
        show_secrets: Whether passwords and keys are written.
        log: Where the error goes. The threads of connections write to it: it must not block.

    Attributes:
        is_incomplete: Whether lines were left out.
    """

    def __init__(self, path: str, show_secrets: bool, log: logging.Logger) -> None:
        super().__init__(path, show_secrets=show_secrets)
        self.is_incomplete: bool = False
        self._log = log
        self._is_closed = False

    def __call__(self, frame: Frame) -> None:
        """Write a frame."""
        super().__call__(frame)
        self._look()

    def connection_changed(self, change: ConnectionChange) -> None:
        """Write that a connection has begun or ended."""
        super().connection_changed(change)
        self._look()

    def close(self) -> None:
        """Close the file. Lines that come later do not count as left out."""
        self._look()
        self._is_closed = True
        super().close()

    def _look(self) -> None:
        if self.lost and not self._is_closed and not self.is_incomplete:
            self.is_incomplete = True
            self._log.error("lines are left out of the recording %s: the disk is full, or slow", self.path)
