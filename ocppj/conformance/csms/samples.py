"""`Samples`: valid payloads of a charging station."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Dict

from ...payloads.datetimes import format_datetime
from ...rpc.dialect import DIALECTS, Dialect
from ...testing.examples import example

__all__ = ["DIALECT_OF", "Samples", "moment"]

#: The dialect of each version.
DIALECT_OF: Dict[str, Dialect] = {each.version: each for each in DIALECTS}


def moment(seconds: float = 0.0) -> str:
    """Return the time in so many seconds, as text. Negative: before now."""
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds))


class Samples:
    """Payloads of one OCPP version.

    Args:
        version: The version.
    """

    def __init__(self, version: str) -> None:
        self.dialect: Dialect = DIALECT_OF[version]

    def of(self, action: str, *, full: bool = False, **changes: Any) -> Dict[str, Any]:
        """Return a valid payload of an action.

        Args:
            action: The action.
            full: Whether optional properties are there too.
            **changes: Properties to set. ``...``: that property is left out.
        """
        payload = _sample(self.dialect, action, full)
        for name, value in changes.items():
            if value is ...:
                payload.pop(name, None)
            else:
                payload[name] = value
        return payload


def _sample(dialect: Dialect, action: str, full: bool) -> Dict[str, Any]:
    return dict(example(_type_of(dialect, action), full=full).to_wire())


@lru_cache(maxsize=None)
def _type_of(dialect: Dialect, action: str) -> Any:
    try:
        return dialect.load_type(f"{action}Request")
    except AttributeError:
        return dialect.load_type(action)  # the message of a SEND
