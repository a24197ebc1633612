"""Log lines of a command: warnings and errors go to the standard error."""

from __future__ import annotations

import logging
from contextlib import suppress

from .terminal import Terminal

__all__ = ["make_logger"]


def make_logger(command: str, terminal: Terminal) -> logging.Logger:
    """Return a logger whose warnings and errors are printed."""
    logger = logging.Logger(f"ocppj.{command}", logging.WARNING)
    logger.addHandler(_Printed(terminal))
    return logger


class _Printed(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):  # the output is closed
            self._terminal.error(f"{record.levelname.lower()}: {record.getMessage()}")
