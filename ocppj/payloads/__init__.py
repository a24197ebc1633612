"""Typed payloads and their JSON values."""

from ..lazy import TYPE_CHECKING, hooks

if TYPE_CHECKING:
    from .model import Payload, Request, TextEnum, format_datetime, parse_datetime, wire
else:
    # Not at once: a package that imports its own module makes threads that import both at once wait for each other.
    _HOMES = {".model": "Payload Request TextEnum format_datetime parse_datetime wire"}
    __getattr__, __dir__ = hooks(__name__, _HOMES)

__all__ = ["Payload", "Request", "TextEnum", "format_datetime", "parse_datetime", "wire"]
