"""The settings of the whole process, all in this file. Each can be overridden per endpoint.

An endpoint that was given no logger, id generator or validation switch of its own asks here each time.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any, Callable, Optional, Protocol

__all__ = [
    "LoggerLike",
    "get_logger",
    "get_message_id_generator",
    "message_validation",
    "set_logger",
    "set_message_id_generator",
    "set_message_validation",
]


class LoggerLike(Protocol):
    """What of `logging.Logger` this library uses."""

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log what only a developer wants to see."""

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log what is as it should be."""

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log what a peer or the network did wrong."""

    def error(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log what this program did wrong."""

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log an error with the traceback of the exception being handled."""


def _uuid() -> str:
    return str(uuid.uuid4())


logging.getLogger("ocppj").addHandler(logging.NullHandler())

_logger: LoggerLike = logging.getLogger("ocppj")
_message_id_generator: Callable[[], str] = _uuid
_message_validation = True


def set_logger(logger: LoggerLike) -> None:
    """Log to ``logger``, anything with the methods of `logging.Logger`. Raises `ValueError` for ``None``."""
    global _logger
    if logger is None:
        raise ValueError("the logger must not be None; a logger without handlers is silent")
    _logger = logger


def get_logger() -> LoggerLike:
    """Return the logger in use: the standard library's ``ocppj`` unless `set_logger` gave another."""
    return _logger


def set_message_id_generator(generator: Optional[Callable[[], str]]) -> None:
    """Call ``generator`` for the id of each new CALL; ``None`` restores the default, a random UUID.

    Ids have 1 to 36 characters and must never repeat for a charging station, over restarts too (OCPP-J 1.6 errata
    3.1; OCPP 2.1 Part 4 section 4.1.4).
    """
    global _message_id_generator
    _message_id_generator = generator or _uuid


def get_message_id_generator() -> Callable[[], str]:
    """Return the generator in use."""
    return _message_id_generator


def set_message_validation(enabled: bool) -> None:
    """Check payloads against their schemas, in both directions, or leave them unchecked."""
    global _message_validation
    _message_validation = bool(enabled)


def message_validation() -> bool:
    """Tell whether payloads are checked."""
    return _message_validation
