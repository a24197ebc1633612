"""The settings of the whole process. An endpoint without a setting of its own reads the one here each time."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Protocol, Union

from .callables import check_not_async
from .errors import UsageError

__all__ = [
    "LoggerLike",
    "Validation",
    "ValidationChoice",
    "ValidationSetting",
    "get_logger",
    "get_part_logger",
    "set_logger",
    "set_message_id_generator",
    "set_message_validation",
]


class LoggerLike(Protocol):
    """The part of `logging.Logger` that this library uses.

    A warning tells a fault of a peer or of the network. An error tells a fault of this program, or a lost request.
    """

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None: ...
    def info(self, msg: str, *args: Any, **kwargs: Any) -> None: ...
    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None: ...
    def error(self, msg: str, *args: Any, **kwargs: Any) -> None: ...
    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None: ...


#: What happens to a payload that breaks its schema: an error, but not for what does no harm; an error; a line in the
#: log; nothing.
MODES = ("standard", "strict", "warn", "off")


@dataclass(frozen=True)
class Validation:
    """How strictly payloads are checked against their schemas.

    Each mode is ``"standard"`` (a payload that breaks its schema is refused, but some things that do no harm are
    forgiven), ``"strict"`` (nothing is forgiven), ``"warn"`` (the payload is logged and accepted) or ``"off"`` (it is
    not checked). What is sent is checked in ``"standard"`` as in ``"strict"``.

    Args:
        incoming: The mode for received payloads.
        outgoing: The mode for sent payloads.
        actions: Exceptions, by the name of the action, for its requests and responses: a mode, or a `Validation`.

    Raises:
        UsageError: for a mode that does not exist.
    """

    incoming: str = "standard"
    outgoing: str = "standard"
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
        object.__setattr__(self, "actions", dict(self.actions))  # a copy: the object is frozen

    @classmethod
    def of(cls, setting: "ValidationSetting") -> "Validation":
        """Return ``setting`` as a `Validation`. ``True`` means strict, ``False`` off. A mode is for both directions."""
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
#: What ``validate`` of an endpoint takes: a setting, or a function of a peer's id that returns one.
ValidationChoice = Union[ValidationSetting, Callable[[str], Optional[ValidationSetting]]]


def _check_mode(what: str, mode: object) -> None:
    if not isinstance(mode, str) or mode not in MODES:
        raise UsageError(f"{what} must be one of {', '.join(map(repr, MODES))}, not {mode!r}")


_ROOT = logging.getLogger("ocppj")
_ROOT.addHandler(logging.NullHandler())
#: The children of "ocppj". Each is a part of an endpoint.
_PART_NAMES = ("client", "server", "ws", "queue", "cluster")
_PARTS: Dict[str, LoggerLike] = {part: _ROOT.getChild(part) for part in _PART_NAMES}


class _Process:
    """What every message reads: as attributes, to save calls."""

    logger: LoggerLike = _ROOT
    message_id_generator: Optional[Callable[[], str]] = None  # None: random UUIDs
    validation: Validation = Validation()


process: _Process = _Process()


def set_logger(logger: LoggerLike) -> None:
    """Log to ``logger``, from now on, whatever the part. An endpoint with a ``logger`` of its own goes on with that.

    Args:
        logger: Any object with the methods of `logging.Logger`. ``logging.getLogger("ocppj")``, the default, stands for
            its children ``ocppj.server``, ``ocppj.client``, ``ocppj.ws`` and ``ocppj.queue``, each for its part.

    Raises:
        ValueError: for ``None``.
    """
    if logger is None:
        raise ValueError("the logger must not be None; a logger without handlers is silent")
    process.logger = logger


def get_logger() -> LoggerLike:
    """Return the logger in use: ``logging.getLogger("ocppj")``, unless `set_logger` gave another."""
    return process.logger


def get_part_logger(part: str) -> LoggerLike:
    """Return the logger of a part of the library: that of the process, or the child of the part if that is "ocppj".

    Args:
        part: "client", "server", "ws" (the transport) or "queue" (what requests wait in, and what sends them)
            or "cluster" (other processes). "": what belongs to none.
    """
    logger = process.logger
    return _PARTS.get(part, logger) if logger is _ROOT else logger


def set_message_id_generator(generator: Optional[Callable[[], str]]) -> None:
    """Call ``generator`` for the id of each new CALL, on any thread. ``None`` restores the default: random UUIDs.

    Args:
        generator: Returns an id of 1 to 36 characters. An id must never repeat for a charging station, not even after a
            restart (OCPP-J 1.6 errata 3.1; OCPP 2.1 Part 4 section 4.1.4).

    Raises:
        UsageError: It is an ``async def``.
    """
    check_not_async("message_id_generator", generator)
    process.message_id_generator = generator


def set_message_validation(setting: ValidationSetting) -> None:
    """Check payloads against their schemas as ``setting`` says.

    Args:
        setting: A `Validation`, a mode, ``True`` (strict) or ``False`` (off).

    Raises:
        UsageError: for a mode that does not exist.
    """
    process.validation = Validation.of(setting)
