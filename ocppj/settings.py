"""The settings of the whole process, all in this file. Each can be overridden per endpoint.

An endpoint that was given no logger, id generator or validation switch of its own asks here each time.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Protocol, Union

from .errors import UsageError

__all__ = [
    "LoggerLike",
    "Validation",
    "ValidationSetting",
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


#: What a payload that breaks its schema meets: an error; a line in the log; nothing.
MODES = ("strict", "warn", "off")


@dataclass(frozen=True)
class Validation:
    """How strictly payloads are checked against their schemas: received ones, sent ones, and those of single actions.

    Each mode is ``"strict"`` (a payload that breaks its schema is refused), ``"warn"`` (it is logged and goes on) or
    ``"off"`` (it is not looked at). ``actions`` maps names of actions, as they stand in a CALL, to a mode for both
    directions or to a `Validation` of their own; requests and responses of the action are meant.

    In ``warn`` and ``off`` a received payload is read as far as it goes: what is required and missing is ``None``, what
    cannot be read stays the JSON value that came, a date-time without a zone is taken for UTC. A payload that is no
    JSON object is refused in every mode.
    """

    incoming: str = "strict"
    outgoing: str = "strict"
    actions: Mapping[str, Union[str, "Validation"]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _check_mode("incoming", self.incoming)
        _check_mode("outgoing", self.outgoing)
        if not isinstance(self.actions, Mapping):
            raise UsageError(f"actions maps names of actions to modes; it is no {type(self.actions).__name__}")
        for action, chosen in self.actions.items():
            if not isinstance(chosen, Validation):
                _check_mode(f"actions[{action!r}]", chosen)
            elif chosen.actions:
                raise UsageError(f"actions[{action!r}] is of one action: it has no actions of its own")
        object.__setattr__(self, "actions", dict(self.actions))  # nobody else's: the object is frozen

    @classmethod
    def of(cls, setting: "ValidationSetting") -> "Validation":
        """Return what ``setting`` stands for: a mode for everything, or ``True`` (strict) or ``False`` (off)."""
        if isinstance(setting, Validation):
            return setting
        if isinstance(setting, bool):
            setting = "strict" if setting else "off"
        _check_mode("validate", setting)
        return cls(setting, setting)

    def mode(self, action: str, incoming: bool) -> str:
        """Return the mode for payloads of ``action`` in that direction."""
        if not self.actions:
            return self.incoming if incoming else self.outgoing
        chosen = self.actions.get(action, self)
        if isinstance(chosen, str):
            return chosen
        return chosen.incoming if incoming else chosen.outgoing


#: What ``validate`` and `set_message_validation` take.
ValidationSetting = Union[Validation, str, bool]


def _check_mode(what: str, mode: object) -> None:
    if not isinstance(mode, str) or mode not in MODES:
        raise UsageError(f"{what} must be one of {', '.join(map(repr, MODES))}, not {mode!r}")


_VARIANTS = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def _uuid() -> str:
    """Return a random UUID (RFC 9562 section 5.4), in a third of the time that ``str(uuid.uuid4())`` takes."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:]}"


logging.getLogger("ocppj").addHandler(logging.NullHandler())

_logger: LoggerLike = logging.getLogger("ocppj")
_message_id_generator: Callable[[], str] = _uuid


class _Process:
    """What is asked for with every message: an attribute, which takes no call."""

    validation = Validation()


process = _Process()


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


def set_message_validation(setting: ValidationSetting) -> None:
    """Check payloads against their schemas as ``setting`` says: a `Validation`, a mode, or ``True`` or ``False``.

    Raises `UsageError` for a mode that there is not.
    """
    process.validation = Validation.of(setting)


def message_validation() -> Validation:
    """Return how strictly payloads are checked."""
    return process.validation
