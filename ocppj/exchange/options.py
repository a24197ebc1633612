"""`Options`: what `Client` and `Server` take alike, and the checks of what they are given."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional

from ..clock import Clock, SystemClock
from ..errors import UsageError
from ..payloads.jsontext import MAX_DEPTH
from ..rpc.signing import Signer, Verifier
from ..settings import LoggerLike, ValidationSetting

__all__ = ["Options", "check_kind", "check_option_names", "check_seconds"]


@dataclass(frozen=True)
class Options:
    """The options that a client and a server have in common. `Client` says what they mean."""

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


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raise `UsageError` unless ``value`` is ``None`` or a ``kind``. Later it would be too late to say so."""
    if value is not None and not isinstance(value, kind):
        raise UsageError(f"{name} is a {kind.__name__}, not {value!r}")


def check_seconds(name: str, value: Any) -> None:
    """Raise `UsageError` unless ``value`` is a number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value != value:
        raise UsageError(f"{name} is a number of seconds, not {value!r}")
