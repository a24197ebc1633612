"""`Options`: what `Client` and `Server` take alike, and hand on in one piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from ..clock import Clock, SystemClock
from ..errors import UsageError
from ..payloads.jsontext import MAX_DEPTH
from ..rpc.signing import Signer, Verifier
from ..settings import LoggerLike, ValidationSetting

__all__ = ["Options", "check_kind", "check_seconds"]


@dataclass(frozen=True)
class Options:
    """The options of a node; `Client` says what they mean. Names and defaults are those of its arguments."""

    clock: Clock = field(default_factory=SystemClock)
    validate: Optional[ValidationSetting] = None
    message_id_generator: Optional[Callable[[], str]] = None
    logger: Optional[LoggerLike] = None
    max_bad_messages: int = 100
    max_waiting_calls: int = 1000
    max_depth: Optional[int] = MAX_DEPTH
    repeat_answers: int = 0
    answer_unknown_types: bool = False
    signer: Optional[Signer] = None
    verifier: Optional[Verifier] = None


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raise `UsageError` unless ``value`` is ``None`` or a ``kind``: later it would be too late to say so."""
    if value is not None and not isinstance(value, kind):
        raise UsageError(f"{name} is a {kind.__name__}, not {value!r}")


def check_seconds(name: str, value: Any) -> None:
    """Raise `UsageError` unless ``value`` is a number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != value:
        raise UsageError(f"{name} is a number of seconds, not {value!r}")
