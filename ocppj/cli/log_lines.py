"""Log lines of a command: warnings and errors go to the standard error."""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress

from .behind import Behind, shown_behind
from .terminal import Terminal

__all__ = ["make_logger"]


def make_logger(command: str, terminal: Terminal, ends: ExitStack) -> logging.Logger:
    """Return a logger whose warnings and errors are printed, until ``ends``. Threads that log do not wait for that."""

    def show(text: str) -> None:
        with suppress(OSError, ValueError):  # the output is closed
            terminal.error(text)

    shown = shown_behind(show, terminal)
    ends.callback(shown.close)
    logger = logging.Logger(f"ocppj.{command}", logging.WARNING)
    logger.addHandler(_Printed(shown))
    return logger


class _Printed(logging.Handler):
    def __init__(self, shown: Behind) -> None:
        super().__init__()
        self._shown = shown

    def emit(self, record: logging.LogRecord) -> None:
        self._shown(f"{record.levelname.lower()}: {record.getMessage()}")
