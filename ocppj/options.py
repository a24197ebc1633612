"""`Options`: what `Client` and `Server` take alike, and hand on in one piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Optional

from .clock import Clock, SystemClock
from .jsontext import MAX_DEPTH
from .settings import LoggerLike, ValidationSetting
from .signing import Signer, Verifier

__all__ = ["Options"]


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
