"""Checks of what a caller gives to a transport: loud, and by name."""

from __future__ import annotations

from typing import Any, Optional

from ..errors import UsageError

__all__ = ["check_not_negative", "check_port", "check_positive", "check_text"]


def check_positive(**options: Optional[float]) -> None:
    """Raise ``ValueError`` unless each of ``options`` is ``None`` or more than 0."""
    for name, value in options.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be more than 0, not {value!r}")


def check_not_negative(**options: float) -> None:
    """Raise ``ValueError`` unless each of ``options`` is 0 or more."""
    for name, value in options.items():
        if not value >= 0:
            raise ValueError(f"{name} cannot be negative: {value!r}")


def check_port(port: Any) -> None:
    """Raise `UsageError` unless ``port`` is an integer. Which of them can be listened on, the system says."""
    if not isinstance(port, int) or isinstance(port, bool):
        raise UsageError(f"a port is an integer, not {port!r}")


def check_text(**arguments: Any) -> None:
    """Raise `UsageError` unless each of ``arguments`` is a text."""
    for name, value in arguments.items():
        if not isinstance(value, str):
            raise UsageError(f"{name} is a text, not {type(value).__name__}")  # a URL may have a token
