"""How a command ends: exit codes, errors, and Ctrl-C."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import Any, Iterator

__all__ = ["FOUND", "INTERRUPTED", "OK", "TERMINATED", "WRONG_USAGE", "CommandError", "ended_by_signals"]

#: Exit codes.
OK, FOUND, WRONG_USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class CommandError(Exception):
    """A command cannot go on. Its text says what was wrong.

    Args:
        text: For the user.
        code: The exit code.
    """

    def __init__(self, text: str, code: int = WRONG_USAGE) -> None:
        super().__init__(text)
        self.code = code


class _Ended:
    code = 0


@contextmanager
def ended_by_signals() -> Iterator[_Ended]:
    """Have SIGTERM raise ``KeyboardInterrupt`` as Ctrl-C does, and note which of them came."""
    ended = _Ended()
    if threading.current_thread() is not threading.main_thread():
        yield ended
        return

    def end(number: int, frame: Any) -> None:
        ended.code = TERMINATED
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield ended
    finally:
        signal.signal(signal.SIGTERM, before)
