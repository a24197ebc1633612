"""Checks of options and arguments: their errors name them."""

from __future__ import annotations

from typing import Any, Optional

from ..errors import UsageError

__all__ = ["check_limits", "check_not_negative", "check_port", "check_positive", "check_text"]


def check_positive(**options: float) -> None:
    """Raise ``ValueError`` unless each of ``options`` is more than 0, `UsageError` unless it is a number."""
    for name, value in options.items():
        _check_number(name, value)
        if not value > 0:
            raise ValueError(f"{name} must be more than 0, not {value!r}")


def check_limits(**options: Optional[float]) -> None:
    """Check as `check_positive` does; ``None`` is allowed, and means no limit."""
    check_positive(**{name: value for name, value in options.items() if value is not None})


def check_not_negative(**options: float) -> None:
    """Raise ``ValueError`` unless each of ``options`` is 0 or more, `UsageError` unless it is a number."""
    for name, value in options.items():
        _check_number(name, value)
        if not value >= 0:
            raise ValueError(f"{name} cannot be negative: {value!r}")


def _check_number(name: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise UsageError(f"{name} is a number, not {value!r}")


def check_port(port: Any) -> None:
    """Raise `UsageError` unless ``port`` is an integer. The system decides which ports can be listened on."""
    if not isinstance(port, int) or isinstance(port, bool):
        raise UsageError(f"a port is an integer, not {port!r}")


def check_text(**arguments: Any) -> None:
    """Raise `UsageError` unless each of ``arguments`` is a text."""
    for name, value in arguments.items():
        if not isinstance(value, str):
            raise UsageError(f"{name} is a text, not {type(value).__name__}")  # a URL may have a token
