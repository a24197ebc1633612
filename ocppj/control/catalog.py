"""The requests of each OCPP version: their actions, the side that sends them, and their schemas."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Any, Iterable, List, Mapping, Optional, Tuple

from ..errors import UsageError
from ..rpc.accelerated import simplify_schema
from ..rpc.dialect import DIALECTS, Dialect

__all__ = ["Schema", "actions_of", "find_dialect", "nearest", "request_schema"]

Schema = Mapping[str, Any]

#: What the documentation of a message says of its sender.
_SENDERS = {"csms": ("the central system.", "the CSMS."), "station": ("the charge point", "the charging station")}


def find_dialect(version: str) -> Dialect:
    """Return an OCPP version. Raises `UsageError` if there is none of that name."""
    for each in DIALECTS:
        if each.version == version:
            return each
    raise UsageError(f"there is no OCPP version {version!r}: it is one of {', '.join(d.version for d in DIALECTS)}")


@lru_cache(maxsize=None)
def actions_of(version: str, sender: Optional[str] = None) -> Tuple[str, ...]:
    """Return the actions of an OCPP version, sorted.

    Args:
        version: Such as "1.6".
        sender: "csms" or "station": those that this side sends. ``None``: all.
    """
    dialect = find_dialect(version)
    names = sorted(dialect.actions)
    if sender is not None:
        names = [name for name in names if _is_sent_by(dialect, name, sender)]
    return tuple(names)


def _is_sent_by(dialect: Dialect, action: str, sender: str) -> bool:
    text = (dialect.load_type(_message_of(dialect, action)).__doc__ or "").partition("\n")[0]
    return not text or any(name in text for name in _SENDERS[sender])  # `python -OO` has no documentation


def _message_of(dialect: Dialect, action: str) -> str:
    """Return the name of the message of an action: that of a SEND has the name of its action."""
    is_send = not hasattr(_messages(dialect), f"{action}Request")
    return action if is_send else f"{action}Request"


def _messages(dialect: Dialect) -> Any:
    from importlib import import_module

    return import_module(f"{dialect.package}.messages")


@lru_cache(maxsize=None)
def request_schema(version: str, action: str) -> Optional[Schema]:
    """Return the schema of a request, with no references in it. ``None``: that version does not have the action."""
    dialect = find_dialect(version)
    if action not in dialect.actions:
        return None
    simple = simplify_schema(dialect.load_schema(_message_of(dialect, action)))
    return None if simple is None else simple[0]


def nearest(word: str, known: Iterable[str]) -> Optional[str]:
    """Return the one of ``known`` that is most likely meant by ``word``, in upper or lower case."""
    names = {name.lower(): name for name in known}
    found: List[str] = difflib.get_close_matches(word.lower(), list(names), 1, 0.6)
    return names[found[0]] if found else None
