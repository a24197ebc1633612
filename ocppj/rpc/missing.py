"""Why no profile of an endpoint has a message: the text of an `UnsupportedFeature`."""

from __future__ import annotations

from typing import Optional, Sequence, Type

from ..errors import UnsupportedFeature
from ..payloads.model import Payload
from .dialect import DIALECTS, Dialect

__all__ = ["missing"]


def missing(
    payload_type: Type[Payload], dialect: Optional[Dialect], registered: Sequence[Dialect], role: str
) -> UnsupportedFeature:
    """Return the error that says why ``payload_type`` is not found.

    ``dialect`` is the version of the connection, if there is one. ``registered`` are the versions of the profiles.
    ``role`` is "request" or "response": what the type is wanted for.
    """
    return UnsupportedFeature(_reason(payload_type, dialect, registered, role))


def _reason(payload_type: Type[Payload], dialect: Optional[Dialect], registered: Sequence[Dialect], role: str) -> str:
    own = next((each for each in (*DIALECTS, *registered) if _is_of(payload_type, each)), None)
    versions = " and ".join(each.version for each in registered)
    speaks = "this endpoint has no profiles" if not registered else f"this endpoint has profiles of OCPP {versions}"
    if dialect is not None:
        speaks = f"the connection is in OCPP {dialect.version}"
    if own is None:
        return f"no profile has {payload_type.__name__}: {speaks}"
    name, action = _name(payload_type, own), _action(payload_type)
    kind = _kind(payload_type, own)
    if kind != role:
        return f"{name} is no {role}" + (f": it is a {kind}" if kind else "")
    if own is dialect or (dialect is None and own in registered):
        where = own.profile_with(action)
        return f"no profile has {name} (OCPP {own.version})" + (f": add {_module(own)}.{where}" if where else "")
    others = [dialect] if dialect is not None else registered
    found = [_name(payload_type, each) for each in others if action in each.actions]
    hint = f"use {' or '.join(found)}" if found else f"there is no {action} in that version"
    if dialect is None:
        hint = f"add {_module(own)}.PROFILES" + (f", or {hint}" if found else "")
    return f"{speaks}, and {name} is a message of OCPP {own.version}: {hint}"


def _is_of(payload_type: Type[Payload], dialect: Dialect) -> bool:
    return payload_type.__module__.startswith(f"{dialect.package}.")


def _module(dialect: Dialect) -> str:
    return dialect.package.rpartition(".")[2]


def _name(payload_type: Type[Payload], dialect: Dialect) -> str:
    return f"{_module(dialect)}.{payload_type.__name__}"


def _kind(payload_type: Type[Payload], dialect: Dialect) -> str:
    """Return "request", "response", or "" for a type that is no message."""
    if _action(payload_type) not in dialect.actions:
        return ""
    return "response" if payload_type.__name__.endswith("Response") else "request"


def _action(payload_type: Type[Payload]) -> str:
    name = payload_type.__name__
    for suffix in ("Request", "Response"):
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name  # the message of a SEND has the name of its action
