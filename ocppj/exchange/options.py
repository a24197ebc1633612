"""`Options`: what `Client` and `Server` take alike, and the check of the names that they are given."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass, field
from typing import Callable, Mapping, Optional

from ..clock import Clock, SystemClock
from ..dispatch.timeouts import DEFAULT_TIMEOUT
from ..payloads.jsontext import MAX_DEPTH
from ..rpc.endpoint import DigitsChoice
from ..rpc.signing import Signer, Verifier
from ..settings import LoggerLike, ValidationChoice
from .outgoing import MAX_OUTGOING_SIZE

__all__ = ["Options", "check_option_names"]


@dataclass(frozen=True)
class Options:
    """The options that a client and a server have in common. `Client` says what they mean."""

    clock: Clock = field(default_factory=SystemClock)
    validate: Optional[ValidationChoice] = None
    message_id_generator: Optional[Callable[[], str]] = None
    logger: Optional[LoggerLike] = None
    max_bad_messages: int = 100
    max_waiting_calls: int = 1000
    max_waiting_bytes: int = 4 * 1024 * 1024
    max_depth: Optional[int] = MAX_DEPTH
    max_outgoing_size: Optional[int] = MAX_OUTGOING_SIZE
    repeat_answers: int = 0
    repeat_answers_for: float = 300.0
    timeout: float = DEFAULT_TIMEOUT
    answer_timeout: Optional[float] = 300.0
    answer_unknown_types: bool = False
    signer: Optional[Signer] = None
    verifier: Optional[Verifier] = None
    datetime_digits: DigitsChoice = 3


def check_option_names(owner: type, given: Mapping[str, object], declared: type) -> None:
    """Raise `TypeError` for an option that ``owner`` does not have, with the nearest name that it has.

    ``declared`` is the ``TypedDict`` of what those that ``owner`` does not name itself may be.
    """
    known = declared.__annotations__
    for name in given:
        if name not in known:
            own = inspect.signature(owner).parameters
            nearest = difflib.get_close_matches(name, [*known, *own], 1)
            hint = f"; is {nearest[0]!r} meant?" if nearest else ""
            raise TypeError(f"{owner.__name__}() has no option {name!r}{hint}")
